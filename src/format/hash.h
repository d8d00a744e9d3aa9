/*
 * hash.h - the checksum of every format: 64 bits, a word at a time.
 *
 * Not cryptographic: it finds damage, not forgery. Header-only and freestanding, because the shim
 * checks the index with it before libc is initialised (64 KB take about 6 us).
 */
#ifndef FA_HASH_H
#define FA_HASH_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t fa_hash_mix(uint64_t h, uint64_t v)
{
	h ^= v;
	h *= 0x9fb21c651e98df25ULL;
	return h ^ (h >> 32);
}

/* Chain calls by passing the last result as `seed`; the split of the bytes then matters. */
static inline uint64_t fa_hash64(const void *data, size_t len, uint64_t seed)
{
	const unsigned char *p = data;
	uint64_t h = fa_hash_mix(seed ^ 0x2545f4914f6cdd1dULL, len);
	uint64_t v;

	for (; len >= 8; len -= 8, p += 8) {
		__builtin_memcpy(&v, p, 8);
		h = fa_hash_mix(h, v);
	}
	v = 0;
	for (size_t i = 0; i < len; i++)
		v |= (uint64_t)p[i] << (8 * i);
	h = fa_hash_mix(h, v);
	return fa_hash_mix(h, h >> 29);
}

#endif
