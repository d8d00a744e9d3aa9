/* bell_queue.c - see bell_queue.h. */
#include "daemon/bell_queue.h"

#include <errno.h>
#include <stdlib.h>

#define TICK_NS (TICK_MS * 1000000ull)

static struct bell_user **place_of(struct bell_queue *q, uint32_t uid)
{
	struct bell_user **p = &q->bucket[uid % BELL_BUCKETS];

	while (*p != NULL && (*p)->uid != uid)
		p = &(*p)->same_bucket;
	return p;
}

/* The kernel wakes all who wait at each answer: the more there are, the fewer answers they get. */
static uint64_t a_tick(const struct bell_queue *q, const struct bell_user *u)
{
	uint64_t n = u->waiting > CROWD ? (uint64_t)q->a_tick * CROWD / u->waiting : q->a_tick;

	return n > 0 ? n : 1;
}

/* What a user has not used counts for BURST; in whole ticks. */
static bool may_now(const struct bell_queue *q, struct bell_user *u, uint64_t now)
{
	uint64_t ticks = now > u->tick_ns ? (now - u->tick_ns) / TICK_NS : 0;
	uint32_t most = q->a_tick > BURST ? q->a_tick : BURST;

	if (u->uid == 0)
		return true;
	u->tick_ns += ticks * TICK_NS;
	u->left = ticks >= most || u->left + ticks * a_tick(q, u) >= most
			  ? most
			  : u->left + (uint32_t)(ticks * a_tick(q, u));
	return u->left > 0;
}

/* Nothing is to be remembered of those any more. */
static void sweep(struct bell_queue *q, uint32_t uid, uint64_t now)
{
	struct bell_user **p = &q->bucket[uid % BELL_BUCKETS];

	while (*p != NULL) {
		struct bell_user *u = *p;

		if (u->has_turn || u->waiting != 0 || u->answered != 0 ||
		    u->tick_ns + BURST * TICK_NS > now) {
			p = &u->same_bucket;
			continue;
		}
		*p = u->same_bucket;
		free(u);
	}
}

/* Behind all others who have a turn, if it may have one. */
static void queue_up(struct bell_queue *q, struct bell_user *u)
{
	if (u->has_turn || u->waiting == 0 || (u->uid != 0 && u->answered >= q->at_once))
		return;
	u->has_turn = true;
	u->after = NULL;
	if (q->turn == NULL)
		q->turn = u;
	else
		q->last_turn->after = u;
	q->last_turn = u;
}

int bell_queue_add(struct bell_queue *q, struct bell_ring *r)
{
	struct bell_user **p, *u;

	sweep(q, r->uid, r->since_ns);
	p = place_of(q, r->uid);
	u = *p;
	if (q->waiting >= RINGS_MAX || (u != NULL && u->waiting >= RINGS_PER_USER))
		return -EDQUOT;
	if (u == NULL) {
		u = calloc(1, sizeof(*u));
		if (u == NULL)
			return -ENOMEM;
		u->uid = r->uid;
		u->left = BURST;
		u->tick_ns = r->since_ns;
		*p = u;
	}
	r->next = NULL;
	if (u->first == NULL)
		u->first = r;
	else
		u->last->next = r;
	u->last = r;
	u->waiting++;
	q->waiting++;
	queue_up(q, u);
	return 0;
}

static struct bell_ring *take_first(struct bell_queue *q, struct bell_user *u)
{
	struct bell_ring *r = u->first;

	u->first = r->next;
	u->waiting--;
	q->waiting--;
	return r;
}

struct bell_ring *bell_queue_next(struct bell_queue *q, uint64_t now, uint64_t *ret_at)
{
	struct bell_user **p = &q->turn, *before = NULL, *u;
	struct bell_ring *r;

	*ret_at = UINT64_MAX;
	while ((u = *p) != NULL && (u->waiting == 0 || !may_now(q, u, now))) {
		if (u->waiting == 0) { /* its rings have been taken out as late */
			u->has_turn = false;
			*p = u->after;
			continue;
		}
		if (u->tick_ns + TICK_NS < *ret_at)
			*ret_at = u->tick_ns + TICK_NS;
		before = u;
		p = &u->after;
	}
	if (u == NULL) {
		q->last_turn = before;
		return NULL;
	}
	*p = u->after;
	if (q->last_turn == u)
		q->last_turn = before;
	u->has_turn = false;
	r = take_first(q, u);
	u->answered++;
	u->left -= u->left > 0;
	queue_up(q, u);
	return r;
}

bool bell_queue_done(struct bell_queue *q, uint32_t uid)
{
	struct bell_user *u = *place_of(q, uid);

	if (u == NULL || u->answered == 0)
		return false;
	u->answered--;
	queue_up(q, u);
	return uid != 0 && u->waiting > CROWD;
}

struct bell_ring *bell_queue_late(struct bell_queue *q, uint64_t ns)
{
	for (unsigned i = 0; i < BELL_BUCKETS; i++)
		for (struct bell_user *u = q->bucket[i]; u != NULL; u = u->same_bucket)
			if (u->first != NULL && u->first->since_ns < ns)
				return take_first(q, u);
	return NULL;
}

uint64_t bell_queue_since(const struct bell_queue *q, uint64_t now)
{
	for (struct bell_user *u = q->turn; u != NULL; u = u->after)
		if (u->first != NULL && may_now(q, u, now))
			return u->first->since_ns;
	return 0;
}
