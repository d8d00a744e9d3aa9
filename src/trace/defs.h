/*
 * defs.h - what the events of a trace refer to, kept in memory so that it can be written once more: at
 * the beginning of each chunk of a circular trace.
 *
 * Kept are MACHINE, SESSION and the first CLOCK; PROCESS, THREAD (the last ones of a process that starts
 * threads for ever) and an unknown loss until PROCESS_END; MODULE and NODES until their family is forgotten.
 */
#ifndef FA_TRACE_DEFS_H
#define FA_TRACE_DEFS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/trace_format.h"

struct fa_trace_defs;

struct fa_trace_defs *fa_trace_defs_new(void);   /* NULL: out of memory */
void fa_trace_defs_free(struct fa_trace_defs *d); /* NULL is fine */

/* A record that was written; others than definitions are passed over. 0 or -ENOMEM. */
int fa_trace_defs_take(struct fa_trace_defs *d, const struct fa_record_header *header,
		       const void *head, const void *tail, size_t tail_len,
		       const void *tail2) FA_MUST_USE;

/* No process of this family will come any more. */
void fa_trace_defs_forget(struct fa_trace_defs *d, uint32_t arena);

/* Each record as it is in a block, in an order in which each stands before what refers to it. Processes
 * are incomplete now. Stops at the first -errno of `put` and returns it. */
int fa_trace_defs_write(const struct fa_trace_defs *d,
			int (*put)(void *ctx, const void *record, size_t len),
			void *ctx) FA_MUST_USE;

#endif
