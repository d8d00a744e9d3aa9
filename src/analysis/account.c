/*
 * account.c - the numbers: per site, thread, process and trace.
 *
 * The peak is found in one reading, exactly: `epoch` counts how often a new peak was reached, and a
 * site keeps what was live at the latest one only when it is about to change for the first time since.
 * A site that did not change since then had its present value at the peak.
 *
 * Classes, totals and lifetimes are counted when a block is freed or left over, because only then
 * are they known; what is live is counted at once. What is the sum of others is added up at the end:
 * the trace's classes from the sites, processes from their threads.
 */
#include "analysis/replay_internal.h"

static FA_INLINE void add(struct fa_amount *a, uint64_t bytes)
{
	a->blocks++;
	a->bytes += bytes;
}

static FA_INLINE void take(struct fa_amount *a, uint64_t bytes)
{
	a->blocks--;
	a->bytes -= bytes;
}

static FA_INLINE void keep_peak(struct fa_engine *e, struct fa_site *site)
{
	if (site->epoch < e->epoch) {
		site->peak = site->live;
		site->epoch = e->epoch;
	}
}

static void tell_peak(struct fa_engine *e)
{
	const struct fa_model *m = &e->r->model;

	for (size_t i = 0; i < m->process_count; i++) {
		const struct fa_livemap *map = &m->processes[i]->map;

		for (size_t k = 0; map->mask != 0 && k <= map->mask; k++)
			if (map->slots[k].addr != 0 &&
			    !(map->slots[k].thread & (FA_BLOCK_INHERITED | FA_BLOCK_UNCOUNTED)))
				e->o->at_peak(e->o->life_ctx, m->processes[i], &map->slots[k]);
	}
}

static void try_peak(struct fa_engine *e, uint64_t stamp)
{
	if (e->live.bytes <= e->r->peak.bytes && (e->r->peak.blocks != 0 || e->live.blocks == 0))
		return;
	e->r->peak = e->live;
	e->r->peak_stamp = stamp;
	e->epoch++;
	if (FA_UNLIKELY(e->epoch == e->o->peak_number))
		tell_peak(e);
}

/* What is live when the range begins may be more than at any later moment of it. */
static FA_INLINE void enter_range(struct fa_engine *e, uint64_t stamp)
{
	if (FA_UNLIKELY(!e->entered) && stamp >= e->lo) {
		e->entered = true;
		try_peak(e, e->lo);
	}
}

void fa_account_event(struct fa_engine *e, struct fa_stream *s, unsigned kind, uint64_t stamp)
{
	struct fa_event_counts *c = &s->thread->events;

	if (!fa_in_range(e, stamp) || !s->process->selected || !s->thread->selected)
		return;
	c->alloc += kind == FA_EV_ALLOC;
	c->realloc += kind == FA_EV_REALLOC;
	c->free += kind == FA_EV_FREE;
}

void fa_account_alloc(struct fa_engine *e, struct fa_process *p, struct fa_thread *t,
		      struct fa_block *block)
{
	struct fa_site *site = &e->r->model.sites[block->site];

	enter_range(e, block->stamp);
	if (!p->selected || !t->selected || !site->wanted || block->size < e->o->size_lo ||
	    (e->o->size_hi != 0 && block->size >= e->o->size_hi)) {
		block->thread |= FA_BLOCK_UNCOUNTED;
		return;
	}
	keep_peak(e, site);
	add(&site->live, block->size);
	add(&p->live, block->size);
	add(&e->live, block->size);
	if (!fa_in_range(e, block->stamp))
		return;
	if (p->live.bytes > p->peak.bytes)
		p->peak = p->live;
	if (e->live.bytes > e->r->peak.bytes || e->r->peak.blocks == 0)
		try_peak(e, block->stamp);
}

static FA_INLINE void count_class(struct fa_engine *e, const struct fa_block *block,
				  enum fa_class class)
{
	struct fa_thread *t = e->r->model.threads[block->thread & FA_BLOCK_THREAD];

	add(&e->r->model.sites[block->site].of[class], block->size);
	if (class == FA_AOFI || class == FA_AOFO)
		return;
	add(&t->total, block->size);
	if (class == FA_AIFO)
		add(&t->outstanding, block->size);
}

static FA_INLINE void tell_life(const struct fa_engine *e, const struct fa_process *p,
				const struct fa_block *block, uint64_t freed)
{
	if (FA_UNLIKELY(e->o->life != NULL))
		e->o->life(e->o->life_ctx, p, block, freed);
}

/* It is live no more: freed, or its process is gone. */
static FA_INLINE void leave(struct fa_engine *e, struct fa_process *p, const struct fa_block *block)
{
	struct fa_site *site = &e->r->model.sites[block->site];

	keep_peak(e, site);
	take(&site->live, block->size);
	take(&p->live, block->size);
	take(&e->live, block->size);
}

void fa_account_free(struct fa_engine *e, struct fa_process *p, const struct fa_block *block,
		     uint64_t stamp, bool temporary)
{
	struct fa_site *site = &e->r->model.sites[block->site];

	enter_range(e, stamp);
	if (block->thread & (FA_BLOCK_INHERITED | FA_BLOCK_UNCOUNTED))
		return;
	/* The free's own moment is known only as "not before"; it cannot lie before the allocation. */
	uint64_t freed = stamp > block->stamp ? stamp : block->stamp;
	uint64_t lifetime = freed - block->stamp;

	leave(e, p, block);
	if (lifetime < e->life_lo || lifetime >= e->life_hi)
		return;
	tell_life(e, p, block, freed);
	bool inside = fa_in_range(e, block->stamp), freed_inside = fa_in_range(e, freed);

	if (inside || freed_inside || (block->stamp < e->lo && freed >= e->hi))
		count_class(e, block,
			    inside         ? freed_inside ? FA_AIFI : FA_AIFO
			    : freed_inside ? FA_AOFI
					   : FA_AOFO);
	if (!inside)
		return;
	site->freed++;
	site->lifetime_sum += lifetime;
	if (lifetime < site->lifetime_min)
		site->lifetime_min = lifetime;
	if (lifetime > site->lifetime_max)
		site->lifetime_max = lifetime;
	if (temporary)
		add(&site->temporary, block->size);
}

void fa_account_left(struct fa_engine *e, struct fa_process *p, const struct fa_block *block)
{
	if (block->thread & FA_BLOCK_INHERITED) {
		if (!p->selected)
			return;
		add(&p->inherited, block->size);
		tell_life(e, p, block, UINT64_MAX);
		return;
	}
	if (block->thread & FA_BLOCK_UNCOUNTED)
		return;
	leave(e, p, block);
	if (e->life_hi != UINT64_MAX)
		return;
	tell_life(e, p, block, UINT64_MAX);
	if (fa_in_range(e, block->stamp))
		count_class(e, block, FA_AIFO);
	else if (block->stamp < e->lo)
		count_class(e, block, FA_AOFO);
}

static void sum_amount(struct fa_amount *to, const struct fa_amount *a)
{
	to->blocks += a->blocks;
	to->bytes += a->bytes;
}

static void sum_events(struct fa_event_counts *to, const struct fa_event_counts *c)
{
	to->alloc += c->alloc;
	to->realloc += c->realloc;
	to->free += c->free;
}

static void sum_threads(struct fa_replay *r)
{
	for (size_t i = 0; i < r->model.thread_count; i++) {
		const struct fa_thread *t = r->model.threads[i];

		sum_events(&t->process->events, &t->events);
		sum_events(&r->events, &t->events);
		sum_amount(&t->process->total, &t->total);
		sum_amount(&t->process->outstanding, &t->outstanding);
	}
}

void fa_account_close(struct fa_engine *e)
{
	struct fa_replay *r = e->r;

	enter_range(e, r->end_stamp);
	r->peak_number = e->epoch;
	for (size_t i = 1; i < r->model.site_count; i++) {
		struct fa_site *site = &r->model.sites[i];

		keep_peak(e, site);
		for (unsigned c = 0; c < FA_CLASSES; c++)
			sum_amount(&r->of[c], &site->of[c]);
		sum_amount(&r->temporary, &site->temporary);
	}
	sum_amount(&r->total, &r->of[FA_AIFI]);
	sum_amount(&r->total, &r->of[FA_AIFO]);
	sum_threads(r);
}
