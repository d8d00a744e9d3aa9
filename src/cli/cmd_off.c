/*
 * cmd_off.c - `firstalloc off` and `on`: the kill switch.
 *
 * It must work when nothing else does: where the registry cannot be changed, `off` makes the file that
 * every flagged program looks for. `on` lifts both, and says what it cannot lift.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/command.h"
#include "cli/rule_change.h"
#include "cli/rules.h"

static const struct fa_option options[] = {{0}};

char *fa_off_text(char *buf, size_t size, const char *root, uint32_t off)
{
	(void)snprintf(buf, size, "%s%s%s%s%s%s",
		       off & FA_OFF_COMMAND ? "by 'firstalloc off'" : "",
		       off & FA_OFF_COMMAND && off & FA_OFF_FILE ? ", " : "",
		       off & FA_OFF_FILE ? root : "", off & FA_OFF_FILE ? FA_OFF_PATH " is there" : "",
		       off & FA_OFF_KERNEL && off & (FA_OFF_COMMAND | FA_OFF_FILE) ? ", " : "",
		       off & FA_OFF_KERNEL ? FA_OFF_WORD " on the kernel's command line" : "");
	return buf;
}

void fa_off_json(struct fa_json *j, uint32_t off)
{
	fa_json_array(j, "off");
	if (off & FA_OFF_COMMAND)
		fa_json_string(j, NULL, "command");
	if (off & FA_OFF_FILE)
		fa_json_string(j, NULL, "file");
	if (off & FA_OFF_KERNEL)
		fa_json_string(j, NULL, "kernel");
	fa_json_end_array(j);
}

static int tell(const struct fa_cli *cli)
{
	uint32_t off = fa_registry_off(cli->root);
	char how[PATH_MAX + 200];
	struct fa_json j;

	if (cli->json) {
		fa_json_init(&j, stdout, true);
		fa_json_object(&j, NULL);
		fa_off_json(&j, off);
		fa_json_end_object(&j);
		fa_json_newline(&j);
	} else if (off != 0) {
		printf("Tracing is off: %s.\n"
		       "No program is traced from its next start on; those that are traced are let "
		       "go within two seconds.\n",
		       fa_off_text(how, sizeof(how), cli->root, off));
	} else {
		printf("Tracing is on: flagged programs are traced from their next start on.\n");
	}
	return 0;
}

/* The registry is damaged, full, or held by somebody. */
static int make_file(const struct fa_cli *cli)
{
	char path[PATH_MAX];
	int r = fa_path_join(path, sizeof(path), cli->root, FA_OFF_PATH);

	if (r == 0) {
		FA_CLEANUP(fa_close)
		int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);

		r = fd < 0 ? -errno : 0;
	}
	return r < 0 ? fa_fail((int)fa_exit_of(r), "%s: %s", path, fa_strerror(r)) : 0;
}

static int remove_file(const struct fa_cli *cli)
{
	char path[PATH_MAX];
	int r = fa_path_join(path, sizeof(path), cli->root, FA_OFF_PATH);

	if (r == 0 && unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR)
		r = -errno;
	return r < 0 ? fa_fail((int)fa_exit_of(r), "%s: %s", path, fa_strerror(r)) : 0;
}

static int change(const struct fa_cli *cli, bool off)
{
	FA_CLEANUP(fa_rule_change_close) struct fa_rule_change c = FA_RULE_CHANGE_INIT;
	int status = fa_rule_change_open(cli, &c);

	return status != 0 ? status : fa_rule_change_switch(cli, &c, off);
}

static int run_off(const struct fa_cli *cli, int argc, char **argv)
{
	int status;

	if (argc != 0)
		return fa_usage(cli, "off takes no operand: '%s'; 'firstalloc disable' takes names",
				argv[0]);
	status = change(cli, true);
	if (status == FA_EXIT_FAILED && geteuid() == 0)
		status = make_file(cli);
	return status != 0 ? status : tell(cli);
}

static int run_on(const struct fa_cli *cli, int argc, char **argv)
{
	uint32_t off;
	int status;

	if (argc != 0)
		return fa_usage(cli, "on takes no operand: '%s'; 'firstalloc enable' takes names",
				argv[0]);
	status = change(cli, false);
	if (status == 0 && (fa_registry_off(cli->root) & FA_OFF_FILE) != 0)
		status = remove_file(cli);
	if (status != 0)
		return status;
	off = fa_registry_off(cli->root);
	status = tell(cli);
	if ((off & FA_OFF_KERNEL) != 0)
		return fa_fail(FA_EXIT_FAILED,
			       "%s stands on the kernel's command line: boot without it", FA_OFF_WORD);
	return status;
}

const struct fa_command fa_cmd_off = {
	.name = "off",
	.group = "Machine",
	.summary = "kill switch: trace nothing on this machine, whatever the rules say",
	.synopsis = "",
	.description =
		"No program is traced from its next start on; running ones are let go by "
		"firstallocd within two seconds and go on untraced. Rules, sessions and "
		"autologgers stay as they are, without programs. 'firstalloc on' lifts it; who was "
		"let go is traced again from its next start on.\n\n"
		"Where no command can be given: the file /etc/firstalloc/off does the same, and so "
		"does the word firstalloc=off on the kernel's command line. Root and members of "
		"the group firstalloc may switch. Should the registry be damaged, root's 'off' "
		"makes the file.\n\n"
		"'firstalloc run' is not concerned: it asks no registry.",
	.examples = "sudo firstalloc off\n"
		    "sudo touch /etc/firstalloc/off # the same, without firstalloc\n",
	.options = options,
	.run = run_off,
};

const struct fa_command fa_cmd_on = {
	.name = "on",
	.group = "Machine",
	.summary = "lift the kill switch",
	.synopsis = "",
	.description = "Undoes 'firstalloc off' and removes /etc/firstalloc/off. A firstallocd that runs "
		       "sees it within a second. The word "
		       "firstalloc=off on the kernel's command line it cannot take away: it then "
		       "ends with 1.",
	.examples = "sudo firstalloc on\n",
	.options = options,
	.run = run_on,
};
