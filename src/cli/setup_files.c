/* setup_files.c - new inodes, flushed and renamed, with the owner, mode and label of the old ones. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/setup.h"

int fa_setup_path(char *buf, const char *root, const char *path)
{
	return fa_path_join(buf, PATH_MAX, root, path);
}

bool fa_setup_exists(const char *root, const char *path)
{
	char full[PATH_MAX];

	return fa_setup_path(full, root, path) == 0 && access(full, F_OK) == 0;
}

int fa_setup_sync_folder_of(const char *path)
{
	char folder[PATH_MAX];
	char *slash;

	if (snprintf(folder, sizeof(folder), "%s", path) >= (int)sizeof(folder))
		return -ENAMETOOLONG;
	slash = strrchr(folder, '/');
	if (!slash)
		return -EINVAL;
	slash[slash == folder] = '\0';

	FA_CLEANUP(fa_close) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* Some file systems cannot: then the rename is as durable as they make it. */
	if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
		return -errno;
	return 0;
}

/* SELinux: a renamed file would carry the folder's label instead of, say, shadow's. */
static void copy_label(const char *from, int to)
{
	char label[512];
	ssize_t n = lgetxattr(from, "security.selinux", label, sizeof(label));

	if (n > 0)
		(void)fsetxattr(to, "security.selinux", label, (size_t)n, 0);
}

static int fill_new(int fd, const char *old_path, const struct stat *old, const void *data,
		    size_t len, mode_t mode)
{
	int r = fa_write_all(fd, data, len);

	if (r)
		return r;
	if (old) {
		if (fchown(fd, old->st_uid, old->st_gid) != 0 && geteuid() == 0)
			return -errno;
		mode = old->st_mode & 07777;
		copy_label(old_path, fd);
	}
	if (fchmod(fd, mode) != 0 || fsync(fd) != 0)
		return -errno;
	return 0;
}

int fa_setup_rewrite(const char *path, const void *data, size_t len, mode_t mode)
{
	char temporary[PATH_MAX];
	struct stat st;
	bool exists = lstat(path, &st) == 0;
	int r;

	if (!exists && errno != ENOENT)
		return -errno;
	if (exists && S_ISLNK(st.st_mode))
		return -ELOOP;
	if (exists && !S_ISREG(st.st_mode))
		return -EINVAL;
	if (snprintf(temporary, sizeof(temporary), "%s" FA_SETUP_FRESH, path) >=
	    (int)sizeof(temporary))
		return -ENAMETOOLONG;
	/* One name, so that what a killed run left behind is taken over by the next. */
	if (unlink(temporary) != 0 && errno != ENOENT)
		return -errno;

	FA_CLEANUP(fa_close)
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	r = fill_new(fd, path, exists ? &st : NULL, data, len, mode);
	if (!r && rename(temporary, path) != 0)
		r = -errno;
	if (r) {
		(void)unlink(temporary);
		return r;
	}
	return fa_setup_sync_folder_of(path);
}

int fa_setup_copy(const char *from, const char *to)
{
	FA_CLEANUP(fa_close) int in = open(from, O_RDONLY | O_CLOEXEC);
	int r;

	if (in < 0)
		return -errno;
	if (unlink(to) != 0 && errno != ENOENT)
		return -errno;

	FA_CLEANUP(fa_close)
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (out < 0)
		return -errno;
	r = fa_copy_file(in, out);
	if (!r && (fchmod(out, 0755) != 0 || fsync(out) != 0))
		r = -errno;
	if (r)
		(void)unlink(to);
	return r;
}

bool fa_setup_same_bytes(const char *a, const char *b)
{
	enum { MAX = 64 << 20 };
	char *data_a = NULL, *data_b = NULL;
	size_t len_a = 0, len_b = 0;
	bool same = fa_read_file(a, MAX, &data_a, &len_a) == 0 &&
		    fa_read_file(b, MAX, &data_b, &len_b) == 0 && len_a == len_b &&
		    !memcmp(data_a, data_b, len_a);

	free(data_a);
	free(data_b);
	return same;
}
