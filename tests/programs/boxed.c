/*
 * boxed N: N allocations, half of them freed, and "ran" on stdout. It needs no system call but those of its start, of
 * malloc, write and the end, so that it lives in the tightest sandbox; N, and not its pid, tells its starts apart.
 */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 0;

	for (int i = 0; i < n; i++) {
		void *p = malloc(24 + i % 50);

		if (i % 2)
			free(p);
	}
	return write(1, "ran\n", 4) == 4 ? 0 : 1;
}
