/*
 * main.c - `firstalloc`: find the command, fill its options, run it, look at stdout once.
 *
 * SIGPIPE keeps the disposition that we were started with: `firstalloc dump FILE | head` then ends
 * without a word, and what `firstalloc run` starts inherits what its caller wanted.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_internal.h"

struct fa_common fa_common;

const struct fa_option fa_common_options[] = {
	{0, "root", "DIR", FA_OPT_STRING, &fa_common.root,
	 "use the registry, the index and the sockets below DIR", NULL},
	{0, "json", NULL, FA_OPT_FLAG, &fa_common.json, "print JSON", NULL},
	{'h', "help", NULL, FA_OPT_FLAG, &fa_common.help, "show help and do nothing else", NULL},
	{0, "version", NULL, FA_OPT_FLAG, &fa_common.version, "show the version", NULL},
	{0},
};

#define X(name) &fa_cmd_##name,
const struct fa_command *const fa_commands[] = {FA_COMMANDS(X) NULL};
#undef X

const struct fa_command *fa_command_find(const char *name)
{
	for (int i = 0; fa_commands[i]; i++)
		if (!strcmp(fa_commands[i]->name, name))
			return fa_commands[i];
	return NULL;
}

int fa_command_names(const char *const **ret)
{
	static const char *names[sizeof(fa_commands) / sizeof(fa_commands[0])];
	int n = 0;

	for (int i = 0; fa_commands[i]; i++)
		if (!(fa_commands[i]->flags & FA_CMD_HIDDEN))
			names[n++] = fa_commands[i]->name;
	*ret = names;
	return n;
}

static bool terminal_has_color(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (no_color && *no_color)
		return false;
	return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}

/* Absolute when the folder exists, so that a daemon started from here may leave this folder. */
static const char *clean_root(const char *given)
{
	static char path[PATH_MAX];
	size_t len;

	if (!realpath(given, path)) {
		if (strlen(given) >= sizeof(path))
			return NULL;
		strcpy(path, given);
	}
	len = strlen(path);
	while (len && path[len - 1] == '/')
		path[--len] = '\0';
	return path;
}

static int fill_cli(struct fa_cli *cli)
{
	const char *root = "";

	if (fa_common.root) {
		if (!*fa_common.root)
			return fa_fail(FA_EXIT_USAGE, "--root: the folder's name is empty");
		root = clean_root(fa_common.root);
		if (!root)
			return fa_fail(FA_EXIT_USAGE, "--root: the folder's name is too long");
	}
	cli->root = root;
	cli->json = fa_common.json;
	cli->color = terminal_has_color();
	cli->progress = isatty(STDERR_FILENO);
	return 0;
}

static int unknown_command(const char *name)
{
	const char *const *names;
	int n = fa_command_names(&names);
	const char *near = fa_did_you_mean(name, names, n);

	if (near)
		return fa_fail(FA_EXIT_USAGE, "unknown command '%s'; did you mean '%s'?", name,
			       near);
	return fa_fail(FA_EXIT_USAGE, "unknown command '%s'; '%s help' lists the commands", name,
		       FA_PROGRAM);
}

/* A full disk or a closed stdout must not end as success. A reader that went away is told nothing. */
static int finish_stdout(int status)
{
	bool failed = ferror(stdout) != 0;

	errno = 0;
	if (fflush(stdout) != 0)
		failed = true;
	else if (close(STDOUT_FILENO) != 0 && errno != EBADF)
		failed = true;
	if (!failed)
		return status;
	if (errno == EPIPE)
		return status ? status : FA_EXIT_FAILED;
	if (errno)
		return fa_fail(FA_EXIT_FAILED, "cannot write the output: %s", strerror(errno));
	return fa_fail(FA_EXIT_FAILED, "cannot write the output");
}

static int run_command(struct fa_cli *cli, int argc, char **argv, char **operands)
{
	const struct fa_command *command = fa_command_find(argv[0]);
	struct fa_option_scope scope = {0};
	int count = 0;
	int status;

	if (!command)
		return unknown_command(argv[0]);
	scope.command = command;
	scope.stop_at_operand = (command->flags & FA_CMD_STOP_AT_OPERAND) != 0;
	cli->command = command->name;
	status = fa_options_parse(&scope, argc - 1, argv + 1, operands, &count);
	if (status)
		return status;
	if (fa_common.version) {
		printf("%s %s\n", FA_PROGRAM, FA_VERSION);
		return FA_EXIT_OK;
	}
	if (fa_common.help) {
		fa_help_command(stdout, command);
		return FA_EXIT_OK;
	}
	status = fill_cli(cli);
	return status ? status : command->run(cli, count, operands);
}

/* Options before the command's name, then the rest. `words` and `operands` hold argc + 1 each. */
static int dispatch(struct fa_cli *cli, int argc, char **argv, char **words, char **operands)
{
	struct fa_option_scope before = {.command = NULL, .stop_at_operand = true};
	int count = 0;
	int status = fa_options_parse(&before, argc - 1, argv + 1, words, &count);

	if (status)
		return status;
	if (count)
		return run_command(cli, count, words, operands);
	if (fa_common.version) {
		printf("%s %s\n", FA_PROGRAM, FA_VERSION);
		return FA_EXIT_OK;
	}
	if (fa_common.help) {
		fa_help_list(stdout);
		return FA_EXIT_OK;
	}
	return fa_fail(FA_EXIT_USAGE, "no command given; '%s help' lists the commands", FA_PROGRAM);
}

int main(int argc, char **argv)
{
	struct fa_cli cli = {.root = "", .program = argc > 0 ? argv[0] : FA_PROGRAM};
	char **words = calloc((size_t)argc + 2, sizeof(*words));
	char **operands = calloc((size_t)argc + 2, sizeof(*operands));
	int status = FA_EXIT_FAILED;

	if (!words || !operands)
		(void)fa_fail(status, "out of memory");
	else
		status = dispatch(&cli, argc > 0 ? argc : 1, argv, words, operands);
	status = finish_stdout(status);
	free(words);
	free(operands);
	return status;
}
