/*
 * order THREADS PAIRS TABLE [late] - heap calls that know their own order.
 *
 * Each thread allocates, puts the block into a slot that all share, and frees what was there. It takes a
 * global ticket before and after each allocation and before each free, and writes into TABLE what the ticket
 * was taken for: struct entry, by ticket. So whatever TABLE says to be over before something else began, was.
 * tests/spec/order_check.c holds a trace against it.
 *
 * Half of the allocations are by malloc, a quarter by calloc, a quarter by realloc, of no block.
 *
 * The first allocation of a thread says who it is: MARKER and its number are the size. All others have
 * 900 to 1140 bytes. The blocks that are in the slots at the end are not freed.
 *
 * late: the first of them is the main thread, and half of what it does it does before the others are there.
 *
 * Prints what is true of the blocks of those sizes: "peak BYTES lifetime NS freed BLOCKS": the most
 * that lived in the order of the tickets, the mean lifetime by readings of its own of the clock.
 * cflags: -O2
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

/* Half of them are small enough for malloc's caches of threads: used again at once. */
enum { MARKER = 100000, LEAST = 900, STEP = 16, MOST = LEAST + 16 * STEP, SLOTS = 4096, THREADS = 64 };
enum { BEFORE_ALLOC = 1, AFTER_ALLOC = 2, BEFORE_FREE = 3 };

struct entry {
	uint16_t size;
	uint8_t thread;
	uint8_t what;
};

struct block {
	uint64_t allocated; /* time stamp counter */
	uint16_t size;
};

static _Atomic(struct block *) slot[SLOTS];
static _Atomic uint64_t next_ticket;
static struct entry *table;
static long pairs;
static uint64_t lifetimes[THREADS][8], freed[THREADS][8];

static void take_ticket(unsigned thread, unsigned what, unsigned size)
{
	uint64_t t = atomic_fetch_add(&next_ticket, 1);

	table[t] = (struct entry){(uint16_t)size, (uint8_t)thread, (uint8_t)what};
}

static void *allocate(unsigned how, size_t size)
{
	if (how == 0)
		return calloc(1, size);
	return how == 1 ? realloc(NULL, size) : malloc(size);
}

static void some(unsigned thread, uint64_t *seed, long n)
{
	uint64_t x = *seed;

	for (long i = 0; i < n; i++) {
		struct block *b, *old;
		unsigned size;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		size = LEAST + (unsigned)(x >> 40) % 16 * STEP;
		take_ticket(thread, BEFORE_ALLOC, size);
		b = allocate((unsigned)(x >> 50) & 3, size);
		if (b == NULL)
			abort();
		b->allocated = __rdtsc();
		take_ticket(thread, AFTER_ALLOC, size);
		b->size = (uint16_t)size;
		old = atomic_exchange(&slot[x % SLOTS], b);
		if (old == NULL)
			continue;
		take_ticket(thread, BEFORE_FREE, old->size);
		lifetimes[thread][0] += __rdtsc() - old->allocated;
		freed[thread][0]++;
		free(old);
	}
	*seed = x;
}

static void *work(void *arg)
{
	unsigned thread = (unsigned)(uintptr_t)arg;
	uint64_t seed = 88172645463325252ULL * (thread + 1);

	if (malloc(MARKER + thread) == NULL)
		abort();
	some(thread, &seed, pairs);
	return NULL;
}

/* As the first thread. */
static int work_first(pthread_t *id, unsigned threads)
{
	uint64_t seed = 88172645463325252ULL;

	if (malloc(MARKER) == NULL)
		abort();
	some(0, &seed, pairs / 2);
	for (unsigned i = 1; i < threads; i++)
		if (pthread_create(&id[i], NULL, work, (void *)(uintptr_t)i) != 0)
			return 1;
	some(0, &seed, pairs - pairs / 2);
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t peak(void)
{
	uint64_t live = 0, most = 0, n = atomic_load(&next_ticket);

	for (uint64_t i = 0; i < n; i++) {
		if (table[i].what == AFTER_ALLOC)
			live += table[i].size;
		else if (table[i].what == BEFORE_FREE)
			live -= table[i].size;
		if (live > most)
			most = live;
	}
	return most;
}

int main(int argc, char **argv)
{
	pthread_t id[THREADS];
	unsigned threads = argc >= 4 ? (unsigned)atoi(argv[1]) : 0, late = argc > 4;
	uint64_t ns, ticks, sum = 0, count = 0;
	size_t size;
	int fd;

	if (threads < 1 || threads > THREADS)
		return 2;
	pairs = atol(argv[2]) / threads;
	size = (size_t)pairs * threads * 3 * sizeof(struct entry);
	fd = open(argv[3], O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return 1;
	table = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (table == MAP_FAILED)
		return 1;
	ns = now_ns();
	ticks = __rdtsc();
	if (late && work_first(id, threads) != 0)
		return 1;
	for (unsigned i = late ? threads : 0; i < threads; i++)
		if (pthread_create(&id[i], NULL, work, (void *)(uintptr_t)i) != 0)
			return 1;
	for (unsigned i = late; i < threads; i++)
		pthread_join(id[i], NULL);
	ns = now_ns() - ns;
	ticks = __rdtsc() - ticks;
	for (unsigned i = 0; i < threads; i++) {
		sum += lifetimes[i][0];
		count += freed[i][0];
	}
	printf("peak %lu lifetime %.0f freed %lu\n", peak(),
	       (double)sum / (double)count * (double)ns / (double)ticks, count);
	return 0;
}
