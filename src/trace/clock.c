/*
 * clock.c - stamps of a trace as time: a straight line through the first and the last CLOCK record.
 *
 * The speed is kept as a fixed-point number (48 bits behind the point: 1 ns of error a day), so that
 * a conversion is one multiplication; a 128-bit division for each event would cost more than
 * decoding it. While the two CLOCK records are too near each other to tell the speed well, the
 * speed that the kernel stated (MACHINE) is used. Numbers of a file are hostile: products are
 * 128 bits wide, and results are clamped.
 */
#include "trace/clock.h"

__extension__ typedef __int128 wide;
__extension__ typedef unsigned __int128 uwide;

enum { POINT = 48 };
#define NS             1000000000ULL
#define SPAN_TOO_SHORT (NS / 10) /* reading two clocks takes ~50 ns: 5e-7 of error at 0.1 s */
#define SCALE_ONE      (1ULL << POINT)
#define SCALE_MAX      (INT64_MAX)

static uint64_t scale_of(uint64_t ns, uint64_t ticks)
{
	uwide scale = ((uwide)ns << POINT) / ticks;

	return scale > SCALE_MAX ? SCALE_MAX : (uint64_t)scale;
}

static void set_scales(struct fa_trace_clock *c)
{
	uint64_t ticks = c->last.stamp - c->first.stamp;
	uint64_t mono = c->last.mono_ns - c->first.mono_ns;
	uint64_t real = c->last.real_ns - c->first.real_ns;
	uint64_t stated = c->hz != 0 ? scale_of(NS, c->hz) : SCALE_ONE;

	if (c->source == FA_CLOCK_MONOTONIC)
		stated = SCALE_ONE;
	c->scale = c->real_scale = stated;
	if (ticks == 0 || c->last.mono_ns <= c->first.mono_ns ||
	    (mono < SPAN_TOO_SHORT && c->hz != 0))
		return;
	if (c->source != FA_CLOCK_MONOTONIC)
		c->scale = c->real_scale = scale_of(mono, ticks);
	/* The wall clock may have been set meanwhile: then it is taken to run as the other one. */
	if (c->last.real_ns > c->first.real_ns && real / 2 <= mono && mono / 2 <= real)
		c->real_scale = scale_of(real, ticks);
}

void fa_trace_clock_machine(struct fa_trace_clock *c, const struct fa_rec_machine *machine)
{
	c->source = machine->clock_source;
	c->hz = machine->clock_hz;
	set_scales(c);
}

void fa_trace_clock_add(struct fa_trace_clock *c, const struct fa_rec_clock *clock)
{
	if (c->count == 0 || clock->stamp < c->first.stamp)
		c->first = *clock;
	if (c->count == 0 || clock->stamp > c->last.stamp)
		c->last = *clock;
	c->count++;
	set_scales(c);
}

static uint64_t on_line(uint64_t origin, uint64_t origin_stamp, uint64_t stamp, uint64_t scale)
{
	int64_t ticks = (int64_t)(stamp - origin_stamp);
	wide ns = (wide)origin + (((wide)ticks * (wide)scale + (wide)(SCALE_ONE / 2)) >> POINT);

	if (ns < 0)
		return 0;
	return ns > (wide)UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

uint64_t fa_trace_clock_mono_ns(const struct fa_trace_clock *c, uint64_t stamp)
{
	if (c->source == FA_CLOCK_MONOTONIC)
		return stamp;
	return on_line(c->first.mono_ns, c->first.stamp, stamp, c->scale ? c->scale : SCALE_ONE);
}

uint64_t fa_trace_clock_real_ns(const struct fa_trace_clock *c, uint64_t stamp)
{
	return on_line(c->first.real_ns, c->first.stamp, stamp,
		       c->real_scale ? c->real_scale : SCALE_ONE);
}
