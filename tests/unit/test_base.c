/* test_base.c - what src/base promises. libs: base */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/json.h"
#include "base/parse.h"
#include "tests/unit/test.h"

SPEC(numbers_are_taken_whole_or_refused)
{
	uint64_t v = 77;
	uint32_t w = 77;

	CHECK(fa_parse_u64("0", &v) == 0 && v == 0);
	CHECK(fa_parse_u64("18446744073709551615", &v) == 0 && v == UINT64_MAX);
	CHECK(fa_parse_u64("0x1F", &v) == 0 && v == 31);
	v = 77;
	CHECK(fa_parse_u64("18446744073709551616", &v) == -ERANGE);
	CHECK(fa_parse_u64("99999999999999999999z", &v) == -EINVAL);
	CHECK(fa_parse_u64("", &v) == -EINVAL);
	CHECK(fa_parse_u64("-1", &v) == -EINVAL);
	CHECK(fa_parse_u64("+1", &v) == -EINVAL);
	CHECK(fa_parse_u64(" 1", &v) == -EINVAL);
	CHECK(fa_parse_u64("1 ", &v) == -EINVAL);
	CHECK(fa_parse_u64("0x", &v) == -EINVAL);
	CHECK(fa_parse_u64("12a", &v) == -EINVAL);
	CHECK(v == 77);
	CHECK(fa_parse_u32("4294967295", &w) == 0 && w == UINT32_MAX);
	CHECK(fa_parse_u32("4294967296", &w) == -ERANGE);
}

SPEC(sizes_are_powers_of_1024)
{
	uint64_t v = 77;

	CHECK(fa_parse_size("4096", &v) == 0 && v == 4096);
	CHECK(fa_parse_size("64K", &v) == 0 && v == 65536);
	CHECK(fa_parse_size("64k", &v) == 0 && v == 65536);
	CHECK(fa_parse_size("1MiB", &v) == 0 && v == 1 << 20);
	CHECK(fa_parse_size("1MB", &v) == 0 && v == 1 << 20);
	CHECK(fa_parse_size("12B", &v) == 0 && v == 12);
	CHECK(fa_parse_size("1.5G", &v) == 0 && v == 3ull << 29);
	CHECK(fa_parse_size("0.5T", &v) == 0 && v == 1ull << 39);
	v = 77;
	CHECK(fa_parse_size("1.5", &v) == -EINVAL);
	CHECK(fa_parse_size("1.", &v) == -EINVAL);
	CHECK(fa_parse_size("K", &v) == -EINVAL);
	CHECK(fa_parse_size("1KK", &v) == -EINVAL);
	CHECK(fa_parse_size("1iB", &v) == -EINVAL);
	CHECK(fa_parse_size("99999999T", &v) == -ERANGE);
	CHECK(v == 77);
}

SPEC(durations_have_units_that_go_down)
{
	uint64_t v = 77;
	const uint64_t s = 1000000000u;

	CHECK(fa_parse_duration("90", &v) == 0 && v == 90 * s);
	CHECK(fa_parse_duration("90s", &v) == 0 && v == 90 * s);
	CHECK(fa_parse_duration("1.5h", &v) == 0 && v == 5400 * s);
	CHECK(fa_parse_duration("1h30m", &v) == 0 && v == 5400 * s);
	CHECK(fa_parse_duration("1w", &v) == 0 && v == 604800 * s);
	CHECK(fa_parse_duration("250ms", &v) == 0 && v == s / 4);
	CHECK(fa_parse_duration("10us", &v) == 0 && v == 10000);
	CHECK(fa_parse_duration("5ns", &v) == 0 && v == 5);
	v = 77;
	CHECK(fa_parse_duration("", &v) == -EINVAL);
	CHECK(fa_parse_duration("h", &v) == -EINVAL);
	CHECK(fa_parse_duration("30m1h", &v) == -EINVAL);
	CHECK(fa_parse_duration("1m1m", &v) == -EINVAL);
	CHECK(fa_parse_duration("1h30", &v) == -EINVAL);
	CHECK(fa_parse_duration("1 h", &v) == -EINVAL);
	CHECK(fa_parse_duration("99999999w", &v) == -ERANGE);
	CHECK(v == 77);
}

SPEC(either_end_of_a_range_may_be_empty)
{
	uint64_t lo = 7, hi = 7;

	CHECK(fa_parse_range("1K,2K", fa_parse_size, &lo, &hi) == 0 && lo == 1024 && hi == 2048);
	CHECK(fa_parse_range(",5", fa_parse_u64, &lo, &hi) == 0 && lo == 0 && hi == 5);
	CHECK(fa_parse_range("5,", fa_parse_u64, &lo, &hi) == 0 && lo == 5 && hi == UINT64_MAX);
	CHECK(fa_parse_range("1s,2s", fa_parse_duration, &lo, &hi) == 0 && lo == 1000000000u);
	CHECK(fa_parse_range("6,5", fa_parse_u64, &lo, &hi) == -EINVAL);
	CHECK(fa_parse_range("6", fa_parse_u64, &lo, &hi) == -EINVAL);
	CHECK(fa_parse_range("1,2,3", fa_parse_u64, &lo, &hi) == -EINVAL);
}

SPEC(numbers_become_text_for_people)
{
	char b[40];

	CHECK(strcmp(fa_format_size(b, sizeof(b), 12), "12 B") == 0);
	CHECK(strcmp(fa_format_size(b, sizeof(b), 3ull << 29), "1.5 GiB") == 0);
	CHECK(strcmp(fa_format_size(b, sizeof(b), (1 << 20) - 1), "1.0 MiB") == 0);
	CHECK(strcmp(fa_format_size(b, sizeof(b), UINT64_MAX), "16.0 EiB") == 0);
	CHECK(strcmp(fa_format_duration(b, sizeof(b), 12), "12 ns") == 0);
	CHECK(strcmp(fa_format_duration(b, sizeof(b), 3200000), "3.2 ms") == 0);
	CHECK(strcmp(fa_format_duration(b, sizeof(b), 999999), "1.0 ms") == 0);
	CHECK(strcmp(fa_format_duration(b, sizeof(b), 3720ull * 1000000000u), "1h 02m") == 0);
	CHECK(strcmp(fa_format_count(b, sizeof(b), 12345678), "12,345,678") == 0);
	CHECK(strcmp(fa_format_count(b, sizeof(b), 999), "999") == 0);
	CHECK(strcmp(fa_format_count(b, sizeof(b), UINT64_MAX), "18,446,744,073,709,551,615") == 0);
	CHECK(setenv("TZ", "XXX-2:30", 1) == 0);
	CHECK(strcmp(fa_format_time(b, sizeof(b), 0), "1970-01-01T02:30:00+02:30") == 0);
}

SPEC(a_buffer_grows_and_stays_terminated)
{
	FA_CLEANUP(fa_buf_done) struct fa_buf b = {0};

	for (int i = 0; i < 1000; i++)
		fa_buf_printf(&b, "%03d", i);
	fa_buf_puts(&b, "!");
	CHECK(b.error == 0 && b.len == 3001 && b.data[3001] == '\0');
	CHECK(memcmp(b.data + 2997, "999!", 5) == 0);
	fa_buf_clear(&b);
	CHECK(b.len == 0 && b.data[0] == '\0');
	char *empty = fa_buf_take(&b);

	CHECK(empty != NULL && *empty == '\0' && b.data == NULL);
	free(empty);
	fa_buf_add(&b, "", SIZE_MAX / 2);
	CHECK(b.error == -ENOMEM);
	fa_buf_puts(&b, "x");
	CHECK(b.len == 0);
	CHECK(fa_buf_take(&b) == NULL && b.error == 0);
}

static char *json_text(bool pretty, void (*write)(struct fa_json *))
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct fa_json j;

	fa_json_init(&j, f, pretty);
	write(&j);
	(void)fclose(f);
	return text;
}

static void sample(struct fa_json *j)
{
	fa_json_object(j, NULL);
	fa_json_string(j, "a\"b", "x\\\n\x01\xff\xc3\xa9\xed\xa0\x80");
	fa_json_array(j, "list");
	fa_json_u64(j, NULL, UINT64_MAX);
	fa_json_i64(j, NULL, -3);
	fa_json_object(j, NULL);
	fa_json_end_object(j);
	fa_json_end_array(j);
	fa_json_string(j, "n", NULL);
	fa_json_double(j, "d", 0.5);
	fa_json_double(j, "i", 1.0 / 0.0);
	fa_json_bool(j, "t", true);
	fa_json_end_object(j);
	fa_json_newline(j);
}

SPEC(json_quotes_separates_and_repairs_utf8)
{
	char *flat = json_text(false, sample);
	char *pretty = json_text(true, sample);

	CHECK(strcmp(flat,
		     "{\"a\\\"b\": \"x\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd"
		     "\xef\xbf\xbd\", \"list\": [18446744073709551615, -3, {}], \"n\": null, "
		     "\"d\": 0.5, \"i\": null, \"t\": true}\n") == 0);
	CHECK(strstr(pretty,
		     "\n  \"list\": [\n    18446744073709551615,\n    -3,\n    {}\n  ],\n") !=
	      NULL);
	free(flat);
	free(pretty);
}

SPEC(errors_have_one_text_and_one_exit_status)
{
	CHECK(strcmp(fa_strerror(-ENOENT), "No such file or directory") == 0);
	CHECK(strcmp(fa_strerror(-EBADMSG), "damaged") == 0);
	CHECK(strcmp(fa_strerror(-99999), "unknown error 99999") == 0);
	CHECK(fa_exit_of(0) == FA_EXIT_OK);
	CHECK(fa_exit_of(-EACCES) == FA_EXIT_DENIED);
	CHECK(fa_exit_of(-ENOENT) == FA_EXIT_NOT_FOUND);
	CHECK(fa_exit_of(-EIO) == FA_EXIT_FAILED);
}

SPEC(paths_join_with_one_slash)
{
	char b[16];

	CHECK(fa_path_join(b, sizeof(b), "", "/etc/x") == 0 && strcmp(b, "/etc/x") == 0);
	CHECK(fa_path_join(b, sizeof(b), "/", "/etc/x") == 0 && strcmp(b, "/etc/x") == 0);
	CHECK(fa_path_join(b, sizeof(b), "/r//", "//etc") == 0 && strcmp(b, "/r/etc") == 0);
	CHECK(fa_path_join(b, sizeof(b), "r", "x") == 0 && strcmp(b, "r/x") == 0);
	CHECK(fa_path_join(b, sizeof(b), "/123456789", "1234") == 0);
	CHECK(fa_path_join(b, sizeof(b), "/123456789", "12345") == -ENAMETOOLONG);
	CHECK(strcmp(fa_base_name("/a/b"), "b") == 0);
	CHECK(strcmp(fa_base_name("b"), "b") == 0);
	CHECK(strcmp(fa_base_name("/a/"), "") == 0);
}

SPEC(a_file_is_replaced_whole_with_its_mode)
{
	char dir[] = "/tmp/fa-base-XXXXXX", path[64], sub[64];
	char *data = NULL;
	size_t len = 0;
	struct stat st;

	CHECK(mkdtemp(dir) != NULL);
	CHECK(fa_path_join(sub, sizeof(sub), dir, "a/b/c") == 0);
	CHECK(fa_make_dirs(sub, 0755) == 0 && fa_make_dirs(sub, 0755) == 0);
	CHECK(fa_path_join(path, sizeof(path), sub, "f") == 0);
	(void)umask(077);
	CHECK(fa_replace_file(path, "one", 3, 0644) == 0);
	CHECK(fa_replace_file(path, "second", 6, 0644) == 0);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0644);
	CHECK(fa_read_file(path, 6, &data, &len) == 0 && len == 6 && strcmp(data, "second") == 0);
	free(data);
	data = NULL;
	CHECK(fa_read_file(path, 5, &data, &len) == -E2BIG && data == NULL);
	CHECK(fa_make_dirs(path, 0755) == -ENOTDIR);
	CHECK(fa_read_file("/proc/self/status", 1 << 20, &data, &len) == 0 && len > 100);
	free(data);
	data = NULL;
	CHECK(fa_read_file(sub, 100, &data, &len) == -EISDIR && data == NULL);
	CHECK(fa_replace_file("/nonexistent/x", "", 0, 0644) == -ENOENT);
	(void)unlink(path);
	for (const char *const *p = (const char *const[]){"a/b/c", "a/b", "a", "", NULL}; *p; p++)
		CHECK(fa_path_join(sub, sizeof(sub), dir, *p) == 0 && rmdir(sub) == 0);
}

SPEC(reading_past_the_end_is_an_error)
{
	int p[2];
	char b[4];

	CHECK(pipe(p) == 0);
	CHECK(fa_write_all(p[1], "abc", 3) == 0);
	fa_close(&p[1]);
	CHECK(p[1] == -1);
	CHECK(fa_read_all(p[0], b, 4) == -EIO);
	fa_close(&p[0]);
	fa_close(&p[0]);
	CHECK(fa_read_all(-1, b, 1) == -EBADF);
}

int main(void)
{
	RUN(numbers_are_taken_whole_or_refused);
	RUN(sizes_are_powers_of_1024);
	RUN(durations_have_units_that_go_down);
	RUN(either_end_of_a_range_may_be_empty);
	RUN(numbers_become_text_for_people);
	RUN(a_buffer_grows_and_stays_terminated);
	RUN(json_quotes_separates_and_repairs_utf8);
	RUN(errors_have_one_text_and_one_exit_status);
	RUN(paths_join_with_one_slash);
	RUN(a_file_is_replaced_whole_with_its_mode);
	RUN(reading_past_the_end_is_an_error);
	return TEST_RESULT();
}
