/* faller MS [SIGNAL] - a block of 77 bytes each millisecond or so for MS milliseconds or until SIGTERM, then dies by
 * SIGNAL. Prints "up" when it has begun. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}
static volatile sig_atomic_t over;

static void on_term(int sig)
{
	(void)sig;
	over = 1;
}

int main(int argc, char **argv)
{
	double end = now() + atof(argv[1]);
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	free(malloc(77));
	signal(SIGTERM, on_term);
	write(1, "up\n", 3);
	while (!over && now() < end) {
		free(malloc(77));
		usleep(1000);
	}
	signal(SIGTERM, SIG_DFL);
	if (argc > 2)
		kill(getpid(), atoi(argv[2]));
	return 0;
}
