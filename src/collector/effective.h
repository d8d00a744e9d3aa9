/*
 * effective.h - what of an autologger's values holds on this machine. For the keeper, which starts it, and for
 * `firstalloc autologger`, which says what will be. Any thread.
 */
#ifndef FA_EFFECTIVE_H
#define FA_EFFECTIVE_H

#include "base/config.h"
#include "format/control_format.h"

/* Odd values become those that hold, each with an override that says so. A second time changes nothing. */
void fa_autologger_effective(struct fa_autologger *a);

/* The session that it is. `a` is effective. */
void fa_autologger_options(const struct fa_autologger *a, struct fa_session_options *o);

/* What a session leaves free: of its options (0: default, ~0: nothing), of the machine's settings (0: default); `v`: the
 * file system, NULL: not known. */
struct statvfs;
uint64_t fa_minimum_free(uint64_t session, uint64_t machine, const struct statvfs *v);

#endif
