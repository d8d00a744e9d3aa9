/*
 * bell.c - answers the doorbell: who opens /etc/firstalloc/door/bell is held by the kernel until a
 * worker here has attached its arena.
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
#define INFO_TYPE_PIDFD 4 /* FAN_EVENT_INFO_TYPE_PIDFD, Linux 5.15 */

enum { SLOW_LOOK_MS = 20, RESCUE_MS = 600 };

static const uint32_t sizes[] = {2u << 20, 1u << 20, 512u << 10, 256u << 10};

struct info_pidfd {
	uint8_t type;
	uint8_t pad;
	uint16_t len;
	int32_t pidfd;
};

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
	unsigned flags = FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE | FAN_CLOEXEC;
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
 * The name first: it is the kernel's own and asks nobody. Then what the inode says without being asked
 * anew (DONT_SYNC): of a file that a user's own server provides, an honest stat could take for ever.
 */
int bell_find(const struct door *d, int proc_fd, uint64_t address, uint32_t size, uint64_t *ret_ino)
{
	static const char want[] = "/dev/zero (deleted)";
	char path[96], link[64];
	struct statx x;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "map_files/%llx-%llx", (unsigned long long)address,
		       (unsigned long long)(address + size));
	fd = openat(proc_fd, path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link));
	if (n != (ssize_t)sizeof(want) - 1 || memcmp(link, want, sizeof(want) - 1) != 0 ||
	    statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &x) < 0 ||
	    !S_ISREG(x.stx_mode) || makedev(x.stx_dev_major, x.stx_dev_minor) != d->shm_dev ||
	    x.stx_size != size) {
		close(fd);
		return -EPERM;
	}
	*ret_ino = x.stx_ino;
	return fd;
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
static int write_answer(int fd, uint32_t word, uint32_t policy, uint32_t reason, uint64_t session)
{
	struct fa_arena_answer a = {
		.word = word,
		.policy = policy,
		.reason = reason,
		.session = session,
		.segments = 1,
	};
	const off_t at = offsetof(struct fa_arena_header, answer);

	if (pwrite(fd, (char *)&a + 4, sizeof(a) - 4, at + 4) != (ssize_t)sizeof(a) - 4 ||
	    pwrite(fd, &a.word, 4, at) != 4)
		return -EIO;
	return 0;
}

static bool pidfd_alive(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return pidfd < 0 || poll(&p, 1, 0) == 0;
}

/* Does a session want this uid, and with which policy? WAIT wins: no session may lose because
 * another would rather. */
static bool wanted(struct door *d, const struct fa_msg_arena *info, uint32_t *ret_policy)
{
	bool want = false;
	uint32_t policy = FA_POLICY_COUNT;

	pthread_mutex_lock(&d->lock);
	for (uint32_t i = 0; i < d->wants.count; i++) {
		const struct fa_want *w = &d->wants.want[i];

		if (w->uid != FA_USER_ANY && (w->uid != info->uid || info->guarded))
			continue;
		want = true;
		if (w->policy == FA_POLICY_WAIT)
			policy = FA_POLICY_WAIT;
	}
	pthread_mutex_unlock(&d->lock);
	*ret_policy = policy;
	return want;
}

static void fill_info(struct fa_msg_arena *info, int32_t pid)
{
	char path[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, info->exe, sizeof(info->exe) - 1);
	info->exe[n > 0 ? n : 0] = '\0';
	info->pid = pid;
	info->when_mono = fa_mono_ns();
}

/* An arena was found: decide, answer, pass it on. */
static void attach(struct door *d, struct fa_msg_arena *info, int fd, int pidfd)
{
	struct fa_part_msg m = {0};
	uint32_t policy = FA_POLICY_WAIT;

	info->answer = FA_ANSWER_NO_SESSION;
	if (wanted(d, info, &policy))
		info->answer = FA_ANSWER_ATTACHED;
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
	if (write_answer(fd, info->answer, policy, info->reason, info->when_mono) < 0) {
		door_arena_drop(d, info->handle);
		return;
	}
	if (info->answer == FA_ANSWER_ATTACHED) {
		door_send_unsent(d);
		return;
	}
	m.u.arena = *info;
	(void)door_send(d, &m, FA_MSG_ARENA, -1, -1); /* for status only: may be lost */
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

/*
 * How long a look takes is in the hand of the process: a thread that forks with 64,000 mappings holds
 * the lock that we need for most of the time. So no user may keep more than half of the workers busy
 * for long; his next programs start untraced. And bell_rescue() lets those go whose look takes too long.
 */
static bool may_look(struct door *d, unsigned number, uint32_t uid)
{
	uint64_t now = fa_mono_ns();
	unsigned slow = 0;

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < BELL_WORKERS_MAX; i++)
		slow += d->worker[i].looking && d->worker[i].uid == uid &&
			now - d->worker[i].since_ns > SLOW_LOOK_MS * 1000000ull;
	if (uid == 0 || slow * 2 < d->settings->config.workers) {
		d->worker[number].looking = true;
		d->worker[number].uid = uid;
		d->worker[number].since_ns = now;
		slow = 0;
	}
	pthread_mutex_unlock(&d->lock);
	return slow == 0;
}

/* Who it is: of /proc/PID itself the owner is the effective uid whatever the dumpable flag says; of
 * what lies in it the owner is root where the process is guarded from its user (set-user-id, file
 * capabilities, PR_SET_DUMPABLE). */
static bool who_is(int proc_fd, struct fa_msg_arena *info)
{
	struct stat st, inner;

	if (fstat(proc_fd, &st) < 0 || fstatat(proc_fd, "mem", &inner, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	info->uid = st.st_uid;
	info->gid = st.st_gid;
	info->guarded = inner.st_uid != st.st_uid;
	return true;
}

static bool is_held(struct door *d, unsigned number)
{
	bool held;

	pthread_mutex_lock(&d->lock);
	held = d->worker[number].held_fd >= 0;
	pthread_mutex_unlock(&d->lock);
	return held;
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
	if (procs_look(pid, &note.seen) < 0 || !pidfd_alive(pidfd) || !is_held(d, number)) {
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

static void ring(struct door *d, unsigned number, int32_t pid, int pidfd)
{
	struct fa_msg_arena info = {.pid = pid};
	int proc_fd, path_fd = -1, fd;

	if (pid <= 0 || pid == getpid())
		return;
	/* Bound to this process: when it is killed meanwhile and its number is given to another, all
	 * that goes through it fails. So what is found after who_is() is of whom that named. */
	proc_fd = bell_process(pid);
	if (proc_fd < 0)
		return;
	if (who_is(proc_fd, &info) && may_look(d, number, info.uid)) {
		path_fd = find_arena(d, proc_fd, &info);
		if (path_fd < 0)
			take_note(d, number, proc_fd, pid, pidfd);
	}
	close(proc_fd);
	if (path_fd < 0)
		return;
	door_arrived(d, pid, false);
	fill_info(&info, pid);
	fd = bell_reopen(path_fd, O_RDWR);
	close(path_fd);
	if (fd < 0)
		return;
	/* The name of its executable is asked by number: so it must live on. */
	if (pidfd_alive(pidfd) && is_held(d, number))
		attach(d, &info, fd, pidfd);
	close(fd);
}

static int event_pidfd(const struct door *d, const struct fanotify_event_metadata *m)
{
	const struct info_pidfd *info = (const void *)((const char *)m + m->metadata_len);

	if (!d->has_pidfd || m->event_len < m->metadata_len + sizeof(*info) ||
	    info->type != INFO_TYPE_PIDFD)
		return -1;
	return info->pidfd < 0 ? -1 : info->pidfd;
}

/* Under lock. Fails when the opener was killed while we held it: nothing to do. */
static void let_go_locked(struct door *d, unsigned number)
{
	struct fanotify_response answer = {.fd = d->worker[number].held_fd, .response = FAN_ALLOW};

	if (answer.fd < 0)
		return;
	(void)!write(d->bell_fd, &answer, sizeof(answer));
	d->worker[number].held_fd = -1;
}

static void one_event(struct door *d, unsigned number, const struct fanotify_event_metadata *m)
{
	int pidfd = event_pidfd(d, m);

	if (m->fd < 0) /* an overflow cannot happen (unlimited queue), other marks are not set */
		return;
	pthread_mutex_lock(&d->lock);
	d->worker[number].held_fd = m->fd;
	d->worker[number].held_ns = fa_mono_ns();
	pthread_mutex_unlock(&d->lock);
	if (m->mask & FAN_OPEN_PERM)
		ring(d, number, m->pid, pidfd);
	pthread_mutex_lock(&d->lock);
	let_go_locked(d, number);
	d->worker[number].looking = false;
	pthread_mutex_unlock(&d->lock);
	close(m->fd);
	if (pidfd >= 0)
		close(pidfd);
}

struct start {
	struct door *d;
	unsigned number;
};

/* One who was given up has a successor: it is no longer needed. */
static bool was_given_up(struct door *d, unsigned number)
{
	bool gone;

	pthread_mutex_lock(&d->lock);
	gone = d->worker[number].given_up;
	if (gone)
		d->worker[number].runs = false;
	pthread_mutex_unlock(&d->lock);
	return gone;
}

static void *work(void *arg)
{
	struct start w = *(struct start *)arg;
	_Atomic uint64_t *busy = &w.d->beat->busy_ns[w.number];
	/* Room for one event, so that the others stay for the other workers. */
	char buf[sizeof(struct fanotify_event_metadata) + sizeof(struct info_pidfd) +
		 16] FA_ALIGNED(8);

	free(arg);
	while (!was_given_up(w.d, w.number)) {
		const struct fanotify_event_metadata *m = (const void *)buf;
		ssize_t n = read(w.d->bell_fd, buf, sizeof(buf));

		if (n < 0 && errno != EINTR && errno != EAGAIN && errno != EMFILE &&
		    errno != ENFILE) {
			log_line("doorbell: %s", fa_strerror(-errno));
			_exit(1);
		}
		atomic_store(busy, fa_mono_ns());
		for (; n > 0 && FAN_EVENT_OK(m, n); m = FAN_EVENT_NEXT(m, n))
			if (m->vers == FANOTIFY_METADATA_VERSION)
				one_event(w.d, w.number, m);
		atomic_store(busy, 0);
	}
	return NULL;
}

/* In the first free place. -EAGAIN: all are taken. */
static int start_worker(struct door *d)
{
	struct start *w = malloc(sizeof(*w));
	pthread_t thread;
	unsigned i = 0;
	int e;

	if (w == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&d->lock);
	while (i < BELL_WORKERS_MAX && d->worker[i].runs)
		i++;
	if (i < BELL_WORKERS_MAX)
		d->worker[i] = (struct bell_worker){.runs = true, .held_fd = -1};
	pthread_mutex_unlock(&d->lock);
	*w = (struct start){d, i};
	e = i < BELL_WORKERS_MAX ? pthread_create(&thread, NULL, work, w) : EAGAIN;
	if (e == 0) {
		pthread_detach(thread);
		return 0;
	}
	free(w);
	if (i < BELL_WORKERS_MAX) {
		pthread_mutex_lock(&d->lock);
		d->worker[i].runs = false;
		pthread_mutex_unlock(&d->lock);
	}
	return -e;
}

/*
 * The main thread, in each turn: whom a worker has held for too long is let go, untraced. The worker
 * hangs in the kernel and cannot be called back, so another one takes its place; it ends when it
 * returns.
 */
void bell_rescue(struct door *d)
{
	uint64_t now = fa_mono_ns();
	unsigned count = 0;

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < BELL_WORKERS_MAX; i++) {
		struct bell_worker *w = &d->worker[i];

		if (!w->runs || w->held_fd < 0 || w->held_ns > now ||
		    now - w->held_ns < RESCUE_MS * 1000000ull)
			continue;
		let_go_locked(d, i);
		w->given_up = true;
		atomic_store(&d->beat->busy_ns[i], 0);
		count++;
	}
	pthread_mutex_unlock(&d->lock);
	for (unsigned i = 0; i < count; i++) {
		log_line("looking at a program took too long: it is not traced");
		if (start_worker(d) < 0)
			log_line("no further worker for the doorbell can be started");
	}
}

int bell_start(struct door *d)
{
	pthread_t thread;

	if (d->connector_fd < 0 && pthread_create(&thread, NULL, procs_verify, d) == 0)
		pthread_detach(thread);
	for (unsigned i = 0; i < d->settings->config.workers && i < BELL_WORKERS_MAX; i++) {
		int e = start_worker(d);

		if (e < 0)
			return e;
	}
	return 0;
}
