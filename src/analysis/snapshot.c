/*
 * snapshot.c - the blocks of a snapshot: allocations that nobody freed.
 *
 * In a file that has a snapshot of a process no events of that process count beside it: the file was made for
 * the snapshot. A second snapshot of the same process in one file is left out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/replay_internal.h"

int fa_snapshot_begin(struct fa_engine *e, const struct fa_rec_snapshot *rec)
{
	struct fa_process *p = fa_model_process(&e->r->model, rec->process);

	if (p == NULL || p->finished || p->snapshot != NULL)
		return -EBADMSG;
	p->snapshot = calloc(1, sizeof(*p->snapshot));
	if (p->snapshot == NULL)
		return -ENOMEM;
	p->snapshot->head = *rec;
	if (rec->stamp > e->r->end_stamp)
		e->r->end_stamp = rec->stamp;
	return 0;
}

static struct fa_process *being_read(struct fa_engine *e, uint32_t id)
{
	struct fa_process *p = fa_model_process(&e->r->model, id);

	return p == NULL || p->snapshot == NULL || p->snapshot->whole ? NULL : p;
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

int fa_snapshot_blocks(struct fa_engine *e, const struct fa_trace_record *rec)
{
	const struct fa_rec_blocks *head = rec->head;
	struct fa_process *p = being_read(e, head->process);

	if (p == NULL || rec->tail_len / sizeof(struct fa_trace_block) < head->count)
		return -EBADMSG;
	p->snapshot->damaged |= head->sequence != p->snapshot->records;
	p->snapshot->records = head->sequence + 1;
	for (uint32_t i = 0; i < head->count && e->error == 0; i++) {
		struct fa_trace_block b;
		struct fa_stream *s;

		memcpy(&b, rec->tail + i * sizeof(b), sizeof(b));
		s = fa_stream_get(e, p, b.thread & 0x7fffffff);
		if (s == NULL)
			return -ENOMEM;
		s->thread->selected |= e->o->thread_count == 0;
		apply(e, s, head->begin_stamp, &b);
		p->snapshot->blocks++;
		p->snapshot->bytes += b.size;
	}
	return 0;
}

int fa_snapshot_end(struct fa_engine *e, const struct fa_rec_snapshot_end *rec)
{
	struct fa_process *p = being_read(e, rec->process);

	if (p == NULL)
		return -EBADMSG;
	p->snapshot->end = *rec;
	p->snapshot->whole = !p->snapshot->damaged && rec->records == p->snapshot->records &&
			     rec->blocks == p->snapshot->blocks && rec->bytes == p->snapshot->bytes;
	return 0;
}
