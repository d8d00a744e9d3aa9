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
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/paths.h"
#include "daemon/doorman.h"
#include "format/index_format.h"

#ifndef FAN_REPORT_PIDFD
#define FAN_REPORT_PIDFD 0x80
#endif
#define INFO_TYPE_PIDFD 4 /* FAN_EVENT_INFO_TYPE_PIDFD, Linux 5.15 */

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

int bell_find(const struct door *d, int32_t pid, uint64_t address, uint32_t size, uint64_t *ret_ino)
{
	static const char want[] = "/dev/zero (deleted)";
	char path[96], link[64];
	struct stat st;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", (int)pid,
		       (unsigned long long)address, (unsigned long long)(address + size));
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_dev != d->shm_dev ||
	    st.st_size != (off_t)size || n != (ssize_t)sizeof(want) - 1 ||
	    memcmp(link, want, sizeof(want) - 1) != 0) {
		close(fd);
		return -EPERM;
	}
	*ret_ino = st.st_ino;
	return fd;
}

int bell_reopen(int path_fd)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
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
static bool wanted(struct door *d, uint32_t uid, uint32_t *ret_policy)
{
	bool want = false;
	uint32_t policy = FA_POLICY_COUNT;

	pthread_mutex_lock(&d->lock);
	for (uint32_t i = 0; i < d->wants.count; i++) {
		const struct fa_want *w = &d->wants.want[i];

		if (w->uid != FA_USER_ANY && w->uid != uid)
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
	if (wanted(d, info->uid, &policy))
		info->answer = FA_ANSWER_ATTACHED;
	/* The machine's first process must never wait for anybody. */
	if (info->pid == 1)
		policy = FA_POLICY_COUNT;
	if (info->answer == FA_ANSWER_ATTACHED) {
		switch (door_arena_add(d, info, fd, pidfd)) {
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
static int find_arena(struct door *d, struct fa_msg_arena *info)
{
	for (unsigned slot = 0; slot < FA_ARENA_SLOTS; slot++)
		for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			uint64_t ino;
			int fd = bell_find(d, info->pid, fa_arena_slot_address(slot), sizes[s],
					   &ino);

			if (fd == -ESRCH)
				return fd;
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

static void ring(struct door *d, int32_t pid, int pidfd)
{
	struct fa_msg_arena info = {0};
	char path[64];
	struct stat st;
	int path_fd, fd;

	if (pid <= 0 || pid == getpid())
		return;
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	/* The owner of /proc/PID itself is the effective uid, whatever the dumpable flag says. */
	if (stat(path, &st) < 0)
		return;
	info.uid = st.st_uid;
	info.gid = st.st_gid;
	info.pid = pid;
	path_fd = find_arena(d, &info);
	if (path_fd < 0)
		return;
	door_arrived(d, pid);
	fill_info(&info, pid);
	fd = bell_reopen(path_fd);
	close(path_fd);
	if (fd < 0)
		return;
	/* The opener is held by the kernel, so its pid cannot be another's by now - unless it was
	 * killed meanwhile; then what we opened may be a stranger's. */
	if (pidfd_alive(pidfd))
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

static void one_event(struct door *d, const struct fanotify_event_metadata *m)
{
	struct fanotify_response answer = {.fd = m->fd, .response = FAN_ALLOW};
	int pidfd = event_pidfd(d, m);

	if (m->fd < 0) /* an overflow cannot happen (unlimited queue), other marks are not set */
		return;
	if (m->mask & FAN_OPEN_PERM)
		ring(d, m->pid, pidfd);
	/* Fails when the opener was killed while we held it: nothing to do. */
	(void)!write(d->bell_fd, &answer, sizeof(answer));
	close(m->fd);
	if (pidfd >= 0)
		close(pidfd);
}

struct worker {
	struct door *d;
	unsigned number;
};

static void *work(void *arg)
{
	struct worker w = *(struct worker *)arg;
	_Atomic uint64_t *busy = &w.d->beat->busy_ns[w.number];
	/* Room for one event, so that the others stay for the other workers. */
	char buf[sizeof(struct fanotify_event_metadata) + sizeof(struct info_pidfd) +
		 16] FA_ALIGNED(8);

	free(arg);
	for (;;) {
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
				one_event(w.d, m);
		atomic_store(busy, 0);
	}
	return NULL;
}

int bell_start(struct door *d)
{
	for (unsigned i = 0; i < d->settings->config.workers && i < BELL_WORKERS_MAX; i++) {
		struct worker *w = malloc(sizeof(*w));
		pthread_t thread;
		int e;

		if (w == NULL)
			return -ENOMEM;
		*w = (struct worker){d, i};
		e = pthread_create(&thread, NULL, work, w);
		if (e != 0) {
			free(w);
			return -e;
		}
		pthread_detach(thread);
	}
	return 0;
}

/*
 * The collector asks for a further segment of a family. Which process has it mapped is the arena's
 * word, so it is checked: only a process that has this very segment 0 at this place is of the
 * family; or a program could point at another user's process.
 */
void bell_segment(struct door *d, const struct fa_msg_segment *want)
{
	struct fa_part_msg m = {.u.segment = *want};
	uint64_t ino = 0, base, ino2;
	int fd0, fd = -EINVAL, rw = -1;

	if (want->slot < FA_ARENA_SLOTS && want->segment > 0 && want->segment < FA_ARENA_SEGMENTS &&
	    want->pid > 0 && want->size0 >= FA_ARENA_MIN && want->size0 <= FA_ARENA_MAX0) {
		uint32_t size = fa_arena_segment_size(want->size0, want->segment);

		base = fa_arena_slot_address(want->slot);
		fd0 = bell_find(d, want->pid, base, want->size0, &ino);
		fd = fd0 < 0 ? fd0 : ino != want->handle ? -EPERM : 0;
		if (fd == 0)
			fd = bell_find(d, want->pid,
				       base + fa_arena_segment_at(want->size0, want->segment), size,
				       &ino2);
		if (fd >= 0 && !door_arena_grow(d, want->handle, size)) {
			close(fd);
			fd = -EDQUOT;
		}
		close_fds(&fd0, 1);
	}
	if (fd >= 0) {
		rw = bell_reopen(fd);
		close(fd);
		fd = rw;
	}
	m.u.segment.error = fd < 0 ? -fd : 0;
	(void)door_send(d, &m, FA_MSG_SEGMENT, rw, -1); /* lost: the collector asks again */
	close_fds(&rw, 1);
}
