/*
 * families.h - the families of one `firstalloc run`: adopts the arenas that come into its folder and
 * reads them as often as they need it. One thread, no printing.
 */
#ifndef FA_FAMILIES_H
#define FA_FAMILIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "collector/drain.h"
#include "collector/rundir.h"

struct fa_families;

struct fa_families_totals {
	uint64_t events;
	uint64_t lost; /* of all causes */
	uint64_t processes;
	uint64_t refused; /* arenas of another version or clock */
	uint64_t refusing; /* programs that said why they do not want to be traced */
};

/* only: base names of executables, the others are not recorded; count 0: all are. Borrows all. */
int fa_families_new(struct fa_rundir *dir, const struct fa_sink *sink, const char *const *only,
		    int only_count, struct fa_families **ret) FA_MUST_USE;

/*
 * One turn: arenas and segments that came, tick, and what is due of draining and reaping. Returns the
 * milliseconds until the next turn is due (less when that is more than one and fa_rundir_poll_fd() is
 * readable: who starts one program after the other need not wake us for each), or -errno of
 * the sink: then call fa_families_detach().
 */
int fa_families_turn(struct fa_families *s) FA_MUST_USE;

/* A process ended with this wait status. */
void fa_families_exited(struct fa_families *s, int32_t pid, int32_t status);

/* Did an arena of this process ever come, whether it was wanted or not? To be asked for one pid only, which
 * fa_families_expect() named before the process could run. */
void fa_families_expect(struct fa_families *s, int32_t pid);
bool fa_families_came(const struct fa_families *s);
/* Why the expected process refused (enum fa_reason); 0: it said nothing. */
uint32_t fa_families_refusal(const struct fa_families *s);

/* Of each process whose arena, or whose word that it refuses, comes from now on. */
void fa_families_tell(struct fa_families *s, void (*came)(void *ctx, int32_t pid), void *ctx);

/* No family is left, and has not been for long enough that none of them goes on as another program. */
bool fa_families_empty(const struct fa_families *s);

/* Read all for the last time; those who still live get PROCESS_END, reason 1. 0 or -errno. */
int fa_families_finish(struct fa_families *s) FA_MUST_USE;

/* Tell all to stop recording, and forget them. */
void fa_families_detach(struct fa_families *s);

struct fa_families_totals fa_families_total(const struct fa_families *s);
void fa_families_free(struct fa_families *s); /* NULL is fine */

#endif
