/* table.c - see table.h: entries of the table, and the hooks that make them. */
#include "shim/table.h"

#include "shim/arena.h"
#include "shim/real.h"
#include "shim/table_levels.h"
#include "shim/tracer.h"

static struct {
	bool events; /* are wanted, too, and a session is there */
	size_t (*usable_size)(void *block);
	uint64_t begin_stamp;
	uint64_t time; /* of the last tick, as an entry has it */
	uint8_t begun; /* in this arena, be it over by now */
	uint64_t full; /* full_at() when no level could be added; 0: never */
} table;

/* By the collector's last tick, or now where there is none yet: that costs less than a look at the clock. */
static void tell_time(void)
{
	uint64_t now = __atomic_load_n(&fa_arena_head()->answer.now, __ATOMIC_RELAXED);

	if (now < table.begin_stamp)
		now = fa_stamp();
	now = now < table.begin_stamp ? 0 : now - table.begin_stamp;
	__atomic_store_n(&table.time, fa_table_pack_time(now) << 42, __ATOMIC_RELAXED);
}

static uint8_t events_way(void)
{
	return fa_care == FA_CARE_NONE ? FA_WAY_QUICK : FA_WAY_CAREFUL;
}

/* The byte last: from then on other threads come here. */
static void start(uint64_t most)
{
	void *usable = fa_startup_symbol("malloc_usable_size");

	fa_levels_reset();
	if (fa_levels == NULL)
		return;
	table.usable_size = (size_t(*)(void *))(uintptr_t)usable;
	fa_arena.table_most = most;
	fa_arena_head()->table.most_bytes = most;
	table.full = 0;
	table.begin_stamp = fa_stamp();
	__atomic_store_n(&fa_arena_head()->table.begin_stamp, table.begin_stamp, __ATOMIC_RELEASE);
	fa_table_tick();
	__atomic_store_n(&fa_state_page.way, (uint8_t)FA_WAY_TABLE, __ATOMIC_RELEASE);
}

void fa_table_start(const struct fa_wish *wish)
{
	fa_state_page.way = events_way();
	table.begun = (wish->tracing_flags & FA_TRACING_SNAPSHOT) != 0;
	if (table.begun)
		start((uint64_t)(wish->options >> FA_RULE_TABLE_SHIFT & 0xfff) << 20);
}

void fa_table_begin(void)
{
	uint32_t quiet = __atomic_load_n(&fa_arena_head()->answer.quiet, __ATOMIC_RELAXED);
	uint8_t never = 0;

	/* Of a family only the process that made the arena keeps one. */
	if ((quiet & FA_QUIET_BEGIN) == 0 || fa_arena.process != 0 ||
	    !__atomic_compare_exchange_n(&table.begun, &never, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	fa_arena_head()->tracing_flags |= FA_TRACING_SNAPSHOT; /* for a collector that comes after this one */
	start((uint64_t)(quiet >> FA_QUIET_MOST_SHIFT & 0xfff) << 20);
}

void fa_table_tick(void)
{
	uint32_t quiet = __atomic_load_n(&fa_arena_head()->answer.quiet, __ATOMIC_RELAXED);

	table.events = (fa_arena.wish.tracing_flags & FA_TRACING_HEAP) != 0 &&
		       (quiet & FA_QUIET_EVENTS) == 0;
	/* Not begun again: blocks were missed meanwhile. */
	if ((quiet & FA_QUIET_TABLE) != 0)
		fa_state_page.way = events_way();
	tell_time();
}

/* --- entries ------------------------------------------------------------------------------ */

static struct fa_table_buffer *buffer_for(const struct fa_level *l, uint64_t mixed)
{
	return l->base + fa_table_place(mixed, l->log2);
}

static void raise_reach(uint8_t *reach, uint32_t lines)
{
	uint8_t seen = __atomic_load_n(reach, __ATOMIC_RELAXED);

	while (FA_UNLIKELY(seen < lines) &&
	       !__atomic_compare_exchange_n(reach, &seen, (uint8_t)lines, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

static struct fa_table_slot *take_slot(struct fa_table_slot *line, uint64_t key)
{
	for (uint32_t i = 0; i < FA_TABLE_SLOTS; i++) {
		uint64_t is_free = 0;

		if (__atomic_load_n(&line[i].key, __ATOMIC_RELAXED) == 0 &&
		    __atomic_compare_exchange_n(&line[i].key, &is_free, key, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return &line[i];
	}
	return NULL;
}

/* Into one of so many lines. */
static bool put_into(uint32_t level, uint32_t lines, uint64_t mixed, uint64_t key, uint64_t block)
{
	struct fa_table_buffer *b = buffer_for(&fa_levels->level[level], mixed);
	uint32_t home = fa_table_home(mixed, level), at = home;

	for (uint32_t d = 1; d <= lines; d++) {
		struct fa_table_slot *s = take_slot(b->line[at], key);

		if (FA_LIKELY(s != NULL)) {
			__atomic_store_n(&s->block, block, __ATOMIC_RELEASE);
			raise_reach(&b->reach[home], d);
			return true;
		}
		at = at + 1 == FA_TABLE_LINES ? 0 : at + 1;
	}
	return false;
}

/* Into the newest level, or one of those before it, of which so many lines are looked at. */
static bool put_anywhere(uint32_t levels, uint32_t lines, uint64_t mixed, uint64_t key, uint64_t block)
{
	for (uint32_t l = levels; l-- > 0;)
		if (FA_LIKELY(put_into(l, l + 1 == levels ? (uint32_t)FA_TABLE_REACH : lines, mixed, key,
				       block)))
			return true;
	return false;
}

/* The room that there is, and the levels that are made of it. */
static uint64_t full_at(uint32_t levels)
{
	return ((uint64_t)fa_arena_room() + 1) * (FA_TABLE_LEVELS + 1) + levels;
}

/* It found no room. true: nor would this one, since nothing has changed; now and then it is tried all the same, because
 * buffers come back. */
static bool is_full(uint32_t levels)
{
	const uint64_t again = 1024;

	return __atomic_load_n(&table.full, __ATOMIC_RELAXED) == full_at(levels) &&
	       __atomic_load_n(&fa_arena_head()->table.refused, __ATOMIC_RELAXED) % again != 0;
}

/*
 * The newest level has room, most often. Those before it are full but for what was freed since, which a few lines
 * show; all that may hold the entry are looked at before a level is added, unless none can be.
 */
static void put(uint64_t address, uint64_t key, uint64_t block)
{
	const uint32_t few = 2;
	uint64_t mixed = fa_table_mixed(address);
	uint32_t levels;

	key |= mixed & FA_TABLE_KEY_MASK;
	do {
		levels = __atomic_load_n(&fa_levels->count, __ATOMIC_ACQUIRE);
		if (FA_LIKELY(put_anywhere(levels, few, mixed, key, block)))
			return;
		if (is_full(levels))
			break;
		if (put_anywhere(levels, FA_TABLE_REACH, mixed, key, block))
			return;
	} while (fa_levels_add(levels));
	__atomic_store_n(&table.full, full_at(levels), __ATOMIC_RELAXED);
	__atomic_fetch_add(&fa_arena_head()->table.refused, 1, __ATOMIC_RELAXED);
}

static bool holds(const struct fa_table_slot *s, uint64_t mixed)
{
	uint64_t key = __atomic_load_n(&s->key, __ATOMIC_RELAXED);

	/* What realloc is at is the entry of who called it, and of nobody else. */
	return key != 0 && ((key ^ mixed) & FA_TABLE_KEY_MASK) == 0 &&
	       fa_table_thread(__atomic_load_n(&s->block, __ATOMIC_RELAXED)) != FA_TABLE_MOVING;
}

static struct fa_table_slot *find_in(uint32_t level, uint64_t mixed)
{
	struct fa_table_buffer *b = buffer_for(&fa_levels->level[level], mixed);
	uint32_t at = fa_table_home(mixed, level);

	for (uint32_t left = __atomic_load_n(&b->reach[at], __ATOMIC_RELAXED); left > 0; left--) {
		for (uint32_t i = 0; i < FA_TABLE_SLOTS; i++)
			if (holds(&b->line[at][i], mixed))
				return &b->line[at][i];
		at = at + 1 == FA_TABLE_LINES ? 0 : at + 1;
	}
	return NULL;
}

/* Newest level first: it is the largest. NULL: it is older than the table, or found no room. */
static struct fa_table_slot *find(uint64_t address)
{
	uint64_t mixed = fa_table_mixed(address);

	for (uint32_t l = __atomic_load_n(&fa_levels->count, __ATOMIC_ACQUIRE); l-- > 0;) {
		struct fa_table_slot *s = find_in(l, mixed);

		if (s != NULL)
			return s;
	}
	return NULL;
}

static void clear(struct fa_table_slot *s)
{
	__atomic_store_n(&s->block, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&s->key, 0, __ATOMIC_RELEASE);
}

static uint64_t thread_bits(uint32_t serial)
{
	uint32_t *tids = fa_levels_tids();

	if (FA_LIKELY(tids != NULL && serial < FA_TABLE_TIDS) && FA_UNLIKELY(tids[serial] == 0))
		tids[serial] = (uint32_t)fa_tracer_tid();
	return (uint64_t)(FA_LIKELY(serial + 1 < FA_TABLE_MOVING) ? serial + 1 : FA_TABLE_OTHER) << 29;
}

static bool is_kept(void)
{
	return fa_state_now() == FA_ACTIVE && fa_state_page.way == FA_WAY_TABLE;
}

/* The usable size costs a call, which is short; the rest is known. */
static void add(void *p, size_t size, uint32_t which, const struct fa_regs *regs)
{
	uint64_t usable = table.usable_size != NULL ? table.usable_size(p) : 0, unknown = 0, from;
	uint64_t kind = FA_USABLE_HEAP;

	if (FA_UNLIKELY((uint64_t)p >= FA_TABLE_ADDRESS || ((uint64_t)p & 7) != 0)) {
		__atomic_fetch_add(&fa_arena_head()->table.refused, 1, __ATOMIC_RELAXED);
		return;
	}
	if (FA_UNLIKELY(usable != fa_table_usable_size(size, FA_USABLE_HEAP)))
		kind = fa_table_usable_kind(size, usable, &unknown);
	from = fa_tracer_stack(regs, which);
	if (FA_UNLIKELY(!is_kept())) /* it is over; or we are a child of a fork in a handler: it is our parent's */
		return;
	if (FA_UNLIKELY(from == FA_NO_STACK))
		from = (uint64_t)FA_TABLE_OTHER << 32;
	put((uint64_t)p, (from & 0x3fffff) << 40 | kind << 62,
	    fa_table_pack_size(size) | thread_bits((uint32_t)(from >> 32)) |
		    __atomic_load_n(&table.time, __ATOMIC_RELAXED) | unknown);
}

/* --- hooks -------------------------------------------------------------------------------- */

static unsigned log2_of(size_t alignment)
{
	return alignment == 0 ? 0 : 63 - (unsigned)__builtin_clzll(alignment);
}

void *fa_table_enter(void *p, size_t size, unsigned fn, size_t alignment, const struct fa_regs *regs)
{
	if (p == NULL || !is_kept())
		return p;
	if (table.events)
		fa_record_alloc(regs, p, size, fn, log2_of(alignment));
	add(p, size, FA_STACK_ALLOC, regs);
	return p;
}

void fa_table_leave(void *block, const struct fa_regs *regs)
{
	struct fa_table_slot *s;

	if (!is_kept())
		return;
	if (table.events)
		fa_record_free(regs, block, true);
	s = find((uint64_t)block);
	if (s != NULL)
		clear(s);
}

void *fa_table_malloc(size_t size, const struct fa_regs *regs)
{
	return fa_table_enter(fa_real.malloc(size), size, FA_FN_MALLOC, 0, regs);
}

void *fa_table_calloc(size_t count, size_t size, const struct fa_regs *regs)
{
	return fa_table_enter(fa_real.calloc(count, size), count * size, FA_FN_CALLOC, 0, regs);
}

static void *resize(void *block, size_t size, const struct fa_regs *regs, int is_array)
{
	struct fa_table_slot *s = block != NULL ? find((uint64_t)block) : NULL;
	uint64_t was = s != NULL ? s->block : 0;
	void *p;

	if (s != NULL)
		__atomic_store_n(&s->block, fa_table_moving(was), __ATOMIC_RELEASE);
	p = fa_real.realloc(block, size);
	if (p == NULL && size != 0) { /* it failed */
		if (s != NULL)
			__atomic_store_n(&s->block, was, __ATOMIC_RELEASE);
		return p;
	}
	if (table.events && (p != NULL || block != NULL))
		fa_record_realloc(regs, (uint64_t)block, p, size, is_array);
	/* The new entry first: one of the two is met by whoever looks. */
	if (p != NULL)
		add(p, size, FA_STACK_REALLOC, regs);
	if (s != NULL)
		clear(s);
	return p;
}

void *fa_table_realloc(void *block, size_t size, const struct fa_regs *regs)
{
	return is_kept() ? resize(block, size, regs, 0) : fa_real.realloc(block, size);
}

void *fa_table_reallocarray(void *block, size_t count, size_t size, const struct fa_regs *regs)
{
	size_t bytes;

	/* The real one calls realloc, which is ours again. */
	if (!is_kept() || __builtin_mul_overflow(count, size, &bytes))
		return fa_real.reallocarray(block, count, size);
	return resize(block, bytes, regs, 1);
}

int fa_table_posix_memalign(void **ret, size_t alignment, size_t size, const struct fa_regs *regs)
{
	int error = fa_real.posix_memalign(ret, alignment, size);

	if (error == 0)
		(void)fa_table_enter(*ret, size, FA_FN_POSIX_MEMALIGN, alignment, regs);
	return error;
}
