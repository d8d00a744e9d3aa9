/* pids.h - processes that a command names: the option --pid of start and update, and what came of each. */
#ifndef FA_CLI_PIDS_H
#define FA_CLI_PIDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "cli/command.h"

enum { FA_PIDS_MAX = 1024 };

struct fa_pids {
	int32_t pid[FA_PIDS_MAX];
	unsigned count;
	bool flagged; /* those that a rule flags: a PID 0, or no --pid at all */
};

/* 0, or an exit status, told. */
int fa_pids_parse(const struct fa_cli *cli, const struct fa_option_list *list, struct fa_pids *ret);
/* Each of them into the session, and a line for each, or an element of an array of j; one that cannot be had does not
 * keep the others from it. Returns how many could not. */
unsigned fa_pids_attach(const struct fa_pids *p, int sock, uint64_t session_id, struct fa_json *j);

#endif
