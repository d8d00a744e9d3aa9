/*
 * swells - a heap that swells and shrinks, at a word from outside: `swells DIR` makes 64 MB in blocks of 64 KB
 * and touches them, says "full"; frees all but every 16th when DIR/shrink is there, says "empty"; ends when
 * DIR/end is there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 1024, SIZE = 64 << 10 };

static void wait_for(const char *dir, const char *name)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	while (access(path, F_OK) != 0) {
		/* A heap call now and then, so that it is seen that we live. */
		free(malloc(1));
		(void)usleep(1000);
	}
}

int main(int argc, char **argv)
{
	static char *block[BLOCKS];

	if (argc < 2)
		return 2;
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = malloc(SIZE);
		memset(block[i], 1, SIZE);
	}
	if (write(1, "full\n", 5) != 5)
		return 1;
	wait_for(argv[1], "shrink");
	for (int i = 0; i < BLOCKS; i++)
		if (i % 16 != 0)
			free(block[i]);
	if (write(1, "empty\n", 6) != 6)
		return 1;
	wait_for(argv[1], "end");
	return 0;
}
