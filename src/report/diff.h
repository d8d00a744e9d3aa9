/*
 * diff.h - what was live at one moment against what was live at another: of one trace, or of two.
 *
 * By stack always; the stacks of two runs or builds are compared as stack_key.h says. Of processes that are on both
 * sides (same boot, pid and start) by block, too: a block is the same when address, size and time of its
 * allocation are. So a realloc removes one block and adds another.
 *
 * One thread.
 */
#ifndef FA_DIFF_H
#define FA_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "analysis/live.h"
#include "report/report.h"
#include "report/stack_key.h"

struct fa_diff_side {
	const char *path;
	const char *moment; /* as the user named it: "end", "mark:a" */
	const struct fa_replay *replay;
	const struct fa_live *live;
};

/* What became of a stack: it has blocks only after, only before, more bytes, fewer, or as many (or, with as many
 * bytes, more or fewer blocks). Of a block: added, removed, kept. */
enum fa_diff_change {
	FA_ADDED = 0,
	FA_REMOVED = 1,
	FA_GROWN = 2,
	FA_SHRUNK = 3,
	FA_KEPT = 4,
	FA_CHANGES = 5,
};
extern const char *const fa_change_names[FA_CHANGES];

enum fa_diff_sort {
	FA_SORT_CHANGE = 0, /* what grew most first, what shrank most last */
	FA_SORT_SIZE = 1,   /* the largest change first, in whichever direction */
	FA_SORT_BLOCKS = 2, /* as CHANGE, by number of blocks */
};

struct fa_diff_options {
	bool by_function;
	enum fa_diff_sort sort;
	unsigned only; /* bits 1 << enum fa_diff_change: which rows, and which blocks */
	bool blocks;   /* list them */
};

struct fa_diff_row {
	uint32_t chain;
	enum fa_diff_change change;
	struct fa_amount before, after;
	struct fa_amount of[FA_CHANGES]; /* ADDED, REMOVED, KEPT: of processes on both sides */
	bool in_both;                    /* has blocks of such */
};

struct fa_diff_block {
	const struct fa_block *block;
	const struct fa_diff_side *side; /* of the block: of a kept one the second */
	enum fa_diff_change change;
	uint32_t chain;
};

struct fa_diff {
	struct fa_diff_row *row; /* that `only` lets through */
	size_t count;
	struct fa_diff_row sum;       /* of all rows */
	uint64_t rows_of[FA_CHANGES]; /* of all rows */
	struct fa_diff_block *block;  /* largest first */
	size_t block_count, block_cap;
	bool by_block; /* some process is on both sides */
};

/* side: two of them. Chains are those of `resolver`. Returns 0 or -ENOMEM. */
int fa_diff_new(const struct fa_diff_side *side, struct fa_resolver *resolver,
		const struct fa_diff_options *options, struct fa_diff *ret) FA_MUST_USE;
void fa_diff_done(struct fa_diff *d); /* safe on {0} */

/* r: resolver, by_function, top, width, color. The moment in words is that of the sides. 0 or -errno. */
int fa_diff_text(const struct fa_report *r, const struct fa_diff *d,
		 const struct fa_diff_side *side, bool blocks, FILE *out) FA_MUST_USE;
int fa_diff_json(const struct fa_report *r, const struct fa_diff *d,
		 const struct fa_diff_side *side, bool blocks, FILE *out) FA_MUST_USE;

#endif
