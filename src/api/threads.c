/* threads.c - what each thread of a session has recorded and lost. */
#include <string.h>

#include "api/api_internal.h"
#include "base/io.h"

static void show_thread(const struct fa_status_process *p, const struct fa_status_thread *t, struct fa_thread_counters *ret)
{
	*ret = (struct fa_thread_counters){
		.size = sizeof(*ret),
		.thread = t->thread,
		.pid = p->pid,
		.tid = t->tid,
		.events = t->events,
		.events_lost = t->lost,
		.lost_no_buffer = t->lost_by[FA_LOST_NO_BUFFER],
		.lost_nested = t->lost_by[FA_LOST_NESTED],
		.lost_damaged = t->lost_by[FA_LOST_DAMAGED],
	};
	memcpy(ret->name, t->name, sizeof(ret->name));
	ret->name[sizeof(ret->name) - 1] = '\0';
}

static uint32_t show_threads(const struct fa_client_status *st, const struct fa_status_session *s,
			     struct fa_thread_counters *counters, uint32_t room)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < st->h.threads; i++) {
		const struct fa_status_thread *t = &st->thread[i];

		if (t->process >= st->h.processes || (st->process[t->process].sessions >> s->index & 1) == 0)
			continue;
		if (n < room)
			show_thread(&st->process[t->process], t, &counters[n]);
		n++;
	}
	return n;
}

int fa_query_threads(fa_trace_handle handle, const char *session_name, struct fa_thread_counters *counters, uint32_t room,
		     uint32_t *ret_count)
{
	FA_CLEANUP(fa_client_status_done) struct fa_client_status st = {0};
	FA_CLEANUP(fa_close) int sock = -1;
	const struct fa_status_session *s;
	struct fa_control_reply reply;
	int e = fa_api_check_session(handle, session_name);

	if (e != FA_OK)
		return e;
	if (ret_count == NULL || (room != 0 && counters == NULL))
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER, "the place for the counters is missing");
	if (room != 0 && counters[0].size != sizeof(counters[0]))
		return fa_api_fail(FA_ERROR_BAD_LENGTH, "size of struct fa_thread_counters: %u is none of ours",
				   counters[0].size);
	sock = fa_client_connect(fa_api_root());
	if (sock < 0)
		return fa_api_fail_to_ask(sock);
	e = fa_client_status(sock, true, &reply, &st);
	if (e < 0)
		return fa_api_fail_to_ask(e);
	if (reply.error != 0)
		return fa_api_fail_reply(&reply);
	s = fa_api_find_session(&st, handle, session_name);
	if (s == NULL)
		return fa_api_no_session(session_name);
	*ret_count = show_threads(&st, s, counters, room);
	return FA_OK;
}
