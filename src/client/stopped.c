/* stopped.c - see stopped.h. */
#include "client/stopped.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/paths.h"
#include "format/arena_format.h"

enum {
	PATIENCE_MS = 5000,   /* for a thread that sleeps in the kernel */
	REGISTERS = 16 << 10, /* bytes of all that a thread has */
	PAGES = 4096,         /* of the page table, looked at at once */
};

#define PAGE_PRESENT ((uint64_t)1 << 63)
#define PAGE_SWAPPED ((uint64_t)1 << 62)
#define PAGE_OF_FILE ((uint64_t)1 << 61) /* or shared */

struct thread {
	int32_t tid;
	int signal; /* that it was about to get */
	bool stopped;
};

struct look {
	int32_t pid;
	struct thread *thread;
	size_t threads, thread_cap;
	struct fa_stopped s;
	size_t word_cap;
	int page_table; /* /proc/PID/pagemap */
};

/* ---- threads ---- */

static int add_thread(struct look *l, int32_t tid)
{
	if (l->threads == l->thread_cap) {
		size_t cap = l->thread_cap == 0 ? 64 : l->thread_cap * 2;
		struct thread *bigger = reallocarray(l->thread, cap, sizeof(*bigger));

		if (bigger == NULL)
			return -ENOMEM;
		l->thread = bigger;
		l->thread_cap = cap;
	}
	l->thread[l->threads++] = (struct thread){.tid = tid};
	return 0;
}

static bool is_known(const struct look *l, int32_t tid)
{
	for (size_t i = 0; i < l->threads; i++)
		if (l->thread[i].tid == tid)
			return true;
	return false;
}

/* Wait until it stands still, or is gone. */
static int await_stop(struct thread *t)
{
	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		int status;
		pid_t r = waitpid(t->tid, &status, __WALL | WNOHANG);

		if (r < 0 && errno != EINTR)
			return errno == ECHILD ? -ESRCH : -errno;
		if (r == t->tid && !WIFSTOPPED(status))
			return -ESRCH;
		if (r == t->tid) {
			t->stopped = true;
			/* Not ours: it is handed on when the thread goes on. */
			t->signal = status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
			return 0;
		}
		(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return -ETIMEDOUT;
}

/* Stop it; 0 also when it is gone. */
static int stop_thread(struct look *l, int32_t tid)
{
	int r;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0)
		return errno == ESRCH && tid != l->pid ? 0 : -errno;
	r = add_thread(l, tid);
	if (r < 0 || ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0)
		return r < 0 ? r : errno == ESRCH ? 0 : -errno;
	r = await_stop(&l->thread[l->threads - 1]);
	return r == -ESRCH ? 0 : r;
}

/* A thread that was not stopped yet may have made another. */
static int stop_all(struct look *l)
{
	char path[64];
	bool again = true;
	int r = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)l->pid);
	while (again && r == 0) {
		DIR *tasks = opendir(path);
		const struct dirent *e;

		again = false;
		if (tasks == NULL)
			return errno == ENOENT ? -ESRCH : -errno;
		while (r == 0 && (e = readdir(tasks)) != NULL) {
			uint32_t tid;

			if (fa_parse_u32(e->d_name, &tid) < 0 || is_known(l, (int32_t)tid))
				continue;
			again = true;
			r = stop_thread(l, (int32_t)tid);
		}
		(void)closedir(tasks);
	}
	return r;
}

static void let_go(struct look *l)
{
	for (size_t i = 0; i < l->threads; i++)
		if (l->thread[i].stopped)
			(void)ptrace(PTRACE_DETACH, l->thread[i].tid, NULL,
				     (void *)(intptr_t)l->thread[i].signal);
}

/* ---- registers ---- */

static int take_words(struct look *l, const unsigned char *bytes, size_t len)
{
	struct fa_stopped *s = &l->s;

	while (s->words + len / 8 > l->word_cap) {
		size_t cap = l->word_cap == 0 ? 4096 : l->word_cap * 2;
		uint64_t *bigger = reallocarray(s->word, cap, sizeof(*bigger));

		if (bigger == NULL)
			return -ENOMEM;
		s->word = bigger;
		l->word_cap = cap;
	}
	memcpy(&s->word[s->words], bytes, len / 8 * 8);
	s->words += len / 8;
	return 0;
}

static int read_registers(struct look *l, const struct thread *t)
{
	static unsigned char buffer[REGISTERS];
	struct iovec v = {.iov_base = buffer, .iov_len = sizeof(buffer)};
	struct user_regs_struct regs;
	int r;

	if (ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_PRSTATUS, &v) < 0)
		return errno == ESRCH ? 0 : -errno;
	if (v.iov_len != sizeof(regs))
		return -EOPNOTSUPP;
	memcpy(&regs, buffer, sizeof(regs));
	l->s.stack_pointer[l->s.threads++] = regs.rsp;
	r = take_words(l, buffer, v.iov_len);
	/* A copy under way has pointers in the vector registers. */
	v = (struct iovec){.iov_base = buffer, .iov_len = sizeof(buffer)};
	if (r == 0 && ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_X86_XSTATE, &v) == 0)
		return take_words(l, buffer, v.iov_len);
	v = (struct iovec){.iov_base = buffer, .iov_len = sizeof(buffer)};
	if (r == 0 && ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_PRFPREG, &v) == 0)
		return take_words(l, buffer, v.iov_len);
	return r;
}

static int read_all_registers(struct look *l)
{
	int r = 0;

	l->s.stack_pointer = calloc(l->threads + 1, sizeof(*l->s.stack_pointer));
	if (l->s.stack_pointer == NULL)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < l->threads; i++)
		if (l->thread[i].stopped)
			r = read_registers(l, &l->thread[i]);
	return r;
}

/* ---- memory ---- */

/* Arenas, notes, and the shim's threads. */
static bool is_of_shim(uint64_t address)
{
	return address >= FA_ARENA_BASE && address < FA_OWN_END;
}

/* Memory, not a file nor a device, that processes share. */
static bool is_shared_memory(const char *name)
{
	return strncmp(name, "/dev/shm/", 9) == 0 || strncmp(name, "/dev/zero", 9) == 0 ||
	       strncmp(name, "/memfd:", 7) == 0 || strncmp(name, "/SYSV", 5) == 0;
}

/* May the program have written pointers there? The kernel's own pages ([vdso], [vvar]) are no memory of the program. */
static bool is_its_memory(const char *rights, const char *name, uint32_t kind)
{
	if (rights[0] != 'r' || kind == FA_STOPPED_OURS || strncmp(name, "[v", 2) == 0)
		return false;
	return rights[3] == 's' ? is_shared_memory(name)
				: strncmp(name, "/dev/", 5) != 0 || is_shared_memory(name);
}

/* Names of a mapping; `before` is the mapping in front of it. */
static uint32_t kind_of(uint64_t lo, const char *name, const struct fa_stopped_range *before)
{
	if (strcmp(name, "[heap]") == 0)
		return FA_STOPPED_HEAP;
	if (strstr(name, FA_SHIM_NAME) != NULL || is_of_shim(lo))
		return FA_STOPPED_OURS;
	/* The data behind the file: it has no name. */
	if (name[0] == '\0' && before != NULL && before->kind == FA_STOPPED_OURS &&
	    before->hi == lo)
		return FA_STOPPED_OURS;
	return FA_STOPPED_OTHER;
}

static struct fa_stopped_range *add_range(struct look *l)
{
	struct fa_stopped *s = &l->s;

	if (s->count == s->cap) {
		size_t cap = s->cap == 0 ? 256 : s->cap * 2;
		struct fa_stopped_range *bigger = reallocarray(s->range, cap, sizeof(*bigger));

		if (bigger == NULL)
			return NULL;
		s->range = bigger;
		s->cap = cap;
	}
	return &s->range[s->count++];
}

static int read_maps(struct look *l)
{
	char path[64], line[4600];
	int r = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)l->pid);
	FILE *in = fopen(path, "re");

	if (in == NULL)
		return errno == ENOENT ? -ESRCH : -errno;
	while (r == 0 && fgets(line, sizeof(line), in) != NULL) {
		unsigned long long lo, hi;
		char rights[8];
		int at = 0;

		if (sscanf(line, "%llx-%llx %7s %*s %*s %*s %n", &lo, &hi, rights, &at) < 3 ||
		    at == 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		const char *name = line + at;
		size_t n = l->s.count;
		uint32_t kind = kind_of(lo, name, n == 0 ? NULL : &l->s.range[n - 1]);
		struct fa_stopped_range *range = add_range(l);

		if (range == NULL)
			r = -ENOMEM;
		else
			*range = (struct fa_stopped_range){
				.lo = lo,
				.hi = hi,
				.kind = kind,
				.copied = is_its_memory(rights, name, kind),
				.shared = rights[3] == 's',
			};
	}
	(void)fclose(in);
	return r;
}

/* Pages [at, at + n) of the process, as far as they can be read. */
static void copy_pages(struct look *l, struct fa_stopped_range *range, uint64_t at, uint64_t len)
{
	while (len > 0) {
		struct iovec to = {.iov_base = range->bytes + (at - range->lo), .iov_len = len};
		struct iovec from = {.iov_base = (void *)(uintptr_t)at, .iov_len = len};
		ssize_t n = process_vm_readv(l->pid, &to, 1, &from, 1, 0);

		/* A page that cannot be read (behind the end of its file) stays 0. */
		if (n <= 0)
			n = FA_ARENA_PAGE;
		else
			l->s.bytes += (uint64_t)n;
		if ((uint64_t)n >= len)
			return;
		at += (uint64_t)n;
		len -= (uint64_t)n;
	}
}

static bool is_wanted(uint64_t entry, bool shared)
{
	/* Of a file and private: nobody has written to it. */
	return (entry & (PAGE_PRESENT | PAGE_SWAPPED)) != 0 && (shared || !(entry & PAGE_OF_FILE));
}

static void copy_range(struct look *l, struct fa_stopped_range *range)
{
	static uint64_t entry[PAGES];
	uint64_t page = range->lo / FA_ARENA_PAGE, end = range->hi / FA_ARENA_PAGE;

	while (page < end) {
		size_t n = end - page < PAGES ? (size_t)(end - page) : PAGES;
		ssize_t got = pread(l->page_table, entry, n * 8, (off_t)(page * 8));
		uint64_t begin = 0, run = 0;

		/* Without a page table: all of it. */
		for (size_t i = 0; i < n; i++) {
			bool wanted = got != (ssize_t)(n * 8) || is_wanted(entry[i], range->shared);

			if (wanted && run++ == 0)
				begin = page + i;
			if ((!wanted || i + 1 == n) && run != 0) {
				copy_pages(l, range, begin * FA_ARENA_PAGE, run * FA_ARENA_PAGE);
				run = 0;
			}
		}
		page += n;
	}
}

static int copy_memory(struct look *l)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)l->pid);
	l->page_table = open(path, O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < l->s.count; i++) {
		struct fa_stopped_range *range = &l->s.range[i];
		void *bytes;

		if (!range->copied)
			continue;
		/* As large as the program's, and as empty where that is. */
		bytes = mmap(NULL, range->hi - range->lo, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (bytes == MAP_FAILED) {
			range->copied = 0;
			fa_close(&l->page_table);
			return -ENOMEM;
		}
		range->bytes = bytes;
		copy_range(l, range);
	}
	fa_close(&l->page_table);
	return 0;
}

int fa_stopped_read(int32_t pid, struct fa_stopped *ret)
{
	struct look l = {.pid = pid, .page_table = -1};
	uint64_t begin = fa_mono_ns();
	int r = stop_thread(&l, pid);

	if (r == 0)
		r = stop_all(&l);
	l.s.at_ns = fa_mono_ns();
	if (r == 0)
		r = read_all_registers(&l);
	if (r == 0 && l.s.threads == 0)
		r = -ESRCH;
	if (r == 0)
		r = read_maps(&l);
	if (r == 0)
		r = copy_memory(&l);
	let_go(&l);
	l.s.paused_ns = fa_mono_ns() - begin;
	free(l.thread);
	if (r < 0)
		fa_stopped_done(&l.s);
	else
		*ret = l.s;
	return r;
}

void fa_stopped_done(struct fa_stopped *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->range[i].bytes != NULL)
			(void)munmap(s->range[i].bytes, s->range[i].hi - s->range[i].lo);
	free(s->range);
	free(s->word);
	free(s->stack_pointer);
	*s = (struct fa_stopped){0};
}
