/* save.h - a circular trace as it is now, into an ordinary one. */
#ifndef FA_TRACE_SAVE_H
#define FA_TRACE_SAVE_H

#include "base/attr.h"
#include "trace/writer.h"

/*
 * What stands in the circular trace `ring`, into the empty file `to`, with `end` behind it. Blocks are
 * copied as they are, so it takes as long as a copy. Nobody may write to the ring meanwhile. Both stay the
 * caller's, who has it synced. 0, -ENOSPC: less than minimum_free would be left; -EBADMSG: the ring is damaged; -errno.
 */
int fa_trace_save(int ring, int to, uint64_t minimum_free, const struct fa_rec_end *end,
		  const char *text, uint64_t *ret_bytes) FA_MUST_USE;

#endif
