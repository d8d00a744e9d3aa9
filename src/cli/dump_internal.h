/*
 * dump_internal.h - what cmd_dump.c, dump_record.c and dump_stats.c share: one way to write a line,
 * as text or as a JSON object, and the record printers that use it.
 */
#ifndef FA_DUMP_INTERNAL_H
#define FA_DUMP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/json.h"
#include "format/event_format.h"
#include "trace/clock.h"
#include "trace/reader.h"

/* Event kinds are filtered as records are; their bits lie above those of the tags. */
#define FA_DUMP_BIT(tag)        (1ULL << (tag))
#define FA_DUMP_EVENT_BIT(kind) (1ULL << (32 + (kind)))

struct fa_dump {
	FILE *out;
	bool json;
	struct fa_json j;
	struct fa_trace_clock clock;
	int64_t start_ns;   /* CLOCK_MONOTONIC that is time 0: the first CLOCK record */
	uint64_t kinds;     /* FA_DUMP_BIT, FA_DUMP_EVENT_BIT of what is shown */
	uint64_t range_lo, range_hi; /* ns since start_ns; what happened then is shown */
	uint64_t malformed; /* records whose contents are not as the format says */
};

/* What one trace holds, for --stats. */
struct fa_dump_stats {
	struct {
		uint64_t count;
		uint64_t bytes; /* decoded, with record headers */
	} record[32];
	struct {
		uint64_t blocks;
		uint64_t stored;
		uint64_t raw;
	} codec[3];
	uint64_t kind[8]; /* events by enum fa_event_kind */
	uint64_t event_bytes;
	uint64_t last_block; /* offset of the block that was counted last */
};

/* dump_record.c: one record; with its events or nodes as lines of their own. */
void fa_dump_record(struct fa_dump *d, const struct fa_trace_record *rec);
/* "alloc", ...; NULL for a kind that is none. */
const char *fa_dump_event_name(unsigned kind);
/* "process_end" for PROCESS_END, in static memory until the next call. */
const char *fa_dump_tag_name(unsigned tag);

/* dump_stats.c. fd: of the trace, for the headers of blocks. */
void fa_dump_count(struct fa_dump_stats *s, int fd, const struct fa_trace_record *rec);
void fa_dump_print_stats(const struct fa_dump *d, const struct fa_dump_stats *s,
			 uint64_t file_bytes, const struct fa_trace_damage *damage);

#endif
