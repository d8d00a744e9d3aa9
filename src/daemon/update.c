/*
 * update.c - a session that runs is changed: UpdateHeapTrace, and UPDATE of ControlTrace.
 *
 * Either all of what is asked for holds afterwards, or nothing, and the reply says why. Programs see it when the
 * collector's tick moves next: within a few milliseconds. The trace says what was changed, when, and by whom; a
 * successor of ours is told by the keeper.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "daemon/collector.h"
#include "format/index_format.h"

struct words {
	char text[256];
	size_t len;
};

static void FA_PRINTF(2, 3) say(struct words *w, const char *format, ...)
{
	size_t room = sizeof(w->text) - w->len;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(w->text + w->len, room, format, ap);
	va_end(ap);
	w->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

static void say_stacks(struct words *w, uint32_t stacks)
{
	static const char *const name[] = {"alloc", "realloc", "free"};
	const char *between = " ";

	say(w, "; stacks:");
	for (unsigned i = 0; i < 3; i++)
		if ((stacks & 1u << i) != 0) {
			say(w, "%s%s", between, name[i]);
			between = ",";
		}
	if (stacks == FA_SESSION_STACKS)
		say(w, " none");
	else if (stacks == 0)
		say(w, " as the rules say");
}

/* What is to hold, if it may. */
static int merge(const struct session *s, const struct fa_control_request *q,
		 struct fa_session_options *o, const char **ret_what)
{
	*o = s->o;
	if ((q->changes & FA_UPDATE_FLUSH_TIMER) != 0)
		o->flush_timer = q->session.flush_timer;
	if ((q->changes & FA_UPDATE_MAXIMUM_BUFFERS) != 0)
		o->maximum_buffers = q->session.maximum_buffers;
	if ((q->changes & FA_UPDATE_STACKS) != 0)
		o->stacks = q->session.stacks;
	if ((q->changes & FA_UPDATE_PIDS) != 0)
		o->flags = (o->flags & ~(uint32_t)FA_SESSION_PIDS) |
			   (q->session.flags & FA_SESSION_PIDS);
	return fa_session_options_check(o, ret_what);
}

/* Why not into this file; NULL: it may. */
static const char *refuse_new_file(const struct collector *c, const struct client *cl,
				   const struct session *s, int fd)
{
	struct fa_session_options o = s->o;

	if ((o.log_file_mode & (FA_LOG_BUFFERING | FA_LOG_NEWFILE)) != 0)
		return (o.log_file_mode & FA_LOG_BUFFERING) != 0
			       ? "a session that buffers has no file"
			       : "the files of a session in newfile mode are given when it starts";
	if (fa_session_real_time_only(&o))
		return "a session that is read along only has no file";
	o.log_file_mode &= ~(uint32_t)FA_LOG_APPEND; /* what is appended to is one file */
	return refuse_start_file(c, cl, &o, fd);
}

static void record(struct collector *c, const struct client *cl, struct session *s,
		   uint32_t changes, const struct words *w)
{
	const struct fa_rec_update r = {
		.stamp = fa_drain_stamp(c->clock_source),
		.uid = cl->uid,
		.pid = cl->pid,
		.changes = changes,
		.flush_timer = s->o.flush_timer ? s->o.flush_timer : 1,
		.maximum_buffers = s->o.maximum_buffers,
		.stacks = s->o.stacks,
	};
	const char *text = w->text + (w->len > 2 ? 2 : 0); /* behind the first "; " */

	session_record(s, c->beat, FA_TAG_UPDATE, &r, sizeof(r), text, strlen(text) + 1, NULL, 0);
	log_line("session %s changed by uid %u: %s", s->o.name, cl->uid, text);
}

/* Those that were named since PIDS_BEGIN stay, others leave; flagged ones come or go. */
static void replace_pids(struct collector *c, struct client *cl, struct session *s, struct words *w)
{
	struct fa_control_reply *r = &cl->reply;

	families_drain_session(c, s); /* what is about to leave has recorded until now */
	r->processes = families_rename_end(c, s);
	r->pending_families = families_join(c, s);
	sessions_say_wants(c);
	r->woken = live_wake_sleepers(c, s);
	cl->waits_for = c->wants_number;
	cl->since_ns = fa_mono_ns();
	say(w, "; PIDs replaced: %u left, %u flagged joined", r->processes, r->pending_families);
}

/* *fd is then the old one. false: nothing has changed, and it has been said why. */
static bool change_file(struct collector *c, struct client *cl, struct session *s, int *fd)
{
	const char *what = refuse_new_file(c, cl, s, *fd);
	int e;

	if (what != NULL) {
		client_say(cl, EINVAL, "%s", what);
		return false;
	}
	families_drain_session(c, s); /* up to now it belongs into the old one */
	e = s->error != 0 ? s->error : session_take_file(c, s, fd);
	if (e < 0)
		client_say(cl, e, "its new trace file: %s; it goes on as before", fa_strerror(e));
	return e == 0;
}

static void change(struct collector *c, struct client *cl, struct session *s,
		   const struct fa_control_request *q, const struct fa_session_options *o)
{
	struct words w = {0};

	s->o = *o;
	if ((q->changes & FA_UPDATE_FLUSH_TIMER) != 0)
		say(&w, "; FlushTimer %u s", o->flush_timer ? o->flush_timer : 1);
	if ((q->changes & FA_UPDATE_MAXIMUM_BUFFERS) != 0)
		say(&w, "; MaximumBuffers %u", o->maximum_buffers);
	if ((q->changes & FA_UPDATE_STACKS) != 0)
		say_stacks(&w, o->stacks);
	if ((q->changes & FA_UPDATE_FILE) != 0)
		say(&w, "; another file");
	if ((q->changes & FA_UPDATE_PIDS) != 0)
		replace_pids(c, cl, s, &w);
	families_tell(c, s);
	record(c, cl, s, q->changes, &w);
}

void update_session(struct collector *c, struct client *cl, const struct fa_control_request *q,
		    int *fd, int *ret_old)
{
	struct session *s = client_find(c, cl, q);
	struct fa_session_options o;
	const char *what = "";
	uint32_t slot;

	if (s == NULL)
		return;
	if (s->ended) {
		client_say(cl, ENOENT, "session %s has ended", s->o.name);
		return;
	}
	slot = s->slot;
	cl->reply.session_id = s->id;
	if ((q->changes & FA_UPDATE_PIDS_BEGIN) != 0) {
		families_rename_begin(c, s);
		return;
	}
	if (merge(s, q, &o, &what) < 0) {
		client_say(cl, EINVAL, "%s is out of its range", what);
		return;
	}
	if ((q->changes & FA_UPDATE_FILE) != 0 && !change_file(c, cl, s, fd))
		return;
	change(c, cl, s, q, &o);
	journal_commit(c); /* it stands in the file when it is answered */
	session_keep(c, s);
	if (s->slot == slot)
		return;
	session_drop_file(c, s, slot);
	if (client_packs(cl, s))
		*ret_old = fa_take_fd(fd);
}
