/*
 * rundir.c - see rundir.h.
 *
 * Files are made by processes of our own user, which could do worse than to write a wrong one; still
 * each is opened without following links and taken only if it is a regular file of ours.
 */
#include "collector/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "format/arena_format.h"

struct fa_rundir {
	char path[256];
	int fd;    /* of the folder, locked */
	int watch; /* inotify */
	bool waiting;
	bool unread; /* there may be files that were not looked at since the last event */
};

enum { FILE_WRONG = -1, FILE_UNREADY = 0, FILE_READY = 1 };

/* Does anything lie below a path of ours, and is it a folder of ours alone? */
static int open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 07777) != 0700) {
		(void)close(fd);
		return -EPERM;
	}
	return fd;
}

/* A stream of its own over the folder: fdopendir takes the descriptor, and its place in the folder. */
static DIR *list_folder(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (dir == NULL && copy >= 0)
		(void)close(copy);
	return dir;
}

static void empty_folder(int fd)
{
	DIR *dir = list_folder(fd);

	if (dir == NULL)
		return;
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		(void)unlinkat(fd, e->d_name, 0); /* "." and ".." are refused by the kernel */
	(void)closedir(dir);
}

static void remove_if_dead(const char *parent, const char *name)
{
	char path[300];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", parent, name) >= (int)sizeof(path))
		return;
	fd = open_folder(path);
	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		empty_folder(fd);
		(void)rmdir(path);
	}
	(void)close(fd);
}

static void remove_dead_folders(const char *parent)
{
	char prefix[48];
	int len = snprintf(prefix, sizeof(prefix), "firstalloc-%u-", (unsigned)geteuid());
	DIR *dir = opendir(parent);

	if (dir == NULL)
		return;
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		if (strncmp(e->d_name, prefix, (size_t)len) == 0)
			remove_if_dead(parent, e->d_name);
	(void)closedir(dir);
}

/* Make and lock. Between the two another command may take the folder for a dead one's: then again. */
static int make_folder(struct fa_rundir *d, const char *parent)
{
	for (int tries = 0; tries < 8; tries++) {
		struct stat st;

		if (snprintf(d->path, sizeof(d->path), "%s/firstalloc-%u-XXXXXX", parent,
			     (unsigned)geteuid()) >= (int)sizeof(d->path))
			return -ENAMETOOLONG;
		if (mkdtemp(d->path) == NULL)
			return -errno;
		d->fd = open_folder(d->path);
		if (d->fd >= 0 && flock(d->fd, LOCK_EX | LOCK_NB) == 0 && fstat(d->fd, &st) == 0 &&
		    st.st_nlink > 0)
			return 0;
		fa_close(&d->fd);
		d->fd = -1;
	}
	return -EAGAIN;
}

static bool has_room(const char *parent)
{
	const uint64_t enough = 32 << 20;
	struct statvfs v;

	return statvfs(parent, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize >= enough;
}

static int make_somewhere(struct fa_rundir *d)
{
	const char *places[] = {"/dev/shm", getenv("XDG_RUNTIME_DIR"), "/tmp"};
	int r = -ENOSPC;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (places[i] == NULL || places[i][0] != '/')
			continue;
		remove_dead_folders(places[i]);
		if (!has_room(places[i]))
			continue;
		r = make_folder(d, places[i]);
		if (r == 0)
			return 0;
	}
	return r;
}

int fa_rundir_new(struct fa_rundir **ret)
{
	struct fa_rundir *d = calloc(1, sizeof(*d));
	int r;

	if (d == NULL)
		return -ENOMEM;
	d->fd = d->watch = -1;
	r = make_somewhere(d);
	if (r < 0) {
		free(d); /* no folder: nothing to remove */
		return r;
	}
	d->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (d->watch < 0 || inotify_add_watch(d->watch, d->path, IN_CREATE | IN_ONLYDIR) < 0) {
		r = -errno;
		fa_rundir_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

const char *fa_rundir_path(const struct fa_rundir *d)
{
	return d->path;
}

int fa_rundir_poll_fd(const struct fa_rundir *d)
{
	return d->watch;
}

/* What came is found by reading the folder, so that events are only wake-ups and none is missed. */
/* Were there any? */
static bool swallow_events(int watch)
{
	char bytes[4096];
	bool any = false;

	while (read(watch, bytes, sizeof(bytes)) > 0)
		any = true;
	return any;
}

static bool parse_name(const char *name, struct fa_run_arena *ret, unsigned *ret_segment)
{
	char again[64];
	unsigned long long nonce;
	int pid;

	if (sscanf(name, FA_RUN_FILE, &pid, &nonce, ret_segment) != 3)
		return false;
	(void)snprintf(again, sizeof(again), FA_RUN_FILE, pid, nonce, *ret_segment);
	if (strcmp(again, name) != 0)
		return false;
	ret->own_pid = pid;
	ret->nonce = nonce;
	return true;
}

/* Is the file complete? Its size, and then the magic, which its maker writes last. */
static int examine(int fd, uint32_t *ret_size)
{
	struct stat st;
	uint64_t magic = 0;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    st.st_size > FA_ARENA_MAX0)
		return FILE_WRONG;
	if (st.st_size < FA_ARENA_MIN ||
	    pread(fd, &magic, sizeof(magic), 0) != (ssize_t)sizeof(magic) || magic == 0)
		return FILE_UNREADY;
	*ret_size = (uint32_t)st.st_size;
	return magic == FA_ARENA_MAGIC ? FILE_READY : FILE_WRONG;
}

/* FA_RUN_NOTE: the name says it all. An image may have blanks in it. */
static bool parse_note(const char *name, struct fa_run_arena *ret)
{
	struct fa_run_arena note = {.fd = -1};
	char again[300];
	int at = 0;

	if (sscanf(name, "%d.refused.%u.%n", &note.own_pid, &note.reason, &at) != 2 || at == 0)
		return false;
	(void)snprintf(note.image, sizeof(note.image), "%s", name + at);
	(void)snprintf(again, sizeof(again), FA_RUN_NOTE, note.own_pid, note.reason, note.image);
	if (strcmp(again, name) != 0 || !fa_reason_is_refusal(note.reason))
		return false;
	*ret = note;
	return true;
}

/* 1: *ret; 0: not that one, or not yet. */
static int try_file(struct fa_rundir *d, const char *name, struct fa_run_arena *ret)
{
	struct fa_run_arena a = {.fd = -1};
	unsigned segment = 0;
	int state;

	if (parse_note(name, ret)) {
		(void)unlinkat(d->fd, name, 0);
		return 1;
	}
	if (!parse_name(name, &a, &segment) || segment != 0)
		return 0;
	a.fd = openat(d->fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (a.fd < 0)
		return 0;
	state = examine(a.fd, &a.size);
	/* Its maker died before it was done (in a pid namespace of its own we cannot tell). */
	if (state == FILE_UNREADY && kill(a.own_pid, 0) < 0 && errno == ESRCH)
		state = examine(a.fd, &a.size) == FILE_READY ? FILE_READY : FILE_WRONG;
	if (state == FILE_UNREADY)
		d->waiting = true;
	else
		(void)unlinkat(d->fd, name, 0);
	if (state != FILE_READY) {
		(void)close(a.fd);
		return 0;
	}
	*ret = a;
	return 1;
}

int fa_rundir_next(struct fa_rundir *d, struct fa_run_arena *ret)
{
	DIR *dir;
	int found = 0;

	d->unread = swallow_events(d->watch) || d->unread || d->waiting;
	if (!d->unread)
		return 0;
	d->waiting = false;
	dir = list_folder(d->fd);
	if (dir == NULL)
		return -errno;
	for (struct dirent *e; found == 0 && (e = readdir(dir)) != NULL;)
		found = try_file(d, e->d_name, ret);
	(void)closedir(dir);
	d->unread = found != 0;
	return found;
}

bool fa_rundir_waiting(const struct fa_rundir *d)
{
	return d->waiting;
}

void fa_rundir_free(struct fa_rundir *d)
{
	if (d == NULL)
		return;
	empty_folder(d->fd);
	(void)rmdir(d->path);
	fa_close(&d->watch);
	fa_close(&d->fd); /* last: it holds the lock */
	free(d);
}
