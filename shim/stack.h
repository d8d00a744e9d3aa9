/* stack.h - from where a hook was called to the id of a stack. */
#ifndef FA_STACK_H
#define FA_STACK_H

#include <stdbool.h>

#include "shim/thread.h"

/* 0: there is no room for it. nested: for the thread's second stream. */
uint32_t fa_stack_take(struct fa_thread *t, bool nested, const struct fa_regs *regs);

/* The same for the first stream, where fa_recall_find() did not know it. */
uint32_t fa_stack_walk(struct fa_thread *t, const struct fa_regs *regs);

#endif
