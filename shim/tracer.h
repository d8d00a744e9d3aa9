/*
 * tracer.h - from a heap call to bytes in a buffer. Runs in the traced process on every heap call:
 * no lock, no atomic read-modify-write and no system call but on the paths that are named slow.
 */
#ifndef FA_TRACER_H
#define FA_TRACER_H

#include <stdbool.h>
#include <stddef.h>

#include "shim/state.h"
#include "shim/unwind.h"

/* Before the arena is made; again for a process that is woken. pid: of this process. careful: no system call
 * but those that malloc makes. 0 or the reason why this process cannot be traced (enum fa_reason). */
unsigned fa_tracer_init(int32_t pid, bool careful);

/* Is no thread at work in the tracer? Then all that they keep of an arena that is over can be thrown away, for
 * another one. */
bool fa_tracer_is_out(void);
void fa_tracer_alone(void); /* a fork child that was not in the family */
void fa_tracer_renew(void);

/* The calling thread is about to fork. */
void fa_tracer_before_fork(void);

/* In a fork child of an active process: take a place in the family. false: there is none. */
bool fa_tracer_join(void);

/* Has this process forked since the calling thread was here last, as far as libc knows? For who is not told by the kernel. */
bool fa_tracer_has_forked(void);

bool fa_active_otherwise(void); /* careful.c */

/* Is this call to be recorded, and no more? (Not so where there is a table: table.h.) Asks first where nothing is known yet, or the doorman has woken us. The state is
 * looked at once: between two looks a handler may fork, and the child would ask no more. */
static FA_INLINE bool fa_active(void)
{
	return FA_LIKELY(fa_state_is_plain()) || fa_active_otherwise();
}

/* Write an event. fn: enum fa_alloc_function. old, p: 0, NULL: no such block. */
void fa_record_alloc(const struct fa_regs *regs, const void *p, size_t size, unsigned fn,
		     unsigned align_log2);
/* may_walk: all of *regs is valid. The entry point may have seen that frees take no stacks, and now they do. */
void fa_record_free(const struct fa_regs *regs, const void *p, bool may_walk);
void fa_record_realloc(const struct fa_regs *regs, uint64_t old, const void *p, size_t size,
		       int is_array);

/* A call that is none of the heap's; of *call: fn (enum fa_call), addr, size, old, arg. */
struct fa_event;
void fa_record_call(const struct fa_regs *regs, const struct fa_event *call);

/* For loader.c: tell what has become of modules; opens: from here on dlopen is at work (how: enum fa_load_how). */
void fa_tracer_loads(const struct fa_regs *regs, bool opens, uint32_t how);

/* For the table: the stack of this call, and above it the thread's serial. FA_NO_STACK: the tracer cannot be
 * entered. */
#define FA_NO_STACK UINT64_MAX
uint64_t fa_tracer_stack(const struct fa_regs *regs, uint32_t event);
int32_t fa_tracer_tid(void); /* the calling thread's, after that */

/* The common events, of a process that is ACTIVE as far as the entry point saw. A free without a stack:
 * of *regs only rip and rsp are valid. An allocation by malloc, and by calloc; returns p. What a realloc gave,
 * NULL as well. */
void fa_record_free_quick(const void *p, const struct fa_regs *regs);
void fa_record_free_stacked(const void *p, const struct fa_regs *regs); /* with one: all of them are */
void *fa_record_malloc_quick(void *p, size_t size, const struct fa_regs *regs);
void *fa_record_calloc_quick(void *p, size_t size, const struct fa_regs *regs);
void *fa_record_realloc_quick(void *p, void *old, size_t size, const struct fa_regs *regs);

/* From here on this thread, and those that it starts, may read no clock. */
void fa_tracer_forbid_clock(void);

/* Before the program's prctl() is done (hooks.S). */
void fa_before_prctl(int option, unsigned long argument);
/* Before fork() or _Fork(). */
void fa_before_fork(void);

/* What the entry points call (hooks.S). */
void *fa_hook_malloc(size_t size, const struct fa_regs *regs);
void fa_hook_free(void *block, const struct fa_regs *regs);
void *fa_hook_calloc(size_t count, size_t size, const struct fa_regs *regs);
void *fa_hook_realloc(void *block, size_t size, const struct fa_regs *regs);
void *fa_hook_reallocarray(void *block, size_t count, size_t size, const struct fa_regs *regs);
int fa_hook_posix_memalign(void **ret, size_t alignment, size_t size, const struct fa_regs *regs);
void *fa_hook_aligned_alloc(size_t alignment, size_t size, const struct fa_regs *regs);
void *fa_hook_memalign(size_t alignment, size_t size, const struct fa_regs *regs);
void *fa_hook_valloc(size_t size, const struct fa_regs *regs);
void *fa_hook_pvalloc(size_t size, const struct fa_regs *regs);
void fa_hook_free_sized(void *block, size_t size, const struct fa_regs *regs);
void fa_hook_free_aligned_sized(void *block, size_t alignment, size_t size,
				const struct fa_regs *regs);

#endif
