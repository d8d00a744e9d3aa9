/* cmd_history.c - every change of the rules that there ever was. */
#include <stdio.h>

#include "base/parse.h"
#include "cli/command.h"
#include "cli/rules.h"
#include "cli/words.h"

static struct {
	uint32_t top;
} given = {.top = 0};

static const struct fa_option options[] = {
	{'n', "top", "N", FA_OPT_U32, &given.top, "the newest N changes only", NULL}, {0}};

static bool is_setting(const struct fa_history *e)
{
	return e->rule.id == 0;
}

/* A setting's row has its name in the image's column and its value in that of the flags. */
static void add_row(struct fa_table *t, const struct fa_history *e)
{
	const struct fa_rule *r = &e->rule;
	char when[40], scope[FA_SCOPE_TEXT] = "", what[96] = "";

	(void)fa_format_time(when, sizeof(when), e->when);
	when[19] = '\0';
	if (is_setting(e)) {
		(void)snprintf(what, sizeof(what), "%s", r->flags != 0 ? "on" : "off");
	} else {
		(void)fa_rules_scope_text(scope, sizeof(scope), r);
		(void)fa_words_text(what, sizeof(what), r->flags, fa_flag_words);
	}
	fa_table_add(t,
		     (const char *const[]){when, e->action, r->image == NULL ? "" : r->image, scope,
					   what, r->who == NULL ? "(not by firstalloc)" : r->who,
					   r->note == NULL ? "" : r->note});
}

static void print_table(const struct fa_history_list *list)
{
	static const char *const heads[] = {"WHEN", "CHANGE", "IMAGE", "ONLY",
					    "WHAT", "BY",     "NOTE"};
	static const int shrink[] = {6, 3, 5, -1};
	struct fa_table t = {.columns = 7, .heads = heads, .shrink = shrink};

	for (uint32_t i = 0; i < list->count; i++)
		add_row(&t, &list->entry[i]);
	fa_table_print(&t, stdout);
	fa_table_done(&t);
}

static void print_entry(struct fa_json *j, const struct fa_history *e)
{
	fa_json_object(j, NULL);
	fa_json_i64(j, "id", e->id);
	fa_json_u64(j, "when", e->when);
	fa_json_string(j, "change", e->action);
	fa_json_string(j, "who", e->rule.who);
	if (is_setting(e)) {
		fa_json_string(j, "setting", e->rule.image);
		fa_json_u64(j, "value", e->rule.flags);
	} else {
		fa_rules_json(j, "rule", &e->rule);
	}
	fa_json_end_object(j);
}

static void print_json(const struct fa_history_list *list)
{
	struct fa_json j;

	fa_json_init(&j, stdout, true);
	fa_json_object(&j, NULL);
	fa_json_array(&j, "changes");
	for (uint32_t i = 0; i < list->count; i++)
		print_entry(&j, &list->entry[i]);
	fa_json_end_array(&j);
	fa_json_end_object(&j);
	fa_json_newline(&j);
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = NULL;
	FA_CLEANUP(fa_history_list_done) struct fa_history_list list = {0};
	int status, r = 0;

	if (argc > 1)
		return fa_usage(cli, "history takes the name of one image or none");
	status = fa_rules_open_query(cli, &reg);
	if (status != 0)
		return status;
	if (reg != NULL)
		r = fa_registry_history(reg, argc == 1 ? argv[0] : NULL, given.top, &list);
	if (r < 0)
		return fa_rules_fail(cli, r);
	if (cli->json)
		print_json(&list);
	else if (list.count > 0)
		print_table(&list);
	else if (argc == 0)
		printf("Nothing was ever changed.\n");
	if (list.count == 0 && argc == 1)
		return fa_fail(FA_EXIT_NOT_FOUND, "there was never a rule for '%s'", argv[0]);
	return FA_EXIT_OK;
}

const struct fa_command fa_cmd_history = {
	.name = "history",
	.group = "Rules",
	.summary = "list every change of the rules, newest first",
	.synopsis = "[NAME] [--top N]",
	.description =
		"When, what and by whom: enable, change, disable, expire (its time had come), "
		"starts "
		"(its last start was counted), disarm (it crashed again and again), setting. A change made with another program than "
		"firstalloc has no name beside it.",
	.examples = "firstalloc history git # who enabled git, and when\n"
		    "firstalloc history --top 5 # the last five changes\n",
	.options = options,
	.run = run,
};
