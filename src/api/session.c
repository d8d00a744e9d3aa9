/*
 * session.c - sessions of firstallocd, in the words of StartHeapTrace and ControlTrace.
 *
 * A handle is the session's id in firstallocd, so it holds in any process. Each call has a connection of
 * its own: there is no state here that threads or a fork could share.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_internal.h"
#include "base/err.h"
#include "base/io.h"
#include "client/attach.h"
#include "client/client.h"
#include "format/index_format.h"

enum { KB = 1024, MB = 1 << 20 };

/* ---- errors ---- */

int fa_api_fail_to_ask(int e)
{
	switch (e) {
	case -ENOENT:
	case -ECONNREFUSED:
		return fa_api_fail(FA_ERROR_NO_DAEMON, "no firstallocd is running");
	case -ETIMEDOUT:
		return fa_api_fail(FA_ERROR_NO_DAEMON, "firstallocd does not answer");
	case -ECONNRESET:
	case -EPIPE:
		return fa_api_fail(FA_ERROR_NO_DAEMON, "firstallocd closed the connection");
	case -EACCES:
	case -EPERM:
		return fa_api_fail(FA_ERROR_ACCESS_DENIED, "firstallocd: %s", fa_strerror(e));
	case -ENOMEM:
		return fa_api_fail(FA_ERROR_OUT_OF_MEMORY, "out of memory");
	default:
		return fa_api_fail(FA_ERROR_SYSTEM, "firstallocd: %s", fa_strerror(e));
	}
}

static int error_of_reply(int e)
{
	switch (e) {
	case EEXIST:
		return FA_ERROR_ALREADY_EXISTS;
	case EINVAL:
		return FA_ERROR_INVALID_PARAMETER;
	case ENOMEM:
		return FA_ERROR_OUT_OF_MEMORY;
	case EACCES:
	case EPERM:
		return FA_ERROR_ACCESS_DENIED;
	case ENOENT:
		return FA_ERROR_NO_SUCH_SESSION;
	case ESRCH:
		return FA_ERROR_NO_SUCH_PROCESS;
	case ENOSPC:
		return FA_ERROR_DISK_FULL;
	case E2BIG:
	case EDQUOT:
		return FA_ERROR_TOO_MANY_SESSIONS;
	case EOPNOTSUPP:
		return FA_ERROR_NOT_SUPPORTED;
	case ESHUTDOWN:
	case ECONNRESET:
	case EPIPE:
		return FA_ERROR_NO_DAEMON;
	default:
		return FA_ERROR_SYSTEM;
	}
}

int fa_api_fail_reply(const struct fa_control_reply *r)
{
	return fa_api_fail(error_of_reply(r->error), "%s",
			   r->text[0] != '\0' ? r->text : fa_strerror(-r->error));
}

int fa_api_fail_to_open(const char *path, int e)
{
	switch (e) {
	case -EEXIST:
		return fa_api_fail(FA_ERROR_BAD_PATH,
				   "%s exists already; a trace is never overwritten", path);
	case -ENOENT:
	case -ENOTDIR:
	case -EISDIR:
	case -ELOOP:
	case -ENAMETOOLONG:
		return fa_api_fail(FA_ERROR_BAD_PATH, "%s: %s", path, fa_strerror(e));
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return fa_api_fail(FA_ERROR_ACCESS_DENIED, "%s: %s", path, fa_strerror(e));
	case -ENOSPC:
	case -EDQUOT:
		return fa_api_fail(FA_ERROR_DISK_FULL, "%s: %s", path, fa_strerror(e));
	case -ENOMEM:
		return fa_api_fail(FA_ERROR_OUT_OF_MEMORY, "%s: %s", path, fa_strerror(e));
	default:
		return fa_api_fail(FA_ERROR_SYSTEM, "%s: %s", path, fa_strerror(e));
	}
}

/* ---- what comes in ---- */

int fa_api_check_properties(const struct fa_trace_properties *p)
{
	if (p == NULL)
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER, "no properties");
	if (p->size != sizeof(*p))
		return fa_api_fail(FA_ERROR_BAD_LENGTH,
				   "properties of %u bytes, %zu are expected: set `size`", p->size,
				   sizeof(*p));
	return FA_OK;
}

int fa_api_check_name(const char *name)
{
	if (name == NULL || !fa_session_name_ok(name))
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER,
				   "no session name: letters, digits and . _ - @ +, at most %d",
				   FA_SESSION_NAME - 1);
	return FA_OK;
}

static int check_mode(uint32_t mode)
{
	const uint32_t known = FA_TRACE_MODE_SEQUENTIAL | FA_TRACE_MODE_CIRCULAR |
			       FA_TRACE_MODE_APPEND | FA_TRACE_MODE_NEWFILE |
			       FA_TRACE_MODE_PREALLOCATE | FA_TRACE_MODE_REAL_TIME |
			       FA_TRACE_MODE_BUFFERING;
	/* Those that say where the events go exclude each other; append is sequential. */
	const uint32_t place = mode & (FA_TRACE_MODE_CIRCULAR | FA_TRACE_MODE_NEWFILE |
				       FA_TRACE_MODE_BUFFERING | FA_TRACE_MODE_APPEND);

	if ((mode & ~known) != 0)
		return fa_api_fail(FA_ERROR_INVALID_FLAGS, "log_file_mode: no such bits: 0x%x",
				   mode & ~known);
	if ((place & (place - 1)) != 0 ||
	    ((mode & FA_TRACE_MODE_SEQUENTIAL) != 0 &&
	     (place & ~(uint32_t)FA_TRACE_MODE_APPEND) != 0))
		return fa_api_fail(FA_ERROR_INVALID_FLAGS,
				   "log_file_mode 0x%x: these exclude each other", mode);
	if ((mode & ~(uint32_t)(FA_TRACE_MODE_SEQUENTIAL | FA_TRACE_MODE_CIRCULAR |
				FA_TRACE_MODE_NEWFILE | FA_TRACE_MODE_PREALLOCATE |
				FA_TRACE_MODE_REAL_TIME)) != 0)
		return fa_api_fail(FA_ERROR_NOT_SUPPORTED,
				   "log_file_mode 0x%x: from C there are sequential, circular, newfile, "
				   "real time and preallocation so far",
				   mode);
	return FA_OK;
}

int fa_api_check_pids(const uint32_t *pids, uint32_t count)
{
	if (count != 0 && pids == NULL)
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER, "pids is NULL, its count is not 0");
	return FA_OK;
}

bool fa_api_wants_flagged(const uint32_t *pids, uint32_t count)
{
	bool found = count == 0;

	for (uint32_t i = 0; i < count; i++)
		found |= pids[i] == 0;
	return found;
}

/* Which events are to carry a stack: what nobody knows is left out, as in Windows. */
int fa_api_check_ids(const struct fa_stack_event_id *ids, uint32_t count, uint32_t *ret_stacks)
{
	static const unsigned char heap[16] = FA_HEAP_PROVIDER;
	uint32_t stacks = 0;

	if (count > FA_STACK_EVENTS_MAX || (count != 0 && ids == NULL))
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER,
				   "stack events: at most %d, and a list of them",
				   FA_STACK_EVENTS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		if (memcmp(ids[i].provider, heap, sizeof(heap)) != 0)
			continue;
		stacks |= ids[i].type == FA_HEAP_TYPE_ALLOC     ? FA_STACK_ALLOC
			  : ids[i].type == FA_HEAP_TYPE_REALLOC ? FA_STACK_REALLOC
			  : ids[i].type == FA_HEAP_TYPE_FREE    ? FA_STACK_FREE
								: 0u;
	}
	*ret_stacks = stacks != 0 ? FA_SESSION_STACKS | stacks : 0;
	return FA_OK;
}

static int fill_options(const struct fa_trace_properties *p, const char *name,
			struct fa_session_options *o)
{
	const struct fa_trace_settings *s = &p->settings;
	const char *what = "settings";

	if (s->buffer_size != 0 && (s->buffer_size < 4 || s->buffer_size > 1024))
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER, "buffer_size: 4 to 1024 KB");
	if ((s->flags & ~(uint32_t)FA_TRACE_OWN_USER) != 0)
		return fa_api_fail(FA_ERROR_INVALID_FLAGS, "flags: no such bits: 0x%x",
				   s->flags & ~(uint32_t)FA_TRACE_OWN_USER);
	memcpy(o->name, name, strlen(name) + 1);
	o->flags = (s->flags & FA_TRACE_OWN_USER) != 0 ? FA_SESSION_USER : 0;
	o->policy = s->policy;
	o->buffer_size = s->buffer_size * KB;
	o->minimum_buffers = s->minimum_buffers;
	o->maximum_buffers = s->maximum_buffers;
	o->flush_timer = s->flush_timer;
	o->log_file_mode = s->log_file_mode;
	if (fa_session_real_time_only(o) && p->log_file_name[0] != '\0') /* as in Windows: both */
		o->log_file_mode |= FA_LOG_SEQUENTIAL;
	o->maximum_file_size = (uint64_t)s->maximum_file_size * MB;
	what = fa_session_mode_fault(o);
	if (what != NULL)
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER, "%s", what);
	if (fa_session_options_check(o, &what) < 0)
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER, "%s is out of its range", what);
	return FA_OK;
}

static int file_name(const struct fa_trace_properties *p, const char *name,
		     char path[FA_TRACE_PATH_SIZE])
{
	if (memchr(p->log_file_name, '\0', FA_TRACE_PATH_SIZE) == NULL)
		return fa_api_fail(FA_ERROR_BAD_PATH, "log_file_name does not end");
	if (p->log_file_name[0] != '\0')
		memcpy(path, p->log_file_name, FA_TRACE_PATH_SIZE);
	else
		(void)snprintf(path, FA_TRACE_PATH_SIZE,
			       (p->settings.log_file_mode & FA_TRACE_MODE_NEWFILE) != 0 ? "%s-%%d.falloc"
											: "%s.falloc",
			       name);
	return FA_OK;
}

/* ---- what goes out ---- */

static void show_settings(const struct fa_status_session *s, struct fa_trace_settings *ret)
{
	*ret = (struct fa_trace_settings){
		.buffer_size = s->buffer_size / KB,
		.minimum_buffers = s->minimum_buffers,
		.maximum_buffers = s->maximum_buffers,
		.maximum_file_size = (uint32_t)((s->maximum_file_size + MB - 1) / MB),
		.flush_timer = s->flush_timer,
		.log_file_mode = s->log_file_mode | ((s->log_file_mode & (FA_LOG_MODES | FA_LOG_REAL_TIME)) == 0
							     ? (uint32_t)FA_LOG_SEQUENTIAL
							     : 0u),
		.policy = s->policy,
		.flags = (s->flags & FA_SESSION_USER) != 0 ? FA_TRACE_OWN_USER : 0,
	};
}

static void show_session(const struct fa_client_status *st, const struct fa_status_session *s,
			 struct fa_trace_properties *p)
{
	show_settings(s, &p->settings);
	p->requested = p->settings;
	p->requested.buffer_size = s->requested_buffer_size / KB;
	p->requested.minimum_buffers = s->requested_minimum_buffers;
	p->requested.maximum_buffers = s->requested_maximum_buffers;
	p->requested.flush_timer = s->requested_flush_timer;
	p->requested.log_file_mode = s->log_file_mode;
	p->state = s->state;
	p->events = s->events;
	p->events_lost = s->events_lost;
	p->buffers_written = s->buffers_written;
	p->log_buffers_lost = s->log_buffers_lost;
	p->real_time_buffers_lost = s->real_time_buffers_lost;
	p->real_time_events_lost = s->real_time_events_lost;
	p->number_of_buffers = s->number_of_buffers;
	p->free_buffers = s->free_buffers;
	p->bytes_written = s->bytes;
	p->start_time = s->started_real;
	p->processes = s->processes;
	p->joined = p->woken = p->pids_attached = p->pids_failed = 0;
	p->end_reason = s->end_reason;
	p->end_error = s->end_error;
	p->logger_pid = (uint32_t)st->h.collector_pid;
	memcpy(p->session_name, s->name, sizeof(p->session_name));
	(void)snprintf(p->log_file_name, sizeof(p->log_file_name), "%.*s", (int)sizeof(s->file),
		       s->file);
}

/* By name as firstallocd looks it up: the caller's own session before one of the system. */
const struct fa_status_session *fa_api_find_session(const struct fa_client_status *st, fa_trace_handle handle,
						   const char *name)
{
	const struct fa_status_session *found = NULL;

	for (uint32_t i = 0; i < st->h.sessions; i++) {
		const struct fa_status_session *s = &st->session[i];

		if (name != NULL ? !fa_session_name_same(s->name, name) : s->id != handle)
			continue;
		if (found == NULL || (s->flags & FA_SESSION_USER) == 0)
			found = s;
	}
	return found;
}

int fa_api_no_session(const char *name)
{
	if (name != NULL)
		return fa_api_fail(FA_ERROR_NO_SUCH_SESSION, "there is no session called '%s'",
				   name);
	return fa_api_fail(FA_ERROR_NO_SUCH_SESSION, "the handle is of no session that runs");
}

int fa_api_check_session(fa_trace_handle handle, const char *session_name)
{
	if (session_name != NULL)
		return fa_api_check_name(session_name);
	return handle != 0 ? FA_OK : fa_api_no_session(NULL);
}

int fa_api_query(int sock, fa_trace_handle handle, const char *name, struct fa_trace_properties *p)
{
	FA_CLEANUP(fa_client_status_done) struct fa_client_status st = {0};
	const struct fa_status_session *s;
	struct fa_control_reply reply;
	int e = fa_client_status(sock, false, &reply, &st);

	if (e < 0)
		return fa_api_fail_to_ask(e);
	if (reply.error != 0)
		return fa_api_fail_reply(&reply);
	s = fa_api_find_session(&st, handle, name);
	if (s == NULL)
		return fa_api_no_session(name);
	if (p != NULL)
		show_session(&st, s, p);
	return FA_OK;
}

/* ---- the calls ---- */

/* One after the other; FA_OK, or why the first of those that could not be had could not. */
int fa_api_attach_pids(int sock, uint64_t session, const uint32_t *pids, uint32_t count,
		       struct fa_trace_properties *p)
{
	int first = FA_OK;

	p->pids_attached = p->pids_failed = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct fa_attached a = {0};
		int e = FA_OK;

		if (pids[i] != 0) {
			/* Above INT32_MAX it is below 0, and no process to the kernel. */
			fa_attach_pid(sock, session, (int32_t)pids[i], &a);
			e = a.error != 0 ? error_of_reply(a.error) : FA_OK;
			p->pids_attached += e == FA_OK;
			p->pids_failed += e != FA_OK;
		}
		if (first == FA_OK && e != FA_OK)
			first = fa_api_fail(e, "process %u%s%s%s: %s", pids[i],
					    a.image[0] != '\0' ? " (" : "", a.image,
					    a.image[0] != '\0' ? ")" : "", a.text);
		if (p->pid_errors != NULL)
			p->pid_errors[i] = e;
	}
	return first;
}

static void end_session(int sock, uint64_t id)
{
	struct fa_control_request q = {.verb = FA_CONTROL_STOP, .session_id = id};
	struct fa_control_reply reply;

	/* If that fails there is no firstallocd any more. */
	(void)!fa_client_stop(sock, &q, &reply, NULL);
}

struct files {
	const char *path; /* newfile: with %d */
	int fd[FA_FILES_MAX];
	unsigned count;
};

static int open_files(struct files *f, uint32_t mode)
{
	char path[FA_TRACE_PATH_SIZE + 16];
	int e;

	if (f->path == NULL) /* real time alone */
		return FA_OK;
	f->count = (mode & FA_TRACE_MODE_NEWFILE) != 0 ? FA_FILES_MAX : 1;
	if (f->count == 1)
		e = fa_client_open_trace(f->path, &f->fd[0]);
	else if (!fa_client_is_pattern(f->path))
		return fa_api_fail(FA_ERROR_BAD_PATH, "%s: newfile needs one %%d in it, and no other %%", f->path);
	else
		e = fa_client_open_files(f->path, f->count, f->fd, path, sizeof(path));
	return e < 0 ? fa_api_fail_to_open(f->count == 1 ? f->path : path, e) : FA_OK;
}

static void drop_files(struct files *f)
{
	if (f->count > 1)
		fa_client_drop_files(f->path, f->count, f->fd);
	else if (f->count == 1)
		fa_client_drop_trace(f->path, f->fd[0]);
}

static void close_files(struct files *f)
{
	for (unsigned i = 0; i < FA_FILES_MAX; i++)
		fa_close(&f->fd[i]);
}

static int start(struct fa_control_request *q, const char *path, const uint32_t *pids,
		 uint32_t pid_count, fa_trace_handle *handle, struct fa_trace_properties *p)
{
	FA_CLEANUP(fa_close) int sock = fa_client_connect(fa_api_root());
	FA_CLEANUP(close_files) struct files files = {.path = path};
	int got[FA_FILES_MAX];
	struct fa_control_reply reply;
	uint32_t attached, failed;
	int e;

	memset(files.fd, -1, sizeof(files.fd));
	if (sock < 0)
		return fa_api_fail_to_ask(sock);
	e = open_files(&files, q->session.log_file_mode);
	if (e != FA_OK)
		return e;
	e = fa_client_ask_files(sock, q, files.fd, FA_FILES_MAX, &reply, got);
	if (e < 0 || reply.error != 0) {
		drop_files(&files);
		return e < 0 ? fa_api_fail_to_ask(e) : fa_api_fail_reply(&reply);
	}
	if ((q->session.flags & FA_SESSION_PIDS) == 0)
		reply.woken += fa_attach_flagged(sock, fa_api_root());
	e = fa_api_attach_pids(sock, reply.session_id, pids, pid_count, p);
	if (p->pids_attached == 0 && (q->session.flags & FA_SESSION_PIDS) != 0) {
		end_session(sock, reply.session_id);
		drop_files(&files);
		return e;
	}
	*handle = reply.session_id;
	attached = p->pids_attached;
	failed = p->pids_failed;
	(void)fa_api_query(sock, *handle, NULL, p); /* it runs, whatever becomes of this question */
	p->joined = reply.pending_families;
	p->woken = reply.woken;
	p->pids_attached = attached;
	p->pids_failed = failed;
	return FA_OK;
}

int fa_start_heap_trace(fa_trace_handle *handle, struct fa_trace_properties *properties,
			const char *session_name, const uint32_t *pids, uint32_t pid_count,
			const struct fa_stack_event_id *ids, uint32_t id_count)
{
	struct fa_control_request q = {.verb = FA_CONTROL_START};
	char path[FA_TRACE_PATH_SIZE];
	int e;

	if (handle == NULL)
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER, "no room for the handle");
	*handle = 0;
	e = fa_api_check_properties(properties);
	if (e == FA_OK)
		e = fa_api_check_name(session_name);
	if (e == FA_OK)
		e = check_mode(properties->settings.log_file_mode);
	if (e == FA_OK)
		e = fa_api_check_ids(ids, id_count, &q.session.stacks);
	if (e == FA_OK)
		e = fa_api_check_pids(pids, pid_count);
	if (e == FA_OK)
		e = fill_options(properties, session_name, &q.session);
	if (e == FA_OK)
		e = file_name(properties, session_name, path);
	if (e != FA_OK)
		return e;
	q.session.flags |= fa_api_wants_flagged(pids, pid_count) ? 0 : FA_SESSION_PIDS;
	return start(&q, fa_session_real_time_only(&q.session) ? NULL : path, pids, pid_count, handle, properties);
}

static int ask(int sock, uint32_t verb, fa_trace_handle handle, const char *name,
	       struct fa_control_reply *ret)
{
	struct fa_control_request q = {.verb = verb};
	int e;

	if (name != NULL)
		memcpy(q.session.name, name, strlen(name) + 1);
	else
		q.session_id = handle;
	e = verb == FA_CONTROL_STOP ? fa_client_stop(sock, &q, ret, NULL) : fa_client_ask(sock, &q, -1, ret, NULL);
	if (e < 0)
		return fa_api_fail_to_ask(e);
	return ret->error != 0 ? fa_api_fail_reply(ret) : FA_OK;
}

static int stop(int sock, fa_trace_handle handle, const char *name, struct fa_trace_properties *p)
{
	struct fa_control_reply reply;
	int e = ask(sock, FA_CONTROL_STOP, handle, name, &reply);

	if (e != FA_OK || p == NULL)
		return e;
	p->state = FA_SESSION_ENDED;
	p->events = reply.events;
	p->events_lost = reply.lost;
	p->bytes_written = reply.bytes;
	p->processes = reply.processes;
	p->end_reason = reply.end_reason;
	p->end_error = reply.end_error;
	return FA_OK;
}

int fa_control_trace(fa_trace_handle handle, const char *session_name,
		     struct fa_trace_properties *properties, uint32_t control)
{
	FA_CLEANUP(fa_close) int sock = -1;
	struct fa_control_reply reply;
	int e = FA_OK;

	if (properties != NULL || control == FA_TRACE_QUERY)
		e = fa_api_check_properties(properties);
	if (e == FA_OK && session_name != NULL)
		e = fa_api_check_name(session_name);
	if (e == FA_OK && control > FA_TRACE_FLUSH)
		e = fa_api_fail(FA_ERROR_INVALID_PARAMETER, "no such control: %u", control);
	if (e != FA_OK)
		return e;
	if (session_name == NULL && handle == 0)
		return fa_api_no_session(NULL);
	if (control == FA_TRACE_UPDATE)
		return fa_api_update(handle, session_name, properties);
	sock = fa_client_connect(fa_api_root());
	if (sock < 0)
		return fa_api_fail_to_ask(sock);
	/* Before a stop, while it still can be asked. */
	if (control != FA_TRACE_FLUSH)
		e = fa_api_query(sock, handle, session_name, properties);
	if (e != FA_OK || control == FA_TRACE_QUERY)
		return e;
	if (control == FA_TRACE_STOP)
		return stop(sock, handle, session_name, properties);
	e = ask(sock, FA_CONTROL_FLUSH, handle, session_name, &reply);
	return e == FA_OK && properties != NULL ? fa_api_query(sock, handle, session_name, properties) : e;
}

int fa_mark(const char *text, const char *session_name)
{
	struct fa_control_request q = {.verb = FA_CONTROL_MARK, .all = session_name == NULL};
	FA_CLEANUP(fa_close) int sock = -1;
	struct fa_control_reply reply;
	int e = FA_OK;

	if (text == NULL || !fa_mark_text_ok(text))
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER,
				   "the text of a mark: 1 to %d bytes, no control characters",
				   FA_MARK_TEXT - 1);
	if (session_name != NULL)
		e = fa_api_check_name(session_name);
	if (e != FA_OK)
		return e;
	memcpy(q.text, text, strlen(text) + 1);
	if (session_name != NULL)
		memcpy(q.session.name, session_name, strlen(session_name) + 1);
	sock = fa_client_connect(fa_api_root());
	if (sock < 0)
		return fa_api_fail_to_ask(sock);
	e = fa_client_ask(sock, &q, -1, &reply, NULL);
	if (e < 0)
		return fa_api_fail_to_ask(e);
	return reply.error != 0 ? fa_api_fail_reply(&reply) : FA_OK;
}

int fa_query_trace(fa_trace_handle handle, const char *session_name,
		   struct fa_trace_properties *properties)
{
	return fa_control_trace(handle, session_name, properties, FA_TRACE_QUERY);
}

int fa_flush_trace(fa_trace_handle handle, const char *session_name,
		   struct fa_trace_properties *properties)
{
	return fa_control_trace(handle, session_name, properties, FA_TRACE_FLUSH);
}

int fa_stop_trace(fa_trace_handle handle, const char *session_name,
		  struct fa_trace_properties *properties)
{
	return fa_control_trace(handle, session_name, properties, FA_TRACE_STOP);
}
