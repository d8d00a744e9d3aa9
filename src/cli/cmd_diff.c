/* cmd_diff.c - `firstalloc diff A B`: what is live at one moment against what is live at another. */
#include <string.h>

#include "cli/command.h"
#include "cli/range.h"
#include "cli/reading.h"
#include "report/diff.h"

static struct {
	const char *from;
	const char *to;
	const char *by;
	const char *view;
	const char *sort;
	struct fa_option_list only;
	uint64_t fail_above;
} options = {.fail_above = UINT64_MAX};

/* Two sides, one or two traces. */
struct job {
	struct fa_reading reading;
	struct fa_replay *replay[2]; /* the second is NULL when there is one trace */
	struct fa_live live[2];
	struct fa_diff_side side[2];
	struct fa_diff diff;
	int status; /* of the traces: the worse */
};

static int read_trace(struct job *job, const char *path, const struct fa_moment *moments,
		      unsigned first, unsigned count)
{
	struct fa_replay *replay;
	int r, status;

	fa_reading_begin(&job->reading);
	r = fa_live_read(path, &job->reading.filter, moments, count, &job->live[first], &replay);
	fa_reading_end(&job->reading);
	if (r < 0)
		return fa_reading_failed(path, r);
	job->replay[first] = replay;
	for (unsigned i = first; i < first + count; i++) {
		job->side[i].path = path;
		job->side[i].replay = replay;
		job->side[i].live = &job->live[i];
	}
	status = fa_reading_selection(path, replay);
	if (status != FA_EXIT_OK)
		return status;
	fa_reading_damage(path, replay);
	status = fa_reading_status(replay);
	if (status == FA_EXIT_LOST && job->reading.cli->json)
		fa_warn("%s: events were lost: no number is exact", path);
	/* What was damaged weighs more than what was lost. */
	if (job->status != FA_EXIT_USAGE && status != FA_EXIT_OK)
		job->status = status;
	return FA_EXIT_OK;
}

static int read_sides(struct job *job, int argc, char **argv)
{
	struct fa_moment moment[2];
	int status;

	job->side[0].moment = options.from != NULL ? options.from : "end";
	job->side[1].moment = options.to != NULL ? options.to : "end";
	for (int i = 0; i < 2; i++) {
		status = fa_moment_parse(job->reading.cli, i == 0 ? "from" : "to",
					 job->side[i].moment, argv[i < argc ? i : 0], &moment[i]);
		if (status != FA_EXIT_OK)
			return status;
	}
	/* A snapshot is replayed in place of the events: two of one trace are as two traces. */
	if (argc == 1 && moment[0].kind != FA_MOMENT_SNAPSHOT && moment[1].kind != FA_MOMENT_SNAPSHOT)
		return read_trace(job, argv[0], moment, 0, 2);
	status = read_trace(job, argv[0], &moment[0], 0, 1);
	return status == FA_EXIT_OK ? read_trace(job, argv[argc - 1], &moment[1], 1, 1) : status;
}

static int choice(const char *value, const char *const *names, unsigned count)
{
	for (unsigned i = 0; value != NULL && i < count; i++)
		if (strcmp(value, names[i]) == 0)
			return (int)i;
	return -1;
}

/* Bits 1 << enum fa_diff_change. What did not change is shown to who asks for it only. */
static int read_only(const struct fa_cli *cli, unsigned *ret)
{
	*ret = options.only.count == 0 ? (1u << FA_CHANGES) - 1 - (1u << FA_KEPT) : 0;
	for (int i = 0; i < options.only.count; i++) {
		int c = choice(options.only.item[i], fa_change_names, FA_CHANGES);

		if (c < 0)
			return fa_usage(cli,
					"--only: '%s' is none of added, removed, grown, shrunk, "
					"kept",
					options.only.item[i]);
		*ret |= 1u << c;
	}
	return FA_EXIT_OK;
}

static int compare(struct job *job)
{
	static const char *const sorts[] = {"change", "size", "blocks"};
	const struct fa_cli *cli = job->reading.cli;
	struct fa_diff_options o = {
		.by_function = options.by != NULL && strcmp(options.by, "function") == 0,
		.sort = options.sort != NULL ? (enum fa_diff_sort)choice(options.sort, sorts, 3)
					     : FA_SORT_CHANGE,
		.blocks = options.view != NULL && strcmp(options.view, "blocks") == 0,
	};
	const struct fa_report look = {.resolver = job->reading.resolver,
				       .by_function = o.by_function,
				       .top = fa_reading_options.top,
				       .width = fa_terminal_width(),
				       .color = cli->color};
	int status = read_only(cli, &o.only), r;

	if (status != FA_EXIT_OK)
		return status;
	r = fa_diff_new(job->side, job->reading.resolver, &o, &job->diff);
	if (r == 0)
		r = cli->json ? fa_diff_json(&look, &job->diff, job->side, o.blocks, stdout)
			      : fa_diff_text(&look, &job->diff, job->side, o.blocks, stdout);
	if (r < 0)
		return fa_fail(fa_exit_of(r), "diff: %s", fa_strerror(r));
	return FA_EXIT_OK;
}

static bool grew_too_much(const struct fa_diff_row *sum)
{
	return sum->after.bytes > sum->before.bytes &&
	       sum->after.bytes - sum->before.bytes > options.fail_above;
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct job job = {0};
	int status;

	if (argc < 1 || argc > 2)
		return fa_usage(cli, argc == 0 ? "which traces?" : "two traces at most");
	if (argc == 1 && options.from == NULL)
		return fa_usage(cli, "one trace: which moments of it? (--from, --to)");
	status = fa_reading_init(&job.reading, cli);
	if (status == FA_EXIT_OK)
		status = read_sides(&job, argc, argv);
	if (status == FA_EXIT_OK)
		status = compare(&job);
	if (status == FA_EXIT_OK)
		status = job.status;
	if (status == FA_EXIT_OK && grew_too_much(&job.diff.sum))
		status = FA_EXIT_GROWN;
	fa_diff_done(&job.diff);
	for (int i = 0; i < 2; i++) {
		fa_live_done(&job.live[i]);
		fa_replay_free(job.replay[i]);
	}
	fa_reading_done(&job.reading);
	return status;
}

static const struct fa_option diff_options[] = {
	{0, "from", "MOMENT", FA_OPT_STRING, &options.from,
	 "the first moment: end (default), peak, a time since the trace began, mark:TEXT, snapshot:N", NULL},
	{0, "to", "MOMENT", FA_OPT_STRING, &options.to, "the second moment, in the same words",
	 NULL},
	{0, "view", "VIEW", FA_OPT_CHOICE, &options.view,
	 "stacks (default), or single blocks of processes that are in both", "stacks|blocks"},
	{0, "by", "WHAT", FA_OPT_CHOICE, &options.by, "a row for each stack (default) or function",
	 "stack|function"},
	{0, "sort", "ORDER", FA_OPT_CHOICE, &options.sort,
	 "what grew most first (change, default), the largest change first (size), or most "
	 "blocks more (blocks)",
	 "change|size|blocks"},
	{0, "only", "WHAT", FA_OPT_LIST, &options.only,
	 "only what was added, removed, grown, shrunk or kept; may come several times",
	 "added|removed|grown|shrunk|kept"},
	{0, "fail-above", "SIZE", FA_OPT_SIZE, &options.fail_above,
	 "exit with 6 when it grew by more than SIZE in all", NULL},
	FA_READING_FILTERS,
	FA_READING_LIFETIME,
	FA_READING_STACKS,
	{0},
};

const struct fa_command fa_cmd_diff = {
	.name = "diff",
	.group = "Traces",
	.summary = "compare what is live at two moments, of one trace or of two",
	.synopsis = "FILE [FILE] [--from MOMENT] [--to MOMENT] [--by stack|function] [--top N] "
		    "[FILTER...]",
	.description =
		"Takes the blocks that were live at a moment of the first file and at one of the "
		"second (or two moments of one file), and says by stack what was added, removed, "
		"grown, shrunk. At the end (the default) are those that were never freed, also of "
		"programs that are gone; at the peak those that were live when most bytes were; at "
		"a "
		"time those that were live then, to about a millisecond, and to some allocations of a "
		"program of one thread (enable --stamp all: exactly).\n\n"
		"The files may be of two runs of a program, or of two builds. Where a module is "
		"the "
		"same build on both sides (by its build id), stacks are the same when their calls "
		"are at the same places. Where it was built again, they are the same when the "
		"names of their functions are, inlined ones included; without symbols, when "
		"offsets "
		"in the module are. So both builds must still be there under the names that they "
		"had, or their debug files (--debug-dir). Modules are compared by file name "
		"without "
		"folder and, of libraries, without version; where each trace is of one program, "
		"the "
		"programs may have different names.\n\n"
		"Of processes that are in both (the same boot, pid and start), it is also said of "
		"blocks which were added, removed and kept. A realloc removes a block and adds "
		"another, also where the address stays the same. --view blocks lists them, the "
		"largest first.\n\n"
		"What is kept is not shown unless --only kept asks for it. Filters are those of "
		"report. The exit status is 0 when both files were read, whatever the difference; "
		"2 "
		"when one is damaged, 3 when events were lost, 6 when --fail-above says so.",
	.examples =
		"firstalloc diff old.falloc new.falloc # two builds: what does the new one keep?\n"
		"firstalloc diff --from mark:a --to mark:b day.falloc # what came between two "
		"marks\n"
		"firstalloc diff --from 10s --to peak day.falloc --by function --top 5 # up to the "
		"peak\n"
		"firstalloc diff --from mark:a --to mark:b day.falloc --view blocks --only added # "
		"which blocks\n"
		"firstalloc diff good.falloc new.falloc --fail-above 1M # for a test",
	.options = diff_options,
	.run = run,
};
