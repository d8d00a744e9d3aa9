/* unwind_common.h - what the tests of the unwinder share: capturing registers, asking libunwind. */
#ifndef FA_TEST_UNWIND_COMMON_H
#define FA_TEST_UNWIND_COMMON_H

#define UNW_LOCAL_ONLY
#include <dlfcn.h>
#include <libunwind.h>

#include "shim/unwind.h"

enum { DEPTH = 512, MAX_LIBUNWIND = 2000 };

/* What one thread walks with. */
struct memory {
	_Alignas(4096) unsigned char bytes[FA_UNWIND_THREAD_BYTES];
};

static struct fa_unwind_thread *thread_of(struct memory *m)
{
	return (struct fa_unwind_thread *)(void *)m->bytes;
}

/* Modules: numbered by their link_map. */
static FA_UNUSED uint32_t number_module(const struct fa_module_seen *seen)
{
	static uint64_t maps[256];

	for (unsigned i = 0; i < 256; i++) {
		if (maps[i] == 0 || maps[i] == seen->link_map) {
			maps[i] = seen->link_map;
			return i + 1;
		}
	}
	return FA_MODULE_UNKNOWN;
}

static FA_UNUSED int find_object(void *pc, void *result)
{
	return _dl_find_object(pc, result);
}

/* fa_capture(f, arg): f(registers as they are behind this call, arg). */
typedef void captured_fn(const struct fa_regs *regs, void *arg);
void fa_capture(captured_fn *f, void *arg);
__asm__(".text\n"
	".globl fa_capture\n"
	".type fa_capture, @function\n"
	"fa_capture:\n"
	".cfi_startproc\n"
	"	endbr64\n"
	"	subq $72, %rsp\n"
	".cfi_def_cfa_offset 80\n"
	"	movq 72(%rsp), %rax\n"
	"	movq %rax, 0(%rsp)\n"
	"	leaq 80(%rsp), %rax\n"
	"	movq %rax, 8(%rsp)\n"
	"	movq %rbp, 16(%rsp)\n"
	"	movq %rbx, 24(%rsp)\n"
	"	movq %r12, 32(%rsp)\n"
	"	movq %r13, 40(%rsp)\n"
	"	movq %r14, 48(%rsp)\n"
	"	movq %r15, 56(%rsp)\n"
	"	movq %rdi, %rax\n"
	"	movq %rsp, %rdi\n"
	"	call *%rax\n"
	"	addq $72, %rsp\n"
	".cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".size fa_capture, . - fa_capture\n");

/* libunwind's addresses from the frame whose stack pointer is that of regs; innermost first. */
static FA_UNUSED unsigned ask_libunwind(const struct fa_regs *regs, uint64_t *pcs)
{
	unw_context_t context;
	unw_cursor_t cursor;
	unsigned n = 0;
	int found = 0;

	(void)unw_getcontext(&context);
	(void)unw_init_local(&cursor, &context);
	for (;;) {
		unw_word_t ip = 0;
		unw_word_t sp = 0;

		(void)unw_get_reg(&cursor, UNW_REG_IP, &ip);
		(void)unw_get_reg(&cursor, UNW_REG_SP, &sp);
		if (!found && ip == regs->rip && sp == regs->rsp)
			found = 1;
		if (found && ip != 0 && n < MAX_LIBUNWIND)
			pcs[n++] = ip;
		if (unw_step(&cursor) <= 0)
			return n;
	}
}

static FA_UNUSED int same_view(const struct fa_stack_view *a, const struct fa_stack_view *b)
{
	if (a->depth != b->depth || a->hash != b->hash || a->marks != b->marks)
		return 0;
	for (unsigned i = 0; i < a->depth; i++) {
		unsigned mark_a = a->frame_marks == NULL ? 0 : a->frame_marks[i];
		unsigned mark_b = b->frame_marks == NULL ? 0 : b->frame_marks[i];

		if (a->pc[i] != b->pc[i] || mark_a != mark_b)
			return 0;
	}
	return 1;
}

static uint64_t random_state = 88172645463325252ULL;

static FA_UNUSED uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

#endif
