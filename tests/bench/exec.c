/* exec N LIST LIBRARY PROGRAM... - start PROGRAM N times without and N times with LIBRARY in LIST (ld.so.preload of this
 * mount namespace), in turns. Prints "RESULT <median without> <median with>", in ns. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double start_once(char **argv)
{
	double begin = now();
	pid_t pid;
	int status;

	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) < 0 || status != 0)
		exit(1);
	return now() - begin;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	size_t n = argc > 4 ? strtoul(argv[1], NULL, 10) : 0;
	double *without = calloc(n + 1, sizeof(double)), *with = calloc(n + 1, sizeof(double));

	if (n == 0 || without == NULL || with == NULL)
		return 2;
	for (size_t i = 0; i < n; i++) {
		int fd;

		without[i] = start_once(argv + 4);
		fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, argv[3], strlen(argv[3])) < 0)
			return 1;
		close(fd);
		with[i] = start_once(argv + 4);
		if (unlink(argv[2]) < 0)
			return 1;
	}
	qsort(without, n, sizeof(double), by_value);
	qsort(with, n, sizeof(double), by_value);
	printf("RESULT %.0f %.0f\n", without[n / 2], with[n / 2]);
	return 0;
}
