/* guest_signals HOW SECONDS/10 [LEAST] - a timer's handler interrupts heap calls (and so the tracer) at any moment and
 *   alloc    allocates         jump   allocates and leaves by siglongjmp
 *   fork     forks: the child comes back out of the handler, goes on allocating and ends
 *   forkheap the same, allocating in the handler, too
 *   context  leaves by swapcontext and comes back later from another stack
 *   cancel   no timer: a thread is cancelled, which libc's own handler does, out of which it is unwound
 * With guest_bump preloaded behind the shim all of that is allowed. It goes on until there were LEAST signals, too:
 * a busy machine lets few come in a time. Prints "signals ok". */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static char how;
static volatile sig_atomic_t count, child, forks, fired;
static sigjmp_buf away;
static ucontext_t main_context, other;

static __attribute__((noinline)) void churn(int n, int deep)
{
	volatile char pad[32];
	pad[0] = 0;
	if (deep > 0) {
		churn(n, deep - 1);
		return;
	}
	for (int i = 0; i < n; i++) {
		void *p = malloc(24 + i % 100);
		if (i % 3 == 0)
			p = realloc(p, 200);
		free(p);
	}
}

static void on_timer(int sig)
{
	int saved = errno;

	(void)sig;
	count++;
	fired = 1;
	if (how == 'a' || how == 'j' || how == 'F')
		churn(3, count % 5);
	if (how == 'j')
		siglongjmp(away, 1);
	if (how == 'c')
		swapcontext(&main_context, &other);
	if ((how == 'f' || how == 'F') && !child) {
		pid_t pid = fork();
		if (pid == 0) {
			child = 1;
			if (how == 'F')
				churn(5, 2);
		} else if (pid > 0) {
			forks++;
		}
	}
	errno = saved;
}

static void coroutine(void)
{
	for (;;) {
		churn(4, 1);
		swapcontext(&other, &main_context);
	}
}

static volatile int at_work;

static void *to_be_cancelled(void *arg)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (int n = 0;; n++) {
		churn(5, n % 7);
		at_work = 1;
	}
	return arg;
}

/* At a moment that is as random as the machine is. false: it did not end by that. */
static int cancel_one(void)
{
	pthread_t t;
	void *end = NULL;

	at_work = 0;
	if (pthread_create(&t, NULL, to_be_cancelled, NULL) != 0)
		return 0;
	while (!at_work)
		sched_yield();
	for (volatile int i = rand() % 20000; i > 0; i--)
		;
	pthread_cancel(t);
	pthread_join(t, &end);
	return end == PTHREAD_CANCELED;
}

int main(int argc, char **argv)
{
	struct itimerval once = {{0, 0}, {0, 50}}, never = {{0, 0}, {0, 0}};
	struct timespec t0, t;
	double seconds = atoi(argv[2]) / 10.0;
	int least = argc > 3 ? atoi(argv[3]) : 0;

	how = strcmp(argv[1], "forkheap") == 0 ? 'F' : strcmp(argv[1], "cancel") == 0 ? 'x' : argv[1][0];
	getcontext(&other);
	other.uc_stack.ss_size = 65536;
	other.uc_stack.ss_sp = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaddset(&other.uc_sigmask, SIGALRM);
	makecontext(&other, coroutine, 0);
	signal(SIGALRM, on_timer);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	do {
		fired = 0;
		if (how == 'x') {
			if (!cancel_one()) {
				puts("not cancelled");
				return 1;
			}
			count++;
			clock_gettime(CLOCK_MONOTONIC, &t);
			continue;
		}
		/* One shot: a handler that takes long must not be interrupted by the next. */
		once.it_value.tv_usec = (how == 'f' || how == 'F' ? 500 : 5) + rand() % 50;
		if (sigsetjmp(away, 1) == 0 && !child)
			setitimer(ITIMER_REAL, &once, NULL);
		while (!fired && !child)
			churn(5, count % 7);
		if (child) {
			churn(2000, 3);
			_exit(0);
		}
		for (int status; how != 'a' && waitpid(-1, &status, WNOHANG) > 0;)
			if (status != 0) {
				printf("child status %x\n", status);
				return 1;
			}
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while (count < least || (double)(t.tv_sec - t0.tv_sec) + (t.tv_nsec - t0.tv_nsec) / 1e9 < seconds);
	setitimer(ITIMER_REAL, &never, NULL);
	if (child)
		_exit(0);
	for (int status; waitpid(-1, &status, 0) > 0;)
		if (status != 0) {
			printf("child status %x\n", status);
			return 1;
		}
	fprintf(stderr, "%d signals, %d forks\n", (int)count, (int)forks);
	puts("signals ok");
	return 0;
}
