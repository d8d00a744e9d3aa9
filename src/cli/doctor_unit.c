/*
 * doctor_unit.c - `firstalloc doctor NAME.service`: the executable of a systemd unit, and which of its
 * settings keep the library or the index away. What a sandbox leaves visible and loadable does not matter:
 * the gate uses only what the dynamic linker has just used.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/parse.h"
#include "base/paths.h"
#include "cli/doctor.h"
#include "cli/rules.h"
#include "cli/setup.h"
#include "cli/status.h"
#include "format/package_format.h"

enum { SHOW_MAX = 1 << 20, SMALL_AS = 16 * (256 << 10), GROUND_AS = 12 << 20 };

bool fa_doctor_is_unit(const char *name)
{
	static const char *const ends[] = {".service", ".socket", ".timer", ".mount", ".path"};
	size_t len = strlen(name);

	for (size_t i = 0; strchr(name, '/') == NULL && i < sizeof(ends) / sizeof(ends[0]); i++)
		if (len > strlen(ends[i]) && strcmp(name + len - strlen(ends[i]), ends[i]) == 0)
			return true;
	return false;
}

/* What systemctl prints; *ret is malloced. -ENOENT there is none, -EIO it failed. */
static int ask_systemctl(const char *unit, char **ret)
{
	static const char list[] =
		"--property=LoadState,ExecStart,User,RootDirectory,RootImage,InaccessiblePaths,"
		"NoExecPaths,ExecPaths,TemporaryFileSystem,BindReadOnlyPaths,BindPaths,LimitAS,ControlGroup,Slice";
	char *text = malloc(SHOW_MAX + 1);
	int out[2], status = 0;
	size_t have = 0;
	ssize_t n = 1;
	pid_t pid;

	if (text == NULL || pipe2(out, O_CLOEXEC) < 0) {
		free(text);
		return -ENOMEM;
	}
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDERR_FILENO);
		(void)dup2(out[1], STDOUT_FILENO);
		(void)execlp("systemctl", "systemctl", "show", "--no-pager", list, "--", unit,
			     (char *)NULL);
		_exit(127);
	}
	(void)close(out[1]);
	while (pid > 0 && have < SHOW_MAX && n > 0) {
		n = read(out[0], text + have, SHOW_MAX - have);
		have += n > 0 ? (size_t)n : 0;
	}
	(void)close(out[0]);
	text[have] = '\0';
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0) {
		free(text);
		return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : -EIO;
	}
	*ret = text;
	return 0;
}

/* Value of a property, "" where it is not set. */
static char *value_of(const char *text, const char *name, char *buf, size_t size)
{
	size_t len = strlen(name);

	buf[0] = '\0';
	for (const char *p = text; p != NULL && *p != '\0';) {
		if (strncmp(p, name, len) == 0 && p[len] == '=') {
			(void)snprintf(buf, size, "%.*s", (int)strcspn(p + len + 1, "\n"),
				       p + len + 1);
			break;
		}
		p = strchr(p, '\n');
		p += p != NULL;
	}
	return buf;
}

/* "PATH", "-PATH", "PATH:options" in a list divided by blanks: does one cover `path`? */
static bool covers(const char *list, const char *path)
{
	char words[4096], *rest = NULL;

	(void)snprintf(words, sizeof(words), "%s", list);
	for (char *w = strtok_r(words, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest)) {
		size_t len;

		w += strspn(w, "-+");
		w[strcspn(w, ":")] = '\0';
		len = strlen(w);
		while (len > 0 && w[len - 1] == '/')
			len--;
		if (strncmp(path, w, len) == 0 && (path[len] == '/' || path[len] == '\0'))
			return true;
	}
	return false;
}

/* What a process must see, to be traced: files, and what is bound into its root to bring them. */
static const struct {
	const char *path; /* NULL: the library */
	const char *bind; /* NULL: itself */
} needed[] = {{NULL, NULL}, {FA_PATH_PRELOAD, NULL}, {FA_PATH_INDEX, FA_DIR_ETC}, {FA_PATH_BELL, FA_DIR_ETC}};
enum { NEEDED = sizeof(needed) / sizeof(needed[0]) };

static bool has_own_root(const char *text, char *root, size_t size)
{
	(void)value_of(text, "RootDirectory", root, size);
	if (*root == '\0' || strcmp(root, "/") == 0)
		(void)value_of(text, "RootImage", root, size);
	return *root != '\0' && strcmp(root, "/") != 0;
}

/* A folder as root may have all of it; what is empty is where something was bound once. */
static bool is_in(const char *root, const char *path)
{
	char full[2048];
	struct stat st;
	int n = snprintf(full, sizeof(full), "%s%s", root, path);

	return n > 0 && (size_t)n < sizeof(full) && stat(full, &st) == 0 &&
	       (st.st_size > 0 || strcmp(path, FA_PATH_BELL) == 0);
}

/* Files that another root or a tmpfs hides: bound back. */
static void check_hidden(struct fa_doctor *d, const char *text, const char *library)
{
	char root[1024], tmpfs[8192], binds[16384], cure[1024] = "";
	bool own_root = has_own_root(text, root, sizeof(root));
	size_t len;

	(void)value_of(text, "TemporaryFileSystem", tmpfs, sizeof(tmpfs));
	(void)value_of(text, "BindReadOnlyPaths", binds, sizeof(binds) / 2);
	len = strlen(binds);
	binds[len++] = ' ';
	(void)value_of(text, "BindPaths", binds + len, sizeof(binds) - len);
	for (size_t i = 0; i < NEEDED; i++) {
		const char *path = needed[i].path != NULL ? needed[i].path : library;
		const char *bind = needed[i].bind != NULL ? needed[i].bind : path;

		if (own_root ? is_in(root, path) : !covers(tmpfs, path))
			continue;
		if (covers(binds, path) || covers(cure, bind))
			continue;
		fa_doctor_say(d, FA_VERDICT_PROBLEM, own_root ? "root" : "sandbox", "see below",
			      own_root ? "it runs in %s, where %s is not to be seen"
				       : "TemporaryFileSystem=%s hides %s",
			      own_root ? root : tmpfs, path);
		len = strlen(cure);
		(void)snprintf(cure + len, sizeof(cure) - len, "%s%s", len > 0 ? " " : "", bind);
	}
	if (*cure != '\0')
		fa_buf_printf(&d->drop_in, "BindReadOnlyPaths=%s\n", cure);
	else if (own_root)
		fa_doctor_say(d, FA_VERDICT_OK, "root", NULL, "%s, with our files in it", root);
}

/* Nothing can be bound over what is made inaccessible: the list begins anew, without what hides our files. */
static void check_inaccessible(struct fa_doctor *d, const char *text, const char *library)
{
	FA_CLEANUP(fa_buf_done) struct fa_buf rest = {0};
	char list[8192], *next = NULL;
	bool hides = false;

	(void)value_of(text, "InaccessiblePaths", list, sizeof(list));
	for (char *w = strtok_r(list, " ", &next); w != NULL; w = strtok_r(NULL, " ", &next)) {
		const char *hidden = NULL;

		for (size_t i = 0; i < NEEDED && hidden == NULL; i++)
			if (covers(w, needed[i].path != NULL ? needed[i].path : library))
				hidden = needed[i].path != NULL ? needed[i].path : library;
		if (hidden != NULL)
			fa_doctor_say(d, FA_VERDICT_PROBLEM, "sandbox", "see below",
				      "InaccessiblePaths=%s hides %s", w, hidden);
		else
			fa_buf_printf(&rest, "InaccessiblePaths=%s\n", w);
		hides |= hidden != NULL;
	}
	if (hides)
		fa_buf_printf(&d->drop_in, "InaccessiblePaths=\n%s", rest.len > 0 ? rest.data : "");
}

static void check_exec(struct fa_doctor *d, const char *text, const char *library)
{
	char list[8192], exec[8192];

	(void)value_of(text, "NoExecPaths", list, sizeof(list));
	(void)value_of(text, "ExecPaths", exec, sizeof(exec));
	if (!covers(list, library) || covers(exec, library))
		return;
	fa_doctor_say(d, FA_VERDICT_PROBLEM, "sandbox", "see below",
		      "NoExecPaths=%s keeps %s from being loaded: it prints a line at its start", list,
		      library);
	fa_buf_printf(&d->drop_in, "ExecPaths=%s\n", library);
}

static void check_limit(struct fa_doctor *d, const char *text)
{
	char value[64];
	uint64_t limit;

	if (fa_parse_u64(value_of(text, "LimitAS", value, sizeof(value)), &limit) < 0 ||
	    limit >= SMALL_AS)
		return;
	fa_doctor_say(d, FA_VERDICT_PROBLEM, "sandbox", "see below",
		      "LimitAS=%s leaves no room for the buffers", value);
	fa_buf_printf(&d->drop_in, "LimitAS=%u\n", SMALL_AS + GROUND_AS);
}

/* As a section of a file that `systemctl edit` makes. */
static void begin_drop_in(struct fa_doctor *d, const char *unit)
{
	const char *kind = strrchr(unit, '.') + 1;

	fa_buf_printf(&d->drop_in, "[%c%s]\n", toupper((unsigned char)*kind), kind + 1);
}

static uint32_t user_of(const char *text)
{
	char name[256];
	uint32_t uid = 0;

	if (*value_of(text, "User", name, sizeof(name)) == '\0' || fa_rules_user(name, &uid) < 0)
		return 0;
	return uid;
}

/* "{ path=/usr/sbin/nginx ; argv[]=..." */
static bool executable_of(const char *text, char *ret, size_t size)
{
	char value[8192];
	const char *at = strstr(value_of(text, "ExecStart", value, sizeof(value)), "path=");

	if (at == NULL)
		return false;
	(void)snprintf(ret, size, "%.*s", (int)strcspn(at + 5, " ;"), at + 5);
	return *ret == '/';
}

/* As its processes have it, or would: a service that does not run has none. */
static void cgroup_of(const char *text, const char *unit, char *ret, size_t size)
{
	char group[4096], slice[256];

	if (*value_of(text, "ControlGroup", group, sizeof(group)) != '\0')
		(void)snprintf(ret, size, "0::%s\n", group);
	else
		(void)snprintf(ret, size, "0::/%s/%s\n", value_of(text, "Slice", slice, sizeof(slice)), unit);
}

int fa_doctor_unit(struct fa_doctor *d, const struct fa_status *s, const char *unit)
{
	const char *library = fa_setup_library_path(d->cli->root);
	char path[4096], real[4097], state[64], cgroup[FA_CGROUP_TEXT_MAX], *text = NULL;
	uint32_t options;
	size_t before;
	int e = ask_systemctl(unit, &text);

	if (e < 0)
		return fa_fail(FA_EXIT_FAILED, "%s: %s", unit,
			       e == -ENOENT ? "there is no systemctl here"
					    : "systemctl does not answer; does systemd run here?");
	if (strcmp(value_of(text, "LoadState", state, sizeof(state)), "loaded") != 0) {
		free(text);
		return fa_fail(FA_EXIT_NOT_FOUND, "%s: systemd knows no such unit", unit);
	}
	if (!executable_of(text, path, sizeof(path))) {
		free(text);
		return fa_fail(FA_EXIT_NOT_FOUND, "%s has no ExecStart=", unit);
	}
	if (realpath(path, real) == NULL)
		(void)snprintf(real, sizeof(real), "%s", path);
	cgroup_of(text, unit, cgroup, sizeof(cgroup));
	options = fa_doctor_rule(d, real, fa_base_name(path), cgroup, user_of(text));
	fa_doctor_program(d, real, options);
	begin_drop_in(d, unit);
	before = d->drop_in.len;
	check_hidden(d, text, library);
	check_inaccessible(d, text, library);
	check_exec(d, text, library);
	check_limit(d, text);
	if (d->drop_in.len == before)
		fa_buf_clear(&d->drop_in);
	fa_doctor_ground(d);
	fa_doctor_session(d, s, fa_base_name(real), user_of(text));
	free(text);
	return 0;
}
