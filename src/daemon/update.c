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

void update_session(struct collector *c, struct client *cl, const struct fa_control_request *q,
		    int *fd)
{
	struct session *s = client_find(c, cl, q);
	struct fa_session_options o;
	const char *what = "";
	struct words w = {0};

	(void)fd;
	if (s == NULL)
		return;
	if (s->ended) {
		client_say(cl, ENOENT, "session %s has ended", s->o.name);
		return;
	}
	cl->reply.session_id = s->id;
	if ((q->changes & FA_UPDATE_PIDS_BEGIN) != 0) {
		families_rename_begin(c, s);
		return;
	}
	if (merge(s, q, &o, &what) < 0) {
		client_say(cl, EINVAL, "%s is out of its range", what);
		return;
	}
	s->o = o;
	if ((q->changes & FA_UPDATE_FLUSH_TIMER) != 0)
		say(&w, "; FlushTimer %u s", o.flush_timer ? o.flush_timer : 1);
	if ((q->changes & FA_UPDATE_MAXIMUM_BUFFERS) != 0)
		say(&w, "; MaximumBuffers %u", o.maximum_buffers);
	if ((q->changes & FA_UPDATE_STACKS) != 0)
		say_stacks(&w, o.stacks);
	if ((q->changes & FA_UPDATE_PIDS) != 0)
		replace_pids(c, cl, s, &w);
	families_tell(c, s);
	record(c, cl, s, q->changes, &w);
	journal_commit(c); /* it stands in the file when it is answered */
	session_keep(c, s);
}
