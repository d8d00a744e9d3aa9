/*
 * written.c - how much is written into traces for one user.
 *
 * The files are the user's own, but we write them: his limits for a file and his share of the processors do
 * not count here. So what the sessions of a user write is paid out of a purse of his that holds
 * WrittenPerUser and fills within a day, however often he starts anew. Root and system sessions have none.
 *
 * A collector that follows a killed one begins with full purses, and sessions that go on pay once more for
 * what stands in their traces: so a purse never holds more than it would have.
 */
#include "daemon/collector.h"

enum { DAY_S = 24 * 3600, START_PART = 64 };

static bool is_capped(const struct collector *c, const struct session *s)
{
	return c->settings->config.written_per_user != 0 && s->uid != 0 &&
	       (s->o.flags & FA_SESSION_USER) != 0;
}

static void fill(struct written *w, uint64_t cap, uint64_t now)
{
	uint64_t seconds = (now - w->filled_ns) / 1000000000u;

	w->filled_ns += seconds * 1000000000u;
	w->left += seconds >= DAY_S ? cap : cap * seconds / DAY_S;
	if (w->left > cap)
		w->left = cap;
}

/* Everybody begins with a full purse, so when all are taken the fullest can be given to another. */
static struct written *purse_of(struct collector *c, uint32_t uid, uint64_t now)
{
	uint64_t cap = c->settings->config.written_per_user;
	struct written *spare = &c->written[0];

	for (unsigned i = 0; i < WRITTEN_USERS; i++) {
		struct written *w = &c->written[i];

		if (w->used && w->uid == uid) {
			fill(w, cap, now);
			return w;
		}
		if (!w->used || (spare->used && w->left > spare->left))
			spare = w;
	}
	*spare = (struct written){.used = true, .uid = uid, .left = cap, .filled_ns = now};
	return spare;
}

bool written_too_much(struct collector *c, struct session *s, uint64_t now)
{
	struct written *w;
	uint64_t more;

	if (!is_capped(c, s))
		return false;
	sessions_update_bytes(s);
	more = s->written > s->paid ? s->written - s->paid : 0;
	s->paid = s->written;
	w = purse_of(c, s->uid, now);
	w->left = more < w->left ? w->left - more : 0;
	return w->left == 0;
}

/* Not for the few bytes that the purse got since its owner's sessions were ended. */
bool written_may_start(struct collector *c, uint32_t uid, uint64_t now)
{
	uint64_t cap = c->settings->config.written_per_user;

	return cap == 0 || uid == 0 || purse_of(c, uid, now)->left >= cap / START_PART;
}
