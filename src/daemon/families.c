/*
 * families.c - adopted arenas: which sessions get their records, when they are looked at, when they
 * are let go.
 *
 * A family that records is looked at each millisecond, an idle one more and more rarely, down to
 * every 16 ms: the cost of many traced but idle processes stays small. A family that no session
 * wants is told DETACHED and dropped; the doorman then drops its duplicate.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "collector/procfs.h"
#include "daemon/collector.h"

bool session_wants(const struct session *s, uint32_t uid, const char *image, const char *image2)
{
	if (!s->used || s->ended || (s->o.flags & FA_SESSION_PIDS) != 0)
		return false;
	if ((s->o.flags & FA_SESSION_USER) != 0 && s->uid != uid)
		return false;
	if (s->o.image_count == 0)
		return true;
	for (uint32_t i = 0; i < s->o.image_count; i++)
		if (strcmp(s->o.image[i], image) == 0 || strcmp(s->o.image[i], image2) == 0)
			return true;
	return false;
}

/* A process that is guarded from its own user is root's alone. */
static uint32_t belongs_to(const struct family *fam)
{
	return fam->info.guarded ? 0 : fam->info.uid;
}

/* Who was woken only because a session named him is of no other. */
bool family_is_wanted(const struct session *s, const struct family *fam)
{
	if (s->used && !s->ended && (fam->named >> s->index & 1) != 0)
		return true;
	return fa_arena_is_flagged(&fam->info) && fa_family_has_events(fam->f) &&
	       (s->o.image_count != 0 || !fa_family_is_named_only(fam->f)) &&
	       session_wants(s, belongs_to(fam), fa_base_name(fam->info.exe), fam->exec_name);
}

static uint64_t wanting(const struct collector *c, const struct family *fam)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < FA_SESSIONS_MAX && c->info.off == 0; i++)
		if (family_is_wanted(&c->session[i], fam))
			mask |= 1ull << i;
	return mask;
}

/* The sink of a family: every session in its mask. One that fails does not stop the others. */
static int fan_out(void *ctx, unsigned tag, const void *head, size_t head_len, const void *tail,
		   size_t tail_len, const void *tail2, size_t tail2_len)
{
	struct family *fam = ctx;
	struct collector *c = fam->c;

	fam->dirty = true;
	for (uint64_t m = fam->mask; m != 0; m &= m - 1) {
		struct session *s = &c->session[__builtin_ctzll(m)];

		if (tag == FA_TAG_PROCESS)
			s->processes++;
		if (tag == FA_TAG_EVENTS || tag == FA_TAG_CALLS)
			session_make_room(c, s, fam, head_len + tail_len + tail2_len);
		session_record(s, c->beat, tag, head, head_len, tail, tail_len, tail2, tail2_len);
	}
	return 0;
}

static struct fa_sink sink_of(struct family *fam)
{
	return (struct fa_sink){.record = fan_out, .ctx = fam};
}

/* What fails is remembered in the session. */
void family_doubt(struct family *fam)
{
	struct fa_sink sink = sink_of(fam);

	(void)!fa_family_doubt(fam->f, &sink);
}

/* Smaller when a process that ended long ago was forgotten. */
static uint64_t grown(uint64_t *counted, uint64_t now)
{
	const uint64_t before = *counted;

	*counted = now;
	return now > before ? now - before : 0;
}

/* What the family has recorded since we last asked, into the counters of its sessions. */
void family_count(struct family *fam)
{
	uint64_t events = 0, lost[FA_LOST_CAUSES] = {0}, all = 0;

	for (size_t i = 0; i < fa_family_processes(fam->f); i++) {
		struct fa_family_process p;

		fa_family_process_at(fam->f, i, &p);
		events += p.events;
		for (int k = 0; k < FA_LOST_CAUSES; k++)
			lost[k] += p.lost[k];
	}
	events = grown(&fam->events, events);
	for (int k = 0; k < FA_LOST_CAUSES; k++)
		all += lost[k] = grown(&fam->lost[k], lost[k]);
	for (uint64_t m = fam->mask; m != 0; m &= m - 1) {
		struct session *s = &fam->c->session[__builtin_ctzll(m)];

		s->events += events;
		s->lost += all;
		for (int k = 0; k < FA_LOST_CAUSES && all != 0; k++)
			s->lost_by[k] += lost[k];
	}
}

/* What we are done with is given back after the next commit (journal.c). */
static void note_release(struct family *fam)
{
	if (fa_family_release_due(fam->f))
		fam->dirty = fam->c->commit_due = true;
}

static int64_t drain_until(struct family *fam, uint64_t until)
{
	struct fa_sink sink = sink_of(fam);
	int64_t n = fa_family_drain_until(fam->f, &sink, until);

	note_release(fam);
	family_count(fam);
	atomic_store(&fam->c->beat->alive_ns, fa_mono_ns());
	return n;
}

int64_t family_drain(struct family *fam)
{
	return drain_until(fam, UINT64_MAX);
}

/* Each family has its part of a turn. */
static uint64_t until_when(const struct collector *c)
{
	return fa_mono_ns() + TURN_MS * 1000000ull / (c->families != 0 ? c->families : 1);
}

static void say_drained(struct collector *c, uint64_t handle)
{
	struct fa_part_msg m = {.u.arena.handle = handle};

	if (c->peer_fd >= 0 && msg_send(c->peer_fd, &m, FA_MSG_DRAINED, NULL, 0) == -EAGAIN) {
		/* Full only when the doorman does not read; it is then about to be replaced, and its
		 * successor knows nothing of this arena. */
		log_line("the doorman does not listen");
	}
}

/* The doorman has a duplicate, so closing alone would not end epoll's interest. */
void family_unwatch(struct family *fam)
{
	if (fam->pidfd >= 0)
		(void)epoll_ctl(fam->c->epoll_fd, EPOLL_CTL_DEL, fam->pidfd, NULL);
	close_fds(&fam->pidfd, 1);
}

void family_let_go(struct collector *c, size_t i)
{
	struct family *fam = c->family[i];

	for (uint64_t m = fam->mask; m != 0; m &= m - 1) {
		struct session *s = &c->session[__builtin_ctzll(m)];

		if (s->w != NULL)
			fa_trace_writer_forget(s->w, fa_family_arena(fam->f));
	}
	crashes_left(fam);
	/* Before the doorman gives its pages back. */
	fa_family_answer(fam->f, FA_ANSWER_DETACHED, FA_POLICY_COUNT, FA_REASON_ENDED);
	live_leave_children(c, fam);
	say_drained(c, fam->info.handle);
	journal_drop(c, fam);
	family_unwatch(fam);
	close_fds(&fam->fd, 1);
	fa_family_free(fam->f);
	free(fam);
	c->family[i] = c->family[--c->families];
}

static bool room_for_family(struct collector *c)
{
	size_t room = c->family_room ? c->family_room * 2 : 64;
	struct family **p;

	if (c->families < c->family_room)
		return true;
	p = realloc(c->family, room * sizeof(struct family *));
	if (p == NULL)
		return false;
	c->family = p;
	c->family_room = room;
	return true;
}

/* Only to one session: for describing what is known already. */
struct only {
	struct collector *c;
	struct session *s;
};

static int to_one(void *ctx, unsigned tag, const void *head, size_t head_len, const void *tail,
		  size_t tail_len, const void *tail2, size_t tail2_len)
{
	struct only *o = ctx;

	if (tag == FA_TAG_PROCESS)
		o->s->processes++;
	session_record(o->s, o->c->beat, tag, head, head_len, tail, tail_len, tail2, tail2_len);
	return o->s->error;
}

int family_describe(struct family *fam, struct session *s)
{
	struct only only = {fam->c, s};
	struct fa_sink sink = {.record = to_one, .ctx = &only};

	return fa_family_describe(fam->f, &sink);
}

/* Who knows of it already is in fam->mask (after a restart); the others of `want` are told. */
static uint64_t meet_sessions(struct collector *c, struct family *fam, uint64_t want)
{
	for (uint64_t m = want & ~fam->mask; m != 0; m &= m - 1) /* a failure is remembered in the session */
		(void)!family_describe(fam, &c->session[__builtin_ctzll(m)]);
	fam->mask = 0; /* what was counted before is in the sessions' counters */
	family_count(fam);
	fam->dirty = true;
	return want;
}

/* One program has one set of stacks: of all events of which one of its sessions wants them. */
static void follow_stacks(const struct family *fam)
{
	uint32_t wanted = 0;
	bool said = false;

	for (uint64_t m = fam->mask; m != 0; m &= m - 1) {
		uint32_t its = fam->c->session[__builtin_ctzll(m)].o.stacks;

		said |= its != 0;
		wanted |= its != 0 ? its & ~FA_SESSION_STACKS : fa_family_rule_stacks(fam->f);
	}
	fa_family_want_stacks(fam->f, said ? wanted : FA_STACKS_OF_RULE);
}

void family_tell(struct family *fam)
{
	follow_stacks(fam);
	fa_family_want(fam->f, fam->mask != 0, fam->table);
	fa_family_tick(fam->f);
}

/* It was told ATTACHED, but cannot be read: tell it that it is not. */
static void refuse_arena(struct collector *c, const struct fa_msg_arena *info, int fd, int why)
{
	uint32_t word = FA_ANSWER_REFUSED;
	uint32_t reason = why == -EPROTONOSUPPORT ? FA_REASON_VERSION
			  : why == -EPROTO	  ? FA_REASON_CLOCK
						  : FA_REASON_LIMIT;
	struct fa_msg_arena told = *info;

	(void)!pwrite(fd, &reason, 4, offsetof(struct fa_arena_header, answer.reason));
	(void)!pwrite(fd, &word, 4, offsetof(struct fa_arena_header, answer));
	log_line("pid %d (%s): its arena is refused: %s", (int)info->pid, fa_base_name(info->exe),
		 fa_strerror(why));
	dormant_add(c, info, "", FA_STATUS_REFUSED,
		    reason != FA_REASON_LIMIT ? reason : FA_REASON_UNKNOWN);
	told.reason = reason;
	if (reason == FA_REASON_CLOCK)
		coverage_refused(c, &told);
	say_drained(c, info->handle);
}

static int open_family(struct collector *c, struct family *fam)
{
	struct fa_family_info *info = calloc(1, sizeof(*info));
	int e;

	if (info == NULL)
		return -ENOMEM;
	/* What /proc says is a convenience (parent, cgroup); who it is comes from the doorman. */
	if (fa_procfs_family_info(fam->info.pid, info) < 0)
		memset(info, 0, sizeof(*info));
	info->pid = fam->info.pid;
	info->uid = fam->info.uid;
	info->gid = fam->info.gid;
	memcpy(info->exe, fam->info.exe, sizeof(info->exe));
	e = fa_family_new(fam->fd, fam->info.size, info, &c->ids, &fam->f);
	fam->resumed = fam->info.adopted && !journal_followed(c);
	if (e == 0 && journal_family(c, fam) < 0) { /* what our predecessor left is of no use */
		journal_drop(c, fam);
		fam->resumed = true;
		fam->mask = 0;
		fa_family_free(fam->f);
		fam->f = NULL;
		e = fa_family_new(fam->fd, fam->info.size, info, &c->ids, &fam->f);
	}
	free(info);
	/* How much of it our predecessor had written, and counted as lost, nobody knows. */
	return e == 0 && fam->resumed ? fa_family_skip(fam->f) : e;
}

static void say_started(struct collector *c, const struct family *fam, uint32_t rule)
{
	struct fa_part_msg m = {0};

	m.u.started.rule_id = rule;
	m.u.started.uid = fam->info.uid;
	m.u.started.pid = fam->info.pid;
	(void)snprintf(m.u.started.image, sizeof(m.u.started.image), "%s",
		       fa_base_name(fam->info.exe));
	memcpy(m.u.started.exec_name, fam->exec_name, sizeof(fam->exec_name));
	tell_keeper(c, &m, FA_MSG_STARTED, -1);
}

/* By which sessions is it named? By those of our predecessor; else by the one for which it was woken, unless that one
 * has replaced its PIDs since. */
static void name_adopted(struct collector *c, struct family *fam)
{
	for (unsigned i = 0; i < FA_SESSIONS_MAX && fam->info.session != 0; i++)
		if (c->session[i].used && c->session[i].id == fam->info.session &&
		    fam->info.wake > c->session[i].pids_since && fam->mask == 0)
			fam->named |= 1ull << i;
	if (fam->info.woken)
		fam->named |= dormant_named(c, fam->info.pid);
	/* Without events it is in sessions for a snapshot alone. */
	if (fam->info.session != 0 || !fa_family_has_events(fam->f))
		fam->named |= fam->mask;
	fam->renamed = fam->named;
}

/* Both descriptors are taken over. */
void family_adopt(struct collector *c, const struct fa_msg_arena *info, int arena_fd, int pidfd)
{
	struct family *fam;
	uint32_t rule = 0;
	int e = -ENOMEM;

	if (family_of(c, info->handle) != NULL) { /* sent again by a doorman who was not sure */
		close_fds(&arena_fd, 1);
		close_fds(&pidfd, 1);
		return;
	}
	fam = calloc(1, sizeof(*fam));
	if (fam != NULL && room_for_family(c)) {
		fam->c = c;
		fam->info = *info;
		fam->info.exe[sizeof(fam->info.exe) - 1] = '\0';
		fam->fd = arena_fd;
		fam->pidfd = pidfd;
		fam->interval_ms = 1;
		read_exec_name(arena_fd, fam->exec_name, &rule);
		e = open_family(c, fam);
	}
	if (e < 0) {
		refuse_arena(c, info, arena_fd, e);
		close_fds(&arena_fd, 1);
		close_fds(&pidfd, 1);
		free(fam);
		return;
	}
	c->family[c->families++] = fam;
	/* How soon after its start a program that ran already crashes says nothing. */
	crashes_began(fam, info->woken ? 0 : rule);
	name_adopted(c, fam);
	dormant_remove(c, info->pid);
	fam->table = c->info.off == 0 && fa_family_keeps_table(fam->f);
	fam->mask = meet_sessions(c, fam, wanting(c, fam));
	if (!family_is_needed(fam)) { /* wanted by uid, but not by image; or the session just ended */
		uint32_t reason = c->info.off != 0 ? FA_REASON_OFF : FA_REASON_NO_SESSION;

		fa_family_answer(fam->f, FA_ANSWER_DETACHED, FA_POLICY_COUNT, reason);
		if (fa_arena_is_flagged(info))
			dormant_add(c, info, fam->exec_name, FA_STATUS_WAITING, reason);
		family_let_go(c, c->families - 1);
		return;
	}
	if (info->adopted)
		fa_family_answer(fam->f, FA_ANSWER_ATTACHED, FA_POLICY_WAIT, 0);
	else if (!info->woken)
		say_started(c, fam, rule);
	if (pidfd >= 0 && watch_fd(c, pidfd, KEY_PIDFD | info->handle) < 0)
		close_fds(&fam->pidfd, 1);
	if (fam->resumed)
		family_doubt(fam);
	(void)family_drain(fam);
}

void family_gone(struct collector *c, const struct fa_msg_gone *gone)
{
	for (size_t i = 0; i < c->families; i++) {
		struct family *fam = c->family[i];

		/* The number may be another's by now, or it rang anew after its exec. */
		if (fam->info.when_mono > gone->when_mono)
			continue;
		fam->told |= gone->pid == fam->info.pid;
		if (gone->exec) {
			fa_family_left(fam->f, gone->pid);
			continue;
		}
		crashes_ended(c, fam, gone);
		fa_family_exited(fam->f, gone->pid, gone->status);
	}
	if (!gone->exec)
		crashes_late(c, gone);
}

static int reap_until(struct family *fam, uint64_t until)
{
	struct fa_sink sink = sink_of(fam);
	int e = fa_family_reap_until(fam->f, &sink, until);

	fam->reap_due = e == 1;
	note_release(fam);
	if (e < 0)
		log_line("pid %d: reading its arena failed: %s", (int)fam->info.pid,
			 fa_strerror(e));
	family_count(fam);
	atomic_store(&fam->c->beat->alive_ns, fa_mono_ns());
	return e;
}

int family_reap(struct family *fam)
{
	return reap_until(fam, UINT64_MAX);
}

unsigned families_turn(struct collector *c, uint64_t now)
{
	unsigned wait_ms = BEAT_EVERY_MS;

	for (size_t i = 0; i < c->families; i++) {
		struct family *fam = c->family[i];
		uint64_t left;
		bool dense;

		if (now >= fam->due_ns) {
			family_tell(fam);
			family_ask_segment(fam, now);
			if (fam->reap_due && !fa_family_is_sweeping(fam->f))
				(void)reap_until(fam, until_when(c));
			else if (drain_until(fam, until_when(c)) > 0)
				fam->interval_ms =
					fa_family_is_sweeping(fam->f) ? 1 : fa_family_pace(fam->f, &dense);
			else if (fam->interval_ms < (fam->table ? SLOWEST_TABLE_MS : SLOWEST_MS))
				fam->interval_ms++;
			fam->due_ns = now + fam->interval_ms * 1000000u;
		}
		left = (fam->due_ns - now) / 1000000u;
		if (left < wait_ms)
			wait_ms = left == 0 ? 1 : (unsigned)left;
	}
	return wait_ms;
}

bool family_lives(const struct family *fam)
{
	for (size_t i = 0; i < fa_family_processes(fam->f); i++) {
		struct fa_family_process p;

		fa_family_process_at(fam->f, i, &p);
		if (p.live)
			return true;
	}
	return false;
}

/*
 * It ended a moment ago, and how comes with a message of the doorman, so not yet. The kernel tells him a little after it
 * has told whoever waits for the process, and on a busy machine a little is long.
 */
static bool just_ended(struct family *fam, uint64_t now)
{
	struct pollfd p = {.fd = fam->pidfd, .events = POLLIN};

	if (fam->gone_ns == 0 && fam->pidfd >= 0 && poll(&p, 1, 0) == 1)
		fam->gone_ns = now;
	return fam->gone_ns != 0 && !fam->told && fam->c->blind.connector && now - fam->gone_ns < 200000000u;
}

bool families_untold(struct collector *c, uint64_t now)
{
	bool any = false;

	for (size_t i = 0; i < c->families; i++)
		any |= c->family[i]->mask != 0 && just_ended(c->family[i], now);
	return any;
}

void families_reap(struct collector *c)
{
	uint64_t now = fa_mono_ns();

	for (size_t i = 0; i < c->families;) {
		struct family *fam = c->family[i];

		if (fam->mask != 0 && just_ended(fam, now)) {
			i++;
			continue;
		}
		(void)reap_until(fam, until_when(c));
		crashes_turn(fam, now);
		/* Its end is to stand in the traces for good before the arena goes. */
		fam->going = family_is_over(fam, now) && !family_is_kept_dead(c, fam, now);
		c->commit_due |= fam->going;
		if (!family_is_needed(fam))
			family_let_go(c, i);
		else
			i++;
	}
}

void families_release(struct collector *c)
{
	for (size_t i = 0; i < c->families;) {
		fa_family_release(c->family[i]->f);
		if (c->family[i]->going)
			family_let_go(c, i);
		else
			i++;
	}
}

void families_drain_session(struct collector *c, const struct session *s)
{
	for (size_t i = 0; i < c->families; i++) {
		struct family *fam = c->family[i];

		if (!(fam->mask >> s->index & 1))
			continue;
		(void)family_drain(fam);
		if (family_reap(fam) == 0)
			(void)family_drain(fam);
	}
}

int families_describe(struct collector *c, const struct session *s, const struct fa_sink *sink)
{
	int e = 0;

	for (size_t i = 0; i < c->families && e == 0; i++)
		if ((c->family[i]->mask >> s->index & 1) != 0)
			e = fa_family_describe(c->family[i]->f, sink);
	return e;
}

void families_say_known(struct collector *c)
{
	for (size_t i = 0; i < c->families; i++) {
		const int fds[MSG_FDS] = {c->family[i]->fd, c->family[i]->pidfd};
		struct fa_part_msg m = {.u.arena = c->family[i]->info};

		if (msg_send(c->peer_fd, &m, FA_MSG_KNOWN, fds, MSG_FDS) < 0)
			break; /* it then counts less than there is: limits are a little wider */
	}
}
