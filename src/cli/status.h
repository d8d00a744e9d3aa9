/* status.h - what status knows, between fetching (cmd_status.c) and showing (status_show.c). */
#ifndef FA_STATUS_H
#define FA_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/command.h"
#include "format/control_format.h"
#include "registry/registry.h"

struct fa_status {
	bool running;
	void *bytes; /* mapped memfd */
	size_t len;
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

void fa_status_text(const struct fa_status *s);
void fa_status_json(const struct fa_status *s);

#endif
