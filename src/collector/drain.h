/*
 * drain.h - reads arenas and turns what is in them into trace records. Used by the collector of
 * firstallocd and by `firstalloc run`. No privilege, no printing; trusts no byte of an arena.
 * One thread.
 */
#ifndef FA_DRAIN_H
#define FA_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/arena_format.h"
#include "format/trace_format.h"

/* Where records go: one session's writer, or several. Returns 0 or -errno (then it is given no more). */
struct fa_sink {
	int (*record)(void *ctx, unsigned tag, const void *head, size_t head_len, const void *tail,
		      size_t tail_len, const void *tail2, size_t tail2_len);
	void *ctx;
};

/* What the collector's side knows about the process that owns the arena: never from the arena. */
struct fa_family_info {
	int32_t pid; /* in the collector's pid namespace */
	int32_t parent_pid;
	uint32_t uid;
	uint32_t gid;
	char exe[1024];   /* readlink of /proc/PID/exe, "" unknown */
	char cgroup[512]; /* "" unknown */
};

struct fa_family;

/* Numbers that run on over all families of a collector (ids in the trace). */
struct fa_drain_ids {
	uint32_t next_arena;   /* start at 1 */
	uint32_t next_process; /* start at 1 */
};

/* A process of a family, for status. */
struct fa_family_process {
	uint32_t process; /* id in the trace */
	int32_t pid; /* in the collector's pid namespace where it could be found, else its own */
	uint32_t uid;
	bool live;
	uint64_t events;
	uint64_t lost[FA_LOST_CAUSES];
	uint64_t bytes;    /* of events */
	const char *image; /* base name of the executable; valid while the family lives */
};

/* One of its threads. */
struct fa_family_thread {
	uint32_t thread; /* as in the trace */
	int32_t tid;     /* 0: not known */
	uint64_t events;
	uint64_t lost[FA_LOST_CAUSES]; /* as far as threads are told apart: the process's may be more */
	char name[16];   /* "": not known */
};

/*
 * Adopt an arena: the file `fd` with segment 0 of `size` bytes, and whatever further segments it is
 * long enough for; the fd stays the caller's. Does not write the answer.
 * Returns 0, -EBADMSG no arena or a foreign version, -EPROTO its clock is not fa_drain_clock_source(),
 * -ENOMEM, -errno of mmap.
 */
int fa_family_new(int fd, uint32_t size, const struct fa_family_info *info,
		  struct fa_drain_ids *ids, struct fa_family **ret) FA_MUST_USE;

/*
 * A look at the arena for a snapshot: the file may be open for reading only, nothing is written to it. Only
 * fa_family_snapshot() and fa_family_free() may be called with it. Errors as fa_family_new().
 */
int fa_family_view(int fd, uint32_t size, const struct fa_family_info *info,
		   struct fa_drain_ids *ids, struct fa_family **ret) FA_MUST_USE;

/* What fa_family_snapshot() found. */
struct fa_snapshot {
	uint64_t blocks, bytes, usable_bytes;
	uint64_t refused;     /* blocks that are not there because the table was full */
	uint64_t table_bytes; /* of the table in the process */
	uint64_t look_ns;     /* how long the look at the table took */
};

/*
 * The live blocks of the process that made the arena (format/table_format.h), and all that they refer to, as
 * records: PROCESS, THREAD, MODULE, NODES, SNAPSHOT, BLOCKS, SNAPSHOT_END, LOST. Stops nobody. sink NULL: only
 * count. dead: it has ended. 0; -ENOENT: it keeps no table;
 * -EBADMSG: what stands for one is none; -ENOMEM, -errno of the sink.
 */
int fa_family_snapshot(struct fa_family *f, const struct fa_sink *sink, bool dead,
		       struct fa_snapshot *ret) FA_MUST_USE;

/* The answer that the waiting or polling shim reads. `word` is written last. */
void fa_family_answer(struct fa_family *f, uint32_t word, uint32_t policy, uint32_t reason);

/* Which events are to carry stacks from its next tick on: enum fa_stack_events, or FA_STACKS_OF_RULE. */
#define FA_STACKS_OF_RULE (~0u)
void fa_family_want_stacks(struct fa_family *f, uint32_t stacks);
uint32_t fa_family_rule_stacks(const struct fa_family *f); /* as its rule has it */
bool fa_family_is_named_only(const struct fa_family *f); /* FA_RULE_NAMED */
/* Does it keep a table of live blocks, does it record events? As its rule says. */
bool fa_family_keeps_table(const struct fa_family *f);
bool fa_family_has_events(const struct fa_family *f);
/* It records events already: a table from its next tick on, of so many MB at most. false: it has had one, and a second
 * cannot begin in this arena. */
bool fa_family_order_table(struct fa_family *f, uint32_t most_mb) FA_MUST_USE;
/* What of it is wanted now; nothing of both: let it go instead. */
void fa_family_want(struct fa_family *f, bool events, bool table);

/* Once a millisecond or so while the family is polled. */
void fa_family_tick(struct fa_family *f);

/* How many segments the shim asks for, at most as fit the span. */
unsigned fa_family_wants_segments(const struct fa_family *f);
unsigned fa_family_segments(const struct fa_family *f);
/* Is half of the arena's buffers or nodes in use? */
bool fa_family_is_filling(const struct fa_family *f);
/*
 * One segment more: the file `fd`, in which all of them lie, is made longer where it ends before it; then
 * the segment's bit is set in answer.segments. allocate: as well as sized. That is for a file in a folder,
 * where a full file system would be answered by SIGBUS in the program; anonymous memory is not ours to
 * allocate, because it is charged to whoever touches it first. The fd stays the caller's. -E2BIG,
 * -EFBIG, -ENOSPC, -ENOMEM: this is all.
 */
int fa_family_extend(struct fa_family *f, int fd, bool allocate) FA_MUST_USE;

/*
 * One sweep: new processes, modules, nodes, then all events committed so far, then lost counts;
 * returns buffers that were read to the end. Returns the number of event bytes read, or -errno of
 * the sink.
 */
int64_t fa_family_drain(struct fa_family *f, const struct fa_sink *sink) FA_MUST_USE;

/*
 * In how many milliseconds a family that records should be served next: in 1. A turn of ours is a switch of
 * processes and a timer, as much as a thousand events; and what the tick tells of time where so much is
 * recorded (*dense) that stamps lie a tenth of a millisecond apart at most is less than these do. So in up to 4
 * then, but for what fits the buffers at the speed of a program that does nothing else.
 */
unsigned fa_family_pace(const struct fa_family *f, bool *ret_dense);

/*
 * The same in parts: until then (fa_mono_ns()), or the sweep is over. What was read can be released after each part.
 * drain without a limit ends a sweep that is under way, and makes another.
 */
int64_t fa_family_drain_until(struct fa_family *f, const struct fa_sink *sink, uint64_t until) FA_MUST_USE;
bool fa_family_is_sweeping(const struct fa_family *f);

/* All definitions so far (processes, modules, nodes), for a session that begins now. */
int fa_family_describe(struct fa_family *f, const struct fa_sink *sink) FA_MUST_USE;

/*
 * Look which processes and threads of the family are gone (/proc), take the buffers of the dead
 * back, and write PROCESS_END for processes that are gone and drained. Call every 100 ms or when a
 * pidfd fired, then drain once more. `all_gone`: the caller knows that nobody lives any more.
 */
int fa_family_reap(struct fa_family *f, const struct fa_sink *sink, bool all_gone) FA_MUST_USE;

/* How much memory its processes have is written each second by fa_family_reap(): by the next one in any case. */
void fa_family_sample_soon(struct fa_family *f);
/* The same in parts. It begins when no sweep is under way (1: not yet), and what it found is done when its sweep is over. */
int fa_family_reap_until(struct fa_family *f, const struct fa_sink *sink, uint64_t until) FA_MUST_USE;

/* A process of this family (collector's pid) ended with this wait status. */
void fa_family_exited(struct fa_family *f, int32_t pid, int32_t status);

/* It is no more of this family although its pid lives: it executed another program. */
void fa_family_left(struct fa_family *f, int32_t pid);

/*
 * Right after fa_family_new(): what is in the arena may have been written by another collector, and is not read. Its
 * processes are described as incomplete. 0 or -ENOMEM.
 */
int fa_family_skip(struct fa_family *f) FA_MUST_USE;

/* Of those who live, or who lived last, loss is unknown, and said so. -errno: of the sink. */
int fa_family_doubt(struct fa_family *f, const struct fa_sink *sink) FA_MUST_USE;

/* Nobody whom we know lives, all is drained. Said half a second late: a child is seen by its first heap call. */
bool fa_family_over(const struct fa_family *f);
/*
 * How many buffers wait to be read and given back: a reason to drain now. *ret_reap: so many more
 * buffers or process slots are taken than after the last reap that it is time for the next, because
 * some will be of the dead. Cheap.
 */
unsigned fa_family_full(const struct fa_family *f, bool *ret_reap);
size_t fa_family_processes(const struct fa_family *f);
void fa_family_process_at(const struct fa_family *f, size_t i, struct fa_family_process *ret);
/* The k-th of its threads that live, or were not seen to end yet. */
size_t fa_family_threads(const struct fa_family *f, size_t i);
void fa_family_thread_at(const struct fa_family *f, size_t i, size_t k, struct fa_family_thread *ret);
/* Of all processes so far, those included that are so long dead that they are forgotten. */
void fa_family_totals(const struct fa_family *f, uint64_t *ret_events, uint64_t *ret_lost);
/*
 * For a collector that may be killed and followed by another. With defer, buffers and process slots that
 * we are done with go back to the family by fa_family_release() only: call it when the records are safe and
 * so is what fa_family_save() says. A successor that restores this, and whose traces end where they ended
 * at that moment, goes on as if nothing had happened: no event twice, none missing.
 *
 * save: the bytes that it took of `size`, 0: that is too little. restore: right after fa_family_new(), of
 * the same arena. 0, -EBADMSG: no such state, or -ENOMEM; then the family is of no use.
 */
void fa_family_defer(struct fa_family *f);
bool fa_family_release_due(const struct fa_family *f);
void fa_family_release(struct fa_family *f);
size_t fa_family_save(const struct fa_family *f, void *to, size_t size);
int fa_family_restore(struct fa_family *f, const void *from, size_t len) FA_MUST_USE;
/* Of a family that cannot be had again: the processes that lived. Returns how many, at most `most`. */
size_t fa_family_saved_processes(const void *from, size_t len, uint32_t *ret_process, size_t most);
/* Of all its segments; *ret_free: that no thread has, and that need not be read. */
uint32_t fa_family_buffers(const struct fa_family *f, uint32_t *ret_free);
uint32_t fa_family_arena(const struct fa_family *f); /* id in the trace */
uint64_t fa_family_mapped_bytes(const struct fa_family *f);
void fa_family_free(struct fa_family *f); /* NULL is fine */

/* The clock of stamps, from the collector's side. */
uint64_t fa_drain_stamp(uint32_t clock_source);
int fa_drain_write_clock(const struct fa_sink *sink, uint32_t clock_source) FA_MUST_USE;
int fa_drain_write_machine(const struct fa_sink *sink, uint32_t clock_source) FA_MUST_USE;
/* Soon after its start the kernel still looks at the TSC: wait until it has made up its mind (a second; 5 at most). */
void fa_drain_clock_settle(void);
uint32_t fa_drain_clock_source(void); /* what this machine's kernel trusted when first asked: TSC or MONOTONIC */
/* Now. A kernel may find out late that it cannot trust the TSC; and what is to be taken for it from here on. */
uint32_t fa_drain_clock_now(void);
void fa_drain_clock_use(uint32_t source);

#endif
