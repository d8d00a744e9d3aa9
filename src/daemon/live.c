/*
 * live.c - running processes: a client names one by a pidfd, or a session comes that wants flagged ones.
 *
 * The doorman does it (wake.c), with the rights of the client, whose socket goes along; here it is only
 * decided which session a process is for, and told what came of it.
 */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "daemon/collector.h"
#include "format/index_format.h"

/* -errno: the doorman does not hear us. */
static int ask(struct collector *c, struct fa_part_msg *m, int pidfd, int client_fd)
{
	const int fds[MSG_FDS] = {pidfd, client_fd};

	return c->peer_fd < 0 ? -ENOTCONN : msg_send(c->peer_fd, m, FA_MSG_WAKE, fds, MSG_FDS);
}

void live_attach(struct collector *c, struct client *cl, const struct fa_control_request *q, int pidfd)
{
	bool flag = (q->attach.flags & FA_ATTACH_FLAG) != 0;
	const struct session *s = flag ? NULL : client_session(c, cl, q);
	struct fa_part_msg m = {.u.wake = {.attach = q->attach, .kind = FA_WAKE_FLAG}};

	if (pidfd < 0)
		client_say(cl, EINVAL, "no process came along");
	else if (c->info.off != 0)
		client_say(cl, EPERM, "tracing is switched off");
	else if (!flag && q->session_id != 0 && (s == NULL || s->ended))
		client_say(cl, ENOENT, "the session has ended");
	else if (!flag && (s == NULL || s->ended))
		client_say(cl, ENOENT, "there is no session called '%s'", q->session.name);
	if (cl->reply.error != 0)
		return;
	if (flag && (q->attach.tracing_flags & FA_TRACING_SNAPSHOT) != 0)
		m.u.wake.kind = FA_WAKE_TABLE;
	m.u.wake.number = ++c->wakes;
	if (s != NULL) {
		m.u.wake.kind = FA_WAKE_NAMED;
		m.u.wake.session = s->id;
	}
	if (ask(c, &m, pidfd, cl->fd) < 0) {
		client_say(cl, EAGAIN, "firstallocd is busy; try again");
		return;
	}
	cl->waits_woken = m.u.wake.number;
	cl->woken_for = s != NULL ? s->id : 0;
	cl->asked_table = m.u.wake.kind == FA_WAKE_TABLE;
	cl->table_most = q->attach.options >> FA_RULE_TABLE_SHIFT & 0xfff;
	cl->since_ns = fa_mono_ns();
}

static const char *text_of(const struct fa_msg_woken *w)
{
	if (w->info.reason != 0)
		return fa_reason_text(w->info.reason);
	switch (w->error) {
	case ESRCH:
		return "it has ended";
	case EDQUOT:
		return "too many of the caller's processes are waited for already (ArenasPerUser)";
	case ESTALE:
		return "it runs another program by now, or its shim is of another version";
	case EPERM:
	case EACCES:
		return "not permitted: a user may attach to what he could ptrace";
	case ETIMEDOUT:
		return "its memory does not answer";
	default:
		return fa_strerror(-w->error);
	}
}

static bool is_woken(const struct collector *c, int32_t pid)
{
	for (size_t i = 0; i < c->dormants; i++)
		if (c->dormant[i].pid == pid)
			return c->dormant[i].reason == FA_REASON_WOKEN;
	return false;
}

/* Flagged, and asleep: is there somebody who wants it? */
static void wake_flagged(struct collector *c, const struct fa_msg_arena *info)
{
	dormant_add(c, info, "", FA_STATUS_WAITING, FA_REASON_NO_SESSION);
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (live_wake_sleepers(c, &c->session[i]) > 0)
			return;
}

void live_woken(struct collector *c, const struct fa_msg_woken *w)
{
	struct client *cl = NULL;
	struct session *s = NULL;
	bool ordered = false;

	for (int i = 0; i < CLIENTS_MAX; i++)
		if (c->client[i].fd >= 0 && c->client[i].waits_woken == w->number)
			cl = &c->client[i];
	if (cl == NULL || w->number == 0)
		return;
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (c->session[i].used && c->session[i].id == cl->woken_for)
			s = &c->session[i];
	if (w->error != 0)
		client_say(cl, w->error, "%s", text_of(w));
	else if (cl->asked_table && w->attached && !snapshot_is_kept(c, w->info.handle))
		ordered = snapshot_begin(c, cl, w->info.handle);
	else if (w->attached && s != NULL)
		family_name(c, s, w->info.handle);
	else if (s != NULL) {
		dormant_add(c, &w->info, "", FA_STATUS_WAITING, FA_REASON_WOKEN);
		dormant_name(c, w->info.pid, s);
	}
	/* Its order may not have been written yet. */
	cl->reply.woken = w->error == 0 && !w->attached && !(s == NULL && is_woken(c, w->info.pid));
	if (s == NULL && cl->reply.woken && !cl->asked_table)
		wake_flagged(c, &w->info);
	else if (s == NULL && w->error == 0 && w->attached)
		families_flagged(c, w->info.handle);
	cl->reply.woken |= ordered;
	if (w->attached) /* a successor knows of it, too, when it is answered */
		journal_commit(c);
	client_answer(cl);
}

static bool is_wanted(const struct session *s, const struct dormant *d)
{
	/* What it was executed as is not known of all: then the doorman finds out when it comes. */
	return d->state == FA_STATUS_WAITING && d->reason != FA_REASON_WOKEN &&
	       session_wants(s, d->uid, d->image,
			     d->exec_name[0] == '\0' && s->o.image_count > 0 ? s->o.image[0]
									     : d->exec_name);
}

uint32_t live_wake_sleepers(struct collector *c, const struct session *s)
{
	uint32_t n = 0;

	for (size_t i = 0; i < c->dormants && c->info.off == 0; i++) {
		struct dormant *d = &c->dormant[i];
		struct fa_part_msg m = {.u.wake = {.kind = FA_WAKE_SLEEPER, .pid = d->pid}};

		if (!is_wanted(s, d) || ask(c, &m, -1, -1) < 0)
			continue;
		d->reason = FA_REASON_WOKEN;
		n++;
	}
	return n;
}

void live_leave_children(struct collector *c, const struct family *fam)
{
	for (size_t i = 0; i < fa_family_processes(fam->f); i++) {
		struct fa_part_msg m = {.u.sleeps.handle = fam->info.handle};
		struct fa_family_process p;

		fa_family_process_at(fam->f, i, &p);
		if (!p.live || p.pid == fam->info.pid || c->peer_fd < 0 || !fa_arena_is_flagged(&fam->info))
			continue;
		m.u.sleeps.pid = p.pid;
		if (msg_send(c->peer_fd, &m, FA_MSG_SLEEPS, NULL, 0) == 0) {
			struct fa_msg_arena child = fam->info;

			child.pid = p.pid;
			child.uid = p.uid;
			dormant_add(c, &child, fam->exec_name, FA_STATUS_WAITING, FA_REASON_ENDED);
		}
	}
}
