/* top.h - the table of `firstalloc top`: sites of a replay that goes on, as rows. For cmd_top.c and top_table.c. */
#ifndef FA_CLI_TOP_H
#define FA_CLI_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "analysis/replay.h"
#include "base/attr.h"
#include "report/resolve.h"

enum top_key { TOP_BYTES, TOP_CALLS, TOP_OUTSTANDING, TOP_TRANSIENT, TOP_KEYS };

/* A stack, in whichever processes it is. */
struct top_row {
	uint32_t chain; /* 0: no stack was taken */
	uint64_t calls, bytes; /* allocated since we look */
	uint64_t freed;        /* of these calls */
	uint64_t was_calls, was_bytes; /* at the last look */
	struct fa_amount live;
	double calls_s, bytes_s;
	char *text; /* "inner < outer < ...", made when it is shown first */
};

struct top {
	struct fa_symbols *symbols;
	struct fa_resolver *resolver;
	struct top_row *row; /* by chain */
	size_t rows;
	uint32_t *chain_of; /* by site */
	size_t sites;
	struct top_row **sorted;
	size_t count; /* rows that have anything */
	struct top_row sum;
	uint64_t lost, was_lost;
	unsigned processes; /* that live */
};

int top_new(struct top *t) FA_MUST_USE;
void top_done(struct top *t);
/* What the replay says now; rates are of the time since the last look. 0 or -ENOMEM. */
int top_look(struct top *t, const struct fa_replay *r, double seconds, enum top_key by) FA_MUST_USE;
extern const char *const top_key_names[TOP_KEYS];

/* The table, at most `rows` stacks, lines of at most `width` columns (0: as long as they are). */
void top_print(struct top *t, FILE *out, const char *title, enum top_key by, size_t rows, unsigned width,
	       const char *newline);
void top_print_json(struct top *t, FILE *out, const char *title, uint64_t real_ns, size_t rows);

#endif
