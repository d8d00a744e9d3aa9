/*
 * burst THREADS PAIRS [FILE] - each thread, as fast as it can: so many pairs of malloc and free, of random sizes and in
 * random order, so that a trace of them does not shrink. With FILE: not before it is there. Prints how many events that
 * makes: PAIRS * 2 * THREADS.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { HELD = 256 };
static long pairs;
static pthread_barrier_t begin;

static void *work(void *arg)
{
	uint64_t random = 88172645463325252ull + (uint64_t)arg;
	void *held[HELD] = {NULL};
	unsigned at = 0;

	pthread_barrier_wait(&begin);
	for (long i = 0; i < pairs; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		at = random % HELD;
		if (held[at] != NULL)
			free(held[at]);
		held[at] = malloc((random >> 20 & 8191) + 1);
	}
	for (at = 0; at < HELD; at++)
		if (held[at] != NULL)
			free(held[at]);
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = atoi(argv[1]);
	pthread_t id[64];

	pairs = atol(argv[2]);
	while (argc > 3 && access(argv[3], F_OK) != 0)
		usleep(5000);
	pthread_barrier_init(&begin, NULL, threads);
	for (long i = 0; i < threads; i++)
		pthread_create(&id[i], NULL, work, (void *)i);
	for (int i = 0; i < threads; i++)
		pthread_join(id[i], NULL);
	return dprintf(1, "%ld\n", pairs * 2 * threads) < 0;
}
