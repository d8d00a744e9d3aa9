/* range.h - ranges and moments of time, for the commands that read traces. */
#ifndef FA_CLI_RANGE_H
#define FA_CLI_RANGE_H

#include <stdint.h>

#include "analysis/live.h"
#include "cli/command.h"

/*
 * "T1,T2": each a time since the trace at `path` began, or mark:TEXT, or nothing. text NULL: both outputs
 * are left as they are. 0, or the exit status after a line on stderr.
 */
int fa_range_parse(const struct fa_cli *cli, const char *text, const char *path, uint64_t *ret_lo,
		   uint64_t *ret_hi) FA_MUST_USE;

/*
 * "end", "peak", a time since the trace at `path` began, mark:TEXT, or snapshot:N. 0, or the exit status after a line on stderr
 * that names the option.
 */
int fa_moment_parse(const struct fa_cli *cli, const char *option, const char *text,
		    const char *path, struct fa_moment *ret) FA_MUST_USE;

#endif
