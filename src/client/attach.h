/* attach.h - running processes, by PID: found here, woken by firstallocd with the caller's rights. */
#ifndef FA_CLIENT_ATTACH_H
#define FA_CLIENT_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include "format/control_format.h"

/* What came of one process. */
struct fa_attached {
	int error;     /* 0, or an errno, positive: `text` says why not. EOPNOTSUPP: it cannot be traced */
	bool sleeping; /* it takes part from its next heap call on; else it is attached already */
	char image[FA_IMAGE_NAME]; /* "" unknown */
	char text[300];
};

/* Into a session, by the id that START answered: a name may be of several. */
void fa_attach_pid(int sock, uint64_t session_id, int32_t pid, struct fa_attached *ret);
/* Flag it, as a rule says (NULL: the one it was started with); who wants it then gets it. Of `as` what a rule
 * can say counts, from tracing_flags on. */
void fa_attach_flag(int sock, const struct fa_attach *as, int32_t pid, struct fa_attached *ret);

/* All processes that were flagged at their start by the rules below `root` and sleep, as far as the caller may look:
 * flagged anew, so that a session gets them which firstallocd was not there to hear of; and fork children that had not
 * used the heap when their session stopped, whom nobody has seen. Returns how many. */
unsigned fa_attach_flagged(int sock, const char *root);

#endif
