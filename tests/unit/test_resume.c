/* test_resume.c - a trace whose writer died is gone on with. libs: trace format base */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "trace/reader.h"
#include "trace/writer.h"

static const struct fa_trace_writer_options options = {.codec = FA_CODEC_LZ4};

static int new_file(void)
{
	char path[] = "/tmp/firstalloc-resume.XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	return fd;
}

static void write_some(struct fa_trace_writer *w, uint32_t from, uint32_t n)
{
	for (uint32_t i = from; i < from + n; i++) {
		struct fa_rec_thread t = {.process = 1, .thread = i};

		CHECK(fa_trace_write(w, FA_TAG_THREAD, &t, sizeof(t), "x", 2, NULL, 0) == 0);
	}
	CHECK(fa_trace_writer_flush(w) == 0);
}

/* Threads 0..n-1 in order? Then how many; takes fd. */
static uint32_t read_all(int fd, int *ret_whole)
{
	struct fa_trace_reader *r = NULL;
	struct fa_trace_record rec;
	struct fa_trace_damage d;
	uint32_t n = 0;

	CHECK(fa_trace_reader_open_fd(fd, &r) == 0);
	if (r == NULL)
		return 0;
	while (fa_trace_reader_next(r, &rec) == 1)
		if (rec.tag == FA_TAG_THREAD)
			n += ((const struct fa_rec_thread *)rec.head)->thread == n;
	d = fa_trace_reader_damage(r);
	*ret_whole = !d.damaged && !d.cut;
	fa_trace_reader_free(r);
	return n;
}

SPEC(a_block_that_was_cut_is_dropped_and_the_rest_goes_on)
{
	struct fa_trace_writer *w = NULL;
	struct fa_rec_end end = {0};
	int fd = new_file(), whole = 0;
	off_t size;

	CHECK(fa_trace_writer_open(fd, &options, &w) == 0);
	write_some(w, 0, 100);
	write_some(w, 100, 100);
	fa_trace_writer_free(w); /* as a death would: no END */
	size = lseek(fd, 0, SEEK_END);
	CHECK(ftruncate(fd, size - 5) == 0);
	CHECK(fa_trace_writer_resume(fd, &options, UINT64_MAX, &w) == 0);
	CHECK(fa_trace_writer_blocks(w) == 1);
	write_some(w, 100, 50);
	CHECK(fa_trace_writer_end(w, &end, "") == 0);
	fa_trace_writer_free(w);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK(read_all(fd, &whole) == 150 && whole);
}

SPEC(blocks_behind_those_that_are_to_be_kept_are_cut)
{
	struct fa_trace_writer *w = NULL;
	struct fa_rec_end end = {0};
	int fd = new_file(), whole = 0;
	uint64_t keep;

	CHECK(fa_trace_writer_open(fd, &options, &w) == 0);
	write_some(w, 0, 100);
	CHECK(fa_trace_writer_flush(w) == 0);
	keep = fa_trace_writer_bytes(w);
	write_some(w, 100, 100);
	CHECK(fa_trace_writer_flush(w) == 0);
	fa_trace_writer_free(w);
	CHECK(fa_trace_writer_resume(fd, &options, keep, &w) == 0);
	CHECK(fa_trace_writer_blocks(w) == 1 && fa_trace_writer_bytes(w) == keep);
	write_some(w, 100, 50);
	CHECK(fa_trace_writer_end(w, &end, "") == 0);
	fa_trace_writer_free(w);
	/* Ended properly: not taken up again, however short the part that is to be kept. */
	CHECK(fa_trace_writer_resume(fd, &options, keep, &w) == -EALREADY);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK(read_all(fd, &whole) == 150 && whole);
}

SPEC(an_end_because_the_session_went_on_elsewhere_is_cut_with_what_is_not_to_be_kept)
{
	struct fa_trace_writer *w = NULL;
	struct fa_rec_end end = {.reason = FA_END_NEXT};
	int fd = new_file(), whole = 0;
	uint64_t keep;

	CHECK(fa_trace_writer_open(fd, &options, &w) == 0);
	write_some(w, 0, 100);
	CHECK(fa_trace_writer_flush(w) == 0);
	keep = fa_trace_writer_bytes(w);
	write_some(w, 100, 100);
	CHECK(fa_trace_writer_end(w, &end, "") == 0);
	fa_trace_writer_free(w);
	CHECK(fa_trace_writer_resume(fd, &options, UINT64_MAX, &w) == -EALREADY);
	CHECK(fa_trace_writer_resume(fd, &options, keep, &w) == 0);
	CHECK(fa_trace_writer_bytes(w) == keep);
	write_some(w, 100, 50);
	end.reason = FA_END_STOPPED;
	CHECK(fa_trace_writer_end(w, &end, "") == 0);
	fa_trace_writer_free(w);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK(read_all(fd, &whole) == 150 && whole);
}

SPEC(what_is_no_trace_or_has_its_end_is_refused)
{
	struct fa_trace_writer *w = NULL, *w2 = NULL;
	struct fa_rec_end end = {0};
	int fd = new_file();

	CHECK(fa_trace_writer_resume(fd, &options, UINT64_MAX, &w) == -EBADMSG);
	CHECK(fa_trace_writer_open(fd, &options, &w) == 0);
	write_some(w, 0, 10);
	CHECK(fa_trace_writer_end(w, &end, "") == 0);
	fa_trace_writer_free(w);
	CHECK(fa_trace_writer_resume(fd, &options, UINT64_MAX, &w2) == -EALREADY && w2 == NULL);
	close(fd);
}

int main(void)
{
	RUN(a_block_that_was_cut_is_dropped_and_the_rest_goes_on);
	RUN(blocks_behind_those_that_are_to_be_kept_are_cut);
	RUN(an_end_because_the_session_went_on_elsewhere_is_cut_with_what_is_not_to_be_kept);
	RUN(what_is_no_trace_or_has_its_end_is_refused);
	return TEST_RESULT();
}
