/*
 * replay.h - a trace in time order: what was live when, who allocated it, what was never freed.
 *
 * fa_replay_run() reads the file once, in memory bounded by live blocks, stacks and the events of
 * two sweeps of the collector. See merge.c for the order in which events are applied, and account.c
 * for what is counted.
 *
 * One thread. Never prints.
 */
#ifndef FA_REPLAY_H
#define FA_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/extents.h"
#include "analysis/loads.h"
#include "analysis/locks.h"
#include "analysis/model.h"
#include "base/attr.h"
#include "trace/clock.h"
#include "trace/reader.h"

/* All ranges are half open. {0} asks for everything except that hi 0 means "no upper bound". */
struct fa_replay_options {
	const int32_t *pids; /* any of these; count 0: all */
	int pid_count;
	const char *const *images; /* image names, exactly */
	int image_count;
	const char *const *threads; /* tids or names, exactly */
	int thread_count;
	uint64_t range_lo, range_hi;       /* ns since the trace began */
	uint64_t size_lo, size_hi;         /* bytes */
	uint32_t snapshot; /* replay these in place of events (model.snapshots); 0: events, or what a file of snapshots has */
	uint64_t lifetime_lo, lifetime_hi; /* ns; a block that is never freed lives forever */
	/* Is this stack wanted? Asked once a stack. NULL: all are. */
	bool (*stack_wanted)(void *ctx, const struct fa_arena *a, uint32_t stack);
	/* Now and then: bytes of the file that were read, and its size. NULL: nobody wants to know. */
	void (*progress)(void *ctx, uint64_t done, uint64_t size);
	void *ctx;
	/*
	 * The life of each block that the filters let through, told when it is freed or left over: from its
	 * stamp up to `freed`, UINT64_MAX: it never was. Blocks that a child inherited and kept are told too
	 * (FA_BLOCK_INHERITED: its `thread` is one of the parent's). NULL: nobody wants to know.
	 */
	void (*life)(void *ctx, const struct fa_process *p, const struct fa_block *block,
		     uint64_t freed);
	/* What was live at the peak: each block, told when the replay comes to peak `peak_number` of an
	 * earlier replay with the same filters. 0: not asked. */
	void (*at_peak)(void *ctx, const struct fa_process *p, const struct fa_block *block);
	uint64_t peak_number;
	void *life_ctx; /* of both */
};

/* What a trace came to. Read only. */
struct fa_replay {
	struct fa_model model;
	struct fa_trace_clock clock;
	struct fa_trace_damage damage;
	struct fa_spaces space;        /* beside the heap */
	struct fa_locks locks;
	struct fa_loads loads;
	struct fa_extents extents;
	struct fa_event_counts events; /* of selected processes and threads, in the range */
	struct fa_amount total;        /* allocated in the range */
	struct fa_amount of[FA_CLASSES];
	struct fa_amount temporary; /* freed by their thread before it allocated again */
	struct fa_amount peak;
	uint64_t peak_stamp;
	uint64_t peak_number;
	uint64_t start_stamp; /* time 0 of the trace */
	uint64_t end_stamp;   /* of the last thing it tells of */
	uint64_t lost;        /* of selected processes */
	bool lost_unknown;    /* and more, nobody knows how many */
	uint32_t snapshot;       /* as the options had it */
	uint32_t snapshots;      /* processes of which the trace has a snapshot */
	uint32_t snapshots_torn; /* of these, some blocks are missing */
	uint64_t implied_frees;
	uint64_t unknown_frees;     /* of blocks that are not in the trace, and ought to be */
	uint64_t preexisting_frees; /* of blocks that are older than the trace: nothing is wrong */
	uint64_t unknown_records;
	uint64_t senseless_records; /* that speak of nothing known: skipped */
	uint64_t record_bytes;      /* of event bytes, decoded */
	bool ended;                 /* the trace has an END record */
	struct fa_rec_end end;
	struct fa_rec_machine machine;
	struct fa_rec_session session;
	char session_name[128];
	char kernel[256];
	char host[128];
	char boot[64]; /* of the machine, since it started; "": unknown */
};

/* Returns 0 (a damaged file too: see `damage`), -errno, -EBADMSG, -EPROTONOSUPPORT. */
int fa_replay_run(const char *path, const struct fa_replay_options *options,
		  struct fa_replay **ret) FA_MUST_USE;
void fa_replay_free(struct fa_replay *r); /* NULL is fine */

/* The clock of a whole trace, read before anything else of it; and the stamp of a moment, in ns since it began.
 * As fa_replay_run(). */
int fa_replay_clock(const char *path, struct fa_trace_clock *ret) FA_MUST_USE;
uint64_t fa_replay_stamp_at(const struct fa_trace_clock *clock, uint64_t ns);

/*
 * A trace whose records are given one by one, while it is written: what is live now, and what was freed until
 * now, by site (`live`, `of`), without what fa_replay_run() sums up at the end.
 */
struct fa_replay_live;
int fa_replay_live_new(struct fa_replay_live **ret) FA_MUST_USE;
/* 0, or -ENOMEM. */
int fa_replay_live_take(struct fa_replay_live *l, const struct fa_trace_record *rec) FA_MUST_USE;
/* No event has come for a while, so none is on its way that stands before one that waits for its turn: all
 * take their turn now. */
int fa_replay_live_settle(struct fa_replay_live *l) FA_MUST_USE;
const struct fa_replay *fa_replay_live_now(const struct fa_replay_live *l);
void fa_replay_live_free(struct fa_replay_live *l); /* NULL is fine */

/* Nanoseconds since the trace began. */
uint64_t fa_replay_time_ns(const struct fa_replay *r, uint64_t stamp);
uint64_t fa_replay_ticks_ns(const struct fa_replay *r, uint64_t ticks);
uint64_t fa_replay_duration_ns(const struct fa_replay *r);

#endif
