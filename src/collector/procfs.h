/*
 * procfs.h - what /proc says of processes and threads, for the collector's side. Reads only what
 * every user may read of processes of the same user; each call stands alone; never prints. Any thread.
 *
 * Processes end at any moment: every answer may be about a process that is gone by now. Callers
 * compare start times where that matters.
 */
#ifndef FA_PROCFS_H
#define FA_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "collector/drain.h"

enum { FA_COMM_SIZE = 16 };

/* From /proc/PID/stat. */
struct fa_procfs_stat {
	char state;
	int32_t parent_pid;
	uint32_t threads;
	uint64_t start_time; /* clock ticks after boot: with the pid it names a process */
	/* Changes with exec, not with fork; 0 where the kernel does not tell us (another user's). */
	uint64_t image;
};

/* From /proc/PID/status. */
struct fa_procfs_status {
	int32_t parent_pid;
	int32_t own_pid; /* in its own pid namespace */
	uint32_t uid;    /* effective */
	uint32_t gid;
	uint32_t real_uid;
	uint32_t seccomp; /* 0 free, 1 strict mode, 2 filtered; 0 where the kernel does not say */
};

/* 0, -ENOENT or -ESRCH: no such process; -errno, -EBADMSG. */
int fa_procfs_stat(int32_t pid, struct fa_procfs_stat *ret) FA_MUST_USE;
int fa_procfs_status(int32_t pid, struct fa_procfs_status *ret) FA_MUST_USE;

/* /proc/PID/cgroup as it stands; what is longer than `size` is cut. */
int fa_procfs_cgroup(int32_t pid, char *text, size_t size) FA_MUST_USE;

/* From /proc/PID/status, bytes. */
struct fa_procfs_memory {
	uint64_t mapped;   /* address space */
	uint64_t writable; /* private and writable, the main stack left out */
	uint64_t resident; /* anonymous, in RAM */
	uint64_t swapped;
};
int fa_procfs_memory(int32_t pid, struct fa_procfs_memory *ret) FA_MUST_USE;

/* Soft RLIMIT_AS, UINT64_MAX: none, or not known. */
uint64_t fa_procfs_address_limit(int32_t pid);

/*
 * Gone: no such process any more, a zombie without threads, or another one with its number.
 * start_time 0: not known. Hidden processes (hidepid) that can be signalled in principle count as
 * alive. ret_image (may be NULL): fa_procfs_stat.image of one that is alive, 0: not known.
 */
bool fa_procfs_ended(int32_t pid, uint64_t start_time, uint64_t *ret_image);

static inline bool fa_procfs_gone(int32_t pid, uint64_t start_time)
{
	return fa_procfs_ended(pid, start_time, NULL);
}

/* Name of a thread. 0 or -errno. */
int fa_procfs_comm(int32_t pid, int32_t tid, char ret[FA_COMM_SIZE]) FA_MUST_USE;

/* Thread ids of a process; *ret is malloced. 0 or -errno. */
int fa_procfs_threads(int32_t pid, int32_t **ret, size_t *ret_count) FA_MUST_USE;

/* The thread of `pid` that calls itself own_tid in its pid namespace; 0: not found. */
int32_t fa_procfs_find_thread(int32_t pid, int32_t own_tid);

/* All processes: calls each(ctx, pid) until it returns true; that pid, or 0. Costs one readdir. */
int32_t fa_procfs_find(bool (*each)(void *ctx, int32_t pid), void *ctx);

/* Arguments with blanks between; *ret is malloced and NUL terminated. 0 or -errno. */
int fa_procfs_arguments(int32_t pid, char **ret) FA_MUST_USE;

/* Everything that fa_family_new() wants to know. uid and gid are the effective ones. 0 or -errno. */
int fa_procfs_family_info(int32_t pid, struct fa_family_info *ret) FA_MUST_USE;

#endif
