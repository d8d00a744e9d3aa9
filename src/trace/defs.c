/* defs.c - see defs.h. Records are kept as they stand in a block, by process and by family. */
#include "trace/defs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { THREADS_MOST = 4096 };

struct owner {
	uint32_t id;
	bool is_arena;
	bool unknown_loss;
	unsigned threads;
	struct fa_buf records;
};

struct fa_trace_defs {
	struct fa_buf preface;
	bool have_clock;
	struct owner *owner; /* in the order in which they came: parents before their children */
	size_t count, room;
};

struct fa_trace_defs *fa_trace_defs_new(void)
{
	return calloc(1, sizeof(struct fa_trace_defs));
}

void fa_trace_defs_free(struct fa_trace_defs *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->count; i++)
		fa_buf_done(&d->owner[i].records);
	free(d->owner);
	fa_buf_done(&d->preface);
	free(d);
}

/* The last one of that id, which is the one that is spoken of. */
static struct owner *find(const struct fa_trace_defs *d, bool is_arena, uint32_t id)
{
	for (size_t i = d->count; i-- > 0;)
		if (d->owner[i].id == id && d->owner[i].is_arena == is_arena)
			return &d->owner[i];
	return NULL;
}

static struct owner *find_or_add(struct fa_trace_defs *d, bool is_arena, uint32_t id)
{
	struct owner *o = find(d, is_arena, id);

	if (o != NULL)
		return o;
	if (d->count == d->room) {
		size_t room = d->room ? d->room * 2 : 16;

		o = reallocarray(d->owner, room, sizeof(*o));
		if (o == NULL)
			return NULL;
		d->owner = o;
		d->room = room;
	}
	o = &d->owner[d->count++];
	*o = (struct owner){.id = id, .is_arena = is_arena};
	return o;
}

static void drop(struct fa_trace_defs *d, struct owner *o)
{
	if (o == NULL)
		return;
	fa_buf_done(&o->records);
	memmove(o, o + 1, (size_t)(d->owner + --d->count - o) * sizeof(*o));
}

struct piece {
	const struct fa_record_header *header;
	const void *head, *tail, *tail2;
	size_t tail_len;
};

static int keep(struct fa_buf *b, const struct piece *p)
{
	size_t tail2_len = p->header->size - p->header->head_size - p->tail_len;

	fa_buf_add(b, p->header, sizeof(*p->header));
	fa_buf_add(b, p->head, p->header->head_size);
	fa_buf_add(b, p->tail, p->tail_len);
	fa_buf_add(b, p->tail2, tail2_len);
	return b->error;
}

static struct fa_record_header header_at(const struct fa_buf *b, size_t at)
{
	struct fa_record_header h;

	memcpy(&h, b->data + at, sizeof(h));
	return h;
}

/* The older half of the threads goes, all at once: it takes a pass over all of them. */
static void drop_threads(struct owner *o)
{
	struct fa_buf *b = &o->records;
	unsigned left = o->threads / 2;
	size_t to = 0;

	for (size_t at = 0, len; at < b->len; at += len) {
		struct fa_record_header h = header_at(b, at);

		len = sizeof(h) + h.size;
		if (h.tag == FA_TAG_THREAD && left > 0) {
			left--;
			o->threads--;
			continue;
		}
		memmove(b->data + to, b->data + at, len);
		to += len;
	}
	b->len = to;
}

static int take_thread(struct owner *o, const struct piece *p)
{
	if (o == NULL) /* its process ended: nothing refers to it */
		return 0;
	if (++o->threads > THREADS_MOST)
		drop_threads(o);
	return keep(&o->records, p);
}

static int take_lost(struct fa_trace_defs *d, const struct fa_rec_lost *lost,
		     const struct piece *p)
{
	struct owner *o = find(d, false, lost->process);

	if (lost->cause != FA_LOST_UNKNOWN || o == NULL || o->unknown_loss)
		return 0;
	o->unknown_loss = true;
	return keep(&o->records, p);
}

static int take_owned(struct fa_trace_defs *d, bool is_arena, uint32_t id, const struct piece *p)
{
	struct owner *o = find_or_add(d, is_arena, id);

	return o == NULL ? -ENOMEM : keep(&o->records, p);
}

int fa_trace_defs_take(struct fa_trace_defs *d, const struct fa_record_header *header,
		       const void *head, const void *tail, size_t tail_len, const void *tail2)
{
	const struct piece p = {header, head, tail, tail2, tail_len};
	uint32_t id;

	memcpy(&id, head, sizeof(id)); /* of the process or the family, in those that have one */
	switch (header->tag) {
	case FA_TAG_CLOCK:
		if (d->have_clock)
			return 0;
		d->have_clock = true;
		return keep(&d->preface, &p);
	case FA_TAG_MACHINE:
	case FA_TAG_SESSION:
		return keep(&d->preface, &p);
	case FA_TAG_PROCESS:
		return take_owned(d, false, id, &p);
	case FA_TAG_THREAD:
		return take_thread(find(d, false, id), &p);
	case FA_TAG_LOST:
		return take_lost(d, head, &p);
	case FA_TAG_PROCESS_END:
		drop(d, find(d, false, id));
		return 0;
	case FA_TAG_MODULE:
	case FA_TAG_NODES:
		return take_owned(d, true, id, &p);
	default:
		return 0;
	}
}

void fa_trace_defs_forget(struct fa_trace_defs *d, uint32_t arena)
{
	drop(d, find(d, true, arena));
}

/* A process whose earlier events may have been overwritten. */
static int write_process(const void *record, size_t len,
			 int (*put)(void *ctx, const void *record, size_t len), void *ctx)
{
	size_t at = sizeof(struct fa_record_header) + offsetof(struct fa_rec_process, incomplete);
	const uint32_t incomplete = 1;
	unsigned char *copy = malloc(len);
	int e;

	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, record, len);
	memcpy(copy + at, &incomplete, sizeof(incomplete));
	e = put(ctx, copy, len);
	free(copy);
	return e;
}

static int write_buf(const struct fa_buf *b,
		     int (*put)(void *ctx, const void *record, size_t len), void *ctx)
{
	int e = 0;

	for (size_t at = 0, len; at < b->len && e == 0; at += len) {
		struct fa_record_header h = header_at(b, at);

		len = sizeof(h) + h.size;
		e = h.tag == FA_TAG_PROCESS ? write_process(b->data + at, len, put, ctx)
					    : put(ctx, b->data + at, len);
	}
	return e;
}

int fa_trace_defs_write(const struct fa_trace_defs *d,
			int (*put)(void *ctx, const void *record, size_t len), void *ctx)
{
	int e = write_buf(&d->preface, put, ctx);

	for (int arenas = 0; arenas < 2; arenas++)
		for (size_t i = 0; i < d->count && e == 0; i++)
			if (d->owner[i].is_arena == arenas)
				e = write_buf(&d->owner[i].records, put, ctx);
	return e;
}
