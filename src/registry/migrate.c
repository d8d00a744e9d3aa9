/*
 * migrate.c - the tables of registry.db and how older ones become the present ones.
 *
 * The comments inside the SQL are kept by SQLite: `.schema` in its shell shows them to whoever
 * looks at the database of a machine. How to change the schema: append a function to `steps` and
 * never touch an earlier one; user_version counts the steps that were taken.
 *
 * Triggers and not C count the generation and write the history, so that a change made with the
 * sqlite3 shell is published and remembered like any other. They cannot know who it was: firstalloc
 * signs its own history rows inside the same transaction, and those of a shell stay unsigned.
 */
#include <errno.h>
#include <stdio.h>

#include "registry/registry_internal.h"

enum { APPLICATION_ID = 0x46414c43 }; /* "FALC": what file(1) and we tell it by */

/* clang-format off */
static const char first_tables[] =
"CREATE TABLE rule (\n"
"  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: starts are counted by it\n"
"  image TEXT NOT NULL,                -- base name of the executable or script, matched exactly\n"
"  path TEXT NOT NULL DEFAULT '',      -- full path of the executable; '': any\n"
"  package TEXT NOT NULL DEFAULT '',   -- unit, container or app; '': any\n"
"  uid INTEGER NOT NULL DEFAULT 4294967295, -- real user; 4294967295: any\n"
"  flags INTEGER NOT NULL DEFAULT 1,   -- TracingFlags: 1 heap, 2 lock, 4 loader, 16 snapshot, 32 vm\n"
"  options INTEGER NOT NULL DEFAULT 0, -- 1 script, 2 secure, 4 pid1, 8 sanitizer, 16 record-args\n"
"  depth INTEGER NOT NULL DEFAULT 64,  -- frames of a stack\n"
"  stacks INTEGER NOT NULL DEFAULT 3,  -- events that carry one: 1 alloc, 2 realloc, 4 free\n"
"  stamp INTEGER NOT NULL DEFAULT 0,   -- time stamps: 0 alloc, 1 all, 2 none\n"
"  expires INTEGER NOT NULL DEFAULT 0, -- seconds since 1970; 0: never\n"
"  starts_left INTEGER NOT NULL DEFAULT 0, -- starts until the rule ends by itself; 0: no limit\n"
"  note TEXT NOT NULL DEFAULT '',\n"
"  who TEXT,                           -- who made it; NULL: not through firstalloc\n"
"  at INTEGER NOT NULL DEFAULT (CAST(strftime('%s','now') AS INTEGER)), -- when\n"
"  UNIQUE (image, path, package, uid),\n"
"  CHECK (image NOT IN ('', '.', '..') AND instr(image, '/') = 0\n"
"         AND length(CAST(image AS BLOB)) <= 255),\n"
"  CHECK (path = '' OR substr(path, 1, 1) = '/'),\n"
"  CHECK (length(CAST(path AS BLOB)) < 4096 AND length(CAST(package AS BLOB)) < 4096),\n"
"  CHECK (uid BETWEEN 0 AND 4294967295),\n"
"  CHECK (flags BETWEEN 1 AND 4294967295),\n"
"  CHECK (options BETWEEN 0 AND 4294967295),\n"
"  CHECK (depth BETWEEN 1 AND 512),\n"
"  CHECK (stacks BETWEEN 0 AND 7),\n"
"  CHECK (stamp BETWEEN 0 AND 2),\n"
"  CHECK (expires >= 0),\n"
"  CHECK (starts_left BETWEEN 0 AND 4294967295)\n"
") STRICT;\n"
"CREATE TABLE setting (\n"
"  name TEXT PRIMARY KEY,  -- generation: grows with each change; autologger, off: 0 or 1\n"
"  value INTEGER NOT NULL\n"
") STRICT;\n"
"CREATE TABLE history (   -- every change there ever was\n"
"  id INTEGER PRIMARY KEY,\n"
"  time INTEGER NOT NULL DEFAULT (CAST(strftime('%s','now') AS INTEGER)),\n"
"  action TEXT NOT NULL,   -- enable, change, disable, expire, starts, setting\n"
"  signer TEXT,            -- who did it; NULL: not through firstalloc\n"
"  rule INTEGER NOT NULL,  -- id of the rule; the columns that follow are the rule's\n"
"  image TEXT, path TEXT, package TEXT, uid INTEGER, flags INTEGER, options INTEGER,\n"
"  depth INTEGER, stacks INTEGER, stamp INTEGER, expires INTEGER, starts_left INTEGER,\n"
"  note TEXT, who TEXT, at INTEGER\n"
") STRICT;\n"
"CREATE INDEX history_image ON history (image);\n"
"INSERT INTO setting VALUES ('generation', 1), ('autologger', 0), ('off', 0);\n";

#define RULE_TRIGGER(name, event, row, action) \
"CREATE TRIGGER rule_" name " AFTER " event " ON rule BEGIN\n" \
"  UPDATE setting SET value = value + 1 WHERE name = 'generation';\n" \
"  INSERT INTO history (action, rule, " FA_RULE_COLUMNS ")\n" \
"    VALUES ('" action "', " row ".id, " row ".image, " row ".path, " row ".package,\n" \
"    " row ".uid, " row ".flags, " row ".options, " row ".depth, " row ".stacks,\n" \
"    " row ".stamp, " row ".expires, " row ".starts_left, " row ".note, " row ".who,\n" \
"    " row ".at);\n" \
"END;\n"

/* All columns but starts_left: a counted start changes nothing that is published. */
static const char triggers[] =
RULE_TRIGGER("insert", "INSERT", "NEW", "enable")
RULE_TRIGGER("update", "UPDATE OF id, image, path, package, uid, flags, options, depth, stacks, "
	"stamp, expires, note, who, at", "NEW", "change")
RULE_TRIGGER("delete", "DELETE", "OLD", "disable")
"CREATE TRIGGER setting_change AFTER UPDATE ON setting\n"
"  WHEN NEW.name <> 'generation' AND NEW.value <> OLD.value BEGIN\n"
"  UPDATE setting SET value = value + 1 WHERE name = 'generation';\n"
"  INSERT INTO history (action, rule, image, flags) VALUES ('setting', 0, NEW.name, NEW.value);\n"
"END;\n";
/* clang-format on */

/* 0 -> 1: the first tables. */
static int step_1(struct fa_db *db)
{
	int r = fa_db_script(db, first_tables);

	return r < 0 ? r : fa_db_script(db, triggers);
}

static int (*const steps[])(struct fa_db *) = {step_1};
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

int fa_migrate(struct fa_db *db)
{
	int64_t version = 0;
	char sql[96];
	int r = fa_db_number(db, "PRAGMA user_version", &version);

	if (r < 0)
		return r;
	for (int64_t i = version; i < STEPS; i++) {
		r = steps[i](db);
		if (r < 0)
			return r;
	}
	(void)snprintf(sql, sizeof(sql), "PRAGMA user_version=%d; PRAGMA application_id=%d;", STEPS,
		       APPLICATION_ID);
	return fa_db_script(db, sql);
}

int fa_schema_check(struct fa_db *db)
{
	int64_t version = 0, id = 0;
	int r = fa_db_number(db, "PRAGMA user_version", &version);

	if (r == 0)
		r = fa_db_number(db, "PRAGMA application_id", &id);
	if (r < 0)
		return r;
	/* Ours are created whole under another name and renamed: an empty one was truncated. */
	if (id != APPLICATION_ID || version < 1)
		return -EBADMSG;
	if (version > STEPS)
		return -EPROTONOSUPPORT;
	return version < STEPS;
}
