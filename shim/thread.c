/* thread.c - memory of threads, and where their stacks lie. */
#include "shim/thread.h"

#include <assert.h>
#include <linux/futex.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "shim/careful.h"
#include "shim/stack.h"
#include "shim/sys.h"

extern void *__libc_stack_end __attribute__((weak));

/* All that were ever made, newest first; never removed. */
static struct fa_thread *all;
uint32_t fa_thread_count;
static uint64_t mapped;     /* bytes, for all of them */
static uint64_t main_stack; /* bytes that the main thread's stack may have */

/*
 * glibc keeps where a thread's stack begins and how long it is in two adjacent words of struct
 * pthread, behind the thread pointer; their offset depends on the version, what they say does not:
 * a page-aligned block in which the thread pointer itself lies near the end.
 */
static uint64_t stack_of_thread(uint64_t tp)
{
	const uint64_t *word = (const uint64_t *)tp;

	for (unsigned i = 0x200 / 8; i < 0x8f0 / 8; i++) {
		uint64_t lo = word[i], size = word[i + 1];

		if (lo != 0 && (lo & 4095) == 0 && (size & 4095) == 0 && lo < tp &&
		    size < 1ULL << 40 && lo + size > tp && lo + size <= tp + 0x3000)
			return lo;
	}
	return 0;
}

void fa_thread_init(bool may_ask)
{
	struct rlimit limit = {8 << 20, 8 << 20};

	/* The kernel maps nothing else below the stack's end within its limit, and 128 MB in any case. */
	if ((may_ask && fa_sys_call4(SYS_prlimit64, 0, RLIMIT_STACK, 0, (long)&limit) != 0) ||
	    limit.rlim_cur > 128 << 20)
		limit.rlim_cur = 128 << 20;
	main_stack = limit.rlim_cur;
}

static void find_stack(struct fa_thread *t)
{
	uint64_t end = &__libc_stack_end == NULL ? 0 : (uint64_t)__libc_stack_end;

	t->stack_lo = 0;
	t->stack_hi = 0;
	if (t->tid != fa_arena.pid) {
		t->stack_lo = stack_of_thread(t->thread_pointer);
		t->stack_hi = t->stack_lo == 0 ? 0 : t->thread_pointer;
		return;
	}
	if (end != 0) {
		t->stack_hi = end;
		t->stack_lo = end - main_stack;
	}
}

struct fa_stack_bounds fa_thread_bounds(const struct fa_thread *t, uint64_t sp)
{
	struct fa_stack_bounds b = {0, 0};

	if (sp >= t->stack_lo && sp < t->stack_hi) {
		b.lo = sp - 8;
		b.hi = t->stack_hi;
	}
	return b;
}

/* A program whose address space is limited (RLIMIT_AS) needs it for its own threads. */
static bool is_short_of_space(void)
{
	return fa_arena.most < FA_ARENA_SPAN;
}

static_assert(sizeof(struct fa_thread) + 4096 + 2 * FA_UNWIND_THREAD_BYTES <= FA_OWN_STEP,
	      "a thread's block fits a step");

static size_t head_size(void)
{
	size_t n = is_short_of_space() ? offsetof(struct fa_thread, recalls.walk[FA_RECALLS_FEW])
				       : sizeof(struct fa_thread);

	return (n + 4095) & ~(size_t)4095;
}

static struct fa_unwind_thread *unwind_of(struct fa_thread *t, size_t bytes, unsigned i)
{
	size_t at = bytes - (2 - i) * (size_t)FA_UNWIND_THREAD_BYTES;

	return (struct fa_unwind_thread *)(void *)((unsigned char *)t + at);
}

static void lay_out(struct fa_thread *t, size_t bytes, uint32_t shift)
{
	t->bytes = bytes;
	t->recalls.shift = shift;
	for (unsigned i = 0; i < 2; i++) {
		t->unwind[i] = unwind_of(t, bytes, i);
		t->writer[i].nested = i << 31;
	}
}

/*
 * Pages that the first few stacks need, at once: else each costs a fault, and most of them two, since they are read
 * before they are written. For a program's first thread, which most short lives are; others have theirs as they come.
 */
static void fault_in(struct fa_thread *t, size_t bytes)
{
	(void)fa_advise(t, offsetof(struct fa_thread, recalls.walk), FA_MADV_POPULATE_WRITE);
	(void)fa_advise(unwind_of(t, bytes, 0), FA_UNWIND_THREAD_USUAL, FA_MADV_POPULATE_WRITE);
}

static struct fa_thread *new_block(void)
{
	size_t bytes = head_size() + 2 * (size_t)FA_UNWIND_THREAD_BYTES;
	static uint32_t made;
	uint64_t wish = FA_OWN_BASE +
			__atomic_fetch_add(&made, 1, __ATOMIC_RELAXED) * FA_OWN_STEP;
	/* A wish, not an order: elsewhere will do. */
	struct fa_thread *t = fa_sys_mmap((void *)(wish < FA_OWN_END ? wish : 0), bytes,
					  PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (fa_sys_failed((long)t))
		return NULL;
	__atomic_fetch_add(&mapped, bytes, __ATOMIC_RELAXED);
	if (wish == FA_OWN_BASE)
		fault_in(t, bytes);
	lay_out(t, bytes, is_short_of_space() ? 2 : 0);
	t->thread_pointer = fa_thread_pointer();
	t->next = __atomic_load_n(&all, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&all, &t->next, t, false, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
	return t;
}

uint64_t fa_thread_bytes(void)
{
	return __atomic_load_n(&mapped, __ATOMIC_RELAXED);
}

/*
 * The more often, the longer. Where there are more threads, who waits must sleep: hundreds that spin
 * keep the processors from the one that is mapping a segment. They sleep by the very call by which
 * malloc's own locks wait, with more than one thread only; any other may be forbidden to the program.
 */
void fa_thread_pause(unsigned turn)
{
	const unsigned spins = 4;
	uint32_t word = 0;
	struct timespec nap = {0, 50000};

	if (turn >= spins && fa_thread_many()) {
		nap.tv_nsec <<= turn - spins < 5 ? turn - spins : 5;
		(void)fa_sys_call4(SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, 0, (long)&nap);
		return;
	}
	for (int i = 0; i < 64; i++)
		__asm__ volatile("pause");
}

void fa_writer_reset(struct fa_writer *w)
{
	uint32_t nested = w->nested;

	*w = (struct fa_writer){.nested = nested};
}

bool fa_buffer_leave(struct fa_arena_buffer *b, uint32_t generation)
{
	/* Its owner has ended, and it may be another's by now. */
	if (__atomic_load_n(&b->generation, __ATOMIC_RELAXED) != generation)
		return false;
	return __atomic_load_n(&b->sharers, __ATOMIC_ACQUIRE) == 0 ||
	       __atomic_fetch_sub(&b->sharers, 1, __ATOMIC_ACQ_REL) == 0;
}

void fa_writer_disown(struct fa_writer *w)
{
	struct fa_arena_buffer *b = w->shared ? w->buffer : NULL;
	uint32_t generation = w->generation;

	fa_writer_reset(w);
	__asm__ volatile("" : : : "memory");
	if (b != NULL && fa_buffer_leave(b, generation))
		__atomic_store_n(&b->state, FA_BUFFER_FULL, __ATOMIC_RELEASE);
}

/* A child that is never heard of again (fork fails, it execs) costs the buffer until its owner ends; what is
 * committed in it is read in any case. Shared already: this child takes its part as well. */
void fa_thread_before_fork(struct fa_thread *t)
{
	for (unsigned i = 0; i < 2; i++) {
		struct fa_writer *w = &t->writer[i];
		struct fa_arena_buffer *b = w->buffer;

		w->alloc_in = 0;
		if (b == NULL || !(w->shared || (w->guard != 0 && w->end != NULL)))
			continue;
		if (!w->shared)
			w->generation = __atomic_load_n(&b->generation, __ATOMIC_RELAXED);
		w->shared = 1;
		w->end = NULL;
		__atomic_fetch_add(&b->sharers, 1, __ATOMIC_ACQ_REL);
	}
}

/* The frame of a hook that lies below ours is no more. */
static bool was_left(const struct fa_writer *w, uint64_t here)
{
	uint64_t frame = w->guard & ~(uint64_t)FA_GUARD_DISOWNED;

	return frame < here && here - frame < 64 << 10;
}

bool fa_thread_all_out(struct fa_thread *t)
{
	uint64_t here = (uint64_t)__builtin_frame_address(0);

	for (unsigned i = 0; t != NULL && i < 2; i++)
		if (t->writer[i].guard != 0 && was_left(&t->writer[i], here))
			fa_writer_reset(&t->writer[i]);
	for (struct fa_thread *o = __atomic_load_n(&all, __ATOMIC_ACQUIRE); o != NULL; o = o->next)
		for (unsigned i = 0; i < 2; i++)
			if (__atomic_load_n(&o->writer[i].guard, __ATOMIC_ACQUIRE) != 0)
				return false;
	return true;
}

/*
 * What of it names nodes and buffers of the old arena is in all its parts: so new pages, where there can be.
 * A hook that saw the process active long ago and comes only now finds no room, and looks again.
 */
static void renew_one(struct fa_thread *t)
{
	uint64_t thread_pointer = t->thread_pointer, lo = t->stack_lo, hi = t->stack_hi;
	struct fa_thread *next = t->next;
	int32_t tid = t->tid;
	size_t bytes = t->bytes;
	uint32_t shift = t->recalls.shift;

	for (unsigned i = 0; i < 2; i++)
		__atomic_store_n(&t->writer[i].end, NULL, __ATOMIC_SEQ_CST);
	if (fa_sys_failed((long)fa_sys_mmap(t, bytes, PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
					    -1, 0)))
		memset(t, 0, bytes);
	t->next = next;
	t->thread_pointer = thread_pointer;
	t->stack_lo = lo;
	t->stack_hi = hi;
	t->tid = tid;
	t->serial = (uint32_t)FA_SERIAL_NONE;
	lay_out(t, bytes, shift);
}

void fa_thread_number(struct fa_thread *t, int32_t tid)
{
	t->tid = tid;
	t->serial = fa_arena_next_thread();
}

void fa_thread_renew(void)
{
	for (struct fa_thread *t = __atomic_load_n(&all, __ATOMIC_ACQUIRE); t != NULL; t = t->next)
		renew_one(t);
}

void fa_thread_alone(const struct fa_thread *t)
{
	for (struct fa_thread *o = __atomic_load_n(&all, __ATOMIC_ACQUIRE); o != NULL; o = o->next)
		for (unsigned i = 0; i < 2 && o != t; i++)
			fa_writer_reset(&o->writer[i]);
	/* A filter may stand soon that knows of no others. */
	fa_thread_count = t != NULL;
}

void fa_thread_fork(struct fa_thread *t, int32_t tid)
{
	fa_thread_alone(t);
	if (t == NULL)
		return;
	for (unsigned i = 0; i < 2; i++) {
		if (t->writer[i].guard != 0)
			t->writer[i].guard |= FA_GUARD_DISOWNED;
		else
			fa_writer_disown(&t->writer[i]);
	}
	t->tid = tid;
	t->serial = fa_arena_next_thread();
	t->known = 0;
}

struct fa_thread *fa_thread_make(int32_t tid)
{
	uint64_t tp = fa_thread_pointer();
	struct fa_thread *t = __atomic_load_n(&all, __ATOMIC_ACQUIRE);

	while (t != NULL && t->thread_pointer != tp)
		t = t->next;
	if (t == NULL)
		t = new_block();
	if (t == NULL)
		return NULL;
	__atomic_fetch_add(&fa_thread_count, 1, __ATOMIC_RELAXED);
	/* The thread that had this thread pointer is gone; the collector takes its buffers back. */
	t->tid = tid;
	for (unsigned i = 0; i < 2; i++) {
		fa_writer_reset(&t->writer[i]);
		fa_unwind_forget(t->unwind[i]);
	}
	/* The serial is taken at the first event: threads are numbered as they come to the heap. */
	t->serial = fa_arena_next_thread();
	t->known = 0;
	t->loading = (struct fa_loading){0};
	fa_recall_nothing(&t->recalls);
	fa_stack_forget(t);
	find_stack(t);
	return t;
}
