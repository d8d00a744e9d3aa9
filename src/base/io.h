/* io.h - read and write all, small files, atomic replacement. Never prints. Any thread. */
#ifndef FA_IO_H
#define FA_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"

void fa_close(int *fd); /* for FA_CLEANUP; -1 is fine */

/* All of len or -errno; -EIO when the file ends early. */
int fa_write_all(int fd, const void *data, size_t len) FA_MUST_USE;
int fa_read_all(int fd, void *data, size_t len) FA_MUST_USE;

/* The whole of a (small) file: *ret is malloced, NUL terminated behind *ret_len bytes. -E2BIG above
 * max. */
int fa_read_file(const char *path, size_t max, char **ret, size_t *ret_len) FA_MUST_USE;
int fa_read_file_at(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_len)
	FA_MUST_USE;

/* All bytes of one open file into another, from the start of both; `to` has no others then, and stands where `from`
 * stands. */
int fa_copy_file(int from, int to) FA_MUST_USE;

/* Write a temporary file beside it, fsync, rename over it, fsync the folder. */
int fa_replace_file(const char *path, const void *data, size_t len, mode_t mode) FA_MUST_USE;

/* mkdir -p; existing folders are fine. */
int fa_make_dirs(const char *path, mode_t mode) FA_MUST_USE;

/* "a/b" from root and path; either may start or end with slashes. snprintf rules; -ENAMETOOLONG. */
int fa_path_join(char *buf, size_t size, const char *root, const char *path) FA_MUST_USE;
const char *fa_base_name(const char *path);

#endif
