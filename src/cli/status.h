/* status.h - what status knows, between fetching (status_fetch.c) and showing (status_show.c). */
#ifndef FA_STATUS_H
#define FA_STATUS_H

#include <stdbool.h>
#include <stddef.h>

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
	struct fa_status_coverage *coverage; /* a copy: reasons are refined */
	struct fa_rule_list armed;
	bool armed_known;
	uint32_t off; /* enum fa_off */
	const char *root;
	const char *how; /* how firstallocd runs */
};

/* status_fetch.c. 0 also when no firstallocd runs; else one line on stderr and the exit status. */
int fa_status_fetch(const struct fa_cli *cli, struct fa_status *ret) FA_MUST_USE;
void fa_status_done(struct fa_status *s);
const struct fa_status_process *fa_status_find(const struct fa_status *s, int32_t pid);
/* enum fa_reason, from the best witness: firstallocd, then the process's own block (as
 * fa_process_block_read() returned it). */
uint32_t fa_status_reason(const struct fa_status *s, int32_t pid, int block_error,
			  const struct fa_process_block *b);

void fa_status_text(const struct fa_status *s);
void fa_status_json(const struct fa_status *s);

#endif
