/* cmd_enable.c - arm programs by name: make or replace a rule, and say what will come of it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/outlook.h"
#include "cli/package.h"
#include "cli/rule_change.h"
#include "cli/rules.h"
#include "cli/words.h"

static struct {
	const char *flags, *path, *user, *stacks, *stamp, *note;
	bool script, secure, pid1, sanitizer, args, live;
	uint32_t depth, starts;
	uint64_t time;
	struct fa_package_options package;
} given = {.depth = FA_DEPTH_DEFAULT, .time = UINT64_MAX};

static const struct fa_option options[] = {
	{'f', "flags", "FLAGS", FA_OPT_STRING, &given.flags,
	 "what to trace: heap,lock,loader,snapshot,vm or a number (default heap)", NULL},
	{0, "path", "FILE", FA_OPT_STRING, &given.path, "only the executable with this full path",
	 NULL},
	FA_PACKAGE_OPTIONS(given.package, "only processes "),
	{0, "script", NULL, FA_OPT_FLAG, &given.script,
	 "also match a script that an interpreter is given", NULL},
	{'u', "user", "USER", FA_OPT_STRING, &given.user,
	 "only processes of this user: a name, a number, or self", NULL},
	{0, "depth", "N", FA_OPT_U32, &given.depth, "frames of a stack (default 64, at most 512)",
	 NULL},
	{0, "stacks", "EVENTS", FA_OPT_STRING, &given.stacks,
	 "events that carry a stack: alloc,realloc,free or none (default alloc,realloc)", NULL},
	{0, "stamp", "EVENTS", FA_OPT_CHOICE, &given.stamp,
	 "events that carry a time (default alloc; of a single thread one in eight)", "alloc|all|none"},
	{0, "for", "DURATION", FA_OPT_DURATION, &given.time, "the rule ends by itself: 2h, 30m, 1d",
	 NULL},
	{0, "starts", "N", FA_OPT_U32, &given.starts, "the rule ends after N starts", NULL},
	{0, "note", "TEXT", FA_OPT_STRING, &given.note, "why; shown by images and show", NULL},
	{0, "live", NULL, FA_OPT_FLAG, &given.live,
	 "flag the instances that run already, too: traced from their next heap call on", NULL},
	{0, "secure", NULL, FA_OPT_FLAG, &given.secure,
	 "set-user-id programs and those with capabilities too", NULL},
	{0, "pid1", NULL, FA_OPT_FLAG, &given.pid1, "process 1 too", NULL},
	{0, "sanitizer", NULL, FA_OPT_FLAG, &given.sanitizer, "sanitizer builds too", NULL},
	{0, "record-args", NULL, FA_OPT_FLAG, &given.args,
	 "record the arguments, which may hold secrets", NULL},
	{0}};

static int set_flags(const struct fa_cli *cli, struct fa_rule *rule)
{
	if (fa_flags_parse(given.flags, &rule->flags) < 0)
		return fa_usage(cli, FA_FLAGS_WRONG, given.flags);
	if (rule->flags == 0)
		return fa_usage(cli, "--flags: nothing to trace; 'firstalloc disable' removes a "
				     "rule");
	return 0;
}

static int set_events(const struct fa_cli *cli, struct fa_rule *rule)
{
	rule->stacks = FA_STACK_ALLOC | FA_STACK_REALLOC;
	if (given.stacks != NULL && fa_words_parse(given.stacks, fa_stack_words, &rule->stacks) < 0)
		return fa_usage(cli,
				"--stacks: '%s' is not made of alloc, realloc, free, all, none",
				given.stacks);
	rule->stamp = fa_stamp_parse(given.stamp);
	return 0;
}

static int set_limits(const struct fa_cli *cli, struct fa_rule *rule)
{
	const uint64_t now = fa_real_ns() / 1000000000u;

	if (given.depth < 1 || given.depth > FA_DEPTH_MAX)
		return fa_usage(cli, "--depth: 1 to %u frames are recorded", FA_DEPTH_MAX);
	rule->depth = given.depth;
	rule->starts_left = given.starts;
	if (given.time == 0)
		return fa_usage(cli, "--for: a rule must last; 'firstalloc disable' ends it now");
	if (given.time != UINT64_MAX)
		/* Rounded up: "for 1 s" is a whole second. */
		rule->expires = now + (given.time + 999999999u) / 1000000000u;
	if (given.note != NULL && strlen(given.note) > FA_NOTE_MAX)
		return fa_usage(cli, "--note: at most %u bytes", FA_NOTE_MAX);
	rule->note = given.note;
	return 0;
}

static int set_scope(const struct fa_cli *cli, struct fa_rule *rule)
{
	static char package[FA_PACKAGE_MAX + 1];
	int status = fa_package_given(cli, &given.package, package);

	if (status != 0)
		return status;
	rule->package = package;
	rule->uid = FA_USER_ANY;
	if (given.user != NULL && fa_rules_user(given.user, &rule->uid) < 0)
		return fa_fail(FA_EXIT_USAGE, "--user: there is no user '%s'", given.user);
	if (given.path == NULL)
		return 0;
	if (given.path[0] != '/' || strlen(given.path) >= PATH_MAX)
		return fa_usage(cli, "--path: '%s' is no full path", given.path);
	rule->path = given.path;
	return 0;
}

static void set_options(struct fa_rule *rule)
{
	rule->options = (given.script ? FA_RULE_SCRIPT : 0u) |
			(given.secure ? FA_RULE_SECURE : 0u) | (given.pid1 ? FA_RULE_PID1 : 0u) |
			(given.sanitizer ? FA_RULE_SANITIZER : 0u) |
			(given.args ? FA_RULE_ARGS : 0u);
}

static int check_image(const struct fa_cli *cli, const char *image)
{
	if (*image == '\0' || strcmp(image, ".") == 0 || strcmp(image, "..") == 0)
		return fa_usage(cli, "'%s' is no name of a program", image);
	if (strchr(image, '/') != NULL)
		return fa_usage(cli,
				"'%s' is a path; the image is a base name: 'firstalloc enable %s "
				"--path %s'",
				image, fa_base_name(image), image);
	if (strlen(image) > FA_IMAGE_MAX)
		return fa_usage(cli, "the name is longer than the %d bytes that a file's may have",
				FA_IMAGE_MAX);
	if (strcmp(image, "firstalloc") == 0 || strcmp(image, "firstallocd") == 0)
		return fa_fail(FA_EXIT_USAGE, "%s is never traced: it would wait for itself",
			       image);
	return 0;
}

/* Returns how many running instances could not be flagged. */
static int say_enabled(const struct fa_cli *cli, const struct fa_rule *rule,
		       const struct fa_rule_put *put)
{
	char flags[96], stacks[64], scope[FA_SCOPE_TEXT], end[96];

	printf("%s: %s for %s (rule %u, generation %llu), stacks of %s, %u frames\n", rule->image,
	       put->replaced ? "changed" : "enabled",
	       fa_words_text(flags, sizeof(flags), rule->flags, fa_flag_words), put->id,
	       (unsigned long long)put->generation,
	       fa_words_text(stacks, sizeof(stacks), rule->stacks, fa_stack_words), rule->depth);
	if (*fa_rules_scope_text(scope, sizeof(scope), rule) != '\0')
		printf("  Only %s.\n", scope);
	if (*fa_rules_end_text(end, sizeof(end), rule) != '\0')
		printf("  Ends by itself %s.\n", end);
	return fa_outlook_running(cli, rule, put->id, given.live);
}

static int enable_one(const struct fa_cli *cli, struct fa_rule_change *change, const char *image,
		      struct fa_rule *rule)
{
	struct fa_rule_put put;
	int status;

	rule->image = image;
	status = fa_rule_change_put(cli, change, rule, &put);
	if (status != 0)
		return status;
	fa_outlook_program(rule);
	return say_enabled(cli, rule, &put) > 0 ? FA_EXIT_USAGE : FA_EXIT_OK;
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	FA_CLEANUP(fa_rule_change_close) struct fa_rule_change change = FA_RULE_CHANGE_INIT;
	struct fa_rule rule = {0};
	int status = 0;

	if (argc == 0)
		return fa_usage(cli, "enable what? The base name of a program");
	/* All is looked at before the first change, so that a slip changes nothing. */
	for (int i = 0; i < argc && status == 0; i++)
		status = check_image(cli, argv[i]);
	if (status == 0)
		status = set_scope(cli, &rule);
	if (status == 0)
		status = set_flags(cli, &rule);
	if (status == 0)
		status = set_events(cli, &rule);
	if (status == 0)
		status = set_limits(cli, &rule);
	if (status == 0)
		status = fa_rule_change_open(cli, &change);
	set_options(&rule);
	for (int i = 0; i < argc && status == 0; i++)
		status = enable_one(cli, &change, argv[i], &rule);
	if (status == 0)
		fa_outlook_machine(cli);
	return status;
}

const struct fa_command fa_cmd_enable = {
	.name = "enable",
	.group = "Rules",
	.summary = "trace programs of these names from their next start on",
	.synopsis = "NAME... [--flags F] [--for DURATION] [--unit UNIT] [--path FILE] [--user USER] [--live]",
	.description =
		"Makes a rule for each image name, or replaces the one of the same scope. The name "
		"is the base name of the executable or of the script that was executed; it matches "
		"exactly. The rule is stored and published when the command returns: the next "
		"program that starts sees it, whoever starts it.\n\n"
		"A rule with --unit (or another of the packages), --path or --user is used instead of "
		"a plain one for the processes that it fits; they may stand side by side. A package "
		"goes before a path, a path before a user, a user before the name alone. Set-user-id programs, process 1 and "
		"sanitizer builds are left alone unless the rule says otherwise.\n\n"
		"To which unit, container or app a process belongs is the kernel's word: "
		"/proc/PID/cgroup when the program starts, as it is seen there. In a container with "
		"a view of control groups of its own --unit means the units in it, and --container "
		"nothing. A unit of the same name of the system and of each user is meant; a slice "
		"is all that is in it.\n\n"
		"Root and members of the group firstalloc may arm any program; everybody else own "
		"processes only, with --user self and without --secure, --pid1 and --record-args. "
		"Who may not write to the registry himself has the running firstallocd do it.\n\n"
		"Instances that run already are not affected, unless --live says so: then "
		"firstallocd flags them, and a session that wants them gets them at once. What "
		"cannot be flagged is named, with the reason, and the exit status is 2. Blocks "
		"that are older are not known; their frees are counted as a class of their own.\n\n"
		"--flags vm records calls of mmap, munmap, mremap, mprotect, brk and sbrk with "
		"their stacks, --flags lock waits for pthread mutexes and rwlocks, with their "
		"stacks, how long they were, and who had the lock, --flags loader the modules that "
		"dlopen, dlmopen and dlclose load and unload, with their stacks, and, without, those "
		"that libc loads by itself. All bring heap with them.\n\n"
		"What is flagged costs nothing until a session records it: see "
		"firstalloc-start(1).",
	.examples = "firstalloc enable git --for 2h --note \"growth in log -p\" # heap, two hours\n"
		    "firstalloc enable python3 --user self # only my own\n"
		    "firstalloc enable backup.py --script --starts 1 # its next run only\n"
		    "firstalloc enable python3 --unit backup.service # not the others' python3\n"
		    "firstalloc enable nginx --path /opt/nginx/sbin/nginx --depth 128\n",
	.options = options,
	.run = run,
};
