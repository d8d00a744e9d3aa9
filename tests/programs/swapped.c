/*
 * swapped - what swapper swaps: a program with the shim in it, for a moment. It calls the heap, waits a little,
 * calls it again, and executes its first argument as "swapper page" with the count that is the second; "-": it
 * writes where its process block is to the descriptor that is the second, and ends.
 * cflags: -Isrc -D_GNU_SOURCE
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "format/arena_format.h"

int main(int argc, char **argv)
{
	const struct fa_process_block *b = dlsym(RTLD_DEFAULT, "firstalloc_process_block");
	unsigned count = argc < 3 ? 0 : atoi(argv[2]);
	char address[32], nonce[32], self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (b == NULL || argc < 3 || n <= 0)
		return 2;
	self[n] = '\0';
	free(malloc(100));
	usleep(150 * (b->nonce % 16));
	free(malloc(200));
	if (argv[1][0] == '-') {
		unsigned long words[2] = {(unsigned long)b, b->nonce};

		return write(count, words, sizeof(words)) != sizeof(words);
	}
	snprintf(address, sizeof(address), "%p", (void *)b);
	snprintf(nonce, sizeof(nonce), "%lu", (unsigned long)b->nonce);
	execl(argv[1], argv[1], "page", self, argv[2], address, nonce, (char *)NULL);
	return 3;
}
