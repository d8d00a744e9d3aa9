/*
 * hooks.S - the exported entry points, and nothing else.
 *
 * Dormant: one byte is tested, and the next definition in load order is jumped to. Otherwise the
 * registers are laid down as a struct fa_regs (unwind.h), as the caller left them, and the C hook is
 * called with a pointer to it as its last argument. Callee-saved registers keep their values in C,
 * so nothing is restored.
 */
#define FA_DORMANT 1 /* state.h */

	.text

.macro HOOK name, real, hook, regs
	.globl	\name
	.type	\name, @function
	.p2align 4
\name:
	.cfi_startproc
	endbr64
	cmpb	$FA_DORMANT, fa_state_page(%rip)
	jne	1f
	jmp	*\real(%rip)
1:
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
	movq	%rsp, \regs
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	\hook
	addq	$72, %rsp
	.cfi_adjust_cfa_offset -72
	ret
	.cfi_endproc
	.size	\name, .-\name
.endm

	HOOK malloc, fa_real+0, fa_hook_malloc, %rsi
	HOOK free, fa_real+8, fa_hook_free, %rsi
	HOOK calloc, fa_real+16, fa_hook_calloc, %rdx
	HOOK realloc, fa_real+24, fa_hook_realloc, %rdx
	HOOK reallocarray, fa_real+32, fa_hook_reallocarray, %rcx
	HOOK posix_memalign, fa_real+40, fa_hook_posix_memalign, %rcx
	HOOK aligned_alloc, fa_real+48, fa_hook_aligned_alloc, %rdx
	HOOK memalign, fa_real+56, fa_hook_memalign, %rdx
	HOOK valloc, fa_real+64, fa_hook_valloc, %rsi
	HOOK pvalloc, fa_real+72, fa_hook_pvalloc, %rsi
	HOOK free_sized, fa_real+80, fa_hook_free_sized, %rdx
	HOOK free_aligned_sized, fa_real+88, fa_hook_free_aligned_sized, %rcx

	.section .note.GNU-stack,"",@progbits
