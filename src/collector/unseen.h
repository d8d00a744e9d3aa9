/*
 * unseen.h - why was the shim not heard of in a program that started? From its file alone: the program
 * is gone by then as often as not.
 */
#ifndef FA_UNSEEN_H
#define FA_UNSEEN_H

#include <stdint.h>

#include "base/attr.h"

/*
 * enum fa_reason, in the order in which the gate would refuse it. NOT_LOADED: nothing in the file speaks
 * against it. UNKNOWN: it cannot be read as a program. The bytes are a stranger's: each is checked, and
 * how much is read has a bound.
 */
uint32_t fa_unseen_reason(int exe_fd, int32_t pid);

#endif
