/*
 * live.h - the blocks that were live at a moment of a trace.
 *
 * At a time T: allocated before T, not freed before T, and of a process that had not ended by then. A free
 * counts at the earliest time that it can have had (it carries none of its own as a rule), as it does for
 * ranges. At the end: what was never freed, also of processes that are gone: what a report calls outstanding. At
 * the peak: what the replay had when most bytes were live.
 *
 * One thread.
 */
#ifndef FA_LIVE_H
#define FA_LIVE_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/replay.h"
#include "base/attr.h"

enum fa_moment_kind { FA_MOMENT_END = 0, FA_MOMENT_PEAK, FA_MOMENT_TIME, FA_MOMENT_SNAPSHOT };

struct fa_moment {
	enum fa_moment_kind kind;
	uint64_t ns; /* FA_MOMENT_TIME: since the trace began; FA_MOMENT_SNAPSHOT: its number */
};

/* Blocks by process (in the order of the trace), then by address; site and thread are those of the model of the
 * replay that came with it. */
struct fa_live {
	struct fa_block *block;
	size_t count, cap;
	struct fa_amount sum;
	uint64_t stamp;   /* of the moment */
	uint64_t real_ns; /* CLOCK_REALTIME then, 0: unknown */
};

/*
 * The live blocks at each of `count` moments of one trace, and the replay they come from. A snapshot is the
 * only moment of its call. The members life,
 * at_peak and life_ctx of `options` are not used. ret_live: `count` of them, for fa_live_done(). Returns as
 * fa_replay_run().
 */
int fa_live_read(const char *path, const struct fa_replay_options *options,
		 const struct fa_moment *moments, unsigned count, struct fa_live *ret_live,
		 struct fa_replay **ret_replay) FA_MUST_USE;
void fa_live_done(struct fa_live *l); /* safe on {0} */

/* Of a snapshot: the end of a replay of it, as *o is made to say; else what was given. */
const struct fa_moment *fa_moment_replayed(const struct fa_moment *moments, struct fa_replay_options *o);

/* Was a block of process `p` live at the time `stamp`, that lived up to `freed` (UINT64_MAX: it was never freed)? */
bool fa_was_live(const struct fa_process *p, const struct fa_block *block, uint64_t freed,
		 uint64_t stamp);

#endif
