/*
 * unwind.c - see unwind.h: what of the walk before still stands, and what is kept of this one. The
 * ideas and the invariants are in walk.h.
 */
#include "shim/unwind.h"

#include "shim/full.h"
#include "shim/walk.h"

/* Multipliers of the hash, one per place: sums of products, so that a prefix is a partial sum and
 * no product waits for another. */
#define SM0(i) (0x66697273746c6f63ULL + ((i) + 1ULL) * 0x9e3779b97f4a7c15ULL) /* splitmix64 */
#define SM1(z) (((z) ^ (z) >> 30) * 0xbf58476d1ce4e5b9ULL)
#define SM2(z) (((z) ^ (z) >> 27) * 0x94d049bb133111ebULL)
#define SM3(z) (((z) ^ (z) >> 31) | 1)
#define F1(i)  SM3(SM2(SM1(SM0(i))))
#define F8(i)                                                                                      \
	F1(i), F1((i) + 1), F1((i) + 2), F1((i) + 3), F1((i) + 4), F1((i) + 5), F1((i) + 6),       \
		F1((i) + 7)
#define F64(i)                                                                                     \
	F8(i), F8((i) + 8), F8((i) + 16), F8((i) + 24), F8((i) + 32), F8((i) + 40), F8((i) + 48),  \
		F8((i) + 56)
const uint64_t fa_walk_factor[DEPTH_MAX] = {F64(0),   F64(64),  F64(128), F64(192),
					    F64(256), F64(320), F64(384), F64(448)};

int fa_unwind_init(int (*find_object)(void *pc, void *result), fa_module_fn *module)
{
	return fa_rules_init(find_object, module);
}

void fa_unwind_reset(void)
{
	fa_rules_reset();
}

static FA_INLINE uint64_t finish_hash(uint64_t sum, uint32_t marks)
{
	uint64_t h = sum + (marks + 1) * 0xd6e8feb86659fd93ULL;

	h = (h ^ h >> 32) * 0x9fb21c651e98df25ULL;
	h ^= h >> 29;
	return h == 0 ? 1 : h;
}

/* ---- what of the walk before still stands ---- */

/* The first of the frames [0, end) whose slot holds another word now. */
static FA_INLINE int32_t first_changed(const struct fa_unwind_thread *t, int32_t end)
{
	int32_t i = 0;

	for (; i + 4 <= end; i += 4) {
		uint64_t x =
			(fa_word_at(t->slot[i]) ^ t->ip[i]) | (fa_word_at(t->slot[i + 1]) ^ t->ip[i + 1]);
		uint64_t y = (fa_word_at(t->slot[i + 2]) ^ t->ip[i + 2]) |
			     (fa_word_at(t->slot[i + 3]) ^ t->ip[i + 3]);

		if (FA_UNLIKELY((x | y) != 0))
			break;
	}
	for (; i < end; i++) {
		if (fa_word_at(t->slot[i]) != t->ip[i])
			return i;
	}
	return end;
}

static FA_INLINE uint64_t dep_differs(const struct walk *w, const struct dep *d)
{
	/* It lies on the same stack and was readable, but maybe it is below where this walk begins. */
	return (fa_word_at(d->loc) ^ d->val) | (d->loc < w->lo);
}

/* The same for the other words: no frame inside of a changed one's saver may be taken over. */
static FA_NOINLINE int32_t first_changed_dep(const struct walk *w, int32_t end)
{
	const struct dep *dep = w->t->dep;
	uint32_t n = w->t->deps;
	uint32_t i = 0;

	/* Those that came from registers have a saver beyond all frames. */
	while (n > 0 && dep[n - 1].saver >= end)
		n--;
	for (; i + 4 <= n; i += 4) {
		if ((dep_differs(w, &dep[i]) | dep_differs(w, &dep[i + 1]) |
		     dep_differs(w, &dep[i + 2]) | dep_differs(w, &dep[i + 3])) != 0)
			break;
	}
	for (; i < n; i++) {
		if (dep_differs(w, &dep[i]) != 0)
			return dep[i].saver;
	}
	return end;
}

/* ---- keeping it ---- */

/* Frames [drop, merged] become frames [0, merged - drop]: the outermost ones are cut off. */
static FA_NOINLINE void cut_outermost(struct walk *w, int32_t drop)
{
	struct fa_unwind_thread *t = w->t;
	uint64_t sum = 0;
	uint32_t kept = 0;

	w->merged -= drop;
	for (int32_t i = 0; i <= w->merged; i++) {
		t->slot[i] = t->slot[i + drop];
		t->ip[i] = t->ip[i + drop];
		t->word[i] = t->word[i + drop];
		t->rule[i] = t->rule[i + drop];
		t->mark[i] = t->has_marks ? t->mark[i + drop] : 0;
		sum += (t->word[i] ^ (uint64_t)t->mark[i] << 45) * fa_walk_factor[i];
		t->sum[i] = sum;
	}
	for (uint32_t i = 0; i < t->deps; i++) {
		struct dep *d = &t->dep[i];

		if (d->saver < drop)
			continue;
		t->dep[kept].loc = d->loc;
		t->dep[kept].val = d->val;
		/* Its users may all be gone; to keep it is only stricter. */
		t->dep[kept].user = d->user < drop ? 0 : d->user - drop;
		t->dep[kept].saver = d->saver - drop;
		kept++;
	}
	t->deps = kept;
	if (w->through >= 0)
		w->through = w->through < drop ? 0 : w->through - drop;
	t->marks = FA_NODE_TRUNCATED;
}

/* Deps of the frames taken over stay, the new ones follow, outermost first. */
static FA_NOINLINE void keep_deps(struct walk *w, int32_t depth)
{
	struct fa_unwind_thread *t = w->t;
	uint32_t n = t->deps;

	while (n > 0 && t->dep[n - 1].saver > w->merged)
		n--;
	for (int32_t i = w->deps - 1; i >= 0; i--) {
		const struct dep *from = &t->dep[DEPS_MAX + i];
		struct dep *to = &t->dep[n++];
		int last = i == w->deps - 1;

		if (n > DEPS_MAX) {
			w->no_keep = 1;
			break;
		}
		to->loc = from->loc;
		to->val = from->val;
		to->saver = depth - 1 - from->saver;
		to->user = last && w->through >= 0 ? w->through : depth - 1 - from->user;
	}
	t->deps = n > DEPS_MAX ? 0 : n;
}

static FA_NOINLINE void keep_marks(struct walk *w, int32_t depth)
{
	struct fa_unwind_thread *t = w->t;
	int32_t begin = w->merged + 1;
	uint64_t sum = begin > 0 ? t->sum[begin - 1] : 0;
	uint32_t any = 0;

	for (int32_t i = 0; i < begin; i++) {
		t->mark[i] = t->has_marks ? t->mark[i] : 0;
		any |= t->mark[i];
	}
	for (int32_t i = begin; i < depth; i++) {
		t->mark[i] = w->any_marks ? t->mark[SCRATCH + depth - 1 - i] : 0;
		sum += (t->word[i] ^ (uint64_t)t->mark[i] << 45) * fa_walk_factor[i];
		t->sum[i] = sum;
		any |= t->mark[i];
	}
	t->has_marks = any != 0;
}

/* The frames found, turned round, behind those taken over. */
static FA_INLINE void keep_frames(struct fa_unwind_thread *t, int32_t begin, int32_t found)
{
	uint64_t sum = begin > 0 ? t->sum[begin - 1] : 0;
	uint64_t rules = 0;
	int32_t to = begin;

	for (int32_t from = SCRATCH + found - 1; from >= SCRATCH; from--, to++) {
		uint64_t rule = t->word[from];
		uint64_t word = t->ip[from] | rule << 48;

		rules |= rule;
		t->slot[to] = t->slot[from];
		t->ip[to] = t->ip[from];
		t->rule[to] = rule;
		t->word[to] = word;
		sum += word * fa_walk_factor[to];
		t->sum[to] = sum;
	}
	t->mortal = (begin > 0 && t->mortal) || (rules & FA_RULE_MORTAL) != 0;
}

static FA_INLINE void deliver(struct fa_unwind_thread *t, int32_t depth, int32_t common,
			      struct fa_stack_view *ret)
{
	ret->pc = t->word;
	ret->frame_marks = t->has_marks ? t->mark : NULL;
	ret->hash = finish_hash(t->sum[depth - 1], t->marks);
	ret->depth = (uint32_t)depth;
	ret->marks = t->marks;
	ret->common = (uint32_t)common;
	ret->reserved = 0;
}

static FA_INLINE void start(struct walk *w)
{
	w->pc = w->regs->rip;
	w->slot = w->regs->rsp - 8;
	w->found = 0;
	w->merged = -1;
	w->barrier = -1;
	w->def = 0;
	w->def_from = 0;
	w->used_def = ~0ULL;
	w->rbp = w->regs->rbp;
	w->through = -1;
	w->deps = 0;
	w->crossed = 0;
	w->any_marks = 0;
	w->no_keep = 0;
	w->common = w->max;
	for (unsigned i = 0; i < CHECKED; i++)
		w->checked[i] = 0;
}

/* May a later walk be compared with this one as a whole? A cut one has another outermost frame for
 * each depth. */
static FA_INLINE void allow_same(const struct walk *w, int32_t depth)
{
	struct fa_unwind_thread *t = w->t;

	if (depth >= SAME_LEAST && t->count == (uint32_t)depth && !w->foreign && !t->has_marks &&
	    ((t->marks & FA_NODE_TRUNCATED) == 0 || depth == w->max))
		t->same = (uint32_t)depth;
}

/* Are frames [0, end) of the walk before, whose words are what they were, still in the modules that they were in?
 * While this thread was elsewhere, another may have put a library in the place of theirs. */
static FA_NOINLINE int same_modules(struct walk *w, int32_t end)
{
	const struct fa_unwind_thread *t = w->t;

	for (int32_t i = 0; i < end; i++) {
		if ((t->rule[i] & FA_RULE_MORTAL) != 0 &&
		    !fa_walk_check_module(w, t->rule[i], t->ip[i]))
			return 0;
	}
	return 1;
}

/* Is what fa_walk_all() took over not to be had? Cut walks have another outermost frame for each depth. */
static FA_INLINE int is_taken_in_vain(struct walk *w)
{
	const struct fa_unwind_thread *t = w->t;

	return ((t->marks & FA_NODE_TRUNCATED) != 0 && w->merged + 1 + w->found < w->max) ||
	       (FA_UNLIKELY(t->mortal) && !same_modules(w, w->merged + 1));
}

/* Walks, and stores the result as the walk before of the next one. */
static FA_NOINLINE void walk_and_keep(struct walk *w, uint32_t max_depth, struct fa_stack_view *ret)
{
	struct fa_unwind_thread *t = w->t;
	enum outcome outcome = fa_walk_all(w);
	int32_t depth = w->merged + 1 + w->found;
	int32_t common;

	if (FA_UNLIKELY(outcome == MERGED && is_taken_in_vain(w))) {
		uint64_t hi = w->hi;

		start(w);
		w->hi = hi;
		w->unchanged = 0;
		w->near = -1;
		outcome = fa_walk_all(w);
		depth = w->found;
	}
	if (FA_UNLIKELY(depth > w->max)) {
		cut_outermost(w, depth - w->max);
		depth = w->max;
		common = 0;
	} else {
		common = w->merged + 1 < w->common ? w->merged + 1 : w->common;
	}
	if (outcome != MERGED)
		t->marks = outcome == TRUNCATED ? FA_NODE_TRUNCATED
			   : outcome == BROKEN  ? FA_NODE_BROKEN
						: 0;
	keep_frames(t, w->merged + 1, w->found);
	if (FA_UNLIKELY(w->any_marks || (t->has_marks && w->merged >= 0)))
		keep_marks(w, depth);
	else
		t->has_marks = 0;
	if (w->deps != 0 || t->deps != 0)
		keep_deps(w, depth);
	deliver(t, depth, common, ret);
	t->hi = w->hi;
	t->max_depth = max_depth;
	if (w->foreign && !w->crossed)
		t->foreign_hi = w->hi;
	barrier();
	t->count = w->crossed || w->no_keep ? 0 : (uint32_t)(depth - (w->barrier + 1));
	allow_same(w, depth);
}

/* ---- where a walk begins ---- */

/* A stack that is not the thread's own: its readable part, known from before or verified now. */
static FA_NOINLINE void begin_foreign(struct walk *w)
{
	struct fa_unwind_thread *t = w->t;
	uint64_t rsp = w->regs->rsp;
	uint64_t page = (rsp - 8) & ~(uint64_t)(PAGE - 1);

	w->foreign = 1;
	if (rsp < t->foreign_lo && t->foreign_lo - rsp < STACK_STEP_MAX &&
	    fa_pages_readable(page, t->foreign_lo))
		t->foreign_lo = page;
	if (rsp - 8 < t->foreign_lo || rsp >= t->foreign_hi) {
		/* The hook's own frame lies here, so this page can be read. */
		t->foreign_lo = page;
		t->foreign_hi = page + PAGE;
		t->hi = 0;
	}
	w->hi = t->foreign_hi;
}

/* Deps of frames inside of `innermost` are gone. The rbp that comes through there from one of them is
 * in the register now; 0: it is another. */
static FA_NOINLINE int same_rbp_in(struct walk *w, int32_t innermost)
{
	struct fa_unwind_thread *t = w->t;
	uint32_t n = t->deps;

	while (n > 0 && t->dep[n - 1].saver > innermost && t->dep[n - 1].user > innermost)
		n--;
	if (n > 0 && t->dep[n - 1].saver > innermost) {
		if (t->dep[n - 1].val != w->regs->rbp)
			return 0;
		t->dep[n - 1].saver = innermost + 1;
		t->dep[n - 1].loc = 0;
	}
	t->deps = n;
	return 1;
}

/* What the walk before has for the frames from `near` outwards is brought up to date. 1: that is the
 * whole of this walk, which begins there. */
static FA_INLINE int take_over(struct walk *w, int32_t near)
{
	struct fa_unwind_thread *t = w->t;
	int is_own = t->slot[near] == w->slot;
	/* Its own frame is in the registers; what is further out is in memory. */
	int32_t unchanged = first_changed(t, near + !is_own), end = near + 1;

	if (is_own && unchanged == near && t->ip[near] == w->pc)
		unchanged = end;
	if (t->deps != 0) {
		end = first_changed_dep(w, end);
		unchanged = unchanged < end ? unchanged : end;
	}
	w->common = unchanged;
	if (unchanged > 0 && unchanged < end && !t->has_marks &&
	    (t->marks & FA_NODE_TRUNCATED) == 0)
		unchanged = fa_walk_refresh(w, unchanged, end, is_own ? near : -1);
	w->unchanged = unchanged;
	w->near = near - is_own;
	return is_own && unchanged == near + 1 &&
	       ((t->marks & FA_NODE_TRUNCATED) == 0 || unchanged == w->max) &&
	       (t->deps == 0 || same_rbp_in(w, near)) &&
	       (FA_LIKELY(!t->mortal) || same_modules(w, unchanged));
}

void fa_unwind_forget(struct fa_unwind_thread *t)
{
	t->count = 0;
	t->same = 0;
}

void fa_unwind(struct fa_unwind_thread *t, const struct fa_regs *regs,
	       const struct fa_stack_bounds *bounds, unsigned max_depth, struct fa_stack_view *ret)
{
	struct walk w;
	int32_t near = (int32_t)t->count - 1;
	uint64_t slot = regs->rsp - 8;

	fa_unwind_forget(t);
	barrier();
	w.t = t;
	w.regs = regs;
	w.bounds = bounds;
	w.lo = slot;
	w.max = max_depth > DEPTH_MAX ? DEPTH_MAX : max_depth < 1 ? 1 : (int32_t)max_depth;
	if (FA_LIKELY(on_own_stack(bounds, regs->rsp))) {
		w.foreign = 0;
		w.hi = bounds->hi;
		t->foreign_hi = 0;
	} else {
		begin_foreign(&w);
	}
	if (t->hi != w.hi || t->max_depth != max_depth)
		near = -1;
	while (near >= 0 && t->slot[near] < slot)
		near--;
	start(&w);
	w.near = -1;
	w.unchanged = 0;
	if (near < 0) {
		t->deps = 0;
	} else if (take_over(&w, near)) {
		deliver(t, near + 1, w.common, ret);
		barrier();
		t->count = (uint32_t)near + 1;
		allow_same(&w, near + 1);
		return;
	}
	walk_and_keep(&w, max_depth, ret);
}
