/*
 * report.h - what a replay came to, as text for a terminal or as JSON.
 *
 * Writes to the stream it is given and nowhere else. One thread.
 */
#ifndef FA_REPORT_H
#define FA_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "analysis/live.h"
#include "analysis/replay.h"
#include "base/attr.h"
#include "base/buf.h"
#include "report/resolve.h"

enum fa_report_view {
	FA_VIEW_SUMMARY,
	FA_VIEW_OUTSTANDING,
	FA_VIEW_PEAK,
	FA_VIEW_TOTAL,
	FA_VIEW_TEMPORARY,
	FA_VIEW_PROCESSES,
	FA_VIEW_THREADS,
	FA_VIEW_VM,
	FA_VIEW_EXTENTS,
	FA_VIEW_LOCKS,
	FA_VIEW_LOADS,
	FA_VIEW_SNAPSHOTS,
	FA_VIEW_SIZES,   /* these three are of `live` */
	FA_VIEW_AGES,
	FA_VIEW_MODULES,
};

struct fa_report {
	const struct fa_replay *replay;
	struct fa_resolver *resolver;
	const struct fa_live *live; /* of some views: the blocks at a moment */
	const char *moment;         /* in the user's words */
	const char *path; /* of the trace, for the title */
	enum fa_report_view view;
	bool by_function;
	bool ranged;                 /* --range was given: the classes say something */
	uint64_t range_lo, range_hi; /* ns */
	bool all_lifetimes;          /* no --lifetime: the peak is of the same blocks as the rest */
	unsigned top;                /* rows, 0: the view's default (text: 20, JSON: all) */
	unsigned width;              /* columns of the terminal */
	bool color;
};

/* What must be said before any number: a line each, none if all is well. */
void fa_report_warnings(const struct fa_replay *replay, struct fa_buf *ret);

/* 0 or -errno (of writing, -ENOMEM). */
int fa_report_text(const struct fa_report *r, FILE *out) FA_MUST_USE;
int fa_report_json(const struct fa_report *r, FILE *out) FA_MUST_USE;

/* Of all frames in the stacks that were seen, how many have no name, and in how many modules. */
struct fa_symbol_share {
	uint64_t frames;
	uint64_t unknown;
	const char *worst; /* path of the module with most of them, NULL: none */
};
struct fa_symbol_share fa_report_symbol_share(const struct fa_report *r);

#endif
