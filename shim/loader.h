/*
 * loader.h - who loads and unloads modules (FA_TRACING_LOADER): dlopen, dlmopen, dlclose.
 *
 * What dlopen finds depends on who calls it, which it learns from its return address (RUNPATH, the caller's
 * namespace). So it is not called but jumped to, the caller's return address in place, and its outcome is seen later:
 *
 * 1. The entry point takes the stack (fa_hook_dlopen()), and has the thread's next heap call look here.
 * 2. The dynamic linker allocates between the mapping of the last module and its use. There, in the same
 *    thread, under the linker's lock, its list of modules can be read: what is in it and not yet known to
 *    _dl_find_object is what is being loaded (a struct load).
 * 3. The thread's next look that finds it there tells it; one that is gone instead was of a dlopen that failed.
 *
 * dlclose is called: what is gone after it is its work. What came or went otherwise (libc loads modules by
 * itself, dlopen is not ours where RTLD_DEEPBIND hides it) is found when one of these is called, by dl_iterate_phdr,
 * when a stack goes through it, or, gone, by a look now and then; it is told without a stack. No lock is ever
 * asked for where the program has not asked for the same.
 */
#ifndef FA_LOADER_H
#define FA_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "format/event_format.h"
#include "shim/unwind.h"

/* Of each thread. */
struct fa_loading {
	uint64_t frame, back; /* of its last dlopen: where the return address is, and what */
	uint64_t since;
	uint32_t stack, how;
	uint32_t on;     /* that one may not have returned yet */
	uint32_t looks;  /* since then */
	uint32_t loads;  /* that are not decided yet */
	uint32_t cursor; /* next module to be looked at, from 1; 0: none */
};

/* With the thread's writer entered, outside of nested events. */

/* By the way of the linker's lock: only where dlopen or dlclose, which ask for the same, are called. */
void fa_loader_catch_up(struct fa_loading *l);
void fa_loader_begin(struct fa_loading *l, const struct fa_regs *regs, uint32_t how, uint32_t stack);
/* `own`: the stack that regs->rsp lies on, as far as that is known. */
void fa_loader_look(struct fa_loading *l, const struct fa_regs *regs,
		    const struct fa_stack_bounds *own);
/* What is to be recorded after a look: a CALL, with stack. false: no more. */
bool fa_loader_next(struct fa_loading *l, const struct fa_regs *regs,
		    const struct fa_stack_bounds *own, struct fa_event *ret);
/* Is the thread's next heap call to look, too? */
static inline bool fa_loader_again(const struct fa_loading *l)
{
	return l->on != 0;
}

void fa_loader_reset(void); /* with fa_unwind_reset() */
void fa_loader_fork(const struct fa_loading *l); /* in a fork child; NULL: the thread has nothing */

/* What the entry points call. */
void fa_hook_dlopen(const struct fa_regs *regs, uint32_t how);
int fa_hook_dlclose(void *handle, const struct fa_regs *regs);

#endif
