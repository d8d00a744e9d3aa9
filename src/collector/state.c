/*
 * state.c - how far a family was read, as bytes: for a collector that follows one that was killed.
 *
 * The bytes come from our own predecessor, out of memory that no traced program can reach. They are still
 * checked, for it may have died of a bug. What the arena itself says is believed no more than ever: of a
 * buffer or slot that was to be given back, whether that still has to be done.
 *
 * Not kept: what can be found again (pids, names of threads), and processes that ended.
 */
#include <errno.h>
#include <stdlib.h>

#include "collector/family_internal.h"

#define STATE_MAGIC 0x32455441545346ULL /* "FSTATE2" */

enum { SAVED_THREADS = 8192 };

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct saved_head {
	uint64_t magic;
	uint32_t arena;
	uint32_t next_node;
	uint32_t next_module;
	uint32_t main_adopted;
	uint32_t holes, processes, slots_done, readings, losers, threads; /* what follows, in this order */
	uint64_t untraced, events, lost, passes;
};

struct saved_process {
	struct fa_rec_process record;
	uint32_t slot;
	uint32_t generation;
	int32_t own_pid;
	int32_t pid;
	uint32_t known;
	uint32_t reserved;
	uint64_t start_time, events, bytes;
	uint64_t lost[FA_LOST_CAUSES], lost_seen[FA_LOST_CAUSES], lost_told[FA_LOSER_CAUSES];
};

struct saved_slot {
	uint32_t slot;
	uint32_t generation; /* that it gets when it is given back */
};

struct saved_loser {
	uint32_t place;
	uint32_t done;
	uint64_t who;
	uint64_t lost[FA_LOSER_CAUSES];
};

/* For status: what it recorded. Its losses follow from the losers. */
struct saved_thread {
	uint32_t slot;
	uint32_t serial;
	int32_t own_tid;
	uint32_t damaged;
	uint64_t events;
};

struct saved_reading {
	uint32_t id;
	uint32_t slot;
	uint32_t thread;
	uint32_t seq;
	uint32_t read;
	uint8_t bad;
	uint8_t done;
	uint16_t reserved;
	uint64_t lost_before;
	struct fa_event_state state;
};
#pragma GCC diagnostic pop

/* --- save ------------------------------------------------------------------------------------ */

struct out {
	unsigned char *at;
	size_t left;
	bool full;
};

static void put(struct out *o, const void *data, size_t len)
{
	if (len > o->left)
		o->full = true;
	if (o->full || len == 0)
		return;
	memcpy(o->at, data, len);
	o->at += len;
	o->left -= len;
}

static void put_process(struct out *o, const struct fa_process *p)
{
	struct saved_process s = {
		.record = p->record,
		.slot = p->slot,
		.generation = p->generation,
		.own_pid = p->own_pid,
		.pid = p->pid,
		.known = p->known,
		.start_time = p->start_time,
		.events = p->events,
		.bytes = p->bytes,
	};

	memcpy(s.lost, p->lost, sizeof(s.lost));
	memcpy(s.lost_seen, p->lost_seen, sizeof(s.lost_seen));
	memcpy(s.lost_told, p->lost_told, sizeof(s.lost_told));
	put(o, &s, sizeof(s));
}

static void put_reading(struct out *o, const struct fa_reading *r, uint32_t id)
{
	struct saved_reading s = {
		.id = id,
		.slot = r->done != FA_DONE_NOT ? r->slot : r->process->slot,
		.thread = r->thread,
		.seq = r->seq,
		.read = r->read,
		.bad = r->bad,
		.done = r->done,
		.lost_before = r->lost_before,
		.state = r->state,
	};

	put(o, &s, sizeof(s));
}

static void put_losers(struct out *o, const struct fa_family *f)
{
	for (uint32_t i = 0; f->loser != NULL && i < FA_LOSERS_MAX; i++) {
		struct saved_loser s = {.place = i, .done = f->loser[i].done, .who = f->loser[i].who};

		if (s.who == 0)
			continue;
		memcpy(s.lost, f->loser[i].lost, sizeof(s.lost));
		put(o, &s, sizeof(s));
	}
}

static uint32_t count_losers(const struct fa_family *f)
{
	uint32_t n = 0;

	for (uint32_t i = 0; f->loser != NULL && i < FA_LOSERS_MAX; i++)
		n += f->loser[i].who != 0;
	return n;
}

/* As many as there is room for: those behind begin to count anew. o NULL: only how many. */
static uint32_t put_threads(struct out *o, const struct fa_family *f)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++)
		for (size_t k = 0; f->slot[i] != NULL && k < f->slot[i]->thread_count && n < SAVED_THREADS; k++, n++) {
			const struct fa_thread *t = &f->slot[i]->threads[k];
			struct saved_thread s = {.slot = i, .serial = t->serial, .own_tid = t->own_tid,
						 .damaged = (uint32_t)t->lost[FA_LOST_DAMAGED], .events = t->events};

			if (o != NULL)
				put(o, &s, sizeof(s));
		}
	return n;
}

static bool is_kept(const struct fa_reading *r)
{
	return r->process != NULL || r->done != FA_DONE_NOT;
}

size_t fa_family_save(const struct fa_family *f, void *to, size_t size)
{
	struct out o = {to, size, false};
	struct saved_head h = {
		.magic = STATE_MAGIC,
		.arena = f->arena,
		.next_node = f->next_node,
		.next_module = f->next_module,
		.main_adopted = f->main_adopted,
		.holes = f->hole_count,
		.untraced = f->untraced,
		.events = f->events,
		.lost = f->lost,
		.passes = f->passes,
	};

	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++) {
		h.processes += f->slot[i] != NULL;
		h.slots_done += f->slot_done[i];
	}
	for (uint32_t i = 0; i < f->buffers; i++)
		h.readings += is_kept(&f->reading[i]);
	h.losers = count_losers(f);
	h.threads = put_threads(NULL, f);
	put(&o, &h, sizeof(h));
	put(&o, f->holes, h.holes * sizeof(f->holes[0]));
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++)
		if (f->slot[i] != NULL)
			put_process(&o, f->slot[i]);
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++)
		if (f->slot_done[i])
			put(&o, &(struct saved_slot){i, f->generation[i]},
			    sizeof(struct saved_slot));
	for (uint32_t i = 0; i < f->buffers; i++)
		if (is_kept(&f->reading[i]))
			put_reading(&o, &f->reading[i], i);
	put_losers(&o, f);
	(void)put_threads(&o, f);
	return o.full ? 0 : size - o.left;
}

/* --- restore --------------------------------------------------------------------------------- */

struct in {
	const unsigned char *at;
	size_t left;
};

static bool get(struct in *in, void *data, size_t len)
{
	if (len > in->left)
		return false;
	memcpy(data, in->at, len);
	in->at += len;
	in->left -= len;
	return true;
}

static int restore_process(struct fa_family *f, struct in *in)
{
	struct saved_process s;
	struct fa_process *p;
	int r;

	if (!get(in, &s, sizeof(s)) || s.slot >= FA_ARENA_PROCESSES || f->slot[s.slot] != NULL ||
	    s.record.arena != f->arena)
		return -EBADMSG;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	p->record = s.record;
	p->slot = s.slot;
	p->generation = f->generation[s.slot] = s.generation;
	p->own_pid = s.own_pid;
	p->pid = s.pid;
	p->known = s.known;
	p->start_time = s.start_time;
	p->events = s.events;
	p->bytes = s.bytes;
	p->live = true;
	p->status = -1;
	memcpy(p->lost, s.lost, sizeof(p->lost));
	memcpy(p->lost_seen, s.lost_seen, sizeof(p->lost_seen));
	memcpy(p->lost_told, s.lost_told, sizeof(p->lost_told));
	r = family_describe_strings(f, p);
	if (r == 0)
		r = family_remember_process(f, p);
	if (r < 0) {
		family_forget_process(p);
		return r;
	}
	f->slot[s.slot] = p;
	return 0;
}

static int restore_slot_done(struct fa_family *f, struct in *in)
{
	struct saved_slot s;

	if (!get(in, &s, sizeof(s)) || s.slot >= FA_ARENA_PROCESSES || f->slot[s.slot] != NULL)
		return -EBADMSG;
	/* Given back already, and maybe taken again: then it is as any other. */
	if (arena_load(&family_slot(f, s.slot)->generation) == s.generation)
		return 0;
	f->generation[s.slot] = s.generation;
	f->slot_done[s.slot] = f->release_due = true;
	return 0;
}

/* Is it still to be given back? Once it was, its next owner writes another header. */
static bool still_held(const struct fa_family *f, const struct saved_reading *s)
{
	uint32_t state = arena_load(&family_buffer(f, s->id)->state);
	struct fa_arena_buffer b;

	if (state != FA_BUFFER_OWNED && state != FA_BUFFER_FULL)
		return false;
	arena_copy(&b, family_buffer(f, s->id), sizeof(b));
	return b.process == s->slot && b.thread == s->thread && b.buffer_seq == s->seq;
}

static int restore_reading(struct fa_family *f, struct in *in)
{
	struct saved_reading s;
	struct fa_reading *r;

	if (!get(in, &s, sizeof(s)) || s.id >= f->buffers || s.read > FA_BUFFER_DATA ||
	    s.done > FA_DONE_ORPHANED)
		return -EBADMSG;
	r = &f->reading[s.id];
	if (s.done != FA_DONE_NOT && !still_held(f, &s))
		return 0;
	r->thread = s.thread;
	r->seq = s.seq;
	if (s.done != FA_DONE_NOT) {
		r->done = s.done;
		r->slot = s.slot;
		f->release_due = true;
		return 0;
	}
	if (s.slot >= FA_ARENA_PROCESSES || f->slot[s.slot] == NULL)
		return -EBADMSG;
	r->process = f->slot[s.slot];
	r->read = s.read;
	r->bad = s.bad;
	r->lost_before = s.lost_before;
	r->state = s.state;
	family_meet_thread(f, r->process, s.thread & 0x7fffffff,
			   (int32_t)arena_load((const uint32_t *)&family_buffer(f, s.id)->tid), 0);
	return 0;
}

static int restore_loser(struct fa_family *f, struct in *in)
{
	struct saved_loser s;
	struct fa_loser *seen;

	if (!get(in, &s, sizeof(s)) || s.place >= FA_LOSERS_MAX)
		return -EBADMSG;
	if (f->loser == NULL)
		f->loser = calloc(FA_LOSERS_MAX, sizeof(*f->loser));
	if (f->loser == NULL)
		return -ENOMEM;
	seen = &f->loser[s.place];
	seen->who = s.who;
	memcpy(seen->lost, s.lost, sizeof(seen->lost));
	/* Given back already, and maybe taken again: then it is as any other. */
	seen->done = s.done != 0 && family_holds_loser(f, s.place);
	if (s.done != 0 && !seen->done)
		memset(seen, 0, sizeof(*seen));
	f->release_due |= seen->done;
	return 0;
}

static int restore_thread(struct fa_family *f, struct in *in)
{
	struct saved_thread s;
	struct fa_thread *t;

	if (!get(in, &s, sizeof(s)) || s.slot >= FA_ARENA_PROCESSES || f->slot[s.slot] == NULL)
		return -EBADMSG;
	family_meet_thread(f, f->slot[s.slot], s.serial, s.own_tid, 0);
	t = family_thread(f->slot[s.slot], s.serial);
	if (t == NULL)
		return 0;
	t->events = s.events;
	t->lost[FA_LOST_DAMAGED] = s.damaged;
	return 0;
}

/* Head and holes; in->at is the first process then. */
static bool get_head(struct in *in, struct saved_head *ret, uint32_t holes[FA_HOLES_MAX])
{
	return get(in, ret, sizeof(*ret)) && ret->magic == STATE_MAGIC &&
	       ret->holes <= FA_HOLES_MAX && get(in, holes, ret->holes * sizeof(holes[0]));
}

size_t fa_family_saved_processes(const void *from, size_t len, uint32_t *ret_process, size_t most)
{
	struct in in = {from, len};
	uint32_t holes[FA_HOLES_MAX];
	struct saved_process s;
	struct saved_head h;
	size_t n = 0;

	if (!get_head(&in, &h, holes))
		return 0;
	while (n < most && n < h.processes && get(&in, &s, sizeof(s)))
		ret_process[n++] = s.record.process;
	return n;
}

int fa_family_restore(struct fa_family *f, const void *from, size_t len)
{
	struct in in = {from, len};
	struct saved_head h;
	int r = 0;

	if (!get_head(&in, &h, f->holes) || h.next_node == 0 || h.next_node > f->nodes ||
	    h.next_module > f->modules)
		return -EBADMSG;
	f->arena = h.arena;
	f->next_node = h.next_node;
	f->next_module = h.next_module;
	f->main_adopted = h.main_adopted;
	f->hole_count = h.holes;
	f->untraced = h.untraced;
	f->events = h.events;
	f->lost = h.lost;
	f->passes = h.passes;
	for (uint32_t i = 0; i < f->hole_count; i++)
		if (f->holes[i] >= f->nodes)
			return -EBADMSG;
	for (uint32_t id = 0; id < f->next_module; id++)
		(void)family_take_module(f, id);
	for (uint32_t i = 0; i < h.processes && r == 0; i++)
		r = restore_process(f, &in);
	for (uint32_t i = 0; i < h.slots_done && r == 0; i++)
		r = restore_slot_done(f, &in);
	for (uint32_t i = 0; i < h.readings && r == 0; i++)
		r = restore_reading(f, &in);
	for (uint32_t i = 0; i < h.losers && r == 0; i++)
		r = restore_loser(f, &in);
	for (uint32_t i = 0; i < h.threads && r == 0; i++)
		r = restore_thread(f, &in);
	family_recount_losers(f);
	return r;
}
