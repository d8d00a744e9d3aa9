/* walk_place.c - see walk.h: walks that find each frame in the slot where the walk before found one. */
#include "shim/walk.h"

/*
 * The same while each frame stands in the very slot of one of the walk before, as when a program goes
 * up and down in the same functions. Then nothing but the addresses changes, and the frames can be
 * written where they stay. Anything else is left to fa_walk_frames(), from the last frame on.
 * 1: met the walk before.
 */
int fa_walk_in_place(struct walk *w, int32_t begin)
{
	struct fa_unwind_thread *t = w->t;
	const struct fa_rule_table *table = fa_rules();
	uint64_t mask = table->mask;
	uint64_t pc = w->pc;
	int32_t at = begin;

	for (;;) {
		uint64_t rule = fa_rule_find(table, mask, pc);

		if (FA_UNLIKELY((rule & FAST_MASK) != FAST_RSP || at == 0 ||
				t->slot[at] + 8 * FA_RULE_N(rule) != t->slot[at - 1]))
			break;
		t->ip[at] = pc;
		t->word[at] = rule;
		at--;
		if (at < w->unchanged) {
			w->merged = at;
			return 1;
		}
		pc = word_at(guess_of(t, at));
	}
	if (at == begin)
		return 0;
	/* The last frame again, and those before it to where fa_walk_frames() has them. */
	at++;
	w->found = begin - at;
	for (int32_t i = begin; i > at; i--) {
		t->slot[SCRATCH + begin - i] = t->slot[i];
		t->ip[SCRATCH + begin - i] = t->ip[i];
		t->word[SCRATCH + begin - i] = t->word[i];
	}
	w->slot = t->slot[at];
	w->pc = t->ip[at];
	w->near = at - 1;
	return 0;
}

/* fa_walk_in_place() for stacks where CFAs come from rbp: the deps, too, must be where they were. */
struct place {
	const struct fa_unwind_thread *t;
	uint64_t rbp;     /* at the beginning */
	uint64_t def_loc; /* as in struct dep */
	int32_t def_saver;
	uint32_t deps; /* those not met yet */
};

/* Is the next dep the one that the current rbp would make, with this user? */
static FA_INLINE int dep_in_place(const struct place *p, int32_t user)
{
	if (p->deps == 0)
		return 0;
	const struct dep *d = &p->t->dep[p->deps - 1];

	return d->loc == p->def_loc && d->saver == p->def_saver && d->user == user;
}

static FA_INLINE uint64_t dep_value(const struct place *p)
{
	uint64_t loc;

	if (p->def_loc == 0)
		return p->rbp;
	__asm__("movq %1, %0" : "=r"(loc) : "m"(p->t->dep[p->deps - 1].loc)); /* see guess_of() */
	return word_at(loc);
}

/* May frame `at` be taken over, as far as rbp goes? Cautious: a no costs time only. */
static FA_INLINE int same_dep_at(const struct place *p, int32_t at)
{
	if (p->deps == 0)
		return 1;
	const struct dep *d = &p->t->dep[p->deps - 1];

	if (d->saver <= at)
		return 1;
	return d->user <= at && d->user != d->saver && d->loc == p->def_loc &&
	       d->saver == p->def_saver && dep_value(p) == d->val;
}

/* The deps of frames inside of `begin` are gone; what comes through there is in a register now. */
static FA_INLINE void begin_place(struct place *p, struct walk *w, int32_t begin)
{
	struct fa_unwind_thread *t = w->t;
	uint32_t n = t->deps;

	while (n > 0 && t->dep[n - 1].saver > begin && t->dep[n - 1].user > begin)
		n--;
	if (n > 0 && t->dep[n - 1].saver > begin) {
		t->dep[n - 1].saver = begin + 1;
		t->dep[n - 1].loc = 0;
	}
	t->deps = n;
	p->t = t;
	p->rbp = w->regs->rbp;
	p->def_loc = 0;
	p->def_saver = begin + 1;
	p->deps = n;
}

int fa_walk_in_place_by_rbp(struct walk *w, int32_t begin)
{
	struct fa_unwind_thread *t = w->t;
	const struct fa_rule_table *table = fa_rules();
	uint64_t mask = table->mask;
	uint64_t pc = w->pc;
	int32_t at = begin;
	struct place p;

	begin_place(&p, w, begin);
	while (at >= w->unchanged) {
		uint64_t rule = fa_rule_find(table, mask, pc);
		uint64_t next = t->slot[at] + 8 * FA_RULE_N(rule);

		if ((rule & FAST_MASK) == FAST_RBP) {
			if (p.def_loc != 0 && p.def_loc < w->lo)
				return 0;
			if (!dep_in_place(&p, at) || FA_RULE_K(rule) == 0)
				return 0;
			uint64_t rbp = dep_value(&p);

			next = rbp + 8 * FA_RULE_N(rule);
			t->dep[--p.deps].val = rbp;
		} else if ((rule & FAST_MASK) != FAST_RSP) {
			return 0;
		}
		if (at == 0 || next != t->slot[at - 1])
			return 0;
		if (FA_RULE_K(rule) != 0) {
			p.def_loc = t->slot[at - 1] + 8 - 8 * FA_RULE_K(rule);
			p.def_saver = at;
		}
		t->ip[at] = pc;
		t->word[at] = rule;
		at--;
		pc = word_at(guess_of(t, at));
	}
	if (p.def_loc != 0 && p.def_loc < w->lo)
		return 0;
	w->merged = at;
	return same_dep_at(&p, at);
}
