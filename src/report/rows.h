/* rows.h - sites grouped into the rows of a view: by stack, or by the function that allocates. */
#ifndef FA_ROWS_H
#define FA_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/replay.h"
#include "base/attr.h"
#include "report/resolve.h"

enum fa_metric {
	FA_METRIC_OUTSTANDING,
	FA_METRIC_PEAK,
	FA_METRIC_TOTAL,
	FA_METRIC_TEMPORARY,
};

struct fa_row {
	uint32_t chain;          /* 0: no stack was taken */
	struct fa_amount amount; /* of the metric */
	struct fa_amount of[FA_CLASSES];
	struct fa_amount peak;
	struct fa_amount temporary;
	uint64_t freed;
	uint64_t lifetime_sum, lifetime_min, lifetime_max; /* ticks */
	uint64_t stacks;                                   /* that were put together in this row */
};

struct fa_rows {
	struct fa_row *row; /* largest first */
	size_t count;
	struct fa_amount sum; /* of all rows */
};

/* What is one row: a chain, or by_function all chains with the same innermost function. 0 or -ENOMEM. */
int fa_rows_key(struct fa_resolver *resolver, uint32_t chain, bool by_function,
		uint64_t *ret) FA_MUST_USE;

int fa_rows_new(const struct fa_replay *replay, struct fa_resolver *resolver, enum fa_metric metric,
		bool by_function, struct fa_rows *ret) FA_MUST_USE;
void fa_rows_done(struct fa_rows *rows); /* safe on {0} */

#endif
