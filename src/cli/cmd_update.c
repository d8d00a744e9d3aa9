/* cmd_update.c - change a session that runs: its PIDs, stacks, timer, buffers. */
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/parse.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/pack.h"
#include "cli/pids.h"
#include "cli/words.h"
#include "client/attach.h"

static struct {
	struct fa_option_list pids;
	const char *stacks;
	uint64_t flush_timer_ns;
	const char *maximum_buffers;
	const char *output;
} given = {.flush_timer_ns = UINT64_MAX};

static const struct fa_option options[] = {
	{'o', "output", "FILE", FA_OPT_STRING, &given.output,
	 "go on in this file, a new one; the trace before it ends properly", NULL},
	{'p', "pid", "PID", FA_OPT_LIST, &given.pids,
	 "instead of those before: these running processes; several: again, or with commas; 0: the "
	 "flagged ones",
	 NULL},
	{0, "stacks", "EVENTS", FA_OPT_STRING, &given.stacks,
	 "which events carry stacks: alloc, realloc, free, with commas, all, none; rule: as each "
	 "program's rule says",
	 NULL},
	{0, "flush-timer", "TIME", FA_OPT_DURATION, &given.flush_timer_ns,
	 "write out at least so often; 0: the default, 1s", NULL},
	{0, "max-buffers", "N", FA_OPT_STRING, &given.maximum_buffers,
	 "a program's arena grows to at most so many buffer sizes; 0: no limit", NULL},
	{0}};

static struct fa_pids pids;

static int fill(const struct fa_cli *cli, struct fa_control_request *q)
{
	if (given.flush_timer_ns != UINT64_MAX) {
		q->changes |= FA_UPDATE_FLUSH_TIMER;
		q->session.flush_timer =
			(uint32_t)((given.flush_timer_ns + 999999999u) / 1000000000u);
	}
	if (given.maximum_buffers != NULL) {
		q->changes |= FA_UPDATE_MAXIMUM_BUFFERS;
		if (fa_parse_u32(given.maximum_buffers, &q->session.maximum_buffers) < 0)
			return fa_usage(cli, "--max-buffers: '%s' is no number",
					given.maximum_buffers);
	}
	if (given.stacks != NULL) {
		q->changes |= FA_UPDATE_STACKS;
		if (fa_words_stacks(given.stacks, &q->session.stacks) < 0)
			return fa_usage(cli,
					"--stacks: '%s' is not made of alloc, realloc, free, all, "
					"none, rule",
					given.stacks);
	}
	if (given.pids.count > 0) {
		q->changes |= FA_UPDATE_PIDS;
		if (fa_pids_parse(cli, &given.pids, &pids) != 0)
			return FA_EXIT_USAGE;
		q->session.flags |= pids.flagged ? 0 : FA_SESSION_PIDS;
	}
	if (given.output != NULL)
		q->changes |= FA_UPDATE_FILE;
	return q->changes == 0 ? fa_usage(cli, "what is to be changed?") : 0;
}

static int ask(const struct fa_cli *cli, int sock, struct fa_control_request *q, int fd,
	       struct fa_control_reply *reply, int *ret_old)
{
	int e = fa_client_ask(sock, q, fd, reply, ret_old);

	if (e < 0)
		return fa_client_fail(cli, e);
	return reply->error != 0 ? fa_client_fail_reply(reply) : 0;
}

/* With its new file. Where no answer came it may be in use: then it stays. */
static int ask_last(const struct fa_cli *cli, int sock, struct fa_control_request *q,
		    struct fa_control_reply *reply)
{
	FA_CLEANUP(fa_close) int fd = -1;
	int old = -1;
	int e = given.output != NULL ? fa_client_open_trace(given.output, &fd) : 0;

	if (e < 0)
		return fa_fail((int)fa_exit_of(e), "%s: %s", given.output, fa_strerror(e));
	reply->error = 0;
	e = ask(cli, sock, q, fd, reply, &old);
	(void)fa_pack_files(&old, 1);
	if (reply->error != 0 && fd >= 0)
		fa_client_drop_trace(given.output, fd);
	return e;
}

/* The new ones are in it before the old ones leave. Not 0: nothing has changed, and why was said. */
static int attach(const struct fa_cli *cli, int sock, const struct fa_control_request *q,
		  struct fa_json *j, unsigned *ret_failed)
{
	struct fa_control_request begin = *q;
	struct fa_control_reply reply;
	int e;

	begin.changes = FA_UPDATE_PIDS_BEGIN;
	e = ask(cli, sock, &begin, -1, &reply, NULL);
	if (e != 0)
		return e;
	*ret_failed = fa_pids_attach(&pids, sock, reply.session_id, j);
	if (pids.count > 0 && *ret_failed == pids.count && !pids.flagged)
		return fa_fail(FA_EXIT_FAILED,
			       "none of the processes could be had: the session is as it was");
	return 0;
}

static void print(const struct fa_control_request *q, const struct fa_control_reply *r)
{
	printf("session %s changed", q->session.name);
	if ((q->changes & FA_UPDATE_PIDS) != 0)
		printf(": %u process%s left, %u flagged joined, %u woken", r->processes,
		       r->processes == 1 ? "" : "es", r->pending_families, r->woken);
	puts(".");
	if (r->text[0] != '\0')
		fa_warn("%s", r->text);
}

static void print_json(struct fa_json *j, const struct fa_control_request *q,
		       const struct fa_control_reply *r)
{
	fa_json_string(j, "session", q->session.name);
	fa_json_u64(j, "left", r->processes);
	fa_json_u64(j, "joined", r->pending_families);
	fa_json_u64(j, "woken", r->woken);
}

static int change(const struct fa_cli *cli, int sock, struct fa_control_request *q,
		  struct fa_json *j, unsigned *ret_failed)
{
	struct fa_control_reply reply;
	int e = 0;

	if (j != NULL)
		fa_json_array(j, "pids");
	if ((q->changes & FA_UPDATE_PIDS) != 0)
		e = attach(cli, sock, q, j, ret_failed);
	if (j != NULL)
		fa_json_end_array(j);
	if (e == 0)
		e = ask_last(cli, sock, q, &reply);
	if (e != 0)
		return e;
	if (pids.flagged)
		reply.woken += fa_attach_flagged(sock, cli->root);
	if (j != NULL)
		print_json(j, q, &reply);
	else
		print(q, &reply);
	return 0;
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct fa_control_request q = {.verb = FA_CONTROL_UPDATE};
	FA_CLEANUP(fa_close) int sock = -1;
	unsigned failed = 0;
	struct fa_json j;
	int e;

	if (argc != 1)
		return fa_usage(cli, "one session name is needed");
	if (!fa_session_name_ok(argv[0]))
		return fa_usage(cli, "'%s' is no session name", argv[0]);
	(void)snprintf(q.session.name, sizeof(q.session.name), "%s", argv[0]);
	e = fill(cli, &q);
	if (e != 0)
		return e;
	sock = fa_client_connect(cli->root);
	if (sock < 0)
		return fa_client_fail(cli, sock);
	if (!cli->json) {
		e = change(cli, sock, &q, NULL, &failed);
	} else {
		fa_json_init(&j, stdout, true);
		fa_json_object(&j, NULL);
		e = change(cli, sock, &q, &j, &failed);
		fa_json_end_object(&j);
		fa_json_newline(&j);
	}
	return e != 0 ? e : failed != 0 ? FA_EXIT_USAGE : FA_EXIT_OK;
}

const struct fa_command fa_cmd_update = {
	.name = "update",
	.group = "Sessions",
	.summary = "change a session that runs",
	.synopsis = "NAME [--pid PID]... [--stacks EVENTS] [--flush-timer TIME] [--max-buffers N] [-o FILE]",
	.description = "What is not named stays as it is. When the command has returned the change "
		       "holds: for a program "
		       "from its next heap call a few milliseconds later on, at most 100. It "
		       "stands in the trace, with time "
		       "and user, and a report shows it at its head. Who may stop a session may "
		       "change it.\n"
		       "\n"
		       "--pid replaces all processes of the session: those that are named come in, "
		       "as with 'start', and "
		       "the others leave; they are dormant again unless another session wants "
		       "them. A line says for each "
		       "that is named what came of it; with one that cannot be had the others go "
		       "on, and the exit status "
		       "is 2; if none can be had nothing changes. --pid 0 stands for the flagged "
		       "programs: alone it makes "
		       "an ordinary session of one that had PIDs.\n"
		       "\n"
		       "--stacks none takes no stacks; --stacks rule goes back to what each "
		       "program's rule says. Sessions "
		       "that share a program have the stacks of all events of which one of them "
		       "wants them.\n"
		       "\n"
		       "With -o the trace so far gets its proper end, and the session goes on in "
		       "another file, which is complete in itself: it has the processes that live, "
		       "their modules and stacks, and nothing of what happened before; frees of "
		       "older blocks are counted apart.",
	.examples = "firstalloc update now --pid 4711,4713 # these two, and no others\n"
		    "firstalloc update daily --stacks all # of frees, too, from now on\n"
		    "firstalloc update daily --flush-timer 10s --max-buffers 4096\n"
		    "firstalloc update daily -o tuesday.falloc # monday's can be read now\n",
	.options = options,
	.run = run,
};
