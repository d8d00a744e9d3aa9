/*
 * events.c - N heap calls of one kind, and nothing else that depends on N: what one of them costs is
 * the difference of two runs, divided by the difference of their N.
 * cflags: -O2 -fomit-frame-pointer
 *
 *   events pair N      malloc and free in turns, from one place
 *   events free N      frees, of blocks that are there whatever N is
 *   events same N      allocations, each with the stack of the one before
 *   events zeroed N    the same by calloc
 *   events resized N   the same by realloc, of a block that stays where it is
 *   events similar N   allocations whose innermost 3 frames of 20 are not those of the one before
 *   events known N     allocations with 512 stacks in turns: too many to be recalled, none is new
 *   events new N       allocations, each with a stack that never was before
 *   events space N     calls of munmap that the kernel refuses
 *   events loader N    dlopen of what is there already
 *   events lock N      locks and unlocks of a mutex that nobody else wants
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MOST = 20000, DEPTH = 16 };

static void *block[MOST];
static volatile int after;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

#define FRAME __attribute__((noinline, noclone)) static

/* Two functions that call each other as the bits of a number say; the lowest is the innermost. */
FRAME void descend_a(long i, unsigned long path, int depth);
FRAME void descend_b(long i, unsigned long path, int depth);

#define DESCEND(name)                                                                              \
	FRAME void name(long i, unsigned long path, int depth)                                     \
	{                                                                                          \
		if (depth == 0)                                                                    \
			block[i] = malloc(32);                                                     \
		else if (path >> (depth - 1) & 1)                                                  \
			descend_b(i, path, depth - 1);                                             \
		else                                                                               \
			descend_a(i, path, depth - 1);                                             \
		after = depth;                                                                     \
	}
DESCEND(descend_a)
DESCEND(descend_b)

FRAME void same(long n)
{
	for (long i = 0; i < n; i++)
		block[i] = malloc(32);
}

FRAME void zeroed(long n)
{
	for (long i = 0; i < n; i++)
		block[i] = calloc(1, 32);
}

FRAME void resized(long n)
{
	for (long i = 0; i < n; i++)
		block[0] = realloc(block[0], 32 - (i & 7));
}

FRAME void pairs(long n)
{
	for (long i = 0; i < n; i++)
		free(malloc(32));
}

/* The frames of one number stand under all that happens, so that no stack is a shallow one. */
FRAME void below(int depth, const char *kind, long n)
{
	if (depth > 0) {
		below(depth - 1, kind, n);
	} else if (strcmp(kind, "pair") == 0) {
		pairs(n);
	} else if (strcmp(kind, "free") == 0) {
		same(MOST);
		for (long i = 0; i < n; i++)
			free(block[i]);
	} else if (strcmp(kind, "same") == 0) {
		same(n);
	} else if (strcmp(kind, "zeroed") == 0) {
		zeroed(n);
	} else if (strcmp(kind, "resized") == 0) {
		resized(n);
	} else if (strcmp(kind, "similar") == 0) {
		for (long i = 0; i < n; i++)
			descend_a(i, i & 1 ? 2 : 5, 3);
	} else if (strcmp(kind, "known") == 0) {
		for (long i = 0; i < n; i++)
			descend_a(i, (unsigned long)(i * 37 % 512), DEPTH);
	} else if (strcmp(kind, "new") == 0) {
		for (long i = 0; i < n; i++)
			descend_a(i, (unsigned long)i, DEPTH);
	} else if (strcmp(kind, "space") == 0) {
		for (long i = 0; i < n; i++)
			(void)munmap(NULL, 0);
	} else if (strcmp(kind, "lock") == 0) {
		for (long i = 0; i < n; i++) {
			(void)pthread_mutex_lock(&mutex);
			(void)pthread_mutex_unlock(&mutex);
		}
	} else if (strcmp(kind, "loader") == 0) {
		for (long i = 0; i < n; i++)
			(void)dlopen(NULL, RTLD_LAZY);
	}
	after = depth;
}

int main(int argc, char **argv)
{
	long n = argc == 3 ? atol(argv[2]) : 0;

	if (n < 1 || n > MOST)
		return 2;
	below(15, argv[1], n);
	return 0;
}
