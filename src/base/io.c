/*
 * io.c - read and write all, small files, atomic replacement.
 *
 * Every file that another process may read at any moment (the index above all) goes through
 * fa_replace_file(): a reader sees the old bytes or the new bytes, also after a power failure.
 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_AT_ONCE = 1 << 20 };

void fa_close(int *fd)
{
	int saved = errno;

	/* Linux has released the descriptor even when close() says EINTR: never repeat it. */
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

#ifdef FA_FAULTS
/*
 * Only in test builds (make: tests/faults). FA_FAULT="N ERRNO SUFFIX": of this process's writes to files
 * whose names end so, the N-th writes half of its bytes, and all later ones fail. ERRNO below 0: a slow disk; the
 * N-th and all after it take so many milliseconds.
 */
static ssize_t write_some(int fd, const void *data, size_t len)
{
	static int count;
	const char *given = getenv("FA_FAULT");
	char path[64], file[512], suffix[64];
	int nth, error;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, file, sizeof(file) - 1);
	file[n > 0 ? n : 0] = '\0';
	if (given == NULL || sscanf(given, "%d %d %63s", &nth, &error, suffix) != 3 ||
	    strlen(file) < strlen(suffix) ||
	    strcmp(file + strlen(file) - strlen(suffix), suffix) != 0 || ++count < nth)
		return write(fd, data, len);
	if (error < 0) {
		(void)poll(NULL, 0, -error);
		return write(fd, data, len);
	}
	if (count == nth && len > 1)
		return write(fd, data, len / 2);
	errno = error;
	return -1;
}
#else
#define write_some write
#endif

int fa_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write_some(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fa_read_all(int fd, void *data, size_t len)
{
	char *p = data;

	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static void free_char(char **p)
{
	free(*p);
}

/* st_size is no more than a hint: files below /proc say 0 and a log grows while it is read. */
static int first_capacity(int fd, size_t max, size_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && st.st_size > 0 && (uintmax_t)st.st_size > max)
		return -E2BIG;
	*ret = S_ISREG(st.st_mode) && st.st_size > 4094 ? (size_t)st.st_size + 2 : 4096;
	return 0;
}

static int grow(char **data, size_t cap)
{
	char *grown = realloc(*data, cap);

	if (grown == NULL)
		return -ENOMEM;
	*data = grown;
	return 0;
}

static int read_to_end(int fd, size_t max, char **ret, size_t *ret_len)
{
	FA_CLEANUP(free_char) char *data = NULL;
	size_t len = 0, cap = 0;
	int r = first_capacity(fd, max, &cap);

	if (r == 0)
		r = grow(&data, cap);
	while (r == 0) {
		if (len + 1 >= cap && (r = grow(&data, cap *= 2)) < 0)
			break;
		ssize_t n = read(fd, data + len, cap - len - 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return -E2BIG;
	}
	if (r < 0)
		return r;
	data[len] = '\0';
	*ret = fa_take_ptr(&data);
	*ret_len = len;
	return 0;
}

int fa_read_file_at(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_len)
{
	FA_CLEANUP(fa_close) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return read_to_end(fd, max, ret, ret_len);
}

int fa_read_file(const char *path, size_t max, char **ret, size_t *ret_len)
{
	return fa_read_file_at(AT_FDCWD, path, max, ret, ret_len);
}

int fa_copy_file(int from, int to)
{
	FA_CLEANUP(free_char) char *some = malloc(COPY_AT_ONCE);
	off_t at = 0, stands = lseek(from, 0, SEEK_CUR);
	ssize_t n;
	int r = 0;

	if (some == NULL)
		return -ENOMEM;
	if (stands < 0 || ftruncate(to, 0) < 0 || lseek(to, 0, SEEK_SET) < 0)
		return -errno;
	while (r == 0 && (n = pread(from, some, COPY_AT_ONCE, at)) != 0) {
		r = n < 0 ? -errno : fa_write_all(to, some, (size_t)n);
		at += n;
	}
	if (r == 0 && lseek(to, stands, SEEK_SET) < 0)
		r = -errno;
	return r;
}

/* The folder of path as a descriptor that fsync accepts. */
static int open_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	int fd;

	if (slash == NULL)
		return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (slash == path)
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *dir = strndup(path, (size_t)(slash - path));

	if (dir == NULL)
		return -1;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	return fd;
}

static int write_new_file(int fd, const void *data, size_t len, mode_t mode)
{
	int r = fa_write_all(fd, data, len);

	if (r < 0)
		return r;
	/* fchmod and not the mode of open(): the umask must not make the index unreadable. */
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int fa_replace_file(const char *path, const void *data, size_t len, mode_t mode)
{
	FA_CLEANUP(fa_close) int dir_fd = open_parent(path);
	FA_CLEANUP(free_char) char *temp = NULL;

	if (dir_fd < 0)
		return -errno;
	if (asprintf(&temp, "%s.XXXXXX", path) < 0) {
		temp = NULL;
		return -ENOMEM;
	}
	FA_CLEANUP(fa_close) int fd = mkostemp(temp, O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int r = write_new_file(fd, data, len, mode);

	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(temp);
		return r;
	}
	/* Some file systems refuse to sync a folder; the rename is then as durable as it gets. */
	if (fsync(dir_fd) < 0 && errno != EINVAL && errno != ENOTSUP)
		return -errno;
	return 0;
}

static int make_dir(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST && errno != EROFS && errno != EACCES)
		return -errno;
	int saved = errno;

	if (stat(path, &st) < 0)
		return -saved;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int fa_make_dirs(const char *path, mode_t mode)
{
	FA_CLEANUP(free_char) char *copy = strdup(path);

	if (copy == NULL)
		return -ENOMEM;
	if (*copy == '\0')
		return -ENOENT;
	for (char *p = copy + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		int r = make_dir(copy, mode);

		if (r < 0)
			return r;
		*p = '/';
	}
	return make_dir(copy, mode);
}

int fa_path_join(char *buf, size_t size, const char *root, const char *path)
{
	size_t root_len = strlen(root);

	while (root_len > 0 && root[root_len - 1] == '/')
		root_len--;
	if (root_len > 0 || *root == '/')
		while (*path == '/')
			path++;
	if (root_len > 4096)
		return -ENAMETOOLONG;
	const char *between = root_len > 0 || *root == '/' ? "/" : "";
	int n = snprintf(buf, size, "%.*s%s%s", (int)root_len, root, between, path);

	if (n < 0)
		return -EINVAL;
	return (size_t)n < size ? 0 : -ENAMETOOLONG;
}

const char *fa_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}
