/*
 * merge.c - one order for the events of all threads.
 *
 * What is known. The events of one thread are in order. An allocation carries a stamp that was
 * taken after it returned (or, in a process that has had one thread only, that of one before it); the stamps of allocations of one address are in their true order. A free
 * carries no stamp of its own as a rule: it lies between the stamped events before and behind it. An
 * event can only be the effect of events that were recorded before it.
 *
 * What follows. Events with a stamp are applied in the order of stamps (a heap of threads). A free
 * waits until the next stamped event of its thread is applied; but when an allocation is handed an
 * address that is still live, then the free of that address is over, in whatever thread it waits,
 * and it is applied at once (apply.c). The old block of a realloc is freed within the call, before
 * the stamp: it is over in the same way.
 *
 * Several frees of an address may wait (it was handed out and freed again meanwhile): the one whose
 * thread's next stamp is smallest is taken.
 *
 * Sweeps. The collector reads thread after thread, so a sweep may hold an effect whose cause, in a
 * thread that was read earlier, comes in the next sweep only. But all that was recorded before a
 * sweep began is in it or in those before. And a realloc is recorded after the call: what it freed
 * may be in use again, and be swept, before its record is there; nearly always the record is in the
 * next sweep then. So, when a sweep has been read and the one before it began at W, events with
 * stamps up to W are applied, and everything that was read before that one; the rest waits. Streams of
 * all processes go through one heap, so that the peak over all of them is a moment that was.
 *
 * Speed. The heap is asked once a stretch, not once an event: the first stream goes on for as long as
 * its stamps are below those of all others.
 */
#include <errno.h>
#include <stdlib.h>

#include "analysis/replay_internal.h"

/* Among equal stamps, those that no free must go before: it may be the free of that very block. */
static bool earlier(const struct fa_stream *a, const struct fa_stream *b)
{
	if (a->next.stamp != b->next.stamp)
		return a->next.stamp < b->next.stamp;
	return (a->pending_count != 0) < (b->pending_count != 0);
}

/* Read before the sweep whose beginning is the watermark. */
static bool is_old(const struct fa_engine *e, uint32_t pass)
{
	return pass + 1 < e->pass;
}

static void sift_down(struct fa_engine *e, size_t i)
{
	struct fa_stream *s = e->heap[i];

	for (;;) {
		size_t child = i * 2 + 1;

		if (child >= e->heap_count)
			break;
		if (child + 1 < e->heap_count && earlier(e->heap[child + 1], e->heap[child]))
			child++;
		if (!earlier(e->heap[child], s))
			break;
		e->heap[i] = e->heap[child];
		i = child;
	}
	e->heap[i] = s;
}

static void build_heap(struct fa_engine *e)
{
	e->heap_count = 0;
	e->old_count = 0;
	e->heap_stale = false;
	if (e->heap_cap < e->active_count) {
		struct fa_stream **bigger =
			reallocarray(e->heap, e->active_count, sizeof(struct fa_stream *));

		if (bigger == NULL) {
			e->error = -ENOMEM;
			return;
		}
		e->heap = bigger;
		e->heap_cap = e->active_count;
	}
	for (size_t i = 0; i < e->active_count; i++) {
		struct fa_stream *s = e->active[i];

		fa_stream_look_ahead(e, s);
		if (!s->has_next)
			continue;
		e->heap[e->heap_count++] = s;
		e->old_count += is_old(e, s->next_pass);
	}
	for (size_t i = e->heap_count / 2; i-- > 0;)
		sift_down(e, i);
}

/* What is left waiting in streams without a next event, and which streams have nothing left. */
static void settle(struct fa_engine *e, bool force)
{
	size_t kept = 0;

	for (size_t i = 0; i < e->active_count; i++) {
		struct fa_stream *s = e->active[i];

		if (s->pending_count != 0)
			fa_apply_pending(e, s, UINT64_MAX, force ? UINT32_MAX : e->pass - 1);
		if (s->has_next || s->pending_count != 0 || s->head != NULL)
			e->active[kept++] = s;
		else
			s->active = false;
	}
	e->active_count = kept;
}

/* Up to here (exclusively) the first stream of the heap can go on without a look at the others. */
static uint64_t stretch_limit(const struct fa_engine *e, uint64_t watermark, bool force)
{
	uint64_t limit = force ? UINT64_MAX : watermark;

	for (size_t i = 1; i < 3 && i < e->heap_count; i++)
		if (e->heap[i]->next.stamp < limit)
			limit = e->heap[i]->next.stamp;
	return limit;
}

void fa_merge(struct fa_engine *e, uint64_t watermark, bool force)
{
	build_heap(e);
	while (e->heap_count != 0 && e->error == 0) {
		struct fa_stream *s = e->heap[0];

		if (!force && s->next.stamp > watermark && e->old_count == 0)
			break;
		e->old_count -= is_old(e, s->next_pass);
		fa_apply_next(e, s);
		if (FA_UNLIKELY(e->heap_stale)) {
			build_heap(e);
			continue;
		}
		fa_apply_stretch(e, s, stretch_limit(e, watermark, force));
		fa_stream_look_ahead(e, s);
		if (s->has_next)
			e->old_count += is_old(e, s->next_pass);
		else
			e->heap[0] = e->heap[--e->heap_count];
		if (e->heap_count != 0)
			sift_down(e, 0);
	}
	settle(e, force);
}
