/*
 * tracer.c - heap calls to events.
 *
 * Each hook calls the next definition and records what happened: an allocation after it returned, a
 * free before it is done, so that whoever gets the address next records later. A realloc is
 * recorded after it returned; that its old block may have been handed out again by then is known to
 * the replay.
 *
 * The guard. While an event is written, writer.guard holds the address of the hook's register
 * frame. A hook that finds it set is either in a signal handler that interrupted the writing (then
 * it writes to the thread's second stream), or a handler has left by siglongjmp: then our frame is
 * at or above the guard's on the same stack, what was written was never committed, and the writer is
 * begun anew with a fresh buffer.
 */
#include "shim/tracer.h"

#include <link.h>

#include "shim/arena.h"
#include "shim/real.h"
#include "shim/state.h"
#include "shim/sys.h"
#include "shim/thread.h"

/* Two words of initial-exec TLS: a lazily built TLS block would call calloc from inside malloc. */
static _Thread_local struct fa_thread *self FA_INITIAL_EXEC;

static struct {
	bool tid_in_tcb; /* fa_tcb_tid() is right */
} tracer;

enum { MOST_UNSTAMPED = 255 };

unsigned fa_tracer_init(void)
{
	int (*find)(void *, void *) = (int (*)(void *, void *))(uintptr_t)fa_symbol_from(
		fa_objects(), "_dl_find_object");

	if (find == NULL)
		return FA_REASON_OLD_LIBC;
	tracer.tid_in_tcb = fa_tcb_tid() == fa_sys_getpid();
	return fa_unwind_init(find, fa_arena_module) == 0 ? 0 : FA_REASON_NO_MEMORY;
}

static int32_t own_tid(void)
{
	return tracer.tid_in_tcb ? fa_tcb_tid() : fa_sys_gettid();
}

bool fa_tracer_join(void)
{
	struct fa_thread *t = self;
	int32_t pid = own_tid();
	const struct fa_writer *w = t == NULL ? NULL : &t->writer[0];

	/* libc's fork keeps the id right; a raw clone leaves its parent's. */
	if (pid == fa_arena.pid)
		pid = fa_sys_getpid();
	if (pid == fa_arena.pid)
		return true;
	/* Our copy of the writer is as it was when the process forked. */
	if (w != NULL && w->buffer != NULL) {
		uint32_t done = (uint32_t)(w->at - (unsigned char *)w->buffer) - FA_BUFFER_HEADER;

		if (!fa_arena_join(pid, t->serial, w->buffer_seq - 1, done))
			return false;
	} else if (!fa_arena_join(pid, ~0u, 0, 0)) {
		return false;
	}
	firstalloc_process_block.pid = pid;
	if (t != NULL) {
		t->tid = pid;
		fa_thread_reset(t);
	}
	return true;
}

/* --- buffers ------------------------------------------------------------------------------ */

static void pause_a_little(void)
{
	for (int i = 0; i < 64; i++)
		__asm__ volatile("pause");
}

/*
 * Wait for a free buffer, as long as buffers are being freed (the collector's tick moves), at most
 * a second without that. Spinning, because any call that sleeps may be forbidden to the program;
 * the collector's timer gets it the processor soon enough.
 */
static struct fa_arena_buffer *wait_for_buffer(struct fa_thread *t, struct fa_writer *w)
{
	const struct fa_arena_answer *a = &fa_arena_head()->answer;
	uint32_t tick = __atomic_load_n(&a->tick, __ATOMIC_RELAXED);
	uint64_t since = fa_clock_mono_ns();

	if (w->lost != 0 && tick == w->tick)
		return NULL; /* has waited in vain already, and nothing has moved since */
	for (;;) {
		struct fa_arena_buffer *b =
			fa_arena_take_buffer(t->serial | w->nested, t->tid, w->buffer_seq, w->lost,
					     w->state.stamp);
		uint32_t now = __atomic_load_n(&a->tick, __ATOMIC_RELAXED);

		if (b != NULL || t->tid == 1 ||
		    __atomic_load_n(&a->policy, __ATOMIC_RELAXED) == FA_POLICY_COUNT ||
		    __atomic_load_n(&a->word, __ATOMIC_RELAXED) == FA_ANSWER_DETACHED)
			return b;
		if (now != tick) {
			tick = now;
			since = fa_clock_mono_ns();
		} else if (fa_clock_mono_ns() - since > 1000000000 || since == 0) {
			w->tick = tick;
			return NULL;
		}
		pause_a_little();
	}
}

/* Hand the buffer over and begin another. false: there is none, the event is lost and counted. */
static FA_NOINLINE bool next_buffer(struct fa_thread *t, struct fa_writer *w)
{
	struct fa_arena_buffer *b;

	if (w->buffer != NULL)
		__atomic_store_n(&w->buffer->state, FA_BUFFER_FULL, __ATOMIC_RELEASE);
	w->buffer = NULL;
	w->at = NULL;
	w->end = NULL;
	w->state.addr = 0;
	w->state.stack = 0;
	w->state.stamp = fa_stamp();
	b = wait_for_buffer(t, w);
	if (b == NULL) {
		w->lost++;
		fa_arena_count_lost(FA_LOST_NO_BUFFER, 1);
		return false;
	}
	w->buffer = b;
	w->buffer_seq++;
	w->committed = &b->committed;
	w->at = (unsigned char *)b + FA_BUFFER_HEADER;
	w->end = (unsigned char *)b + FA_BUFFER_SIZE - FA_EVENT_MAX - FA_EVENT_SLACK;
	w->unstamped = 0;
	return true;
}

static FA_INLINE bool has_room(struct fa_thread *t, struct fa_writer *w)
{
	return FA_LIKELY(w->at < w->end) || next_buffer(t, w);
}

/* The state is read again: in a child of a fork that a handler made just now, it is no longer ours. */
static FA_INLINE void commit(struct fa_writer *w, unsigned bytes)
{
	if (FA_UNLIKELY(fa_state_now() != FA_ACTIVE))
		return;
	w->at += bytes;
	__atomic_store_n(w->committed,
			 (uint32_t)(w->at - (unsigned char *)w->buffer) - FA_BUFFER_HEADER,
			 __ATOMIC_RELEASE);
}

/* --- entering and leaving ----------------------------------------------------------------- */

static void begin_anew(struct fa_writer *w)
{
	/* What the abandoned hook left half done is not to be built on. */
	if (w->buffer != NULL)
		__atomic_store_n(&w->buffer->state, FA_BUFFER_FULL, __ATOMIC_RELEASE);
	w->buffer = NULL;
	w->at = NULL;
	w->end = NULL;
}

/* Is the hook that set the guard gone for good? Only the same stack can tell. */
static bool is_abandoned(const struct fa_thread *t, const struct fa_writer *w, uint64_t frame)
{
	bool own_guard = w->guard >= t->stack_lo && w->guard < t->stack_hi;
	bool own_frame = frame >= t->stack_lo && frame < t->stack_hi;

	return own_guard == own_frame && frame >= w->guard;
}

static FA_NOINLINE struct fa_writer *enter_slow(const struct fa_regs *regs)
{
	struct fa_thread *t = self;
	uint64_t frame = (uint64_t)regs;

	if (t == NULL) {
		t = fa_thread_make();
		if (t == NULL) {
			fa_arena_count_lost(FA_LOST_NO_MEMORY, 1);
			return NULL;
		}
		t->tid = own_tid();
		self = t;
	}
	for (unsigned i = 0; i < 2; i++) {
		struct fa_writer *w = &t->writer[i];

		if (w->guard != 0 && is_abandoned(t, w, frame)) {
			w->guard = 0;
			begin_anew(w);
			t->known = 0;
		}
		if (w->guard == 0) {
			w->guard = frame;
			__asm__ volatile("" : : : "memory");
			return w;
		}
	}
	fa_arena_count_lost(FA_LOST_NESTED, 1);
	return NULL;
}

static FA_INLINE struct fa_writer *enter(const struct fa_regs *regs)
{
	struct fa_thread *t = self;

	if (FA_UNLIKELY(t == NULL || t->writer[0].guard != 0))
		return enter_slow(regs);
	t->writer[0].guard = (uint64_t)regs;
	__asm__ volatile("" : : : "memory");
	return &t->writer[0];
}

static FA_INLINE void leave(struct fa_writer *w)
{
	__asm__ volatile("" : : : "memory");
	w->guard = 0;
}

/* The collector moved its tick: has it anything to say? */
static FA_NOINLINE void look_at_answer(struct fa_writer *w)
{
	const struct fa_arena_answer *a = &fa_arena_head()->answer;

	w->tick = __atomic_load_n(&a->tick, __ATOMIC_RELAXED);
	if (__atomic_load_n(&a->word, __ATOMIC_RELAXED) == FA_ANSWER_DETACHED &&
	    fa_state_now() == FA_ACTIVE) {
		firstalloc_process_block.reason = FA_REASON_ENDED;
		fa_state_set(FA_DORMANT);
	}
}

static FA_INLINE bool ticked(const struct fa_writer *w)
{
	return __atomic_load_n(&fa_arena_head()->answer.tick, __ATOMIC_RELAXED) != w->tick;
}

/* --- stacks ------------------------------------------------------------------------------- */

/* The stack id: frames from `i` on are looked up, outermost first; ids are kept in node[], if any. */
static uint32_t intern(const struct fa_stack_view *v, uint32_t i, uint32_t parent, uint32_t *node,
		       uint32_t *ret_known)
{
	for (; i < v->depth; i++) {
		uint32_t marks = i == 0 ? v->marks : 0;
		uint32_t id;

		if (v->frame_marks != NULL)
			marks |= v->frame_marks[i];
		id = fa_arena_node(parent, v->pc[i], marks);
		if (id == 0)
			break; /* the table is full: the stack ends here, and was counted */
		if (node != NULL)
			node[i] = id;
		parent = id;
	}
	*ret_known = i;
	return parent;
}

static FA_NOINLINE uint32_t take_nested_stack(struct fa_thread *t, const struct fa_regs *regs,
					      const struct fa_stack_bounds *bounds)
{
	struct fa_stack_view v;
	uint32_t known;

	fa_unwind(t->unwind[1], regs, bounds, fa_arena.wish.depth, &v);
	return intern(&v, 0, 0, NULL, &known);
}

static FA_INLINE uint32_t take_stack(struct fa_writer *w, const struct fa_regs *regs)
{
	struct fa_thread *t = self;
	struct fa_stack_bounds bounds = fa_thread_bounds(t, regs->rsp);
	struct fa_stack_view v;
	struct fa_stack_entry *e;

	if (FA_UNLIKELY(w->nested != 0))
		return take_nested_stack(t, regs, &bounds);
	fa_unwind(t->unwind[0], regs, &bounds, fa_arena.wish.depth, &v);
	/* The ids of changed frames are not known until they are looked up. */
	if (v.common < t->known)
		t->known = v.common;
	e = &t->cache[v.hash % FA_STACK_CACHE];
	if (FA_UNLIKELY(e->hash != v.hash)) {
		e->hash = 0;
		e->id = intern(&v, t->known, t->known == 0 ? 0 : t->node[t->known - 1], t->node,
			       &t->known);
		e->hash = v.hash;
	}
	return e->id;
}

/* --- events ------------------------------------------------------------------------------- */

static FA_INLINE uint32_t stack_for(struct fa_writer *w, const struct fa_regs *regs, uint32_t event)
{
	return (fa_arena.wish.stacks & event) != 0 ? take_stack(w, regs) : 0;
}

static FA_NOINLINE void record_alloc(const struct fa_regs *regs, const void *p, size_t size,
				     unsigned fn, unsigned align_log2)
{
	struct fa_writer *w = enter(regs);
	uint32_t stack;
	unsigned n;

	if (w == NULL)
		return;
	if (ticked(w))
		look_at_answer(w);
	if (!has_room(self, w))
		goto out;
	stack = stack_for(w, regs, FA_STACK_ALLOC);
	if (FA_LIKELY(fn == FA_FN_MALLOC))
		n = fa_event_put_alloc(w->at, &w->state, (uint64_t)p, size, fa_stamp(), stack != 0,
				       stack);
	else
		n = fa_event_put_alloc_fn(w->at, &w->state, (uint64_t)p, size, fa_stamp(),
					  stack != 0, stack, fn, align_log2);
	w->unstamped = 0;
	commit(w, n);
out:
	leave(w);
}

static FA_NOINLINE void record_free(const struct fa_regs *regs, const void *p)
{
	struct fa_writer *w = enter(regs);
	uint64_t stamp = 0;
	uint32_t stack;

	if (w == NULL)
		return;
	if (ticked(w)) {
		look_at_answer(w);
		w->unstamped = MOST_UNSTAMPED;
	}
	if (!has_room(self, w))
		goto out;
	if (++w->unstamped > MOST_UNSTAMPED || fa_arena.wish.stamp_mode == FA_STAMP_ALL) {
		stamp = fa_stamp();
		w->unstamped = 0;
	}
	stack = stack_for(w, regs, FA_STACK_FREE);
	commit(w, fa_event_put_free(w->at, &w->state, (uint64_t)p, stamp, stack != 0, stack));
out:
	leave(w);
}

static FA_NOINLINE void record_realloc(const struct fa_regs *regs, uint64_t old, const void *p,
				       size_t size, int is_array)
{
	struct fa_writer *w = enter(regs);
	uint32_t stack;

	if (w == NULL)
		return;
	if (ticked(w))
		look_at_answer(w);
	if (!has_room(self, w))
		goto out;
	stack = stack_for(w, regs, FA_STACK_REALLOC);
	w->unstamped = 0;
	commit(w, fa_event_put_realloc(w->at, &w->state, old, (uint64_t)p, size, fa_stamp(),
				       stack != 0, stack, is_array));
out:
	leave(w);
}

/* --- hooks -------------------------------------------------------------------------------- */

/* Is this call to be recorded? Asks first where nothing is known yet. */
static FA_INLINE bool active(void)
{
	if (FA_UNLIKELY(fa_state_now() == FA_ASK))
		fa_ask();
	return fa_state_now() == FA_ACTIVE;
}

static unsigned log2_of(size_t alignment)
{
	return alignment == 0 ? 0 : 63 - (unsigned)__builtin_clzll(alignment);
}

static void *record_result(const struct fa_regs *regs, void *p, size_t size, unsigned fn,
			   size_t alignment)
{
	if (p != NULL)
		record_alloc(regs, p, size, fn, log2_of(alignment));
	return p;
}

void *fa_hook_malloc(size_t size, const struct fa_regs *regs)
{
	void *p;

	if (!active())
		return fa_real.malloc(size);
	p = fa_real.malloc(size);
	if (FA_LIKELY(p != NULL))
		record_alloc(regs, p, size, FA_FN_MALLOC, 0);
	return p;
}

void fa_hook_free(void *block, const struct fa_regs *regs)
{
	if (block != NULL && active())
		record_free(regs, block);
	fa_real.free(block);
}

void *fa_hook_calloc(size_t count, size_t size, const struct fa_regs *regs)
{
	if (!active())
		return fa_real.calloc(count, size);
	return record_result(regs, fa_real.calloc(count, size), count * size, FA_FN_CALLOC, 0);
}

static void *resize(void *block, size_t size, const struct fa_regs *regs, int is_array)
{
	void *p = fa_real.realloc(block, size);

	/* NULL means failure, but for realloc(p, 0): then the block is gone. */
	if (p != NULL || (block != NULL && size == 0))
		record_realloc(regs, (uint64_t)block, p, size, is_array);
	return p;
}

void *fa_hook_realloc(void *block, size_t size, const struct fa_regs *regs)
{
	if (!active())
		return fa_real.realloc(block, size);
	return resize(block, size, regs, 0);
}

void *fa_hook_reallocarray(void *block, size_t count, size_t size, const struct fa_regs *regs)
{
	size_t bytes;

	/* The real one calls realloc, which is ours again; it is needed for its errno only. */
	if (!active() || __builtin_mul_overflow(count, size, &bytes))
		return fa_real.reallocarray(block, count, size);
	return resize(block, bytes, regs, 1);
}

int fa_hook_posix_memalign(void **ret, size_t alignment, size_t size, const struct fa_regs *regs)
{
	bool traced = active();
	int error = fa_real.posix_memalign(ret, alignment, size);

	if (traced && error == 0 && *ret != NULL)
		record_alloc(regs, *ret, size, FA_FN_POSIX_MEMALIGN, log2_of(alignment));
	return error;
}

void *fa_hook_aligned_alloc(size_t alignment, size_t size, const struct fa_regs *regs)
{
	if (!active())
		return fa_real.aligned_alloc(alignment, size);
	return record_result(regs, fa_real.aligned_alloc(alignment, size), size,
			     FA_FN_ALIGNED_ALLOC, alignment);
}

void *fa_hook_memalign(size_t alignment, size_t size, const struct fa_regs *regs)
{
	if (!active())
		return fa_real.memalign(alignment, size);
	return record_result(regs, fa_real.memalign(alignment, size), size, FA_FN_MEMALIGN,
			     alignment);
}

void *fa_hook_valloc(size_t size, const struct fa_regs *regs)
{
	if (!active())
		return fa_real.valloc(size);
	return record_result(regs, fa_real.valloc(size), size, FA_FN_VALLOC, FA_ARENA_PAGE);
}

void *fa_hook_pvalloc(size_t size, const struct fa_regs *regs)
{
	size_t pages = (size + FA_ARENA_PAGE - 1) & ~(size_t)(FA_ARENA_PAGE - 1);

	if (!active())
		return fa_real.pvalloc(size);
	return record_result(regs, fa_real.pvalloc(size), pages, FA_FN_PVALLOC, FA_ARENA_PAGE);
}

void fa_hook_free_sized(void *block, size_t size, const struct fa_regs *regs)
{
	if (block != NULL && active())
		record_free(regs, block);
	fa_real.free_sized(block, size);
}

void fa_hook_free_aligned_sized(void *block, size_t alignment, size_t size,
				const struct fa_regs *regs)
{
	if (block != NULL && active())
		record_free(regs, block);
	fa_real.free_aligned_sized(block, alignment, size);
}
