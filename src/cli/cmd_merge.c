/* cmd_merge.c - `firstalloc merge A B -o C`: several traces as one. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/parse.h"
#include "cli/client.h"
#include "cli/command.h"
#include "trace/merge.h"

static struct {
	const char *output;
	bool shift;
} given;

static const struct fa_option options[] = {
	{'o', "output", "FILE", FA_OPT_STRING, &given.output,
	 "the merged trace; never overwrites a file", NULL},
	{0, "shift", NULL, FA_OPT_FLAG, &given.shift,
	 "take traces of another boot or machine too, by the time of day", NULL},
	{0}};

static int fail(const struct fa_merge *m, int e)
{
	const char *path = m->at < m->count ? m->input[m->at].path : given.output;

	if (m->why[0] != '\0')
		return fa_fail(FA_EXIT_FAILED, "%s: cannot be merged: %s", path, m->why);
	if (m->at < m->count && e == -EBADMSG)
		return fa_fail(FA_EXIT_FAILED,
			       "%s: not a firstalloc trace, or its first bytes are damaged", path);
	return fa_fail((int)fa_exit_of(e), "%s: %s", path, fa_strerror(e));
}

/* What is not whole in the result. Returns the exit status. */
static int warn(const struct fa_merge *m)
{
	int status = FA_EXIT_OK;

	for (unsigned i = 0; i < m->count; i++) {
		const struct fa_merge_input *in = &m->input[i];

		if (in->damage.damaged)
			status = fa_fail(FA_EXIT_USAGE,
					 "%s: damaged at byte %" PRIu64 " (%s): %" PRIu64
					 " bytes from there to the end are not in %s",
					 in->path, in->damage.offset, in->damage.what,
					 in->damage.bytes, given.output);
		else if (!in->ended)
			fa_warn("%s: not ended properly, so %s is not either", in->path,
				given.output);
		if (in->shifted)
			fa_warn("%s: of another boot or machine: its times are as good as the two "
				"clocks were set",
				in->path);
	}
	if (m->twice != 0)
		fa_warn("%u process%s in more than one of the traces: what happened there at the "
			"same time is counted for each of them",
			m->twice, m->twice == 1 ? " is" : "es are");
	return status;
}

static void print(const struct fa_cli *cli, const struct fa_merge *m)
{
	char events[32], lost[32], bytes[32];
	struct fa_json j;

	if (!cli->json) {
		printf("%u traces merged into %s: %s events, %s lost, %s\n", m->count, given.output,
		       fa_format_count(events, sizeof(events), m->events),
		       fa_format_count(lost, sizeof(lost), m->lost),
		       fa_format_size(bytes, sizeof(bytes), m->bytes));
		return;
	}
	fa_json_init(&j, stdout, true);
	fa_json_object(&j, NULL);
	fa_json_string(&j, "file", given.output);
	fa_json_u64(&j, "traces", m->count);
	fa_json_u64(&j, "events", m->events);
	fa_json_u64(&j, "lost", m->lost);
	fa_json_u64(&j, "bytes", m->bytes);
	fa_json_u64(&j, "processes_twice", m->twice);
	fa_json_end_object(&j);
	fa_json_newline(&j);
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	FA_CLEANUP(fa_close) int fd = -1;
	struct fa_merge m = {.shift = given.shift, .count = (unsigned)argc};
	int e;

	if (argc < 2 || argc > FA_MERGE_MOST)
		return fa_usage(cli, "give 2 to %d traces", FA_MERGE_MOST);
	if (given.output == NULL)
		return fa_usage(cli, "where to? -o FILE");
	for (int i = 0; i < argc; i++)
		m.input[i].path = argv[i];
	e = fa_client_open_trace(given.output, &fd);
	if (e == -EEXIST)
		return fa_fail(FA_EXIT_FAILED,
			       "%s exists already; a trace is never overwritten: name another file",
			       given.output);
	if (e < 0)
		return fa_fail((int)fa_exit_of(e), "%s: %s", given.output, fa_strerror(e));
	e = fa_trace_merge(&m, fd);
	if (e < 0) {
		fa_client_drop_trace(given.output, fd);
		return fail(&m, e);
	}
	print(cli, &m);
	return warn(&m);
}

const struct fa_command fa_cmd_merge = {
	.name = "merge",
	.group = "Traces",
	.summary = "make one trace of several, in time order",
	.synopsis = "FILE FILE... -o FILE [--shift]",
	.description =
		"Everything that the traces hold stands in the new one: events in time order, "
		"processes, modules with their build ids, stacks, marks, losses. A report of it is "
		"the sum of their reports. A process that is in two of the traces is two processes "
		"in the new one.\n"
		"\n"
		"The traces must be of one machine, one boot and one kind of clock, otherwise the "
		"command says which is not, and makes nothing. With --shift a trace of another "
		"boot or machine is put where it belongs by the time of day; its clock must be of "
		"the same kind and speed.\n"
		"\n"
		"A trace that was cut is merged up to its end, a damaged one up to the damage, "
		"then with exit status 2; the new trace then has no proper end either, and says "
		"so wherever it is read.",
	.examples = "firstalloc merge web.falloc db.falloc -o all.falloc # one report over both\n"
		    "firstalloc merge monday.falloc tuesday.falloc -o week.falloc --shift "
		    "# of two boots\n",
	.options = options,
	.run = run,
};
