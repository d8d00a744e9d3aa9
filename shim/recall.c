/* recall.c - see recall.h: what is kept of a walk. */
#include "shim/recall.h"

#include <stdbool.h>

#include "shim/walk.h"

int fa_recall_modules_stay(const struct fa_recall *e)
{
	for (uint32_t i = 0; i < e->modules; i++) {
		if (!fa_rule_still_valid(e->module[i].rule, e->module[i].pc - 1))
			return 0;
	}
	return 1;
}

int fa_recall_is_it(const struct fa_recall *e, const struct fa_regs *regs)
{
	uint64_t rsp = regs->rsp;

	if (e->rsp != rsp || e->rip != regs->rip || ((e->rbp ^ regs->rbp) & e->rbp_mask) != 0)
		return 0;
	for (const struct fa_recall_four *f = e->four; f < fa_recall_fours(e, e->singles); f++) {
		fa_two x = fa_recall_singles_differ(f, rsp);

		if ((x[0] | x[1]) != 0)
			return 0;
	}
	for (const struct fa_recall_four *f = fa_recall_fours(e, e->pairs);
	     f < e->four + FA_RECALL_FOURS; f++) {
		fa_two x = fa_recall_pairs_differ(f, rsp);

		if ((x[0] | x[1]) != 0)
			return 0;
	}
	return FA_LIKELY(e->modules == 0) || fa_recall_modules_stay(e);
}

/* A rule that may be gone with its module. 0: there are too many modules of that kind. */
static int note_module(struct fa_recall *e, uint64_t pc, uint64_t rule)
{
	for (uint32_t i = 0; i < e->modules; i++) {
		if (FA_RULE_INDEX(e->module[i].rule) == FA_RULE_INDEX(rule))
			return 1;
	}
	if (e->modules == FA_RECALL_MODULES)
		return 0;
	e->module[e->modules].pc = pc;
	e->module[e->modules].rule = rule;
	e->modules++;
	return 1;
}

/* All but the outermost frame lead to their caller by words that are compared. 0: not all. */
static int note_rules(struct fa_recall *e, const struct fa_unwind_thread *t)
{
	for (uint32_t i = t->same; i-- > 0;) {
		uint64_t rule = t->rule[i];

		if (FA_UNLIKELY((rule & FAST_MASK) != FAST_RSP) &&
		    (!(fa_rule_is_plain(rule) || (i == 0 && FA_RULE_KIND(rule) == FA_RULE_END)) ||
		     ((rule & FA_RULE_MORTAL) != 0 && !note_module(e, t->ip[i], rule))))
			return 0;
	}
	return 1;
}

/* Words on their way into an entry: single ones from its front, two side by side from its back. */
struct filling {
	struct fa_recall *e;
	uint64_t rsp;
	uint32_t singles;
	uint32_t pairs;
};

/* 0: it is full, or that word is too far away. */
static FA_INLINE int put_single(struct filling *f, uint64_t address, uint64_t value)
{
	struct fa_recall_four *to = &f->e->four[f->singles / 4];
	uint64_t place = (address - (f->rsp - 8)) / 8;
	uint32_t n = f->singles % 4;

	if (f->singles / 4 + (f->pairs + 1) / 2 >= FA_RECALL_FOURS || place > UINT32_MAX)
		return 0;
	to->place[n] = (uint32_t)place;
	((uint64_t *)to->value)[n] = value;
	f->singles++;
	return 1;
}

static FA_INLINE int put_pair(struct filling *f, uint64_t address, uint64_t low, uint64_t high)
{
	struct fa_recall_four *to = &f->e->four[FA_RECALL_FOURS - 1 - f->pairs / 2];
	uint64_t place = (address - (f->rsp - 8)) / 8;
	uint32_t n = f->pairs % 2;

	if ((f->singles + 3) / 4 + f->pairs / 2 >= FA_RECALL_FOURS || place > UINT32_MAX)
		return 0;
	to->place[2 * n] = (uint32_t)place;
	to->place[2 * n + 1] = (uint32_t)place + 1;
	to->value[n] = (fa_two){low, high};
	f->pairs++;
	return 1;
}

/* What is left of the last four is as the one before it; and the entry knows how many there are. */
static void fill_up(struct filling *f)
{
	struct fa_recall *e = f->e;
	struct fa_recall_four *last = &e->four[(f->singles - 1) / 4];

	for (uint32_t n = (f->singles - 1) % 4 + 1; n < 4; n++) {
		last->place[n] = last->place[n - 1];
		((uint64_t *)last->value)[n] = ((uint64_t *)last->value)[n - 1];
	}
	if (f->pairs % 2 != 0) {
		last = &e->four[FA_RECALL_FOURS - 1 - f->pairs / 2];
		last->place[2] = last->place[0];
		last->place[3] = last->place[1];
		last->value[1] = last->value[0];
	}
	e->singles = (f->singles + 3) / 4 * (uint32_t)sizeof(e->four[0]);
	e->pairs = (FA_RECALL_FOURS - (f->pairs + 1) / 2) * (uint32_t)sizeof(e->four[0]);
}

/* All slots, and all words that some CFA was computed from. Both come innermost first, which most often is by
 * address; where it is not, two words that lie side by side are kept one by one. */
static int note_words(struct filling *f, const struct fa_unwind_thread *t)
{
	uint32_t d = t->deps;

	if (d > 0 && t->dep[d - 1].loc == 0) {
		f->e->rbp = t->dep[--d].val;
		f->e->rbp_mask = ~0ULL;
	}
	for (uint32_t i = t->same; i-- > 0;) {
		uint64_t slot = t->slot[i];

		for (; d > 0 && t->dep[d - 1].loc < slot - 8; d--) {
			if (!put_single(f, t->dep[d - 1].loc, t->dep[d - 1].val))
				return 0;
		}
		if (d > 0 && t->dep[d - 1].loc == slot - 8) {
			if (!put_pair(f, slot - 8, t->dep[--d].val, t->ip[i]))
				return 0;
		} else if (!put_single(f, slot, t->ip[i])) {
			return 0;
		}
	}
	while (d-- > 0) {
		if (!put_single(f, t->dep[d].loc, t->dep[d].val))
			return 0;
	}
	return f->singles != 0;
}

/* The innermost of the words there that is another now, if it lies inside of `first`; else `first`. */
static uint64_t first_changed(const struct fa_recall *e, const struct fa_recall_four *f,
			      uint64_t first)
{
	for (uint32_t i = 0; i < 4; i++) {
		uint64_t address = fa_recall_address(e->rsp, f->place[i]);

		if (address < first && fa_word_at(address) != f->value[i / 2][i % 2])
			first = address;
	}
	return first;
}

/* Two walks from the same registers are about to have one place: that they may have two from now on,
 * a slot of the site becomes the innermost one in which they differ. */
static void tell_apart(struct fa_recall_site *s, const struct fa_recall *e)
{
	const struct fa_recall_four *f;
	uint64_t none = s->rsp - 8, address = UINT64_MAX;

	for (f = e->four; f < fa_recall_fours(e, e->singles); f++)
		address = first_changed(e, f, address);
	for (f = fa_recall_fours(e, e->pairs); f < e->four + FA_RECALL_FOURS; f++)
		address = first_changed(e, f, address);
	if (address == UINT64_MAX)
		return;
	for (unsigned k = 0; k < FA_RECALL_SLOTS && s->slot[k] != address; k++) {
		if (s->slot[k] == none) {
			s->slot[k] = address;
			return;
		}
	}
}

static bool was_used(const struct fa_recalls *r, uint32_t place)
{
	return (r->used[place / 64] >> place % 64 & 1) != 0;
}

/* An empty one of the places; else each in turns. */
static struct fa_recall *choose(struct fa_recalls *r, const struct fa_recall_site *s)
{
	uint32_t place = fa_recall_place(r, s);

	for (uint32_t i = 0; i < FA_RECALL_WAYS; i++)
		if (!was_used(r, place ^ i) || r->walk[place ^ i].rsp == 0)
			return &r->walk[place ^ i];
	return &r->walk[place ^ r->kept++ % FA_RECALL_WAYS];
}

static struct fa_recall *make_place(struct fa_recalls *r, const struct fa_regs *regs)
{
	struct fa_recall_site *s = fa_recall_site(r, regs);
	struct fa_recall *e;

	if (s->rsp != regs->rsp || s->rip != regs->rip) {
		s->rsp = 0;
		barrier();
		s->rip = regs->rip;
		for (unsigned k = 0; k < FA_RECALL_SLOTS; k++)
			s->slot[k] = regs->rsp - 8;
		barrier();
		s->rsp = regs->rsp;
	}
	e = choose(r, s);
	if (e->rsp != regs->rsp || e->rip != regs->rip)
		return e;
	tell_apart(s, e);
	return choose(r, s);
}

struct fa_recall *fa_recall_keep(struct fa_recalls *r, const struct fa_unwind_thread *t,
		    const struct fa_regs *regs, uint32_t id)
{
	struct filling f = {.rsp = regs->rsp};
	struct fa_recall *e;

	/* All that a walk reads lies at multiples of 8; only rsp itself may not. */
	if (t->same < FA_RECALL_LEAST || (regs->rsp & 7) != 0)
		return NULL;
	r->any = 1;
	r->in_vain += r->in_vain < FA_RECALL_PATIENCE;
	barrier();
	e = make_place(r, regs);
	r->used[(e - r->walk) / 64] |= 1ULL << (e - r->walk) % 64;
	e->rsp = 0;
	barrier();
	e->rip = regs->rip;
	e->rbp_mask = 0;
	e->modules = 0;
	e->id = id;
	e->next = e;
	e->sure = 0;
	f.e = e;
	if (!note_rules(e, t) || !note_words(&f, t))
		return NULL;
	fill_up(&f);
	barrier();
	e->rsp = regs->rsp;
	return e;
}

void fa_recall_nothing(struct fa_recalls *r)
{
	if (r->any == 0)
		return;
	for (unsigned i = 0; i < FA_RECALLS; i++)
		r->site[i].rsp = 0;
	for (unsigned i = 0; i < FA_RECALLS; i++)
		if (was_used(r, i))
			r->walk[i].rsp = 0;
}
