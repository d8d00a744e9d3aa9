/* append.h - may a session go on in this trace? Only for cmd_start.c. */
#ifndef FA_CLI_APPEND_H
#define FA_CLI_APPEND_H

#include <stdint.h>

#include "base/attr.h"

/*
 * The file `path`, open as fd for reading and writing. It must be a whole trace of this machine and boot,
 * with the clock of this kernel: then stamps of both go on in one order. *ret_first_id: the highest id of a
 * process or family in it. 0, or the exit status after one line on stderr.
 */
int fa_append_check(const char *path, int fd, uint32_t *ret_first_id) FA_MUST_USE;

#endif
