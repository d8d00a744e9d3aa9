/*
 * losers FILE THREADS PAIRS - each thread makes so many pairs of malloc and free (0: without end) and counts them in FILE,
 * a line of three u64 a thread: its tid, calls that began, calls that returned. Prints "done" when all have, and goes on
 * living, with its threads, until its input ends. Threads are called loser-0 and so on.
 * cflags: -O0 -fno-builtin
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct count {
	volatile uint64_t tid, begun, returned;
} *count;
static long pairs;
static pthread_barrier_t all, end;

static void *work(void *arg)
{
	struct count *c = &count[(long)arg];
	char name[16];

	(void)snprintf(name, sizeof(name), "loser-%ld", (long)arg);
	(void)pthread_setname_np(pthread_self(), name);
	c->tid = (uint64_t)gettid();
	pthread_barrier_wait(&all);
	for (long i = 0; pairs == 0 || i < pairs; i++) {
		char *p;

		c->begun++;
		p = malloc((size_t)(i * 37 % 1000 + 1));
		c->returned++;
		*(volatile char *)p = 1;
		c->begun++;
		free(p);
		c->returned++;
	}
	pthread_barrier_wait(&all);
	pthread_barrier_wait(&end);
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 3 ? atoi(argv[2]) : 0, fd = open(argv[1], O_RDWR | O_CREAT, 0600);
	size_t size = (size_t)threads * sizeof(*count);
	pthread_t id[600];
	char byte;

	if (threads < 1 || threads > 600 || ftruncate(fd, (off_t)size) < 0)
		return 2;
	pairs = atol(argv[3]);
	count = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (count == MAP_FAILED)
		return 2;
	pthread_barrier_init(&all, NULL, (unsigned)threads + 1);
	pthread_barrier_init(&end, NULL, (unsigned)threads + 1);
	for (long i = 0; i < threads; i++)
		if (pthread_create(&id[i], NULL, work, (void *)i) != 0)
			return 2;
	pthread_barrier_wait(&all);
	pthread_barrier_wait(&all);
	(void)dprintf(1, "done\n");
	while (read(0, &byte, 1) > 0)
		;
	pthread_barrier_wait(&end);
	for (int i = 0; i < threads; i++)
		pthread_join(id[i], NULL);
	return 0;
}
