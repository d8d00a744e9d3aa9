/*
 * extents.h - what memory processes had, second by second, beside what was live of their heap.
 *
 * A sample is the kernel's word (EXTENTS records) and the bytes that were live in that moment, as the filters
 * let them through. Of processes that the collector could not look at it is said that there is none.
 */
#ifndef FA_EXTENTS_H
#define FA_EXTENTS_H

#include <stddef.h>
#include <stdint.h>

#include "format/trace_format.h"

struct fa_sample {
	struct fa_rec_extents kernel;
	uint64_t live; /* bytes */
};

struct fa_extents {
	struct fa_sample *sample; /* in the order of the trace */
	size_t count, cap;
};

#endif
