/*
 * contended - threads that wait for locks in ways that are known. `contended wait`: one wait of 20 ms at least
 * for each kind, one that is given up, and many locks that can be had; prints the thread id of main, which has
 * them all meanwhile. `contended rules`: what locks of all types say; prints it. `contended busy`: four threads
 * want one lock.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static volatile pid_t waiter;

static void *wait_mutex(void *unused)
{
	(void)unused;
	waiter = (pid_t)syscall(SYS_gettid);
	return pthread_mutex_lock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0 ? NULL : "bad";
}

static void *wait_read(void *unused)
{
	(void)unused;
	waiter = (pid_t)syscall(SYS_gettid);
	return pthread_rwlock_rdlock(&rwlock) == 0 && pthread_rwlock_unlock(&rwlock) == 0 ? NULL
											  : "bad";
}

static void *wait_write(void *unused)
{
	(void)unused;
	waiter = (pid_t)syscall(SYS_gettid);
	return pthread_rwlock_wrlock(&rwlock) == 0 && pthread_rwlock_unlock(&rwlock) == 0 ? NULL
											  : "bad";
}

static struct timespec in_ms(long ms)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += ms * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void *wait_timed(void *unused)
{
	struct timespec until = in_ms(20);

	(void)unused;
	return pthread_mutex_timedlock(&mutex, &until) == ETIMEDOUT ? NULL : "bad";
}

/* It sleeps in the kernel, for the lock. */
static int is_waiting(void)
{
	char path[64], text[8] = "";
	FILE *f;

	if (waiter == 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)waiter);
	f = fopen(path, "r");
	if (f == NULL || fgets(text, sizeof(text), f) == NULL)
		text[0] = '\0';
	if (f != NULL)
		(void)fclose(f);
	return strncmp(text, "202 ", 4) == 0; /* futex */
}

/* `one` waits while we have the lock. */
static int let_wait(void *(*one)(void *), int is_rwlock)
{
	pthread_t thread;
	void *said = "bad";

	waiter = 0;
	if ((is_rwlock ? pthread_rwlock_wrlock(&rwlock) : pthread_mutex_lock(&mutex)) != 0 ||
	    pthread_create(&thread, NULL, one, NULL) != 0)
		return 1;
	if (one == wait_timed) {
		(void)pthread_join(thread, &said);
		return said != NULL || pthread_mutex_unlock(&mutex) != 0;
	}
	while (!is_waiting())
		(void)usleep(1000);
	(void)usleep(20000);
	if ((is_rwlock ? pthread_rwlock_unlock(&rwlock) : pthread_mutex_unlock(&mutex)) != 0)
		return 1;
	(void)pthread_join(thread, &said);
	return said != NULL;
}

static int waits(void)
{
	for (int i = 0; i < 10000; i++) {
		(void)pthread_mutex_lock(&mutex);
		(void)pthread_mutex_unlock(&mutex);
		(void)pthread_rwlock_rdlock(&rwlock);
		(void)pthread_rwlock_unlock(&rwlock);
	}
	if (let_wait(wait_mutex, 0) || let_wait(wait_read, 1) || let_wait(wait_write, 1) ||
	    let_wait(wait_timed, 0))
		return 1;
	printf("%d\n", (int)getpid());
	return 0;
}

static void *lock_and_die(void *lock)
{
	(void)pthread_mutex_lock(lock);
	return NULL;
}

static int rules(void)
{
	const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
			     PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP};
	const struct timespec wrong = {0, -1};
	struct timespec until = in_ms(1);
	pthread_mutexattr_t attr;
	pthread_mutex_t m;
	pthread_t thread;

	errno = 77;
	for (unsigned i = 0; i < 4; i++) {
		(void)pthread_mutexattr_init(&attr);
		(void)pthread_mutexattr_settype(&attr, types[i]);
		(void)pthread_mutex_init(&m, &attr);
		printf("%d", pthread_mutex_lock(&m));
		if (types[i] == PTHREAD_MUTEX_RECURSIVE || types[i] == PTHREAD_MUTEX_ERRORCHECK)
			printf(" %d", pthread_mutex_lock(&m));
		printf(" %d", pthread_mutex_timedlock(&m, &until));
		printf(" %d", pthread_mutex_timedlock(&m, &wrong));
		printf(" %d %d\n", pthread_mutex_unlock(&m), pthread_mutex_unlock(&m));
	}
	(void)pthread_mutexattr_init(&attr);
	(void)pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	(void)pthread_mutex_init(&m, &attr);
	(void)pthread_create(&thread, NULL, lock_and_die, &m);
	(void)pthread_join(thread, NULL);
	printf("%d", pthread_mutex_lock(&m));
	printf(" %d", pthread_mutex_unlock(&m)); /* not made consistent */
	printf(" %d\n", pthread_mutex_lock(&m));
	printf("%d", pthread_rwlock_wrlock(&rwlock));
	printf(" %d", pthread_rwlock_rdlock(&rwlock));
	printf(" %d", pthread_rwlock_wrlock(&rwlock));
	printf(" %d", pthread_rwlock_unlock(&rwlock));
	printf(" %d %d", pthread_rwlock_rdlock(&rwlock), pthread_rwlock_rdlock(&rwlock));
	printf(" %d\n", pthread_rwlock_timedwrlock(&rwlock, &until));
	printf("errno %d\n", errno);
	return 0;
}

static long counted;

static void *count(void *unused)
{
	(void)unused;
	for (int i = 0; i < 20000; i++) {
		(void)pthread_mutex_lock(&mutex);
		counted++;
		free(malloc(10));
		(void)pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static int busy(void)
{
	pthread_t thread[4];

	for (int i = 0; i < 4; i++)
		if (pthread_create(&thread[i], NULL, count, NULL) != 0)
			return 1;
	for (int i = 0; i < 4; i++)
		(void)pthread_join(thread[i], NULL);
	printf("%ld\n", counted);
	return counted != 80000;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (strcmp(mode, "wait") == 0)
		return waits();
	if (strcmp(mode, "rules") == 0)
		return rules();
	return strcmp(mode, "busy") == 0 ? busy() : 2;
}
