/*
 * journal.c - what a collector leaves to its successor, so that a killed one costs nothing: not an event
 * twice, not one less.
 *
 * The keeper holds the memory (a memfd) and never reads it. In it stand, as of the last commit: how far
 * each session's trace had come, and how far each family was read. A commit comes when buffers wait to be given
 * back, and with each FlushTimer:
 *
 *   1. all traces are written out;
 *   2. families that have written records are saved, each over the older of its two copies, and the
 *      sessions into the older of two marks;
 *   3. one store of the commit's number makes all of that valid;
 *   4. what was read is given back to the programs.
 *
 * So at any instruction between, the successor finds the state of one commit: it cuts the traces to their
 * length at that time, and all that came later is still in the arenas. A session on a pipe cannot be cut
 * and ends with its collector.
 *
 * A keeper whose collectors crash at once, again and again, empties the journal: the families are then
 * adopted as incomplete, what their arenas hold by then is not read (some of it stands in the traces), and what was
 * lost is said to be unknown.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/collector.h"

#define JOURNAL_MAGIC 0x314c4e524a4146ULL /* "FAJRNL1" */

enum {
	PLACES = 8192,
	COPY_SIZE = 960 << 10, /* of the largest family: see the assertion */
	NAMES_SIZE = FA_SESSIONS_MAX * 8,
	STATE_SIZE = COPY_SIZE - NAMES_SIZE,
	UNCLAIMED_AFTER_S = 3,
};

struct mark {
	uint32_t next_arena, next_process;
	struct {
		uint64_t id; /* 0: free */
		uint64_t mark, events, lost;
		uint64_t lost_by[FA_LOST_CAUSES];
		uint64_t processes;
		uint64_t file, files_begun, pids_since;
		struct in_files before;
	} session[FA_SESSIONS_MAX];
};

struct place {
	uint64_t handle; /* of the arena, 0: free */
	struct {
		uint64_t commit; /* 0: never written */
		uint64_t mask;   /* sessions that know of it, by their places then: see names_at() */
		uint64_t len;
	} copy[2];
};

struct journal {
	uint64_t magic;
	_Atomic uint64_t committed;
	uint64_t overflowed; /* families that found no place */
	struct mark mark[2];
	struct place place[PLACES];
};

/* Of this collector, not of the journal. */
static struct {
	struct mark before; /* of our predecessor */
	bool followed;
	bool claimed[PLACES];
	unsigned current[PLACES]; /* copy that the last commit made valid */
	uint64_t opened_ns;
	uint64_t committed_before;
} mine;

/* Buffers of 16 KB in the largest arena, at about 64 bytes each, slots, holes, losers, threads. */
static_assert(STATE_SIZE > 8192 * 72 + FA_ARENA_PROCESSES * 336 + 2440 * 32 + 8192 * 24, "the largest family fits");

static unsigned char *copy_at(const struct collector *c, int place, unsigned copy)
{
	size_t head = (sizeof(struct journal) + 4095) & ~(size_t)4095;

	return (unsigned char *)c->journal + head +
	       ((size_t)place * 2 + copy) * (size_t)COPY_SIZE;
}

/* A copy begins with the ids of the sessions in its mask: a later commit's marks may have them in other places. */
static uint64_t *names_at(const struct collector *c, int place, unsigned copy)
{
	return (uint64_t *)(void *)copy_at(c, place, copy);
}

static unsigned char *state_at(const struct collector *c, int place, unsigned copy)
{
	return copy_at(c, place, copy) + NAMES_SIZE;
}

/*
 * Copies of a commit that our predecessor did not live to make valid. Their number is that of our first commit: they
 * would seem to be valid from then on.
 */
static void forget_unfinished(struct collector *c)
{
	for (int i = 0; i < PLACES; i++)
		for (int k = 0; k < 2 && c->journal->place[i].handle != 0; k++)
			if (c->journal->place[i].copy[k].commit > mine.committed_before)
				c->journal->place[i].copy[k].commit = 0;
}

void journal_open(struct collector *c, int fd)
{
	size_t size = (size_t)(copy_at(c, PLACES, 0) - (unsigned char *)c->journal);
	void *p;

	mine.opened_ns = fa_mono_ns();
	if (ftruncate(fd, (off_t)size) < 0)
		return;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p == MAP_FAILED)
		return;
	c->journal = p;
	mine.committed_before = atomic_load(&c->journal->committed);
	mine.followed = c->journal->magic == JOURNAL_MAGIC && mine.committed_before > 0 &&
			c->journal->overflowed == 0;
	c->journal->overflowed = 0;
	if (!mine.followed) {
		memset(c->journal, 0, sizeof(*c->journal));
		c->journal->magic = JOURNAL_MAGIC;
		return;
	}
	forget_unfinished(c);
	mine.before = c->journal->mark[mine.committed_before & 1];
	c->ids.next_arena = mine.before.next_arena;
	c->ids.next_process = mine.before.next_process;
}

bool journal_followed(const struct collector *c)
{
	/* Who comes later was given up (journal_turn): what stands of it is no longer known. */
	return c->journal != NULL && mine.followed && mine.opened_ns != 0;
}

bool journal_session(const struct collector *c, struct session *s, uint64_t *ret_mark)
{
	for (unsigned i = 0; i < FA_SESSIONS_MAX && journal_followed(c); i++) {
		if (mine.before.session[i].id != s->id)
			continue;
		*ret_mark = mine.before.session[i].mark;
		s->events = mine.before.session[i].events;
		s->lost = mine.before.session[i].lost;
		memcpy(s->lost_by, mine.before.session[i].lost_by, sizeof(s->lost_by));
		s->processes = (uint32_t)mine.before.session[i].processes;
		s->slot = (uint32_t)mine.before.session[i].file % FA_FILES_MAX;
		s->files_begun = (uint32_t)mine.before.session[i].files_begun;
		s->pids_since = mine.before.session[i].pids_since;
		s->before = mine.before.session[i].before;
		return true;
	}
	return false;
}

/* The sessions that knew of a family and go on, by their places here. */
static uint64_t known_to(const struct collector *c, int place, unsigned copy)
{
	uint64_t now = 0;

	for (uint64_t m = c->journal->place[place].copy[copy].mask; m != 0; m &= m - 1) {
		uint64_t id = names_at(c, place, copy)[__builtin_ctzll(m)];

		for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
			if (c->session[i].used && !c->session[i].ended && c->session[i].id == id)
				now |= 1ull << i;
	}
	return now;
}

/* The copy that the last commit of our predecessor made valid, -1: none. */
static int valid_copy(const struct place *p)
{
	int best = -1;

	for (int i = 0; i < 2; i++)
		if (p->copy[i].commit != 0 && p->copy[i].commit <= mine.committed_before &&
		    p->copy[i].len <= STATE_SIZE &&
		    (best < 0 || p->copy[i].commit > p->copy[best].commit))
			best = i;
	return best;
}

static int follow(struct collector *c, struct family *fam, int place)
{
	struct place *p = &c->journal->place[place];
	int copy = valid_copy(p);

	mine.claimed[place] = true;
	fam->place = place;
	if (copy < 0) /* met after the last commit: nothing of it stands anywhere */
		return 0;
	mine.current[place] = (unsigned)copy;
	fam->mask = known_to(c, place, (unsigned)copy);
	return fa_family_restore(fam->f, state_at(c, place, (unsigned)copy), p->copy[copy].len);
}

int journal_family(struct collector *c, struct family *fam)
{
	int empty = -1;

	fam->place = -1;
	if (c->journal == NULL)
		return 0;
	fa_family_defer(fam->f);
	for (int i = 0; i < PLACES; i++) {
		struct place *p = &c->journal->place[i];

		if (p->handle == fam->info.handle && !mine.claimed[i])
			return follow(c, fam, i);
		if (p->handle == 0 && empty < 0)
			empty = i;
	}
	if (empty < 0) {
		c->journal->overflowed++;
		return 0;
	}
	memset(&c->journal->place[empty], 0, sizeof(struct place));
	c->journal->place[empty].handle = fam->info.handle;
	mine.claimed[empty] = true;
	mine.current[empty] = 0;
	fam->place = empty;
	return 0;
}

static void empty_place(struct collector *c, int place)
{
	c->journal->place[place].handle = 0;
	mine.claimed[place] = false;
	(void)madvise(copy_at(c, place, 0), 2 * (size_t)COPY_SIZE, MADV_REMOVE);
}

void journal_drop(struct collector *c, struct family *fam)
{
	if (fam->place >= 0)
		empty_place(c, fam->place);
	fam->place = -1;
}

static void save_family(struct collector *c, struct family *fam, uint64_t number)
{
	struct place *p = &c->journal->place[fam->place];
	unsigned copy = 1 - mine.current[fam->place];

	p->copy[copy].len = fa_family_save(fam->f, state_at(c, fam->place, copy), STATE_SIZE);
	p->copy[copy].mask = fam->mask;
	for (uint64_t m = fam->mask; m != 0; m &= m - 1)
		names_at(c, fam->place, copy)[__builtin_ctzll(m)] =
			c->session[__builtin_ctzll(m)].id;
	__atomic_store_n(&p->copy[copy].commit, number, __ATOMIC_RELEASE);
}

static void save_sessions(struct collector *c, struct mark *m)
{
	m->next_arena = c->ids.next_arena;
	m->next_process = c->ids.next_process;
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++) {
		struct session *s = &c->session[i];

		m->session[i].id = s->used && !s->ended ? s->id : 0;
		if (m->session[i].id == 0)
			continue;
		m->session[i].mark = fa_trace_writer_mark(s->w);
		m->session[i].events = s->events;
		m->session[i].lost = s->lost;
		memcpy(m->session[i].lost_by, s->lost_by, sizeof(s->lost_by));
		m->session[i].processes = s->processes;
		m->session[i].file = s->committed_slot = s->slot;
		m->session[i].files_begun = s->files_begun;
		m->session[i].pids_since = s->pids_since;
		m->session[i].before = s->before;
	}
}

void journal_commit(struct collector *c)
{
	uint64_t number;

	c->commit_due = false;
	sessions_write_out(c);
	if (c->journal != NULL) {
		number = atomic_load(&c->journal->committed) + 1;
		for (size_t i = 0; i < c->families; i++)
			if (c->family[i]->dirty && c->family[i]->place >= 0)
				save_family(c, c->family[i], number);
		save_sessions(c, &c->journal->mark[number & 1]);
		atomic_store(&c->journal->committed, number);
		for (size_t i = 0; i < c->families; i++)
			if (c->family[i]->dirty && c->family[i]->place >= 0)
				mine.current[c->family[i]->place] ^= 1;
	}
	for (size_t i = 0; i < c->families; i++)
		c->family[i]->dirty = false;
	families_release(c);
}

/* How much they recorded since the last commit, and do from now on, nobody knows. */
static void give_up(struct collector *c, int place)
{
	struct place *p = &c->journal->place[place];
	uint32_t process[FA_ARENA_PROCESSES];
	int copy = valid_copy(p);
	size_t n;

	if (copy < 0)
		return;
	n = fa_family_saved_processes(state_at(c, place, (unsigned)copy), p->copy[copy].len, process,
				      FA_ARENA_PROCESSES);
	for (uint64_t m = known_to(c, place, (unsigned)copy); m != 0; m &= m - 1) {
		struct session *s = &c->session[__builtin_ctzll(m)];

		for (size_t i = 0; i < n; i++) {
			uint64_t now = fa_drain_stamp(c->clock_source);
			struct fa_rec_lost lost = {
				.process = process[i], .cause = FA_LOST_UNKNOWN, .stamp = now};
			struct fa_rec_process_end end = {
				.process = process[i], .status = -1, .stamp = now, .reason = 2};

			session_record(s, c->beat, FA_TAG_LOST, &lost, sizeof(lost), NULL, 0, NULL,
				       0);
			session_record(s, c->beat, FA_TAG_PROCESS_END, &end, sizeof(end), NULL, 0,
				       NULL, 0);
		}
	}
}

/* Families of our predecessor that nobody gave us: the doorman died as well, and then they. */
void journal_turn(struct collector *c, uint64_t now)
{
	if (c->journal == NULL || mine.opened_ns == 0 ||
	    now - mine.opened_ns < UNCLAIMED_AFTER_S * 1000000000ull)
		return;
	mine.opened_ns = 0;
	for (int i = 0; i < PLACES; i++)
		if (c->journal->place[i].handle != 0 && !mine.claimed[i]) {
			give_up(c, i);
			empty_place(c, i);
			c->commit_due = true;
		}
}
