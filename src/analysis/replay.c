/*
 * replay.c - reads the records of a trace and drives the merge.
 *
 * Filters on time need stamps before the first event is met, and the last CLOCK record stands at
 * the end: only then the file is read twice.
 */
#include "analysis/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/replay_internal.h"
#include "base/parse.h"

/* A trace without PASS records (none of ours) must not be held in memory as a whole. */
enum { HELD_MAX = 256 << 20, PROGRESS_STEP = 4 << 20 };

__extension__ typedef unsigned __int128 wide;

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- filters ---- */

static bool process_selected(const struct fa_replay_options *o, const struct fa_process *p)
{
	bool pid = o->pid_count == 0, image = o->image_count == 0;

	for (int i = 0; i < o->pid_count; i++)
		pid |= o->pids[i] == p->pid;
	for (int i = 0; i < o->image_count; i++)
		image |= strcmp(o->images[i], p->image) == 0;
	return pid && image;
}

static bool thread_selected(const struct fa_replay_options *o, const struct fa_thread *t)
{
	for (int i = 0; i < o->thread_count; i++) {
		uint64_t tid;

		if (strcmp(o->threads[i], t->name) == 0)
			return true;
		if (fa_parse_u64(o->threads[i], &tid) == 0 && (int64_t)tid == t->tid && t->tid != 0)
			return true;
	}
	return o->thread_count == 0;
}

/* A thread's name may come after its events, but stands in the same sweep. */
static void select_threads(struct fa_engine *e)
{
	for (size_t i = 0; e->o->thread_count != 0 && i < e->r->model.thread_count; i++) {
		struct fa_thread *t = e->r->model.threads[i];

		t->selected = t->selected || thread_selected(e->o, t);
	}
}

/* Also who recorded nothing, because all was lost. */
static void select_losers(struct fa_engine *e)
{
	for (size_t i = 0; e->o->thread_count == 0 && i < e->r->model.thread_count; i++) {
		struct fa_thread *t = e->r->model.threads[i];

		t->selected = t->selected || fa_thread_lost(t) > 0;
	}
}

/* ---- records ---- */

static void take_machine(struct fa_replay *r, const struct fa_trace_record *rec)
{
	const unsigned char *tail = rec->tail;
	size_t len = rec->tail_len;
	const char *part[6];

	memcpy(&r->machine, rec->head, sizeof(r->machine));
	for (unsigned i = 0; i < 6; i++)
		part[i] = fa_trace_string(&tail, &len);
	(void)snprintf(r->kernel, sizeof(r->kernel), "%s %s %s", part[0], part[1], part[3]);
	(void)snprintf(r->host, sizeof(r->host), "%s", part[4]);
	(void)snprintf(r->boot, sizeof(r->boot), "%s", part[5]);
	fa_trace_clock_machine(&r->clock, &r->machine);
}

static void take_session(struct fa_replay *r, const struct fa_trace_record *rec)
{
	const unsigned char *tail = rec->tail;
	size_t len = rec->tail_len;

	memcpy(&r->session, rec->head, sizeof(r->session));
	(void)snprintf(r->session_name, sizeof(r->session_name), "%s",
		       fa_trace_string(&tail, &len));
}

static int watch_fork(struct fa_engine *e, struct fa_process *child,
		      const struct fa_rec_process *rec)
{
	struct fa_process *parent = fa_model_process(&e->r->model, rec->parent);

	if (parent == NULL || parent == child || parent->finished) {
		child->inherit_failed = true;
		return 0;
	}
	child->fork_parent = parent;
	child->fork_waiting = true;
	child->fork_next = parent->fork_children;
	parent->fork_children = child;
	if (rec->fork_thread == UINT32_MAX) {
		child->fork_inexact = true;
		return 0;
	}
	child->fork_position = (uint64_t)rec->fork_buffer_seq << 32 | rec->fork_offset;
	child->fork_stream = fa_stream_get(e, parent, rec->fork_thread);
	if (child->fork_stream == NULL)
		return -ENOMEM;
	child->fork_inexact = child->fork_stream->applied > child->fork_position;
	fa_apply_fork_watch(child->fork_stream);
	return 0;
}

static int take_process(struct fa_engine *e, const struct fa_trace_record *rec)
{
	const struct fa_rec_process *head = rec->head;
	struct fa_process *p;
	int r = fa_model_add_process(&e->r->model, head, rec->tail, rec->tail_len, &p);

	if (r < 0)
		return r;
	p->selected = process_selected(e->o, p);
	return p->origin == FA_ORIGIN_FORK && e->o->snapshot == 0 ? watch_fork(e, p, head) : 0;
}

static int take_process_end(struct fa_engine *e, const struct fa_rec_process_end *rec)
{
	struct fa_process *p;
	int r = fa_model_add_process_end(&e->r->model, rec, &p);

	return r < 0 ? r : fa_stream_add_end(e, p, rec->stamp);
}

static int take_events(struct fa_engine *e, const struct fa_trace_record *rec)
{
	const struct fa_rec_events *head = rec->head;
	struct fa_process *p = fa_model_process(&e->r->model, head->process);

	if (p == NULL || p->finished || head->codec != FA_EVENT_CODEC)
		return -EBADMSG;
	struct fa_stream *s = fa_stream_get(e, p, head->thread);

	if (s == NULL)
		return -ENOMEM;
	fa_model_saw_lost(s->thread, head->lost_before);
	e->r->record_bytes += rec->tail_len;
	return fa_stream_feed(e, s, head, rec->tail, rec->tail_len);
}

static void take_pass(struct fa_engine *e, uint64_t watermark)
{
	select_threads(e);
	e->watermark_before = e->watermark;
	e->watermark = watermark;
	fa_merge(e, e->watermark_before, false);
	e->pass++;
}

static void take_clock(struct fa_replay *r, const struct fa_rec_clock *rec)
{
	fa_trace_clock_add(&r->clock, rec);
	if (rec->stamp > r->end_stamp)
		r->end_stamp = rec->stamp;
}

/* Of what happened, not of what was there when a snapshot was taken. */
static bool tells_of_events(const struct fa_trace_record *rec)
{
	switch (rec->tag) {
	case FA_TAG_EVENTS:
	case FA_TAG_CALLS:
	case FA_TAG_EXTENTS:
	case FA_TAG_PROCESS_END:
		return true;
	case FA_TAG_LOST:
		return ((const struct fa_rec_lost *)rec->head)->cause != FA_LOST_TABLE;
	default:
		return false;
	}
}

static int take_record(struct fa_engine *e, const struct fa_trace_record *rec)
{
	struct fa_model *m = &e->r->model;

	if (e->o->snapshot != 0 && tells_of_events(rec))
		return 0;
	switch (rec->tag) {
	case FA_TAG_MACHINE:
		take_machine(e->r, rec);
		return 0;
	case FA_TAG_SESSION:
		take_session(e->r, rec);
		return 0;
	case FA_TAG_CLOCK:
		take_clock(e->r, rec->head);
		return 0;
	case FA_TAG_PROCESS:
		return take_process(e, rec);
	case FA_TAG_PROCESS_END:
		return take_process_end(e, rec->head);
	case FA_TAG_THREAD:
		return fa_model_add_thread(m, rec->head, rec->tail, rec->tail_len);
	case FA_TAG_MODULE:
		return fa_model_add_module(m, rec->head, rec->tail, rec->tail_len);
	case FA_TAG_NODES:
		return fa_model_add_nodes(m, rec->head, rec->tail, rec->tail_len);
	case FA_TAG_EVENTS:
	case FA_TAG_CALLS:
		return take_events(e, rec);
	case FA_TAG_EXTENTS:
		return fa_extents_take(e, rec->head);
	case FA_TAG_LOST:
		return fa_model_add_lost(m, rec->head);
	case FA_TAG_THREAD_LOST:
		return fa_model_add_thread_lost(m, rec->head);
	case FA_TAG_PASS:
		take_pass(e, ((const struct fa_rec_pass *)rec->head)->stamp);
		return 0;
	case FA_TAG_SNAPSHOT: /* its threads stand before it */
		select_threads(e);
		return fa_snapshot_begin(e, rec->head);
	case FA_TAG_BLOCKS:
		return fa_snapshot_blocks(e, rec);
	case FA_TAG_SNAPSHOT_END:
		return fa_snapshot_end(e, rec->head);
	case FA_TAG_COVERAGE:
		return fa_model_add_coverage(m, rec->head, rec->tail, rec->tail_len);
	case FA_TAG_UPDATE:
		return fa_model_add_change(m, rec->head, rec->tail, rec->tail_len);
	case FA_TAG_END:
		memcpy(&e->r->end, rec->head, sizeof(e->r->end));
		e->r->ended = true;
		return 0;
	case FA_TAG_MARK: /* who asks for a range has looked them up (cli/range.c) */
	case FA_TAG_THREAD_END:
		return 0;
	default:
		e->r->unknown_records++;
		return 0;
	}
}

/* ---- the run ---- */

/* A record that makes no sense is counted and passed over. */
static int feed(struct fa_engine *e, const struct fa_trace_record *rec)
{
	int r = take_record(e, rec);

	if (r == -EBADMSG)
		e->r->senseless_records++;
	else if (r < 0)
		return r;
	if (e->error == 0 && e->held_bytes > HELD_MAX)
		take_pass(e, 0);
	return e->error;
}

static int read_all(struct fa_engine *e, struct fa_trace_reader *reader)
{
	struct fa_trace_record rec;
	uint64_t told = 0;
	int r;

	while ((r = fa_trace_reader_next(reader, &rec)) > 0) {
		uint64_t at = fa_trace_reader_position(reader);

		r = feed(e, &rec);
		if (r < 0)
			return r;
		if (e->o->progress != NULL && at - told >= PROGRESS_STEP) {
			told = at;
			e->o->progress(e->o->ctx, at, fa_trace_reader_size(reader));
		}
	}
	return r;
}

static void finish_all(struct fa_engine *e)
{
	select_threads(e);
	select_losers(e);
	fa_merge(e, UINT64_MAX, true);
	for (size_t i = 0; i < e->r->model.process_count && e->error == 0; i++)
		fa_apply_end(e, e->r->model.processes[i]);
	if (e->r->ended && e->r->end.stamp > e->r->end_stamp)
		e->r->end_stamp = e->r->end.stamp;
	fa_snapshot_settle(e);
	fa_account_close(e);
}

static uint64_t ns_to_ticks(const struct fa_trace_clock *c, uint64_t ns)
{
	wide ticks = c->scale == 0 ? ns : ((wide)ns << 48) / c->scale;

	return ticks > UINT64_MAX ? UINT64_MAX : (uint64_t)ticks;
}

uint64_t fa_replay_stamp_at(const struct fa_trace_clock *c, uint64_t ns)
{
	uint64_t ticks = ns_to_ticks(c, ns), base = c->first.stamp;

	return ticks > UINT64_MAX - base ? UINT64_MAX : base + ticks;
}

int fa_replay_clock(const char *path, struct fa_trace_clock *ret)
{
	struct fa_trace_clock clock = {0};
	struct fa_trace_reader *reader;
	struct fa_trace_record rec;
	int r = fa_trace_reader_open(path, &reader);

	if (r < 0)
		return r;
	while ((r = fa_trace_reader_next(reader, &rec)) > 0) {
		if (rec.tag == FA_TAG_MACHINE)
			fa_trace_clock_machine(&clock, rec.head);
		else if (rec.tag == FA_TAG_CLOCK)
			fa_trace_clock_add(&clock, rec.head);
	}
	fa_trace_reader_free(reader);
	if (r == 0)
		*ret = clock;
	return r;
}

static int set_bounds(struct fa_engine *e, const char *path)
{
	const struct fa_replay_options *o = e->o;
	struct fa_trace_clock clock = {0};
	int r;

	e->lo = 0;
	e->hi = UINT64_MAX;
	e->life_lo = 0;
	e->life_hi = UINT64_MAX;
	e->entered = true;
	if ((o->range_lo | o->lifetime_lo) == 0 &&
	    (o->range_hi == 0 || o->range_hi == UINT64_MAX) &&
	    (o->lifetime_hi == 0 || o->lifetime_hi == UINT64_MAX))
		return 0;
	r = fa_replay_clock(path, &clock);
	if (r < 0)
		return r;
	if (o->range_lo != 0)
		e->lo = fa_replay_stamp_at(&clock, o->range_lo);
	if (o->range_hi != 0 && o->range_hi != UINT64_MAX)
		e->hi = fa_replay_stamp_at(&clock, o->range_hi);
	if (e->hi < e->lo)
		e->hi = e->lo;
	e->life_lo = ns_to_ticks(&clock, o->lifetime_lo);
	if (o->lifetime_hi != 0 && o->lifetime_hi != UINT64_MAX)
		e->life_hi = ns_to_ticks(&clock, o->lifetime_hi);
	e->entered = e->lo == 0;
	return 0;
}

static void sum_up(struct fa_replay *r, uint32_t snapshot)
{
	uint64_t first = UINT64_MAX;

	r->snapshot = snapshot;
	for (size_t i = 0; i < r->model.process_count; i++) {
		const struct fa_process *p = r->model.processes[i];

		first = min_u64(first, p->start_stamp);
		if (!p->selected)
			continue;
		r->lost += fa_process_lost(p);
		r->snapshots += p->snapshot != NULL;
		r->snapshots_torn += p->snapshot != NULL && !p->snapshot->whole;
		r->lost_unknown |= p->lost_unknown;
		*(p->older ? &r->preexisting_frees : &r->unknown_frees) += p->unknown_frees;
	}
	r->start_stamp = r->clock.count != 0   ? r->clock.first.stamp
			 : first != UINT64_MAX ? first
					       : 0;
}

static void done_engine(struct fa_engine *e)
{
	for (size_t i = 0; i < e->all_count; i++)
		fa_stream_free(e->all[i]);
	free(e->all);
	free(e->active);
	free(e->heap);
	fa_idmap_done(&e->streams);
}

int fa_replay_run(const char *path, const struct fa_replay_options *options, struct fa_replay **ret)
{
	struct fa_engine e = {.o = options, .pass = 1};
	struct fa_trace_reader *reader = NULL;
	int r = fa_trace_reader_open(path, &reader);

	if (r < 0)
		return r;
	e.r = calloc(1, sizeof(*e.r));
	r = e.r == NULL ? -ENOMEM : fa_model_init(&e.r->model);
	if (r < 0)
		goto out;
	r = set_bounds(&e, path);
	if (r < 0)
		goto out;
	r = read_all(&e, reader);
	if (r < 0)
		goto out;
	e.r->damage = fa_trace_reader_damage(reader);
	finish_all(&e);
	r = e.error;
	if (r < 0)
		goto out;
	sum_up(e.r, options->snapshot);
	*ret = e.r;
	e.r = NULL;
out:
	done_engine(&e);
	fa_replay_free(e.r);
	fa_trace_reader_free(reader);
	return r;
}

/* ---- live ---- */

struct fa_replay_live {
	struct fa_replay_options options;
	struct fa_engine e;
};

int fa_replay_live_new(struct fa_replay_live **ret)
{
	struct fa_replay_live *l = calloc(1, sizeof(*l));
	int r;

	if (l == NULL)
		return -ENOMEM;
	l->e.o = &l->options;
	l->e.pass = 1;
	l->e.r = calloc(1, sizeof(*l->e.r));
	r = l->e.r == NULL ? -ENOMEM : fa_model_init(&l->e.r->model);
	if (r == 0)
		r = set_bounds(&l->e, NULL); /* there are none */
	if (r < 0) {
		fa_replay_live_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

int fa_replay_live_take(struct fa_replay_live *l, const struct fa_trace_record *rec)
{
	return feed(&l->e, rec);
}

int fa_replay_live_settle(struct fa_replay_live *l)
{
	fa_merge(&l->e, UINT64_MAX, true);
	l->e.pass++;
	return l->e.error;
}

const struct fa_replay *fa_replay_live_now(const struct fa_replay_live *l)
{
	return l->e.r;
}

void fa_replay_live_free(struct fa_replay_live *l)
{
	if (l == NULL)
		return;
	done_engine(&l->e);
	fa_replay_free(l->e.r);
	free(l);
}

void fa_replay_free(struct fa_replay *r)
{
	if (r == NULL)
		return;
	fa_model_done(&r->model);
	free(r->space.site);
	free(r->locks.site);
	free(r->loads.load);
	free(r->extents.sample);
	free(r);
}

uint64_t fa_replay_time_ns(const struct fa_replay *r, uint64_t stamp)
{
	uint64_t start = fa_trace_clock_mono_ns(&r->clock, r->start_stamp);
	uint64_t at = fa_trace_clock_mono_ns(&r->clock, stamp);

	return at > start ? at - start : 0;
}

uint64_t fa_replay_ticks_ns(const struct fa_replay *r, uint64_t ticks)
{
	if (r->clock.scale == 0 || r->clock.source == FA_CLOCK_MONOTONIC)
		return ticks;
	return (uint64_t)((wide)ticks * r->clock.scale >> 48);
}

uint64_t fa_replay_duration_ns(const struct fa_replay *r)
{
	return fa_replay_time_ns(r, r->end_stamp);
}
