/* call_rows.h - rows of what is traced beside the heap: some numbers for each stack or function. */
#ifndef FA_CALL_ROWS_H
#define FA_CALL_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "report/report.h"

enum { FA_CALL_NUMBERS = 4 };

struct fa_call_row {
	uint32_t chain; /* 0: no stack was taken */
	uint64_t n[FA_CALL_NUMBERS];
	uint64_t stacks; /* that were put together in this row */
	uint64_t largest; /* n[1] of one of them, */
	size_t site;      /* and which it is */
};

struct fa_call_rows {
	struct fa_call_row *row; /* by n[0], then n[1], ...: largest first */
	size_t count;
};

/* numbers: those of a site, by its index; all 0: no row. Numbers of a row are sums, but those in `maxima`
 * (bits) the largest. Returns 0 or -ENOMEM. */
int fa_call_rows_new(const struct fa_report *r,
		     void (*numbers)(const struct fa_replay *replay, size_t site, uint64_t *ret),
		     unsigned maxima, struct fa_call_rows *ret) FA_MUST_USE;
void fa_call_rows_done(struct fa_call_rows *rows);

#endif
