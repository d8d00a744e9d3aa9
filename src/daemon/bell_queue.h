/*
 * bell_queue.h - whose ring is answered next? Users take turns, however many rings each has waiting. No user
 * but root has more than `at_once` of them answered at the same time, nor, behind the first BURST, more than
 * `a_tick` within a tick: who rings in a loop sleeps in his open, and the processors are free for others.
 *
 * Pure but for malloc: it touches no descriptor and takes no lock.
 */
#ifndef FA_BELL_QUEUE_H
#define FA_BELL_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum {
	RINGS_PER_USER = 4096,
	RINGS_MAX = 16384, /* three descriptors each */
	BURST = 256,
	TICK_MS = 20,
	CROWD = 8,
	BELL_BUCKETS = 256,
};

/* An open that the kernel holds until we answer. */
struct bell_ring {
	struct bell_ring *next;
	uint64_t since_ns, turn_ns; /* it waits; its turn came */
	uint32_t uid;
	int32_t pid;
	int fd;      /* of the event: the answer names it */
	int pidfd;   /* -1: the kernel has none */
	int proc_fd; /* /proc/PID, O_PATH: of this process and no later one */
};

/* Who has a ring waiting or being answered, or had so many that the pace counts. */
struct bell_user {
	struct bell_user *same_bucket, *after;
	uint32_t uid;
	unsigned waiting, answered;
	bool has_turn;  /* stands in the list of turns */
	uint32_t left;  /* that may be answered before the next tick */
	uint64_t tick_ns;
	struct bell_ring *first, *last;
};

struct bell_queue {
	unsigned at_once;
	uint32_t a_tick;
	unsigned waiting;
	struct bell_user *turn, *last_turn;
	struct bell_user *bucket[BELL_BUCKETS];
};

/* -EDQUOT: this user, or all together, have too many waiting; -ENOMEM. */
int bell_queue_add(struct bell_queue *q, struct bell_ring *r) FA_MUST_USE;
/* NULL: none waits, or only of users that have as many answered as they may; *ret_at: ask again then. */
struct bell_ring *bell_queue_next(struct bell_queue *q, uint64_t now, uint64_t *ret_at);
/* One that next() gave is answered. true: so many more wait that it shall be let go with others. */
bool bell_queue_done(struct bell_queue *q, uint32_t uid);
/* One that has waited since before `ns` and will not be answered now; NULL: there is none. */
struct bell_ring *bell_queue_late(struct bell_queue *q, uint64_t ns);
/* Since when the ring waits whose turn it is, 0: next() would give none. */
uint64_t bell_queue_since(const struct bell_queue *q, uint64_t now);

#endif
