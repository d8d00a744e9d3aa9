/*
 * cmd_install.c - `firstalloc install`: make every program that starts from now on look itself up.
 *
 * Order: write down what will be made, library to a new inode, test it, rename it into place, account,
 * folders, empty index, and last the line in /etc/ld.so.preload. A library that any of the test
 * programs does not take is never named there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/paths.h"
#include "cli/command.h"
#include "cli/setup.h"
#include "registry/registry.h"

static struct {
	const char *library;
	bool force;
} opt;

static const struct fa_option options[] = {
	{0, "library", "FILE", FA_OPT_STRING, &opt.library,
	 "the preload library to install (default: the one beside this program)", NULL},
	{0, "force", NULL, FA_OPT_FLAG, &opt.force,
	 "install although 32-bit programs will print a line at each start", NULL},
	{0},
};

struct install {
	const struct fa_cli *cli;
	bool machine; /* no --root */
	struct fa_facts facts;
	char source[PATH_MAX];
	char final[PATH_MAX]; /* below root */
	char source_32[PATH_MAX];
	const char *place_32[FA_SETUP_32_PLACES];
	int places_32;    /* 0: no 32-bit programs here, or forced */
	const char *line; /* what ld.so.preload will say */
	bool facts_there; /* an earlier install wrote them */
	bool placed;      /* the library is there: what follows is undone by uninstall */
	bool copied;
	bool line_added;
	bool line_there;
	bool made_group;
	bool made_user;
};

/* -------- where the library is and where it goes -------- */

static bool file_at(char *buf, const char *folder, const char *name)
{
	return snprintf(buf, PATH_MAX, "%s/%s", folder, name) < PATH_MAX && access(buf, R_OK) == 0;
}

static int find_source(struct install *in)
{
	char folder[PATH_MAX];
	ssize_t n;
	char *slash;

	if (opt.library) {
		if (!realpath(opt.library, in->source))
			return fa_fail(fa_exit_of(-errno), "%s: %s", opt.library, strerror(errno));
		return 0;
	}
	n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
	folder[n > 0 ? n : 0] = '\0';
	slash = strrchr(folder, '/');
	if (slash)
		*slash = '\0';
	if (file_at(in->source, folder, "../lib/firstalloc/" FA_SHIM_NAME) ||
	    file_at(in->source, folder, FA_SHIM_NAME))
		return 0;
	if (access(in->final, R_OK) == 0) {
		(void)snprintf(in->source, sizeof(in->source), "%s", in->final);
		return 0;
	}
	return fa_fail(
		FA_EXIT_NOT_FOUND,
		"%s is neither beside this program nor in ../lib/firstalloc; build it or name "
		"it with --library",
		FA_SHIM_NAME);
}

/* The 32-bit library lies beside the other one, or is in its place already. */
static bool have_32bit(struct install *in, const char *place)
{
	const char *slash = strrchr(in->source, '/');
	char full[PATH_MAX];

	if (snprintf(in->source_32, sizeof(in->source_32), "%.*s/%s", (int)(slash - in->source),
		     in->source, FA_SETUP_32_SOURCE) < PATH_MAX &&
	    fa_setup_is_32bit(in->source_32))
		return true;
	in->source_32[0] = '\0';
	return fa_setup_path(full, in->cli->root, place) == 0 && fa_setup_is_32bit(full);
}

static int choose_line(struct install *in)
{
	bool both;

	in->line = fa_setup_library_path(in->cli->root);
	in->places_32 = fa_setup_32bit_places(in->cli->root, in->place_32);
	if (!in->places_32)
		return 0;
	both = fa_setup_lib_matches(in->line);
	for (int i = 0; i < in->places_32; i++)
		both = both && have_32bit(in, in->place_32[i]);
	if (both) {
		in->line = FA_SETUP_LINE_MULTI;
		return 0;
	}
	in->places_32 = 0;
	if (!opt.force)
		return fa_fail(
			FA_EXIT_FAILED,
			"a 32-bit libc is installed, and each 32-bit program would print a line "
			"at its start: put %s beside %s, or use --force",
			FA_SETUP_32_SOURCE, in->source);
	fa_warn("32-bit programs will print a line on stderr at each start");
	return 0;
}

/* -------- library -------- */

static int refuse(const struct install *in, const char *why)
{
	return fa_fail(FA_EXIT_FAILED, "%s is refused, nothing was changed: with it preloaded %s",
		       in->source, why);
}

static int test_library(const struct install *in, const char *path)
{
	char why[1024];
	bool by_descriptor = !in->machine;

	if (fa_self_test(path, by_descriptor, false, why, sizeof(why)))
		return refuse(in, why);
	if (geteuid() == 0 && fa_self_test(path, by_descriptor, true, why, sizeof(why))) {
		char unprivileged[1200];

		(void)snprintf(unprivileged, sizeof(unprivileged), "%s (as an unprivileged user)",
			       why);
		return refuse(in, unprivileged);
	}
	return 0;
}

/* The library that is in place already, and tested: nothing to copy. */
static bool in_place(const struct install *in)
{
	struct stat st;

	return stat(in->final, &st) == 0 && (st.st_mode & 07777) == 0755 &&
	       fa_setup_same_bytes(in->source, in->final);
}

static int place_library(struct install *in)
{
	char fresh[PATH_MAX + 8];
	int r;

	if (in_place(in)) {
		r = test_library(in, in->final);
		in->placed = !r;
		return r;
	}
	(void)snprintf(fresh, sizeof(fresh), "%s.new", in->final);
	r = fa_setup_copy(in->source, fresh);
	if (r)
		return fa_fail(fa_exit_of(r), "cannot copy %s to %s: %s", in->source, fresh,
			       fa_strerror(r));
	r = test_library(in, fresh);
	if (r) {
		(void)unlink(fresh);
		return r;
	}
	if (rename(fresh, in->final) != 0) {
		r = -errno;
		(void)unlink(fresh);
		return fa_fail(fa_exit_of(r), "cannot rename %s: %s", fresh, fa_strerror(r));
	}
	in->placed = true;
	r = fa_setup_sync_folder_of(in->final);
	if (r)
		return fa_fail(fa_exit_of(r), "cannot flush the folder of %s: %s", in->final,
			       fa_strerror(r));
	in->copied = true;
	return 0;
}

static int place_32bit(struct install *in)
{
	for (int i = 0; in->source_32[0] && i < in->places_32; i++) {
		char final[PATH_MAX], fresh[PATH_MAX + 8];
		int r = fa_setup_path(final, in->cli->root, in->place_32[i]);

		if (!r && fa_setup_same_bytes(in->source_32, final))
			continue;
		(void)snprintf(fresh, sizeof(fresh), "%s.new", final);
		if (!r)
			r = fa_setup_copy(in->source_32, fresh);
		if (!r && rename(fresh, final) != 0)
			r = -errno;
		if (!r)
			r = fa_setup_sync_folder_of(final);
		if (r)
			return fa_fail(fa_exit_of(r), "cannot copy %s to %s: %s", in->source_32,
				       final, fa_strerror(r));
	}
	return 0;
}

/* What $LIB means is libc's affair: try the very words of the line. */
static int test_line(const struct install *in)
{
	char why[1024];

	if (!in->places_32 || !in->machine ||
	    !fa_self_test(in->line, false, false, why, sizeof(why)))
		return 0;
	return fa_fail(FA_EXIT_FAILED, "%s gets no line: with '%s' preloaded %s", FA_PATH_PRELOAD,
		       in->line, why);
}

/* -------- accounts, folders, index -------- */

static int make_accounts(struct install *in)
{
	int r;

	if (!in->machine || geteuid() != 0)
		return 0;
	r = fa_accounts_add_group(FA_GROUP);
	in->made_group = r > 0;
	if (r >= 0) {
		r = fa_accounts_add_user(FA_USER, "firstalloc collector");
		in->made_user = r > 0;
	}
	if (r < 0)
		return fa_fail(fa_exit_of(r), "cannot add user %s and group %s: %s", FA_USER,
			       FA_GROUP, fa_strerror(r));
	return 0;
}

static int make_folder(const struct install *in, const char *path, mode_t mode)
{
	char full[PATH_MAX];
	int r = fa_setup_path(full, in->cli->root, path);

	if (!r)
		r = fa_make_dirs(full, mode);
	if (r)
		return fa_fail(fa_exit_of(r), "cannot make the folder %s: %s", path,
			       fa_strerror(r));
	return 0;
}

/* An empty file that flagged programs open; its folder is what the doorman watches. */
static int make_bell(const struct install *in)
{
	char full[PATH_MAX];
	int r = fa_setup_path(full, in->cli->root, FA_PATH_BELL);

	if (!r) {
		FA_CLEANUP(fa_close)
		int fd = open(full, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);

		if (fd < 0 || fchmod(fd, 0644) != 0)
			r = -errno;
	}
	return r ? fa_fail(fa_exit_of(r), "%s: %s", FA_PATH_BELL, fa_strerror(r)) : 0;
}

/* Opening for writing makes the database and publishes its index, empty when it is new. */
static int make_index(const struct install *in)
{
	FA_CLEANUP(fa_registry_close) struct fa_registry *registry = NULL;
	int r = fa_registry_open(in->cli->root, FA_REGISTRY_WRITE, &registry);

	if (!r)
		r = fa_registry_publish(registry);
	if (r < 0)
		return fa_fail(fa_exit_of(r), "cannot publish the registry %s%s: %s", in->cli->root,
			       FA_PATH_DB, fa_strerror(r));
	return 0;
}

static int make_folders(const struct install *in)
{
	int r = make_folder(in, FA_DIR_ETC, 0755);

	if (!r)
		r = make_folder(in, "/etc/firstalloc/door", 0755);
	return r ? r : make_bell(in);
}

/* -------- the line -------- */

static int add_line(struct install *in)
{
	FA_CLEANUP(fa_buf_done) struct fa_buf text = {0};
	char path[PATH_MAX];
	char *old = NULL;
	size_t len = 0;
	int r = fa_setup_path(path, in->cli->root, FA_PATH_PRELOAD);

	if (!r)
		r = fa_read_file(path, 1 << 20, &old, &len);
	if (r && r != -ENOENT)
		return fa_fail(fa_exit_of(r), "%s: %s", path, fa_strerror(r));
	if (!r && fa_preload_has(old, len, in->line)) {
		in->line_there = true;
		free(old);
		return 0;
	}
	fa_preload_add(old ? old : "", len, in->line, &text);
	free(old);
	r = text.error ? text.error : fa_setup_rewrite(path, text.data, text.len, 0644);
	if (r == -ELOOP)
		return fa_fail(FA_EXIT_FAILED,
			       "%s is a symbolic link; put the line '%s' into its target by hand",
			       path, in->line);
	if (r)
		return fa_fail(fa_exit_of(r), "cannot write %s: %s", path, fa_strerror(r));
	in->line_added = true;
	return 0;
}

/*
 * A line that is there but leads to a library that is not, or that is damaged: every program prints, our test
 * programs too, and no library would ever pass. So it goes first, and comes back at the end.
 */
static int take_out_broken_line(const struct install *in)
{
	FA_CLEANUP(fa_buf_done) struct fa_buf text = {0};
	char path[PATH_MAX], why[1024], *old = NULL;
	size_t len = 0;
	int found = 0;
	int r = fa_setup_path(path, in->cli->root, FA_PATH_PRELOAD);

	if (!r)
		r = fa_read_file(path, 1 << 20, &old, &len);
	if (!r)
		found = fa_preload_remove(old, len, &text);
	free(old);
	if (!found || (access(in->final, F_OK) == 0 &&
		       !fa_self_test(in->final, !in->machine, false, why, sizeof(why))))
		return 0;
	r = text.error ? text.error
		       : fa_setup_rewrite(path, text.data ? text.data : "", text.len, 0644);
	return r ? fa_fail(fa_exit_of(r), "cannot write %s: %s", path, fa_strerror(r)) : 0;
}

/* -------- all of it -------- */

/* An empty one is of an install that was killed before it had written down that it is ours. */
static bool state_was_there(const char *root)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	bool found = false;
	DIR *d;

	if (fa_setup_path(path, root, FA_DIR_STATE))
		return false;
	d = opendir(path);
	while (d && !found && (entry = readdir(d)))
		found = entry->d_name[0] != '.' &&
			strcmp(entry->d_name, FA_SETUP_FACTS_NAME FA_SETUP_FRESH) != 0;
	if (d)
		(void)closedir(d);
	return found;
}

/* What is missing now will have been made by us, unless an earlier install says otherwise. */
static int write_facts(struct install *in)
{
	const char *root = in->cli->root;
	struct fa_facts *f = &in->facts;
	bool state_missing = !state_was_there(root);
	int r = fa_facts_load(root, f);

	if (r)
		return fa_fail(fa_exit_of(r), "%s%s: %s", root, FA_SETUP_FACTS, fa_strerror(r));
	in->facts_there = fa_setup_exists(root, FA_SETUP_FACTS);
	f->state_dir = f->state_dir || state_missing;
	f->etc_dir = f->etc_dir || !fa_setup_exists(root, FA_DIR_ETC);
	f->log_dir = f->log_dir || !fa_setup_exists(root, FA_DIR_LOG);
	f->library = f->library || access(in->final, F_OK) != 0;
	for (int i = 0; i < in->places_32; i++) {
		bool missing = !fa_setup_exists(root, in->place_32[i]);

		if (strstr(in->place_32[i], "/lib32/"))
			f->library_lib32 = f->library_lib32 || missing;
		else
			f->library_i386 = f->library_i386 || missing;
	}
	f->preload_file = f->preload_file || !fa_setup_exists(root, FA_PATH_PRELOAD);
	if (in->machine && geteuid() == 0) {
		f->group = f->group || !getgrnam(FA_GROUP);
		f->user = f->user || !fa_accounts_has_user(FA_USER);
		f->pwd_lock = f->pwd_lock || access("/etc/.pwd.lock", F_OK) != 0;
	}
	(void)snprintf(f->library_path, sizeof(f->library_path), "%s", fa_setup_library_path(root));
	r = make_folder(in, FA_DIR_STATE, 0755);
	if (r)
		return r;
	r = fa_facts_save(root, f);
	return r ? fa_fail(fa_exit_of(r), "cannot write %s%s: %s", root, FA_SETUP_FACTS,
			   fa_strerror(r))
		 : 0;
}

static int install_all(struct install *in)
{
	int r = write_facts(in);

	if (!r)
		r = take_out_broken_line(in);
	if (!r)
		r = place_library(in);
	if (!r)
		r = make_accounts(in);
	if (!r)
		r = make_folders(in);
	if (!r)
		r = make_index(in);
	if (!r)
		r = place_32bit(in);
	if (!r)
		r = test_line(in);
	return r ? r : add_line(in);
}

/* A library that was refused leaves nothing behind on a machine that had nothing before. */
static void take_back(const struct install *in)
{
	char path[PATH_MAX];

	if (in->facts_there || in->placed)
		return;
	if (fa_setup_path(path, in->cli->root, FA_SETUP_FACTS) == 0)
		(void)unlink(path);
	if (in->facts.state_dir && fa_setup_path(path, in->cli->root, FA_DIR_STATE) == 0)
		(void)rmdir(path);
}

static void tell(const struct install *in)
{
	const char *root = in->cli->root;

	if (in->cli->json) {
		struct fa_json j;

		fa_json_init(&j, stdout, true);
		fa_json_object(&j, NULL);
		fa_json_string(&j, "library", in->final);
		fa_json_bool(&j, "library_copied", in->copied);
		fa_json_string(&j, "line", in->line);
		fa_json_bool(&j, "line_added", in->line_added);
		fa_json_bool(&j, "group_added", in->made_group);
		fa_json_bool(&j, "user_added", in->made_user);
		fa_json_end_object(&j);
		fa_json_newline(&j);
		return;
	}
	printf("library  %s (%s, tested)\n", in->final, in->copied ? "copied" : "was there");
	if (in->made_group || in->made_user)
		printf("account  %s%s%s added\n", in->made_user ? "user " FA_USER : "",
		       in->made_user && in->made_group ? ", " : "",
		       in->made_group ? "group " FA_GROUP : "");
	printf("line     %s%s (%s)\n", root, FA_PATH_PRELOAD,
	       in->line_there ? "was there" : "added");
	if (*root)
		return;
	printf("Programs that start from now on look themselves up; none is traced before:\n"
	       "  firstalloc enable NAME      which program\n"
	       "  firstalloc start SESSION    where to\n");
}

static int run_install(const struct fa_cli *cli, int argc, char **argv)
{
	static struct install in;
	int r;

	if (argc)
		return fa_usage(cli, "install takes no operand: '%s'", argv[0]);
	in.cli = cli;
	in.machine = !*cli->root;
	if (in.machine && geteuid() != 0)
		return fa_fail(FA_EXIT_DENIED, "install needs root: sudo firstalloc install");
	if (*cli->root && access(cli->root, F_OK) != 0)
		return fa_fail(FA_EXIT_NOT_FOUND, "--root %s: %s", cli->root, strerror(errno));
	r = fa_setup_path(in.final, cli->root, fa_setup_library_path(cli->root));
	if (r)
		return fa_fail(FA_EXIT_FAILED, "%s: %s", cli->root, fa_strerror(r));
	(void)umask(022);
	r = find_source(&in);
	if (!r)
		r = choose_line(&in);
	if (!r && !in.machine) {
		char folder[PATH_MAX];

		(void)snprintf(folder, sizeof(folder), "%s", fa_setup_library_path(cli->root));
		*strrchr(folder, '/') = '\0';
		r = make_folder(&in, folder, 0755);
		if (!r)
			r = make_folder(&in, "/etc", 0755);
	}
	if (!r)
		r = install_all(&in);
	if (r)
		take_back(&in);
	else
		tell(&in);
	return r;
}

const struct fa_command fa_cmd_install = {
	.name = "install",
	.group = "Machine",
	.summary = "let every program that starts from now on look itself up in the registry",
	.synopsis = "[--library FILE] [--force]",
	.description =
		"Copies the preload library to the folder of libc, tries it on a few programs, as "
		"root "
		"and as an unprivileged user, and adds its line to /etc/ld.so.preload. Other lines "
		"stay "
		"as they are. A library that a test program does not take is refused. May be "
		"repeated; "
		"after an update it puts the new library in place of the old one.\n\n"
		"The library stays dormant in programs that no rule names.\n\n"
		"What was not there before is written down in /var/lib/firstalloc/installed; "
		"firstalloc uninstall takes exactly that away.",
	.examples = "sudo firstalloc install\n"
		    "firstalloc doctor            # is everything in place?\n",
	.options = options,
	.run = run_install,
};
