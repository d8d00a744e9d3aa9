/* test_filter.c - what the collector may and may not ask the kernel. objs: src/daemon/filter.c */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "tests/unit/test.h"

static bool refused(long r)
{
	return r == -1 && errno == EPERM;
}

/* Its exit status is the number of the first line that was not so. */
#define NEED(x)                                                                                    \
	if (!(x))                                                                                  \
	_exit(__LINE__ % 250 + 1)

static void inside(void)
{
	char *argv[] = {(char *)"true", NULL}, byte;
	struct iovec v = {&byte, 1};
	int fd;

	NEED(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && filter_calls() == 0);
	NEED(refused(execv("/bin/true", argv)));
	NEED(refused(syscall(SYS_fork)) && refused(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)));
	NEED(refused(syscall(SYS_clone3, NULL, 0)));
	NEED(refused(socket(AF_UNIX, SOCK_STREAM, 0)) && refused(socket(AF_INET, SOCK_STREAM, 0)));
	NEED(refused(ptrace(PTRACE_TRACEME, 0, 0, 0)));
	NEED(kill(getppid(), 0) == 0);
	NEED(refused(process_vm_readv(getppid(), &v, 1, &v, 1, 0)));
	NEED(refused(unlink("/nothing")) && refused(rename("/nothing", "/none")));
	NEED(refused(mkdir("/nothing", 0700)) && refused(chmod("/nothing", 0)));
	NEED(refused(syscall(SYS_bpf, 0, NULL, 0)) && refused(syscall(SYS_io_uring_setup, 1, NULL)));
	NEED(refused(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)));
	NEED(refused(syscall(0x40000000 | SYS_read, -1, &byte, 1))); /* x32 */
	fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	NEED(fd >= 0 && read(fd, &byte, 1) == 1 && close(fd) == 0);
	fd = (int)syscall(SYS_memfd_create, "x", 0);
	NEED(fd >= 0 && ftruncate(fd, 4096) == 0);
	NEED(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	free(malloc(1 << 20));
	_exit(0);
}

SPEC(only_what_is_needed_is_allowed)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		inside();
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status != 0)
		printf("status %x\n", (unsigned)status);
	CHECK(status == 0);
}

int main(void)
{
	RUN(only_what_is_needed_is_allowed);
	return TEST_RESULT();
}
