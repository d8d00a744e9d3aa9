/*
 * test_left.c - live blocks by size, age and module: examples computed by hand.
 * libs: report analysis symbols trace format base
 */
#include "report/report.h"
#include "tests/unit/test.h"
#include "tests/unit/trace_builder.h"

#define MS 1000000ULL

static char *text;

/* Blocks of 0, 16, 17, 32, 33 and 1,000 bytes, 20, 10, 9, 1, 0.5 ms and no time before the end at 30 ms; the last two from a
 * library, one of the others without a stack. */
static const char *written(enum fa_report_view view, struct fa_moment moment, bool json)
{
	static const uint64_t sizes[] = {0, 16, 17, 32, 33, 1000};
	static const uint64_t born[] = {10 * MS, 20 * MS,          21 * MS,
					29 * MS, 29 * MS + MS / 2, 30 * MS};
	struct trace_builder t;
	struct stream_builder s;
	struct fa_symbols *symbols = NULL;
	struct fa_resolver *resolver = NULL;
	struct fa_replay *replay = NULL;
	struct fa_live live = {0};
	size_t len;

	tb_open(&t);
	tb_process(&t, &(struct fa_rec_process){.process = 1, .arena = 1, .pid = 7}, "/no/prog");
	tb_module(&t, 1, 1, 0x550000000000, "", "\1\2\3", 3);
	tb_module(&t, 1, 2, 0x7f0000000000, "/no/lib.so", "\4\5\6", 3);
	tb_node(&t, 1, 1, 0, 0x550000000100, 1, 0);
	tb_node(&t, 1, 2, 1, 0x7f0000000100, 2, 0);
	sb_init(&s, &t, 1, 0);
	for (uint32_t i = 0; i < 6; i++)
		sb_alloc(&s, born[i], 0x1000 + i * 0x1000, sizes[i], i >= 4 ? 2 : i != 0);
	sb_flush(&s);
	tb_close(&t, 30 * MS);
	CHECK(fa_live_read(t.path, &(struct fa_replay_options){0}, &moment, 1, &live, &replay) ==
	      0);
	(void)unlink(t.path);
	CHECK(fa_symbols_new(&(struct fa_symbols_options){0}, &symbols) == 0);
	CHECK(fa_resolver_new(symbols, true, &resolver) == 0);
	const struct fa_report r = {.replay = replay,
				    .resolver = resolver,
				    .path = "/tmp/x.falloc",
				    .view = view,
				    .width = 80,
				    .live = &live,
				    .moment = "then"};
	free(text);
	FILE *out = open_memstream(&text, &len);

	CHECK((json ? fa_report_json(&r, out) : fa_report_text(&r, out)) == 0);
	(void)fclose(out);
	fa_live_done(&live);
	fa_resolver_free(resolver);
	fa_replay_free(replay);
	fa_symbols_free(symbols);
	return text;
}

static bool has(const char *what)
{
	bool found = strstr(text, what) != NULL;

	if (!found)
		printf("  no \"%s\" in:\n%s", what, text);
	return found;
}

static const struct fa_moment at_end = {.kind = FA_MOMENT_END};

SPEC(a_size_belongs_to_the_power_of_two_that_it_is_rounded_up_to)
{
	written(FA_VIEW_SIZES, at_end, false);
	CHECK(has("      bytes         blocks  live, then\n"));
	CHECK(has("       16 B              2  up to 16 B\n"));
	CHECK(has("       49 B              2  above 16 B, up to 32 B\n"));
	CHECK(has("       33 B              1  above 32 B, up to 64 B\n"));
	CHECK(has("     1000 B              1  above 512 B, up to 1.0 KiB\n"));
	CHECK(strstr(text, "up to 128 B") == NULL);
	written(FA_VIEW_SIZES, at_end, true);
	CHECK(has("\"blocks\": 6,\n    \"bytes\": 1098"));
	CHECK(has("\"name\": \"above 16 B, up to 32 B\",\n      \"blocks\": 2,\n      \"bytes\": 49"));
}

SPEC(an_age_is_the_time_up_to_the_moment)
{
	written(FA_VIEW_AGES, at_end, false);
	CHECK(has(" 2  less than 1 ms\n") && has(" 2  1 to 10 ms\n") && has(" 2  10 to 100 ms\n"));
	written(FA_VIEW_AGES, (struct fa_moment){.kind = FA_MOMENT_TIME, .ns = 20 * MS + MS / 2},
		false);
	CHECK(has(" 1  less than 1 ms\n") && has(" 1  10 to 100 ms\n") &&
	      strstr(text, " 1 to 10 ms") == NULL);
}

SPEC(a_module_is_that_of_the_innermost_frame_the_largest_first)
{
	written(FA_VIEW_MODULES, at_end, false);
	const char *lib = strstr(text, " 2  /no/lib.so\n"), *prog = strstr(text, " 3  /no/prog\n");

	CHECK(lib != NULL && prog != NULL && lib < prog && has(" 1  (unknown)\n"));
}

int main(void)
{
	RUN(a_size_belongs_to_the_power_of_two_that_it_is_rounded_up_to);
	RUN(an_age_is_the_time_up_to_the_moment);
	RUN(a_module_is_that_of_the_innermost_frame_the_largest_first);
	free(text);
	return TEST_RESULT();
}
