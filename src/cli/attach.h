/* attach.h - running processes, by PID: found here, woken by firstallocd with the caller's rights. */
#ifndef FA_CLI_ATTACH_H
#define FA_CLI_ATTACH_H

#include "cli/command.h"
#include "format/control_format.h"
#include "registry/registry.h"

/* What came of one process. */
struct fa_attached {
	int error;     /* 0, or an errno, positive: `text` says why not */
	bool sleeping; /* it takes part from its next heap call on; else it is attached already */
	char image[FA_IMAGE_NAME]; /* "" unknown */
	char text[300];
};

/* Into a session. Prints nothing. */
void fa_attach_pid(int sock, const char *session, int32_t pid, struct fa_attached *ret);
/* Flag it, as the rule (NULL: the one it was started with) would have; who wants it then gets it. */
void fa_attach_flag(int sock, const struct fa_rule *rule, uint32_t rule_id, int32_t pid,
		    struct fa_attached *ret);

/* All processes that were flagged at their start and sleep, as far as the caller may look: flagged anew, so that
 * a session gets them which firstallocd was not there to hear of. Returns how many. */
unsigned fa_attach_flagged(int sock);

#endif
