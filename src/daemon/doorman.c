/*
 * doorman.c - the part that answers the doorbell: main thread.
 *
 * Root, with only the capabilities that its work needs: SYS_ADMIN (fanotify, map_files), SYS_PTRACE
 * and DAC_READ_SEARCH (other users' /proc/PID), NET_ADMIN (proc connector), SETUID and SETGID (to
 * open a process's memory with the rights of who asks for it, wake.c). It holds programs of the whole machine while it
 * works, so it never waits for anybody: sends do not block, the keeper kills it when it is silent
 * for a second, and the kernel lets all waiters go when it dies. It parses nothing that a user can
 * write.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/paths.h"
#include "collector/drain.h"
#include "daemon/doorman.h"

static const uint64_t needed = 1ull << CAP_SYS_ADMIN | 1ull << CAP_SYS_PTRACE |
			       1ull << CAP_DAC_READ_SEARCH | 1ull << CAP_NET_ADMIN |
			       1ull << CAP_SETUID | 1ull << CAP_SETGID;

static struct door door = {.lock = PTHREAD_MUTEX_INITIALIZER,
			   .more = PTHREAD_COND_INITIALIZER,
			   .was_read = PTHREAD_COND_INITIALIZER,
			   .asks = PTHREAD_COND_INITIALIZER,
			   .connector_fd = -1};

static void take_wants(struct door *d, struct fa_msg_wants *wants)
{
	struct fa_part_msg m = {.u.wants.number = wants->number};

	if (wants->count > FA_SESSIONS_MAX)
		return;
	pthread_mutex_lock(&d->lock);
	d->wants = *wants;
	fa_drain_clock_use(wants->clock_source);
	pthread_mutex_unlock(&d->lock);
	(void)door_send(d, &m, FA_MSG_WANTS_DONE, -1, -1); /* lost: the collector says it again */
}

/* An arena that the collector had from our predecessor: its limits count on, and we keep a duplicate. */
static void take_known(struct door *d, const struct fa_msg_arena *said, const int fds[MSG_FDS])
{
	struct fa_msg_arena info = *said;

	/* Whose it is, and where its block lies, our predecessor has seen: the collector, and the arena, may be wrong. */
	if (!kept_info(d, said->handle, &info))
		info.block = 0;
	(void)door_arena_add(d, &info, fds[0], fds[1], false);
	if (fds[0] >= 0)
		door_take_size(d, &info, fds[0]);
	procs_know(d, info.pid);
}

static void answer_segment(struct door *d, const struct fa_msg_segment *want)
{
	struct fa_part_msg m = {.u.segment = *want};

	m.u.segment.error = door_arena_grow(d, want->handle, want->segment) ? 0 : EDQUOT;
	(void)door_send(d, &m, FA_MSG_SEGMENT, -1, -1); /* lost: the collector asks again */
}

/* A child of a family that is let go: its block lies where its parent's does. */
static void take_sleeper(struct door *d, const struct fa_msg_sleeps *m)
{
	struct sleeper s = {.pid = m->pid, .flags = FA_WAKE_KEEP | FA_WAKE_FLAGGED};

	if (m->pid <= 0 || !door_arena_block(d, m->handle, &s.attach))
		return;
	s.pidfd = (int)syscall(SYS_pidfd_open, m->pid, 0);
	if (s.pidfd < 0)
		return;
	sleepers_add(&s);
	close(s.pidfd);
}

static void from_collector(struct door *d, struct fa_part_msg *m, int fds[MSG_FDS])
{
	switch (m->type) {
	case FA_MSG_WANTS:
		take_wants(d, &m->u.wants);
		break;
	case FA_MSG_WANT_SEGMENT:
		answer_segment(d, &m->u.segment);
		break;
	case FA_MSG_KNOWN:
		take_known(d, &m->u.arena, fds);
		break;
	case FA_MSG_WAKE:
		wakes_ask(d, &m->u.wake, fds);
		break;
	case FA_MSG_SLEEPS:
		take_sleeper(d, &m->u.sleeps);
		break;
	case FA_MSG_ANYBODY:
		heirs_ask(d, m->u.heirs.handle);
		break;
	case FA_MSG_DRAINED:
		door_arena_drop(d, m->u.arena.handle);
		break;
	default:
		log_line("collector sent message %u", m->type);
	}
}

static void set_peer(struct door *d, int fd)
{
	int old;

	pthread_mutex_lock(&d->lock);
	old = d->peer_fd;
	d->peer_fd = fd;
	pthread_mutex_unlock(&d->lock);
	close_fds(&old, 1);
}

static void read_peer(struct door *d)
{
	struct fa_part_msg m;
	int fds[MSG_FDS], r;

	for (int i = 0; i < 256; i++) {
		r = msg_receive(d->peer_fd, &m, fds);
		if (r == 1) {
			from_collector(d, &m, fds);
			close_fds(fds, MSG_FDS);
		} else if (r != -EPROTO) {
			if (r == 0) /* it died: the keeper sends a new link */
				set_peer(d, -1);
			return;
		}
	}
}

/* false: the keeper is gone, and with it our reason to be. */
static bool read_keeper(struct door *d)
{
	struct fa_part_msg m;
	int fds[MSG_FDS];
	int r = msg_receive(d->keeper_fd, &m, fds);

	if (r == 0 || (r < 0 && r != -EAGAIN && r != -EPROTO))
		return false;
	if (r == 1 && m.type == FA_MSG_LINK) {
		set_peer(d, fds[0]);
		fds[0] = -1;
		door_resend_all(d);
	}
	close_fds(fds, MSG_FDS);
	return true;
}

static void run(struct door *d)
{
	uint64_t marked = 0;

	for (;;) {
		struct pollfd p[3] = {
			{.fd = d->keeper_fd, .events = POLLIN},
			{.fd = d->peer_fd, .events = POLLIN},
			{.fd = d->connector_fd, .events = POLLIN},
		};
		uint64_t now;

		(void)poll(p, 3, BEAT_EVERY_MS / 2);
		now = fa_mono_ns();
		atomic_store(&d->beat->alive_ns, now);
		if (p[0].revents != 0 && !read_keeper(d))
			return;
		if (p[1].revents != 0)
			read_peer(d);
		bell_rescue(d);
		if (p[2].revents != 0)
			procs_read(d);
		procs_turn(d);
		wakes_turn(d);
		sleepers_turn();
		door_send_unsent(d);
		if (now - marked >= 1000000000u) { /* somebody may have replaced the folder */
			marked = now;
			(void)bell_mark(d);
		}
	}
}

static int start_up(struct door *d, const struct part_start *start)
{
	int e;

	d->settings = start->settings;
	d->beat = start->beat;
	d->keeper_fd = start->keeper_fd;
	d->peer_fd = start->peer_fd;
	kept_open(d, start->journal_fd);
	e = fa_path_join(d->door_path, sizeof(d->door_path), d->settings->root, FA_DIR_ETC "/door");
	if (e == 0)
		e = fa_path_join(d->index_path, sizeof(d->index_path), d->settings->root,
				 FA_PATH_INDEX);
	if (e == 0)
		e = keep_capabilities(needed);
	if (e == 0 &&
	    (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0))
		e = -errno;
	if (e == 0)
		e = bell_open(d);
	if (e == 0)
		procs_open(d);
	return e;
}

int doorman_main(const struct part_start *start)
{
	struct fa_part_msg ready = {0};
	int e;

	log_name("firstallocd doorman");
	atomic_store(&start->beat->alive_ns, fa_mono_ns());
	e = start_up(&door, start);
	if (e == 0)
		e = bell_start(&door);
	if (e == 0)
		e = wakes_start(&door);
	if (e == 0)
		e = heirs_start(&door);
	if (e < 0) {
		log_line("cannot watch %s: %s", door.door_path, fa_strerror(e));
		return 1;
	}
	if (start->restarted)
		kept_search(&door);
	(void)msg_send(door.keeper_fd, &ready, FA_MSG_READY, NULL, 0);
	run(&door);
	return 0;
}
