/* bell.h - the doorbell: who is flagged rings once, before any code of the program. */
#ifndef FA_BELL_H
#define FA_BELL_H

#include "shim/state.h"

/* With the arena mapped: when it returns, the arena is answered, or there is nobody who would. */
void fa_bell_ring(void);

/* Of a process that is flagged and refuses: leaves word why (enum fa_reason) with the daemon, or in the
 * folder of `firstalloc run`. */
void fa_bell_refuse(const struct fa_start *start, int32_t pid, unsigned reason);

#endif
