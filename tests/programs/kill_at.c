/*
 * kill_at N command... - runs the command and kills it (SIGKILL) when it is about to make its Nth system call
 * of those that change files: so the disk is left in each state that it ever has. Its children run on.
 * N 0: nothing is killed, and the number of such calls is printed on stderr. Ends with 0 when the command was
 * killed, 1 when it ended before, 2 when it could not be run.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static int changes_files(const struct user_regs_struct *r)
{
	switch (r->orig_rax) {
	case SYS_open:
		return (r->rsi & (O_CREAT | O_TRUNC)) != 0;
	case SYS_openat:
		return (r->rdx & (O_CREAT | O_TRUNC)) != 0;
	case SYS_write:
	case SYS_pwrite64:
		return r->rdi > 2;
	case SYS_rename:
	case SYS_renameat:
	case SYS_renameat2:
	case SYS_unlink:
	case SYS_unlinkat:
	case SYS_mkdir:
	case SYS_mkdirat:
	case SYS_rmdir:
	case SYS_chmod:
	case SYS_fchmod:
	case SYS_chown:
	case SYS_fchown:
	case SYS_truncate:
	case SYS_ftruncate:
	case SYS_fallocate:
	case SYS_link:
	case SYS_symlink:
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	long want = atol(argv[1]), seen = 0;
	int status, entering = 0;
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid ||
	    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
		return 2;
	for (int signal = 0;;) {
		struct user_regs_struct r;

		if (ptrace(PTRACE_SYSCALL, pid, 0, signal) < 0 || waitpid(pid, &status, 0) != pid)
			return 2;
		if (WIFEXITED(status) || WIFSIGNALED(status))
			break;
		signal = 0;
		if (!WIFSTOPPED(status))
			continue;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
			continue;
		}
		entering = !entering;
		if (!entering || ptrace(PTRACE_GETREGS, pid, 0, &r) < 0 || !changes_files(&r))
			continue;
		if (++seen == want) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return 0;
		}
	}
	if (want == 0)
		dprintf(2, "%ld\n", seen);
	return 1;
}
