/* status.c - what `firstalloc status` shows: sessions, processes, coverage, as the caller may see. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "daemon/collector.h"

/* Those in which programs record for this session. */
static void count_buffers(const struct collector *c, const struct session *s,
			  struct fa_status_session *e)
{
	for (size_t i = 0; i < c->families; i++) {
		uint32_t unused;

		if (!(c->family[i]->mask >> s->index & 1))
			continue;
		e->number_of_buffers += fa_family_buffers(c->family[i]->f, &unused);
		e->free_buffers += unused;
	}
}

static void add_session(struct fa_buf *b, const struct collector *c, struct session *s)
{
	struct fa_status_session e = {
		.id = s->id,
		.flags = s->o.flags,
		.uid = s->uid,
		.policy = s->o.policy,
		.state = s->ended ? FA_SESSION_ENDED : FA_SESSION_RUNNING,
		.end_reason = s->end_reason,
		.end_error = s->end_error,
		.image_count = s->o.image_count,
		.processes = s->processes,
		.events = s->events,
		.events_lost = s->lost,
		.log_buffers_lost = s->blocks_lost,
		.real_time_buffers_lost = s->real_time_buffers_lost,
		.real_time_events_lost = s->real_time_events_lost,
		.consumers = s->consumers,
		.started_real = s->started_real / 1000000000u,
		.requested_buffer_size = s->o.buffer_size,
		.requested_flush_timer = s->o.flush_timer,
		.requested_minimum_buffers = s->o.minimum_buffers,
		.requested_maximum_buffers = s->o.maximum_buffers,
		.buffer_size = s->block_size,
		.log_file_mode = s->o.log_file_mode,
		.index = s->index,
		.flush_timer = s->o.flush_timer ? s->o.flush_timer : 1,
		.minimum_buffers = session_minimum_buffers(s),
		.maximum_buffers = fa_session_maximum_buffers(&s->o),
		.maximum_file_size = s->o.maximum_file_size,
		.files = s->file_count,
		.files_begun = s->files_begun,
	};

	sessions_update_bytes(s);
	e.bytes = s->bytes;
	e.buffers_written = s->blocks;
	e.buffers_overwritten = s->blocks_overwritten;
	count_buffers(c, s, &e);
	memcpy(e.lost_by, s->lost_by, sizeof(e.lost_by));
	memcpy(e.name, s->o.name, sizeof(e.name));
	memcpy(e.image, s->o.image, sizeof(e.image));
	memcpy(e.file, s->file, sizeof(e.file));
	fa_buf_add(b, &e, sizeof(e));
}

static bool is_shown(const struct family *fam, size_t i, const struct client *cl)
{
	struct fa_family_process p;

	fa_family_process_at(fam->f, i, &p);
	return p.live && (cl->system || fam->info.uid == cl->uid);
}

static uint32_t add_family(struct fa_buf *b, const struct family *fam, const struct client *cl,
			   uint32_t room)
{
	uint32_t n = 0;

	for (size_t i = 0; i < fa_family_processes(fam->f) && n < room; i++) {
		struct fa_status_process e = {.state = FA_STATUS_TRACED,
					      .reason = FA_REASON_TRACED};
		struct fa_family_process p;

		if (!is_shown(fam, i, cl))
			continue;
		fa_family_process_at(fam->f, i, &p);
		e.pid = p.pid;
		e.uid = p.uid;
		e.events = p.events;
		e.bytes = p.bytes;
		e.sessions = fam->mask;
		memcpy(e.lost_by, p.lost, sizeof(e.lost_by));
		for (int k = 0; k < FA_LOST_CAUSES; k++)
			e.lost += p.lost[k];
		strncpy(e.image, fa_base_name(p.image), sizeof(e.image) - 1);
		fa_buf_add(b, &e, sizeof(e));
		n++;
	}
	return n;
}

/* Of the process that stands at `process` in the status. */
static uint32_t add_threads_of(struct fa_buf *b, const struct family *fam, size_t i, uint32_t process, uint32_t room)
{
	uint32_t n = 0;

	for (size_t k = 0; k < fa_family_threads(fam->f, i) && n < room; k++) {
		struct fa_status_thread e = {.process = process};
		struct fa_family_thread t;

		fa_family_thread_at(fam->f, i, k, &t);
		e.thread = t.thread;
		e.tid = t.tid;
		e.events = t.events;
		memcpy(e.lost_by, t.lost, sizeof(e.lost_by));
		for (int c = 0; c < FA_LOST_CAUSES; c++)
			e.lost += t.lost[c];
		memcpy(e.name, t.name, sizeof(e.name));
		fa_buf_add(b, &e, sizeof(e));
		n++;
	}
	return n;
}

/* In the order of add_processes(). */
static uint32_t add_threads(struct fa_buf *b, const struct collector *c, const struct client *cl)
{
	uint32_t n = 0, process = 0;

	for (size_t f = 0; f < c->families; f++)
		for (size_t i = 0; i < fa_family_processes(c->family[f]->f); i++) {
			if (process == FA_STATUS_MAX)
				return n;
			if (is_shown(c->family[f], i, cl))
				n += add_threads_of(b, c->family[f], i, process++, FA_STATUS_MAX - n);
		}
	return n;
}

static uint32_t add_processes(struct fa_buf *b, const struct collector *c, const struct client *cl)
{
	uint32_t n = 0;

	for (size_t i = 0; i < c->families && n < FA_STATUS_MAX; i++)
		n += add_family(b, c->family[i], cl, FA_STATUS_MAX - n);
	for (size_t i = 0; i < c->dormants && n < FA_STATUS_MAX; i++) {
		const struct dormant *d = &c->dormant[i];
		struct fa_status_process e = {
			.pid = d->pid, .uid = d->uid, .state = d->state, .reason = d->reason};

		if (!cl->system && d->uid != cl->uid)
			continue;
		memcpy(e.image, d->image, sizeof(e.image));
		fa_buf_add(b, &e, sizeof(e));
		n++;
	}
	return n;
}

static uint32_t add_coverage(struct fa_buf *b, const struct collector *c, const struct client *cl)
{
	size_t first = c->coverages > COVERAGE_MAX ? c->coverages - COVERAGE_MAX : 0;
	uint32_t n = 0;

	for (size_t i = first; i < c->coverages; i++) {
		const struct fa_status_coverage *e = &c->coverage[i % COVERAGE_MAX];

		if (!cl->system && e->uid != cl->uid)
			continue;
		fa_buf_add(b, e, sizeof(*e));
		n++;
	}
	return n;
}

/* The reader gets a descriptor that nobody can change any more. */
static int to_memfd(const struct fa_buf *b)
{
	int fd = memfd_create("firstalloc-status", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int e;

	if (fd < 0)
		return -errno;
	e = fa_write_all(fd, b->data, b->len);
	if (e < 0) {
		close(fd);
		return e;
	}
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	return fd;
}

int status_build(struct collector *c, const struct client *cl, bool threads)
{
	struct fa_status_header h = {
		.magic = FA_CONTROL_MAGIC,
		.version = FA_CONTROL_VERSION,
		.unknown_starts = c->blind.unknown_starts,
		.connector = c->blind.connector,
		.bell = c->wants_done == c->wants_number,
		.started_real = c->info.started_real,
		.run = c->info.run,
		.keeper_pid = c->info.keeper_pid,
		.doorman_pid = c->info.doorman_pid,
		.collector_pid = getpid(),
		.restarts = c->info.restarts,
		.system = cl->system,
	};
	struct fa_buf b = {0};
	int r;

	dormant_check(c);
	fa_buf_add(&b, &h, sizeof(h));
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++) {
		struct session *s = &c->session[i];

		if (!s->used || (!cl->system && s->uid != cl->uid))
			continue;
		add_session(&b, c, s);
		h.sessions++;
	}
	h.processes = add_processes(&b, c, cl);
	h.coverage = add_coverage(&b, c, cl);
	h.consumers = consumers_status(&b, cl);
	h.threads = threads ? add_threads(&b, c, cl) : 0;
	r = b.error;
	if (r == 0) {
		memcpy(b.data, &h, sizeof(h));
		r = to_memfd(&b);
	}
	fa_buf_done(&b);
	return r;
}
