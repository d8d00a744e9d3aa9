/*
 * referee.c - a library for LD_PRELOAD: at each malloc, calloc and realloc of a program it walks the
 * stack twice, with the shim's unwinder and with libunwind's cursor, and compares frame by frame. At
 * the end it appends "compared N different N broken N" to $REFEREE_FILE, and the first stacks that
 * differed to $REFEREE_FILE.different. Built by 15-stacks.sh.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/unwind_common.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

static __thread int busy __attribute__((tls_model("initial-exec")));
static __thread struct memory *memory __attribute__((tls_model("initial-exec")));
static __thread struct fa_stack_bounds bounds __attribute__((tls_model("initial-exec")));
static unsigned long compared, different, broken, shown, limit = 250000;
static int ready;

static void show(const struct fa_stack_view *v, const uint64_t *expected, unsigned n)
{
	char name[500], text[300];
	int fd, len;

	if (getenv("REFEREE_FILE") == NULL || __atomic_fetch_add(&shown, 1, __ATOMIC_RELAXED) >= 20)
		return;
	(void)snprintf(name, sizeof(name), "%s.different", getenv("REFEREE_FILE"));
	fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	for (unsigned i = 0; i < n || i < v->depth; i++) {
		uint64_t ours = i < v->depth ? FA_NODE_PC(v->pc[v->depth - 1 - i]) : 0;
		uint64_t theirs = i < n ? expected[i] : 0;
		Dl_info info = {0};

		(void)dladdr((void *)(uintptr_t)(theirs != 0 ? theirs : ours), &info);
		len = snprintf(text, sizeof(text), "%u %lx %lx%s %s %s marks %u\n", i, ours, theirs,
			       ours == theirs ? "" : " <--", info.dli_fname == NULL ? "?" : info.dli_fname,
			       info.dli_sname == NULL ? "?" : info.dli_sname, v->marks);
		(void)!write(fd, text, (size_t)len);
	}
	(void)!write(fd, "\n", 1);
	(void)close(fd);
}

static void compare(const struct fa_regs *regs, void *unused)
{
	static __thread uint64_t expected[MAX_LIBUNWIND];
	unsigned n = ask_libunwind(regs, expected);
	struct fa_stack_view v;
	int same;

	(void)unused;
	fa_unwind(thread_of(memory), regs, &bounds, DEPTH, &v);
	same = v.depth == (n < DEPTH ? n : DEPTH);
	for (unsigned i = 0; same && i < v.depth; i++)
		same = FA_NODE_PC(v.pc[v.depth - 1 - i]) == expected[i];
	__atomic_fetch_add(&compared, 1, __ATOMIC_RELAXED);
	if (!same) {
		__atomic_fetch_add(&different, 1, __ATOMIC_RELAXED);
		show(&v, expected, n);
	}
	broken += (v.marks & FA_NODE_BROKEN) != 0;
}

static void set_up_thread(void)
{
	pthread_attr_t attr;
	void *low;
	size_t size;

	memory = aligned_alloc(4096, (sizeof(*memory) + 4095) & ~(size_t)4095);
	memset(memory, 0, sizeof(*memory));
	if (pthread_getattr_np(pthread_self(), &attr) != 0)
		return;
	pthread_attr_getstack(&attr, &low, &size);
	bounds.lo = (uint64_t)low;
	bounds.hi = bounds.lo + size;
	pthread_attr_destroy(&attr);
}

static void walk_twice(void)
{
	if (busy || compared >= limit)
		return;
	busy = 1;
	if (!ready) {
		ready = 1;
		(void)fa_unwind_init(find_object, number_module);
	}
	if (memory == NULL)
		set_up_thread();
	fa_capture(compare, NULL);
	busy = 0;
}

void *malloc(size_t size)
{
	walk_twice();
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	walk_twice();
	return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
	walk_twice();
	return __libc_realloc(block, size);
}

__attribute__((destructor)) static void report(void)
{
	char text[200];
	const char *file = getenv("REFEREE_FILE");
	int n, fd;

	busy = 1;
	if (file == NULL || compared == 0)
		return;
	n = snprintf(text, sizeof(text), "compared %lu different %lu broken %lu\n", compared,
		     different, broken);
	fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd >= 0 && write(fd, text, (size_t)n) == n)
		close(fd);
}
