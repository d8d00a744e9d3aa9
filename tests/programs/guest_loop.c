/* guest_loop N - N mallocs and frees, then the longest single call in milliseconds on stderr, without the time in
 * which it had no processor. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "run_delay.h"

int main(int argc, char **argv)
{
	long n = atol(argv[1]);
	double longest = 0, last = 0, delay = 0;
	struct timespec t;
	for (long i = 0; i < n; i++) {
		free(malloc(50));
		clock_gettime(CLOCK_MONOTONIC, &t);
		double now = t.tv_sec * 1e3 + t.tv_nsec / 1e6;
		if (i % 65536 == 0)
			delay = run_delay_ns() / 1e6;
		else if (now - last > longest && now - last > 100)
			last += run_delay_ns() / 1e6 - delay;
		if (last != 0 && now - last > longest)
			longest = now - last;
		last = now;
	}
	dprintf(2, "%.0f\n", longest);
	return 0;
}
