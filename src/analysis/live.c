/* live.c - see live.h. */
#include "analysis/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct collector {
	const struct fa_moment *moments;
	unsigned count;
	struct fa_live *live;
	int error;
};

static void take(struct collector *c, unsigned moment, const struct fa_block *block)
{
	struct fa_live *l = &c->live[moment];

	if (l->count == l->cap) {
		size_t cap = l->cap == 0 ? 1024 : l->cap * 2;
		struct fa_block *bigger = reallocarray(l->block, cap, sizeof(*bigger));

		if (bigger == NULL) {
			c->error = -ENOMEM;
			return;
		}
		l->block = bigger;
		l->cap = cap;
	}
	l->block[l->count++] = *block;
	l->sum.blocks++;
	l->sum.bytes += block->size;
}

bool fa_was_live(const struct fa_process *p, const struct fa_block *block, uint64_t freed,
		 uint64_t stamp)
{
	return block->stamp < stamp && freed >= stamp && !(p->ended && p->end_stamp < stamp);
}

static void life(void *ctx, const struct fa_process *p, const struct fa_block *block,
		 uint64_t freed)
{
	struct collector *c = ctx;

	if (block->thread & FA_BLOCK_INHERITED)
		return;
	for (unsigned i = 0; i < c->count; i++) {
		enum fa_moment_kind kind = c->moments[i].kind;

		if (kind == FA_MOMENT_END ? freed == UINT64_MAX
					  : kind == FA_MOMENT_TIME &&
						    fa_was_live(p, block, freed, c->live[i].stamp))
			take(c, i, block);
	}
}

static void at_peak(void *ctx, const struct fa_process *p, const struct fa_block *block)
{
	struct collector *c = ctx;

	(void)p;
	for (unsigned i = 0; i < c->count; i++)
		if (c->moments[i].kind == FA_MOMENT_PEAK)
			take(c, i, block);
}

static bool asks_for(const struct collector *c, enum fa_moment_kind kind)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->moments[i].kind == kind)
			return true;
	return false;
}

/* Which peak is the highest is known at the end only. */
static int find_peak(const char *path, struct fa_replay_options *options)
{
	struct fa_replay *first;
	int r = fa_replay_run(path, options, &first);

	if (r < 0)
		return r;
	options->peak_number = first->peak_number;
	options->at_peak = at_peak;
	fa_replay_free(first);
	return 0;
}

static int set_times(struct collector *c, const char *path)
{
	struct fa_trace_clock clock;
	int r = asks_for(c, FA_MOMENT_TIME) ? fa_replay_clock(path, &clock) : 0;

	for (unsigned i = 0; r == 0 && i < c->count; i++)
		if (c->moments[i].kind == FA_MOMENT_TIME)
			c->live[i].stamp = fa_replay_stamp_at(&clock, c->moments[i].ns);
	return r;
}

static int by_place(const void *a, const void *b, void *ctx)
{
	struct fa_thread *const *threads = ctx;
	const struct fa_block *x = a, *y = b;
	uint32_t p = threads[x->thread & FA_BLOCK_THREAD]->process->id;
	uint32_t q = threads[y->thread & FA_BLOCK_THREAD]->process->id;

	if (p != q)
		return p < q ? -1 : 1;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static void finish(const struct collector *c, const struct fa_replay *r)
{
	for (unsigned i = 0; i < c->count; i++) {
		struct fa_live *l = &c->live[i];

		if (c->moments[i].kind != FA_MOMENT_TIME)
			l->stamp =
				c->moments[i].kind == FA_MOMENT_PEAK ? r->peak_stamp : r->end_stamp;
		l->real_ns = r->clock.count == 0 ? 0 : fa_trace_clock_real_ns(&r->clock, l->stamp);
		if (l->count != 0)
			qsort_r(l->block, l->count, sizeof(*l->block), by_place,
				(void *)r->model.threads);
	}
}

const struct fa_moment *fa_moment_replayed(const struct fa_moment *moments, struct fa_replay_options *o)
{
	static const struct fa_moment end = {.kind = FA_MOMENT_END};

	if (moments[0].kind != FA_MOMENT_SNAPSHOT)
		return moments;
	o->snapshot = (uint32_t)moments[0].ns;
	return &end;
}

int fa_live_read(const char *path, const struct fa_replay_options *options,
		 const struct fa_moment *moments, unsigned count, struct fa_live *ret_live,
		 struct fa_replay **ret_replay)
{
	struct fa_replay_options o = *options;
	struct fa_replay *replay = NULL;
	struct collector c = {.moments = fa_moment_replayed(moments, &o), .count = count};
	int r = -ENOMEM;

	o.life = NULL;
	o.at_peak = NULL;
	o.peak_number = 0;
	o.life_ctx = &c;
	c.live = calloc(count, sizeof(*c.live));
	if (c.live != NULL)
		r = set_times(&c, path);
	if (r == 0 && asks_for(&c, FA_MOMENT_PEAK))
		r = find_peak(path, &o);
	o.life = life;
	if (r == 0)
		r = fa_replay_run(path, &o, &replay);
	if (r == 0)
		r = c.error;
	if (r == 0) {
		finish(&c, replay);
		memcpy(ret_live, c.live, count * sizeof(*c.live));
		*ret_replay = replay;
	} else {
		for (unsigned i = 0; c.live != NULL && i < count; i++)
			fa_live_done(&c.live[i]);
		fa_replay_free(replay);
	}
	free(c.live);
	return r;
}

void fa_live_done(struct fa_live *l)
{
	free(l->block);
	*l = (struct fa_live){0};
}
