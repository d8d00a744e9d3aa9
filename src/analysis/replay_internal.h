/* replay_internal.h - shared by replay.c (records), stream.c (bytes to events), merge.c (order), apply.c
 * (what an event does), account.c (numbers). */
#ifndef FA_REPLAY_INTERNAL_H
#define FA_REPLAY_INTERNAL_H

#include "analysis/replay.h"

/* Events of an EVENTS record that were not decoded yet. */
struct fa_chunk {
	struct fa_chunk *next;
	uint64_t position; /* buffer_seq << 32 | offset of the first byte */
	struct fa_event_state state;
	uint32_t pass; /* in which it was read */
	uint32_t count;
	size_t len;
	unsigned char bytes[];
};

/* A free whose place among the events of other threads is not known exactly. */
struct fa_pending {
	uint64_t addr;
	uint64_t stamp; /* not earlier than this */
	uint64_t position;
	uint32_t pass;
	bool done; /* an allocation of the address has shown that it is over */
};

/* The events of one thread (bit 31: of its signal handlers), in order; or the end of a process. */
struct fa_stream {
	struct fa_process *process;
	struct fa_thread *thread;  /* NULL: the end of the process, or a sample of it */
	size_t sample;             /* its number in fa_extents, from 1 on; 0: none */
	struct fa_stream *sibling; /* of the same process */
	uint32_t word;
	struct fa_chunk *head, *tail;
	const unsigned char *at; /* in head */
	uint32_t left;           /* events of head, by its count */
	struct fa_event_state state;
	/* The next event with a place in time, and the frees that stand before it. */
	bool has_next;
	bool old_done; /* the old block of `next` has been freed already */
	uint32_t next_pass;
	uint64_t next_position;
	struct fa_event next;
	struct fa_pending *pending;
	size_t pending_count, pending_cap;
	uint64_t fork_watch; /* a child waits for this position; UINT64_MAX: none does */
	uint64_t applied;    /* position behind the last event that was applied */
	uint64_t last_addr;  /* the thread's last allocation, while it lives */
	bool active;         /* in engine.active */
};

struct fa_engine {
	struct fa_replay *r;
	const struct fa_replay_options *o;
	uint64_t lo, hi;           /* range in stamps */
	uint64_t life_lo, life_hi; /* ticks */
	bool entered;              /* the range has begun */
	struct fa_amount live;
	uint64_t epoch; /* number of the highest peak so far */
	struct fa_idmap streams;
	struct fa_stream **active; /* that have something to do */
	size_t active_count, active_cap;
	struct fa_stream **all;
	size_t all_count, all_cap;
	struct fa_stream **heap; /* by the stamp of `next` */
	size_t heap_count, heap_cap;
	size_t old_count; /* streams in the heap whose next event was read in an earlier pass */
	bool heap_stale;  /* streams in it were drained from elsewhere */
	uint32_t pass;
	uint64_t watermark, watermark_before; /* when the latest two sweeps began */
	uint64_t inherited_blocks;            /* that are held in memory now */
	size_t held_bytes;                    /* in chunks */
	int error;                            /* -ENOMEM */
	struct fa_event_row row;              /* being applied */
	size_t row_used;                      /* its bytes */
};

static FA_INLINE bool fa_in_range(const struct fa_engine *e, uint64_t stamp)
{
	return stamp - e->lo < e->hi - e->lo;
}

/* snapshot.c */
int fa_snapshot_begin(struct fa_engine *e, const struct fa_rec_snapshot *rec);
int fa_snapshot_blocks(struct fa_engine *e, const struct fa_trace_record *rec);
int fa_snapshot_end(struct fa_engine *e, const struct fa_rec_snapshot_end *rec);
void fa_snapshot_settle(struct fa_engine *e); /* after the last record */
/* apply.c: a block of a snapshot, by a thread of which nothing else is in the trace. */
void fa_apply_block(struct fa_engine *e, struct fa_stream *s, const struct fa_event *ev);

/* stream.c */
struct fa_stream *fa_stream_get(struct fa_engine *e, struct fa_process *p, uint32_t word);
int fa_stream_add_end(struct fa_engine *e, struct fa_process *p, uint64_t stamp);
int fa_stream_add_sample(struct fa_engine *e, struct fa_process *p, uint64_t stamp, size_t sample);
int fa_stream_feed(struct fa_engine *e, struct fa_stream *s, const struct fa_rec_events *rec,
		   const unsigned char *tail, size_t tail_len);
/* Decode up to the next event that has a place in time, when there is none yet. */
void fa_stream_look_ahead(struct fa_engine *e, struct fa_stream *s);
/* With no `next`: decode a row into engine.row, up to the first event with a place at `limit` or later.
 * Returns how many; *ret_due: those up to the last one with a place before it. */
unsigned fa_stream_get_row(struct fa_engine *e, struct fa_stream *s, uint64_t limit,
			   unsigned *ret_due);
/* The first `due` of its `count` events are done; the others become `pending` and `next`. */
void fa_stream_pass_row(struct fa_engine *e, struct fa_stream *s, unsigned due, unsigned count);
void fa_stream_free(struct fa_stream *s);

/* merge.c: apply what can be applied now that a sweep has been read. watermark: when the sweep
 * before it began. force: everything. */
void fa_merge(struct fa_engine *e, uint64_t watermark, bool force);

/* apply.c */
/* The index of the event's site; 0: out of memory, which engine.error says. */
uint32_t fa_site_of(struct fa_engine *e, struct fa_arena *a, const struct fa_event *ev);
/* Frees that were met before their allocations end what is left there (--stamp none). */
void fa_apply_early(struct fa_engine *e, struct fa_process *p);
void fa_apply_next(struct fa_engine *e, struct fa_stream *s); /* and the frees before it */
/* What follows in this stream (it has no `next`) and has its place before `limit`. */
void fa_apply_stretch(struct fa_engine *e, struct fa_stream *s, uint64_t limit);
/* Of the frees that wait: those before `position` that were read before `pass`. */
void fa_apply_pending(struct fa_engine *e, struct fa_stream *s, uint64_t position, uint32_t pass);
void fa_apply_fork(struct fa_engine *e, struct fa_process *child);
void fa_apply_fork_watch(struct fa_stream *s); /* which position is waited for next */
void fa_apply_end(struct fa_engine *e, struct fa_process *p);

/* space.c: an event of FA_TRACING_VM; what is mapped when a process ends. */
void fa_space_apply(struct fa_engine *e, struct fa_stream *s, const struct fa_event *ev);
void fa_space_end(struct fa_engine *e, struct fa_process *p);

/* locks.c: a wait */
void fa_locks_apply(struct fa_engine *e, struct fa_stream *s, const struct fa_event *ev);

/* loads.c: a module came or went */
void fa_loads_apply(struct fa_engine *e, struct fa_stream *s, const struct fa_event *ev);

/* extents.c */
int fa_extents_take(struct fa_engine *e, const struct fa_rec_extents *rec);
void fa_extents_apply(struct fa_engine *e, const struct fa_stream *s); /* all before it is done */

/* account.c */
void fa_account_event(struct fa_engine *e, struct fa_stream *s, unsigned kind, uint64_t stamp);
void fa_account_alloc(struct fa_engine *e, struct fa_process *p, struct fa_thread *t,
		      struct fa_block *block);
void fa_account_free(struct fa_engine *e, struct fa_process *p, const struct fa_block *block,
		     uint64_t stamp, bool temporary);
void fa_account_left(struct fa_engine *e, struct fa_process *p, const struct fa_block *block);
void fa_account_close(struct fa_engine *e); /* after the last event */

#endif
