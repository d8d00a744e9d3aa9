/*
 * attach.c - see attach.h.
 *
 * Where a process has its block is found with the caller's own rights (process_block.c), because it takes reading
 * files that users write. firstallocd is told the address and the number of this start of the program, and has
 * a pidfd from before we looked: so that neither a process that gets the same PID meanwhile is hit, nor another
 * program in the same process.
 */
#include "client/attach.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/paths.h"
#include "client/client.h"
#include "client/process_block.h"
#include "collector/procfs.h"
#include "collector/unseen.h"
#include "format/arena_format.h"
#include "format/index_format.h"

static void name_image(int32_t pid, struct fa_attached *ret)
{
	char path[64], exe[4096];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	(void)snprintf(ret->image, sizeof(ret->image), "%s", fa_base_name(exe));
}

static bool in_other_root(int32_t pid)
{
	struct stat own, its;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	return stat("/", &own) == 0 && stat(path, &its) == 0 &&
	       (own.st_dev != its.st_dev || own.st_ino != its.st_ino);
}

/* The shim is not in it: why? */
static void say_unseen(int32_t pid, struct fa_attached *ret)
{
	FA_CLEANUP(fa_close) int fd = -1;
	uint32_t reason = FA_REASON_NOT_LOADED;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		reason = fa_unseen_reason(fd, pid);
	if (reason != FA_REASON_NOT_LOADED && reason != FA_REASON_UNKNOWN)
		(void)snprintf(ret->text, sizeof(ret->text), "%s", fa_reason_text(reason));
	else if (in_other_root(pid))
		(void)snprintf(ret->text, sizeof(ret->text),
			       "the shim is not in it: it runs in another root directory");
	else
		(void)snprintf(ret->text, sizeof(ret->text),
			       "the shim is not in it: it was started before 'firstalloc install'; "
			       "restart it");
}

static void say_failed(int32_t pid, int e, struct fa_attached *ret)
{
	ret->error = -e;
	switch (e) {
	case -ENOENT:
		ret->error = EOPNOTSUPP;
		say_unseen(pid, ret);
		break;
	case -ESRCH:
		(void)snprintf(ret->text, sizeof(ret->text), "there is no such process");
		break;
	case -EPERM:
	case -EACCES:
		(void)snprintf(ret->text, sizeof(ret->text),
			       "not permitted: a user may attach to what he could ptrace");
		break;
	case -EBADMSG:
		ret->error = EOPNOTSUPP;
		(void)snprintf(ret->text, sizeof(ret->text),
			       "its shim is of another version: restart it");
		break;
	default:
		(void)snprintf(ret->text, sizeof(ret->text), "%s", fa_strerror(e));
	}
}

/* Also where nobody has waited for it yet. */
static bool has_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* It has no executable. */
static bool is_kernel_thread(int32_t pid)
{
	char path[64], c;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	return readlink(path, &c, 1) < 0 && errno == ENOENT;
}

static void attach(int sock, struct fa_control_request *q, int32_t pid, struct fa_attached *ret)
{
	FA_CLEANUP(fa_close) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct fa_control_reply reply;
	struct fa_process_block b;
	int e;

	*ret = (struct fa_attached){0};
	e = pidfd < 0 ? -errno : 0;
	if (e == -EINVAL || e == -ENOENT) /* a number of a thread, or none at all */
		e = -ESRCH;
	if (e == 0)
		name_image(pid, ret);
	if (e == 0)
		e = fa_process_block_find(pid, &b, &q->attach.block);
	if (e < 0 && pidfd >= 0 && has_ended(pidfd)) {
		ret->error = ESRCH;
		(void)snprintf(ret->text, sizeof(ret->text), "it has ended");
		return;
	}
	if (e == -ENOENT && is_kernel_thread(pid)) {
		ret->error = EOPNOTSUPP;
		(void)snprintf(ret->text, sizeof(ret->text), "it is a kernel thread");
		return;
	}
	if (e == 0) {
		q->attach.nonce = b.nonce;
		e = fa_client_ask(sock, q, pidfd, &reply, NULL);
	}
	if (e < 0) {
		say_failed(pid, e, ret);
		return;
	}
	ret->error = reply.error;
	ret->sleeping = reply.woken != 0;
	(void)snprintf(ret->text, sizeof(ret->text), "%s", reply.text);
}

static const struct fa_attach as_usual = {
	.tracing_flags = FA_TRACING_HEAP,
	.depth = FA_DEPTH_DEFAULT,
	.stacks = FA_STACK_ALLOC | FA_STACK_REALLOC,
	.stamp_mode = FA_STAMP_ALLOC,
};

void fa_attach_pid(int sock, uint64_t session_id, int32_t pid, struct fa_attached *ret)
{
	struct fa_control_request q = {
		.verb = FA_CONTROL_ATTACH, .session_id = session_id, .attach = as_usual};

	attach(sock, &q, pid, ret);
}

void fa_attach_flag(int sock, const struct fa_attach *as, int32_t pid, struct fa_attached *ret)
{
	struct fa_control_request q = {.verb = FA_CONTROL_ATTACH,
				       .attach = as != NULL ? *as : as_usual};

	q.attach.flags = FA_ATTACH_FLAG;
	attach(sock, &q, pid, ret);
}

/*
 * A fork child that has not used the heap yet: its block is a copy that says what its parent was. What became of the
 * arena that it would join the daemon knows.
 */
static bool is_late_child(int32_t pid, const struct fa_process_block *b)
{
	struct fa_procfs_status st;

	return b->reason == FA_REASON_TRACED && b->rule_id != 0 && b->pid != pid &&
	       fa_procfs_status(pid, &st) == 0 && st.own_pid != b->pid;
}

/* Flagged, and not traced for no reason of its own. */
static bool sleeps(int32_t pid)
{
	struct fa_process_block b;

	if (fa_process_block_read(pid, &b) < 0 || (b.tracing_flags & FA_TRACING_HEAP) == 0)
		return false;
	if (b.dormant == 0)
		return is_late_child(pid, &b);
	return b.reason == FA_REASON_NO_SESSION || b.reason == FA_REASON_NO_COLLECTOR ||
	       b.reason == FA_REASON_ENDED;
}

/* Were its rules ours? Those of a container that has a firstallocd of its own were not. */
static bool is_of_registry(int32_t pid, const struct stat *own)
{
	struct stat its;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/root%s", (int)pid, FA_DIR_ETC);
	return stat(path, &its) == 0 && its.st_dev == own->st_dev && its.st_ino == own->st_ino;
}

unsigned fa_attach_flagged(int sock, const char *root)
{
	char etc[4096];
	DIR *proc;
	unsigned n = 0;
	struct stat own;

	if (fa_path_join(etc, sizeof(etc), root, FA_DIR_ETC) < 0 || stat(etc, &own) < 0)
		return 0;
	proc = opendir("/proc");
	if (proc == NULL)
		return 0;
	for (struct dirent *e; (e = readdir(proc)) != NULL;) {
		struct fa_attached a;
		int32_t pid;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		pid = (int32_t)strtol(e->d_name, NULL, 10);
		if (!sleeps(pid) || !is_of_registry(pid, &own))
			continue;
		fa_attach_flag(sock, NULL, pid, &a);
		n += a.error == 0 && a.sleeping;
	}
	(void)closedir(proc);
	return n;
}
