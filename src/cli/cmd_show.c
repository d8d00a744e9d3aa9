/* cmd_show.c - everything that is known about the rules of one image. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "cli/command.h"
#include "cli/rules.h"
#include "cli/words.h"

static const struct fa_option options[] = {{0}};

static void line(const char *label, const char *text)
{
	if (text == NULL || *text == '\0')
		return;
	printf("  %-10s ", label);
	for (; *text != '\0'; text++)
		(void)putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
	(void)putchar('\n');
}

static void print_rule(const struct fa_rule *r)
{
	char text[128], user[80], when[40];

	printf("%s (rule %u)\n", r->image, r->id);
	line("package", r->package);
	line("path", r->path);
	if (r->uid != FA_USER_ANY)
		line("user", fa_rules_user_text(user, sizeof(user), r->uid));
	line("flags", fa_words_text(text, sizeof(text), r->flags, fa_flag_words));
	line("stacks", fa_words_text(text, sizeof(text), r->stacks, fa_stack_words));
	(void)snprintf(text, sizeof(text), "%u frames", r->depth);
	line("depth", text);
	line("stamp", fa_stamp_text(r->stamp));
	line("options", fa_rules_options_text(text, sizeof(text), r->options));
	line("ends", fa_rules_end_text(text, sizeof(text), r));
	if (r->when != 0)
		line("since", fa_format_time(when, sizeof(when), r->when));
	line("by", r->who);
	line("note", r->note);
}

static void print_json(const char *image, const struct fa_rule_list *list)
{
	struct fa_json j;

	fa_json_init(&j, stdout, true);
	fa_json_object(&j, NULL);
	fa_json_string(&j, "image", image);
	fa_json_array(&j, "rules");
	for (uint32_t i = 0; i < list->count; i++)
		fa_rules_json(&j, NULL, &list->rule[i]);
	fa_json_end_array(&j);
	fa_json_end_object(&j);
	fa_json_newline(&j);
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list all = {0};
	struct fa_rule_list one = {0};
	int status;

	if (argc != 1)
		return fa_usage(cli, "show takes the name of one image");
	status = fa_rules_load(cli, &all);
	if (status != 0)
		return status;
	/* Sorted by image: its rules are neighbours. */
	for (uint32_t i = 0; i < all.count; i++) {
		if (strcmp(all.rule[i].image, argv[0]) != 0)
			continue;
		if (one.count++ == 0)
			one.rule = &all.rule[i];
	}
	if (one.count == 0)
		return fa_rules_not_found(&all, argv[0]);
	if (cli->json) {
		print_json(argv[0], &one);
		return FA_EXIT_OK;
	}
	for (uint32_t i = 0; i < one.count; i++) {
		if (i > 0)
			(void)putchar('\n');
		print_rule(&one.rule[i]);
	}
	if (one.count > 1)
		printf("\nThe first rule that matches a process is used instead of the others.\n");
	return FA_EXIT_OK;
}

const struct fa_command fa_cmd_show = {
	.name = "show",
	.group = "Rules",
	.summary = "show the rules of one image",
	.synopsis = "NAME",
	.description =
		"All members of every rule for the image, most specific first: of those that "
		"match a process only the most specific is used.",
	.examples = "firstalloc show git # what is set for git\n",
	.options = options,
	.run = run,
};
