/*
 * man.c - manual pages in roff from the command table: firstalloc(1) and firstalloc-COMMAND(1).
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli_internal.h"

/* Text as it stands: '-' must stay an ASCII hyphen for copy and paste, '.' must not start a line. */
static void put_text(FILE *out, const char *text, size_t len)
{
	bool line_start = true;

	for (size_t i = 0; i < len; i++) {
		if (line_start && (text[i] == '.' || text[i] == '\''))
			fputs("\\&", out);
		line_start = text[i] == '\n';
		if (text[i] == '\\')
			fputs("\\e", out);
		else if (text[i] == '-')
			fputs("\\-", out);
		else if (text[i] == '`' || text[i] == '\'')
			fputs(text[i] == '`' ? "\\(ga" : "\\(aq", out);
		else
			fputc(text[i], out);
	}
}

static void put_string(FILE *out, const char *text)
{
	put_text(out, text, strlen(text));
}

/* With blanks, so that lines may end there: the list of views is longer than one. */
static void put_choices(FILE *out, const char *choices)
{
	for (size_t len = strcspn(choices, "|"); choices[len] == '|'; len = strcspn(choices, "|")) {
		put_text(out, choices, len);
		fputs(" | ", out);
		choices += len + 1;
	}
	put_string(out, choices);
}

/* Empty lines divide paragraphs; lines that begin with a blank are shown as they are. */
static void put_paragraphs(FILE *out, const char *text)
{
	bool literal = false;

	while (*text) {
		size_t line = strcspn(text, "\n");
		bool want = text[0] == ' ';

		if (want != literal)
			fputs(want ? ".nf\n" : ".fi\n", out);
		literal = want;
		if (!line)
			fputs(".PP", out);
		else
			put_text(out, text, line);
		fputc('\n', out);
		text += line;
		if (*text)
			text++;
	}
	if (literal)
		fputs(".fi\n", out);
}

static void put_options(FILE *out, const struct fa_option *options)
{
	for (; options->name; options++) {
		fputs(".TP\n", out);
		if (options->letter)
			fprintf(out, "\\fB\\-%c\\fR, ", options->letter);
		fputs("\\fB\\-\\-", out);
		put_string(out, options->name);
		fputs("\\fR", out);
		if (fa_option_takes_value(options)) {
			fputs("=\\fI", out);
			put_string(out, options->argument ? options->argument : "VALUE");
			fputs("\\fR", out);
		}
		fputc('\n', out);
		put_string(out, options->help);
		if (options->type == FA_OPT_CHOICE && options->choices) {
			fputs(" (", out);
			put_choices(out, options->choices);
			fputc(')', out);
		}
		fputc('\n', out);
	}
}

static void put_examples(FILE *out, const char *examples)
{
	fputs(".SH EXAMPLES\n.nf\n", out);
	fa_help_examples(out, examples, "", put_text);
	fputs(".fi\n", out);
}

static void put_title(FILE *out, const char *command)
{
	char title[64] = "FIRSTALLOC";
	size_t n = strlen(title);

	if (command) {
		title[n++] = '-';
		for (; *command && n + 1 < sizeof(title); command++)
			title[n++] = (char)toupper((unsigned char)*command);
		title[n] = '\0';
	}
	fputs(".TH ", out);
	put_string(out, title);
	fprintf(out, " 1 \"\" \"firstalloc %s\" \"firstalloc manual\"\n", FA_VERSION);
}

static void put_exit_status(FILE *out)
{
	static const char *const rows[][2] = {
		{"0", "done"},
		{"1", "failed"},
		{"2", "wrong usage, or done in part"},
		{"3", "events were lost and that was not tolerated"},
		{"4", "not permitted"},
		{"5", "not found"},
		{"6", "it grew by more than \\-\\-fail\\-above allows"},
	};

	fputs(".SH EXIT STATUS\n", out);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		fprintf(out, ".TP\n.B %s\n%s\n", rows[i][0], rows[i][1]);
}

static void put_command_page(FILE *out, const struct fa_command *command)
{
	put_title(out, command->name);
	fputs(".SH NAME\nfirstalloc\\-", out);
	put_string(out, command->name);
	fputs(" \\- ", out);
	put_string(out, command->summary);
	fputs("\n.SH SYNOPSIS\n\\fBfirstalloc ", out);
	put_string(out, command->name);
	fputs("\\fR ", out);
	put_string(out, command->synopsis ? command->synopsis : "");
	fputs("\n.SH DESCRIPTION\n", out);
	put_paragraphs(out, command->description ? command->description : command->summary);
	fputs(".SH OPTIONS\n", out);
	if (command->options)
		put_options(out, command->options);
	put_options(out, fa_common_options);
	if (command->examples)
		put_examples(out, command->examples);
	/* The exit status of `run` is the program's own. */
	if (!(command->flags & FA_CMD_STOP_AT_OPERAND))
		put_exit_status(out);
	fputs(".SH SEE ALSO\n.BR firstalloc (1),\n.BR firstallocd (8),\n.BR firstalloc.ini (5)\n",
	      out);
}

static void put_command_list(FILE *out)
{
	const char *group = "";

	fputs(".SH COMMANDS\n", out);
	for (int i = 0; fa_commands[i]; i++) {
		const struct fa_command *c = fa_commands[i];

		if (c->flags & FA_CMD_HIDDEN)
			continue;
		if (strcmp(group, c->group) != 0) {
			group = c->group;
			fputs(".SS ", out);
			put_string(out, group);
			fputc('\n', out);
		}
		fputs(".TP\n.BR firstalloc\\-", out);
		put_string(out, c->name);
		fputs(" (1)\n", out);
		put_string(out, c->summary);
		fputc('\n', out);
	}
}

static void put_files(FILE *out)
{
	static const char *const rows[][2] = {
		{"/etc/firstalloc/registry.idx",
		 "the published rules; all that a program start reads"},
		{"/etc/firstalloc/firstalloc.ini", "settings, see firstalloc.ini(5)"},
		{"/etc/firstalloc/door/bell", "an empty file that a traced program opens once"},
		{"/var/lib/firstalloc/registry.db", "the rules and their history (SQLite)"},
		{"/etc/ld.so.preload", "where firstalloc install adds its line"},
		{"/run/firstalloc/control", "the socket of firstallocd(8)"},
	};

	fputs(".SH FILES\n", out);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fprintf(out, ".TP\n.I %s\n", rows[i][0]);
		put_string(out, rows[i][1]);
		fputc('\n', out);
	}
}

static void put_main_page(FILE *out)
{
	put_title(out, NULL);
	fputs(".SH NAME\nfirstalloc \\- trace the heap of programs by name, from their first "
	      "allocation\n",
	      out);
	fputs(".SH SYNOPSIS\n\\fBfirstalloc\\fR [\\fB\\-\\-root\\fR \\fIDIR\\fR] "
	      "[\\fB\\-\\-json\\fR] \\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIOPERAND\\fR]...\n",
	      out);
	fputs(".SH DESCRIPTION\n", out);
	put_paragraphs(out,
		       "A rule names an executable. Whoever starts it, as whichever user, its heap "
		       "calls are recorded from the first one on, as long as a session runs that "
		       "collects them. Programs without a rule stay dormant.\n"
		       "\n"
		       "Both are needed: the rule (firstalloc enable) and the session (firstalloc "
		       "start). Either may come first. firstalloc run traces one command without "
		       "root, without installation and without the daemon.");
	put_command_list(out);
	fputs(".SH OPTIONS\nThese may stand before or behind the command.\n", out);
	put_options(out, fa_common_options);
	fputs(".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nif set and not empty: no colour\n", out);
	put_files(out);
	put_exit_status(out);
	fputs(".SH SEE ALSO\n.BR firstallocd (8),\n.BR firstalloc.ini (5),\n.BR ld.so (8)\n", out);
}

void fa_man_page(FILE *out, const struct fa_command *command)
{
	if (command)
		put_command_page(out, command);
	else
		put_main_page(out);
}
