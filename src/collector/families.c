/*
 * families.c - see families.h.
 *
 * How often. The tick moves each millisecond while there are events. A family is drained when a
 * buffer is full, and else after its interval: 1 ms when much came at the last time, growing to 20 ms,
 * because each drain of each thread costs an EVENTS header in the trace. /proc is looked at ten times
 * a second, and more often when buffers become few, for threads that ended hold some.
 *
 * PASS. Each family's drain ends with one of its own, which says nothing about the others. Those are
 * kept back, and each turn that wrote events ends with one for all: its stamp is the beginning of the
 * sweep that lies back farthest.
 */
#include "collector/families.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "collector/procfs.h"

enum { MS = 1000000 };
static const uint64_t shortest_ns = 1 * MS, longest_ns = 20 * MS;
static const uint64_t reap_ns = 100 * MS, pressed_reap_ns = 1 * MS;
static const uint64_t exec_ns = 200 * MS; /* from the end of one program to the first word of the next */
/* Most families of a shell script are over, or wait: they are looked at less often. */
static const uint64_t quiet_after_ns = 50 * MS, quiet_turn_ns = 5 * MS;

struct member {
	struct fa_family *family;
	struct fa_run_arena arena;
	int32_t pid;
	uint64_t drained_ns, interval_ns, reaped_ns, served_ns;
	uint64_t active_ns; /* when events came last */
	uint64_t swept;     /* stamp: all that was committed before is written */
	bool full;          /* the arena could not be made longer */
	bool left;          /* its process has executed another program */
};

struct fa_families {
	struct fa_rundir *dir;
	const struct fa_sink *trace; /* the caller's */
	struct fa_sink sink;         /* all but PASS, to it */
	bool wrote;                  /* events, since the last PASS */
	uint64_t passes;
	uint64_t adopted_ns; /* when an arena came last */
	uint64_t dropped_ns; /* when the last one that is over was let go, 0: none was */
	uint64_t start_time; /* ours, as fa_procfs_stat() has it; 0: not known */
	const char *const *only;
	int only_count;
	struct fa_drain_ids ids;
	struct member *member;
	size_t count, room;
	struct fa_families_totals past;    /* of families that are over */
	int32_t exited_pid, exited_status; /* the command may be reaped before its arena is seen */
	int32_t expected_pid;
	bool expected_came;
	uint32_t expected_refusal; /* enum fa_reason, 0 none */
	void (*came)(void *ctx, int32_t pid); /* NULL: nobody wants to know */
	void *came_ctx;
};

static int keep_pass_back(void *ctx, unsigned tag, const void *head, size_t head_len,
			  const void *tail, size_t tail_len, const void *tail2, size_t tail2_len)
{
	struct fa_families *s = ctx;

	if (tag == FA_TAG_PASS) {
		s->wrote = true;
		return 0;
	}
	return s->trace->record(s->trace->ctx, tag, head, head_len, tail, tail_len, tail2,
				tail2_len);
}

static int write_pass(struct fa_families *s)
{
	struct fa_rec_pass pass = {UINT64_MAX, s->passes + 1};

	if (!s->wrote)
		return 0;
	for (size_t i = 0; i < s->count; i++)
		if (s->member[i].swept < pass.stamp)
			pass.stamp = s->member[i].swept;
	if (pass.stamp == UINT64_MAX) /* none is left: all is written */
		pass.stamp = fa_drain_stamp(fa_drain_clock_source());
	s->wrote = false;
	s->passes++;
	return s->trace->record(s->trace->ctx, FA_TAG_PASS, &pass, sizeof(pass), NULL, 0, NULL, 0);
}

int fa_families_new(struct fa_rundir *dir, const struct fa_sink *sink, const char *const *only,
		    int only_count, struct fa_families **ret)
{
	struct fa_families *s = calloc(1, sizeof(*s));
	struct fa_procfs_stat ours;

	if (s == NULL)
		return -ENOMEM;
	s->dir = dir;
	s->trace = sink;
	s->sink = (struct fa_sink){keep_pass_back, s};
	s->only = only;
	s->only_count = only_count;
	s->ids = (struct fa_drain_ids){1, 1};
	if (fa_procfs_stat(getpid(), &ours) == 0)
		s->start_time = ours.start_time;
	*ret = s;
	return 0;
}

struct maker {
	int32_t own_pid;
	uint64_t since;
};

/* It calls itself so in its pid namespace, is our user's, and began after us. */
static bool is_maker(void *ctx, int32_t pid)
{
	const struct maker *m = ctx;
	struct fa_procfs_status status;
	struct fa_procfs_stat stat;

	return fa_procfs_status(pid, &status) == 0 && status.own_pid == m->own_pid &&
	       status.uid == geteuid() && fa_procfs_stat(pid, &stat) == 0 &&
	       stat.start_time >= m->since;
}

/*
 * Who made the arena. The name of its file says the pid, in the maker's own pid namespace: nearly
 * always ours. false: it is gone already; then it keeps that number.
 */
static bool find_maker(const struct fa_families *s, const struct fa_run_arena *a,
		       struct fa_family_info *ret)
{
	struct maker m = {a->own_pid, s->start_time};
	int32_t pid = is_maker(&m, a->own_pid) ? a->own_pid : 0;

	/* Numbers of other namespaces are small; greater than ours, it was here and is gone. To look through
	 * all of /proc takes longer than many programs live. */
	if (pid == 0 && a->own_pid <= getpid())
		pid = fa_procfs_find(is_maker, &m);
	if (pid != 0 && fa_procfs_family_info(pid, ret) == 0)
		return true;
	*ret = (struct fa_family_info){.pid = a->own_pid, .uid = geteuid(), .gid = getegid()};
	return false;
}

/*
 * The executable as the process itself read it when it started: by the time that we ask /proc, the
 * same pid may have executed another. It is the user's own process: its word is good enough here.
 */
static void take_exe(const struct fa_run_arena *a, struct fa_family_info *info)
{
	char path[sizeof(info->exe)];
	ssize_t n = pread(a->fd, path, sizeof(path), offsetof(struct fa_arena_header, exe_path));

	if (n == sizeof(path) && path[0] == '/' && memchr(path, '\0', sizeof(path)) != NULL)
		strcpy(info->exe, path);
}

static bool is_wanted(const struct fa_families *s, const char *image)
{
	for (int i = 0; i < s->only_count; i++)
		if (strcmp(image, s->only[i]) == 0)
			return true;
	return s->only_count == 0;
}

static int add_member(struct fa_families *s, struct fa_family *f, const struct fa_run_arena *a,
		      int32_t pid)
{
	uint64_t now = fa_mono_ns();
	bool left = false;

	if (s->count == s->room) {
		size_t room = s->room == 0 ? 8 : s->room * 2;
		struct member *grown = reallocarray(s->member, room, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		s->member = grown;
		s->room = room;
	}
	/* The same pid again: it has executed another program. The smaller nonce is the earlier. */
	for (size_t i = 0; i < s->count; i++) {
		bool earlier = s->member[i].arena.nonce < a->nonce;

		if (s->member[i].pid != pid)
			continue;
		fa_family_left(earlier ? s->member[i].family : f, pid);
		s->member[i].left |= earlier;
		left |= !earlier;
	}
	if (pid == s->exited_pid)
		fa_family_exited(f, pid, s->exited_status);
	s->member[s->count++] = (struct member){
		.family = f,
		.arena = *a,
		.pid = pid,
		.interval_ns = shortest_ns,
		.left = left,
		.reaped_ns = now,
		.active_ns = now,
	};
	return 0;
}

/* Takes a->fd. */
static int adopt_arena(struct fa_families *s, struct fa_run_arena *a)
{
	struct fa_family_info info;
	struct fa_family *f;
	bool wanted, alive = find_maker(s, a, &info);
	int r;

	take_exe(a, &info);
	wanted = is_wanted(s, fa_base_name(info.exe));
	s->expected_came |= info.pid == s->expected_pid;
	if (s->came != NULL)
		s->came(s->came_ctx, info.pid);
	r = fa_family_new(a->fd, a->size, &info, &s->ids, &f);
	if (r < 0) {
		fa_close(&a->fd);
		s->past.refused++;
		return r == -ENOMEM ? r : 0;
	}
	s->adopted_ns = fa_mono_ns();
	r = wanted ? add_member(s, f, a, info.pid) : 0;
	if (wanted && r == 0) {
		if (!alive) /* its number may be another's */
			fa_family_left(f, info.pid);
		fa_family_answer(f, FA_ANSWER_ATTACHED, FA_POLICY_WAIT, FA_REASON_TRACED);
		return 0;
	}
	fa_close(&a->fd);
	fa_family_answer(f, FA_ANSWER_DETACHED, FA_POLICY_COUNT, FA_REASON_NO_SESSION);
	fa_family_free(f);
	return r;
}

/* A process that refuses: its word is good enough, it is the user's own. */
static int take_note(struct fa_families *s, const struct fa_run_arena *a)
{
	struct fa_rec_coverage r = {.pid = a->own_pid, .uid = geteuid(), .reason = a->reason};

	if (a->own_pid == s->expected_pid)
		s->expected_refusal = a->reason;
	if (s->came != NULL)
		s->came(s->came_ctx, a->own_pid);
	if (!is_wanted(s, a->image))
		return 0;
	s->past.refusing++;
	return s->trace->record(s->trace->ctx, FA_TAG_COVERAGE, &r, sizeof(r), a->image,
				strlen(a->image) + 1, NULL, 0);
}

static int adopt_arenas(struct fa_families *s)
{
	struct fa_run_arena a;
	int r;

	while ((r = fa_rundir_next(s->dir, &a)) > 0) {
		r = a.fd < 0 ? take_note(s, &a) : adopt_arena(s, &a);
		if (r < 0)
			break;
	}
	return r;
}

/*
 * What it asks for; and the usual 2 MB as soon as half of the first segment is in use, before it asks: a new
 * segment takes a turn of ours to come, and a program that has to wait for it stands. Most programs of a
 * script need no second one. Who records much gets it as well, to be served less often.
 */
static void give_segments(struct member *m)
{
	unsigned have = fa_family_segments(m->family);
	unsigned want = fa_family_wants_segments(m->family);
	bool dense;

	(void)fa_family_pace(m->family, &dense);
	if (have == 1 && (dense || fa_family_is_filling(m->family)))
		while (fa_arena_segment_at(m->arena.size, want) < FA_ARENA_MAX0)
			want++;
	while (have < want) {
		if (m->full || fa_family_extend(m->family, m->arena.fd, true) < 0) {
			m->full = true;
			return;
		}
		have++;
	}
}

static void add_totals(const struct fa_family *f, struct fa_families_totals *t)
{
	uint64_t events, lost;

	fa_family_totals(f, &events, &lost);
	t->events += events;
	t->lost += lost;
}

static void drop_member(struct fa_families *s, size_t i)
{
	add_totals(s->member[i].family, &s->past);
	fa_close(&s->member[i].arena.fd);
	fa_family_free(s->member[i].family);
	s->member[i] = s->member[--s->count];
	s->dropped_ns = fa_mono_ns();
}

static int drain_member(struct fa_families *s, struct member *m, uint64_t now)
{
	const int64_t much = 2 * FA_BUFFER_SIZE;
	uint64_t stamp = fa_drain_stamp(fa_drain_clock_source());
	int64_t n = fa_family_drain(m->family, &s->sink);

	if (n < 0)
		return (int)n;
	m->swept = stamp;
	m->drained_ns = now;
	if (n > 0)
		m->active_ns = now;
	if (n >= much)
		m->interval_ns = shortest_ns;
	else if (m->interval_ns < longest_ns)
		m->interval_ns *= 2;
	return 0;
}

/* Nobody has the arena any more. How the command ended, we are told a moment later: that is waited for. */
static bool is_alone(const struct fa_families *s, const struct member *m)
{
	bool status_comes = m->pid == s->expected_pid && s->exited_pid == 0 && !m->left;

	return !status_comes && fa_rundir_alone(s->dir, m->arena.fd);
}

/* What is due for one family. 0 or -errno of the sink. */
static int serve_member(struct fa_families *s, struct member *m, uint64_t now)
{
	bool pressed;
	unsigned full;
	int r = 0;

	if (now - m->active_ns > quiet_after_ns && now - m->served_ns < quiet_turn_ns)
		return 0;
	m->served_ns = now;
	if (is_alone(s, m)) /* the memory of the dead is not kept a moment longer */
		return fa_family_reap(m->family, &s->sink, true);
	give_segments(m);
	fa_family_tick(m->family);
	full = fa_family_full(m->family, &pressed);
	if (now - m->reaped_ns >= (pressed ? pressed_reap_ns : reap_ns)) {
		r = fa_family_reap(m->family, &s->sink, false);
		m->reaped_ns = now;
	}
	if (r == 0 && (full > 0 || now - m->drained_ns >= m->interval_ns))
		r = drain_member(s, m, now);
	return r;
}

/* Milliseconds until the next turn: 1 while anything happens or came, or what is enough for who records much; 20
 * when nothing happened for a second. */
static int next_turn(const struct fa_families *s, uint64_t now)
{
	const uint64_t calm_ns = 200 * (uint64_t)MS, quiet_ns = 1000 * (uint64_t)MS;
	const uint64_t new_ns = 20 * (uint64_t)MS;
	int wait_ms = 20;

	if (fa_rundir_waiting(s->dir) || now - s->adopted_ns < new_ns)
		return 1;
	if (now - s->adopted_ns < calm_ns)
		wait_ms = 4;
	for (size_t i = 0; i < s->count; i++) {
		uint64_t idle = now - s->member[i].active_ns;
		int pace = idle < quiet_ns ? 5 : 20;
		bool dense;

		if (idle < calm_ns)
			pace = (int)fa_family_pace(s->member[i].family, &dense);
		if (pace < wait_ms)
			wait_ms = pace;
	}
	return wait_ms;
}

/* Whom we know has ended; but a child that has not used the heap yet may have the arena all the same. */
static bool is_over(const struct fa_families *s, const struct member *m)
{
	return fa_family_over(m->family) && !fa_rundir_held(s->dir, m->arena.fd);
}

int fa_families_turn(struct fa_families *s)
{
	uint64_t now = fa_mono_ns();
	int r = adopt_arenas(s);

	if (r < 0)
		return r;
	for (size_t i = 0; i < s->count;) {
		r = serve_member(s, &s->member[i], now);
		if (r < 0)
			return r;
		if (is_over(s, &s->member[i]))
			drop_member(s, i);
		else
			i++;
	}
	r = write_pass(s);
	return r < 0 ? r : next_turn(s, now);
}

void fa_families_exited(struct fa_families *s, int32_t pid, int32_t status)
{
	struct member *latest = NULL;

	/* An arena of its last program may still lie in the folder. An error comes with the next turn. */
	if (adopt_arenas(s) < 0)
		s->past.refused++;
	s->exited_pid = pid;
	s->exited_status = status;
	for (size_t i = 0; i < s->count; i++) {
		struct member *m = &s->member[i];

		/* Of several programs under one pid it was the last one that ended so. */
		if (m->pid == pid && (latest == NULL || m->arena.nonce > latest->arena.nonce))
			latest = m;
		else if (m->pid != pid)
			fa_family_exited(m->family, pid, status);
	}
	if (latest != NULL)
		fa_family_exited(latest->family, pid, status);
}

void fa_families_expect(struct fa_families *s, int32_t pid)
{
	s->expected_pid = pid;
}

void fa_families_tell(struct fa_families *s, void (*came)(void *ctx, int32_t pid), void *ctx)
{
	s->came = came;
	s->came_ctx = ctx;
}

bool fa_families_came(const struct fa_families *s)
{
	return s->expected_came;
}

uint32_t fa_families_refusal(const struct fa_families *s)
{
	return s->expected_refusal;
}

bool fa_families_empty(const struct fa_families *s)
{
	/* Who executes another program has none for a moment. */
	return s->count == 0 && (s->dropped_ns == 0 || fa_mono_ns() - s->dropped_ns > exec_ns);
}

static int end_living(const struct fa_families *s, const struct fa_family *f)
{
	for (size_t i = 0; i < fa_family_processes(f); i++) {
		struct fa_rec_process_end end = {
			.status = -1,
			.stamp = fa_drain_stamp(fa_drain_clock_source()),
			.reason = 1,
		};
		struct fa_family_process p;
		int r;

		fa_family_process_at(f, i, &p);
		if (!p.live)
			continue;
		end.process = p.process;
		r = s->trace->record(s->trace->ctx, FA_TAG_PROCESS_END, &end, sizeof(end), NULL, 0,
				     NULL, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

int fa_families_finish(struct fa_families *s)
{
	int r = adopt_arenas(s);

	for (size_t i = 0; i < s->count; i++)
		give_segments(&s->member[i]);
	while (s->count > 0) {
		struct fa_family *f = s->member[0].family;

		/* Those whom the first of these meets are looked up by the second. */
		if (r == 0)
			r = fa_family_reap(f, &s->sink, false);
		if (r == 0)
			r = fa_family_reap(f, &s->sink, false);
		/* Tell who still lives to stop, then read what they wrote until now. */
		fa_family_answer(f, FA_ANSWER_DETACHED, FA_POLICY_COUNT, FA_REASON_ENDED);
		if (r == 0) {
			int64_t n = fa_family_drain(f, &s->sink);

			r = n < 0 ? (int)n : end_living(s, f);
		}
		drop_member(s, 0);
	}
	return r < 0 ? r : write_pass(s);
}

void fa_families_detach(struct fa_families *s)
{
	while (s->count > 0)
		drop_member(s, 0);
}

struct fa_families_totals fa_families_total(const struct fa_families *s)
{
	struct fa_families_totals t = s->past;

	for (size_t i = 0; i < s->count; i++)
		add_totals(s->member[i].family, &t);
	t.processes = s->ids.next_process - 1;
	return t;
}

void fa_families_free(struct fa_families *s)
{
	if (s == NULL)
		return;
	fa_families_detach(s);
	free(s->member);
	free(s);
}
