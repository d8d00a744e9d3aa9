/*
 * leaks.h - the blocks of a process that nothing points to, by stack.
 *
 * One thread.
 */
#ifndef FA_LEAKS_H
#define FA_LEAKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "analysis/reach.h"
#include "report/report.h"

extern const char *const fa_reach_names[FA_REACHES];

/* What was looked at. */
struct fa_leaks_look {
	const struct fa_process *process;
	const struct fa_replay *replay;
	const struct fa_block *block;
	const struct fa_reached *reached;
	size_t count;
	size_t threads;
	uint64_t paused_ns;
	uint64_t copied_bytes;
	bool heap_was_root; /* not all blocks are known: leaks may be hidden */
};

struct fa_leak_row {
	uint32_t chain;
	enum fa_reach reach;
	struct fa_amount amount;
	struct fa_amount indirect; /* behind these blocks, when they are definite */
};

struct fa_leaks {
	struct fa_leak_row *row; /* definite first, then the largest */
	size_t count;
	struct fa_amount of[FA_REACHES];
};

/* show: bits 1 << enum fa_reach. 0 or -ENOMEM. */
int fa_leaks_new(const struct fa_leaks_look *look, struct fa_resolver *resolver, bool by_function,
		 unsigned show, struct fa_leaks *ret) FA_MUST_USE;
void fa_leaks_done(struct fa_leaks *l); /* safe on {0} */

/* r: resolver, by_function, top, width, color. 0 or -errno. */
int fa_leaks_text(const struct fa_report *r, const struct fa_leaks_look *look,
		  const struct fa_leaks *l, FILE *out) FA_MUST_USE;
int fa_leaks_json(const struct fa_report *r, const struct fa_leaks_look *look,
		  const struct fa_leaks *l, FILE *out) FA_MUST_USE;

#endif
