/*
 * losers.c - which thread lost events (struct fa_arena_loser): read, told by THREAD_LOST, and given back.
 */
#include <stdlib.h>

#include "collector/family_internal.h"

/* The `at`-th place over all segments; NULL: there are not so many. */
static struct fa_arena_loser *loser_at(const struct fa_family *f, uint32_t at)
{
	uint32_t count;

	for (unsigned k = 0; k < f->segments; k++) {
		struct fa_arena_loser *l = fa_arena_losers(f->segment[k].base, k, &count);

		if (at < count)
			return l + at;
		at -= count;
	}
	return NULL;
}

static uint32_t slot_of(uint64_t who)
{
	return (uint32_t)(who >> 56) - 1;
}

static uint32_t serial_of(uint64_t who)
{
	return (uint32_t)(who >> 24) & 0x7fffffff;
}

void family_add_thread_lost(struct fa_family *f, struct fa_process *p, uint32_t serial, unsigned cause, uint64_t count)
{
	struct fa_rec_thread_lost r = {
		.process = p->record.process,
		.thread = serial,
		.cause = cause,
		.count = count,
		.stamp = fa_drain_stamp(f->header.clock_source),
	};
	struct fa_thread *t = family_thread(p, serial);

	if (t != NULL)
		t->lost[cause] += count;
	family_emit(f, FA_TAG_THREAD_LOST, &r, sizeof(r), NULL, 0, NULL, 0);
}

/* A thread that found no buffer yet is met here. */
static void read_loser(struct fa_family *f, const struct fa_arena_loser *l, struct fa_loser *seen)
{
	uint64_t who = __atomic_load_n(&l->who, __ATOMIC_ACQUIRE);
	uint32_t slot = slot_of(who);
	struct fa_process *p = slot < FA_ARENA_PROCESSES ? f->slot[slot] : NULL;

	if (p == NULL || seen->done)
		return;
	if (seen->who != who)
		*seen = (struct fa_loser){.who = who};
	family_meet_thread(f, p, serial_of(who), (int32_t)(who & 0xffffff), 0);
	for (unsigned c = 0; c < FA_LOSER_CAUSES; c++) {
		uint64_t now = arena_load64(&l->lost[c]);

		if (now <= seen->lost[c])
			continue;
		family_add_thread_lost(f, p, serial_of(who), c, now - seen->lost[c]);
		p->lost_told[c] += now - seen->lost[c];
		seen->lost[c] = now;
	}
}

/* The first place is the first that is taken. */
bool family_has_losers(const struct fa_family *f)
{
	return f->loser != NULL || __atomic_load_n(&loser_at(f, 0)->who, __ATOMIC_RELAXED) != 0;
}

void family_read_losers(struct fa_family *f)
{
	const struct fa_arena_loser *l;

	if (f->loser == NULL)
		f->loser = calloc(FA_LOSERS_MAX, sizeof(*f->loser));
	for (uint32_t i = 0; f->loser != NULL && (l = loser_at(f, i)) != NULL; i++)
		read_loser(f, l, &f->loser[i]);
}

static void give_back(struct fa_family *f, uint32_t at)
{
	struct fa_arena_loser *l = loser_at(f, at);

	memset(&f->loser[at], 0, sizeof(f->loser[at]));
	for (unsigned c = 0; c < FA_LOSER_CAUSES; c++)
		__atomic_store_n(&l->lost[c], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&l->who, 0, __ATOMIC_RELEASE);
}

void family_end_losers(struct fa_family *f, uint32_t slot, const struct fa_thread *t)
{
	for (uint32_t i = 0; f->loser != NULL && i < FA_LOSERS_MAX; i++) {
		const struct fa_loser *seen = &f->loser[i];

		if (seen->who == 0 || slot_of(seen->who) != slot || (t != NULL && serial_of(seen->who) != t->serial))
			continue;
		f->loser[i].done = f->release_due = true;
		if (!f->deferred)
			give_back(f, i);
	}
}

void family_release_losers(struct fa_family *f)
{
	for (uint32_t i = 0; f->loser != NULL && i < FA_LOSERS_MAX; i++)
		if (f->loser[i].done)
			give_back(f, i);
}

bool family_holds_loser(const struct fa_family *f, uint32_t place)
{
	const struct fa_arena_loser *l = loser_at(f, place);

	return l != NULL && __atomic_load_n(&l->who, __ATOMIC_RELAXED) == f->loser[place].who;
}

void family_recount_losers(struct fa_family *f)
{
	for (uint32_t i = 0; f->loser != NULL && i < FA_LOSERS_MAX; i++) {
		const struct fa_loser *seen = &f->loser[i];
		uint32_t slot = slot_of(seen->who);
		struct fa_thread *t;

		if (seen->who == 0 || seen->done || slot >= FA_ARENA_PROCESSES || f->slot[slot] == NULL)
			continue;
		t = family_thread(f->slot[slot], serial_of(seen->who));
		for (unsigned c = 0; t != NULL && c < FA_LOSER_CAUSES; c++)
			t->lost[c] += seen->lost[c];
	}
}
