/*
 * attack_bell.c - rings the doorbell as no shim does.
 * cflags: -Isrc -D_GNU_SOURCE
 *
 *   attack_bell many N P       P processes open the bell N times each, without an arena
 *   attack_bell slow MS P      P processes with 64,000 mappings ring for MS milliseconds while a
 *                              thread of each forks without end: it holds the lock of the mappings
 *   attack_bell kill N         N children ring and are killed while they wait
 *   attack_bell memfd          a memfd lies where an arena is expected
 *   attack_bell guarded        an arena in a process that its own user may not look into; "answer N"
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "format/arena_format.h"

static void ring(void)
{
	int fd = open(FA_BELL_PATH, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
}

static unsigned long ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void *fork_on(void *end)
{
	while (ms() < *(unsigned long *)end) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	return NULL;
}

static void slow(unsigned long for_ms)
{
	unsigned long end = ms() + for_ms;
	char *p = mmap(NULL, 64000ul * 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	pthread_t thread;

	for (int i = 0; i < 64000; i += 2) /* every second page another right: a mapping each */
		if (mprotect(p + i * 4096ul, 4096, PROT_NONE) < 0)
			break;
	pthread_create(&thread, NULL, fork_on, &end);
	while (ms() < end)
		ring();
	pthread_join(thread, NULL);
}

static void *arena(int fd)
{
	return mmap((void *)fa_arena_slot_address(0), 2 << 20, PROT_READ | PROT_WRITE,
		    MAP_FIXED_NOREPLACE | (fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED), fd, 0);
}

int main(int argc, char **argv)
{
	const char *mode = argv[1];
	int n = argc > 2 ? atoi(argv[2]) : 0, count = argc > 3 ? atoi(argv[3]) : 1;
	struct fa_arena_header *h;

	if (!strcmp(mode, "many") || !strcmp(mode, "slow")) {
		for (int p = 0; p < count; p++)
			if (fork() == 0) {
				if (mode[0] == 's')
					slow(n);
				for (int i = 0; mode[0] == 'm' && i < n; i++)
					ring();
				_exit(0);
			}
		while (wait(NULL) > 0)
			;
	} else if (!strcmp(mode, "kill")) {
		for (int i = 0; i < n; i++) {
			pid_t pid = fork();

			if (pid == 0)
				for (arena(-1);;)
					ring();
			usleep(i % 10 * 100);
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
	} else if (!strcmp(mode, "memfd")) {
		int fd = memfd_create("zero (deleted)", 0);

		ftruncate(fd, 2 << 20);
		h = arena(fd);
		ring();
		printf("answer %u\n", h->answer.word);
	} else if (!strcmp(mode, "guarded")) {
		prctl(PR_SET_DUMPABLE, 0);
		h = arena(-1);
		h->joined = 1; /* or it would be taken back with the answer in it */
		ring();
		printf("answer %u\n", h->answer.word);
	}
	return 0;
}
