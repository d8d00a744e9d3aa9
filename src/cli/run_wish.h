/* run_wish.h - `firstalloc run`: what is to be recorded, as the shim reads it. */
#ifndef FA_CLI_RUN_WISH_H
#define FA_CLI_RUN_WISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "cli/command.h"

/* As the options have it; NULL: not given. */
struct fa_run_wish {
	const char *flags;
	const char *stacks;
	const char *stamp;
	uint32_t depth;
	bool record_args;
};

/* "depth,stacks,stamp,flags,options" (FA_RUN_OPTS). 0 or an exit status, told. */
int fa_run_wish_text(const struct fa_cli *cli, const struct fa_run_wish *wish, char *buf,
		     size_t size) FA_MUST_USE;

#endif
