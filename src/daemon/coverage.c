/*
 * coverage.c - why did a flagged program that started not ring?
 *
 * The doorman passes the executable, opened for reading; its bytes are the user's, so they are looked
 * at here, where there is nothing to win. What cannot be told from the file (another root, a sandbox,
 * not installed) is NOT_LOADED. Where the shim itself refused it has left a note, which comes along; where
 * it could not (no doorbell), `firstalloc status`, run by root, reads it from the process.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "collector/unseen.h"
#include "daemon/collector.h"

/* It comes as O_PATH. Not asked: a file system that a user may serve (it could keep us waiting), and
 * one that denies us to read. */
static uint32_t find_reason(const struct fa_msg_missed *m, int path_fd, int note_fd)
{
	struct fa_note note;
	char path[64];
	uint32_t r;
	int fd;

	if (note_fd >= 0 && pread(note_fd, &note, sizeof(note), 0) == (ssize_t)sizeof(note) &&
	    note.magic == FA_NOTE_MAGIC && fa_reason_is_refusal(note.reason))
		return note.reason;
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

static void add(struct collector *c, const struct fa_rec_coverage *r, const char *image)
{
	struct fa_status_coverage *e = &c->coverage[c->coverages++ % COVERAGE_MAX];

	memset(e, 0, sizeof(*e));
	e->pid = r->pid;
	e->uid = r->uid;
	e->reason = r->reason;
	e->when_real = fa_real_ns() / 1000000000u;
	(void)snprintf(e->image, sizeof(e->image), "%s", image);
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (session_wants(&c->session[i], r->uid, e->image, ""))
			session_record(&c->session[i], c->beat, FA_TAG_COVERAGE, r, sizeof(*r),
				       e->image, strlen(e->image) + 1, NULL, 0);
}

void coverage_missed(struct collector *c, const struct fa_msg_missed *m, const int fds[MSG_FDS])
{
	struct fa_rec_coverage r = {.pid = m->pid, .uid = m->uid};
	char image[FA_IMAGE_NAME];

	/* Those that there are come one after the other. */
	r.reason = m->reason != 0     ? m->reason
		   : c->info.off != 0 ? FA_REASON_OFF
		   : m->noted	      ? find_reason(m, fds[1], fds[0])
				      : find_reason(m, fds[0], -1);
	if (r.reason == FA_REASON_NOT_LOADED)
		crashes_missed(c, m);
	(void)snprintf(image, sizeof(image), "%.*s", FA_IMAGE_NAME - 1, m->image);
	add(c, &r, image);
}

void coverage_refused(struct collector *c, const struct fa_msg_arena *info)
{
	struct fa_rec_coverage r = {.pid = info->pid, .uid = info->uid, .reason = info->reason};

	add(c, &r, fa_base_name(info->exe));
}
