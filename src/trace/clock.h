/*
 * clock.h - stamps of a trace as time.
 *
 * Feed it the MACHINE record and all CLOCK records (in any order), then ask. Every CLOCK moves the
 * answers a little, so who wants the same answer for the same stamp twice feeds it the whole trace
 * first, or at least keeps one state of it. Stamps before the first and behind the last CLOCK are
 * extrapolated. Embedded by its users; all zero is a valid start. One thread.
 */
#ifndef FA_TRACE_CLOCK_H
#define FA_TRACE_CLOCK_H

#include <stdint.h>

#include "format/trace_format.h"

struct fa_trace_clock {
	uint32_t
		source; /* enum fa_clock_source; without a MACHINE record: a TSC of unknown speed */
	uint32_t count; /* CLOCK records taken */
	uint64_t hz;    /* what the MACHINE record said, 0: unknown */
	struct fa_rec_clock first; /* with the smallest stamp */
	struct fa_rec_clock last;  /* with the largest */
	uint64_t scale;            /* ns per tick of CLOCK_MONOTONIC, times 2^48 */
	uint64_t real_scale;       /* the same of CLOCK_REALTIME */
};

void fa_trace_clock_machine(struct fa_trace_clock *c, const struct fa_rec_machine *machine);
void fa_trace_clock_add(struct fa_trace_clock *c, const struct fa_rec_clock *clock);

/* Nanoseconds of CLOCK_MONOTONIC and CLOCK_REALTIME at `stamp`; never below 0. A few ns each. */
uint64_t fa_trace_clock_mono_ns(const struct fa_trace_clock *c, uint64_t stamp);
uint64_t fa_trace_clock_real_ns(const struct fa_trace_clock *c, uint64_t stamp);

#endif
