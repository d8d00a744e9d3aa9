/*
 * tail_filter.h - what of a session a reader wants (struct fa_tail_filter): by process, kind of event and size.
 *
 * It is asked before a record waits for the reader's socket, so that who wants little of a busy session loses nothing for
 * the sake of bytes that he would throw away. Definitions are given to everybody.
 */
#ifndef FA_TAIL_FILTER_H
#define FA_TAIL_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/control_format.h"
#include "format/trace_format.h"

struct tail_filter {
	bool on;
	struct fa_tail_filter want;
	uint32_t image_count;
	char image[FA_SESSION_IMAGES][FA_IMAGE_NAME];
	uint32_t *unwanted; /* processes by their numbers in the session's trace, ascending */
	size_t count, room;
};

/* What came with TAIL: checked. */
void tail_filter_begin(struct tail_filter *f, const struct fa_control_request *q);
void tail_filter_end(struct tail_filter *f);

/* Each PROCESS record before the others of that process. false: no memory. */
bool tail_filter_meet(struct tail_filter *f, const struct fa_rec_process *rec, const void *tail, size_t len);
bool tail_filter_wants(const struct tail_filter *f, uint32_t process);

/*
 * The events of a process that is wanted that are wanted themselves, as a record of their own: *rec is changed,
 * and the bytes are where *tail points, which holds until the next call. Returns how many are not: of those that count.
 */
uint32_t tail_filter_events(const struct tail_filter *f, struct fa_rec_events *rec, const void **tail, size_t *len);

#endif
