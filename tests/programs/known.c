/*
 * known [N] - a known number of heap calls: N (1000) blocks of 24 + i % 7 bytes, of which every second is
 * freed, and ten of the others grow by realloc to 5000 bytes. Nothing else in main().
 */
#include <stdlib.h>

static void *keep(size_t size)
{
	return malloc(size);
}

static void fill(char **p, long n)
{
	for (long i = 0; i < n; i++)
		p[i] = keep(24 + i % 7);
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 1000;
	char **p = calloc(n, sizeof(*p));

	fill(p, n);
	for (long i = 0; i < n; i += 2)
		free(p[i]);
	for (long i = 1; i < 20 && i < n; i += 2)
		p[i] = realloc(p[i], 5000);
	return 0;
}
