/* cmd_disable.c - take rules away: the next start of the program is not traced. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/package.h"
#include "cli/rule_change.h"
#include "cli/rules.h"

static struct {
	bool all;
	const char *path;
	const char *user;
	struct fa_package_options package;
} given;

static const struct fa_option options[] = {
	{0, "all", NULL, FA_OPT_FLAG, &given.all, "all rules of all images", NULL},
	{0, "path", "FILE", FA_OPT_STRING, &given.path,
	 "only the rule for the executable with this full path", NULL},
	FA_PACKAGE_OPTIONS(given.package, "only the rule for processes "),
	{0, "user", "USER", FA_OPT_STRING, &given.user,
	 "only the rule for this user: a name, a number, or self", NULL},
	{0}};

static const char *plural(uint32_t n)
{
	return n == 1 ? "" : "s";
}

static int disable_all(const struct fa_cli *cli, struct fa_rule_change *change,
		       const struct fa_rule_filter *filter)
{
	uint32_t removed = 0, foreign = 0;
	int status = fa_rule_change_remove(cli, change, filter, &removed, &foreign);

	if (status != 0)
		return status;
	printf("%u rule%s removed.\n", removed, plural(removed));
	if (foreign > 0)
		printf("%u of others stay%s.\n", foreign, foreign == 1 ? "s" : "");
	return FA_EXIT_OK;
}

/* 0 also when there was none: counted by the caller. */
static int disable_one(const struct fa_cli *cli, struct fa_rule_change *change,
		       const struct fa_rule_filter *filter, int *missing)
{
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list all = {0};
	uint32_t removed = 0, foreign = 0;
	int status = fa_rule_change_remove(cli, change, filter, &removed, &foreign);

	if (status != 0)
		return status;
	if (removed > 0 && foreign > 0) {
		printf("%s: %u rule%s of yours removed; %u of others stay%s.\n", filter->image,
		       removed, plural(removed), foreign, foreign == 1 ? "s" : "");
		return 0;
	}
	if (removed > 0) {
		printf("%s: %u rule%s removed; its next start is not traced.\n", filter->image,
		       removed, plural(removed));
		return 0;
	}
	(*missing)++;
	status = fa_rule_change_list(cli, change, &all);
	if (status != 0)
		return status;
	for (uint32_t i = 0; i < all.count; i++) {
		if (strcmp(all.rule[i].image, filter->image) == 0) {
			(void)fa_fail(0,
				      "%s has rules, but none of that scope; 'firstalloc show "
				      "%s' shows them",
				      filter->image, filter->image);
			return 0;
		}
	}
	(void)fa_rules_not_found(&all, filter->image);
	return 0;
}

static int disable_names(const struct fa_cli *cli, struct fa_rule_change *change,
			 struct fa_rule_filter filter, int argc, char **argv)
{
	int missing = 0;

	for (int i = 0; i < argc; i++) {
		filter.image = argv[i];
		int status = disable_one(cli, change, &filter, &missing);

		if (status != 0)
			return status;
	}
	if (missing == 0)
		return FA_EXIT_OK;
	return missing == argc ? FA_EXIT_NOT_FOUND : FA_EXIT_USAGE;
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	FA_CLEANUP(fa_rule_change_close) struct fa_rule_change change = FA_RULE_CHANGE_INIT;
	struct fa_rule_filter filter = {.path = given.path};
	static char package[FA_PACKAGE_MAX + 1];
	int status = fa_package_given(cli, &given.package, package);

	if (status != 0)
		return status;
	filter.package = *package != '\0' ? package : NULL;

	if (given.all == (argc > 0))
		return fa_usage(cli, given.all ? "disable takes --all or names, not both"
					       : "disable what? A name, or --all");
	if (given.user != NULL) {
		if (fa_rules_user(given.user, &filter.uid) < 0)
			return fa_fail(FA_EXIT_USAGE, "--user: there is no user '%s'", given.user);
		filter.has_uid = true;
	}
	status = fa_rule_change_open(cli, &change);
	if (status != 0)
		return status;
	if (given.all)
		return disable_all(cli, &change, &filter);
	return disable_names(cli, &change, filter, argc, argv);
}

const struct fa_command fa_cmd_disable = {
	.name = "disable",
	.group = "Rules",
	.summary = "no longer trace programs of these names",
	.synopsis = "NAME... | --all [--unit UNIT] [--path FILE] [--user USER]",
	.description =
		"Removes all rules of the images, or with --unit (or another package), --path and --user "
		"only those of exactly that scope. The next start is not traced; a process that is traced already goes "
		"on until it ends or its session stops.\n\n"
		"Root and members of the group firstalloc remove any rule, everybody else those "
		"that he made himself.",
	.examples = "firstalloc disable git nginx # both\n"
		    "firstalloc disable --all # leave nothing armed\n",
	.options = options,
	.run = run,
};
