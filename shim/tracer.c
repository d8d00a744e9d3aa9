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
 * at or above the guard's on the same stack, or something else stands where the guard's frame was;
 * what was written was never committed, and the writer is begun anew with a fresh buffer.
 *
 * Forks in handlers. A child may come back out of the handler into a hook that was writing into the
 * parent's buffer. So just before bytes are put there, and again before they are committed, the hook
 * asks whether the buffer is still its own (is_ours); if not, it begins again as a hook of the child. Between
 * the two questions it writes the bytes that its parent writes, there and up to FA_EVENT_SLACK behind: so the parent
 * puts no event behind that one (fa_thread_before_fork).
 *
 * One file, though long: the quick ways at its end and the slow ones share what must be inlined into both.
 */
#include "shim/careful.h"
#include "shim/tracer.h"

#include <link.h>

#include "shim/arena.h"
#include "shim/real.h"
#include "shim/stack.h"
#include "shim/state.h"
#include "shim/sys.h"
#include "shim/table.h"
#include "shim/thread.h"
#include "shim/wake.h"
#include "shim/walk.h"

/* Two words of initial-exec TLS: a lazily built TLS block would call calloc from inside malloc. */
static _Thread_local struct fa_thread *self FA_INITIAL_EXEC;

static struct {
	bool tid_in_tcb; /* fa_tcb_tid() is right */
} tracer;

/* Frees in a row; allocations in a row, of a process of which one thread only has used the heap. */
enum { MOST_UNSTAMPED = 255, MOST_BARE = 7 };

/* How long to wait for a buffer: FA_WAIT_NS without progress; woken, until somebody comes; without hope but for a dead
 * thread's, in all. */
static const uint64_t WAIT_WOKEN_NS = 20000000, WAIT_DEAD_NS = 200000000, WAIT_ALL_NS = 2000000000;

/* Where it may not be asked it is believed when it looks like one. */
static bool has_tid_in_tcb(bool careful)
{
	const int32_t greatest = 4 << 20; /* PID_MAX_LIMIT */
	int32_t tid = fa_tcb_tid();

	return careful ? tid > 0 && tid <= greatest : tid == fa_sys_gettid();
}

unsigned fa_tracer_init(int32_t pid, bool careful)
{
	int (*find)(void *, void *) =
		(int (*)(void *, void *))(uintptr_t)fa_startup_symbol("_dl_find_object");

	if (find == NULL)
		return FA_REASON_OLD_LIBC;
	tracer.tid_in_tcb = fa_tcb_tid() == pid || has_tid_in_tcb(careful);
	if ((careful || fa_care != FA_CARE_NONE) && !tracer.tid_in_tcb)
		return FA_REASON_FILTERED;
	fa_thread_init(!careful);
	return fa_unwind_init(find, fa_arena_module) == 0 ? 0 : FA_REASON_NO_MEMORY;
}

static int32_t own_tid(void)
{
	return tracer.tid_in_tcb ? fa_tcb_tid() : fa_sys_gettid();
}

bool fa_tracer_is_out(void)
{
	return fa_thread_all_out(self);
}

void fa_tracer_alone(void)
{
	fa_thread_alone(self);
}

void fa_tracer_renew(void)
{
	fa_thread_renew();
	fa_unwind_reset();
	fa_loader_reset();
}

bool fa_tracer_join(void)
{
	struct fa_thread *t = self;
	int32_t pid = own_tid();
	const struct fa_writer *w = t == NULL ? NULL : &t->writer[0];

	/* libc's fork keeps the id right; a raw clone leaves its parent's. The same number again may also be
	 * that of a child in another pid namespace. */
	if (pid == fa_arena.pid || (t != NULL && pid == t->tid))
		pid = fa_sys_getpid();
	/* Our copy of the writer is as it was when the process forked. */
	if (w != NULL && (w->guard & FA_GUARD_DISOWNED) == 0 &&
	    w->at > (unsigned char *)w->buffer) {
		uint32_t done = (uint32_t)(w->at - (unsigned char *)w->buffer) - FA_BUFFER_HEADER;

		if (!fa_arena_join(pid, t->serial, w->buffer_seq - 1, done))
			return false;
	} else if (!fa_arena_join(pid, ~0u, 0, 0)) {
		return false;
	}
	firstalloc_process_block.pid = pid;
	fa_thread_fork(t, pid);
	fa_loader_fork(t == NULL ? NULL : &t->loading);
	return true;
}

bool fa_tracer_has_forked(void)
{
	return self != NULL ? self->tid != fa_tcb_tid()
			    : fa_sys_getpid() != firstalloc_process_block.pid;
}

void fa_tracer_before_fork(void)
{
	if (self != NULL)
		fa_thread_before_fork(self);
}

/* --- buffers ------------------------------------------------------------------------------ */

/* Is the writer, and its buffer, still this hook's own? Not so in the child of a fork that a handler made
 * meanwhile, nor when the hook was taken for abandoned, nor when the session has ended. */
static FA_INLINE bool is_ours(const struct fa_writer *w, const struct fa_regs *regs)
{
	return fa_state_now() == FA_ACTIVE && w->guard == (uint64_t)regs;
}

/*
 * Wait for a free buffer: at most a second in which none was given back, and two in all. Where no
 * buffer waits to be read, and none can be added, only a dead thread's can come: that is soon or never.
 * Who has waited in vain has done so for all, until the collector gives a buffer back.
 */
static struct fa_arena_buffer *wait_for_buffer(struct fa_thread *t, struct fa_writer *w,
					       const struct fa_regs *regs)
{
	static uint64_t in_vain; /* what `freed` was then, and 1 << 32 */
	const unsigned look_anyway = 16;
	const struct fa_arena_answer *a = &fa_arena_head()->answer;
	uint32_t freed = __atomic_load_n(&a->freed, __ATOMIC_RELAXED);
	uint64_t begin = 0, since = 0, seen = 0;
	bool may_come = true;

	for (unsigned turn = 0; is_ours(w, regs); turn++) {
		struct fa_arena_buffer *b = NULL;
		uint64_t room = fa_arena_room(), limit = FA_WAIT_NS;
		uint32_t now = (uint32_t)room, word;
		uint64_t time;

		/* All buffers are looked at again only when there is a reason to. */
		if (room != seen || turn % look_anyway == 0)
			b = fa_arena_take_buffer(t->serial | w->nested, t->tid, w->buffer_seq,
						 w->lost, w->state.stamp, &w->taken, &may_come);
		seen = room;
		word = __atomic_load_n(&a->word, __ATOMIC_RELAXED);
		if (__atomic_load_n(&a->policy, __ATOMIC_RELAXED) == FA_POLICY_COUNT)
			limit = word == FA_ANSWER_NONE ? WAIT_WOKEN_NS : 0;
		else if (!may_come)
			limit = WAIT_DEAD_NS;
		if (b != NULL || fa_arena.pid == 1 || limit == 0 || word == FA_ANSWER_DETACHED ||
		    __atomic_load_n(&in_vain, __ATOMIC_RELAXED) == (1ULL << 32 | now))
			return b;
		time = fa_clock_mono_ns();
		if (since == 0)
			begin = time;
		if (since == 0 || now != freed)
			since = time;
		freed = now;
		if (time == 0 || time - since > limit || time - begin > WAIT_ALL_NS) {
			__atomic_store_n(&in_vain, 1ULL << 32 | now, __ATOMIC_RELAXED);
			return NULL;
		}
		fa_thread_pause(turn);
	}
	return NULL;
}

/*
 * Hand the buffer over. It is let go before: if a handler interrupts us here and leaves by siglongjmp, it must
 * not be handed over once more when it may be another's already. What is committed in it is read in any case.
 */
static void hand_over(struct fa_writer *w)
{
	struct fa_arena_buffer *b = w->buffer;
	bool shared = w->shared;

	w->at = NULL;
	w->end = NULL;
	__asm__ volatile("" : : : "memory");
	w->buffer = NULL;
	w->shared = 0;
	if (w->taken == b)
		w->taken = NULL;
	__asm__ volatile("" : : : "memory");
	/* A child of a fork that came in here has nothing to hand over but its part. */
	if (b != NULL && (shared ? fa_buffer_leave(b, w->generation) : fa_state_now() != FA_ASK))
		__atomic_store_n(&b->state, FA_BUFFER_FULL, __ATOMIC_RELEASE);
}

/* What stamp_in begins with after a stamp. */
static FA_INLINE uint32_t stamp_again(void)
{
	return fa_arena.wish.stamp_mode == FA_STAMP_ALL ? 1 : MOST_UNSTAMPED + 1;
}

/* What alloc_in begins with then. */
static FA_INLINE int32_t alloc_again(void)
{
	return fa_arena.wish.stamp_mode == FA_STAMP_ALL ? 1 : MOST_BARE + 1;
}

/*
 * A stamp tells where in the order of several threads an event has its place. As long as there is one thread, its own
 * order is all there is, and a few allocations may do without. Asked when the allocation has returned: whoever gave its
 * block back from another thread was counted before he recorded that.
 */
static FA_INLINE bool goes_bare(const struct fa_writer *w)
{
	return w->alloc_in > 1 && !fa_thread_many();
}

/* Hand the buffer over and begin another. false: there is none; unless a fork came between (is_ours),
 * the event is lost and counted. */
static FA_NOINLINE bool next_buffer(struct fa_thread *t, struct fa_writer *w,
				    const struct fa_regs *regs)
{
	struct fa_arena_buffer *b;

	if (!is_ours(w, regs))
		return false;
	if (t->serial == (uint32_t)FA_SERIAL_NONE)
		fa_thread_number(t, own_tid());
	hand_over(w);
	w->state.addr = 0;
	w->state.stack = 0;
	/* Handlers leave by siglongjmp here more often than anywhere else: at the end of a page fault, and of a wait. */
	b = w->taken;
	if (b == NULL || !fa_arena_has_taken(b, t->serial | w->nested)) {
		w->taken = NULL;
		w->state.stamp = fa_stamp();
		b = wait_for_buffer(t, w, regs);
	}
	if (!is_ours(w, regs))
		return false;
	if (b == NULL) {
		w->lost++;
		fa_thread_count_lost(t, FA_LOST_NO_BUFFER);
		fa_wake_unanswered();
		return false;
	}
	/* So that no page fault, at whose end signals come, falls between a check and what it guards. */
	for (uint32_t i = 0; i < FA_BUFFER_SIZE; i += FA_ARENA_PAGE)
		__asm__ volatile("addb $0, %0" : "+m"(((unsigned char *)b)[i + FA_BUFFER_HEADER]));
	w->buffer = b;
	w->buffer_seq++;
	w->taken = NULL;
	w->committed = &b->committed;
	w->begin = (unsigned char *)b + FA_BUFFER_HEADER;
	w->at = w->begin;
	w->stamp_in = stamp_again();
	/* Last: who interrupts us here may fork, and take what he finds for our place in the stream. */
	w->end = (unsigned char *)b + FA_BUFFER_SIZE - FA_EVENT_MAX - FA_EVENT_SLACK;
	return true;
}

static FA_INLINE bool has_room(struct fa_thread *t, struct fa_writer *w, const struct fa_regs *regs)
{
	return FA_LIKELY(w->at < w->end) || next_buffer(t, w, regs);
}

/* Before the bytes of an event are put at w->at, all that they depend on being known: from here on a
 * child of a fork would put the same bytes there as its parent. */
static FA_INLINE bool may_put(const struct fa_writer *w, const struct fa_regs *regs)
{
	bool yes;

	__asm__ volatile("" : : : "memory");
	yes = is_ours(w, regs);
	__asm__ volatile("" : : : "memory");
	return yes;
}

/* What was put ends at `end`. false: not done, see is_ours(). */
static FA_INLINE bool commit(struct fa_writer *w, const struct fa_regs *regs, unsigned char *end)
{
	if (FA_UNLIKELY(!may_put(w, regs)))
		return false;
	w->at = end;
	__atomic_store_n(w->committed, (uint32_t)(end - w->begin), __ATOMIC_RELEASE);
	return true;
}

/* --- entering and leaving ----------------------------------------------------------------- */

static void begin_anew(struct fa_writer *w)
{
	/* What the abandoned hook left half done is not to be built on. */
	if ((w->guard & FA_GUARD_DISOWNED) != 0) {
		fa_writer_disown(w);
		return;
	}
	hand_over(w);
	w->guard = 0;
}

static bool is_on_stack(const struct fa_thread *t, uint64_t address)
{
	return address >= t->stack_lo && address < t->stack_hi;
}

/* Can [from, from + size) be read, as far as the kernel can be asked? (Since Linux 5.14.) */
static bool may_be_readable(uint64_t from, uint64_t size)
{
	uint64_t page = from & ~(uint64_t)(FA_ARENA_PAGE - 1);
	int r = fa_advise((void *)page, from + size - page, FA_MADV_POPULATE_READ);

	return r == 0;
}

/* Does the frame that set the guard stand as it did? Nobody changes the frame of a hook at work. */
static bool is_intact(const struct fa_thread *t, const struct fa_writer *w, uint64_t frame)
{
	uint64_t guard = w->guard & ~(uint64_t)FA_GUARD_DISOWNED;
	const struct fa_regs *r = (const struct fa_regs *)guard;

	/* Another stack may have been unmapped since. */
	if (!(is_on_stack(t, guard) && is_on_stack(t, frame)) &&
	    !may_be_readable(guard, sizeof(*r)))
		return false;
	return r->rip == w->guard_rip && r->rsp == guard + sizeof(*r) + 8;
}

/*
 * Is the hook that set the guard gone for good? On the same stack it is when our frame is not inside of
 * it; or when its own is no more: a handler has left by siglongjmp, and others stand there now.
 */
static bool is_abandoned(const struct fa_thread *t, const struct fa_writer *w, uint64_t frame)
{
	if (is_on_stack(t, w->guard) == is_on_stack(t, frame) && t->stack_hi != 0 &&
	    frame >= (w->guard & ~(uint64_t)FA_GUARD_DISOWNED) && is_on_stack(t, frame))
		return true;
	return !is_intact(t, w, frame);
}

static FA_NOINLINE struct fa_writer *enter_slow(const struct fa_regs *regs)
{
	struct fa_thread *t = self;
	uint64_t frame = (uint64_t)regs;

	if (t == NULL) {
		t = fa_thread_make(own_tid());
		if (t == NULL) {
			fa_arena_count_lost(FA_LOST_NO_MEMORY, 1);
			return NULL;
		}
		self = t;
	}
	for (unsigned i = 0; i < 2; i++) {
		struct fa_writer *w = &t->writer[i];

		if (w->guard != 0 && is_abandoned(t, w, frame)) {
			begin_anew(w);
			t->known = i == 0 ? 0 : t->known;
		}
		if (w->guard == 0) {
			/* What the handler's stream and this one's have in common has an order by stamps. */
			t->writer[0].alloc_in = 0;
			w->guard_rip = regs->rip;
			w->guard = frame;
			__asm__ volatile("" : : : "memory");
			return w;
		}
	}
	fa_thread_count_lost(t, FA_LOST_NESTED);
	return NULL;
}

static FA_INLINE struct fa_writer *set_guard(struct fa_thread *t, const struct fa_regs *regs)
{
	/* Not as one vector: it would have to be put together first. */
	__atomic_store_n(&t->writer[0].guard_rip, regs->rip, __ATOMIC_RELAXED);
	__atomic_store_n(&t->writer[0].guard, (uint64_t)regs, __ATOMIC_RELAXED);
	__asm__ volatile("" : : : "memory");
	return &t->writer[0];
}

static FA_INLINE struct fa_writer *enter(const struct fa_regs *regs)
{
	struct fa_thread *t = self;

	if (FA_UNLIKELY(t == NULL || t->writer[0].guard != 0))
		return enter_slow(regs);
	return set_guard(t, regs);
}

static FA_INLINE void leave(struct fa_writer *w, const struct fa_regs *regs)
{
	__asm__ volatile("" : : : "memory");
	if (FA_LIKELY(w->guard == (uint64_t)regs))
		w->guard = 0;
	else if (w->guard == ((uint64_t)regs | FA_GUARD_DISOWNED))
		fa_writer_disown(w);
}

/* Leaves. true: what was to be recorded was not, and is to be begun again: see is_ours(). */
static FA_NOINLINE bool again(struct fa_writer *w, const struct fa_regs *regs)
{
	bool ours = is_ours(w, regs);

	leave(w, regs);
	return !ours && fa_active();
}

/* The collector moved its tick: has it anything to say? */
static FA_NOINLINE void look_at_answer(struct fa_writer *w)
{
	w->tick = __atomic_load_n(&fa_arena_head()->answer.tick, __ATOMIC_RELAXED);
	if (fa_arena_is_over()) { /* its pages have been given back, and are not to be touched */
		fa_wake_end(FA_REASON_ENDED);
		return;
	}
	fa_arena_say_own(fa_thread_bytes() + fa_unwind_bytes());
	fa_stack_follow(self);
	fa_table_begin();
}

static FA_INLINE bool ticked(const struct fa_writer *w)
{
	return __atomic_load_n(&fa_arena_head()->answer.tick, __ATOMIC_RELAXED) != w->tick;
}

/* --- events ------------------------------------------------------------------------------- */

static FA_INLINE uint32_t stack_for(const struct fa_writer *w, const struct fa_regs *regs,
				    uint32_t event)
{
	return (fa_arena.wish.stacks & event) != 0 ? fa_stack_take(self, w->nested != 0, regs) : 0;
}

static FA_INLINE bool put_call(struct fa_writer *w, const struct fa_regs *regs, const struct fa_event *e)
{
	uint64_t stamp = fa_stamp();
	unsigned char *at = w->at;

	w->stamp_in = stamp_again();
	return may_put(w, regs) && commit(w, regs, at + fa_event_put_call(at, &w->state, e, stamp));
}

/* Have the thread's next event look. */
static void look_again(struct fa_writer *w)
{
	w->tick = ~__atomic_load_n(&fa_arena_head()->answer.tick, __ATOMIC_RELAXED);
}

static FA_NOINLINE void tell_loads(struct fa_writer *w, const struct fa_regs *regs)
{
	struct fa_loading *l = &self->loading;
	struct fa_stack_bounds own = fa_thread_bounds(self, regs->rsp);
	struct fa_event e;

	fa_loader_look(l, regs, &own);
	while (is_ours(w, regs) && fa_loader_next(l, regs, &own, &e))
		if (has_room(self, w, regs) && !put_call(w, regs, &e))
			return;
	if (is_ours(w, regs) && fa_loader_again(l))
		look_again(w);
}

static FA_NOINLINE void look(struct fa_writer *w, const struct fa_regs *regs)
{
	look_at_answer(w);
	if ((fa_beside & FA_TRACING_LOADER) != 0 && w->nested == 0 && is_ours(w, regs))
		tell_loads(w, regs);
}

/* What there is to do before anything is put. false: see has_room(). */
static FA_INLINE bool make_ready(struct fa_writer *w, const struct fa_regs *regs)
{
	if (ticked(w)) {
		look(w, regs);
		w->stamp_in = 1;
		/* Before anything is put into an arena that is over. */
		if (!is_ours(w, regs))
			return false;
	}
	return has_room(self, w, regs);
}

FA_NOINLINE void fa_record_alloc(const struct fa_regs *regs, const void *p, size_t size,
				 unsigned fn, unsigned align_log2)
{
	struct fa_writer *w;

	do {
		unsigned char *at;
		uint64_t stamp;
		uint32_t stack;
		unsigned n;

		w = enter(regs);
		if (w == NULL)
			return;
		if (!make_ready(w, regs))
			continue;
		stack = stack_for(w, regs, FA_STACK_ALLOC);
		stamp = fa_stamp();
		at = w->at;
		if (!may_put(w, regs))
			continue;
		if (fn == FA_FN_MALLOC)
			n = fa_event_put_alloc(at, &w->state, (uint64_t)p, size, stamp, stack != 0,
					       stack);
		else
			n = fa_event_put_alloc_fn(at, &w->state, (uint64_t)p, size, stamp,
						  stack != 0, stack, fn, align_log2);
		w->stamp_in = stamp_again();
		w->alloc_in = alloc_again();
		if (commit(w, regs, at + n)) {
			leave(w, regs);
			return;
		}
	} while (again(w, regs));
}

FA_NOINLINE void fa_record_free(const struct fa_regs *regs, const void *p, bool may_walk)
{
	struct fa_writer *w;

	do {
		unsigned char *at;
		uint64_t stamp = 0;
		uint32_t stack;
		unsigned n;

		w = enter(regs);
		if (w == NULL)
			return;
		if (!make_ready(w, regs))
			continue;
		if (--w->stamp_in == 0) {
			stamp = fa_stamp();
			w->stamp_in = stamp_again();
		}
		stack = may_walk ? stack_for(w, regs, FA_STACK_FREE) : 0;
		at = w->at;
		if (!may_put(w, regs))
			continue;
		n = fa_event_put_free(at, &w->state, (uint64_t)p, stamp, stack != 0, stack);
		if (commit(w, regs, at + n)) {
			leave(w, regs);
			return;
		}
	} while (again(w, regs));
}

void fa_record_realloc(const struct fa_regs *regs, uint64_t old, const void *p, size_t size,
		       int is_array)
{
	struct fa_writer *w;

	do {
		unsigned char *at;
		uint64_t stamp;
		uint32_t stack;
		unsigned n;

		w = enter(regs);
		if (w == NULL)
			return;
		if (!make_ready(w, regs))
			continue;
		stack = stack_for(w, regs, FA_STACK_REALLOC);
		stamp = fa_stamp();
		w->stamp_in = stamp_again();
		at = w->at;
		if (!may_put(w, regs))
			continue;
		n = fa_event_put_realloc(at, &w->state, old, (uint64_t)p, size, stamp, stack != 0,
					 stack, is_array);
		if (commit(w, regs, at + n)) {
			leave(w, regs);
			return;
		}
	} while (again(w, regs));
}

void fa_record_call(const struct fa_regs *regs, const struct fa_event *call)
{
	struct fa_event e = *call;
	struct fa_writer *w;

	do {
		w = enter(regs);
		if (w == NULL)
			return;
		if (!make_ready(w, regs))
			continue;
		e.stack = stack_for(w, regs, ~0u);
		e.has_stack = e.stack != 0;
		if (put_call(w, regs, &e)) {
			leave(w, regs);
			return;
		}
	} while (again(w, regs));
}

void fa_tracer_loads(const struct fa_regs *regs, bool opens, uint32_t how)
{
	struct fa_writer *w = enter(regs);

	if (w == NULL)
		return;
	if (w->nested == 0 && is_ours(w, regs) && !fa_arena_is_over()) {
		fa_loader_catch_up(&self->loading);
		look(w, regs);
		if (is_ours(w, regs) && opens) {
			fa_loader_begin(&self->loading, regs, how, stack_for(w, regs, ~0u));
			look_again(w);
		}
	}
	leave(w, regs);
}

/* What is not common: the tick moved, or the thread has no number yet. */
static FA_NOINLINE void look_for_table(struct fa_writer *w, const struct fa_regs *regs)
{
	look(w, regs);
	fa_table_tick();
	if (self->serial == (uint32_t)FA_SERIAL_NONE)
		fa_thread_number(self, own_tid());
}

uint64_t fa_tracer_stack(const struct fa_regs *regs, uint32_t event)
{
	struct fa_writer *w = enter(regs);
	uint64_t r = FA_NO_STACK;

	if (FA_UNLIKELY(w == NULL))
		return FA_NO_STACK;
	if (FA_UNLIKELY(ticked(w) || self->serial == (uint32_t)FA_SERIAL_NONE))
		look_for_table(w, regs);
	if (FA_LIKELY(is_ours(w, regs)))
		r = (uint64_t)self->serial << 32 | stack_for(w, regs, event);
	leave(w, regs);
	return r;
}

int32_t fa_tracer_tid(void)
{
	return self == NULL ? 0 : self->tid;
}

/* --- the common events ---------------------------------------------------------------------
 *
 * The functions below do what fa_record_free(), fa_record_alloc() and fa_record_realloc() do where there is nothing out
 * of the ordinary; whatever is, they leave to those, from the beginning on.
 */

/* We have not entered. A guard that stands is another's, even if his frame was where ours is: he has left
 * by siglongjmp then, and what he left half done is for enter_slow() to find. */
static FA_NOINLINE void free_slowly(const void *p, const struct fa_regs *regs)
{
	if (fa_active())
		fa_record_free(regs, p, false);
}

/* fn: enum fa_alloc_function. */
static FA_NOINLINE void *alloc_slowly(void *p, size_t size, const struct fa_regs *regs, unsigned fn)
{
	if (fa_active())
		fa_record_alloc(regs, p, size, fn, 0);
	return p;
}

/* Nothing was recorded: leave, and let the other begin, unless the process is traced no more. */
static FA_NOINLINE void free_otherwise(const void *p, const struct fa_regs *regs)
{
	leave(&self->writer[0], regs);
	free_slowly(p, regs);
}

static FA_NOINLINE void *alloc_otherwise(void *p, size_t size, const struct fa_regs *regs,
					 unsigned fn)
{
	leave(&self->writer[0], regs);
	return alloc_slowly(p, size, regs, fn);
}

/* Of `regs`, rip and rsp are valid, nothing else. */
void fa_record_free_quick(const void *p, const struct fa_regs *regs)
{
	struct fa_thread *t = self;
	struct fa_writer *w;
	unsigned char *at;

	if (FA_UNLIKELY(t == NULL || t->writer[0].guard != 0)) {
		free_slowly(p, regs);
		return;
	}
	w = set_guard(t, regs);
	at = w->at;
	if (FA_UNLIKELY(ticked(w) || at >= w->end || w->stamp_in <= 1))
		goto otherwise;
	w->stamp_in--;
	if (FA_UNLIKELY(!may_put(w, regs)))
		goto otherwise;
	at += fa_event_put_free(at, &w->state, (uint64_t)p, 0, 0, 0);
	if (FA_UNLIKELY(!commit(w, regs, at)))
		goto otherwise;
	leave(w, regs);
	return;
otherwise:
	free_otherwise(p, regs);
}

/* While the guard is set; 0: none. What is quickest comes first: the stack that is foreseen. */
static FA_INLINE uint32_t quick_stack(struct fa_thread *t, const struct fa_regs *regs)
{
	struct fa_recall *before = t->recalled, *e;

	if (FA_UNLIKELY(before == NULL))
		return fa_stack_take(t, false, regs);
	e = before->next;
	if (FA_UNLIKELY(e->modules != 0))
		return fa_stack_take(t, false, regs);
	if (!fa_recall_has_words(e, regs))
		return fa_stack_changed(t, regs);
	before->sure = 1;
	t->recalled = e;
	return e->id;
}

static FA_NOINLINE void stacked_slowly(const void *p, const struct fa_regs *regs)
{
	if (fa_active())
		fa_record_free(regs, p, true);
}

/* Where frees take stacks: all of `regs` is valid. */
void fa_record_free_stacked(const void *p, const struct fa_regs *regs)
{
	struct fa_thread *t = self;
	struct fa_writer *w;
	unsigned char *at;
	uint32_t stack;

	if (FA_UNLIKELY(t == NULL || t->writer[0].guard != 0)) {
		stacked_slowly(p, regs);
		return;
	}
	w = set_guard(t, regs);
	if (FA_UNLIKELY(ticked(w) || w->at >= w->end || w->stamp_in <= 1))
		goto otherwise;
	stack = quick_stack(t, regs);
	if (FA_UNLIKELY(stack == 0 || !may_put(w, regs)))
		goto otherwise;
	w->stamp_in--;
	at = w->at;
	at += fa_event_put_free(at, &w->state, (uint64_t)p, 0, 1, stack);
	if (FA_UNLIKELY(!commit(w, regs, at)))
		goto otherwise;
	leave(w, regs);
	return;
otherwise:
	leave(w, regs);
	stacked_slowly(p, regs);
}

/* An allocation was put, stamp 0: it went bare. */
static FA_INLINE void count_stamp(struct fa_writer *w, uint64_t stamp)
{
	if (stamp == 0) {
		/* As one instruction: a handler may have set it to 0. */
		__asm__ volatile("decl %0" : "+m"(w->alloc_in));
	} else {
		w->stamp_in = stamp_again();
		w->alloc_in = alloc_again();
	}
}

static FA_NOINLINE void *leave_disowned(void *p, struct fa_writer *w, const struct fa_regs *regs)
{
	leave(w, regs);
	return p;
}

/* stamp 0: it goes bare. */
static FA_INLINE void *put_alloc(void *p, size_t size, const struct fa_regs *regs, unsigned fn,
				 struct fa_writer *w, bool has_stack, uint32_t stack,
				 uint64_t stamp)
{
	unsigned char *at;

	if (FA_UNLIKELY(!may_put(w, regs)))
		return alloc_otherwise(p, size, regs, fn);
	at = w->at;
	if (fn == FA_FN_MALLOC)
		at += fa_event_put_alloc(at, &w->state, (uint64_t)p, size, stamp, has_stack, stack);
	else
		at += fa_event_put_alloc_fn(at, &w->state, (uint64_t)p, size, stamp, has_stack,
					    stack, fn, 0);
	count_stamp(w, stamp);
	if (FA_UNLIKELY(!commit(w, regs, at)))
		return alloc_otherwise(p, size, regs, fn);
	if (FA_UNLIKELY(w->guard != (uint64_t)regs))
		return leave_disowned(p, w, regs);
	w->guard = 0;
	return p;
}

/* The stack is not foreseen, or asks for modules, or none is wanted. */
static FA_NOINLINE void *record_unforeseen(void *p, size_t size, const struct fa_regs *regs,
					   unsigned fn, struct fa_writer *w)
{
	struct fa_thread *t = self;
	uint32_t stack = 0;

	if ((fa_arena.wish.stacks & FA_STACK_ALLOC) != 0)
		stack = t->recalled == NULL || t->recalled->next->modules != 0
				? fa_stack_take(t, false, regs)
				: fa_stack_changed(t, regs);
	return put_alloc(p, size, regs, fn, w, stack != 0, stack, goes_bare(w) ? 0 : fa_stamp());
}

/* What is quickest: the stack that is foreseen, recalled, without modules to be asked about. */
static FA_INLINE void *record_quick(void *p, size_t size, const struct fa_regs *regs, unsigned fn)
{
	struct fa_thread *t = self;
	struct fa_recall *before, *e;
	struct fa_writer *w;

	if (FA_UNLIKELY(t == NULL || t->writer[0].guard != 0))
		return alloc_slowly(p, size, regs, fn);
	w = set_guard(t, regs);
	if (FA_UNLIKELY(ticked(w) || w->at >= w->end))
		return alloc_otherwise(p, size, regs, fn);
	before = t->recalled;
	if (before == NULL)
		return record_unforeseen(p, size, regs, fn, w);
	e = before->next;
	if (e->modules != 0 || !fa_recall_has_words(e, regs))
		return record_unforeseen(p, size, regs, fn, w);
	before->sure = 1;
	t->recalled = e;
	if (FA_LIKELY(goes_bare(w)))
		return put_alloc(p, size, regs, fn, w, true, e->id, 0);
	return put_alloc(p, size, regs, fn, w, true, e->id, fa_stamp());
}

void *fa_record_malloc_quick(void *p, size_t size, const struct fa_regs *regs)
{
	return record_quick(p, size, regs, FA_FN_MALLOC);
}

void *fa_record_calloc_quick(void *p, size_t size, const struct fa_regs *regs)
{
	return record_quick(p, size, regs, FA_FN_CALLOC);
}

/* NULL means failure, but for realloc(p, 0): then the block is gone. */
static FA_NOINLINE void *realloc_slowly(void *p, void *old, size_t size, const struct fa_regs *regs)
{
	if ((p != NULL || (old != NULL && size == 0)) && fa_active())
		fa_record_realloc(regs, (uint64_t)old, p, size, 0);
	return p;
}

void *fa_record_realloc_quick(void *p, void *old, size_t size, const struct fa_regs *regs)
{
	struct fa_thread *t = self;
	struct fa_writer *w;
	unsigned char *at;
	uint64_t stamp;
	uint32_t stack;

	if (FA_UNLIKELY(p == NULL || t == NULL || t->writer[0].guard != 0))
		return realloc_slowly(p, old, size, regs);
	w = set_guard(t, regs);
	if (FA_UNLIKELY(ticked(w) || w->at >= w->end ||
			(fa_arena.wish.stacks & FA_STACK_REALLOC) == 0))
		goto otherwise;
	stack = quick_stack(t, regs);
	stamp = goes_bare(w) ? 0 : fa_stamp();
	if (FA_UNLIKELY(!may_put(w, regs)))
		goto otherwise;
	at = w->at;
	at += fa_event_put_realloc(at, &w->state, (uint64_t)old, (uint64_t)p, size, stamp,
				   stack != 0, stack, 0);
	count_stamp(w, stamp);
	if (FA_UNLIKELY(!commit(w, regs, at)))
		goto otherwise;
	leave(w, regs);
	return p;
otherwise:
	leave(w, regs);
	return realloc_slowly(p, old, size, regs);
}

void fa_tracer_forbid_clock(void)
{
	fa_arena.wish.stamp_mode = FA_STAMP_NONE;
	fa_arena.by_tsc = false;
	fa_clock_forbid();
	if (self != NULL) {
		fa_stack_forget(self);
		self->writer[0].alloc_in = 0;
	}
}
