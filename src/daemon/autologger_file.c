/*
 * autologger_file.c - the trace of a session that starts by itself, and what is remembered of its last start.
 *
 * An existing file is moved to FILE.1, so that the last boot's trace is there once more. With FileMax each start
 * has a file of its own, FILE.0001 to FILE.NNNN and then from the first again; ETW's FileCounter is the number of
 * the last one. It stands, with ETW's Status, in /var/lib/firstalloc/autologger/NAME.status.
 */
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/paths.h"
#include "base/trust.h"
#include "daemon/keeper.h"

#define KEY_COUNTER "FileCounter = "

static int status_path(const struct keeper *k, const char *name, char *buf, size_t size)
{
	char rest[sizeof(FA_DIR_STATE) + FA_CONFIG_NAME + 32];

	(void)snprintf(rest, sizeof(rest), FA_DIR_STATE "/autologger/%s.status", name);
	return fa_path_join(buf, size, k->settings->root, rest);
}

void autologger_status(const struct keeper *k, const struct fa_autologger *a, uint32_t counter,
		       int error, const char *text)
{
	char file[600], body[600 + FA_CONFIG_OVERRIDES * 340], when[64], line[320];
	char *slash;
	int n, e = status_path(k, a->name, file, sizeof(file));

	if (e == 0) {
		slash = strrchr(file, '/');
		*slash = '\0';
		e = fa_make_dirs(file, 0755);
		*slash = '/';
	}
	n = snprintf(body, sizeof(body), "Status = %d\nText = %s\nTime = %s\n", error, text,
		     fa_format_time(when, sizeof(when), fa_real_ns() / 1000000000u));
	if (counter != 0)
		n += snprintf(body + n, sizeof(body) - (size_t)n, KEY_COUNTER "%u\n", counter);
	for (int i = 0; i < a->overrides; i++)
		n += snprintf(body + n, sizeof(body) - (size_t)n, "Override = %s\n",
			      fa_override_text(line, sizeof(line), &a->override[i]));
	if (e == 0)
		e = fa_replace_file(file, body, (size_t)n, 0644);
	if (e < 0 && e != -EROFS)
		log_line("%s: %s", file, fa_strerror(e));
}

/* Number of the file that the last start has made; 0: not known, and one that is out of range counts as such. */
static uint32_t last_counter(const struct keeper *k, const struct fa_autologger *a)
{
	char file[600], *body = NULL, *at;
	unsigned long n = 0;
	size_t len;

	if (status_path(k, a->name, file, sizeof(file)) < 0 ||
	    fa_read_file(file, 8192, &body, &len) < 0)
		return 0;
	at = strstr(body, KEY_COUNTER);
	if (at != NULL)
		n = strtoul(at + sizeof(KEY_COUNTER) - 1, NULL, 10);
	free(body);
	return n <= a->file_max ? (uint32_t)n : 0;
}

/*
 * The trace is made by root, so the way to it must be root's: in a folder of a user its name, or that of
 * a folder above, could be a link to anywhere. What is there is looked at before anything is made.
 */
static int make_folder(const char *dir)
{
	char there[600];
	char *slash;
	int e;

	(void)snprintf(there, sizeof(there), "%s", dir);
	while (access(there, F_OK) < 0 && errno == ENOENT &&
	       (slash = strrchr(there, '/')) != NULL && slash != there)
		*slash = '\0';
	e = fa_path_trust(there);
	if (e >= 0)
		e = fa_make_dirs(dir, 0755);
	if (e >= 0)
		e = fa_path_trust(dir);
	return e < 0 ? e : 0;
}

static int make_folder_of(const char *path)
{
	char dir[600];
	char *slash;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash == NULL || slash == dir)
		return 0;
	*slash = '\0';
	return make_folder(dir);
}

/* The room of this start's file is free then. */
static int make_way(char *path, size_t size, uint32_t counter)
{
	char old[620];
	size_t len = strlen(path);

	if (counter != 0) {
		(void)snprintf(path + len, size - len, ".%04u", counter);
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	}
	(void)snprintf(old, sizeof(old), "%s.1", path);
	return rename(path, old) < 0 && errno != ENOENT ? -errno : 0;
}

/* Is `dir` a place where something is mounted now? */
static bool is_mounted(const char *dir)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], place[1024];
	bool found = false;

	while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL)
		found = sscanf(line, "%*d %*d %*s %*s %1023s", place) == 1 &&
			strcmp(place, dir) == 0;
	if (f != NULL)
		(void)fclose(f);
	return found;
}

/* A trace below a folder on which something is still to be mounted would be hidden by that. */
static int check_mounts(const struct keeper *k, const char *path)
{
	char fstab[300], dir[1024];
	const struct mntent *m;
	FILE *f;
	int e = fa_path_join(fstab, sizeof(fstab), k->settings->root, "/etc/fstab");

	f = e == 0 ? setmntent(fstab, "re") : NULL;
	while (f != NULL && e == 0 && (m = getmntent(f)) != NULL) {
		size_t len = strlen(m->mnt_dir);

		if (len < 2 || m->mnt_dir[0] != '/' || hasmntopt(m, "noauto") != NULL ||
		    fa_path_join(dir, sizeof(dir), k->settings->root, m->mnt_dir) < 0)
			continue;
		len = strlen(dir);
		if (strncmp(path, dir, len) == 0 && path[len] == '/' && !is_mounted(dir))
			e = -EAGAIN;
	}
	if (f != NULL)
		(void)endmntent(f);
	return e;
}

int autologger_open(const struct keeper *k, const struct fa_autologger *a, uint32_t *ret_counter,
		    int *ret_fd)
{
	uint32_t counter = a->file_max == 0 ? 0 : last_counter(k, a) % a->file_max + 1;
	char path[600];
	int fd, e = fa_path_join(path, sizeof(path) - 8, k->settings->root, a->file_name);

	if (e == 0)
		e = check_mounts(k, path);
	if (e == 0)
		e = make_folder_of(path);
	if (e == 0)
		e = make_way(path, sizeof(path), counter);
	if (e < 0)
		return e;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	*ret_counter = counter;
	*ret_fd = fd;
	return 0;
}
