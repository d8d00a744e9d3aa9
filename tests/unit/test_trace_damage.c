/*
 * test_trace_damage - 10,000 random damages to a trace: the reader neither crashes nor hangs, gives
 * out what stands before the damage as it was written and nothing else, and says where it ended.
 * libs: trace format base
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/hash.h"
#include "tests/unit/test.h"
#include "tests/unit/trace_sample.h"
#include "trace/reader.h"
#include "trace/writer.h"

enum { DAMAGES_PER_CODEC = 3400, RECORDS_MAX = 1000, FILE_MAX = 1 << 20 };

static uint64_t random_state = 88172645463325252u;

static uint64_t rnd(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

/* The undamaged trace, and what it says. */
static unsigned char whole[FILE_MAX], bytes[FILE_MAX];
static size_t whole_len, len;
static uint64_t said[RECORDS_MAX];      /* a digest of each record */
static uint64_t block_end[RECORDS_MAX]; /* where its block ends */
static unsigned records;

static uint64_t digest(const struct fa_trace_record *rec)
{
	uint64_t h = fa_hash64(rec->head, (size_t)fa_trace_tag_size(rec->tag), rec->tag);

	return fa_hash64(rec->tail, rec->tail_len, h);
}

static void make_trace(int fd, uint32_t codec)
{
	struct fa_trace_writer_options options = {.block_size = 4096, .codec = codec};
	struct fa_trace_writer *w = NULL;
	struct fa_trace_reader *r = NULL;
	struct fa_trace_record rec;

	CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	CHECK(fa_trace_writer_open(fd, &options, &w) == 0);
	CHECK(sample_write(w, 20, 200) == 0);
	fa_trace_writer_free(w);
	whole_len = (size_t)lseek(fd, 0, SEEK_END);
	CHECK(pread(fd, whole, sizeof(whole), 0) == (ssize_t)whole_len);
	CHECK(fa_trace_reader_open_fd(dup(fd), &r) == 0);
	for (records = 0; fa_trace_reader_next(r, &rec) && records < RECORDS_MAX; records++) {
		said[records] = digest(&rec);
		block_end[records] = fa_trace_reader_position(r);
	}
	CHECK(!fa_trace_reader_damage(r).damaged && !fa_trace_reader_damage(r).cut);
	fa_trace_reader_free(r);
}

static void damage_bytes(void)
{
	size_t at = rnd(len), n = 1 + rnd(rnd(2) ? 16 : 9000), from = rnd(len);

	n = n > len - at ? len - at : n;
	n = n > len - from ? len - from : n;
	switch (rnd(7)) {
	case 0:
		len = at;
		break;
	case 1:
		bytes[at] ^= (unsigned char)(1u << rnd(8));
		break;
	case 2:
		memset(bytes + at, 0, n);
		break;
	case 3:
		for (size_t i = 0; i < n; i++)
			bytes[at + i] = (unsigned char)rnd(256);
		break;
	case 4: /* a piece that was written to another place */
		memmove(bytes + at, bytes + from, n);
		break;
	case 5: /* a lost piece */
		memmove(bytes + at, bytes + at + n, len - at - n);
		len -= n;
		break;
	default: /* more behind the end */
		memset(bytes + len, (int)rnd(256), n);
		len += n;
		break;
	}
}

static size_t first_difference(void)
{
	size_t i = 0;

	while (i < len && i < whole_len && bytes[i] == whole[i])
		i++;
	return i;
}

static bool read_damaged(int fd, size_t intact)
{
	struct fa_trace_reader *r = NULL;
	struct fa_trace_record rec;
	struct fa_trace_damage d;
	unsigned n = 0;
	int e = fa_trace_reader_open_fd(dup(fd), &r);

	if (e < 0)
		return e == -EBADMSG && intact < sizeof(struct fa_trace_header);
	for (; fa_trace_reader_next(r, &rec); n++)
		if (n >= records || digest(&rec) != said[n])
			break;
	d = fa_trace_reader_damage(r);
	bool good = fa_trace_reader_next(r, &rec) == 0 && (n == records || block_end[n] > intact);
	bool changed = intact < len || len != whole_len;

	good = good && d.damaged + d.cut == changed;
	if (changed)
		good = good && d.offset <= intact && d.offset + d.bytes == len && d.what != NULL;
	/* only a file that got shorter, or whose last block claims to be longer, is merely cut */
	if (d.cut && len >= whole_len)
		good = good && n > 0 && block_end[records - 1] >= intact &&
		       d.offset + 40000 > whole_len;
	fa_trace_reader_free(r);
	return good;
}

static void damage_often(uint32_t codec)
{
	int fd = memfd_create("damaged", MFD_CLOEXEC), wrong = 0;

	make_trace(fd, codec);
	for (int i = 0; i < DAMAGES_PER_CODEC; i++) {
		memcpy(bytes, whole, whole_len);
		len = whole_len;
		for (uint64_t n = rnd(8) ? 1 : 3; n > 0; n--)
			if (len > 0)
				damage_bytes();
		CHECK(ftruncate(fd, 0) == 0);
		CHECK(pwrite(fd, bytes, len, 0) == (ssize_t)len);
		wrong += !read_damaged(fd, first_difference());
	}
	CHECK(wrong == 0);
	close(fd);
}

SPEC(damaged_raw_traces_read_up_to_the_damage)
{
	damage_often(FA_CODEC_RAW);
}

SPEC(damaged_lz4_traces_read_up_to_the_damage)
{
	damage_often(FA_CODEC_LZ4);
}

SPEC(damaged_zstd_traces_read_up_to_the_damage)
{
	damage_often(FA_CODEC_ZSTD);
}

/* Right checksums over wrong contents: only somebody who means harm writes such a file. */
SPEC(forged_blocks_with_right_checksums_do_no_harm)
{
	int fd = memfd_create("forged", MFD_CLOEXEC), wrong = 0;

	make_trace(fd, FA_CODEC_LZ4);
	for (int i = 0; i < 3000; i++) {
		struct fa_block_header h;
		struct fa_trace_reader *r = NULL;
		struct fa_trace_record rec;
		unsigned n = 0;
		size_t at = sizeof(struct fa_trace_header);

		memcpy(bytes, whole, whole_len);
		memcpy(&h, bytes + at, sizeof(h));
		if (rnd(3) == 0)
			h.raw_size = (uint32_t)rnd(FA_BLOCK_MAX * 2);
		if (rnd(3) == 0)
			h.codec = (uint8_t)rnd(3);
		bytes[at + sizeof(h) + rnd(h.stored_size)] ^= (unsigned char)(1u << rnd(8));
		h.checksum = fa_hash64(&h, offsetof(struct fa_block_header, checksum), 0);
		h.checksum = fa_hash64(bytes + at + sizeof(h), h.stored_size, h.checksum);
		memcpy(bytes + at, &h, sizeof(h));
		CHECK(pwrite(fd, bytes, whole_len, 0) == (ssize_t)whole_len);
		CHECK(fa_trace_reader_open_fd(dup(fd), &r) == 0);
		while (fa_trace_reader_next(r, &rec) && n < 1000000)
			n++;
		wrong += n == 1000000;
		fa_trace_reader_free(r);
	}
	CHECK(wrong == 0);
	close(fd);
}

int main(void)
{
	RUN(damaged_raw_traces_read_up_to_the_damage);
	RUN(damaged_lz4_traces_read_up_to_the_damage);
	RUN(damaged_zstd_traces_read_up_to_the_damage);
	RUN(forged_blocks_with_right_checksums_do_no_harm);
	return TEST_RESULT();
}
