/* walk.c - see walk.h: frame by frame, by cached rules, until the walk before is met. */
#include "shim/walk.h"

#include "shim/full.h"

/* More of a stack that is not the thread's own. */
int fa_walk_extend(struct walk *w, uint64_t slot)
{
	uint64_t hi = (slot + 8 + PAGE - 1) & ~(uint64_t)(PAGE - 1);

	if (!w->foreign || slot >> 47 != 0 || hi - w->hi > STACK_STEP_MAX ||
	    !fa_pages_readable(w->hi, hi)) {
		w->no_keep |= w->foreign;
		return 0;
	}
	w->hi = hi;
	return 1;
}

/* What cannot be read now may be readable in the next walk, which begins elsewhere. */
static FA_INLINE int can_read(struct walk *w, uint64_t loc)
{
	if (FA_LIKELY((loc & 7) == 0 && loc >= w->lo &&
		      (loc <= w->hi - 8 || fa_walk_extend(w, loc))))
		return 1;
	w->no_keep = 1;
	return 0;
}

/* Brings `def` up to date: which of the frames found restored rbp last? The slot of the current frame
 * must be in scratch already. */
static FA_INLINE void find_def(struct walk *w)
{
	const struct fa_unwind_thread *t = w->t;

	for (int32_t k = w->found - 1; k >= w->def_from; k--) {
		uint64_t save = FA_RULE_K(t->word[SCRATCH + k]);

		if (save != 0) {
			w->def = (t->slot[SCRATCH + k + 1] + 8 - 8 * save) | (uint64_t)(k + 1)
										     << 48;
			break;
		}
	}
	w->def_from = w->found;
}

/* The current rbp; 0 in *ok: it cannot be known. Remembers that a CFA depends on it. */
uint64_t fa_walk_use_rbp(struct walk *w, int32_t user, int *ok)
{
	struct fa_unwind_thread *t = w->t;
	struct dep *d = &t->dep[DEPS_MAX + w->deps];

	find_def(w);
	uint64_t loc = w->def & LOW48;

	if (w->def == w->used_def) {
		d[-1].user = user;
		return w->rbp;
	}
	if (loc != 0) {
		if (!can_read(w, loc)) {
			*ok = 0;
			return 0;
		}
		w->rbp = fa_word_at(loc);
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
int fa_walk_same_rbp(struct walk *w, int32_t at)
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

	w->t->slot[SCRATCH + w->found] = w->t->slot[at]; /* for find_def() */
	uint64_t rbp = fa_walk_use_rbp(w, w->found, &ok);

	if (!ok || rbp != through->val)
		return 0;
	w->through = through->user;
	return 1;
}

/* Once per module and walk. */
FA_NOINLINE int fa_walk_check_module(struct walk *w, uint64_t rule, uint64_t pc)
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

/* The CFA slot of a realigned frame: read through rbp. 0: cannot. */
static FA_NOINLINE uint64_t realigned_slot(struct walk *w, uint64_t rule)
{
	struct fa_unwind_thread *t = w->t;
	int ok = 1;
	uint64_t rbp = fa_walk_use_rbp(w, w->found, &ok);
	uint64_t loc = rbp - 8 * FA_RULE_N(rule);

	if (!ok || !can_read(w, loc))
		return 0;
	uint64_t cfa = fa_word_at(loc);

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
	w->def_from = w->found + 1;
	w->used_def = ~0ULL;
	return cfa - 8;
}

/* A return address that is a function's first byte: nobody called there, somebody put the address
 * there by hand, as makecontext() does. The outermost frame. */
static FA_NOINLINE int is_fabricated(uint64_t pc)
{
	const struct fa_cfi_image *image;
	struct fa_cfi_row row;
	uint32_t module;

	return fa_rule_row(pc, 1, &row, &image, &module) == 0;
}

/* Where there is no CFI, libunwind takes rbp for a frame pointer if it is near, and for the mark of
 * the outermost frame (psABI 3.4.1) if it is 0. 0: neither, or the end. */
static FA_NOINLINE uint64_t guessed_slot(struct walk *w, uint64_t pc, enum outcome *ret)
{
	int ok = 1;
	uint64_t rbp = fa_walk_use_rbp(w, w->found, &ok);

	if (!ok || rbp < w->slot + 8 || rbp - (w->slot + 8) > GUESS_REACH) {
		if ((ok && rbp == 0) || is_fabricated(pc))
			*ret = ENDED;
		return 0;
	}
	w->def = (rbp & LOW48) | (uint64_t)(w->found + 1) << 48;
	w->def_from = w->found + 1;
	return rbp + 8;
}

/* The word at `slot` ended the walk: with another word there it would go on. */
static FA_NOINLINE void note_end(struct walk *w, int32_t frame, uint64_t slot, uint64_t pc)
{
	struct dep *d = &w->t->dep[DEPS_MAX + w->deps];

	if (w->deps >= DEPS_MAX - 2) {
		w->no_keep = 1;
		return;
	}
	d->loc = slot;
	d->val = pc;
	d->saver = frame;
	d->user = frame;
	w->deps++;
	w->used_def = ~0ULL;
}

/* Slots by the rarer kinds of rules; 0 and *ret when there is none. */
static FA_NOINLINE uint64_t rare_slot(struct walk *w, uint64_t rule, uint64_t pc, enum outcome *ret)
{
	*ret = BROKEN;
	switch (FA_RULE_KIND(rule)) {
	case FA_RULE_REALIGNED:
		return realigned_slot(w, rule);
	case FA_RULE_NONE:
		return guessed_slot(w, pc, ret);
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

/* The next slot by a rule that is not of the quick kind, not in the table, or of a module that may be
 * gone. 0 and *ret: the walk cannot go on here. */
static FA_NOINLINE uint64_t other_slot(struct walk *w, uint64_t rule, uint64_t pc,
				       enum outcome *ret)
{
	int ok = 1;

	if (rule == 0 || ((rule & FA_RULE_MORTAL) != 0 && !fa_walk_check_module(w, rule, pc)))
		rule = fa_rule_make(pc);
	w->t->word[SCRATCH + w->found] = rule;
	if (FA_RULE_KIND(rule) == FA_RULE_RSP)
		return w->slot + 8 * FA_RULE_N(rule);
	if (FA_RULE_KIND(rule) != FA_RULE_RBP)
		return rare_slot(w, rule, pc, ret);
	uint64_t rbp = fa_walk_use_rbp(w, w->found, &ok);

	*ret = BROKEN;
	return ok ? rbp + 8 * FA_RULE_N(rule) : 0;
}

/*
 * From w->pc on, until the walk meets the one before, ends, or cannot go on here.
 *
 * The slot of the next frame is guessed to be that of the walk before (`near`): the guess is used to
 * load from, and only compared with what the rule says, so that the loads of many frames overlap.
 */
enum outcome fa_walk_frames(struct walk *w)
{
	struct fa_unwind_thread *t = w->t;
	const struct fa_rule_table *table = fa_rules();
	uint64_t mask = table->mask;
	uint64_t pc = w->pc;
	uint64_t slot = w->slot;
	int32_t near = w->near;
	int32_t found = w->found;
	enum outcome outcome;

	for (;;) {
		uint64_t rule = fa_rule_find(table, mask, pc);
		uint64_t next;

		t->slot[SCRATCH + found] = slot;
		t->ip[SCRATCH + found] = pc;
		if (FA_LIKELY((rule & FAST_MASK) == FAST_RSP)) {
			t->word[SCRATCH + found] = rule;
			next = slot + 8 * FA_RULE_N(rule);
		} else {
			w->found = found;
			w->slot = slot;
			next = other_slot(w, rule, pc, &outcome);
			table = fa_rules();
			mask = table->mask;
			if (next == 0) {
				found += outcome != NEED_FULL;
				break;
			}
		}
		found++;
		while (near >= 0 && t->slot[near] < next)
			near--;
		if (FA_LIKELY(near >= 0 && t->slot[near] == next)) {
			next = guess_of(t, near);
			if (near < w->unchanged) {
				w->found = found;
				if (FA_LIKELY(t->deps == 0) || fa_walk_same_rbp(w, near)) {
					w->merged = near;
					return MERGED;
				}
			}
			near--;
		} else if (FA_UNLIKELY(next <= slot || next > w->hi - 8 || (next & 7) != 0)) {
			outcome = BROKEN;
			if (next <= slot || (next & 7) != 0 || !fa_walk_extend(w, next))
				break;
		}
		pc = fa_word_at(next);
		slot = next;
		if (FA_UNLIKELY(pc - 1 >= (1ULL << 47) - 1)) {
			outcome = pc == 0 ? ENDED : BROKEN;
			note_end(w, found - 1, slot, pc);
			break;
		}
		if (FA_UNLIKELY(found == w->max)) {
			outcome = TRUNCATED;
			note_end(w, found - 1, slot, pc);
			break;
		}
	}
	w->found = found;
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

		t->word[at] = f.module;
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
	w->def_from = w->found;
	if (w->pc >> 47 != 0 || !enter_stack(w, f.reg[FA_CFI_RSP]))
		return BROKEN;
	while (w->near >= 0 && t->slot[w->near] <= w->slot)
		w->near--;
	return NEED_FULL;
}

/* The whole walk, by whatever it needs. */
enum outcome fa_walk_all(struct walk *w)
{
	enum outcome outcome = fa_walk_frames(w);

	while (FA_UNLIKELY(outcome == NEED_FULL)) {
		/* The quick walk may have left the stack that the walk began on. */
		if (w->crossed) {
			w->lo = w->regs->rsp - 8;
			w->hi = w->lo + 8;
		}
		outcome = walk_full(w, w->found);
		if (outcome == NEED_FULL)
			outcome = fa_walk_frames(w);
	}
	return outcome;
}
