/*
 * family_internal.h - what the files of the drain share: one family's arena and all that we know of it.
 *
 * Rules that all of them keep:
 *  1. A word of the arena is loaded once, atomically, by arena_load*(); a struct is copied by
 *     arena_copy() and only the copy is looked at.
 *  2. Every index made from an arena word is compared with our own geometry first; every loop runs
 *     over our own counts.
 *  3. What decides (generations, how far a buffer was read, whose it is) is kept here, and only
 *     written into the arena, never read back.
 */
#ifndef FA_FAMILY_INTERNAL_H
#define FA_FAMILY_INTERNAL_H

#include <stdbool.h>
#include <string.h>

#include "collector/drain.h"
#include "collector/procfs.h"
#include "format/index_format.h"

enum {
	FA_UNTRACED_MAX = 1024,       /* children without a slot that are listed: a family may lie */
	FA_HOLES_MAX = 1024,          /* nodes that were not written when we passed them */
	FA_DEAD_PROCESSES_MAX = 1024, /* remembered for parents and status */
	FA_THREADS_MAX = 32768,       /* named threads of one process */
	FA_LOSERS_MAX = FA_ARENA_LOSERS0 + (FA_ARENA_SEGMENTS - 1) * FA_ARENA_LOSERS,
};

struct fa_segment {
	unsigned char *base;
	struct fa_arena_geometry g;
	uint32_t first_module;
	uint32_t first_node;
	uint32_t first_buffer;
};

struct fa_thread {
	uint32_t serial;
	int32_t own_tid; /* as the arena says */
	int32_t tid;     /* in our pid namespace, 0: not found */
	uint64_t start_stamp; /* not later than its first event; 0: not known */
	uint32_t checks; /* reaps that saw it alive */
	bool dead;
	uint64_t absent_since_ns; /* 0: seen alive */
	uint64_t events;
	uint64_t lost[FA_LOST_CAUSES]; /* as far as threads are told apart */
	char name[FA_COMM_SIZE];
};

/* A process of the family. Stays where it is in memory, also when dead, until it is forgotten. */
struct fa_process {
	struct fa_rec_process record;
	uint32_t slot;
	uint32_t generation;
	int32_t own_pid;
	bool live;
	bool known; /* pid is its pid in our namespace; else it is own_pid */
	int32_t pid;
	uint32_t since_scan; /* scans of /proc that did not find it */
	bool exited;         /* fa_family_exited() or fa_family_left() */
	bool met_late;       /* fa_family_skip() */
	int32_t status;
	uint64_t start_time; /* of /proc/PID/stat, 0: not known */
	uint64_t sampled_ns; /* its memory, last; 0: never, or again at once */
	uint64_t events;
	uint64_t bytes;
	uint64_t lost[FA_LOST_CAUSES];      /* all that is known */
	uint64_t lost_seen[FA_LOST_CAUSES]; /* what the slot's counters said last */
	uint64_t lost_told[FA_LOSER_CAUSES]; /* what those of its threads did, together */
	char *strings;                      /* of the PROCESS record */
	size_t strings_len;
	struct fa_thread *threads; /* by serial, ascending */
	size_t thread_count, thread_room;
};

/* What we know of a buffer since its owner took it. */
struct fa_reading {
	struct fa_process *process; /* NULL: nobody's data were seen in it yet */
	uint32_t thread;
	uint32_t seq;
	uint32_t read; /* bytes */
	bool bad;      /* bytes that are no events were met: nothing more is read */
	uint8_t done;  /* enum fa_done: it waits for fa_family_release(); thread, seq, slot: whose it was */
	uint32_t slot;
	struct fa_event_state state;
	uint64_t lost_before;
	uint32_t generation; /* ours */
	/* of the drain that is under way */
	uint8_t state1, state2;
	uint32_t limit1, limit2;
};

/* What we know of a struct fa_arena_loser. */
struct fa_loser {
	uint64_t who;
	uint64_t lost[FA_LOSER_CAUSES];
	bool done; /* the thread has ended: it waits for fa_family_release() */
};

enum fa_done {
	FA_DONE_NOT = 0,
	FA_DONE_READ = 1,     /* handed over, and read to its end */
	FA_DONE_ORPHANED = 2, /* taken from a dead owner */
};

/* Who was gone before the sweep that is under way: ended when it is over. */
struct fa_reap {
	bool on, all_gone, main_gone, threads_gone;
	bool gone[FA_ARENA_PROCESSES];
	uint64_t now;
};

struct fa_family {
	struct fa_segment segment[FA_ARENA_SEGMENTS];
	unsigned segments;
	uint32_t modules, nodes, buffers; /* capacities of all attached segments */
	uint32_t used_buffers;            /* those from here on were never taken: see below */
	struct fa_family_info info;
	struct fa_arena_header header; /* as it was when we adopted the arena */
	struct fa_drain_ids *ids;
	uint32_t arena; /* id in the trace */
	uint32_t generation[FA_ARENA_PROCESSES];
	struct fa_process *slot[FA_ARENA_PROCESSES]; /* live ones */
	bool slot_done[FA_ARENA_PROCESSES];          /* its process ended: waits for release */
	bool has_calls;                              /* there may be CALLs among its events */
	bool deferred;    /* what we are done with goes back by fa_family_release() only */
	bool release_due; /* something waits for it */
	bool dense;       /* so much was read by the last sweeps: see fa_family_pace() */
	uint64_t mean_rate; /* bytes a millisecond, of the last sweeps */
	uint64_t swept_ns; /* the last one */
	struct fa_process **processes;               /* all, in order of appearance */
	size_t process_count, process_room;
	uint32_t next_node; /* nodes below were passed */
	uint32_t holes[FA_HOLES_MAX];
	unsigned hole_count;
	uint32_t next_module; /* modules below were written */
	bool main_adopted;    /* the process that made the arena was seen in its table */
	bool main_exited;     /* fa_family_exited(), fa_family_left(), or seen so */
	int32_t main_status;
	uint64_t main_start_time;
	uint64_t
		image; /* fa_procfs_stat.image of the family: whoever has another one has left by exec */
	uint64_t scanned_ns;     /* when /proc was last searched for a child */
	uint64_t empty_since_ns; /* nobody is known to live since then, 0: somebody does */
	bool all_gone;           /* the caller knows that nobody does */
	bool view;               /* it is only looked at: fa_family_view() */
	bool attached;           /* our last answer */
	unsigned kept_buffers, kept_slots; /* taken after the last reap */
	uint64_t passes;
	uint64_t untraced;              /* children that found no slot, as far as they are listed */
	uint64_t events, lost;          /* of all processes, the forgotten ones too */
	struct fa_arena_module *module; /* copies, by id; state 2: written */
	struct fa_reading *reading;     /* by buffer id */
	uint32_t *work;                 /* buffer ids, room for all */
	/* A sweep that is under way: work[work_at, work_count) is still to be read, up to what was seen when it began. */
	bool sweeping;
	size_t work_count, work_at;
	uint64_t sweep_stamp, sweep_bytes;
	struct fa_reap reap;
	struct fa_loser *loser; /* FA_LOSERS_MAX, by place over all segments; NULL: nobody lost anything yet */
	const struct fa_sink *sink;     /* of the call that is under way, NULL: thrown away */
	int error;                      /* of that sink */
	unsigned char scratch[FA_BUFFER_DATA + 8]; /* the private copy that is walked and written */
};

static inline uint32_t arena_load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline uint64_t arena_load64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

/* The barrier keeps the compiler from reading the arena again in place of the copy. */
static inline void arena_copy(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	__asm__ volatile("" ::: "memory");
}

static inline struct fa_arena_header *family_header(const struct fa_family *f)
{
	return (struct fa_arena_header *)(void *)f->segment[0].base;
}

static inline struct fa_arena_process *family_slot(const struct fa_family *f, uint32_t slot)
{
	return (struct fa_arena_process *)(void *)(f->segment[0].base +
						   f->segment[0].g.process_offset) +
	       slot;
}

/*
 * How many buffers to look at. Those behind were never taken, and the memory of most arenas is not
 * there until it is looked at: looking at all would cost a small program more than its trace does.
 * Loaded before the buffers: what was committed by then lies in one that is counted.
 */
static inline uint32_t family_used_buffers(const struct fa_family *f)
{
	uint32_t used = arena_load(&family_header(f)->buffer_hint);

	if (used == 0 || used > f->buffers)
		return f->buffers;
	return used > f->used_buffers ? used : f->used_buffers;
}

/* Entries by id; id below the family's capacity. */
struct fa_arena_module *family_module(const struct fa_family *f, uint32_t id);
struct fa_arena_node *family_node(const struct fa_family *f, uint32_t id);
struct fa_arena_buffer *family_buffer(const struct fa_family *f, uint32_t id);

/* A record to the sink of the call; after its first failure none. */
void family_emit(struct fa_family *f, unsigned tag, const void *head, size_t head_len,
		 const void *tail, size_t tail_len, const void *tail2, size_t tail2_len);

/* Buffers that are not free; also slots of processes that are not, and FULL buffers. */
unsigned family_count_taken(const struct fa_family *f, unsigned *ret_slots, unsigned *ret_full);

/* define.c: processes, threads, modules, nodes. */
int family_adopt_processes(struct fa_family *f) FA_MUST_USE;
/* Look for children whose pid in our namespace is not known yet; `search`: all over /proc. */
void family_find_pid(struct fa_family *f, struct fa_process *p, bool search);
void family_find_pids(struct fa_family *f); /* of all that are unknown, by one search of /proc */
unsigned family_unknown_pids(const struct fa_family *f);
void family_write_modules(struct fa_family *f);
void family_write_nodes(struct fa_family *f);
void family_meet_thread(struct fa_family *f, struct fa_process *p, uint32_t serial,
			int32_t own_tid, uint64_t start_stamp);
struct fa_thread *family_thread(const struct fa_process *p, uint32_t serial); /* NULL: not met */
void family_write_thread(struct fa_family *f, const struct fa_process *p,
			 const struct fa_thread *t);
void family_forget_process(struct fa_process *p);
/* For fa_family_restore(): these three write no record. */
int family_describe_strings(const struct fa_family *f, struct fa_process *p) FA_MUST_USE;
int family_remember_process(struct fa_family *f, struct fa_process *p) FA_MUST_USE;
bool family_take_module(struct fa_family *f, uint32_t id); /* false: not there yet, or taken already */

/* drain.c */
#define FA_NO_HURRY UINT64_MAX
/* -ENOMEM: nothing was taken, the next one tries again. */
int family_begin_sweep(struct fa_family *f) FA_MUST_USE;
/* Until it is over or this time (fa_mono_ns()) has come. Returns how many bytes of events. */
int64_t family_continue_sweep(struct fa_family *f, uint64_t until);
void family_finish_reap(struct fa_family *f); /* reap.c */
/* losers.c: which thread lost events. When a process's counts of these causes have grown, or it has ended; records. */
void family_read_losers(struct fa_family *f);
bool family_has_losers(const struct fa_family *f);
void family_add_thread_lost(struct fa_family *f, struct fa_process *p, uint32_t serial, unsigned cause, uint64_t count);
/* The thread, or (NULL) the process, has ended, and its losses were read: their places go back, by family_release_losers()
 * or at once. */
void family_end_losers(struct fa_family *f, uint32_t slot, const struct fa_thread *t);
void family_release_losers(struct fa_family *f);
/* For fa_family_restore(): has its place still whom we saw there last? The losses of threads, from what was seen. */
bool family_holds_loser(const struct fa_family *f, uint32_t place);
void family_recount_losers(struct fa_family *f);
/* extents.c: if it is time. */
void family_sample(struct fa_family *f, struct fa_process *p, uint64_t now);
/* A slot of the process table is free again. */
void family_free_slot(struct fa_family *f, uint32_t slot);
/* Take an OWNED or FULL buffer back from its owner, who is dead or has handed it over. */
void family_free_buffer(struct fa_family *f, uint32_t id, bool raise_generation);

#endif
