/* rules.c - what the commands about rules share: opening, errors, texts, JSON. */
#include "cli/rules.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/paths.h"
#include "cli/words.h"

static int fail_damaged(const struct fa_cli *cli)
{
	return fa_fail(
		FA_EXIT_FAILED,
		"%s%s is damaged; what is armed stays as published in %s%s. To rebuild: move "
		"the file away (mv %s%s{,.damaged}), the next command makes a new one from "
		"the published rules; notes and history are lost unless 'sqlite3 "
		"registry.db.damaged .recover' finds them",
		cli->root, FA_PATH_DB, cli->root, FA_PATH_INDEX, cli->root, FA_PATH_DB);
}

static int fail_denied(const struct fa_cli *cli)
{
	return fa_fail(FA_EXIT_DENIED, "%s: %s%s cannot be changed by this user; run it as root",
		       cli->command, cli->root, FA_DIR_STATE);
}

int fa_rules_fail(const struct fa_cli *cli, int r)
{
	switch (-r) {
	case EACCES:
	case EPERM:
		return fail_denied(cli);
	case EBADMSG:
	case ENOTDIR:
	case EISDIR:
		return fail_damaged(cli);
	case EROFS:
		return fa_fail(FA_EXIT_DENIED, "%s: %s%s is on a read-only file system",
			       cli->command, cli->root, FA_DIR_STATE);
	case EPROTONOSUPPORT:
	case ESTALE:
		return fa_fail(FA_EXIT_FAILED, "%s%s: %s", cli->root, FA_PATH_DB, fa_strerror(r));
	case E2BIG:
		return fa_fail(FA_EXIT_FAILED,
			       "%s: refused: the published rules would exceed %u bytes, the most "
			       "that a starting program reads; disable some first",
			       cli->command, FA_INDEX_MAX);
	case EBUSY:
	case ETIMEDOUT:
		return fa_fail(FA_EXIT_FAILED,
			       "%s: another process holds the registry (%s%s); nothing was "
			       "changed, try again",
			       cli->command, cli->root, FA_PATH_LOCK);
	case ENOENT:
		return fa_fail(FA_EXIT_NOT_FOUND, "%s: there is no registry in %s%s yet",
			       cli->command, cli->root, FA_DIR_STATE);
	default:
		return fa_fail(FA_EXIT_FAILED, "%s: %s%s: %s", cli->command, cli->root, FA_PATH_DB,
			       fa_strerror(r));
	}
}

static bool may_not_write(int r)
{
	return r == -EACCES || r == -EPERM || r == -EROFS;
}

/* A query makes no registry where there is none, unless there are published rules to save. */
static bool nothing_there(const struct fa_cli *cli)
{
	char db[4096], index[4096];

	(void)snprintf(db, sizeof(db), "%s%s", cli->root, FA_PATH_DB);
	(void)snprintf(index, sizeof(index), "%s%s", cli->root, FA_PATH_INDEX);
	return access(db, F_OK) < 0 && errno == ENOENT && access(index, F_OK) < 0;
}

/* -errno; *ret stays NULL where there is nothing. */
static int open_query(const struct fa_cli *cli, struct fa_registry **ret)
{
	int r;

	if (nothing_there(cli))
		return 0;
	r = fa_registry_open(cli->root, FA_REGISTRY_WRITE, ret);
	if (may_not_write(r))
		r = fa_registry_open(cli->root, FA_REGISTRY_READ, ret);
	return r;
}

int fa_rules_open_query(const struct fa_cli *cli, struct fa_registry **ret)
{
	int r = open_query(cli, ret);

	if (may_not_write(r))
		return fa_fail(FA_EXIT_DENIED,
			       "%s: %s%s cannot be read by this user; run it as root or as a "
			       "member of the group %s",
			       cli->command, cli->root, FA_PATH_DB, FA_GROUP);
	return r < 0 ? fa_rules_fail(cli, r) : 0;
}

static int load_published(const struct fa_cli *cli, struct fa_rule_list *ret)
{
	struct fa_published p = {0};
	int r = fa_registry_published(cli->root, &p);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return fa_fail(fa_exit_of(r), "%s%s: %s", cli->root, FA_PATH_INDEX, fa_strerror(r));
	fa_warn("the registry cannot be read by this user: shown is what is published, without "
		"notes, people and counted starts");
	fa_rule_list_drop_expired(&p.rules);
	*ret = p.rules;
	return 0;
}

int fa_rules_load(const struct fa_cli *cli, struct fa_rule_list *ret)
{
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = NULL;
	int r = open_query(cli, &reg);

	if (may_not_write(r))
		return load_published(cli, ret);
	if (r == 0 && reg != NULL)
		r = fa_registry_list(reg, NULL, ret);
	return r < 0 ? fa_rules_fail(cli, r) : 0;
}

int fa_rules_user(const char *text, uint32_t *ret_uid)
{
	const struct passwd *pw;
	uint32_t uid;

	if (strcmp(text, "self") == 0) {
		const char *sudo = getuid() == 0 ? getenv("SUDO_UID") : NULL;

		*ret_uid = sudo != NULL && fa_parse_u32(sudo, &uid) == 0 ? uid : getuid();
		return 0;
	}
	if (fa_parse_u32(text, &uid) == 0) {
		if (uid == FA_USER_ANY)
			return -EINVAL;
		*ret_uid = uid;
		return 0;
	}
	pw = getpwnam(text);
	if (pw == NULL)
		return -ENOENT;
	*ret_uid = pw->pw_uid;
	return 0;
}

char *fa_rules_options_text(char *buf, size_t size, uint32_t options)
{
	int used;

	if (options == 0) {
		buf[0] = '\0';
		return buf;
	}
	if ((options & FA_RULE_TABLE_MB) == 0)
		return fa_words_text(buf, size, options, fa_option_words);
	used = snprintf(buf, size, "table-of-%uM", options >> FA_RULE_TABLE_SHIFT & 0xfff);
	options &= ~(uint32_t)FA_RULE_TABLE_MB;
	if (options != 0) {
		buf[used] = ',';
		(void)fa_words_text(buf + used + 1, size - (size_t)used - 1, options, fa_option_words);
	}
	return buf;
}

char *fa_rules_user_text(char *buf, size_t size, uint32_t uid)
{
	const struct passwd *pw = uid == FA_USER_ANY ? NULL : getpwuid(uid);

	if (uid == FA_USER_ANY)
		(void)snprintf(buf, size, "any");
	else if (pw != NULL)
		(void)snprintf(buf, size, "%s", pw->pw_name);
	else
		(void)snprintf(buf, size, "%u", uid);
	return buf;
}

char *fa_rules_scope_text(char *buf, size_t size, const struct fa_rule *r)
{
	FA_CLEANUP(fa_buf_done) struct fa_buf b = {0};
	char user[80];

	if (r->package != NULL && *r->package != '\0')
		fa_buf_printf(&b, "%s", r->package);
	if (r->path != NULL && *r->path != '\0')
		fa_buf_printf(&b, "%s%s", b.len > 0 ? ", " : "", r->path);
	if (r->uid != FA_USER_ANY)
		fa_buf_printf(&b, "%suser %s", b.len > 0 ? ", " : "",
			      fa_rules_user_text(user, sizeof(user), r->uid));
	(void)snprintf(buf, size, "%s", b.len > 0 ? b.data : "");
	return buf;
}

char *fa_rules_end_text(char *buf, size_t size, const struct fa_rule *r)
{
	const uint64_t now = fa_real_ns() / 1000000000u;
	char in[40] = "", starts[40] = "";

	if (r->expires > now && r->expires - now < UINT64_MAX / 1000000000u) {
		(void)strcpy(in, "in ");
		(void)fa_format_duration(in + 3, sizeof(in) - 3, (r->expires - now) * 1000000000u);
	} else if (r->expires != 0) {
		(void)strcpy(in, r->expires > now ? "in ages" : "ended");
	}
	if (r->starts_left != 0)
		(void)snprintf(starts, sizeof(starts), "after %u start%s", r->starts_left,
			       r->starts_left == 1 ? "" : "s");
	(void)snprintf(buf, size, "%s%s%s", in, *in != '\0' && *starts != '\0' ? ", " : "", starts);
	return buf;
}

static void string_or_null(struct fa_json *j, const char *key, const char *value)
{
	fa_json_string(j, key, value != NULL && *value != '\0' ? value : NULL);
}

static void list_of(struct fa_json *j, const char *key, char *comma_separated)
{
	char *rest = NULL;

	fa_json_array(j, key);
	for (char *s = strtok_r(comma_separated, ",", &rest); s; s = strtok_r(NULL, ",", &rest))
		if (strcmp(s, "none") != 0)
			fa_json_string(j, NULL, s);
	fa_json_end_array(j);
}

void fa_rules_json(struct fa_json *j, const char *key, const struct fa_rule *r)
{
	char text[96];

	fa_json_object(j, key);
	fa_json_u64(j, "id", r->id);
	fa_json_string(j, "image", r->image);
	string_or_null(j, "path", r->path);
	string_or_null(j, "package", r->package);
	if (r->uid == FA_USER_ANY) {
		fa_json_null(j, "uid");
		fa_json_null(j, "user");
	} else {
		fa_json_u64(j, "uid", r->uid);
		fa_json_string(j, "user", fa_rules_user_text(text, sizeof(text), r->uid));
	}
	fa_json_u64(j, "tracing_flags", r->flags);
	list_of(j, "flags", fa_words_text(text, sizeof(text), r->flags, fa_flag_words));
	list_of(j, "options", fa_rules_options_text(text, sizeof(text), r->options));
	fa_json_u64(j, "depth", r->depth);
	list_of(j, "stacks", fa_words_text(text, sizeof(text), r->stacks, fa_stack_words));
	fa_json_string(j, "stamp", fa_stamp_text(r->stamp));
	if (r->expires != 0)
		fa_json_u64(j, "expires", r->expires);
	else
		fa_json_null(j, "expires");
	if (r->starts_left != 0)
		fa_json_u64(j, "starts_left", r->starts_left);
	else
		fa_json_null(j, "starts_left");
	string_or_null(j, "note", r->note);
	string_or_null(j, "who", r->who);
	if (r->when != 0)
		fa_json_u64(j, "when", r->when);
	else
		fa_json_null(j, "when");
	fa_json_end_object(j);
}

int fa_rules_not_found(const struct fa_rule_list *all, const char *name)
{
	const char **names = calloc(all->count + 1u, sizeof(*names));
	const char *near = NULL;

	for (uint32_t i = 0; names != NULL && i < all->count; i++)
		names[i] = all->rule[i].image;
	if (names != NULL)
		near = fa_did_you_mean(name, names, (int)all->count);
	free(names);
	if (near != NULL)
		return fa_fail(FA_EXIT_NOT_FOUND, "no rule for '%s'; did you mean '%s'?", name,
			       near);
	return fa_fail(FA_EXIT_NOT_FOUND,
		       "no rule for '%s'; 'firstalloc images' lists what is armed", name);
}
