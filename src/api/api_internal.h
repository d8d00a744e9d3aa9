/* api_internal.h - what the files of the C library share. */
#ifndef FA_API_INTERNAL_H
#define FA_API_INTERNAL_H

#include <stdbool.h>

#include "base/attr.h"
#include "client/client.h"
#include "firstalloc.h"

/* Remembers the words for this thread and returns `error`. */
int fa_api_fail(int error, const char *format, ...) FA_PRINTF(2, 3);

const char *fa_api_root(void); /* "" for the machine itself */

/* session.c. Those that return int: FA_OK, or an error with its words. */
int fa_api_fail_to_ask(int e); /* of client.h, -errno */
int fa_api_fail_reply(const struct fa_control_reply *r);
int fa_api_fail_to_open(const char *path, int e);
int fa_api_check_properties(const struct fa_trace_properties *p);
int fa_api_check_name(const char *name);
int fa_api_check_session(fa_trace_handle handle, const char *session_name); /* does it name one at all? */
int fa_api_check_pids(const uint32_t *pids, uint32_t count);
bool fa_api_wants_flagged(const uint32_t *pids, uint32_t count);
/* *ret_stacks as a session's options have it; 0: nobody is named that we know. */
int fa_api_check_ids(const struct fa_stack_event_id *ids, uint32_t count, uint32_t *ret_stacks);
/* One after the other; FA_OK, or why the first of those that could not be had could not. */
int fa_api_attach_pids(int sock, uint64_t session, const uint32_t *pids, uint32_t count,
		       struct fa_trace_properties *p);
int fa_api_query(int sock, fa_trace_handle handle, const char *name, struct fa_trace_properties *p);
/* NULL: there is none that the caller may see; no_session says so. */
const struct fa_status_session *fa_api_find_session(const struct fa_client_status *st, fa_trace_handle handle,
						   const char *name);
int fa_api_no_session(const char *name);

/* update.c: what fa_control_trace() does with FA_TRACE_UPDATE */
int fa_api_update(fa_trace_handle handle, const char *name, struct fa_trace_properties *p);

#endif
