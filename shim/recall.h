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
 * wrapper of malloc has but one return address), on the words in two slots in which these differ. There
 * are two places for each such value, so that two stacks in turns do not drive each other out.
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
	FA_RECALL_WORDS = 90,
	FA_RECALL_LEAST = 4,
	FA_RECALL_MODULES = 2
};

struct fa_recall_word {
	uint64_t address;
	uint64_t value;
};

struct fa_recall {
	uint64_t rsp; /* 0: empty */
	uint64_t rip;
	uint64_t rbp;
	uint64_t rbp_mask; /* all ones: the walk depends on rbp */
	uint32_t id;
	uint32_t words;   /* FA_RECALL_LEAST or more */
	uint32_t modules; /* to be asked about */
	uint32_t reserved;
	struct fa_recall_word module[FA_RECALL_MODULES]; /* return address, rule */
	struct fa_recall_word word[FA_RECALL_WORDS];     /* innermost first */
};

/* Walks that begin with the same registers. The slots lie on the stack, not below rsp - 8; they are
 * there, not yet of use, until walks are met that differ. */
struct fa_recall_site {
	uint64_t rsp; /* 0: empty */
	uint64_t rip;
	uint64_t slot[2];
};

/* All zeros is FA_RECALLS of them, and none yet. */
struct fa_recalls {
	uint32_t shift; /* 2: only FA_RECALLS_FEW places are there */
	uint32_t turn;  /* walks that could have been kept */
	uint32_t kept;  /* where there was no empty place */
	uint32_t any;   /* there was one: sites and used are not empty */
	/* Places where there was one: others need not be in memory. */
	uint64_t used[FA_RECALLS / 64];
	uint32_t reserved[4];
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

/* Where the walk from there is kept, if it is; of the same registers. The other place is this one ^ 1. */
static FA_INLINE uint32_t fa_recall_place(const struct fa_recalls *r,
					  const struct fa_recall_site *s)
{
	uint64_t words = fa_word_at(s->slot[0]) + fa_word_at(s->slot[1]) * 3;

	return (uint32_t)(((s->rsp ^ words << 4) * FA_RECALL_MIX) >> FA_RECALL_SHIFT) >> r->shift;
}

FA_HIDDEN int fa_recall_modules_stay(const struct fa_recall *e);

/* The walk that fa_unwind() has just done with t may be kept, if it can be: is it its turn? One in some:
 * where there are more stacks than places, each walk would cost a place that another soon wants again. */
static FA_INLINE int fa_recall_is_turn(struct fa_recalls *r)
{
	enum { ONE_IN = 2 };

	return r->turn++ % ONE_IN == 0;
}
FA_HIDDEN void fa_recall_keep(struct fa_recalls *r, const struct fa_unwind_thread *t,
			      const struct fa_regs *regs, uint32_t id);
FA_HIDDEN void fa_recall_nothing(struct fa_recalls *r);

static FA_INLINE uint64_t fa_recall_word_differs(const struct fa_recall_word *w)
{
	return fa_word_at(w->address) ^ w->value;
}

static FA_INLINE uint64_t fa_recall_four_differ(const struct fa_recall_word *w)
{
	return fa_recall_word_differs(w) | fa_recall_word_differs(w + 1) |
	       fa_recall_word_differs(w + 2) | fa_recall_word_differs(w + 3);
}

/* Would the walk that begins with `regs` end as this one did? */
static FA_INLINE int fa_recall_holds(const struct fa_recall *e, const struct fa_regs *regs)
{
	const struct fa_recall_word *w = e->word, *last;
	uint64_t x;

	if (FA_UNLIKELY(e->rsp != regs->rsp || e->rip != regs->rip))
		return 0;
	last = w + e->words - FA_RECALL_LEAST;
	/* What is not so any more is found out inside most often. */
	x = fa_recall_four_differ(w) | ((e->rbp ^ regs->rbp) & e->rbp_mask);
	if (x != 0)
		return 0;
	/* The last four may be compared in part twice: that costs less than a loop for the remainder. */
	for (w += FA_RECALL_LEAST; w < last; w += FA_RECALL_LEAST)
		x |= fa_recall_four_differ(w);
	x |= fa_recall_four_differ(last);
	return x == 0 && (FA_LIKELY(e->modules == 0) || fa_recall_modules_stay(e));
}

/* The walk that begins with `regs`, when it is known; else NULL. */
static FA_INLINE const struct fa_recall *fa_recall_find(struct fa_recalls *r,
							const struct fa_regs *regs)
{
	const struct fa_recall_site *s = fa_recall_site(r, regs);
	uint32_t place;

	if (FA_UNLIKELY(s->rsp != regs->rsp || s->rip != regs->rip))
		return NULL;
	place = fa_recall_place(r, s);
	for (uint32_t i = 0; i < 2; i++)
		if (FA_LIKELY(fa_recall_holds(&r->walk[place ^ i], regs)))
			return &r->walk[place ^ i];
	return NULL;
}

#endif
