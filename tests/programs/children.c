/* children - vfork, posix_spawn, raw clone and a thread that forks; all children use the heap where they may. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int wait_status(pid_t pid)
{
	int status = -1;

	return waitpid(pid, &status, __WALL) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void *forker(void *arg)
{
	pid_t pid = fork();

	(void)arg;
	if (pid == 0) {
		void *p = malloc(7001);

		_exit(p == NULL);
	}
	return (void *)(long)wait_status(pid);
}

int main(void)
{
	char *args[] = {"true", NULL};
	void *block = malloc(5000);
	pthread_t t;
	void *ret;
	pid_t pid;

	pid = vfork();
	if (pid == 0) {
		free(block); /* the parent's heap: it is the parent's free */
		block = malloc(6000);
		_exit(block == NULL);
	}
	if (wait_status(pid) != 0)
		return 1;
	if (posix_spawn(&pid, "/bin/true", NULL, NULL, args, environ) != 0 || wait_status(pid) != 0)
		return 2;
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		void *p = malloc(8001);

		_exit(p == NULL);
	}
	if (wait_status(pid) != 0)
		return 3;
	if (pthread_create(&t, NULL, forker, NULL) != 0 || pthread_join(t, &ret) != 0 || ret != NULL)
		return 4;
	if (system("exit 6") != 6 << 8)
		return 5;
	puts("children ok");
	return 0;
}
