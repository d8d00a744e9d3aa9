/*
 * run_starts.h - programs that a command of `firstalloc run` starts and that do not come to be traced.
 *
 * The kernel tells of starts where it is asked (collector/connector.h); what a program is is looked at while it
 * runs, now and then and not at once, because waking up for each start would cost the command more than
 * the loss of a name. Who was gone by then and never came is counted as unknown.
 */
#ifndef FA_RUN_STARTS_H
#define FA_RUN_STARTS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "collector/drain.h"

struct fa_run_starts;

/* NULL: the kernel does not tell us, or no memory; every other function takes that. */
struct fa_run_starts *fa_run_starts_new(void);
void fa_run_starts_watch(struct fa_run_starts *s, pid_t command); /* before it runs */
void fa_run_starts_turn(struct fa_run_starts *s);
void fa_run_starts_came(void *starts, int32_t pid); /* for fa_families_tell() */

/*
 * At the end: COVERAGE of each that did not come. `but`: not of this pid's first program, 0: of all. `only`: base
 * names. How many there were, unknown ones among them, or -errno of the sink.
 */
int64_t fa_run_starts_finish(struct fa_run_starts *s, pid_t but, const char *const *only, int only_count,
			     const struct fa_sink *sink) FA_MUST_USE;
void fa_run_starts_free(struct fa_run_starts *s);

#endif
