/*
 * stopped.h - a process, stopped by ptrace for as long as it takes to copy its registers and its memory.
 *
 * With the caller's own rights: the kernel decides (ptrace(2), Yama). Of the memory what the process may have written:
 * pages that it never touched, and those of files as they are on disk (or written back to them) are not copied. If the
 * caller dies, the kernel lets the process go on; so it does after a failure, of which the caller has to end.
 *
 * One thread, which must be the one that goes on with ptrace. Never prints.
 */
#ifndef FA_STOPPED_H
#define FA_STOPPED_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum fa_stopped_kind {
	FA_STOPPED_OTHER = 0,
	FA_STOPPED_HEAP = 1, /* the break */
	FA_STOPPED_OURS = 2, /* the shim, its data, and the arenas */
};

struct fa_stopped_range {
	uint64_t lo, hi;
	unsigned char *bytes; /* what was not copied is 0 */
	uint32_t kind;        /* enum fa_stopped_kind */
	uint8_t copied;       /* it is here */
	uint8_t shared;       /* memory that processes share */
	uint8_t reserved[2];
};

struct fa_stopped {
	struct fa_stopped_range *range; /* by address */
	size_t count, cap;
	uint64_t *word; /* registers of all threads */
	size_t words;
	uint64_t *stack_pointer; /* of each thread */
	size_t threads;
	uint64_t at_ns;     /* CLOCK_MONOTONIC when all threads stood still */
	uint64_t paused_ns; /* from the first thread that stopped to the last that went on */
	uint64_t bytes;     /* that were copied */
};

/* -ESRCH; -EPERM: not allowed, or somebody else traces it; -ETIMEDOUT: a thread did not stop; -EOPNOTSUPP: a program of
 * 32 bits; -ENOMEM. */
int fa_stopped_read(int32_t pid, struct fa_stopped *ret) FA_MUST_USE;
void fa_stopped_done(struct fa_stopped *s); /* safe on {0} */

#endif
