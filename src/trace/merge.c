/*
 * merge.c - see merge.h.
 *
 * A trace consists of sweeps of its collector, each with a PASS record at its end. Sweeps are copied
 * whole, the one that began first before the others. A reader takes PASS to say: what was recorded before
 * the last PASS began is there by now. In the result that must hold for each of the traces, so a PASS is
 * written only when every trace has had a sweep since the last one, and it says the smallest of their
 * times. A trace that has its next sweep only much later had nothing to tell meanwhile: it is not waited
 * for.
 *
 * Each trace is read twice: first what it is and how many numbers it uses, then its records. One file, though long:
 * both readings share what is known of each trace.
 */
#include "trace/merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "trace/clock.h"
#include "trace/writer.h"

enum {
	SWEEP_MOST = 32 << 20, /* bytes of a sweep that are held; more of it is copied at once */
	IDLE_PART = 20,        /* a trace without a sweep for a second's 20th is idle */
	HZ_PART = 1000,        /* clocks of two boots may differ by so much */
};

struct born { /* a process, to find it in two traces */
	uint64_t start_stamp;
	int32_t pid;
	unsigned source;
};

struct source {
	struct fa_merge_input *input;
	struct fa_trace_reader *reader;
	struct fa_trace_clock clock;
	struct fa_rec_machine machine;
	struct fa_rec_session session;
	struct fa_buf machine_tail;
	char boot[64], name[64];
	struct fa_rec_end end;
	uint32_t most_process, most_arena; /* numbers that it uses */
	uint32_t process_base, arena_base; /* what is added to them */
	uint64_t shift;                    /* added to its stamps */
	/* The sweep that comes next. */
	struct fa_buf sweep;
	uint64_t sweep_stamp;
	bool whole;    /* it has come to its PASS, or to the end of the trace */
	bool finished; /* nothing is left */
	bool started;  /* a sweep of it was copied */
	bool advanced; /* since the last PASS of the result */
	uint64_t latest;     /* when the last sweep that was copied began */
	uint64_t last_stamp; /* the last moment that it told of */
};

struct merge {
	struct fa_merge *m;
	struct source source[FA_MERGE_MOST];
	struct fa_trace_writer *w;
	struct born *born;
	size_t born_count, born_cap;
	uint64_t passes;
	uint64_t idle_ticks;
	uint64_t end_stamp;
};

static int refuse(struct merge *g, const struct source *s, const char *why)
{
	g->m->at = (unsigned)(s - g->source);
	(void)snprintf(g->m->why, sizeof(g->m->why), "%s", why);
	return -EINVAL;
}

/* ---- the first reading ---- */

static int note_process(struct merge *g, const struct source *s, const struct fa_rec_process *p)
{
	if (g->born_count == g->born_cap) {
		size_t cap = g->born_cap ? 2 * g->born_cap : 64;
		struct born *bigger = reallocarray(g->born, cap, sizeof(*bigger));

		if (bigger == NULL)
			return -ENOMEM;
		g->born = bigger;
		g->born_cap = cap;
	}
	g->born[g->born_count++] =
		(struct born){p->start_stamp, p->pid, (unsigned)(s - g->source)};
	return 0;
}

static void nth_string(const struct fa_trace_record *rec, unsigned n, char *to, size_t size)
{
	const unsigned char *tail = rec->tail;
	size_t len = rec->tail_len;
	const char *text = "";

	for (unsigned i = 0; i <= n; i++)
		text = fa_trace_string(&tail, &len);
	(void)snprintf(to, size, "%s", text);
}

static void use_number(uint32_t number, uint32_t *most)
{
	if (number > *most)
		*most = number;
}

static int look_at(struct merge *g, struct source *s, const struct fa_trace_record *rec)
{
	switch (rec->tag) {
	case FA_TAG_MACHINE:
		memcpy(&s->machine, rec->head, sizeof(s->machine));
		fa_trace_clock_machine(&s->clock, rec->head);
		nth_string(rec, 5, s->boot, sizeof(s->boot));
		fa_buf_clear(&s->machine_tail);
		fa_buf_add(&s->machine_tail, rec->tail, rec->tail_len);
		return s->machine_tail.error;
	case FA_TAG_SESSION:
		memcpy(&s->session, rec->head, sizeof(s->session));
		nth_string(rec, 0, s->name, sizeof(s->name));
		return 0;
	case FA_TAG_CLOCK:
		fa_trace_clock_add(&s->clock, rec->head);
		return 0;
	case FA_TAG_PROCESS:
		use_number(((const struct fa_rec_process *)rec->head)->process, &s->most_process);
		use_number(((const struct fa_rec_process *)rec->head)->arena, &s->most_arena);
		return note_process(g, s, rec->head);
	case FA_TAG_EVENTS:
	case FA_TAG_CALLS:
		use_number(((const struct fa_rec_events *)rec->head)->process, &s->most_process);
		return 0;
	case FA_TAG_NODES:
		use_number(((const struct fa_rec_nodes *)rec->head)->arena, &s->most_arena);
		return 0;
	case FA_TAG_MODULE:
		use_number(((const struct fa_rec_module *)rec->head)->arena, &s->most_arena);
		return 0;
	case FA_TAG_END:
		memcpy(&s->end, rec->head, sizeof(s->end));
		s->input->ended = true;
		return 0;
	default:
		return 0;
	}
}

static int scan(struct merge *g, struct source *s)
{
	struct fa_trace_record rec;
	int r = fa_trace_reader_open(s->input->path, &s->reader);

	g->m->at = (unsigned)(s - g->source);
	while (r == 0 && fa_trace_reader_next(s->reader, &rec) > 0)
		r = look_at(g, s, &rec);
	if (r < 0)
		return r;
	s->input->damage = fa_trace_reader_damage(s->reader);
	fa_trace_reader_free(s->reader);
	s->reader = NULL;
	if (s->input->damage.unknown_records != 0)
		return refuse(g, s, "it has records of a newer version, which would be left out");
	return fa_trace_reader_open(s->input->path, &s->reader);
}

/* ---- do they fit? ---- */

static bool hz_fits(uint64_t a, uint64_t b)
{
	uint64_t difference = a > b ? a - b : b - a;

	return difference <= a / HZ_PART;
}

/* Where the first trace's clock shows the time of day at which this one began. */
static uint64_t shift_of(const struct source *first, const struct source *s)
{
	uint64_t there = fa_trace_clock_real_ns(&first->clock, first->clock.first.stamp);
	int64_t later = (int64_t)(s->clock.first.real_ns - there);
	__extension__ typedef __int128 wide;
	wide ticks = (wide)later;

	if (first->clock.source != FA_CLOCK_MONOTONIC && first->clock.scale != 0)
		ticks = ((wide)later << 48) / (wide)first->clock.scale;
	return first->clock.first.stamp + (uint64_t)ticks - s->clock.first.stamp;
}

static int fit(struct merge *g, struct source *s)
{
	const struct source *first = &g->source[0];
	char why[200];

	if (s->clock.count == 0)
		return refuse(g, s, "it has no clock records: its times are not known");
	if (s->machine.clock_source != first->machine.clock_source)
		return refuse(g, s, "its stamps are of another kind of clock (TSC, CLOCK_MONOTONIC)");
	if (strcmp(s->boot, first->boot) == 0 && s->boot[0] != '\0')
		return 0;
	if (!g->m->shift) {
		(void)snprintf(why, sizeof(why),
			       "it is of another boot or machine (boot id %.40s, not %.40s); --shift "
			       "puts it where it belongs by the time of day",
			       s->boot[0] ? s->boot : "unknown",
			       first->boot[0] ? first->boot : "unknown");
		return refuse(g, s, why);
	}
	if (!hz_fits(first->machine.clock_hz, s->machine.clock_hz))
		return refuse(g, s, "its clock has another speed, so that it cannot be shifted");
	s->input->shifted = true;
	s->shift = shift_of(first, s);
	return 0;
}

static int number_all(struct merge *g)
{
	for (unsigned i = 1; i < g->m->count; i++) {
		const struct source *before = &g->source[i - 1];
		struct source *s = &g->source[i];

		if (UINT32_MAX - before->process_base - before->most_process < s->most_process ||
		    UINT32_MAX - before->arena_base - before->most_arena < s->most_arena)
			return refuse(g, s, "together they have too many processes");
		s->process_base = before->process_base + before->most_process;
		s->arena_base = before->arena_base + before->most_arena;
	}
	return 0;
}

static int compare_born(const void *a, const void *b)
{
	const struct born *x = a, *y = b;

	if (x->start_stamp != y->start_stamp)
		return x->start_stamp < y->start_stamp ? -1 : 1;
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->source < y->source ? -1 : x->source > y->source;
}

static uint32_t count_twice(struct merge *g)
{
	uint32_t n = 0;

	if (g->born_count != 0)
		qsort(g->born, g->born_count, sizeof(*g->born), compare_born);
	for (size_t i = 1; i < g->born_count; i++) {
		const struct born *a = &g->born[i - 1], *b = &g->born[i];

		n += a->start_stamp == b->start_stamp && a->pid == b->pid &&
		     a->source != b->source;
	}
	return n;
}

/* ---- the second reading ---- */

static void move_number(uint32_t *number, uint32_t base)
{
	if (*number != 0)
		*number += base;
}

static void move_stamp(struct source *s, uint64_t *stamp)
{
	*stamp += s->shift;
	if (*stamp > s->last_stamp)
		s->last_stamp = *stamp;
}

/* Room for the fixed part of any record. */
union any {
	uint64_t words[32];
	struct fa_rec_clock clock;
	struct fa_rec_process process;
	struct fa_rec_process_end process_end;
	struct fa_rec_thread thread;
	struct fa_rec_thread_end thread_end;
	struct fa_rec_module module;
	struct fa_rec_nodes nodes;
	struct fa_rec_events events;
	struct fa_rec_lost lost;
	struct fa_rec_thread_lost thread_lost;
	struct fa_rec_pass pass;
	struct fa_rec_mark mark;
	struct fa_rec_update update;
	struct fa_rec_extents extents;
	struct fa_rec_snapshot snapshot;
	struct fa_rec_blocks blocks;
	struct fa_rec_snapshot_end snapshot_end;
};

/* The record with the numbers and stamps of the result. false: it is not copied. A tag without a case
 * here does not compile: each new record must be thought of. */
static bool translate(struct source *s, unsigned tag, union any *r)
{
	switch ((enum fa_trace_tag)tag) {
	case FA_TAG_MACHINE:
	case FA_TAG_SESSION:
	case FA_TAG_END:
	case FA_TAG_PASS:
		return false;
	case FA_TAG_CLOCK:
		move_stamp(s, &r->clock.stamp);
		return !s->input->shifted; /* other clocks: they would bend the line of the first */
	case FA_TAG_PROCESS:
		move_number(&r->process.process, s->process_base);
		move_number(&r->process.parent, s->process_base);
		move_number(&r->process.arena, s->arena_base);
		r->process.start_stamp += s->shift;
		return true;
	case FA_TAG_PROCESS_END:
		move_number(&r->process_end.process, s->process_base);
		move_stamp(s, &r->process_end.stamp);
		return true;
	case FA_TAG_THREAD:
		move_number(&r->thread.process, s->process_base);
		if (r->thread.stamp != 0)
			r->thread.stamp += s->shift;
		return true;
	case FA_TAG_THREAD_END:
		move_number(&r->thread_end.process, s->process_base);
		move_stamp(s, &r->thread_end.stamp);
		return true;
	case FA_TAG_MODULE:
		move_number(&r->module.arena, s->arena_base);
		r->module.stamp += s->shift;
		return true;
	case FA_TAG_NODES:
		move_number(&r->nodes.arena, s->arena_base);
		return true;
	case FA_TAG_EVENTS:
	case FA_TAG_CALLS:
		move_number(&r->events.process, s->process_base);
		r->events.state.stamp += s->shift;
		return true;
	case FA_TAG_EXTENTS:
		move_number(&r->extents.process, s->process_base);
		move_stamp(s, &r->extents.stamp);
		return true;
	case FA_TAG_THREAD_LOST:
		move_number(&r->thread_lost.process, s->process_base);
		move_stamp(s, &r->thread_lost.stamp);
		return true;
	case FA_TAG_LOST:
		move_number(&r->lost.process, s->process_base);
		move_stamp(s, &r->lost.stamp);
		return true;
	case FA_TAG_MARK:
		move_stamp(s, &r->mark.stamp);
		return true;
	case FA_TAG_UPDATE:
		move_stamp(s, &r->update.stamp);
		return true;
	case FA_TAG_SNAPSHOT:
		move_number(&r->snapshot.process, s->process_base);
		move_stamp(s, &r->snapshot.stamp);
		r->snapshot.begin_stamp += s->shift;
		return true;
	case FA_TAG_BLOCKS:
		move_number(&r->blocks.process, s->process_base);
		r->blocks.begin_stamp += s->shift;
		return true;
	case FA_TAG_SNAPSHOT_END:
		move_number(&r->snapshot_end.process, s->process_base);
		return true;
	case FA_TAG_COVERAGE:
		return true;
	}
	return false;
}

struct held {
	uint32_t tag;
	uint32_t head_len;
	uint64_t tail_len;
};

static void hold(struct source *s, const struct fa_trace_record *rec)
{
	struct held h = {.tag = rec->tag, .tail_len = rec->tail_len};
	union any r = {0};

	h.head_len = (uint32_t)fa_trace_tag_size(rec->tag);
	memcpy(&r, rec->head, h.head_len);
	if (!translate(s, rec->tag, &r))
		return;
	fa_buf_add(&s->sweep, &h, sizeof(h));
	fa_buf_add(&s->sweep, &r, h.head_len);
	fa_buf_add(&s->sweep, rec->tail, rec->tail_len);
}

/* The next sweep of this trace, or as much of it as may be held. */
static int read_sweep(struct source *s)
{
	struct fa_trace_record rec;

	fa_buf_clear(&s->sweep);
	s->whole = true;
	while (fa_trace_reader_next(s->reader, &rec) > 0) {
		if (rec.tag == FA_TAG_PASS) {
			s->sweep_stamp =
				((const struct fa_rec_pass *)rec.head)->stamp + s->shift;
			if (s->sweep_stamp > s->last_stamp)
				s->last_stamp = s->sweep_stamp;
			return 0;
		}
		hold(s, &rec);
		if (s->sweep.error < 0)
			return s->sweep.error;
		if (s->sweep.len > SWEEP_MOST) {
			s->whole = false;
			s->sweep_stamp = s->latest;
			return 0;
		}
	}
	s->finished = s->sweep.len == 0;
	s->sweep_stamp = s->last_stamp;
	return 0;
}

static int copy_sweep(struct merge *g, struct source *s)
{
	const char *p = s->sweep.data, *end = p + s->sweep.len;
	struct held h;
	union any r;
	int e = 0;

	while (e == 0 && p != end) {
		memcpy(&h, p, sizeof(h));
		memcpy(&r, p + sizeof(h), h.head_len);
		p += sizeof(h) + h.head_len;
		e = fa_trace_write(g->w, h.tag, &r, h.head_len, p, h.tail_len, NULL, 0);
		p += h.tail_len;
	}
	if (s->last_stamp > g->end_stamp)
		g->end_stamp = s->last_stamp;
	s->started = true;
	s->advanced |= s->whole;
	s->latest = s->sweep_stamp;
	return e;
}

/* Would a reader wait for this trace? Not if it has nothing for longer than sweeps take. */
static bool is_idle(const struct merge *g, const struct source *s, uint64_t now)
{
	return !s->started || s->finished ||
	       (s->sweep_stamp > now && s->sweep_stamp - now > g->idle_ticks);
}

static int write_pass(struct merge *g, const struct source *just)
{
	struct fa_rec_pass pass = {.stamp = just->latest};

	if (!just->advanced)
		return 0;
	for (unsigned i = 0; i < g->m->count; i++) {
		const struct source *s = &g->source[i];

		if (s == just || is_idle(g, s, just->latest))
			continue;
		if (!s->advanced)
			return 0;
		if (s->latest < pass.stamp)
			pass.stamp = s->latest;
	}
	for (unsigned i = 0; i < g->m->count; i++)
		g->source[i].advanced = false;
	pass.number = ++g->passes;
	return fa_trace_write(g->w, FA_TAG_PASS, &pass, sizeof(pass), NULL, 0, NULL, 0);
}

static struct source *earliest(struct merge *g)
{
	struct source *first = NULL;

	for (unsigned i = 0; i < g->m->count; i++) {
		struct source *s = &g->source[i];

		if (!s->finished && (first == NULL || s->sweep_stamp < first->sweep_stamp))
			first = s;
	}
	return first;
}

static int copy_all(struct merge *g)
{
	struct source *s;
	int e = 0;

	for (unsigned i = 0; i < g->m->count && e == 0; i++)
		e = read_sweep(&g->source[i]);
	while (e == 0 && (s = earliest(g)) != NULL) {
		e = copy_sweep(g, s);
		if (e == 0)
			e = read_sweep(s);
		if (e == 0)
			e = write_pass(g, s);
	}
	return e;
}

/* ---- beginning and end ---- */

static int write_preface(struct merge *g)
{
	const struct source *first = &g->source[0];
	struct fa_rec_session session = first->session;
	struct fa_buf text = {0};
	int e = fa_trace_write(g->w, FA_TAG_MACHINE, &first->machine, sizeof(first->machine),
			       first->machine_tail.data, first->machine_tail.len, NULL, 0);

	for (unsigned i = 0; i < g->m->count; i++) {
		const struct source *s = &g->source[i];

		if (s->session.start_real < session.start_real)
			session.start_real = s->session.start_real;
		fa_buf_printf(&text, "%s%s", i ? "+" : "", s->name);
	}
	fa_buf_add(&text, "", 1);
	fa_buf_printf(&text, "merged from %u traces", g->m->count);
	fa_buf_add(&text, "", 1);
	if (e == 0)
		e = text.error;
	if (e == 0)
		e = fa_trace_write(g->w, FA_TAG_SESSION, &session, sizeof(session), text.data,
				   text.len, NULL, 0);
	fa_buf_done(&text);
	return e;
}

static int write_end(struct merge *g)
{
	struct fa_rec_end end = {.stamp = g->end_stamp};
	bool ended = true;

	for (unsigned i = 0; i < g->m->count; i++) {
		const struct source *s = &g->source[i];
		uint64_t stamp = s->end.stamp + s->shift;

		ended &= s->input->ended;
		end.events += s->end.events;
		end.lost += s->end.lost;
		if (s->input->ended && stamp > end.stamp)
			end.stamp = stamp;
		if (end.reason == 0) {
			end.reason = s->end.reason;
			end.error = s->end.error;
		}
	}
	g->m->events = end.events;
	g->m->lost = end.lost;
	/* Nobody knows what the one that was cut would have had to say. */
	return ended ? fa_trace_writer_end(g->w, &end, "merged") : fa_trace_writer_flush(g->w);
}

static int merge_all(struct merge *g, int fd)
{
	const struct fa_trace_writer_options o = {.codec = FA_CODEC_ZSTD};
	int e = 0;

	for (unsigned i = 0; i < g->m->count && e == 0; i++) {
		g->source[i].input = &g->m->input[i];
		e = scan(g, &g->source[i]);
	}
	for (unsigned i = 0; i < g->m->count && e == 0; i++)
		e = fit(g, &g->source[i]);
	if (e == 0)
		e = number_all(g);
	if (e < 0)
		return e;
	g->m->twice = count_twice(g);
	g->idle_ticks = (g->source[0].machine.clock_hz ? g->source[0].machine.clock_hz
						       : 1000000000u) /
			IDLE_PART;
	g->m->at = FA_MERGE_MOST; /* from here on an error is of writing */
	e = fa_trace_writer_open(fd, &o, &g->w);
	if (e == 0)
		e = write_preface(g);
	if (e == 0)
		e = copy_all(g);
	if (e == 0)
		e = write_end(g);
	if (e == 0)
		g->m->bytes = fa_trace_writer_bytes(g->w);
	return e;
}

int fa_trace_merge(struct fa_merge *m, int fd)
{
	struct merge *g = calloc(1, sizeof(*g));
	int e;

	m->why[0] = '\0';
	if (g == NULL)
		return -ENOMEM;
	g->m = m;
	e = merge_all(g, fd);
	for (unsigned i = 0; i < m->count; i++) {
		fa_trace_reader_free(g->source[i].reader);
		fa_buf_done(&g->source[i].machine_tail);
		fa_buf_done(&g->source[i].sweep);
	}
	fa_trace_writer_free(g->w);
	free(g->born);
	free(g);
	return e;
}
