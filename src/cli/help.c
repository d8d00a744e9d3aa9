/*
 * help.c - the command table for a reader at a terminal: the grouped list and one command's page.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli_internal.h"

static int columns_of(FILE *out)
{
	struct winsize size;

	if (isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
		return size.ws_col < 100 ? size.ws_col : 100;
	return 80;
}

/*
 * Words of `text` in lines of at most `width`; the first line begins in column `column`, further ones
 * at `indent`. A newline in the text is a blank; an empty line divides paragraphs; a line that begins
 * with a blank stays as it is.
 */
static void print_wrapped(FILE *out, const char *text, int column, int indent, int width)
{
	bool line_empty = true;

	while (*text) {
		size_t word = strcspn(text, " \n");

		if (word) {
			if (!line_empty && column + 1 + (int)word > width) {
				fprintf(out, "\n%*s", indent, "");
				column = indent;
				line_empty = true;
			}
			column += fprintf(out, "%s%.*s", line_empty ? "" : " ", (int)word, text);
			line_empty = false;
			text += word;
		} else if (text[0] == '\n' && text[1] == '\n') {
			fprintf(out, "\n\n%*s", indent, "");
			column = indent;
			line_empty = true;
			text += 2;
		} else if (text[0] == '\n' && text[1] == ' ') {
			size_t line = strcspn(text + 1, "\n");

			fprintf(out, "\n%*s%.*s", indent, "", (int)line, text + 1);
			column = width;
			line_empty = false;
			text += 1 + line;
		} else {
			text++;
		}
	}
	fputc('\n', out);
}

enum { LEFT_MAX = 30 };

static int option_left(char *left, size_t size, const struct fa_option *option)
{
	char letter[8] = "    ";

	if (option->letter)
		(void)snprintf(letter, sizeof(letter), "-%c, ", option->letter);
	if (fa_option_takes_value(option))
		return snprintf(left, size, "  %s--%s=%s", letter, option->name,
				option->argument ? option->argument : "VALUE");
	return snprintf(left, size, "  %s--%s", letter, option->name);
}

static int widest_option(const struct fa_option *options)
{
	int widest = 0;
	char left[128];

	for (; options->name; options++) {
		int n = option_left(left, sizeof(left), options);

		if (n > widest && n <= LEFT_MAX)
			widest = n;
	}
	return widest;
}

/* What does not fit a line must have places where it can be broken. */
static void add_choices(char *help, size_t size, const char *choices)
{
	const bool is_long = strlen(choices) > 60;
	size_t n = strlen(help);

	for (; *choices != '\0' && n + 5 < size; choices++) {
		if (*choices == '|' && is_long)
			n += (size_t)snprintf(help + n, size - n, " | ");
		else
			help[n++] = *choices;
	}
	(void)snprintf(help + n, size - n, ")");
}

static void print_options(FILE *out, const struct fa_option *options, int left_width, int width)
{
	for (; options->name; options++) {
		char left[128];
		char help[1024];
		int n = option_left(left, sizeof(left), options);
		bool choices = options->type == FA_OPT_CHOICE && options->choices;

		fputs(left, out);
		if (n > left_width)
			fprintf(out, "\n%*s", left_width + 2, "");
		else
			fprintf(out, "%*s", left_width + 2 - n, "");
		(void)snprintf(help, sizeof(help), "%s%s", options->help, choices ? " (" : "");
		if (choices)
			add_choices(help, sizeof(help), options->choices);
		print_wrapped(out, help, left_width + 2, left_width + 2, width);
	}
}

void fa_help_usage(FILE *out, const struct fa_command *command)
{
	fprintf(out, "usage: %s %s%s%s\n", FA_PROGRAM, command->name,
		command->synopsis && *command->synopsis ? " " : "",
		command->synopsis ? command->synopsis : "");
}

void fa_help_list(FILE *out)
{
	const char *group = "";
	int width = columns_of(out);

	fprintf(out, "usage: %s [--root DIR] [--json] COMMAND [OPTION]... [OPERAND]...\n\n",
		FA_PROGRAM);
	print_wrapped(
		out,
		"Traces the heap of programs by the name of their executable, from their first "
		"allocation, whoever starts them.",
		0, 0, width);
	for (int i = 0; fa_commands[i]; i++) {
		const struct fa_command *c = fa_commands[i];

		if (c->flags & FA_CMD_HIDDEN)
			continue;
		if (strcmp(group, c->group) != 0) {
			group = c->group;
			fprintf(out, "\n%s\n", group);
		}
		fprintf(out, "  %-12s", c->name);
		print_wrapped(out, c->summary, 14, 14, width);
	}
	fprintf(out, "\nOptions of all commands\n");
	print_options(out, fa_common_options, widest_option(fa_common_options), width);
	fprintf(out, "\n'%s help COMMAND' or '%s COMMAND --help' tells about one command.\n",
		FA_PROGRAM, FA_PROGRAM);
}

void fa_help_examples(FILE *out, const char *examples, const char *indent,
		      void (*put)(FILE *, const char *, size_t))
{
	int widest = 0;

	for (const char *line = examples; *line;
	     line += strcspn(line, "\n"), line += *line != '\0') {
		int n = (int)strcspn(line, "#\n");

		while (n && line[n - 1] == ' ')
			n--;
		widest = n > widest ? n : widest;
	}
	widest = widest < 60 ? widest : 60;
	while (*examples) {
		size_t line = strcspn(examples, "\n");
		size_t command = strcspn(examples, "#\n");

		while (command && examples[command - 1] == ' ')
			command--;
		fputs(indent, out);
		put(out, examples, command);
		if (examples[strcspn(examples, "#\n")] == '#') {
			const char *comment = examples + strcspn(examples, "#");

			fprintf(out, "%*s  ", widest > (int)command ? widest - (int)command : 0,
				"");
			put(out, comment, line - (size_t)(comment - examples));
		}
		fputc('\n', out);
		examples += line;
		if (*examples)
			examples++;
	}
}

static void put_plain(FILE *out, const char *text, size_t len)
{
	fprintf(out, "%.*s", (int)len, text);
}

void fa_help_command(FILE *out, const struct fa_command *command)
{
	int width = columns_of(out);
	int left = widest_option(fa_common_options);

	fa_help_usage(out, command);
	fputc('\n', out);
	print_wrapped(out, command->summary, 0, 0, width);
	if (command->description) {
		fputc('\n', out);
		print_wrapped(out, command->description, 0, 0, width);
	}
	if (command->options && command->options->name) {
		int own = widest_option(command->options);

		left = own > left ? own : left;
		fprintf(out, "\nOptions\n");
		print_options(out, command->options, left, width);
	}
	fprintf(out, "\nOptions of all commands\n");
	print_options(out, fa_common_options, left, width);
	if (command->examples) {
		fprintf(out, "\nExamples\n");
		fa_help_examples(out, command->examples, "  ", put_plain);
	}
}
