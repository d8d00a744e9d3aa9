/*
 * locks.c - who waits for a lock: pthread mutexes and read-write locks, as the program and its libraries call
 * them. What libc locks inside does not come through here, nor does what pthread_cond_wait takes again.
 *
 * First it is tried: a lock that can be had at once costs that, and is no event. If it is taken, what was called
 * is called, and how long that took is recorded, when it got the lock or gave up by its time. What trying says
 * but "taken" is what locking would have said, too, of a lock of any type.
 */
#include <errno.h>

#include "shim/more.h"

struct wait {
	uint64_t since;
	struct fa_event event;
};

static struct wait begin(const void *lock, uint32_t owner, enum fa_lock_kind kind)
{
	return (struct wait){
		.since = fa_stamp(),
		.event = {.fn = FA_CALL_LOCK, .addr = (uint64_t)lock, .old = owner, .arg = kind}};
}

static int end(struct wait *w, const struct fa_regs *regs, int result)
{
	uint64_t now = fa_stamp();

	if (result != 0 && result != EOWNERDEAD && result != ETIMEDOUT)
		return result;
	if (result == ETIMEDOUT)
		w->event.arg |= FA_LOCK_TIMED_OUT;
	/* A clock that went back: it moved to another CPU. */
	w->event.size = now > w->since ? now - w->since : 0;
	fa_record_call(regs, &w->event);
	return result;
}

#define MUTEX(name, parameters, ...)                                                               \
	int fa_hook_pthread_mutex_##name parameters                                                \
	{                                                                                          \
		struct wait w;                                                                     \
		int r;                                                                             \
                                                                                                   \
		if (!fa_more_wanted(FA_TRACING_LOCK))                                              \
			return fa_more.pthread_mutex_##name(__VA_ARGS__);                          \
		r = fa_more.pthread_mutex_trylock(lock);                                           \
		if (r != EBUSY)                                                                    \
			return r;                                                                  \
		w = begin(lock, (uint32_t)lock->__data.__owner, FA_LOCK_MUTEX);                    \
		return end(&w, regs, fa_more.pthread_mutex_##name(__VA_ARGS__));                   \
	}

MUTEX(lock, (pthread_mutex_t * lock, const struct fa_regs *regs), lock)
MUTEX(timedlock, (pthread_mutex_t * lock, const struct timespec *until, const struct fa_regs *regs),
      lock, until)
MUTEX(clocklock,
      (pthread_mutex_t * lock, clockid_t clock, const struct timespec *until,
       const struct fa_regs *regs),
      lock, clock, until)

/* Only a writer is known by name. */
#define RWLOCK(name, try, kind, parameters, ...)                                                   \
	int fa_hook_pthread_rwlock_##name parameters                                               \
	{                                                                                          \
		struct wait w;                                                                     \
		int r;                                                                             \
                                                                                                   \
		if (!fa_more_wanted(FA_TRACING_LOCK))                                              \
			return fa_more.pthread_rwlock_##name(__VA_ARGS__);                         \
		r = fa_more.pthread_rwlock_##try(lock);                                            \
		if (r != EBUSY)                                                                    \
			return r;                                                                  \
		w = begin(lock, (uint32_t)lock->__data.__cur_writer, kind);                        \
		return end(&w, regs, fa_more.pthread_rwlock_##name(__VA_ARGS__));                  \
	}

#define RWLOCKS(way, kind)                                                                         \
	RWLOCK(way##lock, try##way##lock, kind,                                                    \
	       (pthread_rwlock_t * lock, const struct fa_regs *regs), lock)                        \
	RWLOCK(timed##way##lock, try##way##lock, kind,                                             \
	       (pthread_rwlock_t * lock, const struct timespec *until,                             \
		const struct fa_regs *regs),                                                       \
	       lock, until)                                                                        \
	RWLOCK(clock##way##lock, try##way##lock, kind,                                             \
	       (pthread_rwlock_t * lock, clockid_t clock, const struct timespec *until,            \
		const struct fa_regs *regs),                                                       \
	       lock, clock, until)

RWLOCKS(rd, FA_LOCK_READ)
RWLOCKS(wr, FA_LOCK_WRITE)
