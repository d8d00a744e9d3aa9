/* cmd_save.c - the ring of a session that buffers, into a file that the caller opens. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/parse.h"
#include "cli/client.h"
#include "cli/command.h"

static struct {
	const char *output;
} given;

static const struct fa_option options[] = {
	{'o', "output", "FILE", FA_OPT_STRING, &given.output,
	 "the trace file (default NAME.falloc here); never overwritten", NULL},
	{0}};

static void print_saved(const struct fa_cli *cli, const char *name, const char *path,
			uint64_t bytes)
{
	char size[32];
	struct fa_json j;

	if (!cli->json) {
		printf("session %s: %s saved in %s; it goes on\n", name,
		       fa_format_size(size, sizeof(size), bytes), path);
		return;
	}
	fa_json_init(&j, stdout, true);
	fa_json_object(&j, NULL);
	fa_json_string(&j, "session", name);
	fa_json_string(&j, "file", path);
	fa_json_u64(&j, "bytes", bytes);
	fa_json_end_object(&j);
	fa_json_newline(&j);
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct fa_control_request request = {.verb = FA_CONTROL_SAVE};
	FA_CLEANUP(fa_close) int sock = -1;
	FA_CLEANUP(fa_close) int fd = -1;
	struct fa_control_reply reply;
	char path[600];
	int e;

	if (argc != 1)
		return fa_usage(cli, "one session name is needed");
	if (!fa_session_name_ok(argv[0]))
		return fa_usage(cli, "'%s' is no session name", argv[0]);
	(void)snprintf(request.session.name, sizeof(request.session.name), "%s", argv[0]);
	(void)snprintf(path, sizeof(path), "%s.falloc", argv[0]);
	if (given.output != NULL)
		(void)snprintf(path, sizeof(path), "%s", given.output);
	sock = fa_client_connect(cli->root);
	if (sock < 0)
		return fa_client_fail(cli, sock);
	e = fa_client_open_trace(path, &fd);
	if (e < 0)
		return fa_fail((int)fa_exit_of(e), "%s: %s", path, fa_strerror(e));
	e = fa_client_ask(sock, &request, fd, &reply, NULL);
	if (e < 0 || reply.error != 0) {
		fa_client_drop_trace(path, fd);
		return e < 0 ? fa_client_fail(cli, e) : fa_client_fail_reply(&reply);
	}
	(void)fdatasync(fd); /* a file system that cannot has nothing to sync */
	print_saved(cli, argv[0], path, reply.bytes);
	return FA_EXIT_OK;
}

const struct fa_command fa_cmd_save = {
	.name = "save",
	.group = "Sessions",
	.summary = "write the ring of a session that buffers to a file",
	.synopsis = "NAME [-o FILE]",
	.description =
		"A session that was started with --mode buffering keeps its newest events in memory. "
		"This writes them, with all that they need, into an ordinary trace file, and the "
		"session goes on as if nothing had happened: what is saved now is saved again by the "
		"next 'save' for as long as it is in the ring. firstallocd does nothing else "
		"meanwhile, about two seconds for a gigabyte on an idle machine, so the rings of sessions that are to lose nothing should be well below that.\n"
		"\n"
		"The file is opened by the caller, with mode 0600. An existing file is never "
		"overwritten.",
	.examples = "firstalloc save flight -o crash.falloc # what happened until now\n",
	.options = options,
	.run = run,
};
