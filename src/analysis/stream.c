/*
 * stream.c - the bytes of one thread's events, queued as they are read and decoded when needed.
 *
 * Events are kept encoded (a few bytes each) until the merge wants them, so that a sweep over
 * many megabytes does not become many times that in memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/replay_internal.h"

static int reserve(void **array, size_t count, size_t *cap, size_t element)
{
	size_t wanted = *cap == 0 ? 16 : *cap * 2;
	void *bigger;

	if (count < *cap)
		return 0;
	bigger = reallocarray(*array, wanted, element);
	if (bigger == NULL)
		return -ENOMEM;
	*array = bigger;
	*cap = wanted;
	return 0;
}

static struct fa_stream *new_stream(struct fa_engine *e, struct fa_process *p)
{
	struct fa_stream *s;

	if (reserve((void **)&e->all, e->all_count, &e->all_cap, sizeof(*e->all)) < 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->process = p;
	s->fork_watch = UINT64_MAX;
	e->all[e->all_count++] = s;
	return s;
}

struct fa_stream *fa_stream_get(struct fa_engine *e, struct fa_process *p, uint32_t word)
{
	uint64_t key = (uint64_t)p->id << 32 | word;
	struct fa_stream *s = fa_idmap_get(&e->streams, key);

	if (s != NULL && s->process == p) /* not of one that was taken out of the session and came back */
		return s;
	s = new_stream(e, p);
	if (s == NULL)
		return NULL;
	s->word = word;
	s->thread = fa_model_thread(&e->r->model, p, word & 0x7fffffffu);
	if (s->thread == NULL || fa_idmap_put(&e->streams, key, s) < 0)
		return NULL;
	s->thread->selected |= e->o->thread_count == 0;
	s->sibling = p->streams;
	p->streams = s;
	return s;
}

static int make_active(struct fa_engine *e, struct fa_stream *s)
{
	if (s->active)
		return 0;
	int r = reserve((void **)&e->active, e->active_count, &e->active_cap, sizeof(*e->active));

	if (r < 0)
		return r;
	s->active = true;
	e->active[e->active_count++] = s;
	return 0;
}

int fa_stream_add_end(struct fa_engine *e, struct fa_process *p, uint64_t stamp)
{
	return fa_stream_add_sample(e, p, stamp, 0);
}

int fa_stream_add_sample(struct fa_engine *e, struct fa_process *p, uint64_t stamp, size_t sample)
{
	struct fa_stream *s = new_stream(e, p);

	if (s == NULL)
		return -ENOMEM;
	s->has_next = true;
	s->sample = sample;
	s->next = (struct fa_event){.kind = FA_EV_STAMP, .stamp = stamp};
	s->next_pass = e->pass;
	return make_active(e, s);
}

int fa_stream_feed(struct fa_engine *e, struct fa_stream *s, const struct fa_rec_events *rec,
		   const unsigned char *tail, size_t tail_len)
{
	struct fa_chunk *c;

	if (rec->count == 0)
		return 0;
	c = malloc(sizeof(*c) + tail_len);
	if (c == NULL)
		return -ENOMEM;
	*c = (struct fa_chunk){
		.position = (uint64_t)rec->buffer_seq << 32 | rec->buffer_offset,
		.state = rec->state,
		.pass = e->pass,
		.count = rec->count,
		.len = tail_len,
	};
	memcpy(c->bytes, tail, tail_len);
	if (s->head == NULL) {
		s->head = c;
		s->at = c->bytes;
		s->left = c->count;
		s->state = c->state;
	} else {
		s->tail->next = c;
	}
	s->tail = c;
	e->held_bytes += tail_len;
	return make_active(e, s);
}

static void drop_chunk(struct fa_engine *e, struct fa_stream *s)
{
	struct fa_chunk *c = s->head;

	e->held_bytes -= c->len;
	s->head = c->next;
	free(c);
	if (s->head == NULL) {
		s->tail = NULL;
		return;
	}
	s->at = s->head->bytes;
	s->left = s->head->count;
	s->state = s->head->state;
}

static int push_pending(struct fa_stream *s, const struct fa_event *ev, uint64_t position,
			uint32_t pass)
{
	if (reserve((void **)&s->pending, s->pending_count, &s->pending_cap, sizeof(*s->pending)) <
	    0)
		return -ENOMEM;
	s->pending[s->pending_count++] = (struct fa_pending){
		.addr = ev->addr, .stamp = ev->stamp, .position = position, .pass = pass};
	return 0;
}

/* A decoded event whose turn has not come: it is the next one, or a free that waits for it. */
static void put_aside(struct fa_engine *e, struct fa_stream *s, const struct fa_event *ev,
		      uint64_t position, uint32_t pass)
{
	if (fa_event_has_place(ev)) {
		s->next = *ev;
		s->has_next = true;
		s->old_done = false;
		s->next_position = position;
		s->next_pass = pass;
	} else if (push_pending(s, ev, position, pass) < 0) {
		e->error = -ENOMEM;
	}
}

void fa_stream_look_ahead(struct fa_engine *e, struct fa_stream *s)
{
	while (!s->has_next && s->head != NULL) {
		unsigned due;
		/* Nothing has its place before 0: the row ends with the next one that has any. */
		unsigned count = fa_stream_get_row(e, s, 0, &due);

		fa_stream_pass_row(e, s, 0, count);
	}
}

unsigned fa_stream_get_row(struct fa_engine *e, struct fa_stream *s, uint64_t limit,
			   unsigned *ret_due)
{
	const struct fa_event_row *row = &e->row;
	size_t offset = (size_t)(s->at - s->head->bytes), used;
	unsigned n = fa_event_get_row(s->at, s->head->len - offset, limit, &s->state, &e->row,
				      &used);
	unsigned due = n;

	while (due != 0 &&
	       (!fa_event_has_place(&row->event[due - 1]) || row->event[due - 1].stamp >= limit))
		due--;
	*ret_due = due;
	e->row_used = used;
	return n;
}

void fa_stream_pass_row(struct fa_engine *e, struct fa_stream *s, unsigned due, unsigned count)
{
	const struct fa_event_row *row = &e->row;
	struct fa_chunk *c = s->head;
	uint64_t position = c->position + (size_t)(s->at - c->bytes);
	uint32_t heap = 0;

	if (due != 0)
		s->applied = position + row->at[due - 1] + 1;
	for (unsigned i = 0; i < count; i++)
		heap += row->event[i].kind != FA_EV_STAMP;
	s->left -= heap < s->left ? heap : s->left;
	for (unsigned i = due; i < count; i++)
		put_aside(e, s, &row->event[i], position + row->at[i], c->pass);
	s->at += e->row_used;
	if (count == 0) {
		s->process->malformed += s->at == c->bytes + c->len ? 0 : s->left;
		drop_chunk(e, s);
	} else if (s->at == c->bytes + c->len) {
		drop_chunk(e, s);
	}
}

void fa_stream_free(struct fa_stream *s)
{
	while (s->head != NULL) {
		struct fa_chunk *c = s->head;

		s->head = c->next;
		free(c);
	}
	free(s->pending);
	free(s);
}
