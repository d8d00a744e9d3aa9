/* wake.c - see wake.h. */
#include "shim/wake.h"

#include "shim/arena.h"
#include "shim/real.h"
#include "shim/sys.h"
#include "shim/table.h"
#include "shim/thread.h"
#include "shim/tracer.h"

const char *fa_wake_exec_path = "";

static struct {
	uint8_t busy;     /* a thread is obeying */
	uint64_t since_ns; /* when it was obeyed last */
} wake;

enum whose { OURS, OF_PARENT, OF_VFORK };

/*
 * A fork child inherits an order of its parent that was not obeyed yet: it is not for it. A child of vfork has
 * the very memory of its parent, who will obey. With a filter it may not be asked: there a child that obeys makes
 * an arena that nobody comes for.
 */
static enum whose whose_order(const struct fa_wake *w)
{
	if ((w->flags & FA_WAKE_CAREFUL) != 0 || fa_sys_getpid() == w->pid)
		return OURS;
	return fa_tcb_tid() == fa_sys_gettid() ? OF_PARENT : OF_VFORK;
}

/* Of a process that its rule flagged, what the rule says; else what the order says. */
static struct fa_wish wish_of(const struct fa_wake *w)
{
	struct fa_wish wish = {w->rule_id, w->tracing_flags, w->options,
			       w->depth,   w->stacks,	     w->stamp_mode};

	if ((w->flags & FA_WAKE_KEEP) != 0 && fa_arena.wish.rule_id != 0) {
		wish = fa_arena.wish;
		wish.stacks = fa_arena.base != NULL ? fa_arena.own_stacks : wish.stacks;
	}
	if (wish.depth < 1 || wish.depth > FA_DEPTH_MAX)
		wish.depth = FA_DEPTH_DEFAULT;
	if (fa_clock_is_forbidden())
		wish.stamp_mode = FA_STAMP_NONE;
	return wish;
}

/* 0 or the reason why not. */
static unsigned prepare(const struct fa_wake *w)
{
	struct fa_start start = {.exec_path = fa_wake_exec_path, .uid = w->uid, .woken = true};
	struct fa_wish wish = wish_of(w);
	unsigned reason = fa_unfit(&wish);

	if (reason != 0)
		return reason;
	if (!fa_state_page_use() || !fa_state_page_wipe())
		return FA_REASON_NO_MEMORY;
	fa_clock_begin(w->clock_source);
	fa_arena.address_limit = w->address_limit;
	reason = fa_tracer_init(w->pid, (w->flags & FA_WAKE_CAREFUL) != 0);
	if (reason != 0)
		return reason;
	if (fa_arena.base == NULL) {
		reason = fa_arena_create(&start, &wish, w->pid, 1);
	} else {
		fa_tracer_renew();
		reason = fa_arena_renew(&start, &wish, w->pid);
	}
	if (reason == 0)
		fa_table_start(&wish);
	return reason;
}

/* What came of it: the arena before the number, who reads the number sees both. */
static void answer(uint32_t order, unsigned reason, void *arena)
{
	struct fa_process_block *b = &firstalloc_process_block;

	b->reason = reason;
	__atomic_store_n(&b->arena, (uint64_t)arena, __ATOMIC_RELEASE);
	__atomic_store_n(&b->woken, order, __ATOMIC_RELEASE);
	if (arena == NULL) {
		fa_state_set(FA_DORMANT);
		return;
	}
	__atomic_store_n(&fa_dormant, 0, __ATOMIC_RELAXED);
	fa_state_set(FA_ACTIVE);
}

static void obey(void)
{
	struct fa_process_block *b = &firstalloc_process_block;
	uint32_t order = __atomic_load_n(&b->wake.order, __ATOMIC_ACQUIRE);
	struct fa_wake w = b->wake;
	unsigned reason;

	switch (whose_order(&w)) {
	case OF_VFORK:
		return;
	case OF_PARENT:
		answer(order, b->reason, NULL);
		return;
	case OURS:
		break;
	}
	if (fa_arena.base != NULL && w.pid != fa_arena.pid)
		fa_tracer_alone();
	/* Somebody is still inside the tracer since it was over: the next heap call tries again. */
	if (fa_arena.base != NULL && !fa_tracer_is_out())
		return;
	fa_state_set(FA_BUSY);
	b->pid = w.pid;
	if ((w.flags & FA_WAKE_FLAGGED) != 0)
		b->tracing_flags |= w.tracing_flags;
	if (w.rule_id != 0)
		b->rule_id = w.rule_id;
	reason = prepare(&w);
	wake.since_ns = reason == 0 ? fa_clock_mono_ns() : 0;
	answer(order, reason == 0 ? (unsigned)FA_REASON_TRACED : reason,
	       reason == 0 ? fa_arena.base : NULL);
}

void fa_wake(void)
{
	if (!fa_real_resolve() || fa_state_now() == FA_ACTIVE)
		return;
	if (__atomic_exchange_n(&wake.busy, 1, __ATOMIC_ACQUIRE) == 0) {
		if (fa_wake_is_due())
			obey();
	} else if (whose_order(&firstalloc_process_block.wake) == OF_PARENT) {
		/* Forked in the middle of it: who was at it is not here. */
		answer(firstalloc_process_block.wake.order, firstalloc_process_block.reason, NULL);
	} else {
		return;
	}
	__atomic_store_n(&wake.busy, 0, __ATOMIC_RELEASE);
}

void fa_wake_end(unsigned reason)
{
	uint8_t active = FA_ACTIVE;

	if (!__atomic_compare_exchange_n(&fa_state_page.state, &active, FA_DORMANT, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	firstalloc_process_block.reason = reason;
	__atomic_store_n(&firstalloc_process_block.arena, 0, __ATOMIC_RELEASE);
	if (fa_arena_head()->magic == FA_ARENA_MAGIC) /* else nobody asks any more */
		__atomic_fetch_add(&fa_arena_head()->left, 1, __ATOMIC_RELEASE);
	fa_sleep();
}

void fa_wake_unanswered(void)
{
	if (wake.since_ns != 0 &&
	    __atomic_load_n(&fa_arena_head()->answer.word, __ATOMIC_ACQUIRE) == FA_ANSWER_NONE &&
	    fa_clock_mono_ns() - wake.since_ns > FA_WAKE_GIVE_UP_NS)
		fa_wake_end(FA_REASON_NO_COLLECTOR);
}
