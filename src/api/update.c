/* update.c - sessions that run are changed, in the words of UpdateHeapTrace and ControlTrace. */
#include <string.h>

#include "api_internal.h"
#include "base/io.h"
#include "client/attach.h"

static int ask(int sock, struct fa_control_request *q, int fd, struct fa_control_reply *ret)
{
	int e = fa_client_ask(sock, q, fd, ret, NULL);

	if (e < 0)
		return fa_api_fail_to_ask(e);
	return ret->error != 0 ? fa_api_fail_reply(ret) : FA_OK;
}

/* With its new file. Where no answer came it may be in use: then it stays. */
static int ask_last(int sock, struct fa_control_request *q, const struct fa_trace_properties *p,
		    struct fa_control_reply *ret)
{
	FA_CLEANUP(fa_close) int fd = -1;
	const char *path = (q->changes & FA_UPDATE_FILE) != 0 ? p->log_file_name : NULL;
	int e = path != NULL ? fa_client_open_trace(path, &fd) : 0;

	if (e < 0)
		return fa_api_fail_to_open(path, e);
	e = ask(sock, q, fd, ret);
	if (ret->error != 0 && path != NULL)
		fa_client_drop_trace(path, fd);
	return e;
}

/* What is 0 stays as it is. */
static int fill(const struct fa_trace_properties *p, struct fa_control_request *q)
{
	if (p == NULL)
		return FA_OK;
	if (memchr(p->log_file_name, '\0', FA_TRACE_PATH_SIZE) == NULL)
		return fa_api_fail(FA_ERROR_BAD_PATH, "log_file_name does not end");
	q->session.flush_timer = p->settings.flush_timer;
	q->session.maximum_buffers = p->settings.maximum_buffers;
	q->changes |= (q->session.flush_timer != 0 ? FA_UPDATE_FLUSH_TIMER : 0u) |
		      (q->session.maximum_buffers != 0 ? FA_UPDATE_MAXIMUM_BUFFERS : 0u) |
		      (p->log_file_name[0] != '\0' ? FA_UPDATE_FILE : 0u);
	return FA_OK;
}

/* The new ones are in it before the old ones leave. An error: nothing has changed. */
static int attach(int sock, const struct fa_control_request *q, const uint32_t *pids,
		  uint32_t count, struct fa_trace_properties *p)
{
	struct fa_control_request begin = *q;
	struct fa_control_reply reply;
	int e;

	begin.changes = FA_UPDATE_PIDS_BEGIN;
	e = ask(sock, &begin, -1, &reply);
	if (e != FA_OK)
		return e;
	e = fa_api_attach_pids(sock, reply.session_id, pids, count, p);
	return p->pids_attached == 0 && (q->session.flags & FA_SESSION_PIDS) != 0 ? e : FA_OK;
}

/* Properties that come from a query have the name of the file that is written. */
static int forget_same_file(int sock, struct fa_control_request *q, const char *name,
			    const struct fa_trace_properties *p)
{
	struct fa_trace_properties now = {.size = sizeof(now)};
	int e;

	if ((q->changes & FA_UPDATE_FILE) == 0)
		return FA_OK;
	e = fa_api_query(sock, q->session_id, name, &now);
	if (e == FA_OK && strcmp(now.log_file_name, p->log_file_name) == 0)
		q->changes &= ~(uint32_t)FA_UPDATE_FILE;
	return e;
}

static int change(struct fa_control_request *q, const uint32_t *pids, uint32_t count,
		  struct fa_trace_properties *p)
{
	FA_CLEANUP(fa_close) int sock = fa_client_connect(fa_api_root());
	const char *name = q->session_id == 0 ? q->session.name : NULL;
	struct fa_trace_properties of_pids = {.size = sizeof(of_pids)};
	struct fa_control_reply reply = {0};
	int e = FA_OK;

	of_pids.pid_errors = p != NULL ? p->pid_errors : NULL;
	if (sock < 0)
		return fa_api_fail_to_ask(sock);
	e = forget_same_file(sock, q, name, p);
	if (e == FA_OK && (q->changes & FA_UPDATE_PIDS) != 0)
		e = attach(sock, q, pids, count, &of_pids);
	if (e == FA_OK && q->changes != 0)
		e = ask_last(sock, q, p, &reply);
	if (e == FA_OK && (q->changes & FA_UPDATE_PIDS) != 0 &&
	    (q->session.flags & FA_SESSION_PIDS) == 0)
		reply.woken += fa_attach_flagged(sock, fa_api_root());
	if (e == FA_OK)
		e = fa_api_query(sock, q->session_id, name, p);
	if (p == NULL)
		return e;
	p->joined = reply.pending_families;
	p->woken = reply.woken;
	p->pids_attached = of_pids.pids_attached;
	p->pids_failed = of_pids.pids_failed;
	return e;
}

int fa_api_update(fa_trace_handle handle, const char *name, struct fa_trace_properties *p)
{
	struct fa_control_request q = {.verb = FA_CONTROL_UPDATE};
	int e;

	if (name != NULL)
		memcpy(q.session.name, name, strlen(name) + 1);
	else
		q.session_id = handle;
	e = fill(p, &q);
	return e == FA_OK ? change(&q, NULL, 0, p) : e;
}

int fa_update_heap_trace(struct fa_trace_properties *properties, const char *session_name,
			 const uint32_t *pids, uint32_t pid_count,
			 const struct fa_stack_event_id *ids, uint32_t id_count)
{
	struct fa_control_request q = {.verb = FA_CONTROL_UPDATE};
	int e = properties != NULL ? fa_api_check_properties(properties) : FA_OK;

	if (e == FA_OK)
		e = fa_api_check_name(session_name);
	if (e == FA_OK)
		e = fa_api_check_ids(ids, id_count, &q.session.stacks);
	if (e == FA_OK)
		e = fa_api_check_pids(pids, pid_count);
	if (e == FA_OK)
		e = fill(properties, &q);
	if (e != FA_OK)
		return e;
	memcpy(q.session.name, session_name, strlen(session_name) + 1);
	if (q.session.stacks != 0)
		q.changes |= FA_UPDATE_STACKS;
	if (pid_count != 0) {
		q.changes |= FA_UPDATE_PIDS;
		q.session.flags = fa_api_wants_flagged(pids, pid_count) ? 0 : FA_SESSION_PIDS;
	}
	return change(&q, pids, pid_count, properties);
}
