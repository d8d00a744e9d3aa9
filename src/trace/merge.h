/*
 * merge.h - several traces as one, in time order.
 *
 * Processes and families get new numbers, so that a process that is in two of the traces is two processes
 * in the result, and sums over the result are the sums over the traces. Stamps stay as they are: the
 * traces must be of one boot and one clock, unless those of another boot are shifted to where they belong
 * by the time of day.
 *
 * One thread. Never prints.
 */
#ifndef FA_TRACE_MERGE_H
#define FA_TRACE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "trace/reader.h"

enum { FA_MERGE_MOST = 64 };

/* What became of one of the traces. */
struct fa_merge_input {
	const char *path;
	struct fa_trace_damage damage;
	bool ended; /* properly */
	bool shifted;
};

struct fa_merge {
	struct fa_merge_input input[FA_MERGE_MOST];
	unsigned count;
	bool shift; /* traces of another boot are wanted too */
	/* Results: */
	uint64_t events, lost; /* as the traces say at their ends */
	uint64_t bytes;
	uint32_t twice; /* processes that are in more than one trace */
	char why[256];  /* why not, after an error; "": the errno says it */
	unsigned at;    /* which input the error is about */
};

/*
 * Write the merge of the traces to fd, an empty file. The result is ended properly only if all of the
 * traces are. 0; -errno of reading or writing; -EINVAL: these cannot be merged, `why` says it.
 */
int fa_trace_merge(struct fa_merge *m, int fd) FA_MUST_USE;

#endif
