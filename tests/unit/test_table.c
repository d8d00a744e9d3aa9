/*
 * The table of live blocks: what an entry holds, and what a look at a table finds, whatever stands in it.
 * libs: collector trace format base
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collector/drain.h"
#include "format/table_format.h"
#include "test.h"

enum { SIZE = 2 << 20, BEGIN = 1000000 };

static struct {
	int fd;
	unsigned char *base;
	struct fa_arena_geometry g;
	struct fa_arena_header *h;
	struct fa_trace_block *block;
	size_t blocks;
	struct fa_rec_snapshot_end end;
} t;

static int take(void *ctx, unsigned tag, const void *head, size_t head_len, const void *tail,
		size_t tail_len, const void *tail2, size_t tail2_len)
{
	(void)ctx;
	(void)head_len;
	(void)tail2;
	(void)tail2_len;
	if (tag == FA_TAG_BLOCKS) {
		t.block = realloc(t.block, t.blocks * sizeof(*t.block) + tail_len);
		memcpy(t.block + t.blocks, tail, tail_len);
		t.blocks += tail_len / sizeof(*t.block);
	}
	if (tag == FA_TAG_SNAPSHOT_END)
		memcpy(&t.end, head, sizeof(t.end));
	return 0;
}

static void new_arena(void)
{
	free(t.block);
	if (t.base != NULL) {
		munmap(t.base, SIZE);
		close(t.fd);
	}
	memset(&t, 0, sizeof(t));
	t.fd = memfd_create("arena", MFD_CLOEXEC);
	CHECK(ftruncate(t.fd, SIZE) == 0);
	t.base = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, t.fd, 0);
	t.h = (void *)t.base;
	fa_arena_geometry(SIZE, 0, &t.g);
	t.h->magic = FA_ARENA_MAGIC;
	t.h->version = FA_ARENA_VERSION;
	t.h->size = SIZE;
	t.h->pid = getpid();
	t.h->tracing_flags = 0x10;
	t.h->clock_source = fa_drain_clock_source();
	t.h->table.begin_stamp = BEGIN;
	t.h->table.levels = 2;
	t.h->table.level[0] = (struct fa_arena_level){8, 5};
	t.h->table.level[1] = (struct fa_arena_level){40, 4};
}

static struct fa_table_slot *slot_of(uint64_t address, unsigned level, unsigned way)
{
	uint64_t mixed = fa_table_mixed(address);
	const struct fa_arena_level *l = &t.h->table.level[level];
	struct fa_table_buffer *b = (void *)(t.base + t.g.buffer_offset +
					     (size_t)(l->buffer + fa_table_place(mixed, l->log2)) *
						     FA_BUFFER_SIZE);

	return &b->line[fa_table_home(mixed, level)][way];
}

static void put(uint64_t address, unsigned level, unsigned way, uint64_t size, uint32_t thread)
{
	struct fa_table_slot *s = slot_of(address, level, way);

	s->key = (fa_table_mixed(address) & FA_TABLE_KEY_MASK) | 77ULL << 40 |
		 (uint64_t)FA_USABLE_HEAP << 62;
	s->block = fa_table_pack_size(size) | (uint64_t)thread << 29 | fa_table_pack_time(5 << 21) << 42;
}

static int look(struct fa_snapshot *ret)
{
	static struct fa_family_info info;
	struct fa_drain_ids ids = {1, 1};
	const struct fa_sink sink = {take, NULL};
	struct fa_family *f;
	int r;

	info.pid = getpid();
	r = fa_family_view(t.fd, SIZE, &info, &ids, &f);
	if (r < 0)
		return r;
	r = fa_family_snapshot(f, &sink, false, ret);
	fa_family_free(f);
	return r;
}

SPEC(sizes_and_times_come_back_as_exact_as_is_said)
{
	for (uint64_t size = 0; size < 1ULL << 40; size = size * 3 + 1) {
		uint64_t back = fa_table_size(fa_table_pack_size(size));

		CHECK(size < FA_TABLE_EXACT ? back == size : back >= size && back < size + 4096);
	}
	for (uint64_t stamps = 1; stamps < 1ULL << 52; stamps = stamps * 5 / 2 + 1) {
		uint64_t back = fa_table_time(fa_table_pack_time(stamps) << 42);

		CHECK(back <= stamps && stamps - back < stamps / 65536 + (1 << FA_TABLE_UNIT));
	}
	CHECK(fa_table_time(fa_table_pack_time(UINT64_MAX) << 42) >= 1ULL << 52);
}

SPEC(usable_sizes_are_as_glibc_makes_them_or_said_to_be_unknown)
{
	uint64_t unknown;

	CHECK(fa_table_usable_size(1, FA_USABLE_HEAP) == 24);
	CHECK(fa_table_usable_size(24, FA_USABLE_HEAP) == 24);
	CHECK(fa_table_usable_size(25, FA_USABLE_HEAP) == 40);
	CHECK(fa_table_usable_kind(25, 56, &unknown) == FA_USABLE_HEAP16 && unknown == 0);
	CHECK(fa_table_usable_kind(200000, 200688, &unknown) == FA_USABLE_PAGES && unknown == 0);
	CHECK(fa_table_usable_kind(100, 999, &unknown) == FA_USABLE_PAGES && unknown != 0);
}

SPEC(each_entry_of_each_level_comes_back_once_the_oldest_first)
{
	struct fa_snapshot s;
	uint64_t bytes = 0;

	new_arena();
	for (uint64_t i = 0; i < 64; i++) {
		put(0x7f0000001000 + i * 0x12340, i & 1, 0, 100 + i, 3);
		bytes += 100 + i;
	}
	CHECK(look(&s) == 0);
	CHECK(s.blocks == 64 && s.bytes == bytes && t.blocks == 64 && t.end.blocks == 64 && t.end.bytes == bytes);
	for (size_t i = 0; i < t.blocks; i++) {
		const struct fa_trace_block *b = &t.block[i];

		CHECK(b->addr == 0x7f0000001000 + i * 0x12340 && b->size == 100 + i);
		CHECK(b->stack == 77 && b->thread == 2 && b->since == 5 << 21);
		CHECK(b->usable >= b->size && b->usable < b->size + 24);
	}
}

SPEC(of_one_address_the_entry_that_realloc_is_not_at_counts)
{
	struct fa_snapshot s;

	new_arena();
	put(0x5000, 0, 0, 10, FA_TABLE_MOVING);
	put(0x5000, 1, 0, 20, 1);
	put(0x6000, 0, 1, 30, FA_TABLE_MOVING);
	CHECK(look(&s) == 0);
	CHECK(s.blocks == 2 && s.bytes == 50);
	CHECK(t.block[0].addr == 0x5000 && t.block[0].size == 20 && t.block[0].thread == 0);
	CHECK(t.block[1].addr == 0x6000 && t.block[1].thread == ~0u);
}

SPEC(what_is_half_written_is_left_out)
{
	struct fa_snapshot s;

	new_arena();
	put(0x5000, 0, 0, 10, 1);
	put(0x7000, 0, 0, 10, 1);
	slot_of(0x7000, 0, 0)->block = 0;
	CHECK(look(&s) == 0);
	CHECK(s.blocks == 1 && t.block[0].addr == 0x5000);
}

SPEC(levels_that_lie_outside_of_the_arena_are_not_looked_at)
{
	struct fa_snapshot s;

	new_arena();
	put(0x5000, 0, 0, 10, 1);
	t.h->table.levels = ~0u;
	for (unsigned i = 1; i < FA_TABLE_LEVELS; i++)
		t.h->table.level[i] = (struct fa_arena_level){i * 0x11111111u, i};
	t.h->table.level[1] = (struct fa_arena_level){t.g.buffers - 15, 4};
	t.h->table.tids = ~0u;
	CHECK(look(&s) == 0);
	CHECK(s.blocks == 1);
	t.h->table.begin_stamp = 0;
	CHECK(look(&s) == -ENOENT);
}

int main(void)
{
	RUN(sizes_and_times_come_back_as_exact_as_is_said);
	RUN(usable_sizes_are_as_glibc_makes_them_or_said_to_be_unknown);
	RUN(each_entry_of_each_level_comes_back_once_the_oldest_first);
	RUN(of_one_address_the_entry_that_realloc_is_not_at_counts);
	RUN(what_is_half_written_is_left_out);
	RUN(levels_that_lie_outside_of_the_arena_are_not_looked_at);
	return TEST_RESULT();
}
