/* cmd_stop.c - end a session: what was recorded is drained, the trace gets its proper end. */
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/parse.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/pack.h"

static struct {
	bool all;
} given;

static const struct fa_option options[] = {
	{0, "all", NULL, FA_OPT_FLAG, &given.all, "every session that the caller may stop", NULL},
	{0}};

static void print_json(const struct fa_control_reply *r, const char *name)
{
	struct fa_json j;

	fa_json_init(&j, stdout, true);
	fa_json_object(&j, NULL);
	fa_json_string(&j, "session", name);
	fa_json_u64(&j, "sessions", r->sessions);
	fa_json_u64(&j, "events", r->events);
	fa_json_u64(&j, "lost", r->lost);
	fa_json_u64(&j, "processes", r->processes);
	fa_json_u64(&j, "bytes", r->bytes);
	fa_json_string(&j, "end", fa_end_reason_text(r->end_reason));
	fa_json_end_object(&j);
	fa_json_newline(&j);
}

static void print_text(const struct fa_control_reply *r, const char *name)
{
	char events[32], lost[32], bytes[32];

	if (r->sessions == 0) {
		puts("No session was running.");
		return;
	}
	if (name != NULL)
		printf("session %s stopped: ", name);
	else
		printf("%u session%s stopped: ", r->sessions, r->sessions == 1 ? "" : "s");
	printf("%s events, %s lost, %u process%s, %s\n",
	       fa_format_count(events, sizeof(events), r->events),
	       fa_format_count(lost, sizeof(lost), r->lost), r->processes,
	       r->processes == 1 ? "" : "es", fa_format_size(bytes, sizeof(bytes), r->bytes));
	if (name != NULL && r->end_reason != 0)
		fa_warn("it had ended before: %s%s%s", fa_end_reason_text(r->end_reason),
			r->end_error ? ": " : "",
			r->end_error ? fa_strerror(-(int)r->end_error) : "");
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct fa_control_request request = {.verb = FA_CONTROL_STOP};
	FA_CLEANUP(fa_close) int sock = -1;
	struct fa_control_reply reply;
	int ended[FA_FILES_MAX];
	const char *name = given.all ? NULL : argv[0];
	int e;

	if (given.all ? argc != 0 : argc != 1)
		return fa_usage(cli, "one session name is needed, or --all");
	if (name != NULL && !fa_session_name_ok(name))
		return fa_usage(cli, "'%s' is no session name", name);
	request.all = given.all;
	if (name != NULL)
		(void)snprintf(request.session.name, sizeof(request.session.name), "%s", name);
	sock = fa_client_connect(cli->root);
	if (sock < 0)
		return fa_client_fail(cli, sock);
	e = fa_client_stop(sock, &request, &reply, ended);
	if (e < 0)
		return fa_client_fail(cli, e);
	if (reply.error != 0)
		return fa_client_fail_reply(&reply);
	reply.bytes -= fa_pack_files(ended, FA_FILES_MAX);
	if (cli->json)
		print_json(&reply, name);
	else
		print_text(&reply, name);
	return FA_EXIT_OK;
}

const struct fa_command fa_cmd_stop = {
	.name = "stop",
	.group = "Sessions",
	.summary = "stop a session and end its trace",
	.synopsis = "NAME | --all",
	.description =
		"Returns when everything that was recorded stands in the trace and the trace "
		"has its proper end. The traced programs go on; they record nothing more "
		"unless another session wants them. One line says what was collected. The trace of a session that "
		"its user started without --compress lz4, --mode and --max-file-size is then made small, which takes a "
		"second for some 50 million events; interrupted, or where the disk has no room for both, it stays as "
		"it is, and is as good.",
	.examples = "firstalloc stop daily # end the session\n"
		    "firstalloc stop --all # end all of them\n",
	.options = options,
	.run = run,
};
