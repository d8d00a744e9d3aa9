/* bare N - malloc(32) and free, N times, and nothing else. Prints ns per pair, measured inside. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 0;
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < n; i++) {
		char *volatile p = malloc(32);

		free(p);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("RESULT %.3f\n", ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / (double)n);
	return 0;
}
