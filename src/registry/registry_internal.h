/* registry_internal.h - what the files of this folder share. */
#ifndef FA_REGISTRY_INTERNAL_H
#define FA_REGISTRY_INTERNAL_H

#include <limits.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "registry/registry.h"

/* db.c: SQLite with errno. Statements are finished by fa_db_finish (for FA_CLEANUP). */
struct fa_db;
struct fa_stmt;

int fa_db_open(const char *path, bool write, struct fa_db **ret) FA_MUST_USE;
void fa_db_close(struct fa_db **db);
void fa_db_set_timeout(struct fa_db *db, unsigned milliseconds);
int fa_db_script(struct fa_db *db, const char *sql) FA_MUST_USE;
void fa_db_rollback(struct fa_db *db); /* fine without a transaction */
/* `types`: a letter an argument: t text (const char *, NULL is NULL), i int64_t. */
int fa_db_query(struct fa_db *db, struct fa_stmt **ret, const char *sql, const char *types,
		...) FA_MUST_USE;
int fa_db_run(struct fa_db *db, const char *sql, const char *types, ...) FA_MUST_USE;
/* The first column of the first row; -ENOENT without a row. */
int fa_db_number(struct fa_db *db, const char *sql, int64_t *ret) FA_MUST_USE;
int fa_db_step(struct fa_stmt *st) FA_MUST_USE; /* 1 a row, 0 no more, or -errno */
int64_t fa_db_int(struct fa_stmt *st, int column);
const char *fa_db_text(struct fa_stmt *st, int column); /* NULL for NULL; until the next step */
void fa_db_finish(struct fa_stmt **st);
int64_t fa_db_changes(struct fa_db *db);
int64_t fa_db_last_id(struct fa_db *db);

/* migrate.c: bring a database of any earlier version to the present one; inside a transaction. */
int fa_migrate(struct fa_db *db) FA_MUST_USE;
/* 0 when it is ours and of this version, 1 when it needs migration, -EBADMSG, -EPROTONOSUPPORT. */
int fa_schema_check(struct fa_db *db) FA_MUST_USE;

/* What a file was when it was looked at last. */
struct fa_file_mark {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct fa_registry {
	struct fa_db *db;
	bool write;
	unsigned timeout_ms;
	int lock_fd; /* -1 unless locked */
	char db_path[PATH_MAX];
	char index_path[PATH_MAX];
	char lock_path[PATH_MAX];
	uint64_t generation;
	/* fa_registry_check(): nothing to do while these hold */
	bool checked;
	int64_t data_version;
	uint64_t next_expiry; /* seconds, UINT64_MAX: none */
	struct fa_file_mark db_mark, index_mark;
};

/* registry.c */
uint64_t fa_registry_now(void); /* seconds */
int fa_registry_lock(struct fa_registry *reg) FA_MUST_USE;
void fa_registry_unlock(struct fa_registry *reg);
/*
 * One change: lock, begin, drop what has expired, do(reg, arg), sign the history, compile, write,
 * commit, rename, unlock. When do() fails nothing was changed.
 */
int fa_registry_change(struct fa_registry *reg, const char *who,
		       int (*change)(struct fa_registry *, void *), void *arg) FA_MUST_USE;

/* rule.c */
int fa_rule_validate(const struct fa_rule *rule) FA_MUST_USE;
int fa_rule_insert(struct fa_db *db, const struct fa_rule *rule) FA_MUST_USE;
/* The 15 columns of FA_RULE_COLUMNS from `column` on; texts are copies. */
#define FA_RULE_COLUMNS                                                                            \
	"image, path, package, uid, flags, options, depth, stacks, stamp, expires, starts_left, "  \
	"note, who, at"
int fa_rule_from_row(struct fa_stmt *st, int column, struct fa_rule *ret) FA_MUST_USE;
void fa_rule_done(struct fa_rule *rule);
int fa_rules_drop_expired(struct fa_db *db) FA_MUST_USE;
int fa_rule_list_add(struct fa_rule_list *list, struct fa_rule *rule) FA_MUST_USE; /* takes it */

/* index_build.c */
/* The bytes for the rules and flags of the database. -E2BIG above FA_INDEX_MAX. */
int fa_index_build(struct fa_db *db, struct fa_buf *ret, uint64_t *ret_generation,
		   uint64_t *ret_next_expiry) FA_MUST_USE;
int fa_index_write_new(const char *index_path, const struct fa_buf *bytes) FA_MUST_USE;
int fa_sync_folder_of(const char *path) FA_MUST_USE; /* makes a rename durable */
int fa_index_install_new(const char *index_path) FA_MUST_USE;
/* Sound bytes of the published index, 8-aligned; errors as fa_registry_published(). */
int fa_index_load(const char *index_path, char **ret, size_t *ret_len) FA_MUST_USE;
int fa_index_rules(const char *bytes, struct fa_rule_list *ret) FA_MUST_USE;

#endif
