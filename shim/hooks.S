/*
 * hooks.S - the exported entry points, and nothing else.
 *
 * Dormant: one byte is tested, and the next definition in load order is jumped to. Otherwise the
 * registers are laid down as a struct fa_regs (unwind.h), as the caller left them, and the C hook is
 * called with a pointer to it as its last argument. Callee-saved registers keep their values in C,
 * so nothing is restored.
 *
 * What is most common goes a shorter way while the process is active: malloc, calloc, realloc, and free when frees
 * take no stacks, for which rip and rsp are enough.
 */
#define FA_ACTIVE 2 /* state.h: the state, and behind it a byte that is 0 where there is no table */
#define FA_WISH_STACKS 24 /* arena.h */
#define FA_STACK_FREE 4

#include "shim/lay_down.h"

	.text

/* malloc, calloc: call it, record what it gave. %rbx, which was laid down, keeps the size meanwhile. */
.macro QUICK_ALLOC real, record, is_calloc
	cmpw	$FA_ACTIVE, fa_state_page(%rip)
	jne	2f
	.cfi_remember_state
	LAY_DOWN
	.cfi_rel_offset %rbx, 24
	movq	%rdi, %rbx
	.if \is_calloc
	imulq	%rsi, %rbx /* where that is too much, there is nothing to be recorded */
	.endif
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	*\real(%rip)
	testq	%rax, %rax
	je	3f
	movq	%rax, %rdi
	movq	%rbx, %rsi
	leaq	8(%rsp), %rdx
	call	\record
3:
	movq	32(%rsp), %rbx
	addq	$72, %rsp
	.cfi_adjust_cfa_offset -72
	.cfi_restore %rbx
	ret
	.cfi_restore_state
.endm

/* realloc: the same, with the block in %rbx and the size in %r12. */
.macro QUICK_REALLOC
	cmpw	$FA_ACTIVE, fa_state_page(%rip)
	jne	2f
	.cfi_remember_state
	LAY_DOWN
	.cfi_rel_offset %rbx, 24
	.cfi_rel_offset %r12, 32
	movq	%rdi, %rbx
	movq	%rsi, %r12
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	*fa_real+24(%rip)
	movq	%rax, %rdi
	movq	%rbx, %rsi
	movq	%r12, %rdx
	leaq	8(%rsp), %rcx
	call	fa_record_realloc_quick
	movq	32(%rsp), %rbx
	movq	40(%rsp), %r12
	addq	$72, %rsp
	.cfi_adjust_cfa_offset -72
	.cfi_restore %rbx
	.cfi_restore %r12
	ret
	.cfi_restore_state
.endm

/* free: record it, then do it. %rdi is kept where %rbx has its place in a struct fa_regs. */
.macro QUICK_FREE
	cmpw	$FA_ACTIVE, fa_state_page(%rip)
	jne	2f
	testb	$FA_STACK_FREE, fa_arena+FA_WISH_STACKS(%rip)
	jne	2f
	testq	%rdi, %rdi
	je	3f
	.cfi_remember_state
	movq	(%rsp), %rax
	leaq	8(%rsp), %r10
	subq	$72, %rsp
	.cfi_adjust_cfa_offset 72
	movq	%rax, 8(%rsp)
	movq	%r10, 16(%rsp)
	movq	%rdi, 32(%rsp)
	leaq	8(%rsp), %rsi
	call	fa_record_free_quick
	movq	32(%rsp), %rdi
	addq	$72, %rsp
	.cfi_adjust_cfa_offset -72
3:
	jmp	*fa_real+8(%rip)
	.cfi_restore_state
.endm

.macro HOOK name, real, hook, regs, quick:vararg
	.globl	\name
	.type	\name, @function
	.p2align 4
\name:
	.cfi_startproc
	endbr64
	cmpb	$1, fa_dormant(%rip)
	jne	1f
	jmp	*\real(%rip)
1:
	\quick
2:
	LAY_DOWN
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

	HOOK malloc, fa_real+0, fa_hook_malloc, %rsi, QUICK_ALLOC fa_real+0, fa_record_malloc_quick, 0
	HOOK free, fa_real+8, fa_hook_free, %rsi, QUICK_FREE
	HOOK calloc, fa_real+16, fa_hook_calloc, %rdx, QUICK_ALLOC fa_real+16, fa_record_calloc_quick, 1
	HOOK realloc, fa_real+24, fa_hook_realloc, %rdx, QUICK_REALLOC
	HOOK reallocarray, fa_real+32, fa_hook_reallocarray, %rcx
	HOOK posix_memalign, fa_real+40, fa_hook_posix_memalign, %rcx
	HOOK aligned_alloc, fa_real+48, fa_hook_aligned_alloc, %rdx
	HOOK memalign, fa_real+56, fa_hook_memalign, %rdx
	HOOK valloc, fa_real+64, fa_hook_valloc, %rsi
	HOOK pvalloc, fa_real+72, fa_hook_pvalloc, %rsi
	HOOK free_sized, fa_real+80, fa_hook_free_sized, %rdx
	HOOK free_aligned_sized, fa_real+88, fa_hook_free_aligned_sized, %rcx

/*
 * prctl: looked at, not recorded. Two of its options forbid what we do (the clock, all but four system
 * calls) on pain of death; the program, which does not do it, shall live.
 */
	.globl	prctl
	.type	prctl, @function
	.p2align 4
prctl:
	.cfi_startproc
	endbr64
	cmpl	$22, %edi /* PR_SET_SECCOMP */
	je	1f
	cmpl	$26, %edi /* PR_SET_TSC */
	je	1f
	cmpl	$38, %edi /* PR_SET_NO_NEW_PRIVS: comes before a filter */
	je	1f
	movq	fa_real+96(%rip), %r11
	testq	%r11, %r11
	je	1f
	jmp	*%r11
1:
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	pushq	%rdx
	.cfi_adjust_cfa_offset 8
	pushq	%rcx
	.cfi_adjust_cfa_offset 8
	pushq	%r8
	.cfi_adjust_cfa_offset 8
	call	fa_before_prctl
	popq	%r8
	.cfi_adjust_cfa_offset -8
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	popq	%rdx
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	movq	fa_real+96(%rip), %r11
	testq	%r11, %r11
	je	2f
	xorl	%eax, %eax /* no vector registers among the arguments */
	jmp	*%r11
2:
	movl	$-1, %eax
	ret
	.cfi_endproc
	.size	prctl, .-prctl

/*
 * fork: not recorded either. A child of a handler comes back into what the handler interrupted, as its
 * parent does: where that was the writing of an event, they must not be at it in one buffer.
 */
.macro FORK name, real
	.globl	\name
	.type	\name, @function
	.p2align 4
\name:
	.cfi_startproc
	endbr64
	cmpb	$1, fa_dormant(%rip)
	jne	1f
	movq	\real(%rip), %r11
	testq	%r11, %r11
	je	1f
	jmp	*%r11
1:
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	fa_before_fork
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	movq	\real(%rip), %r11
	testq	%r11, %r11
	je	2f
	jmp	*%r11
2:
	movl	$-1, %eax
	ret
	.cfi_endproc
	.size	\name, .-\name
.endm

	FORK fork, fa_real+104
	FORK _Fork, fa_real+112

	.section .note.GNU-stack,"",@progbits
