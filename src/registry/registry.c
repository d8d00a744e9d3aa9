/*
 * registry.c - open, lock, change, publish, check.
 *
 * Invariants:
 *   1. Whoever changes the database holds the lock file from before BEGIN until the index is
 *      renamed; so an index is never replaced by one that was compiled from older rows.
 *   2. A database file is complete or absent: it is made under another name and renamed.
 *   3. The generation in the index is that of the rows that it was compiled from. A database that
 *      is behind its index (restored from a backup) is moved ahead of it before it is published.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/paths.h"
#include "registry/registry_internal.h"

enum { TIMEOUT_MS = 60000, HASTY_MS = 200 };

uint64_t fa_registry_now(void)
{
	return fa_real_ns() / 1000000000u;
}

uint64_t fa_registry_generation(const struct fa_registry *reg)
{
	return reg->generation;
}

void fa_registry_set_timeout(struct fa_registry *reg, unsigned milliseconds)
{
	reg->timeout_ms = milliseconds;
	if (reg->db != NULL)
		fa_db_set_timeout(reg->db, milliseconds);
}

/* Polled because a blocking flock() has no timeout, and a stopped holder must not stop the keeper.
 */
static int lock_within(int fd, unsigned timeout_ms)
{
	const uint64_t end = fa_mono_ns() + timeout_ms * 1000000ull;
	struct timespec pause = {.tv_nsec = 500000};

	for (;;) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (fa_mono_ns() >= end)
			return -ETIMEDOUT;
		(void)nanosleep(&pause, NULL);
		if (pause.tv_nsec < 8000000)
			pause.tv_nsec += pause.tv_nsec / 2;
	}
}

int fa_registry_lock(struct fa_registry *reg)
{
	for (;;) {
		FA_CLEANUP(fa_close)
		int fd = open(reg->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		struct stat held, named;

		if (fd < 0)
			return -errno;
		int r = lock_within(fd, reg->timeout_ms);

		if (r < 0)
			return r;
		if (fstat(fd, &held) < 0)
			return -errno;
		/* An uninstall may have removed the file that we locked. */
		if (stat(reg->lock_path, &named) == 0 && named.st_ino == held.st_ino &&
		    named.st_dev == held.st_dev) {
			reg->lock_fd = fa_take_fd(&fd);
			return 0;
		}
	}
}

void fa_registry_unlock(struct fa_registry *reg)
{
	fa_close(&reg->lock_fd);
}

static struct fa_file_mark mark_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return (struct fa_file_mark){0};
	return (struct fa_file_mark){.dev = st.st_dev,
				     .ino = st.st_ino,
				     .size = st.st_size,
				     .mtime = st.st_mtim,
				     .ctime = st.st_ctim};
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_file(const struct fa_file_mark *a, const struct fa_file_mark *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

static bool same_mark(const struct fa_file_mark *a, const struct fa_file_mark *b)
{
	return same_file(a, b) && a->size == b->size && same_time(a->mtime, b->mtime) &&
	       same_time(a->ctime, b->ctime);
}

/* The published bytes differ: make sure that ours are newer, see invariant 3. */
static int move_ahead(struct fa_registry *reg, uint64_t published, struct fa_buf *bytes,
		      uint64_t *generation, uint64_t *next)
{
	if (*generation > published)
		return 0;
	int r = fa_db_run(reg->db, "UPDATE setting SET value = ?1 WHERE name = 'generation'", "i",
			  (int64_t)(published + 1));

	return r < 0 ? r : fa_index_build(reg->db, bytes, generation, next);
}

/* Compile and write the new index beside the old one; 1 when it differs and is to be installed. */
static int prepare_index(struct fa_registry *reg)
{
	FA_CLEANUP(fa_buf_done) struct fa_buf bytes = {0};
	uint64_t generation = 0, next = UINT64_MAX;
	char *published = NULL;
	size_t len = 0;
	bool same = false;
	int r = fa_index_build(reg->db, &bytes, &generation, &next);

	if (r < 0)
		return r;
	/* An index that is damaged or missing is simply written again. */
	if (fa_index_load(reg->index_path, &published, &len) == 0) {
		const struct fa_index_header *h = (const void *)published;

		same = len == bytes.len && memcmp(published, bytes.data, len) == 0;
		if (!same)
			r = move_ahead(reg, h->generation, &bytes, &generation, &next);
		free(published);
	}
	if (r == 0 && !same)
		r = fa_index_write_new(reg->index_path, &bytes);
	if (r == 0)
		r = fa_db_number(reg->db, "PRAGMA data_version", &reg->data_version);
	if (r < 0)
		return r;
	reg->generation = generation;
	reg->next_expiry = next;
	return !same;
}

static int sign_history(struct fa_registry *reg, int64_t after, const char *who)
{
	char self[96];

	return fa_db_run(reg->db, "UPDATE history SET signer = ?2 WHERE id > ?1 AND signer IS NULL",
			 "it", after, who != NULL ? who : fa_registry_who(self, sizeof(self)));
}

/* Between BEGIN and COMMIT. Returns as prepare_index(). */
static int change_and_prepare(struct fa_registry *reg, const char *who,
			      int (*change)(struct fa_registry *, void *), void *arg)
{
	int64_t before = 0;
	int r = fa_rules_drop_expired(reg->db);

	if (r == 0)
		r = fa_db_number(reg->db, "SELECT ifnull(max(id), 0) FROM history", &before);
	if (r == 0 && change != NULL) {
		r = change(reg, arg);
		if (r == 0)
			r = sign_history(reg, before, who);
	}
	return r < 0 ? r : prepare_index(reg);
}

int fa_registry_change(struct fa_registry *reg, const char *who,
		       int (*change)(struct fa_registry *, void *), void *arg)
{
	int differs, r = fa_registry_lock(reg);

	if (r < 0)
		return r;
	reg->checked = false;
	r = fa_db_script(reg->db, "BEGIN IMMEDIATE");
	if (r < 0)
		goto out;
	differs = change_and_prepare(reg, who, change, arg);
	r = differs < 0 ? differs : fa_db_script(reg->db, "COMMIT");
	if (r < 0) {
		fa_db_rollback(reg->db);
		goto out;
	}
	if (differs)
		r = fa_index_install_new(reg->index_path);
	if (r == 0) {
		reg->index_mark = mark_of(reg->index_path);
		reg->db_mark = mark_of(reg->db_path);
		reg->checked = true;
		r = differs;
	}
out:
	fa_registry_unlock(reg);
	return change != NULL && r > 0 ? 0 : r;
}

int fa_registry_publish(struct fa_registry *reg)
{
	return fa_registry_change(reg, NULL, NULL, NULL);
}

/* Folders and the database belong to the group where there is one; unprivileged users (--root) keep
 * their own. */
static int give_to_group(int fd)
{
	struct group group, *found = NULL;
	char space[4096];

	if (geteuid() != 0)
		return 0;
	if (getgrnam_r(FA_GROUP, &group, space, sizeof(space), &found) != 0 || found == NULL)
		return 0;
	return fchown(fd, 0, found->gr_gid) < 0 ? -errno : 0;
}

static int make_state_dir(const char *root)
{
	char path[PATH_MAX];
	int r = fa_path_join(path, sizeof(path), root, "/var/lib");

	if (r == 0)
		r = fa_make_dirs(path, 0755);
	if (r == 0)
		r = fa_path_join(path, sizeof(path), root, FA_DIR_STATE);
	if (r < 0)
		return r;
	if (mkdir(path, 0750) < 0)
		return errno == EEXIST ? 0 : -errno;
	FA_CLEANUP(fa_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* chmod too: the umask of the one who came first is not what we mean. */
	if (fchmod(fd, 0750) < 0)
		return -errno;
	return give_to_group(fd);
}

static int make_etc_dir(const char *root)
{
	char path[PATH_MAX];
	int r = fa_path_join(path, sizeof(path), root, "/etc");

	if (r == 0)
		r = fa_make_dirs(path, 0755);
	if (r == 0)
		r = fa_path_join(path, sizeof(path), root, FA_DIR_ETC);
	if (r < 0)
		return r;
	if (mkdir(path, 0755) < 0)
		return errno == EEXIST ? 0 : -errno;
	return chmod(path, 0755) < 0 ? -errno : 0;
}

/* Rows for an index whose database is gone. Ids and generation are kept, so the index stays as it
 * is, byte for byte. */
static int import_rules(struct fa_db *db, const struct fa_rule_list *rules)
{
	for (uint32_t i = 0; i < rules->count; i++) {
		const struct fa_rule *r = &rules->rule[i];
		int e = fa_db_run(
			db,
			"INSERT INTO rule (id, image, path, package, uid, flags, options, depth, "
			"stacks, stamp, expires, note) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,"
			"'rebuilt from registry.idx')",
			"itttiiiiiii", (int64_t)r->id, r->image, r->path, r->package,
			(int64_t)r->uid, (int64_t)r->flags, (int64_t)r->options, (int64_t)r->depth,
			(int64_t)r->stacks, (int64_t)r->stamp, (int64_t)r->expires);

		if (e < 0 && e != -EINVAL)
			return e;
	}
	return 0;
}

static int import_index(struct fa_db *db, const char *index_path)
{
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list rules = {0};
	char *bytes = NULL;
	size_t len = 0;

	/* No index, or none that can be believed: start empty. */
	if (fa_index_load(index_path, &bytes, &len) < 0)
		return 0;
	const struct fa_index_header *h = (const void *)bytes;
	int r = fa_index_rules(bytes, &rules);

	if (r == 0)
		r = import_rules(db, &rules);
	if (r == 0)
		r = fa_db_run(db,
			      "UPDATE setting SET value = CASE name WHEN 'autologger' THEN ?1 ELSE "
			      "?2 END WHERE name IN ('autologger', 'off')",
			      "ii", (int64_t)((h->flags & FA_INDEX_AUTOLOGGER) != 0),
			      (int64_t)((h->flags & FA_INDEX_OFF) != 0));
	if (r == 0)
		r = fa_db_run(db, "UPDATE setting SET value = ?1 WHERE name = 'generation'", "i",
			      (int64_t)h->generation);
	if (r == 0)
		r = fa_db_run(db, "UPDATE history SET signer = 'firstalloc'", "");
	free(bytes);
	return r;
}

static int fill_new_db(const char *path, const char *index_path)
{
	FA_CLEANUP(fa_db_close) struct fa_db *db = NULL;
	int r = fa_db_open(path, true, &db);

	if (r == 0)
		r = fa_db_script(db, "BEGIN EXCLUSIVE");
	if (r == 0)
		r = fa_migrate(db);
	if (r == 0)
		r = import_index(db, index_path);
	return r < 0 ? r : fa_db_script(db, "COMMIT");
}

/* Called with the lock held, so the name of the half-made one is ours alone. */
static int create_db(const struct fa_registry *reg)
{
	char path[PATH_MAX + 16], journal[PATH_MAX + 32];
	int r;

	(void)snprintf(path, sizeof(path), "%s.new", reg->db_path);
	(void)snprintf(journal, sizeof(journal), "%s-journal", path);
	(void)unlink(path);
	(void)unlink(journal);
	/* That of a database that was moved away would be rolled back into the new one. */
	(void)snprintf(journal, sizeof(journal), "%s-journal", reg->db_path);
	(void)unlink(journal);
	/* SQLite gives its journal the mode and owner that the database has. */
	FA_CLEANUP(fa_close) int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0640) < 0)
		return -errno;
	r = give_to_group(fd);
	fa_close(&fd);
	if (r == 0)
		r = fill_new_db(path, reg->index_path);
	if (r == 0)
		r = rename(path, reg->db_path) < 0 ? -errno : 0;
	if (r < 0) {
		(void)unlink(path);
		return r;
	}
	return fa_sync_folder_of(reg->db_path);
}

static int migrate_old(struct fa_db *db)
{
	int r = fa_db_script(db, "BEGIN EXCLUSIVE");

	if (r == 0)
		r = fa_migrate(db);
	if (r == 0)
		r = fa_db_script(db, "COMMIT");
	if (r < 0)
		fa_db_rollback(db);
	return r;
}

static int open_db(struct fa_registry *reg)
{
	FA_CLEANUP(fa_db_close) struct fa_db *db = NULL;
	struct stat st;
	int r;

	if (stat(reg->db_path, &st) < 0) {
		if (errno != ENOENT || !reg->write)
			return -errno;
		r = create_db(reg);
		if (r < 0)
			return r;
	}
	reg->db_mark = mark_of(reg->db_path);
	reg->checked = false;
	r = fa_db_open(reg->db_path, reg->write, &db);
	if (r < 0)
		return r;
	fa_db_set_timeout(db, reg->timeout_ms);
	r = fa_schema_check(db);
	if (r == 1)
		r = reg->write ? migrate_old(db) : -ESTALE;
	if (r < 0)
		return r;
	fa_db_close(&reg->db);
	reg->db = fa_take_ptr(&db);
	return 0;
}

static int open_for_writing(struct fa_registry *reg, const char *root)
{
	int r = make_state_dir(root);

	if (r == 0)
		r = make_etc_dir(root);
	if (r == 0)
		r = fa_registry_lock(reg);
	if (r < 0)
		return r;
	r = open_db(reg);
	fa_registry_unlock(reg);
	if (r < 0)
		return r;
	r = fa_registry_publish(reg);
	/* Too many rules came from a shell: only a further change can mend that. */
	return r < 0 && r != -E2BIG ? r : 0;
}

int fa_registry_open(const char *root, unsigned flags, struct fa_registry **ret)
{
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = calloc(1, sizeof(*reg));
	int r;

	if (reg == NULL)
		return -ENOMEM;
	reg->lock_fd = -1;
	reg->timeout_ms = (flags & FA_REGISTRY_HASTY) != 0 ? HASTY_MS : TIMEOUT_MS;
	reg->write = (flags & FA_REGISTRY_WRITE) != 0;
	r = fa_path_join(reg->db_path, sizeof(reg->db_path), root, FA_PATH_DB);
	if (r == 0)
		r = fa_path_join(reg->index_path, sizeof(reg->index_path), root, FA_INDEX_PATH);
	if (r == 0)
		r = fa_path_join(reg->lock_path, sizeof(reg->lock_path), root, FA_PATH_LOCK);
	if (r == 0)
		r = reg->write ? open_for_writing(reg, root) : open_db(reg);
	if (r < 0)
		return r;
	*ret = fa_take_ptr(&reg);
	return 0;
}

void fa_registry_close(struct fa_registry **reg)
{
	if (*reg == NULL)
		return;
	fa_db_close(&(*reg)->db);
	fa_close(&(*reg)->lock_fd);
	free(*reg);
	*reg = NULL;
}

/* 1 when something may have happened since the last look, 0 when nothing has. */
static int something_happened(struct fa_registry *reg)
{
	struct fa_file_mark db = mark_of(reg->db_path), index = mark_of(reg->index_path);
	int64_t version;
	int r;

	/* Another file under the name: our connection still reads the old one. */
	if (!same_file(&db, &reg->db_mark)) {
		r = fa_registry_lock(reg);
		if (r < 0)
			return r;
		r = open_db(reg);
		fa_registry_unlock(reg);
		return r < 0 ? r : 1;
	}
	r = fa_db_number(reg->db, "PRAGMA data_version", &version);
	if (r < 0)
		return r;
	return !reg->checked || version != reg->data_version || !same_mark(&db, &reg->db_mark) ||
	       !same_mark(&index, &reg->index_mark) || fa_registry_now() >= reg->next_expiry;
}

int fa_registry_check(struct fa_registry *reg)
{
	int r = something_happened(reg);

	return r == 1 ? fa_registry_publish(reg) : r;
}

struct setting {
	const char *name;
	bool on;
};

static const char *flag_name(enum fa_index_flags flag)
{
	return flag == FA_INDEX_AUTOLOGGER ? "autologger" : "off";
}

static int do_set(struct fa_registry *reg, void *arg)
{
	const struct setting *s = arg;

	return fa_db_run(reg->db, "UPDATE setting SET value = ?2 WHERE name = ?1", "ti", s->name,
			 (int64_t)s->on);
}

int fa_registry_set_flag(struct fa_registry *reg, enum fa_index_flags flag, bool on,
			 const char *who)
{
	struct setting s = {.name = flag_name(flag), .on = on};

	return fa_registry_change(reg, who, do_set, &s);
}

int fa_registry_get_flag(struct fa_registry *reg, enum fa_index_flags flag, bool *ret_on)
{
	FA_CLEANUP(fa_db_finish) struct fa_stmt *st = NULL;
	int r = fa_db_query(reg->db, &st, "SELECT value FROM setting WHERE name = ?1", "t",
			    flag_name(flag));

	if (r == 0)
		r = fa_db_step(st);
	if (r < 0)
		return r;
	*ret_on = r == 1 && fa_db_int(st, 0) != 0;
	return 0;
}
