/*
 * two_lives - a process that executes another program while it is attached to, and keeps its old memory alive in a
 * process that shares it: there its block says, when the other program runs, that the order was obeyed.
 * two_lives: prints "ready PID", waits for an order; is then a program without the shim that has memory where an
 * arena would be, and prints "hit" when somebody has written to that, or after a second "ok".
 * cflags: -Isrc -D_GNU_SOURCE
 */
#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/arena_format.h"

static volatile struct fa_process_block *block;
static volatile int in_place[1]; /* a pipe: the other program has laid out its memory */

static int keep_memory(void *arg)
{
	char c;

	if (read(in_place[0], &c, 1) != 1)
		_exit(1);
	block->arena = fa_arena_slot_address(0);
	block->woken = block->wake.order;
	for (;;)
		pause();
}

static int second_life(int fd, pid_t keeper)
{
	char *p = mmap((void *)fa_arena_slot_address(0), FA_ARENA_MAX0, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	volatile struct fa_arena_header *h = (void *)p;
	int hit = 0;

	if (p != (char *)fa_arena_slot_address(0))
		return 3;
	h->joined = 1; /* so that it does not go back when it is let go */
	if (write(fd, "x", 1) != 1)
		return 3;
	for (int i = 0; i < 100 && !hit; i++) {
		usleep(10000);
		hit = h->answer.word != 0;
	}
	kill(keeper, SIGKILL);
	return write(1, hit ? "hit\n" : "ok\n", hit ? 4 : 3) < 0 || hit;
}

int main(int argc, char **argv)
{
	char fd[16], keeper[16];
	int p[2];

	if (argc == 3)
		return second_life(atoi(argv[1]), atoi(argv[2]));
	block = dlsym(RTLD_DEFAULT, "firstalloc_process_block");
	if (block == NULL || pipe(p) < 0)
		return 2;
	in_place[0] = p[0];
	snprintf(fd, sizeof(fd), "%d", p[1]);
	/* Before the order: the heap is not called any more. */
	snprintf(keeper, sizeof(keeper), "%d",
		 clone(keep_memory, (char *)mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE,
						 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + (1 << 16),
		       CLONE_VM, NULL));
	dprintf(1, "ready %d\n", (int)getpid());
	while (block->wake.order == block->woken)
		usleep(1000);
	unsetenv("LD_PRELOAD");
	execl("/proc/self/exe", argv[0], fd, keeper, (char *)NULL);
	return 4;
}
