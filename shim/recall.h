/*
 * recall.h - recent walks of a thread, to know the whole of one again at once.
 *
 * A program allocates from the same few stacks again and again, in turns. Each of these walks is kept as
 * what it read: addresses of the stack and the words found there. When a walk begins with the same
 * registers, and all these words are what they were, it would end as that one did: its id is known.
 * Beside the walk before (walk.h), which makes walks cheap that are new in part.
 *
 * As exact as that: nothing but walks on the thread's own stack, through rules that say where a word is
 * to be read, is kept. Modules that may have been replaced meanwhile are asked about each time.
 *
 * Where a walk is kept depends on its registers and, where several walks begin with the same ones (a
 * wrapper of malloc has but one return address), on the words in some slots in which these differ. There
 * are some places for each such value, so that stacks in turns do not drive each other out.
 *
 * Stacks come in the same order again, too: each walk knows which one came behind it, and that one is compared first.
 *
 * Words are compared two at a time, in the low and the high half of a vector register. Two that lie side by side are
 * loaded as one: that is what a saved rbp and the return address above it do where frames have frame pointers.
 *
 * Invariant: rsp is 0 while an entry is written. A jump out of a handler leaves an empty one behind.
 */
#ifndef FA_RECALL_H
#define FA_RECALL_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "shim/unwind.h"

enum {
	FA_RECALLS = 256,
	FA_RECALLS_FEW = 64,
	FA_RECALL_WAYS = 4,
	FA_RECALL_FOURS = 32,
	FA_RECALL_LEAST = 4, /* frames */
	FA_RECALL_SLOTS = 4,
	FA_RECALL_MODULES = 2,
	FA_RECALL_PATIENCE = 64
};

/* Four words of the stack, or two times two that lie side by side. Places are counted in words from rsp - 8. */
struct fa_recall_four {
	uint32_t place[4]; /* of each; of the lower one of two: place[0], place[2] */
	fa_two value[2];
};

struct fa_recall_module {
	uint64_t pc;
	uint64_t rule;
};

struct fa_recall {
	uint64_t rsp; /* 0: empty */
	uint64_t rip;
	uint64_t rbp;
	uint64_t rbp_mask; /* all ones: the walk depends on rbp */
	uint32_t id;
	uint32_t modules; /* to be asked about */
	/* In bytes from four on: words one by one, innermost first, end at `singles`, which is not 0; words two side by
	 * side begin at `pairs`, and end with four. */
	uint32_t singles;
	uint32_t pairs;
	struct fa_recall *next; /* the walk that came behind this one, as far as is known; never NULL in one that was kept */
	uint32_t sure;          /* it did so the last time */
	uint32_t reserved;
	struct fa_recall_four four[FA_RECALL_FOURS];
	struct fa_recall_module module[FA_RECALL_MODULES];
} FA_ALIGNED(64);

/* Walks that begin with the same registers. The slots lie on the stack, not below rsp - 8; they are
 * there, not yet of use, until walks are met that differ. */
struct fa_recall_site {
	uint64_t rsp; /* 0: empty */
	uint64_t rip;
	uint64_t slot[FA_RECALL_SLOTS];
};

/* All zeros is FA_RECALLS of them, and none yet. */
struct fa_recalls {
	uint32_t shift; /* 2: only FA_RECALLS_FEW places are there */
	uint32_t turn;  /* walks that could have been kept */
	uint32_t kept;  /* where there was no empty place */
	uint32_t any;   /* there was one: sites and used are not empty */
	/* Places where there was one: others need not be in memory. */
	uint64_t used[FA_RECALLS / 64];
	uint32_t in_vain; /* walks kept since one was recalled, as far as that is of interest */
	uint32_t reserved[3];
	struct fa_recall_site site[FA_RECALLS];
	struct fa_recall walk[FA_RECALLS];
};

enum { FA_RECALL_SHIFT = 56 };
static_assert(FA_RECALLS == 1 << (64 - FA_RECALL_SHIFT),
	      "hashes have as many values as there are places");
static_assert(FA_RECALLS_FEW == FA_RECALLS >> 2, "fa_recalls.shift");
#define FA_RECALL_MIX 0x9e3779b97f4a7c15ULL

static FA_INLINE struct fa_recall_site *fa_recall_site(struct fa_recalls *r,
						       const struct fa_regs *regs)
{
	return &r->site[((regs->rsp ^ regs->rip << 4) * FA_RECALL_MIX) >> FA_RECALL_SHIFT];
}

/* Where the walk from there is kept, if it is; of the same registers. The other places are this one ^ 1, 2, 3. */
static FA_INLINE uint32_t fa_recall_place(const struct fa_recalls *r,
					  const struct fa_recall_site *s)
{
	uint64_t words = fa_word_at(s->slot[0]) + fa_word_at(s->slot[1]) * 3 +
			 fa_word_at(s->slot[2]) * 5 + fa_word_at(s->slot[3]) * 9;

	return (uint32_t)(((s->rsp ^ words << 4) * FA_RECALL_MIX) >> FA_RECALL_SHIFT) >> r->shift;
}

FA_HIDDEN int fa_recall_modules_stay(const struct fa_recall *e);

/* The walk that fa_unwind() has just done with t may be kept, if it can be: is it its turn? One in some:
 * where there are more stacks than places, each walk would cost a place that another soon wants again. */
static FA_INLINE int fa_recall_is_turn(struct fa_recalls *r)
{
	enum { ONE_IN = 2, IN_VAIN = 8 };

	return r->turn++ % (r->in_vain < FA_RECALL_PATIENCE ? ONE_IN : IN_VAIN) == 0;
}

/* NULL: it cannot. */
FA_HIDDEN struct fa_recall *fa_recall_keep(struct fa_recalls *r, const struct fa_unwind_thread *t,
					   const struct fa_regs *regs, uint32_t id);
FA_HIDDEN void fa_recall_nothing(struct fa_recalls *r);

/* Of a kept walk that begins at rsp: the word at a place. */
static FA_INLINE uint64_t fa_recall_address(uint64_t rsp, uint32_t place)
{
	return rsp - 8 + 8 * (uint64_t)place;
}

static FA_INLINE fa_two fa_recall_singles_differ(const struct fa_recall_four *f, uint64_t rsp)
{
	fa_two a = {fa_word_at(fa_recall_address(rsp, f->place[0])),
		    fa_word_at(fa_recall_address(rsp, f->place[1]))};
	fa_two b = {fa_word_at(fa_recall_address(rsp, f->place[2])),
		    fa_word_at(fa_recall_address(rsp, f->place[3]))};

	return (a ^ f->value[0]) | (b ^ f->value[1]);
}

static FA_INLINE fa_two fa_recall_pairs_differ(const struct fa_recall_four *f, uint64_t rsp)
{
	fa_two a = fa_two_words_at(fa_recall_address(rsp, f->place[0]));
	fa_two b = fa_two_words_at(fa_recall_address(rsp, f->place[2]));

	return (a ^ f->value[0]) | (b ^ f->value[1]);
}

static FA_INLINE const struct fa_recall_four *fa_recall_fours(const struct fa_recall *e,
							     uint32_t offset)
{
	return (const void *)((const unsigned char *)e->four + offset);
}

/* Would the walk that begins with `regs` end as this one did, if its modules are still there? */
static FA_INLINE int fa_recall_has_words(const struct fa_recall *e, const struct fa_regs *regs)
{
	const struct fa_recall_four *f = e->four, *end = fa_recall_fours(e, e->singles);
	uint64_t rsp = regs->rsp;
	fa_two x;

	if (FA_UNLIKELY(e->rsp != rsp || e->rip != regs->rip))
		return 0;
	/* What is not so any more is found out inside most often. */
	x = fa_recall_singles_differ(f, rsp);
	if ((x[0] | x[1] | ((e->rbp ^ regs->rbp) & e->rbp_mask)) != 0)
		return 0;
	for (f++; f < end; f++)
		x |= fa_recall_singles_differ(f, rsp);
	for (f = fa_recall_fours(e, e->pairs); f < e->four + FA_RECALL_FOURS; f++)
		x |= fa_recall_pairs_differ(f, rsp);
	return (x[0] | x[1]) == 0;
}

static FA_INLINE int fa_recall_holds(const struct fa_recall *e, const struct fa_regs *regs)
{
	return fa_recall_has_words(e, regs) &&
	       (FA_LIKELY(e->modules == 0) || fa_recall_modules_stay(e));
}

/* The same, for one among some: most often it is not, and what comes first tells. */
FA_HIDDEN int fa_recall_is_it(const struct fa_recall *e, const struct fa_regs *regs);

/* `e` came behind `before`. One time that is not as foreseen changes nothing: of stacks that come several times in a
 * row each is foreseen behind itself. */
static FA_INLINE void fa_recall_learn(struct fa_recall *before, struct fa_recall *e)
{
	if (before->sure == 0)
		before->next = e;
	before->sure = before->next == e;
}

/* The walk that begins with `regs`, when it is known; else NULL. */
static FA_INLINE struct fa_recall *fa_recall_find(struct fa_recalls *r, const struct fa_regs *regs)
{
	const struct fa_recall_site *s = fa_recall_site(r, regs);
	uint32_t place, i;

	if (FA_UNLIKELY(s->rsp != regs->rsp || s->rip != regs->rip))
		return NULL;
	place = fa_recall_place(r, s);
	for (i = 0; i < FA_RECALL_WAYS; i++)
		if (r->walk[place ^ i].rsp == regs->rsp && fa_recall_is_it(&r->walk[place ^ i], regs))
			break;
	if (i == FA_RECALL_WAYS)
		return NULL;
	r->in_vain -= r->in_vain != 0;
	return &r->walk[place ^ i];
}

#endif
