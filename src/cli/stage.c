/*
 * stage.c - how early firstallocd starts: with its unit, before the other services, or from the initramfs, before
 * PID 1. The script in the initramfs looks for a file on the real root, so that changing one's mind needs no new
 * initramfs.
 */
#include "cli/stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"

#define SCRIPT "/usr/share/initramfs-tools/scripts/init-bottom/firstalloc"

/* Is each initramfs younger than the script? `name`: one that is not. -1: there is none. */
static int all_younger(const char *root, const struct stat *script, char *name, size_t size)
{
	char path[512];
	struct dirent *entry;
	struct stat st;
	int found = 0, younger = 0;
	DIR *d = fa_path_join(path, sizeof(path), root, "/boot") == 0 ? opendir(path) : NULL;

	while (d != NULL && (entry = readdir(d)) != NULL) {
		if (strncmp(entry->d_name, "initrd.img-", 11) != 0 ||
		    fstatat(dirfd(d), entry->d_name, &st, 0) < 0)
			continue;
		found++;
		/* The day of installing counts, not the one of building. */
		if (st.st_mtime >= script->st_ctime)
			younger++;
		else
			(void)snprintf(name, size, "%s", entry->d_name);
	}
	if (d != NULL)
		(void)closedir(d);
	return found == 0 ? -1 : found == younger;
}

const char *fa_stage_lacks(const char *root, char *buf, size_t size)
{
	char path[512], name[256] = "";
	struct stat st;
	int r;

	if (fa_path_join(path, sizeof(path), root, SCRIPT) < 0 || stat(path, &st) < 0)
		(void)snprintf(buf, size, "%s is not installed", SCRIPT);
	else if ((r = all_younger(root, &st, name, sizeof(name))) < 0)
		(void)snprintf(buf, size, "there is no initramfs /boot/initrd.img-VERSION");
	else if (r == 0)
		(void)snprintf(buf, size, "/boot/%s is older than %s: run 'update-initramfs -u -k all'",
			       name, SCRIPT);
	else
		return NULL;
	return buf;
}

int fa_stage_set_early(const char *root, bool early)
{
	char path[512];
	int fd, e = fa_path_join(path, sizeof(path), root, FA_PATH_EARLY);

	if (e < 0)
		return e;
	if (!early)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	fa_close(&fd);
	return 0;
}

bool fa_stage_is_early(const char *root)
{
	char path[512];

	return fa_path_join(path, sizeof(path), root, FA_PATH_EARLY) == 0 && access(path, F_OK) == 0;
}
