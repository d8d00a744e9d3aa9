/*
 * test_replay.c - what was live when: small traces with numbers computed by hand, and two thousand
 * random ones against an oracle.
 * libs: analysis trace format base
 */
#include <stdbool.h>

#include "analysis/replay.h"
#include "tests/unit/test.h"
#include "tests/unit/trace_builder.h"

static struct trace_builder t;
static struct stream_builder s[8];

/* A trace with one process (id 1, pid 100, arena 1) and stacks 1 (outermost), 2 and 3. */
static void begin(unsigned threads)
{
	tb_open(&t);
	tb_process(&t, &(struct fa_rec_process){.process = 1, .arena = 1, .pid = 100, .uid = 7},
		   "/usr/bin/prog");
	tb_node(&t, 1, 1, 0, 0x1000, FA_MODULE_UNKNOWN, 0);
	tb_node(&t, 1, 2, 1, 0x2000, FA_MODULE_UNKNOWN, 0);
	tb_node(&t, 1, 3, 1, 0x3000, FA_MODULE_UNKNOWN, 0);
	for (unsigned i = 0; i < threads; i++)
		sb_init(&s[i], &t, 1, i);
}

static struct fa_replay *replay_with(uint64_t end, const struct fa_replay_options *o)
{
	struct fa_replay *r = NULL;

	for (unsigned i = 0; i < 8; i++)
		if (s[i].trace != NULL)
			sb_flush(&s[i]);
	tb_close(&t, end);
	CHECK(t.failed == 0);
	CHECK(fa_replay_run(t.path, o, &r) == 0);
	(void)unlink(t.path);
	memset(s, 0, sizeof(s));
	return r;
}

static struct fa_replay *replay(uint64_t end)
{
	return replay_with(end, &(struct fa_replay_options){0});
}

static const struct fa_site *site_of(const struct fa_replay *r, uint32_t stack)
{
	static const struct fa_site none;

	for (size_t i = 1; i < r->model.site_count; i++)
		if (r->model.sites[i].stack == stack)
			return &r->model.sites[i];
	return &none;
}

static bool is(struct fa_amount a, uint64_t blocks, uint64_t bytes)
{
	return a.blocks == blocks && a.bytes == bytes;
}

SPEC(what_is_never_freed_is_outstanding_with_its_stack)
{
	begin(1);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	sb_alloc(&s[0], 20, 0x20, 50, 3);
	sb_free(&s[0], 0, 0x10);
	sb_alloc(&s[0], 30, 0x30, 7, 2);
	struct fa_replay *r = replay(100);

	CHECK(is(r->of[FA_AIFO], 2, 57));
	CHECK(is(r->of[FA_AIFI], 1, 100));
	CHECK(is(r->total, 3, 157));
	CHECK(is(site_of(r, 2)->of[FA_AIFO], 1, 7));
	CHECK(is(site_of(r, 3)->of[FA_AIFO], 1, 50));
	CHECK(r->events.alloc == 3 && r->events.free == 1 && r->events.realloc == 0);
	CHECK(is(r->model.processes[0]->outstanding, 2, 57));
	CHECK(strcmp(r->model.processes[0]->image, "prog") == 0);
	CHECK(r->model.thread_count == 1);
	CHECK(fa_replay_duration_ns(r) == 100);
	CHECK(r->lost == 0 && r->unknown_frees == 0 && r->implied_frees == 0);
	fa_replay_free(r);
}

SPEC(the_peak_has_its_time_and_what_each_stack_had_then)
{
	begin(1);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	sb_alloc(&s[0], 20, 0x20, 100, 3); /* 200 */
	sb_free(&s[0], 0, 0x10);
	sb_alloc(&s[0], 30, 0x10, 150, 3); /* 250: the peak */
	sb_free(&s[0], 0, 0x20);
	sb_alloc(&s[0], 40, 0x30, 60, 2); /* 210 */
	sb_free(&s[0], 0, 0x10);
	struct fa_replay *r = replay(100);

	CHECK(is(r->peak, 2, 250));
	CHECK(fa_replay_time_ns(r, r->peak_stamp) == 30);
	CHECK(is(site_of(r, 3)->peak, 2, 250));
	CHECK(is(site_of(r, 2)->peak, 0, 0));
	CHECK(is(r->model.processes[0]->peak, 2, 250));
	fa_replay_free(r);
}

SPEC(a_block_freed_before_its_thread_allocates_again_is_temporary)
{
	begin(2);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	sb_free(&s[0], 0, 0x10); /* temporary */
	sb_alloc(&s[0], 20, 0x20, 30, 2);
	sb_alloc(&s[0], 30, 0x30, 40, 2);
	sb_free(&s[0], 0, 0x20); /* another allocation came between */
	sb_alloc(&s[0], 40, 0x40, 50, 3);
	sb_free(&s[1], 50, 0x40); /* by another thread */
	struct fa_replay *r = replay(100);

	CHECK(is(r->temporary, 1, 100));
	CHECK(is(site_of(r, 2)->temporary, 1, 100));
	CHECK(is(site_of(r, 3)->temporary, 0, 0));
	fa_replay_free(r);
}

SPEC(a_realloc_is_one_event_that_ends_a_block_and_begins_one)
{
	begin(1);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	sb_realloc(&s[0], 20, 0x10, 0x10, 120, 3);  /* in place */
	sb_realloc(&s[0], 30, 0x10, 0x100, 500, 3); /* moved */
	sb_realloc(&s[0], 40, 0, 0x200, 5, 2);      /* as malloc */
	sb_realloc(&s[0], 50, 0x200, 0, 0, 2);      /* as free */
	sb_alloc(&s[0], 55, 0x300, 9, 2);
	sb_realloc(&s[0], 60, 0x300, 0, 1 << 30, 2); /* failed: the block lives on */
	struct fa_replay *r = replay(100);

	CHECK(r->events.realloc == 5 && r->events.alloc == 2 && r->events.free == 0);
	CHECK(is(r->of[FA_AIFO], 2, 509));
	CHECK(is(site_of(r, 3)->of[FA_AIFO], 1, 500));
	CHECK(is(r->total, 5, 100 + 120 + 500 + 5 + 9));
	CHECK(is(r->peak, 2, 509));
	fa_replay_free(r);
}

SPEC(a_free_that_waits_is_over_when_its_address_is_handed_out)
{
	begin(2);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	sb_free(&s[0], 0, 0x10);
	sb_alloc(&s[1], 20, 0x10, 30, 3); /* the free came before this */
	sb_alloc(&s[0], 30, 0x20, 1, 2);  /* though its thread's next stamp is later */
	struct fa_replay *r = replay(100);

	CHECK(is(r->of[FA_AIFO], 2, 31));
	CHECK(is(site_of(r, 3)->of[FA_AIFO], 1, 30));
	CHECK(r->implied_frees == 0);
	fa_replay_free(r);
}

SPEC(the_old_block_of_a_realloc_is_over_when_its_address_is_handed_out)
{
	begin(2);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	sb_alloc(&s[1], 20, 0x10, 30, 3);
	sb_realloc(&s[0], 30, 0x10, 0x50, 200, 2);
	struct fa_replay *r = replay(100);

	CHECK(is(r->of[FA_AIFO], 2, 230));
	CHECK(is(site_of(r, 3)->of[FA_AIFO], 1, 30));
	CHECK(r->implied_frees == 0 && r->unknown_frees == 0);
	fa_replay_free(r);
}

SPEC(a_sweep_may_hold_an_effect_whose_cause_comes_in_the_next_one)
{
	begin(2);
	/* thread 1 was read after thread 0: it frees what thread 0's next sweep allocates */
	sb_alloc(&s[1], 40, 0x20, 8, 3);
	sb_free(&s[1], 50, 0x10);
	sb_flush(&s[1]);
	tb_pass(&t, 20);
	sb_alloc(&s[0], 30, 0x10, 100, 2);
	sb_flush(&s[0]);
	tb_pass(&t, 60);
	struct fa_replay *r = replay(100);

	CHECK(is(r->of[FA_AIFO], 1, 8));
	CHECK(r->unknown_frees == 0);
	fa_replay_free(r);
}

SPEC(a_free_that_is_missing_is_implied_and_one_that_is_late_frees_nothing_new)
{
	begin(2);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	sb_alloc(&s[0], 20, 0x10, 50, 3);
	sb_flush(&s[0]);
	tb_pass(&t, 25);
	sb_free(&s[1], 30, 0x10);
	sb_flush(&s[1]);
	tb_pass(&t, 40);
	struct fa_replay *r = replay(100);

	CHECK(r->implied_frees == 0); /* it came */
	CHECK(is(r->of[FA_AIFO], 1, 50));
	fa_replay_free(r);
}

SPEC(after_a_loss_the_missing_free_is_not_waited_for)
{
	begin(2);
	tb_lost(&t, 1, 3);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	sb_alloc(&s[0], 20, 0x10, 50, 3);
	sb_free(&s[1], 30, 0x10);
	struct fa_replay *r = replay(100);

	CHECK(r->lost == 3 && r->implied_frees == 1);
	CHECK(is(r->of[FA_AIFO], 0, 0));
	fa_replay_free(r);
}

static uint64_t lost_of(bool incomplete)
{
	struct fa_rec_process p = {.process = 7, .pid = 700, .incomplete = incomplete};
	struct fa_replay *r;
	uint64_t lost;

	begin(1);
	tb_process(&t, &p, "/late");
	sb_init(&s[0], &t, 7, 1);
	s[0].lost_before = 100;
	sb_alloc(&s[0], 10, 0x10, 100, 0);
	sb_flush(&s[0]);
	s[0].lost_before = 103;
	sb_alloc(&s[0], 20, 0x20, 100, 0);
	sb_flush(&s[0]);
	r = replay(100);
	lost = r->lost;
	fa_replay_free(r);
	return lost;
}

SPEC(what_was_lost_before_the_session_came_is_not_counted)
{
	CHECK(lost_of(false) == 103);
	CHECK(lost_of(true) == 3);
}

SPEC(a_thread_of_which_all_was_lost_is_told)
{
	const struct fa_rec_thread_lost l = {.process = 1, .thread = 5, .cause = FA_LOST_NO_BUFFER, .count = 9};

	begin(1);
	tb_thread(&t, 1, 5, 105, "unlucky");
	tb_thread(&t, 1, 6, 106, "idle");
	tb_put(&t, FA_TAG_THREAD_LOST, &l, sizeof(l), NULL, 0);
	sb_alloc(&s[0], 20, 0x10, 5, 2);
	struct fa_replay *r = replay(100);
	unsigned told = 0;

	for (size_t i = 0; i < r->model.thread_count; i++)
		told += r->model.threads[i]->selected && r->model.threads[i]->tid == 105;
	CHECK(told == 1);
	for (size_t i = 0; i < r->model.thread_count; i++)
		CHECK(!r->model.threads[i]->selected || r->model.threads[i]->tid != 106);
	fa_replay_free(r);
}

SPEC(a_free_of_a_block_older_than_the_trace_is_no_error)
{
	begin(1);
	sb_free(&s[0], 10, 0x990);
	sb_alloc(&s[0], 20, 0x10, 5, 2);
	struct fa_replay *r = replay(100);

	CHECK(r->unknown_frees == 1 && is(r->of[FA_AIFO], 1, 5));
	fa_replay_free(r);
}

SPEC(processes_are_address_spaces_of_their_own_and_the_peak_is_of_all_together)
{
	begin(1);
	tb_process(&t, &(struct fa_rec_process){.process = 2, .arena = 2, .pid = 101}, "/bin/b");
	sb_init(&s[1], &t, 2, 0);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	sb_alloc(&s[1], 20, 0x10, 60, 0);
	sb_free(&s[0], 30, 0x10);
	sb_flush(&s[0]);
	sb_flush(&s[1]);
	tb_end_process(&t, 2, 40);
	sb_alloc(&s[0], 50, 0x20, 120, 2);
	struct fa_replay *r = replay(100);

	CHECK(is(r->peak, 2, 160)); /* not 180: process 2 was gone at 50 */
	CHECK(is(r->of[FA_AIFO], 2, 180));
	CHECK(is(r->model.processes[1]->outstanding, 1, 60));
	CHECK(r->model.processes[1]->ended && !r->model.processes[0]->ended);
	fa_replay_free(r);
}

/* ---- fork ---- */

static void fork_child(uint32_t offset, uint64_t start)
{
	tb_process(&t,
		   &(struct fa_rec_process){.process = 2,
					    .arena = 1,
					    .pid = 101,
					    .parent = 1,
					    .parent_pid = 100,
					    .origin = FA_ORIGIN_FORK,
					    .start_stamp = start,
					    .fork_offset = offset},
		   "/usr/bin/prog");
	sb_init(&s[1], &t, 2, 0);
}

SPEC(a_child_inherits_what_lived_at_the_fork_and_does_not_count_it_as_its_own)
{
	begin(1);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	sb_alloc(&s[0], 20, 0x20, 50, 2);
	sb_free(&s[0], 0, 0x10);
	uint32_t position = s[0].offset;

	sb_free(&s[0], 0, 0x20); /* after the fork: the child still has it */
	sb_alloc(&s[0], 50, 0x30, 9, 2);
	fork_child(position, 40);
	sb_alloc(&s[1], 45, 0x40, 5, 3);
	struct fa_replay *r = replay(100);
	const struct fa_process *child = r->model.processes[1];

	CHECK(is(child->inherited, 1, 50));
	CHECK(is(child->outstanding, 1, 5));
	CHECK(is(child->total, 1, 5));
	CHECK(!child->fork_inexact && child->unknown_frees == 0);
	CHECK(is(r->model.processes[0]->outstanding, 1, 9));
	CHECK(is(r->of[FA_AIFO], 2, 14));
	fa_replay_free(r);
}

SPEC(a_child_that_frees_what_it_inherited_has_it_no_more)
{
	begin(1);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	fork_child(s[0].offset, 40);
	sb_free(&s[1], 45, 0x10);
	struct fa_replay *r = replay(100);

	CHECK(is(r->model.processes[1]->inherited, 0, 0));
	CHECK(r->model.processes[1]->unknown_frees == 0);
	CHECK(is(r->model.processes[0]->outstanding, 1, 100));
	fa_replay_free(r);
}

SPEC(a_child_seen_two_sweeps_late_inherits_by_time_and_says_so)
{
	begin(1);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	uint32_t position = s[0].offset;

	sb_alloc(&s[0], 50, 0x30, 9, 2);
	sb_flush(&s[0]);
	tb_pass(&t, 60);
	tb_pass(&t, 62);
	fork_child(position, 40);
	sb_alloc(&s[1], 70, 0x40, 5, 3);
	struct fa_replay *r = replay(100);

	CHECK(r->model.processes[1]->fork_inexact);
	CHECK(is(r->model.processes[1]->inherited, 1, 100));
	fa_replay_free(r);
}

SPEC(a_childs_free_that_waits_does_not_hurry_the_fork)
{
	begin(1);
	tb_pass(&t, 1);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	fork_child(s[0].offset, 20);
	sb_free(&s[1], 0, 0x10);
	sb_flush(&s[0]);
	sb_flush(&s[1]);
	tb_pass(&t, 5); /* nothing of this sweep may be applied yet */
	struct fa_replay *r = replay(100);

	CHECK(r->model.processes[1]->unknown_frees == 0);
	CHECK(is(r->model.processes[1]->inherited, 0, 0));
	CHECK(is(r->model.processes[0]->outstanding, 1, 100));
	fa_replay_free(r);
}

SPEC(a_child_inherits_from_a_parent_that_ended_in_the_same_sweep)
{
	begin(1);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	fork_child(s[0].offset, 40);
	sb_flush(&s[0]);
	tb_end_process(&t, 1, 42);
	sb_alloc(&s[1], 70, 0x40, 5, 3);
	struct fa_replay *r = replay(100);

	CHECK(is(r->model.processes[1]->inherited, 1, 100));
	CHECK(is(r->model.processes[0]->outstanding, 1, 100));
	fa_replay_free(r);
}

/* ---- filters and classes ---- */

static void timeline(void)
{
	begin(2);
	tb_thread(&t, 1, 0, 100, "main");
	tb_thread(&t, 1, 1, 105, "worker");
	sb_alloc(&s[0], 10, 0x10, 1, 2); /* before, freed inside */
	sb_alloc(&s[0], 20, 0x20, 2, 2); /* before, freed after */
	sb_alloc(&s[0], 30, 0x30, 4, 2); /* before, freed before */
	sb_free(&s[0], 40, 0x30);
	sb_alloc(&s[0], 50, 0x40, 8, 2);  /* inside, freed inside */
	sb_alloc(&s[1], 55, 0x50, 16, 3); /* inside, freed after */
	sb_free(&s[0], 60, 0x10);
	sb_free(&s[0], 65, 0x40);
	sb_alloc(&s[0], 70, 0x60, 32, 2);  /* inside, never freed */
	sb_alloc(&s[0], 100, 0x70, 64, 2); /* at the end, which is not in it */
	sb_free(&s[1], 110, 0x20);
	sb_free(&s[1], 120, 0x50);
	sb_free(&s[1], 130, 0x70);
}

SPEC(blocks_are_of_four_classes_by_a_half_open_range)
{
	timeline();
	struct fa_replay *r =
		replay_with(200, &(struct fa_replay_options){.range_lo = 50, .range_hi = 100});

	CHECK(is(r->of[FA_AIFI], 1, 8));
	CHECK(is(r->of[FA_AIFO], 2, 48));
	CHECK(is(r->of[FA_AOFI], 1, 1));
	CHECK(is(r->of[FA_AOFO], 1, 2));
	CHECK(is(r->total, 3, 56));
	CHECK(is(r->peak, 3, 50)); /* at 70: 2 + 16 + 32 */
	CHECK(r->events.alloc == 3 && r->events.free == 2);
	fa_replay_free(r);
}

SPEC(the_peak_of_a_range_may_be_what_was_live_when_it_began)
{
	begin(1);
	sb_alloc(&s[0], 10, 0x10, 100, 2);
	sb_free(&s[0], 60, 0x10);
	sb_alloc(&s[0], 70, 0x20, 5, 2);
	struct fa_replay *r =
		replay_with(200, &(struct fa_replay_options){.range_lo = 50, .range_hi = 100});

	CHECK(is(r->peak, 1, 100));
	CHECK(fa_replay_time_ns(r, r->peak_stamp) == 50);
	CHECK(is(site_of(r, 2)->peak, 1, 100));
	fa_replay_free(r);
}

SPEC(filters_by_size_lifetime_thread_process_and_stack)
{
	struct fa_replay *r;
	const char *worker = "worker", *tid = "105", *other = "nobody";
	int32_t pid = 100, no_pid = 99;

	timeline();
	r = replay_with(200, &(struct fa_replay_options){.size_lo = 2, .size_hi = 16});
	CHECK(is(r->total, 3, 14));
	fa_replay_free(r);
	timeline();
	r = replay_with(200, &(struct fa_replay_options){.lifetime_lo = 10, .lifetime_hi = 30});
	CHECK(is(r->total, 2, 12)); /* 0x30 lived 10, 0x40 15; 0x70, with 30, is out */
	fa_replay_free(r);
	timeline();
	r = replay_with(200, &(struct fa_replay_options){.threads = &worker, .thread_count = 1});
	CHECK(is(r->total, 1, 16) && r->events.alloc == 1 && r->events.free == 3);
	fa_replay_free(r);
	timeline();
	r = replay_with(200, &(struct fa_replay_options){.threads = &tid, .thread_count = 1});
	CHECK(is(r->total, 1, 16));
	fa_replay_free(r);
	timeline();
	r = replay_with(200, &(struct fa_replay_options){.images = &other, .image_count = 1});
	CHECK(is(r->total, 0, 0) && r->events.alloc == 0);
	fa_replay_free(r);
	timeline();
	r = replay_with(200, &(struct fa_replay_options){.pids = &pid, .pid_count = 1});
	CHECK(r->total.blocks == 7);
	fa_replay_free(r);
	timeline();
	r = replay_with(200, &(struct fa_replay_options){.pids = &no_pid, .pid_count = 1});
	CHECK(r->total.blocks == 0);
	fa_replay_free(r);
}

static bool only_stack_3(void *ctx, const struct fa_arena *a, uint32_t stack)
{
	(void)a;
	++*(int *)ctx;
	return stack == 3;
}

SPEC(a_stack_filter_is_asked_once_a_stack)
{
	int asked = 0;

	timeline();
	struct fa_replay *r = replay_with(
		200, &(struct fa_replay_options){.stack_wanted = only_stack_3, .ctx = &asked});

	CHECK(is(r->total, 1, 16) && is(r->peak, 1, 16));
	CHECK(asked == 2);
	fa_replay_free(r);
}

SPEC(lifetimes_are_known_per_stack)
{
	begin(1);
	sb_alloc(&s[0], 10, 0x10, 1, 2);
	sb_free(&s[0], 15, 0x10);
	sb_alloc(&s[0], 20, 0x10, 1, 2);
	sb_free(&s[0], 35, 0x10);
	struct fa_replay *r = replay(100);

	CHECK(site_of(r, 2)->freed == 2 && site_of(r, 2)->lifetime_sum == 20);
	CHECK(site_of(r, 2)->lifetime_min == 5 && site_of(r, 2)->lifetime_max == 15);
	fa_replay_free(r);
}

SPEC(events_that_make_no_sense_are_counted_as_lost)
{
	begin(1);
	sb_alloc(&s[0], 10, 0x10, 1, 2);
	uint32_t second = s[0].len;

	sb_alloc(&s[0], 20, 0x20, 1, 2);
	s[0].bytes[second] = 0xff;
	struct fa_replay *r = replay(100);

	CHECK(r->lost == 1);
	CHECK(is(r->of[FA_AIFO], 1, 1));
	fa_replay_free(r);
}

/* ---- the oracle ---- */

/*
 * Threads take turns at random; the allocator hands out the smallest free address, so addresses
 * are reused at once and across threads. Every operation takes its place in true time; the streams
 * get what the shim would write: stamps on allocations only (and on a free now and then, and on the first
 * event of a buffer). A sweep reads the threads one after the other while they go on.
 */
enum { THREADS = 4, BLOCKS = 24, STEPS = 160 };

static uint64_t seed;

static unsigned dice(unsigned n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(seed >> 33) % n;
}

struct oracle {
	uint64_t size[BLOCKS]; /* 0: free */
	uint32_t stack[BLOCKS];
	bool held[BLOCKS]; /* by a call that has not returned: nobody can free it */
	uint64_t now;
	bool slow; /* calls may outlast any number of sweeps */
	struct fa_amount live, total;
};

static unsigned free_slot(const struct oracle *o)
{
	unsigned i = 0;

	while (i < BLOCKS && o->size[i] != 0)
		i++;
	return i;
}

static unsigned used_slot(const struct oracle *o)
{
	unsigned i = dice(BLOCKS);

	for (unsigned n = 0; n < BLOCKS && (o->size[i] == 0 || o->held[i]); n++)
		i = (i + 1) % BLOCKS;
	return o->size[i] == 0 || o->held[i] ? BLOCKS : i;
}

static void occupy(struct oracle *o, unsigned slot, uint64_t size, uint32_t stack)
{
	o->size[slot] = size;
	o->stack[slot] = stack;
	o->live.blocks++;
	o->live.bytes += size;
	o->total.blocks++;
	o->total.bytes += size;
}

static void vacate(struct oracle *o, unsigned slot)
{
	o->live.blocks--;
	o->live.bytes -= o->size[slot];
	o->size[slot] = 0;
}

#define ADDRESS(slot) (0x1000 + (uint64_t)(slot)*16)

/* A call whose record is not written yet: other threads may act between, and get what it freed. */
struct call {
	bool busy;
	unsigned old;    /* BLOCKS: an allocation */
	unsigned new;
};

static void finish(struct oracle *o, struct call *c, struct stream_builder *stream)
{
	if (c->old == BLOCKS)
		sb_alloc(stream, ++o->now, ADDRESS(c->new), o->size[c->new], o->stack[c->new]);
	else
		sb_realloc(stream, ++o->now, ADDRESS(c->old), ADDRESS(c->new), o->size[c->new],
			   o->stack[c->new]);
	o->held[c->new] = false;
	c->busy = false;
}

static void begin_call(struct oracle *o, struct call *c, unsigned old, unsigned new)
{
	if (new == BLOCKS)
		return;
	if (old != BLOCKS)
		vacate(o, old);
	occupy(o, new, 1 + dice(1000), 2 + dice(2));
	o->held[new] = true;
	*c = (struct call){.busy = true, .old = old, .new = new};
}

static void step(struct oracle *o, struct call *c, struct stream_builder *stream)
{
	unsigned slot = used_slot(o), what = dice(6);

	o->now += 1 + dice(3);
	if (c->busy) {
		finish(o, c, stream);
	} else if (what < 2 && slot != BLOCKS) { /* recorded before the call */
		sb_free(stream, dice(6) == 0 ? o->now : 0, ADDRESS(slot));
		vacate(o, slot);
	} else if (what == 2 && slot != BLOCKS) {
		begin_call(o, c, slot, dice(3) == 0 ? slot : free_slot(o));
		if (dice(2) == 0 && c->busy)
			finish(o, c, stream);
	} else if (what > 2) {
		begin_call(o, c, BLOCKS, free_slot(o));
		if (dice(4) != 0 && c->busy)
			finish(o, c, stream);
	}
}

static void simulate(struct oracle *o)
{
	struct call c[THREADS] = {0};

	for (unsigned i = 0; i < STEPS; i++) {
		unsigned thread = dice(THREADS);

		step(o, &c[thread], &s[thread]);
		if (dice(12) != 0)
			continue;
		/* A sweep: between the reading of two threads, things go on. */
		uint64_t began = o->now;

		for (unsigned k = 0; k < THREADS; k++) {
			sb_flush(&s[k]);
			for (unsigned n = dice(3); n > 0; n--) {
				thread = dice(THREADS);
				step(o, &c[thread], &s[thread]);
			}
		}
		tb_pass(&t, began);
		/* A call may outlast one sweep; see merge.c for those that outlast more. */
		for (unsigned k = 0; k < THREADS; k++)
			if (c[k].busy && !o->slow)
				finish(o, &c[k], &s[k]);
	}
	for (unsigned k = 0; k < THREADS; k++)
		if (c[k].busy)
			finish(o, &c[k], &s[k]);
}

static bool agrees(const struct fa_replay *r, const struct oracle *o)
{
	struct fa_amount by_stack[2] = {0};

	for (unsigned i = 0; i < BLOCKS; i++) {
		if (o->size[i] == 0)
			continue;
		by_stack[o->stack[i] - 2].blocks++;
		by_stack[o->stack[i] - 2].bytes += o->size[i];
	}
	return is(r->of[FA_AIFO], o->live.blocks, o->live.bytes) &&
	       is(r->total, o->total.blocks, o->total.bytes) &&
	       is(site_of(r, 2)->of[FA_AIFO], by_stack[0].blocks, by_stack[0].bytes) &&
	       is(site_of(r, 3)->of[FA_AIFO], by_stack[1].blocks, by_stack[1].bytes) &&
	       (o->slow || (r->implied_frees == 0 && r->unknown_frees == 0));
}

static void compare_with_oracle(bool slow)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < 1000; i++) {
		struct oracle o = {.slow = slow};

		seed = i;
		begin(THREADS);
		simulate(&o);
		struct fa_replay *r = replay(o.now + 1);

		if (!agrees(r, &o) && wrong++ < 3)
			printf("  seed %u: %llu blocks, %llu expected; implied %llu, unknown "
			       "%llu\n",
			       i, (unsigned long long)r->of[FA_AIFO].blocks,
			       (unsigned long long)o.live.blocks,
			       (unsigned long long)r->implied_frees,
			       (unsigned long long)r->unknown_frees);
		fa_replay_free(r);
	}
	CHECK(wrong == 0);
}

SPEC(a_thousand_random_programs_end_with_what_the_oracle_says)
{
	compare_with_oracle(false);
}

SPEC(calls_that_outlast_sweeps_change_no_block)
{
	compare_with_oracle(true);
}

int main(void)
{
	RUN(what_is_never_freed_is_outstanding_with_its_stack);
	RUN(the_peak_has_its_time_and_what_each_stack_had_then);
	RUN(a_block_freed_before_its_thread_allocates_again_is_temporary);
	RUN(a_realloc_is_one_event_that_ends_a_block_and_begins_one);
	RUN(a_free_that_waits_is_over_when_its_address_is_handed_out);
	RUN(the_old_block_of_a_realloc_is_over_when_its_address_is_handed_out);
	RUN(a_sweep_may_hold_an_effect_whose_cause_comes_in_the_next_one);
	RUN(a_free_that_is_missing_is_implied_and_one_that_is_late_frees_nothing_new);
	RUN(after_a_loss_the_missing_free_is_not_waited_for);
	RUN(what_was_lost_before_the_session_came_is_not_counted);
	RUN(a_thread_of_which_all_was_lost_is_told);
	RUN(a_free_of_a_block_older_than_the_trace_is_no_error);
	RUN(processes_are_address_spaces_of_their_own_and_the_peak_is_of_all_together);
	RUN(a_child_inherits_what_lived_at_the_fork_and_does_not_count_it_as_its_own);
	RUN(a_child_that_frees_what_it_inherited_has_it_no_more);
	RUN(a_child_seen_two_sweeps_late_inherits_by_time_and_says_so);
	RUN(a_childs_free_that_waits_does_not_hurry_the_fork);
	RUN(a_child_inherits_from_a_parent_that_ended_in_the_same_sweep);
	RUN(blocks_are_of_four_classes_by_a_half_open_range);
	RUN(the_peak_of_a_range_may_be_what_was_live_when_it_began);
	RUN(filters_by_size_lifetime_thread_process_and_stack);
	RUN(a_stack_filter_is_asked_once_a_stack);
	RUN(lifetimes_are_known_per_stack);
	RUN(events_that_make_no_sense_are_counted_as_lost);
	RUN(a_thousand_random_programs_end_with_what_the_oracle_says);
	RUN(calls_that_outlast_sweeps_change_no_block);
	return TEST_RESULT();
}
