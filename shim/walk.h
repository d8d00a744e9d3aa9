/*
 * walk.h - one walk at work, and the memory of the walk before: shared by unwind.c, walk*.c and
 * recall.c only.
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
 *    same, which is 0 also for walks that recall.c must not keep.
 *
 * Frames being found are collected from SCRATCH on, innermost first, and turned round when it is
 * known how many there are; their `word` is the rule until then.
 */
#ifndef FA_WALK_H
#define FA_WALK_H

#include <assert.h>
#include <stdint.h>

#include "base/attr.h"
#include "shim/rules.h"
#include "shim/unwind.h"

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
	uint32_t reserved[4];
	/* The pads: one frame's words shall not all fall into one set of the cache. */
	uint64_t slot[2 * DEPTH_MAX + 8];
	uint64_t ip[2 * DEPTH_MAX + 8];
	uint64_t word[2 * DEPTH_MAX + 8];
	uint64_t sum[DEPTH_MAX + 8];
	uint64_t rule[DEPTH_MAX + 8]; /* of the frames kept */
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

/* A sanitized test must not mind that saved registers lie between the host's variables. */
static FA_INLINE uint64_t word_at(uint64_t address)
{
	const uint64_t *p = (const uint64_t *)(uintptr_t)address;
#ifdef __SANITIZE_ADDRESS__
	uint64_t v;

	__asm__ volatile("movq %1, %0" : "=r"(v) : "m"(*p));
	return v;
#else
	return *p;
#endif
}

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

#endif
