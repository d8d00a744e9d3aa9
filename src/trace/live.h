/*
 * live.h - a trace that comes through a socket or a pipe while it is written.
 *
 * What comes is kept in memory of our own for as long as it takes to read it, and read by the one reader of
 * traces, as a file that grows. One thread.
 */
#ifndef FA_TRACE_LIVE_H
#define FA_TRACE_LIVE_H

#include <stdbool.h>

#include "trace/reader.h"

struct fa_trace_live;

/* fd, a socket, a pipe, or a file that somebody is writing, is taken over, also on failure. What was read of a
 * file is punched out of it: it is open for writing, too. -errno, -ENOMEM. */
int fa_trace_live_open(int fd, struct fa_trace_live **ret) FA_MUST_USE;

/*
 * Take in what has come, after up to timeout_ms (-1: for ever) of waiting for it. 1: something came;
 * 0: nothing did; -ENODATA: the other side has closed, and all that came was read; -EBADMSG,
 * -EPROTONOSUPPORT: it is no trace; -EINTR; -errno.
 */
int fa_trace_live_wait(struct fa_trace_live *l, int timeout_ms) FA_MUST_USE;

/* 1: *ret is the next record, valid until the next call; 0: there is none at the moment, or damage. */
int fa_trace_live_next(struct fa_trace_live *l, struct fa_trace_record *ret) FA_MUST_USE;

/* As of what was read; what is not there yet is a cut. */
struct fa_trace_damage fa_trace_live_damage(const struct fa_trace_live *l);
int fa_trace_live_fd(const struct fa_trace_live *l); /* to poll for POLLIN; -1: closed */
void fa_trace_live_free(struct fa_trace_live *l);    /* NULL is fine */

#endif
