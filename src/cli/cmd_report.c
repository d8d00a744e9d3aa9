/*
 * cmd_report.c - `firstalloc report FILE`: options to filters, the replay, the view.
 */
#include <errno.h>
#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/range.h"
#include "report/report.h"

static struct {
	const char *view;
	const char *by;
	struct fa_option_list pids;
	struct fa_option_list images;
	struct fa_option_list threads;
	const char *range;
	const char *size;
	const char *lifetime;
	const char *function;
	const char *module;
	uint32_t top;
	bool no_cull;
	bool fold_recursion;
	bool tolerate_lost;
	struct fa_option_list debug_dirs;
	bool debuginfod;
} options;

/* Everything of one run, released at one place. */
struct job {
	const struct fa_cli *cli;
	struct fa_replay_options filter;
	int32_t pids[64];
	struct fa_symbols *symbols;
	struct fa_resolver *resolver; /* for the view: culls */
	struct fa_resolver *whole;    /* for the filters: does not */
	struct fa_replay *replay;
	regex_t function, module;
	bool has_function, has_module; /* they are compiled */
	uint64_t started_ns;
	bool progress_shown;
};

/* ---- filters ---- */

static bool frame_matches(const struct job *job, const struct fa_frame *f)
{
	return (options.function == NULL ||
		(f->function != NULL && regexec(&job->function, f->function, 0, NULL, 0) == 0)) &&
	       (options.module == NULL ||
		(f->module != NULL && regexec(&job->module, f->module, 0, NULL, 0) == 0));
}

/* A stack is wanted when one of its frames is: with both filters, the same frame. */
static bool stack_wanted(void *ctx, const struct fa_arena *a, uint32_t stack)
{
	struct job *job = ctx;
	struct fa_frame *frames;
	size_t count;
	uint32_t marks, chain = fa_resolver_chain(job->whole, a, stack);
	bool found = false;

	if (chain == 0 || fa_resolver_frames(job->whole, chain, 0, &frames, &count, &marks) < 0)
		return false;
	for (size_t i = 0; i < count && !found; i++)
		found = frame_matches(job, &frames[i]);
	free(frames);
	return found;
}

static int compile(const char *option, const char *text, regex_t *ret, bool *ret_compiled)
{
	char why[128];
	int r = text == NULL ? 0 : regcomp(ret, text, REG_EXTENDED | REG_NOSUB);

	*ret_compiled = r == 0 && text != NULL;
	if (r == 0)
		return FA_EXIT_OK;
	(void)regerror(r, ret, why, sizeof(why));
	return fa_fail(FA_EXIT_USAGE, "--%s: '%s' is no regular expression: %s", option, text, why);
}

static int read_range(const struct fa_cli *cli, const char *option, const char *text,
		      int (*one)(const char *, uint64_t *), uint64_t *ret_lo, uint64_t *ret_hi)
{
	if (text == NULL || fa_parse_range(text, one, ret_lo, ret_hi) == 0)
		return FA_EXIT_OK;
	return fa_usage(cli,
			"--%s: '%s' is no range: give two values, the smaller first, with a comma "
			"between; either may be left out",
			option, text);
}

static int read_filters(struct job *job, const char *path)
{
	struct fa_replay_options *f = &job->filter;
	int status;

	for (int i = 0; i < options.pids.count; i++) {
		uint32_t pid;

		if (fa_parse_u32(options.pids.item[i], &pid) < 0 || pid > INT32_MAX)
			return fa_usage(job->cli, "--pid: '%s' is no process id",
					options.pids.item[i]);
		job->pids[i] = (int32_t)pid;
	}
	f->pids = job->pids;
	f->pid_count = options.pids.count;
	f->images = options.images.item;
	f->image_count = options.images.count;
	f->threads = options.threads.item;
	f->thread_count = options.threads.count;
	status = fa_range_parse(job->cli, options.range, path, &f->range_lo, &f->range_hi);
	if (status == 0)
		status = read_range(job->cli, "size", options.size, fa_parse_size, &f->size_lo,
				    &f->size_hi);
	if (status == 0)
		status = read_range(job->cli, "lifetime", options.lifetime, fa_parse_duration,
				    &f->lifetime_lo, &f->lifetime_hi);
	return status;
}

/* ---- progress ---- */

static void show_progress(void *ctx, uint64_t done, uint64_t size)
{
	struct job *job = ctx;

	/* Whoever waits less than a second needs no comfort. */
	if (!job->cli->progress || fa_mono_ns() - job->started_ns < 1000000000u || size == 0)
		return;
	(void)fprintf(stderr, "\rreading %3" PRIu64 " %%", done / (size / 100 + 1));
	job->progress_shown = true;
}

static void hide_progress(struct job *job)
{
	if (job->progress_shown)
		(void)fputs("\r              \r", stderr);
	job->progress_shown = false;
}

/* ---- the run ---- */

static int open_failed(const char *path, int error)
{
	if (error == -EBADMSG)
		return fa_fail(FA_EXIT_FAILED,
			       "%s: not a firstalloc trace, or its first bytes are damaged", path);
	if (error == -EPROTONOSUPPORT)
		return fa_fail(FA_EXIT_FAILED,
			       "%s: written by a newer firstalloc, which this one (%s) cannot "
			       "read; update firstalloc",
			       path, FA_VERSION);
	return fa_fail(fa_exit_of(error), "%s: %s", path, fa_strerror(error));
}

static void say_damage(const char *path, const struct fa_replay *r)
{
	const struct fa_trace_damage *d = &r->damage;

	if (d->damaged)
		fa_warn("%s: damaged at byte %" PRIu64 " (%s): %" PRIu64
			" bytes from there to the end are not in this report",
			path, d->offset, d->what, d->bytes);
	else if (d->cut && d->bytes != 0)
		fa_warn("%s: cut at byte %" PRIu64 ": the last %" PRIu64
			" bytes are not in this report",
			path, d->offset, d->bytes);
	else if (d->cut)
		fa_warn("%s: the trace was not ended properly; all of its %" PRIu64
			" bytes were read",
			path, d->offset);
	if (r->unknown_records != 0 || d->unknown_records != 0)
		fa_warn("%s: records of a newer version were skipped; update firstalloc", path);
	if (r->senseless_records != 0)
		fa_warn("%s: %" PRIu64 " records speak of nothing that is known and were skipped",
			path, r->senseless_records);
}

/* Filters that leave no process: that is a slip, not a program without leaks. */
static int check_selection(const char *path, const struct fa_replay *r)
{
	const struct fa_model *m = &r->model;
	const char *names[64];
	int n = 0;

	if (m->process_count == 0 || (options.pids.count | options.images.count) == 0)
		return FA_EXIT_OK;
	for (size_t i = 0; i < m->process_count; i++) {
		if (m->processes[i]->selected)
			return FA_EXIT_OK;
		if (n < 64)
			names[n++] = m->processes[i]->image;
	}
	if (options.images.count == 0)
		return fa_fail(FA_EXIT_NOT_FOUND,
			       "%s: no process with pid %s; `firstalloc report --view processes` "
			       "lists them",
			       path, options.pids.item[0]);
	const char *near = fa_did_you_mean(options.images.item[0], names, n);

	return fa_fail(FA_EXIT_NOT_FOUND, "%s: no process '%s'%s%s%s", path, options.images.item[0],
		       near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
		       near != NULL ? "'?" : "");
}

static unsigned terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	uint32_t width;

	if (columns != NULL && fa_parse_u32(columns, &width) == 0 && width >= 40)
		return width;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
		return size.ws_col;
	return 80;
}

static enum fa_report_view chosen_view(void)
{
	static const char *const names[] = {"summary",   "outstanding", "peak",   "total",
					    "temporary", "processes",   "threads"};

	for (unsigned i = 0; options.view != NULL && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(options.view, names[i]) == 0)
			return (enum fa_report_view)i;
	return FA_VIEW_SUMMARY;
}

static int write_report(struct job *job, const char *path)
{
	const struct fa_report report = {
		.replay = job->replay,
		.resolver = job->resolver,
		.path = path,
		.view = chosen_view(),
		.by_function = options.by != NULL && strcmp(options.by, "function") == 0,
		.ranged = options.range != NULL,
		.range_lo = job->filter.range_lo,
		.range_hi = job->filter.range_hi,
		.all_lifetimes = options.lifetime == NULL,
		.top = options.top,
		.width = terminal_width(),
		.color = job->cli->color,
	};
	int r = job->cli->json ? fa_report_json(&report, stdout) : fa_report_text(&report, stdout);

	if (r < 0)
		return fa_fail(fa_exit_of(r), "%s: cannot write the report: %s", path,
			       fa_strerror(r));
	return FA_EXIT_OK;
}

static int make_tools(struct job *job)
{
	const struct fa_symbols_options how = {
		.debug_dirs = options.debug_dirs.item,
		.debug_dir_count = options.debug_dirs.count,
		.debuginfod = options.debuginfod,
	};
	int r = fa_symbols_new(&how, &job->symbols);

	if (r == 0)
		r = fa_resolver_new(job->symbols, !options.no_cull, &job->resolver);
	if (r == 0 && options.fold_recursion)
		fa_resolver_fold(job->resolver);
	if (r == 0 && (options.function != NULL || options.module != NULL)) {
		r = fa_resolver_new(job->symbols, false, &job->whole);
		job->filter.stack_wanted = stack_wanted;
	}
	return r < 0 ? fa_fail(FA_EXIT_FAILED, "report: %s", fa_strerror(r)) : FA_EXIT_OK;
}

static int final_status(const struct fa_replay *r)
{
	if (r->damage.damaged)
		return FA_EXIT_USAGE;
	if ((r->lost != 0 || r->lost_unknown) && !options.tolerate_lost)
		return FA_EXIT_LOST;
	return FA_EXIT_OK;
}

static int report_file(struct job *job, const char *path)
{
	int status = make_tools(job), r;

	if (status != FA_EXIT_OK)
		return status;
	job->filter.progress = show_progress;
	job->filter.ctx = job;
	job->started_ns = fa_mono_ns();
	r = fa_replay_run(path, &job->filter, &job->replay);
	hide_progress(job);
	if (r < 0)
		return open_failed(path, r);
	status = check_selection(path, job->replay);
	if (status != FA_EXIT_OK)
		return status;
	if (job->cli->json && job->replay->lost != 0)
		fa_warn("%s: %" PRIu64 " events were lost: no number is exact", path,
			job->replay->lost);
	say_damage(path, job->replay);
	status = write_report(job, path);
	return status != FA_EXIT_OK ? status : final_status(job->replay);
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct job job = {.cli = cli};
	int status;

	if (argc != 1)
		return fa_usage(cli, argc == 0 ? "which trace file?" : "one trace file at a time");
	status = read_filters(&job, argv[0]);
	if (status == FA_EXIT_OK)
		status = compile("function", options.function, &job.function, &job.has_function);
	if (status == FA_EXIT_OK)
		status = compile("module", options.module, &job.module, &job.has_module);
	if (status == FA_EXIT_OK)
		status = report_file(&job, argv[0]);
	if (job.has_function)
		regfree(&job.function);
	if (job.has_module)
		regfree(&job.module);
	fa_resolver_free(job.resolver);
	fa_resolver_free(job.whole);
	fa_replay_free(job.replay);
	fa_symbols_free(job.symbols);
	return status;
}

static const struct fa_option report_options[] = {
	{0, "view", "VIEW", FA_OPT_CHOICE, &options.view, "what to show (summary)",
	 "summary|outstanding|peak|total|temporary|processes|threads"},
	{0, "by", "WHAT", FA_OPT_CHOICE, &options.by, "a row for each stack (default) or function",
	 "stack|function"},
	{0, "top", "N", FA_OPT_U32, &options.top, "show N rows (text 20, JSON all)", NULL},
	{0, "pid", "PID", FA_OPT_LIST, &options.pids, "only this process; may come several times",
	 NULL},
	{0, "process", "NAME", FA_OPT_LIST, &options.images,
	 "only processes of this program; may come several times", NULL},
	{0, "thread", "TID|NAME", FA_OPT_LIST, &options.threads,
	 "only what this thread allocated; may come several times", NULL},
	{0, "range", "T1,T2", FA_OPT_STRING, &options.range,
	 "from T1 up to T2 since the trace began: 2s,10s or 500ms, or mark:TEXT,mark:TEXT", NULL},
	{0, "size", "A,B", FA_OPT_STRING, &options.size,
	 "only blocks of A up to below B bytes: 1K,", NULL},
	{0, "lifetime", "A,B", FA_OPT_STRING, &options.lifetime,
	 "only blocks that lived A up to below B: ,10us", NULL},
	{0, "function", "RE", FA_OPT_STRING, &options.function,
	 "only stacks with a function that matches", NULL},
	{0, "module", "RE", FA_OPT_STRING, &options.module,
	 "only stacks with a module (path) that matches", NULL},
	{0, "no-cull", NULL, FA_OPT_FLAG, &options.no_cull,
	 "show the frames of the allocator and of the tracer too", NULL},
	{0, "fold-recursion", NULL, FA_OPT_FLAG, &options.fold_recursion,
	 "one row for stacks that differ only in the depth of a recursion", NULL},
	{0, "tolerate-lost", NULL, FA_OPT_FLAG, &options.tolerate_lost,
	 "exit with 0 although events were lost", NULL},
	{0, "debug-dir", "DIR", FA_OPT_LIST, &options.debug_dirs,
	 "look for debug files in DIR/.build-id too; may come several times", NULL},
	{0, "debuginfod", NULL, FA_OPT_FLAG, &options.debuginfod,
	 "ask the servers in $DEBUGINFOD_URLS for missing symbols", NULL},
	{0},
};

const struct fa_command fa_cmd_report = {
	.name = "report",
	.group = "Traces",
	.summary = "say what was allocated, kept and freed, and by whom",
	.synopsis = "FILE [--view VIEW] [--by stack|function] [--top N] [FILTER...]",
	.description =
		"Replays a trace and shows where the memory went. Views: summary; outstanding "
		"(what was never freed), peak (what was live when most was), total (everything "
		"that was allocated), temporary (what was freed before its thread allocated "
		"again), each by stack or by the function that allocated; processes; "
		"threads.\n\n"
		"Sizes are what the program asked for. A realloc is one event; in blocks and bytes "
		"it ends the old block and begins a new one, even where the address stays the "
		"same. What a child inherited at fork is shown beside its own blocks.\n\n"
		"With --range, outstanding means: allocated in the range and not freed in it. The "
		"summary then also counts AIFI (allocated inside, freed inside: transient), AIFO "
		"(allocated inside, live at its end: impacting), AOFI (allocated before, freed "
		"inside) and AOFO (live all the time). mark:TEXT stands for the moment of the first "
		"mark with that text (firstalloc mark). All ranges include their first value and "
		"exclude their last; either may be left out. With --lifetime the peak still is "
		"that "
		"of blocks of all lifetimes.\n\n"
		"--function and --module are extended regular expressions and match any frame of a "
		"stack; with both, one frame must match both.\n\n"
		"Frames of malloc, operator new and the like, and of the tracer, are left out at "
		"the inner end of stacks. Names come from debug information or symbol tables of "
		"the files that were traced, if they still have the same build id, or from "
		"/usr/lib/debug or --debug-dir; otherwise module and offset are shown.\n\n"
		"Frames that come again right behind themselves, alone or as a group, are shown "
		"once with their number; JSON has them all. With --fold-recursion stacks that "
		"differ only in that number are one row, in which such frames stand once, with a "
		"mark (in JSON \"recursion\": of so many frames from there).\n\n"
		"When events were lost, a warning comes first and the exit status is 3. A file "
		"that was cut is reported up to its end; a damaged one up to the damage, with exit "
		"status 2.\n\n"
		"A free carries no time of its own as a rule: its place among the events of other "
		"threads is known to about a millisecond.",
	.examples = "firstalloc report daily.falloc # the summary\n"
		    "firstalloc report daily.falloc --range mark:before,mark:after # between two "
		    "marks\n"
		    "firstalloc report daily.falloc --view outstanding --process nginx # leaks\n"
		    "firstalloc report daily.falloc --range 10s,20s --view outstanding # growth in "
		    "ten seconds\n"
		    "firstalloc report daily.falloc --view temporary --by function --top 5 # "
		    "churn\n"
		    "firstalloc report daily.falloc --view peak --json # for a program",
	.options = report_options,
	.run = run,
};
