/*
 * noisy THREADS FILE - blocks of random sizes, freed in random order, by each thread until FILE is there: events
 * that do not shrink, so that few of them fill a trace. Prints how many were allocated.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static atomic_int stop;
static unsigned long rounds[64];

static void *work(void *arg)
{
	const struct timespec nap = {0, 500000};
	long id = (long)arg;
	uint64_t random = 88172645463325252ull + (uint64_t)id;
	void *slot[512] = {NULL};

	while (!atomic_load(&stop)) {
		for (int i = 0; i < 25; i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			free(slot[random % 512]);
			slot[random % 512] = malloc(random >> 20 & 8191);
		}
		rounds[id] += 25;
		nanosleep(&nap, NULL);
	}
	for (int i = 0; i < 512; i++)
		free(slot[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = atoi(argv[1]);
	unsigned long all = 0;
	pthread_t id[64];

	(void)argc;
	for (long i = 0; i < threads; i++)
		pthread_create(&id[i], NULL, work, (void *)i);
	while (access(argv[2], F_OK) != 0)
		usleep(5000);
	atomic_store(&stop, 1);
	for (int i = 0; i < threads; i++) {
		pthread_join(id[i], NULL);
		all += rounds[i];
	}
	dprintf(1, "%lu\n", all);
	return 0;
}
