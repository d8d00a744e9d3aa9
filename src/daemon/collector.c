/*
 * collector.c - the part that reads arenas and writes traces: start and main loop.
 *
 * It reads bytes that any traced program can write, so it has nothing to lose: a user of its own, no
 * capability, no new privileges, few system calls (filter.c), no file that it could open for writing.
 * Arenas, trace files and sockets all came to it as descriptors. One thread: the loop waits for at most
 * the time until the next family is due.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/paths.h"
#include "daemon/collector.h"

/* Keys of epoll: fixed descriptors, clients by their address, families by KEY_PIDFD and handle. */
enum { KEY_KEEPER = 1, KEY_PEER = 2, KEY_LISTEN = 3 };

static struct collector collector;

int watch_fd(struct collector *c, int fd, uint64_t key)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = key};

	return epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* The keeper reads soon, but it may be in the database: wait for it a little. */
void tell_keeper(struct collector *c, struct fa_part_msg *m, unsigned type, int fd)
{
	struct pollfd p = {.fd = c->keeper_fd, .events = POLLOUT};

	if (msg_send(c->keeper_fd, m, type, &fd, 1) != -EAGAIN)
		return;
	(void)poll(&p, 1, 200);
	if (msg_send(c->keeper_fd, m, type, &fd, 1) < 0)
		log_line("the keeper does not listen (message %u)", type);
}

static void set_peer(struct collector *c, int fd)
{
	close_fds(&c->peer_fd, 1);
	c->peer_fd = fd;
	if (fd >= 0 && watch_fd(c, fd, KEY_PEER) < 0)
		close_fds(&c->peer_fd, 1);
}

static void from_doorman(struct collector *c, const struct fa_part_msg *m, int fds[MSG_FDS])
{
	switch (m->type) {
	case FA_MSG_ARENA:
		if (m->u.arena.answer == FA_ANSWER_ATTACHED && fds[0] >= 0) {
			family_adopt(c, &m->u.arena, fds[0], fds[1]);
			fds[0] = fds[1] = -1;
		} else {
			bool refused = m->u.arena.answer == FA_ANSWER_REFUSED;
			char exec_name[FA_IMAGE_NAME] = "";
			uint32_t rule;

			if (fds[0] >= 0)
				read_exec_name(fds[0], exec_name, &rule);
			dormant_add(c, &m->u.arena, exec_name, refused ? FA_STATUS_REFUSED : FA_STATUS_WAITING,
				    refused ? m->u.arena.reason : FA_REASON_NO_SESSION);
			if (refused)
				coverage_refused(c, &m->u.arena);
		}
		break;
	case FA_MSG_SEGMENT:
		family_segment(c, &m->u.segment);
		break;
	case FA_MSG_HEIRS:
		family_heirs(c, &m->u.heirs);
		break;
	case FA_MSG_GONE:
		family_gone(c, &m->u.gone);
		break;
	case FA_MSG_WOKEN:
		live_woken(c, &m->u.woken);
		break;
	case FA_MSG_MISSED:
		coverage_missed(c, &m->u.missed, fds);
		break;
	case FA_MSG_WANTS_DONE:
		c->wants_done = m->u.wants.number;
		break;
	case FA_MSG_BLIND:
		c->blind = m->u.blind;
		break;
	}
}

static void read_peer(struct collector *c)
{
	struct fa_part_msg m;
	int fds[MSG_FDS], r;

	for (int i = 0; i < 512 && c->peer_fd >= 0; i++) {
		r = msg_receive(c->peer_fd, &m, fds);
		if (r == 1) {
			from_doorman(c, &m, fds);
			close_fds(fds, MSG_FDS);
			atomic_store(&c->beat->alive_ns, fa_mono_ns());
		} else if (r != -EPROTO) {
			if (r == 0)
				set_peer(c, -1);
			return;
		}
	}
}

/*
 * Before a session is ended: who has just died told the kernel, which told the doorman, who tells
 * us how. Some milliseconds for that at least, so that the trace has the exit status.
 */
void collector_settle(struct collector *c)
{
	uint64_t since = fa_mono_ns(), now = since;

	while (c->peer_fd >= 0 && c->blind.connector &&
	       (now - since < 9000000u || (now - since < 200000000u && families_untold(c, now)))) {
		struct pollfd p = {.fd = c->peer_fd, .events = POLLIN};

		(void)poll(&p, 1, 3);
		read_peer(c);
		now = fa_mono_ns();
	}
}

/* From the keeper: an autologger, or one that our predecessor was writing. */
static void take_session(struct collector *c, const struct fa_msg_session *want, int *fd)
{
	struct fa_part_msg m = {0};
	const char *what = "options";
	struct session *s = NULL;
	int e = fa_session_options_check(&want->options, &what);

	if (e == 0 && want->file >= FA_FILES_MAX)
		e = -EINVAL;
	if (e == 0) {
		close_fds(&c->given[want->file], 1);
		c->given[want->file] = fa_take_fd(fd);
		e = session_open(c, want, c->given, &s, &what);
	}
	close_fds(c->given, FA_FILES_MAX);
	if (e < 0) {
		log_line("session %.64s: %s: %s", want->options.name, what, fa_strerror(e));
		m.u.session.id = want->id;
		tell_keeper(c, &m, FA_MSG_SESSION_OVER, -1);
	}
	if (!want->resumed && (want->options.flags & FA_SESSION_AUTOLOGGER) != 0) {
		memset(&m, 0, sizeof(m));
		m.u.autologger.error = -e;
		memcpy(m.u.autologger.name, want->options.name, sizeof(m.u.autologger.name));
		(void)snprintf(m.u.autologger.text, sizeof(m.u.autologger.text), "%s%s%s",
			       e < 0 ? what : "started", e < 0 ? ": " : "",
			       e < 0 ? fa_strerror(e) : "");
		tell_keeper(c, &m, FA_MSG_AUTOLOGGER, -1);
	}
	if (e == 0) {
		log_line("session %s %s: %s", s->o.name, want->resumed ? "goes on" : "started",
			 s->file);
		(void)families_join(c, s);
		journal_commit(c);
		session_keep(c, s);
		session_drop_others(c, s);
		sessions_say_wants(c);
		(void)live_wake_sleepers(c, s);
	}
}

/* Of success session_move() itself tells. */
static void move_session(struct collector *c, uint64_t id, int fd)
{
	struct fa_part_msg m = {.u.file.session = id};
	int e = session_move(c, id, fd);

	if (e == 0)
		return;
	m.u.file.error = -e;
	tell_keeper(c, &m, FA_MSG_FILE, -1);
}

static void stop_all(struct collector *c)
{
	struct fa_part_msg m = {0};

	collector_settle(c);
	c->stopping = true;
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (c->session[i].used) {
			session_stop(c, &c->session[i], 0);
			session_forget(&c->session[i]);
		}
	sessions_say_wants(c);
	tell_keeper(c, &m, FA_MSG_STOPPED, -1);
}

/* The kill switch: who is traced is let go, and nobody is wanted until it is lifted. */
static void take_info(struct collector *c, const struct fa_msg_info *info)
{
	bool was_off = c->info.off != 0, is_off = info->off != 0;

	c->info = *info;
	if (was_off == is_off)
		return;
	log_line("tracing is switched %s", is_off ? "off" : "on again");
	if (is_off)
		families_let_all_go(c);
	sessions_say_wants(c);
}

static void end_session(struct collector *c, uint64_t id)
{
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (c->session[i].used && !c->session[i].ended && c->session[i].id == id)
			session_stop(c, &c->session[i], FA_END_STOP_AT);
}

static void from_keeper(struct collector *c, const struct fa_part_msg *m, int fds[MSG_FDS])
{
	switch (m->type) {
	case FA_MSG_LINK: /* a new doorman: it knows nothing */
		set_peer(c, fds[0]);
		fds[0] = -1;
		if (c->peer_fd >= 0) {
			families_say_known(c);
			sessions_say_wants(c);
		}
		break;
	case FA_MSG_SESSION:
		take_session(c, &m->u.session, &fds[0]);
		c->sessions_given++;
		c->ready_due = true;
		break;
	case FA_MSG_SESSION_END:
		collector_settle(c);
		end_session(c, m->u.session.id);
		break;
	case FA_MSG_FILE:
		move_session(c, m->u.file.session, fds[0]);
		break;
	case FA_MSG_SESSION_FILE:
		if (m->u.session.file < FA_FILES_MAX) {
			close_fds(&c->given[m->u.session.file], 1);
			c->given[m->u.session.file] = fa_take_fd(&fds[0]);
		}
		break;
	case FA_MSG_INFO:
		take_info(c, &m->u.info);
		break;
	case FA_MSG_STOP:
		stop_all(c);
		break;
	}
}

/* false: the keeper is gone. */
static bool read_keeper(struct collector *c)
{
	struct fa_part_msg m;
	int fds[MSG_FDS], r;

	while ((r = msg_receive(c->keeper_fd, &m, fds)) == 1 || r == -EPROTO) {
		if (r == 1)
			from_keeper(c, &m, fds);
		close_fds(fds, MSG_FDS);
	}
	return r == -EAGAIN || r == -EINTR;
}

/* A pidfd fired: the first process of a family ended. What is left is read at once. */
static void on_pidfd(struct collector *c, uint64_t handle)
{
	for (size_t i = 0; i < c->families; i++) {
		struct family *fam = c->family[i];

		if (fam->info.handle != handle)
			continue;
		family_unwatch(fam);
		fam->gone_ns = fa_mono_ns();
		fam->interval_ms = 1;
		fam->due_ns = 0;
		return;
	}
}

static bool is_client(const struct collector *c, uint64_t key)
{
	return key >= (uintptr_t)&c->client[0] && key < (uintptr_t)&c->client[CLIENTS_MAX];
}

/* false: the keeper is gone. */
static bool dispatch(struct collector *c, uint64_t key)
{
	switch (key) {
	case KEY_KEEPER:
		return read_keeper(c);
	case KEY_PEER:
		/* Sessions first: an arena that comes again must find the session that it was in. */
		if (!read_keeper(c))
			return false;
		read_peer(c);
		break;
	case KEY_LISTEN:
		control_accept(c);
		break;
	default:
		if ((key & KEY_PIDFD) != 0)
			on_pidfd(c, key & ~KEY_PIDFD);
		else if (is_consumer(key))
			consumer_ready(key);
		else if (is_client(c, key))
			control_read(c, (struct client *)(uintptr_t)key);
	}
	return true;
}

/* The keeper's sessions run and the doorman knows of them. */
static void say_ready(struct collector *c)
{
	struct fa_part_msg m = {.u.wants.number = c->sessions_given};

	if (!c->ready_due || c->wants_done != c->wants_number)
		return;
	c->ready_due = false;
	tell_keeper(c, &m, FA_MSG_READY, -1);
}

static void run(struct collector *c)
{
	unsigned wait_ms = 0;

	for (;;) {
		struct epoll_event e[64];
		int n = epoll_wait(c->epoll_fd, e, 64, (int)wait_ms);
		uint64_t now = fa_mono_ns();

		atomic_store(&c->beat->alive_ns, now);
		for (int i = 0; i < n; i++)
			if (!dispatch(c, e[i].data.u64))
				return;
		now = fa_mono_ns();
		wait_ms = families_turn(c, now);
		if (now - c->reaped_ns >= REAP_EVERY_MS * 1000000ull) {
			c->reaped_ns = now;
			families_reap(c);
		}
		sessions_turn(c, now);
		if (snapshot_into_turn(c))
			wait_ms = 0;
		consumers_turn(now);
		control_turn(c, now);
		if (c->commit_due)
			journal_commit(c);
		journal_turn(c, now);
		/* The doorman may have been too busy to get it: say it again. */
		if (c->wants_done != c->wants_number && now - c->wants_sent_ns > 500000000u)
			sessions_say_wants(c);
		say_ready(c);
		atomic_store(&c->beat->alive_ns, fa_mono_ns());
	}
}

/* Rights are laid down before the first byte of anybody is read. */
static int lay_down_rights(struct collector *c)
{
	const struct group *g = getgrnam(FA_GROUP);
	const struct rlimit none = {0, 0};
	int e;

	c->system_gid = g != NULL ? g->gr_gid : ~0u;
	/* As the programs that we read, and no longer in the group of those who go before them. */
	if (getpriority(PRIO_PROCESS, 0) < 0)
		(void)setpriority(PRIO_PROCESS, 0, 0);
	(void)setsid();
	e = drop_bounding(0); /* while we may */
	if (e == 0)
		e = become_collector_user();
	if (e < 0)
		return e;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	/* One thread, and it starts nobody. Not dumpable: a core would hold others' traces. */
	(void)setrlimit(RLIMIT_NPROC, &none);
	(void)setrlimit(RLIMIT_CORE, &none);
	return keep_capabilities(0);
}

static int start_up(struct collector *c, const struct part_start *start)
{
	int e;

	c->settings = start->settings;
	c->beat = start->beat;
	c->keeper_fd = start->keeper_fd;
	c->listen_fd = start->listen_fd;
	c->peer_fd = -1;
	c->ids.next_arena = 1;
	c->ids.next_process = 1;
	c->wakes = fa_mono_ns(); /* behind those of whoever was before us */
	if (start->restarted) {
		/* Ids of the one that died stand in the traces already: stay clear of them. */
		c->ids.next_arena = c->ids.next_process = (uint32_t)(fa_mono_ns() >> 20) | 1u << 24;
	}
	for (int i = 0; i < CLIENTS_MAX; i++)
		c->client[i].fd = -1;
	consumers_open();
	memset(c->given, -1, sizeof(c->given));
	c->clock_source = fa_drain_clock_source();
	journal_open(c, start->journal_fd);
	e = lay_down_rights(c);
	if (e < 0)
		return e;
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll_fd < 0)
		return -errno;
	e = watch_fd(c, c->keeper_fd, KEY_KEEPER);
	if (e == 0)
		e = watch_fd(c, c->listen_fd, KEY_LISTEN);
	set_peer(c, start->peer_fd);
	if (e == 0)
		e = filter_calls();
	return e;
}

int collector_main(const struct part_start *start)
{
	struct collector *c = &collector;
	struct fa_part_msg ready = {0};
	int e;

	log_name("firstallocd collector");
	atomic_store(&start->beat->alive_ns, fa_mono_ns());
	e = start_up(c, start);
	if (e < 0) {
		log_line("start: %s", fa_strerror(e));
		return 1;
	}
	(void)msg_send(c->keeper_fd, &ready, FA_MSG_READY, NULL, 0);
	run(c);
	/* The keeper died. Without it nothing can be promised: end the traces properly. */
	log_line("the keeper is gone: ending all sessions");
	c->stopping = true;
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (c->session[i].used)
			session_stop(c, &c->session[i], 0);
	return 0;
}
