/*
 * snapshot.c - the blocks of a snapshot: allocations that nobody freed.
 *
 * A file that was made for snapshots has one of each process, and no events; a second one of a process is left
 * out. In the trace of a session they stand among events: then one of the two is replayed, the events, or, where
 * options.snapshot says so, one moment's snapshots. All of them are noted in any case: they have numbers in the
 * order in which they appear, those that were taken together the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/replay_internal.h"

/* Those taken together, most often right before. */
static uint32_t number_of(const struct fa_model *m, uint64_t take)
{
	for (size_t i = m->snapshot_count; i-- > 0;)
		if (m->snapshots[i]->head.take == take)
			return m->snapshots[i]->number;
	return m->takes + 1;
}

static struct fa_snapshot_seen *note(struct fa_model *m, struct fa_process *p,
				     const struct fa_rec_snapshot *rec)
{
	struct fa_snapshot_seen *s = calloc(1, sizeof(*s)), **more;

	more = reallocarray(m->snapshots, m->snapshot_count + 1, sizeof(*more));
	if (more != NULL)
		m->snapshots = more;
	if (s == NULL || more == NULL) {
		free(s);
		return NULL;
	}
	s->head = *rec;
	s->process = p;
	s->number = number_of(m, rec->take);
	if (s->number > m->takes)
		m->takes = s->number;
	m->snapshots[m->snapshot_count++] = s;
	return s;
}

static bool is_wanted(const struct fa_engine *e, const struct fa_snapshot_seen *s)
{
	return e->o->snapshot != 0 ? e->o->snapshot == s->number : s->head.take == 0;
}

int fa_snapshot_begin(struct fa_engine *e, const struct fa_rec_snapshot *rec)
{
	struct fa_process *p = fa_model_process(&e->r->model, rec->process);
	struct fa_rec_lost lost = {.process = rec->process, .cause = FA_LOST_TABLE, .count = rec->refused};
	struct fa_snapshot_seen *s;

	if (p == NULL)
		return -EBADMSG;
	p->reading = NULL;
	s = note(&e->r->model, p, rec);
	if (s == NULL)
		return -ENOMEM;
	if (is_wanted(e, s) && (p->finished || p->snapshot != NULL))
		return -EBADMSG;
	p->reading = s;
	if (!is_wanted(e, s))
		return 0;
	p->snapshot = s;
	if (rec->stamp > e->r->end_stamp)
		e->r->end_stamp = rec->stamp;
	return rec->take != 0 && lost.count != 0 ? fa_model_add_lost(&e->r->model, &lost) : 0;
}

static void apply(struct fa_engine *e, struct fa_stream *s, uint64_t begin_stamp,
		  const struct fa_trace_block *b)
{
	const struct fa_event event = {
		.kind = FA_EV_ALLOC,
		.stamped = 1,
		.has_stack = b->stack != 0,
		.stack = b->stack,
		.addr = b->addr,
		.size = b->size,
		.stamp = begin_stamp + b->since,
	};

	fa_apply_block(e, s, &event);
}

static int take_block(struct fa_engine *e, struct fa_process *p, uint64_t begin_stamp,
		      const struct fa_trace_block *b)
{
	struct fa_stream *s = fa_stream_get(e, p, b->thread & 0x7fffffff);

	if (s == NULL)
		return -ENOMEM;
	s->thread->selected |= e->o->thread_count == 0;
	apply(e, s, begin_stamp, b);
	return e->error;
}

int fa_snapshot_blocks(struct fa_engine *e, const struct fa_trace_record *rec)
{
	const struct fa_rec_blocks *head = rec->head;
	struct fa_process *p = fa_model_process(&e->r->model, head->process);
	struct fa_snapshot_seen *seen = p == NULL ? NULL : p->reading;

	if (seen == NULL || rec->tail_len / sizeof(struct fa_trace_block) < head->count)
		return -EBADMSG;
	seen->damaged |= head->sequence != seen->records;
	seen->records = head->sequence + 1;
	for (uint32_t i = 0; i < head->count; i++) {
		struct fa_trace_block b;
		int r = 0;

		memcpy(&b, rec->tail + i * sizeof(b), sizeof(b));
		if (seen == p->snapshot)
			r = take_block(e, p, head->begin_stamp, &b);
		if (r < 0)
			return r;
		seen->blocks++;
		seen->bytes += b.size;
	}
	return 0;
}

int fa_snapshot_end(struct fa_engine *e, const struct fa_rec_snapshot_end *rec)
{
	struct fa_process *p = fa_model_process(&e->r->model, rec->process);
	struct fa_snapshot_seen *seen = p == NULL ? NULL : p->reading;

	if (seen == NULL)
		return -EBADMSG;
	p->reading = NULL;
	seen->end = *rec;
	seen->whole = !seen->damaged && rec->records == seen->records &&
		      rec->blocks == seen->blocks && rec->bytes == seen->bytes;
	return 0;
}

/* A process of which there is none has nothing to do with that moment. */
void fa_snapshot_settle(struct fa_engine *e)
{
	uint64_t stamp = 0;

	for (size_t i = 0; e->o->snapshot != 0 && i < e->r->model.process_count; i++) {
		struct fa_process *p = e->r->model.processes[i];

		if (p->snapshot == NULL)
			p->selected = false;
		else if (p->snapshot->head.stamp > stamp)
			stamp = p->snapshot->head.stamp;
	}
	if (stamp != 0)
		e->r->end_stamp = stamp;
}
