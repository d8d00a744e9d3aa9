/* update.c - sessions that run are changed, in the words of UpdateHeapTrace and ControlTrace. */
#include <string.h>

#include "api_internal.h"
#include "base/io.h"
#include "client/attach.h"

static int ask(int sock, struct fa_control_request *q, struct fa_control_reply *ret)
{
	int e = fa_client_ask(sock, q, -1, ret, NULL);

	if (e < 0)
		return fa_api_fail_to_ask(e);
	return ret->error != 0 ? fa_api_fail_reply(ret) : FA_OK;
}

/* What is 0 stays as it is. */
static void fill(const struct fa_trace_properties *p, struct fa_control_request *q)
{
	if (p == NULL)
		return;
	q->session.flush_timer = p->settings.flush_timer;
	q->session.maximum_buffers = p->settings.maximum_buffers;
	q->changes |= (q->session.flush_timer != 0 ? FA_UPDATE_FLUSH_TIMER : 0u) |
		      (q->session.maximum_buffers != 0 ? FA_UPDATE_MAXIMUM_BUFFERS : 0u);
}

/* The new ones are in it before the old ones leave. An error: nothing has changed. */
static int attach(int sock, const struct fa_control_request *q, const uint32_t *pids,
		  uint32_t count, struct fa_trace_properties *p)
{
	struct fa_control_request begin = *q;
	struct fa_control_reply reply;
	int e;

	begin.changes = FA_UPDATE_PIDS_BEGIN;
	e = ask(sock, &begin, &reply);
	if (e != FA_OK)
		return e;
	e = fa_api_attach_pids(sock, reply.session_id, pids, count, p);
	return p->pids_attached == 0 && (q->session.flags & FA_SESSION_PIDS) != 0 ? e : FA_OK;
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
	if ((q->changes & FA_UPDATE_PIDS) != 0)
		e = attach(sock, q, pids, count, &of_pids);
	if (e == FA_OK && q->changes != 0)
		e = ask(sock, q, &reply);
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

	if (name != NULL)
		memcpy(q.session.name, name, strlen(name) + 1);
	else
		q.session_id = handle;
	fill(p, &q);
	return change(&q, NULL, 0, p);
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
	if (e != FA_OK)
		return e;
	memcpy(q.session.name, session_name, strlen(session_name) + 1);
	fill(properties, &q);
	if (q.session.stacks != 0)
		q.changes |= FA_UPDATE_STACKS;
	if (pid_count != 0) {
		q.changes |= FA_UPDATE_PIDS;
		q.session.flags = fa_api_wants_flagged(pids, pid_count) ? 0 : FA_SESSION_PIDS;
	}
	return change(&q, pids, pid_count, properties);
}
