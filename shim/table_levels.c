/*
 * table_levels.c - room for the table of live blocks: levels are made of buffers of the arena, each about a
 * quarter of what is there, so that little is in use for nothing.
 *
 * When a level is made in the last segment that we have, the next segment is asked for: while that one fills the
 * collector has time to give it. Who finds no room all the same waits for GROW_NS, once for all.
 */
#include "shim/table_levels.h"

#include "shim/arena.h"
#include "shim/sys.h"
#include "shim/thread.h"

struct fa_levels *fa_levels;

static struct {
	uint8_t adding;   /* a thread is */
	uint64_t in_vain; /* fa_arena_room() when somebody waited for nothing */
	uint32_t *tids;
} room;

enum {
	FIRST_LOG2 = 5, /* half a megabyte, the floor */
	MOST_LOG2 = 10,
	KEPT_FOR_EVENTS = 8, /* buffers at the lower end of each segment */
	GROW_NS = 9000000,
};

void fa_levels_reset(void)
{
	room.adding = 0;
	room.in_vain = 0;
	room.tids = NULL;
	if (fa_levels == NULL) {
		/* Not in .bss: what most programs never need is not to make it longer. */
		void *p = fa_sys_mmap(NULL, sizeof(*fa_levels), PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (!fa_sys_failed((long)p))
			fa_levels = p;
	}
	if (fa_levels != NULL) {
		fa_levels->count = 0;
		fa_levels->buffers = 0;
	}
}

static struct fa_arena_buffer *buffer_of(const struct fa_segment *s, uint32_t n)
{
	return (struct fa_arena_buffer *)(void *)(s->base + s->g.buffer_offset +
						  (uint64_t)n * FA_BUFFER_SIZE);
}

static bool claim(struct fa_arena_buffer *b)
{
	uint32_t is_free = FA_BUFFER_FREE;

	return __atomic_compare_exchange_n(&b->state, &is_free, FA_BUFFER_TABLE, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* What held events before is not empty; the others were never touched. */
static void make_empty(struct fa_arena_buffer *b, uint32_t id)
{
	uint64_t *word = (uint64_t *)(void *)b;

	if (id >= __atomic_load_n(&fa_arena_head()->buffer_hint, __ATOMIC_RELAXED))
		return;
	for (size_t i = FA_BUFFER_HEADER / 8; i < FA_BUFFER_SIZE / 8; i++)
		word[i] = 0;
}

/* Free buffers [n, n + count) of a segment; 0: another thread was faster with one. */
static uint32_t claim_run(const struct fa_segment *s, uint32_t n, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (claim(buffer_of(s, n + i)))
			continue;
		while (i-- > 0)
			__atomic_store_n(&buffer_of(s, n + i)->state, FA_BUFFER_FREE,
					 __ATOMIC_RELEASE);
		return 0;
	}
	for (uint32_t i = 0; i < count; i++)
		make_empty(buffer_of(s, n + i), s->first_buffer + n + i);
	return s->first_buffer + n;
}

/* So many free buffers side by side, from the upper end on: events begin at the lower. Returns the id of the
 * first, never 0; 0: there are none. */
static uint32_t take_run(const struct fa_segment *s, uint32_t count)
{
	uint32_t have = 0;

	for (uint32_t n = s->g.buffers; n-- > KEPT_FOR_EVENTS;) {
		uint32_t state = __atomic_load_n(&buffer_of(s, n)->state, __ATOMIC_RELAXED);

		have = state == FA_BUFFER_FREE ? have + 1 : 0;
		if (have == count)
			return claim_run(s, n, count);
	}
	return 0;
}

static void *address_of(uint32_t id)
{
	for (uint32_t k = fa_arena_usable(); k-- > 0;)
		if (id >= fa_arena.segment[k].first_buffer)
			return buffer_of(&fa_arena.segment[k], id - fa_arena.segment[k].first_buffer);
	return NULL;
}

/* A run of 1 << log2 buffers in whatever segment; *ret_last: in the last one. */
static uint32_t find_run(uint32_t log2, bool *ret_last)
{
	uint32_t segments = fa_arena_usable();

	for (uint32_t k = 0; k < segments; k++) {
		uint32_t id = take_run(&fa_arena.segment[k], 1u << log2);

		*ret_last = k + 1 == segments;
		if (id != 0)
			return id;
	}
	return 0;
}

static void make_tids(void)
{
	bool last;
	uint32_t id = find_run(0, &last);

	if (id == 0)
		return;
	fa_arena_head()->table.tids = id;
	room.tids = (uint32_t *)(void *)((unsigned char *)address_of(id) + FA_BUFFER_HEADER);
}

uint32_t *fa_levels_tids(void)
{
	return room.tids;
}

/* A quarter of what is there. */
static uint32_t next_log2(void)
{
	uint32_t quarter = fa_levels->buffers / 4, log2 = FA_TABLE_LEAST_LOG2;

	if (fa_levels->buffers == 0)
		return FIRST_LOG2;
	while (log2 < MOST_LOG2 && 2u << log2 <= quarter)
		log2++;
	return log2;
}

static bool is_allowed(uint32_t buffers)
{
	uint64_t most = fa_arena.table_most;

	return most == 0 || (uint64_t)(fa_levels->buffers + buffers) * FA_BUFFER_SIZE <= most;
}

static bool add(void)
{
	struct fa_arena_table *shared = &fa_arena_head()->table;
	uint32_t log2 = next_log2(), id = 0, n = fa_levels->count;
	bool last = true;

	if (n == FA_TABLE_LEVELS)
		return false;
	if (n == 0 && room.tids == NULL)
		make_tids();
	for (; id == 0 && log2 >= FA_TABLE_LEAST_LOG2; log2--)
		if (is_allowed(1u << log2) && (id = find_run(log2, &last)) != 0)
			break;
	if (last)
		fa_arena_grow();
	if (id == 0)
		return false;
	fa_levels->level[n] = (struct fa_level){address_of(id), log2, 0};
	fa_levels->buffers += 1u << log2;
	shared->level[n] = (struct fa_arena_level){id, log2};
	__atomic_store_n(&shared->levels, n + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&fa_levels->count, n + 1, __ATOMIC_RELEASE);
	return true;
}

/* One thread at a time. */
static bool try_add(uint32_t seen)
{
	uint8_t idle = 0;
	bool added;

	if (!__atomic_compare_exchange_n(&room.adding, &idle, 1, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return false;
	added = __atomic_load_n(&fa_levels->count, __ATOMIC_ACQUIRE) > seen || add();
	__atomic_store_n(&room.adding, 0, __ATOMIC_RELEASE);
	return added;
}

bool fa_levels_add(uint32_t seen)
{
	uint64_t begin = 0;

	for (unsigned turn = 0;; turn++) {
		uint64_t now = fa_arena_room(), time;

		if (__atomic_load_n(&fa_levels->count, __ATOMIC_ACQUIRE) > seen || try_add(seen))
			return true;
		if (__atomic_load_n(&room.in_vain, __ATOMIC_RELAXED) == (now | 1ULL << 63) ||
		    fa_arena.pid == 1 || !is_allowed(1u << FA_TABLE_LEAST_LOG2) || !fa_arena_may_grow())
			return false;
		time = fa_clock_mono_ns();
		if (turn == 0)
			begin = time;
		if (time == 0 || time - begin > GROW_NS) {
			__atomic_store_n(&room.in_vain, now | 1ULL << 63, __ATOMIC_RELAXED);
			return false;
		}
		fa_thread_pause(turn);
	}
}
