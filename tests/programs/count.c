/*
 * count - a library that counts heap calls, for `LD_PRELOAD`: the independent judge of traces.
 * cflags: -shared -fPIC -O2 -nostdlib -Wl,-z,nodelete
 * Appends one line to $COUNT_FILE from its destructor. Counts what the tracer records: calls that
 * succeeded, and frees of blocks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);
static long n_malloc, n_calloc, n_realloc, n_align, n_free;

static void *add(long *n, void *p)
{
	if (p != NULL)
		__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
	return p;
}

void *malloc(size_t n)
{
	return add(&n_malloc, __libc_malloc(n));
}

void *calloc(size_t a, size_t b)
{
	return add(&n_calloc, __libc_calloc(a, b));
}

void *realloc(void *p, size_t n)
{
	void *q = __libc_realloc(p, n);

	add(&n_realloc, q != NULL ? q : n == 0 ? p : NULL);
	return q;
}

void free(void *p)
{
	add(&n_free, p);
	__libc_free(p);
}

void *memalign(size_t a, size_t n)
{
	return add(&n_align, __libc_memalign(a, n));
}

void *aligned_alloc(size_t a, size_t n)
{
	return memalign(a, n);
}

int posix_memalign(void **r, size_t a, size_t n)
{
	void *p = memalign(a, n);

	if (p == NULL)
		return ENOMEM;
	*r = p;
	return 0;
}

__attribute__((destructor)) static void report(void)
{
	const char *file = getenv("COUNT_FILE");
	char b[200];
	int fd, n;

	if (file == NULL)
		return;
	n = snprintf(b, sizeof(b), "malloc=%ld calloc=%ld realloc=%ld align=%ld free=%ld\n", n_malloc,
		     n_calloc, n_realloc, n_align, n_free);
	fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd >= 0 && write(fd, b, (size_t)n) == n)
		close(fd);
}
