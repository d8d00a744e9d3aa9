/*
 * locks.c - the view of waits for locks, by stack; most time first. Words: analysis/locks.h. A stack is that of
 * the call that waited; of its longest wait the lock and the thread that had it then are named.
 */
#include <inttypes.h>

#include "base/parse.h"
#include "report/call_rows.h"
#include "report/report_internal.h"

enum { TOTAL, LONGEST, WAITS, TIMED_OUT };

static void numbers(const struct fa_replay *replay, size_t i, uint64_t *ret)
{
	const struct fa_lock_site *s = replay->locks.site;

	if (i >= replay->locks.site_count)
		return;
	s += i;
	ret[TOTAL] = s->total;
	ret[LONGEST] = s->longest;
	ret[WAITS] = s->waits;
	ret[TIMED_OUT] = s->timed_out;
}

static const char *kind_name(uint32_t kind)
{
	static const char *const names[] = {"mutex", "rwlock, to read", "rwlock, to write"};

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "lock";
}

/* Of the thread that had it; "": not known. */
static const char *owner_name(const struct fa_replay *p, const struct fa_lock_site *s)
{
	for (size_t i = 0; s->owner != 0 && i < p->model.thread_count; i++)
		if (p->model.threads[i]->process == s->process &&
		    (uint32_t)p->model.threads[i]->tid == s->owner)
			return p->model.threads[i]->name;
	return "";
}

static void put_row(const struct fa_report *r, FILE *out, const struct fa_call_row *row)
{
	const struct fa_lock_site *s = &r->replay->locks.site[row->site];
	char a[32], b[32], c[32], d[32];

	(void)fprintf(
		out, "\n%s%s in %s wait%s%s, longest %s", r->color ? "\033[1m" : "",
		fa_format_duration(a, sizeof(a), fa_replay_ticks_ns(r->replay, row->n[TOTAL])),
		fa_format_count(b, sizeof(b), row->n[WAITS]), row->n[WAITS] == 1 ? "" : "s",
		r->color ? "\033[0m" : "",
		fa_format_duration(c, sizeof(c), fa_replay_ticks_ns(r->replay, row->n[LONGEST])));
	if (row->n[TIMED_OUT] != 0)
		(void)fprintf(out, ", %s given up",
			      fa_format_count(d, sizeof(d), row->n[TIMED_OUT]));
	if (r->by_function && row->stacks > 1)
		(void)fprintf(out, ", %s stacks", fa_format_count(d, sizeof(d), row->stacks));
	(void)fprintf(out, "\n    (longest: %s 0x%" PRIx64, kind_name(s->kind), s->lock);
	if (s->owner != 0) {
		(void)fprintf(out, ", that thread %u ", s->owner);
		fa_text_clean(out, owner_name(r->replay, s));
		(void)fputs(" had", out);
	}
	(void)fputs(")\n", out);
}

int fa_text_locks(const struct fa_report *r, FILE *out, unsigned top)
{
	const struct fa_locks *l = &r->replay->locks;
	char a[32], b[32], c[32];
	struct fa_call_rows rows;
	int err = fa_call_rows_new(r, numbers, 1 << LONGEST, &rows);

	if (err < 0)
		return err;
	(void)fprintf(out, "\n  waited for locks: %s in %s waits, longest %s\n",
		      fa_format_duration(a, sizeof(a), fa_replay_ticks_ns(r->replay, l->total)),
		      fa_format_count(b, sizeof(b), l->waits),
		      fa_format_duration(c, sizeof(c), fa_replay_ticks_ns(r->replay, l->longest)));
	if (!l->any)
		(void)fputs("  no wait is in the trace: see firstalloc-enable(1), --flags lock\n",
			    out);
	for (size_t i = 0; i < rows.count && i < top && err == 0; i++) {
		put_row(r, out, &rows.row[i]);
		err = fa_text_stack(r, out, rows.row[i].chain, UINT32_MAX);
	}
	if (rows.count > top)
		(void)fprintf(out, "\n... and %zu more; --top %zu shows all\n", rows.count - top,
			      rows.count);
	fa_call_rows_done(&rows);
	return err;
}

static void put_time(const struct fa_report *r, struct fa_json *j, const char *key, uint64_t ticks)
{
	fa_json_u64(j, key, fa_replay_ticks_ns(r->replay, ticks));
}

static void put_longest(const struct fa_report *r, struct fa_json *j, const struct fa_lock_site *s)
{
	char lock[24];

	(void)snprintf(lock, sizeof(lock), "0x%" PRIx64, s->lock);
	fa_json_object(j, "longest");
	put_time(r, j, "wait_ns", s->longest);
	fa_json_string(j, "lock", lock);
	fa_json_string(j, "kind", kind_name(s->kind));
	if (s->owner != 0) {
		fa_json_u64(j, "owner_tid", s->owner);
		fa_json_string(j, "owner_name", owner_name(r->replay, s));
	}
	fa_json_i64(j, "pid", s->process->pid);
	fa_json_end_object(j);
}

int fa_json_locks(const struct fa_report *r, struct fa_json *j)
{
	const struct fa_locks *l = &r->replay->locks;
	struct fa_call_rows rows;
	int err = fa_call_rows_new(r, numbers, 1 << LONGEST, &rows);

	if (err < 0)
		return err;
	fa_json_u64(j, "waits", l->waits);
	fa_json_u64(j, "given_up", l->timed_out);
	put_time(r, j, "wait_ns", l->total);
	put_time(r, j, "longest_ns", l->longest);
	fa_json_u64(j, "row_count", rows.count);
	fa_json_array(j, "rows");
	for (size_t i = 0; i < rows.count && (r->top == 0 || i < r->top) && err == 0; i++) {
		const struct fa_call_row *row = &rows.row[i];

		fa_json_object(j, NULL);
		fa_json_u64(j, "waits", row->n[WAITS]);
		fa_json_u64(j, "given_up", row->n[TIMED_OUT]);
		put_time(r, j, "wait_ns", row->n[TOTAL]);
		put_longest(r, j, &l->site[row->site]);
		err = fa_report_json_stack(j, r, row->chain);
		fa_json_u64(j, "stacks", row->stacks);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
	fa_call_rows_done(&rows);
	return err;
}
