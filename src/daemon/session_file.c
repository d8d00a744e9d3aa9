/*
 * session_file.c - the file that a session writes: opened, gone on with, followed by another.
 *
 * Each file is a trace of its own: when a session goes on in another one, the processes end in the old file, and
 * the new one begins with all that is known of them. Which file is written is part of a commit (journal.c): until
 * then a successor of ours cuts the old one to where it was, and goes on there.
 *
 * newfile. The client opens all files when it starts the session, a bounded number: neither the collector, which
 * reads hostile bytes, nor the keeper need the right to make files where a user says, and what cannot be made is
 * refused at the start. When the last one is full the first is emptied and written again, as with FileMax in ETW. A
 * switch may come in the middle of a sweep, so that a file stays below MaximumFileSize. A file that has no room
 * for more than definitions would be followed by the next at once, and so on: at least a quarter of
 * MaximumFileSize of events goes into each.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "collector/effective.h"
#include "daemon/collector.h"

enum { END_ROOM = 64 << 10 }; /* newfile: for the ends of the processes */

/* Default: the larger of 5 % of the file system and 1 GB must stay free. */
uint64_t session_minimum_free(const struct collector *c, const struct fa_session_options *o, int fd)
{
	struct statvfs v;

	return fa_minimum_free(o->minimum_free, c->settings->config.min_free,
			       fstatvfs(fd, &v) < 0 ? NULL : &v);
}

/* Room that is there for sure. It is not part of the file until it is written to. */
int session_preallocate(const struct session *s)
{
	if ((s->o.log_file_mode & FA_LOG_PREALLOCATE) == 0 || s->in_memory)
		return 0;
	return fallocate(s->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)s->o.maximum_file_size) < 0 ? -errno
											   : 0;
}

static int forget_it(void *ctx, const void *data, size_t len)
{
	(void)ctx;
	(void)data;
	(void)len;
	return 0;
}

/* In real time alone: only who reads along gets anything. */
static int open_no_writer(struct session *s)
{
	const struct fa_trace_writer_options options = {
		.block_size = s->o.buffer_size < FA_BUFFER_SIZE_MAX ? s->o.buffer_size : FA_BUFFER_SIZE_MAX,
		.codec = FA_CODEC_RAW,
		.put = forget_it,
	};

	return fa_trace_writer_open(-1, &options, &s->w);
}

int session_open_writer(struct collector *c, struct session *s, bool resumed, uint64_t keep)
{
	const uint32_t mode = s->o.log_file_mode;
	struct stat st;
	struct fa_trace_writer_options options = {
		.block_size = s->o.buffer_size < FA_BUFFER_SIZE_MAX ? s->o.buffer_size
								    : FA_BUFFER_SIZE_MAX,
		.codec = FA_CODEC_LZ4,
		/* newfile looks after it itself: the writer would refuse what does not fit */
		.maximum_bytes = (mode & FA_LOG_NEWFILE) != 0 ? 0 : s->o.maximum_file_size,
		.circular = (mode & (FA_LOG_CIRCULAR | FA_LOG_BUFFERING)) != 0,
	};

	if (fa_session_real_time_only(&s->o))
		return open_no_writer(s);
	if (fstat(s->fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && (s->o.flags & FA_SESSION_PACK_LATER) != 0)
		options.codec = FA_CODEC_RAW;
	/* A pipe must not block us: a reader that is too slow for a whole pipe ends the session. */
	if (S_ISFIFO(st.st_mode))
		(void)fcntl(s->fd, F_SETFL, O_NONBLOCK | O_WRONLY);
	else if ((mode & FA_LOG_BUFFERING) == 0 && !s->in_memory)
		options.minimum_free = session_minimum_free(c, &s->o, s->fd);
	if ((mode & FA_LOG_BUFFERING) != 0)
		options.maximum_bytes = fa_session_ring_size(&s->o);
	options.append = !resumed && (mode & FA_LOG_APPEND) != 0 && st.st_size > 0;
	if (resumed || options.append)
		return fa_trace_writer_resume(s->fd, &options, keep, &s->w);
	return fa_trace_writer_open(s->fd, &options, &s->w);
}

void session_name_file(struct session *s)
{
	char path[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
	n = readlink(path, s->file, sizeof(s->file) - 1);
	s->file[n > 0 ? n : 0] = '\0';
	if ((s->o.log_file_mode & FA_LOG_BUFFERING) != 0 || s->in_memory)
		(void)snprintf(s->file, sizeof(s->file), "(memory)");
	if (fa_session_real_time_only(&s->o))
		(void)snprintf(s->file, sizeof(s->file), "(real time)");
}

/* Those that it never came to stay until it is forgotten: whoever stops it gets them. */
void session_close_files(struct session *s)
{
	uint32_t used = s->files_begun;

	if ((s->o.log_file_mode & FA_LOG_NEWFILE) == 0 || used > FA_FILES_MAX)
		used = FA_FILES_MAX;
	close_fds(s->files, (int)used);
	s->fd = -1;
}

/* --- from one file to the next -------------------------------------------------------------------- */

static bool is_in(const struct session *s, const struct family *fam)
{
	return (fam->mask >> s->index & 1) != 0;
}

/* The old file, while s->w is its writer. */
static void end_file(struct collector *c, struct session *s)
{
	struct fa_rec_end end = {
		.stamp = fa_drain_stamp(c->clock_source),
		.events = s->events - s->before.events,
		.lost = s->lost - s->before.lost,
		.reason = FA_END_NEXT,
	};

	for (size_t i = 0; i < c->families; i++)
		if (is_in(s, c->family[i]))
			family_end_in(c, c->family[i], s, FA_PROCESS_END_SESSION);
	session_write_clock(c, s);
	(void)session_end_file(c, s, &end); /* it is said, and the next one may do better */
	sessions_update_bytes(s);
	s->before =
		(struct in_files){s->events, s->lost, s->written, s->blocks, s->blocks_overwritten};
	fa_trace_writer_free(s->w);
	s->w = NULL;
}

/* The new one. What goes wrong is remembered in the session. */
static void begin_file(struct collector *c, struct session *s)
{
	uint32_t processes = s->processes; /* they are seen for the first time by the file only */

	s->files_begun++;
	s->event_bytes = 0;
	session_name_file(s);
	session_write_preface(c, s);
	for (size_t i = 0; i < c->families; i++)
		if (is_in(s, c->family[i])) {
			(void)!family_describe(c->family[i], s);
			c->family[i]->dirty = true;
		}
	s->processes = processes;
	c->commit_due = true;
}

/* The writer of the new file is there before the old one ends: if that fails, nothing has changed. */
static int go_on(struct collector *c, struct session *s, uint32_t slot)
{
	struct fa_trace_writer *old = s->w;
	int e, old_fd = s->fd;

	s->w = NULL;
	s->fd = s->files[slot];
	e = session_preallocate(s);
	if (e == 0)
		e = session_open_writer(c, s, false, UINT64_MAX);
	if (e < 0) {
		s->w = old;
		s->fd = old_fd;
		return e;
	}
	struct fa_trace_writer *new = s->w;
	uint32_t consumers = s->consumers;

	s->w = old;
	s->fd = old_fd;
	s->consumers = 0; /* who reads along sees one stream */
	end_file(c, s);
	s->w = new;
	s->slot = slot;
	s->fd = s->files[slot];
	begin_file(c, s);
	s->consumers = consumers;
	return 0;
}

void session_make_room(struct collector *c, struct session *s, struct family *fam, size_t len)
{
	uint32_t next = s->file_count == 0 ? 0 : (s->slot + 1) % s->file_count;
	int e;

	if ((s->o.log_file_mode & FA_LOG_NEWFILE) == 0 || s->error != 0 || s->w == NULL)
		return;
	s->event_bytes += len;
	if (s->event_bytes - len < s->o.maximum_file_size / 4 ||
	    fa_trace_writer_fits(s->w, len, END_ROOM, s->o.maximum_file_size))
		return;
	/* All are written already since the last commit, which a successor would go back to: the next turn. */
	if (next == s->committed_slot)
		return;
	family_count(fam);
	e = ftruncate(s->files[next], 0) < 0 || lseek(s->files[next], 0, SEEK_SET) < 0 ? -errno : 0;
	if (e == 0)
		e = go_on(c, s, next);
	if (e < 0)
		s->error = e;
	s->event_bytes += len;
	session_keep(c, s);
}

int session_take_file(struct collector *c, struct session *s, int *fd)
{
	uint32_t slot = (s->slot + 1) % FA_FILES_MAX, old = s->slot;
	struct fa_part_msg m = {.u.session = {.id = s->id, .file = slot}};
	int e;

	close_fds(&s->files[slot], 1);
	s->files[slot] = *fd;
	tell_keeper(c, &m, FA_MSG_SESSION_FILE, *fd);
	e = go_on(c, s, slot);
	if (e < 0) {
		s->files[slot] = -1;
		tell_keeper(c, &m, FA_MSG_SESSION_FILE, -1);
		return e;
	}
	*fd = fa_take_fd(&s->files[old]); /* the keeper has it, too, until the commit */
	return 0;
}

void session_drop_others(struct collector *c, struct session *s)
{
	for (uint32_t i = 0; i < FA_FILES_MAX && (s->o.log_file_mode & FA_LOG_NEWFILE) == 0; i++)
		if (i != s->slot && s->files[i] >= 0) {
			close_fds(&s->files[i], 1);
			session_drop_file(c, s, i);
		}
}

void session_drop_file(struct collector *c, struct session *s, uint32_t slot)
{
	struct fa_part_msg m = {.u.session = {.id = s->id, .file = slot}};

	tell_keeper(c, &m, FA_MSG_SESSION_FILE, -1);
}
