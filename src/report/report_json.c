/* report_json.c - the views as one JSON object; the keys are an interface. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "report/report_internal.h"

void fa_report_json_amount(struct fa_json *j, const char *key, struct fa_amount a)
{
	fa_json_object(j, key);
	fa_json_u64(j, "blocks", a.blocks);
	fa_json_u64(j, "bytes", a.bytes);
	fa_json_end_object(j);
}

static void put_counts(struct fa_json *j, const char *key, const struct fa_event_counts *c)
{
	fa_json_object(j, key);
	fa_json_u64(j, "alloc", c->alloc);
	fa_json_u64(j, "realloc", c->realloc);
	fa_json_u64(j, "free", c->free);
	fa_json_end_object(j);
}

static void put_classes(struct fa_json *j, const char *key, const struct fa_amount *of)
{
	fa_json_object(j, key);
	fa_report_json_amount(j, "aifi", of[FA_AIFI]);
	fa_report_json_amount(j, "aifo", of[FA_AIFO]);
	fa_report_json_amount(j, "aofi", of[FA_AOFI]);
	fa_report_json_amount(j, "aofo", of[FA_AOFO]);
	fa_json_end_object(j);
}

static void put_losses(struct fa_json *j, const uint64_t lost[FA_LOST_CAUSES], uint64_t malformed)
{
	fa_json_object(j, "lost_by_cause");
	for (unsigned i = 0; i < FA_LOST_CAUSES; i++)
		if (lost[i] != 0)
			fa_json_u64(j, fa_lost_cause_name(i), lost[i]);
	if (malformed != 0)
		fa_json_u64(j, "unreadable", malformed);
	fa_json_end_object(j);
}

static void put_process(struct fa_json *j, const struct fa_replay *r, const struct fa_process *p)
{
	fa_json_object(j, NULL);
	fa_json_u64(j, "id", p->id);
	fa_json_i64(j, "pid", p->pid);
	fa_json_i64(j, "parent_pid", p->parent_pid);
	fa_json_string(j, "image", p->image);
	fa_json_string(j, "exe", p->exe);
	fa_json_u64(j, "uid", p->uid);
	fa_json_u64(j, "gid", p->gid);
	fa_json_string(j, "cgroup", p->cgroup);
	if (p->arguments[0] != '\0')
		fa_json_string(j, "arguments", p->arguments);
	fa_json_string(j, "origin",
		       p->origin == FA_ORIGIN_FORK    ? "fork"
		       : p->origin == FA_ORIGIN_WOKEN ? "woken"
						      : "exec");
	fa_json_u64(j, "threads", p->threads);
	fa_json_u64(j, "events", fa_event_sum(&p->events));
	put_counts(j, "events_by_kind", &p->events);
	fa_json_u64(j, "lost", fa_process_lost(p));
	fa_json_bool(j, "lost_unknown", p->lost_unknown);
	put_losses(j, p->lost, p->malformed);
	fa_json_u64(j, "outstanding_bytes", p->outstanding.bytes);
	fa_json_u64(j, "outstanding_blocks", p->outstanding.blocks);
	fa_json_u64(j, "inherited_bytes", p->inherited.bytes);
	fa_json_u64(j, "inherited_blocks", p->inherited.blocks);
	fa_json_bool(j, "inherited_inexact", p->fork_inexact || p->inherit_failed);
	fa_report_json_amount(j, "peak", p->peak);
	fa_report_json_amount(j, "total", p->total);
	fa_json_u64(j, "implied_frees", p->implied_frees);
	fa_json_u64(j, "unknown_frees", p->older ? 0 : p->unknown_frees);
	fa_json_u64(j, "preexisting_frees", p->older ? p->unknown_frees : 0);
	fa_json_bool(j, "incomplete", p->incomplete);
	fa_json_u64(j, "start_ns", fa_replay_time_ns(r, p->start_stamp));
	if (p->ended) {
		fa_json_u64(j, "end_ns", fa_replay_time_ns(r, p->end_stamp));
		fa_json_i64(j, "status", p->status);
	}
	fa_json_end_object(j);
}

static void put_processes(struct fa_json *j, const struct fa_replay *r)
{
	fa_json_array(j, "processes");
	for (size_t i = 0; i < r->model.process_count; i++)
		if (r->model.processes[i]->selected)
			put_process(j, r, r->model.processes[i]);
	fa_json_end_array(j);
}

static void put_threads(struct fa_json *j, const struct fa_replay *r)
{
	fa_json_array(j, "threads");
	for (size_t i = 0; i < r->model.thread_count; i++) {
		const struct fa_thread *t = r->model.threads[i];

		if (!t->selected || !t->process->selected)
			continue;
		fa_json_object(j, NULL);
		fa_json_i64(j, "pid", t->process->pid);
		fa_json_i64(j, "tid", t->tid);
		fa_json_string(j, "name", t->name);
		fa_json_u64(j, "events", fa_event_sum(&t->events));
		put_counts(j, "events_by_kind", &t->events);
		fa_json_u64(j, "lost", fa_thread_lost(t));
		put_losses(j, t->lost, 0);
		fa_report_json_amount(j, "total", t->total);
		fa_report_json_amount(j, "outstanding", t->outstanding);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
}

void fa_report_json_warnings(struct fa_json *j, const struct fa_replay *r)
{
	struct fa_buf lines = {0};

	fa_report_warnings(r, &lines);
	for (char *at = lines.data, *end; at != NULL && *at != '\0'; at = end + 1) {
		end = strchr(at, '\n');
		*end = '\0';
		fa_json_string(j, NULL, at);
	}
	fa_buf_done(&lines);
}

static void put_warnings(struct fa_json *j, const struct fa_replay *r)
{
	fa_json_array(j, "warnings");
	fa_report_json_warnings(j, r);
	fa_json_end_array(j);
	if (!r->damage.damaged && !r->damage.cut)
		return;
	fa_json_object(j, "damage");
	fa_json_bool(j, "cut", r->damage.cut);
	fa_json_bool(j, "damaged", r->damage.damaged);
	fa_json_u64(j, "offset", r->damage.offset);
	fa_json_u64(j, "bytes", r->damage.bytes);
	fa_json_string(j, "what", r->damage.what);
	fa_json_end_object(j);
}

static uint64_t selected_threads(const struct fa_model *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->thread_count; i++)
		n += m->threads[i]->selected && m->threads[i]->process->selected;
	return n;
}

static void put_peak(struct fa_json *j, const struct fa_replay *p)
{
	fa_json_object(j, "peak");
	fa_json_u64(j, "bytes", p->peak.bytes);
	fa_json_u64(j, "blocks", p->peak.blocks);
	fa_json_u64(j, "time_ns", p->peak.blocks == 0 ? 0 : fa_replay_time_ns(p, p->peak_stamp));
	fa_json_end_object(j);
}

static void put_coverage(struct fa_json *j, const struct fa_model *m)
{
	fa_json_array(j, "coverage");
	for (size_t i = 0; i < m->coverage_count; i++) {
		fa_json_object(j, NULL);
		fa_json_i64(j, "pid", m->coverage[i].pid);
		fa_json_u64(j, "uid", m->coverage[i].uid);
		fa_json_string(j, "image", m->coverage[i].image);
		fa_json_string(j, "reason", fa_reason_name(m->coverage[i].reason));
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
}

static void put_summary(struct fa_json *j, const struct fa_report *r)
{
	const struct fa_replay *p = r->replay;
	struct fa_symbol_share share = fa_report_symbol_share(r);

	put_processes(j, p);
	fa_json_u64(j, "threads", selected_threads(&p->model));
	put_counts(j, "events", &p->events);
	fa_json_u64(j, "lost", p->lost);
	fa_json_bool(j, "lost_unknown", p->lost_unknown);
	fa_report_json_amount(j, "outstanding", p->of[FA_AIFO]);
	put_peak(j, p);
	fa_report_json_amount(j, "total", p->total);
	fa_report_json_amount(j, "temporary", p->temporary);
	if (r->ranged)
		put_classes(j, "range", p->of);
	fa_json_u64(j, "implied_frees", p->implied_frees);
	fa_json_u64(j, "unknown_frees", p->unknown_frees);
	fa_json_u64(j, "preexisting_frees", p->preexisting_frees);
	fa_json_u64(j, "duration_ns", fa_replay_duration_ns(p));
	fa_json_object(j, "symbols");
	fa_json_u64(j, "frames", share.frames);
	fa_json_u64(j, "unknown", share.unknown);
	fa_json_end_object(j);
	put_coverage(j, &p->model);
	fa_json_u64(j, "event_bytes", p->record_bytes);
	fa_json_u64(j, "snapshots", p->model.takes);
	fa_json_object(j, "session");
	fa_json_string(j, "name", p->session_name);
	fa_json_string(j, "host", p->host);
	fa_json_string(j, "kernel", p->kernel);
	fa_json_u64(j, "start_real_ns", p->session.start_real);
	fa_json_bool(j, "ended", p->ended);
	fa_json_array(j, "changes");
	for (size_t i = 0; i < p->model.change_count; i++) {
		fa_json_object(j, NULL);
		fa_json_u64(j, "time_ns", fa_replay_time_ns(p, p->model.changes[i].stamp));
		fa_json_string(j, "text", p->model.changes[i].text);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
	fa_json_end_object(j);
}

static void put_frame(struct fa_json *j, const struct fa_frame *f)
{
	fa_json_object(j, NULL);
	fa_json_string(j, "function", f->function);
	fa_json_string(j, "file", f->file);
	if (f->line != 0)
		fa_json_u64(j, "line", f->line);
	else
		fa_json_null(j, "line");
	fa_json_string(j, "module", f->module);
	fa_json_u64(j, "offset", f->offset);
	fa_json_bool(j, "inlined", f->inlined);
	if (f->recursion != 0)
		fa_json_u64(j, "recursion", f->recursion);
	fa_json_end_object(j);
}

int fa_report_json_stack(struct fa_json *j, const struct fa_report *r, uint32_t chain)
{
	struct fa_frame *frames = NULL;
	size_t count = 0;
	uint32_t marks = 0;
	int err = fa_resolver_frames(r->resolver, chain, r->by_function ? 1 : 0, &frames, &count,
				     &marks);

	if (err < 0)
		return err;
	fa_json_array(j, "stack");
	for (size_t i = 0; i < count; i++)
		put_frame(j, &frames[i]);
	fa_json_end_array(j);
	free(frames);
	if (!r->by_function) {
		fa_json_bool(j, "truncated", marks & FA_NODE_TRUNCATED);
		fa_json_bool(j, "broken", marks & FA_NODE_BROKEN);
	}
	return 0;
}

static void put_lifetimes(struct fa_json *j, const struct fa_replay *p, const struct fa_row *row)
{
	if (row->freed == 0)
		return;
	fa_json_object(j, "lifetime_ns");
	fa_json_u64(j, "min", fa_replay_ticks_ns(p, row->lifetime_min));
	fa_json_u64(j, "average", fa_replay_ticks_ns(p, row->lifetime_sum / row->freed));
	fa_json_u64(j, "max", fa_replay_ticks_ns(p, row->lifetime_max));
	fa_json_end_object(j);
}

static int put_rows(struct fa_json *j, const struct fa_report *r)
{
	struct fa_rows rows;
	int err =
		fa_rows_new(r->replay, r->resolver, fa_view_metric(r->view), r->by_function, &rows);

	if (err < 0)
		return err;
	fa_report_json_amount(j, "sum", rows.sum);
	fa_json_u64(j, "row_count", rows.count);
	if (r->view == FA_VIEW_PEAK)
		put_peak(j, r->replay);
	fa_json_array(j, "rows");
	for (size_t i = 0; i < rows.count && (r->top == 0 || i < r->top) && err == 0; i++) {
		const struct fa_row *row = &rows.row[i];

		fa_json_object(j, NULL);
		fa_json_u64(j, "blocks", row->amount.blocks);
		fa_json_u64(j, "bytes", row->amount.bytes);
		err = fa_report_json_stack(j, r, row->chain);
		put_classes(j, "classes", row->of);
		fa_report_json_amount(j, "at_peak", row->peak);
		fa_report_json_amount(j, "temporary", row->temporary);
		put_lifetimes(j, r->replay, row);
		fa_json_u64(j, "stacks", row->stacks);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
	fa_rows_done(&rows);
	return err;
}

int fa_report_json(const struct fa_report *r, FILE *out)
{
	struct fa_json j;
	int err = 0;

	fa_json_init(&j, out, true);
	fa_json_object(&j, NULL);
	fa_json_string(&j, "view", fa_view_name(r->view));
	put_warnings(&j, r->replay);
	switch (r->view) {
	case FA_VIEW_SUMMARY:
		put_summary(&j, r);
		break;
	case FA_VIEW_PROCESSES:
		put_processes(&j, r->replay);
		fa_json_u64(&j, "lost", r->replay->lost);
		break;
	case FA_VIEW_THREADS:
		put_threads(&j, r->replay);
		fa_json_u64(&j, "lost", r->replay->lost);
		break;
	case FA_VIEW_VM:
		fa_json_u64(&j, "lost", r->replay->lost);
		err = fa_json_space(r, &j);
		break;
	case FA_VIEW_LOCKS:
		fa_json_u64(&j, "lost", r->replay->lost);
		err = fa_json_locks(r, &j);
		break;
	case FA_VIEW_LOADS:
		fa_json_u64(&j, "lost", r->replay->lost);
		err = fa_json_loads(r, &j);
		break;
	case FA_VIEW_EXTENTS:
		err = fa_json_extents(r, &j);
		break;
	case FA_VIEW_SNAPSHOTS:
		fa_json_snapshots(&j, r);
		break;
	case FA_VIEW_SIZES:
	case FA_VIEW_AGES:
	case FA_VIEW_MODULES:
		fa_json_u64(&j, "lost", r->replay->lost);
		err = fa_json_left(&j, r);
		break;
	default:
		fa_json_u64(&j, "lost", r->replay->lost);
		err = put_rows(&j, r);
		break;
	}
	fa_json_end_object(&j);
	fa_json_newline(&j);
	return err < 0 ? err : fflush(out) != 0 ? -errno : 0;
}
