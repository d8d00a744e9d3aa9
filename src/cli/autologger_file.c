/* autologger_file.c - drop-ins of autologgers, and what has to follow them. See boot.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/paths.h"
#include "cli/boot.h"
#include "cli/client.h"
#include "cli/stage.h"
#include "registry/registry.h"

enum { DROP_IN_MAX = 16384, KEYS_MAX = 64 };

void fa_boot_free(void *p)
{
	free(*(void **)p);
}

int fa_drop_in_path(const struct fa_cli *cli, const char *prefix, const char *name, char *buf, size_t size)
{
	char dir[512];
	int e = fa_path_join(dir, sizeof(dir), cli->root, FA_DIR_INI);

	if (e == 0 && snprintf(buf, size, "%s/%s%s.ini", dir, prefix, name) >= (int)size)
		e = -ENAMETOOLONG;
	return e < 0 ? fa_fail((int)fa_exit_of(e), "%s: %s", name, fa_strerror(e)) : 0;
}

int fa_drop_in_write(const struct fa_cli *cli, const char *prefix, const char *name, const char *by,
		     const char *text)
{
	char dir[512], path[700], body[DROP_IN_MAX];
	int n, e = fa_path_join(dir, sizeof(dir), cli->root, FA_DIR_INI);

	if (fa_drop_in_path(cli, prefix, name, path, sizeof(path)) != 0)
		return FA_EXIT_FAILED;
	n = snprintf(body, sizeof(body), "; Written by 'firstalloc %s'.\n%s", by, text);
	if (n >= (int)sizeof(body))
		e = -E2BIG;
	if (e == 0)
		e = fa_make_dirs(dir, 0755);
	if (e == 0)
		e = fa_replace_file(path, body, (size_t)n, 0644);
	return e < 0 ? fa_fail((int)fa_exit_of(e), "%s: %s", path, fa_strerror(e)) : 0;
}

/* Keys with their values, in the order in which they came. */
struct keys {
	char line[KEYS_MAX][400]; /* "KEY = VALUE" */
	int count;
};

static void put_key(struct keys *k, const char *key, size_t len, const char *value)
{
	int i = 0;

	while (i < k->count && (strncmp(k->line[i], key, len) != 0 || k->line[i][len] != ' '))
		i++;
	if (*value == '\0') {
		if (i < k->count)
			memmove(k->line[i], k->line[i + 1], (size_t)(--k->count - i) * sizeof(k->line[0]));
		return;
	}
	if (i == KEYS_MAX)
		return; /* there are not so many keys */
	(void)snprintf(k->line[i], sizeof(k->line[i]), "%.*s = %s", (int)len, key, value);
	k->count += i == k->count;
}

/* What we have written there before. */
static void read_keys(struct keys *k, char *text)
{
	char *line;

	while ((line = strsep(&text, "\n")) != NULL) {
		char *value = strstr(line, " = ");

		if (line[0] != ';' && line[0] != '[' && value != NULL)
			put_key(k, line, (size_t)(value - line), value + 3);
	}
}

static int check_pair(const struct fa_cli *cli, const char *pair)
{
	const char *value = strchr(pair, '=');
	char key[64], why[500];

	if (value == NULL || value == pair)
		return fa_usage(cli, "'%s' is not KEY=VALUE", pair);
	(void)snprintf(key, sizeof(key), "%.*s", (int)(value - pair), pair);
	if (strlen(value) > 180 || strpbrk(value, "\n\r;") != NULL)
		return fa_usage(cli, "%s: at most 180 characters, without ';'", key);
	/* An empty one takes the key out; that there is such a key is said by any value's error. */
	if (fa_config_check_value(key, value + 1, why, sizeof(why)) < 0 &&
	    (value[1] != '\0' || strstr(why, "no such value") != NULL))
		return fa_usage(cli, "%s", why);
	return 0;
}

int fa_autologger_set(const struct fa_cli *cli, const char *name, int count, char **pairs)
{
	FA_CLEANUP(fa_boot_free) char *text = NULL;
	FA_CLEANUP(fa_boot_free) struct keys *k = calloc(1, sizeof(*k));
	char path[700], body[DROP_IN_MAX];
	size_t len, at;
	int e = 0;

	for (int i = 0; i < count && e == 0; i++)
		e = check_pair(cli, pairs[i]);
	if (e == 0)
		e = fa_drop_in_path(cli, "zz-", name, path, sizeof(path));
	if (e != 0)
		return e;
	if (k == NULL)
		return fa_fail(FA_EXIT_FAILED, "%s", fa_strerror(-ENOMEM));
	if (fa_read_file(path, DROP_IN_MAX, &text, &len) == 0)
		read_keys(k, text);
	for (int i = 0; i < count; i++) {
		const char *value = strchr(pairs[i], '=');

		put_key(k, pairs[i], (size_t)(value - pairs[i]), value + 1);
	}
	at = (size_t)snprintf(body, sizeof(body), "[Autologger %s]\n", name);
	for (int i = 0; i < k->count && at < sizeof(body); i++)
		at += (size_t)snprintf(body + at, sizeof(body) - at, "%s\n", k->line[i]);
	return fa_drop_in_write(cli, "zz-", name, "autologger", body);
}

/* Is any enabled? Then a flagged process records although no collector answers yet. And what Images names is flagged. */
static int publish(const struct fa_cli *cli, bool *ret_any)
{
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = NULL;
	FA_CLEANUP(fa_boot_free) struct fa_config *c = NULL;
	int e = fa_boot_config(cli, &c);

	if (e != 0)
		return e;
	for (int i = 0; i < c->autologgers; i++)
		*ret_any |= c->autologger[i].start && c->autologger[i].problem[0] == '\0';
	e = fa_registry_open(cli->root, FA_REGISTRY_WRITE, &reg);
	if (e == 0)
		e = fa_registry_follow(reg, c);
	return e < 0 ? fa_fail((int)fa_exit_of(e),
			       "the configuration is written, but the registry's index is not: %s",
			       fa_strerror(e))
		     : 0;
}

/* The unit starts at boot as long as there is something for it to do. */
static int switch_unit(const struct fa_cli *cli, bool any)
{
	int r = fa_client_enable_unit(cli, any);

	if (r < 0)
		return fa_fail(FA_EXIT_FAILED,
			       "the unit firstallocd.service could not be %s: "
			       "'systemctl %s firstallocd' says why",
			       any ? "enabled" : "disabled", any ? "enable" : "disable");
	if (r == 0 && any)
		fa_warn("there is no unit firstallocd.service: start firstallocd at boot yourself");
	return 0;
}

/* Where nobody says what is wanted, the earliest stage for which all is there. */
static int choose_stage(const struct fa_cli *cli, bool any, const char *stage, bool quiet)
{
	char buf[700];
	const char *lacks = fa_stage_lacks(cli->root, buf, sizeof(buf));
	bool early = any && (stage[0] != '\0' ? strcmp(stage, "initramfs") == 0 : lacks == NULL);
	int e = fa_stage_set_early(cli->root, early);

	if (e < 0)
		return fa_fail((int)fa_exit_of(e), "%s" FA_PATH_EARLY ": %s", cli->root, fa_strerror(e));
	if (early && lacks != NULL)
		fa_warn("not before PID 1 yet: %s", lacks);
	if (any && !quiet)
		printf("stage %s: %s\n", early ? "initramfs" : "service",
		       early ? "from the first process on"
			     : "all services are seen; PID 1, generators and mount helpers are not");
	return 0;
}

int fa_autologger_apply(const struct fa_cli *cli, const char *stage, bool quiet)
{
	bool any = false;
	int e = publish(cli, &any);

	if (e != 0 || stage == NULL)
		return e;
	e = choose_stage(cli, any, stage, quiet || cli->json);
	return e != 0 ? e : switch_unit(cli, any);
}
