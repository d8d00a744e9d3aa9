/*
 * snapshot.c - the live blocks of a process, out of the table that it keeps in its arena.
 *
 * The table is read while the process goes on: see format/table_format.h for what that finds, and why. What was
 * found is sorted by address, and of two entries of one address one is left; then by time, as a trace would tell it.
 * Nodes and modules are read after the table: whatever an entry refers to was there before it.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "collector/family_internal.h"
#include "format/table_format.h"

enum { BLOCKS_PER_RECORD = 1024 };

struct found {
	struct fa_trace_block b;
	uint32_t order; /* in which it was met */
	bool moving;
	uint8_t reserved[3];
};

struct look {
	struct fa_family *f;
	struct fa_arena_table table; /* a copy */
	struct found *found;
	size_t count, room;
	uint64_t stamp, took, table_bytes;
};

static uint64_t inverse(uint64_t odd)
{
	uint64_t x = odd;

	for (int i = 0; i < 6; i++) /* each turn doubles the bits that are right */
		x *= 2 - odd * x;
	return x;
}

/* The first buffer of a level that lies in one segment of ours as it should; NULL: there is no such level. */
static const struct fa_table_buffer *level_at(const struct fa_family *f, const struct fa_arena_level *l)
{
	if (l->log2 < FA_TABLE_LEAST_LOG2 || l->log2 > 20)
		return NULL;
	for (unsigned k = 0; k < f->segments; k++) {
		const struct fa_segment *s = &f->segment[k];
		uint32_t n = l->buffer - s->first_buffer;

		if (l->buffer >= s->first_buffer && n < s->g.buffers &&
		    s->g.buffers - n >= 1u << l->log2)
			return (const void *)(s->base + s->g.buffer_offset +
					      (size_t)n * FA_BUFFER_SIZE);
	}
	return NULL;
}

static int add(struct look *l, uint64_t addr, uint64_t key, uint64_t block)
{
	uint64_t size = fa_table_size(block);
	uint32_t thread = fa_table_thread(block);
	struct found *at;

	if (l->count == l->room) {
		size_t room = l->room == 0 ? 1 << 16 : l->room * 2;
		struct found *more = reallocarray(l->found, room, sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		l->found = more;
		l->room = room;
	}
	at = &l->found[l->count];
	*at = (struct found){.order = (uint32_t)l->count++, .moving = thread == FA_TABLE_MOVING};
	at->b = (struct fa_trace_block){
		.addr = addr,
		.size = size,
		.usable = (block & FA_USABLE_UNKNOWN) != 0
				  ? 0
				  : fa_table_usable_size(size, (unsigned)(key >> 62)),
		.since = fa_table_time(block),
		.stack = (uint32_t)(key >> 40) & 0x3fffff,
		.thread = thread == 0 || thread >= FA_TABLE_MOVING ? ~0u : thread - 1,
	};
	return 0;
}

/* The entry, if it was one when its key was looked at and is the same afterwards. */
static bool read_slot(const struct fa_table_slot *s, uint64_t *ret_key, uint64_t *ret_block)
{
	*ret_key = __atomic_load_n(&s->key, __ATOMIC_ACQUIRE);
	if (*ret_key == 0)
		return false;
	*ret_block = __atomic_load_n(&s->block, __ATOMIC_ACQUIRE);
	return *ret_block != 0 && __atomic_load_n(&s->key, __ATOMIC_ACQUIRE) == *ret_key;
}

static int read_buffer(struct look *l, const struct fa_table_buffer *b, uint64_t upper, uint64_t unmix)
{
	for (unsigned i = 0; i < FA_TABLE_LINES * FA_TABLE_SLOTS; i++) {
		uint64_t key, block, mixed;
		int r;

		if (!read_slot(&b->line[0][0] + i, &key, &block))
			continue;
		mixed = upper << (FA_TABLE_BITS - FA_TABLE_LEAST_LOG2) | (key & FA_TABLE_KEY_MASK);
		r = add(l, (mixed * unmix & ((1ULL << FA_TABLE_BITS) - 1)) << 3, key, block);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_levels(struct look *l)
{
	uint32_t levels = arena_load(&family_header(l->f)->table.levels);
	const uint64_t unmix = inverse(FA_TABLE_MIX);
	uint64_t buffers = 0;
	int r = 0;

	arena_copy(&l->table, &family_header(l->f)->table, sizeof(l->table));
	for (uint32_t i = 0; i < levels && i < FA_TABLE_LEVELS && r == 0; i++) {
		const struct fa_arena_level *level = &l->table.level[i];
		const struct fa_table_buffer *b = level_at(l->f, level);

		/* No buffer is of two levels: a process that says so would have us read without end. */
		buffers += b != NULL ? 1u << level->log2 : 0;
		if (buffers > l->f->buffers)
			return -EBADMSG;
		for (uint32_t n = 0; b != NULL && n < 1u << level->log2 && r == 0; n++)
			r = read_buffer(l, b + n, n >> (level->log2 - FA_TABLE_LEAST_LOG2), unmix);
		l->table_bytes += b != NULL ? (uint64_t)FA_BUFFER_SIZE << level->log2 : 0;
	}
	return r;
}

static int compare_address(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->b.addr != y->b.addr)
		return x->b.addr < y->b.addr ? -1 : 1;
	if (x->moving != y->moving) /* what is left comes first */
		return x->moving ? 1 : -1;
	return x->order > y->order ? -1 : 1;
}

static int compare_time(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->b.since != y->b.since)
		return x->b.since < y->b.since ? -1 : 1;
	return x->b.addr < y->b.addr ? -1 : x->b.addr > y->b.addr;
}

static void drop_doubles(struct look *l)
{
	size_t left = 0;

	if (l->count == 0)
		return;
	qsort(l->found, l->count, sizeof(*l->found), compare_address);
	for (size_t i = 0; i < l->count; i++)
		if (left == 0 || l->found[left - 1].b.addr != l->found[i].b.addr)
			l->found[left++] = l->found[i];
	l->count = left;
}

/* The process that made the arena; its place in the table of processes may be another's by now. */
static int write_process(struct look *l, struct fa_process *p)
{
	struct fa_family *f = l->f;
	struct fa_arena_process a;
	int r;

	arena_copy(&a, family_slot(f, 0), sizeof(a));
	p->own_pid = f->header.pid;
	p->pid = f->info.pid;
	p->known = p->live = true;
	p->record = (struct fa_rec_process){
		.process = f->ids->next_process++,
		.arena = f->arena,
		.pid = f->info.pid,
		.parent_pid = f->info.parent_pid,
		.origin = a.pid == f->header.pid && a.origin == FA_ORIGIN_WOKEN
				  ? (uint32_t)FA_ORIGIN_WOKEN
				  : (uint32_t)FA_ORIGIN_EXEC,
		.uid = f->info.uid,
		.gid = f->info.gid,
		.start_stamp = f->header.start_stamp,
		.fork_thread = ~0u,
		.tracing_flags = f->header.tracing_flags,
		.rule_id = f->header.rule_id,
		.depth = f->header.depth,
		.stacks = f->header.stacks,
		.stamp_mode = f->header.stamp_mode,
	};
	r = family_describe_strings(f, p);
	if (r == 0)
		family_emit(f, FA_TAG_PROCESS, &p->record, sizeof(p->record), p->strings,
			    p->strings_len, NULL, 0);
	return r;
}

/* Those that allocated a block that is here; their numbers stand in a buffer of the table. */
static void write_threads(struct look *l, struct fa_process *p)
{
	struct fa_family *f = l->f;
	const uint32_t *tids = NULL;

	if (l->table.tids != 0 && l->table.tids < f->buffers)
		tids = (const uint32_t *)(const void *)((const unsigned char *)family_buffer(
								f, l->table.tids) +
							FA_BUFFER_HEADER);
	for (size_t i = 0; i < l->count; i++) {
		const struct fa_trace_block *b = &l->found[i].b;
		int32_t tid = tids != NULL && b->thread < FA_TABLE_TIDS
				      ? (int32_t)arena_load(&tids[b->thread])
				      : 0;

		if (b->thread != ~0u)
			family_meet_thread(f, p, b->thread, tid, 0);
	}
}

static void write_blocks(struct look *l, const struct fa_process *p, bool dead,
			 struct fa_snapshot *ret)
{
	static struct fa_trace_block chunk[BLOCKS_PER_RECORD];
	struct fa_rec_snapshot begin = {
		.process = p->record.process,
		.flags = (dead ? FA_SNAPSHOT_POST_MORTEM : 0u) |
			 (l->table.refused != 0 ? FA_SNAPSHOT_DEGRADED : 0u),
		.begin_stamp = l->table.begin_stamp,
		.stamp = l->stamp,
		.took = l->took,
		.refused = l->table.refused,
		.table_bytes = l->table_bytes,
	};
	struct fa_rec_snapshot_end end = {.process = p->record.process,
					  .blocks = ret->blocks,
					  .bytes = ret->bytes,
					  .usable_bytes = ret->usable_bytes};

	family_emit(l->f, FA_TAG_SNAPSHOT, &begin, sizeof(begin), NULL, 0, NULL, 0);
	for (size_t at = 0; at < l->count;) {
		struct fa_rec_blocks r = {.process = p->record.process,
					  .sequence = end.records++,
					  .begin_stamp = begin.begin_stamp};

		for (; at < l->count && r.count < BLOCKS_PER_RECORD; at++)
			chunk[r.count++] = l->found[at].b;
		family_emit(l->f, FA_TAG_BLOCKS, &r, sizeof(r), chunk, r.count * sizeof(chunk[0]),
			    NULL, 0);
	}
	family_emit(l->f, FA_TAG_SNAPSHOT_END, &end, sizeof(end), NULL, 0, NULL, 0);
}

static void write_lost(struct look *l, const struct fa_process *p)
{
	struct fa_rec_lost r = {.process = p->record.process,
				.cause = FA_LOST_TABLE,
				.count = l->table.refused,
				.stamp = l->stamp};

	if (r.count != 0)
		family_emit(l->f, FA_TAG_LOST, &r, sizeof(r), NULL, 0, NULL, 0);
}

static int write_all(struct look *l, bool dead, struct fa_snapshot *ret)
{
	struct fa_process p = {0};
	int r = write_process(l, &p);

	if (r == 0) {
		write_threads(l, &p);
		family_write_modules(l->f);
		family_write_nodes(l->f);
		if (l->count > 0)
			qsort(l->found, l->count, sizeof(*l->found), compare_time);
		write_blocks(l, &p, dead, ret);
		write_lost(l, &p);
	}
	free(p.strings);
	free(p.threads);
	return r;
}

static void sum_up(const struct look *l, struct fa_snapshot *ret)
{
	ret->blocks = l->count;
	ret->refused = l->table.refused;
	ret->table_bytes = l->table_bytes;
	for (size_t i = 0; i < l->count; i++) {
		const struct fa_trace_block *b = &l->found[i].b;

		ret->bytes += b->size;
		ret->usable_bytes += b->usable != 0 ? b->usable : b->size;
	}
}

int fa_family_snapshot(struct fa_family *f, const struct fa_sink *sink, bool dead,
		       struct fa_snapshot *ret)
{
	struct look l = {.f = f, .stamp = fa_drain_stamp(f->header.clock_source)};
	uint64_t begin = fa_mono_ns();
	int r;

	*ret = (struct fa_snapshot){0};
	if (arena_load64(&family_header(f)->table.begin_stamp) == 0)
		return -ENOENT;
	r = read_levels(&l);
	l.took = fa_drain_stamp(f->header.clock_source) - l.stamp;
	ret->look_ns = fa_mono_ns() - begin;
	f->sink = sink;
	f->error = 0;
	if (r == 0) {
		drop_doubles(&l);
		sum_up(&l, ret);
	}
	if (r == 0 && sink != NULL)
		r = write_all(&l, dead, ret);
	f->sink = NULL;
	free(l.found);
	return r < 0 ? r : f->error;
}
