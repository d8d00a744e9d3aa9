/*
 * boot_check.c - what can be known now of an autologger's next start: `autologger check`, `boot add`, `boot status`.
 *
 * Problems are what keeps it from starting, or from recording; the rest is worth knowing.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "base/parse.h"
#include "base/paths.h"
#include "base/trust.h"
#include "cli/boot.h"
#include "cli/client.h"
#include "cli/rules.h"
#include "cli/stage.h"
#include "collector/effective.h"
#include "registry/registry.h"

#define UNIT_WANTED "/etc/systemd/system/sysinit.target.wants/" FA_CLIENT_UNIT

static FA_PRINTF(3, 4) void find(struct fa_boot_check *ret, bool problem, const char *format, ...)
{
	va_list ap;

	if (ret->findings == FA_BOOT_FINDINGS)
		return;
	ret->finding[ret->findings].problem = problem;
	va_start(ap, format);
	(void)vsnprintf(ret->finding[ret->findings].text, sizeof(ret->finding[0].text), format, ap);
	va_end(ap);
	ret->findings++;
	ret->problems += problem;
}

static void check_values(const struct fa_autologger *a, struct fa_boot_check *ret)
{
	struct fa_session_options o;
	const char *what = NULL;
	char text[320];

	fa_autologger_options(a, &o);
	if (a->problem[0] != '\0')
		find(ret, true, "%s", a->problem);
	else if (fa_session_options_check(&o, &what) < 0)
		find(ret, true, "it cannot start: %s", what);
	for (int i = 0; i < a->overrides; i++)
		find(ret, false, "%s", fa_override_text(text, sizeof(text), &a->override[i]));
}

/* What is there of the way to the trace's folder. */
static void nearest_folder(char *path)
{
	char *slash;

	while ((slash = strrchr(path, '/')) != NULL && slash != path) {
		*slash = '\0';
		if (access(path, F_OK) == 0)
			return;
	}
	(void)strcpy(path, "/");
}

static void check_space(const struct fa_config *c, const struct fa_autologger *a, const char *dir,
			struct fa_boot_check *ret)
{
	char free_text[32], keep_text[32], size_text[32];
	uint64_t is_free, keep;
	struct statvfs v;

	if (statvfs(dir, &v) < 0)
		return;
	is_free = (uint64_t)v.f_bavail * v.f_frsize;
	keep = fa_minimum_free(a->min_free, c->min_free, &v);
	fa_format_size(free_text, sizeof(free_text), is_free);
	fa_format_size(keep_text, sizeof(keep_text), keep);
	if (is_free <= keep)
		find(ret, true, "%s: %s are free, and MinFree leaves %s: it would end at once", dir,
		     free_text, keep_text);
	else if (a->max_file_size != 0 && is_free - keep < a->max_file_size)
		find(ret, a->preallocate, "%s: %s are free, %s of which MinFree leaves: less than MaxFileSize, %s",
		     dir, free_text, keep_text, fa_format_size(size_text, sizeof(size_text), a->max_file_size));
}

static void check_folder(const struct fa_cli *cli, const struct fa_config *c,
			 const struct fa_autologger *a, struct fa_boot_check *ret)
{
	char path[700], folder[700];
	struct stat st;
	int e;

	if (strcmp(a->mode, "buffering") == 0)
		return;
	if (fa_path_join(path, sizeof(path), cli->root, a->file_name) < 0) {
		find(ret, true, "FileName is too long");
		return;
	}
	memcpy(folder, path, sizeof(folder));
	nearest_folder(folder);
	e = fa_path_trust(folder);
	if (stat(folder, &st) == 0 && !S_ISDIR(st.st_mode))
		find(ret, true, "%s is no folder", folder);
	else if (e == -EPERM)
		find(ret, true, "%s: a user other than root could change it, or a folder above it", folder);
	else if (e < 0)
		find(ret, true, "%s: %s", folder, fa_strerror(e));
	else if (strncmp(path, folder, strlen(folder)) == 0 && strchr(path + strlen(folder) + 1, '/') != NULL)
		find(ret, false, "its folder is made when it starts: %s is there", folder);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		find(ret, true, "%s is a folder", path);
	check_space(c, a, folder, ret);
}

static bool is_flagged(const struct fa_published *p, const char *image)
{
	for (uint32_t i = 0; i < p->rules.count; i++)
		if (strcmp(p->rules.rule[i].image, image) == 0)
			return true;
	return false;
}

static void check_images(const struct fa_cli *cli, const struct fa_autologger *a, struct fa_boot_check *ret)
{
	FA_CLEANUP(fa_published_done) struct fa_published p = {0};
	char name[256], how[700];
	uint32_t off = fa_registry_off(cli->root), for_all = 0;
	size_t at = 0;

	if (off != 0)
		find(ret, true, "tracing is switched off: %s", fa_off_text(how, sizeof(how), cli->root, off));
	if (fa_registry_published(cli->root, &p) < 0)
		memset(&p, 0, sizeof(p));
	if ((p.flags & FA_INDEX_AUTOLOGGER) == 0)
		find(ret, true, "programs do not know of it yet: 'firstalloc autologger enable %s' tells them", a->name);
	for (uint32_t i = 0; i < p.rules.count; i++)
		for_all += (p.rules.rule[i].options & (FA_RULE_NAMED | FA_RULE_DISARMED)) == 0;
	if (a->images[0] == '\0' && for_all == 0)
		find(ret, true, "no program is flagged: 'firstalloc enable NAME', or Images=");
	while (fa_config_next_image(a, &at, name, sizeof(name)))
		if (!is_flagged(&p, name))
			find(ret, true, "%s is not flagged yet: 'firstalloc autologger enable %s' does", name, a->name);
}

static void check_machine(const struct fa_cli *cli, struct fa_boot_check *ret)
{
	char path[700], lacks[700], *text = NULL;
	const char *why = fa_stage_lacks(cli->root, lacks, sizeof(lacks));
	struct stat st; /* the link leads into the machine that boots */
	size_t len = 0;

	if (fa_path_join(path, sizeof(path), cli->root, FA_PATH_PRELOAD) < 0 ||
	    fa_read_file(path, 1 << 20, &text, &len) < 0 || strstr(text, FA_SHIM_NAME) == NULL)
		find(ret, true, "%s does not name the library: 'firstalloc install'", path);
	free(text);
	if (!fa_client_have_unit(cli->root))
		find(ret, true, "there is no unit " FA_CLIENT_UNIT ": firstallocd is not started by the boot");
	else if (fa_path_join(path, sizeof(path), cli->root, UNIT_WANTED) < 0 || lstat(path, &st) < 0)
		find(ret, true, FA_CLIENT_UNIT " is not enabled: 'systemctl enable firstallocd'");
	if (fa_stage_is_early(cli->root) && why != NULL)
		find(ret, true, "stage initramfs was chosen, but it begins with its unit: %s", why);
	else if (!fa_stage_is_early(cli->root))
		find(ret, false, "stage service: PID 1, generators and mount helpers are not seen%s%s",
		     why != NULL ? "; the initramfs does not start it: " : ", --stage initramfs would", why != NULL ? why : "");
}

static void say_end(const struct fa_autologger *a, char *buf, size_t size)
{
	char delay[64] = "";

	if (a->post_boot_delay != 0)
		(void)snprintf(delay, sizeof(delay), "%u s after ", a->post_boot_delay);
	if (a->stop_target[0] != '\0')
		(void)snprintf(buf, size, "; it ends %s%s%s", delay, delay[0] != '\0' ? "" : "at ", a->stop_target);
	else if (a->stop_after != 0)
		(void)snprintf(buf, size, "; it ends after %u s", a->stop_after);
	else
		(void)snprintf(buf, size, "; it runs until it is stopped, or the shutdown");
}

static void say_will(const struct fa_cli *cli, const struct fa_autologger *a, struct fa_boot_check *ret)
{
	char buf[700], end[200];
	bool early = fa_stage_is_early(cli->root) && fa_stage_lacks(cli->root, buf, sizeof(buf)) == NULL;

	say_end(a, end, sizeof(end));
	if (!a->start)
		(void)snprintf(ret->will, sizeof(ret->will), "does not start: Start = 0");
	else if (a->problem[0] != '\0')
		(void)snprintf(ret->will, sizeof(ret->will), "does not start: its section is broken");
	else if (strcmp(a->mode, "buffering") == 0)
		(void)snprintf(ret->will, sizeof(ret->will), "starts %s, in memory%s",
			       early ? "before PID 1" : "before the other services", end);
	else
		(void)snprintf(ret->will, sizeof(ret->will), "starts %s, into %s%s%s",
			       early ? "before PID 1" : "before the other services", a->file_name,
			       a->file_max != 0 ? ".NNNN" : "", end);
}

void fa_boot_check(const struct fa_cli *cli, const struct fa_config *c, const struct fa_autologger *a,
		   struct fa_boot_check *ret)
{
	memset(ret, 0, sizeof(*ret));
	say_will(cli, a, ret);
	check_values(a, ret);
	if (!a->start)
		return;
	check_folder(cli, c, a, ret);
	check_images(cli, a, ret);
	check_machine(cli, ret);
}

void fa_boot_check_text(const struct fa_autologger *a, const struct fa_boot_check *check)
{
	printf("%s: at the next boot it %s\n", a->name, check->will);
	for (int i = 0; i < check->findings; i++)
		printf("  %s %s\n", check->finding[i].problem ? "problem:" : "note:", check->finding[i].text);
}

void fa_boot_check_json(struct fa_json *j, const struct fa_autologger *a, const struct fa_boot_check *check)
{
	fa_json_object(j, NULL);
	fa_json_string(j, "name", a->name);
	fa_json_bool(j, "Start", a->start);
	fa_json_string(j, "next_boot", check->will);
	for (int problem = 1; problem >= 0; problem--) {
		fa_json_array(j, problem ? "problems" : "notes");
		for (int i = 0; i < check->findings; i++)
			if (check->finding[i].problem == problem)
				fa_json_string(j, NULL, check->finding[i].text);
		fa_json_end_array(j);
	}
	fa_json_end_object(j);
}

int fa_boot_config(const struct fa_cli *cli, struct fa_config **ret)
{
	struct fa_config *c = malloc(sizeof(*c));
	int e;

	if (c == NULL)
		return fa_fail(FA_EXIT_FAILED, "%s", fa_strerror(-ENOMEM));
	e = fa_config_read(cli->root, c);
	if (e < 0) {
		free(c);
		return fa_fail((int)fa_exit_of(e), "%s" FA_PATH_INI ": %s", cli->root, fa_strerror(e));
	}
	for (int i = 0; i < c->autologgers; i++)
		fa_autologger_effective(&c->autologger[i]);
	*ret = c;
	return 0;
}
