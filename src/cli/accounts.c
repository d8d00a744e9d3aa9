/*
 * accounts.c - the system user and group, as lines of the four account files.
 *
 * useradd and systemd-sysusers would do, but leave backups (/etc/passwd- and others) behind, and
 * uninstall promises a machine that cannot be told from before. So: the lock that those tools take too
 * (lckpwdf), one line more or less, atomic rename, everything else byte by byte as it was.
 */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/setup.h"

enum { ID_HIGHEST = 999, ID_LOWEST = 101, FILE_MAX = 16 << 20 };

static void free_text(char **text)
{
	free(*text);
}

/* Where a new line goes: at the end, but before the '+' of NIS, which ends the local part. */
static size_t end_of_local_part(const char *text, size_t len)
{
	for (const char *line = text; line < text + len;) {
		const char *newline = strchr(line, '\n');

		if (*line == '+')
			return (size_t)(line - text);
		if (!newline)
			break;
		line = newline + 1;
	}
	return len;
}

static int add_line(const char *path, const char *line)
{
	FA_CLEANUP(free_text) char *text = NULL;
	FA_CLEANUP(fa_buf_done) struct fa_buf out = {0};
	size_t len, at;
	int r = fa_read_file(path, FILE_MAX, &text, &len);

	if (r)
		return r;
	at = end_of_local_part(text, len);
	fa_buf_add(&out, text, at);
	if (at && text[at - 1] != '\n')
		fa_buf_puts(&out, "\n");
	fa_buf_puts(&out, line);
	fa_buf_add(&out, text + at, len - at);
	return out.error ? out.error : fa_setup_rewrite(path, out.data, out.len, 0644);
}

static int remove_line(const char *path, const char *name)
{
	FA_CLEANUP(free_text) char *text = NULL;
	FA_CLEANUP(fa_buf_done) struct fa_buf out = {0};
	size_t len, name_len = strlen(name);
	bool found = false;
	int r = fa_read_file(path, FILE_MAX, &text, &len);

	if (r)
		return r == -ENOENT ? 0 : r;
	for (size_t line = 0; line < len;) {
		const char *newline = memchr(text + line, '\n', len - line);
		size_t end = newline ? (size_t)(newline - text) + 1 : len;

		if (!strncmp(text + line, name, name_len) && text[line + name_len] == ':')
			found = true;
		else
			fa_buf_add(&out, text + line, end - line);
		line = end;
	}
	if (!found || out.error)
		return out.error;
	return fa_setup_rewrite(path, out.data, out.len, 0644);
}

/* One number that is free as user and as group, from the top as Debian's and Fedora's tools do. */
static int free_id(void)
{
	for (int id = ID_HIGHEST; id >= ID_LOWEST; id--)
		if (!getpwuid((uid_t)id) && !getgrgid((gid_t)id))
			return id;
	return -ENOSPC;
}

static int add_group_lines(const char *name, int gid)
{
	char line[128];
	int r;

	(void)snprintf(line, sizeof(line), "%s:x:%d:\n", name, gid);
	r = add_line("/etc/group", line);
	if (!r && access("/etc/gshadow", F_OK) == 0) {
		(void)snprintf(line, sizeof(line), "%s:!*::\n", name);
		r = add_line("/etc/gshadow", line);
	}
	return r;
}

static int add_user_lines(const char *name, const char *full_name, int id, int gid)
{
	char line[256];
	int r;

	(void)snprintf(line, sizeof(line), "%s:x:%d:%d:%s:/nonexistent:/usr/sbin/nologin\n", name,
		       id, gid, full_name);
	r = add_line("/etc/passwd", line);
	if (!r && access("/etc/shadow", F_OK) == 0) {
		(void)snprintf(line, sizeof(line), "%s:!*:%ld::::::\n", name,
			       (long)(time(NULL) / 86400));
		r = add_line("/etc/shadow", line);
	}
	return r;
}

bool fa_accounts_has_user(const char *name)
{
	return getpwnam(name) != NULL;
}

int fa_accounts_add_group(const char *name)
{
	int r;

	if (lckpwdf() != 0)
		return -EBUSY;
	r = 0;
	if (!getgrnam(name)) {
		int gid = free_id();

		r = gid < 0 ? gid : add_group_lines(name, gid);
		r = r ? r : 1;
	}
	(void)ulckpwdf();
	return r;
}

int fa_accounts_add_user(const char *name, const char *full_name)
{
	int r;

	if (lckpwdf() != 0)
		return -EBUSY;
	r = 0;
	if (!getpwnam(name)) {
		const struct group *group = getgrnam(name);
		int gid = group ? (int)group->gr_gid : -1;
		int id = free_id();

		r = id < 0 ? id : 0;
		if (!r && gid < 0) {
			gid = id;
			r = add_group_lines(name, gid);
		}
		if (!r)
			r = add_user_lines(name, full_name, id, gid);
		r = r ? r : 1;
	}
	(void)ulckpwdf();
	return r;
}

int fa_accounts_remove(const char *name)
{
	static const char *const files[] = {"/etc/shadow", "/etc/passwd", "/etc/gshadow",
					    "/etc/group"};
	int r = 0;

	if (lckpwdf() != 0)
		return -EBUSY;
	for (size_t i = 0; !r && i < sizeof(files) / sizeof(files[0]); i++)
		r = remove_line(files[i], name);
	(void)ulckpwdf();
	return r;
}
