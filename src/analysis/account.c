/*
 * account.c - the numbers: per site, thread, process and trace.
 *
 * The peak is found in one reading, exactly: `epoch` counts how often a new peak was reached, and a
 * site keeps what was live at the latest one only when it is about to change for the first time since.
 * A site that did not change since then had its present value at the peak.
 *
 * Classes, totals and lifetimes are counted when a block is freed or left over, because only then
 * are they known; what is live is counted at once.
 */
#include "analysis/replay_internal.h"

static void add(struct fa_amount *a, uint64_t bytes)
{
	a->blocks++;
	a->bytes += bytes;
}

static void take(struct fa_amount *a, uint64_t bytes)
{
	a->blocks--;
	a->bytes -= bytes;
}

static FA_INLINE bool in_range(const struct fa_engine *e, uint64_t stamp)
{
	return stamp - e->lo < e->hi - e->lo;
}

static void keep_peak(struct fa_engine *e, struct fa_site *site)
{
	if (site->epoch < e->epoch) {
		site->peak = site->live;
		site->epoch = e->epoch;
	}
}

static void try_peak(struct fa_engine *e, uint64_t stamp)
{
	if (e->live.bytes <= e->r->peak.bytes && (e->r->peak.blocks != 0 || e->live.blocks == 0))
		return;
	e->r->peak = e->live;
	e->r->peak_stamp = stamp;
	e->epoch++;
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
	struct fa_event_counts *const of[] = {&e->r->events, &s->process->events,
					      &s->thread->events};

	if (!in_range(e, stamp) || !s->process->selected || !s->thread->selected)
		return;
	for (unsigned i = 0; i < 3; i++) {
		of[i]->alloc += kind == FA_EV_ALLOC;
		of[i]->realloc += kind == FA_EV_REALLOC;
		of[i]->free += kind == FA_EV_FREE;
	}
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
	if (!in_range(e, block->stamp))
		return;
	if (p->live.bytes > p->peak.bytes)
		p->peak = p->live;
	if (e->live.bytes > e->r->peak.bytes || e->r->peak.blocks == 0)
		try_peak(e, block->stamp);
}

static void count_class(struct fa_engine *e, struct fa_process *p, const struct fa_block *block,
			enum fa_class class)
{
	struct fa_thread *t = e->r->model.threads[block->thread & FA_BLOCK_THREAD];

	add(&e->r->model.sites[block->site].of[class], block->size);
	add(&e->r->of[class], block->size);
	if (class == FA_AOFI || class == FA_AOFO)
		return;
	add(&e->r->total, block->size);
	add(&p->total, block->size);
	add(&t->total, block->size);
	if (class == FA_AIFO) {
		add(&p->outstanding, block->size);
		add(&t->outstanding, block->size);
	}
}

/* It is live no more: freed, or its process is gone. */
static void leave(struct fa_engine *e, struct fa_process *p, const struct fa_block *block)
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
	bool inside = in_range(e, block->stamp), freed_inside = in_range(e, freed);

	if (inside || freed_inside || (block->stamp < e->lo && freed >= e->hi))
		count_class(e, p, block,
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
	if (temporary) {
		add(&site->temporary, block->size);
		add(&e->r->temporary, block->size);
	}
}

void fa_account_left(struct fa_engine *e, struct fa_process *p, const struct fa_block *block)
{
	if (block->thread & FA_BLOCK_INHERITED) {
		if (p->selected)
			add(&p->inherited, block->size);
		return;
	}
	if (block->thread & FA_BLOCK_UNCOUNTED)
		return;
	leave(e, p, block);
	if (e->life_hi != UINT64_MAX)
		return;
	if (in_range(e, block->stamp))
		count_class(e, p, block, FA_AIFO);
	else if (block->stamp < e->lo)
		count_class(e, p, block, FA_AOFO);
}

void fa_account_close(struct fa_engine *e)
{
	enter_range(e, e->r->end_stamp);
	for (size_t i = 1; i < e->r->model.site_count; i++)
		keep_peak(e, &e->r->model.sites[i]);
}
