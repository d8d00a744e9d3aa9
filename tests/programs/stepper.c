/* stepper HOW WHAT STRIDE [PLACES] - a program that is interrupted at each instruction of its heap calls. It watches a
 * child, which makes one round of malloc, realloc and free again and again; round k is stepped through up
 * to its k * STRIDE-th instruction, where a signal comes whose handler does HOW. Only the shim's instructions
 * (and the few of the round itself) are stepped and counted: what it calls is run to its return. PLACES are
 * the only ones in the shim, "FROM+SIZE " each in hex, from the beginning of its file.
 *   alloc   allocates            jump   allocates and leaves by siglongjmp
 *   fork    forks; the child comes back out of the handler, ends its round, makes some more and ends
 * WHAT is where the calls come from: `same` place each time, in `turns` from some, each time a `new` one.
 * With guest_bump preloaded, which may be called by handlers. Prints "stepped"; counts go to stderr: rounds,
 * those that were left by a jump, forks, and the instructions of the last. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IN_CHILD = 5, MOST_ROUNDS = 20000 };

static struct shared {
	volatile int over; /* a whole round was stepped through */
	volatile long rounds, jumps, forks;
} *shared;

static char how, what;
static volatile sig_atomic_t child;
static sigjmp_buf away;

/* Where the watcher waits for the child. */
static __attribute__((noinline)) void stop_begin(void)
{
	__asm__ volatile("int3" : : : "memory");
}

static __attribute__((noinline)) void stop_end(void)
{
	__asm__ volatile("int3\n.globl stepper_end\nstepper_end: nop" : : : "memory");
}
extern char stepper_end[];

static volatile sig_atomic_t in_round; /* not in a handler, not in what a jump has left */

static __attribute__((noinline)) void calls(void)
{
	volatile char *p, *q;

	if (in_round)
		stop_begin();
	p = malloc(40);
	p[0] = 'x';
	q = realloc((void *)p, 100);
	if (q[0] != 'x')
		_exit(3);
	free((void *)q);
	if (in_round && !child)
		stop_end();
}

/* As many ways to calls() as `way` has bits. */
static __attribute__((noinline)) void go(unsigned way, int depth)
{
	volatile char pad[16];

	pad[0] = 0;
	if (depth == 0)
		calls();
	else if (way & 1)
		go(way >> 1, depth - 1);
	else
		go(way >> 1, depth - 1);
}

static void ignore(int sig)
{
	(void)sig;
}

static void on_signal(int sig)
{
	pid_t pid;

	(void)sig;
	in_round = 0;
	if (how != 'f')
		calls();
	if (how == 'j') {
		shared->jumps++;
		siglongjmp(away, 1);
	}
	in_round = 1;
	if (how != 'f')
		return;
	pid = fork();
	if (pid == 0) {
		child = 1;
		signal(SIGTRAP, ignore); /* it may be about to stop, and nobody watches it */
	} else if (pid > 0)
		shared->forks++;
	else
		_exit(4);
}

static void one_round(unsigned way)
{
	if (sigsetjmp(away, 1) == 0) {
		in_round = 1;
		go(way, 13);
	}
	in_round = 0;
}

static void be_stepped(void)
{
	signal(SIGUSR1, on_signal);
	for (int i = 0; i < 20; i++) /* pages and caches as they are later */
		for (unsigned way = 0; way < 8; way++)
			go(way, 13);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(5);
	for (unsigned k = 0; !shared->over && k < MOST_ROUNDS; k++) {
		one_round(what == 's' ? 0 : what == 't' ? k % 8 : k + 8);
		if (child) {
			for (int i = 0; i < IN_CHILD; i++)
				go(1, 13);
			_exit(0);
		}
		shared->rounds++;
		for (int status; waitpid(-1, &status, WNOHANG) > 0;)
			if (status != 0)
				_exit(dprintf(2, "a child: %x\n", status) > 0 ? 6 : 6);
	}
	for (int status; waitpid(-1, &status, 0) > 0;)
		if (status != 0)
			_exit(6);
	_exit(shared->over ? 0 : 7);
}

static int fail(const char *why, int status)
{
	printf("%s: %x in round %ld\n", why, status, shared->rounds);
	return 1;
}

static int at_end(pid_t pid)
{
	return ptrace(PTRACE_PEEKUSER, pid, (void *)offsetof(struct user, regs.rip), NULL) ==
	       (long)stepper_end;
}

/* On to the next stop. 0: it is there, 1: it has ended well, -1: neither. */
static int go_on(pid_t pid, int sig, int *status)
{
	if (ptrace(PTRACE_CONT, pid, NULL, (void *)(long)sig) < 0 || waitpid(pid, status, 0) != pid)
		return -1;
	while (WIFSTOPPED(*status) && WSTOPSIG(*status) == SIGCHLD)
		if (ptrace(PTRACE_CONT, pid, NULL, (void *)(long)SIGCHLD) < 0 ||
		    waitpid(pid, status, 0) != pid)
			return -1;
	if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0)
		return 1;
	return WIFSTOPPED(*status) && WSTOPSIG(*status) == SIGTRAP ? 0 : -1;
}

static struct text {
	unsigned long from, to;
} texts[256];
static int n_texts;

static void find_places(unsigned long base, const char *places)
{
	struct text t;
	int n;

	for (; sscanf(places, "%lx+%lx %n", &t.from, &t.to, &n) == 2 && n_texts < 256; places += n)
		texts[n_texts++] = (struct text){base + t.from, base + t.from + t.to};
}

static void find_texts(const char *places)
{
	static char maps[65536]; /* not a stdio file, which allocates */
	char rights[8], path[300];
	unsigned long offset;
	struct text t;
	int fd = open("/proc/self/maps", O_RDONLY);
	size_t size = 0;

	for (ssize_t n; (n = read(fd, maps + size, sizeof(maps) - 1 - size)) > 0;)
		size += n;
	close(fd);
	for (char *line = strtok(maps, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %299s", &t.from, &t.to, rights, &offset, path) != 5 ||
		    rights[2] != 'x')
			continue;
		if (strstr(path, "libfirstalloc_preload") != NULL && places != NULL)
			find_places(t.from - offset, places);
		else if (strstr(path, "libfirstalloc_preload") != NULL ||
			 (t.from <= (unsigned long)find_texts && (unsigned long)find_texts < t.to))
			texts[n_texts++] = t;
	}
}

static int is_stepped(unsigned long pc)
{
	for (int i = 0; i < n_texts; i++)
		if (pc >= texts[i].from && pc < texts[i].to)
			return 1;
	return 0;
}

/* Once by ptrace `how`, and what SIGCHLD stops is let on. 0: it has stopped by SIGTRAP. */
static int move(pid_t pid, int how, int *status)
{
	do {
		if (ptrace(how, pid, NULL, NULL) < 0 || waitpid(pid, status, 0) != pid || !WIFSTOPPED(*status))
			return -1;
	} while (WSTOPSIG(*status) == SIGCHLD);
	return WSTOPSIG(*status) == SIGTRAP ? 0 : -1;
}

/* It has been called just now: on to where it returns. */
static int run_out(pid_t pid, int *status)
{
	struct user_regs_struct r;
	long back, word;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &r) < 0)
		return -1;
	back = ptrace(PTRACE_PEEKDATA, pid, (void *)r.rsp, NULL);
	word = ptrace(PTRACE_PEEKTEXT, pid, (void *)back, NULL);
	ptrace(PTRACE_POKETEXT, pid, (void *)back, (void *)((word & ~0xffl) | 0xcc));
	if (move(pid, PTRACE_CONT, status) < 0 || ptrace(PTRACE_GETREGS, pid, NULL, &r) < 0 ||
	    r.rip != (unsigned long)back + 1)
		return -1;
	r.rip = back;
	ptrace(PTRACE_POKETEXT, pid, (void *)back, (void *)word);
	return ptrace(PTRACE_SETREGS, pid, NULL, &r) < 0 ? -1 : 0;
}

/* One instruction, and what is no instruction of ours behind it. */
static int step(pid_t pid, int *status)
{
	if (move(pid, PTRACE_SINGLESTEP, status) < 0)
		return -1;
	if (!is_stepped(ptrace(PTRACE_PEEKUSER, pid, (void *)offsetof(struct user, regs.rip), NULL)))
		return run_out(pid, status);
	return 0;
}

static int watch(pid_t pid, long stride, const char *places)
{
	long steps = 0;
	int status, r = waitpid(pid, &status, 0) == pid ? 0 : -1;

	find_texts(places);

	for (; r == 0; steps += stride) {
		long i = 0;

		for (; i < steps && !shared->over; i++) {
			if (step(pid, &status) < 0)
				return fail("step", status);
			shared->over = at_end(pid);
		}
		if (!shared->over) {
			r = go_on(pid, SIGUSR1, &status);
			if (r == 0 && how == 'j') /* at the next round's beginning already */
				continue;
		}
		if (r == 0)
			r = go_on(pid, 0, &status);
	}
	if (r < 0)
		return fail("it stopped", status);
	fprintf(stderr, "%ld %ld %ld %ld\n", shared->rounds, shared->jumps, shared->forks, steps);
	puts("stepped");
	return 0;
}

int main(int argc, char **argv)
{
	cpu_set_t one;
	pid_t pid;

	if (argc < 4)
		return 2;
	how = argv[1][0];
	what = argv[2][0];
	/* On one processor: each step is two switches, and no wait for another. */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (pid == 0)
		be_stepped();
	return pid < 0 ? 2 : watch(pid, atol(argv[3]), argc > 4 ? argv[4] : NULL);
}
