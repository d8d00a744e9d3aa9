/*
 * random_main.c - drives a fuzz target where there is no libFuzzer: bytes of the given files are changed at
 * random for so many seconds. No coverage, no minimising; the input that is being tried stands in a file.
 *   fuzz_X SECONDS LAST FILE...
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST = 1 << 20 };
static uint8_t original[LARGEST], bytes[LARGEST];

static uint32_t rnd(void)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 16);
}

static size_t load(const char *path)
{
	FILE *f = fopen(path, "rbe");
	size_t n = f == NULL ? 0 : fread(original, 1, sizeof(original), f);

	if (f != NULL)
		(void)fclose(f);
	return n;
}

static size_t change(size_t size)
{
	static const uint8_t likely[] = {0, 1, 0x7f, 0x80, 0xff};
	unsigned times = 1 + rnd() % 16;

	memcpy(bytes, original, size);
	while (size > 0 && times-- > 0)
		bytes[rnd() % size] =
			rnd() % 2 ? likely[rnd() % sizeof(likely)] : (uint8_t)rnd();
	return size > 0 && rnd() % 8 == 0 ? rnd() % size : size;
}

static void try_one(const char *last, size_t size)
{
	int fd = open(last, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		exit(2);
	(void)close(fd);
	(void)LLVMFuzzerTestOneInput(bytes, size);
}

int main(int argc, char **argv)
{
	time_t end = argc > 3 ? time(NULL) + atoi(argv[1]) : 0;
	unsigned long runs = 0;

	if (argc < 4)
		return 2;
	while (time(NULL) < end) {
		size_t size = load(argv[3 + (int)(rnd() % (unsigned)(argc - 3))]);

		for (int i = 0; i < 100; i++, runs++)
			try_one(argv[2], change(size));
	}
	(void)unlink(argv[2]);
	printf("%lu inputs\n", runs);
	return 0;
}
