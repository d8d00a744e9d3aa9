/* test_registry.c - rules in, index out, whatever happens in between. libs: registry format base */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/paths.h"
#include "registry/registry.h"
#include "registry/registry_internal.h"
#include "tests/unit/test.h"

static char root[32];

static const char *below(const char *path)
{
	static char full[2][PATH_MAX];
	static int turn;

	turn = !turn;
	CHECK(fa_path_join(full[turn], PATH_MAX, root, path) == 0);
	return full[turn];
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void new_root(void)
{
	strcpy(root, "/tmp/fa-reg-XXXXXX");
	CHECK(mkdtemp(root) != NULL);
}

static void drop_root(void)
{
	(void)nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct fa_registry *open_it(unsigned flags)
{
	struct fa_registry *reg = NULL;

	CHECK(fa_registry_open(root, flags, &reg) == 0);
	return reg;
}

static struct fa_rule rule_for(const char *image)
{
	return (struct fa_rule){.image = image,
				.uid = FA_USER_ANY,
				.flags = FA_TRACING_HEAP,
				.depth = 64,
				.stacks = 3};
}

static int put(struct fa_registry *reg, const char *image)
{
	struct fa_rule rule = rule_for(image);

	return fa_registry_put(reg, &rule, "alice", NULL, NULL);
}

static uint32_t rules_in_db(struct fa_registry *reg)
{
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list list = {0};

	CHECK(fa_registry_list(reg, NULL, &list) == 0);
	return list.count;
}

static int64_t rules_in_index(void)
{
	struct fa_published p = {0};
	int r = fa_registry_published(root, &p);
	int64_t n = p.rules.count;

	fa_published_done(&p);
	return r < 0 ? r : n;
}

static bool index_equals_db(struct fa_registry *reg)
{
	FA_CLEANUP(fa_buf_done) struct fa_buf bytes = {0};
	uint64_t generation, next;
	char *file = NULL;
	size_t len = 0;
	bool same;

	if (fa_index_build(reg->db, &bytes, &generation, &next) < 0 ||
	    fa_index_load(below(FA_PATH_INDEX), &file, &len) < 0)
		return false;
	same = len == bytes.len && memcmp(file, bytes.data, len) == 0;
	free(file);
	return same;
}

/* What a person does in the sqlite3 shell: another connection that knows nothing of us. */
static void shell(const char *sql)
{
	struct fa_db *db = NULL;

	CHECK(fa_db_open(below(FA_PATH_DB), true, &db) == 0);
	CHECK(fa_db_script(db, sql) == 0);
	fa_db_close(&db);
}

SPEC(a_new_registry_has_an_empty_index_and_the_right_modes)
{
	struct stat st;

	new_root();
	(void)umask(0077);
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);

	(void)umask(0022);
	CHECK(rules_in_db(reg) == 0);
	CHECK(rules_in_index() == 0);
	CHECK(stat(below(FA_DIR_STATE), &st) == 0 && (st.st_mode & 07777) == 0750);
	CHECK(stat(below(FA_PATH_DB), &st) == 0 && (st.st_mode & 07777) == 0640);
	CHECK(stat(below(FA_DIR_ETC), &st) == 0 && (st.st_mode & 07777) == 0755);
	CHECK(stat(below(FA_PATH_INDEX), &st) == 0 && (st.st_mode & 07777) == 0644);
	drop_root();
}

SPEC(a_rule_is_in_the_index_when_put_returns)
{
	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);
	struct fa_published p = {0};
	struct fa_rule rule = rule_for("git");
	bool replaced = true;
	uint32_t id = 0, again = 0;

	rule.path = "/usr/bin/git";
	rule.uid = 1000;
	rule.options = FA_RULE_SCRIPT | FA_RULE_ARGS;
	rule.depth = 100;
	rule.stamp = FA_STAMP_ALL;
	rule.expires = 4000000000u;
	CHECK(fa_registry_put(reg, &rule, "alice", &replaced, &id) == 0 && !replaced && id > 0);
	CHECK(fa_registry_published(root, &p) == 0 && p.rules.count == 1);
	const struct fa_rule *r = p.rules.rule;

	CHECK(r->id == id && strcmp(r->image, "git") == 0 && strcmp(r->path, "/usr/bin/git") == 0);
	CHECK(r->uid == 1000 && r->options == rule.options && r->depth == 100);
	CHECK(r->stamp == FA_STAMP_ALL && r->expires == 4000000000u && r->flags == 1);
	CHECK(p.generation == fa_registry_generation(reg));
	fa_published_done(&p);
	CHECK(fa_registry_put(reg, &rule, "bob", &replaced, &again) == 0 && replaced &&
	      again == id);
	CHECK(index_equals_db(reg));
	drop_root();
}

SPEC(plain_and_scoped_rules_of_one_image_stand_side_by_side)
{
	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);
	struct fa_rule rule = rule_for("git");
	uint32_t removed = 9;

	CHECK(put(reg, "git") == 0 && put(reg, "nginx") == 0);
	rule.uid = 7;
	CHECK(fa_registry_put(reg, &rule, NULL, NULL, NULL) == 0);
	rule.path = "/bin/git";
	CHECK(fa_registry_put(reg, &rule, NULL, NULL, NULL) == 0);
	CHECK(rules_in_db(reg) == 4 && rules_in_index() == 4);
	CHECK(fa_registry_remove(reg, &(struct fa_rule_filter){.image = "git", .path = "/bin/git"},
				 NULL, &removed) == 0);
	CHECK(removed == 1 && rules_in_index() == 3);
	CHECK(fa_registry_remove(reg, &(struct fa_rule_filter){.image = "gi"}, NULL, &removed) ==
	      0);
	CHECK(removed == 0);
	CHECK(fa_registry_remove(reg, &(struct fa_rule_filter){.image = "git"}, NULL, &removed) ==
	      0);
	CHECK(removed == 2 && rules_in_index() == 1);
	CHECK(fa_registry_remove(reg, &(struct fa_rule_filter){0}, NULL, &removed) == 0);
	CHECK(removed == 1 && rules_in_index() == 0 && index_equals_db(reg));
	drop_root();
}

SPEC(values_that_no_rule_may_have_are_refused)
{
	static const char *const bad[] = {"", "/bin/git", "a/b", ".", ".."};
	char longest[FA_IMAGE_MAX + 2];

	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);
	struct fa_rule rule = rule_for("x");

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(put(reg, bad[i]) == -EINVAL);
	memset(longest, 'a', sizeof(longest));
	longest[FA_IMAGE_MAX + 1] = '\0';
	CHECK(put(reg, longest) == -EINVAL);
	longest[FA_IMAGE_MAX] = '\0';
	CHECK(put(reg, longest) == 0);
	CHECK(put(reg, "caf\xe9") == 0); /* names are bytes */
	rule.flags = 0;
	CHECK(fa_registry_put(reg, &rule, NULL, NULL, NULL) == -EINVAL);
	rule = rule_for("x");
	rule.depth = FA_DEPTH_MAX + 1;
	CHECK(fa_registry_put(reg, &rule, NULL, NULL, NULL) == -EINVAL);
	rule = rule_for("x");
	rule.path = "bin/x";
	CHECK(fa_registry_put(reg, &rule, NULL, NULL, NULL) == -EINVAL);
	CHECK(rules_in_index() == 2 && index_equals_db(reg));
	drop_root();
}

SPEC(history_keeps_every_change_with_who_made_it)
{
	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);
	FA_CLEANUP(fa_history_list_done) struct fa_history_list h = {0};
	uint32_t removed;

	CHECK(put(reg, "git") == 0 && put(reg, "git") == 0);
	shell("UPDATE rule SET depth = 9");
	CHECK(fa_registry_remove(reg, &(struct fa_rule_filter){.image = "git"}, "bob", &removed) ==
	      0);
	CHECK(fa_registry_set_flag(reg, FA_INDEX_AUTOLOGGER, true, "carol") == 0);
	CHECK(fa_registry_history(reg, NULL, 0, &h) == 0 && h.count == 5);
	const char *const expected[][2] = {{"setting", "carol"},
					   {"disable", "bob"},
					   {"change", NULL},
					   {"change", "alice"},
					   {"enable", "alice"}};

	for (uint32_t i = 0; i < h.count && i < 5; i++) {
		const char *who = h.entry[i].rule.who;

		CHECK(strcmp(h.entry[i].action, expected[i][0]) == 0);
		CHECK(expected[i][1] == NULL ? who == NULL
					     : who != NULL && strcmp(who, expected[i][1]) == 0);
	}
	fa_history_list_done(&h);
	CHECK(fa_registry_history(reg, "git", 2, &h) == 0 && h.count == 2);
	CHECK(h.entry[0].rule.depth == 9);
	drop_root();
}

SPEC(a_rule_ends_when_its_time_has_come)
{
	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);
	struct fa_rule rule = rule_for("git");
	struct fa_history_list h = {0};

	rule.expires = fa_registry_now() + 1;
	CHECK(fa_registry_put(reg, &rule, "alice", NULL, NULL) == 0);
	CHECK(fa_registry_check(reg) == 0 && rules_in_index() == 1);
	(void)usleep(1100000);
	CHECK(rules_in_db(reg) == 0); /* not shown, although nobody has dropped it yet */
	CHECK(fa_registry_check(reg) == 1 && rules_in_index() == 0);
	CHECK(fa_registry_check(reg) == 0);
	CHECK(fa_registry_history(reg, "git", 1, &h) == 0 && h.count == 1);
	CHECK(strcmp(h.entry[0].action, "expire") == 0);
	fa_history_list_done(&h);
	drop_root();
}

SPEC(a_rule_ends_with_its_last_start)
{
	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);
	struct fa_rule rule = rule_for("git");
	struct fa_history_list h = {0};
	uint32_t id, left = 9;

	rule.starts_left = 3;
	CHECK(fa_registry_put(reg, &rule, NULL, NULL, &id) == 0);
	uint64_t before = fa_registry_generation(reg);

	CHECK(fa_registry_count_starts(reg, id, 1, &left) == 0 && left == 2);
	CHECK(fa_registry_count_starts(reg, id, 1, &left) == 0 && left == 1);
	CHECK(fa_registry_check(reg) == 0 && fa_registry_generation(reg) == before);
	CHECK(fa_registry_count_starts(reg, id, 1, &left) == 0 && left == 0);
	CHECK(rules_in_index() == 0);
	CHECK(fa_registry_count_starts(reg, id, 1, &left) == -ENOENT);
	CHECK(fa_registry_history(reg, "git", 1, &h) == 0);
	CHECK(h.count == 1 && strcmp(h.entry[0].action, "starts") == 0);
	fa_history_list_done(&h);
	CHECK(put(reg, "nginx") == 0);
	CHECK(fa_registry_count_starts(reg, id + 1, 1, &left) == -ENOENT);
	CHECK(fa_registry_put(reg, &rule, NULL, NULL, &id) == 0); /* several at once: late ones */
	CHECK(fa_registry_count_starts(reg, id, 2, &left) == 0 && left == 1);
	CHECK(fa_registry_count_starts(reg, id, 5, &left) == 0 && left == 0);
	CHECK(fa_registry_count_starts(reg, id, 1, &left) == -ENOENT);
	drop_root();
}

SPEC(a_change_made_with_the_sqlite3_shell_is_published)
{
	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);

	CHECK(put(reg, "git") == 0);
	CHECK(fa_registry_check(reg) == 0);
	shell("INSERT INTO rule (image) VALUES ('nginx')");
	CHECK(rules_in_index() == 1);
	CHECK(fa_registry_check(reg) == 1 && rules_in_index() == 2 && index_equals_db(reg));
	CHECK(fa_registry_check(reg) == 0);
	shell("DELETE FROM rule");
	CHECK(fa_registry_check(reg) == 1 && rules_in_index() == 0);
	drop_root();
}

SPEC(a_check_with_nothing_to_do_is_cheap)
{
	enum { TURNS = 300 };

	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);

	CHECK(put(reg, "git") == 0);
	uint64_t start = fa_mono_ns();

	for (int i = 0; i < TURNS; i++)
		CHECK(fa_registry_check(reg) == 0);
	uint64_t each = (fa_mono_ns() - start) / TURNS;

	printf("  %u ns\n", (unsigned)each);
	CHECK(each < 2000000);
	drop_root();
}

SPEC(an_index_that_is_lost_or_damaged_is_written_again)
{
	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);

	CHECK(put(reg, "git") == 0);
	CHECK(unlink(below(FA_PATH_INDEX)) == 0);
	CHECK(fa_registry_check(reg) == 1 && rules_in_index() == 1);
	CHECK(fa_replace_file(below(FA_PATH_INDEX), "xxx", 3, 0644) == 0);
	CHECK(rules_in_index() == -EBADMSG);
	CHECK(fa_registry_check(reg) == 1 && rules_in_index() == 1 && index_equals_db(reg));
	drop_root();
}

SPEC(a_restored_database_is_published_with_a_newer_generation)
{
	char *old = NULL;
	size_t len = 0;

	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);

	CHECK(put(reg, "git") == 0);
	CHECK(fa_read_file(below(FA_PATH_DB), 1 << 22, &old, &len) == 0);
	for (int i = 0; i < 5; i++)
		CHECK(put(reg, "nginx") == 0);
	uint64_t before = fa_registry_generation(reg);

	CHECK(fa_replace_file(below(FA_PATH_DB), old, len, 0640) == 0);
	free(old);
	CHECK(fa_registry_check(reg) == 1);
	CHECK(fa_registry_generation(reg) > before);
	CHECK(rules_in_index() == 1 && index_equals_db(reg));
	drop_root();
}

SPEC(a_commit_without_publication_is_repaired_by_the_next_open)
{
	new_root();
	struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);

	CHECK(put(reg, "git") == 0);
	fa_registry_close(&reg);
	shell("INSERT INTO rule (image) VALUES ('nginx')");
	reg = open_it(FA_REGISTRY_READ);
	CHECK(rules_in_db(reg) == 2 && rules_in_index() == 1); /* a reader changes nothing */
	fa_registry_close(&reg);
	reg = open_it(FA_REGISTRY_WRITE);
	CHECK(rules_in_index() == 2 && index_equals_db(reg));
	fa_registry_close(&reg);
	drop_root();
}

/* The worst moment: rows are half in the file, and only the journal knows how it was before. */
static void die_inside_a_transaction(void)
{
	struct fa_db *db = NULL;

	if (fa_db_open(below(FA_PATH_DB), true, &db) == 0 &&
	    fa_db_script(db, "PRAGMA cache_size=1; BEGIN IMMEDIATE; DELETE FROM rule;"
			     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT "
			     "2000) INSERT INTO rule (image) SELECT 'p' || i FROM n") == 0)
		(void)raise(SIGKILL);
	_exit(1);
}

SPEC(a_change_that_was_cut_short_is_undone_by_readers_and_writers)
{
	static const unsigned modes[] = {FA_REGISTRY_READ, FA_REGISTRY_WRITE};

	for (int i = 0; i < 2; i++) {
		int status = 0;
		char journal[PATH_MAX];

		new_root();
		struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);

		CHECK(put(reg, "git") == 0);
		fa_registry_close(&reg);
		pid_t pid = fork();

		if (pid == 0)
			die_inside_a_transaction();
		CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
		(void)snprintf(journal, sizeof(journal), "%s-journal", below(FA_PATH_DB));
		CHECK(access(journal, F_OK) == 0);
		reg = open_it(modes[i]);
		CHECK(reg != NULL && rules_in_db(reg) == 1 && index_equals_db(reg));
		CHECK(access(journal, F_OK) < 0);
		fa_registry_close(&reg);
		drop_root();
	}
}

SPEC(a_damaged_database_is_an_error_and_the_index_stays)
{
	struct fa_registry *reg = NULL;
	char junk[4096];

	new_root();
	reg = open_it(FA_REGISTRY_WRITE);
	CHECK(put(reg, "git") == 0);
	fa_registry_close(&reg);
	memset(junk, 'x', sizeof(junk));
	int fd = open(below(FA_PATH_DB), O_RDWR);

	CHECK(pwrite(fd, junk, sizeof(junk), 0) == sizeof(junk));
	CHECK(fa_registry_open(root, FA_REGISTRY_WRITE, &reg) == -EBADMSG && reg == NULL);
	CHECK(fa_registry_open(root, FA_REGISTRY_READ, &reg) == -EBADMSG);
	CHECK(rules_in_index() == 1);
	CHECK(ftruncate(fd, 0) == 0);
	CHECK(fa_registry_open(root, FA_REGISTRY_WRITE, &reg) == -EBADMSG);
	CHECK(rules_in_index() == 1);
	fa_close(&fd);
	drop_root();
}

SPEC(a_missing_database_is_rebuilt_from_the_index)
{
	struct fa_registry *reg = NULL;
	struct fa_rule rule = rule_for("git");
	char *before = NULL, *after = NULL;
	size_t len_before = 0, len_after = 0;

	new_root();
	reg = open_it(FA_REGISTRY_WRITE);
	CHECK(put(reg, "dropped") == 0 && put(reg, "nginx") == 0);
	CHECK(fa_registry_remove(reg, &(struct fa_rule_filter){.image = "dropped"}, NULL,
				 &(uint32_t){0}) == 0);
	rule.path = "/usr/bin/git";
	CHECK(fa_registry_put(reg, &rule, NULL, NULL, NULL) == 0);
	CHECK(fa_registry_set_flag(reg, FA_INDEX_AUTOLOGGER, true, NULL) == 0);
	fa_registry_close(&reg);
	CHECK(fa_index_load(below(FA_PATH_INDEX), &before, &len_before) == 0);
	CHECK(unlink(below(FA_PATH_DB)) == 0);
	CHECK(fa_registry_open(root, FA_REGISTRY_READ, &reg) == -ENOENT);
	reg = open_it(FA_REGISTRY_WRITE);
	CHECK(fa_index_load(below(FA_PATH_INDEX), &after, &len_after) == 0);
	CHECK(len_before == len_after && memcmp(before, after, len_before) == 0);
	CHECK(rules_in_db(reg) == 2 && index_equals_db(reg));
	free(before);
	free(after);
	fa_registry_close(&reg);
	drop_root();
}

SPEC(a_newer_database_is_refused_by_name)
{
	struct fa_registry *reg = NULL;

	new_root();
	reg = open_it(FA_REGISTRY_WRITE);
	fa_registry_close(&reg);
	shell("PRAGMA user_version = 99");
	CHECK(fa_registry_open(root, FA_REGISTRY_WRITE, &reg) == -EPROTONOSUPPORT);
	drop_root();
}

SPEC(a_rule_that_does_not_fit_into_the_index_is_refused_whole)
{
	char name[256];
	int r = 0, n = 0;

	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);
	struct fa_rule rule = rule_for(name);
	char path[4000];

	memset(path, 'p', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	rule.path = path;
	for (; r == 0 && n < 100; n++) {
		(void)snprintf(name, sizeof(name), "program-%d", n);
		r = fa_registry_put(reg, &rule, NULL, NULL, NULL);
	}
	CHECK(r == -E2BIG && n - 1 == 65472 / (80 + 4000 + 11));
	CHECK(rules_in_db(reg) == (uint32_t)n - 1 && rules_in_index() == n - 1);
	CHECK(index_equals_db(reg));
	drop_root();
}

SPEC(flags_of_the_index_are_kept_and_published)
{
	bool on = true;
	struct fa_published p = {0};

	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);

	CHECK(fa_registry_get_flag(reg, FA_INDEX_AUTOLOGGER, &on) == 0 && !on);
	CHECK(fa_registry_set_flag(reg, FA_INDEX_AUTOLOGGER, true, NULL) == 0);
	CHECK(fa_registry_set_flag(reg, FA_INDEX_OFF, true, NULL) == 0);
	CHECK(fa_registry_get_flag(reg, FA_INDEX_AUTOLOGGER, &on) == 0 && on);
	CHECK(fa_registry_published(root, &p) == 0 && p.flags == 3);
	fa_published_done(&p);
	CHECK(fa_registry_set_flag(reg, FA_INDEX_AUTOLOGGER, false, NULL) == 0);
	CHECK(fa_registry_published(root, &p) == 0 && p.flags == FA_INDEX_OFF);
	fa_published_done(&p);
	drop_root();
}

SPEC(a_held_lock_ends_in_a_timeout_and_nothing_changes)
{
	new_root();
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);
	FA_CLEANUP(fa_registry_close) struct fa_registry *other = open_it(FA_REGISTRY_WRITE);

	CHECK(fa_registry_lock(other) == 0);
	fa_registry_set_timeout(reg, 50);
	CHECK(put(reg, "git") == -ETIMEDOUT);
	struct fa_registry *third = NULL;

	CHECK(fa_registry_open(root, FA_REGISTRY_WRITE | FA_REGISTRY_HASTY, &third) == -ETIMEDOUT);
	fa_registry_unlock(other);
	CHECK(put(reg, "git") == 0);
	drop_root();
}

static void many_changes(int process)
{
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);
	char name[32];
	uint32_t removed;

	for (int i = 0; i < 40; i++) {
		(void)snprintf(name, sizeof(name), "p%d-%d", process, i / 2);
		if (i % 4 == 3)
			CHECK(fa_registry_remove(reg, &(struct fa_rule_filter){.image = name}, NULL,
						 &removed) == 0 &&
			      removed == 1);
		else
			CHECK(put(reg, name) == 0);
	}
}

SPEC(changes_of_several_processes_at_once_are_not_lost)
{
	enum { PROCESSES = 4 };

	new_root();
	for (int i = 0; i < PROCESSES; i++) {
		if (fork() == 0) {
			fa_claims_failed = 0;
			many_changes(i);
			_exit(fa_claims_failed != 0);
		}
	}
	for (int i = 0, status = 1; i < PROCESSES; i++)
		CHECK(wait(&status) > 0 && status == 0);
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_READ);
	struct fa_history_list h = {0};

	CHECK(rules_in_db(reg) == PROCESSES * 10 && rules_in_index() == PROCESSES * 10);
	CHECK(fa_registry_history(reg, NULL, 0, &h) == 0 && h.count == PROCESSES * 40);
	CHECK(index_equals_db(reg));
	fa_history_list_done(&h);
	drop_root();
}

/* SIGKILL between any two system calls: 40 of them here, 100 with whole commands in tests/spec. */
SPEC(a_killed_process_leaves_what_the_next_one_repairs)
{
	new_root();
	srand(1);
	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			struct fa_registry *reg = NULL;

			if (fa_registry_open(root, FA_REGISTRY_WRITE, &reg) < 0)
				_exit(1);
			for (unsigned n = 0;; n++)
				if (put(reg, (const char *const[]){"a", "b", "c"}[n % 3]) < 0)
					_exit(1);
		}
		(void)usleep((useconds_t)(rand() % 12000));
		int status = 0;

		CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
		CHECK(WIFSIGNALED(status));
		int64_t published = rules_in_index();

		CHECK(published >= 0 || published == -ENOENT);
		FA_CLEANUP(fa_registry_close) struct fa_registry *reg = open_it(FA_REGISTRY_WRITE);

		CHECK(reg != NULL && index_equals_db(reg));
	}
	drop_root();
}

int main(void)
{
	RUN(a_new_registry_has_an_empty_index_and_the_right_modes);
	RUN(a_rule_is_in_the_index_when_put_returns);
	RUN(plain_and_scoped_rules_of_one_image_stand_side_by_side);
	RUN(values_that_no_rule_may_have_are_refused);
	RUN(history_keeps_every_change_with_who_made_it);
	RUN(a_rule_ends_when_its_time_has_come);
	RUN(a_rule_ends_with_its_last_start);
	RUN(a_change_made_with_the_sqlite3_shell_is_published);
	RUN(a_check_with_nothing_to_do_is_cheap);
	RUN(an_index_that_is_lost_or_damaged_is_written_again);
	RUN(a_restored_database_is_published_with_a_newer_generation);
	RUN(a_commit_without_publication_is_repaired_by_the_next_open);
	RUN(a_change_that_was_cut_short_is_undone_by_readers_and_writers);
	RUN(a_damaged_database_is_an_error_and_the_index_stays);
	RUN(a_missing_database_is_rebuilt_from_the_index);
	RUN(a_newer_database_is_refused_by_name);
	RUN(a_rule_that_does_not_fit_into_the_index_is_refused_whole);
	RUN(flags_of_the_index_are_kept_and_published);
	RUN(a_held_lock_ends_in_a_timeout_and_nothing_changes);
	RUN(changes_of_several_processes_at_once_are_not_lost);
	RUN(a_killed_process_leaves_what_the_next_one_repairs);
	return TEST_RESULT();
}
