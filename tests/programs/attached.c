/*
 * attached - what does it cost to be attached to? (tests/bench/live.sh)
 * attached: pairs of malloc and free, each timed, until it is killed. Each time that one of them has begun to be
 * traced a line: when that was, how long it took, how long the 1,000 pairs behind it and, before, 1,000
 * pairs that were not traced; microseconds.
 * attached now: prints the time.
 * cflags: -Isrc -D_GNU_SOURCE
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "format/arena_format.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double thousand(void)
{
	double begin = now();

	for (int i = 0; i < 1000; i++)
		free(malloc(100));
	return now() - begin;
}

int main(int argc, char **argv)
{
	const volatile struct fa_process_block *b = dlsym(RTLD_DEFAULT, "firstalloc_process_block");
	double untraced = 0;

	if (argc > 1)
		return printf("%.1f\n", now()) < 0;
	if (b == NULL)
		return 2;
	/* By the number of the order: on a busy machine it may be let go and attached again before it looks. */
	for (uint32_t seen = b->woken;;) {
		double begin, end;

		untraced = b->arena == 0 ? thousand() : untraced;

		do {
			begin = now();
			free(malloc(100));
			end = now();
		} while (b->woken == seen);
		seen = b->woken;
		dprintf(1, "%.1f %.1f %.1f %.1f\n", end, end - begin, thousand(), untraced);
		while (b->arena != 0 && b->woken == seen)
			free(malloc(100));
	}
}
