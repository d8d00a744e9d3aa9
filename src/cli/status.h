/* status.h - what status knows, between fetching (status_fetch.c) and showing (status_show.c). */
#ifndef FA_STATUS_H
#define FA_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "cli/client.h"
#include "cli/command.h"
#include "client/process_block.h"
#include "format/control_format.h"
#include "registry/registry.h"

struct fa_status {
	bool running;
	struct fa_client_status got;
	struct fa_status_header h;
	const struct fa_status_session *session;
	const struct fa_status_process *process;
	const struct fa_status_thread *thread; /* none unless they were asked for */
	struct fa_status_coverage *coverage; /* a copy: reasons are refined */
	struct fa_rule_list armed;
	bool armed_known;
	uint32_t off; /* enum fa_off */
	const char *root;
	const char *how; /* how firstallocd runs */
};

/* status_fetch.c. 0 also when no firstallocd runs; else one line on stderr and the exit status. */
int fa_status_fetch(const struct fa_cli *cli, bool threads, struct fa_status *ret) FA_MUST_USE;
void fa_status_done(struct fa_status *s);
const struct fa_status_process *fa_status_find(const struct fa_status *s, int32_t pid);
/* enum fa_reason, from the best witness: firstallocd, then the process's own block (as
 * fa_process_block_read() returned it). */
uint32_t fa_status_reason(const struct fa_status *s, int32_t pid, int block_error,
			  const struct fa_process_block *b);

/* status_threads.c. Of the process at this place in the status; text: `all`, or those that lost something. */
void fa_threads_text(const struct fa_status *s, uint32_t process, bool all);
void fa_threads_json(struct fa_json *j, const struct fa_status *s, uint32_t process);
void fa_causes_json(struct fa_json *j, const uint64_t lost_by[FA_LOST_CAUSES]);

void fa_status_text(const struct fa_status *s);
void fa_status_json(const struct fa_status *s);

#endif
