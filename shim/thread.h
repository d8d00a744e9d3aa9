/*
 * thread.h - what the tracer keeps for each thread, and how a thread gets and keeps it.
 *
 * Threads are not hooked. A thread's memory is made at its first event and belongs to its thread
 * pointer: when a later thread has the same one, the earlier is gone, and its memory is used again.
 */
#ifndef FA_THREAD_H
#define FA_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/arena.h"
#include "shim/loader.h"
#include "shim/recall.h"
#include "shim/unwind.h"

enum { FA_SERIAL_NONE = -1 }; /* of a thread that is to take one */

/* One stream of events. Each thread has two: the second is for signal handlers that interrupt the
 * tracer while it writes the first. */
struct fa_writer {
	unsigned char *at;    /* where the next event goes */
	unsigned char *end;   /* no event may begin at or behind this */
	unsigned char *begin; /* of the buffer's events */
	uint32_t *committed;
	struct fa_event_state state;
	uint64_t guard;                 /* frame of the hook that is writing, 0: none */
	uint64_t guard_rip;             /* that frame's first word */
	uint32_t tick;                  /* of the last look */
	uint32_t stamp_in;              /* frees until one is stamped, that one included */
	int32_t alloc_in;               /* allocations of the only thread, the same; less than 1 is as 1 */
	uint32_t buffer_seq;            /* of the next buffer */
	uint32_t nested;                /* 0 or 1u << 31 */
	uint64_t lost;                  /* events of this stream that found no buffer */
	struct fa_arena_buffer *buffer; /* NULL: none */
	struct fa_arena_buffer *taken;  /* the next one, which a hook that was left had got, NULL: none */
	uint32_t shared;                /* a fork came into the writing of an event: see fa_thread_before_fork() */
	uint32_t generation; /* of the buffer, then */
};

/* In a guard, whose frame is aligned: a fork in a handler, the hook that is writing is not ours to end. */
enum { FA_GUARD_DISOWNED = 1 };

enum { FA_STACK_CACHE = 2048 };


struct fa_stack_entry {
	uint64_t hash; /* of the whole stack, 0: empty */
	uint32_t id;
	uint32_t reserved;
};

struct fa_thread {
	struct fa_writer writer[2];
	uint64_t thread_pointer; /* whose memory this is, 0: nobody's yet */
	uint32_t serial;
	int32_t tid;
	uint32_t known;              /* node[0..known) belong to the walk before */
	uint32_t last;               /* the walk before as a stack id, 0: not to be used */
	uint32_t tried;              /* the last that was to be kept because it came twice in a row */
	uint32_t loser;              /* where its losses were counted, the last time */
	struct fa_recall *recalled;  /* the stack of the event before, if it was; else NULL */
	uint64_t stack_lo, stack_hi; /* of the thread's own stack; lo 0: only hi is known */
	struct fa_thread *next;
	size_t bytes; /* of its memory, that of `unwind` included */
	struct fa_unwind_thread *unwind[2];
	struct fa_loading loading;
	uint32_t node
		[FA_DEPTH_MAX]; /* ids of the frames of the last walk, outermost first; 0: unknown */
	struct fa_stack_entry cache[FA_STACK_CACHE];
	struct fa_recalls recalls; /* last: where address space is short it ends earlier */
};

/* Limits that are asked once, at the gate: later a filter may forbid to ask; then what is usual is taken. */
void fa_thread_init(bool may_ask);
/* This thread's; NULL when there is no memory. Slow. */
struct fa_thread *fa_thread_make(int32_t tid);
/* The forking thread of a new process goes on with the same memory (NULL: it has none yet). A hook that it interrupted still
 * works with its writer: that one is only marked, and begun anew by the hook when it leaves. */
void fa_thread_fork(struct fa_thread *t, int32_t tid);
/* In the child of a fork: the other threads are not here, whatever they were at in the tracer. */
void fa_thread_alone(const struct fa_thread *t);
void fa_writer_reset(struct fa_writer *w);
/* The same in a child of a fork, when nothing that was begun before writes any more. */
void fa_writer_disown(struct fa_writer *w);
/* The thread is about to fork; where it is writing an event (a handler forks), the child may write the rest of
 * that event, too, at any time. So the event is the last one of its buffer, and who leaves the buffer last hands it over. */
void fa_thread_before_fork(struct fa_thread *t);
/* Of a shared buffer, once by each who leaves it. true: it was the last. */
bool fa_buffer_leave(struct fa_arena_buffer *b, uint32_t generation);
/* Is no thread at work in the tracer? One that was left by a jump, deeper on this same stack, is not; `t`
 * (may be NULL) is the caller's. */
bool fa_thread_all_out(struct fa_thread *t);
/* All begin anew, with the arena that comes now. Only while all are out. */
void fa_thread_renew(void);
void fa_thread_number(struct fa_thread *t, int32_t tid); /* in the arena that is there now */
/* losers.c. It has lost an event: NO_BUFFER or NESTED. Its process's count is in it. */
void fa_thread_count_lost(struct fa_thread *t, enum fa_lost_cause cause);
uint64_t fa_thread_bytes(void); /* mapped for all threads so far */
/* Threads of this process that used the heap, since it forked; those that have ended as well. A thread is counted
 * before it records anything. */
extern FA_HIDDEN uint32_t fa_thread_count;
static FA_INLINE bool fa_thread_many(void)
{
	return __atomic_load_n(&fa_thread_count, __ATOMIC_RELAXED) > 1;
}
/* Wait a little for the collector, the more often (`turn`) the longer. */
void fa_thread_pause(unsigned turn);
/* The stack that `sp` lies on: bounds, or 0, 0. */
struct fa_stack_bounds fa_thread_bounds(const struct fa_thread *t, uint64_t sp);

static FA_INLINE uint64_t fa_thread_pointer(void)
{
	uint64_t p;

	__asm__("movq %%fs:0, %0" : "=r"(p));
	return p;
}

/* The thread id as libc keeps it. Offset of struct pthread.tid: x86-64 glibc 2.4 to 2.41; checked at
 * the gate against getpid. */
static FA_INLINE int32_t fa_tcb_tid(void)
{
	int32_t tid;

	__asm__ volatile("movl %%fs:0x2d0, %0" : "=r"(tid));
	return tid;
}

#endif
