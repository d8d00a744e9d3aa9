/*
 * reach.h - which blocks of a process nothing points to any more: a conservative scan of a copy of its memory.
 *
 * Every aligned word is taken for what may be a pointer. From the roots (registers, and all memory that is neither a
 * block nor an allocator's own) blocks are followed into blocks. As valgrind has it:
 *   reachable  a chain of pointers to beginnings of blocks leads there from a root
 *   possible   only by a pointer into the middle of a block
 *   indirect   not from a root, but from a block that is a definite leak
 *   definite   from no root, and from no other leak (of leaks in a ring, one)
 * What looks like a pointer and is none hides a leak; a pointer that is kept in another form (mixed with another
 * word, in a file) makes one up.
 *
 * Of glibc's allocator it is known what is its own: the heap and the memory of its arenas, but for the blocks. So
 * what it says there of blocks that were freed leads nowhere. Other allocators' memory counts as roots.
 *
 * Pure; one thread.
 */
#ifndef FA_REACH_H
#define FA_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/model.h"
#include "base/attr.h"

enum fa_reach {
	FA_DEFINITE = 0,
	FA_INDIRECT = 1,
	FA_POSSIBLE = 2,
	FA_REACHABLE = 3,
	FA_REACHES = 4
};

/* A part of the copy. */
struct fa_memory {
	uint64_t lo, hi; /* multiples of 8 */
	const unsigned char *bytes;
	bool heap; /* the break: the allocator's, but for the blocks */
	bool skip; /* blocks in it are followed, nothing else */
};

struct fa_memory_range {
	uint64_t lo, hi;
};

struct fa_reach_input {
	const struct fa_block *block; /* by address; they do not overlap */
	size_t count;
	const struct fa_memory *memory; /* by address */
	size_t memory_count;
	const struct fa_memory_range *out; /* no roots, by address: below the stack pointers */
	size_t out_count;
	const uint64_t *word; /* of registers */
	size_t word_count;
	/* Not all blocks are known (the trace began behind the program): what of the allocator's memory is no block that is
	 * known may be one that is not, and is a root. */
	bool heap_is_root;
};

/* What became of a block: 8 bytes of each. */
struct fa_reached {
	uint64_t indirect_bytes; /* of a definite one: that hang on it */
	uint32_t indirect_blocks;
	uint32_t reach; /* enum fa_reach */
};

/* ret: one for each block. Returns 0, -ENOMEM. */
int fa_reach(const struct fa_reach_input *in, struct fa_reached *ret) FA_MUST_USE;

#endif
