/*
 * repack.h - a trace that was written in haste, made small afterwards.
 *
 * Compression is the largest part of a collector's work, and where it shares the only processor with
 * the program that is traced, that is the program's time. So the file may be written raw and packed
 * when nobody waits for the collector any more.
 */
#ifndef FA_REPACK_H
#define FA_REPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

/* Told now and then: bytes of the file that are done, of how many. False: stop. */
typedef bool fa_repack_go_on(void *ctx, uint64_t done, uint64_t size);

/*
 * Write the ended trace at `path`, which is the file that `fd` has open, again with zstd, beside it, and
 * rename that over it: at any moment there is one whole trace at `path`. *ret_bytes is its new size.
 * Returns 0; else the file stays as it is, and nothing of ours beside it: -ENODATA it would save less
 * than an eighth, -ECANCELED told to stop, -ENOSPC, -EBADMSG it is damaged or not ended, -ESTALE the path
 * names another file, or several names do this one; -errno.
 */
int fa_trace_repack(const char *path, int fd, fa_repack_go_on *go_on, void *ctx,
		    uint64_t *ret_bytes) FA_MUST_USE;

#endif
