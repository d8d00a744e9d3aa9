/* reader_internal.h - a trace that is read, from a file (reader.c) or live (live.c). */
#ifndef FA_API_READER_INTERNAL_H
#define FA_API_READER_INTERNAL_H

#include "analysis/model.h"
#include "api_internal.h"
#include "format/event_format.h"
#include "trace/clock.h"
#include "trace/live.h"
#include "trace/reader.h"

struct fa_trace {
	char *path; /* live: the session's name */
	struct fa_trace_reader *reader; /* of the second reading */
	struct fa_trace_live *live;     /* NULL: it is a file */
	struct fa_model model;
	struct fa_trace_clock clock;
	struct fa_trace_damage damage;
	struct fa_trace_info info;
	uint64_t end_stamp;
	struct fa_symbols *symbols;
	struct fa_resolver *resolver[2]; /* culls, does not */
	/* The EVENTS record that is being given out. */
	const struct fa_thread *thread;
	struct fa_event_state state;
	const unsigned char *at;
	size_t left;
	bool nested;
};

/* Remembers the words for this -errno of the reader and returns enum fa_error. */
int fa_api_fail_trace(int e, const char *path);
/* Into model, clock and counts. 0, -EBADMSG: of nothing known, -ENOMEM. */
int fa_api_take_record(struct fa_trace *t, const struct fa_trace_record *rec) FA_MUST_USE;
uint64_t fa_api_ticks_ns(const struct fa_trace *t, uint64_t stamp, uint64_t ticks);
/* calls.c: is this a CALL of ours (enum fa_call)? Of one, and of EXTENTS, what it says; for which *ret has all that events have in common. */
bool fa_api_knows_call(unsigned call);
void fa_api_extents(const struct fa_rec_extents *rec, struct fa_trace_event *ret);
void fa_api_call(const struct fa_trace *t, const struct fa_event *e, struct fa_trace_event *ret);
void fa_api_sum_up(struct fa_trace *t); /* into info, as of what was read */

#endif
