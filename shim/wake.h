/*
 * wake.h - a running process begins to be traced, and ends, in the middle of its life.
 *
 * The doorman writes an order into the process block (format/arena_format.h), and the next heap call obeys: no
 * signal, no stop, no foreign code. A program may have forbidden itself nearly everything by then, and other
 * threads run: so nothing is opened, nothing is walked that could be unloaded, and with FA_WAKE_CAREFUL no
 * system call is made that malloc would not make.
 *
 * Nobody waits for an answer: what happens until it comes is recorded into the arena's first segment, which
 * the doorman finds soon; if that is full, events are counted, and after FA_WAKE_GIVE_UP_NS without an answer
 * the process goes back to sleep.
 *
 * The end: the first thread that sees it makes the process dormant. The arena's address range stays, because
 * another thread may still be at work in it; the doorman gives its pages back. The next order puts a new
 * arena into the same range, once no thread is inside any more (fa_thread_all_out()).
 */
#ifndef FA_WAKE_H
#define FA_WAKE_H

#include "shim/state.h"

/* AT_EXECFN; "" until the gate was asked. */
extern FA_HIDDEN const char *fa_wake_exec_path;

#define FA_WAKE_GIVE_UP_NS 2000000000ULL

/* There is an order: obey it, unless another thread is at it. */
void fa_wake(void);
/* It is over: from here on dormant. The first of the threads that see it counts. */
void fa_wake_end(unsigned reason);
/* No buffer was to be had: has nobody come in all the time since we woke? */
void fa_wake_unanswered(void);

#endif
