/*
 * fork.c - what a child inherits, and what is left when a process ends.
 *
 * A child's PROCESS record names the position in its parent's stream at which it was forked. The
 * copy is taken when the parent's replay comes to that position, or when the child's first event
 * is due, whichever is first: then all that lies before the fork has been applied, because it has
 * smaller stamps, except frees of the forking thread that still wait, which are applied first. When
 * the parent has gone on in an earlier sweep already (the child made its first heap call late), what
 * the parent has now and had before the child began is the best answer: `fork_inexact`.
 */
#include <errno.h>
#include <stdlib.h>

#include "analysis/replay_internal.h"

/* Over all children, in blocks: beyond this it is not worth the memory. */
#define INHERITED_MAX ((uint64_t)1 << 24)

void fa_apply_fork_watch(struct fa_stream *s)
{
	s->fork_watch = UINT64_MAX;
	for (struct fa_process *c = s->process->fork_children; c != NULL; c = c->fork_next)
		if (c->fork_stream == s && c->fork_position < s->fork_watch)
			s->fork_watch = c->fork_position;
}

static void leave_waiting(struct fa_process *child)
{
	struct fa_process **link = &child->fork_parent->fork_children;

	while (*link != NULL && *link != child)
		link = &(*link)->fork_next;
	if (*link == child)
		*link = child->fork_next;
	child->fork_next = NULL;
	child->fork_waiting = false;
	if (child->fork_stream != NULL)
		fa_apply_fork_watch(child->fork_stream);
}

static void mark_inherited(struct fa_livemap *map, uint64_t before)
{
	for (size_t i = 0; map->mask != 0 && i <= map->mask;) {
		struct fa_block *b = &map->slots[i];

		if (b->addr != 0 && b->stamp >= before && !(b->thread & FA_BLOCK_INHERITED)) {
			/* Another block may have moved here: look at this slot again. */
			fa_livemap_remove(map, b);
			continue;
		}
		i++;
	}
	for (size_t i = 0; map->mask != 0 && i <= map->mask; i++)
		map->slots[i].thread |= FA_BLOCK_INHERITED;
}

void fa_apply_fork(struct fa_engine *e, struct fa_process *child)
{
	struct fa_process *parent = child->fork_parent;
	struct fa_stream *s = child->fork_stream;

	leave_waiting(child);
	if (parent->fork_waiting)
		fa_apply_fork(e, parent);
	if (s != NULL && !child->fork_inexact)
		fa_apply_pending(e, s, child->fork_position, UINT32_MAX);
	if (e->inherited_blocks + parent->map.count > INHERITED_MAX) {
		child->inherit_failed = true;
		return;
	}
	if (fa_livemap_copy(&child->map, &parent->map) < 0) {
		e->error = -ENOMEM;
		return;
	}
	mark_inherited(&child->map, child->fork_inexact ? child->start_stamp : UINT64_MAX);
	e->inherited_blocks += child->map.count;
}

static void finish(struct fa_engine *e, struct fa_process *p)
{
	fa_apply_early(e, p);
	fa_space_end(e, p);
	for (size_t i = 0; p->map.mask != 0 && i <= p->map.mask; i++) {
		const struct fa_block *b = &p->map.slots[i];

		if (b->addr == 0)
			continue;
		e->inherited_blocks -= (b->thread & FA_BLOCK_INHERITED) != 0;
		fa_account_left(e, p, b);
	}
	fa_livemap_done(&p->map);
	fa_livemap_done(&p->owed);
	for (struct fa_stream *s = p->streams; s != NULL; s = s->sibling) {
		free(s->pending);
		s->pending = NULL;
		s->pending_count = s->pending_cap = 0;
	}
	p->finished = true;
}

/* Everything of the process that is still queued comes before its end. */
static void drain(struct fa_engine *e, struct fa_process *p)
{
	for (struct fa_stream *s = p->streams; s != NULL; s = s->sibling) {
		fa_stream_look_ahead(e, s);
		while (s->has_next && e->error == 0) {
			e->heap_stale = true;
			fa_apply_next(e, s);
			fa_stream_look_ahead(e, s);
		}
		fa_apply_pending(e, s, UINT64_MAX, UINT32_MAX);
	}
}

void fa_apply_end(struct fa_engine *e, struct fa_process *p)
{
	if (p->finished)
		return;
	if (p->fork_waiting)
		fa_apply_fork(e, p);
	drain(e, p);
	while (p->fork_children != NULL)
		fa_apply_fork(e, p->fork_children);
	if (p->end_stamp > e->r->end_stamp)
		e->r->end_stamp = p->end_stamp;
	finish(e, p);
}
