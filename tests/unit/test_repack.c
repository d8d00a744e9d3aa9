/*
 * test_repack - a trace written again: it says the same in less, or the file stays as it is.
 * libs: trace format base
 */
#include "trace/repack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/hash.h"
#include "tests/unit/test.h"
#include "trace/reader.h"
#include "trace/writer.h"

static char dir[] = "/tmp/fa-test-repack-XXXXXX";
static char path[64];

static bool always(void *ctx, uint64_t done, uint64_t size)
{
	++*(int *)ctx;
	return done <= size;
}

static bool never(void *ctx, uint64_t done, uint64_t size)
{
	(void)done;
	(void)size;
	++*(int *)ctx;
	return false;
}

/* A trace of `records` records, `noise` of whose bytes cannot be compressed. Its descriptor. */
static int make_trace(unsigned records, size_t noise, bool end)
{
	const struct fa_trace_writer_options o = {.codec = FA_CODEC_RAW};
	const struct fa_rec_end last = {.stamp = 77, .events = 3, .lost = 1, .reason = 4};
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	struct fa_trace_writer *w = NULL;
	unsigned char tail[4000] = {0};
	uint64_t x = 88172645463325252u;

	CHECK(fd >= 0 && fa_trace_writer_open(fd, &o, &w) == 0);
	for (unsigned i = 0; i < records; i++) {
		const struct fa_rec_events head = {.process = 1, .buffer_seq = i, .codec = 1};

		for (size_t k = 0; k < noise; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			tail[k] = (unsigned char)x;
		}
		CHECK(fa_trace_write(w, FA_TAG_EVENTS, &head, sizeof(head), tail, sizeof(tail),
				     NULL, 0) == 0);
	}
	CHECK(end ? fa_trace_writer_end(w, &last, "over") == 0 : fa_trace_writer_flush(w) == 0);
	fa_trace_writer_free(w);
	return fd;
}

/* All that the trace says; 0: it is not whole. */
static uint64_t digest(void)
{
	struct fa_trace_reader *r = NULL;
	struct fa_trace_record rec;
	struct fa_trace_damage damage;
	uint64_t h;

	CHECK(fa_trace_reader_open(path, &r) == 0);
	h = fa_hash64(fa_trace_reader_header(r), sizeof(struct fa_trace_header), 1);
	while (fa_trace_reader_next(r, &rec) > 0) {
		h = fa_hash64(&rec.tag, sizeof(rec.tag), h);
		h = fa_hash64(rec.head, (size_t)fa_trace_tag_size(rec.tag), h);
		h = fa_hash64(rec.tail, rec.tail_len, h);
	}
	damage = fa_trace_reader_damage(r);
	fa_trace_reader_free(r);
	return damage.cut || damage.damaged ? 0 : h;
}

static uint64_t file_hash(void)
{
	static char bytes[16 << 20];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, bytes, sizeof(bytes));

	(void)close(fd);
	return n < 0 ? 0 : fa_hash64(bytes, (size_t)n, 0);
}

static unsigned files(void)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

SPEC(it_says_the_same_in_less_under_the_same_name)
{
	int fd = make_trace(2000, 500, true), asked = 0;
	uint64_t before = digest(), bytes = 0;
	struct stat st;

	CHECK(before != 0);
	CHECK(fa_trace_repack(path, fd, always, &asked, &bytes) == 0);
	CHECK(digest() == before && asked > 0);
	CHECK(stat(path, &st) == 0 && (uint64_t)st.st_size == bytes && bytes < 2000 * 700);
	CHECK((st.st_mode & 0777) == 0640);
	CHECK(files() == 1);
	(void)close(fd);
}

/* Whatever stops it: the bytes of the file stay, and nothing lies beside it. */
static void stays(int fd, fa_repack_go_on *go_on, int wanted)
{
	uint64_t before = file_hash(), bytes = 12345;
	int asked = 0;

	CHECK(fa_trace_repack(path, fd, go_on, &asked, &bytes) == wanted);
	CHECK(file_hash() == before && bytes == 12345 && files() == 1);
	(void)close(fd);
}

SPEC(what_does_not_shrink_stays)
{
	stays(make_trace(2000, 4000, true), always, -ENODATA);
}

SPEC(told_to_stop_it_leaves_the_file)
{
	stays(make_trace(2000, 500, true), never, -ECANCELED);
}

SPEC(a_trace_that_is_cut_or_damaged_is_not_sealed)
{
	stays(make_trace(200, 500, false), always, -EBADMSG);
	int fd = make_trace(200, 500, true);

	CHECK(pwrite(fd, "x", 1, 300000) == 1);
	stays(fd, always, -EBADMSG);
}

SPEC(another_file_at_the_path_is_left_alone)
{
	char other[80];
	int fd = make_trace(200, 500, true);

	(void)snprintf(other, sizeof(other), "%s-2", path);
	CHECK(link(path, other) == 0);
	uint64_t bytes;
	int asked = 0;

	CHECK(fa_trace_repack(path, fd, always, &asked, &bytes) == -ESTALE);
	CHECK(unlink(path) == 0); /* the path names another file now: what fd is has the other name */
	(void)close(make_trace(100, 500, true));
	CHECK(unlink(other) == 0);
	stays(fd, always, -ESTALE);
}

int main(void)
{
	CHECK(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/t.falloc", dir);
	RUN(it_says_the_same_in_less_under_the_same_name);
	RUN(what_does_not_shrink_stays);
	RUN(told_to_stop_it_leaves_the_file);
	RUN(a_trace_that_is_cut_or_damaged_is_not_sealed);
	RUN(another_file_at_the_path_is_left_alone);
	(void)unlink(path);
	(void)rmdir(dir);
	return TEST_RESULT();
}
