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
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "format/arena_format.h"

enum { NAME_SIZE = 64, UNREADY_MAX = 64 };

struct fa_rundir {
	char path[256];
	int fd;    /* of the folder, locked */
	int watch; /* inotify */
	bool tells_alone;
	bool unread; /* events were lost: all of the folder is to be read */
	/* Names of arenas that were still being made. Those from `again` on are to be looked at in this pass. */
	char unready[UNREADY_MAX][NAME_SIZE];
	unsigned unready_count, again;
	size_t at, len; /* of what was read of the events */
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
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

bool fa_rundir_alone(const struct fa_rundir *d, int fd)
{
	if (!d->tells_alone || fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
		return false;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return true;
}

bool fa_rundir_held(const struct fa_rundir *d, int fd)
{
	return d->tells_alone && !fa_rundir_alone(d, fd);
}

/* Is a lease refused while a file is mapped, and granted when it is no more? Not on all file systems. */
static bool find_out_alone(struct fa_rundir *d)
{
	static const char name[] = "probe";
	int fd = openat(d->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int again = openat(d->fd, name, O_RDWR | O_CLOEXEC);
	void *p = MAP_FAILED;
	bool yes = false;

	if (again >= 0 && ftruncate(fd, 1) == 0)
		p = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fa_close(&fd);
	d->tells_alone = true;
	if (p != MAP_FAILED) {
		yes = !fa_rundir_alone(d, again);
		(void)munmap(p, 1);
		yes = yes && fa_rundir_alone(d, again);
	}
	fa_close(&again);
	(void)unlinkat(d->fd, name, 0);
	return yes;
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
	d->tells_alone = find_out_alone(d);
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

/* A name that is to be tried again; when there are too many of them, by reading the folder. */
static void try_again(struct fa_rundir *d, const char *name)
{
	for (unsigned i = 0; i < d->unready_count; i++)
		if (strcmp(d->unready[i], name) == 0)
			return;
	if (d->unready_count == UNREADY_MAX)
		d->unread = true;
	else /* it fits: it is as parse_name() would write it */
		(void)snprintf(d->unready[d->unready_count++], NAME_SIZE, "%s", name);
}

/* FILE_READY: *ret; FILE_UNREADY: not yet; FILE_WRONG: no arena and no note, or no more. */
static int try_file(struct fa_rundir *d, const char *name, struct fa_run_arena *ret)
{
	struct fa_run_arena a = {.fd = -1};
	unsigned segment = 0;
	int state;

	if (parse_note(name, ret)) {
		(void)unlinkat(d->fd, name, 0);
		return FILE_READY;
	}
	if (!parse_name(name, &a, &segment) || segment != 0)
		return FILE_WRONG;
	a.fd = openat(d->fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (a.fd < 0)
		return FILE_WRONG;
	state = examine(a.fd, &a.size);
	/* Its maker died before it was done (in a pid namespace of its own we cannot tell). */
	if (state == FILE_UNREADY && kill(a.own_pid, 0) < 0 && errno == ESRCH)
		state = examine(a.fd, &a.size) == FILE_READY ? FILE_READY : FILE_WRONG;
	if (state != FILE_UNREADY)
		(void)unlinkat(d->fd, name, 0);
	if (state == FILE_READY)
		*ret = a;
	else
		(void)close(a.fd);
	return state;
}

/* Those that were being made. */
static bool next_unready(struct fa_rundir *d, struct fa_run_arena *ret)
{
	while (d->again < d->unready_count) {
		int state = try_file(d, d->unready[d->again], ret);

		if (state == FILE_UNREADY) {
			d->again++;
			continue;
		}
		memmove(d->unready[d->again], d->unready[d->unready_count - 1], NAME_SIZE);
		d->unready_count--;
		if (state == FILE_READY)
			return true;
	}
	return false;
}

/* The event that was read next, NULL: there is none. */
static const struct inotify_event *next_event(struct fa_rundir *d)
{
	const struct inotify_event *e;

	if (d->at >= d->len) {
		ssize_t n = read(d->watch, d->events, sizeof(d->events));

		d->at = 0;
		d->len = n > 0 ? (size_t)n : 0;
		if (n <= 0)
			return NULL;
	}
	e = (const struct inotify_event *)(const void *)(d->events + d->at);
	d->at += sizeof(*e) + e->len;
	return e;
}

/* Those that came. */
static bool next_new(struct fa_rundir *d, struct fa_run_arena *ret)
{
	const struct inotify_event *e;

	while ((e = next_event(d)) != NULL) {
		int state = FILE_WRONG;

		if ((e->mask & IN_Q_OVERFLOW) != 0)
			d->unread = true;
		else if (e->len > 0)
			state = try_file(d, e->name, ret);
		if (state == FILE_READY)
			return true;
		if (state == FILE_UNREADY)
			try_again(d, e->name);
	}
	return false;
}

/* Those that are in the folder. 1, 0 or -errno. */
static int next_of_folder(struct fa_rundir *d, struct fa_run_arena *ret)
{
	DIR *dir = list_folder(d->fd);
	bool found = false;

	if (dir == NULL)
		return -errno;
	d->unread = false;
	for (struct dirent *e; !found && (e = readdir(dir)) != NULL;) {
		int state = try_file(d, e->d_name, ret);

		found = state == FILE_READY;
		if (state == FILE_UNREADY)
			try_again(d, e->d_name);
	}
	(void)closedir(dir);
	d->unread |= found;
	return found;
}

int fa_rundir_next(struct fa_rundir *d, struct fa_run_arena *ret)
{
	if (next_unready(d, ret))
		return 1;
	d->again = d->unready_count; /* what is met from here on has its turn in the next pass */
	if (next_new(d, ret))
		return 1;
	d->again = 0;
	return d->unread ? next_of_folder(d, ret) : 0;
}

bool fa_rundir_waiting(const struct fa_rundir *d)
{
	return d->unready_count > 0;
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
