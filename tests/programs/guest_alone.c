/* guest_alone PID - the only thread of a fork child of a program with threads, under a filter that kills for
 * futex: it has nobody to wait for. PID (who collects) is stopped meanwhile, so that it must wait for buffers.
 * Prints "alone ok". */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *work(void *arg)
{
	free(malloc(10));
	return arg;
}

static void forbid_futex(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(3);
}

int main(int argc, char **argv)
{
	int status, pid = argc > 1 ? atoi(argv[1]) : 0;
	pthread_t t;
	pid_t child;

	free(malloc(10));
	pthread_create(&t, NULL, work, NULL);
	pthread_join(t, NULL);
	child = fork();
	if (child == 0) {
		forbid_futex();
		if (pid > 1)
			kill(pid, SIGSTOP);
		for (int i = 0; i < 1000000; i++)
			free(malloc(20));
		_exit(0);
	}
	waitpid(child, &status, 0);
	if (pid > 1)
		kill(pid, SIGCONT);
	if (status != 0)
		printf("child status %x\n", status);
	else
		puts("alone ok");
	return status != 0;
}
