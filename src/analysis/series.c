/* series.c - each block adds at the first moment that it sees and takes at the first that it does not; the sums
 * from the first moment on are what was live. */
#include "analysis/series.h"

#include <errno.h>
#include <stdlib.h>

struct collector {
	struct fa_series s;
	bool at_end; /* the one moment is the end */
	int error;
};

/* How many of the moments are at or before `stamp`. */
static unsigned moments_until(const struct fa_series *s, uint64_t stamp)
{
	unsigned lo = 0, hi = s->count;

	while (lo < hi) {
		unsigned middle = lo + (hi - lo) / 2;

		if (s->stamp[middle] <= stamp)
			lo = middle + 1;
		else
			hi = middle;
	}
	return lo;
}

static int make_room(struct fa_series *s, size_t site)
{
	size_t sites = s->sites == 0 ? 256 : s->sites;
	struct fa_amount *bigger;

	while (sites <= site)
		sites *= 2;
	if (sites == s->sites)
		return 0;
	bigger = reallocarray(s->at, sites, sizeof(*bigger) * s->count);
	if (bigger == NULL)
		return -ENOMEM;
	for (size_t i = s->sites * s->count; i < sites * s->count; i++)
		bigger[i] = (struct fa_amount){0};
	s->at = bigger;
	s->sites = sites;
	return 0;
}

static void life(void *ctx, const struct fa_process *p, const struct fa_block *block,
		 uint64_t freed)
{
	struct collector *c = ctx;
	struct fa_series *s = &c->s;
	unsigned first = 0, last = freed == UINT64_MAX;

	if (!c->at_end) {
		/* As fa_was_live() has it. */
		uint64_t until = p->ended && p->end_stamp < freed ? p->end_stamp : freed;

		first = moments_until(s, block->stamp);
		last = moments_until(s, until);
	}
	if ((block->thread & FA_BLOCK_INHERITED) || first >= last)
		return;
	if (make_room(s, block->site) < 0) {
		c->error = -ENOMEM;
		return;
	}
	struct fa_amount *at = &s->at[(size_t)block->site * s->count];

	at[first].blocks++;
	at[first].bytes += block->size;
	if (last < s->count) {
		at[last].blocks--;
		at[last].bytes -= block->size;
	}
}

/* From changes to what was live. */
static void add_up(struct fa_series *s)
{
	for (size_t site = 0; site < s->sites; site++) {
		struct fa_amount *at = &s->at[site * s->count];

		for (unsigned i = 0; i < s->count; i++) {
			if (i != 0) {
				at[i].blocks += at[i - 1].blocks;
				at[i].bytes += at[i - 1].bytes;
			}
			s->sum[i].blocks += at[i].blocks;
			s->sum[i].bytes += at[i].bytes;
		}
	}
}

static int prepare(struct collector *c, const char *path, const struct fa_moment *moments)
{
	struct fa_series *s = &c->s;
	struct fa_trace_clock clock;
	int r = 0;

	s->stamp = calloc(s->count, sizeof(*s->stamp));
	s->real_ns = calloc(s->count, sizeof(*s->real_ns));
	s->sum = calloc(s->count, sizeof(*s->sum));
	if (s->stamp == NULL || s->real_ns == NULL || s->sum == NULL)
		return -ENOMEM;
	c->at_end = moments[0].kind == FA_MOMENT_END;
	if (!c->at_end)
		r = fa_replay_clock(path, &clock);
	for (unsigned i = 0; r == 0 && !c->at_end && i < s->count; i++)
		s->stamp[i] = fa_replay_stamp_at(&clock, moments[i].ns);
	return r;
}

int fa_series_read(const char *path, const struct fa_replay_options *options,
		   const struct fa_moment *moments, unsigned count, struct fa_series *ret,
		   struct fa_replay **ret_replay)
{
	struct collector c = {.s = {.count = count}};
	struct fa_replay_options o = *options;
	struct fa_replay *replay = NULL;
	int r = prepare(&c, path, fa_moment_replayed(moments, &o));

	o.life = life;
	o.life_ctx = &c;
	if (r == 0)
		r = fa_replay_run(path, &o, &replay);
	if (r == 0)
		r = c.error;
	if (r < 0) {
		fa_series_done(&c.s);
		fa_replay_free(replay);
		return r;
	}
	if (c.at_end)
		c.s.stamp[0] = replay->end_stamp;
	for (unsigned i = 0; i < count; i++)
		c.s.real_ns[i] = replay->clock.count == 0
					 ? 0
					 : fa_trace_clock_real_ns(&replay->clock, c.s.stamp[i]);
	add_up(&c.s);
	*ret = c.s;
	*ret_replay = replay;
	return 0;
}

void fa_series_done(struct fa_series *s)
{
	free(s->stamp);
	free(s->real_ns);
	free(s->sum);
	free(s->at);
	*s = (struct fa_series){0};
}
