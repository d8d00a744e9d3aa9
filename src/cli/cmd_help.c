/*
 * cmd_help.c - `firstalloc help`: the list, one command's page, and what is generated from the same
 * table: completion scripts and man pages.
 */
#include <string.h>

#include "cli/cli_internal.h"

static struct {
	const char *complete;
	bool man;
} opt;

static const struct fa_option options[] = {
	{0, "complete", "SHELL", FA_OPT_CHOICE, &opt.complete,
	 "print the completion script for a shell", "bash|zsh"},
	{0, "man", NULL, FA_OPT_FLAG, &opt.man,
	 "print the manual page (roff) of the program or of COMMAND", NULL},
	{0},
};

static int run_help(const struct fa_cli *cli, int argc, char **argv)
{
	const struct fa_command *command = NULL;

	if (argc > 1)
		return fa_usage(cli, "one command at most");
	if (argc == 1) {
		const char *const *names;
		int n = fa_command_names(&names);
		const char *near = fa_did_you_mean(argv[0], names, n);

		command = fa_command_find(argv[0]);
		if (!command)
			return fa_fail(FA_EXIT_USAGE, "unknown command '%s'%s%s%s", argv[0],
				       near ? "; did you mean '" : "", near ? near : "",
				       near ? "'?" : "");
	}
	if (opt.complete) {
		if (!strcmp(opt.complete, "bash"))
			fa_complete_bash(stdout);
		else
			fa_complete_zsh(stdout);
	} else if (opt.man) {
		fa_man_page(stdout, command);
	} else if (command) {
		fa_help_command(stdout, command);
	} else {
		fa_help_list(stdout);
	}
	return FA_EXIT_OK;
}

const struct fa_command fa_cmd_help = {
	.name = "help",
	.group = "Machine",
	.summary = "show the commands, or one command's options",
	.synopsis = "[COMMAND] [--complete bash|zsh] [--man]",
	.description = "Without a command: the list of commands. With one: its options and "
		       "examples.\n\n"
		       "--complete and --man print what `make install` puts in place: a completion "
		       "script and manual pages, made from the same table as this help.",
	.examples = "firstalloc help enable                      # one command\n"
		    "source <(firstalloc help --complete bash)   # completion in this shell\n"
		    "firstalloc help --man enable | man -l -     # a manual page, not installed\n",
	.options = options,
	.run = run_help,
};
