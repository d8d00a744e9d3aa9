/*
 * live - a process that is attached to in the middle of its life, and says what it did.
 * cflags: -pthread
 * live [-t N] [-f]: allocates 100 blocks of 777 bytes, prints "ready PID"; then obeys lines on stdin:
 *   alloc N   N blocks of 100 bytes, kept      old N   frees N of the first 777-byte blocks
 *   free N    frees N of the kept ones         grow    realloc of one 777-byte block to 900
 *   fork      a child that obeys from now on; the parent waits for it
 *   exec P A  executes P with the argument A
 * Each is answered "done". -t N: N threads allocate, fill, check and free all the time. -f: a filter of its own
 * that kills for all system calls but those that malloc, reading, writing, sleeping and the end make. At the end of
 * stdin: "ok", or "bad" when a block was not as it had been left.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OLD = 100, KEPT = 1 << 20, HELD = 64 };
static atomic_int stop, bad;
static char *old[OLD];
static char *kept[KEPT];
static int olds = OLD, kepts, threads;

#define OK(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void forbid(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		OK(brk), OK(mmap), OK(munmap), OK(mremap), OK(mprotect), OK(madvise), OK(futex), OK(read), OK(write), OK(clock_nanosleep), OK(nanosleep),
		OK(exit_group), OK(exit),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog p = {sizeof(f) / sizeof(f[0]), f};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) < 0)
		_exit(3);
}

static void *work(void *arg)
{
	unsigned char *held[HELD] = {0}, mark = (unsigned char)(size_t)arg;
	size_t size[HELD] = {0};
	unsigned random = mark * 2654435761u + 1;

	for (unsigned turn = 0; !stop; turn++) {
		unsigned i = (random = random * 1103515245 + 12345) >> 16 & (HELD - 1);

		if (held[i] != NULL) {
			if (held[i][0] != mark || held[i][size[i] - 1] != mark)
				bad = 1;
			free(held[i]);
			held[i] = NULL;
		} else {
			size[i] = 1 + (random >> 8) % 500;
			held[i] = malloc(size[i]);
			memset(held[i], mark, size[i]);
		}
		if (turn % 1024 == 0)
			usleep(1000); /* others have tests to run, too */
	}
	for (int i = 0; i < HELD; i++)
		free(held[i]);
	return NULL;
}

static void obey(const char *line)
{
	char what[16] = "", a[256] = "", b[256] = "";
	int n;

	sscanf(line, "%15s %255s %255s", what, a, b);
	n = atoi(a);
	if (strcmp(what, "alloc") == 0)
		while (n-- > 0)
			kept[kepts++] = malloc(100);
	else if (strcmp(what, "free") == 0)
		while (n-- > 0)
			free(kept[--kepts]);
	else if (strcmp(what, "old") == 0)
		while (n-- > 0)
			free(old[--olds]);
	else if (strcmp(what, "grow") == 0)
		old[0] = realloc(old[0], 900);
	else if (strcmp(what, "exec") == 0)
		execl(a, a, b, (char *)NULL);
	else if (strcmp(what, "fork") == 0 && (n = fork()) != 0) {
		waitpid(n, NULL, 0);
		_exit(0);
	} else if (strcmp(what, "fork") == 0) {
		threads = 0;
	}
}

/* Not stdio: what it allocates is nobody's to count. */
static int next_line(char *line, int size)
{
	int n = 0;

	while (n < size - 1 && read(0, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	return n > 0;
}

int main(int argc, char **argv)
{
	pthread_t thread[64];
	int filter = 0;
	char line[600];

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-f") == 0)
			filter = 1;
		else if (strcmp(argv[i], "-t") == 0)
			threads = atoi(argv[++i]);
	}
	for (int i = 0; i < OLD; i++)
		old[i] = malloc(777);
	for (int i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, work, (void *)(size_t)(i + 1));
	dprintf(1, "ready %d\n", (int)getpid());
	if (filter)
		forbid();
	while (next_line(line, sizeof(line))) {
		obey(line);
		if (write(1, "done\n", 5) != 5)
			return 4;
	}
	stop = 1;
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	return write(1, bad ? "bad\n" : "ok\n", bad ? 4 : 3) < 0 || bad;
}
