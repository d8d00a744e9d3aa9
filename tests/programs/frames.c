/*
 * frames KIND N - about N heap calls from frames of a kind that is hard to unwind:
 *   alloca       frames of changing size (alloca, arrays of variable length), realigned frames, with and without rbp,
 *                callbacks of qsort
 *   coroutine    stacks made by makecontext, left and entered again by swapcontext
 *   signal       handlers that interrupt anything, at any instruction, on the same and on a stack of their own
 *   asm          hand-written frames with CFI: pushes, another register as base, expressions, registers saved in
 *                registers, remembered states
 *   jump         longjmp out of any depth
 *   wrong        hand-written frames whose CFI is wrong, or is not there
 * cflags: -O2 -fomit-frame-pointer -fasynchronous-unwind-tables
 */
#include <alloca.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#define FRAME __attribute__((noinline, noclone)) static

static volatile long calls, wanted;
static volatile unsigned char after;
static uint64_t state = 88172645463325252ULL;
static void (*at_bottom)(void);

static uint64_t number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

FRAME void allocate(void)
{
	calls++;
	free(malloc(1 + number() % 200));
}

/* --- frames of the compiler ---------------------------------------------------------------- */

FRAME void descend(unsigned depth);

FRAME void has_alloca(unsigned depth)
{
	unsigned char *p = alloca(number() % 3000 + 1);

	p[0] = (unsigned char)depth;
	descend(depth - 1);
	after = p[0];
}

FRAME void has_array(unsigned depth)
{
	size_t length = number() % 3000 + 1;
	unsigned char p[length];

	p[length - 1] = (unsigned char)depth;
	__asm__ volatile("" : : "r"(p) : "memory");
	descend(depth - 1);
	after = p[length - 1];
}

FRAME void is_realigned(unsigned depth)
{
	_Alignas(64) unsigned char p[64];

	p[0] = (unsigned char)depth;
	__asm__ volatile("" : : "r"(p) : "memory");
	descend(depth - 1);
	after = p[0];
}

FRAME void is_large(unsigned depth)
{
	unsigned char p[9000];

	p[0] = (unsigned char)depth;
	__asm__ volatile("" : : "r"(p) : "memory");
	descend(depth - 1);
	after = p[0];
}

__attribute__((noinline, noclone, optimize("no-omit-frame-pointer"))) static void
by_rbp(unsigned depth)
{
	descend(depth - 1);
	after = (unsigned char)depth;
}

FRAME void saves_all(unsigned depth)
{
	uint64_t a = number(), b = number(), c = number(), d = number(), e = number();

	descend(depth - 1);
	after = (unsigned char)(a + b + c + d + e + number());
}

static unsigned sort_depth;

static int in_sort(const void *a, const void *b)
{
	descend(sort_depth);
	return *(const int *)a - *(const int *)b;
}

FRAME void through_sort(unsigned depth)
{
	int v[2] = {2, 1};

	sort_depth = depth - 1;
	qsort(v, 2, sizeof(v[0]), in_sort);
	after = (unsigned char)v[0];
}

FRAME void descend(unsigned depth)
{
	static void (*const way[])(unsigned) = {has_alloca, has_array, is_realigned, is_large,
						by_rbp,     saves_all,    through_sort};

	allocate();
	if (depth == 0)
		at_bottom();
	else
		way[number() % (sizeof(way) / sizeof(way[0]))](depth);
	allocate();
}

static void nothing(void)
{
}

/* --- coroutines ---------------------------------------------------------------------------- */

enum { COROUTINES = 8, STACK = 256 << 10 };

static ucontext_t home, coroutine[COROUTINES];
static unsigned current;

static void to_another(void)
{
	unsigned from = current;

	current = (unsigned)(number() % COROUTINES);
	if (current != from)
		swapcontext(&coroutine[from], &coroutine[current]);
	allocate();
}

static void body(void)
{
	while (calls < wanted)
		descend((unsigned)(number() % 10));
	setcontext(&home);
}

static void coroutines(void)
{
	at_bottom = to_another;
	for (unsigned i = 0; i < COROUTINES; i++) {
		getcontext(&coroutine[i]);
		coroutine[i].uc_stack.ss_sp = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
						   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		coroutine[i].uc_stack.ss_size = STACK;
		coroutine[i].uc_link = &home;
		makecontext(&coroutine[i], body, 0);
	}
	swapcontext(&home, &coroutine[0]);
}

/* --- signals: only while spin() runs, so that no handler interrupts malloc ------------------ */

static volatile sig_atomic_t came;

static void on_signal(int number)
{
	(void)number;
	came = 1;
	for (int i = 0; i < 8; i++)
		allocate();
}

FRAME uint64_t leaf(uint64_t x)
{
	return x * 0x9E3779B97F4A7C15ULL ^ x >> 29;
}

FRAME uint64_t spin_deeper(unsigned depth, uint64_t x)
{
	if (depth != 0)
		x ^= spin_deeper(depth - 1, leaf(x));
	return leaf(x);
}

static void spin(void)
{
	struct itimerval once = {{0, 0}, {0, (long)(number() % 60) + 1}};
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = number() & 1 ? SA_ONSTACK : 0};

	sigaction(SIGALRM, &sa, NULL);
	came = 0;
	setitimer(ITIMER_REAL, &once, NULL);
	while (!came)
		after = (unsigned char)spin_deeper((unsigned)(number() % 6), number());
	raise(SIGUSR1);
}

static void signals(void)
{
	static _Alignas(16) unsigned char other[64 << 10];
	stack_t stack = {.ss_sp = other, .ss_size = sizeof(other)};

	sigaltstack(&stack, NULL);
	signal(SIGUSR1, on_signal);
	at_bottom = spin;
	while (calls < wanted)
		descend((unsigned)(number() % 10));
}

/* --- by hand ------------------------------------------------------------------------------- */

void hand_pushes(unsigned), hand_base(unsigned), hand_expression(unsigned), hand_register(unsigned),
	hand_states(unsigned);
void hand_call(unsigned depth);

__asm__(".text\n"
	"hand_pushes:\n"
	"	.cfi_startproc\n"
	"	push %rbx\n	.cfi_adjust_cfa_offset 8\n	.cfi_rel_offset %rbx, 0\n"
	"	push %r12\n	.cfi_adjust_cfa_offset 8\n	.cfi_rel_offset %r12, 0\n"
	"	sub $0x1238, %rsp\n	.cfi_adjust_cfa_offset 0x1238\n"
	"	call hand_call\n"
	"	add $0x1238, %rsp\n	.cfi_adjust_cfa_offset -0x1238\n"
	"	pop %r12\n	.cfi_adjust_cfa_offset -8\n	.cfi_restore %r12\n"
	"	pop %rbx\n	.cfi_adjust_cfa_offset -8\n	.cfi_restore %rbx\n"
	"	ret\n"
	"	.cfi_endproc\n"
	/* The CFA by r12; the stack below it is of unknown size. */
	"hand_base:\n"
	"	.cfi_startproc\n"
	"	push %r12\n	.cfi_adjust_cfa_offset 8\n	.cfi_rel_offset %r12, 0\n"
	"	mov %rsp, %r12\n	.cfi_def_cfa_register %r12\n"
	"	mov %edi, %eax\n	and $15, %eax\n	shl $6, %eax\n	sub %rax, %rsp\n"
	"	sub $64, %rsp\n	and $-64, %rsp\n"
	"	call hand_call\n"
	"	mov %r12, %rsp\n	.cfi_def_cfa_register %rsp\n"
	"	pop %r12\n	.cfi_adjust_cfa_offset -8\n	.cfi_restore %r12\n"
	"	ret\n"
	"	.cfi_endproc\n"
	/* The CFA is a word of the frame, plus 16: DW_CFA_def_cfa_expression { breg7 8; deref; lit16; plus }. */
	"hand_expression:\n"
	"	.cfi_startproc\n"
	"	push %rbx\n	.cfi_adjust_cfa_offset 8\n	.cfi_rel_offset %rbx, 0\n"
	"	mov %rsp, %rax\n"
	"	sub $32, %rsp\n	.cfi_adjust_cfa_offset 32\n"
	"	mov %rax, 8(%rsp)\n"
	"	.cfi_escape 0x0f, 5, 0x77, 8, 0x06, 0x40, 0x22\n"
	"	call hand_call\n"
	"	add $32, %rsp\n	.cfi_def_cfa %rsp, 16\n"
	"	pop %rbx\n	.cfi_adjust_cfa_offset -8\n	.cfi_restore %rbx\n"
	"	ret\n"
	"	.cfi_endproc\n"
	/* The caller's rbp is kept in r13 while another thing is in rbp. */
	"hand_register:\n"
	"	.cfi_startproc\n"
	"	push %r13\n	.cfi_adjust_cfa_offset 8\n	.cfi_rel_offset %r13, 0\n"
	"	mov %rbp, %r13\n	.cfi_register %rbp, %r13\n"
	"	xor %ebp, %ebp\n"
	"	call hand_call\n"
	"	mov %r13, %rbp\n	.cfi_restore %rbp\n"
	"	pop %r13\n	.cfi_adjust_cfa_offset -8\n	.cfi_restore %r13\n"
	"	ret\n"
	"	.cfi_endproc\n"
	/* Two ways out; the state of the body is remembered and taken again. */
	"hand_states:\n"
	"	.cfi_startproc\n"
	"	push %rbp\n	.cfi_def_cfa_offset 16\n	.cfi_offset %rbp, -16\n"
	"	mov %rsp, %rbp\n	.cfi_def_cfa_register %rbp\n"
	"	test $1, %edi\n"
	"	jz 1f\n"
	"	.cfi_remember_state\n"
	"	call hand_call\n"
	"	leave\n	.cfi_def_cfa %rsp, 8\n	.cfi_restore %rbp\n"
	"	ret\n"
	"1:	.cfi_restore_state\n"
	"	sub $0x40, %rsp\n"
	"	call hand_call\n"
	"	leave\n	.cfi_def_cfa %rsp, 8\n	.cfi_restore %rbp\n"
	"	ret\n"
	"	.cfi_endproc\n");

__attribute__((noinline, noclone)) void hand_call(unsigned depth)
{
	static void (*const way[])(unsigned) = {hand_pushes, hand_base, hand_expression,
						hand_register, hand_states};

	allocate();
	if (depth == 0)
		descend((unsigned)(number() % 3));
	else
		way[number() % 5](depth - 1);
	allocate();
}

/* --- wrong: at each of these a stack must end, with a mark --------------------------------- */

void wrong_far(void), wrong_here(void), wrong_null(void), wrong_endless(void), wrong_none(void);

#define WRONG(name, cfi)                                                                           \
	#name ":\n	.cfi_startproc\n	push %rbp\n	sub $16, %rsp\n" cfi                       \
	"	call allocate_here\n	add $16, %rsp\n	pop %rbp\n	ret\n	.cfi_endproc\n"
__asm__(".text\n" WRONG(wrong_far, "	.cfi_def_cfa %rsp, 0x4000000\n")
	WRONG(wrong_here, "	.cfi_def_cfa %rsp, 0\n")
	/* CFA = *0; CFA by a loop without end */
	WRONG(wrong_null, "	.cfi_escape 0x0f, 2, 0x30, 0x06\n")
	WRONG(wrong_endless, "	.cfi_escape 0x0f, 3, 0x2f, 0xfd, 0xff\n")
	"wrong_none:\n"
	"	push %rbp\n	sub $16, %rsp\n	mov $0x7eadbeef12345, %rbp\n"
	"	call allocate_here\n	add $16, %rsp\n	pop %rbp\n	ret\n");

__attribute__((noinline, noclone, used)) void allocate_here(void)
{
	allocate();
	after++;
}

static void wrong(void)
{
	static void (*const way[])(void) = {wrong_far, wrong_here, wrong_null, wrong_endless,
					    wrong_none};

	way[number() % 5]();
}

/* --- jumps --------------------------------------------------------------------------------- */

static jmp_buf away;

static void jump(void)
{
	if (number() & 1)
		longjmp(away, 1);
}

int main(int argc, char **argv)
{
	const char *kind = argc == 3 ? argv[1] : "";

	wanted = argc == 3 ? atol(argv[2]) : 0;
	at_bottom = nothing;
	if (strcmp(kind, "coroutine") == 0) {
		coroutines();
	} else if (strcmp(kind, "signal") == 0) {
		signals();
	} else if (strcmp(kind, "alloca") == 0) {
		while (calls < wanted)
			descend((unsigned)(number() % 20));
	} else if (strcmp(kind, "asm") == 0) {
		while (calls < wanted)
			hand_call((unsigned)(number() % 20));
	} else if (strcmp(kind, "jump") == 0) {
		at_bottom = jump;
		while (calls < wanted)
			if (setjmp(away) == 0)
				descend((unsigned)(number() % 20));
	} else if (strcmp(kind, "wrong") == 0) {
		at_bottom = wrong;
		while (calls < wanted)
			descend((unsigned)(number() % 4));
	} else {
		return 2;
	}
	puts("frames ok");
	return 0;
}
