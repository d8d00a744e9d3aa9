/* pack.h - traces of sessions that have ended, made small. */
#ifndef FA_CLI_PACK_H
#define FA_CLI_PACK_H

#include <stdint.h>

/*
 * These files (-1: none) were written as they came: each is written again, smaller, where it lies (trace/repack.h), and
 * closed. One that cannot be stays as it is. A signal that would end the command ends this instead; on a terminal it
 * shows how far it is. Returns how many bytes were saved.
 */
uint64_t fa_pack_files(int *fds, int count);

#endif
