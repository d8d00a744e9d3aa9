/*
 * drain.c - one sweep over the buffers of a family: committed bytes become EVENTS records.
 *
 * The order of one sweep:
 *   1. look at all buffers: state and committed bytes;
 *   2. look again, so that of streams that have gone on to a next buffer the earlier ones, which are
 *      FULL by then, are seen to their ends;
 *   3. processes, modules, nodes: whatever the bytes seen in 1 and 2 refer to was there before them;
 *   4. by stream, in the order of its buffers, copy, walk and write the bytes; a FULL buffer goes back;
 *   5. lost counts, then PASS.
 *
 * A sweep may be done in parts, so that what is read goes back while a slow disk still takes the rest: step 4 is
 * interrupted and gone on with, up to what looks 1 and 2 saw.
 *
 * Of the last buffer of a stream only what look 1 saw is written, of those before it all. So every
 * event that was committed before the sweep began is in it, and a stream has no gap.
 *
 * What PASS promises: all events committed before its stamp stand before it. An event in front of it
 * may have a cause (in another thread) that stands in the next pass, never in a later one.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "collector/family_internal.h"

static void give_back(struct fa_family *f, uint32_t id, bool raise_generation)
{
	struct fa_arena_buffer *b = family_buffer(f, id);
	uint32_t generation = f->reading[id].generation;

	if (raise_generation)
		__atomic_store_n(&b->generation, ++generation, __ATOMIC_RELAXED);
	memset(&f->reading[id], 0, sizeof(f->reading[id]));
	f->reading[id].generation = generation;
	/* The next owner writes the header anew; nobody shall read the old one until then. */
	__atomic_store_n(&b->committed, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&b->state, FA_BUFFER_FREE, __ATOMIC_RELEASE);
	/* Last: who waits looks for a buffer again when this has moved. */
	__atomic_fetch_add(&family_header(f)->answer.freed, 1, __ATOMIC_RELEASE);
}

void family_free_buffer(struct fa_family *f, uint32_t id, bool raise_generation)
{
	struct fa_reading *r = &f->reading[id];
	struct fa_arena_buffer b;

	if (!f->deferred) {
		give_back(f, id, raise_generation);
		return;
	}
	arena_copy(&b, family_buffer(f, id), sizeof(b));
	*r = (struct fa_reading){
		.generation = r->generation,
		.done = raise_generation ? FA_DONE_ORPHANED : FA_DONE_READ,
		.thread = b.thread,
		.seq = b.buffer_seq,
		.slot = b.process,
	};
	f->release_due = true;
}

static void give_slot_back(struct fa_family *f, uint32_t slot)
{
	struct fa_arena_process *p = family_slot(f, slot);

	f->slot_done[slot] = false;
	for (int c = 0; c < FA_LOST_CAUSES; c++)
		__atomic_store_n(&p->lost[c], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->generation, f->generation[slot], __ATOMIC_RELAXED);
	__atomic_store_n(&p->state, FA_PROCESS_FREE, __ATOMIC_RELEASE);
}

void family_free_slot(struct fa_family *f, uint32_t slot)
{
	f->slot[slot] = NULL;
	f->generation[slot]++;
	f->slot_done[slot] = f->release_due = true;
	if (!f->deferred)
		give_slot_back(f, slot);
}

void fa_family_defer(struct fa_family *f)
{
	f->deferred = true;
}

bool fa_family_release_due(const struct fa_family *f)
{
	return f->release_due;
}

void fa_family_release(struct fa_family *f)
{
	if (!f->release_due)
		return;
	for (uint32_t i = 0; i < f->buffers; i++)
		if (f->reading[i].done != FA_DONE_NOT)
			give_back(f, i, f->reading[i].done == FA_DONE_ORPHANED);
	family_release_losers(f); /* before their processes' places may be another's */
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++)
		if (f->slot_done[i])
			give_slot_back(f, i);
	f->release_due = false;
}

/* State first: what a FULL buffer says after that is final. */
static uint8_t look_at(const struct fa_family *f, uint32_t id, uint32_t *ret_committed)
{
	const struct fa_arena_buffer *b = family_buffer(f, id);
	uint32_t state = arena_load(&b->state);

	*ret_committed = 0;
	if (f->reading[id].done != FA_DONE_NOT)
		return FA_BUFFER_FREE;
	if (state != FA_BUFFER_OWNED && state != FA_BUFFER_FULL)
		return FA_BUFFER_FREE;
	*ret_committed = arena_load(&b->committed);
	return (uint8_t)state;
}

static bool look_once(struct fa_family *f)
{
	bool any = false;

	f->used_buffers = family_used_buffers(f);
	for (uint32_t i = 0; i < f->used_buffers; i++) {
		struct fa_reading *r = &f->reading[i];

		r->state1 = look_at(f, i, &r->limit1);
		any |= r->limit1 != r->read || r->state1 == FA_BUFFER_FULL;
	}
	return any;
}

/* Whose bytes these are. The header was written before the first of them was committed. */
static bool identify_reading(struct fa_family *f, uint32_t id)
{
	struct fa_reading *r = &f->reading[id];
	struct fa_arena_buffer b;
	struct fa_process *p;

	arena_copy(&b, family_buffer(f, id), sizeof(b));
	p = b.process < FA_ARENA_PROCESSES ? f->slot[b.process] : NULL;
	if (p == NULL || b.process_generation != p->generation)
		return false;
	r->process = p;
	r->thread = b.thread;
	r->seq = b.buffer_seq;
	r->lost_before = b.lost_before;
	r->state = (struct fa_event_state){.stamp = b.base_stamp};
	family_meet_thread(f, p, b.thread & 0x7fffffff, b.tid, b.base_stamp);
	return true;
}

/* Gather the buffers with something to do. Returns how many stand in f->work. */
static size_t gather_work(struct fa_family *f)
{
	size_t count = 0;

	for (uint32_t i = 0; i < f->used_buffers; i++) {
		struct fa_reading *r = &f->reading[i];

		if (r->state2 == FA_BUFFER_FREE ||
		    (r->state2 == FA_BUFFER_OWNED && r->limit2 == r->read))
			continue;
		if (r->process == NULL && r->limit2 != 0 && !identify_reading(f, i)) {
			/* Nobody's: of a process that we gave up, or scribbled on. */
			if (r->state2 == FA_BUFFER_FULL)
				family_free_buffer(f, i, false);
			continue;
		}
		f->work[count++] = i;
	}
	return count;
}

static int compare_work(const void *a, const void *b, void *ctx)
{
	const struct fa_family *f = ctx;
	uint32_t ia = *(const uint32_t *)a, ib = *(const uint32_t *)b;
	const struct fa_reading *x = &f->reading[ia], *y = &f->reading[ib];
	uint32_t px = x->process != NULL ? x->process->record.process : 0;
	uint32_t py = y->process != NULL ? y->process->record.process : 0;

	if (px != py)
		return px < py ? -1 : 1;
	if (x->thread != y->thread)
		return x->thread < y->thread ? -1 : 1;
	if (x->seq != y->seq) /* as differences: it may wrap */
		return (int32_t)(x->seq - y->seq) < 0 ? -1 : 1;
	return ia < ib ? -1 : ia > ib;
}

static bool same_stream(const struct fa_reading *x, const struct fa_reading *y)
{
	return x->process == y->process && x->thread == y->thread;
}

static void add_lost(struct fa_family *f, struct fa_process *p, unsigned cause, uint64_t count)
{
	struct fa_rec_lost r = {
		.process = p->record.process,
		.cause = cause,
		.count = count,
		.stamp = fa_drain_stamp(f->header.clock_source),
	};

	p->lost[cause] += count;
	f->lost += count;
	family_emit(f, FA_TAG_LOST, &r, sizeof(r), NULL, 0, NULL, 0);
}

/* The events in bytes [at, len) of f->scratch, one by one, with the state that follows them: those that go
 * into one record, which holds CALLs or none. */
static uint32_t walk_events(const struct fa_family *f, uint32_t at, uint32_t len,
			    struct fa_event_state *state, uint32_t *ret_events, uint32_t *ret_heap)
{
	int calls = at < len && fa_event_is_call(f->scratch[at]);
	uint32_t events = 0, heap = 0;
	struct fa_event event;

	while (at < len && fa_event_is_call(f->scratch[at]) == calls) {
		int used = fa_event_get(f->scratch + at, len - at, state, &event);

		if (used <= 0)
			break;
		at += (uint32_t)used;
		events++;
		heap += event.kind != FA_EV_STAMP;
	}
	*ret_events = events;
	*ret_heap = heap;
	return at;
}

/* Write the events that begin at `from` in the `len` bytes of f->scratch, as far as they go into one record.
 * Returns where they end. */
static uint32_t write_record(struct fa_family *f, struct fa_reading *r, uint32_t from, uint32_t len,
			     bool last)
{
	struct fa_process *p = r->process;
	struct fa_event_state state = r->state;
	struct fa_rec_events record = {
		.process = p->record.process,
		.thread = r->thread,
		.buffer_seq = r->seq,
		.buffer_offset = r->read,
		.codec = FA_EVENT_CODEC,
		.lost_before = r->lost_before,
		.state = r->state,
	};
	unsigned tag = fa_event_is_call(f->scratch[from]) ? FA_TAG_CALLS : FA_TAG_EVENTS;
	struct fa_thread *t = family_thread(p, r->thread & 0x7fffffff);
	uint32_t at, heap;

	/* Nobody needs the state at the end of a buffer. */
	if (last && !f->has_calls)
		at = from +
		     (uint32_t)fa_event_skim(f->scratch + from, len - from, &record.count, &heap);
	else
		at = walk_events(f, from, len, &state, &record.count, &heap);
	r->read += at - from;
	r->state = state;
	if (record.count > 0)
		family_emit(f, tag, &record, sizeof(record), f->scratch + from, at - from, NULL, 0);
	/* Behind it: a session that begins a file with it counts what stands in the one before. */
	if (t != NULL)
		t->events += heap;
	p->events += heap;
	f->events += heap;
	p->bytes += at - from;
	return at;
}

/* How many they were cannot be known. */
static void lose_damaged(struct fa_family *f, struct fa_reading *r)
{
	r->bad = true;
	add_lost(f, r->process, FA_LOST_DAMAGED, 1);
	family_add_thread_lost(f, r->process, r->thread & 0x7fffffff, FA_LOST_DAMAGED, 1);
}

/* Write bytes [r->read, limit) of a buffer; `last`: there will be no more. Returns how many. */
static uint32_t read_events(struct fa_family *f, uint32_t id, uint32_t limit, bool last)
{
	struct fa_reading *r = &f->reading[id];
	uint32_t at = 0, len, before;

	if (r->bad || limit == r->read)
		return 0;
	if (limit < r->read || limit > FA_BUFFER_DATA) {
		lose_damaged(f, r);
		return 0;
	}
	len = limit - r->read;
	arena_copy(f->scratch, (unsigned char *)family_buffer(f, id) + FA_BUFFER_HEADER + r->read,
		   len);
	do {
		before = at;
		at = write_record(f, r, at, len, last);
	} while (at < len && at > before);
	if (at < len)
		lose_damaged(f, r);
	return at;
}

/* Buffers f->work[work_at, to) are one stream, or what is left of it, in order. Returns the bytes read. */
static uint64_t read_stream(struct fa_family *f, size_t to, uint64_t until)
{
	uint64_t bytes = 0;
	size_t last = to;

	/* The last one that look 1 saw something new of. */
	for (size_t i = f->work_at; i < to; i++) {
		const struct fa_reading *r = &f->reading[f->work[i]];

		if (r->state1 == FA_BUFFER_FULL || r->limit1 != r->read)
			last = i;
	}
	while (f->work_at < to && last < to && f->work_at <= last) {
		size_t i = f->work_at++;
		struct fa_reading *r = &f->reading[f->work[i]];
		uint8_t state = i < last ? r->state2 : r->state1;

		if (r->process != NULL)
			bytes += read_events(f, f->work[i], i < last ? r->limit2 : r->limit1,
					     state == FA_BUFFER_FULL);
		if (state == FA_BUFFER_FULL)
			family_free_buffer(f, f->work[i], false);
		if (until != FA_NO_HURRY && fa_mono_ns() >= until)
			return bytes;
	}
	f->work_at = to;
	return bytes;
}

static bool have_grown(const struct fa_family *f)
{
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++)
		for (unsigned c = 0; f->slot[i] != NULL && c < FA_LOSER_CAUSES; c++)
			if (arena_load64(&family_slot(f, i)->lost[c]) > f->slot[i]->lost_seen[c])
				return true;
	return false;
}

static void write_lost(struct fa_family *f)
{
	if (have_grown(f) || (f->reap.on && family_has_losers(f)))
		family_read_losers(f);
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++) {
		struct fa_process *p = f->slot[i];

		for (unsigned c = 0; p != NULL && c < FA_LOST_CAUSES; c++) {
			uint64_t now = arena_load64(&family_slot(f, i)->lost[c]);

			/* It may have died, or is, between its thread's count and its own. */
			if (c < FA_LOSER_CAUSES && now < p->lost_told[c])
				now = p->lost_told[c];
			if (now <= p->lost_seen[c])
				continue;
			add_lost(f, p, c, now - p->lost_seen[c]);
			p->lost_seen[c] = now;
		}
	}
}

/* Children for whom the table had no room: nobody but they knows their numbers. */
static void write_untraced(struct fa_family *f)
{
	const char *slash = strrchr(f->info.exe, '/');
	const char *image = slash != NULL ? slash + 1 : f->info.exe;
	struct fa_rec_coverage r = {.uid = f->info.uid, .reason = FA_REASON_FAMILY_FULL};
	uint64_t now = arena_load64(&family_header(f)->family_full);

	/* What they did is not in the trace: a report must not say that nothing is missing. */
	if (f->untraced == 0 && now > 0 && f->process_count > 0)
		add_lost(f, f->processes[0], FA_LOST_UNKNOWN, 0);
	for (; f->untraced < now && f->untraced < FA_UNTRACED_MAX; f->untraced++)
		family_emit(f, FA_TAG_COVERAGE, &r, sizeof(r), image, strlen(image), NULL, 0);
}

int fa_family_doubt(struct fa_family *f, const struct fa_sink *sink)
{
	f->sink = sink;
	f->error = 0;
	for (size_t i = 0; i < f->process_count; i++)
		if (f->processes[i]->live || i == f->process_count - 1)
			add_lost(f, f->processes[i], FA_LOST_UNKNOWN, 0);
	f->sink = NULL;
	return f->error;
}

int fa_family_skip(struct fa_family *f)
{
	int64_t n = fa_family_drain(f, NULL);

	for (size_t i = 0; i < f->process_count; i++) {
		struct fa_process *p = f->processes[i];

		p->met_late = true;
		p->events = p->bytes = 0;
		memset(p->lost, 0, sizeof(p->lost));
		for (size_t t = 0; t < p->thread_count; t++) {
			p->threads[t].events = 0;
			memset(p->threads[t].lost, 0, sizeof(p->threads[t].lost));
		}
	}
	f->events = f->lost = 0;
	return n < 0 ? (int)n : 0;
}

/* The same for all in the arena. Several families share a trace: the number says whose sweep it was. */
static void write_pass(struct fa_family *f, uint64_t stamp)
{
	struct fa_rec_pass r = {stamp, (uint64_t)f->arena << 32 | (uint32_t)++f->passes};

	family_emit(f, FA_TAG_PASS, &r, sizeof(r), NULL, 0, NULL, 0);
}

int family_begin_sweep(struct fa_family *f)
{
	bool any;
	int r;

	f->sweep_stamp = fa_drain_stamp(f->header.clock_source);
	f->sweep_bytes = 0;
	f->work_count = f->work_at = 0;
	any = look_once(f);
	for (uint32_t i = 0; any && i < f->used_buffers; i++) {
		struct fa_reading *d = &f->reading[i];

		d->state2 = look_at(f, i, &d->limit2);
	}
	r = family_adopt_processes(f);
	if (r < 0)
		return r;
	if (any)
		f->work_count = gather_work(f);
	family_write_modules(f);
	family_write_nodes(f);
	if (f->work_count > 1)
		qsort_r(f->work, f->work_count, sizeof(*f->work), compare_work, f);
	f->sweeping = true;
	return 0;
}

int64_t family_continue_sweep(struct fa_family *f, uint64_t until)
{
	uint64_t bytes = 0;

	while (f->sweeping && f->work_at < f->work_count) {
		size_t to = f->work_at + 1;

		if (until != FA_NO_HURRY && bytes > 0 && fa_mono_ns() >= until)
			break;
		while (to < f->work_count && same_stream(&f->reading[f->work[f->work_at]],
							 &f->reading[f->work[to]]))
			to++;
		bytes += read_stream(f, to, until);
	}
	f->sweep_bytes += bytes;
	if (!f->sweeping || f->work_at < f->work_count)
		return (int64_t)bytes;
	f->sweeping = false;
	write_lost(f);
	write_untraced(f);
	if (f->sweep_bytes > 0)
		write_pass(f, f->sweep_stamp);
	if (f->reap.on)
		family_finish_reap(f);
	return (int64_t)bytes;
}

/*
 * Bytes a millisecond: of some 200 calls in the mean of the last sweeps, or of 800 in this one. And the buffers that a
 * loop of malloc and free fills in one.
 */
enum { BUSY_BYTES = 1024, DENSE_BYTES = 4096, MEAN_OF = 16, PACE_MOST = 4, PACE_BUFFERS = 16 };

static void note_pace(struct fa_family *f, int64_t bytes)
{
	uint64_t now = fa_mono_ns(), us = (now - f->swept_ns) / 1000 + 1;
	uint64_t rate = bytes > 0 ? (uint64_t)bytes * 1000 / us : 0;

	f->mean_rate = (f->mean_rate * (MEAN_OF - 1) + rate) / MEAN_OF;
	f->dense = rate > DENSE_BYTES || f->mean_rate > BUSY_BYTES;
	f->swept_ns = now;
}

unsigned fa_family_pace(const struct fa_family *f, bool *ret_dense)
{
	unsigned ms = f->buffers / PACE_BUFFERS;

	*ret_dense = f->dense;
	if (!f->dense || ms < 1)
		return 1;
	return ms > PACE_MOST ? PACE_MOST : ms;
}

int64_t fa_family_drain_until(struct fa_family *f, const struct fa_sink *sink, uint64_t until)
{
	int64_t n = 0, more;

	f->sink = sink;
	f->error = 0;
	/* What was seen before is not all that there is now. */
	if (f->sweeping && until == FA_NO_HURRY)
		n = family_continue_sweep(f, until);
	more = f->sweeping ? 0 : family_begin_sweep(f);
	if (more == 0)
		more = family_continue_sweep(f, until);
	note_pace(f, n + more);
	f->sink = NULL;
	if (f->error < 0 || more < 0)
		return f->error < 0 ? f->error : more;
	return n + more;
}

int64_t fa_family_drain(struct fa_family *f, const struct fa_sink *sink)
{
	return fa_family_drain_until(f, sink, FA_NO_HURRY);
}

bool fa_family_is_sweeping(const struct fa_family *f)
{
	return f->sweeping;
}
