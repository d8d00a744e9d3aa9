/* test_live.c - traces that come through a socket. libs: trace format base */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "trace/live.h"
#include "trace/writer.h"

/* What the writer puts out, byte for byte. */
struct stream {
	unsigned char bytes[1 << 18];
	size_t len;
	size_t pieces;
};

static int gather(void *ctx, const void *data, size_t len)
{
	struct stream *s = ctx;

	if (len > sizeof(s->bytes) - s->len)
		return -ENOSPC;
	memcpy(s->bytes + s->len, data, len);
	s->len += len;
	s->pieces++;
	return 0;
}

static void put_mark(struct fa_trace_writer *w, uint64_t stamp)
{
	const struct fa_rec_mark mark = {.stamp = stamp};
	char text[200];

	memset(text, 'x', sizeof(text));
	CHECK(fa_trace_write(w, FA_TAG_MARK, &mark, sizeof(mark), text, sizeof(text), NULL, 0) == 0);
}

static void make(struct stream *s, unsigned marks, bool end)
{
	const struct fa_trace_writer_options o = {
		.block_size = 4096, .codec = FA_CODEC_RAW, .put = gather, .put_ctx = s};
	const struct fa_rec_end last = {.stamp = marks};
	struct fa_trace_writer *w;

	s->len = s->pieces = 0;
	CHECK(fa_trace_writer_open(-1, &o, &w) == 0);
	for (unsigned i = 0; i < marks; i++)
		put_mark(w, i);
	CHECK(fa_trace_writer_flush(w) == 0);
	if (end)
		CHECK(fa_trace_writer_end(w, &last, "over") == 0);
	CHECK(fa_trace_writer_bytes(w) == s->len);
	fa_trace_writer_free(w);
}

/* Marks in their order from *next on; the END. */
static bool take_all(struct fa_trace_live *l, uint64_t *next)
{
	struct fa_trace_record rec;
	bool ended = false;

	while (fa_trace_live_next(l, &rec) == 1) {
		if (rec.tag == FA_TAG_MARK)
			CHECK(((const struct fa_rec_mark *)rec.head)->stamp == (*next)++);
		ended |= rec.tag == FA_TAG_END;
	}
	return ended;
}

static struct stream s;

SPEC(records_come_out_as_soon_as_their_block_is_there_however_it_is_cut_up)
{
	static const size_t cuts[] = {1, 7, 63, 64, 4096, 65536};

	make(&s, 500, true);
	CHECK(s.pieces > 20);
	for (size_t c = 0; c < sizeof(cuts) / sizeof(cuts[0]); c++) {
		struct fa_trace_live *l;
		uint64_t next = 0;
		bool ended = false;
		int pair[2];

		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
		CHECK(fa_trace_live_open(pair[0], &l) == 0);
		for (size_t at = 0; at < s.len; at += cuts[c]) {
			size_t len = s.len - at < cuts[c] ? s.len - at : cuts[c];

			CHECK(!ended);
			CHECK(write(pair[1], s.bytes + at, len) == (ssize_t)len);
			CHECK(fa_trace_live_wait(l, -1) == 1);
			ended = take_all(l, &next);
		}
		CHECK(ended && next == 500);
		CHECK(fa_trace_live_wait(l, 0) == 0); /* nothing more, and not closed yet */
		(void)close(pair[1]);
		CHECK(fa_trace_live_wait(l, -1) == -ENODATA);
		CHECK(fa_trace_live_fd(l) == -1);
		CHECK(!fa_trace_live_damage(l).damaged && !fa_trace_live_damage(l).cut);
		fa_trace_live_free(l);
	}
}

SPEC(a_stream_that_stops_is_cut_and_one_that_is_wrong_is_damaged_or_no_trace)
{
	struct fa_trace_live *l;
	uint64_t next = 0;
	int pair[2];

	make(&s, 100, false);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(fa_trace_live_open(pair[0], &l) == 0);
	CHECK(write(pair[1], s.bytes, s.len - 10) == (ssize_t)s.len - 10);
	(void)close(pair[1]);
	CHECK(fa_trace_live_wait(l, -1) == 1);
	CHECK(!take_all(l, &next));
	CHECK(next > 0 && next < 100 && fa_trace_live_damage(l).cut);
	CHECK(fa_trace_live_wait(l, -1) == -ENODATA);
	fa_trace_live_free(l);

	s.bytes[s.len / 2] ^= 1;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(fa_trace_live_open(pair[0], &l) == 0);
	CHECK(write(pair[1], s.bytes, s.len) == (ssize_t)s.len);
	CHECK(fa_trace_live_wait(l, -1) == 1);
	next = 0;
	CHECK(!take_all(l, &next));
	CHECK(next < 100 && fa_trace_live_damage(l).damaged);
	(void)close(pair[1]);
	fa_trace_live_free(l);

	s.bytes[0] ^= 1;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(fa_trace_live_open(pair[0], &l) == 0);
	CHECK(write(pair[1], s.bytes, s.len) == (ssize_t)s.len);
	CHECK(fa_trace_live_wait(l, -1) == -EBADMSG);
	(void)close(pair[1]);
	fa_trace_live_free(l);
}

/* Of this process's memory files: the one that a live trace keeps its bytes in. */
static long long memory_blocks(void)
{
	long long most = -1;

	for (int fd = 3; fd < 64; fd++) {
		char path[64], name[64] = "";
		struct stat st;

		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, name, sizeof(name) - 1) > 0 && strncmp(name, "/memfd:", 7) == 0 &&
		    fstat(fd, &st) == 0)
			most = (long long)st.st_blocks;
	}
	return most;
}

SPEC(what_was_read_takes_no_memory_any_more)
{
	const struct fa_trace_writer_options o = {
		.block_size = 65536, .codec = FA_CODEC_RAW, .put = gather, .put_ctx = &s};
	struct fa_trace_writer *w;
	struct fa_trace_live *l;
	uint64_t next = 0;
	int pair[2];

	s.len = s.pieces = 0;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(fa_trace_live_open(pair[0], &l) == 0);
	CHECK(fa_trace_writer_open(-1, &o, &w) == 0);
	for (uint64_t i = 0; i < 100000; i++) { /* 23 MB */
		put_mark(w, i);
		if (i % 256 != 255)
			continue;
		CHECK(fa_trace_writer_flush(w) == 0);
		CHECK(write(pair[1], s.bytes, s.len) == (ssize_t)s.len);
		s.len = 0;
		CHECK(fa_trace_live_wait(l, -1) == 1);
		(void)take_all(l, &next);
	}
	CHECK(next > 99000);
	CHECK(memory_blocks() >= 0 && memory_blocks() < 3 * 2048); /* of 512 bytes: 3 MB */
	fa_trace_writer_free(w);
	fa_trace_live_free(l);
	(void)close(pair[1]);
}

int main(void)
{
	RUN(records_come_out_as_soon_as_their_block_is_there_however_it_is_cut_up);
	RUN(a_stream_that_stops_is_cut_and_one_that_is_wrong_is_damaged_or_no_trace);
	RUN(what_was_read_takes_no_memory_any_more);
	return TEST_RESULT();
}
