/* families - calls every heap function a known number of times; prints what it called. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *kept[64];
static int n;

int main(void)
{
	void *p = NULL;
	void *volatile none = NULL; /* the compiler makes malloc of realloc(NULL, n) */

	errno = 77;
	kept[n++] = malloc(100);
	kept[n++] = calloc(10, 20);
	kept[n++] = realloc(none, 300);
	kept[n++] = reallocarray(none, 4, 100);
	if (posix_memalign(&p, 256, 500) != 0)
		return 1;
	kept[n++] = p;
	kept[n++] = aligned_alloc(64, 640);
	kept[n++] = memalign(512, 700);
	kept[n++] = valloc(800);
	kept[n++] = pvalloc(900);
	if (errno != 77)
		return 2;
	kept[0] = realloc(kept[0], 1000);
	if (calloc((size_t)-1, 16) != NULL || errno != ENOMEM)
		return 3;
	errno = 0;
	if (reallocarray(kept[1], (size_t)-1, 16) != NULL || errno != ENOMEM)
		return 4;
	if (malloc((size_t)-1 / 2) != NULL)
		return 5;
	if (posix_memalign(&p, 3, 10) != EINVAL)
		return 6;
	free(NULL);
	errno = 55;
	free(kept[2]);
	if (errno != 55)
		return 7;
	p = realloc(kept[3], 0); /* frees */
	if (p != NULL || malloc_usable_size(kept[0]) < 1000)
		return 8;
	if (((unsigned long)kept[4] & 255) || ((unsigned long)kept[6] & 511) ||
	    ((unsigned long)kept[7] & 4095))
		return 9;
	/* live: 1000 + 200 + 500 + 640 + 700 + 800 + 4096 = 7936 bytes in 7 blocks */
	if (write(1, "families ok\n", 12) != 12)
		return 10;
	_exit(7);
}
