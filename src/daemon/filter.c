/*
 * filter.c - the system calls that the collector may make. It reads bytes that any traced program can
 * write; should one of them take it over, there is little of the kernel that it can talk to: no new
 * process, no socket, no other process's memory, no file made, renamed or removed.
 *
 * Whatever is not in the list fails with EPERM, so that a C library that tries something newer first falls
 * back. Not libseccomp: a list and five instructions do not need a library.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "daemon/daemon.h"

/* 64-bit calls have numbers below: those of the x32 ABI do not. */
#define X32_BIT 0x40000000

static const unsigned short allowed[] = {
	/* arenas, traces, messages: descriptors that came to us */
	SYS_read, SYS_write, SYS_pread64, SYS_pwrite64, SYS_lseek, SYS_ftruncate, SYS_fallocate,
	SYS_fsync, SYS_fdatasync, SYS_sync_file_range, SYS_fcntl, SYS_dup, SYS_dup3, SYS_close,
	SYS_memfd_create, SYS_fchmod, SYS_fstat, SYS_fgetxattr, SYS_fstatfs, SYS_statx, SYS_sendmsg,
	SYS_recvmsg, SYS_sendto, SYS_recvfrom, SYS_accept4, SYS_getsockopt, SYS_shutdown, SYS_poll,
	SYS_ppoll, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_wait, SYS_epoll_pwait,
	/* /proc, the accounts; nothing there can be written with our rights */
	SYS_open, SYS_openat, SYS_newfstatat, SYS_stat, SYS_access, SYS_faccessat, SYS_readlink,
	SYS_readlinkat, SYS_getdents64, SYS_statfs, SYS_uname, SYS_sysinfo,
	/* memory, time, ourselves */
	SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_futex,
	SYS_clock_gettime, SYS_gettimeofday, SYS_time, SYS_nanosleep, SYS_clock_nanosleep,
	SYS_sched_yield, SYS_getrandom, SYS_getpid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid,
	SYS_getegid, SYS_prlimit64, SYS_getrlimit, SYS_rt_sigaction, SYS_rt_sigprocmask,
	/* kill: who lives, where /proc hides it; signals reach only processes of its own user */
	SYS_rt_sigreturn, SYS_sigaltstack, SYS_tgkill, SYS_kill, SYS_restart_syscall, SYS_exit,
	SYS_exit_group};

enum { CALLS = sizeof(allowed) / sizeof(allowed[0]), HEAD = 5, TAIL = 2 };
static_assert(CALLS < 250, "a jump reaches 255 instructions");

int filter_calls(void)
{
	struct sock_filter code[HEAD + CALLS + TAIL] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, CALLS, 0),
	};
	struct sock_fprog program = {.len = HEAD + CALLS + TAIL, .filter = code};

	for (unsigned char i = 0; i < CALLS; i++)
		code[HEAD + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i],
							      (unsigned char)(CALLS - i), 0);
	code[HEAD + CALLS] =
		(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	code[HEAD + CALLS + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}
