/*
 * test_growth.c - what grows from moment to moment: examples computed by hand.
 * libs: report analysis symbols trace format base
 */
#include "report/growth.h"

#include <errno.h>

#include "tests/unit/test.h"
#include "tests/unit/trace_builder.h"

enum { STACKS = 4 };
#define SECOND 1000000000ULL

static struct fa_symbols *symbols;
static struct fa_resolver *resolver;
static struct trace_builder t;
static struct stream_builder s;
static const char *const names[] = {"1", "2", "3", "4", "5", "6"};

static void begin(void)
{
	tb_open(&t);
	tb_process(&t, &(struct fa_rec_process){.process = 1, .arena = 1, .pid = 7}, "/no/prog");
	tb_module(&t, 1, 1, 0x550000000000, "", "\1\2\3", 3);
	for (uint32_t i = 1; i <= STACKS; i++)
		tb_node(&t, 1, i, 0, 0x550000000000 + i * 0x100, 1, 0);
	sb_init(&s, &t, 1, 0);
}

static struct fa_replay *read_at(uint64_t end, const struct fa_moment *m, unsigned count,
				 struct fa_series *series)
{
	struct fa_replay *replay = NULL;

	sb_flush(&s);
	tb_close(&t, end);
	CHECK(t.failed == 0);
	CHECK(fa_series_read(t.path, &(struct fa_replay_options){0}, m, count, series, &replay) ==
	      0);
	(void)unlink(t.path);
	return replay;
}

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

static bool about(double a, double b)
{
	return a - b < 0.001 && b - a < 0.001;
}

/*
 * Bytes at 1.5, 2.5 and 3.5 s: stack 1 leaks 100 a second (100, 200, 300); stack 2 is a cache that is full after two
 * seconds (1000, 2000, 2000); stack 3 shrinks once (10, 0, 300); stack 4 grows unevenly (100, 300, 400).
 */
static void put_four(void)
{
	static const uint64_t sizes[4][STACKS] = {
		{100, 1000, 10, 100}, {100, 1000, 0, 200}, {100, 0, 300, 100}, {100, 0, 0, 0}};

	begin();
	for (uint64_t second = 0; second < 4; second++) {
		for (uint64_t i = 0; i < STACKS; i++)
			if (sizes[second][i] != 0)
				sb_alloc(&s, (second + 1) * SECOND + i,
					 0x1000 * (second + 1) + i * 16, sizes[second][i],
					 (uint32_t)i + 1);
		if (second == 1)
			sb_free(&s, 2 * SECOND + 500, 0x1020);
	}
}

static const struct fa_moment three[] = {
	{.kind = FA_MOMENT_TIME, .ns = SECOND * 3 / 2},
	{.kind = FA_MOMENT_TIME, .ns = SECOND * 5 / 2},
	{.kind = FA_MOMENT_TIME, .ns = SECOND * 7 / 2},
};

SPEC(what_grows_in_every_step_is_shown_and_a_cache_that_fills_and_stays_is_not)
{
	struct fa_series series;
	struct fa_growth g;

	put_four();
	struct fa_replay *r = read_at(5 * SECOND, three, 3, &series);
	const struct fa_growth_source source = {.moments = names, .replay = r, .series = &series};

	make_resolver();
	CHECK(fa_growth_new(&source, 1, resolver, &(struct fa_growth_options){0}, &g) == 0);
	CHECK(g.count == 3 && g.stacks == 4 && g.row_count == 2);
	CHECK(g.step[0].sum.bytes == 1210 && g.step[1].sum.bytes == 2500 &&
	      g.step[2].sum.bytes == 3000);
	CHECK(about(g.slope, 895)); /* (3000 - 1210) / 2 */
	CHECK(about(g.row[0].slope, 150) && about(g.row[0].fit, 90000.0 / (2 * 46666.666667)));
	CHECK(g.row[0].at[1].bytes == 300 && g.row[0].at[2].blocks == 3);
	CHECK(about(g.row[1].slope, 100) && about(g.row[1].fit, 1));
	fa_growth_done(&g);
	/* Grown once, shrunk never: the cache, too. */
	CHECK(fa_growth_new(&source, 1, resolver, &(struct fa_growth_options){.grown = 1}, &g) ==
	      0);
	CHECK(g.row_count == 3 && about(g.row[0].slope, 500) && g.row[0].grew == 1);
	fa_growth_done(&g);
	free_resolver();
	fa_series_done(&series);
	fa_replay_free(r);
}

SPEC(moments_of_several_traces_are_taken_in_the_order_of_their_times)
{
	static const struct fa_moment end = {.kind = FA_MOMENT_END};
	/* Given as 40, 10, 20 s; 10 bytes a second, and the trace of 20 s freed a block of 3 in time. */
	static const uint64_t ends[3] = {40, 10, 20};
	struct fa_series series[3];
	struct fa_growth_source source[3];
	struct fa_replay *r[3];
	struct fa_growth g;

	for (unsigned i = 0; i < 3; i++) {
		begin();
		sb_alloc(&s, 5, 0x10, 10 * ends[i], 1);
		sb_alloc(&s, 6, 0x1000, 3, 2);
		sb_free(&s, 7, 0x1000);
		r[i] = read_at(ends[i] * SECOND, &end, 1, &series[i]);
		source[i] = (struct fa_growth_source){
			.moments = names, .replay = r[i], .series = &series[i]};
	}
	make_resolver();
	CHECK(fa_growth_new(source, 3, resolver, &(struct fa_growth_options){0}, &g) == 0);
	CHECK(g.count == 3 && g.step[0].source == &source[1] && g.step[2].source == &source[0]);
	CHECK(g.stacks == 1 && g.row_count == 1 && about(g.row[0].slope, 10) &&
	      about(g.row[0].fit, 1));
	CHECK(g.row[0].at[0].bytes == 100 && g.row[0].at[2].bytes == 400);
	fa_growth_done(&g);
	/* The same trace twice is no growth. */
	source[2] = source[0];
	CHECK(fa_growth_new(source, 3, resolver, &(struct fa_growth_options){0}, &g) == -EEXIST);
	CHECK(fa_growth_new(source, 1, resolver, &(struct fa_growth_options){0}, &g) == -ERANGE);
	free_resolver();
	for (unsigned i = 0; i < 3; i++) {
		fa_series_done(&series[i]);
		fa_replay_free(r[i]);
	}
}

SPEC(before_a_program_began_and_behind_its_end_nothing_has_shrunk)
{
	const struct fa_moment m[] = {at(1), at(15), at(25), at(35), at(45), at(55)};
	struct fa_series series;
	struct fa_growth g;

	begin();
	for (uint64_t i = 1; i < 5; i++)
		sb_alloc(&s, 10 * i, 0x10 * i, 1, 1);
	sb_flush(&s);
	tb_end_process(&t, 1, 45);
	struct fa_replay *r = read_at(100, m, 6, &series);
	const struct fa_growth_source source = {.moments = names, .replay = r, .series = &series};

	/* Its end at 45 is not before 45. */
	CHECK(series.sum[0].blocks == 0 && series.sum[4].blocks == 4 && series.sum[5].blocks == 0);
	make_resolver();
	CHECK(fa_growth_new(&source, 1, resolver, &(struct fa_growth_options){.trim = true}, &g) ==
	      0);
	CHECK(g.count == 4 && g.step[0].moment == 1 && g.row_count == 1);
	CHECK(g.row[0].at[0].bytes == 1 && g.row[0].at[3].bytes == 4);
	fa_growth_done(&g);
	CHECK(fa_growth_new(&source, 1, resolver, &(struct fa_growth_options){0}, &g) == 0);
	CHECK(g.count == 6 && g.row_count == 0);
	fa_growth_done(&g);
	free_resolver();
	fa_series_done(&series);
	fa_replay_free(r);
}

SPEC(a_series_has_what_the_live_sets_at_its_moments_have)
{
	struct fa_moment m[6];
	struct fa_series series;
	struct fa_live live[6];
	struct fa_replay *other = NULL;

	for (unsigned i = 0; i < 6; i++)
		m[i] = at(SECOND + i * SECOND / 2);
	put_four();
	sb_flush(&s);
	tb_close(&t, 5 * SECOND);
	CHECK(fa_live_read(t.path, &(struct fa_replay_options){0}, m, 6, live, &other) == 0);
	struct fa_replay *r = NULL;

	CHECK(fa_series_read(t.path, &(struct fa_replay_options){0}, m, 6, &series, &r) == 0);
	(void)unlink(t.path);
	for (unsigned i = 0; i < 6; i++) {
		CHECK(series.sum[i].bytes == live[i].sum.bytes);
		CHECK(series.sum[i].blocks == live[i].sum.blocks);
		CHECK(series.real_ns[i] == live[i].real_ns);
		fa_live_done(&live[i]);
	}
	CHECK(series.sum[5].bytes == 3000);
	fa_series_done(&series);
	fa_replay_free(r);
	fa_replay_free(other);
}

int main(void)
{
	RUN(what_grows_in_every_step_is_shown_and_a_cache_that_fills_and_stays_is_not);
	RUN(moments_of_several_traces_are_taken_in_the_order_of_their_times);
	RUN(before_a_program_began_and_behind_its_end_nothing_has_shrunk);
	RUN(a_series_has_what_the_live_sets_at_its_moments_have);
	return TEST_RESULT();
}
