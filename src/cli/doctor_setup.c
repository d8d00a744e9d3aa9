/* doctor_setup.c - library, line, registry, doorbell, account, settings and daemon. */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/config.h"
#include "base/io.h"
#include "base/paths.h"
#include "cli/doctor.h"
#include "cli/rules.h"
#include "cli/setup.h"
#include "registry/registry.h"

static const char mend_install[] = "run: sudo firstalloc install";

static void look_into_library(struct fa_doctor *d, const char *full, const struct stat *st)
{
	char why[1024];
	bool by_descriptor = !d->machine;

	if ((st->st_mode & 0555) != 0555)
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "library", mend_install,
			      "%s has mode %04o: other users' programs print a line at their start",
			      full, st->st_mode & 07777);
	else if (d->machine && (st->st_uid != 0 || (st->st_mode & 022)))
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "library", mend_install,
			      "%s can be changed by others than root", full);
	else if (fa_self_test(full, by_descriptor, false, why, sizeof(why)) ||
		 (geteuid() == 0 && fa_self_test(full, by_descriptor, true, why, sizeof(why))))
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "library",
			      "run: sudo firstalloc uninstall, and report this",
			      "%s: with it preloaded %s", full, why);
	else
		fa_doctor_say(d, FA_VERDICT_OK, "library", NULL, "%s loads", full);
}

void fa_doctor_library(struct fa_doctor *d)
{
	const char *path = fa_setup_library_path(d->cli->root);
	char full[PATH_MAX];
	struct stat st;

	if (fa_setup_path(full, d->cli->root, path) || stat(full, &st) != 0) {
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "library", mend_install, "%s: %s", full,
			      strerror(errno));
		return;
	}
	d->installed = true;
	look_into_library(d, full, &st);
}

/* 32-bit programs, where there are any, find a library of their class. */
static bool both_classes(const char *root, bool line_for_both)
{
	const char *places[FA_SETUP_32_PLACES];
	int n = fa_setup_32bit_places(root, places);

	for (int i = 0; i < n; i++) {
		char full[PATH_MAX];

		if (!line_for_both || fa_setup_path(full, root, places[i]) ||
		    !fa_setup_is_32bit(full))
			return false;
	}
	return true;
}

void fa_doctor_line(struct fa_doctor *d)
{
	const char *root = d->cli->root;
	const char *library = fa_setup_library_path(root);
	char path[PATH_MAX];
	char *text = NULL;
	size_t len = 0;
	bool here, both;
	int r = fa_setup_path(path, root, FA_PATH_PRELOAD);

	if (!r)
		r = fa_read_file(path, 1 << 20, &text, &len);
	here = !r && fa_preload_has(text, len, library);
	both = !r && fa_preload_has(text, len, FA_SETUP_LINE_MULTI);
	free(text);
	if (r && r != -ENOENT)
		fa_doctor_say(d, FA_VERDICT_UNKNOWN, "line", NULL, "%s: %s", path, fa_strerror(r));
	else if (!here && !both)
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "line", mend_install,
			      "%s does not name the library: only `firstalloc run` traces", path);
	else if (!d->installed)
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "line", mend_install,
			      "%s names a library that is not there: every program prints a line",
			      path);
	else if (!both_classes(root, both))
		fa_doctor_say(d, FA_VERDICT_WARNING, "line", mend_install,
			      "32-bit programs print a line at each start");
	else
		fa_doctor_say(d, FA_VERDICT_OK, "line", NULL, "%s names it", path);
}

/* -------- registry -------- */

/* The rules that are published are those of the database: same ids, images and flags. */
static bool same_rules(const struct fa_rule_list *a, const struct fa_rule_list *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		bool found = false;

		for (uint32_t k = 0; k < b->count && !found; k++)
			found = a->rule[i].id == b->rule[k].id &&
				a->rule[i].flags == b->rule[k].flags &&
				!strcmp(a->rule[i].image, b->rule[k].image);
		if (!found)
			return false;
	}
	return true;
}

static void compare_database(struct fa_doctor *d, const struct fa_published *published)
{
	FA_CLEANUP(fa_registry_close) struct fa_registry *registry = NULL;
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list rules = {0};
	int r = fa_registry_open(d->cli->root, FA_REGISTRY_READ, &registry);

	if (!r)
		r = fa_registry_list(registry, NULL, &rules);
	if (r == -EACCES || r == -EPERM)
		fa_doctor_say(d, FA_VERDICT_UNKNOWN, "database", NULL,
			      "only root and the group %s can look", FA_GROUP);
	else if (r == -ENOENT)
		fa_doctor_say(d, FA_VERDICT_WARNING, "database", "the next command makes it",
			      "%s is not there", FA_PATH_DB);
	else if (r == -EBADMSG)
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "database",
			      "move it away; the next command rebuilds it from the index",
			      "%s%s is damaged", d->cli->root, FA_PATH_DB);
	else if (r)
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "database", NULL, "%s%s: %s", d->cli->root,
			      FA_PATH_DB, fa_strerror(r));
	else if (published && !same_rules(&rules, &published->rules))
		fa_doctor_say(d, FA_VERDICT_WARNING, "database",
			      "the next command or firstallocd publishes it",
			      "its %u rules are not those of the index", rules.count);
	else
		fa_doctor_say(d, FA_VERDICT_OK, "database", NULL, "%u rule%s", rules.count,
			      rules.count == 1 ? "" : "s");
}

static void look_into_index(struct fa_doctor *d, const struct fa_published *published)
{
	char path[PATH_MAX];
	struct stat st;

	if (fa_setup_path(path, d->cli->root, FA_PATH_INDEX) || stat(path, &st) != 0)
		return;
	if (!(st.st_mode & 0004))
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "index", mend_install,
			      "%s cannot be read by all users", path);
	else if (d->machine && (st.st_mode & 0022))
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "index", mend_install,
			      "%s can be written by others than root", path);
	else
		fa_doctor_say(d, FA_VERDICT_OK, "index", NULL,
			      "generation %llu, %u rule%s, %u bytes",
			      (unsigned long long)published->generation, published->rules.count,
			      published->rules.count == 1 ? "" : "s", published->size);
}

void fa_doctor_registry(struct fa_doctor *d)
{
	FA_CLEANUP(fa_published_done) struct fa_published published = {0};
	int r = fa_registry_published(d->cli->root, &published);

	if (r == -ENOENT)
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "index", mend_install,
			      "%s%s is not there: nothing is flagged", d->cli->root, FA_PATH_INDEX);
	else if (r)
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "index",
			      "any change of a rule publishes a new one",
			      "%s%s: %s: nothing is flagged", d->cli->root, FA_PATH_INDEX,
			      fa_strerror(r));
	else
		look_into_index(d, &published);
	compare_database(d, r ? NULL : &published);
}

void fa_doctor_switch(struct fa_doctor *d)
{
	uint32_t off = fa_registry_off(d->cli->root);
	char how[PATH_MAX + 200];

	if (off & FA_OFF_KERNEL)
		fa_doctor_say(d, FA_VERDICT_WARNING, "switch", "boot without that word",
			      "no program is traced: %s",
			      fa_off_text(how, sizeof(how), d->cli->root, off));
	else if (off)
		fa_doctor_say(d, FA_VERDICT_WARNING, "switch", "run: sudo firstalloc on",
			      "no program is traced: %s",
			      fa_off_text(how, sizeof(how), d->cli->root, off));
}

/* -------- doorbell, account, settings, daemon -------- */

void fa_doctor_bell(struct fa_doctor *d)
{
	char path[PATH_MAX], folder[PATH_MAX];
	struct stat st, folder_st;

	if (fa_setup_path(path, d->cli->root, FA_PATH_BELL) ||
	    fa_setup_path(folder, d->cli->root, "/etc/firstalloc/door") || stat(path, &st) != 0 ||
	    stat(folder, &folder_st) != 0)
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "doorbell", mend_install, "%s: %s", path,
			      strerror(errno));
	else if (!S_ISREG(st.st_mode) || (st.st_mode & 0444) != 0444 ||
		 (folder_st.st_mode & 0111) != 0111)
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "doorbell", mend_install,
			      "%s is not a file that all users can open", path);
	else if (d->machine && ((st.st_mode | folder_st.st_mode) & 0022))
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "doorbell", mend_install,
			      "%s can be changed by others than root", path);
	else
		fa_doctor_say(d, FA_VERDICT_OK, "doorbell", NULL, "%s", path);
}

void fa_doctor_account(struct fa_doctor *d)
{
	bool user = fa_accounts_has_user(FA_USER);
	bool group = getgrnam(FA_GROUP) != NULL;

	if (!d->machine)
		return;
	if (!user)
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "account", mend_install,
			      "user %s is missing: the collector has nobody to run as", FA_USER);
	else if (!group)
		fa_doctor_say(d, FA_VERDICT_WARNING, "account", mend_install,
			      "group %s is missing: only root changes rules", FA_GROUP);
	else
		fa_doctor_say(d, FA_VERDICT_OK, "account", NULL, "user %s, group %s", FA_USER,
			      FA_GROUP);
}

void fa_doctor_config(struct fa_doctor *d)
{
	static struct fa_config config;
	int r = fa_config_read(d->cli->root, &config);

	if (r) {
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "settings", NULL, "%s%s: %s", d->cli->root,
			      FA_PATH_INI, fa_strerror(r));
		return;
	}
	for (int i = 0; i < config.problems; i++)
		fa_doctor_say(d, FA_VERDICT_WARNING, "settings", NULL, "%s", config.problem[i]);
	if (!config.problems)
		fa_doctor_say(d, FA_VERDICT_OK, "settings", NULL, "%d autologger%s",
			      config.autologgers, config.autologgers == 1 ? "" : "s");
}

static int try_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	FA_CLEANUP(fa_close) int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
}

void fa_doctor_daemon(struct fa_doctor *d)
{
	char path[PATH_MAX];
	int r = fa_setup_path(path, d->cli->root, FA_PATH_CONTROL);

	if (!r)
		r = try_connect(path);
	if (!r)
		fa_doctor_say(d, FA_VERDICT_OK, "daemon", NULL, "firstallocd answers on %s", path);
	else if (r == -ENOENT || r == -ECONNREFUSED)
		fa_doctor_say(d, FA_VERDICT_WARNING, "daemon", "firstalloc start starts it",
			      "firstallocd is not running");
	else
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "daemon", NULL, "%s: %s", path,
			      fa_strerror(r));
}
