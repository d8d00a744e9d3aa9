/*
 * unwind.c - see unwind.h: the walk, and the memory of the walk before.
 *
 * A frame is a return address (ip), the stack slot that it was read from, and, where a frame further
 * out computes its CFA from rbp, the value of rbp. In regular frames rsp is slot + 8. So a walk is
 * determined by where it begins and by the words of memory that it reads: the slots, and the saved
 * values of rbp that some CFA is computed from (struct dep). When a new walk arrives at a frame of the
 * walk before in the same state, and the words that were read from there on are unchanged, the rest
 * is the same. Invariants:
 *
 * 1. Frames [0, count) of a thread are stored outermost first and regular; slots grow towards 0.
 * 2. dep[] has every word but the slots that these frames were found by, ordered by `saver`.
 * 3. count is 0 while a walk is at work: one that is left by siglongjmp leaves nothing behind.
 *
 * Frames being found are collected from SCRATCH on, innermost first, and turned round when it is
 * known how many there are.
 */
#include "shim/unwind.h"

#include <errno.h>

#include "shim/full.h"
#include "shim/rules.h"
#include "shim/sys.h"

enum {
	DEPTH_MAX = 512,
	SCRATCH = DEPTH_MAX,
	DEPS_MAX = 512,
	CHECKED = 8,
	PAGE = 4096,
	STACK_STEP_MAX = 1 << 20, /* largest piece of an unknown stack that is verified at once */
	GUESS_REACH = 0x4000,
};

#define LOW48 0xffffffffffffULL

/* A word of memory that a walk depends upon, beside the slots. */
struct dep {
	uint64_t loc; /* 0: not memory, but the register's value at the beginning */
	uint64_t val;
	int32_t saver; /* index of the frame whose rules say that rbp is restored from loc */
	int32_t user;  /* outermost frame whose CFA comes from val; == saver: used by it alone */
};

struct fa_unwind_thread {
	uint32_t count; /* frames that may be taken over */
	uint32_t deps;
	uint32_t marks; /* of frame 0 */
	uint32_t max_depth;
	uint64_t hi; /* end of the stack that the frames lie on */
	uint64_t foreign_lo, foreign_hi; /* verified part of a stack that is not the thread's own */
	uint32_t has_marks;
	uint32_t reserved[5];
	uint64_t slot[2 * DEPTH_MAX];
	uint64_t ip[2 * DEPTH_MAX];
	uint64_t word[2 * DEPTH_MAX];
	uint64_t sum[DEPTH_MAX];
	struct dep dep[2 * DEPS_MAX];
	uint8_t mark[2 * DEPTH_MAX];
};
static_assert(sizeof(struct fa_unwind_thread) <= FA_UNWIND_THREAD_BYTES, "a thread's memory");

enum outcome { MERGED, ENDED, BROKEN, TRUNCATED, NEED_FULL };

struct walk {
	struct fa_unwind_thread *t;
	const struct fa_regs *regs;
	const struct fa_stack_bounds *bounds;
	uint64_t pc;
	uint64_t slot; /* where pc was read */
	uint64_t lo;   /* readable: [lo, hi) */
	uint64_t hi;
	int32_t unchanged; /* frames [0, unchanged) of the walk before have the same words in memory */
	int32_t near;      /* the first frame of the walk before that is not below `slot` */
	int32_t found;     /* frames in scratch */
	int32_t max;
	int32_t merged; /* index of the first frame taken over, -1: none */
	int32_t barrier; /* frames in scratch up to this one are not regular; -1: all are */
	uint64_t def;     /* who knows the current rbp: address | (saver + 1) << 48 */
	uint64_t used_def; /* the def that the last dep was made for */
	uint64_t rbp;     /* value of a def with address 0; of used_def */
	int32_t through;  /* a frame of the walk before that depends on the current rbp, -1: none */
	int32_t deps;     /* in scratch */
	uint8_t foreign;
	uint8_t crossed; /* the walk changed stacks */
	uint8_t any_marks;
	uint8_t no_keep; /* too many deps */
	uint16_t checked[CHECKED];
};

/* Multipliers of the hash, one per place: sums of products, so that a prefix is a partial sum and
 * no product waits for another. */
static uint64_t place_factor[DEPTH_MAX];

int fa_unwind_init(int (*find_object)(void *pc, void *result), fa_module_fn *module)
{
	uint64_t state = 0x66697273746c6f63ULL;

	/* splitmix64: the same numbers in every process. */
	for (unsigned i = 0; i < DEPTH_MAX; i++) {
		uint64_t z = (state += 0x9e3779b97f4a7c15ULL);

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
		z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
		place_factor[i] = (z ^ z >> 31) | 1;
	}
	return fa_rules_init(find_object, module);
}

static FA_INLINE uint64_t word_at(uint64_t address)
{
	return *(const uint64_t *)(uintptr_t)address;
}

static FA_INLINE void barrier(void)
{
	__asm__ volatile("" ::: "memory");
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
		uint64_t x = (word_at(t->slot[i]) ^ t->ip[i]) |
			     (word_at(t->slot[i + 1]) ^ t->ip[i + 1]);
		uint64_t y = (word_at(t->slot[i + 2]) ^ t->ip[i + 2]) |
			     (word_at(t->slot[i + 3]) ^ t->ip[i + 3]);

		if (FA_UNLIKELY((x | y) != 0))
			break;
	}
	for (; i < end; i++) {
		if (word_at(t->slot[i]) != t->ip[i])
			return i;
	}
	return end;
}

/* The same for the other words: no frame inside of a changed one's saver may be taken over. */
static FA_NOINLINE int32_t first_changed_dep(const struct walk *w, int32_t end)
{
	const struct fa_unwind_thread *t = w->t;

	for (uint32_t i = 0; i < t->deps; i++) {
		const struct dep *d = &t->dep[i];

		if (d->saver >= end)
			break;
		if (d->loc != 0 && (d->loc < w->lo || d->loc > w->hi - 8 || word_at(d->loc) != d->val))
			return d->saver;
	}
	return end;
}

/* The current rbp; 0 in *ok: it cannot be known. Remembers that a CFA depends on it. */
static uint64_t use_rbp(struct walk *w, int32_t user, int *ok)
{
	struct fa_unwind_thread *t = w->t;
	uint64_t loc = w->def & LOW48;
	struct dep *d = &t->dep[DEPS_MAX + w->deps];

	if (w->def == w->used_def) {
		d[-1].user = user;
		return w->rbp;
	}
	if (loc != 0) {
		if ((loc & 7) != 0 || loc < w->lo || loc > w->hi - 8) {
			*ok = 0;
			return 0;
		}
		w->rbp = word_at(loc);
	}
	if (FA_UNLIKELY(w->deps >= DEPS_MAX - 2)) {
		w->no_keep = 1;
		return w->rbp;
	}
	d->loc = loc;
	d->val = w->rbp;
	d->saver = (int32_t)(w->def >> 48) - 1;
	d->user = user;
	w->deps++;
	w->used_def = w->def;
	return w->rbp;
}

/* May frame `at` of the walk before be taken over, as far as the rbp that comes through there goes? */
static FA_NOINLINE int same_rbp_at(struct walk *w, int32_t at)
{
	const struct fa_unwind_thread *t = w->t;
	int32_t i = (int32_t)t->deps - 1;
	const struct dep *through = NULL;
	int ok = 1;

	/* The def that holds at `at` is the one with the smallest saver inside of it. */
	for (; i >= 0 && t->dep[i].saver > at; i--) {
		if (t->dep[i].user != t->dep[i].saver)
			through = &t->dep[i];
	}
	if (through == NULL || through->user > at)
		return 1;
	uint64_t rbp = use_rbp(w, w->found, &ok);

	if (!ok || rbp != through->val)
		return 0;
	w->through = through->user;
	return 1;
}

/* ---- one frame after the other ---- */

/* Once per module and walk. */
static FA_NOINLINE int check_module(struct walk *w, uint64_t rule, uint64_t pc)
{
	uint16_t index = (uint16_t)(FA_RULE_INDEX(rule) + 1);
	uint16_t *checked = &w->checked[index % CHECKED];

	if (*checked == index)
		return 1;
	if (!fa_rule_still_valid(rule, pc - 1))
		return 0;
	*checked = index;
	return 1;
}

/* More of a stack that is not the thread's own. */
static FA_NOINLINE int extend(struct walk *w, uint64_t slot)
{
	uint64_t hi = (slot + 8 + PAGE - 1) & ~(uint64_t)(PAGE - 1);

	if (!w->foreign || slot >> 47 != 0 || hi - w->hi > STACK_STEP_MAX ||
	    !fa_pages_readable(w->hi, hi))
		return 0;
	w->hi = hi;
	return 1;
}

/* The CFA slot of a realigned frame: read through rbp. 0: cannot. */
static FA_NOINLINE uint64_t realigned_slot(struct walk *w, uint64_t rule)
{
	struct fa_unwind_thread *t = w->t;
	int ok = 1;
	uint64_t rbp = use_rbp(w, w->found, &ok);
	uint64_t loc = rbp - 8 * FA_RULE_N(rule);

	if (!ok || (loc & 7) != 0 || loc < w->lo || loc > w->hi - 8)
		return 0;
	uint64_t cfa = word_at(loc);

	if (w->deps >= DEPS_MAX - 2) {
		w->no_keep = 1;
	} else {
		struct dep *d = &t->dep[DEPS_MAX + w->deps++];

		d->loc = loc;
		d->val = cfa;
		d->saver = w->found;
		d->user = w->found;
	}
	w->def = (rbp & LOW48) | (uint64_t)(w->found + 1) << 48;
	w->used_def = ~0ULL;
	return cfa - 8;
}

/* Where there is no CFI, libunwind takes rbp for a frame pointer if it is near. 0: it is not. */
static FA_NOINLINE uint64_t guessed_slot(struct walk *w)
{
	int ok = 1;
	uint64_t rbp = use_rbp(w, w->found, &ok);

	if (!ok || rbp < w->slot + 8 || rbp - (w->slot + 8) > GUESS_REACH)
		return 0;
	w->def = (rbp & LOW48) | (uint64_t)(w->found + 1) << 48;
	return rbp + 8;
}

/* Slots by the rarer kinds of rules; 0 and *ret when there is none. */
static FA_NOINLINE uint64_t rare_slot(struct walk *w, uint64_t rule, enum outcome *ret)
{
	*ret = BROKEN;
	switch (FA_RULE_KIND(rule)) {
	case FA_RULE_REALIGNED:
		return realigned_slot(w, rule);
	case FA_RULE_NONE:
		return guessed_slot(w);
	case FA_RULE_END:
		*ret = ENDED;
		return 0;
	case FA_RULE_FULL:
		*ret = NEED_FULL;
		return 0;
	default:
		return 0;
	}
}

static FA_NOINLINE uint64_t make_rule(struct walk *w, uint64_t rule, uint64_t pc)
{
	if (rule != 0 && check_module(w, rule, pc))
		return rule;
	return fa_rule_make(pc);
}

/*
 * From w->pc on, until the walk meets the one before, ends, or cannot go on here.
 *
 * The slot of the next frame is guessed to be that of the walk before (`near`): the guess is used to
 * load from, and only compared with what the rule says, so that the loads of many frames overlap.
 */
static enum outcome walk_frames(struct walk *w)
{
	struct fa_unwind_thread *t = w->t;
	struct fa_rule_table *table = fa_rules();
	uint64_t pc = w->pc;
	uint64_t slot = w->slot;
	uint64_t def = w->def;
	int32_t near = w->near;
	int32_t found = w->found;
	enum outcome outcome;

	for (;;) {
		uint64_t rule = fa_rule_find(table, pc);
		uint64_t next;

		if (FA_UNLIKELY(rule == 0 || (rule & FA_RULE_MORTAL) != 0)) {
			rule = make_rule(w, rule, pc);
			table = fa_rules();
		}
		t->slot[SCRATCH + found] = slot;
		t->ip[SCRATCH + found] = pc;
		t->word[SCRATCH + found] = pc | rule << 48;
		if (FA_LIKELY(FA_RULE_KIND(rule) == FA_RULE_RSP)) {
			next = slot + 8 * FA_RULE_N(rule);
			if (FA_RULE_K(rule) != 0)
				def = (next + 8 - 8 * FA_RULE_K(rule)) | (uint64_t)(found + 1) << 48;
		} else {
			int ok = 1;

			w->def = def;
			w->found = found;
			w->slot = slot;
			if (FA_LIKELY(FA_RULE_KIND(rule) == FA_RULE_RBP)) {
				next = use_rbp(w, found, &ok) + 8 * FA_RULE_N(rule);
				if (FA_RULE_K(rule) != 0)
					w->def = (next + 8 - 8 * FA_RULE_K(rule)) |
						 (uint64_t)(found + 1) << 48;
				outcome = BROKEN;
				next = ok ? next : 0;
			} else {
				next = rare_slot(w, rule, &outcome);
			}
			def = w->def;
			if (next == 0) {
				found += outcome != NEED_FULL;
				break;
			}
		}
		found++;
		while (near >= 0 && t->slot[near] < next)
			near--;
		if (FA_LIKELY(near >= 0 && t->slot[near] == next)) {
			next = t->slot[near];
			__asm__("" : "+r"(next)); /* load from the guess, not from the sum */
			if (near < w->unchanged) {
				w->def = def;
				w->found = found;
				if (FA_LIKELY(t->deps == 0) || same_rbp_at(w, near)) {
					w->merged = near;
					return MERGED;
				}
			}
			near--;
		} else if (FA_UNLIKELY(next <= slot || next > w->hi - 8 || (next & 7) != 0)) {
			outcome = BROKEN;
			if (next <= slot || (next & 7) != 0 || !extend(w, next))
				break;
		}
		pc = word_at(next);
		slot = next;
		if (FA_UNLIKELY(pc - 1 >= (1ULL << 47) - 1)) {
			outcome = pc == 0 ? ENDED : BROKEN;
			break;
		}
		if (FA_UNLIKELY(found == w->max)) {
			outcome = TRUNCATED;
			break;
		}
	}
	w->found = found;
	w->def = def;
	return outcome;
}

/* ---- frames that need every register ---- */

static void load_registers(struct fa_full *f, const struct fa_regs *regs)
{
	for (unsigned i = 0; i < FA_CFI_REGS; i++)
		f->reg[i] = 0;
	f->reg[FA_CFI_RBX] = regs->rbx;
	f->reg[FA_CFI_RBP] = regs->rbp;
	f->reg[FA_CFI_RSP] = regs->rsp;
	f->reg[FA_CFI_R12] = regs->r12;
	f->reg[FA_CFI_R12 + 1] = regs->r13;
	f->reg[FA_CFI_R12 + 2] = regs->r14;
	f->reg[FA_CFI_R12 + 3] = regs->r15;
	f->reg[FA_CFI_RA] = regs->rip;
	f->known = 1U << FA_CFI_RBX | 1U << FA_CFI_RBP | 1U << FA_CFI_RSP | 15U << FA_CFI_R12 |
		   1U << FA_CFI_RA;
	f->interrupted = 0;
}

static int on_own_stack(const struct fa_stack_bounds *bounds, uint64_t rsp)
{
	return rsp >= bounds->lo && rsp < bounds->hi;
}

/* After a frame that moved to another stack: what may be read there. */
static int enter_stack(struct walk *w, uint64_t rsp)
{
	if (rsp >= w->lo && rsp < w->hi)
		return 1;
	w->crossed = 1;
	w->unchanged = 0;
	w->near = -1;
	w->lo = rsp - 8;
	w->foreign = !on_own_stack(w->bounds, rsp);
	if (!w->foreign) {
		w->hi = w->bounds->hi;
		return 1;
	}
	w->lo = rsp & ~(uint64_t)(PAGE - 1);
	w->hi = w->lo + PAGE;
	return fa_pages_readable(w->lo, w->hi);
}

/* Begins anew with all registers, through frame `until` and on while the caller was interrupted; then
 * the quick walk can go on. NEED_FULL: it can. */
static FA_NOINLINE enum outcome walk_full(struct walk *w, int32_t until)
{
	struct fa_unwind_thread *t = w->t;
	struct fa_readable readable = {w->lo, w->hi, 0, 0};
	struct fa_full f;

	load_registers(&f, w->regs);
	w->deps = 0;
	w->used_def = ~0ULL;
	w->found = 0;
	if (!w->any_marks) {
		for (unsigned i = 0; i < DEPTH_MAX; i++)
			t->mark[SCRATCH + i] = 0;
	}
	while (w->found <= until || f.interrupted) {
		int32_t at = SCRATCH + w->found;
		uint64_t pc = f.reg[FA_CFI_RA];

		if (w->found == w->max)
			return TRUNCATED;
		if (pc >> 47 != 0)
			return BROKEN;
		t->slot[at] = f.reg[FA_CFI_RSP] - 8;
		t->ip[at] = pc;
		t->mark[at] = f.interrupted ? FA_NODE_SIGNAL : 0;
		w->any_marks |= f.interrupted != 0;
		int step = fa_full_step(&f, &readable);

		t->word[at] = pc | (uint64_t)f.module << 48;
		w->found++;
		w->barrier = w->found;
		if (step <= 0)
			return step == 0 ? ENDED : BROKEN;
	}
	if (w->found == w->max)
		return TRUNCATED;
	w->pc = f.reg[FA_CFI_RA];
	w->slot = f.reg[FA_CFI_RSP] - 8;
	w->rbp = f.reg[FA_CFI_RBP];
	w->def = (uint64_t)w->found << 48 | ((f.known >> FA_CFI_RBP & 1) == 0);
	if (w->pc >> 47 != 0 || !enter_stack(w, f.reg[FA_CFI_RSP]))
		return BROKEN;
	while (w->near >= 0 && t->slot[w->near] <= w->slot)
		w->near--;
	return NEED_FULL;
}

/* The whole walk, by whatever it needs. */
static enum outcome walk_all(struct walk *w)
{
	enum outcome outcome = walk_frames(w);

	while (FA_UNLIKELY(outcome == NEED_FULL)) {
		/* The quick walk may have left the stack that the walk began on. */
		if (w->crossed) {
			w->lo = w->regs->rsp - 8;
			w->hi = w->lo + 8;
		}
		outcome = walk_full(w, w->found);
		if (outcome == NEED_FULL)
			outcome = walk_frames(w);
	}
	return outcome;
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
		t->mark[i] = t->has_marks ? t->mark[i + drop] : 0;
		sum += (t->word[i] ^ (uint64_t)t->mark[i] << 45) * place_factor[i];
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
		sum += (t->word[i] ^ (uint64_t)t->mark[i] << 45) * place_factor[i];
		t->sum[i] = sum;
		any |= t->mark[i];
	}
	t->has_marks = any != 0;
}

/* The frames found, turned round, behind those taken over. */
static FA_INLINE void keep_frames(struct fa_unwind_thread *t, int32_t begin, int32_t found)
{
	uint64_t sum = begin > 0 ? t->sum[begin - 1] : 0;
	int32_t to = begin;

	for (int32_t from = SCRATCH + found - 1; from >= SCRATCH; from--, to++) {
		uint64_t word = t->word[from];

		t->slot[to] = t->slot[from];
		t->ip[to] = t->ip[from];
		t->word[to] = word;
		sum += word * place_factor[to];
		t->sum[to] = sum;
	}
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
	w->used_def = ~0ULL;
	w->rbp = w->regs->rbp;
	w->through = -1;
	w->deps = 0;
	w->crossed = 0;
	w->any_marks = 0;
	w->no_keep = 0;
	for (unsigned i = 0; i < CHECKED; i++)
		w->checked[i] = 0;
}

/* Walks, and stores the result as the walk before of the next one. */
static FA_NOINLINE void walk_and_keep(struct walk *w, uint32_t max_depth, struct fa_stack_view *ret)
{
	struct fa_unwind_thread *t = w->t;
	enum outcome outcome = walk_all(w);
	int32_t depth = w->merged + 1 + w->found;
	int32_t common;

	/* Cut walks have another outermost frame for each depth. */
	if (FA_UNLIKELY(outcome == MERGED && (t->marks & FA_NODE_TRUNCATED) != 0 && depth < w->max)) {
		uint64_t hi = w->hi;

		start(w);
		w->hi = hi;
		w->unchanged = 0;
		w->near = -1;
		outcome = walk_all(w);
		depth = w->found;
	}
	if (FA_UNLIKELY(depth > w->max)) {
		cut_outermost(w, depth - w->max);
		depth = w->max;
		common = 0;
	} else {
		common = w->merged + 1;
	}
	if (outcome != MERGED)
		t->marks = outcome == TRUNCATED ? FA_NODE_TRUNCATED :
			   outcome == BROKEN	? FA_NODE_BROKEN :
						  0;
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

void fa_unwind(struct fa_unwind_thread *t, const struct fa_regs *regs,
	       const struct fa_stack_bounds *bounds, unsigned max_depth, struct fa_stack_view *ret)
{
	struct walk w;
	int32_t near = (int32_t)t->count - 1;
	uint64_t slot = regs->rsp - 8;
	int32_t unchanged = 0;

	t->count = 0;
	barrier();
	w.t = t;
	w.regs = regs;
	w.bounds = bounds;
	w.lo = slot;
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
	if (near >= 0) {
		int same_place = t->slot[near] == slot;

		/* Its own frame is in the registers; what is further out is in memory. */
		unchanged = first_changed(t, near + !same_place);
		if (t->deps != 0)
			unchanged = first_changed_dep(&w, unchanged);
		if (same_place) {
			if (unchanged == near && t->ip[near] == regs->rip && t->deps == 0 &&
			    ((t->marks & FA_NODE_TRUNCATED) == 0 || near + 1 == (int32_t)max_depth)) {
				deliver(t, near + 1, near + 1, ret);
				barrier();
				t->count = (uint32_t)near + 1;
				return;
			}
			near--;
		}
	} else {
		t->deps = 0;
	}
	w.near = near;
	w.unchanged = unchanged;
	w.max = max_depth > DEPTH_MAX ? DEPTH_MAX : max_depth < 1 ? 1 : (int32_t)max_depth;
	start(&w);
	walk_and_keep(&w, max_depth, ret);
}
