/*
 * reap.c - who is gone, and what they held. A dead process cannot write any more, so: first look who
 * is gone, then sweep (all that they committed is there), then take back.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "collector/family_internal.h"

static const uint64_t absent_ns =
	50000000; /* a thread that /proc never knew is dead after so long */
static const uint64_t search_ns = 250000000; /* between searches of all /proc */
static const uint64_t hasty_search_ns = 5000000;

/* One search of /proc for all whose pid we do not know: sooner where the places run out. */
static void find_unknown(struct fa_family *f, uint64_t now)
{
	unsigned unknown = family_unknown_pids(f);

	if (unknown > 0 &&
	    now - f->scanned_ns > (unknown > FA_ARENA_PROCESSES / 8 ? hasty_search_ns : search_ns))
		family_find_pids(f);
}

/* A child whose pid we do not know is gone when two looks have not found it. */
static bool unknown_is_gone(struct fa_family *f, struct fa_process *p)
{
	family_find_pid(f, p, false);
	return !p->known && p->since_scan > 1;
}

static bool is_gone(struct fa_family *f, struct fa_process *p)
{
	uint64_t image;

	if (p->exited)
		return true;
	if (!p->known)
		return unknown_is_gone(f, p);
	if (fa_procfs_ended(p->pid, p->start_time, &image))
		return true;
	/* exec replaces the memory, the arena with it, under the same pid. */
	return f->image != 0 && image != 0 && image != f->image;
}

/* Is this buffer, in which we saw nothing yet, taken by the process (and thread)? */
static bool has_taken(struct fa_family *f, uint32_t id, const struct fa_process *p,
		      const struct fa_thread *t)
{
	struct fa_arena_buffer b;

	if (f->reading[id].done != FA_DONE_NOT ||
	    arena_load(&family_buffer(f, id)->state) != FA_BUFFER_OWNED)
		return false;
	arena_copy(&b, family_buffer(f, id), sizeof(b));
	return b.process == p->slot && b.process_generation == p->generation &&
	       (t == NULL || (b.thread & 0x7fffffff) == t->serial);
}

/* Buffers of a process, or of one thread of it (both streams), go back. */
static void take_buffers(struct fa_family *f, const struct fa_process *p, const struct fa_thread *t)
{
	uint32_t used = family_used_buffers(f);

	for (uint32_t i = 0; i < used; i++) {
		const struct fa_reading *r = &f->reading[i];
		bool take = r->process == p && (t == NULL || (r->thread & 0x7fffffff) == t->serial);

		if (take || (r->process == NULL && has_taken(f, i, p, t)))
			family_free_buffer(f, i, true);
	}
}

static void end_process(struct fa_family *f, struct fa_process *p)
{
	struct fa_rec_process_end r = {
		.process = p->record.process,
		.status = p->status,
		.stamp = fa_drain_stamp(f->header.clock_source),
	};

	take_buffers(f, p, NULL);
	family_end_losers(f, p->slot, NULL);
	family_emit(f, FA_TAG_PROCESS_END, &r, sizeof(r), NULL, 0, NULL, 0);
	p->live = false;
	free(p->threads);
	p->threads = NULL;
	p->thread_count = p->thread_room = 0;
	family_free_slot(f, p->slot);
}

static int compare_tids(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return x < y ? -1 : x > y;
}

/* Names are set after a thread began: look again soon, and then now and then. */
static void check_name(struct fa_family *f, const struct fa_process *p, struct fa_thread *t)
{
	char name[FA_COMM_SIZE];

	if ((t->checks++ & 15) != 0 || fa_procfs_comm(p->pid, t->tid, name) < 0 ||
	    strcmp(name, t->name) == 0)
		return;
	memcpy(t->name, name, sizeof(name));
	family_write_thread(f, p, t);
}

/* A listing of /proc/PID/task may leave out the living while others end; a look-up may not. */
static bool thread_is_gone(const struct fa_process *p, const struct fa_thread *t)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)p->pid, (int)t->tid);
	return access(path, F_OK) < 0 && errno == ENOENT;
}

/* 1: `tid` is in the sorted list, and is taken now; 0: a younger thread took it before; -1: it is not. */
static int take_number(int32_t *tids, size_t count, int32_t tid)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int32_t here = tids[middle] < 0 ? -tids[middle] : tids[middle]; /* taken: negated */

		if (here == tid) {
			int fresh = tids[middle] > 0;

			tids[middle] = -here;
			return fresh;
		}
		if (here < tid)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

static bool is_dead(struct fa_family *f, const struct fa_process *p, struct fa_thread *t,
		    int32_t *tids, size_t count, uint64_t now)
{
	int place;

	if (t->tid == 0) /* in a pid namespace of its own, and not found so far */
		t->tid = fa_procfs_find_thread(p->pid, t->own_tid);
	place = t->tid == 0 ? -1 : take_number(tids, count, t->tid);
	if (place > 0) {
		t->absent_since_ns = 0;
		check_name(f, p, t);
		return false;
	}
	if (place < 0 && t->tid != 0)
		return thread_is_gone(p, t);
	if (t->absent_since_ns == 0)
		t->absent_since_ns = now;
	return now - t->absent_since_ns >= absent_ns;
}

/*
 * Mark threads that are gone. Returns whether there are such. The kernel gives a dead thread's number
 * to a new one: so the youngest of those with one number has it, which is why we go backwards.
 */
static bool look_at_threads(struct fa_family *f, struct fa_process *p, uint64_t now)
{
	int32_t *tids = NULL;
	size_t count = 0;
	bool any = false;

	if (p->thread_count == 0 || !p->known || fa_procfs_threads(p->pid, &tids, &count) < 0)
		return false;
	if (count > 0)
		qsort(tids, count, sizeof(*tids), compare_tids);
	for (size_t i = p->thread_count; i-- > 0;)
		any |= p->threads[i].dead = is_dead(f, p, &p->threads[i], tids, count, now);
	free(tids);
	return any;
}

static void end_thread(struct fa_family *f, const struct fa_process *p, const struct fa_thread *t)
{
	const struct fa_rec_thread_end r = {
		.process = p->record.process,
		.thread = t->serial,
		.stamp = fa_drain_stamp(f->header.clock_source),
	};

	take_buffers(f, p, t);
	family_end_losers(f, p->slot, t);
	family_emit(f, FA_TAG_THREAD_END, &r, sizeof(r), NULL, 0, NULL, 0);
}

static void end_threads(struct fa_family *f, struct fa_process *p)
{
	size_t left = 0;

	for (size_t i = 0; i < p->thread_count; i++) {
		if (p->threads[i].dead)
			end_thread(f, p, &p->threads[i]);
		else
			p->threads[left++] = p->threads[i];
	}
	p->thread_count = left;
}

static void note_emptiness(struct fa_family *f, bool all_gone, bool main_gone, uint64_t now)
{
	bool lives = !f->main_adopted && !main_gone;

	for (uint32_t i = 0; i < FA_ARENA_PROCESSES && !lives; i++)
		lives = f->slot[i] != NULL;
	f->all_gone = all_gone && !lives;
	if (lives)
		f->empty_since_ns = 0;
	else if (f->empty_since_ns == 0)
		f->empty_since_ns = now;
}

/* Who is gone now has committed all that he ever will: it is in the sweep that begins next. */
static void look_for_gone(struct fa_family *f, bool all_gone)
{
	struct fa_reap *r = &f->reap;

	*r = (struct fa_reap){.on = true, .all_gone = all_gone, .now = fa_mono_ns()};
	if (!all_gone)
		find_unknown(f, r->now);
	r->main_gone = all_gone || f->main_exited ||
		       fa_procfs_gone(f->info.pid, f->main_start_time);
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++) {
		if (f->slot[i] == NULL)
			continue;
		r->gone[i] = all_gone || is_gone(f, f->slot[i]);
		if (r->gone[i])
			continue;
		r->threads_gone |= look_at_threads(f, f->slot[i], r->now);
		family_sample(f, f->slot[i], r->now);
	}
}

void family_finish_reap(struct fa_family *f)
{
	struct fa_reap *r = &f->reap;
	unsigned full;

	r->on = false;
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++) {
		/* all_gone: also those whom the sweep has just met */
		if (f->slot[i] != NULL && (r->gone[i] || r->all_gone))
			end_process(f, f->slot[i]);
		else if (f->slot[i] != NULL && r->threads_gone)
			end_threads(f, f->slot[i]);
	}
	note_emptiness(f, r->all_gone, r->main_gone, r->now);
	f->kept_buffers = family_count_taken(f, &f->kept_slots, &full);
}

static int reap(struct fa_family *f, const struct fa_sink *sink, bool all_gone, uint64_t until)
{
	int e;

	f->sink = sink;
	f->error = 0;
	if (f->sweeping)
		(void)family_continue_sweep(f, until);
	e = f->sweeping ? 1 : 0;
	if (e == 0) {
		look_for_gone(f, all_gone);
		e = family_begin_sweep(f);
		f->reap.on = e == 0;
	}
	if (e == 0)
		(void)family_continue_sweep(f, until);
	f->sink = NULL;
	return f->error < 0 ? f->error : e;
}

int fa_family_reap(struct fa_family *f, const struct fa_sink *sink, bool all_gone)
{
	return reap(f, sink, all_gone, FA_NO_HURRY);
}

int fa_family_reap_until(struct fa_family *f, const struct fa_sink *sink, uint64_t until)
{
	return reap(f, sink, false, until);
}
