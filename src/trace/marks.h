/* marks.h - the moments of a trace that somebody named. */
#ifndef FA_TRACE_MARKS_H
#define FA_TRACE_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

struct fa_mark_wanted {
	const char *text;
	bool found;
	uint64_t ns; /* since the trace began; 0 for a mark before that */
};

/* Find the first mark of each text; reads the whole file. 0 (see `found`), or as
 * fa_trace_reader_open(). */
int fa_trace_find_marks(const char *path, struct fa_mark_wanted *wanted, unsigned count) FA_MUST_USE;

#endif
