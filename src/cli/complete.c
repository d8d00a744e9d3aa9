/*
 * complete.c - completion scripts for bash and zsh from the command table.
 *
 * Option names and choices are written into the script, so that a key press runs no program. Image
 * names are asked from `firstalloc images`, which reads one small file. What an operand is, the
 * synopsis says: FILE, CMD, COMMAND, DIR; NAME of a command in the group "Rules" is an image.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli_internal.h"

enum operand_kind { OPERAND_NONE, OPERAND_IMAGE, OPERAND_FILE, OPERAND_COMMAND, OPERAND_HELP };

static enum operand_kind operand_kind(const struct fa_command *command)
{
	const char *synopsis = command->synopsis ? command->synopsis : "";

	if (command->flags & FA_CMD_STOP_AT_OPERAND)
		return OPERAND_COMMAND;
	if (!strcmp(command->name, "help"))
		return OPERAND_HELP;
	if (!strcmp(command->group, "Rules"))
		return OPERAND_IMAGE;
	return strstr(synopsis, "FILE") ? OPERAND_FILE : OPERAND_NONE;
}

static bool is_file_argument(const struct fa_option *option)
{
	const char *a = option->argument;

	return a && (!strcmp(a, "FILE") || !strcmp(a, "PATH") || !strcmp(a, "DIR"));
}

/* "a|b|c" with blanks between. */
static void put_choices(FILE *out, const char *choices)
{
	for (; *choices; choices++)
		fputc(*choices == '|' ? ' ' : *choices, out);
}

/* Case labels of one option: " enable:--flags|enable:-f)". */
static void put_labels(FILE *out, const char *command, const struct fa_option *option)
{
	fprintf(out, "\t%s:--%s", command, option->name);
	if (option->letter)
		fprintf(out, "|%s:-%c", command, option->letter);
	fputs(")\n", out);
}

static void put_bash_values(FILE *out, const char *command, const struct fa_option *options)
{
	for (; options->name; options++) {
		if (!fa_option_takes_value(options))
			continue;
		put_labels(out, command, options);
		if (options->choices) {
			fputs("\t\tCOMPREPLY=($(compgen -W '", out);
			put_choices(out, options->choices);
			fputs("' -- \"$cur\"))\n", out);
		} else if (options->argument && !strcmp(options->argument, "USER")) {
			fputs("\t\tCOMPREPLY=($(compgen -u -- \"$cur\"))\n", out);
		} else if (is_file_argument(options)) {
			fprintf(out,
				"\t\tcompopt -o filenames\n"
				"\t\tCOMPREPLY=($(compgen -%c -- \"$cur\"))\n",
				strcmp(options->argument, "DIR") ? 'f' : 'd');
		}
		fputs("\t\treturn ;;\n", out);
	}
}

static void put_bash_options(FILE *out, const struct fa_option *options)
{
	for (; options && options->name; options++)
		fprintf(out, "--%s ", options->name);
}

static void put_bash_operands(FILE *out, const struct fa_command *command)
{
	fprintf(out, "\t%s)\n", command->name);
	switch (operand_kind(command)) {
	case OPERAND_IMAGE:
		fputs("\t\tCOMPREPLY=($(compgen -W \"$(_firstalloc_images)\" -- \"$cur\"))\n", out);
		if (!strcmp(command->name, "enable"))
			fputs("\t\t[[ -n $cur ]] && COMPREPLY+=($(compgen -c -- \"$cur\"))\n", out);
		break;
	case OPERAND_FILE:
		fputs("\t\tcompopt -o filenames\n\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n", out);
		break;
	case OPERAND_COMMAND:
		fputs("\t\tCOMPREPLY=($(compgen -c -- \"$cur\"))\n", out);
		break;
	case OPERAND_HELP:
		fputs("\t\tCOMPREPLY=($(compgen -W \"$commands\" -- \"$cur\"))\n", out);
		break;
	case OPERAND_NONE:
		break;
	}
	fputs("\t\t;;\n", out);
}

static const char bash_head[] =
	"# bash completion for firstalloc, made by: firstalloc help --complete bash\n"
	"_firstalloc_images()\n"
	"{\n"
	"\tfirstalloc ${root:+--root \"$root\"} images --json 2>/dev/null |\n"
	"\t\tsed -n 's/.*\"image\": *\"\\([^\"\\\\ ]*\\)\".*/\\1/p' | sort -u\n"
	"}\n"
	"\n"
	"_firstalloc()\n"
	"{\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
	"\tlocal command= root= i options\n";

/* '=' divides words for bash: --flags=he is three of them. */
static const char bash_words[] = "\tCOMPREPLY=()\n"
				 "\t[[ $cur == '=' ]] && cur=\n"
				 "\t[[ $prev == '=' ]] && prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
				 "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
				 "\t\tcase ${COMP_WORDS[i]} in\n"
				 "\t\t--root)\n"
				 "\t\t\t((++i))\n"
				 "\t\t\t[[ ${COMP_WORDS[i]} == '=' ]] && ((++i))\n"
				 "\t\t\troot=${COMP_WORDS[i]} ;;\n"
				 "\t\t-*) ;;\n"
				 "\t\t*)\n"
				 "\t\t\tcommand=${COMP_WORDS[i]}\n"
				 "\t\t\tbreak ;;\n"
				 "\t\tesac\n"
				 "\tdone\n"
				 "\tif [[ $prev == --root ]]; then\n"
				 "\t\tcompopt -o filenames\n"
				 "\t\tCOMPREPLY=($(compgen -d -- \"$cur\"))\n"
				 "\t\treturn\n"
				 "\tfi\n";

void fa_complete_bash(FILE *out)
{
	const char *const *names;
	int n = fa_command_names(&names);

	fputs(bash_head, out);
	fputs("\tlocal commands='", out);
	for (int i = 0; i < n; i++)
		fprintf(out, "%s%s", i ? " " : "", names[i]);
	fputs("'\n", out);
	fputs(bash_words, out);
	fputs("\tcase $command:$prev in\n", out);
	for (int i = 0; fa_commands[i]; i++)
		if (fa_commands[i]->options)
			put_bash_values(out, fa_commands[i]->name, fa_commands[i]->options);
	fputs("\tesac\n\toptions='", out);
	put_bash_options(out, fa_common_options);
	fputs("'\n\tif [[ $cur == -* ]]; then\n\t\tcase $command in\n", out);
	for (int i = 0; fa_commands[i]; i++) {
		if (!fa_commands[i]->options || !fa_commands[i]->options->name)
			continue;
		fprintf(out, "\t\t%s) options+='", fa_commands[i]->name);
		put_bash_options(out, fa_commands[i]->options);
		fputs("' ;;\n", out);
	}
	fputs("\t\tesac\n\t\tCOMPREPLY=($(compgen -W \"$options\" -- "
	      "\"$cur\"))\n\t\treturn\n\tfi\n",
	      out);
	fputs("\tcase $command in\n\t'')\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$commands\" -- \"$cur\")) ;;\n",
	      out);
	for (int i = 0; fa_commands[i]; i++)
		put_bash_operands(out, fa_commands[i]);
	fputs("\tesac\n}\ncomplete -F _firstalloc firstalloc\n", out);
}

/* Inside '...' of an _arguments spec: brackets, colons and quotes have a meaning. */
static void put_zsh_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", out);
		else if (strchr("[]:\\", *text))
			fprintf(out, "\\%c", *text);
		else
			fputc(*text, out);
	}
}

static void put_zsh_action(FILE *out, const struct fa_option *option)
{
	fputc(':', out);
	put_zsh_text(out, option->argument ? option->argument : "value");
	fputc(':', out);
	if (option->choices) {
		fputc('(', out);
		put_choices(out, option->choices);
		fputc(')', out);
	} else if (option->argument && !strcmp(option->argument, "USER")) {
		fputs("_users", out);
	} else if (is_file_argument(option)) {
		fputs(strcmp(option->argument, "DIR") ? "_files" : "_files -/", out);
	}
}

static void put_zsh_option(FILE *out, const struct fa_option *option, const char *dashes,
			   const char *name)
{
	bool value = fa_option_takes_value(option);

	fprintf(out, " \\\n\t\t\t'%s%s%s%s[", option->type == FA_OPT_LIST ? "*" : "", dashes, name,
		!value ? "" : (dashes[1] ? "=" : "+"));
	put_zsh_text(out, option->help);
	fputc(']', out);
	if (value)
		put_zsh_action(out, option);
	fputc('\'', out);
}

static void put_zsh_options(FILE *out, const struct fa_option *options)
{
	for (; options && options->name; options++) {
		char letter[2] = {options->letter, '\0'};

		put_zsh_option(out, options, "--", options->name);
		if (options->letter)
			put_zsh_option(out, options, "-", letter);
	}
}

static void put_zsh_command(FILE *out, const struct fa_command *command)
{
	static const char *const operands[] = {
		[OPERAND_NONE] = "",
		[OPERAND_IMAGE] = " \\\n\t\t\t'*:image:_firstalloc_images'",
		[OPERAND_FILE] = " \\\n\t\t\t'*:file:_files'",
		[OPERAND_COMMAND] = " \\\n\t\t\t'*::command:_normal'",
		[OPERAND_HELP] = " \\\n\t\t\t'*:command:_firstalloc_commands'",
	};

	fprintf(out, "\t\t%s)\n\t\t\t_arguments -s -S", command->name);
	put_zsh_options(out, command->options);
	put_zsh_options(out, fa_common_options);
	fprintf(out, "%s ;;\n", operands[operand_kind(command)]);
}

void fa_complete_zsh(FILE *out)
{
	fputs("#compdef firstalloc\n"
	      "# zsh completion for firstalloc, made by: firstalloc help --complete zsh\n"
	      "_firstalloc_images()\n{\n\tlocal -a names\n"
	      "\tnames=(${(f)\"$(firstalloc images --json 2>/dev/null |\n"
	      "\t\tsed -n 's/.*\"image\": *\"\\([^\"\\\\ ]*\\)\".*/\\1/p' | sort -u)\"})\n"
	      "\tcompadd -a names\n"
	      "}\n\n_firstalloc_commands()\n{\n\tlocal -a names\n\tnames=(\n",
	      out);
	for (int i = 0; fa_commands[i]; i++) {
		if (fa_commands[i]->flags & FA_CMD_HIDDEN)
			continue;
		fprintf(out, "\t\t'%s:", fa_commands[i]->name);
		put_zsh_text(out, fa_commands[i]->summary);
		fputs("'\n", out);
	}
	fputs("\t)\n\t_describe command names\n}\n\n"
	      "_firstalloc()\n{\n\tlocal curcontext=$curcontext state line\n"
	      "\t_arguments -C -S",
	      out);
	put_zsh_options(out, fa_common_options);
	fputs(" \\\n\t\t\t'1:command:_firstalloc_commands' \\\n\t\t\t'*::argument:->argument'\n"
	      "\t[[ $state == argument ]] || return\n"
	      "\tcurcontext=\"${curcontext%:*}-$words[1]:\"\n"
	      "\tcase $words[1] in\n",
	      out);
	for (int i = 0; fa_commands[i]; i++)
		put_zsh_command(out, fa_commands[i]);
	fputs("\tesac\n}\n\n_firstalloc \"$@\"\n", out);
}
