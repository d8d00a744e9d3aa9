/*
 * test_diff.c - live sets at moments, and what is said of two of them: examples computed by hand.
 * libs: report analysis symbols trace format base
 */
#include "report/diff.h"

#include "tests/unit/test.h"
#include "tests/unit/trace_builder.h"

static struct fa_symbols *symbols;
static struct fa_resolver *resolver;

/* Process `id` of /no/such/NAME with a module of its own; stacks 1 and 2 are called by stack 3. */
static void add_process(struct trace_builder *t, uint32_t id, const char *exe, const char *build,
			uint64_t base)
{
	tb_process(t,
		   &(struct fa_rec_process){
			   .process = id, .arena = id, .pid = 100 + (int)id, .start_stamp = 1},
		   exe);
	tb_module(t, id, 1, base, "", build, (uint32_t)strlen(build));
	tb_node(t, id, 3, 0, base + 0x3000, 1, 0);
	tb_node(t, id, 1, 3, base + 0x1000, 1, 0);
	tb_node(t, id, 2, 3, base + 0x2000, 1, 0);
}

static struct fa_replay *read_moments(struct trace_builder *t, const struct fa_moment *m,
				      unsigned count, struct fa_live *live)
{
	struct fa_replay *replay = NULL;

	CHECK(t->failed == 0);
	CHECK(fa_live_read(t->path, &(struct fa_replay_options){0}, m, count, live, &replay) == 0);
	(void)unlink(t->path);
	return replay;
}

static const struct fa_moment at_end = {.kind = FA_MOMENT_END};

static struct fa_moment at(uint64_t ns)
{
	return (struct fa_moment){.kind = FA_MOMENT_TIME, .ns = ns};
}

static void make_resolver(void)
{
	CHECK(fa_symbols_new(&(struct fa_symbols_options){0}, &symbols) == 0);
	CHECK(fa_resolver_new(symbols, true, &resolver) == 0);
}

static void free_resolver(void)
{
	fa_resolver_free(resolver);
	fa_symbols_free(symbols);
}

/* One process: 0x10 (100 B) lives 10..40, 0x20 (50) from 20 on, 0x30 (7) 30..50, 0x20 grows at 60 to 80. */
static void put_life(struct trace_builder *t)
{
	struct stream_builder s;

	tb_open(t);
	add_process(t, 1, "/no/such/prog", "\1\2\3", 0x550000000000);
	sb_init(&s, t, 1, 0);
	sb_alloc(&s, 10, 0x10, 100, 1);
	sb_alloc(&s, 20, 0x20, 50, 2);
	sb_alloc(&s, 30, 0x30, 7, 1);
	sb_free(&s, 40, 0x10);
	sb_free(&s, 50, 0x30);
	sb_realloc(&s, 60, 0x20, 0x20, 80, 2);
	sb_flush(&s);
}

SPEC(what_is_live_at_a_time_was_allocated_before_it_and_not_freed_before_it)
{
	const struct fa_moment m[] = {at(10), at(11), at(40), at(41),
				      at(55), at(61), at_end, {.kind = FA_MOMENT_PEAK}};
	/* Of the size it had: at 55 the block of 50 bytes lives, from 60 on that of 80. */
	static const struct fa_amount want[] = {{0, 0},  {1, 100}, {3, 157}, {2, 57},
						{1, 50}, {1, 80},  {1, 80},  {3, 157}};
	struct trace_builder t;
	struct fa_live live[8];

	put_life(&t);
	tb_close(&t, 100);
	struct fa_replay *r = read_moments(&t, m, 8, live);

	for (unsigned i = 0; i < 8; i++) {
		if (live[i].sum.blocks != want[i].blocks || live[i].sum.bytes != want[i].bytes)
			printf("  moment %u: %llu in %llu\n", i,
			       (unsigned long long)live[i].sum.bytes,
			       (unsigned long long)live[i].sum.blocks);
		CHECK(live[i].sum.blocks == want[i].blocks && live[i].sum.bytes == want[i].bytes);
		CHECK(live[i].count == want[i].blocks);
	}
	CHECK(live[2].block[0].addr == 0x10 && live[2].block[2].addr == 0x30);
	CHECK(live[1].real_ns == 11 && live[7].stamp == 30);
	for (unsigned i = 0; i < 8; i++)
		fa_live_done(&live[i]);
	fa_replay_free(r);
}

SPEC(of_a_process_that_is_gone_nothing_is_live_but_at_the_end_what_it_never_freed)
{
	const struct fa_moment m[] = {at(75), at(95), at_end};
	struct trace_builder t;
	struct fa_live live[3];

	put_life(&t);
	tb_end_process(&t, 1, 90);
	tb_close(&t, 100);
	struct fa_replay *r = read_moments(&t, m, 3, live);

	CHECK(live[0].count == 1 && live[1].count == 0 && live[2].count == 1);
	for (unsigned i = 0; i < 3; i++)
		fa_live_done(&live[i]);
	fa_replay_free(r);
}

SPEC(two_moments_of_a_trace_are_compared_by_stack_and_by_block)
{
	const struct fa_moment m[] = {at(25), at(65)};
	struct trace_builder t;
	struct fa_live live[2];
	struct fa_diff d;

	/* 25: 0x10 100 B stack 1, 0x20 50 B stack 2. 65: 0x20 80 B stack 2, 0x40 5 B stack 3. */
	put_life(&t);
	struct stream_builder s;

	tb_thread(&t, 1, 1, 7, "other");
	sb_init(&s, &t, 1, 1);
	sb_alloc(&s, 62, 0x40, 5, 3);
	sb_flush(&s);
	tb_close(&t, 100);
	struct fa_replay *r = read_moments(&t, m, 2, live);
	const struct fa_diff_side side[2] = {
		{.path = "a", .moment = "25", .replay = r, .live = &live[0]},
		{.path = "a", .moment = "65", .replay = r, .live = &live[1]}};

	make_resolver();
	CHECK(fa_diff_new(side, resolver, &(struct fa_diff_options){.only = 31, .blocks = true},
			  &d) == 0);
	CHECK(d.count == 3 && d.by_block);
	CHECK(d.row[0].change == FA_GROWN && d.row[0].before.bytes == 50 &&
	      d.row[0].after.bytes == 80);
	CHECK(d.row[0].of[FA_ADDED].bytes == 80 && d.row[0].of[FA_REMOVED].bytes == 50 &&
	      d.row[0].of[FA_KEPT].blocks == 0);
	CHECK(d.row[1].change == FA_ADDED && d.row[1].after.bytes == 5);
	CHECK(d.row[2].change == FA_REMOVED && d.row[2].before.bytes == 100);
	CHECK(d.sum.before.bytes == 150 && d.sum.after.bytes == 85);
	CHECK(d.rows_of[FA_KEPT] == 0 && d.rows_of[FA_SHRUNK] == 0);
	CHECK(d.block_count == 4 && d.block[0].block->size == 100 &&
	      d.block[0].change == FA_REMOVED && d.block[3].block->size == 5);
	fa_diff_done(&d);
	/* A filter on rows is one on blocks; the sums are of everything. */
	CHECK(fa_diff_new(side, resolver,
			  &(struct fa_diff_options){.only = 1u << FA_ADDED, .blocks = true},
			  &d) == 0);
	CHECK(d.count == 1 && d.row[0].after.bytes == 5 && d.sum.before.bytes == 150);
	CHECK(d.block_count == 2 && d.rows_of[FA_GROWN] == 1);
	fa_diff_done(&d);
	free_resolver();
	fa_live_done(&live[0]);
	fa_live_done(&live[1]);
	fa_replay_free(r);
}

SPEC(a_block_that_was_freed_and_handed_out_again_is_another_block)
{
	const struct fa_moment m[] = {at(15), at(35)};
	struct trace_builder t;
	struct stream_builder s;
	struct fa_live live[2];
	struct fa_diff d;

	tb_open(&t);
	add_process(&t, 1, "/no/such/prog", "\1\2\3", 0x550000000000);
	sb_init(&s, &t, 1, 0);
	sb_alloc(&s, 10, 0x10, 100, 1);
	sb_alloc(&s, 12, 0x20, 10, 1);
	sb_free(&s, 20, 0x10);
	sb_alloc(&s, 30, 0x10, 100, 1);
	sb_flush(&s);
	tb_close(&t, 100);
	struct fa_replay *r = read_moments(&t, m, 2, live);
	const struct fa_diff_side side[2] = {{.replay = r, .live = &live[0]},
					     {.replay = r, .live = &live[1]}};

	make_resolver();
	CHECK(fa_diff_new(side, resolver, &(struct fa_diff_options){.only = 31}, &d) == 0);
	CHECK(d.count == 1 && d.row[0].change == FA_KEPT);
	CHECK(d.row[0].of[FA_ADDED].blocks == 1 && d.row[0].of[FA_REMOVED].blocks == 1 &&
	      d.row[0].of[FA_KEPT].bytes == 10);
	CHECK(d.block_count == 0);
	fa_diff_done(&d);
	free_resolver();
	fa_live_done(&live[0]);
	fa_live_done(&live[1]);
	fa_replay_free(r);
}

/* Two traces, each one process that has a block of 10 bytes from stack 1 and one of `size` from stack 2. */
static void two_traces(const char *exe1, const char *build1, const char *exe2, const char *build2,
		       struct fa_diff *d)
{
	struct trace_builder t;
	struct stream_builder s;
	struct fa_live live[2];
	struct fa_replay *r[2];

	for (unsigned i = 0; i < 2; i++) {
		tb_open(&t);
		add_process(&t, 1 + i, i == 0 ? exe1 : exe2, i == 0 ? build1 : build2,
			    0x550000000000 + i * 0x1000000);
		sb_init(&s, &t, 1 + i, 0);
		sb_alloc(&s, 10, 0x10, 10, 1);
		sb_alloc(&s, 20, 0x20, 20 + i, 2);
		sb_flush(&s);
		tb_close(&t, 100);
		r[i] = read_moments(&t, &at_end, 1, &live[i]);
	}
	const struct fa_diff_side side[2] = {{.replay = r[0], .live = &live[0]},
					     {.replay = r[1], .live = &live[1]}};

	make_resolver();
	CHECK(fa_diff_new(side, resolver, &(struct fa_diff_options){.only = 31}, d) == 0);
	free_resolver();
	for (unsigned i = 0; i < 2; i++) {
		fa_live_done(&live[i]);
		fa_replay_free(r[i]);
	}
}

SPEC(the_same_build_in_two_runs_has_the_same_stacks_wherever_it_is_mapped)
{
	struct fa_diff d;

	two_traces("/no/such/prog", "\1\2\3", "/no/such/prog", "\1\2\3", &d);
	CHECK(d.count == 2 && d.row[0].change == FA_GROWN && d.row[1].change == FA_KEPT);
	CHECK(d.row[0].before.bytes == 20 && d.row[0].after.bytes == 21);
	CHECK(!d.by_block); /* the pids differ */
	fa_diff_done(&d);
}

SPEC(of_another_build_without_symbols_module_and_offset_are_compared)
{
	struct fa_diff d;

	two_traces("/no/v1/prog", "\1\2\3", "/no/v2/prog", "\4\5\6", &d);
	CHECK(d.count == 2 && d.row[0].change == FA_GROWN && d.row[1].change == FA_KEPT);
	fa_diff_done(&d);
	/* The one program of a trace is that of the other, whatever it is called; or has no build id. */
	two_traces("/no/v1/prog-1", "\1\2\3", "/no/v2/prog-2", "\4\5\6", &d);
	CHECK(d.count == 2 && d.row[0].change == FA_GROWN);
	fa_diff_done(&d);
	two_traces("/no/v1/prog-1", "", "/no/v2/prog-2", "", &d);
	CHECK(d.count == 2 && d.row[0].change == FA_GROWN);
	fa_diff_done(&d);
}

SPEC(the_order_is_by_growth_by_size_of_the_change_or_by_blocks)
{
	/* Stack 1: 100 -> 0 bytes; stack 2: 0 -> 90 in one block; stack 3: 0 -> 30 in three. */
	static const uint64_t want[3][3] = {{90, 30, 0}, {0, 90, 30}, {30, 90, 0}};
	const struct fa_moment m[] = {at(15), at_end};
	struct trace_builder t;
	struct stream_builder s;
	struct fa_live live[2];
	struct fa_diff d;

	tb_open(&t);
	add_process(&t, 1, "/no/such/prog", "\1\2\3", 0x550000000000);
	sb_init(&s, &t, 1, 0);
	sb_alloc(&s, 10, 0x10, 100, 1);
	sb_free(&s, 20, 0x10);
	sb_alloc(&s, 30, 0x20, 90, 2);
	for (uint64_t i = 0; i < 3; i++)
		sb_alloc(&s, 40 + i, 0x100 + i * 16, 10, 3);
	sb_flush(&s);
	tb_close(&t, 100);
	struct fa_replay *r = read_moments(&t, m, 2, live);
	const struct fa_diff_side side[2] = {{.replay = r, .live = &live[0]},
					     {.replay = r, .live = &live[1]}};

	make_resolver();
	for (unsigned sort = 0; sort < 3; sort++) {
		CHECK(fa_diff_new(side, resolver,
				  &(struct fa_diff_options){.only = 31,
							    .sort = (enum fa_diff_sort)sort},
				  &d) == 0);
		CHECK(d.count == 3);
		for (unsigned i = 0; i < 3; i++)
			CHECK(d.row[i].after.bytes == want[sort][i]);
		fa_diff_done(&d);
	}
	free_resolver();
	fa_live_done(&live[0]);
	fa_live_done(&live[1]);
	fa_replay_free(r);
}

int main(void)
{
	RUN(what_is_live_at_a_time_was_allocated_before_it_and_not_freed_before_it);
	RUN(of_a_process_that_is_gone_nothing_is_live_but_at_the_end_what_it_never_freed);
	RUN(two_moments_of_a_trace_are_compared_by_stack_and_by_block);
	RUN(a_block_that_was_freed_and_handed_out_again_is_another_block);
	RUN(the_same_build_in_two_runs_has_the_same_stacks_wherever_it_is_mapped);
	RUN(of_another_build_without_symbols_module_and_offset_are_compared);
	RUN(the_order_is_by_growth_by_size_of_the_change_or_by_blocks);
	return TEST_RESULT();
}
