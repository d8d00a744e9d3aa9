/*
 * pairs N DEPTH [PER_DESCENT] - free one of 64 live blocks and allocate another of 16 to 512 bytes, N
 * times, under DEPTH frames that are left and entered again by one of 64 paths every PER_DESCENT
 * (default 8) pairs. Prints ns per pair, measured inside.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LIVE = 64, PATHS = 64 };

static void *live[LIVE];
static uint64_t state = 0x853c49e6748fea9bULL;
static int per_descent = 8;
static volatile int sink;

static uint32_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16);
}

static __attribute__((noinline)) void exchange(void)
{
	for (int i = 0; i < per_descent; i++) {
		uint32_t r = next_random();
		char *p;

		free(live[r % LIVE]);
		p = malloc(16 + (r >> 8) % 497);
		*p = (char)r;
		live[r % LIVE] = p;
	}
}

static void step0(uint64_t path, int depth);
static void step1(uint64_t path, int depth);

static void descend(uint64_t path, int depth)
{
	if (depth <= 1)
		exchange();
	else if (path & 1)
		step1(path >> 1 | path << 63, depth - 1);
	else
		step0(path >> 1 | path << 63, depth - 1);
}

/* The store behind the call keeps the frame: without it the call would be a jump. */
static __attribute__((noinline)) void step0(uint64_t path, int depth)
{
	descend(path, depth);
	sink = 0;
}

static __attribute__((noinline)) void step1(uint64_t path, int depth)
{
	descend(path, depth);
	sink = 1;
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 1000000;
	int depth = argc > 2 ? atoi(argv[2]) : 32;
	uint64_t path[PATHS];
	struct timespec a, b;

	if (argc > 3)
		per_descent = atoi(argv[3]);
	for (int i = 0; i < PATHS; i++)
		path[i] = (uint64_t)next_random() << 32 | next_random();
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < n; i += per_descent)
		step0(path[next_random() % PATHS], depth);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("RESULT %.2f\n", ((double)(b.tv_sec - a.tv_sec) * 1e9 +
				 (double)(b.tv_nsec - a.tv_nsec)) / (double)n);
	return 0;
}
