/*
 * keeper.c - the parent: root, and the only part that opens files by name.
 *
 * Life: prepare the place (lock, socket, doorbell), start the parts, give the autologgers to the
 * collector, say READY, then turn every 100 ms: who is silent, who died, what changed in the
 * registry. SIGTERM: the collector ends all sessions properly, then all leave. When the keeper itself
 * is killed, the others see their sockets close: the doorman leaves at once, the collector after
 * it has ended its traces.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/paths.h"
#include "daemon/keeper.h"

enum {
	STOP_WITHIN_S = 20,
	ANNOUNCE_WITHIN_S = 8,
	FILES_WANTED = 262144,
	READ_FOR_MS = 150,
};

/*
 * What the keeper and those that it forks may ever do. Of its own: registry and traces of others
 * (DAC_OVERRIDE, CHOWN, FOWNER), a silent part of another user (KILL), large sockets (NET_ADMIN). For
 * the parts: their ids and what they keep (SETUID, SETGID, SETPCAP, SYS_ADMIN, SYS_PTRACE,
 * DAC_READ_SEARCH, NET_ADMIN). The unit's CapabilityBoundingSet is the same list.
 */
static const uint64_t needed = 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_DAC_READ_SEARCH |
			       1ull << CAP_CHOWN | 1ull << CAP_FOWNER | 1ull << CAP_KILL |
			       1ull << CAP_SETUID | 1ull << CAP_SETGID | 1ull << CAP_SETPCAP |
			       1ull << CAP_NET_ADMIN | 1ull << CAP_SYS_ADMIN |
			       1ull << CAP_SYS_PTRACE;

static struct keeper keeper = {.listen_fd = -1, .ask_fd = -1, .lock_fd = -1, .signal_fd = -1};

/* Two descriptors an arena. Refused where the hard limit is lower and may not be raised. */
static void raise_file_limit(void)
{
	struct rlimit want = {FILES_WANTED, FILES_WANTED}, have;

	if (getrlimit(RLIMIT_NOFILE, &have) == 0 && have.rlim_cur < FILES_WANTED &&
	    setrlimit(RLIMIT_NOFILE, &want) < 0) {
		have.rlim_cur = have.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &have);
	}
}

static int block_signals(struct keeper *k)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	k->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return k->signal_fd < 0 ? -errno : 0;
}

static int make_beats(struct keeper *k)
{
	for (int i = 0; i < PARTS; i++) {
		void *p = mmap(NULL, sizeof(struct beat), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return -errno;
		k->part[i].beat = p;
		k->part[i].fd = -1;
		k->journal_fd[i] = memfd_create("firstalloc-journal", MFD_CLOEXEC);
		if (k->journal_fd[i] < 0)
			return -errno;
	}
	return 0;
}

bool kept_is_used(const struct kept *kept)
{
	for (int i = 0; i < FA_FILES_MAX; i++)
		if (kept->fd[i] >= 0)
			return true;
	return false;
}

static struct kept *find_kept(struct keeper *k, uint64_t id)
{
	for (int i = 0; i < FA_SESSIONS_MAX; i++)
		if (kept_is_used(&k->kept[i]) && k->kept[i].session.id == id)
			return &k->kept[i];
	return NULL;
}

/* It is new, or was changed. */
static void keep_session(struct keeper *k, const struct fa_msg_session *s, int *fd)
{
	struct kept *kept = find_kept(k, s->id);

	for (int i = 0; i < FA_SESSIONS_MAX && kept == NULL; i++)
		if (!kept_is_used(&k->kept[i]))
			kept = &k->kept[i];
	if (kept == NULL || s->file >= FA_FILES_MAX || (kept->fd[s->file] < 0 && *fd < 0))
		return;
	if (kept->fd[s->file] < 0)
		kept->fd[s->file] = fa_take_fd(fd);
	kept->session = *s;
}

/* Another file of one that we have; without a descriptor: none there any more. */
static void keep_file(struct keeper *k, const struct fa_msg_session *s, int *fd)
{
	struct kept *kept = find_kept(k, s->id);

	if (kept == NULL || s->file >= FA_FILES_MAX || s->file == kept->session.file)
		return;
	close_fds(&kept->fd[s->file], 1);
	kept->fd[s->file] = fa_take_fd(fd);
}

static void drop_session(struct keeper *k, uint64_t id)
{
	struct kept *kept = find_kept(k, id);

	if (kept != NULL)
		close_fds(kept->fd, FA_FILES_MAX);
}

static void from_part(struct keeper *k, struct part *p, struct fa_part_msg *m, int fds[MSG_FDS])
{
	switch (m->type) {
	case FA_MSG_READY:
		p->ready = true;
		if (p == &k->part[PART_COLLECTOR])
			k->settled = m->u.wants.number;
		break;
	case FA_MSG_SESSION:
		keep_session(k, &m->u.session, &fds[0]);
		break;
	case FA_MSG_SESSION_FILE:
		keep_file(k, &m->u.session, &fds[0]);
		break;
	case FA_MSG_SESSION_OVER:
		drop_session(k, m->u.session.id);
		autologger_over(k, m->u.session.id);
		break;
	case FA_MSG_STARTED:
		rules_count_start(k, &m->u.started);
		break;
	case FA_MSG_DISARM:
		rules_disarm(k, &m->u.started);
		break;
	case FA_MSG_FILE:
		autologger_moved(k, &m->u.file);
		break;
	case FA_MSG_AUTOLOGGER:
		m->u.autologger.name[sizeof(m->u.autologger.name) - 1] = '\0';
		autologger_result(k, &m->u.autologger);
		break;
	case FA_MSG_STOPPED:
		k->stopped = true;
		break;
	}
}

void read_part(struct keeper *k, struct part *p)
{
	uint64_t from = fa_mono_ns();
	struct fa_part_msg m;
	int fds[MSG_FDS];

	for (int i = 0; i < 64 && p->fd >= 0; i++) {
		int r = msg_receive(p->fd, &m, fds);

		/* A start of a rule "for N starts" takes an fsync, and users decide how many come. */
		if (fa_mono_ns() - from > READ_FOR_MS * 1000000ull)
			i = 64;
		if (r == 1)
			from_part(k, p, &m, fds);
		close_fds(fds, MSG_FDS);
		if (r == 0) /* it is about to die, or has: waitpid tells */
			close_fds(&p->fd, 1);
		if (r != 1 && r != -EPROTO)
			return;
	}
}

/* true: we are to stop. */
static bool read_signals(struct keeper *k)
{
	struct signalfd_siginfo s;
	bool stop = false;

	while (read(k->signal_fd, &s, sizeof(s)) == (ssize_t)sizeof(s))
		stop |= s.ssi_signo == SIGTERM || s.ssi_signo == SIGINT;
	return stop;
}

/* Say READY once everything that flagged programs need is there. */
static void announce(struct keeper *k, uint64_t now)
{
	bool all = k->part[PART_DOORMAN].ready && k->part[PART_COLLECTOR].ready &&
		   !autologgers_pending(k) && k->settled >= k->given;

	if (k->announced || (!all && now - k->announce_ns < ANNOUNCE_WITHIN_S * 1000000000ull))
		return;
	k->announced = true;
	if (!all && !k->part[PART_DOORMAN].ready) {
		static const char text[] = "the doorbell cannot be watched; see its log";

		if (k->ready_fd >= 0)
			(void)!write(k->ready_fd, text, sizeof(text) - 1);
		close_fds(&k->ready_fd, 1);
		k->stopping = true;
		return;
	}
	notify("READY=1\nSTATUS=watching the doorbell");
	if (k->ready_fd >= 0)
		(void)!write(k->ready_fd, "+", 1);
	close_fds(&k->ready_fd, 1);
	log_line("ready%s", all ? "" : " (not everything answered in time)");
}

static void turn(struct keeper *k)
{
	struct pollfd p[3 + ASKERS_MAX + 1] = {
		{.fd = k->signal_fd, .events = POLLIN},
		{.fd = k->part[PART_DOORMAN].fd, .events = POLLIN},
		{.fd = k->part[PART_COLLECTOR].fd, .events = POLLIN},
	};
	unsigned n = 3 + requests_poll(k, p + 3);
	uint64_t now;

	(void)poll(p, n, k->announced ? BEAT_EVERY_MS : 5);
	now = fa_mono_ns();
	if (p[0].revents != 0 && read_signals(k))
		k->stopping = true;
	for (int i = 0; i < PARTS; i++)
		if (p[i + 1].revents != 0)
			read_part(k, &k->part[i]);
	part_watch(k, now);
	part_reap(k, now);
	requests_turn(k, now);
	autologgers_sync(k, now);
	if (!k->announced) {
		autologgers_turn(k);
		announce(k, now);
	}
	if (now - k->second_ns >= 1000000000u) {
		k->second_ns = now;
		autologgers_turn(k);
		autologgers_end_turn(k, now);
		rules_turn(k, now);
		parts_tell_info(k);
	}
	if (k->watchdog_ns != 0 && now >= k->watchdog_ns) {
		notify("WATCHDOG=1");
		k->watchdog_ns = now + watchdog_interval_ns();
	}
}

/* The collector ends its sessions; it may take as long as their disks do. */
static void stop(struct keeper *k)
{
	struct fa_part_msg m = {0};
	uint64_t from = fa_mono_ns();

	notify("STOPPING=1");
	log_line("stopping");
	if (k->part[PART_COLLECTOR].pid != 0 && k->part[PART_COLLECTOR].fd >= 0 &&
	    msg_send(k->part[PART_COLLECTOR].fd, &m, FA_MSG_STOP, NULL, 0) == 0)
		while (!k->stopped && k->part[PART_COLLECTOR].pid != 0 &&
		       fa_mono_ns() - from < STOP_WITHIN_S * 1000000000ull)
			turn(k);
	part_stop_all(k);
	autologgers_finish(k);
	place_leave(k);
	rules_turn(k, fa_mono_ns()); /* what is still late */
	fa_registry_close(&k->registry);
	fa_rule_list_done(&k->rules);
}

static void tell_parent(int fd, const char *text)
{
	log_line("%s", text);
	if (fd >= 0)
		(void)!write(fd, text, strlen(text));
}

/* Why can it not begin? One line that says what to do. */
static const char *place_problem(const struct keeper *k, int e)
{
	static char text[700];
	const char *root = k->settings->root;

	if (e == -EBUSY)
		(void)snprintf(
			text, sizeof(text),
			"another firstallocd is running already below %s; 'firstalloc status' "
			"shows it",
			root[0] ? root : "/");
	else if (e == -EPERM)
		(void)snprintf(text, sizeof(text),
			       "%s" FA_DIR_RUN
			       ": a user other than root could change this folder or "
			       "one above it, so root must not work there",
			       root);
	else if (e == -EROFS)
		(void)snprintf(text, sizeof(text),
			       "%s" FA_DIR_RUN " or %s" FA_DIR_ETC ": on a read-only file system",
			       root, root);
	else
		(void)snprintf(text, sizeof(text), "%s" FA_DIR_RUN ", %s" FA_DIR_ETC "/door: %s",
			       root, root, fa_strerror(e));
	return text;
}

/*
 * Others' starts wait for the doorman: not behind a hundred busy programs. Where the scheduler has a group for
 * each session, the group's own value counts among them.
 */
static void go_before_others(void)
{
	char text[16];
	int fd;

	(void)setpriority(PRIO_PROCESS, 0, PART_NICE);
	if (getsid(0) != getpid())
		return;
	fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)snprintf(text, sizeof(text), "%d", PART_NICE);
	(void)!write(fd, text, strlen(text));
	close(fd);
}

int keeper_main(struct daemon_settings *settings, int ready_fd)
{
	struct keeper *k = &keeper;
	int e;

	log_name("firstallocd");
	k->settings = settings;
	k->ready_fd = ready_fd;
	for (int i = 0; i < FA_SESSIONS_MAX * FA_FILES_MAX; i++)
		k->kept[i / FA_FILES_MAX].fd[i % FA_FILES_MAX] = -1;
	autologgers_init(k);
	for (int i = 0; i < settings->config.problems; i++)
		log_line("%s", settings->config.problem[i]);
	requests_open(k);
	raise_file_limit();
	go_before_others();
	e = place_prepare(k);
	if (e == -EBUSY && settings->under_unit && place_hand_over(k))
		return 0;
	if (e < 0) {
		tell_parent(ready_fd, place_problem(k, e));
		return 1;
	}
	e = keep_capabilities(needed);
	if (e == 0 &&
	    (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0))
		e = -errno;
	if (e == 0)
		e = block_signals(k);
	if (e == 0)
		e = make_beats(k);
	if (e == 0)
		e = part_start(k, PART_DOORMAN);
	if (e == 0)
		e = part_start(k, PART_COLLECTOR);
	if (e < 0) {
		tell_parent(ready_fd, fa_strerror(e));
		return 1;
	}
	k->announce_ns = fa_mono_ns();
	if (watchdog_interval_ns() != 0)
		k->watchdog_ns = k->announce_ns;
	while (!k->stopping)
		turn(k);
	stop(k);
	return k->announced ? 0 : 1;
}
