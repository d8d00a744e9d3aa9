/*
 * left.h - what was never freed, by size, by age, or by the module that allocated it: of a snapshot, what is live.
 */
#ifndef FA_REPORT_LEFT_H
#define FA_REPORT_LEFT_H

#include "analysis/replay.h"
#include "base/attr.h"

/* The blocks that a replay leaves over. All zero is an empty one. */
struct fa_left {
	struct fa_left_block {
		uint64_t size;
		uint64_t stamp;
		uint32_t site;
		uint32_t reserved;
	} *block;
	size_t count, room;
	bool failed; /* out of memory */
};

/* For the replay's `life`. */
void fa_left_take(struct fa_left *l, const struct fa_block *block, uint64_t freed);
void fa_left_done(struct fa_left *l);

#endif
