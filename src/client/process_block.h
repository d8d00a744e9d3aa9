/* process_block.h - reads the process block that the shim keeps in a process: why is it traced or not? */
#ifndef FA_PROCESS_BLOCK_H
#define FA_PROCESS_BLOCK_H

#include <stdint.h>

#include "base/attr.h"
#include "format/arena_format.h"

/*
 * 0; -ESRCH no such process; -EACCES, -EPERM not ours to look at; -ENOENT: the shim is not mapped
 * there; -EBADMSG: what is mapped is no shim of this version.
 */
int fa_process_block_read(int32_t pid, struct fa_process_block *ret) FA_MUST_USE;
/* The same, and where it lies. */
int fa_process_block_find(int32_t pid, struct fa_process_block *ret,
			  uint64_t *ret_address) FA_MUST_USE;

#endif
