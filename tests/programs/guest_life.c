/* cflags: -O1 -Wno-deprecated
 * guest_life WHAT [N] - hard ways to live with a heap; each prints one line and ends with status 0 when
 * all went as it does without anybody watching. */
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static int n;
static __attribute__((noinline)) void churn(int count)
{
	for (int i = 0; i < count; i++) {
		void *p = malloc(16 + i % 200);
		memset(p, 1, 16);
		free(p);
	}
}
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* 100 threads at once, in a child that forked: each wants a buffer */
static pthread_barrier_t barrier;
static void *crowd_thread(void *arg)
{
	pthread_barrier_wait(&barrier);
	churn(200);
	pthread_barrier_wait(&barrier);
	return NULL;
}
static int crowd(int child)
{
	pthread_t t[400];
	pthread_attr_t a;
	double t0 = now();
	int status;

	free(malloc(1));
	if (child) {
		pid_t pid = fork();
		if (pid > 0) {
			waitpid(pid, &status, 0);
			return status != 0;
		}
	}
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 65536);
	pthread_barrier_init(&barrier, NULL, n);
	for (int i = 0; i < n; i++)
		if (pthread_create(&t[i], &a, crowd_thread, NULL) != 0)
			return 2;
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	fprintf(stderr, "%.3f s\n", now() - t0);
	return 0;
}

/* many short threads */
static void *short_thread(void *arg)
{
	free(malloc(33));
	return NULL;
}
static int threads(void)
{
	double t0 = now();
	for (int i = 0; i < n; i++) {
		pthread_t t;
		if (pthread_create(&t, NULL, short_thread, NULL) != 0)
			return 2;
		pthread_join(t, NULL);
	}
	fprintf(stderr, "%.3f s\n", now() - t0);
	return 0;
}

/* n children alive at once */
static int family(void)
{
	int p[2], go[2];
	char c;

	pipe(p);
	pipe(go);
	for (int i = 0; i < n; i++) {
		if (fork() == 0) {
			churn(10);
			write(p[1], "x", 1);
			close(go[1]);
			read(go[0], &c, 1);
			_exit(0);
		}
	}
	for (int i = 0; i < n; i++)
		read(p[0], &c, 1);
	close(go[1]);
	while (wait(NULL) > 0)
		;
	return 0;
}

static int forks(void)
{
	double t0 = now();
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();
		int status;
		if (pid == 0) {
			churn(3);
			_exit(5);
		}
		if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 5)
			return 2;
	}
	fprintf(stderr, "%.3f s\n", now() - t0);
	return 0;
}

/* a filter that lives on what malloc, fork and threads themselves need */
#define OK(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
static int filter(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		OK(brk), OK(mmap), OK(munmap), OK(mprotect), OK(mremap), OK(madvise), OK(futex), OK(clone3), OK(clone),
		OK(rseq), OK(set_robust_list), OK(rt_sigprocmask), OK(exit), OK(exit_group), OK(wait4), OK(write),
		OK(getrandom), OK(rt_sigreturn), OK(rt_sigaction), OK(gettid),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = {sizeof(f) / sizeof(f[0]), f};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, 2, &prog) != 0)
		return 3;
	return 0;
}
static void *filter_thread(void *arg)
{
	churn(n);
	return NULL;
}
static int filtered(void)
{
	pthread_t t;
	int status = 0;
	pid_t pid;

	mallopt(M_ARENA_MAX, 4); /* else malloc itself opens a file in sysfs */
	if (filter() != 0)
		return 3;
	churn(n);
	for (int i = 0; i < 120; i++) /* each its own buffer: makes the arena grow */
		if (pthread_create(&t, NULL, filter_thread, NULL) != 0)
			return 4;
		else if (i % 30 == 29)
			pthread_join(t, NULL);
	pid = fork();
	if (pid == 0) {
		churn(n);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static int strict(void)
{
	char *p = malloc(100);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
		return 3;
	free(p);
	p = malloc(50);
	free(p);
	write(1, "strict ok\n", 10);
	syscall(SYS_exit, 0);
}

/* coroutines whose stacks come and go */
static ucontext_t main_context, other;
static void coroutine(void)
{
	char pad[3000];
	memset(pad, 1, sizeof(pad));
	churn(20);
	swapcontext(&other, &main_context);
	churn(20);
}
static int coroutines(void)
{
	for (int i = 0; i < n; i++) {
		size_t size = (4 + i % 5) * 4096;
		char *s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		getcontext(&other);
		other.uc_stack.ss_sp = s;
		other.uc_stack.ss_size = size;
		other.uc_link = &main_context;
		makecontext(&other, coroutine, 0);
		swapcontext(&main_context, &other);
		churn(3);
		swapcontext(&main_context, &other);
		munmap(s, size);
		churn(3);
	}
	return 0;
}

static __attribute__((noinline)) int deep(int left)
{
	void *volatile p = left % 64 == 0 ? malloc(40) : NULL;
	int r = left > 0 ? deep(left - 1) : 0;
	free(p);
	return r + (left & 1);
}
static void *deep_thread(void *arg)
{
	return (void *)(long)deep(n);
}
static int recursion(void)
{
	pthread_attr_t a;
	pthread_t t;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, (size_t)n * 100 + (1 << 20));
	if (pthread_create(&t, &a, deep_thread, NULL) != 0)
		return 2;
	pthread_join(t, NULL);
	return 0;
}

static void *small_thread(void *arg)
{
	char *volatile p = alloca(512 + (long)arg % 1000);
	p[0] = 1;
	churn(50);
	return NULL;
}
static int small_stacks(void)
{
	pthread_attr_t a;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 16384);
	for (long i = 0; i < n; i++) {
		pthread_t t;
		if (pthread_create(&t, &a, small_thread, (void *)i) != 0)
			return 2;
		pthread_join(t, NULL);
	}
	return 0;
}

static void *cancelled(void *arg)
{
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
	for (;;) {
		churn(10);
		pthread_testcancel();
	}
}
static int cancel(void)
{
	for (int i = 0; i < n; i++) {
		pthread_t t;
		pthread_create(&t, NULL, cancelled, NULL);
		if (i % 2)
			sched_yield();
		pthread_cancel(t);
		pthread_join(t, NULL);
	}
	return 0;
}

static int handler_heap;
static void on_usr1(int sig) { churn(5); handler_heap++; }
static int altstack(void)
{
	stack_t s = {.ss_sp = mmap(NULL, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), .ss_size = 65536};
	struct sigaction a = {.sa_handler = on_usr1, .sa_flags = SA_ONSTACK};
	sigaltstack(&s, NULL);
	sigaction(SIGUSR1, &a, NULL);
	for (int i = 0; i < n; i++) {
		churn(2);
		raise(SIGUSR1);
	}
	return handler_heap != n;
}

static pthread_key_t key;
static void on_key(void *p) { free(p); churn(3); if (p) pthread_setspecific(key, rand() % 2 ? malloc(9) : NULL); }
static void *key_thread(void *arg) { pthread_setspecific(key, malloc(77)); return NULL; }
static int keys(void)
{
	pthread_key_create(&key, on_key);
	for (int i = 0; i < n; i++) {
		pthread_t t;
		pthread_create(&t, NULL, key_thread, NULL);
		pthread_join(t, NULL);
	}
	return 0;
}

static void at_exit_heap(void) { churn(10); }
static void *forever(void *arg) { for (;;) churn(100); }
static int late(void)
{
	pthread_t t;
	atexit(at_exit_heap);
	at_quick_exit(at_exit_heap);
	for (int i = 0; i < 4; i++) {
		pthread_create(&t, NULL, forever, NULL);
		pthread_detach(t);
	}
	churn(1000);
	return 0; /* they run on through exit */
}
static __attribute__((constructor)) void early(void) { churn(3); }
static __attribute__((destructor)) void end(void) { churn(3); }

static int limits(void) /* what is left when all is taken away */
{
	struct rlimit zero = {65536, 1 << 20}, lots = {1 << 20, 1 << 20}, three = {3, 3};
	int r;
	setrlimit(RLIMIT_NOFILE, &three);
	setrlimit(RLIMIT_STACK, &(struct rlimit){65536, 65536});
	prctl(PR_SET_DUMPABLE, 0);
	for (int i = 3; i < 1000; i++)
		close(i);
	setrlimit(RLIMIT_FSIZE, &zero);
	churn(n);
	r = crowd(0);
	setrlimit(RLIMIT_FSIZE, &lots);
	return r;
}
static int locked(void)
{
	setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){64 << 20, 64 << 20});
	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		return 2;
	churn(n);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct { const char *name; int (*run)(void); } all[] = {
		{"threads", threads}, {"family", family}, {"forks", forks}, {"filtered", filtered}, {"strict", strict},
		{"coroutines", coroutines}, {"recursion", recursion}, {"small", small_stacks}, {"cancel", cancel},
		{"altstack", altstack}, {"keys", keys}, {"late", late}, {"limits", limits}, {"locked", locked},
	};
	const char *what = argc > 1 ? argv[1] : "";
	int r = 99;

	n = argc > 2 ? atoi(argv[2]) : 100;
	if (strcmp(what, "crowd") == 0 || strcmp(what, "child_crowd") == 0)
		r = crowd(what[1] == 'h');
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(what, all[i].name) == 0)
			r = all[i].run();
	if (strcmp(what, "filtered") == 0) {
		if (r == 0)
			write(1, "filtered ok\n", 12);
		_exit(r == 0 ? 0 : 1);
	}
	printf("%s %d\n", what, r);
	return r;
}
