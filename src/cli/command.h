/*
 * command.h - the subcommands of `firstalloc`. How to add one called `foo`:
 *   1. write src/cli/cmd_foo.c, defining `const struct fa_command fa_cmd_foo`;
 *   2. add one X line to FA_COMMANDS;   3. write its claims in tests/spec.
 * The dispatcher, `help`, the completions and the man pages are derived from the list.
 */
#ifndef FA_COMMAND_H
#define FA_COMMAND_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "cli/option.h"

/* In the order in which help shows them; a group's title stands before its first. */
#define FA_COMMANDS(X)                                                                             \
	X(enable)                                                                                  \
	X(disable)                                                                                 \
	X(images)                                                                                  \
	X(show)                                                                                    \
	X(history)                                                                                 \
	X(start)                                                                                   \
	X(update)                                                                                  \
	X(stop)                                                                                    \
	X(mark)                                                                                    \
	X(tail)                                                                                    \
	X(top)                                                                                     \
	X(snapshot)                                                                                \
	X(save)                                                                                    \
	X(status)                                                                                  \
	X(query)                                                                                   \
	X(run)                                                                                     \
	X(report)                                                                                  \
	X(diff)                                                                                    \
	X(growth)                                                                                  \
	X(leaks)                                                                                   \
	X(merge)                                                                                   \
	X(dump)                                                                                    \
	X(autologger)                                                                              \
	X(boot)                                                                                    \
	X(install)                                                                                 \
	X(uninstall)                                                                               \
	X(doctor)                                                                                  \
	X(off)                                                                                     \
	X(on)                                                                                      \
	X(help)

/* What is common to all commands, from the options before or behind the command's name. */
struct fa_cli {
	const char *root; /* --root DIR, "" for the machine itself; never ends with a slash */
	bool json;        /* --json */
	bool color;       /* stdout is a terminal that shows colour */
	bool progress;    /* stderr is a terminal */
	const char *command;
	const char *program; /* argv[0] of the process */
};

enum fa_command_flags {
	FA_CMD_STOP_AT_OPERAND = 1 << 0, /* options end at the first operand (run) */
	FA_CMD_HIDDEN = 1 << 1,
	FA_CMD_KEEP_DASHES = 1 << 2, /* a "--" before the first operand is one itself: `top -- CMD` is not `top NAME` */
};

struct fa_command {
	const char *name;
	const char *group;       /* title in help: "Rules", "Sessions", "Traces", "Machine" */
	const char *summary;     /* one line, no full stop */
	const char *synopsis;    /* operands and the main options: "NAME [--flags F] ..." */
	const char *description; /* paragraphs for the man page, divided by empty lines */
	const char *examples;    /* lines "command # what it does", NULL: none */
	const struct fa_option *options; /* ends with {0} */
	unsigned flags;
	/* operands only; argv[argc] is NULL. Returns enum fa_exit, or for run the program's status. */
	int (*run)(const struct fa_cli *cli, int argc, char **argv);
};

#define X(name) extern const struct fa_command fa_cmd_##name;
FA_COMMANDS(X)
#undef X

/*
 * One line on stderr: "firstalloc: " and the text: what, where, what to do. Returns `status`, so
 * that a command can say `return fa_fail(FA_EXIT_DENIED, "...")`.
 */
int fa_fail(int status, const char *format, ...) FA_PRINTF(2, 3);
/* "firstalloc: warning: ..." on stderr. */
void fa_warn(const char *format, ...) FA_PRINTF(1, 2);
/* Usage error: text, the command's usage line; returns FA_EXIT_USAGE. */
int fa_usage(const struct fa_cli *cli, const char *format, ...) FA_PRINTF(2, 3);
/* The nearest of n names to `name` when it is near enough to be a slip, else NULL. */
const char *fa_did_you_mean(const char *name, const char *const *names, int n);

#endif
