/*
 * losers.c - which thread lost events: counted in the arena, beside the sum of the process, for as many threads as it has
 * room for. On the way of an event that is lost only.
 *
 * The thread's count moves before the process's: who sees that one grow finds this one as well.
 */
#include "shim/arena.h"
#include "shim/thread.h"

/* The `at`-th entry, counted over all segments; NULL: there are not so many. */
static struct fa_arena_loser *entry_at(uint32_t at)
{
	uint32_t usable = fa_arena_usable(), count;

	for (uint32_t k = 0; k < usable; k++) {
		struct fa_arena_loser *l = fa_arena_losers(fa_arena.segment[k].base, k, &count);

		if (at < count)
			return l + at;
		at -= count;
	}
	return NULL;
}

static bool is_taken_by(struct fa_arena_loser *l, uint64_t who)
{
	uint64_t has = __atomic_load_n(&l->who, __ATOMIC_RELAXED);

	return has == who || (has == 0 && (__atomic_compare_exchange_n(&l->who, &has, who, false, __ATOMIC_ACQ_REL,
								       __ATOMIC_RELAXED) ||
					   has == who));
}

/* In fa_thread.loser: there was none in so many segments. */
enum { NONE_IN = 1 << 16 };

/* The thread's own. Where it was, the last time; else the first that is free. */
static struct fa_arena_loser *find(struct fa_thread *t)
{
	uint64_t who = fa_loser_who(fa_arena.process, t->serial, t->tid);
	uint32_t none = NONE_IN | fa_arena_usable();
	struct fa_arena_loser *l;

	if (t->loser == none)
		return NULL;
	l = entry_at(t->loser < NONE_IN ? t->loser : 0);
	for (uint32_t i = 0; l != NULL; l = entry_at(i++)) {
		if (!is_taken_by(l, who))
			continue;
		t->loser = i > 0 ? i - 1 : t->loser & (NONE_IN - 1);
		return l;
	}
	t->loser = none;
	return NULL;
}

void fa_thread_count_lost(struct fa_thread *t, enum fa_lost_cause cause)
{
	struct fa_arena_loser *l = t->serial != (uint32_t)FA_SERIAL_NONE ? find(t) : NULL;

	if (l != NULL)
		__atomic_fetch_add(&l->lost[cause], 1, __ATOMIC_RELAXED);
	fa_arena_count_lost(cause, 1);
}
