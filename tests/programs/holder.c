/*
 * holder - holds N blocks, and looks at the clock around each heap call. usage: holder N
 * cflags: -pthread -O2
 * Says "ready PID US": the longest of its allocations took so many microseconds. Then it exchanges blocks all the
 * time; for each line that it reads it says "done US COUNT": the longest, and how many, since the last line.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint64_t worst, count;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void *timed(size_t size)
{
	uint64_t begin = now(), took;
	void *p = malloc(size);

	took = now() - begin;
	if (took > atomic_load(&worst))
		atomic_store(&worst, took);
	return p;
}

static void *talk(void *unused)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		printf("done %.1f %lu\n", (double)atomic_exchange(&worst, 0) / 1000,
		       (unsigned long)atomic_exchange(&count, 0));
		fflush(stdout);
	}
	exit(0);
}

int main(int argc, char **argv)
{
	size_t n = (size_t)atol(argv[1]);
	void **held = calloc(n, sizeof(*held));
	uint32_t x = 1;
	pthread_t thread;

	for (size_t i = 0; i < n; i++, x = x * 1103515245 + 12345)
		held[i] = timed(16 + (x >> 16) % 200);
	printf("ready %d %.1f\n", (int)getpid(), (double)atomic_exchange(&worst, 0) / 1000);
	fflush(stdout);
	pthread_create(&thread, NULL, talk, NULL);
	for (;; x = x * 1103515245 + 12345) {
		size_t i = x % n;

		free(held[i]);
		held[i] = timed(16 + (x >> 16) % 200);
		atomic_fetch_add(&count, 1);
	}
}
