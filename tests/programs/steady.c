/*
 * steady THREADS FILE - malloc and free by each thread, about 100 a millisecond, until FILE is there.
 * Prints how many it were, and the longest that one took, in ms, without the time in which it had no processor.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "run_delay.h"

static atomic_int stop;
static unsigned long rounds[64], slowest[64];

static unsigned long ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ul + t.tv_nsec;
}

static void *work(void *arg)
{
	const struct timespec nap = {0, 500000};
	long id = (long)arg;

	while (!atomic_load(&stop)) {
		unsigned long delay = run_delay_ns();

		for (int i = 0; i < 50; i++) {
			unsigned long from = ns(), took;

			free(malloc(1 + i));
			took = ns() - from;
			if (took > 100000000)
				took -= run_delay_ns() - delay;
			slowest[id] = took > slowest[id] ? took : slowest[id];
		}
		rounds[id] += 50;
		nanosleep(&nap, NULL);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = atoi(argv[1]);
	unsigned long most = 0, all = 0;
	pthread_t id[64];

	for (long i = 0; i < threads; i++)
		pthread_create(&id[i], NULL, work, (void *)i);
	while (access(argv[2], F_OK) != 0)
		usleep(5000);
	atomic_store(&stop, 1);
	for (int i = 0; i < threads; i++) {
		pthread_join(id[i], NULL);
		all += rounds[i];
		most = slowest[i] > most ? slowest[i] : most;
	}
	dprintf(1, "%lu %lu\n", all, most / 1000000);
	return 0;
}
