/*
 * livemap.h - the live blocks of one address space, by address.
 *
 * Open addressing with linear probing and backward-shift deletion: no tombstones, so a program that
 * allocates for a week costs what its live blocks cost. The look-ups are inline because a replay
 * spends its time in them. Address 0 is no block.
 */
#ifndef FA_LIVEMAP_H
#define FA_LIVEMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* In fa_block.thread, above the index of the thread. */
#define FA_BLOCK_INHERITED 0x80000000u /* came with fork: not counted as its own allocation */
#define FA_BLOCK_UNCOUNTED 0x40000000u /* a filter leaves it out */
#define FA_BLOCK_THREAD    0x3fffffffu

struct fa_block {
	uint64_t addr; /* 0: this slot is empty */
	uint64_t size;
	uint64_t stamp;  /* of its allocation */
	uint32_t site;   /* index of its site */
	uint32_t thread; /* index of the thread that allocated it, and bits */
};

struct fa_livemap {
	struct fa_block *slots;
	size_t mask; /* slots - 1; 0: nothing is allocated yet */
	size_t count;
	size_t room; /* so many blocks before it grows */
	unsigned shift;
};

void fa_livemap_done(struct fa_livemap *m); /* safe on {0} */
/* Make room for one more. Returns 0 or -ENOMEM. */
int fa_livemap_grow(struct fa_livemap *m) FA_MUST_USE;
/* A copy of `from` in the empty map `to`. Returns 0 or -ENOMEM. */
int fa_livemap_copy(struct fa_livemap *to, const struct fa_livemap *from) FA_MUST_USE;
static FA_INLINE size_t fa_livemap_hash(const struct fa_livemap *m, uint64_t addr)
{
	/* What lies close together was often allocated together, and is freed together: blocks of
	 * 256 bytes of memory share 16 neighbouring slots, which a few cache lines hold. */
	size_t group = (size_t)(((addr >> 8) * 0x9e3779b97f4a7c15ULL) >> m->shift);

	return (group & ~(size_t)15) | (addr >> 4 & 15);
}

static FA_INLINE struct fa_block *fa_livemap_find(const struct fa_livemap *m, uint64_t addr)
{
	if (m->mask == 0)
		return NULL;
	for (size_t i = fa_livemap_hash(m, addr);; i = (i + 1) & m->mask) {
		if (m->slots[i].addr == addr)
			return &m->slots[i];
		if (m->slots[i].addr == 0)
			return NULL;
	}
}

/*
 * The slot of `addr`: the block, or an empty one (its addr is 0) in which the caller puts it, with
 * fa_livemap_fill(). NULL: out of memory.
 */
static FA_INLINE struct fa_block *fa_livemap_place(struct fa_livemap *m, uint64_t addr)
{
	if (FA_UNLIKELY(m->count >= m->room) && fa_livemap_grow(m) < 0)
		return NULL;
	size_t i = fa_livemap_hash(m, addr);

	while (m->slots[i].addr != 0 && m->slots[i].addr != addr)
		i = (i + 1) & m->mask;
	return &m->slots[i];
}

static FA_INLINE void fa_livemap_fill(struct fa_livemap *m, struct fa_block *slot, uint64_t addr)
{
	slot->addr = addr;
	m->count++;
}

/* Take a block of this map out; pointers into the map are stale afterwards. */
static FA_INLINE void fa_livemap_remove(struct fa_livemap *m, struct fa_block *block)
{
	size_t hole = (size_t)(block - m->slots);

	for (size_t i = (hole + 1) & m->mask; m->slots[i].addr != 0; i = (i + 1) & m->mask) {
		size_t home = fa_livemap_hash(m, m->slots[i].addr);

		/* It may move to the hole when its home does not lie behind the hole. */
		if (((i - home) & m->mask) >= ((i - hole) & m->mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole].addr = 0;
	m->count--;
}

/* The block will be asked for soon: have its slot fetched from memory meanwhile. */
static FA_INLINE void fa_livemap_prefetch(const struct fa_livemap *m, uint64_t addr)
{
	__builtin_prefetch(&m->slots[fa_livemap_hash(m, addr)]);
}

#endif
