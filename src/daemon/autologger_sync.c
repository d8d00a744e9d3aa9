/*
 * autologger_sync.c - what a power cut leaves of a trace from boot.
 *
 * The collector starts write-back at each FlushTimer (sync_file_range), which never waits. But a file that grows is as long
 * as the file system's journal says, and that is written when the file system thinks fit: on ext4 each 5 s, so that up
 * to 6 s were missing. fdatasync writes it, and waits for the disk: it is called by a process of its own, one at a time,
 * because neither the keeper nor the collector may wait.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/keeper.h"

enum { SYNC_EVERY_MS = 500 };

static bool in_a_file(const struct kept *kept)
{
	const struct fa_session_options *o = &kept->session.options;

	return kept->fd[kept->session.file] >= 0 && (o->flags & FA_SESSION_AUTOLOGGER) != 0 &&
	       (o->log_file_mode & FA_LOG_BUFFERING) == 0 && !kept->session.in_memory;
}

/* Of the keeper it has but that file, should the disk hold it for long. */
static _Noreturn void sync_and_leave(int fd)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(fd, STDIN_FILENO) < 0)
		_exit(1);
	(void)syscall(SYS_close_range, 1u, ~0u, 0u); /* an old kernel has none */
	_exit(fdatasync(STDIN_FILENO) < 0);
}

static bool has_changed(struct kept *kept)
{
	struct stat st;
	bool changed;

	if (fstat(kept->fd[kept->session.file], &st) < 0)
		return false;
	changed = st.st_size != kept->synced_size || st.st_mtim.tv_sec != kept->synced_at.tv_sec ||
		  st.st_mtim.tv_nsec != kept->synced_at.tv_nsec;
	kept->synced_size = st.st_size;
	kept->synced_at = st.st_mtim;
	return changed;
}

void autologgers_sync(struct keeper *k, uint64_t now)
{
	if (k->syncing != 0 || now - k->synced_ns < SYNC_EVERY_MS * 1000000ull)
		return;
	for (int n = 0; n < FA_SESSIONS_MAX; n++) {
		/* In turn: one that always changes keeps no other from it. */
		int i = k->sync_next = (k->sync_next + 1) % FA_SESSIONS_MAX;

		if (!in_a_file(&k->kept[i]) || !has_changed(&k->kept[i]))
			continue;
		k->syncing = fork();
		if (k->syncing == 0)
			sync_and_leave(k->kept[i].fd[k->kept[i].session.file]);
		if (k->syncing < 0)
			k->syncing = 0;
		return;
	}
	k->synced_ns = now;
}

void autologgers_synced(struct keeper *k, pid_t child)
{
	if (k->syncing == child)
		k->syncing = 0;
}
