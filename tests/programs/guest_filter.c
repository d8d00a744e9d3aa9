/* guest_filter PROGRAM ... - executes it under a filter that kills for all but what ld.so and malloc do. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#define OK(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
int main(int argc, char **argv)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		OK(execve), OK(brk), OK(mmap), OK(access), OK(openat), OK(newfstatat), OK(fstat), OK(pread64), OK(read),
		OK(close), OK(mprotect), OK(arch_prctl), OK(set_tid_address), OK(set_robust_list), OK(rseq),
		OK(prlimit64), OK(munmap), OK(getrandom), OK(madvise), OK(mremap), OK(getpid), OK(write), OK(exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = {sizeof(f) / sizeof(f[0]), f};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, 2, &prog);
	execv(argv[1], argv + 1);
	return 126;
}
