/* lay_down.h - for the entry points (*.S): a macro of the assembler. */
#ifndef FA_LAY_DOWN_H
#define FA_LAY_DOWN_H

/* clang-format off */
/* The caller's registers as a struct fa_regs, at %rsp then. */
.macro LAY_DOWN
	movq	(%rsp), %rax
	leaq	8(%rsp), %r10
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	pushq	%r10
	.cfi_adjust_cfa_offset 8
	pushq	%rax
	.cfi_adjust_cfa_offset 8
.endm
/* clang-format on */

#endif
