/*
 * careful.h - a process that is born with a system call filter: what the dynamic linker and libc's start
 * call is allowed, or it would not run; madvise may be death, and nobody can be asked which it is. So:
 *   - the kernel is not told to wipe the state page on a fork. Each event goes the longer way, by
 *     fa_active(), and finds a fork by the thread id that libc's fork has written (fa_tracer_has_forked);
 *   - whether memory can be read is asked by prlimit64, which libc has called at its start. When the process
 *     is about to make a filter of its own, no more at all.
 */
#ifndef FA_CAREFUL_H
#define FA_CAREFUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum fa_care { FA_CARE_NONE, FA_CARE_FILTERED, FA_CARE_OWN_FILTER };
extern FA_HIDDEN uint8_t fa_care; /* enum fa_care; set once by the gate */

/* Sets it, by /proc/self/status; where that cannot be read there may be a filter. */
void fa_care_look(void);
/* The program forbids itself something. */
void fa_care_before_filter(void);
/* madvise where there is no filter; else 0 for reading pages that can be read, and -EPERM. */
int fa_advise(const void *page, size_t size, int advice);

#endif
