/*
 * cmd_uninstall.c - `firstalloc uninstall`: take the line out, disarm everything, remove what install
 * made, and nothing else. The line goes first: from then on no program asks for the library. What
 * tells us what to remove goes last, so that a second run finishes what a first one began.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/paths.h"
#include "cli/command.h"
#include "cli/setup.h"
#include "format/trace_format.h"
#include "registry/registry.h"

static struct {
	bool purge;
} opt;

static const struct fa_option options[] = {
	{0, "purge", NULL, FA_OPT_FLAG, &opt.purge,
	 "also remove traces in /var/lib/firstalloc and /var/log/firstalloc, and the settings",
	 NULL},
	{0},
};

struct uninstall {
	const struct fa_cli *cli;
	struct fa_facts facts;
	bool had_facts;
	bool line_removed;
	unsigned removed; /* files and folders */
	unsigned kept;    /* traces */
	int error;        /* the first that could not be removed */
	char error_path[PATH_MAX];
};

static void note_error(struct uninstall *un, const char *path, int error)
{
	if (un->error || !error)
		return;
	un->error = error;
	(void)snprintf(un->error_path, sizeof(un->error_path), "%s", path);
}

static void remove_full(struct uninstall *un, const char *full)
{
	if (unlink(full) == 0)
		un->removed++;
	else if (errno != ENOENT && errno != ENOTDIR)
		note_error(un, full, -errno);
}

static void remove_file(struct uninstall *un, const char *path)
{
	char full[PATH_MAX];

	if (fa_setup_path(full, un->cli->root, path) == 0)
		remove_full(un, full);
}

/* A folder that is not empty holds what is not ours. */
static void remove_folder(struct uninstall *un, const char *path)
{
	char full[PATH_MAX];

	if (fa_setup_path(full, un->cli->root, path))
		return;
	if (rmdir(full) == 0)
		un->removed++;
	else if (errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
		note_error(un, full, -errno);
}

/* -------- the line -------- */

static int remove_line(struct uninstall *un)
{
	FA_CLEANUP(fa_buf_done) struct fa_buf text = {0};
	char path[PATH_MAX];
	char *old = NULL;
	size_t len = 0;
	int r = fa_setup_path(path, un->cli->root, FA_PATH_PRELOAD);
	int words = 0;

	if (!r)
		r = fa_read_file(path, 1 << 20, &old, &len);
	if (r == -ENOENT)
		return 0;
	if (!r) {
		words = fa_preload_remove(old, len, &text);
		r = text.error;
	}
	if (!r && !text.len && un->facts.preload_file) {
		r = unlink(path) == 0 ? fa_setup_sync_folder_of(path) : -errno;
	} else if (!r && words) {
		r = fa_setup_rewrite(path, text.data ? text.data : "", text.len, 0644);
	}
	free(old);
	if (r)
		return fa_fail(fa_exit_of(r),
			       "cannot take the line out of %s: %s; nothing else was changed", path,
			       fa_strerror(r));
	un->line_removed = words > 0;
	return 0;
}

/* -------- the daemon -------- */

static void run_quietly(const char *const *argv)
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		(void)execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The keeper's process by its pid file, if that is still a firstallocd. */
static pid_t daemon_pid(const char *root)
{
	char path[PATH_MAX], comm[64];
	char *text = NULL, *name = NULL;
	size_t len;
	uint32_t pid = 0;

	if (fa_setup_path(path, root, FA_PATH_PID) || fa_read_file(path, 64, &text, &len))
		return 0;
	text[strcspn(text, " \n")] = '\0';
	if (fa_parse_u32(text, &pid))
		pid = 0;
	free(text);
	(void)snprintf(comm, sizeof(comm), "/proc/%u/comm", pid);
	if (pid && !fa_read_file(comm, 64, &name, &len) && strncmp(name, "firstallocd", 11) != 0)
		pid = 0;
	if (!name)
		pid = 0;
	free(name);
	return (pid_t)pid;
}

/* It would publish the index again. It writes its traces to the end before it goes. */
static void stop_daemon(struct uninstall *un)
{
	static const char *const disable[] = {"systemctl", "disable", "--now",
					      "firstallocd.service", NULL};
	const struct timespec pause = {0, 50000000L};
	pid_t pid;

	if (!*un->cli->root && access("/run/systemd/system", F_OK) == 0)
		run_quietly(disable);
	pid = daemon_pid(un->cli->root);
	if (!pid)
		return;
	if (kill(pid, SIGTERM) != 0) {
		fa_warn("firstallocd (process %d) cannot be stopped: %s", (int)pid,
			strerror(errno));
		return;
	}
	for (int i = 0; i < 200 && kill(pid, 0) == 0; i++)
		(void)nanosleep(&pause, NULL);
	if (kill(pid, 0) == 0)
		fa_warn("firstallocd (process %d) did not end within 10 seconds", (int)pid);
}

/* -------- rules and what we made -------- */

/* First an empty index: a program that starts between here and the end is not flagged. */
static void disarm(struct uninstall *un)
{
	FA_CLEANUP(fa_registry_close) struct fa_registry *registry = NULL;
	struct fa_rule_filter all = {0};
	uint32_t removed;
	int r = 0;

	if (fa_setup_exists(un->cli->root, FA_PATH_DB))
		r = fa_registry_open(un->cli->root, FA_REGISTRY_WRITE, &registry);
	if (!r && registry)
		r = fa_registry_remove(registry, &all, NULL, &removed);
	/* Without the index nothing is flagged either; the database goes below. */
	if (r)
		fa_warn("%s%s: %s; removed as it is", un->cli->root, FA_PATH_DB, fa_strerror(r));
	remove_file(un, FA_PATH_INDEX);
}

static bool is_trace(int folder, const char *name)
{
	char magic[sizeof(FA_TRACE_MAGIC) - 1];
	FA_CLEANUP(fa_close) int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && fa_read_all(fd, magic, sizeof(magic)) == 0 &&
	       !memcmp(magic, FA_TRACE_MAGIC, sizeof(magic));
}

static void close_folder(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static void empty_open_folder(struct uninstall *un, int fd, const char *but, int depth);

/* One entry of a folder of ours; traces are somebody's work and stay unless purged. */
static void remove_entry(struct uninstall *un, int folder, const char *name, int depth)
{
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	if (S_ISDIR(st.st_mode)) {
		if (depth)
			empty_open_folder(un,
					  openat(folder, name,
						 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
					  NULL, depth - 1);
		if (unlinkat(folder, name, AT_REMOVEDIR) == 0)
			un->removed++;
		return;
	}
	if (!opt.purge && S_ISREG(st.st_mode) && is_trace(folder, name)) {
		un->kept++;
		return;
	}
	if (unlinkat(folder, name, 0) == 0)
		un->removed++;
	else
		note_error(un, name, -errno);
}

/* Takes the descriptor; -1 is fine. */
static void empty_open_folder(struct uninstall *un, int fd, const char *but, int depth)
{
	FA_CLEANUP(close_folder) DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	if (!d) {
		fa_close(&fd);
		return;
	}
	while ((entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    (!but || strcmp(entry->d_name, but) != 0))
			remove_entry(un, dirfd(d), entry->d_name, depth);
}

static void empty_folder(struct uninstall *un, const char *path, const char *but)
{
	enum { DEPTH = 4 };
	char full[PATH_MAX];

	if (fa_setup_path(full, un->cli->root, path))
		return;
	empty_open_folder(un, open(full, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), but,
			  DEPTH);
}

/* What a process that was killed while publishing left beside the index. */
static void remove_index_leftovers(struct uninstall *un)
{
	char full[PATH_MAX];
	FA_CLEANUP(close_folder) DIR *d = NULL;
	const struct dirent *entry;

	if (fa_setup_path(full, un->cli->root, FA_DIR_ETC))
		return;
	d = opendir(full);
	while (d && (entry = readdir(d)))
		if (strstr(entry->d_name, "registry.idx") &&
		    unlinkat(dirfd(d), entry->d_name, 0) == 0)
			un->removed++;
}

static bool written_by_autologger(int folder, const char *name)
{
	static const char mark[] = "; Written by 'firstalloc ";
	char start[sizeof(mark) - 1];
	FA_CLEANUP(fa_close) int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && fa_read_all(fd, start, sizeof(start)) == 0 &&
	       !memcmp(start, mark, sizeof(start));
}

/* Drop-ins that `autologger` and `boot` wrote; those that somebody typed stay. */
static void remove_drop_ins(struct uninstall *un)
{
	char full[PATH_MAX];
	FA_CLEANUP(close_folder) DIR *d = NULL;
	const struct dirent *entry;
	unsigned before = un->removed;

	if (fa_setup_path(full, un->cli->root, FA_DIR_INI))
		return;
	d = opendir(full);
	while (d && (entry = readdir(d)))
		if (!strncmp(entry->d_name, "zz", 2) &&
		    written_by_autologger(dirfd(d), entry->d_name) &&
		    unlinkat(dirfd(d), entry->d_name, 0) == 0)
			un->removed++;
	if (un->removed != before)
		remove_folder(un, FA_DIR_INI);
}

static void remove_etc(struct uninstall *un)
{
	/* What enabling the unit made; `systemctl disable` is not to be had in every root. */
	remove_file(un, "/etc/systemd/system/sysinit.target.wants/firstallocd.service");
	remove_drop_ins(un);
	remove_index_leftovers(un);
	remove_file(un, FA_OFF_PATH);
	remove_file(un, FA_PATH_EARLY);
	remove_file(un, FA_PATH_BELL);
	remove_folder(un, "/etc/firstalloc/door");
	if (opt.purge) {
		empty_folder(un, FA_DIR_INI, NULL);
		remove_folder(un, FA_DIR_INI);
		remove_file(un, FA_PATH_INI);
	}
	if (un->facts.etc_dir)
		remove_folder(un, FA_DIR_ETC);
}

static void remove_run(struct uninstall *un)
{
	if (daemon_pid(un->cli->root))
		return;
	empty_folder(un, FA_DIR_RUN, NULL);
	remove_folder(un, FA_DIR_RUN);
}

static void remove_with_fresh(struct uninstall *un, const char *path, bool ours)
{
	char fresh[PATH_MAX];

	if (ours)
		remove_file(un, path);
	(void)snprintf(fresh, sizeof(fresh), "%s.new", path);
	remove_file(un, fresh);
}

/* Between the loader's look at the list and libc, which comes after the libraries of the list. */
static bool is_loading(int pid)
{
	char path[32], *maps = NULL;
	size_t len;
	bool loading;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	if (fa_read_file(path, 1 << 24, &maps, &len))
		return false;
	loading = strstr(maps, "/ld-linux") && !strstr(maps, "/libc.so");
	free(maps);
	return loading;
}

/* Who read the list while our line was in it may not have opened the library yet, and would print that it is
 * not there. Who starts from now on knows nothing of it. */
static void wait_for_loaders(void)
{
	enum { TURNS = 400, LOADERS = 256 };
	const struct timespec pause = {0, 5000000L};
	FA_CLEANUP(close_folder) DIR *d = opendir("/proc");
	const struct dirent *entry;
	int pid[LOADERS];
	size_t count = 0;

	while (d && count < LOADERS && (entry = readdir(d))) {
		uint32_t number;

		if (!fa_parse_u32(entry->d_name, &number) && is_loading((int)number))
			pid[count++] = (int)number;
	}
	for (int turn = 0; turn < TURNS && count; turn++) {
		if (is_loading(pid[count - 1]))
			(void)nanosleep(&pause, NULL);
		else
			count--;
	}
}

static void remove_library(struct uninstall *un)
{
	if (!*un->cli->root)
		wait_for_loaders();
	if (*un->facts.library_path)
		remove_with_fresh(un, un->facts.library_path, un->facts.library);
	remove_with_fresh(un, "/usr/lib32/" FA_SHIM_NAME, un->facts.library_lib32);
	remove_with_fresh(un, "/usr/lib/i386-linux-gnu/" FA_SHIM_NAME, un->facts.library_i386);
}

/* A run that was killed while it rewrote one of these: what is not rewritten now, nobody else takes away. */
static void remove_fresh(struct uninstall *un)
{
	static const char *const rewritten[] = {
		"/etc/passwd" FA_SETUP_FRESH,  "/etc/shadow" FA_SETUP_FRESH,
		"/etc/group" FA_SETUP_FRESH,   "/etc/gshadow" FA_SETUP_FRESH,
		FA_PATH_PRELOAD FA_SETUP_FRESH,
	};

	for (size_t i = 0; i < sizeof(rewritten) / sizeof(rewritten[0]); i++)
		remove_file(un, rewritten[i]);
}

static void remove_accounts(struct uninstall *un)
{
	int r = 0;

	if (*un->cli->root || geteuid() != 0)
		return;
	if (un->facts.user)
		r = fa_accounts_remove(FA_USER);
	if (!r && un->facts.group)
		r = fa_accounts_remove(FA_GROUP);
	note_error(un, "/etc/passwd", r);
	if (!r && un->facts.pwd_lock)
		remove_file(un, "/etc/.pwd.lock");
}

static void remove_state(struct uninstall *un)
{
	empty_folder(un, FA_DIR_LOG, NULL);
	if (un->facts.log_dir)
		remove_folder(un, FA_DIR_LOG);
	empty_folder(un, FA_DIR_STATE, fa_base_name(FA_SETUP_FACTS));
	if (un->error)
		return; /* a second run needs to know what is ours */
	remove_file(un, FA_SETUP_FACTS);
	/* Without facts: a run was killed right before they were written, or after they were removed. */
	if (un->facts.state_dir || !un->had_facts)
		remove_folder(un, FA_DIR_STATE);
}

static int tell(const struct uninstall *un)
{
	const struct fa_cli *cli = un->cli;

	if (cli->json) {
		struct fa_json j;

		fa_json_init(&j, stdout, true);
		fa_json_object(&j, NULL);
		fa_json_bool(&j, "line_removed", un->line_removed);
		fa_json_u64(&j, "files_removed", un->removed);
		fa_json_u64(&j, "traces_kept", un->kept);
		fa_json_end_object(&j);
		fa_json_newline(&j);
	} else if (!un->line_removed && !un->removed) {
		printf("nothing was installed\n");
	} else {
		printf("line     %s%s (%s)\n", cli->root, FA_PATH_PRELOAD,
		       un->line_removed ? "removed" : "was not there");
		printf("removed  all rules, %u files and folders\n", un->removed);
		if (un->kept)
			printf("kept     %u traces in %s and %s (--purge removes them)\n", un->kept,
			       FA_DIR_STATE, FA_DIR_LOG);
		if (!*cli->root)
			printf("Programs that run keep the library until they end.\n");
	}
	if (un->error)
		return fa_fail(FA_EXIT_USAGE, "%s: %s; mend that and run it again", un->error_path,
			       fa_strerror(un->error));
	return FA_EXIT_OK;
}

static int run_uninstall(const struct fa_cli *cli, int argc, char **argv)
{
	static struct uninstall un;
	int r;

	if (argc)
		return fa_usage(cli, "uninstall takes no operand: '%s'", argv[0]);
	if (!*cli->root && geteuid() != 0)
		return fa_fail(FA_EXIT_DENIED, "uninstall needs root: sudo firstalloc uninstall");
	un.cli = cli;
	(void)umask(022);
	r = fa_facts_load(cli->root, &un.facts);
	if (r)
		return fa_fail(fa_exit_of(r), "%s%s: %s", cli->root, FA_SETUP_FACTS,
			       fa_strerror(r));
	un.had_facts = fa_setup_exists(cli->root, FA_SETUP_FACTS);
	r = remove_line(&un);
	if (r)
		return r;
	disarm(&un);
	stop_daemon(&un);
	remove_etc(&un);
	remove_run(&un);
	remove_accounts(&un);
	remove_fresh(&un);
	remove_library(&un);
	remove_state(&un);
	return tell(&un);
}

const struct fa_command fa_cmd_uninstall = {
	.name = "uninstall",
	.group = "Machine",
	.summary = "take everything back that install made, and all rules",
	.synopsis = "[--purge]",
	.description =
		"Takes the line out of /etc/ld.so.preload first, then disarms all rules, stops "
		"firstallocd, and removes the doorbell, the registry, the account and the library, "
		"as "
		"far as firstalloc install made them. Lines of others in /etc/ld.so.preload stay. "
		"Traces stay unless --purge is given; traces elsewhere are never touched.\n\n"
		"Programs that run keep the library mapped until they end.",
	.examples = "sudo firstalloc uninstall\n",
	.options = options,
	.run = run_uninstall,
};
