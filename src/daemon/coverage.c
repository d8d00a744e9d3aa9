/*
 * coverage.c - why did a flagged program that started not ring?
 *
 * The doorman passes the executable, opened for reading; its bytes are the user's, so they are looked
 * at here, where there is nothing to win. What cannot be told from the file (another root, a sandbox,
 * not installed) is NOT_LOADED; `firstalloc status`, run by root, reads the rest from the process.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "collector/unseen.h"
#include "daemon/collector.h"

/* It comes as O_PATH. Not asked: a file system that a user may serve (it could keep us waiting), and
 * one that denies us to read. */
static uint32_t find_reason(const struct fa_msg_missed *m, int path_fd)
{
	char path[64];
	uint32_t r;
	int fd;

	if (path_fd < 0 || !mount_is_trusted(path_fd))
		return FA_REASON_UNKNOWN;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return FA_REASON_UNKNOWN;
	r = fa_unseen_reason(fd, m->pid);
	close(fd);
	return r;
}

void coverage_missed(struct collector *c, const struct fa_msg_missed *m, int exe_fd)
{
	struct fa_status_coverage *e = &c->coverage[c->coverages % COVERAGE_MAX];
	struct fa_rec_coverage r = {.pid = m->pid, .uid = m->uid};

	r.reason = m->reason != 0        ? m->reason
		   : c->info.off != 0 ? FA_REASON_OFF
				      : find_reason(m, exe_fd);
	if (r.reason == FA_REASON_NOT_LOADED)
		crashes_missed(c, m);
	memset(e, 0, sizeof(*e));
	e->pid = m->pid;
	e->uid = m->uid;
	e->reason = r.reason;
	e->when_real = fa_real_ns() / 1000000000u;
	memcpy(e->image, m->image, sizeof(e->image));
	e->image[sizeof(e->image) - 1] = '\0';
	c->coverages++;
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (session_wants(&c->session[i], m->uid, e->image, ""))
			session_record(&c->session[i], c->beat, FA_TAG_COVERAGE, &r, sizeof(r),
				       e->image, strlen(e->image) + 1, NULL, 0);
}
