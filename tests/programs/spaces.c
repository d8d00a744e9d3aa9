/* spaces - changes its address space in ways that are known; prints the addresses. spaces [MODE] */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

static void *map(size_t size, int prot, int flags)
{
	return mmap(NULL, size, prot, flags | MAP_ANONYMOUS, -1, 0);
}

/* Keeps 10 pages: 6 that are committed, 4 that are reserved. */
static int keep(void)
{
	char *p = map(10 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);

	return p == MAP_FAILED || mprotect(p, 6 * PAGE, PROT_READ | PROT_WRITE) != 0;
}

/* Maps 8 pages, unmaps 2 in the middle: two parts of 3 are left. */
static int split(void)
{
	char *p = map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	return p == MAP_FAILED || munmap(p + 3 * PAGE, 2 * PAGE) != 0;
}

/* 4 pages become 20, somewhere else if need be. */
static int grow(void)
{
	char *p = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	memset(p, 7, 4 * PAGE);
	p = mremap(p, 4 * PAGE, 20 * PAGE, MREMAP_MAYMOVE);
	return p == MAP_FAILED || p[4 * PAGE - 1] != 7;
}

/* A mapping is made in the place of another. */
static int replace(void)
{
	char *p = map(5 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	return mmap(p + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
	       p + PAGE;
}

static int forget(void)
{
	char *p = map(100 * PAGE, PROT_READ, MAP_SHARED);

	return p == MAP_FAILED || munmap(p, 100 * PAGE) != 0;
}

/* The data segment grows by 3 pages and shrinks by 1. */
static int segment(void)
{
	char *before = sbrk(0);

	if (sbrk(2 * PAGE) != before || brk(before + 3 * PAGE) != 0)
		return 1;
	return sbrk(-PAGE) != before + 3 * PAGE || sbrk(0) != before + 2 * PAGE;
}

/* What fails is as it is without us. */
static int failures(void)
{
	errno = 0;
	if (mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED ||
	    errno != EINVAL)
		return 1;
	errno = 0;
	if (munmap((void *)1, PAGE) != -1 || errno != EINVAL)
		return 2;
	errno = 0;
	if (mremap((void *)PAGE, PAGE, 2 * PAGE, 0) != MAP_FAILED || errno != EFAULT)
		return 3;
	errno = 0;
	if (brk((void *)(127UL << 40)) != -1 || errno != ENOMEM)
		return 4;
	errno = 0;
	if (sbrk(1L << 46) != (void *)-1 || errno != ENOMEM)
		return 5;
	errno = 0;
	if (mprotect((void *)PAGE, PAGE, PROT_READ) != -1 || errno != ENOMEM)
		return 6;
	errno = 77;
	return keep() || errno != 77 ? 7 : 0;
}

static volatile sig_atomic_t handled;

static void handler(int number)
{
	void *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)number;
	handled += p != MAP_FAILED && munmap(p, PAGE) == 0;
}

static void *churn(void *unused)
{
	(void)unused;
	for (int i = 0; i < 2000; i++) {
		void *p = map(PAGE, PROT_READ, MAP_PRIVATE);

		free(malloc(10));
		if (p == MAP_FAILED || munmap(p, PAGE) != 0)
			return "failed";
	}
	return NULL;
}

/* Threads that map and allocate, handlers that interrupt them, a fork and a vfork meanwhile. */
static int busy(void)
{
	struct sigaction act = {.sa_handler = handler};
	pthread_t thread[4];
	void *said;
	int status, bad = 0;
	pid_t child;

	(void)sigaction(SIGUSR1, &act, NULL);
	for (int i = 0; i < 4; i++)
		if (pthread_create(&thread[i], NULL, churn, NULL) != 0)
			return 1;
	for (int i = 0; i < 500; i++)
		(void)pthread_kill(thread[i % 4], SIGUSR1);
	child = fork();
	if (child == 0)
		_exit(keep());
	bad |= waitpid(child, &status, 0) != child || status != 0;
	child = vfork();
	if (child == 0) {
		void *p = map(PAGE, PROT_READ, MAP_PRIVATE);

		_exit(p == MAP_FAILED || munmap(p, PAGE) != 0);
	}
	bad |= waitpid(child, &status, 0) != child || status != 0;
	for (int i = 0; i < 4; i++)
		bad |= pthread_join(thread[i], &said) != 0 || said != NULL;
	return bad || handled == 0;
}

int main(int argc, char **argv)
{
	int bad;

	if (argc > 1 && strcmp(argv[1], "busy") == 0)
		bad = busy();
	else if (argc > 1 && strcmp(argv[1], "fail") == 0)
		bad = failures();
	else
		bad = keep() || split() || grow() || replace() || forget() || segment();
	if (bad == 0 && write(1, "spaces ok\n", 10) != 10)
		bad = 99;
	_exit(bad);
}
