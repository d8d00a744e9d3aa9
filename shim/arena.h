/*
 * arena.h - our side of the shared memory (format/arena_format.h).
 *
 * Geometry and addresses are kept in private memory; what is read back from the arena is masked or
 * checked, because another process of the family may have lost its rights and be hostile.
 */
#ifndef FA_ARENA_H
#define FA_ARENA_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/state.h"
#include "shim/unwind.h"

/* Private description of the arena. The place of wish.stacks is known to hooks.S. */
struct fa_segment {
	unsigned char *base;
	struct fa_arena_geometry g;
	uint32_t first_module;
	uint32_t first_node;
	uint32_t first_buffer;
};

struct fa_arena {
	unsigned char *base; /* NULL: none */
	struct fa_wish wish;
	struct fa_segment segment[FA_ARENA_SEGMENTS];
	uint32_t mapped; /* segments that we have mapped */
	uint32_t size0;
	uint64_t most; /* bytes that all segments may have: the address space is the program's */
	uint32_t slot;
	uint32_t own_stacks; /* wish.stacks as the rule had it: sessions may want others for a while */
	uint32_t process; /* our slot in the process table */
	uint32_t process_generation;
	int32_t pid;
	uint64_t table_most; /* bytes that the table of live blocks may take, 0: as many as there are */
	bool run_mode; /* segments lie in a file made in run_dir */
	uint8_t clock_source;
	bool by_tsc; /* stamps are read from the TSC */
	uint32_t euid;
	uint64_t nonce;
	uint64_t address_limit; /* RLIMIT_AS, when it may not be asked; 0: ask */
	char run_dir[256];
};
extern FA_HIDDEN struct fa_arena fa_arena;
static_assert(offsetof(struct fa_arena, wish.stacks) == 24, "FA_WISH_STACKS of hooks.S");

static FA_INLINE struct fa_arena_header *fa_arena_head(void)
{
	return (struct fa_arena_header *)(void *)fa_arena.base;
}

/* How long to wait for what the collector gives. */
#define FA_WAIT_NS 1000000000ULL

/* Is it not read any more? Its pages may have been given back, the header's with them: a fork child may look
 * for the first time long after. */
static FA_INLINE bool fa_arena_is_over(void)
{
	const struct fa_arena_header *h = fa_arena_head();

	return __atomic_load_n(&h->answer.word, __ATOMIC_RELAXED) > FA_ANSWER_ATTACHED ||
	       __atomic_load_n(&h->magic, __ATOMIC_RELAXED) != FA_ARENA_MAGIC;
}

/* Map so many segments, fill, and for `run` publish the one. Returns 0 or the reason why not (enum
 * fa_reason). */
unsigned fa_arena_create(const struct fa_start *start, const struct fa_wish *wish, int32_t pid,
			 uint32_t segments);
/* The folder of `firstalloc run`: it is believed only when it is the user's alone. */
int fa_arena_open_run_dir(const char *path, uint32_t euid);
void fa_arena_destroy(void); /* only before anything was recorded */
/* The same address range again, with nothing in it, for this process alone. Only while no thread is at work in
 * the old one, whose memory goes. Returns 0 or the reason. */
unsigned fa_arena_renew(const struct fa_start *start, const struct fa_wish *wish, int32_t pid);

uint32_t fa_arena_next_thread(void); /* serial of a thread that begins to record */

/* A fork child takes a place in the family. false: the table is full. */
bool fa_arena_join(int32_t pid, uint32_t fork_thread, uint32_t fork_seq, uint32_t fork_offset);

/* A free buffer of the pool, its header written; NULL: none is free. Never waits. *ret_may_come: one
 * waits to be read, or room is being added. *taken is it from the moment on at which it is the thread's. */
struct fa_arena_buffer *fa_arena_take_buffer(uint32_t thread, int32_t tid, uint32_t seq,
					     uint64_t lost_before, uint64_t stamp,
					     struct fa_arena_buffer **taken, bool *ret_may_come);
/* Is what was *taken then still the thread's, and not the parent's of this process? */
bool fa_arena_has_taken(const struct fa_arena_buffer *b, uint32_t thread);
/* Moves when a buffer was given back or a segment came; its lower half is what was given back. */
static FA_INLINE uint64_t fa_arena_room(void)
{
	const struct fa_arena_answer *a = &fa_arena_head()->answer;
	uint64_t segments = __atomic_load_n(&a->segments, __ATOMIC_RELAXED);
	uint64_t mapped = __atomic_load_n(&fa_arena.mapped, __ATOMIC_RELAXED);

	return (segments << 8 | mapped) << 32 | __atomic_load_n(&a->freed, __ATOMIC_ACQUIRE);
}
/* So much private memory is ours: for who looks at the process from outside. */
void fa_arena_say_own(uint64_t bytes);
void fa_arena_count_lost(enum fa_lost_cause cause, uint64_t events);

/* Is there, or may there come, a segment that we have not? */
bool fa_arena_may_grow(void);

/* Segments whose contents will be read: the first so many of ours. */
uint32_t fa_arena_usable(void);
/* One segment more, unless one is still under way. Never waits. */
void fa_arena_grow(void);

/* nodes.c. The id of (parent, pc), made when new; 0 when no node is left. in_need: those that are kept back for
 * stacks that were refused may be used. */
uint32_t fa_arena_node(uint32_t parent, uint64_t pc, uint32_t marks, bool in_need);
uint32_t fa_arena_module(const struct fa_module_seen *seen);

/* The clock of stamps, and CLOCK_MONOTONIC ns without a system call (0: not to be had). */
void fa_clock_init(void);
void fa_clock_begin(uint32_t source); /* the same, when somebody else knows what the kernel trusts */
uint32_t fa_clock_source(void);
uint64_t fa_clock_mono_ns(void);
uint64_t fa_clock_real_seconds(void);
void fa_clock_forbid(void); /* from here on no clock may be read: it would be answered by SIGSEGV */
bool fa_clock_is_forbidden(void);

static FA_INLINE uint64_t fa_rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

uint64_t fa_stamp_otherwise(void);

/* A stamp, never 0. Images that may not read a clock get the time of the collector's last tick. */
static FA_INLINE uint64_t fa_stamp(void)
{
	return FA_LIKELY(fa_arena.by_tsc) ? fa_rdtsc() : fa_stamp_otherwise();
}

#endif
