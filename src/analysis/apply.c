/*
 * apply.c - what an event does to the live blocks of its process.
 *
 * An address that is handed out while it is live had a free. If that free waits in a stream, it is
 * taken from there (take_waiting). If not, it is implied. Either it was lost, or it comes later: the
 * record of a realloc is written after the call, so what the call freed may be handed out, and that be
 * swept, before the record is there. So, unless something was lost, it is noted as owed: when it
 * comes, it must not free the new block.
 *
 * Without time (--stamp none) all events of a tick of the collector's have one stamp, and the order
 * of threads within it is not known. A free may be met before its allocation: then it is noted as
 * early. It counts when its address is handed out again in that tick, or ends the block that is left
 * there at the end of the tick. So what is outstanding then is right, address by address.
 */
#include <errno.h>
#include <stdlib.h>

#include "analysis/replay_internal.h"

/* A call of realloc() that is interrupted for long has freed its block long before its record. */
enum { OWED_PASSES = 256 };

uint32_t fa_site_of(struct fa_engine *e, struct fa_arena *a, const struct fa_event *ev)
{
	uint32_t *word = ev->has_stack ? fa_arena_site_word(a, ev->stack) : NULL, stack = 0;

	if (FA_LIKELY(word != NULL && *word != 0))
		return *word;
	word = &a->no_stack_site;
	if (ev->has_stack && fa_arena_node_at(a, ev->stack, &word) != NULL)
		stack = ev->stack;
	if (FA_UNLIKELY(*word == 0)) {
		*word = fa_model_new_site(&e->r->model, a, stack);
		if (*word == 0)
			e->error = -ENOMEM;
		else if (e->o->stack_wanted != NULL)
			e->r->model.sites[*word].wanted = e->o->stack_wanted(e->o->ctx, a, stack);
	}
	return *word;
}

static void free_block(struct fa_engine *e, struct fa_process *p, struct fa_block *block,
		       uint64_t stamp, bool temporary)
{
	e->inherited_blocks -= (block->thread & FA_BLOCK_INHERITED) != 0;
	fa_account_free(e, p, block, stamp, temporary);
	fa_livemap_remove(&p->map, block);
}

static bool pay_owed(const struct fa_engine *e, struct fa_process *p, uint64_t addr)
{
	if (FA_LIKELY(p->owed.count == 0) || e->pass > p->owed_pass + OWED_PASSES)
		return false;
	struct fa_block *owed = fa_livemap_find(&p->owed, addr);

	if (owed == NULL)
		return false;
	/* It is in the trace after all. */
	p->implied_frees--;
	e->r->implied_frees--;
	if (--owed->size == 0)
		fa_livemap_remove(&p->owed, owed);
	return true;
}

/* Can a free be of a block whose allocation is not in the trace? */
static bool has_older(const struct fa_process *p)
{
	return p->older || p->inherit_failed || p->lost_unknown || fa_process_lost(p) != 0;
}

void fa_apply_early(struct fa_engine *e, struct fa_process *p)
{
	bool older = p->early.count != 0 && has_older(p);

	for (size_t i = 0; p->early.count != 0 && i <= p->early.mask; i++) {
		const struct fa_block *early = &p->early.slots[i];
		struct fa_block *block =
			early->addr == 0 ? NULL : fa_livemap_find(&p->map, early->addr);

		/* Of an older block, when its own thread was given the address again. */
		if (block == NULL || block->stamp > early->stamp ||
		    (older && (block->thread & FA_BLOCK_THREAD) == early->thread))
			continue;
		p->unknown_frees--;
		free_block(e, p, block, early->stamp, false);
	}
	fa_livemap_done(&p->early);
}

static int note_early(struct fa_engine *e, struct fa_stream *s, uint64_t addr, uint64_t stamp)
{
	struct fa_process *p = s->process;
	struct fa_block *early;

	if (stamp > p->early_until)
		fa_apply_early(e, p);
	early = fa_livemap_place(&p->early, addr);
	if (early == NULL)
		return -ENOMEM;
	if (early->addr == 0) {
		fa_livemap_fill(&p->early, early, addr);
		early->size = 0;
	}
	early->size++;
	early->thread = s->thread->index;
	early->stamp = s->has_next ? s->next.stamp : stamp;
	if (early->stamp > p->early_until)
		p->early_until = early->stamp;
	return 0;
}

/* The address is handed out again: was the block that is there freed by an event that was met before? */
static bool take_early(struct fa_process *p, uint64_t addr)
{
	struct fa_block *early = fa_livemap_find(&p->early, addr);

	if (early == NULL)
		return false;
	p->unknown_frees--;
	if (--early->size == 0)
		fa_livemap_remove(&p->early, early);
	return true;
}

static void apply_free(struct fa_engine *e, struct fa_stream *s, uint64_t addr, uint64_t stamp,
		       bool may_be_temporary)
{
	struct fa_process *p = s->process;

	if (addr == 0 || pay_owed(e, p, addr))
		return;
	struct fa_block *block = fa_livemap_find(&p->map, addr);

	if (block == NULL) {
		p->unknown_frees++;
		if (p->unstamped && note_early(e, s, addr, stamp) < 0)
			e->error = -ENOMEM;
		return;
	}
	free_block(e, p, block, stamp, may_be_temporary && s->last_addr == addr);
	if (s->last_addr == addr)
		s->last_addr = 0;
}

static struct fa_pending *find_pending(struct fa_stream *s, uint64_t addr)
{
	for (size_t i = 0; i < s->pending_count; i++)
		if (s->pending[i].addr == addr && !s->pending[i].done)
			return &s->pending[i];
	return NULL;
}

/* Does the next event free `addr` before that moment? A free is stamped before its call, a realloc
 * after it. */
static bool next_frees(const struct fa_stream *s, uint64_t addr, uint64_t before)
{
	if (!s->has_next || s->old_done)
		return false;
	if (s->next.kind == FA_EV_REALLOC)
		return s->next.old == addr && (s->next.addr != 0 || s->next.size == 0);
	return s->next.kind == FA_EV_FREE && s->next.addr == addr && s->next.stamp <= before;
}

/* A free had happened when the sweep after the one that brought it began. */
static uint64_t deadline_of(const struct fa_engine *e, const struct fa_stream *s,
			    const struct fa_pending *f)
{
	uint64_t swept = f == NULL || f->pass == e->pass ? UINT64_MAX - 1
			 : f->pass + 1 == e->pass        ? e->watermark
							 : e->watermark_before;

	return s->has_next && s->next.stamp < swept ? s->next.stamp : swept;
}

/*
 * The free of `addr` that waits somewhere in this process, if there is one, is applied now. Several
 * may wait: the address was handed out and freed more than once. Then it is the one that cannot wait
 * longest.
 */
static bool take_waiting(struct fa_engine *e, struct fa_process *p, uint64_t addr, uint64_t before)
{
	struct fa_stream *best = NULL;
	struct fa_pending *best_free = NULL;
	uint64_t best_deadline = UINT64_MAX;

	for (struct fa_stream *s = p->streams; s != NULL; s = s->sibling) {
		struct fa_pending *f = find_pending(s, addr);
		uint64_t deadline = deadline_of(e, s, f);

		if (deadline < best_deadline && (f != NULL || next_frees(s, addr, before))) {
			best = s;
			best_free = f;
			best_deadline = deadline;
		}
	}
	if (best == NULL)
		return false;
	if (best_free == NULL) {
		best->old_done = true;
		apply_free(e, best, addr, best->next.stamp, best->next.kind == FA_EV_FREE);
		return true;
	}
	best_free->done = true;
	fa_account_event(e, best, FA_EV_FREE, best_free->stamp);
	apply_free(e, best, addr, best_free->stamp, true);
	return true;
}

static int note_owed(struct fa_engine *e, struct fa_process *p, uint64_t addr)
{
	if (e->pass > p->owed_pass + OWED_PASSES)
		fa_livemap_done(&p->owed);
	p->owed_pass = e->pass;
	struct fa_block *owed = fa_livemap_find(&p->owed, addr);

	if (owed == NULL) {
		owed = fa_livemap_place(&p->owed, addr);
		if (owed == NULL)
			return -ENOMEM;
		fa_livemap_fill(&p->owed, owed, addr);
		owed->size = 0;
	}
	owed->size++;
	return 0;
}

/* `addr` is handed out while there is a block: that is gone. */
static void clear_address(struct fa_engine *e, struct fa_stream *s, uint64_t addr, uint64_t stamp)
{
	struct fa_process *p = s->process;
	struct fa_block *block;

	(void)take_waiting(e, p, addr, stamp); /* there may be none */
	block = fa_livemap_find(&p->map, addr);
	if (block == NULL)
		return;
	free_block(e, p, block, stamp, false);
	if (take_early(p, addr))
		return;
	p->implied_frees++;
	e->r->implied_frees++;
	/* After a loss it is the lost one, and will not come. */
	if (fa_process_lost(p) == 0 && !p->lost_unknown && note_owed(e, p, addr) < 0)
		e->error = -ENOMEM;
}

static void apply_alloc(struct fa_engine *e, struct fa_stream *s, const struct fa_event *ev)
{
	struct fa_process *p = s->process;

	if (ev->addr == 0)
		return;
	if (FA_UNLIKELY(p->early.count != 0) && ev->stamp > p->early_until)
		fa_apply_early(e, p);
	struct fa_block *block = fa_livemap_place(&p->map, ev->addr);

	if (FA_UNLIKELY(block != NULL && block->addr != 0)) {
		clear_address(e, s, ev->addr, ev->stamp);
		block = fa_livemap_place(&p->map, ev->addr);
	}
	uint32_t site = fa_site_of(e, p->arena, ev);

	if (FA_UNLIKELY(block == NULL || site == 0)) {
		e->error = -ENOMEM;
		return;
	}
	fa_livemap_fill(&p->map, block, ev->addr);
	block->size = ev->size;
	block->stamp = ev->stamp;
	block->site = site;
	block->thread = s->thread->index;
	s->last_addr = ev->addr;
	fa_account_alloc(e, p, s->thread, block);
}

void fa_apply_block(struct fa_engine *e, struct fa_stream *s, const struct fa_event *ev)
{
	if (ev->stamp > e->r->end_stamp)
		e->r->end_stamp = ev->stamp;
	fa_account_event(e, s, FA_EV_ALLOC, ev->stamp);
	apply_alloc(e, s, ev);
}

static void apply_event(struct fa_engine *e, struct fa_stream *s, const struct fa_event *ev)
{
	switch (ev->kind) {
	case FA_EV_ALLOC:
		apply_alloc(e, s, ev);
		break;
	case FA_EV_REALLOC:
		/* No new block for a size: it failed, and the old block lives on. */
		if (ev->addr == 0 && ev->size != 0)
			break;
		if (ev->old != 0 && !s->old_done)
			apply_free(e, s, ev->old, ev->stamp, false);
		apply_alloc(e, s, ev);
		break;
	case FA_EV_FREE:
		if (!s->old_done)
			apply_free(e, s, ev->addr, ev->stamp, true);
		break;
	case FA_EV_CALL:
		if (ev->fn == FA_CALL_LOCK)
			fa_locks_apply(e, s, ev);
		else if (ev->fn == FA_CALL_LOAD || ev->fn == FA_CALL_UNLOAD)
			fa_loads_apply(e, s, ev);
		else
			fa_space_apply(e, s, ev);
		break;
	default: /* a stamp alone */
		break;
	}
}

/* Children whose position has been reached get their copy before anything behind it is applied. */
static void serve_watch(struct fa_engine *e, struct fa_stream *s, uint64_t position)
{
	while (position >= s->fork_watch) {
		struct fa_process *child = s->process->fork_children;

		while (child != NULL &&
		       (child->fork_stream != s || child->fork_position != s->fork_watch))
			child = child->fork_next;
		if (child == NULL) {
			s->fork_watch = UINT64_MAX;
			return;
		}
		fa_apply_fork(e, child);
	}
}

void fa_apply_pending(struct fa_engine *e, struct fa_stream *s, uint64_t position, uint32_t pass)
{
	size_t i = 0;

	for (; i < s->pending_count; i++) {
		struct fa_pending f = s->pending[i];

		if (f.position >= position || f.pass >= pass)
			break;
		if (FA_UNLIKELY(s->process->fork_waiting))
			fa_apply_fork(e, s->process);
		if (FA_UNLIKELY(f.position >= s->fork_watch)) {
			serve_watch(e, s, f.position);
			/* Serving applies the frees before the position: they are gone from here. */
			fa_apply_pending(e, s, position, pass);
			return;
		}
		s->applied = f.position + 1;
		if (f.done)
			continue;
		s->pending[i].done = true;
		fa_account_event(e, s, FA_EV_FREE, f.stamp);
		apply_free(e, s, f.addr, f.stamp, true);
	}
	s->pending_count -= i;
	for (size_t k = 0; i != 0 && k < s->pending_count; k++)
		s->pending[k] = s->pending[k + i];
}

void fa_apply_next(struct fa_engine *e, struct fa_stream *s)
{
	if (FA_UNLIKELY(s->thread == NULL)) {
		s->has_next = false;
		if (s->sample != 0)
			fa_extents_apply(e, s);
		else
			fa_apply_end(e, s->process);
		return;
	}
	if (FA_UNLIKELY(s->process->fork_waiting))
		fa_apply_fork(e, s->process);
	if (s->pending_count != 0)
		fa_apply_pending(e, s, UINT64_MAX, UINT32_MAX);
	if (FA_UNLIKELY(s->next_position >= s->fork_watch))
		serve_watch(e, s, s->next_position);
	if (s->next.stamp > e->r->end_stamp)
		e->r->end_stamp = s->next.stamp;
	s->has_next = false;
	s->applied = s->next_position + 1;
	fa_account_event(e, s, s->next.kind, s->next.stamp);
	apply_event(e, s, &s->next);
}

/* ---- many at once ---- */

/* Memory takes as long as ten events: where much lives, it is asked for that much ahead. */
enum { FAR = 16, NEAR = 8, SMALL = 1024 };

static FA_INLINE void fetch_site(const struct fa_engine *e, uint32_t site)
{
	const char *p = (const char *)&e->r->model.sites[site];

	__builtin_prefetch(p);
	__builtin_prefetch(p + 64);
}

static FA_INLINE void look_far(const struct fa_process *p, const struct fa_event *ev)
{
	fa_livemap_prefetch(&p->map, ev->addr);
	if (ev->kind == FA_EV_REALLOC)
		fa_livemap_prefetch(&p->map, ev->old);
	if (ev->has_stack)
		__builtin_prefetch(fa_arena_site_word(p->arena, ev->stack));
}

static FA_INLINE void look_near(const struct fa_engine *e, const struct fa_process *p,
				const struct fa_event *ev)
{
	const struct fa_block *b = &p->map.slots[fa_livemap_hash(&p->map, ev->addr)];
	const uint32_t *word = ev->has_stack ? fa_arena_site_word(p->arena, ev->stack) : NULL;

	if (word != NULL)
		fetch_site(e, *word);
	else if (b->addr == ev->addr)
		fetch_site(e, b->site);
}

static void apply_row(struct fa_engine *e, struct fa_stream *s, unsigned count)
{
	const struct fa_event *ev = e->row.event;
	const struct fa_process *p = s->process;
	bool ahead = p->map.count + e->r->model.site_count > SMALL && p->map.mask != 0;
	uint64_t counts[8] = {0};

	for (unsigned i = 0; ahead && i < FAR && i < count; i++)
		look_far(p, &ev[i]);
	for (unsigned i = 0; i < count; i++) {
		if (ahead) {
			look_far(p, &ev[i + FAR < count ? i + FAR : i]);
			look_near(e, p, &ev[i + NEAR < count ? i + NEAR : i]);
		}
		counts[ev[i].kind & 7] += fa_in_range(e, ev[i].stamp);
		apply_event(e, s, &ev[i]);
	}
	if (!p->selected || !s->thread->selected)
		return;
	s->thread->events.alloc += counts[FA_EV_ALLOC];
	s->thread->events.realloc += counts[FA_EV_REALLOC];
	s->thread->events.free += counts[FA_EV_FREE];
}

void fa_apply_stretch(struct fa_engine *e, struct fa_stream *s, uint64_t limit)
{
	/* A child that waits for a position in this stream, or for its parent's blocks, has them counted. */
	if (s->thread == NULL || s->fork_watch != UINT64_MAX || s->process->fork_waiting)
		return;
	s->old_done = false;
	while (!s->has_next && s->head != NULL && e->error == 0) {
		unsigned due, count = fa_stream_get_row(e, s, limit, &due);

		if (due != 0) {
			uint64_t stamp = e->row.event[due - 1].stamp;

			if (s->pending_count != 0)
				fa_apply_pending(e, s, UINT64_MAX, UINT32_MAX);
			apply_row(e, s, due);
			if (stamp > e->r->end_stamp)
				e->r->end_stamp = stamp;
		}
		fa_stream_pass_row(e, s, due, count);
	}
}
