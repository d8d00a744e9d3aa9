/*
 * leb.h - a bounded reader of DWARF's numbers.
 *
 * A read past the end, or a number too long, sets `bad` and gives 0; callers look at `bad` once at
 * the end of what they do.
 */
#ifndef FA_LEB_H
#define FA_LEB_H

#include <stdint.h>

#include "base/attr.h"

struct fa_reader {
	const unsigned char *p;
	const unsigned char *end;
	int bad;
};

static FA_INLINE uint64_t fa_read_fixed(struct fa_reader *r, unsigned bytes)
{
	uint64_t v = 0;

	if ((uint64_t)(r->end - r->p) < bytes) {
		r->bad = 1;
		r->p = r->end;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)r->p[i] << (8 * i);
	r->p += bytes;
	return v;
}

static inline uint64_t fa_read_uleb(struct fa_reader *r)
{
	uint64_t v = 0;
	unsigned shift = 0;
	unsigned char byte;

	do {
		if (r->p >= r->end || shift > 63) {
			r->bad = 1;
			return 0;
		}
		byte = *r->p++;
		v |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while ((byte & 0x80) != 0);
	return v;
}

static inline int64_t fa_read_sleb(struct fa_reader *r)
{
	uint64_t v = 0;
	unsigned shift = 0;
	unsigned char byte;

	do {
		if (r->p >= r->end || shift > 63) {
			r->bad = 1;
			return 0;
		}
		byte = *r->p++;
		v |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while ((byte & 0x80) != 0);
	if (shift < 64 && (byte & 0x40) != 0)
		v |= ~0ULL << shift;
	return (int64_t)v;
}

#endif
