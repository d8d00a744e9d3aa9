/*
 * hooks_more.S - entry points of what is traced beside the heap: see more.h. Where their kind is not traced,
 * they cost what those of hooks.S cost in a dormant process: a bit is tested, and the next definition is jumped to.
 */
#include "shim/lay_down.h"
#include "shim/more.h"

	.text

/* regs: the register in which the hook takes the struct fa_regs; none where all six are arguments: then it is the
 * seventh, on the stack. */
.macro MORE flag, name, regs
	.globl	\name
	.type	\name, @function
	.p2align 4
\name:
	.cfi_startproc
	endbr64
	testb	$\flag, fa_beside(%rip)
	jne	1f
	jmp	*.Lslot_\name(%rip)
1:
	LAY_DOWN
	.ifb \regs
	movq	%rsp, %rax
	pushq	%rax
	.else
	movq	%rsp, \regs
	subq	$8, %rsp
	.endif
	.cfi_adjust_cfa_offset 8
	call	fa_hook_\name
	addq	$72, %rsp
	.cfi_adjust_cfa_offset -72
	ret
	.cfi_endproc
	.size	\name, .-\name
.endm

	MORE FA_BESIDE_VM, mmap
	MORE FA_BESIDE_VM, mmap64
	MORE FA_BESIDE_VM, munmap, %rdx
	MORE FA_BESIDE_VM, mremap, %r9
	MORE FA_BESIDE_VM, brk, %rsi
	MORE FA_BESIDE_VM, sbrk, %rsi
	MORE FA_BESIDE_VM, mprotect, %rcx
	MORE FA_BESIDE_LOCK, pthread_mutex_lock, %rsi
	MORE FA_BESIDE_LOCK, pthread_mutex_timedlock, %rdx
	MORE FA_BESIDE_LOCK, pthread_mutex_clocklock, %rcx
	MORE FA_BESIDE_LOCK, pthread_rwlock_rdlock, %rsi
	MORE FA_BESIDE_LOCK, pthread_rwlock_timedrdlock, %rdx
	MORE FA_BESIDE_LOCK, pthread_rwlock_clockrdlock, %rcx
	MORE FA_BESIDE_LOCK, pthread_rwlock_wrlock, %rsi
	MORE FA_BESIDE_LOCK, pthread_rwlock_timedwrlock, %rdx
	MORE FA_BESIDE_LOCK, pthread_rwlock_clockwrlock, %rcx

	MORE FA_BESIDE_LOADER, dlclose, %rsi

/* dlopen, dlmopen: they look at their return address, so they are jumped to in any case (loader.h). */
.macro OPEN how, name
	.globl	\name
	.type	\name, @function
	.p2align 4
\name:
	.cfi_startproc
	endbr64
	testb	$FA_BESIDE_LOADER, fa_beside(%rip)
	jne	1f
	jmp	*.Lslot_\name(%rip)
1:
	LAY_DOWN
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	pushq	%rdx
	.cfi_adjust_cfa_offset 8
	leaq	24(%rsp), %rdi
	movl	$\how, %esi
	call	fa_hook_dlopen
	popq	%rdx
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	addq	$64, %rsp
	.cfi_adjust_cfa_offset -64
	jmp	*.Lslot_\name(%rip)
	.cfi_endproc
	.size	\name, .-\name
.endm

	OPEN FA_BY_DLOPEN, dlopen
	OPEN FA_BY_DLMOPEN, dlmopen

/* The stubs. The caller's arguments are kept: the function that is found gets them. */
	.p2align 4
	.type	find, @function
find:
	.cfi_startproc
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
	pushq	%r9
	.cfi_adjust_cfa_offset 8
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	movl	%eax, %edi
	call	fa_more_find
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%r9
	.cfi_adjust_cfa_offset -8
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
	movq	%rax, %r11
	xorl	%eax, %eax /* no vector registers among the arguments */
	jmp	*%r11
	.cfi_endproc
	.size	find, .-find

.macro STUB number, name
.Lstub_\name:
	endbr64
	movl	$\number, %eax
	jmp	find
.endm
#define X(number, name) STUB number, name;
	FA_MORE(X)
#undef X

	.data
	.globl	fa_more
	.hidden	fa_more
	.p2align 3
fa_more:
.macro SLOT name
.Lslot_\name:
	.quad	.Lstub_\name
.endm
#define X(number, name) SLOT name;
	FA_MORE(X)
#undef X
	.size	fa_more, .-fa_more

	.section .note.GNU-stack,"",@progbits
