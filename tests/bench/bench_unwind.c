/*
 * bench_unwind.c - nanoseconds per walk, beside libunwind's unw_backtrace in the same run.
 *
 * Build by hand, with the flags of the shim for the unwinder:
 *   for f in unwind walk walk_place rules full cfi advise; do make build/pic/shim/$f.o; done
 *   gcc -std=c17 -D_GNU_SOURCE -O2 -fomit-frame-pointer -Isrc -I. -o build/bench_unwind \
 *       tests/bench/bench_unwind.c build/pic/shim/{unwind,walk,walk_place,rules,full,cfi,advise}.o -lunwind
 * (-fno-omit-frame-pointer: what frames by rbp cost). Prints the least of PASSES, less an empty call.
 *
 * Patterns: "8/desc": 8 events per descent along one of 64 random paths; "1/desc": every event after a
 * new descent; "same": one stack.
 */
#define UNW_LOCAL_ONLY
#include <dlfcn.h>
#include <libunwind.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shim/unwind.h"

enum { PASSES = 5, PATHS = 64, EVENTS = 1 << 16 };

static _Alignas(4096) unsigned char memory[FA_UNWIND_THREAD_BYTES];
static struct fa_stack_bounds bounds;
static uint64_t paths[PATHS][2];
static volatile uint64_t sink;
static unsigned events_left;
static uint64_t frames;

typedef void captured_fn(const struct fa_regs *regs);
void fa_capture(captured_fn *f);
__asm__(".text\n"
	"fa_capture:\n"
	".cfi_startproc\n"
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
	".cfi_endproc\n");

static void walk_nothing(const struct fa_regs *regs)
{
	sink = regs->rip;
}

static void walk_ours(const struct fa_regs *regs)
{
	struct fa_stack_view view;

	fa_unwind((struct fa_unwind_thread *)(void *)memory, regs, &bounds, 512, &view);
	sink = view.hash;
	frames += view.depth;
}

static void walk_anew(const struct fa_regs *regs)
{
	*(uint32_t *)(void *)memory = 0;
	walk_ours(regs);
}

static void walk_libunwind(const struct fa_regs *regs)
{
	void *pcs[512];

	(void)regs;
	frames += (unsigned)unw_backtrace(pcs, 512);
}

static captured_fn *walk;
static unsigned events_per_descent;

static void descend(unsigned depth, uint64_t path);

#define CALLER(name, words)                                                                        \
	static __attribute__((noinline)) void name(unsigned depth, uint64_t path)                  \
	{                                                                                          \
		volatile uint64_t room[words];                                                     \
                                                                                                   \
		room[0] = depth;                                                                   \
		if ((path & 2) != 0)                                                               \
			descend(depth, path >> 2 | path << 62);                                    \
		else                                                                               \
			descend(depth, path >> 3 | path << 61);                                    \
		sink = room[0];                                                                    \
	}
CALLER(caller_a, 3)
CALLER(caller_b, 3)

static __attribute__((noinline)) void descend(unsigned depth, uint64_t path)
{
	if (depth <= 1) {
		for (unsigned i = 0; i < events_per_descent; i++)
			fa_capture(walk);
	} else if ((path & 1) != 0) {
		caller_a(depth - 2, path);
	} else {
		caller_b(depth - 2, path);
	}
	sink = depth;
}

static double now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nanoseconds of EVENTS events, the least of PASSES. */
static double measure(captured_fn *f, unsigned depth, unsigned per_descent, int one_path)
{
	double best = 1e18;

	walk = f;
	events_per_descent = per_descent;
	for (unsigned pass = 0; pass < PASSES; pass++) {
		double begin = now_ns();

		for (unsigned i = 0; i < EVENTS / per_descent; i++)
			descend(depth, paths[one_path ? 0 : i * 7 % PATHS][0]);
		double took = (now_ns() - begin) / EVENTS;

		best = took < best ? took : best;
	}
	return best;
}

static uint32_t any_module(const struct fa_module_seen *seen)
{
	return (uint32_t)(seen->base >> 12) & 0x7fff;
}

static int find_object(void *pc, void *result)
{
	return _dl_find_object(pc, result);
}

static void row(const char *name, captured_fn *f, unsigned per_descent, int one_path)
{
	static const unsigned depths[] = {8, 16, 32, 64};

	printf("%-28s", name);
	for (unsigned i = 0; i < 4; i++) {
		double empty = measure(walk_nothing, depths[i], per_descent, one_path);

		printf("%9.1f", measure(f, depths[i], per_descent, one_path) - empty);
	}
	printf("\n");
}

int main(void)
{
	pthread_attr_t attributes;
	void *low;
	size_t size;

	(void)pthread_getattr_np(pthread_self(), &attributes);
	(void)pthread_attr_getstack(&attributes, &low, &size);
	bounds.lo = (uint64_t)(uintptr_t)low;
	bounds.hi = bounds.lo + size;
	for (unsigned i = 0; i < PATHS; i++)
		paths[i][0] =
			(uint64_t)random() << 40 ^ (uint64_t)random() << 20 ^ (uint64_t)random();
	if (fa_unwind_init(find_object, any_module) < 0)
		return 1;
	printf("%-28s%9s%9s%9s%9s\n", "ns per walk", "d8", "d16", "d32", "d64");
	row("8/desc", walk_ours, 8, 0);
	row("1/desc", walk_ours, 1, 0);
	row("same", walk_ours, 8, 1);
	row("8/desc without memory", walk_anew, 8, 0);
	row("8/desc libunwind", walk_libunwind, 8, 0);
	return 0;
}
