/*
 * members.c - which families are in a session: who joins when it begins or changes, who leaves.
 *
 * In by name (a PID) or because it is flagged and wanted; what a family does, and how it is let go, is
 * families.c.
 */
#include <errno.h>

#include "base/clock.h"
#include "daemon/collector.h"

/* What happened before, and who is gone by now, is not its. -errno: of its trace. */
static int join_one(struct family *fam, struct session *s)
{
	(void)family_drain(fam);
	(void)family_reap(fam);
	if (family_describe(fam, s) < 0)
		return -EIO;
	fam->mask |= 1ull << s->index;
	fam->dirty = true;
	family_tell(fam);
	return 0;
}

void family_name(struct collector *c, struct session *s, uint64_t handle)
{
	for (size_t i = 0; i < c->families; i++) {
		struct family *fam = c->family[i];

		if (fam->info.handle != handle)
			continue;
		fam->named |= 1ull << s->index;
		fam->renamed |= 1ull << s->index;
		if (!(fam->mask >> s->index & 1))
			(void)!join_one(fam, s); /* remembered in the session */
		return;
	}
}

/* Until now it was only in sessions that named it. */
void families_flagged(struct collector *c, uint64_t handle)
{
	for (size_t i = 0; i < c->families; i++)
		if (c->family[i]->info.handle == handle)
			c->family[i]->info.flagged = 1;
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (c->session[i].used && !c->session[i].ended)
			(void)families_join(c, &c->session[i]);
}

uint32_t families_join(struct collector *c, struct session *s)
{
	uint32_t n = 0;

	for (size_t i = 0; i < c->families && s->error == 0; i++) {
		struct family *fam = c->family[i];

		if ((fam->mask >> s->index & 1) != 0 || !family_is_wanted(s, fam))
			continue;
		if (join_one(fam, s) < 0)
			break;
		n += family_lives(fam);
	}
	return n;
}

void family_end_in(struct collector *c, const struct family *fam, struct session *s, uint32_t why)
{
	for (size_t k = 0; k < fa_family_processes(fam->f); k++) {
		struct fa_rec_process_end end = {.status = -1, .reason = why};
		struct fa_family_process p;

		fa_family_process_at(fam->f, k, &p);
		if (!p.live)
			continue;
		end.process = p.process;
		end.stamp = fa_drain_stamp(c->clock_source);
		session_record(s, c->beat, FA_TAG_PROCESS_END, &end, sizeof(end), NULL, 0, NULL, 0);
	}
}

/* true: nobody else wants it, and it was let go: another stands in its place. */
static bool leave_one(struct collector *c, size_t i, struct session *s, uint32_t why,
		      uint32_t reason)
{
	struct family *fam = c->family[i];

	family_end_in(c, fam, s, why);
	fam->mask &= ~(1ull << s->index);
	fam->named &= ~(1ull << s->index);
	fam->dirty = true;
	if (family_is_needed(fam)) {
		family_tell(fam);
		return false;
	}
	if (family_lives(fam) && fa_arena_is_flagged(&fam->info))
		dormant_add(c, &fam->info, fam->exec_name, FA_STATUS_WAITING, reason);
	family_let_go(c, i);
	return true;
}

/* The session ends: its processes that live on are ended in the trace; families that nobody else
 * wants are let go. */
void families_leave(struct collector *c, struct session *s, uint32_t reason)
{
	/* Its place will be another's. */
	dormant_rename_begin(c, s);
	dormant_rename_end(c, s);
	for (size_t i = 0; i < c->families;)
		if (!(c->family[i]->mask >> s->index & 1) ||
		    !leave_one(c, i, s, FA_PROCESS_END_SESSION, reason))
			i++;
}

void families_rename_begin(struct collector *c, struct session *s)
{
	s->pids_since = c->wakes;
	dormant_rename_begin(c, s);
	for (size_t i = 0; i < c->families; i++)
		c->family[i]->renamed &= ~(1ull << s->index);
}

uint32_t families_rename_end(struct collector *c, struct session *s)
{
	uint64_t bit = 1ull << s->index;
	uint32_t n = 0;

	dormant_rename_end(c, s);
	for (size_t i = 0; i < c->families;) {
		struct family *fam = c->family[i];

		fam->named &= fam->renamed | ~bit;
		if ((fam->mask & bit) == 0 || family_is_wanted(s, fam)) {
			i++;
			continue;
		}
		n += family_lives(fam);
		if (!leave_one(c, i, s, FA_PROCESS_END_TAKEN_OUT, FA_REASON_NO_SESSION))
			i++;
	}
	return n;
}

void families_tell(struct collector *c, const struct session *s)
{
	for (size_t i = 0; i < c->families; i++)
		if ((c->family[i]->mask >> s->index & 1) != 0)
			family_tell(c->family[i]);
}

/* Sessions go on, without processes. What those have recorded so far is theirs. */
void families_let_all_go(struct collector *c)
{
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++) {
		struct session *s = &c->session[i];

		if (!s->used || s->ended)
			continue;
		families_drain_session(c, s);
		families_leave(c, s, FA_REASON_OFF);
	}
	for (size_t i = c->families; i-- > 0;) /* those that keep a table */
		family_let_go(c, i);
}
