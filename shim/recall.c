/* recall.c - see recall.h: what is kept of a walk. */
#include "shim/recall.h"

#include "shim/walk.h"

int fa_recall_modules_stay(const struct fa_recall *e)
{
	for (uint32_t i = 0; i < e->modules; i++) {
		if (!fa_rule_still_valid(e->module[i].value, e->module[i].address - 1))
			return 0;
	}
	return 1;
}

/* A rule that may be gone with its module. 0: there are too many modules of that kind. */
static int note_module(struct fa_recall *e, uint64_t pc, uint64_t rule)
{
	for (uint32_t i = 0; i < e->modules; i++) {
		if (FA_RULE_INDEX(e->module[i].value) == FA_RULE_INDEX(rule))
			return 1;
	}
	if (e->modules == FA_RECALL_MODULES)
		return 0;
	e->module[e->modules].address = pc;
	e->module[e->modules].value = rule;
	e->modules++;
	return 1;
}

/* All but the outermost frame lead to their caller by words that are compared. */
static int note_frames(struct fa_recall *e, const struct fa_unwind_thread *t)
{
	struct fa_recall_word *to = e->word;

	for (uint32_t i = t->same; i-- > 0;) {
		uint64_t rule = t->rule[i];

		if (FA_UNLIKELY((rule & FAST_MASK) != FAST_RSP) &&
		    (!(fa_rule_is_plain(rule) || (i == 0 && FA_RULE_KIND(rule) == FA_RULE_END)) ||
		     ((rule & FA_RULE_MORTAL) != 0 && !note_module(e, t->ip[i], rule))))
			return 0;
		to->address = t->slot[i];
		to->value = t->ip[i];
		to++;
	}
	e->words = t->same;
	return 1;
}

static void note_deps(struct fa_recall *e, const struct fa_unwind_thread *t)
{
	for (uint32_t i = 0; i < t->deps; i++) {
		const struct dep *d = &t->dep[i];

		if (d->loc == 0) {
			e->rbp = d->val;
			e->rbp_mask = ~0ULL;
			continue;
		}
		e->word[e->words].address = d->loc;
		e->word[e->words].value = d->val;
		e->words++;
	}
}

/* Two walks from the same registers are about to have one place: that they may have two from now on,
 * one of the site's slots becomes the innermost one in which they differ. */
static void tell_apart(struct fa_recall_site *s, const struct fa_recall *e)
{
	uint64_t none = s->rsp - 8;

	for (uint32_t i = 0; i < e->words; i++) {
		uint64_t address = e->word[i].address;

		if (fa_recall_word_differs(&e->word[i]) == 0)
			continue;
		if (s->slot[0] == none)
			s->slot[0] = address;
		else if (s->slot[1] == none && s->slot[0] != address)
			s->slot[1] = address;
		return;
	}
}

/* An empty one of the two; else each in turns. */
static struct fa_recall *choose(struct fa_recalls *r, const struct fa_recall_site *s)
{
	uint32_t place = fa_recall_place(r, s);

	if (r->walk[place].rsp != 0 && (r->walk[place ^ 1].rsp == 0 || (r->kept++ & 1) != 0))
		place ^= 1;
	return &r->walk[place];
}

static struct fa_recall *make_place(struct fa_recalls *r, const struct fa_regs *regs)
{
	struct fa_recall_site *s = fa_recall_site(r, regs);
	struct fa_recall *e;

	if (s->rsp != regs->rsp || s->rip != regs->rip) {
		s->rsp = 0;
		barrier();
		s->rip = regs->rip;
		s->slot[0] = regs->rsp - 8;
		s->slot[1] = regs->rsp - 8;
		barrier();
		s->rsp = regs->rsp;
	}
	e = choose(r, s);
	if (e->rsp != regs->rsp || e->rip != regs->rip)
		return e;
	tell_apart(s, e);
	return choose(r, s);
}

void fa_recall_keep(struct fa_recalls *r, const struct fa_unwind_thread *t,
		    const struct fa_regs *regs, uint32_t id)
{
	struct fa_recall *e;

	if (t->same < FA_RECALL_LEAST || t->same + t->deps > FA_RECALL_WORDS)
		return;
	r->any = 1;
	barrier();
	e = make_place(r, regs);
	r->used[(e - r->walk) / 64] |= 1ULL << (e - r->walk) % 64;
	e->rsp = 0;
	barrier();
	e->rip = regs->rip;
	e->rbp_mask = 0;
	e->modules = 0;
	e->id = id;
	if (!note_frames(e, t))
		return;
	note_deps(e, t);
	barrier();
	e->rsp = regs->rsp;
}

void fa_recall_nothing(struct fa_recalls *r)
{
	if (r->any == 0)
		return;
	for (unsigned i = 0; i < FA_RECALLS; i++)
		r->site[i].rsp = 0;
	for (unsigned i = 0; i < FA_RECALLS; i++)
		if ((r->used[i / 64] >> i % 64 & 1) != 0)
			r->walk[i].rsp = 0;
}
