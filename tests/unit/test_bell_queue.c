/* test_bell_queue.c - whose ring is answered next. objs: src/daemon/bell_queue.c */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/bell_queue.h"
#include "tests/unit/test.h"

enum { ALICE = 1001, BOB = 1002, CAROL = 1003 + BELL_BUCKETS, TICK = TICK_MS * 1000000 };

static struct bell_queue q;
static uint64_t at; /* of the last next() */

static void begin(unsigned at_once, uint32_t a_tick)
{
	memset(&q, 0, sizeof(q));
	q.at_once = at_once;
	q.a_tick = a_tick;
}

static int put(uint32_t uid, int n, uint64_t now)
{
	int e = 0;

	for (int i = 0; i < n && e == 0; i++) {
		struct bell_ring *r = calloc(1, sizeof(*r));

		r->uid = uid;
		r->since_ns = now;
		r->pid = i;
		e = bell_queue_add(&q, r);
		if (e != 0)
			free(r);
	}
	return e;
}

/* Whose it was, 0xffff: nobody's. It is answered at once, or goes on. */
static uint32_t take(uint64_t now, bool answered)
{
	struct bell_ring *r = bell_queue_next(&q, now, &at);
	uint32_t uid = r == NULL ? 0xffff : r->uid;

	free(r);
	if (answered && uid != 0xffff)
		(void)bell_queue_done(&q, uid);
	return uid;
}

SPEC(one_ring_waits_for_one_of_each_other_user_not_for_all_of_them)
{
	begin(2, 1000);
	CHECK(put(ALICE, 1000, 1) == 0 && put(CAROL, 50, 1) == 0 && put(BOB, 1, 1) == 0);
	CHECK(take(1, true) == ALICE && take(1, true) == CAROL && take(1, true) == BOB);
	CHECK(take(1, true) == ALICE && take(1, true) == CAROL && take(1, true) == ALICE);
}

SPEC(rings_of_one_user_keep_their_order)
{
	struct bell_ring *r;

	begin(9, 1000);
	CHECK(put(ALICE, 3, 1) == 0);
	for (int i = 0; i < 3; i++) {
		r = bell_queue_next(&q, 1, &at);
		CHECK(r != NULL && r->pid == i);
		free(r);
	}
	CHECK(bell_queue_next(&q, 1, &at) == NULL && at == UINT64_MAX);
}

SPEC(no_user_but_root_has_more_than_so_many_answered_at_once)
{
	begin(2, 1000);
	CHECK(put(ALICE, 5, 1) == 0);
	CHECK(take(1, false) == ALICE && take(1, false) == ALICE && take(1, false) == 0xffff);
	CHECK(bell_queue_since(&q, 1) == 0);
	CHECK(put(BOB, 1, 1) == 0 && bell_queue_since(&q, 1) == 1 && take(1, false) == BOB);
	(void)bell_queue_done(&q, ALICE);
	CHECK(take(1, false) == ALICE && take(1, false) == 0xffff);
	CHECK(put(0, 9, 1) == 0);
	for (int i = 0; i < 9; i++)
		CHECK(take(1, false) == 0);
}

SPEC(behind_the_burst_a_user_has_so_many_a_tick)
{
	uint64_t now = 1;
	int n = 0;

	begin(4, 5);
	for (; n < BURST + 1; n++) { /* one after the other, as an honest loop would */
		CHECK(put(ALICE, 1, now) == 0);
		if (take(now, true) != ALICE)
			break;
	}
	CHECK(n == BURST && at == 1 + TICK);
	CHECK(put(BOB, 1, now) == 0 && take(now, true) == BOB);
	CHECK(put(0, 1, now) == 0 && take(now, true) == 0);
	CHECK(put(ALICE, 6, now) == 0);
	now += TICK;
	for (n = 0; take(now, true) == ALICE; n++)
		;
	CHECK(n == 5);
	now += (uint64_t)BURST * TICK; /* what was not used counts, but for no more than a burst */
	CHECK(take(now, true) == ALICE && put(ALICE, 2 * BURST, now) == 0);
	for (n = 0; take(now, true) == ALICE; n++)
		;
	CHECK(n <= BURST && n >= BURST - 8);
}

SPEC(a_crowd_is_let_go_together_and_the_larger_it_is_the_slower)
{
	uint64_t now = 1;
	int n;

	begin(4, 80);
	CHECK(put(ALICE, BURST + 640, now) == 0);
	for (n = 0; take(now, false) == ALICE; n++)
		CHECK(bell_queue_done(&q, ALICE));
	CHECK(n == BURST);
	now += TICK;
	for (n = 0; take(now, true) == ALICE; n++)
		;
	CHECK(n == 1); /* 80 * 8 / 640 */
	begin(4, 80);
	CHECK(put(BOB, CROWD + 1, now) == 0);
	CHECK(take(now, false) == BOB && !bell_queue_done(&q, BOB));
}

SPEC(who_waits_too_long_comes_out_and_the_others_keep_their_turns)
{
	struct bell_ring *r;

	begin(1, 1000);
	CHECK(put(ALICE, 2, 10) == 0 && put(BOB, 1, 20) == 0);
	CHECK(take(20, false) == ALICE);
	CHECK(bell_queue_late(&q, 10) == NULL);
	r = bell_queue_late(&q, 11);
	CHECK(r != NULL && r->uid == ALICE);
	free(r);
	CHECK(bell_queue_late(&q, 20) == NULL && q.waiting == 1);
	(void)bell_queue_done(&q, ALICE);
	r = bell_queue_late(&q, 21);
	CHECK(r != NULL && r->uid == BOB);
	free(r);
	CHECK(take(30, false) == 0xffff && put(BOB, 1, 30) == 0 && take(30, false) == BOB);
}

SPEC(there_is_an_end_to_what_waits)
{
	begin(2, 1000);
	CHECK(put(ALICE, RINGS_PER_USER, 1) == 0 && put(ALICE, 1, 1) == -EDQUOT);
	for (uint32_t i = 1; i < RINGS_MAX / RINGS_PER_USER; i++)
		CHECK(put(ALICE + i, RINGS_PER_USER, 1) == 0);
	CHECK(put(BOB + 100, 1, 1) == -EDQUOT);
}

SPEC(users_that_are_gone_are_forgotten)
{
	begin(2, 1000);
	for (uint32_t i = 0; i < 1000; i++) {
		CHECK(put(ALICE + i * BELL_BUCKETS, 1, 1) == 0);
		CHECK(take(1, true) == ALICE + i * BELL_BUCKETS);
	}
	CHECK(put(ALICE, 1, 1 + (uint64_t)(BURST + 1) * TICK) == 0);
	CHECK(q.bucket[ALICE % BELL_BUCKETS] != NULL &&
	      q.bucket[ALICE % BELL_BUCKETS]->same_bucket == NULL);
}

int main(void)
{
	RUN(one_ring_waits_for_one_of_each_other_user_not_for_all_of_them);
	RUN(rings_of_one_user_keep_their_order);
	RUN(no_user_but_root_has_more_than_so_many_answered_at_once);
	RUN(behind_the_burst_a_user_has_so_many_a_tick);
	RUN(a_crowd_is_let_go_together_and_the_larger_it_is_the_slower);
	RUN(who_waits_too_long_comes_out_and_the_others_keep_their_turns);
	RUN(there_is_an_end_to_what_waits);
	RUN(users_that_are_gone_are_forgotten);
	return TEST_RESULT();
}
