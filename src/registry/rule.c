/* rule.c - rows of the table `rule`: check, put, remove, list. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/package_format.h"
#include "registry/registry_internal.h"

static const char *text_or_empty(const char *s)
{
	return s == NULL ? "" : s;
}

void fa_rule_done(struct fa_rule *rule)
{
	free((void *)rule->image);
	free((void *)rule->path);
	free((void *)rule->package);
	free((void *)rule->note);
	free((void *)rule->who);
	*rule = (struct fa_rule){0};
}

void fa_rule_list_done(struct fa_rule_list *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		fa_rule_done(&list->rule[i]);
	free(list->rule);
	*list = (struct fa_rule_list){0};
}

void fa_rule_list_drop_expired(struct fa_rule_list *list)
{
	const uint64_t now = fa_registry_now();
	uint32_t kept = 0;

	for (uint32_t i = 0; i < list->count; i++) {
		if (list->rule[i].expires != 0 && list->rule[i].expires <= now)
			fa_rule_done(&list->rule[i]);
		else
			list->rule[kept++] = list->rule[i];
	}
	list->count = kept;
}

int fa_rule_list_add(struct fa_rule_list *list, struct fa_rule *rule)
{
	/* Doubles whenever the count is a power of two; no capacity to store. */
	if ((list->count & (list->count - 1)) == 0) {
		size_t cap = list->count == 0 ? 1 : (size_t)list->count * 2;
		struct fa_rule *grown = realloc(list->rule, cap * sizeof(*grown));

		if (grown == NULL) {
			fa_rule_done(rule);
			return -ENOMEM;
		}
		list->rule = grown;
	}
	list->rule[list->count++] = *rule;
	*rule = (struct fa_rule){0};
	return 0;
}

/* The database says the same with CHECK; here too, because a NUL or a length is lost on the way. */
int fa_rule_validate(const struct fa_rule *r)
{
	const char *image = text_or_empty(r->image), *path = text_or_empty(r->path);

	if (*image == '\0' || strchr(image, '/') != NULL || strlen(image) > FA_IMAGE_MAX ||
	    strcmp(image, ".") == 0 || strcmp(image, "..") == 0)
		return -EINVAL;
	if ((*path != '\0' && *path != '/') || strlen(path) >= PATH_MAX)
		return -EINVAL;
	if (strlen(text_or_empty(r->package)) >= PATH_MAX ||
	    strlen(text_or_empty(r->note)) > FA_NOTE_MAX)
		return -EINVAL;
	if (r->flags == 0 || r->depth < 1 || r->depth > FA_DEPTH_MAX || r->stacks > 7 ||
	    r->stamp > FA_STAMP_NONE || r->expires > INT64_MAX)
		return -EINVAL;
	return 0;
}

static int copy_text(struct fa_stmt *st, int column, const char **ret)
{
	const char *text = fa_db_text(st, column);

	if (text == NULL)
		return 0;
	*ret = strdup(text);
	return *ret == NULL ? -ENOMEM : 0;
}

int fa_rule_from_row(struct fa_stmt *st, int c, struct fa_rule *ret)
{
	struct fa_rule r = {
		.uid = (uint32_t)fa_db_int(st, c + 3),
		.flags = (uint32_t)fa_db_int(st, c + 4),
		.options = (uint32_t)fa_db_int(st, c + 5),
		.depth = (uint32_t)fa_db_int(st, c + 6),
		.stacks = (uint32_t)fa_db_int(st, c + 7),
		.stamp = (uint32_t)fa_db_int(st, c + 8),
		.expires = (uint64_t)fa_db_int(st, c + 9),
		.starts_left = (uint32_t)fa_db_int(st, c + 10),
		.when = (uint64_t)fa_db_int(st, c + 13),
	};

	if (copy_text(st, c, &r.image) < 0 || copy_text(st, c + 1, &r.path) < 0 ||
	    copy_text(st, c + 2, &r.package) < 0 || copy_text(st, c + 11, &r.note) < 0 ||
	    copy_text(st, c + 12, &r.who) < 0) {
		fa_rule_done(&r);
		return -ENOMEM;
	}
	*ret = r;
	return 0;
}

/* Plain INSERT or UPDATE and not INSERT OR REPLACE: that would give the rule a new id and delete
 * without firing the trigger that writes history. */
int fa_rule_insert(struct fa_db *db, const struct fa_rule *r)
{
	return fa_db_run(
		db,
		"INSERT INTO rule (image, path, package, uid, flags, options, depth, stacks, "
		"stamp, expires, starts_left, note, who, at) "
		"VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14) "
		"ON CONFLICT (image, path, package, uid) DO UPDATE SET flags=?5, options=?6, "
		"depth=?7, stacks=?8, stamp=?9, expires=?10, starts_left=?11, note=?12, who=?13, "
		"at=?14",
		"tttiiiiiiiitti", text_or_empty(r->image), text_or_empty(r->path),
		text_or_empty(r->package), (int64_t)r->uid, (int64_t)r->flags, (int64_t)r->options,
		(int64_t)r->depth, (int64_t)r->stacks, (int64_t)r->stamp, (int64_t)r->expires,
		(int64_t)r->starts_left, text_or_empty(r->note), r->who, (int64_t)r->when);
}

int fa_rules_drop_expired(struct fa_db *db)
{
	int64_t now = (int64_t)fa_registry_now();
	int r = fa_db_run(db, "DELETE FROM rule WHERE expires <> 0 AND expires <= ?1", "i", now);

	if (r < 0 || fa_db_changes(db) == 0)
		return r;
	return fa_db_run(db,
			 "UPDATE history SET action = 'expire', signer = 'firstalloc' WHERE "
			 "action = 'disable' AND signer IS NULL AND expires <> 0 AND expires <= ?1 "
			 "AND time >= expires",
			 "i", now);
}

struct put {
	const struct fa_rule *rule;
	bool replaced;
	uint32_t id;
};

static int find_same(struct fa_db *db, const struct fa_rule *r, uint32_t *ret_id)
{
	FA_CLEANUP(fa_db_finish) struct fa_stmt *st = NULL;
	int e = fa_db_query(db, &st,
			    "SELECT id FROM rule WHERE image=?1 AND path=?2 AND package=?3 AND "
			    "uid=?4",
			    "ttti", r->image, text_or_empty(r->path), text_or_empty(r->package),
			    (int64_t)r->uid);

	if (e == 0)
		e = fa_db_step(st);
	if (e == 1)
		*ret_id = (uint32_t)fa_db_int(st, 0);
	return e;
}

/* Of the same scope, for single users: see fa_registry_disarm(). */
static int rearm_all(struct fa_db *db, const struct fa_rule *r)
{
	return fa_db_run(db,
			 "DELETE FROM rule WHERE image = ?1 AND path = ?2 AND package = ?3 AND "
			 "who = 'firstalloc' AND (options & ?4) <> 0",
			 "ttti", r->image, text_or_empty(r->path), text_or_empty(r->package),
			 (int64_t)FA_RULE_DISARMED);
}

static int do_put(struct fa_registry *reg, void *arg)
{
	struct put *put = arg;
	int r = find_same(reg->db, put->rule, &put->id);

	if (r < 0)
		return r;
	put->replaced = r == 1;
	r = fa_rule_insert(reg->db, put->rule);
	if (r == 0 && put->rule->uid == FA_USER_ANY)
		r = rearm_all(reg->db, put->rule);
	if (r == 0 && !put->replaced)
		r = find_same(reg->db, put->rule, &put->id);
	return r < 0 ? r : 0;
}

int fa_registry_put(struct fa_registry *reg, const struct fa_rule *rule, const char *who,
		    bool *ret_replaced, uint32_t *ret_id)
{
	struct fa_rule signed_rule = *rule;
	struct put put = {.rule = &signed_rule};
	char self[96];
	int r = fa_rule_validate(rule);

	/* Here alone: what a later version has put there is published, and matches nothing in this one. */
	if (r == 0 && *text_or_empty(rule->package) != '\0')
		r = fa_package_check(rule->package);
	if (r < 0)
		return r;
	signed_rule.who = who != NULL ? who : fa_registry_who(self, sizeof(self));
	signed_rule.when = fa_registry_now();
	r = fa_registry_change(reg, signed_rule.who, do_put, &put);
	if (r < 0)
		return r;
	if (ret_replaced != NULL)
		*ret_replaced = put.replaced;
	if (ret_id != NULL)
		*ret_id = put.id;
	return 0;
}

#define FILTER                                                                                     \
	" WHERE (?1 IS NULL OR image = ?1) AND (?2 IS NULL OR path = ?2) AND (?3 IS NULL OR "      \
	"package = ?3) AND (?4 < 0 OR uid = ?4)"

struct removal {
	const struct fa_rule_filter *filter;
	uint32_t removed;
};

static int do_remove(struct fa_registry *reg, void *arg)
{
	struct removal *removal = arg;
	const struct fa_rule_filter *f = removal->filter;
	int r = fa_db_run(reg->db, "DELETE FROM rule" FILTER, "ttti", f->image, f->path, f->package,
			  f->has_uid ? (int64_t)f->uid : (int64_t)-1);

	if (r == 0)
		removal->removed = (uint32_t)fa_db_changes(reg->db);
	return r;
}

int fa_registry_remove(struct fa_registry *reg, const struct fa_rule_filter *filter,
		       const char *who, uint32_t *ret_removed)
{
	struct removal removal = {.filter = filter};
	int r = fa_registry_change(reg, who, do_remove, &removal);

	if (r == 0)
		*ret_removed = removal.removed;
	return r;
}

int fa_registry_list(struct fa_registry *reg, const struct fa_rule_filter *filter,
		     struct fa_rule_list *ret)
{
	FA_CLEANUP(fa_db_finish) struct fa_stmt *st = NULL;
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list list = {0};
	static const struct fa_rule_filter all;
	const struct fa_rule_filter *f = filter == NULL ? &all : filter;
	int r = fa_db_query(reg->db, &st,
			    "SELECT id, " FA_RULE_COLUMNS " FROM rule" FILTER
			    " AND (expires = 0 OR expires > ?5) ORDER BY image, package = '', "
			    "path = '', uid = 4294967295, id",
			    "tttii", f->image, f->path, f->package,
			    f->has_uid ? (int64_t)f->uid : (int64_t)-1, (int64_t)fa_registry_now());

	while (r == 0 && (r = fa_db_step(st)) == 1) {
		struct fa_rule rule;

		r = fa_rule_from_row(st, 1, &rule);
		if (r < 0)
			return r;
		rule.id = (uint32_t)fa_db_int(st, 0);
		r = fa_rule_list_add(&list, &rule);
	}
	if (r < 0)
		return r;
	*ret = list;
	list = (struct fa_rule_list){0};
	return 0;
}

struct starts {
	uint32_t id;
	uint32_t count;
	uint32_t left;
};

static int last_starts(struct fa_registry *reg, void *arg)
{
	const struct starts *s = arg;
	int r = fa_db_run(reg->db,
			  "DELETE FROM rule WHERE id = ?1 AND starts_left BETWEEN 1 AND ?2", "ii",
			  (int64_t)s->id, (int64_t)s->count);

	if (r < 0)
		return r;
	if (fa_db_changes(reg->db) == 0)
		return -ENOENT;
	return fa_db_run(reg->db,
			 "UPDATE history SET action = 'starts' WHERE action = 'disable' AND "
			 "signer IS NULL AND rule = ?1",
			 "i", (int64_t)s->id);
}

/* One statement, no publication: what the gate reads does not change. */
static int earlier_starts(struct fa_registry *reg, struct starts *s)
{
	FA_CLEANUP(fa_db_finish) struct fa_stmt *st = NULL;
	int r = fa_db_query(reg->db, &st,
			    "UPDATE rule SET starts_left = starts_left - ?2 WHERE id = ?1 AND "
			    "starts_left > ?2 RETURNING starts_left",
			    "ii", (int64_t)s->id, (int64_t)s->count);

	if (r == 0)
		r = fa_db_step(st);
	if (r < 0)
		return r;
	if (r == 0)
		return -ENOENT;
	s->left = (uint32_t)fa_db_int(st, 0);
	return fa_db_step(st);
}

int fa_registry_count_starts(struct fa_registry *reg, uint32_t rule_id, uint32_t count,
			     uint32_t *ret_left)
{
	struct starts starts = {.id = rule_id, .count = count};
	int r = fa_registry_lock(reg);

	if (r < 0)
		return r;
	r = earlier_starts(reg, &starts);
	fa_registry_unlock(reg);
	if (r == -ENOENT)
		r = fa_registry_change(reg, "firstalloc", last_starts, &starts);
	if (r < 0)
		return r;
	*ret_left = starts.left;
	return 0;
}

/* Any user can make it one more: the index has room for all, and one user takes no other's. Root's are
 * as many as there are rules. */
enum { DISARMED_MAX = 64, DISARMED_PER_USER = 8 };

struct disarm {
	uint32_t id;
	uint32_t uid;
	const char *why;
};

static int disarm_own(struct fa_db *db, const struct disarm *d)
{
	return fa_db_run(db,
			 "UPDATE rule SET options = options | ?3, note = substr(?4 || CASE note WHEN '' "
			 "THEN '' ELSE '; before: ' || note END, 1, 900) "
			 "WHERE id = ?1 AND uid = ?2 AND (options & ?3) = 0",
			 "iiit", (int64_t)d->id, (int64_t)d->uid, (int64_t)FA_RULE_DISARMED, d->why);
}

static int disarm_user(struct fa_db *db, const struct disarm *d)
{
	return fa_db_run(
		db,
		"INSERT INTO rule (image, path, package, uid, flags, options, depth, stacks, stamp, "
		"expires, note, who) SELECT image, path, package, ?2, flags, options | ?3, depth, "
		"stacks, stamp, expires, ?4, 'firstalloc' FROM rule WHERE id = ?1 AND uid <> ?2 "
		"AND (options & ?3) = 0 ON CONFLICT DO NOTHING",
		"iiit", (int64_t)d->id, (int64_t)d->uid, (int64_t)FA_RULE_DISARMED, d->why);
}

/* May there be a disarmed rule more? Only those count that were made for it: others are there anyway. */
static int check_room(struct fa_db *db, uint32_t uid)
{
	FA_CLEANUP(fa_db_finish) struct fa_stmt *st = NULL;
	int r;

	if (uid == 0)
		return 0;
	r = fa_db_query(db, &st,
			"SELECT count(*), count(*) FILTER (WHERE uid = ?1) FROM rule WHERE "
			"(options & ?2) <> 0 AND uid <> 0 AND who = 'firstalloc'",
			"ii", (int64_t)uid, (int64_t)FA_RULE_DISARMED);
	if (r == 0)
		r = fa_db_step(st);
	if (r < 0)
		return r;
	return fa_db_int(st, 0) < DISARMED_MAX && fa_db_int(st, 1) < DISARMED_PER_USER ? 0 : -EDQUOT;
}

static int do_disarm(struct fa_registry *reg, void *arg)
{
	const struct disarm *d = arg;
	int r = disarm_own(reg->db, d);

	if (r == 0 && fa_db_changes(reg->db) == 0) {
		r = check_room(reg->db, d->uid);
		if (r == 0)
			r = disarm_user(reg->db, d);
	}
	if (r == 0 && fa_db_changes(reg->db) == 0)
		r = -EALREADY;
	if (r < 0)
		return r;
	return fa_db_run(reg->db,
			 "UPDATE history SET action = 'disarm' WHERE id = (SELECT max(id) FROM "
			 "history) AND signer IS NULL",
			 "");
}

int fa_registry_disarm(struct fa_registry *reg, uint32_t rule_id, uint32_t uid, const char *why)
{
	struct disarm d = {.id = rule_id, .uid = uid, .why = why};

	return fa_registry_change(reg, "firstalloc", do_disarm, &d);
}
