/*
 * sessions.c - traces being written: opening, clock and flush, the proper end.
 *
 * A session ends when it is stopped, or by itself: size limit, too little space, a write error, its
 * user's limit for written bytes. In the latter cases it stays in the list, with the reason, until somebody stops it.
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
#include "base/io.h"
#include "daemon/collector.h"
#include "format/index_format.h"
#include "trace/save.h"

/* A trace that waits for its folder takes no more: then the session ends, as on a full disk. */
enum { IN_MEMORY_MAX = 128 << 20 };

/* What is appended has ids of its own behind those that the file has. PASS names its family, too, but
 * only to tell sweeps apart. */
const void *session_ids(const struct session *s, unsigned tag, const void *head, size_t head_len,
			unsigned char copy[SHIFTED_MAX])
{
	struct fa_rec_process *p = (void *)copy;
	uint32_t *first = (void *)copy, by = s->o.first_id;

	if (by == 0 || head_len > SHIFTED_MAX)
		return head;
	memcpy(copy, head, head_len);
	switch (tag) {
	case FA_TAG_PROCESS:
		p->process += by;
		p->arena += by;
		p->parent += p->parent != 0 ? by : 0;
		return copy;
	case FA_TAG_PROCESS_END:
	case FA_TAG_THREAD:
	case FA_TAG_MODULE:
	case FA_TAG_NODES:
	case FA_TAG_EVENTS:
	case FA_TAG_CALLS:
	case FA_TAG_EXTENTS:
	case FA_TAG_LOST:
	case FA_TAG_THREAD_END:
		*first += by;
		return copy;
	default:
		return head;
	}
}

void session_record(struct session *s, struct beat *beat, unsigned tag, const void *head,
		    size_t head_len, const void *tail, size_t tail_len, const void *tail2,
		    size_t tail2_len)
{
	_Alignas(8) unsigned char copy[SHIFTED_MAX];
	int e;

	if (s->error != 0 || s->w == NULL)
		return;
	head = session_ids(s, tag, head, head_len, copy);
	if (s->consumers != 0)
		consumers_record(s, tag, head, head_len, tail, tail_len, tail2, tail2_len);
	/* A disk may keep us waiting for longer than the keeper's patience with silence. */
	atomic_store(&beat->writing_ns, fa_mono_ns());
	e = fa_trace_write(s->w, tag, head, head_len, tail, tail_len, tail2, tail2_len);
	atomic_store(&beat->writing_ns, 0);
	if (e < 0)
		s->error = e;
}

struct one {
	struct session *s;
	struct beat *beat;
};

static int to_session(void *ctx, unsigned tag, const void *head, size_t head_len, const void *tail,
		      size_t tail_len, const void *tail2, size_t tail2_len)
{
	struct one *o = ctx;

	session_record(o->s, o->beat, tag, head, head_len, tail, tail_len, tail2, tail2_len);
	return o->s->error;
}

static void write_clock(struct collector *c, struct session *s)
{
	struct one one = {s, c->beat};
	struct fa_sink sink = {.record = to_session, .ctx = &one};

	(void)!fa_drain_write_clock(&sink, c->clock_source); /* remembered in s->error */
}

static void options_text(const struct fa_session_options *o, char *buf, size_t size)
{
	int n = snprintf(buf, size, "policy=%s flush=%us", o->policy ? "count" : "wait",
			 o->flush_timer ? o->flush_timer : 1);

	for (uint32_t i = 0; i < o->image_count && n > 0 && (size_t)n < size; i++)
		n += snprintf(buf + n, size - (size_t)n, " image=%s", o->image[i]);
}

void session_preface(struct collector *c, const struct session *s, const struct fa_sink *sink)
{
	const struct fa_session_options *o = &s->o;
	char text[FA_SESSION_NAME + 1024];
	size_t name = strlen(o->name) + 1;
	struct fa_rec_session r = {
		.start_real = s->started_real,
		.uid = s->uid,
		.buffer_size = s->block_size,
		.minimum_buffers = o->minimum_buffers,
		.maximum_buffers = o->maximum_buffers,
		.flush_timer = o->flush_timer ? o->flush_timer : 1,
		.log_file_mode = o->log_file_mode,
		.maximum_file_size = o->maximum_file_size,
		.policy = o->policy,
		.autologger = (o->flags & FA_SESSION_AUTOLOGGER) != 0,
	};

	/* A sink remembers itself that it failed. */
	(void)!fa_drain_write_machine(sink, c->clock_source);
	memcpy(text, o->name, name);
	options_text(o, text + name, sizeof(text) - name);
	(void)sink->record(sink->ctx, FA_TAG_SESSION, &r, sizeof(r), text,
			   name + strlen(text + name) + 1, NULL, 0);
	(void)!fa_drain_write_clock(sink, c->clock_source);
}

static void write_preface(struct collector *c, struct session *s)
{
	struct one one = {s, c->beat};
	struct fa_sink sink = {.record = to_session, .ctx = &one};

	session_preface(c, s, &sink);
}

/* Default: the larger of 5 % of the file system and 1 GB must stay free. */
static uint64_t minimum_free(const struct collector *c, const struct fa_session_options *o, int fd)
{
	struct statvfs v;
	uint64_t five;

	if (o->minimum_free == ~0ull)
		return 0;
	if (o->minimum_free != 0)
		return o->minimum_free;
	if (c->settings->config.min_free != 0)
		return c->settings->config.min_free;
	if (fstatvfs(fd, &v) < 0)
		return 0;
	five = (uint64_t)v.f_blocks * v.f_frsize / 20;
	return five > 1u << 30 ? five : 1u << 30;
}

static struct session *free_session(struct collector *c)
{
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (!c->session[i].used) {
			memset(&c->session[i], 0, sizeof(c->session[i]));
			c->session[i].index = i;
			c->session[i].fd = -1;
			return &c->session[i];
		}
	return NULL;
}

/* A ring in memory is a circular trace in a file that nobody else can open. In real time alone it stays
 * empty: the keeper has it as the session's, for our successor. */
static int make_ring(struct session *s)
{
	s->fd = memfd_create("firstalloc-ring", MFD_CLOEXEC);
	if (s->fd < 0)
		return -errno;
	/* root could open it through /proc; nobody else is to */
	return fchmod(s->fd, 0) < 0 ? -errno : 0;
}

/* Room that is there for sure. It is not part of the file until it is written to. */
static int preallocate(const struct session *s)
{
	if ((s->o.log_file_mode & FA_LOG_PREALLOCATE) == 0 || s->in_memory)
		return 0;
	return fallocate(s->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)s->o.maximum_file_size) < 0 ? -errno
											   : 0;
}

static void trim(const struct session *s)
{
	struct stat st;

	if ((s->o.log_file_mode & FA_LOG_PREALLOCATE) == 0 || fstat(s->fd, &st) < 0)
		return;
	if ((uint64_t)st.st_size < s->o.maximum_file_size)
		(void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, st.st_size,
				(off_t)s->o.maximum_file_size - st.st_size);
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

static int open_writer(struct collector *c, struct session *s, bool resumed)
{
	const uint32_t mode = s->o.log_file_mode;
	uint64_t keep = UINT64_MAX;
	struct stat st;
	struct fa_trace_writer_options options = {
		.block_size = s->o.buffer_size < FA_BUFFER_SIZE_MAX ? s->o.buffer_size
								   : FA_BUFFER_SIZE_MAX,
		.codec = FA_CODEC_LZ4,
		.maximum_bytes = s->o.maximum_file_size,
		.circular = (mode & (FA_LOG_CIRCULAR | FA_LOG_BUFFERING)) != 0,
	};

	if (resumed)
		(void)journal_session(c, s, &keep);
	if (fa_session_real_time_only(&s->o))
		return open_no_writer(s);
	if (fstat(s->fd, &st) < 0)
		return -errno;
	/* A pipe must not block us: a reader that is too slow for a whole pipe ends the session. */
	if (S_ISFIFO(st.st_mode))
		(void)fcntl(s->fd, F_SETFL, O_NONBLOCK | O_WRONLY);
	else if ((mode & FA_LOG_BUFFERING) == 0 && !s->in_memory)
		options.minimum_free = minimum_free(c, &s->o, s->fd);
	if ((mode & FA_LOG_BUFFERING) != 0)
		options.maximum_bytes = fa_session_ring_size(&s->o);
	options.append = !resumed && (mode & FA_LOG_APPEND) != 0 && st.st_size > 0;
	if (resumed || options.append)
		return fa_trace_writer_resume(s->fd, &options, keep, &s->w);
	return fa_trace_writer_open(s->fd, &options, &s->w);
}

static void name_file(struct session *s)
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

static void flush(struct collector *c, struct session *s, bool sync)
{
	int e;

	if (s->error != 0)
		return;
	atomic_store(&c->beat->writing_ns, fa_mono_ns());
	e = fa_trace_writer_flush(s->w);
	if (e == 0 && sync)
		fa_trace_writer_sync(s->w);
	atomic_store(&c->beat->writing_ns, 0);
	if (e < 0)
		s->error = e;
}

/* fd is taken over on success. */
int session_open(struct collector *c, const struct fa_msg_session *want, int fd,
		 struct session **ret, const char **ret_what)
{
	struct session *s = free_session(c);
	int e;

	*ret_what = "no more sessions are possible";
	if (s == NULL)
		return -E2BIG;
	s->o = want->options;
	s->uid = want->uid;
	s->id = want->id ? want->id : fa_real_ns();
	s->started_real = want->started_real ? want->started_real : fa_real_ns();
	s->started_mono = s->flushed_ns = fa_mono_ns();
	s->events = want->events;
	s->lost = want->lost;
	s->in_memory = want->in_memory != 0;
	s->fd = fd;
	*ret_what = "its trace file";
	e = fd < 0 && ((s->o.log_file_mode & FA_LOG_BUFFERING) != 0 || fa_session_real_time_only(&s->o))
		    ? make_ring(s)
		    : 0;
	/* A disk, or who serves its files, may take its time with these, too. */
	atomic_store(&c->beat->writing_ns, fa_mono_ns());
	if (e == 0)
		e = preallocate(s);
	if (e == 0)
		e = open_writer(c, s, want->resumed);
	atomic_store(&c->beat->writing_ns, 0);
	if (e == 0) {
		s->block_size = fa_trace_writer_block_size(s->w);
		if (!want->resumed) /* what it goes on in was paid for, or is the header */
			s->paid = fa_trace_writer_bytes(s->w);
	}
	if (e == 0 && !want->resumed)
		write_preface(c, s);
	if (e == 0) /* shows at once whether the disk takes it */
		flush(c, s, false);
	if (e == 0)
		e = s->error;
	if (e < 0) {
		fa_trace_writer_free(s->w);
		if (fd < 0)
			close_fds(&s->fd, 1);
		memset(s, 0, sizeof(*s));
		return e;
	}
	name_file(s);
	s->used = true;
	*ret = s;
	return 0;
}

/*
 * A session of which the trace began in memory, because its folder could not be written to yet. The keeper hears of it
 * before a byte more is written: should we die in between, both files hold the same, whichever our successor gets.
 */
int session_move(struct collector *c, uint64_t id, int fd)
{
	struct fa_part_msg m = {.u.file.session = id};
	struct session *s = NULL;
	int e = 0;

	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (c->session[i].used && !c->session[i].ended && c->session[i].in_memory &&
		    c->session[i].id == id)
			s = &c->session[i];
	if (s == NULL)
		return -ENOENT;
	flush(c, s, false);
	atomic_store(&c->beat->writing_ns, fa_mono_ns());
	e = s->error != 0 ? s->error : fa_copy_file(s->fd, fd);
	atomic_store(&c->beat->writing_ns, 0);
	atomic_store(&c->beat->alive_ns, fa_mono_ns());
	if (e < 0)
		return e;
	tell_keeper(c, &m, FA_MSG_FILE, -1);
	if (dup3(fd, s->fd, O_CLOEXEC) < 0) { /* cannot be: both are open */
		s->error = -errno;
		return 0;
	}
	s->in_memory = false;
	(void)preallocate(s); /* where there is no room the session ends when it comes to that */
	fa_trace_writer_moved(s->w, minimum_free(c, &s->o, s->fd));
	name_file(s);
	log_line("session %s goes on in %s", s->o.name, s->file);
	return 0;
}

void sessions_update_bytes(struct session *s)
{
	if (s->w == NULL || fa_session_real_time_only(&s->o))
		return;
	s->bytes = s->written = fa_trace_writer_bytes(s->w);
	if ((s->o.log_file_mode & FA_LOG_CIRCULAR) != 0 && s->bytes > s->o.maximum_file_size)
		s->bytes = s->o.maximum_file_size;
	if ((s->o.log_file_mode & FA_LOG_BUFFERING) != 0 && s->bytes > fa_session_ring_size(&s->o))
		s->bytes = fa_session_ring_size(&s->o);
	s->blocks = fa_trace_writer_blocks(s->w);
	s->blocks_overwritten = fa_trace_writer_overwritten(s->w);
}

static uint32_t reason_of(int error)
{
	switch (error) {
	case 0:
		return 0;
	case -E2BIG:
		return 1;
	case -ENOSPC:
		return 2;
	default:
		return 3;
	}
}

/* END and the last block. Whoever is still in the session was told to leave before. */
static void end_trace(struct collector *c, struct session *s)
{
	struct fa_rec_end end = {
		.stamp = fa_drain_stamp(c->clock_source),
		.events = s->events,
		.lost = s->lost,
		.reason = s->end_reason,
		.error = s->end_error,
	};
	int e;

	if (s->error == 0)
		write_clock(c, s);
	consumers_end(s, &end, fa_end_reason_text(s->end_reason));
	atomic_store(&c->beat->writing_ns, fa_mono_ns());
	e = fa_trace_writer_end(s->w, &end, fa_end_reason_text(s->end_reason));
	atomic_store(&c->beat->writing_ns, 0);
	atomic_store(&c->beat->alive_ns, fa_mono_ns());
	if (e < 0) {
		s->blocks_lost++;
		log_line("session %s: its trace has no proper end: %s", s->o.name, fa_strerror(e));
		if (s->end_error == 0)
			s->end_error = (uint32_t)-e;
	}
	sessions_update_bytes(s);
	trim(s);
	fa_trace_writer_free(s->w);
	s->w = NULL;
	close_fds(&s->fd, 1);
}

int session_save(struct collector *c, struct session *s, int fd, uint64_t *ret_bytes)
{
	struct fa_rec_end end = {
		.stamp = fa_drain_stamp(c->clock_source),
		.events = s->events,
		.lost = s->lost,
		.reason = FA_END_SAVED,
	};
	int e;

	families_drain_session(c, s);
	write_clock(c, s);
	flush(c, s, false);
	if (s->error != 0)
		return s->error;
	atomic_store(&c->beat->writing_ns, fa_mono_ns());
	e = fa_trace_save(s->fd, fd, minimum_free(c, &s->o, fd), &end,
			  fa_end_reason_text(FA_END_SAVED), ret_bytes);
	atomic_store(&c->beat->writing_ns, 0);
	atomic_store(&c->beat->alive_ns, fa_mono_ns());
	return e;
}

void session_keep(struct collector *c, const struct session *s)
{
	struct fa_part_msg m = {0};

	m.u.session.id = s->id;
	m.u.session.uid = s->uid;
	m.u.session.started_real = s->started_real;
	m.u.session.options = s->o;
	tell_keeper(c, &m, FA_MSG_SESSION, s->fd);
}

static void say_over(struct collector *c, const struct session *s)
{
	struct fa_part_msg m = {.u.session.id = s->id};

	tell_keeper(c, &m, FA_MSG_SESSION_OVER, -1);
}

void session_stop(struct collector *c, struct session *s, uint32_t reason)
{
	if (s->ended)
		return;
	families_drain_session(c, s);
	/* An error that came only now counts as the reason. */
	s->end_reason = s->error ? reason_of(s->error) : reason;
	s->end_error = s->end_reason == 3 ? (uint32_t)-s->error : 0;
	families_leave(c, s, FA_REASON_ENDED);
	end_trace(c, s);
	(void)written_too_much(c, s, fa_mono_ns()); /* its end is paid for, too */
	s->ended = true;
	say_over(c, s); /* a successor of ours is not to go on with it */
	sessions_say_wants(c);
	log_line("session %s ended: %s, %llu events, %llu lost", s->o.name,
		 fa_end_reason_text(s->end_reason), (unsigned long long)s->events,
		 (unsigned long long)s->lost);
}

void session_forget(struct session *s)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}

/* All that sessions want, to the doorman's own copy. */
void sessions_say_wants(struct collector *c)
{
	struct fa_part_msg m = {0};
	struct fa_msg_wants *w = &m.u.wants;

	w->number = ++c->wants_number;
	for (unsigned i = 0; i < FA_SESSIONS_MAX && !c->stopping && c->info.off == 0; i++) {
		const struct session *s = &c->session[i];

		if (!s->used || s->ended)
			continue;
		w->want[w->count].id = s->id;
		w->want[w->count].named_only = (s->o.flags & FA_SESSION_PIDS) != 0;
		w->want[w->count].uid = (s->o.flags & FA_SESSION_USER) ? s->uid : FA_USER_ANY;
		w->want[w->count++].policy = s->o.policy;
	}
	c->wants_sent_ns = fa_mono_ns();
	if (c->peer_fd >= 0)
		(void)msg_send(c->peer_fd, &m, FA_MSG_WANTS, NULL, 0);
}

/* To the kernel; to the disk at FlushTimer. */
void sessions_write_out(struct collector *c)
{
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (c->session[i].used && !c->session[i].ended)
			flush(c, &c->session[i], false);
}

/* Each turn: sessions that failed are ended. Each second: clock. Each FlushTimer: write out. */
void sessions_turn(struct collector *c, uint64_t now)
{
	bool second = now - c->second_ns >= 1000000000u;

	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++) {
		struct session *s = &c->session[i];
		uint64_t timer = (s->o.flush_timer ? s->o.flush_timer : 1) * 1000000000ull;

		if (!s->used || s->ended)
			continue;
		if (second)
			write_clock(c, s);
		if (now - s->flushed_ns >= timer) {
			flush(c, s, true);
			s->flushed_ns = now;
			c->commit_due = true;
		}
		if (s->in_memory && fa_trace_writer_bytes(s->w) > IN_MEMORY_MAX)
			s->error = -ENOSPC;
		if (s->error != 0)
			session_stop(c, s, reason_of(s->error));
		else if (written_too_much(c, s, now))
			session_stop(c, s, 5);
	}
	if (second) {
		c->second_ns = now;
		dormant_check(c);
	}
}
