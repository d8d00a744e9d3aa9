/*
 * message.c - the only words of the CLI on stderr: one line, what, where, what to do. And the nearest
 * name to a misspelt one.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli_internal.h"

/* One write per line, so that lines of several commands do not mix. */
static void say(const char *prefix, const char *format, va_list args) FA_PRINTF(2, 0);
static void say(const char *prefix, const char *format, va_list args)
{
	char line[2048];

	(void)vsnprintf(line, sizeof(line), format, args);
	/* What was printed so far belongs before the message. */
	(void)fflush(stdout);
	fprintf(stderr, "%s: %s%s\n", FA_PROGRAM, prefix, line);
}

int fa_fail(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("", format, args);
	va_end(args);
	return status;
}

void fa_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("warning: ", format, args);
	va_end(args);
}

int fa_usage(const struct fa_cli *cli, const char *format, ...)
{
	const struct fa_command *command = cli->command ? fa_command_find(cli->command) : NULL;
	va_list args;

	va_start(args, format);
	say("", format, args);
	va_end(args);
	if (command)
		fa_help_usage(stderr, command);
	return FA_EXIT_USAGE;
}

enum { NAME_LEN_MAX = 63 };

static int min3(int a, int b, int c)
{
	int least = a < b ? a : b;

	return least < c ? least : c;
}

/* Insertions, deletions, changes and swaps of neighbours that lead from a to b. */
static int edit_distance(const char *a, const char *b)
{
	int rows[3][NAME_LEN_MAX + 1];
	int *before = rows[0], *above = rows[1], *row = rows[2];
	int la = (int)strlen(a), lb = (int)strlen(b);

	for (int j = 0; j <= lb; j++)
		above[j] = j;
	for (int i = 1; i <= la; i++) {
		int *oldest = before;

		row[0] = i;
		for (int j = 1; j <= lb; j++) {
			int change = above[j - 1] + (a[i - 1] != b[j - 1]);

			row[j] = min3(change, above[j] + 1, row[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		before = above;
		above = row;
		row = oldest;
	}
	return above[lb];
}

const char *fa_did_you_mean(const char *name, const char *const *names, int n)
{
	size_t len = strlen(name);
	int limit = (int)(len + 2) / 3;
	const char *best = NULL;

	if (!len || len > NAME_LEN_MAX)
		return NULL;
	for (int i = 0; i < n; i++) {
		int distance;

		if (strlen(names[i]) > NAME_LEN_MAX)
			continue;
		distance = edit_distance(name, names[i]);
		if (len >= 3 && !strncmp(name, names[i], len))
			distance = 0; /* half typed */
		else if (distance >= (int)len)
			continue; /* nothing of the name would be left */
		if (distance <= limit && (!best || distance < limit)) {
			best = names[i];
			limit = distance;
		}
	}
	return best;
}
