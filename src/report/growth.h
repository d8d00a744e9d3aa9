/*
 * growth.h - what grows from moment to moment: the leak detector.
 *
 * A stack grows when at each moment it has more bytes live than at the one before. A cache that fills and then stays as
 * it is does not: it stops. The slope is that of the straight line with the least squares through bytes by time.
 * Moments are of one trace or of several, in the order of their times; stacks are compared as stack_key.h says.
 *
 * One thread.
 */
#ifndef FA_GROWTH_H
#define FA_GROWTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "analysis/series.h"
#include "report/report.h"
#include "report/stack_key.h"

/* A trace, and what it has at its moments. */
struct fa_growth_source {
	const char *path;
	const char *const *moments; /* in the user's words, one for each of the series */
	const struct fa_replay *replay;
	const struct fa_series *series;
};

struct fa_growth_step {
	const struct fa_growth_source *source;
	unsigned moment; /* of its series */
	uint64_t real_ns;
	struct fa_amount sum;
};

struct fa_growth_row {
	uint32_t chain;
	uint32_t grew, shrank;      /* in so many steps */
	const struct fa_amount *at; /* by step */
	double slope;               /* bytes a second */
	double fit;                 /* 1: a straight line, 0: none at all */
};

struct fa_growth {
	struct fa_growth_step *step; /* in the order of time */
	unsigned count;
	struct fa_growth_row *row; /* steepest first */
	size_t row_count;
	size_t stacks; /* rows before those that do not grow were left out */
	double slope;  /* of everything that is live */
	struct fa_amount *cells;
};

struct fa_growth_options {
	bool by_function;
	bool trim;      /* leave out moments at the ends at which nothing lives */
	uint32_t grown; /* how many steps must grow, none may shrink; 0: all */
};

/* Chains are those of `resolver`. Returns 0, -ENOMEM, -ERANGE (fewer than two moments), -EEXIST (two are of the same
 * time). */
int fa_growth_new(const struct fa_growth_source *source, size_t count, struct fa_resolver *resolver,
		  const struct fa_growth_options *options, struct fa_growth *ret) FA_MUST_USE;
void fa_growth_done(struct fa_growth *g); /* safe on {0} */

/* r: resolver, by_function, top, width, color. 0 or -errno. */
int fa_growth_text(const struct fa_report *r, const struct fa_growth *g, FILE *out) FA_MUST_USE;
int fa_growth_json(const struct fa_report *r, const struct fa_growth *g, FILE *out) FA_MUST_USE;

#endif
