/*
 * full.h - one frame undone exactly, with every register, whatever its rules are.
 *
 * For signal frames, expressions, CFAs in other registers than rsp and rbp, and the frames inside of
 * those (whose saved registers they need). Slow (a fraction of a microsecond a frame) and rare.
 */
#ifndef FA_FULL_H
#define FA_FULL_H

#include <stdint.h>

#include "base/attr.h"
#include "shim/cfi.h"

/* Where memory may be read: two ranges that are known to be readable; beyond, page by page. */
struct fa_readable {
	uint64_t lo, hi;        /* the stack that the walk began on */
	uint64_t page, page_hi; /* pages verified since */
};

struct fa_full {
	uint64_t reg[FA_CFI_REGS]; /* reg[16]: pc */
	uint32_t known;            /* bit r: reg[r] has its value */
	uint32_t interrupted;      /* pc is an interrupted instruction */
	uint32_t module;           /* id of pc's module, set by fa_full_step() */
	uint32_t reserved;
};

/* 8 bytes at address: 1, or 0 when they cannot be read. No fault, wherever it points to. */
FA_HIDDEN int fa_read_word(struct fa_readable *r, uint64_t address, uint64_t *ret);

/* Are [lo, hi) readable pages? Page-aligned. */
FA_HIDDEN int fa_pages_readable(uint64_t lo, uint64_t hi);

/* On to the caller. 1: done; 0: there is no caller; < 0: cannot tell. */
FA_HIDDEN int fa_full_step(struct fa_full *f, struct fa_readable *r);

#endif
