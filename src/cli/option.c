/*
 * option.c - words of the command line into the places that the option arrays name.
 *
 * Spellings: --name=value, --name value, --flag, -x value, -xvalue, -abc for three flags, `--` ends
 * the options. Options may stand before and behind operands. A command's own option wins over a
 * common one of the same name. Names are not abbreviated: a script must not change its meaning when
 * a later version adds an option.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "cli/cli_internal.h"

struct parser {
	const struct fa_option_scope *scope;
	char **argv;
	int argc;
	int next; /* the word to look at */
};

static const struct fa_option no_options[] = {{0}};

static const struct fa_option *own_options(const struct parser *p)
{
	if (p->scope->command && p->scope->command->options)
		return p->scope->command->options;
	return no_options;
}

static const struct fa_option *find_long(const struct fa_option *options, const char *name,
					 size_t len)
{
	for (; options->name; options++)
		if (!strncmp(options->name, name, len) && !options->name[len])
			return options;
	return NULL;
}

static const struct fa_option *find_letter(const struct parser *p, char letter)
{
	const struct fa_option *sets[] = {own_options(p), fa_common_options};

	for (int i = 0; i < 2; i++)
		for (const struct fa_option *o = sets[i]; o->name; o++)
			if (o->letter && o->letter == letter)
				return o;
	return NULL;
}

enum { NAMES_MAX = 96 };

static int unknown_long(const struct parser *p, const char *name, size_t len)
{
	const struct fa_option *sets[] = {own_options(p), fa_common_options};
	const char *names[NAMES_MAX];
	char given[64];
	const char *near;
	int n = 0;

	for (int i = 0; i < 2; i++)
		for (const struct fa_option *o = sets[i]; o->name && n < NAMES_MAX; o++)
			names[n++] = o->name;
	(void)snprintf(given, sizeof(given), "%.*s", (int)(len < 60 ? len : 60), name);
	near = fa_did_you_mean(given, names, n);
	if (near)
		return fa_fail(FA_EXIT_USAGE, "unknown option '--%s'; did you mean '--%s'?", given,
			       near);
	return fa_fail(FA_EXIT_USAGE, "unknown option '--%s'; '%s help%s%s' lists the options",
		       given, FA_PROGRAM, p->scope->command ? " " : "",
		       p->scope->command ? p->scope->command->name : "");
}

/* The choice that equals value, or an error that names all. */
static int store_choice(const struct fa_option *option, const char *value)
{
	const char *names[32];
	char copy[512];
	const char *near;
	int n = 0;

	(void)snprintf(copy, sizeof(copy), "%s", option->choices);
	for (char *rest = NULL, *one = strtok_r(copy, "|", &rest); one && n < 32;
	     one = strtok_r(NULL, "|", &rest)) {
		if (!strcmp(one, value)) {
			*(const char **)option->value = value;
			return 0;
		}
		names[n++] = one;
	}
	near = fa_did_you_mean(value, names, n);
	if (near)
		return fa_fail(FA_EXIT_USAGE, "--%s: unknown value '%s'; did you mean '%s'?",
			       option->name, value, near);
	return fa_fail(FA_EXIT_USAGE, "--%s: unknown value '%s'; one of %s", option->name, value,
		       option->choices);
}

static int store_item(const struct fa_option *option, const char *value)
{
	struct fa_option_list *list = option->value;
	int max = (int)(sizeof(list->item) / sizeof(list->item[0]));

	if (list->count >= max)
		return fa_fail(FA_EXIT_USAGE, "--%s: given more than %d times", option->name, max);
	list->item[list->count++] = value;
	return 0;
}

static int bad_number(const struct fa_option *option, const char *value, int error)
{
	const char *kind = "number";
	const char *like = "12 or 0xc";

	if (option->type == FA_OPT_SIZE) {
		kind = "size";
		like = "4096, 64K, 1M or 1.5G";
	} else if (option->type == FA_OPT_DURATION) {
		kind = "duration";
		like = "90s, 5m, 2h or 1h30m";
	}
	if (error == -ERANGE)
		return fa_fail(FA_EXIT_USAGE, "--%s: '%s' is too large", option->name, value);
	return fa_fail(FA_EXIT_USAGE, "--%s: '%s' is not a %s; write it like %s", option->name,
		       value, kind, like);
}

static int store_value(const struct fa_option *option, const char *value)
{
	int error = 0;

	switch (option->type) {
	case FA_OPT_FLAG:
		*(bool *)option->value = true;
		return 0;
	case FA_OPT_STRING:
		*(const char **)option->value = value;
		return 0;
	case FA_OPT_CHOICE:
		return store_choice(option, value);
	case FA_OPT_LIST:
		return store_item(option, value);
	case FA_OPT_U32:
		error = fa_parse_u32(value, option->value);
		break;
	case FA_OPT_U64:
		error = fa_parse_u64(value, option->value);
		break;
	case FA_OPT_SIZE:
		error = fa_parse_size(value, option->value);
		break;
	case FA_OPT_DURATION:
		error = fa_parse_duration(value, option->value);
		break;
	}
	return error ? bad_number(option, value, error) : 0;
}

static int parse_long(struct parser *p, const char *name)
{
	size_t len = strcspn(name, "=");
	const char *value = name[len] ? name + len + 1 : NULL;
	const struct fa_option *option = find_long(own_options(p), name, len);

	if (!option)
		option = find_long(fa_common_options, name, len);
	if (!option)
		return unknown_long(p, name, len);
	if (!fa_option_takes_value(option)) {
		if (value)
			return fa_fail(FA_EXIT_USAGE, "--%s takes no value", option->name);
		return store_value(option, NULL);
	}
	if (!value && p->next < p->argc)
		value = p->argv[p->next++];
	if (!value)
		return fa_fail(FA_EXIT_USAGE, "--%s needs a value: --%s=%s", option->name,
			       option->name, option->argument ? option->argument : "VALUE");
	return store_value(option, value);
}

static int parse_letters(struct parser *p, const char *letters)
{
	for (; *letters; letters++) {
		const struct fa_option *option = find_letter(p, *letters);
		const char *value = NULL;
		int status;

		if (!option)
			return fa_fail(FA_EXIT_USAGE,
				       "unknown option '-%c'; '%s help%s%s' lists the options",
				       *letters, FA_PROGRAM, p->scope->command ? " " : "",
				       p->scope->command ? p->scope->command->name : "");
		if (!fa_option_takes_value(option)) {
			(void)store_value(option, NULL);
			continue;
		}
		if (letters[1])
			value = letters + 1;
		else if (p->next < p->argc)
			value = p->argv[p->next++];
		if (!value)
			return fa_fail(FA_EXIT_USAGE, "-%c needs a value: -%c %s", *letters,
				       *letters, option->argument ? option->argument : "VALUE");
		status = store_value(option, value);
		return status;
	}
	return 0;
}

int fa_options_parse(const struct fa_option_scope *scope, int argc, char **argv, char **operands,
		     int *ret_operands)
{
	struct parser p = {.scope = scope, .argv = argv, .argc = argc};
	bool options_end = false;
	int count = 0;

	while (p.next < p.argc) {
		char *word = argv[p.next++];
		int status = 0;

		/* "-" alone is an operand: standard input or output. */
		if (options_end || word[0] != '-' || !word[1]) {
			operands[count++] = word;
			options_end = options_end || scope->stop_at_operand;
		} else if (!strcmp(word, "--")) {
			options_end = true;
			if (count == 0 && scope->command != NULL &&
			    (scope->command->flags & FA_CMD_KEEP_DASHES) != 0)
				operands[count++] = word;
		} else if (word[1] == '-') {
			status = parse_long(&p, word + 2);
		} else {
			status = parse_letters(&p, word + 1);
		}
		if (status)
			return status;
	}
	operands[count] = NULL;
	*ret_operands = count;
	return 0;
}
