/*
 * stacks - many stacks, deep stacks, many threads, many blocks, and nothing else.
 *
 *   stacks new N DEPTH     2 N allocations, each with a stack of its own (while N is below 2^DEPTH)
 *   stacks deep N DEPTH    N allocations, each at the end of a descent of DEPTH frames
 *   stacks alive N         N threads, alive together, 1,000 pairs each in ten turns
 *   stacks live N          N blocks of 16 bytes, not freed
 * cflags: -O2 -fno-optimize-sibling-calls
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME __attribute__((noinline, noclone)) static

enum { THREADS = 2000 };

static volatile long after;
static pthread_barrier_t together;

FRAME void new_a(unsigned long path, int depth);
FRAME void new_b(unsigned long path, int depth);

#define DESCEND(name)                                                                      \
	FRAME void name(unsigned long path, int depth)                                     \
	{                                                                                  \
		if (depth == 0) {                                                          \
			after = malloc(24) == NULL;                                        \
			after = malloc(24) == NULL;                                        \
		} else if (path >> (depth - 1) & 1) {                                      \
			new_b(path, depth - 1);                                            \
		} else {                                                                   \
			new_a(path, depth - 1);                                            \
		}                                                                          \
		after = depth;                                                             \
	}
DESCEND(new_a)
DESCEND(new_b)

FRAME void deep(int depth)
{
	if (depth == 0)
		after = malloc(24) == NULL;
	else
		deep(depth - 1);
	after = depth;
}

static void *alive(void *arg)
{
	for (int turn = 0; turn < 10; turn++) {
		pthread_barrier_wait(&together);
		for (int i = 0; i < 100; i++)
			free(malloc(20));
	}
	return arg;
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? atol(argv[2]) : 0;
	int depth = argc > 3 ? atoi(argv[3]) : 0;
	pthread_t id[THREADS];

	if (n < 1)
		return 2;
	for (long i = 0; i < n && strcmp(argv[1], "new") == 0; i++)
		new_a((unsigned long)i, depth);
	for (long i = 0; i < n && strcmp(argv[1], "deep") == 0; i++)
		deep(depth);
	for (long i = 0; i < n && strcmp(argv[1], "live") == 0; i++)
		after = malloc(16) == NULL;
	if (strcmp(argv[1], "alive") != 0)
		return 0;
	pthread_barrier_init(&together, NULL, (unsigned)n);
	for (long i = 0; i < n; i++)
		if (n > THREADS || pthread_create(&id[i], NULL, alive, NULL) != 0)
			return 1;
	for (long i = 0; i < n; i++)
		pthread_join(id[i], NULL);
	return 0;
}
