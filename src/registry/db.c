/*
 * db.c - SQLite behind errno: the only file that includes sqlite3.h.
 *
 * Rollback journal and synchronous=FULL: a commit that returned survives a power failure. WAL would
 * be quicker but needs shared memory that a reader without write permission cannot open.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "registry/registry_internal.h"

/* The handles are SQLite's own; the casts keep its names out of the other files. */
static sqlite3 *raw(struct fa_db *db)
{
	return (sqlite3 *)db;
}

static sqlite3_stmt *raw_stmt(struct fa_stmt *st)
{
	return (sqlite3_stmt *)st;
}

static int io_error(int extended, int system_errno)
{
	switch (extended) {
	/* The file changed or ended under SQLite's hands. */
	case SQLITE_IOERR_SHORT_READ:
	case SQLITE_IOERR_CORRUPTFS:
		return -EBADMSG;
	case SQLITE_IOERR_NOMEM:
		return -ENOMEM;
	default:
		return system_errno > 0 ? -system_errno : -EIO;
	}
}

static int code_to_errno(int extended, int system_errno)
{
	switch (extended & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
	/* A statement of ours that does not compile: tables are not those of the schema. */
	case SQLITE_ERROR:
	case SQLITE_SCHEMA:
		return -EBADMSG;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return system_errno > 0 ? -system_errno : -EACCES;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_TOOBIG:
		return -E2BIG;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
		return -EINVAL;
	case SQLITE_IOERR:
		return io_error(extended, system_errno);
	default:
		return -EIO;
	}
}

static int error_of(sqlite3 *h)
{
	int r = code_to_errno(sqlite3_extended_errcode(h), sqlite3_system_errno(h));

	return r == 0 ? -EIO : r;
}

/* With PRAGMAs that hold for this connection only; the file itself is not touched. */
int fa_db_open(const char *path, bool write, struct fa_db **ret)
{
	sqlite3 *h = NULL;
	int r;

	/* Also for reading: who may write must roll back what a killed process left half done, else
	 * it could not read. SQLite falls back to reading for everybody else. */
	if (sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK) {
		r = h == NULL ? -ENOMEM : error_of(h);
		(void)sqlite3_close(h);
		return r;
	}
	struct fa_db *db = (struct fa_db *)h;

	(void)sqlite3_extended_result_codes(h, 1);
	(void)sqlite3_busy_timeout(h, 60000);
	/* The change would fail later and less clearly. */
	if (write && sqlite3_db_readonly(h, "main") == 1) {
		fa_db_close(&db);
		return -EACCES;
	}
	r = fa_db_script(db, "PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
			     "PRAGMA trusted_schema=OFF; PRAGMA recursive_triggers=OFF;");
	if (r == 0 && !write)
		r = fa_db_script(db, "PRAGMA query_only=ON;");
	if (r < 0) {
		fa_db_close(&db);
		return r;
	}
	*ret = db;
	return 0;
}

void fa_db_close(struct fa_db **db)
{
	if (*db != NULL)
		(void)sqlite3_close(raw(*db));
	*db = NULL;
}

void fa_db_set_timeout(struct fa_db *db, unsigned milliseconds)
{
	(void)sqlite3_busy_timeout(raw(db), (int)milliseconds);
}

int fa_db_script(struct fa_db *db, const char *sql)
{
	if (sqlite3_exec(raw(db), sql, NULL, NULL, NULL) != SQLITE_OK)
		return error_of(raw(db));
	return 0;
}

void fa_db_rollback(struct fa_db *db)
{
	/* After a full disk or a damaged page SQLite has rolled back by itself. */
	(void)sqlite3_exec(raw(db), "ROLLBACK", NULL, NULL, NULL);
}

static int bind_all(sqlite3_stmt *st, const char *types, va_list *ap)
{
	for (int i = 0; types[i] != '\0'; i++) {
		int r;

		if (types[i] == 't')
			r = sqlite3_bind_text(st, i + 1, va_arg(*ap, const char *), -1,
					      SQLITE_TRANSIENT);
		else
			r = sqlite3_bind_int64(st, i + 1, va_arg(*ap, int64_t));
		if (r != SQLITE_OK)
			return code_to_errno(r, 0);
	}
	return 0;
}

static int prepare(struct fa_db *db, struct fa_stmt **ret, const char *sql, const char *types,
		   va_list *ap)
{
	sqlite3_stmt *st = NULL;
	int r;

	if (sqlite3_prepare_v2(raw(db), sql, -1, &st, NULL) != SQLITE_OK)
		return error_of(raw(db));
	r = bind_all(st, types, ap);
	if (r < 0) {
		(void)sqlite3_finalize(st);
		return r;
	}
	*ret = (struct fa_stmt *)st;
	return 0;
}

int fa_db_query(struct fa_db *db, struct fa_stmt **ret, const char *sql, const char *types, ...)
{
	va_list ap;

	va_start(ap, types);
	int r = prepare(db, ret, sql, types, &ap);

	va_end(ap);
	return r;
}

int fa_db_run(struct fa_db *db, const char *sql, const char *types, ...)
{
	FA_CLEANUP(fa_db_finish) struct fa_stmt *st = NULL;
	va_list ap;

	va_start(ap, types);
	int r = prepare(db, &st, sql, types, &ap);

	va_end(ap);
	while (r == 0 && (r = fa_db_step(st)) == 1)
		r = 0;
	return r;
}

int fa_db_number(struct fa_db *db, const char *sql, int64_t *ret)
{
	FA_CLEANUP(fa_db_finish) struct fa_stmt *st = NULL;
	int r = fa_db_query(db, &st, sql, "");

	if (r == 0)
		r = fa_db_step(st);
	if (r < 0)
		return r;
	if (r == 0)
		return -ENOENT;
	*ret = fa_db_int(st, 0);
	return 0;
}

int fa_db_step(struct fa_stmt *st)
{
	int code = sqlite3_step(raw_stmt(st));

	if (code == SQLITE_ROW)
		return 1;
	if (code == SQLITE_DONE)
		return 0;
	return error_of(sqlite3_db_handle(raw_stmt(st)));
}

int64_t fa_db_int(struct fa_stmt *st, int column)
{
	return sqlite3_column_int64(raw_stmt(st), column);
}

const char *fa_db_text(struct fa_stmt *st, int column)
{
	return (const char *)sqlite3_column_text(raw_stmt(st), column);
}

void fa_db_finish(struct fa_stmt **st)
{
	(void)sqlite3_finalize(raw_stmt(*st));
	*st = NULL;
}

int64_t fa_db_changes(struct fa_db *db)
{
	return sqlite3_changes(raw(db));
}

int64_t fa_db_last_id(struct fa_db *db)
{
	return sqlite3_last_insert_rowid(raw(db));
}
