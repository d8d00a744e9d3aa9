/*
 * series.h - how much of each site was live at several moments of a trace, for growth: what live.h has block by
 * block, in the memory of sites times moments instead of blocks times moments.
 *
 * One thread.
 */
#ifndef FA_SERIES_H
#define FA_SERIES_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/live.h"
#include "base/attr.h"

struct fa_series {
	unsigned count;        /* moments */
	uint64_t *stamp;       /* of each */
	uint64_t *real_ns;     /* CLOCK_REALTIME then */
	struct fa_amount *sum; /* of all sites */
	struct fa_amount *at;  /* [site * count + moment] */
	size_t sites;          /* that have a row in `at` */
};

/* Moments are times, in ascending order; or one alone, which is the end or a snapshot. Else as fa_live_read(). */
int fa_series_read(const char *path, const struct fa_replay_options *options,
		   const struct fa_moment *moments, unsigned count, struct fa_series *ret,
		   struct fa_replay **ret_replay) FA_MUST_USE;
void fa_series_done(struct fa_series *s); /* safe on {0} */

#endif
