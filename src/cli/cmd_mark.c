/* cmd_mark.c - name a moment in the traces that are being recorded. */
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "cli/client.h"
#include "cli/command.h"

static struct {
	const char *session;
} given;

static const struct fa_option options[] = {
	{0, "session", "NAME", FA_OPT_STRING, &given.session, "only into this session", NULL}, {0}};

static void print(const struct fa_cli *cli, const struct fa_control_reply *r, const char *text)
{
	struct fa_json j;

	if (!cli->json) {
		printf("mark '%s' set in %u session%s\n", text, r->sessions,
		       r->sessions == 1 ? "" : "s");
		return;
	}
	fa_json_init(&j, stdout, true);
	fa_json_object(&j, NULL);
	fa_json_string(&j, "mark", text);
	fa_json_u64(&j, "sessions", r->sessions);
	fa_json_end_object(&j);
	fa_json_newline(&j);
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct fa_control_request request = {.verb = FA_CONTROL_MARK, .all = given.session == NULL};
	FA_CLEANUP(fa_close) int sock = -1;
	struct fa_control_reply reply;
	int e;

	if (argc != 1)
		return fa_usage(cli, "one text is needed");
	if (!fa_mark_text_ok(argv[0]))
		return fa_usage(cli, "the text of a mark: 1 to %d bytes, no control characters",
				FA_MARK_TEXT - 1);
	if (given.session != NULL && !fa_session_name_ok(given.session))
		return fa_usage(cli, "'%s' is no session name", given.session);
	(void)snprintf(request.text, sizeof(request.text), "%s", argv[0]);
	if (given.session != NULL)
		(void)snprintf(request.session.name, sizeof(request.session.name), "%s",
			       given.session);
	sock = fa_client_connect(cli->root);
	if (sock < 0)
		return fa_client_fail(cli, sock);
	e = fa_client_ask(sock, &request, -1, &reply, NULL);
	if (e < 0)
		return fa_client_fail(cli, e);
	if (reply.error != 0)
		return fa_client_fail_reply(&reply);
	print(cli, &reply, argv[0]);
	return FA_EXIT_OK;
}

const struct fa_command fa_cmd_mark = {
	.name = "mark",
	.group = "Sessions",
	.summary = "name this moment in the traces that are being recorded",
	.synopsis = "TEXT [--session NAME]",
	.description =
		"Writes a mark with the time of now into all sessions that the caller may stop, or "
		"into one. report and dump take mark:TEXT as an end of --range, so that a phase of "
		"a scenario can be looked at by itself. When the command has returned, the mark "
		"stands in the file.\n"
		"\n"
		"A text may come more than once; mark:TEXT is the first. A text with a comma cannot "
		"be an end of a range. Programs set marks with fa_mark(3).",
	.examples = "firstalloc mark before # then do what is to be looked at\n"
		    "firstalloc mark after --session daily # only in one session\n"
		    "firstalloc report daily.falloc --range mark:before,mark:after # that phase\n",
	.options = options,
	.run = run,
};
