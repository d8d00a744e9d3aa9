/* stage.h - how early firstallocd starts with the machine. Any thread. */
#ifndef FA_STAGE_H
#define FA_STAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

#define FA_STAGE_CHOICES "service|initramfs"

/* NULL: the next boot's initramfs starts firstallocd where that is chosen; else what is missing, in `buf`. Nothing is
 * looked for inside of it: it is taken to have our script when it was made after that. */
const char *fa_stage_lacks(const char *root, char *buf, size_t size);

/* The choice itself. 0 or -errno. */
int fa_stage_set_early(const char *root, bool early) FA_MUST_USE;
bool fa_stage_is_early(const char *root);

#endif
