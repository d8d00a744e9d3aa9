/*
 * procs.c - what the kernel's proc connector tells: starts and ends of programs.
 *
 * Ends of processes that we know (attached ones and their children) go to the collector with the
 * exit status. Starts are compared with the registry's index: a flagged program that has not rung
 * within 300 ms is passed on, with its executable opened, and the collector finds out why. So is one that
 * rang only to leave a note why it refuses, which is heard of without the connector, too.
 *
 * The doorman reads nothing here that a user can write, but for the name of an executable and those of
 * control groups, which are only compared. The index is root's file.
 *
 * The connector speaks to the first pid and user namespace only; in a container it stays silent
 * without an error, so the namespaces are compared first. Without it, a start cannot be seen:
 * coverage is then "unknown", and an arena whose process runs another program by now is found by
 * looking (verify).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "collector/connector.h"
#include "collector/procfs.h"
#include "daemon/doorman.h"
#include "format/index_format.h"
#include "format/package_format.h"

enum {
	KNOWN_PIDS = 4 << 20, /* PID_MAX_LIMIT */
	VERIFY_EACH_TURN = 64,
	RECEIVE_BUFFER = 8 << 20,
};
void procs_open(struct door *d)
{
	d->connector_fd = -1;
	for (int i = 0; i < MISSED_WAITING; i++)
		d->waiting[i].exe_fd = d->waiting[i].note_fd = -1;
	d->known = calloc(1, KNOWN_PIDS / 8);
	if (d->known == NULL)
		return;
	d->connector_fd = fa_connector_open(RECEIVE_BUFFER);
	if (d->connector_fd == -ENODEV)
		log_line("not in the first pid namespace: program starts cannot be watched");
	else if (d->connector_fd < 0)
		log_line("proc connector: %s: program starts cannot be watched",
			 fa_strerror(d->connector_fd));
	if (d->connector_fd < 0)
		d->connector_fd = -1;
}

static bool is_known(const struct door *d, int32_t pid)
{
	return d->known != NULL && pid > 0 && pid < KNOWN_PIDS &&
	       (d->known[pid / 8] >> (pid & 7) & 1);
}

static void set_known(struct door *d, int32_t pid, bool known)
{
	if (d->known == NULL || pid <= 0 || pid >= KNOWN_PIDS)
		return;
	if (known)
		d->known[pid / 8] |= (unsigned char)(1 << (pid & 7));
	else
		d->known[pid / 8] &= (unsigned char)~(1 << (pid & 7));
}

void procs_know(struct door *d, int32_t pid)
{
	set_known(d, pid, true);
}

/* Workers put arenas into the table and arrivals into the ring; only this thread has the bits. */
static void learn_arrivals(struct door *d)
{
	static unsigned seen;

	pthread_mutex_lock(&d->lock);
	if (d->arrivals - seen > ARRIVALS)
		seen = d->arrivals - ARRIVALS;
	for (; seen != d->arrivals; seen++)
		if (!d->arrival[seen % ARRIVALS].refuses)
			set_known(d, d->arrival[seen % ARRIVALS].pid, true);
	pthread_mutex_unlock(&d->lock);
}

static bool has_rung(struct door *d, int32_t pid, uint64_t since)
{
	bool rung = false;

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < ARRIVALS && i < d->arrivals && !rung; i++)
		rung = d->arrival[i].pid == pid && d->arrival[i].when_mono >= since;
	pthread_mutex_unlock(&d->lock);
	return rung;
}

/* Read the index again when it was replaced. */
static void refresh_index(struct door *d)
{
	struct stat st;
	char *bytes;
	size_t len;

	if (stat(d->index_path, &st) < 0) {
		free(fa_take_ptr(&d->index));
		d->index_stamp.ino = 0;
		return;
	}
	if (d->index_stamp.ino == st.st_ino && d->index_stamp.dev == st.st_dev &&
	    d->index_stamp.mtime.tv_sec == st.st_mtim.tv_sec &&
	    d->index_stamp.mtime.tv_nsec == st.st_mtim.tv_nsec)
		return;
	free(fa_take_ptr(&d->index));
	d->index_stamp.dev = st.st_dev;
	d->index_stamp.ino = st.st_ino;
	d->index_stamp.mtime = st.st_mtim;
	if (fa_read_file(d->index_path, FA_INDEX_MAX, &bytes, &len) < 0)
		return;
	if (fa_index_check(bytes, len) < 0) {
		free(bytes);
		return;
	}
	d->index = bytes;
	d->index_len = len;
}

/*
 * A process that executes one program after the other is another one by the time that its first event is
 * looked at: the second must not count it twice.
 */
static struct waiting *waits_already(struct door *d, int32_t pid, const char *image)
{
	for (int i = 0; i < MISSED_WAITING; i++)
		if (d->waiting[i].pid == pid && strcmp(d->waiting[i].image, image) == 0)
			return &d->waiting[i];
	return NULL;
}

static struct waiting *free_place(struct door *d)
{
	for (int i = 0; i < MISSED_WAITING; i++)
		if (d->waiting[i].pid == 0)
			return &d->waiting[i];
	return NULL;
}

/*
 * The base name of the path that was executed: a script's own, or that of a link. The kernel keeps 15
 * bytes of it, so longer ones are not known here. It asks nothing of the process.
 */
static bool read_comm(int32_t pid, char *comm, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, comm, size - 1);
	close(fd);
	if (n <= 1 || n >= 16) /* with its newline */
		return false;
	comm[n - 1] = '\0';
	return true;
}

int procs_look(int32_t pid, struct seen *ret)
{
	struct fa_procfs_status st;
	char path[64];
	ssize_t n;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, ret->exe, sizeof(ret->exe) - 1);
	if (n <= 0)
		return n < 0 ? -errno : -EINVAL;
	ret->exe[n] = '\0';
	if (!read_comm(pid, ret->comm, sizeof(ret->comm)))
		ret->comm[0] = '\0';
	r = fa_procfs_status(pid, &st);
	if (r < 0)
		return r;
	ret->pid = pid;
	ret->uid = st.uid;
	ret->real_uid = st.real_uid;
	return 0;
}

/* The rule by which it is flagged, NULL: it is not. */
static const struct fa_index_rule *flagged(struct door *d, const struct seen *s)
{
	char cgroup[FA_CGROUP_TEXT_MAX];
	/* By the real user, as the gate asks: of a set-user-id program the other is its owner. */
	struct fa_index_who who = {.uid = s->real_uid, .exe_path = s->exe};

	who.exe_name = fa_base_name(s->exe);
	who.exec_name = s->comm[0] != '\0' ? s->comm : NULL;
	if (d->index == NULL)
		return NULL;
	if (fa_index_needs_cgroup(d->index, &who) &&
	    fa_procfs_cgroup(s->pid, cgroup, sizeof(cgroup)) == 0)
		who.cgroup = cgroup;
	return fa_index_find(d->index, &who, (uint64_t)time(NULL));
}

/* Its place among those who wait, which it may have already; NULL: it is not flagged, or (counted) there is
 * none. */
static struct waiting *expect(struct door *d, const struct seen *s, uint64_t when)
{
	const struct fa_index_rule *rule = flagged(d, s);
	const char *name;
	struct waiting *w;

	if (rule == NULL)
		return NULL;
	name = (const char *)d->index + rule->name;
	w = waits_already(d, s->pid, name);
	if (w == NULL) {
		w = free_place(d);
		if (w == NULL) {
			d->unknown_starts++;
			return NULL;
		}
		w->pid = s->pid;
		w->uid = s->uid;
		w->real_uid = s->real_uid;
		w->status = -1;
		w->rule_id = rule->id;
		w->disarmed = (rule->options & FA_RULE_DISARMED) != 0;
		(void)snprintf(w->image, sizeof(w->image), "%s", name);
	}
	w->when_mono = when;
	return w;
}

/* A program started: if it is flagged, it is expected at the door. */
static void on_exec(struct door *d, int32_t pid, uint64_t when)
{
	struct waiting *w;
	struct seen seen;
	char path[64];
	int e;

	refresh_index(d);
	if (d->index == NULL)
		return;
	e = procs_look(pid, &seen);
	/* It ended, or is another thing, before we could look; but it may have rung before. */
	if (e == -ENOENT && !has_rung(d, pid, when))
		d->unknown_starts++;
	w = e < 0 ? NULL : expect(d, &seen, when);
	if (w == NULL || w->exe_fd >= 0)
		return;
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	/* O_PATH: an open for reading asks the file system, which may be a user's. */
	w->exe_fd = open(path, O_PATH | O_CLOEXEC);
}

/* Who rang to say that he refuses. */
static void take_notes(struct door *d)
{
	struct note note;

	for (;;) {
		struct waiting *w;
		bool any;

		pthread_mutex_lock(&d->lock);
		d->unknown_starts += d->notes_lost;
		d->notes_lost = 0;
		any = d->notes > 0;
		if (any)
			note = d->note[--d->notes];
		pthread_mutex_unlock(&d->lock);
		if (!any)
			return;
		refresh_index(d);
		w = expect(d, &note.seen, note.when_mono);
		if (w != NULL) {
			int old = w->note_fd;

			w->note_fd = note.fd;
			note.fd = old;
		}
		close_fds(&note.fd, 1);
	}
}

static void tell_gone(struct door *d, int32_t pid, int32_t status, bool exec, uint64_t when)
{
	struct fa_part_msg m = {0};

	m.u.gone.pid = pid;
	m.u.gone.status = status;
	m.u.gone.exec = exec;
	m.u.gone.when_mono = when;
	/* Lost when the collector is not there: it looks itself as well, only without the status. */
	(void)door_send(d, &m, FA_MSG_GONE, -1, -1);
}

static void waiting_ended(struct door *d, int32_t pid, int32_t status)
{
	for (int i = 0; i < MISSED_WAITING; i++)
		if (d->waiting[i].pid == pid)
			d->waiting[i].status = status;
}

static void on_event(void *ctx, const struct proc_event *e)
{
	struct door *d = ctx;
	uint64_t when = e->timestamp_ns;

	/* Who rang did so before this, but perhaps after we began to read. */
	learn_arrivals(d);
	switch ((unsigned)e->what) {
	case PROC_EVENT_FORK:
		if (e->event_data.fork.child_pid == e->event_data.fork.child_tgid &&
		    is_known(d, e->event_data.fork.parent_tgid))
			set_known(d, e->event_data.fork.child_pid, true);
		break;
	case PROC_EVENT_EXEC:
		if (is_known(d, e->event_data.exec.process_tgid))
			tell_gone(d, e->event_data.exec.process_tgid, -1, true, when);
		on_exec(d, e->event_data.exec.process_tgid, when);
		break;
	case PROC_EVENT_EXIT:
		if (e->event_data.exit.process_pid == e->event_data.exit.process_tgid)
			waiting_ended(d, e->event_data.exit.process_tgid,
				      (int32_t)e->event_data.exit.exit_code);
		if (e->event_data.exit.process_pid == e->event_data.exit.process_tgid &&
		    is_known(d, e->event_data.exit.process_tgid)) {
			tell_gone(d, e->event_data.exit.process_tgid,
				  (int32_t)e->event_data.exit.exit_code, false, when);
			set_known(d, e->event_data.exit.process_tgid, false);
		}
		break;
	default:
		break;
	}
}

void procs_read(struct door *d)
{
	int r = 1;

	for (int turn = 0; turn < 256 && r == 1; turn++)
		r = fa_connector_read(d->connector_fd, on_event, d);
	if (r == -ENOBUFS)
		d->unknown_starts++; /* at least one */
}

/* Who started and has not rung: passed on with its executable. */
static void look_for_missing(struct door *d, uint64_t now)
{
	for (int i = 0; i < MISSED_WAITING; i++) {
		struct waiting *w = &d->waiting[i];
		struct fa_part_msg m = {0};
		char path[64];

		if (w->pid == 0 || now - w->when_mono < MISSED_AFTER_MS * 1000000ull)
			continue;
		if (w->note_fd >= 0 || !has_rung(d, w->pid, w->when_mono)) {
			(void)snprintf(path, sizeof(path), "/proc/%d", (int)w->pid);
			m.u.missed.pid = w->pid;
			m.u.missed.uid = w->uid;
			m.u.missed.real_uid = w->real_uid;
			m.u.missed.status = w->status;
			m.u.missed.rule_id = w->rule_id;
			m.u.missed.reason = w->disarmed ? FA_REASON_DISARMED : 0;
			m.u.missed.alive = access(path, F_OK) == 0;
			memcpy(m.u.missed.image, w->image, sizeof(w->image));
			m.u.missed.noted = w->note_fd >= 0;
			if (door_send(d, &m, FA_MSG_MISSED, w->note_fd, w->exe_fd) < 0)
				d->unknown_starts++;
		}
		close_fds(&w->exe_fd, 1);
		close_fds(&w->note_fd, 1);
		w->pid = 0;
	}
}

/* Without the connector: has a process that is attached another program by now? */
static void verify(struct door *d)
{
	for (int i = 0; i < VERIFY_EACH_TURN; i++) {
		struct fa_msg_arena info;
		char path[64];
		uint64_t ino = 0;
		bool any;
		int fd, proc_fd;

		pthread_mutex_lock(&d->lock);
		any = d->verify_at < d->arenas;
		if (any)
			info = d->arena[d->verify_at]->info;
		d->verify_at = any ? d->verify_at + 1 : 0;
		pthread_mutex_unlock(&d->lock);
		if (!any)
			return;
		proc_fd = bell_process(info.pid);
		fd = proc_fd < 0 ? proc_fd
				 : bell_find_grown(d, proc_fd, fa_arena_slot_address(info.slot),
						   info.size, &ino);
		close_fds(&proc_fd, 1);
		(void)snprintf(path, sizeof(path), "/proc/%d", (int)info.pid);
		if ((fd == -ENOENT || (fd >= 0 && ino != info.handle)) && access(path, F_OK) == 0)
			tell_gone(d, info.pid, -1, true, info.when_mono + 1);
		close_fds(&fd, 1);
	}
}

/* Not in the main thread: how long a look takes is in the hand of the process. */
void *procs_verify(void *door)
{
	for (;;) {
		(void)sleep(1);
		verify(door);
	}
	return NULL;
}

void procs_turn(struct door *d)
{
	static uint64_t told_starts = ~0ull;
	uint64_t now = fa_mono_ns();
	struct fa_part_msg m = {0};

	take_notes(d);
	look_for_missing(d, now);
	if (told_starts != d->unknown_starts) {
		m.u.blind.unknown_starts = d->unknown_starts;
		m.u.blind.connector = d->connector_fd >= 0;
		m.u.blind.bell = 1;
		if (door_send(d, &m, FA_MSG_BLIND, -1, -1) == 0)
			told_starts = d->unknown_starts;
	}
}
