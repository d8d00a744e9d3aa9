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
	case FA_TAG_THREAD_LOST:
	case FA_TAG_THREAD_END:
	case FA_TAG_SNAPSHOT:
	case FA_TAG_BLOCKS:
	case FA_TAG_SNAPSHOT_END:
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
	uint64_t waiting;
	int e;

	if (s->error != 0 || s->w == NULL)
		return;
	head = session_ids(s, tag, head, head_len, copy);
	if (s->consumers != 0)
		consumers_record(s, tag, head, head_len, tail, tail_len, tail2, tail2_len);
	waiting = beat_wait(beat);
	e = fa_trace_write(s->w, tag, head, head_len, tail, tail_len, tail2, tail2_len);
	beat_go_on(beat, waiting);
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

void session_write_clock(struct collector *c, struct session *s)
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

uint32_t session_minimum_buffers(const struct session *s)
{
	return (s->o.log_file_mode & FA_LOG_BUFFERING) != 0 ? (uint32_t)(fa_session_ring_size(&s->o) / s->block_size)
							    : fa_session_minimum_buffers(&s->o);
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
		.minimum_buffers = session_minimum_buffers(s),
		.maximum_buffers = fa_session_maximum_buffers(o),
		.requested_buffer_size = o->buffer_size,
		.requested_minimum_buffers = o->minimum_buffers,
		.requested_maximum_buffers = o->maximum_buffers,
		.requested_flush_timer = o->flush_timer,
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

void session_write_preface(struct collector *c, struct session *s)
{
	struct one one = {s, c->beat};
	struct fa_sink sink = {.record = to_session, .ctx = &one};

	session_preface(c, s, &sink);
}

static struct session *free_session(struct collector *c)
{
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (!c->session[i].used) {
			memset(&c->session[i], 0, sizeof(c->session[i]));
			c->session[i].index = i;
			c->session[i].fd = -1;
			memset(c->session[i].files, -1, sizeof(c->session[i].files));
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

static void trim(const struct session *s)
{
	struct stat st;

	if ((s->o.log_file_mode & FA_LOG_PREALLOCATE) == 0 || fstat(s->fd, &st) < 0)
		return;
	if ((uint64_t)st.st_size < s->o.maximum_file_size)
		(void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, st.st_size,
				(off_t)s->o.maximum_file_size - st.st_size);
}

/* Of the files that it had, or was given: the one that is written. -errno: it cannot be. */
static int choose_file(struct collector *c, struct session *s, const struct fa_msg_session *want,
		       uint64_t *ret_keep)
{
	s->slot = want->file;
	for (int i = 0; i < FA_FILES_MAX; i++)
		s->file_count += s->files[i] >= 0;
	if ((s->o.log_file_mode & FA_LOG_NEWFILE) == 0)
		s->file_count = 1;
	if (s->files[s->slot] < 0 && ((s->o.log_file_mode & FA_LOG_BUFFERING) != 0 || fa_session_real_time_only(&s->o))) {
		s->fd = -1;
		if (make_ring(s) < 0)
			return -ENOMEM;
		s->files[s->slot] = s->fd;
	}
	s->files_begun = 1;
	if (want->resumed) {
		(void)journal_session(c, s, ret_keep);
		s->event_bytes = s->o.maximum_file_size; /* not known any more: enough */
	}
	s->committed_slot = s->slot;
	s->fd = s->files[s->slot];
	return s->fd < 0 ? -EBADF : 0;
}

static void flush(struct collector *c, struct session *s, bool sync)
{
	uint64_t waiting;
	int e;

	if (s->error != 0)
		return;
	waiting = beat_wait(c->beat);
	e = fa_trace_writer_flush(s->w);
	if (e == 0 && sync)
		fa_trace_writer_sync(s->w);
	beat_go_on(c->beat, waiting);
	if (e < 0)
		s->error = e;
}

static int open_trace(struct collector *c, struct session *s, const struct fa_msg_session *want)
{
	uint64_t keep = UINT64_MAX;
	uint64_t waiting;
	int e;

	waiting = beat_wait(c->beat);
	e = choose_file(c, s, want, &keep);
	if (e == 0)
		e = session_preallocate(s);
	if (e == 0)
		e = session_open_writer(c, s, want->resumed, keep);
	beat_go_on(c->beat, waiting);
	if (e < 0)
		return e;
	s->block_size = fa_trace_writer_block_size(s->w);
	if (!want->resumed) { /* what it goes on in was paid for, or is the header */
		s->paid = fa_trace_writer_bytes(s->w);
		session_write_preface(c, s);
	}
	flush(c, s, false); /* shows at once whether the disk takes it */
	return s->error;
}

/*
 * One clock for all that is recorded at a time: what the kernel trusts, as of the first of the sessions; who started with
 * another is refused, and that is said. One that goes on keeps its own. Families without a session are those of snapshots.
 */
static void choose_clock(struct collector *c, const struct fa_msg_session *want)
{
	uint32_t source = want->resumed ? want->clock_source : fa_drain_clock_now();

	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (c->session[i].used && !c->session[i].ended)
			return;
	if (c->families != 0 || source == c->clock_source)
		return;
	log_line("stamps are of the %s from now on", source == FA_CLOCK_TSC ? "TSC" : "monotonic clock");
	fa_drain_clock_use(source);
	c->clock_source = fa_drain_clock_source();
}

int session_open(struct collector *c, const struct fa_msg_session *want, int files[FA_FILES_MAX],
		 struct session **ret, const char **ret_what)
{
	struct session *s = free_session(c);
	int e;

	*ret_what = "no more sessions are possible";
	if (s == NULL)
		return -E2BIG;
	choose_clock(c, want);
	s->o = want->options;
	s->uid = want->uid;
	s->id = want->id ? want->id : fa_real_ns();
	s->started_real = want->started_real ? want->started_real : fa_real_ns();
	s->started_mono = s->flushed_ns = fa_mono_ns();
	s->events = want->events;
	s->lost = want->lost;
	s->in_memory = want->in_memory != 0;
	memcpy(s->files, files, sizeof(s->files));
	*ret_what = "its trace file";
	e = open_trace(c, s, want);
	if (e < 0) {
		fa_trace_writer_free(s->w);
		if (files[want->file] < 0)
			close_fds(&s->fd, 1);
		memset(s, 0, sizeof(*s));
		return e;
	}
	memset(files, -1, sizeof(s->files));
	session_name_file(s);
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
	uint64_t waiting;
	int e = 0;

	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (c->session[i].used && !c->session[i].ended && c->session[i].in_memory &&
		    c->session[i].id == id)
			s = &c->session[i];
	if (s == NULL)
		return -ENOENT;
	flush(c, s, false);
	waiting = beat_wait(c->beat);
	e = s->error != 0 ? s->error : fa_copy_file(s->fd, fd);
	beat_go_on(c->beat, waiting);
	if (e < 0)
		return e;
	tell_keeper(c, &m, FA_MSG_FILE, -1);
	if (dup3(fd, s->fd, O_CLOEXEC) < 0) { /* cannot be: both are open */
		s->error = -errno;
		return 0;
	}
	s->in_memory = false;
	(void)!session_preallocate(s); /* where there is no room the session ends when it comes to that */
	fa_trace_writer_moved(s->w, session_minimum_free(c, &s->o, s->fd));
	session_name_file(s);
	log_line("session %s goes on in %s", s->o.name, s->file);
	return 0;
}

void sessions_update_bytes(struct session *s)
{
	if (s->w == NULL || fa_session_real_time_only(&s->o))
		return;
	s->bytes = fa_trace_writer_bytes(s->w);
	s->written = s->before.bytes + s->bytes;
	if ((s->o.log_file_mode & FA_LOG_CIRCULAR) != 0 && s->bytes > s->o.maximum_file_size)
		s->bytes = s->o.maximum_file_size;
	if ((s->o.log_file_mode & FA_LOG_BUFFERING) != 0 && s->bytes > fa_session_ring_size(&s->o))
		s->bytes = fa_session_ring_size(&s->o);
	if ((s->o.log_file_mode & (FA_LOG_CIRCULAR | FA_LOG_BUFFERING)) == 0)
		s->bytes = s->written;
	s->blocks = s->before.blocks + fa_trace_writer_blocks(s->w);
	s->blocks_overwritten = s->before.blocks_overwritten + fa_trace_writer_overwritten(s->w);
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

int session_end_file(struct collector *c, struct session *s, const struct fa_rec_end *end)
{
	uint64_t waiting;
	int e;

	waiting = beat_wait(c->beat);
	e = fa_trace_writer_end(s->w, end, fa_end_reason_text(end->reason));
	if (e < 0) {
		s->blocks_lost++;
		log_line("session %s: its trace has no proper end: %s", s->o.name, fa_strerror(e));
	}
	trim(s);
	beat_go_on(c->beat, waiting);
	return e;
}

/* END and the last block. Whoever is still in the session was told to leave before. */
static void end_trace(struct collector *c, struct session *s)
{
	struct fa_rec_end end = {
		.stamp = fa_drain_stamp(c->clock_source),
		.events = s->events - s->before.events,
		.lost = s->lost - s->before.lost,
		.reason = s->end_reason,
		.error = s->end_error,
	};
	uint64_t waiting;
	int e;

	if (s->error == 0)
		session_write_clock(c, s);
	consumers_end(s, &end, fa_end_reason_text(s->end_reason));
	e = session_end_file(c, s, &end);
	if (e < 0 && s->end_error == 0)
		s->end_error = (uint32_t)-e;
	sessions_update_bytes(s);
	fa_trace_writer_free(s->w);
	s->w = NULL;
	waiting = beat_wait(c->beat);
	session_close_files(s);
	beat_go_on(c->beat, waiting);
}

int session_save(struct collector *c, struct session *s, int fd, uint64_t *ret_bytes)
{
	struct fa_rec_end end = {
		.stamp = fa_drain_stamp(c->clock_source),
		.events = s->events,
		.lost = s->lost,
		.reason = FA_END_SAVED,
	};
	uint64_t waiting;
	int e;

	families_drain_session(c, s);
	session_write_clock(c, s);
	flush(c, s, false);
	if (s->error != 0)
		return s->error;
	waiting = beat_wait(c->beat);
	e = fa_trace_save(s->fd, fd, session_minimum_free(c, &s->o, fd), &end,
			  fa_end_reason_text(FA_END_SAVED), ret_bytes);
	beat_go_on(c->beat, waiting);
	return e;
}

void session_keep(struct collector *c, const struct session *s)
{
	struct fa_part_msg m = {0};

	m.u.session.id = s->id;
	m.u.session.uid = s->uid;
	m.u.session.started_real = s->started_real;
	m.u.session.options = s->o;
	m.u.session.in_memory = s->in_memory;
	m.u.session.clock_source = c->clock_source;
	m.u.session.file = s->slot;
	tell_keeper(c, &m, FA_MSG_SESSION, s->fd);
}

void session_keep_all(struct collector *c, const struct session *s)
{
	struct fa_part_msg m = {.u.session.id = s->id};

	session_keep(c, s);
	for (uint32_t i = 0; i < FA_FILES_MAX; i++) {
		m.u.session.file = i;
		if (i != s->slot && s->files[i] >= 0)
			tell_keeper(c, &m, FA_MSG_SESSION_FILE, s->files[i]);
	}
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
	close_fds(s->files, FA_FILES_MAX);
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	memset(s->files, -1, sizeof(s->files));
}

/* All that sessions want, to the doorman's own copy. */
void sessions_say_wants(struct collector *c)
{
	struct fa_part_msg m = {0};
	struct fa_msg_wants *w = &m.u.wants;

	w->number = ++c->wants_number;
	w->clock_source = c->clock_source;
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
			session_write_clock(c, s);
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
