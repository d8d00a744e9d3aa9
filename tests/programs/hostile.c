/*
 * hostile.c - does what no program should to the arena that the shim has made in it, and to the doorbell.
 * cflags: -Isrc -D_GNU_SOURCE
 *
 *   hostile scribble MS    writes random words all over its arena while it uses the heap
 *   hostile counters MS    the same to header, process table and buffer headers only, with likely values
 *   hostile punch MS       gives the arena's pages back to the kernel, again and again
 *   hostile child MS UID   root: a child that became UID scribbles over the arena that both share
 *   hostile block MS       writes over the shim's process block
 *   hostile swap MS FILE   maps FILE, a memfd and an arena by turns where the arena belongs, and rings
 *   hostile offers N       rings N times with mappings of all sizes at all places
 *   hostile exec N         executes itself N times, each with a thread that rings
 * Prints "hostile ok" where it survives, which it is to.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "format/arena_format.h"

static unsigned long ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static unsigned long end;

static void ring(void)
{
	int fd = open(FA_BELL_PATH, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
}

/* Where the shim has put it, and how much of it there is now. */
static unsigned char *arena(size_t *ret_size)
{
	unsigned long from, to;
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");

	*ret_size = 0;
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%lx-%lx", &from, &to) == 2 && from >= FA_ARENA_BASE &&
		    from < fa_arena_slot_address(FA_ARENA_SLOTS)) {
			*ret_size = to - from;
			break;
		}
	if (f != NULL)
		fclose(f);
	return *ret_size ? (unsigned char *)from : NULL;
}

static void *use_heap(void *arg)
{
	while (ms() < end)
		for (int i = 0; i < 1000; i++)
			free(malloc(1 + i));
	return arg;
}

/* An attack on who is not read yet shows nothing: until the collector has given a buffer back. */
static unsigned char *arena_in_use(size_t *ret_size)
{
	unsigned char *base = arena(ret_size);
	unsigned long start = ms();

	while (base != NULL && ms() - start < 5000 &&
	       __atomic_load_n(&((struct fa_arena_header *)(void *)base)->answer.freed,
			       __ATOMIC_RELAXED) == 0)
		for (int i = 0; i < 1000; i++)
			free(malloc(1 + i));
	end += ms() - start;
	return base;
}

static uint32_t likely(void)
{
	static const uint32_t v[] = {0, 1, 2, 3, 127, 128, 0xffff, 0x3fc0, 0x3fc1, 0x10000,
				     0x7fffffff, 0x80000000, ~0u};

	return rand() % 4 ? v[rand() % (sizeof(v) / sizeof(v[0]))] : (uint32_t)rand() * 3;
}

static void scribble(bool counters)
{
	size_t size;
	unsigned char *base = arena_in_use(&size);
	uint32_t *word = (uint32_t *)base;
	pthread_t t[2];

	if (base == NULL)
		_exit(3);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, use_heap, NULL);
	srand(getpid());
	for (unsigned long n = 0; n % 4096 != 0 || ms() < end; n++) {
		size_t at = (size_t)rand() % (size / 4);

		if (counters && n % 2)
			at = at % ((FA_ARENA_PAGE + 128 * 128) / 4);
		else if (counters)
			at = at / (FA_BUFFER_SIZE / 4) * (FA_BUFFER_SIZE / 4) + at % 16;
		word[at] = likely();
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

static void punch(void)
{
	size_t size;
	unsigned char *base = arena_in_use(&size);
	pthread_t t;

	if (base == NULL)
		_exit(3);
	pthread_create(&t, NULL, use_heap, NULL);
	while (ms() < end) {
		madvise(base, size, MADV_REMOVE);
		usleep(200);
	}
	pthread_join(t, NULL);
}

/* The parent must come through whatever its child, whom it trusts no more, does to what they share. */
static void child(int uid)
{
	int status;
	pid_t pid;

	free(malloc(1));
	pid = fork();
	if (pid == 0) {
		if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
			_exit(4);
		free(malloc(1));
		scribble(getpid() % 2);
		_exit(0);
	}
	use_heap(NULL);
	waitpid(pid, &status, 0); /* how it ends is its own affair */
	for (int i = 0; i < 1000; i++)
		free(malloc(i));
}

static void block(void)
{
	uint32_t *b = dlsym(RTLD_DEFAULT, "firstalloc_process_block");
	pthread_t t;

	if (b == NULL)
		_exit(3);
	pthread_create(&t, NULL, use_heap, NULL);
	while (ms() < end)
		for (int i = 0; i < 1000; i++)
			b[(unsigned)rand() % (sizeof(struct fa_process_block) / 4)] = likely();
	pthread_join(t, NULL);
}

static void *ring_on(void *arg)
{
	while (ms() < end)
		ring();
	return arg;
}

static void swap(const char *file)
{
	void *at = (void *)fa_arena_slot_address(1);
	int fd = open(file, O_RDONLY), mem = memfd_create("zero (deleted)", 0);
	size_t size = FA_ARENA_MAX0;
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, ring_on, NULL);
	for (unsigned n = 0; ms() < end; n++) {
		ftruncate(mem, size);
		mmap(at, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
		mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, mem, 0);
		ftruncate(mem, 0);
		mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
		*(volatile uint64_t *)at = FA_ARENA_MAGIC;
		munmap(at, size);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

static void offers(int n)
{
	for (int i = 0; i < n; i++) {
		unsigned slot = 1 + rand() % (FA_ARENA_SLOTS - 1);
		size_t size = (size_t)FA_ARENA_MIN << rand() % 11; /* 256 KB to 256 MB */
		char *p = mmap((void *)fa_arena_slot_address(slot), size, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

		if (p != MAP_FAILED && rand() % 2) {
			struct fa_arena_header *h = (void *)p;

			h->magic = FA_ARENA_MAGIC;
			h->version = FA_ARENA_VERSION;
			h->size = likely();
			h->clock_source = rand() % 3;
			h->want_segment = likely();
		}
		ring();
		if (p != MAP_FAILED && rand() % 2)
			munmap(p, size);
	}
}

static void exec_again(char **argv)
{
	int left = atoi(argv[2]);
	char text[16];
	pthread_t t;

	free(malloc(1));
	if (left == 0)
		return;
	end = ms() + 1000;
	pthread_create(&t, NULL, ring_on, NULL);
	usleep(left % 7 * 300);
	snprintf(text, sizeof(text), "%d", left - 1);
	execl("/proc/self/exe", argv[0], "exec", text, NULL);
}

int main(int argc, char **argv)
{
	const char *mode = argv[1];

	end = ms() + (unsigned long)atoi(argv[2]);
	if (!strcmp(mode, "scribble") || !strcmp(mode, "counters"))
		scribble(mode[0] == 'c');
	else if (!strcmp(mode, "punch"))
		punch();
	else if (!strcmp(mode, "child"))
		child(atoi(argv[3]));
	else if (!strcmp(mode, "block"))
		block();
	else if (!strcmp(mode, "swap"))
		swap(argv[3]);
	else if (!strcmp(mode, "offers"))
		offers(atoi(argv[2]));
	else if (!strcmp(mode, "exec"))
		exec_again(argv);
	else
		return 2;
	printf("hostile ok\n");
	return 0;
}
