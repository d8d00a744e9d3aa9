/* clock.h - one unit: nanoseconds. */
#ifndef FA_CLOCK_H
#define FA_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t fa_clock_ns(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t fa_mono_ns(void)
{
	return fa_clock_ns(CLOCK_MONOTONIC);
}

static inline uint64_t fa_real_ns(void)
{
	return fa_clock_ns(CLOCK_REALTIME);
}

#endif
