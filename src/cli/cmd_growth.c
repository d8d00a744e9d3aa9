/* cmd_growth.c - `firstalloc growth A B C...`: which stacks have more live from moment to moment. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "cli/command.h"
#include "cli/range.h"
#include "cli/reading.h"
#include "report/growth.h"

enum { MOMENTS_MAX = 2000 };

static struct {
	struct fa_option_list at;
	uint64_t every;
	const char *range;
	const char *by;
	uint32_t steps;
	uint64_t fail_above;
} options = {.fail_above = UINT64_MAX};

struct job {
	struct fa_reading reading;
	unsigned files;
	bool snapshots; /* of one file: `files` of these, as if each were a file */
	struct fa_growth_source *source; /* one a file */
	struct fa_series *series;
	struct fa_replay **replay;
	struct fa_moment *moment; /* of one file */
	char (*every_name)[32];
	const char **name; /* of moments, as the sources want them */
	unsigned moments;
	struct fa_growth growth;
	int status; /* of the traces: the worst */
};

static const char *const end_name = "end";

/* ---- moments ---- */

static int by_ns(const void *a, const void *b)
{
	const struct fa_moment *x = a, *y = b;

	return x->ns < y->ns ? -1 : x->ns > y->ns;
}

static int make_moments(struct job *job, unsigned count)
{
	job->moments = count;
	job->moment = calloc(count + 1, sizeof(*job->moment));
	job->name = calloc(count + 1, sizeof(*job->name));
	job->every_name = calloc(count + 1, sizeof(*job->every_name));
	if (job->moment == NULL || job->name == NULL || job->every_name == NULL)
		return fa_fail(FA_EXIT_FAILED, "growth: %s", fa_strerror(-ENOMEM));
	return FA_EXIT_OK;
}

/* By time; the words of each move along. */
static void sort_moments(struct job *job)
{
	for (unsigned i = 1; i < job->moments; i++)
		for (unsigned k = i; k > 0 && by_ns(&job->moment[k - 1], &job->moment[k]) > 0;
		     k--) {
			struct fa_moment m = job->moment[k];
			const char *name = job->name[k];

			job->moment[k] = job->moment[k - 1];
			job->name[k] = job->name[k - 1];
			job->moment[k - 1] = m;
			job->name[k - 1] = name;
		}
}

/* How many a trace has: all of them are meant. */
static int count_snapshots(struct job *job, const char *path, unsigned *ret)
{
	struct fa_replay *replay;
	int r;

	fa_reading_begin(&job->reading);
	r = fa_replay_run(path, &job->reading.filter, &replay);
	fa_reading_end(&job->reading);
	if (r < 0)
		return fa_reading_failed(path, r);
	*ret = replay->model.takes;
	fa_replay_free(replay);
	if (*ret > MOMENTS_MAX)
		return fa_fail(FA_EXIT_USAGE, "%s: %u snapshots are too many (%d): --at snapshot:N names some",
			       path, *ret, MOMENTS_MAX);
	return FA_EXIT_OK;
}

static bool names_snapshots(void)
{
	return options.at.count > 0 && strncmp(options.at.item[0], "snapshot", 8) == 0;
}

static int moments_snapshots(struct job *job, const char *path)
{
	bool all = options.at.count == 1 && strcmp(options.at.item[0], "snapshots") == 0;
	unsigned count = (unsigned)options.at.count;
	int status = all ? count_snapshots(job, path, &count) : FA_EXIT_OK;

	if (status == FA_EXIT_OK)
		status = make_moments(job, count);
	for (unsigned i = 0; status == FA_EXIT_OK && i < count; i++) {
		if (all)
			(void)snprintf(job->every_name[i], sizeof(*job->every_name), "snapshot:%u", i + 1);
		job->name[i] = all ? job->every_name[i] : options.at.item[i];
		status = fa_moment_parse(job->reading.cli, "at", job->name[i], path, &job->moment[i]);
		if (status == FA_EXIT_OK && job->moment[i].kind != FA_MOMENT_SNAPSHOT)
			return fa_usage(job->reading.cli, "--at %s: snapshots or times, not both",
					job->name[i]);
	}
	job->snapshots = true;
	job->files = count;
	return status;
}

static int moments_at(struct job *job, const char *path)
{
	int status = make_moments(job, (unsigned)options.at.count);

	for (int i = 0; status == FA_EXIT_OK && i < options.at.count; i++) {
		job->name[i] = options.at.item[i];
		status = fa_moment_parse(job->reading.cli, "at", job->name[i], path,
					 &job->moment[i]);
		if (status == FA_EXIT_OK && job->moment[i].kind != FA_MOMENT_TIME)
			return fa_usage(
				job->reading.cli,
				"--at %s: growth wants times and marks, or snapshots (of several "
				"files it takes the end of each)",
				job->name[i]);
	}
	sort_moments(job);
	return status;
}

static int moments_every(struct job *job, const char *path)
{
	struct fa_trace_clock clock;
	uint64_t lo = 0, hi = UINT64_MAX, end, count;
	int status = fa_range_parse(job->reading.cli, options.range, path, &lo, &hi), r;

	if (status != FA_EXIT_OK)
		return status;
	r = fa_replay_clock(path, &clock);
	if (r < 0)
		return fa_reading_failed(path, r);
	end = fa_trace_clock_mono_ns(&clock, clock.last.stamp) -
	      fa_trace_clock_mono_ns(&clock, clock.first.stamp);
	if (hi > end)
		hi = end;
	/* At the beginning of a trace nothing lives. */
	if (lo == 0)
		lo = options.every;
	count = hi < lo ? 0 : (hi - lo) / options.every + 1;
	if (count > MOMENTS_MAX)
		return fa_fail(FA_EXIT_USAGE,
			       "--every: %" PRIu64 " moments are too many (%d): a longer time, or "
			       "--range",
			       count, MOMENTS_MAX);
	status = make_moments(job, (unsigned)count);
	for (unsigned i = 0; status == FA_EXIT_OK && i < count; i++) {
		job->moment[i] =
			(struct fa_moment){.kind = FA_MOMENT_TIME, .ns = lo + i * options.every};
		job->name[i] = fa_format_duration(job->every_name[i], sizeof(*job->every_name),
						  job->moment[i].ns);
	}
	return status;
}

static int moments_of_one(struct job *job, const char *path)
{
	if (options.every != 0 && options.at.count != 0)
		return fa_usage(job->reading.cli, "--every or --at, not both");
	if (options.every != 0)
		return moments_every(job, path);
	if (names_snapshots())
		return moments_snapshots(job, path);
	if (options.at.count != 0)
		return moments_at(job, path);
	return fa_usage(job->reading.cli, "one trace: at which moments of it? (--every 10s, --at mark:A "
					  "--at mark:B, or --at snapshots)");
}

/* ---- the run ---- */

static int read_trace(struct job *job, unsigned i, const char *path)
{
	static const struct fa_moment end = {.kind = FA_MOMENT_END};
	bool one = job->moments != 0;
	const unsigned first = job->snapshots ? i : 0;
	int r, status;

	fa_reading_begin(&job->reading);
	r = fa_series_read(path, &job->reading.filter, one ? job->moment + first : &end,
			   one && !job->snapshots ? job->moments : 1, &job->series[i], &job->replay[i]);
	fa_reading_end(&job->reading);
	if (r < 0)
		return fa_reading_failed(path, r);
	job->source[i] = (struct fa_growth_source){
		.path = path,
		.moments = one ? job->name + first : &end_name,
		.replay = job->replay[i],
		.series = &job->series[i],
	};
	status = fa_reading_selection(path, job->replay[i]);
	if (status != FA_EXIT_OK)
		return status;
	fa_reading_damage(path, job->replay[i]);
	status = fa_reading_status(job->replay[i]);
	if (status == FA_EXIT_LOST && job->reading.cli->json)
		fa_warn("%s: events were lost: no number is exact", path);
	if (job->status != FA_EXIT_USAGE && status != FA_EXIT_OK)
		job->status = status;
	return FA_EXIT_OK;
}

static int read_all(struct job *job, char **argv)
{
	const bool one = job->files == 1;
	int status = FA_EXIT_OK;

	if (one)
		status = moments_of_one(job, argv[0]);
	if (status == FA_EXIT_OK && one && job->moments < 2)
		status = fa_fail(FA_EXIT_USAGE, "%s: fewer than two moments: nothing can have grown",
				 argv[0]);
	job->source = calloc(job->files + 1, sizeof(*job->source));
	job->series = calloc(job->files + 1, sizeof(*job->series));
	job->replay = calloc(job->files + 1, sizeof(*job->replay));
	if (job->source == NULL || job->series == NULL || job->replay == NULL)
		return fa_fail(FA_EXIT_FAILED, "growth: %s", fa_strerror(-ENOMEM));
	for (unsigned i = 0; status == FA_EXIT_OK && i < job->files; i++)
		status = read_trace(job, i, argv[one ? 0 : i]);
	return status;
}

static int judge(struct job *job)
{
	const struct fa_cli *cli = job->reading.cli;
	const struct fa_growth_options o = {
		.by_function = options.by != NULL && strcmp(options.by, "function") == 0,
		.trim = options.every != 0,
		.grown = options.steps,
	};
	const struct fa_report look = {.resolver = job->reading.resolver,
				       .by_function = o.by_function,
				       .top = fa_reading_options.top,
				       .width = fa_terminal_width(),
				       .color = cli->color};
	int r = fa_growth_new(job->source, job->files, job->reading.resolver, &o, &job->growth);

	if (r == -EEXIST)
		return fa_fail(FA_EXIT_USAGE, "growth: two moments are the same");
	if (r == -ERANGE)
		return fa_fail(FA_EXIT_USAGE, "growth: fewer than two moments at which something "
					      "lives: nothing can have grown");
	if (r == 0)
		r = cli->json ? fa_growth_json(&look, &job->growth, stdout)
			      : fa_growth_text(&look, &job->growth, stdout);
	return r < 0 ? fa_fail(fa_exit_of(r), "growth: %s", fa_strerror(r)) : FA_EXIT_OK;
}

static void done(struct job *job)
{
	fa_growth_done(&job->growth);
	for (unsigned i = 0; i < job->files; i++) {
		if (job->series != NULL)
			fa_series_done(&job->series[i]);
		if (job->replay != NULL)
			fa_replay_free(job->replay[i]);
	}
	free(job->source);
	free(job->series);
	free(job->replay);
	free(job->moment);
	free(job->name);
	free(job->every_name);
	fa_reading_done(&job->reading);
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct job job = {.files = (unsigned)argc};
	int status;

	if (argc == 0)
		return fa_usage(cli, "which traces?");
	if (argc > 1 && (options.every != 0 || options.at.count != 0 || options.range != NULL))
		return fa_usage(cli, "--every, --at and --range are for one trace");
	status = fa_reading_init(&job.reading, cli);
	if (status == FA_EXIT_OK)
		status = read_all(&job, argv);
	if (status == FA_EXIT_OK)
		status = judge(&job);
	if (status == FA_EXIT_OK)
		status = job.status;
	if (status == FA_EXIT_OK && job.growth.row_count != 0 && options.fail_above != UINT64_MAX &&
	    job.growth.row[0].slope > (double)options.fail_above)
		status = FA_EXIT_GROWN;
	done(&job);
	return status;
}

static const struct fa_option growth_options[] = {
	{0, "every", "TIME", FA_OPT_DURATION, &options.every,
	 "of one trace: a moment each TIME (10s, 1h)", NULL},
	{0, "at", "MOMENT", FA_OPT_LIST, &options.at,
	 "of one trace: a time since it began, or mark:TEXT; comes several times; or snapshot:N, "
	 "or snapshots: all that it has", NULL},
	{0, "range", "T1,T2", FA_OPT_STRING, &options.range,
	 "with --every: the first and the last moment, or marks", NULL},
	{0, "by", "WHAT", FA_OPT_CHOICE, &options.by, "a row for each stack (default) or function",
	 "stack|function"},
	{0, "steps", "N", FA_OPT_U32, &options.steps,
	 "what grows in N steps at least and shrinks in none (default: grows in all)", NULL},
	{0, "fail-above", "SIZE", FA_OPT_SIZE, &options.fail_above,
	 "exit with 6 when something grows by more than SIZE a second", NULL},
	FA_READING_FILTERS,
	FA_READING_LIFETIME,
	FA_READING_STACKS,
	{0},
};

const struct fa_command fa_cmd_growth = {
	.name = "growth",
	.group = "Traces",
	.summary = "find what keeps growing: the leaks of a service",
	.synopsis =
		"FILE FILE... | FILE --every TIME | FILE --at MOMENT --at MOMENT... [--steps N] "
		"[--by stack|function] [--top N] [FILTER...]",
	.description =
		"Looks at what is live at several moments and shows the stacks that have more "
		"bytes at "
		"each than at the one before, the steepest first. What fills up and then stays, as "
		"a cache does, is not among them once it is full: choose moments behind that.\n\n"
		"The moments are the ends of several files, in the order of their times, or "
		"moments "
		"of one file: one each TIME, or those given. Moments at which nothing lives, "
		"before a "
		"program began and behind its end, are left out with --every.\n\n"
		"A stack's slope is that of the straight line through its bytes with the least "
		"squares, in bytes a second; \"straight to 98 %\" says how much of the variation "
		"the "
		"line explains. A leak that happens less often than there are moments does not "
		"grow in "
		"every step: --steps 3 shows what grows in three and shrinks in none.\n\n"
		"Files may be of several runs or builds; how stacks are compared then, see "
		"firstalloc-diff(1). Filters are those of report. The exit status is 0 when all "
		"files were read, whatever grows; 2 when one is damaged, 3 when events were "
		"lost, 6 when --fail-above says so.",
	.examples =
		"firstalloc growth day.falloc --every 1h # a service that was traced for a day\n"
		"firstalloc growth 1.falloc 2.falloc 3.falloc # three snapshots\n"
		"firstalloc growth day.falloc --every 10m --range 1h, # not the first hour\n"
		"firstalloc growth t.falloc --at mark:a --at mark:b --at mark:c --by function # "
		"marks\n"
		"firstalloc growth week.falloc --at snapshots # that were taken into a session\n"
		"firstalloc growth t.falloc --every 10s --steps 5 --json # for a program",
	.options = growth_options,
	.run = run,
};
