/* stack.c - see stack.h: a walk, and its nodes in the arena. */
#include "shim/stack.h"

#include "shim/arena.h"

/* Are these settings that the quick ways are for? Without them no walk is recalled: those take for given that what is
 * recalled is wanted. With each event stamped each is walked, which is what the others can be held against. */
static FA_INLINE bool is_common(void)
{
	return fa_arena.wish.stamp_mode != FA_STAMP_ALL &&
	       (fa_arena.wish.stacks & FA_STACK_ALLOC) != 0;
}

/*
 * What anybody wrote there decides no more than whether a stack is walked. A thread that has none any more forgets what
 * it recalls, since the quick way takes the next one for given.
 */
void fa_stack_follow(struct fa_thread *t)
{
	uint32_t asked = __atomic_load_n(&fa_arena_head()->answer.stacks, __ATOMIC_RELAXED);
	uint32_t wanted = (asked & FA_ANSWER_STACKS) == 0
				  ? fa_arena.own_stacks
				  : asked & (FA_STACK_ALLOC | FA_STACK_REALLOC | FA_STACK_FREE);

	if (fa_arena.wish.stacks != wanted)
		__atomic_store_n(&fa_arena.wish.stacks, wanted, __ATOMIC_RELAXED);
	if ((wanted & FA_STACK_ALLOC) == 0)
		fa_stack_forget(t);
}

static uint32_t marks_of(const struct fa_stack_view *v, uint32_t i)
{
	return (i == 0 ? v->marks : 0) | (v->frame_marks == NULL ? 0 : v->frame_marks[i]);
}

/* A segment that was asked for comes in a turn or two of the collector's: a burst of new stacks waits for
 * it, where the policy is to wait. Under `run` somebody comes also for who has seen nobody yet. Who has
 * waited in vain has done so for all, until one comes. */
static FA_NOINLINE bool wait_for_nodes(unsigned turn, uint64_t *begin)
{
	static uint64_t in_vain; /* which segments there were then, and 1 << 32 */
	const struct fa_arena_answer *a = &fa_arena_head()->answer;
	uint64_t now = 1ULL << 32 | __atomic_load_n(&a->segments, __ATOMIC_RELAXED);
	uint32_t word = __atomic_load_n(&a->word, __ATOMIC_RELAXED);
	uint64_t time;

	if (!fa_arena_may_grow() || fa_arena.pid == 1 || fa_state_now() != FA_ACTIVE ||
	    __atomic_load_n(&in_vain, __ATOMIC_RELAXED) == now ||
	    __atomic_load_n(&a->policy, __ATOMIC_RELAXED) == FA_POLICY_COUNT ||
	    (word != FA_ANSWER_ATTACHED && !(word == FA_ANSWER_NONE && fa_arena.run_mode)))
		return false;
	time = fa_clock_mono_ns();
	if (turn == 0)
		*begin = time;
	if (time == 0 || time - *begin > FA_WAIT_NS) {
		__atomic_store_n(&in_vain, now, __ATOMIC_RELAXED);
		return false;
	}
	fa_thread_pause(turn);
	return true;
}

/* No node is left for the whole of it. Who allocates is more than how it came there: the innermost frames,
 * so that it is not taken for a stack that ends further out. 0: there is no room for these either. */
static FA_NOINLINE uint32_t intern_innermost(const struct fa_stack_view *v)
{
	const uint32_t frames = 4;
	uint32_t first = v->depth < frames ? 0 : v->depth - frames, parent = 0;

	__atomic_fetch_add(&fa_arena_head()->nodes_refused, 1, __ATOMIC_RELAXED);
	for (uint32_t i = first; i < v->depth; i++) {
		uint32_t cut = i == first ? FA_NODE_TRUNCATED | FA_NODE_CUT : 0;

		parent = fa_arena_node(parent, v->pc[i], marks_of(v, i) | cut, true);
		if (parent == 0)
			break;
	}
	return parent;
}

/* The stack id: frames from `i` on are looked up, outermost first; ids are kept in node[], if any. */
static uint32_t intern(const struct fa_stack_view *v, uint32_t i, uint32_t parent, uint32_t *node,
		       uint32_t *ret_known)
{
	for (; i < v->depth; i++) {
		uint32_t id = fa_arena_node(parent, v->pc[i], marks_of(v, i), false);
		uint64_t begin = 0;

		for (unsigned turn = 0; id == 0 && wait_for_nodes(turn, &begin); turn++)
			id = fa_arena_node(parent, v->pc[i], marks_of(v, i), false);
		if (id == 0) {
			*ret_known = i;
			return intern_innermost(v);
		}
		if (node != NULL)
			node[i] = id;
		parent = id;
	}
	*ret_known = i;
	return parent;
}

static uint32_t take_nested_stack(struct fa_thread *t, const struct fa_regs *regs)
{
	struct fa_stack_bounds bounds = fa_thread_bounds(t, regs->rsp);
	struct fa_stack_view v;
	uint32_t known;

	fa_unwind(t->unwind[1], regs, &bounds, fa_arena.wish.depth, &v);
	return intern(&v, 0, 0, NULL, &known);
}

/* The id of a stack with this hash is in one of two places, if it is known; else the first one is made empty. */
static FA_INLINE struct fa_stack_entry *look_up(struct fa_thread *t, uint64_t hash)
{
	struct fa_stack_entry *e = &t->cache[hash % FA_STACK_CACHE & ~1ULL];

	if (FA_LIKELY(e->hash == hash))
		return e;
	if (e[1].hash == hash)
		return &e[1];
	/* In this order: a jump out of a handler may leave an entry at any point. */
	e[1].hash = 0;
	barrier();
	e[1].id = e->id;
	barrier();
	e[1].hash = e->hash;
	barrier();
	e->hash = 0;
	return e;
}

static void keep(struct fa_thread *t, const struct fa_regs *regs, uint32_t id,
		 struct fa_recall *before)
{
	struct fa_recall *e = fa_recall_keep(&t->recalls, t->unwind[0], regs, id);

	if (e != NULL && before != NULL)
		fa_recall_learn(before, e);
	t->recalled = e;
}

static FA_INLINE uint32_t walk(struct fa_thread *t, const struct fa_regs *regs)
{
	struct fa_stack_bounds bounds = fa_thread_bounds(t, regs->rsp);
	struct fa_recall *before = t->recalled;
	struct fa_stack_view v;
	struct fa_stack_entry *e;

	fa_stack_forget(t);
	fa_unwind(t->unwind[0], regs, &bounds, fa_arena.wish.depth, &v);
	/* The ids of changed frames are not known until they are looked up. */
	if (v.common < t->known)
		t->known = v.common;
	e = look_up(t, v.hash);
	if (FA_UNLIKELY(e->hash == 0)) {
		e->id = intern(&v, t->known, t->known == 0 ? 0 : t->node[t->known - 1], t->node,
			       &t->known);
		barrier();
		e->hash = v.hash;
	} else if (fa_recall_is_turn(&t->recalls) && e->id != 0 && is_common()) {
		/* Worth it when it came again. */
		keep(t, regs, e->id, before);
	}
	t->last = is_common() ? e->id : 0;
	return e->id;
}

uint32_t fa_stack_changed(struct fa_thread *t, const struct fa_regs *regs)
{
	struct fa_recall *e = fa_recall_find(&t->recalls, regs);

	if (e == NULL)
		return walk(t, regs);
	if (t->recalled != NULL)
		fa_recall_learn(t->recalled, e);
	t->recalled = is_common() ? e : NULL;
	return e->id;
}

uint32_t fa_stack_take(struct fa_thread *t, bool nested, const struct fa_regs *regs)
{
	struct fa_recall *before = t->recalled;

	if (FA_UNLIKELY(nested))
		return take_nested_stack(t, regs);
	if (before != NULL && fa_recall_holds(before->next, regs)) {
		before->sure = 1;
		t->recalled = before->next;
		return t->recalled->id;
	}
	if (before == NULL && t->last != 0 && fa_walk_is_same(t->unwind[0], regs)) {
		/* It came again: worth it, if it can be kept. */
		if (t->tried != t->last)
			keep(t, regs, t->last, NULL);
		t->tried = t->last;
		return t->last;
	}
	return fa_stack_changed(t, regs);
}
