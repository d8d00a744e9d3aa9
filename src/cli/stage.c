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

/* Who makes the images, and what of ours he puts into them. The first whose program is there. */
static const struct maker {
	const char *program, *script, *again;
} makers[] = {
	{"/usr/sbin/update-initramfs", "/usr/share/initramfs-tools/scripts/init-bottom/firstalloc",
	 "update-initramfs -u -k all"},
	{"/usr/bin/dracut", "/usr/lib/dracut/modules.d/95firstalloc/module-setup.sh",
	 "dracut --regenerate-all --force"},
};

static bool is_there(const char *root, const char *name)
{
	char path[512];

	return fa_path_join(path, sizeof(path), root, name) == 0 && access(path, F_OK) == 0;
}

/* Debian's dracut brings an update-initramfs of its own. NULL: nobody makes any. */
static const struct maker *who_makes(const char *root)
{
	for (int i = 1; i >= 0; i--)
		if (is_there(root, makers[i].program))
			return &makers[i];
	return NULL;
}

/* Is each initramfs younger than the script? `name`: one that is not. -1: there is none. */
static int all_younger(const char *root, const struct stat *script, char *name, size_t size)
{
	char path[512];
	struct dirent *entry;
	struct stat st;
	int found = 0, younger = 0;
	DIR *d = fa_path_join(path, sizeof(path), root, "/boot") == 0 ? opendir(path) : NULL;

	while (d != NULL && (entry = readdir(d)) != NULL) {
		if ((strncmp(entry->d_name, "initrd.img-", 11) != 0 &&
		     strncmp(entry->d_name, "initramfs-", 10) != 0) ||
		    fstatat(dirfd(d), entry->d_name, &st, 0) < 0)
			continue;
		if (strstr(entry->d_name, "rescue") != NULL) /* made once, and kept */
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
	const struct maker *maker = who_makes(root);
	char path[512], name[256] = "";
	struct stat st;
	int r;

	if (maker == NULL)
		(void)snprintf(buf, size, "neither initramfs-tools nor dracut is installed");
	else if (fa_path_join(path, sizeof(path), root, maker->script) < 0 || stat(path, &st) < 0)
		(void)snprintf(buf, size, "%s is not installed", maker->script);
	else if ((r = all_younger(root, &st, name, sizeof(name))) < 0)
		(void)snprintf(buf, size, "there is no initramfs /boot/initrd.img-VERSION or /boot/initramfs-VERSION.img");
	else if (r == 0)
		(void)snprintf(buf, size, "/boot/%s is older than %s: run '%s'", name, maker->script, maker->again);
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
