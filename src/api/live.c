/*
 * live.c - a session's events while they happen: EVENT_TRACE_REAL_TIME_MODE and ProcessTrace.
 *
 * The connection to firstallocd is a trace (daemon/consumers.c) that is read once: what explains an event
 * stands before it, also where the reader comes late.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/io.h"
#include "client/client.h"
#include "format/event_format.h"
#include "reader_internal.h"
#include "symbols/symbols.h"

/* A connection that is a trace from now on. */
static int connect_to(fa_trace_handle handle, const char *name, struct fa_control_request *q, int *ret)
{
	FA_CLEANUP(fa_close) int sock = fa_client_connect(fa_api_root());
	struct fa_control_reply reply;
	int e = sock;

	if (sock >= 0)
		e = fa_client_tail(sock, name, handle, q, &reply);
	if (e < 0)
		return fa_api_fail_to_ask(e);
	if (reply.error != 0)
		return fa_api_fail_reply(&reply);
	*ret = fa_take_fd(&sock);
	return FA_OK;
}

static int set_filter(const struct fa_live_filter *f, struct fa_control_request *q)
{
	static const uint8_t bits[][2] = {
		{FA_EVENT_ALLOC, FA_EV_ALLOC}, {FA_EVENT_REALLOC, FA_EV_REALLOC}, {FA_EVENT_FREE, FA_EV_FREE},
		{FA_EVENT_SPACE, FA_EV_CALL},  {FA_EVENT_WAIT, FA_EV_CALL},       {FA_EVENT_LOAD, FA_EV_CALL},
		{FA_EVENT_UNLOAD, FA_EV_CALL}};

	if (f == NULL)
		return FA_OK;
	if (f->size != sizeof(*f))
		return fa_api_fail(FA_ERROR_BAD_LENGTH, "a filter of %u bytes is none of ours: set `size`", f->size);
	if (f->pid_count > FA_TAIL_PIDS || f->image_count > FA_SESSION_IMAGES ||
	    (f->bytes_to != 0 && f->bytes_to <= f->bytes_from))
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER, "a filter has at most %d PIDs, %d images, and sizes in order",
				   FA_TAIL_PIDS, FA_SESSION_IMAGES);
	q->tail.on = 1;
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		q->tail.kinds |= (f->kinds >> bits[i][0] & 1) << bits[i][1];
	q->tail.size_lo = f->bytes_from;
	q->tail.size_hi = f->bytes_from != 0 && f->bytes_to == 0 ? UINT64_MAX : f->bytes_to;
	q->tail.pid_count = f->pid_count;
	for (uint32_t i = 0; i < f->pid_count; i++)
		q->tail.pid[i] = f->pids[i];
	q->session.image_count = f->image_count;
	for (uint32_t i = 0; i < f->image_count; i++) {
		size_t len = strlen(f->images[i]);

		if (len == 0 || len >= FA_IMAGE_NAME || strchr(f->images[i], '/') != NULL)
			return fa_api_fail(FA_ERROR_INVALID_PARAMETER, "'%s' is no name of a program", f->images[i]);
		memcpy(q->session.image[i], f->images[i], len);
	}
	return FA_OK;
}

int fa_trace_open_live(fa_trace_handle handle, const char *session_name, struct fa_trace **ret)
{
	return fa_trace_open_live_filtered(handle, session_name, NULL, ret);
}

int fa_trace_open_live_filtered(fa_trace_handle handle, const char *session_name, const struct fa_live_filter *filter,
				struct fa_trace **ret)
{
	struct fa_control_request q = {0};
	const struct fa_symbols_options how = {0};
	const char *name = session_name != NULL ? session_name : "the session";
	struct fa_trace *t;
	int e, sock = -1;

	if (ret == NULL)
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER, "no room for the trace");
	*ret = NULL;
	e = fa_api_check_session(handle, session_name);
	if (e == FA_OK)
		e = set_filter(filter, &q);
	if (e == FA_OK)
		e = connect_to(handle, session_name, &q, &sock);
	if (e != FA_OK)
		return e;
	t = calloc(1, sizeof(*t));
	if (t == NULL) {
		fa_close(&sock);
		return fa_api_fail_trace(-ENOMEM, name);
	}
	t->path = strdup(name);
	e = fa_trace_live_open(sock, &t->live);
	if (e == 0)
		e = t->path == NULL ? -ENOMEM : fa_model_init(&t->model);
	if (e == 0)
		e = fa_symbols_new(&how, &t->symbols);
	if (e < 0) {
		fa_trace_close(t);
		return fa_api_fail_trace(e, name);
	}
	*ret = t;
	return FA_OK;
}

int fa_trace_wait(struct fa_trace *t, int32_t timeout_ms)
{
	int e;

	if (t->live == NULL)
		return fa_api_fail(FA_ERROR_NOT_SUPPORTED, "%s: a file is there as a whole", t->path);
	e = fa_trace_live_wait(t->live, timeout_ms);
	t->damage = fa_trace_live_damage(t->live);
	fa_api_sum_up(t);
	if (e >= 0 || e == -EINTR)
		return FA_OK;
	if (e != -ENODATA)
		return fa_api_fail_trace(e, t->path);
	if ((t->info.state & FA_TRACE_ENDED) != 0)
		return fa_api_fail(FA_ERROR_NO_MORE, "%s: the session has ended", t->path);
	return fa_api_fail(FA_ERROR_NO_DAEMON,
			   "%s: firstallocd closed the connection: it was restarted, or so much waited "
			   "to be read that it gave up",
			   t->path);
}

int fa_trace_descriptor(const struct fa_trace *t)
{
	return t->live != NULL ? fa_trace_live_fd(t->live) : -1;
}
