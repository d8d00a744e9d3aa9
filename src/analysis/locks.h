/*
 * locks.h - who waited for locks: processes that were traced with FA_TRACING_LOCK, as locks.c of the shim saw it.
 *
 * A wait counts when it ended in the range, in whole. Of a stack's longest wait it is known for which
 * lock it was and who had the lock when it began.
 */
#ifndef FA_LOCKS_H
#define FA_LOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fa_process;

/* Of a site. Times in ticks. */
struct fa_lock_site {
	uint64_t waits;
	uint64_t timed_out; /* of those: it was given up */
	uint64_t total, longest;
	/* of the longest */
	const struct fa_process *process;
	uint64_t lock;
	uint32_t kind;  /* enum fa_lock_kind */
	uint32_t owner; /* thread id in the process's own pid namespace, 0: not known */
};

struct fa_locks {
	struct fa_lock_site *site; /* by index; site_count may be less than there are sites */
	size_t site_count;
	uint64_t waits, timed_out, total, longest;
	bool any; /* there were such calls */
};

#endif
