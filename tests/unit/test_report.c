/*
 * test_report.c - rows, text and JSON of small traces.
 * libs: report analysis symbols trace format base
 */
#include <stdbool.h>

#include "report/report.h"
#include "report/rows.h"
#include "tests/unit/test.h"
#include "tests/unit/trace_builder.h"

static struct trace_builder t;
static struct stream_builder s;
static struct fa_symbols *symbols;
static struct fa_resolver *resolver;
static struct fa_replay *replay;
static char *text;

/* One process of /no/such/prog with its own modules and addresses, as `arena`. */
static void add_process(uint32_t id, uint64_t base)
{
	tb_process(&t,
		   &(struct fa_rec_process){
			   .process = id, .arena = id, .pid = 100 + (int)id, .uid = 7},
		   "/no/such/prog");
	tb_module(&t, id, 1, base, "", "\1\2\3", 3);
	tb_module(&t, id, 2, base + 0x200000, "/usr/lib/libfirstalloc_preload.so", "", 0);
	tb_node(&t, id, 1, 0, base + 0x1000, 1, 0);
	tb_node(&t, id, 2, 1, base + 0x2000, 1, 0);
	tb_node(&t, id, 3, 2, base + 0x200010, 2, 0); /* the tracer's own */
	tb_node(&t, id, 4, 1, base + 0x3000, 1, 0);
	for (uint32_t i = 5; i < 15; i++) /* recursion, cut by the depth limit */
		tb_node(&t, id, i, i == 5 ? 0 : i - 1, base + 0x4000, 1, i == 5 ? 1 : 0);
	sb_init(&s, &t, id, 0);
}

static void finish(bool cull)
{
	sb_flush(&s);
	tb_close(&t, 5000);
	CHECK(fa_replay_run(t.path, &(struct fa_replay_options){0}, &replay) == 0);
	(void)unlink(t.path);
	CHECK(fa_symbols_new(&(struct fa_symbols_options){0}, &symbols) == 0);
	CHECK(fa_resolver_new(symbols, cull, &resolver) == 0);
}

static void release(void)
{
	free(text);
	text = NULL;
	fa_resolver_free(resolver);
	fa_replay_free(replay);
	fa_symbols_free(symbols);
}

static const char *written(struct fa_report r, bool json)
{
	size_t len;
	FILE *out = open_memstream(&text, &len);

	r.replay = replay;
	r.resolver = resolver;
	r.path = "/tmp/x.falloc";
	if (r.width == 0)
		r.width = 80;
	r.all_lifetimes = true;
	CHECK((json ? fa_report_json(&r, out) : fa_report_text(&r, out)) == 0);
	(void)fclose(out);
	return text;
}

static bool has(const char *what)
{
	bool found = strstr(text, what) != NULL;

	if (!found)
		printf("  no \"%s\" in:\n%s", what, text);
	return found;
}

SPEC(a_stack_is_the_same_in_two_processes_wherever_they_are_mapped)
{
	struct fa_rows rows;

	tb_open(&t);
	add_process(1, 0x550000000000);
	sb_alloc(&s, 10, 0x10, 100, 2);
	sb_flush(&s);
	add_process(2, 0x560000000000);
	sb_alloc(&s, 20, 0x10, 50, 2);
	sb_alloc(&s, 30, 0x20, 7, 4);
	finish(true);
	CHECK(fa_rows_new(replay, resolver, FA_METRIC_OUTSTANDING, false, &rows) == 0);
	CHECK(rows.count == 2);
	CHECK(rows.row[0].amount.blocks == 2 && rows.row[0].amount.bytes == 150);
	CHECK(rows.row[0].stacks == 2);
	CHECK(rows.row[1].amount.bytes == 7);
	CHECK(rows.sum.bytes == 157);
	fa_rows_done(&rows);
	release();
}

SPEC(frames_of_the_tracer_are_culled_unless_asked_for)
{
	for (int cull = 0; cull < 2; cull++) {
		tb_open(&t);
		add_process(1, 0x550000000000);
		sb_alloc(&s, 10, 0x10, 100, 3);
		finish(cull);
		written((struct fa_report){.view = FA_VIEW_OUTSTANDING}, false);
		CHECK(has("prog+0x2000") && has("prog+0x1000"));
		CHECK((strstr(text, "libfirstalloc_preload") == NULL) == (cull == 1));
		release();
	}
}

SPEC(recursion_is_folded_and_a_cut_stack_says_so)
{
	tb_open(&t);
	add_process(1, 0x550000000000);
	sb_alloc(&s, 10, 0x10, 100, 14);
	finish(true);
	written((struct fa_report){.view = FA_VIEW_OUTSTANDING}, false);
	CHECK(has("(this frame 9 more times)"));
	CHECK(has("deeper than what was recorded"));
	release();
}

SPEC(losses_are_the_first_line_of_every_view)
{
	for (enum fa_report_view v = FA_VIEW_SUMMARY; v <= FA_VIEW_THREADS; v++) {
		tb_open(&t);
		add_process(1, 0x550000000000);
		tb_lost(&t, 1, 1234);
		sb_alloc(&s, 10, 0x10, 100, 2);
		finish(true);
		written((struct fa_report){.view = v}, false);
		CHECK(strncmp(text, "warning: 1,234 events were lost", 31) == 0);
		free(text);
		written((struct fa_report){.view = v}, true);
		CHECK(has("1,234 events were lost") && has("\"lost\": 1234"));
		release();
	}
}

SPEC(no_line_is_wider_than_the_terminal)
{
	unsigned widest = 0, width = 0;

	tb_open(&t);
	add_process(1, 0x550000000000);
	tb_module(&t, 1, 9, 0x7f0000000000,
		  "/usr/lib/"
		  "a-module-with-a-name-that-is-much-longer-than-any-terminal-should-have-to-"
		  "show-at-once.so",
		  "", 0);
	tb_node(&t, 1, 20, 1, 0x7f0000000100, 9, 0);
	sb_alloc(&s, 10, 0x10, 100, 20);
	finish(true);
	written((struct fa_report){.view = FA_VIEW_OUTSTANDING, .width = 60}, false);
	for (const char *c = text; *c != '\0'; c++) {
		width = *c == '\n' ? 0 : width + 1;
		widest = width > widest ? width : widest;
	}
	CHECK(widest <= 60);
	CHECK(has("..."));
	release();
}

SPEC(the_json_summary_has_the_keys_that_others_read)
{
	static const char *const keys[] = {
		"\"processes\": [",    "\"pid\": 101",
		"\"image\": \"prog\"", "\"uid\": 7",
		"\"events\": 3",       "\"outstanding_bytes\": 50",
		"\"threads\": 1",      "\"alloc\": 2",
		"\"realloc\": 0",      "\"free\": 1",
		"\"lost\": 0",         "\"outstanding\": {",
		"\"peak\": {",         "\"time_ns\": 20",
		"\"total\": {",        "\"duration_ns\": 5000",
	};

	tb_open(&t);
	add_process(1, 0x550000000000);
	sb_alloc(&s, 10, 0x10, 100, 2);
	sb_alloc(&s, 20, 0x20, 50, 2);
	sb_free(&s, 0, 0x10);
	finish(true);
	written((struct fa_report){.view = FA_VIEW_SUMMARY}, true);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		CHECK(has(keys[i]));
	release();
}

SPEC(a_json_row_has_its_stack_innermost_first)
{
	tb_open(&t);
	add_process(1, 0x550000000000);
	sb_alloc(&s, 10, 0x10, 100, 2);
	finish(true);
	written((struct fa_report){.view = FA_VIEW_PEAK}, true);
	CHECK(has("\"blocks\": 1") && has("\"bytes\": 100"));
	CHECK(has("\"function\": null") && has("\"module\": \"/no/such/prog\""));
	CHECK(has("\"offset\": 8192") && has("\"offset\": 4096") && has("\"inlined\": false"));
	CHECK(strstr(text, "\"offset\": 8192") < strstr(text, "\"offset\": 4096"));
	release();
}

SPEC(the_summary_says_how_many_frames_have_no_names_and_how_to_get_them)
{
	tb_open(&t);
	add_process(1, 0x550000000000);
	sb_alloc(&s, 10, 0x10, 100, 2);
	finish(true);
	written((struct fa_report){.view = FA_VIEW_SUMMARY}, false);
	CHECK(has("100.0 % of the frames have no symbols, most of them in prog"));
	CHECK(has("-dbgsym") && has("--debuginfod"));
	release();
}

SPEC(control_characters_in_names_do_not_reach_the_terminal)
{
	tb_open(&t);
	add_process(1, 0x550000000000);
	tb_module(&t, 1, 9, 0x7f0000000000, "/lib/\033[31mred.so", "", 0);
	tb_node(&t, 1, 20, 0, 0x7f0000000100, 9, 0);
	sb_alloc(&s, 10, 0x10, 100, 20);
	finish(true);
	written((struct fa_report){.view = FA_VIEW_SUMMARY}, false);
	CHECK(strchr(text, '\033') == NULL);
	release();
}

SPEC(allocators_are_known_by_name_and_wrappers_are_not_allocators)
{
	CHECK(fa_is_allocator_function("malloc"));
	CHECK(fa_is_allocator_function("operator new(unsigned long)"));
	CHECK(fa_is_allocator_function("std::allocator<int>::allocate(unsigned long)"));
	CHECK(fa_is_allocator_function(
		"std::_Vector_base<int, std::allocator<int> >::_M_allocate(unsigned long)"));
	CHECK(fa_is_allocator_function("alloc::raw_vec::finish_grow"));
	CHECK(!fa_is_allocator_function("xmalloc"));
	CHECK(!fa_is_allocator_function("malloc_consolidated"));
	CHECK(!fa_is_allocator_function("std::vector<int>::push_back(int const&)"));
}

/* ---- records that lie ---- */

static uint64_t seed;

static unsigned dice(unsigned n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(seed >> 33) % n;
}

/* Checksums are right, what they protect is not: some bytes of some records are changed. */
static void copy_with_lies(const char *from)
{
	static unsigned char bytes[1 << 20];
	struct fa_trace_reader *reader;
	struct fa_trace_record rec;

	tb_open(&t);
	CHECK(fa_trace_reader_open(from, &reader) == 0);
	while (fa_trace_reader_next(reader, &rec) > 0) {
		size_t head = (size_t)fa_trace_tag_size(rec.tag), len = head + rec.tail_len;

		memcpy(bytes, rec.head, head);
		memcpy(bytes + head, rec.tail, rec.tail_len);
		for (unsigned n = dice(3) == 0 ? 1 + dice(3) : 0; n > 0; n--)
			bytes[dice((unsigned)len)] = (unsigned char)(dice(2) ? dice(4) : dice(256));
		if (dice(20) != 0)
			tb_put(&t, rec.tag, bytes, head, bytes + head, len - head);
	}
	fa_trace_reader_free(reader);
	tb_close(&t, 5000);
}

static void write_truth(char *path)
{
	tb_open(&t);
	add_process(1, 0x550000000000);
	for (unsigned i = 0; i < 100; i++) {
		sb_alloc(&s, 10 + i, 0x10 + i * 16, 100 + i, 1 + i % 14);
		if (i % 3 == 0)
			sb_free(&s, 0, 0x10 + i * 16);
		if (i % 30 == 0) {
			sb_flush(&s);
			tb_pass(&t, i);
		}
	}
	sb_flush(&s);
	for (uint32_t id = 2; id < 5; id++) {
		tb_process(&t,
			   &(struct fa_rec_process){.process = id,
						    .arena = 1,
						    .pid = 100 + (int)id,
						    .parent = id - 1,
						    .origin = FA_ORIGIN_FORK,
						    .start_stamp = 60 + id,
						    .fork_offset = 300},
			   "/no/such/prog");
		sb_init(&s, &t, id, 0);
		sb_alloc(&s, 120 + id, 0x9000, 5, 2);
		sb_free(&s, 0, 0x20);
		sb_flush(&s);
		tb_thread(&t, id, 0, 100 + (int)id, "worker");
		tb_end_process(&t, id, 200 + id);
	}
	tb_lost(&t, 1, 3);
	tb_close(&t, 5000);
	(void)snprintf(path, 64, "%s", t.path);
}

SPEC(records_that_lie_do_no_harm)
{
	char truth[64];

	write_truth(truth);
	for (unsigned i = 0; i < 400; i++) {
		seed = i;
		copy_with_lies(truth);
		replay = NULL;
		CHECK(fa_replay_run(t.path, &(struct fa_replay_options){0}, &replay) == 0);
		(void)unlink(t.path);
		CHECK(fa_symbols_new(&(struct fa_symbols_options){0}, &symbols) == 0);
		CHECK(fa_resolver_new(symbols, true, &resolver) == 0);
		for (enum fa_report_view v = FA_VIEW_SUMMARY; v <= FA_VIEW_THREADS; v++) {
			written((struct fa_report){.view = v, .by_function = i & 1}, i & 2);
			free(text);
			text = NULL;
		}
		release();
	}
	(void)unlink(truth);
}

int main(void)
{
	RUN(records_that_lie_do_no_harm);
	RUN(a_stack_is_the_same_in_two_processes_wherever_they_are_mapped);
	RUN(frames_of_the_tracer_are_culled_unless_asked_for);
	RUN(recursion_is_folded_and_a_cut_stack_says_so);
	RUN(losses_are_the_first_line_of_every_view);
	RUN(no_line_is_wider_than_the_terminal);
	RUN(the_json_summary_has_the_keys_that_others_read);
	RUN(a_json_row_has_its_stack_innermost_first);
	RUN(the_summary_says_how_many_frames_have_no_names_and_how_to_get_them);
	RUN(control_characters_in_names_do_not_reach_the_terminal);
	RUN(allocators_are_known_by_name_and_wrappers_are_not_allocators);
	return TEST_RESULT();
}
