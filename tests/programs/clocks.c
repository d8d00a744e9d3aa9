/*
 * clocks rdtsc|rdtscp THREADS N - does the time stamp counter go with the order of what threads do?
 *
 * N times each thread takes a global ticket, reads the counter, takes a ticket again. A reading
 * that began after another had ended must not be smaller. Prints "readings N inversions N".
 * cflags: -O2
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

enum { THREADS = 64, FLOOR = 1 };

static _Atomic uint64_t next_ticket;
static uint64_t *table; /* by ticket: thread << 1 | FLOOR, or the stamp << 7 | thread << 1 */
static long rounds;
static int serialized;

static void *work(void *arg)
{
	uint64_t thread = (uint64_t)(uintptr_t)arg;

	for (long i = 0; i < rounds; i++) {
		unsigned unused;
		uint64_t t = atomic_fetch_add(&next_ticket, 1), stamp;

		table[t] = thread << 1 | FLOOR;
		stamp = serialized ? __rdtscp(&unused) : __rdtsc();
		t = atomic_fetch_add(&next_ticket, 1);
		table[t] = stamp << 7 | thread << 1;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t id[THREADS];
	uint64_t floor[THREADS] = {0}, latest = 0;
	unsigned long inversions = 0;
	unsigned threads;

	if (argc != 4)
		return 2;
	serialized = strcmp(argv[1], "rdtscp") == 0;
	threads = (unsigned)atoi(argv[2]);
	rounds = atol(argv[3]) / threads;
	if (threads < 1 || threads > THREADS)
		return 2;
	table = malloc((size_t)rounds * threads * 2 * sizeof(*table));
	if (table == NULL)
		return 1;
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&id[i], NULL, work, (void *)(uintptr_t)i) != 0)
			return 1;
	for (unsigned i = 0; i < threads; i++)
		pthread_join(id[i], NULL);
	for (uint64_t t = 0; t < next_ticket; t++) {
		unsigned thread = table[t] >> 1 & (THREADS - 1);

		if (table[t] & FLOOR) {
			floor[thread] = latest;
			continue;
		}
		inversions += table[t] >> 7 < floor[thread];
		if (table[t] >> 7 > latest)
			latest = table[t] >> 7;
	}
	printf("readings %ld inversions %lu\n", rounds * threads, inversions);
	return 0;
}
