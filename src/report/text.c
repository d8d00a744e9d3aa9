/* text.c - the views as text, the summary among them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/parse.h"
#include "report/report_internal.h"

enum { TOP = 20, SUMMARY_TOP = 5, SUMMARY_LINES = 12, SHARE_STACKS_MAX = 200000 };

static const char *const view_names[] = {
	[FA_VIEW_SUMMARY] = "summary",     [FA_VIEW_OUTSTANDING] = "outstanding",
	[FA_VIEW_PEAK] = "peak",           [FA_VIEW_TOTAL] = "total",
	[FA_VIEW_TEMPORARY] = "temporary", [FA_VIEW_PROCESSES] = "processes",
	[FA_VIEW_THREADS] = "threads",     [FA_VIEW_VM] = "vm",
	[FA_VIEW_EXTENTS] = "extents",     [FA_VIEW_SIZES] = "sizes",
	[FA_VIEW_AGES] = "ages",           [FA_VIEW_MODULES] = "modules",
	[FA_VIEW_LOCKS] = "locks",         [FA_VIEW_LOADS] = "loads",
	[FA_VIEW_SNAPSHOTS] = "snapshots",
};

const char *fa_view_name(enum fa_report_view view)
{
	return view_names[view];
}

enum fa_metric fa_view_metric(enum fa_report_view view)
{
	switch (view) {
	case FA_VIEW_PEAK:
		return FA_METRIC_PEAK;
	case FA_VIEW_TOTAL:
		return FA_METRIC_TOTAL;
	case FA_VIEW_TEMPORARY:
		return FA_METRIC_TEMPORARY;
	default:
		return FA_METRIC_OUTSTANDING;
	}
}

static bool has_untimed_threads(const struct fa_model *m)
{
	for (size_t i = 0; i < m->process_count; i++)
		if (m->processes[i]->unstamped && m->processes[i]->selected &&
		    m->processes[i]->threads > 1)
			return true;
	return false;
}

void fa_report_warnings(const struct fa_replay *replay, struct fa_buf *ret)
{
	char count[32];

	if (replay->lost != 0)
		fa_buf_printf(ret,
			      "%s events were lost: no number here is exact (more or larger "
			      "buffers, or the policy \"wait\", lose none)\n",
			      fa_format_count(count, sizeof(count), replay->lost));
	if (replay->snapshots_torn != 0)
		fa_buf_puts(ret, "the snapshot is torn: it was not written to its end, and blocks are "
				 "missing (take it again)\n");
	if (replay->lost_unknown)
		fa_buf_puts(ret, "events of processes that no collector saw to their end, or whose "
				 "buffers were damaged, may be missing: nobody knows how many\n");
	if (has_untimed_threads(&replay->model))
		fa_buf_puts(ret, "recorded without time (--stamp none): the order between threads is "
				 "not known within a millisecond or more; what is outstanding in the "
				 "end is right in number, peak and lifetimes are estimates\n");
	if (replay->model.stacks_cut)
		fa_buf_puts(ret, "there were more stacks than there is room for: the later ones "
				 "have their innermost frames only (a smaller --depth needs less)\n");
}

/* ---- symbols ---- */

struct fa_symbol_share fa_report_symbol_share(const struct fa_report *r)
{
	struct fa_symbol_share share = {0};
	const struct fa_model *m = &r->replay->model;
	size_t sites = m->site_count < SHARE_STACKS_MAX ? m->site_count : SHARE_STACKS_MAX;
	uint64_t worst = 0;
	struct fa_idmap by_module = {0};

	for (size_t i = 1; i < sites; i++) {
		uint32_t at = fa_resolver_chain(r->resolver, m->sites[i].arena, m->sites[i].stack);

		for (; at != 0; at = fa_resolver_parent(r->resolver, at)) {
			const char *module = fa_resolver_module(r->resolver, at);
			uint64_t n;

			share.frames++;
			if (!fa_resolver_is_unknown(r->resolver, at))
				continue;
			share.unknown++;
			if (module == NULL)
				continue;
			n = (uintptr_t)fa_idmap_get(&by_module, (uintptr_t)module) + 1;
			if (fa_idmap_put(&by_module, (uintptr_t)module, (void *)(uintptr_t)n) ==
				    0 &&
			    n > worst) {
				worst = n;
				share.worst = module;
			}
		}
	}
	fa_idmap_done(&by_module);
	return share;
}

static void put_symbol_note(const struct fa_report *r, FILE *out)
{
	struct fa_symbol_share share = fa_report_symbol_share(r);

	if (share.unknown == 0)
		return;
	(void)fprintf(out, "\n%.1f %% of the frames have no symbols",
		      100.0 * (double)share.unknown / (double)share.frames);
	if (share.worst != NULL && share.worst[0] != '\0') {
		(void)fputs(", most of them in ", out);
		fa_text_clean(out, fa_base_name(share.worst));
	}
	(void)fputs(".\nTo get names: install the -dbgsym packages of these programs and libraries,"
		    "\nor give --debug-dir DIR, or --debuginfod (asks the servers in "
		    "$DEBUGINFOD_URLS).\n",
		    out);
}

/* ---- summary ---- */

static size_t incomplete_processes(const struct fa_model *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->process_count; i++)
		n += m->processes[i]->selected && m->processes[i]->incomplete;
	return n;
}

static size_t selected_processes(const struct fa_model *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->process_count; i++)
		n += m->processes[i]->selected;
	return n;
}

static void put_amount(FILE *out, const char *name, struct fa_amount a, const char *more)
{
	char size[32], count[32];

	(void)fprintf(out, "  %-12s %12s in %s blocks%s\n", name,
		      fa_format_size(size, sizeof(size), a.bytes),
		      fa_format_count(count, sizeof(count), a.blocks), more);
}

static void put_title(const struct fa_report *r, FILE *out)
{
	const struct fa_replay *p = r->replay;
	size_t processes = selected_processes(&p->model);
	char events[32], lost[32], time[32], line[600];

	(void)snprintf(line, sizeof(line),
		       "%s: %s, %zu process%s, %zu thread%s, %s events, %s lost",
		       fa_base_name(r->path),
		       fa_format_duration(time, sizeof(time), fa_replay_duration_ns(p)), processes,
		       processes == 1 ? "" : "es", p->model.thread_count,
		       p->model.thread_count == 1 ? "" : "s",
		       fa_format_count(events, sizeof(events), fa_event_sum(&p->events)),
		       fa_format_count(lost, sizeof(lost), p->lost));
	fa_text_line(out, r->width, "", line, "");
	if (p->kernel[0] != '\0') {
		(void)snprintf(line, sizeof(line), "session %s on %s, %s",
			       p->session_name[0] != '\0' ? p->session_name : "?", p->host,
			       p->kernel);
		fa_text_line(out, r->width, "", line, "");
	}
	for (size_t i = 0; i < p->model.change_count; i++) {
		const struct fa_change *c = &p->model.changes[i];

		(void)snprintf(line, sizeof(line), "changed at %s: %s",
			       fa_format_duration(time, sizeof(time), fa_replay_time_ns(p, c->stamp)), c->text);
		fa_text_line(out, r->width, "", line, "");
	}
}

static void put_classes(const struct fa_report *r, FILE *out)
{
	static const char *const names[FA_CLASSES] = {"AIFI", "AIFO", "AOFI", "AOFO"};
	static const char *const meaning[FA_CLASSES] = {
		"  (transient: allocated and freed inside)",
		"  (impacting: allocated inside, live at its end)",
		"  (allocated before, freed inside)",
		"  (live all the time)",
	};
	char lo[32], hi[32];

	if (!r->ranged)
		return;
	(void)fprintf(out, "\nFrom %s to %s:\n", fa_format_duration(lo, sizeof(lo), r->range_lo),
		      r->range_hi == UINT64_MAX ? "the end"
						: fa_format_duration(hi, sizeof(hi), r->range_hi));
	for (unsigned i = 0; i < FA_CLASSES; i++)
		put_amount(out, names[i], r->replay->of[i], meaning[i]);
}

static void put_numbers(const struct fa_report *r, FILE *out)
{
	const struct fa_replay *p = r->replay;
	char a[32], b[32], c[32], more[96];

	put_amount(out, "not freed", p->of[FA_AIFO], "");
	(void)snprintf(more, sizeof(more), ", at %s%s",
		       fa_format_duration(a, sizeof(a), fa_replay_time_ns(p, p->peak_stamp)),
		       r->all_lifetimes ? "" : " (of all lifetimes)");
	put_amount(out, "peak", p->peak, p->peak.blocks == 0 ? "" : more);
	put_amount(out, "allocated", p->total, "");
	put_amount(out, "temporary", p->temporary, "");
	(void)fprintf(out, "  %-12s %s alloc, %s realloc, %s free\n", "events",
		      fa_format_count(a, sizeof(a), p->events.alloc),
		      fa_format_count(b, sizeof(b), p->events.realloc),
		      fa_format_count(c, sizeof(c), p->events.free));
}

static void put_notes(const struct fa_report *r, FILE *out)
{
	const struct fa_model *m = &r->replay->model;
	size_t incomplete = incomplete_processes(m);
	char count[32];

	if (incomplete != 0)
		(void)fprintf(out,
			      "  %-12s %zu process%s ran before the trace began: what was "
			      "allocated then is not here\n",
			      "", incomplete, incomplete == 1 ? "" : "es");
	if (r->replay->preexisting_frees != 0)
		(void)fprintf(out, "  %-12s %s free%s of blocks that are older than the trace\n", "",
			      fa_format_count(count, sizeof(count), r->replay->preexisting_frees),
			      r->replay->preexisting_frees == 1 ? "" : "s");
	if (r->replay->unknown_frees != 0)
		(void)fprintf(out, "  %-12s %s free%s of blocks that are not in the trace\n", "",
			      fa_format_count(count, sizeof(count), r->replay->unknown_frees),
			      r->replay->unknown_frees == 1 ? "" : "s");
	if (r->replay->implied_frees != 0)
		(void)fprintf(out, "  %-12s %s frees are not in the trace but must have been\n", "",
			      fa_format_count(count, sizeof(count), r->replay->implied_frees));
	if (r->replay->snapshot == 0 && m->snapshot_count > r->replay->snapshots)
		(void)fprintf(out, "  %-12s snapshots 1 to %u are in this trace: --view snapshots lists them\n",
			      "", m->takes);
	for (size_t i = 0; i < m->coverage_count && i < SUMMARY_TOP; i++) {
		(void)fputs("  not traced: ", out);
		fa_text_clean(out, m->coverage[i].image);
		(void)fprintf(out, " (pid %d): %s\n", m->coverage[i].pid,
			      fa_reason_text(m->coverage[i].reason));
	}
	if (m->coverage_count > SUMMARY_TOP)
		(void)fprintf(out, "  not traced: %zu more\n", m->coverage_count - SUMMARY_TOP);
}

static int put_summary(const struct fa_report *r, FILE *out)
{
	unsigned top = r->top != 0 ? r->top : SUMMARY_TOP;
	int err;

	(void)fputc('\n', out);
	put_numbers(r, out);
	put_notes(r, out);
	put_classes(r, out);
	err = fa_text_processes(r, out, 2 * top);
	if (err == 0 && r->replay->of[FA_AIFO].blocks != 0)
		err = fa_text_rows(r, out, FA_METRIC_OUTSTANDING, top, SUMMARY_LINES);
	if (err == 0 && r->replay->peak.blocks != 0)
		err = fa_text_rows(r, out, FA_METRIC_PEAK, top < 3 ? top : 3, SUMMARY_LINES);
	if (err == 0)
		put_symbol_note(r, out);
	return err;
}

void fa_text_warnings(const struct fa_report *r, const char *path, FILE *out)
{
	struct fa_buf lines = {0};

	fa_report_warnings(r->replay, &lines);
	for (char *at = lines.data, *end; at != NULL && *at != '\0'; at = end + 1) {
		end = strchr(at, '\n');
		*end = '\0';
		(void)fprintf(out, "%swarning: ", r->color ? "\033[1;31m" : "");
		if (path != NULL) {
			fa_text_clean(out, path);
			(void)fputs(": ", out);
		}
		(void)fprintf(out, "%s%s\n", at, r->color ? "\033[0m" : "");
	}
	if (lines.len != 0)
		(void)fputc('\n', out);
	fa_buf_done(&lines);
}

int fa_report_text(const struct fa_report *r, FILE *out)
{
	unsigned top = r->top != 0 ? r->top : TOP;
	int err;

	fa_text_warnings(r, NULL, out);
	put_title(r, out);
	switch (r->view) {
	case FA_VIEW_SUMMARY:
		err = put_summary(r, out);
		break;
	case FA_VIEW_PROCESSES:
		err = fa_text_processes(r, out, top);
		break;
	case FA_VIEW_THREADS:
		err = fa_text_threads(r, out, top);
		break;
	case FA_VIEW_VM:
		err = fa_text_space(r, out, top);
		break;
	case FA_VIEW_LOCKS:
		err = fa_text_locks(r, out, top);
		break;
	case FA_VIEW_LOADS:
		err = fa_text_loads(r, out, top);
		break;
	case FA_VIEW_EXTENTS:
		err = fa_text_extents(r, out, top);
		break;
	case FA_VIEW_SNAPSHOTS:
		err = fa_text_snapshots(r, out);
		break;
	case FA_VIEW_SIZES:
	case FA_VIEW_AGES:
	case FA_VIEW_MODULES:
		err = fa_text_left(r, out);
		break;
	default:
		put_classes(r, out);
		err = fa_text_rows(r, out, fa_view_metric(r->view), top, UINT32_MAX);
		break;
	}
	return err < 0 ? err : fflush(out) != 0 ? -errno : 0;
}
