/*
 * snapshot_run.c - a `firstalloc snapshot take` that goes on, and `--stop`, which ends it from elsewhere.
 *
 * Each such command listens at a socket without a file, whose name says whose and which it is: nothing is left
 * behind however it ends, and all that run are found in /proc/net/unix. Who it is that asks the kernel says: the
 * same user, or root. A request is the processes and names that are no longer wanted, none: all; the answer comes
 * when the command has obeyed.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "cli/snapshot.h"

#define PREFIX "firstalloc-take-"

enum { NAMES_IN_REQUEST = 16, ANSWER_S = 20, UNIX_TABLE_MAX = 64 << 20 };

/* What is no longer wanted. */
struct request {
	uint32_t pids, names; /* both 0: all of it */
	int32_t pid[FA_SNAPSHOT_PIDS];
	char name[NAMES_IN_REQUEST][256];
};

/* Numbers of processes, and such names, may be shared by containers that share no more. */
static unsigned long pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) < 0 ? 0 : (unsigned long)st.st_ino;
}

static socklen_t address_of(struct sockaddr_un *a, unsigned uid, int pid)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	int n = snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, PREFIX "%lu-%u-%d", pid_namespace(),
			 uid, pid);

	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

int fa_snapshot_run_open(struct fa_snapshot_run *run, int32_t *pids, unsigned *count, unsigned *named,
			 struct fa_option_list *names)
{
	struct sockaddr_un a;
	socklen_t len = address_of(&a, getuid(), getpid());

	*run = (struct fa_snapshot_run){.pids = pids, .count = count, .named = named, .names = names};
	run->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (run->fd >= 0 && bind(run->fd, (struct sockaddr *)&a, len) == 0 && listen(run->fd, 8) == 0)
		return 0;
	int e = -errno;

	fa_close(&run->fd);
	return e;
}

void fa_snapshot_run_close(struct fa_snapshot_run *run)
{
	fa_close(&run->fd);
}

static bool asks_for_pid(const struct request *q, int32_t pid)
{
	for (uint32_t i = 0; i < q->pids && i < FA_SNAPSHOT_PIDS; i++)
		if (q->pid[i] == pid)
			return true;
	return false;
}

static bool asks_for_name(const struct request *q, const char *name)
{
	for (uint32_t i = 0; i < q->names && i < NAMES_IN_REQUEST; i++)
		if (strncmp(q->name[i], name, sizeof(q->name[i])) == 0)
			return true;
	return false;
}

/* How much of it went. */
static uint32_t leave_out(const struct fa_snapshot_run *run, const struct request *q)
{
	const bool all = (q->pids | q->names) == 0;
	unsigned left = 0;
	int names = 0;
	uint32_t gone;

	for (unsigned i = 0; i < *run->named; i++)
		if (!all && !asks_for_pid(q, run->pids[i]))
			run->pids[left++] = run->pids[i];
	for (int i = 0; i < run->names->count; i++)
		if (!all && !asks_for_name(q, run->names->item[i]))
			run->names->item[names++] = run->names->item[i];
	gone = *run->named - left + (uint32_t)(run->names->count - names);
	*run->named = *run->count = left;
	run->names->count = names;
	return gone;
}

/* One who connects: obeyed if he may, and answered. */
static void answer(const struct fa_snapshot_run *run)
{
	const struct timeval patience = {.tv_sec = 1};
	FA_CLEANUP(fa_close) int fd = accept4(run->fd, NULL, NULL, SOCK_CLOEXEC);
	struct request q;
	struct ucred who;
	socklen_t len = sizeof(who);
	uint32_t gone;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 ||
	    (who.uid != 0 && who.uid != getuid()))
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (recv(fd, &q, sizeof(q), 0) != (ssize_t)sizeof(q))
		return;
	gone = leave_out(run, &q);
	(void)send(fd, &gone, sizeof(gone), MSG_NOSIGNAL);
}

bool fa_snapshot_run_goes_on(const struct fa_snapshot_run *run, int pidfd, uint64_t until_ns, bool *ret_ended)
{
	for (;;) {
		struct pollfd p[2] = {{.fd = run->fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
		uint64_t now = fa_mono_ns();
		int n = poll(p, 2, now >= until_ns ? 0 : (int)((until_ns - now + 999999) / 1000000));

		if (n > 0 && p[0].revents != 0)
			answer(run);
		if (*run->named == 0 && run->names->count == 0)
			return false;
		*ret_ended = n > 0 && p[1].revents != 0;
		if (*ret_ended || (n == 0 && fa_mono_ns() >= until_ns))
			return true;
	}
}

/* ---- from elsewhere ---- */

/* How much of what one of them does it left out; 0: nothing, or it is gone, or another's. */
static uint32_t stop_one(unsigned uid, int pid, const struct request *q)
{
	const struct timeval patience = {.tv_sec = ANSWER_S};
	FA_CLEANUP(fa_close) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un a;
	socklen_t len = address_of(&a, uid, pid);
	uint32_t gone = 0;

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, len) < 0)
		return 0;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (send(fd, q, sizeof(*q), MSG_NOSIGNAL) < 0 || recv(fd, &gone, sizeof(gone), 0) != (ssize_t)sizeof(gone))
		return 0;
	return gone;
}

static int make_request(const struct fa_cli *cli, const struct fa_snapshot_given *given, struct request *q)
{
	unsigned pids;
	int status = fa_snapshot_pids(cli, &given->pids, q->pid, &pids);

	if (status != 0)
		return status;
	if (given->names.count > NAMES_IN_REQUEST)
		return fa_usage(cli, "--stop: at most %d names", NAMES_IN_REQUEST);
	q->pids = pids;
	for (; q->names < (uint32_t)given->names.count; q->names++)
		(void)snprintf(q->name[q->names], sizeof(q->name[0]), "%s", given->names.item[q->names]);
	return 0;
}

int fa_snapshot_run_stop(const struct fa_cli *cli, const struct fa_snapshot_given *given)
{
	static struct request q;
	uint32_t runs = 0;
	char *table = NULL;
	size_t len;
	int status = make_request(cli, given, &q), e;

	if (status != 0)
		return status;
	e = fa_read_file("/proc/net/unix", UNIX_TABLE_MAX, &table, &len);
	if (e < 0)
		return fa_fail((int)fa_exit_of(e), "/proc/net/unix: %s", fa_strerror(e));
	for (const char *at = table; (at = strstr(at, "@" PREFIX)) != NULL; at++) {
		unsigned long ns;
		unsigned uid;
		int pid;

		if (sscanf(at + 1, PREFIX "%lu-%u-%d", &ns, &uid, &pid) == 3 && ns == pid_namespace() &&
		    (getuid() == 0 || uid == getuid()))
			runs += stop_one(uid, pid, &q) > 0;
	}
	free(table);
	if (runs == 0)
		return fa_fail(FA_EXIT_NOT_FOUND, "no 'snapshot take' of yours goes on%s",
			       (q.pids | q.names) != 0 ? " with these" : "");
	printf("%u 'snapshot take' told to end%s.\n", runs, (q.pids | q.names) != 0 ? " with these" : "");
	return FA_EXIT_OK;
}
