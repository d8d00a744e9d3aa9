/* stack.h - from where a hook was called to the id of a stack. */
#ifndef FA_STACK_H
#define FA_STACK_H

#include <stdbool.h>

#include "shim/thread.h"
#include "shim/walk.h"

/* Nothing is known of the event before. */
static FA_INLINE void fa_stack_forget(struct fa_thread *t)
{
	t->last = 0;
	t->tried = 0;
	t->recalled = NULL;
}

/* Do the sessions want stacks of other events by now? Cheap; for each thread, when the collector's tick moved. */
void fa_stack_follow(struct fa_thread *t);

/* 0: there is no room for it. nested: for the thread's second stream. */
uint32_t fa_stack_take(struct fa_thread *t, bool nested, const struct fa_regs *regs);

/* The same for the first stream, where the stack is not the one that is foreseen. */
uint32_t fa_stack_changed(struct fa_thread *t, const struct fa_regs *regs);

#endif
