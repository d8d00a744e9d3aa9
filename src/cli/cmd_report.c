/*
 * cmd_report.c - `firstalloc report FILE`: options to filters, the replay, the view.
 */
#include <inttypes.h>
#include <string.h>

#include "cli/command.h"
#include "cli/range.h"
#include "cli/reading.h"
#include "report/report.h"

static struct {
	const char *view;
	const char *by;
	const char *range;
	const char *at;
} options;

static enum fa_report_view chosen_view(void)
{
	static const char *const names[] = {"summary", "outstanding", "peak",
					    "total",   "temporary",   "processes",
					    "threads", "vm",          "extents",
					    "locks",   "loads",       "snapshots",
					    "sizes",   "ages",        "modules"};

	for (unsigned i = 0; options.view != NULL && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(options.view, names[i]) == 0)
			return (enum fa_report_view)i;
	return FA_VIEW_SUMMARY;
}

/* Views of single blocks at a moment, which --at names. */
static bool is_of_moment(void)
{
	return chosen_view() >= FA_VIEW_SIZES;
}

static int write_report(struct fa_reading *reading, const struct fa_replay *replay,
			const struct fa_live *live, const char *path)
{
	const struct fa_report report = {
		.replay = replay,
		.resolver = reading->resolver,
		.path = path,
		.view = chosen_view(),
		.by_function = options.by != NULL && strcmp(options.by, "function") == 0,
		.ranged = options.range != NULL,
		.range_lo = reading->filter.range_lo,
		.range_hi = reading->filter.range_hi,
		.all_lifetimes = fa_reading_options.lifetime == NULL,
		.top = fa_reading_options.top,
		.width = fa_terminal_width(),
		.color = reading->cli->color,
		.live = live,
		.moment = options.at != NULL ? options.at : "end",
	};
	int r = reading->cli->json ? fa_report_json(&report, stdout)
				   : fa_report_text(&report, stdout);

	if (r < 0)
		return fa_fail(fa_exit_of(r), "%s: cannot write the report: %s", path,
			       fa_strerror(r));
	return FA_EXIT_OK;
}

static int report_file(struct fa_reading *reading, const char *path)
{
	struct fa_moment moment = {.kind = FA_MOMENT_END};
	struct fa_replay *replay = NULL;
	struct fa_live live = {0};
	int status = FA_EXIT_OK, r;

	if (options.at != NULL)
		status = fa_moment_parse(reading->cli, "at", options.at, path, &moment);
	if (status != FA_EXIT_OK)
		return status;
	fa_reading_begin(reading);
	r = is_of_moment() ? fa_live_read(path, &reading->filter, &moment, 1, &live, &replay)
			   : fa_replay_run(path, &reading->filter, &replay);
	fa_reading_end(reading);
	if (r < 0)
		return fa_reading_failed(path, r);
	status = fa_reading_selection(path, replay);
	if (status == FA_EXIT_OK) {
		if (reading->cli->json && replay->lost != 0)
			fa_warn("%s: %" PRIu64 " events were lost: no number is exact", path,
				replay->lost);
		fa_reading_damage(path, replay);
		status = write_report(reading, replay, &live, path);
	}
	if (status == FA_EXIT_OK)
		status = fa_reading_status(replay);
	fa_live_done(&live);
	fa_replay_free(replay);
	return status;
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct fa_reading reading = {0};
	int status;

	if (argc != 1)
		return fa_usage(cli, argc == 0 ? "which trace file?" : "one trace file at a time");
	if (is_of_moment() ? options.range != NULL : options.at != NULL)
		return fa_usage(cli, "--at is for the views sizes, ages and modules, --range for the "
				     "others");
	status = fa_reading_init(&reading, cli);
	if (status == FA_EXIT_OK)
		status = fa_range_parse(cli, options.range, argv[0], &reading.filter.range_lo,
					&reading.filter.range_hi);
	if (status == FA_EXIT_OK)
		status = report_file(&reading, argv[0]);
	fa_reading_done(&reading);
	return status;
}

static const struct fa_option report_options[] = {
	{0, "view", "VIEW", FA_OPT_CHOICE, &options.view, "what to show (summary)",
	 "summary|outstanding|peak|total|temporary|processes|threads|vm|extents|locks|loads|snapshots|"
	 "sizes|ages|modules"},
	{0, "by", "WHAT", FA_OPT_CHOICE, &options.by, "a row for each stack (default) or function",
	 "stack|function"},
	FA_READING_FILTERS,
	FA_READING_LIFETIME,
	{0, "at", "MOMENT", FA_OPT_STRING, &options.at,
	 "sizes, ages, modules: of what is live then: end (default), peak, a time, mark:TEXT, snapshot:N", NULL},
	{0, "range", "T1,T2", FA_OPT_STRING, &options.range,
	 "from T1 up to T2 since the trace began: 2s,10s or 500ms, or mark:TEXT,mark:TEXT", NULL},
	FA_READING_STACKS,
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
		"threads; vm (of programs that were traced with --flags vm: what is mapped, "
		"reserved and committed, by stack); extents (second by second, what was live "
		"beside "
		"what the process had of the kernel: committed is all private writable memory, so "
		"stacks of threads and data of libraries, too); what was never freed, or was live "
		"at the moment that --at names, by size, age, or module of the innermost frame "
		"(sizes, ages, modules); locks (of programs that were traced with --flags lock: "
		"who waited for mutexes and rwlocks, how long, and who had them); loads (of programs "
		"that were traced with --flags loader: which modules came and went, when, by whose "
		"dlopen, dlmopen or dlclose; 'found' are those that libc loaded by itself, that were "
		"there before, or that dlopen brought where it could not be followed); snapshots (those that "
		"firstalloc-snapshot(1) took into the session: their numbers, for --snapshot).\n\n"
		"Sizes are what the program asked for. A realloc is one event; in blocks and bytes "
		"it ends the old block and begins a new one, even where the address stays the "
		"same. What a child inherited at fork is shown beside its own blocks.\n\n"
		"With --range, outstanding means: allocated in the range and not freed in it. The "
		"summary then also counts AIFI (allocated inside, freed inside: transient), AIFO "
		"(allocated inside, live at its end: impacting), AOFI (allocated before, freed "
		"inside) and AOFO (live all the time). mark:TEXT stands for the moment of the "
		"first "
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
