/*
 * churned - a known set of blocks among others that come and go. usage: churned FILE BLOCKS THREADS
 * cflags: -pthread
 *
 * BLOCKS blocks, which stay, are allocated first; FILE gets "address size" of each. Then THREADS threads allocate,
 * resize and free others, also those of each other, from a small set of addresses that are used again and again.
 * Says "ready PID", and "done" for each line that it reads when every thread has done 1000 turns more; at the end of its
 * input it ends them, and says "ok".
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SHARED = 4096, THREADS_MAX = 64 };

static _Atomic(void *) shared[SHARED];
static atomic_ulong turns[THREADS_MAX];
static atomic_int over;

static void *allocate(unsigned n)
{
	void *p = NULL;

	switch (n % 5) {
	case 0:
		return calloc(3, 1 + n % 100);
	case 1:
		return posix_memalign(&p, 64 << n % 4, 1 + n % 300) == 0 ? p : NULL;
	case 2:
		return realloc(malloc(1 + n % 64), 1 + n % 900);
	default:
		return malloc(1 + n % 500);
	}
}

/* One of those that stay: by each function, and by realloc in place and elsewhere. */
static void *keep(unsigned n, size_t size)
{
	void *p = NULL;

	switch (n % 8) {
	case 0:
		return calloc(1, size);
	case 1:
		return posix_memalign(&p, 256, size) == 0 ? p : NULL;
	case 2:
		return realloc(realloc(malloc(size + 500), size + 8), size);
	case 3:
		return aligned_alloc(64, size);
	case 4:
		p = malloc(24);
		free(malloc(24));
		return realloc(p, size);
	case 5:
		return reallocarray(NULL, 1, size);
	default:
		return malloc(size);
	}
}

static void *churn(void *arg)
{
	atomic_ulong *mine = arg;
	unsigned x = 12345 + (unsigned)(mine - turns) * 7919;

	while (!atomic_load(&over)) {
		void *p;

		x = x * 1103515245 + 12345;
		/* Whoever put it there may be another thread. */
		p = atomic_exchange(&shared[x >> 8 & (SHARED - 1)], NULL);
		if (p != NULL && x >> 24 & 1)
			p = realloc(p, 1 + (x >> 16) % 700);
		free(p);
		free(atomic_exchange(&shared[x >> 12 & (SHARED - 1)], allocate(x >> 16)));
		atomic_fetch_add(mine, 1);
	}
	return NULL;
}

static void wait_for_turns(int threads)
{
	for (int i = 0; i < threads; i++)
		for (unsigned long now = atomic_load(&turns[i]); atomic_load(&turns[i]) < now + 1000;)
			usleep(100);
}

int main(int argc, char **argv)
{
	int blocks = argc > 2 ? atoi(argv[2]) : 1000, threads = argc > 3 ? atoi(argv[3]) : 8;
	pthread_t thread[THREADS_MAX];
	FILE *f = fopen(argv[1], "w");
	char line[64];

	for (int i = 0; i < blocks; i++) {
		size_t size = 16 + (size_t)i * 7 % 2000;
		void *p = keep((unsigned)i, size);

		fprintf(f, "%p %zu\n", p, size);
	}
	fclose(f);
	for (int i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, churn, &turns[i]);
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		wait_for_turns(threads);
		puts("done");
		fflush(stdout);
	}
	atomic_store(&over, 1);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	puts("ok");
	return 0;
}
