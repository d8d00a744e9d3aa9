/*
 * bell.c - answers the doorbell: who opens /etc/firstalloc/door/bell is held by the kernel until one of
 * the workers (bell_workers.c) has looked at it here and attached its arena.
 *
 * What opens the file is any program of any user, so nothing that it says is believed. The arena is
 * looked for at its 8 fixed addresses under /proc/PID/map_files, never in /proc/PID/maps (a user can
 * make that take 13 ms), is opened O_PATH first, which neither follows a device's open nor checks
 * rights, and is opened for writing only when it is the kernel's own anonymous shared memory: on
 * that file system, of that name and size. Everything else - a root-owned file mapped there is what
 * an attacker would try - is passed over, and the open goes on.
 *
 * A worker never waits for the collector: the arena goes into the table, its message into the socket
 * if there is room, and the main thread sends what is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/paths.h"
#include "daemon/doorman.h"
#include "format/index_format.h"

#ifndef FAN_REPORT_PIDFD
#define FAN_REPORT_PIDFD 0x80
#endif

static const uint32_t sizes[] = {2u << 20, 1u << 20, 512u << 10, 256u << 10};

/* Our own mapping of the same kind tells the device number. */
static int probe_shm_dev(dev_t *ret)
{
	char path[80];
	struct stat st;
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int e = 0;

	if (p == MAP_FAILED)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)p,
		       (unsigned long)p + 4096);
	if (stat(path, &st) < 0)
		e = -errno;
	else
		*ret = st.st_dev;
	munmap(p, 4096);
	return e;
}

int bell_mark(struct door *d)
{
	struct stat st;

	if (stat(d->door_path, &st) < 0)
		return -errno;
	if (st.st_dev == d->door_dev && st.st_ino == d->door_ino)
		return 0;
	if (fanotify_mark(d->bell_fd, FAN_MARK_ADD | FAN_MARK_ONLYDIR,
			  FAN_OPEN_PERM | FAN_EVENT_ON_CHILD, AT_FDCWD, d->door_path) < 0)
		return -errno;
	d->door_dev = st.st_dev;
	d->door_ino = st.st_ino;
	return 0;
}

int bell_open(struct door *d)
{
	unsigned flags = FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE | FAN_CLOEXEC | FAN_NONBLOCK;
	int e;

	d->bell_fd = fanotify_init(flags | FAN_REPORT_PIDFD, O_RDONLY | O_CLOEXEC | O_LARGEFILE);
	d->has_pidfd = d->bell_fd >= 0;
	if (d->bell_fd < 0 && errno == EINVAL)
		d->bell_fd = fanotify_init(flags, O_RDONLY | O_CLOEXEC | O_LARGEFILE);
	if (d->bell_fd < 0)
		return -errno;
	e = probe_shm_dev(&d->shm_dev);
	return e < 0 ? e : bell_mark(d);
}

int bell_process(int32_t pid)
{
	char path[32];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * What is mapped there for so many bytes, when it is the kernel's own anonymous shared memory; -errno.
 *
 * The name first: it is the kernel's own and asks nobody. Then what the inode says without being asked
 * anew (DONT_SYNC): of a file that a user's own server provides, an honest stat could take for ever.
 */
static int find_shared(const struct door *d, int proc_fd, uint64_t address, uint64_t mapped,
		       struct statx *x)
{
	static const char want[] = "/dev/zero (deleted)";
	char path[96], link[64];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "map_files/%llx-%llx", (unsigned long long)address,
		       (unsigned long long)(address + mapped));
	fd = openat(proc_fd, path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link));
	if (n != (ssize_t)sizeof(want) - 1 || memcmp(link, want, sizeof(want) - 1) != 0 ||
	    statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, x) < 0 ||
	    !S_ISREG(x->stx_mode) || makedev(x->stx_dev_major, x->stx_dev_minor) != d->shm_dev) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

int bell_find(const struct door *d, int proc_fd, uint64_t address, uint32_t size, uint64_t *ret_ino)
{
	struct statx x;
	int fd = find_shared(d, proc_fd, address, size, &x);

	if (fd < 0)
		return fd;
	if (x.stx_size != size) {
		close(fd);
		return -EPERM;
	}
	*ret_ino = x.stx_ino;
	return fd;
}

uint64_t bell_mapped(const struct door *d, int proc_fd, uint64_t address, uint64_t end)
{
	struct statx x;
	int fd = find_shared(d, proc_fd, address, end - address, &x);

	if (fd < 0)
		return 0;
	close(fd);
	return x.stx_ino;
}

/* Each process of a family has mapped as many segments as it has needed. */
int bell_find_grown(const struct door *d, int proc_fd, uint64_t address, uint32_t size,
		    uint64_t *ret_ino)
{
	for (unsigned k = 1; k <= fa_arena_most_segments(size); k++) {
		struct statx x;
		int fd = find_shared(d, proc_fd, address, fa_arena_segment_at(size, k), &x);

		if (fd == -ENOENT)
			continue;
		if (fd >= 0)
			*ret_ino = x.stx_ino;
		return fd;
	}
	return -ENOENT;
}

int bell_reopen(int path_fd, int mode)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, mode | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The answer's word last, in a write of its own: who sees it sees the rest. */
static int write_answer(int fd, uint32_t word, uint32_t policy, uint32_t reason, uint64_t session,
			bool events)
{
	struct fa_arena_answer a = {
		.word = word,
		.quiet = events ? 0 : FA_QUIET_EVENTS,
		.policy = policy,
		.reason = reason,
		.session = session,
		.segments = 1,
		.tick = 1, /* who records already looks at the word when it moves */
	};
	const off_t at = offsetof(struct fa_arena_header, answer);

	if (pwrite(fd, (char *)&a + 4, sizeof(a) - 4, at + 4) != (ssize_t)sizeof(a) - 4 ||
	    pwrite(fd, &a.word, 4, at) != 4)
		return -EIO;
	return 0;
}

bool pidfd_alive(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return pidfd < 0 || poll(&p, 1, 0) == 0;
}

static bool is_for(const struct fa_want *w, const struct fa_msg_arena *info)
{
	if (w->id == info->session)
		return true;
	return fa_arena_is_flagged(info) && !w->named_only && (w->uid == FA_USER_ANY || (w->uid == info->uid && !info->guarded));
}

/* Does a session want it, and with which policy? WAIT wins: no session may lose because another would
 * rather. */
static bool wanted(struct door *d, const struct fa_msg_arena *info, uint32_t *ret_policy)
{
	bool want = false;
	uint32_t policy = FA_POLICY_COUNT;

	pthread_mutex_lock(&d->lock);
	for (uint32_t i = 0; i < d->wants.count; i++) {
		const struct fa_want *w = &d->wants.want[i];

		if (!is_for(w, info))
			continue;
		want = true;
		if (w->policy == FA_POLICY_WAIT)
			policy = FA_POLICY_WAIT;
	}
	pthread_mutex_unlock(&d->lock);
	*ret_policy = policy;
	return want;
}

void bell_look_at(struct fa_msg_arena *info, int32_t pid, uint64_t when)
{
	char path[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, info->exe, sizeof(info->exe) - 1);
	info->exe[n > 0 ? n : 0] = '\0';
	info->pid = pid;
	info->when_mono = when;
}

/* One word of the process's: it says whether there may be snapshots without a session. */
static bool keeps_table(int fd)
{
	uint32_t flags = 0;

	return pread(fd, &flags, sizeof(flags), offsetof(struct fa_arena_header, tracing_flags)) ==
		       sizeof(flags) &&
	       (flags & FA_TRACING_SNAPSHOT) != 0;
}

/* An arena was found: decide, answer, pass it on. */
static void attach(struct door *d, struct fa_msg_arena *info, int fd, int pidfd)
{
	struct fa_part_msg m = {0};
	uint32_t policy = FA_POLICY_WAIT;
	bool events;

	(void)read_block_words(fd, &info->block, &info->block_nonce);
	events = wanted(d, info, &policy);
	info->answer = events || keeps_table(fd) ? FA_ANSWER_ATTACHED : FA_ANSWER_NO_SESSION;
	/* The machine's first process must never wait for anybody. */
	if (info->pid == 1)
		policy = FA_POLICY_COUNT;
	if (info->answer == FA_ANSWER_ATTACHED) {
		switch (door_arena_add(d, info, fd, pidfd, true)) {
		case ADD_KNOWN:
			return;
		case ADD_LIMIT:
			info->answer = FA_ANSWER_REFUSED;
			info->reason = FA_REASON_LIMIT;
		}
	}
	if (write_answer(fd, info->answer, policy, info->reason, info->when_mono, events) < 0) {
		door_arena_drop(d, info->handle);
		return;
	}
	if (info->answer == FA_ANSWER_ATTACHED) {
		door_send_unsent(d);
		return;
	}
	m.u.arena = *info;
	(void)door_send(d, &m, FA_MSG_ARENA, fd, -1); /* for status only: may be lost */
	if (info->answer == FA_ANSWER_NO_SESSION)
		sleepers_add_arena(info, pidfd);
}

uint64_t bell_attached(struct door *d, int proc_fd, uint64_t address)
{
	bool is_slot = false;

	for (unsigned slot = 0; slot < FA_ARENA_SLOTS; slot++)
		is_slot |= address == fa_arena_slot_address(slot);
	for (unsigned s = 0; is_slot && s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		uint64_t ino = 0;
		int fd = bell_find_grown(d, proc_fd, address, sizes[s], &ino);

		close_fds(&fd, 1);
		if (ino != 0)
			return door_arena_known(d, ino) ? ino : 0;
	}
	return 0;
}

/* Look for an arena that is not known yet. One process may have several: those of the programs that
 * it was before lie at other addresses, if they are mapped at all. */
static int find_arena(struct door *d, int proc_fd, struct fa_msg_arena *info)
{
	for (unsigned slot = 0; slot < FA_ARENA_SLOTS; slot++)
		for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			uint64_t ino;
			int fd = bell_find(d, proc_fd, fa_arena_slot_address(slot), sizes[s], &ino);

			if (fd < 0)
				continue;
			if (door_arena_known(d, ino)) {
				close(fd);
				continue;
			}
			info->handle = ino;
			info->slot = slot;
			info->size = sizes[s];
			return fd;
		}
	return -ENOENT;
}

/* Who it is: of /proc/PID itself the owner is the effective uid whatever the dumpable flag says; of
 * what lies in it the owner is root where the process is guarded from its user (set-user-id, file
 * capabilities, PR_SET_DUMPABLE). */
bool bell_who_is(int proc_fd, struct fa_msg_arena *info)
{
	struct stat st, inner;

	if (fstat(proc_fd, &st) < 0 || fstatat(proc_fd, "mem", &inner, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	info->uid = st.st_uid;
	info->gid = st.st_gid;
	info->guarded = inner.st_uid != st.st_uid;
	return true;
}

/*
 * No arena: it may be one that is flagged and refuses. Its note is not read here; the main thread finds out
 * whether it is flagged at all, the collector why it refuses.
 */
static void take_note(struct door *d, unsigned number, int proc_fd, int32_t pid, int pidfd)
{
	struct note note = {.when_mono = fa_mono_ns()};
	uint64_t ino;
	int path_fd = bell_find(d, proc_fd, FA_NOTE_ADDRESS, FA_ARENA_PAGE, &ino);

	if (path_fd < 0)
		return;
	note.fd = bell_reopen(path_fd, O_RDONLY);
	close(path_fd);
	if (note.fd < 0)
		return;
	/* Alive and held until now: so what was looked at by number was this process. */
	if (procs_look(pid, &note.seen) < 0 || !pidfd_alive(pidfd) || !bell_is_held(d, number)) {
		close(note.fd);
		return;
	}
	door_arrived(d, pid, true);
	pthread_mutex_lock(&d->lock);
	if (d->notes < NOTES_MAX) {
		d->note[d->notes++] = note;
		note.fd = -1;
	} else {
		d->notes_lost++;
	}
	pthread_mutex_unlock(&d->lock);
	close_fds(&note.fd, 1);
}

int bell_take(struct door *d, int proc_fd, int pidfd, uint64_t nonce, struct fa_msg_arena *info)
{
	int path_fd = find_arena(d, proc_fd, info), fd;
	uint64_t its_block, its_nonce = ~nonce;

	if (path_fd < 0)
		return path_fd;
	fd = bell_reopen(path_fd, O_RDWR);
	close(path_fd);
	if (fd < 0)
		return fd;
	/* The process may execute another program, with rights of its own, while somebody keeps its old memory
	 * alive, in which all is as it should be. */
	if (!read_block_words(fd, &its_block, &its_nonce) || its_nonce != nonce) {
		close(fd);
		return -ENOENT;
	}
	door_arrived(d, info->pid, false);
	bell_look_at(info, info->pid, fa_mono_ns());
	/* The name of its executable was asked by number: so it must live on. */
	if (pidfd_alive(pidfd))
		attach(d, info, fd, pidfd);
	close(fd);
	return 0;
}

void bell_look(struct door *d, unsigned number, const struct bell_ring *r)
{
	struct fa_msg_arena info = {.pid = r->pid};
	int path_fd, fd;

	/* proc_fd is bound to this process: when it is killed meanwhile and its number is given to another,
	 * all that goes through it fails. So what is found after bell_who_is() is of whom that named. */
	if (!bell_who_is(r->proc_fd, &info))
		return;
	path_fd = find_arena(d, r->proc_fd, &info);
	if (path_fd < 0) {
		take_note(d, number, r->proc_fd, r->pid, r->pidfd);
		return;
	}
	bell_look_at(&info, r->pid, r->turn_ns);
	fd = bell_reopen(path_fd, O_RDWR);
	close(path_fd);
	if (fd < 0)
		return;
	/* The name of its executable is asked by number: so it must live on. Who was let go meanwhile is one
	 * that did not ring in time: no arrival, so that it is missed. */
	if (pidfd_alive(r->pidfd) && bell_is_held(d, number)) {
		door_arrived(d, r->pid, false);
		attach(d, &info, fd, r->pidfd);
	}
	close(fd);
}
