/* range.h - ranges of time, for report and dump. */
#ifndef FA_CLI_RANGE_H
#define FA_CLI_RANGE_H

#include <stdint.h>

#include "cli/command.h"

/*
 * "T1,T2": each a time since the trace at `path` began, or mark:TEXT, or nothing. text NULL: both outputs
 * are left as they are. 0, or the exit status after a line on stderr.
 */
int fa_range_parse(const struct fa_cli *cli, const char *text, const char *path, uint64_t *ret_lo,
		   uint64_t *ret_hi) FA_MUST_USE;

#endif
