/* trust.c - whose folder is it? See trust.h. */
#include "base/trust.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SYSTEM_GIDS = 1000 };

/* Only root can rename or replace this folder. A group of the system's own (Ubuntu's syslog may write
 * to /var/log) is trusted, a sticky folder too: in it nobody moves what is another's. */
static bool is_roots(const struct stat *st)
{
	if (st->st_uid != 0)
		return false;
	if ((st->st_mode & S_ISVTX) != 0)
		return true;
	return (st->st_mode & S_IWOTH) == 0 &&
	       ((st->st_mode & S_IWGRP) == 0 || st->st_gid < SYSTEM_GIDS);
}

/* A name on the way, in a folder that was found to be root's. 1: it is a link, and `rest` now begins
 * with where it leads. */
static int step(const char *at, char *rest)
{
	char target[PATH_MAX], all[2 * PATH_MAX];
	struct stat st;
	ssize_t n;

	if (lstat(at, &st) < 0)
		return -errno;
	if (!S_ISLNK(st.st_mode))
		return is_roots(&st) ? 0 : -EPERM;
	n = st.st_uid == 0 ? readlink(at, target, sizeof(target) - 1) : -1;
	if (n < 0)
		return st.st_uid == 0 ? -errno : -EPERM;
	target[n] = '\0';
	if (snprintf(all, sizeof(all), "%s/%s", target, rest) >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(rest, all, strlen(all) + 1);
	return 1;
}

/* One component of `rest` behind `done`. */
static int walk_on(char *done, char *rest)
{
	char name[PATH_MAX], at[2 * PATH_MAX];
	size_t len;
	int r;

	while (*rest == '/')
		memmove(rest, rest + 1, strlen(rest));
	len = strcspn(rest, "/");
	memcpy(name, rest, len);
	name[len] = '\0';
	memmove(rest, rest + len, strlen(rest + len) + 1);
	if (len == 0 || strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		char *slash = strrchr(done, '/');

		if (slash != NULL)
			*slash = '\0';
		return 0;
	}
	if (snprintf(at, sizeof(at), "%s/%s", done, name) >= PATH_MAX)
		return -ENAMETOOLONG;
	r = step(at, rest);
	if (r == 1 && rest[0] == '/')
		done[0] = '\0';
	if (r == 0)
		memcpy(done, at, strlen(at) + 1);
	return r;
}

/* Link by link, because the folder that a link lies in counts as much as where it leads. */
int fa_path_trust(const char *path)
{
	char done[PATH_MAX] = "", rest[PATH_MAX];
	struct stat st;
	int links = 0;

	if (path[0] != '/' || strlen(path) >= sizeof(rest))
		return -EINVAL;
	memcpy(rest, path, strlen(path) + 1);
	if (stat("/", &st) < 0 || !is_roots(&st))
		return -EPERM;
	while (rest[0] != '\0') {
		int r = walk_on(done, rest);

		links += r == 1;
		if (r < 0 || links > 40)
			return r < 0 ? r : -ELOOP;
	}
	if (stat(done[0] ? done : "/", &st) < 0)
		return -errno;
	/* In the last one somebody else could have put what we are about to open. */
	return (st.st_mode & (S_ISVTX | S_IWOTH)) == (S_ISVTX | S_IWOTH) ? 1 : 0;
}
