/* cflags: -fno-builtin -Wno-all
 * guest_contract - prints what malloc's family promises; the same lines with and without a tracer. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOW(x) (errno = 7, r = (long)(x), e = errno, printf("%-48s %ld errno %d\n", #x, r, e))
static long r;
static int e;
static void *volatile p;
static volatile size_t huge = PTRDIFF_MAX, most = SIZE_MAX, half = SIZE_MAX / 2 + 1;

static int aligned(void *q, size_t a) { int ok = q && (uintptr_t)q % a == 0; free(q); return ok; }
static int zeroed(size_t n)
{
	unsigned char *q = malloc(n);
	memset(q, 255, n);
	free(q);
	q = calloc(1, n);
	int sum = 0;
	for (size_t i = 0; i < n; i++)
		sum |= q[i];
	free(q);
	return sum == 0;
}
static int posix(size_t a, size_t n)
{
	void *q = (void *)5;
	int x = posix_memalign(&q, a, n);
	int kept = q == (void *)5;
	if (x == 0)
		free(q);
	return x * 10 + kept;
}
static int keeps(void) /* a realloc that fails keeps the block */
{
	char *q = malloc(10);
	strcpy(q, "keep");
	void *n = realloc(q, huge);
	int ok = n == NULL && errno == ENOMEM && strcmp(q, "keep") == 0;
	free(q);
	return ok;
}
static void *free_it(void *q) { errno = 3; free(q); return (void *)(long)errno; }
static int other_thread(void)
{
	pthread_t t;
	void *x;
	pthread_create(&t, NULL, free_it, malloc(100));
	pthread_join(t, &x);
	return (int)(long)x;
}
static int usable(size_t n) { void *q = malloc(n); int u = malloc_usable_size(q); memset(q, 1, u); free(q); return u; }

int main(void)
{
	for (size_t n = 0; n < 3000; n = n * 2 + 1) {
		SHOW(aligned(malloc(n), 16));
		SHOW(usable(n));
		SHOW(zeroed(n + 1));
	}
	SHOW(malloc(huge));
	SHOW(malloc(most));
	SHOW(calloc(half, 2));
	SHOW(calloc(most, most));
	SHOW(realloc(NULL, huge));
	SHOW(reallocarray(NULL, half, 3));
	SHOW(reallocarray(NULL, most, most));
	SHOW(aligned(reallocarray(NULL, 10, 10), 16));
	SHOW(keeps());
	p = malloc(20);
	SHOW(realloc(p, 0));
	SHOW(aligned(realloc(NULL, 0), 16));
	SHOW((free(NULL), 1));
	p = malloc(200000);
	SHOW((free(p), 1));
	SHOW(posix(8, 100));
	SHOW(posix(3, 100));
	SHOW(posix(0, 100));
	SHOW(posix(4096, 0));
	SHOW(posix(64, most));
	for (size_t a = 1; a <= 8192; a = a * 3 + 1)
		SHOW(aligned(memalign(a, 100), 16));
	SHOW(memalign(most, 10));
	SHOW(memalign(64, most));
	SHOW(aligned(aligned_alloc(64, 128), 64));
	SHOW(aligned(aligned_alloc(64, 100), 64));
	SHOW(aligned_alloc(most / 2, 1));
	SHOW(aligned(valloc(10), 4096));
	SHOW(aligned(pvalloc(10), 4096));
	SHOW(pvalloc(most));
	SHOW(valloc(most));
	SHOW(other_thread());
	SHOW(malloc_usable_size(NULL));
	SHOW(mallopt(M_MMAP_THRESHOLD, 100000));
	p = malloc(150000);
	struct mallinfo2 m = mallinfo2();
	SHOW(m.hblks);
	free(p);
	SHOW(mallinfo2().hblks);
	SHOW(mallinfo2().uordblks == m.uordblks);
	malloc_trim(0);
	SHOW(malloc_trim(0) <= 1);
	return 0;
}
