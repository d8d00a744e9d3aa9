/*
 * cfi.h - .eh_frame as the compiler left it: from a pc to the rules that undo its frame.
 *
 * Reads .eh_frame_hdr's sorted table, then one CIE and FDE, and runs their programs up to the pc.
 * The bytes belong to mapped objects and are trusted in nothing: every read is bounds-checked, every
 * program ends. No libc, no memory but the caller's.
 */
#ifndef FA_CFI_H
#define FA_CFI_H

#include <stdint.h>

#include "base/attr.h"

enum {
	FA_CFI_REGS = 17, /* DWARF numbers of x86-64: 0-15, and 16: the return address */
	FA_CFI_RBX = 3,
	FA_CFI_RBP = 6,
	FA_CFI_RSP = 7,
	FA_CFI_R12 = 12,
	FA_CFI_RA = 16,
};

/* Where the tables of one object lie. [x_lo, x_hi) are readable bytes. */
struct fa_cfi_image {
	uint64_t hdr; /* address of .eh_frame_hdr */
	uint64_t hdr_lo, hdr_hi;
	uint64_t frame_lo, frame_hi; /* around .eh_frame; at most 2 GB */
	uint64_t table;              /* filled by fa_cfi_open(): pairs of 32-bit offsets from hdr */
	uint32_t entries;
	uint32_t reserved;
};

enum fa_cfi_how {
	FA_CFI_SAME = 0,   /* as in the frame inside */
	FA_CFI_UNDEFINED,  /* lost; for the return address: there is no caller */
	FA_CFI_OFFSET,     /* in memory at CFA + val */
	FA_CFI_VAL_OFFSET, /* is CFA + val */
	FA_CFI_EXPR,       /* in memory at the expression's result */
	FA_CFI_VAL_EXPR,   /* is the expression's result */
	FA_CFI_REGISTER,   /* in register val */
};

/* The rules that hold at one pc. Expressions: val is the offset of their length byte from frame_lo. */
struct fa_cfi_row {
	int32_t val[FA_CFI_REGS];
	uint8_t how[FA_CFI_REGS]; /* enum fa_cfi_how */
	uint8_t cfa_is_expr;
	uint8_t cfa_reg;
	uint8_t signal;  /* the caller was interrupted here, it did not call */
	uint8_t ra;      /* column of the return address */
	int32_t cfa_val; /* offset from cfa_reg, or the expression */
};

/* Reads the header: fills table and entries. 0 or -EBADMSG. hdr, *_lo, *_hi are the caller's. */
FA_MUST_USE int fa_cfi_open(struct fa_cfi_image *image);

/* Where does .eh_frame begin, by the header? 0 or -EBADMSG. Needs hdr, hdr_lo, hdr_hi only. */
FA_MUST_USE int fa_cfi_frame_address(const struct fa_cfi_image *image, uint64_t *ret);

/* The rules at pc. -ENOENT: no FDE covers it; -EBADMSG: damaged, or nothing that x86-64 has. */
FA_MUST_USE int fa_cfi_find(const struct fa_cfi_image *image, uint64_t pc, struct fa_cfi_row *ret);

/* Bytes of the expression at frame_lo + at. 0 or -EBADMSG. */
FA_MUST_USE int fa_cfi_expression(const struct fa_cfi_image *image, int32_t at,
				  const unsigned char **ret_bytes, uint32_t *ret_length);

/* A row says: "CFA = *(rbp + off), old rbp = *rbp", as gcc's realigned frames have it? */
int fa_cfi_is_realigned(const struct fa_cfi_image *image, const struct fa_cfi_row *row,
			int64_t *ret_off);

#endif
