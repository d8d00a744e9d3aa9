/*
 * parts.c - starts doorman and collector, watches them, replaces them.
 *
 * A part that is silent is killed with SIGKILL: a stopped doorman holds every flagged start of the
 * machine, and the kernel lets them go the moment it is dead. A new part gets a new socket to the
 * keeper and to the other part; the other one is told by FA_MSG_LINK.
 *
 * A new collector gets the sessions of the old one before the doorman gets the socket to it, so that
 * the arenas that it then receives find their sessions.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "daemon/keeper.h"

enum { SOCKET_BUFFER = 16 << 20, LATE_MS = 400, QUICK_MS = 2000 };

static const char *const names[PARTS] = {"doorman", "collector"};

static int make_pair(int fd[2])
{
	int size = SOCKET_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		(void)setsockopt(fd[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return 0;
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Everything of the keeper's that the part is not to have: locks, kept traces, the database. */
static void close_others(const int *keep, int n)
{
	int sorted[8];
	int from = 3;

	memcpy(sorted, keep, sizeof(int) * (size_t)n);
	qsort(sorted, (size_t)n, sizeof(int), compare_ints);
	for (int i = 0; i <= n; i++) {
		unsigned to = i < n ? (unsigned)sorted[i] - 1 : ~0u;

		if (i < n && sorted[i] < from)
			continue;
		if ((unsigned)from <= to && syscall(SYS_close_range, (unsigned)from, to, 0) < 0 &&
		    errno == ENOSYS)
			for (int fd = from; (unsigned)fd <= to && fd < 65536; fd++)
				(void)close(fd);
		if (i < n)
			from = sorted[i] + 1;
	}
}

/* Signals that the keeper waits for. systemd sends SIGTERM to the whole unit: only the keeper acts
 * on it, and the parts leave when it closes their sockets. */
static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void be_part(struct keeper *k, enum part_name which, int keeper_fd, int peer_fd)
{
	struct part_start start = {
		.settings = k->settings,
		.beat = k->part[which].beat,
		.keeper_fd = keeper_fd,
		.peer_fd = peer_fd,
		.listen_fd = which == PART_COLLECTOR ? k->listen_fd : -1,
		.journal_fd = k->journal_fd[which],
		.restarted = k->part[which].started_ns != 0,
	};
	int keep[4] = {keeper_fd, peer_fd, start.journal_fd, start.listen_fd};

	close_others(keep, which == PART_COLLECTOR ? 4 : 3);
	reset_signals();
	_exit(which == PART_DOORMAN ? doorman_main(&start) : collector_main(&start));
}

/* Its other files come first: which of them is written, the collector's journal knows best. */
static int give_session(const struct kept *kept, int fd)
{
	struct fa_part_msg m = {.u.session = kept->session};
	int e = 0;

	m.u.session.resumed = 1;
	for (uint32_t i = 0; i < FA_FILES_MAX && e == 0; i++) {
		m.u.session.file = i;
		if (i != kept->session.file && kept->fd[i] >= 0)
			e = msg_send(fd, &m, FA_MSG_SESSION_FILE, &kept->fd[i], 1);
	}
	m.u.session.file = kept->session.file;
	return e == 0 ? msg_send(fd, &m, FA_MSG_SESSION, &kept->fd[m.u.session.file], 1) : e;
}

static void give_sessions(struct keeper *k, int fd)
{
	for (int i = 0; i < FA_SESSIONS_MAX; i++) {
		if (!kept_is_used(&k->kept[i]))
			continue;
		if (give_session(&k->kept[i], fd) < 0)
			log_line("session %.63s cannot be given on",
				 k->kept[i].session.options.name);
		k->given++; /* and kept: this one may be killed before it has read it */
	}
}

static void link_other(struct keeper *k, enum part_name which, int fd)
{
	struct part *other = &k->part[which == PART_DOORMAN ? PART_COLLECTOR : PART_DOORMAN];
	struct fa_part_msg m = {0};

	if (other->pid != 0)
		(void)msg_send(other->fd, &m, FA_MSG_LINK, &fd, 1);
	close(fd);
}

void parts_tell_info(struct keeper *k)
{
	struct fa_part_msg m = {0};

	m.u.info.started_real = k->settings->started_real;
	m.u.info.run = k->settings->early        ? FA_RUN_EARLY
		       : k->settings->under_unit ? FA_RUN_UNIT
		       : k->settings->foreground ? FA_RUN_FOREGROUND
						 : FA_RUN_BACKGROUND;
	m.u.info.keeper_pid = getpid();
	m.u.info.doorman_pid = k->part[PART_DOORMAN].pid;
	m.u.info.restarts = k->restarts;
	m.u.info.off = fa_registry_off(k->settings->root);
	if (k->part[PART_COLLECTOR].pid != 0)
		(void)msg_send(k->part[PART_COLLECTOR].fd, &m, FA_MSG_INFO, NULL, 0);
}

int part_start(struct keeper *k, enum part_name which)
{
	struct part *p = &k->part[which];
	int up[2], across[2];
	pid_t pid;

	/* It may be what it reads there that kills it again and again, unless it has come to work with it. Silence is no sign
	 * of that, either: who is stopped, or gets no processor, is silent. Without a journal loss is unknown. */
	if (p->crashes > (p->had_worked ? 4u : 1u) && ftruncate(k->journal_fd[which], 0) < 0)
		return -errno;
	if (make_pair(up) < 0)
		return -errno;
	if (make_pair(across) < 0) {
		close_fds(up, 2);
		return -EMFILE;
	}
	memset(p->beat, 0, sizeof(*p->beat));
	atomic_store(&p->beat->alive_ns, fa_mono_ns());
	pid = fork();
	if (pid == 0)
		be_part(k, which, up[1], across[1]);
	close(up[1]);
	close(across[1]);
	if (pid < 0) {
		close(up[0]);
		close(across[0]);
		return -EAGAIN;
	}
	close_fds(&p->fd, 1);
	p->fd = up[0];
	p->pid = pid;
	p->ready = p->was_silent = false;
	p->started_ns = fa_mono_ns();
	if (which == PART_COLLECTOR) {
		k->given = k->settled = 0;
		give_sessions(k, p->fd);
	}
	link_other(k, which, across[0]);
	parts_tell_info(k);
	return 0;
}

/* Silent: no turn of the main loop, or an open that a worker holds for too long. */
static bool is_silent(const struct beat *b, uint64_t now)
{
	uint64_t writing = atomic_load(&b->writing_ns);
	uint64_t limit = writing ? BEAT_WRITING_MS : BEAT_SILENT_MS;
	uint64_t alive = atomic_load(&b->alive_ns);

	if (alive < now && now - alive > limit * 1000000u)
		return true;
	for (int i = 0; i < BELL_WORKERS_MAX; i++) {
		uint64_t since = atomic_load(&b->busy_ns[i]);

		if (since != 0 && since < now && now - since > BEAT_SILENT_MS * 1000000ull)
			return true;
	}
	return false;
}

void part_watch(struct keeper *k, uint64_t now)
{
	/* We were late ourselves (a suspended machine, a busy one): so may they be. */
	if (k->turn_ns != 0 && now - k->turn_ns > LATE_MS * 1000000ull)
		k->grace_ns = now + BEAT_SILENT_MS * 1000000ull;
	k->turn_ns = now;
	if (now < k->grace_ns)
		return;
	for (int i = 0; i < PARTS; i++) {
		struct part *p = &k->part[i];

		if (p->pid == 0 || !is_silent(p->beat, now))
			continue;
		log_line("the %s (pid %d) is silent: killed", names[i], (int)p->pid);
		(void)kill(p->pid, SIGKILL);
		p->was_silent = true;
		/* Once: its death is seen next. */
		atomic_store(&p->beat->alive_ns, now);
		memset(p->beat->busy_ns, 0, sizeof(p->beat->busy_ns));
		atomic_store(&p->beat->writing_ns, 0);
	}
}

static void died(struct keeper *k, enum part_name which, int status, uint64_t now)
{
	struct part *p = &k->part[which];
	bool quick = now - p->started_ns < QUICK_MS * 1000000ull;
	bool crashed = !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;
	unsigned times;

	p->pid = 0;
	p->had_worked = p->ready;
	p->ready = false;
	close_fds(&p->fd, 1);
	if (k->stopping)
		return;
	p->quick_deaths = quick ? p->quick_deaths + 1 : 0;
	/* Who is killed from outside had worked until then: that ends the row. */
	p->faults = quick && (crashed || p->was_silent) ? p->faults + 1 : 0;
	p->crashes = quick && crashed ? p->crashes + 1 : 0;
	/* At once, unless it dies at once again and again: then each time later, and much later where the
	 * fault is its own, for programs may wait for it. The first few within the second that they do. */
	times = p->quick_deaths > 20 ? 20 : p->quick_deaths;
	p->start_at_ns = now + (times > 1 ? times * (p->faults > 4 ? 200 : p->faults > 1 ? 100 : 10) * 1000000ull : 0);
	k->restarts++;
	if (WIFSIGNALED(status))
		log_line("the %s was killed by signal %d", names[which], WTERMSIG(status));
	else
		log_line("the %s ended with status %d", names[which], WEXITSTATUS(status));
}

void part_reap(struct keeper *k, uint64_t now)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		autologgers_child(k, pid, status);
		autologgers_synced(k, pid);
		for (int i = 0; i < PARTS; i++)
			if (k->part[i].pid == pid) {
				while (k->part[i].fd >= 0) /* its last words; then it is closed */
					read_part(k, &k->part[i]);
				died(k, (enum part_name)i, status, now);
			}
	}
	for (int i = 0; i < PARTS && !k->stopping; i++) {
		int e;

		if (k->part[i].pid != 0 || now < k->part[i].start_at_ns)
			continue;
		e = part_start(k, (enum part_name)i);
		if (e < 0) {
			log_line("the %s cannot be started: %s", names[i], fa_strerror(e));
			k->part[i].start_at_ns = now + 1000000000u;
		}
	}
}

/* They leave when their sockets close; whoever does not is killed. */
void part_stop_all(struct keeper *k)
{
	k->stopping = true;
	for (int i = 0; i < PARTS; i++)
		close_fds(&k->part[i].fd, 1);
	for (int turn = 0; turn < 200; turn++) {
		part_reap(k, fa_mono_ns());
		if (k->part[0].pid == 0 && k->part[1].pid == 0)
			return;
		if (turn == 150)
			for (int i = 0; i < PARTS; i++)
				if (k->part[i].pid != 0)
					(void)kill(k->part[i].pid, SIGKILL);
		(void)usleep(10000);
	}
}
