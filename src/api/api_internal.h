/* api_internal.h - what the files of the C library share. */
#ifndef FA_API_INTERNAL_H
#define FA_API_INTERNAL_H

#include "base/attr.h"
#include "firstalloc.h"

/* Remembers the words for this thread and returns `error`. */
int fa_api_fail(int error, const char *format, ...) FA_PRINTF(2, 3);

const char *fa_api_root(void); /* "" for the machine itself */

#endif
