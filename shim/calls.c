/*
 * calls.c - what stands behind each entry point of hooks.S: the next definition is called, and what
 * happened is recorded. Which comes first: see tracer.c.
 */
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "shim/arena.h"
#include "shim/real.h"
#include "shim/state.h"
#include "shim/table.h"
#include "shim/tracer.h"
#include "shim/wake.h"

static unsigned log2_of(size_t alignment)
{
	return alignment == 0 ? 0 : 63 - (unsigned)__builtin_clzll(alignment);
}

static void *record_result(const struct fa_regs *regs, void *p, size_t size, unsigned fn,
			   size_t alignment)
{
	if (p != NULL)
		fa_record_alloc(regs, p, size, fn, log2_of(alignment));
	return p;
}

/* A block is about to be given back. */
static FA_INLINE void leave(void *block, const struct fa_regs *regs)
{
	if (block == NULL)
		return;
	if (FA_UNLIKELY(!fa_active()))
		fa_table_leave(block, regs);
	else if ((fa_arena.wish.stacks & FA_STACK_FREE) != 0)
		fa_record_free_stacked(block, regs);
	else
		fa_record_free(regs, block, true);
}

void *fa_hook_malloc(size_t size, const struct fa_regs *regs)
{
	void *p;

	if (!fa_active())
		return fa_table_malloc(size, regs);
	p = fa_real.malloc(size);
	if (FA_LIKELY(p != NULL))
		fa_record_alloc(regs, p, size, FA_FN_MALLOC, 0);
	return p;
}

void fa_hook_free(void *block, const struct fa_regs *regs)
{
	leave(block, regs);
	fa_real.free(block);
}

void *fa_hook_calloc(size_t count, size_t size, const struct fa_regs *regs)
{
	if (!fa_active())
		return fa_table_calloc(count, size, regs);
	return record_result(regs, fa_real.calloc(count, size), count * size, FA_FN_CALLOC, 0);
}

static void *resize(void *block, size_t size, const struct fa_regs *regs, int is_array)
{
	void *p = fa_real.realloc(block, size);

	/* NULL means failure, but for realloc(p, 0): then the block is gone. */
	if (p != NULL || (block != NULL && size == 0))
		fa_record_realloc(regs, (uint64_t)block, p, size, is_array);
	return p;
}

void *fa_hook_realloc(void *block, size_t size, const struct fa_regs *regs)
{
	if (!fa_active())
		return fa_table_realloc(block, size, regs);
	return resize(block, size, regs, 0);
}

void *fa_hook_reallocarray(void *block, size_t count, size_t size, const struct fa_regs *regs)
{
	size_t bytes;

	/* The real one calls realloc, which is ours again; it is needed for its errno only. */
	if (!fa_active() || __builtin_mul_overflow(count, size, &bytes))
		return fa_table_reallocarray(block, count, size, regs);
	return resize(block, bytes, regs, 1);
}

int fa_hook_posix_memalign(void **ret, size_t alignment, size_t size, const struct fa_regs *regs)
{
	int error;

	if (!fa_active())
		return fa_table_posix_memalign(ret, alignment, size, regs);
	error = fa_real.posix_memalign(ret, alignment, size);
	if (error == 0 && *ret != NULL)
		fa_record_alloc(regs, *ret, size, FA_FN_POSIX_MEMALIGN, log2_of(alignment));
	return error;
}

void *fa_hook_aligned_alloc(size_t alignment, size_t size, const struct fa_regs *regs)
{
	if (!fa_active())
		return fa_table_enter(fa_real.aligned_alloc(alignment, size), size,
				      FA_FN_ALIGNED_ALLOC, alignment, regs);
	return record_result(regs, fa_real.aligned_alloc(alignment, size), size,
			     FA_FN_ALIGNED_ALLOC, alignment);
}

void *fa_hook_memalign(size_t alignment, size_t size, const struct fa_regs *regs)
{
	if (!fa_active())
		return fa_table_enter(fa_real.memalign(alignment, size), size, FA_FN_MEMALIGN,
				      alignment, regs);
	return record_result(regs, fa_real.memalign(alignment, size), size, FA_FN_MEMALIGN,
			     alignment);
}

void *fa_hook_valloc(size_t size, const struct fa_regs *regs)
{
	if (!fa_active())
		return fa_table_enter(fa_real.valloc(size), size, FA_FN_VALLOC, FA_ARENA_PAGE,
				      regs);
	return record_result(regs, fa_real.valloc(size), size, FA_FN_VALLOC, FA_ARENA_PAGE);
}

void *fa_hook_pvalloc(size_t size, const struct fa_regs *regs)
{
	size_t pages = (size + FA_ARENA_PAGE - 1) & ~(size_t)(FA_ARENA_PAGE - 1);

	if (!fa_active())
		return fa_table_enter(fa_real.pvalloc(size), pages, FA_FN_PVALLOC, FA_ARENA_PAGE,
				      regs);
	return record_result(regs, fa_real.pvalloc(size), pages, FA_FN_PVALLOC, FA_ARENA_PAGE);
}

void fa_hook_free_sized(void *block, size_t size, const struct fa_regs *regs)
{
	leave(block, regs);
	fa_real.free_sized(block, size);
}

void fa_hook_free_aligned_sized(void *block, size_t alignment, size_t size,
				const struct fa_regs *regs)
{
	leave(block, regs);
	fa_real.free_aligned_sized(block, alignment, size);
}

void fa_before_fork(void)
{
	(void)fa_real_resolve();
	fa_tracer_before_fork();
}

void fa_before_prctl(int option, unsigned long argument)
{
	(void)fa_real_resolve();
	/* Who sleeps may be woken later. */
	if (option == PR_SET_TSC && argument == PR_TSC_SIGSEGV && fa_state_now() != FA_ACTIVE)
		fa_clock_forbid();
	if (option == PR_SET_SECCOMP || option == PR_SET_NO_NEW_PRIVS)
		fa_care_before_filter();
	if (fa_state_now() != FA_ACTIVE)
		return;
	if (option == PR_SET_TSC && argument == PR_TSC_SIGSEGV)
		fa_tracer_forbid_clock();
	if (option != PR_SET_SECCOMP || argument != SECCOMP_MODE_STRICT)
		return;
	/* Not a clock, not a page more: nothing can be promised from here on. */
	fa_arena_count_lost(FA_LOST_UNKNOWN, 1);
	fa_wake_end(FA_REASON_STRICT);
}
