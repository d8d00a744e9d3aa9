/*
 * walk.h - one walk at work, and the memory of the walk before: shared by unwind.c, walk*.c and
 * recall.c only, but for fa_walk_is_same(), which stack.c asks where nothing was recalled.
 *
 * A frame is a return address (ip), the stack slot that it was read from, and, where a frame further
 * out computes its CFA from rbp, the value of rbp. In regular frames rsp is slot + 8. So a walk is
 * determined by where it begins and by the words of memory that it reads: the slots, and the saved
 * values of rbp that some CFA is computed from (struct dep). When a new walk arrives at a frame of the
 * walk before in the same state, and the words that were read from there on are unchanged, the rest
 * is the same. Invariants:
 *
 * 1. Frames [0, count) of a thread are stored outermost first and regular; slots fall from 0 on.
 * 2. dep[] has every word but the slots that these frames were found by, ordered by `saver`.
 * 3. count is 0 while a walk is at work: one that is left by siglongjmp leaves nothing behind. So is
 *    same, which is 0 also for walks that cannot be compared as a whole.
 *
 * Frames being found are collected from SCRATCH on, innermost first, and turned round when it is
 * known how many there are; their `word` is the rule until then.
 */
#ifndef FA_WALK_H
#define FA_WALK_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "shim/rules.h"
#include "shim/unwind.h"

enum {
	DEPTH_MAX = 512,
	SCRATCH = DEPTH_MAX,
	DEPS_MAX = 512,
	CHECKED = 8,
	SAME_LEAST = 4, /* frames of a walk that is compared as a whole */
	PAGE = 4096,
	STACK_STEP_MAX = 1 << 20, /* largest piece of an unknown stack that is verified at once */
	GUESS_REACH = 0x4000,
};

#define LOW48 0xffffffffffffULL

/* Rules for which nothing need be asked but where rsp is. */
#define FAST_MASK (FA_RULE_MORTAL | 7ULL << 29)
#define FAST_RSP  ((uint64_t)FA_RULE_RSP << 29)
#define FAST_RBP  ((uint64_t)FA_RULE_RBP << 29)

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
	uint64_t hi;                     /* end of the stack that the frames lie on */
	uint64_t foreign_lo, foreign_hi; /* verified part of a stack that is not the thread's own */
	uint32_t has_marks;
	uint32_t same; /* frames of the whole walk before, on the thread's own stack; 0: not so */
	uint32_t mortal; /* rules of these frames may be those of modules that can be unloaded */
	uint32_t reserved[3];
	/* The pads: one frame's words shall not all fall into one set of the cache. */
	uint64_t slot[2 * DEPTH_MAX + 8];
	uint64_t ip[2 * DEPTH_MAX + 8];
	uint64_t word[2 * DEPTH_MAX + 8];
	uint64_t sum[DEPTH_MAX + 8];
	uint64_t rule[DEPTH_MAX + 8]; /* of the frames kept */
	struct dep dep[2 * DEPS_MAX];
	uint8_t mark[2 * DEPTH_MAX];
};
static_assert(offsetof(struct fa_unwind_thread, ip) - offsetof(struct fa_unwind_thread, slot) ==
		      sizeof(((struct fa_unwind_thread *)0)->slot),
	      "fa_walk_four_differ()");
static_assert(sizeof(struct fa_unwind_thread) <= FA_UNWIND_THREAD_BYTES, "a thread's memory");
static_assert(offsetof(struct fa_unwind_thread, dep) <= FA_UNWIND_THREAD_USUAL, "what all walks use of it");

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
	int32_t common;    /* frames [0, common) of the walk before have the same pc words */
	int32_t merged;    /* index of the first frame taken over, -1: none */
	int32_t barrier;   /* frames in scratch up to this one are not regular; -1: all are */
	int32_t def_from;  /* frames in scratch before this one are reflected in def */
	uint64_t def;      /* who knows the current rbp: address | (saver + 1) << 48 */
	uint64_t used_def; /* the def that the last dep was made for */
	uint64_t rbp;      /* value of a def with address 0; of used_def */
	int32_t through; /* a frame of the walk before that depends on the current rbp, -1: none */
	int32_t deps;    /* in scratch */
	uint8_t foreign;
	uint8_t crossed; /* the walk changed stacks */
	uint8_t any_marks;
	uint8_t no_keep; /* too many deps */
	uint16_t checked[CHECKED];
};

static FA_INLINE void barrier(void)
{
	__asm__ volatile("" ::: "memory");
}

static FA_INLINE int on_own_stack(const struct fa_stack_bounds *bounds, uint64_t rsp)
{
	return rsp >= bounds->lo && rsp < bounds->hi;
}

/* The slot of frame `i` of the walk before, by a way that the compiler cannot see to give what was just
 * compared with it: so that the load through it need not wait for what it was compared with. */
static FA_INLINE uint64_t guess_of(const struct fa_unwind_thread *t, int32_t i)
{
	uint64_t guess;

	__asm__("movq %1, %0" : "=r"(guess) : "m"(t->slot[i]));
	return guess;
}

/* The current rbp; 0 in *ok: it cannot be known. Remembers that a CFA (of frame `user`, as counted in
 * scratch) depends on it. */
FA_HIDDEN uint64_t fa_walk_use_rbp(struct walk *w, int32_t user, int *ok);

/* May frame `at` of the walk before be taken over, as far as the rbp that comes through there goes? */
FA_HIDDEN int fa_walk_same_rbp(struct walk *w, int32_t at);

/* May the word at loc be read? Asks the kernel on a stack that is not the thread's own. */
FA_HIDDEN int fa_walk_extend(struct walk *w, uint64_t slot);

/* From w->pc on, until the walk meets the one before, ends, or cannot go on here. */
FA_HIDDEN enum outcome fa_walk_frames(struct walk *w);

/* The whole walk, by whatever it needs. */
FA_HIDDEN enum outcome fa_walk_all(struct walk *w);

/* Is the module that this rule was made from still the one at pc? Asked once per module and walk. */
FA_HIDDEN int fa_walk_check_module(struct walk *w, uint64_t rule, uint64_t pc);

/* Brings frames [from, end) of the walk before to what is in memory now, while their slots stay; frame
 * `own`, if it is among them, has its pc in w->pc. Returns the first that could not be brought. */
FA_HIDDEN int32_t fa_walk_refresh(struct walk *w, int32_t from, int32_t end, int32_t own);

/* Multipliers of the hash, one per place: sums of products, so that a prefix is a partial sum and no
 * product waits for another. */
extern FA_HIDDEN const uint64_t fa_walk_factor[DEPTH_MAX];

/* All deps of the walk before as they were, whose innermost frame is that of `regs`? */
static FA_INLINE int fa_walk_same_deps(const struct fa_unwind_thread *t, const struct fa_regs *regs)
{
	uint32_t n = t->deps;
	uint64_t x = 0;

	/* The last one may stand for the register. */
	if (t->dep[n - 1].loc == 0)
		x = t->dep[--n].val ^ regs->rbp;
	for (uint32_t i = 0; i < n; i++)
		x |= fa_word_at(t->dep[i].loc) ^ t->dep[i].val;
	return x == 0;
}

/* Nonzero: one of the four frames whose slots are at p has another word in its slot now. */
static FA_INLINE uint64_t fa_walk_four_differ(const uint64_t *p)
{
	enum { IP = sizeof(((struct fa_unwind_thread *)0)->slot) / sizeof(*p) };

	return (fa_word_at(p[0]) ^ p[IP]) | (fa_word_at(p[1]) ^ p[IP + 1]) | (fa_word_at(p[2]) ^ p[IP + 2]) |
	       (fa_word_at(p[3]) ^ p[IP + 3]);
}

/* Would a walk from `regs`, on the thread's own stack, find what the walk before found? 0: maybe. */
static FA_INLINE int fa_walk_is_same(const struct fa_unwind_thread *t, const struct fa_regs *regs)
{
	uint64_t n = t->same;
	const uint64_t *p = t->slot, *last = p + n - SAME_LEAST;
	uint64_t x;

	if (FA_UNLIKELY(n == 0 || p[n - 1] != regs->rsp - 8))
		return 0;
	/* Modules are asked about by a walk. */
	if (FA_UNLIKELY(t->mortal))
		return 0;
	/* What changes does so inside most often. Of these frames some may be compared twice: that costs
	 * less than a loop for the remainder. */
	x = (t->ip[n - 1] ^ regs->rip) | fa_walk_four_differ(last);
	if (x != 0)
		return 0;
	for (; p < last; p += 4)
		x |= fa_walk_four_differ(p);
	return x == 0 && (FA_LIKELY(t->deps == 0) || fa_walk_same_deps(t, regs));
}

#endif
