/* spawn N PROGRAM - start PROGRAM N times, one after the other; ns per start. The children alone get
 * LD_PRELOAD from BENCH_PRELOAD. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

int main(int argc, char **argv)
{
	long n = atol(argv[1]);
	struct timespec a, b;

	(void)argc;
	if (getenv("BENCH_PRELOAD") != NULL)
		setenv("LD_PRELOAD", getenv("BENCH_PRELOAD"), 1);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < n; i++) {
		pid_t pid;
		int status;

		if (posix_spawnp(&pid, argv[2], NULL, NULL, argv + 2, environ) != 0 ||
		    waitpid(pid, &status, 0) < 0 || status != 0)
			return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("RESULT %.0f\n", ((double)(b.tv_sec - a.tv_sec) * 1e9 +
				 (double)(b.tv_nsec - a.tv_nsec)) / (double)n);
	return 0;
}
