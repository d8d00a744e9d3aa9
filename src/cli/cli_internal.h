/*
 * cli_internal.h - what the dispatcher, the option parser, help, completions and man pages share.
 * Only for main.c, option.c, message.c, help.c, complete.c, man.c and cmd_help.c.
 */
#ifndef FA_CLI_INTERNAL_H
#define FA_CLI_INTERNAL_H

#include <stdio.h>

#include "base/attr.h"
#include "cli/command.h"

#define FA_PROGRAM "firstalloc"

/* All commands in the order of FA_COMMANDS, ends with NULL. */
extern const struct fa_command *const fa_commands[];
/* NULL when there is none of that name. */
const struct fa_command *fa_command_find(const char *name);
/* Names of the commands that are not hidden; returns how many. Static memory. */
int fa_command_names(const char *const **ret);

/* Options that every command has. Their values are members of struct fa_common below. */
struct fa_common {
	const char *root;
	bool json;
	bool help;
	bool version;
};
extern struct fa_common fa_common;
extern const struct fa_option fa_common_options[];

/* What the parser is told: the options that hold here, and where options end. */
struct fa_option_scope {
	const struct fa_command *command; /* NULL: before the command's name */
	bool stop_at_operand;
};

/*
 * Parse argv (argc words, then NULL). Operands go to `operands` (room for argc + 1), which ends with
 * NULL. With stop_at_operand all words from the first operand on are operands. Prints one line and
 * returns FA_EXIT_USAGE on an error, else 0.
 */
int fa_options_parse(const struct fa_option_scope *scope, int argc, char **argv, char **operands,
		     int *ret_operands) FA_MUST_USE;

/* All but flags take one. */
static inline bool fa_option_takes_value(const struct fa_option *option)
{
	return option->type != FA_OPT_FLAG;
}

/* help.c: the grouped list, and the page of one command, for a reader at a terminal. */
void fa_help_list(FILE *out);
void fa_help_command(FILE *out, const struct fa_command *command);
/* Lines "command # what it does", the comments in one column, through `put`. */
void fa_help_examples(FILE *out, const char *examples, const char *indent,
		      void (*put)(FILE *, const char *, size_t));
void fa_help_usage(FILE *out, const struct fa_command *command);

/* complete.c: completion scripts, from the same table. */
void fa_complete_bash(FILE *out);
void fa_complete_zsh(FILE *out);

/* man.c: roff. command NULL: firstalloc(1). */
void fa_man_page(FILE *out, const struct fa_command *command);

#endif
