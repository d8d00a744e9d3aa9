/* cmd_images.c - which programs are armed, since when, by whom, until when. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "base/paths.h"
#include "cli/command.h"
#include "cli/rules.h"
#include "cli/words.h"

static struct {
	bool published;
} given;

static const struct fa_option options[] = {{0, "published", NULL, FA_OPT_FLAG, &given.published,
					    "read the published index and not the database", NULL},
					   {0}};

static void add_row(struct fa_table *t, const struct fa_rule *r)
{
	char scope[FA_SCOPE_TEXT], flags[96], stacks[64], with[192], when[40] = "", end[96];
	char extra[96];

	(void)fa_words_text(stacks, sizeof(stacks), r->stacks, fa_stack_words);
	(void)snprintf(with, sizeof(with), "%s, %u frames", stacks, r->depth);
	if (*fa_rules_options_text(extra, sizeof(extra), r->options) != '\0')
		(void)snprintf(with + strlen(with), sizeof(with) - strlen(with), ", %s", extra);
	if (r->when != 0)
		(void)fa_format_time(when, sizeof(when), r->when);
	/* Minutes are enough in a table: 2024-05-01T12:30. */
	when[16] = '\0';
	fa_table_add(t, (const char *const[]){
				r->image, fa_rules_scope_text(scope, sizeof(scope), r),
				fa_words_text(flags, sizeof(flags), r->flags, fa_flag_words), with,
				fa_rules_end_text(end, sizeof(end), r), when,
				r->who == NULL ? "" : r->who, r->note == NULL ? "" : r->note});
}

static void print_table(const struct fa_rule_list *list)
{
	static const char *const heads[] = {"IMAGE", "ONLY",  "FLAGS", "STACKS",
					    "ENDS",  "SINCE", "BY",    "NOTE"};
	static const int shrink[] = {7, 1, 3, 6, 5, -1};
	struct fa_table t = {.columns = 8, .heads = heads, .shrink = shrink};

	for (uint32_t i = 0; i < list->count; i++)
		add_row(&t, &list->rule[i]);
	fa_table_print(&t, stdout);
	fa_table_done(&t);
}

static void print_json(const struct fa_rule_list *list, const struct fa_published *p)
{
	struct fa_json j;

	fa_json_init(&j, stdout, true);
	fa_json_object(&j, NULL);
	if (p != NULL) {
		fa_json_u64(&j, "generation", p->generation);
		fa_json_u64(&j, "bytes", p->size);
		fa_json_bool(&j, "autologger", (p->flags & FA_INDEX_AUTOLOGGER) != 0);
		fa_json_bool(&j, "off", (p->flags & FA_INDEX_OFF) != 0);
	}
	fa_json_array(&j, "images");
	for (uint32_t i = 0; i < list->count; i++)
		fa_rules_json(&j, NULL, &list->rule[i]);
	fa_json_end_array(&j);
	fa_json_end_object(&j);
	fa_json_newline(&j);
}

static int run_published(const struct fa_cli *cli)
{
	FA_CLEANUP(fa_published_done) struct fa_published p = {0};
	int r = fa_registry_published(cli->root, &p);

	if (r == -ENOENT)
		return fa_fail(FA_EXIT_NOT_FOUND, "%s%s: nothing is published yet", cli->root,
			       FA_PATH_INDEX);
	if (r < 0)
		return fa_fail(FA_EXIT_FAILED,
			       "%s%s: %s; no program is traced by it, any change by root "
			       "publishes it anew",
			       cli->root, FA_PATH_INDEX, fa_strerror(r));
	if (cli->json)
		print_json(&p.rules, &p);
	else
		print_table(&p.rules);
	return FA_EXIT_OK;
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list list = {0};
	int status;

	if (argc > 0)
		return fa_usage(cli, "images takes no operand: '%s'; 'firstalloc show' takes one",
				argv[0]);
	if (given.published)
		return run_published(cli);
	status = fa_rules_load(cli, &list);
	if (status != 0)
		return status;
	if (cli->json)
		print_json(&list, NULL);
	else if (list.count > 0)
		print_table(&list);
	else
		printf("No program is armed. 'firstalloc enable NAME' arms one.\n");
	return FA_EXIT_OK;
}

const struct fa_command fa_cmd_images = {
	.name = "images",
	.group = "Rules",
	.summary = "list the programs that are armed",
	.synopsis = "[--published]",
	.description =
		"One line a rule: the image's name, what the rule is limited to, what is traced, "
		"which events carry stacks, when it ends by itself, since when and by whom it is "
		"there, and the note.\n\n"
		"Who may not read the registry is shown what is published for the programs "
		"themselves, which has no notes and no people.",
	.examples = "firstalloc images # what is still armed\n"
		    "firstalloc images --json # the same for a script\n",
	.options = options,
	.run = run,
};
