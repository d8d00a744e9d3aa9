/* tail_filter.c - which events a reader of a session gets. */
#include "daemon/tail_filter.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "daemon/collector.h"
#include "format/event_format.h"

void tail_filter_begin(struct tail_filter *f, const struct fa_control_request *q)
{
	*f = (struct tail_filter){.on = q->tail.on != 0, .want = q->tail, .image_count = q->session.image_count};
	memcpy(f->image, q->session.image, sizeof(f->image));
}

void tail_filter_end(struct tail_filter *f)
{
	free(f->unwanted);
	memset(f, 0, sizeof(*f));
}

/* Where the process stands, or would stand. */
static size_t place_of(const struct tail_filter *f, uint32_t process)
{
	size_t low = 0, high = f->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (f->unwanted[middle] < process)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool tail_filter_wants(const struct tail_filter *f, uint32_t process)
{
	size_t at = place_of(f, process);

	return at == f->count || f->unwanted[at] != process;
}

static bool is_named(const struct tail_filter *f, const struct fa_rec_process *rec, const char *exe)
{
	bool pid = f->want.pid_count == 0, image = f->image_count == 0;

	for (uint32_t i = 0; i < f->want.pid_count; i++)
		pid |= f->want.pid[i] == rec->pid;
	for (uint32_t i = 0; i < f->image_count; i++)
		image |= strcmp(f->image[i], fa_base_name(exe)) == 0;
	return pid && image;
}

bool tail_filter_meet(struct tail_filter *f, const struct fa_rec_process *rec, const void *tail, size_t len)
{
	size_t at = place_of(f, rec->process);

	if (!f->on || len == 0 || is_named(f, rec, tail) || !tail_filter_wants(f, rec->process))
		return true;
	if (f->count == f->room) {
		size_t room = f->room == 0 ? 16 : f->room * 2;
		uint32_t *bigger = reallocarray(f->unwanted, room, sizeof(*bigger));

		if (bigger == NULL)
			return false;
		f->unwanted = bigger;
		f->room = room;
	}
	memmove(f->unwanted + at + 1, f->unwanted + at, (f->count++ - at) * sizeof(*f->unwanted));
	f->unwanted[at] = rec->process;
	return true;
}

static bool is_wanted(const struct tail_filter *f, const struct fa_event *e)
{
	if ((f->want.kinds >> e->kind & 1) == 0)
		return false;
	return f->want.size_hi == 0 ||
	       (e->kind != FA_EV_FREE && e->size >= f->want.size_lo && e->size < f->want.size_hi);
}

static unsigned put_event(unsigned char *p, struct fa_event_state *st, const struct fa_event *e)
{
	uint64_t stamp = e->stamped ? e->stamp : 0;

	switch (e->kind) {
	case FA_EV_FREE:
		return fa_event_put_free(p, st, e->addr, stamp, e->has_stack, e->stack);
	case FA_EV_REALLOC:
		return fa_event_put_realloc(p, st, e->old, e->addr, e->size, stamp, e->has_stack, e->stack, e->fn);
	default:
		return fa_event_put_alloc_fn(p, st, e->addr, e->size, stamp, e->has_stack, e->stack, e->fn, e->align_log2);
	}
}

/* An event is at least two bytes long; a stamp may have to stand before it. */
enum { OUT_MOST = FA_BUFFER_DATA / 2 * (FA_EVENT_MAX + 8) + FA_EVENT_SLACK };

uint32_t tail_filter_events(const struct tail_filter *f, struct fa_rec_events *rec, const void **tail, size_t *len)
{
	static unsigned char out[OUT_MOST];
	const unsigned char *from = *tail;
	struct fa_event_state in = rec->state, st = rec->state;
	size_t at = 0, n = 0;
	uint32_t left_out = 0;
	struct fa_event e;

	rec->count = 0;
	while (at < *len && n + FA_EVENT_MAX + 8 + FA_EVENT_SLACK <= sizeof(out)) {
		int used = fa_event_get(from + at, *len - at, &in, &e);

		if (used <= 0)
			break;
		at += (size_t)used;
		if (e.kind == FA_EV_STAMP)
			continue;
		if (!is_wanted(f, &e)) {
			left_out++;
			continue;
		}
		/* What told the time of an event that has none of its own may be left out. */
		if (!e.stamped && e.stamp != st.stamp) {
			n += fa_event_put_stamp(out + n, &st, e.stamp);
			rec->count++;
		}
		n += put_event(out + n, &st, &e);
		rec->count++;
	}
	*tail = out;
	*len = n;
	return left_out;
}
