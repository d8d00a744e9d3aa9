/*
 * test_unwind.c - the unwinder against libunwind's cursor, in the same call, frame by frame.
 *
 * libs: format
 * objs: shim/unwind.c shim/walk.c shim/walk_place.c shim/rules.c shim/full.c shim/advise.c shim/cfi.c
 * ldlibs: -lunwind -ldl
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#include "test.h"
#include "unwind_common.h"

static struct memory main_memory, handler_memory, coroutine_memory, fresh_memory;
static struct fa_stack_bounds bounds;
static unsigned max_depth = DEPTH;
static unsigned long compared, different, taken_over;
static volatile unsigned long sink;

static void find_bounds(struct fa_stack_bounds *ret)
{
	pthread_attr_t attributes;
	void *low;
	size_t size;

	(void)pthread_getattr_np(pthread_self(), &attributes);
	(void)pthread_attr_getstack(&attributes, &low, &size);
	(void)pthread_attr_destroy(&attributes);
	ret->lo = (uint64_t)(uintptr_t)low;
	ret->hi = ret->lo + size;
}

static void print_difference(const struct fa_stack_view *view, const uint64_t *pcs, unsigned n)
{
	printf("  different: depth %u marks %u, libunwind %u\n", view->depth, view->marks, n);
	for (unsigned i = 0; i < n || i < view->depth; i++) {
		uint64_t ours = i < view->depth ? FA_NODE_PC(view->pc[view->depth - 1 - i]) : 0;
		uint64_t theirs = i < n ? pcs[i] : 0;
		Dl_info info = {0};

		(void)dladdr((void *)(uintptr_t)(theirs != 0 ? theirs : ours), &info);
		printf("    %3u %14lx %14lx%s %s\n", i, (unsigned long)ours, (unsigned long)theirs,
		       ours == theirs ? "" : " <--", info.dli_sname == NULL ? "?" : info.dli_sname);
	}
}

/* The walk with memory, libunwind, and a walk without memory must say the same. */
static void compare(const struct fa_regs *regs, void *memory)
{
	/* A handler that interrupts this function has a list of its own. */
	static uint64_t lists[2][MAX_LIBUNWIND];
	uint64_t *pcs = lists[memory == (void *)&handler_memory];
	struct fa_stack_view view;
	struct fa_stack_view fresh;
	unsigned n = ask_libunwind(regs, pcs);

	fa_unwind(thread_of(memory), regs, &bounds, max_depth, &view);
	unsigned wanted = n < max_depth ? n : max_depth;
	int ok = view.depth == wanted && (view.marks != 0) == (n > max_depth);

	for (unsigned i = 0; ok && i < wanted; i++)
		ok = FA_NODE_PC(view.pc[view.depth - 1 - i]) == pcs[i];
	if (memory == (void *)&main_memory) {
		memset(&fresh_memory, 0, 4096); /* the counts are at its beginning */
		fa_unwind(thread_of(&fresh_memory), regs, &bounds, max_depth, &fresh);
		ok = ok && same_view(&view, &fresh);
	}
	compared++;
	taken_over += view.common;
	if (!ok && different++ < 3)
		print_difference(&view, pcs, n);
}

static void compare_here(void)
{
	fa_capture(compare, &main_memory);
	sink++; /* no tail call */
}

/* ---- descents through frames of many kinds ---- */

static void descend(unsigned depth);

#define PLAIN(name, words)                                                                         \
	static FA_NOINLINE void name(unsigned depth)                                               \
	{                                                                                          \
		volatile unsigned long room[words];                                                \
                                                                                                   \
		room[0] = depth;                                                                   \
		descend(depth - 1);                                                                \
		sink += room[0];                                                                   \
	}
PLAIN(plain_1, 1)
PLAIN(plain_2, 2)
PLAIN(plain_9, 9)
PLAIN(plain_40, 40)
PLAIN(plain_600, 600)

static FA_NOINLINE void saves_all(unsigned depth)
{
	unsigned long a = sink, b = sink, c = sink, d = sink, e = sink, f = sink;

	__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
	descend(depth - 1);
	sink += a + b + c + d + e + f;
}

static FA_NOINLINE void uses_alloca(unsigned depth)
{
	volatile char *room = __builtin_alloca(16 + random_number() % 300);

	room[0] = 1;
	descend(depth - 1);
	sink += (unsigned long)room[0];
}

static FA_NOINLINE void is_realigned(unsigned depth)
{
	_Alignas(128) volatile char room[128];

	room[0] = 1;
	descend(depth - 1);
	sink += (unsigned long)room[0];
}

/* Arguments on the stack, realigned and alloca: CFA by expression in gcc's code. */
static FA_NOINLINE void is_realigned_with_arguments(unsigned long a, unsigned long b,
						    unsigned long c, unsigned long d,
						    unsigned long e, unsigned long f,
						    unsigned depth, ...)
{
	_Alignas(64) volatile char room[64];
	volatile char *more = __builtin_alloca(random_number() % 100 + 1);

	room[0] = 1;
	more[0] = 1;
	descend(depth - 1);
	sink += (unsigned long)room[0] + (unsigned long)more[0] + a + b + c + d + e + f;
}

static FA_NOINLINE int compare_numbers(const void *a, const void *b)
{
	const unsigned *const *first = a;
	const unsigned *const *second = b;

	descend(**first - 1);
	return *first < *second ? -1 : 1;
}

static FA_NOINLINE void through_qsort(unsigned depth)
{
	const unsigned *two[2] = {&depth, &depth};

	qsort(two, 2, sizeof(two[0]), compare_numbers);
	sink++;
}

static FA_NOINLINE void descend_once(unsigned depth)
{
	switch (random_number() % 10) {
	case 0:
		plain_1(depth);
		break;
	case 1:
		plain_2(depth);
		break;
	case 2:
		plain_9(depth);
		break;
	case 3:
		plain_40(depth);
		break;
	case 4:
		plain_600(depth);
		break;
	case 5:
		saves_all(depth);
		break;
	case 6:
		uses_alloca(depth);
		break;
	case 7:
		is_realigned(depth);
		break;
	case 8:
		is_realigned_with_arguments(1, 2, 3, 4, 5, 6, depth);
		break;
	default:
		through_qsort(depth);
		break;
	}
	sink++;
}

static FA_NOINLINE void descend(unsigned depth)
{
	unsigned events = random_number() % 3;

	if (depth == 0 || random_number() % 64 == 0)
		events++;
	while (events-- > 0)
		compare_here();
	if (depth > 0)
		descend_once(depth);
	if (random_number() % 4 == 0)
		compare_here();
}

static void expect_all_same(unsigned long at_least)
{
	CHECK(compared >= at_least);
	CHECK(different == 0);
	if (different != 0)
		printf("  %lu of %lu different\n", different, compared);
	compared = 0;
	different = 0;
}

SPEC(a_hundred_thousand_stacks_are_those_of_libunwind)
{
	for (unsigned i = 0; compared < 100000; i++)
		descend(1 + random_number() % 24);
	CHECK(taken_over > compared * 5);
	expect_all_same(100000);
}

/* ---- recursion ---- */

static FA_NOINLINE void recurse(unsigned depth)
{
	volatile unsigned long room[3] = {depth};

	if (depth % 97 == 0 || depth < 3)
		compare_here();
	if (depth > 0)
		recurse(depth - 1);
	if (depth % 61 == 0)
		compare_here();
	sink += room[0];
}

SPEC(a_stack_deeper_than_allowed_keeps_its_innermost_frames)
{
	recurse(700);
	recurse(505);
	max_depth = 20;
	recurse(200);
	max_depth = 1;
	recurse(5);
	max_depth = DEPTH;
	recurse(400);
	expect_all_same(30);
}

/* ---- signals ---- */

static void on_signal(int number)
{
	(void)number;
	fa_capture(compare, &handler_memory);
	sink++;
}

static void set_handler(int number, int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags | SA_RESTART};

	(void)sigaction(number, &action, NULL);
}

static FA_NOINLINE void raise_at(unsigned depth)
{
	volatile unsigned long room[2] = {depth};

	if (depth == 0) {
		(void)raise(SIGUSR1);
		fa_capture(compare, &handler_memory);
		(void)raise(SIGUSR1);
	} else {
		raise_at(depth - 1);
	}
	sink += room[0];
}

SPEC(a_signal_handler_on_the_same_stack_is_walked_through)
{
	set_handler(SIGUSR1, 0);
	for (unsigned i = 0; i < 20; i++)
		raise_at(i);
	expect_all_same(60);
}

SPEC(a_signal_handler_on_a_stack_of_its_own_is_walked_through)
{
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};

	(void)sigaltstack(&stack, NULL);
	set_handler(SIGUSR1, SA_ONSTACK);
	for (unsigned i = 0; i < 20; i++)
		raise_at(i);
	stack.ss_flags = SS_DISABLE;
	(void)sigaltstack(&stack, NULL);
	free(stack.ss_sp);
	expect_all_same(60);
}

static void mark_check(const struct fa_regs *regs, void *arg)
{
	struct fa_stack_view view;
	unsigned marked = 0;

	fa_unwind(thread_of(&handler_memory), regs, &bounds, DEPTH, &view);
	for (unsigned i = 0; i < view.depth; i++) {
		if (view.frame_marks != NULL && view.frame_marks[i] == FA_NODE_SIGNAL)
			marked++;
	}
	*(unsigned *)arg = marked;
}

static unsigned marked_frames;

static void on_signal_count(int number)
{
	(void)number;
	fa_capture(mark_check, &marked_frames);
	sink++;
}

SPEC(an_interrupted_frame_is_marked_and_no_other)
{
	struct sigaction action = {.sa_handler = on_signal_count};
	unsigned outside = 7;

	(void)sigaction(SIGUSR2, &action, NULL);
	fa_capture(mark_check, &outside);
	CHECK(outside == 0);
	(void)raise(SIGUSR2);
	CHECK(marked_frames == 1);
	fa_capture(mark_check, &outside);
	CHECK(outside == 0);
}

/* Interrupted anywhere: in prologues, in libc, in the vdso, and inside the unwinder itself. */
SPEC(stacks_interrupted_at_any_instruction_are_those_of_libunwind)
{
	struct itimerval often = {{0, 211}, {0, 211}};
	struct itimerval never = {{0, 0}, {0, 0}};
	struct timespec now;

	set_handler(SIGALRM, 0);
	(void)setitimer(ITIMER_REAL, &often, NULL);
	for (unsigned i = 0; i < 300; i++) {
		descend(1 + random_number() % 10);
		for (unsigned k = 0; k < 300; k++)
			(void)clock_gettime(CLOCK_MONOTONIC, &now);
	}
	(void)setitimer(ITIMER_REAL, &never, NULL);
	expect_all_same(1000);
}

/* ---- other stacks ---- */

static ucontext_t main_context, coroutine_context;

static FA_NOINLINE void coroutine_recurse(unsigned depth)
{
	volatile unsigned long room[20] = {depth};

	fa_capture(compare, &coroutine_memory);
	if (depth > 0)
		coroutine_recurse(depth - 1);
	(void)swapcontext(&coroutine_context, &main_context);
	fa_capture(compare, &coroutine_memory);
	sink += room[0];
}

static void coroutine(void)
{
	coroutine_recurse(60);
}

static FA_NOINLINE void run_coroutine(void)
{
	size_t size = 256 << 10;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)getcontext(&coroutine_context);
	coroutine_context.uc_stack.ss_sp = stack;
	coroutine_context.uc_stack.ss_size = size;
	coroutine_context.uc_link = &main_context;
	makecontext(&coroutine_context, coroutine, 0);
	for (unsigned i = 0; i < 62; i++) {
		(void)swapcontext(&main_context, &coroutine_context);
		fa_capture(compare, &coroutine_memory);
	}
	(void)munmap(stack, size);
	fa_capture(compare, &coroutine_memory);
	sink++;
}

SPEC(a_coroutine_is_walked_on_its_own_stack)
{
	for (unsigned i = 0; i < 5; i++)
		run_coroutine();
	expect_all_same(500);
}

static void *in_thread(void *arg)
{
	struct fa_stack_bounds saved = bounds;

	(void)arg;
	find_bounds(&bounds);
	memset(&main_memory, 0, sizeof(main_memory));
	for (unsigned i = 0; i < 200; i++)
		descend(8);
	bounds = saved;
	memset(&main_memory, 0, sizeof(main_memory));
	return NULL;
}

SPEC(a_thread_ends_at_its_first_function)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0);
	(void)pthread_join(thread, NULL);
	expect_all_same(200);
}

SPEC(without_bounds_each_page_is_verified)
{
	struct fa_stack_bounds saved = bounds;

	bounds.lo = 0;
	bounds.hi = 0;
	memset(&main_memory, 0, sizeof(main_memory));
	for (unsigned i = 0; i < 200; i++)
		descend(12);
	bounds = saved;
	memset(&main_memory, 0, sizeof(main_memory));
	expect_all_same(200);
}

/* ---- hand-written code ---- */

void fa_by_rbx(void (*f)(void));
void fa_by_expression(void (*f)(void));
__asm__(".text\n"
	"fa_by_rbx:\n" /* as in the dynamic linker's resolver: CFA by rbx */
	".cfi_startproc\n"
	"	pushq %rbx\n"
	".cfi_def_cfa_offset 16\n"
	".cfi_offset %rbx, -16\n"
	"	movq %rsp, %rbx\n"
	".cfi_def_cfa_register %rbx\n"
	"	andq $-64, %rsp\n"
	"	subq $64, %rsp\n"
	"	call *%rdi\n"
	"	movq %rbx, %rsp\n"
	".cfi_def_cfa_register %rsp\n"
	"	popq %rbx\n"
	".cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n"
	"fa_by_expression:\n" /* CFA = *(rsp + 16) + 8 */
	".cfi_startproc\n"
	"	movq %rsp, %rax\n"
	".cfi_def_cfa_register %rax\n"
	"	subq $56, %rsp\n"
	"	movq %rax, 16(%rsp)\n"
	".cfi_escape 0x0f, 6, 0x77, 16, 0x06, 0x08, 8, 0x22\n"
	"	call *%rdi\n"
	"	addq $56, %rsp\n"
	".cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	".cfi_endproc\n");

static void compare_twice(void)
{
	compare_here();
	uses_alloca(1);
	compare_here();
}

static void through_both(void)
{
	fa_by_rbx(compare_twice);
	compare_here();
}

SPEC(hand_written_rules_are_followed)
{
	compare_here();
	fa_by_rbx(compare_twice);
	fa_by_expression(compare_twice);
	compare_here();
	fa_by_expression(through_both);
	fa_by_rbx(through_both);
	expect_all_same(10);
}

/* ---- a library that another one replaces at the same place ---- */

static void first_module(const struct fa_regs *regs, void *arg)
{
	struct fa_stack_view view;

	fa_unwind(thread_of(&main_memory), regs, &bounds, DEPTH, &view);
	*(uint64_t *)arg = view.pc[0];
}

SPEC(the_main_program_has_a_module)
{
	uint64_t word = 0;

	fa_capture(first_module, &word);
	CHECK(FA_NODE_MODULE(word) != FA_MODULE_UNKNOWN);
	CHECK(FA_NODE_MODULE(word) != 0);
}

int main(void)
{
	find_bounds(&bounds);
	CHECK(fa_unwind_init(NULL, number_module) < 0);
	CHECK(fa_unwind_init(find_object, number_module) == 0);
	RUN(a_hundred_thousand_stacks_are_those_of_libunwind);
	RUN(a_stack_deeper_than_allowed_keeps_its_innermost_frames);
	RUN(a_signal_handler_on_the_same_stack_is_walked_through);
	RUN(a_signal_handler_on_a_stack_of_its_own_is_walked_through);
	RUN(an_interrupted_frame_is_marked_and_no_other);
	RUN(stacks_interrupted_at_any_instruction_are_those_of_libunwind);
	RUN(a_coroutine_is_walked_on_its_own_stack);
	RUN(a_thread_ends_at_its_first_function);
	RUN(without_bounds_each_page_is_verified);
	RUN(hand_written_rules_are_followed);
	RUN(the_main_program_has_a_module);
	return TEST_RESULT();
}
