/*
 * test_trace - what the writer writes, the reader reads; limits, codecs, failing writes; the clock.
 * For tests/spec it also does other things: `sample FILE CODEC ROUNDS EVENTS` writes a sample trace,
 * `example FILE` the worked example of docs/FORMAT.md, `tables` prints its generated tables.
 * libs: trace format base
 */
#include "trace/reader.h"
#include "trace/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "format/hash.h"
#include "tests/unit/test.h"
#include "tests/unit/trace_sample.h"
#include "trace/clock.h"

/* Fault injection: this write(2) is the one that the writer calls. 0: no fault. */
static int calls_until_fault, fault_errno;
static int fault_once; /* the disk has room again for what comes later */
static size_t fault_part; /* bytes that the failing call writes first */

ssize_t write(int fd, const void *data, size_t len)
{
	if (calls_until_fault > 0 && --calls_until_fault == 0) {
		if (fault_part != 0 && fault_part < len) {
			calls_until_fault = 1; /* the next one fails */
			len = fault_part;
			fault_part = 0;
		} else {
			calls_until_fault = !fault_once;
			errno = fault_errno;
			return -1;
		}
	}
	return syscall(SYS_write, fd, data, len);
}

static int scratch_file(char *path)
{
	strcpy(path, "/tmp/fa-test-trace-XXXXXX");
	return mkstemp(path);
}

static struct fa_trace_writer *writer(int fd, uint32_t codec, uint32_t block)
{
	struct fa_trace_writer_options options = {.block_size = block, .codec = codec};
	struct fa_trace_writer *w = NULL;

	CHECK(fa_trace_writer_open(fd, &options, &w) == 0);
	return w;
}

/* What a trace says, in one number, up to the END or the first damage; and how many records. */
static uint64_t digest(const char *path, unsigned *ret_records, struct fa_trace_damage *ret_damage)
{
	struct fa_trace_reader *r = NULL;
	struct fa_trace_record rec;
	uint64_t h = 0;

	*ret_records = 0;
	CHECK(fa_trace_reader_open(path, &r) == 0);
	if (r == NULL)
		return 0;
	while (fa_trace_reader_next(r, &rec)) {
		int size = fa_trace_tag_size(rec.tag);

		CHECK(size > 0 && ((uintptr_t)rec.head & 7) == 0);
		h = fa_hash64(&rec.tag, sizeof(rec.tag), h);
		h = fa_hash64(rec.head, (size_t)size, h);
		h = fa_hash64(rec.tail, rec.tail_len, h);
		++*ret_records;
	}
	CHECK(fa_trace_reader_position(r) <= fa_trace_reader_size(r));
	*ret_damage = fa_trace_reader_damage(r);
	fa_trace_reader_free(r);
	return h;
}

SPEC(every_codec_gives_back_the_same_records)
{
	static const uint32_t blocks[] = {0, 4096, 1 << 20};
	uint64_t first = 0;

	for (uint32_t codec = FA_CODEC_RAW; codec <= FA_CODEC_ZSTD; codec++) {
		for (unsigned b = 0; b < 3; b++) {
			struct fa_trace_damage damage;
			unsigned records;
			char path[64];
			int fd = scratch_file(path);
			struct fa_trace_writer *w = writer(fd, codec, blocks[b]);

			CHECK(sample_write(w, 40, 300) == 0);
			CHECK(fa_trace_writer_bytes(w) == (uint64_t)lseek(fd, 0, SEEK_END));
			CHECK(fa_trace_writer_blocks(w) > 0);
			fa_trace_writer_sync(w);
			fa_trace_writer_free(w);
			uint64_t h = digest(path, &records, &damage);

			first = first ? first : h;
			CHECK(h == first && records == 3 + 6 + 2 + 40 * 3 + 3 + 2 + 2);
			CHECK(!damage.damaged && !damage.cut && damage.unknown_records == 0);
			close(fd);
			unlink(path);
		}
	}
}

SPEC(a_record_of_each_kind_comes_back_with_its_fixed_part_and_the_rest)
{
	char path[64];
	int fd = scratch_file(path);
	struct fa_trace_writer *w = writer(fd, FA_CODEC_LZ4, 0);
	struct fa_trace_reader *r = NULL;
	struct fa_trace_record rec;
	unsigned char fill[512];
	static const unsigned tags[] = {
#define X(name, number, type, text) number,
		FA_TRACE_RECORDS(X)
#undef X
	};
	unsigned n = 0;

	for (unsigned i = 0; i < sizeof(fill); i++)
		fill[i] = (unsigned char)(i * 7);
#define X(name, number, type, text)                                                                \
	CHECK(fa_trace_write(w, number, fill, sizeof(type), "ab", 2, "c", 2) == 0);
	FA_TRACE_RECORDS(X)
#undef X
	CHECK(fa_trace_writer_flush(w) == 0);
	fa_trace_writer_free(w);
	CHECK(fa_trace_reader_open(path, &r) == 0);
	CHECK(memcmp(fa_trace_reader_header(r)->magic, FA_TRACE_MAGIC, 8) == 0);
	while (fa_trace_reader_next(r, &rec)) {
		unsigned tag = tags[n++];

		CHECK(rec.tag == tag && rec.tail_len == 4 && memcmp(rec.tail, "abc", 4) == 0);
		CHECK(memcmp(rec.head, fill, (size_t)fa_trace_tag_size(tag)) == 0);
		CHECK(rec.block_offset == sizeof(struct fa_trace_header));
	}
	CHECK(n == sizeof(tags) / sizeof(tags[0]) && fa_trace_reader_damage(r).cut);
	fa_trace_reader_free(r);
	close(fd);
	unlink(path);
}

SPEC(shorter_and_longer_fixed_parts_and_unknown_records_of_other_versions_are_read)
{
	char path[64];
	int fd = scratch_file(path);
	struct fa_trace_writer *w = writer(fd, FA_CODEC_RAW, 0);
	struct fa_trace_reader *r = NULL;
	struct fa_trace_record rec;
	struct {
		struct fa_rec_pass pass;
		uint64_t appended;
	} newer = {{1, 2}, 3};

	CHECK(fa_trace_write(w, FA_TAG_PASS, &newer, 8, NULL, 0, NULL, 0) == 0);
	CHECK(fa_trace_write(w, 4242, "what", 4, "ever", 4, NULL, 0) == 0);
	CHECK(fa_trace_write(w, FA_TAG_PASS, &newer, sizeof(newer), "t", 2, NULL, 0) == 0);
	CHECK(fa_trace_writer_flush(w) == 0);
	fa_trace_writer_free(w);
	CHECK(fa_trace_reader_open(path, &r) == 0);
	CHECK(fa_trace_reader_next(r, &rec) == 1);
	CHECK(((const struct fa_rec_pass *)rec.head)->stamp == 1);
	CHECK(((const struct fa_rec_pass *)rec.head)->number == 0 && rec.tail_len == 0);
	CHECK(fa_trace_reader_next(r, &rec) == 1);
	CHECK(((const struct fa_rec_pass *)rec.head)->number == 2);
	CHECK(rec.tail_len == 2 && rec.tail[0] == 't');
	CHECK(fa_trace_reader_next(r, &rec) == 0);
	CHECK(fa_trace_reader_damage(r).unknown_records == 1 && !fa_trace_reader_damage(r).damaged);
	fa_trace_reader_free(r);
	close(fd);
	unlink(path);
}

SPEC(large_records_get_a_block_of_their_own_and_too_large_ones_are_refused)
{
	static unsigned char big[FA_RECORD_MAX + 1];
	struct fa_rec_nodes nodes = {0};
	struct fa_trace_damage damage;
	unsigned records;
	char path[64];
	int fd = scratch_file(path);
	struct fa_trace_writer *w = writer(fd, FA_CODEC_LZ4, 4096);
	size_t room = FA_RECORD_MAX - sizeof(nodes);

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (unsigned char)(i * i >> 3);
	CHECK(fa_trace_write(w, FA_TAG_NODES, &nodes, sizeof(nodes), big, 9, NULL, 0) == 0);
	CHECK(fa_trace_write(w, FA_TAG_NODES, &nodes, sizeof(nodes), big, room, NULL, 0) == 0);
	CHECK(fa_trace_write(w, FA_TAG_NODES, &nodes, sizeof(nodes), big, 9, NULL, 0) == 0);
	CHECK(fa_trace_write(w, FA_TAG_NODES, &nodes, sizeof(nodes), big, room, big, 1) == -E2BIG);
	CHECK(fa_trace_write(w, FA_TAG_NODES, &nodes, sizeof(nodes), big, 9, NULL, 0) == -E2BIG);
	CHECK(fa_trace_writer_flush(w) == -E2BIG);
	CHECK(fa_trace_writer_end(w, &(struct fa_rec_end){0}, "too large") == 0);
	CHECK(fa_trace_writer_flush(w) == -ESHUTDOWN);
	fa_trace_writer_free(w);
	(void)digest(path, &records, &damage);
	CHECK(records == 4 && !damage.damaged && !damage.cut);
	close(fd);
	unlink(path);
}

SPEC(a_file_never_exceeds_its_limit_and_still_ends_properly)
{
	for (uint64_t limit = 3000; limit < 2000000; limit = limit * 5 / 3) {
		struct fa_trace_writer_options options = {.codec = FA_CODEC_LZ4,
							  .maximum_bytes = limit};
		struct fa_trace_writer *w = NULL;
		struct fa_trace_damage damage;
		unsigned records;
		char path[64];
		int fd = scratch_file(path);

		CHECK(fa_trace_writer_open(fd, &options, &w) == 0);
		CHECK(sample_write(w, 5000, 400) == -E2BIG);
		CHECK((uint64_t)lseek(fd, 0, SEEK_END) <= limit);
		CHECK(limit < 100000 || (uint64_t)lseek(fd, 0, SEEK_END) > limit / 10 * 8);
		fa_trace_writer_free(w);
		(void)digest(path, &records, &damage);
		CHECK(records >= 1 && !damage.damaged && !damage.cut);
		close(fd);
		unlink(path);
	}
}

SPEC(a_file_system_without_the_wanted_free_space_is_not_filled)
{
	struct fa_trace_writer_options options = {.minimum_free = 1ULL << 62};
	struct fa_trace_writer *w = NULL;
	struct fa_trace_damage damage;
	unsigned records;
	char path[64];
	int fd = scratch_file(path);

	CHECK(fa_trace_writer_open(fd, &options, &w) == 0);
	CHECK(sample_write(w, 10, 100) == -ENOSPC);
	fa_trace_writer_free(w);
	(void)digest(path, &records, &damage);
	CHECK(records == 1 && !damage.damaged && !damage.cut);
	close(fd);
	unlink(path);
}

/* Fail the n-th write; `part` bytes of it are written first. once: there is room for END. */
static void fail_write(int n, size_t part, int once, uint64_t whole, unsigned whole_records)
{
	struct fa_trace_writer_options options = {.block_size = 4096, .codec = FA_CODEC_LZ4};
	struct fa_trace_writer *w = NULL;
	struct fa_trace_damage damage;
	unsigned records;
	char path[64];
	int fd = scratch_file(path), r;

	calls_until_fault = n;
	fault_errno = ENOSPC;
	fault_part = part;
	fault_once = once;
	r = fa_trace_writer_open(fd, &options, &w);
	if (r == 0) {
		r = sample_write(w, 400, 400);
		CHECK(n == 1 || r == -ENOSPC);
		/* The sample has written END, where that could be. */
		CHECK(fa_trace_writer_flush(w) == (once && n > 1 ? -ESHUTDOWN : r));
	}
	calls_until_fault = 0;
	if (n == 1) {
		CHECK(r == -ENOSPC && w == NULL);
	} else {
		uint64_t on_disk = (uint64_t)lseek(fd, 0, SEEK_END);

		(void)digest(path, &records, &damage);
		/* The half block is gone; where there is room for END, it says what has happened. */
		CHECK(records < whole_records && damage.cut == !once && !damage.damaged);
		CHECK(fa_trace_writer_bytes(w) == on_disk && on_disk < whole);
		CHECK(n == 2 || records > (unsigned)once);
	}
	fa_trace_writer_free(w);
	close(fd);
	unlink(path);
}

SPEC(what_was_written_before_a_failing_write_stays_readable)
{
	struct fa_trace_damage damage;
	unsigned records;
	char path[64];
	int fd = scratch_file(path);
	struct fa_trace_writer *w = writer(fd, FA_CODEC_LZ4, 4096);

	CHECK(sample_write(w, 400, 400) == 0 && fa_trace_writer_blocks(w) > 60);
	(void)digest(path, &records, &damage);
	for (int n = 1; n <= 50; n++)
		fail_write(n, 0, n & 1, fa_trace_writer_bytes(w), records);
	for (int n = 2; n <= 50; n += 7)
		fail_write(n, (size_t)n, n & 1, fa_trace_writer_bytes(w), records);
	fa_trace_writer_free(w);
	close(fd);
	unlink(path);
}

SPEC(a_trace_can_be_written_to_a_pipe)
{
	struct fa_trace_writer *w;
	char bytes[128];
	int fds[2];

	CHECK(pipe(fds) == 0);
	w = writer(fds[1], FA_CODEC_RAW, 4096);
	CHECK(sample_write(w, 1, 10) == 0);
	fa_trace_writer_sync(w);
	CHECK(read(fds[0], bytes, sizeof(bytes)) == sizeof(bytes));
	CHECK(memcmp(bytes, FA_TRACE_MAGIC, 8) == 0 && memcmp(bytes + 64, "FABL", 4) == 0);
	fa_trace_writer_free(w);
	close(fds[0]);
	close(fds[1]);
}

SPEC(a_reader_goes_on_when_a_cut_file_has_grown)
{
	char path[64];
	int fd = scratch_file(path);
	struct fa_trace_writer *w = writer(fd, FA_CODEC_LZ4, 0);
	struct fa_trace_reader *r = NULL;
	struct fa_trace_record rec;
	struct fa_rec_pass pass = {0};

	CHECK(fa_trace_reader_open(path, &r) == 0);
	for (unsigned i = 1; i <= 3; i++) {
		CHECK(fa_trace_reader_next(r, &rec) == 0);
		CHECK(fa_trace_reader_damage(r).cut && fa_trace_reader_damage(r).bytes == 0);
		pass.number = i;
		CHECK(fa_trace_write(w, FA_TAG_PASS, &pass, sizeof(pass), NULL, 0, NULL, 0) == 0);
		CHECK(fa_trace_writer_flush(w) == 0);
		CHECK(fa_trace_reader_next(r, &rec) == 1 && !fa_trace_reader_damage(r).cut);
		CHECK(((const struct fa_rec_pass *)rec.head)->number == i);
	}
	fa_trace_writer_free(w);
	fa_trace_reader_free(r);
	close(fd);
	unlink(path);
}

SPEC(a_trace_whose_writer_died_is_gone_on_with_behind_its_last_whole_block)
{
	struct fa_trace_writer_options options = {.block_size = 4096, .codec = FA_CODEC_LZ4};
	struct fa_rec_pass pass = {.number = 1};
	struct fa_trace_damage damage;
	unsigned before, after;
	char path[64];
	int fd = scratch_file(path);
	struct fa_trace_writer *w = writer(fd, FA_CODEC_LZ4, 4096), *second = NULL;
	off_t size;

	for (int i = 0; i < 2000; i++, pass.stamp = pass.stamp * 5 + 7)
		CHECK(fa_trace_write(w, FA_TAG_PASS, &pass, sizeof(pass), "", 1, NULL, 0) == 0);
	fa_trace_writer_free(w);
	size = lseek(fd, 0, SEEK_END);
	CHECK(ftruncate(fd, size - 100) == 0);
	(void)digest(path, &before, &damage);
	CHECK(damage.cut && before > 100);
	CHECK(fa_trace_writer_resume(fd, &options, UINT64_MAX, &second) == 0);
	CHECK(fa_trace_writer_bytes(second) == damage.offset);
	CHECK(fa_trace_write(second, FA_TAG_PASS, &pass, sizeof(pass), NULL, 0, NULL, 0) == 0);
	CHECK(fa_trace_writer_end(second, &(struct fa_rec_end){0}, "") == 0);
	fa_trace_writer_free(second);
	(void)digest(path, &after, &damage);
	CHECK(after == before + 2 && !damage.cut && !damage.damaged);
	CHECK(fa_trace_writer_resume(fd, &options, UINT64_MAX, &second) == -EALREADY);
	/* a damaged one is left as it is */
	size = lseek(fd, 0, SEEK_END);
	CHECK(pwrite(fd, "X", 1, sizeof(struct fa_trace_header)) == 1);
	CHECK(fa_trace_writer_resume(fd, &options, UINT64_MAX, &second) == -EBADMSG);
	CHECK(lseek(fd, 0, SEEK_END) == size);
	close(fd);
	unlink(path);
}

static int open_patched(size_t at, const void *bytes, size_t len, bool checksum)
{
	struct fa_trace_header h;
	struct fa_trace_reader *r = NULL;
	char path[64];
	int fd = scratch_file(path), e;
	struct fa_trace_writer *w = writer(fd, FA_CODEC_RAW, 0);

	fa_trace_writer_free(w);
	CHECK(pread(fd, &h, sizeof(h), 0) == sizeof(h));
	memcpy((char *)&h + at, bytes, len);
	if (checksum)
		h.checksum = fa_hash64(&h, offsetof(struct fa_trace_header, checksum), 0);
	CHECK(pwrite(fd, &h, sizeof(h), 0) == sizeof(h));
	e = fa_trace_reader_open(path, &r);
	fa_trace_reader_free(r);
	close(fd);
	unlink(path);
	return e;
}

SPEC(headers_of_other_files_and_of_too_new_versions_are_refused)
{
	struct fa_trace_reader *r = NULL;

	CHECK(open_patched(8, "\1", 1, true) == 0);
	CHECK(open_patched(0, "X", 1, true) == -EBADMSG);
	CHECK(open_patched(40, "XY", 2, false) == -EBADMSG);
	CHECK(open_patched(10, "\x63", 1, true) == -EPROTONOSUPPORT);
	CHECK(open_patched(16, "\2", 1, true) == -EPROTONOSUPPORT);
	CHECK(open_patched(23, "\x80", 1, true) == -EPROTONOSUPPORT);
	CHECK(open_patched(24, "\xff", 1, true) == 0);
	CHECK(open_patched(8, "\7", 1, true) == 0);
	CHECK(open_patched(12, "\1", 1, true) == -EBADMSG);
	CHECK(open_patched(12, "\xff\xff\xff\xff", 4, true) == -EBADMSG);
	CHECK(fa_trace_reader_open("/nowhere/at/all", &r) == -ENOENT);
	CHECK(fa_trace_reader_open("/tmp", &r) == -EISDIR);
	CHECK(fa_trace_reader_open("/dev/zero", &r) == -ESPIPE);
	CHECK(fa_trace_reader_open("/proc/self/cmdline", &r) == -EBADMSG);
}

SPEC(strings_of_a_tail_end_where_it_ends)
{
	const unsigned char *tail = (const unsigned char *)"one\0two\0thr";
	size_t len = 11;

	CHECK(strcmp(fa_trace_string(&tail, &len), "one") == 0);
	CHECK(strcmp(fa_trace_string(&tail, &len), "two") == 0 && len == 3);
	CHECK(strcmp(fa_trace_string(&tail, &len), "") == 0);
	len = 0;
	CHECK(strcmp(fa_trace_string(&tail, &len), "") == 0);
}

SPEC(stamps_become_time_by_the_first_and_the_last_clock_record)
{
	struct fa_trace_clock c = {0};
	struct fa_rec_machine machine = {.clock_hz = 1000000000};
	struct fa_rec_clock a = {1000, 5000000000, 7000000000};
	struct fa_rec_clock b = {1000 + 4000000000, 7000000000, 9000000000};

	fa_trace_clock_machine(&c, &machine);
	fa_trace_clock_add(&c, &a);
	CHECK(fa_trace_clock_mono_ns(&c, 1100) == 5000000100); /* as the kernel stated */
	fa_trace_clock_add(&c, &b);
	CHECK(fa_trace_clock_mono_ns(&c, 1000) == 5000000000);
	CHECK(fa_trace_clock_mono_ns(&c, 3000) == 5000001000);
	CHECK(fa_trace_clock_mono_ns(&c, 0) == 4999999500);
	CHECK(fa_trace_clock_mono_ns(&c, b.stamp) == b.mono_ns);
	CHECK(fa_trace_clock_real_ns(&c, b.stamp) == b.real_ns);
	CHECK(fa_trace_clock_real_ns(&c, 5000) == 7000002000);
	CHECK(fa_trace_clock_mono_ns(&c, ~0ULL / 4 * 3) == 0);
	machine.clock_source = FA_CLOCK_MONOTONIC;
	fa_trace_clock_machine(&c, &machine);
	CHECK(fa_trace_clock_mono_ns(&c, 12345) == 12345);
}

SPEC(hostile_clock_records_give_numbers_and_no_crash)
{
	static const uint64_t values[] = {0, 1, 2, 1000000007, ~0ULL >> 1, 1ULL << 63, ~0ULL};
	uint64_t sum = 0;

	for (unsigned i = 0; i < 7 * 7 * 7 * 7; i++) {
		struct fa_trace_clock c = {0};
		struct fa_rec_machine machine = {.clock_hz = values[i % 7]};
		struct fa_rec_clock a = {values[i / 7 % 7], values[i / 49 % 7], values[i % 7]};
		struct fa_rec_clock b = {values[i / 49 % 7], values[i / 343], values[i / 7 % 7]};

		fa_trace_clock_machine(&c, &machine);
		fa_trace_clock_add(&c, &a);
		fa_trace_clock_add(&c, &b);
		for (unsigned k = 0; k < 7; k++)
			sum += fa_trace_clock_mono_ns(&c, values[k]) +
			       fa_trace_clock_real_ns(&c, values[k]);
	}
	CHECK(sum != 0);
}

static int write_sample_file(char **argv)
{
	int fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct fa_trace_writer *w;
	int r;

	if (fd < 0)
		return 1;
	w = writer(fd, (uint32_t)strtoul(argv[3], NULL, 10), 4096);
	r = sample_write(w, (uint32_t)strtoul(argv[4], NULL, 10),
			 (uint32_t)strtoul(argv[5], NULL, 10));
	fa_trace_writer_free(w);
	close(fd);
	return r != 0;
}

/* The same bytes each time: no time of day, no random uuid. */
static int write_example(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct fa_trace_writer *w = writer(fd, FA_CODEC_RAW, 0);
	struct fa_event_state st = {.addr = 0x555555559000, .stamp = 1000, .stack = 100};
	struct fa_rec_events events = {.process = 1, .count = 3, .codec = 1, .state = st};
	struct fa_rec_pass pass = {.stamp = 1200, .number = 1};
	struct fa_trace_header h;
	unsigned char bytes[128];
	unsigned n = fa_event_put_alloc(bytes, &st, 0x555555559040, 24, 1090, 1, 103);
	bool good;

	n += fa_event_put_free(bytes + n, &st, 0x555555559040, 0, 0, 0);
	n += fa_event_put_alloc_fn(bytes + n, &st, 0x555555559080, 64, 1095, 0, 0, FA_FN_CALLOC, 6);
	good = fa_trace_write(w, FA_TAG_PASS, &pass, sizeof(pass), NULL, 0, NULL, 0) == 0 &&
	       fa_trace_write(w, FA_TAG_EVENTS, &events, sizeof(events), bytes, n, NULL, 0) == 0 &&
	       fa_trace_writer_flush(w) == 0 && pread(fd, &h, sizeof(h), 0) == sizeof(h);
	fa_trace_writer_free(w);
	h.created_real = 1700000000000000000;
	memset(h.uuid, 0, sizeof(h.uuid));
	h.checksum = fa_hash64(&h, offsetof(struct fa_trace_header, checksum), 0);
	good = good && pwrite(fd, &h, sizeof(h), 0) == sizeof(h);
	close(fd);
	return !good;
}

static int print_tables(void)
{
#define X(name, number, type, text)                                                                \
	printf("| %s | %d | %zu | %s |\n", #name, number, sizeof(type), text);
	FA_TRACE_RECORDS(X)
#undef X
#define X(name, number, text) printf("| %d | %s | %s |\n", number, #name, text);
	FA_REASONS(X)
#undef X
	printf("`hash64(\"\", 0)` is `0x%016llx`; `hash64(\"firstalloc\", 0)` is `0x%016llx`.\n",
	       (unsigned long long)fa_hash64("", 0, 0),
	       (unsigned long long)fa_hash64("firstalloc", 10, 0));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "example") == 0)
		return write_example(argv[2]);
	if (argc == 2 && strcmp(argv[1], "tables") == 0)
		return print_tables();
	if (argc == 6 && strcmp(argv[1], "sample") == 0)
		return write_sample_file(argv);
	RUN(every_codec_gives_back_the_same_records);
	RUN(a_record_of_each_kind_comes_back_with_its_fixed_part_and_the_rest);
	RUN(shorter_and_longer_fixed_parts_and_unknown_records_of_other_versions_are_read);
	RUN(large_records_get_a_block_of_their_own_and_too_large_ones_are_refused);
	RUN(a_file_never_exceeds_its_limit_and_still_ends_properly);
	RUN(a_file_system_without_the_wanted_free_space_is_not_filled);
	RUN(what_was_written_before_a_failing_write_stays_readable);
	RUN(a_trace_can_be_written_to_a_pipe);
	RUN(a_reader_goes_on_when_a_cut_file_has_grown);
	RUN(a_trace_whose_writer_died_is_gone_on_with_behind_its_last_whole_block);
	RUN(headers_of_other_files_and_of_too_new_versions_are_refused);
	RUN(strings_of_a_tail_end_where_it_ends);
	RUN(stamps_become_time_by_the_first_and_the_last_clock_record);
	RUN(hostile_clock_records_give_numbers_and_no_crash);
	return TEST_RESULT();
}
