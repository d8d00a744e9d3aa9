/*
 * more.h - the calls that are traced beside the heap: entry points in hooks_more.S.
 *
 * What they go on to (fa_more) is found when it is first called, not at the start: most programs call few
 * of them, and each start of each program would pay for all. Until then a slot holds a stub, which finds
 * the function, puts it there and goes on to it; so a slot may be called or jumped to at any time.
 */
#ifndef FA_MORE_H
#define FA_MORE_H

/* X(number, name): the slots, in their order. */
#define FA_MORE(X)                                                                                 \
	X(0, mmap)                                                                                 \
	X(1, mmap64)                                                                               \
	X(2, munmap)                                                                               \
	X(3, mremap)                                                                               \
	X(4, brk)                                                                                  \
	X(5, sbrk)                                                                                 \
	X(6, mprotect)                                                                             \
	X(7, pthread_mutex_lock)                                                                   \
	X(8, pthread_mutex_trylock)                                                                \
	X(9, pthread_mutex_timedlock)                                                              \
	X(10, pthread_mutex_clocklock)                                                             \
	X(11, pthread_rwlock_rdlock)                                                               \
	X(12, pthread_rwlock_tryrdlock)                                                            \
	X(13, pthread_rwlock_timedrdlock)                                                          \
	X(14, pthread_rwlock_clockrdlock)                                                          \
	X(15, pthread_rwlock_wrlock)                                                               \
	X(16, pthread_rwlock_trywrlock)                                                            \
	X(17, pthread_rwlock_timedwrlock)                                                          \
	X(18, pthread_rwlock_clockwrlock)                                                          \
	X(19, dlopen)                                                                              \
	X(20, dlmopen)                                                                             \
	X(21, dlclose)

/* enum fa_tracing_flags, for the assembler; compared in more.c. */
#define FA_BESIDE_LOCK   0x2
#define FA_BESIDE_LOADER 0x4
#define FA_BESIDE_VM     0x20

#define FA_BY_DLOPEN  0 /* enum fa_load_how */
#define FA_BY_DLMOPEN 0x10000

#ifndef __ASSEMBLER__

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/attr.h"
#include "format/event_format.h"
#include "shim/arena.h"
#include "shim/tracer.h"

typedef void *fa_mmap_fn(void *address, size_t size, int prot, int flags, int fd, off_t offset);

struct fa_more {
	fa_mmap_fn *mmap;
	fa_mmap_fn *mmap64;
	int (*munmap)(void *address, size_t size);
	void *(*mremap)(void *old, size_t old_size, size_t size, int flags, void *address);
	int (*brk)(void *end);
	void *(*sbrk)(intptr_t by);
	int (*mprotect)(void *address, size_t size, int prot);
	int (*pthread_mutex_lock)(pthread_mutex_t *lock);
	int (*pthread_mutex_trylock)(pthread_mutex_t *lock);
	int (*pthread_mutex_timedlock)(pthread_mutex_t *lock, const struct timespec *until);
	int (*pthread_mutex_clocklock)(pthread_mutex_t *lock, clockid_t clock,
				       const struct timespec *until);
	int (*pthread_rwlock_rdlock)(pthread_rwlock_t *lock);
	int (*pthread_rwlock_tryrdlock)(pthread_rwlock_t *lock);
	int (*pthread_rwlock_timedrdlock)(pthread_rwlock_t *lock, const struct timespec *until);
	int (*pthread_rwlock_clockrdlock)(pthread_rwlock_t *lock, clockid_t clock,
					  const struct timespec *until);
	int (*pthread_rwlock_wrlock)(pthread_rwlock_t *lock);
	int (*pthread_rwlock_trywrlock)(pthread_rwlock_t *lock);
	int (*pthread_rwlock_timedwrlock)(pthread_rwlock_t *lock, const struct timespec *until);
	int (*pthread_rwlock_clockwrlock)(pthread_rwlock_t *lock, clockid_t clock,
					  const struct timespec *until);
	void *(*dlopen)(const char *name, int mode);
	void *(*dlmopen)(long space, const char *name, int mode);
	int (*dlclose)(void *handle);
};
extern FA_HIDDEN struct fa_more fa_more;

/* Is this kind of calls to be recorded (enum fa_tracing_flags)? */
static FA_INLINE bool fa_more_wanted(uint32_t flag)
{
	return (fa_active() || fa_state_now() == FA_ACTIVE) && (fa_arena.wish.tracing_flags & flag) != 0;
}

/* For the stubs: the function of a slot; what stands for it, if there is none. */
void *fa_more_find(unsigned slot);

/* What the entry points call. */
void *fa_hook_mmap(void *address, size_t size, int prot, int flags, int fd, off_t offset,
		   const struct fa_regs *regs);
void *fa_hook_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset,
		     const struct fa_regs *regs);
int fa_hook_munmap(void *address, size_t size, const struct fa_regs *regs);
void *fa_hook_mremap(void *old, size_t old_size, size_t size, int flags, void *address,
		     const struct fa_regs *regs);
int fa_hook_brk(void *end, const struct fa_regs *regs);
void *fa_hook_sbrk(intptr_t by, const struct fa_regs *regs);
int fa_hook_mprotect(void *address, size_t size, int prot, const struct fa_regs *regs);

int fa_hook_pthread_mutex_lock(pthread_mutex_t *lock, const struct fa_regs *regs);
int fa_hook_pthread_mutex_timedlock(pthread_mutex_t *lock, const struct timespec *until,
				    const struct fa_regs *regs);
int fa_hook_pthread_mutex_clocklock(pthread_mutex_t *lock, clockid_t clock,
				    const struct timespec *until, const struct fa_regs *regs);
int fa_hook_pthread_rwlock_rdlock(pthread_rwlock_t *lock, const struct fa_regs *regs);
int fa_hook_pthread_rwlock_timedrdlock(pthread_rwlock_t *lock, const struct timespec *until,
				       const struct fa_regs *regs);
int fa_hook_pthread_rwlock_clockrdlock(pthread_rwlock_t *lock, clockid_t clock,
				       const struct timespec *until, const struct fa_regs *regs);
int fa_hook_pthread_rwlock_wrlock(pthread_rwlock_t *lock, const struct fa_regs *regs);
int fa_hook_pthread_rwlock_timedwrlock(pthread_rwlock_t *lock, const struct timespec *until,
				       const struct fa_regs *regs);
int fa_hook_pthread_rwlock_clockwrlock(pthread_rwlock_t *lock, clockid_t clock,
				       const struct timespec *until, const struct fa_regs *regs);

#endif
#endif
