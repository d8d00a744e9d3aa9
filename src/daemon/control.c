/*
 * control.c - requests of the command line: who may, and what is done.
 *
 * Anybody may connect. Rights follow from the peer's credentials as the kernel gives them: root and
 * the group `firstalloc` run system sessions (processes of all users); everybody else runs sessions
 * of own processes only and sees own things only. The trace file comes open with the request, so
 * that nothing is ever written where the caller could not.
 *
 * START is answered when the doorman has acknowledged: what starts after that is traced.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/paths.h"
#include "base/socket.h"
#include "daemon/collector.h"
#include "format/index_format.h"

enum { IDLE_S = 30, ACKNOWLEDGE_S = 4, KEPT_FOR_SYSTEM = 16, LOOK_AT_CLIENTS_NS = 100000000 };

static bool in_group(int fd, uint32_t gid)
{
	gid_t groups[1024];
	socklen_t len = sizeof(groups);

	if (gid == ~0u || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static unsigned clients_of(const struct collector *c, uint32_t uid)
{
	unsigned n = 0;

	for (int i = 0; i < CLIENTS_MAX; i++)
		n += c->client[i].fd >= 0 && c->client[i].uid == uid;
	return n;
}

/* It has asked, and is answered later. */
static bool client_waits(const struct client *cl)
{
	return cl->waits_for != 0 || cl->waits_woken != 0 || cl->waits_into != 0;
}

/*
 * All places are taken. However many users hold connections on which they say nothing: who has fewer than another
 * gets the place of that one's oldest. Root's are not taken away.
 */
static struct client *make_room(struct collector *c, uint32_t uid)
{
	unsigned most = uid == 0 ? 0 : clients_of(c, uid) + 1;
	struct client *found = NULL;

	for (int i = 0; i < CLIENTS_MAX; i++) {
		struct client *cl = &c->client[i];
		unsigned n = clients_of(c, cl->uid);

		if (cl->uid == 0 || client_waits(cl) || n < most ||
		    (found == NULL && n == most))
			continue;
		if (n > most || cl->since_ns < found->since_ns)
			found = cl;
		most = n;
	}
	if (found != NULL)
		close_fds(&found->fd, 1);
	return found;
}

void control_accept(struct collector *c)
{
	struct client *cl = NULL;
	struct ucred who;
	socklen_t len = sizeof(who);
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	for (int i = 0; i < CLIENTS_MAX && cl == NULL; i++)
		if (c->client[i].fd < 0)
			cl = &c->client[i];
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 ||
	    (who.uid != 0 && clients_of(c, who.uid) >= CLIENTS_PER_USER)) {
		close(fd);
		return;
	}
	if (cl == NULL)
		cl = make_room(c, who.uid);
	if (cl == NULL) {
		close(fd);
		return;
	}
	memset(cl, 0, sizeof(*cl));
	cl->fd = fd;
	cl->uid = who.uid;
	cl->pid = who.pid;
	cl->system = who.uid == 0 || who.gid == c->system_gid || in_group(fd, c->system_gid);
	cl->since_ns = fa_mono_ns();
	if (watch_fd(c, fd, (uint64_t)(uintptr_t)cl) < 0)
		close_fds(&cl->fd, 1);
}

void client_say(struct client *cl, int error, const char *format, ...)
{
	va_list ap;

	cl->reply.error = error < 0 ? -error : error;
	va_start(ap, format);
	(void)vsnprintf(cl->reply.text, sizeof(cl->reply.text), format, ap);
	va_end(ap);
}

/* One reply to one request; a status' memfd goes along, or the files that a session did not use, or the one that it left
 * to be packed. */
static void send_reply(struct client *cl, const int *fds, int count)
{
	cl->reply.magic = FA_CONTROL_MAGIC;
	cl->reply.version = FA_CONTROL_VERSION;
	cl->waits_for = cl->waits_woken = cl->waits_into = 0;
	/* Who is gone: its own affair. */
	(void)!fa_send_with_fds(cl->fd, &cl->reply, sizeof(cl->reply), fds, count, MSG_DONTWAIT);
	memset(&cl->reply, 0, sizeof(cl->reply));
	cl->since_ns = fa_mono_ns();
}

void client_answer(struct client *cl)
{
	send_reply(cl, NULL, 0);
}

static bool may_stop(const struct client *cl, const struct session *s)
{
	return cl->system || (s->uid == cl->uid && (s->o.flags & FA_SESSION_USER) != 0);
}

static bool is_meant(const struct session *s, const struct fa_control_request *q)
{
	return q->session_id != 0 ? s->id == q->session_id : fa_session_name_same(s->o.name, q->session.name);
}

/* The caller's own session first; system sessions share one space of names. */
struct session *client_session(struct collector *c, const struct client *cl,
			       const struct fa_control_request *q)
{
	struct session *found = NULL;

	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++) {
		struct session *s = &c->session[i];

		if (!s->used || !is_meant(s, q) || !may_stop(cl, s))
			continue;
		if (found == NULL || !(s->o.flags & FA_SESSION_USER))
			found = s;
	}
	return found;
}

static unsigned sessions_of(const struct collector *c, uint32_t uid)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		n += c->session[i].used && c->session[i].uid == uid;
	return n;
}

/* System sessions find room however many users there are. */
static bool users_are_full(const struct collector *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		n += c->session[i].used && (c->session[i].o.flags & FA_SESSION_USER) != 0;
	return n >= FA_SESSIONS_MAX - KEPT_FOR_SYSTEM;
}

static bool name_taken(const struct collector *c, const struct client *cl,
		       const struct fa_session_options *o)
{
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++) {
		const struct session *s = &c->session[i];

		if (s->used && fa_session_name_same(s->o.name, o->name) &&
		    (s->o.flags & FA_SESSION_USER) == (o->flags & FA_SESSION_USER) &&
		    (!(o->flags & FA_SESSION_USER) || s->uid == cl->uid))
			return true;
	}
	return false;
}

/* What it may have of the flags that it asks for. A file of bounded size, or that is not all of the trace, is not packed
 * later: more would go into it if it was small from the beginning. */
static uint32_t flags_of(const struct client *cl, const struct fa_session_options *o)
{
	uint32_t flags = o->flags & (FA_SESSION_USER | FA_SESSION_PIDS | FA_SESSION_PACK_LATER);

	if (o->maximum_file_size != 0 || (o->log_file_mode & FA_LOG_MODES & ~(uint32_t)FA_LOG_SEQUENTIAL) != 0)
		flags &= ~(uint32_t)FA_SESSION_PACK_LATER;
	return cl->system ? flags : flags | FA_SESSION_USER;
}

/* false: the files were taken over and the reply follows later. */
static bool do_start(struct collector *c, struct client *cl, struct fa_session_options *o, int files[FA_FILES_MAX])
{
	struct fa_msg_session want = {.uid = cl->uid};
	const char *what;
	struct session *s;
	int e;

	what = refuse_start_files(c, cl, o, files);
	if (what == NULL)
		what = refuse_ring(c, cl, o);
	o->flags = flags_of(cl, o);
	if (what != NULL)
		client_say(cl, EINVAL, "%s", what);
	else if (c->stopping)
		client_say(cl, ESHUTDOWN, "firstallocd is being stopped");
	else if (name_taken(c, cl, o))
		client_say(cl, EEXIST, "a session called '%s' is there already (stop it first)", o->name);
	else if (!cl->system && sessions_of(c, cl->uid) >= c->settings->config.sessions_per_user)
		client_say(cl, EDQUOT, "you have %u sessions already, the limit for a user",
		    sessions_of(c, cl->uid));
	else if (!cl->system && users_are_full(c))
		client_say(cl, EDQUOT,
		    "users have all the sessions that they may have together; try later");
	else if ((o->flags & FA_SESSION_USER) != 0 &&
		 !written_may_start(c, cl->uid, fa_mono_ns()))
		client_say(cl, EDQUOT,
		    "firstallocd has written as much for you as it may within a day "
		    "(WrittenPerUser); try later");
	if (cl->reply.error != 0)
		return true;
	want.options = *o;
	e = session_open(c, &want, files, &s, &what);
	if (e < 0) {
		client_say(cl, e, "%s: %s", what,
		    e == -ENOSPC ? "less space is left on its disk than must stay free (--min-free)"
				 : fa_strerror(e));
		return true;
	}
	cl->reply.session_id = s->id;
	cl->reply.pending_families = families_join(c, s);
	journal_commit(c); /* before the keeper has it for a successor */
	session_keep_all(c, s);
	sessions_say_wants(c);
	cl->reply.woken = live_wake_sleepers(c, s);
	cl->waits_for = c->wants_number;
	cl->since_ns = fa_mono_ns();
	log_line("session %s started by uid %u: %s", s->o.name, s->uid, s->file);
	return false;
}

bool client_packs(const struct client *cl, const struct session *s)
{
	return (s->o.flags & FA_SESSION_PACK_LATER) != 0 && s->uid == cl->uid;
}

static void stop_one(struct collector *c, struct client *cl, struct session *s, int out[FA_FILES_MAX])
{
	struct fa_control_reply *r = &cl->reply;
	int n = 0, written = client_packs(cl, s) && s->fd >= 0 ? fcntl(s->fd, F_DUPFD_CLOEXEC, 0) : -1;

	session_stop(c, s, 0);
	r->events += s->events;
	r->lost += s->lost;
	r->bytes += s->bytes;
	r->processes += s->processes;
	r->end_reason = s->end_reason;
	r->end_error = s->end_error;
	r->sessions++;
	while (n < FA_FILES_MAX && out[n] >= 0)
		n++;
	if (n < FA_FILES_MAX && written >= 0)
		out[n++] = fa_take_fd(&written);
	for (int i = 0; i < FA_FILES_MAX && n < FA_FILES_MAX; i++)
		if (s->files[i] >= 0)
			out[n++] = fa_take_fd(&s->files[i]);
	close_fds(&written, 1);
	session_forget(s);
}

struct session *client_find(struct collector *c, struct client *cl,
			    const struct fa_control_request *q)
{
	struct session *s = client_session(c, cl, q);

	if (s == NULL && q->session_id != 0)
		client_say(cl, ENOENT, "there is no such session%s", cl->system ? "" : " of yours");
	else if (s == NULL)
		client_say(cl, ENOENT, "there is no session called '%s'%s", q->session.name,
		    cl->system ? "" : " of yours");
	return s;
}

static void do_save(struct collector *c, struct client *cl, const struct fa_control_request *q,
		    int fd)
{
	struct session *s = client_find(c, cl, q);
	const char *what = refuse_file(cl, fd);
	struct stat st;
	int e;

	if (s == NULL)
		return;
	if ((s->o.log_file_mode & FA_LOG_BUFFERING) == 0) {
		client_say(cl, EINVAL, "session %s does not buffer: its trace is %.128s", s->o.name, s->file);
	} else if (s->ended) {
		client_say(cl, EINVAL, "session %s has ended", s->o.name);
	} else if (what != NULL || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != 0) {
		client_say(cl, EINVAL, "%s", what != NULL ? what : "the trace file is no empty file");
	} else {
		e = session_save(c, s, fd, &cl->reply.bytes);
		if (e < 0)
			client_say(cl, e, "its trace file: %s",
			    e == -ENOSPC ? "too little space is left on its disk" : fa_strerror(e));
		cl->reply.events = s->events;
		cl->reply.lost = s->lost;
	}
}

static void flush_one(struct collector *c, struct client *cl, struct session *s)
{
	if (!s->ended)
		families_drain_session(c, s);
	cl->reply.sessions++;
}

static void do_flush(struct collector *c, struct client *cl, const struct fa_control_request *q)
{
	struct session *s = q->all ? NULL : client_find(c, cl, q);

	if (s != NULL)
		flush_one(c, cl, s);
	for (unsigned i = 0; i < FA_SESSIONS_MAX && q->all; i++)
		if (c->session[i].used && may_stop(cl, &c->session[i]))
			flush_one(c, cl, &c->session[i]);
	if (cl->reply.sessions > 0)
		journal_commit(c); /* writes out */
}

static void mark_one(struct collector *c, const struct fa_rec_mark *mark, const char *text,
		     struct client *cl, struct session *s)
{
	if (s->ended)
		return;
	for (size_t i = 0; i < c->families; i++)
		if ((c->family[i]->mask >> s->index & 1) != 0)
			fa_family_sample_soon(c->family[i]->f);
	session_record(s, c->beat, FA_TAG_MARK, mark, sizeof(*mark), text, strlen(text) + 1, NULL,
		       0);
	cl->reply.sessions++;
}

static void do_mark(struct collector *c, struct client *cl, const struct fa_control_request *q)
{
	const struct fa_rec_mark mark = {
		.stamp = fa_drain_stamp(c->clock_source), .uid = cl->uid, .pid = cl->pid};
	struct session *s = q->all ? NULL : client_find(c, cl, q);

	if (s != NULL)
		mark_one(c, &mark, q->text, cl, s);
	for (unsigned i = 0; i < FA_SESSIONS_MAX && q->all; i++)
		if (c->session[i].used && may_stop(cl, &c->session[i]))
			mark_one(c, &mark, q->text, cl, &c->session[i]);
	if (cl->reply.sessions == 0 && cl->reply.error == 0)
		client_say(cl, ENOENT, s != NULL ? "session '%s' has ended" : "no session%s is running",
		    s != NULL ? s->o.name : cl->system ? "" : " of yours");
	if (cl->reply.sessions > 0)
		journal_commit(c); /* a successor does not cut it off */
}

/* Who may stop a session may read what it records. false: the connection is a consumer's now. */
static bool do_tail(struct collector *c, struct client *cl, const struct fa_control_request *q)
{
	struct session *s = client_find(c, cl, q);
	const char *why;

	if (s == NULL)
		return true;
	if (s->ended) {
		client_say(cl, EINVAL, "session %s has ended", s->o.name);
		return true;
	}
	cl->reply.session_id = s->id;
	why = consumer_begin(c, cl, s, q);
	if (why != NULL)
		client_say(cl, EDQUOT, "%s", why);
	return why != NULL;
}

/* `out`: of sessions in newfile mode what the client removes where it is still empty; of others what it is to pack. */
static void do_stop(struct collector *c, struct client *cl, const struct fa_control_request *q,
		    int out[FA_FILES_MAX])
{
	struct session *s;

	collector_settle(c);
	if (!q->all) {
		s = client_find(c, cl, q);
		if (s != NULL)
			stop_one(c, cl, s, out);
		return;
	}
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (c->session[i].used && may_stop(cl, &c->session[i]))
			stop_one(c, cl, &c->session[i], out);
}

/* true: a reply can be sent now. files: what came along; taken over where set to -1. `out` goes along with the reply. */
static bool do_request(struct collector *c, struct client *cl, struct fa_control_request *q,
		       size_t len, int files[FA_FILES_MAX], int out[FA_FILES_MAX])
{
	const char *what = "request";
	int e = fa_control_check(q, len, &what);

	if (e == -EPROTONOSUPPORT)
		client_say(cl, e, "firstallocd is of another version than this command (restart it)");
	else if (e < 0)
		client_say(cl, e, "the request is malformed: %s", what);
	if (e < 0)
		return true;
	switch (q->verb) {
	case FA_CONTROL_START:
		return do_start(c, cl, &q->session, files);
	case FA_CONTROL_STOP:
		do_stop(c, cl, q, out);
		return true;
	case FA_CONTROL_UPDATE:
		update_session(c, cl, q, &files[0], &out[0]);
		return cl->waits_for == 0;
	case FA_CONTROL_ATTACH:
		live_attach(c, cl, q, files[0]);
		return cl->waits_woken == 0;
	case FA_CONTROL_MARK:
		do_mark(c, cl, q);
		return true;
	case FA_CONTROL_FLUSH:
		do_flush(c, cl, q);
		return true;
	case FA_CONTROL_SAVE:
		do_save(c, cl, q, files[0]);
		return true;
	case FA_CONTROL_TAIL:
		return do_tail(c, cl, q);
	case FA_CONTROL_SNAPSHOT:
		out[0] = snapshot_give(c, cl, q->pid);
		return true;
	case FA_CONTROL_SNAPSHOT_INTO:
		return snapshot_into(c, cl, q, files[0]);
	case FA_CONTROL_RELEASE:
		snapshot_release(c, cl, q);
		return true;
	case FA_CONTROL_STATUS:
		e = status_build(c, cl, q->all != 0);
		if (e < 0)
			client_say(cl, e, "status: %s", fa_strerror(e));
		else
			out[0] = e;
		return true;
	}
	return true; /* PING */
}

/* How many came; those beyond `most` are closed. */
static int take_fds(struct msghdr *msg, int most, int *files)
{
	int count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(int));
			if (count < most)
				files[count] = fd;
			else
				close(fd);
			count++;
		}
	}
	return count;
}

/* Only a session that begins in newfile mode comes with more than one. */
static int most_files(const struct fa_control_request *q, ssize_t len)
{
	return len == (ssize_t)sizeof(*q) && q->verb == FA_CONTROL_START &&
			       (q->session.log_file_mode & FA_LOG_NEWFILE) != 0
		       ? FA_FILES_MAX
		       : 1;
}

static ssize_t receive(struct client *cl, struct fa_control_request *q, int files[FA_FILES_MAX])
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * FA_FILES_MAX)];
	} control;
	struct iovec iov = {.iov_base = q, .iov_len = sizeof(*q)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(cl->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int count, most;

	if (n < 0)
		return n;
	most = most_files(q, n);
	count = take_fds(&msg, most, files);
	if (n > 0 && ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || count > most)) {
		close_fds(files, FA_FILES_MAX);
		return 1; /* no request has this size, or so many descriptors */
	}
	return n;
}

void control_read(struct collector *c, struct client *cl)
{
	struct fa_control_request q;
	int files[FA_FILES_MAX], out[FA_FILES_MAX];
	bool with_file;
	uint64_t waiting;
	ssize_t n;

	if (cl->fd < 0)
		return;
	memset(files, -1, sizeof(files));
	memset(out, -1, sizeof(out));
	n = receive(cl, &q, files);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || client_waits(cl)) { /* gone, or does not wait for its reply */
		close_fds(files, FA_FILES_MAX);
		close_fds(&cl->fd, 1);
		return;
	}
	with_file = files[0] >= 0;
	waiting = with_file ? beat_wait(c->beat) : 0;
	if (do_request(c, cl, &q, (size_t)n, files, out))
		send_reply(cl, out, FA_FILES_MAX);
	close_fds(out, FA_FILES_MAX);
	close_fds(files, FA_FILES_MAX);
	if (with_file)
		beat_go_on(c->beat, waiting);
}

void control_turn(struct collector *c, uint64_t now)
{
	/* Their structures lie far apart, and turns come each millisecond. Who waits, waits for the doorman's word, or for
	 * seconds to pass. */
	if (c->wants_done == c->control_done && now - c->control_ns < LOOK_AT_CLIENTS_NS)
		return;
	c->control_done = c->wants_done;
	c->control_ns = now;
	for (int i = 0; i < CLIENTS_MAX; i++) {
		struct client *cl = &c->client[i];
		uint64_t age = now - cl->since_ns;

		if (cl->fd < 0 || cl->since_ns > now)
			continue;
		if (cl->waits_for != 0 && c->wants_done >= cl->waits_for) {
			send_reply(cl, NULL, 0);
		} else if (cl->waits_for != 0 && age > ACKNOWLEDGE_S * 1000000000ull) {
			client_say(cl, 0,
			    "the doorbell is not answered at the moment: what starts now "
			    "may be missing");
			send_reply(cl, NULL, 0);
		} else if (cl->waits_woken != 0 && age > ACKNOWLEDGE_S * 1000000000ull) {
			client_say(cl, ETIMEDOUT, "firstallocd is busy with another process");
			send_reply(cl, NULL, 0);
		} else if (!client_waits(cl) && age > IDLE_S * 1000000000ull) {
			close_fds(&cl->fd, 1);
		}
	}
}
