/*
 * writer.c - gather records into blocks, encode them, write each with one write(2).
 *
 * Both the gathered bytes and the encoded ones lie behind room for a block header, so that whichever
 * is stored goes out in one piece: a block that does not shrink is stored raw.
 *
 * writer_ring.c has what is different in a circular trace, writer_resume.c how a dead writer is followed.
 *
 * Limits of the session (size, free space) are looked at when a block begins, for a full block that
 * does not shrink; so a file stays below its limit by up to a block, and all that was accepted can
 * always be written. WRITER_END_ROOM is kept back for the END block: reaching a limit is a proper end, and
 * fa_trace_writer_end() still works then. After an error of write(2) itself the half block is cut off and
 * what was gathered is thrown away: that makes room on a full disk for END, which says why. Where that
 * fails as well, the file ends within a block, and what was written before stays readable.
 */
#include "trace/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zstd.h>

#include "base/clock.h"
#include "base/io.h"
#include "format/hash.h"
#include "trace/ring.h"
#include "trace/writer_internal.h"

enum {
	SMALLEST_BLOCK = 4096,
	FREE_CHECK_BYTES = 4 << 20,
	FREE_CHECK_NS = 1000000000,
	LZ4_SPEED = 1,
	ZSTD_LEVEL = 1,
	LZ4_SAVES = 8,      /* an eighth at least, or it is not worth the time */
	ZSTD_SAVES = 3,     /* a third: it takes twice the time of LZ4 */
	RAW_BLOCKS = 15,    /* before the next try, at most */
};

/* Every failure passes here: the first one is kept. */
static int fail(struct fa_trace_writer *w, int error)
{
	if (w->error == 0)
		w->error = error;
	return w->error;
}

int writer_fail_limit(struct fa_trace_writer *w, int error)
{
	w->limit = w->error == 0;
	return fail(w, error);
}

/* Room for a block of `len` bytes of records. */
int writer_reserve(struct fa_trace_writer *w, size_t len)
{
	size_t bound = (size_t)LZ4_compressBound((int)len);
	unsigned char *p;

	if (w->codec == FA_CODEC_ZSTD)
		bound = ZSTD_compressBound(len);
	if (w->codec != FA_CODEC_RAW && bound > w->stored_cap) {
		p = realloc(w->stored, sizeof(struct fa_block_header) + bound);
		if (p == NULL)
			return -ENOMEM;
		w->stored = p;
		w->stored_cap = bound;
	}
	if (len > w->raw_cap) {
		p = realloc(w->raw, sizeof(struct fa_block_header) + len);
		if (p == NULL)
			return -ENOMEM;
		w->raw = p;
		w->raw_cap = len;
	}
	return 0;
}

static int put_out(struct fa_trace_writer *w, const void *data, size_t len)
{
	return w->put != NULL ? w->put(w->put_ctx, data, len) : fa_write_all(w->fd, data, len);
}

static int write_header(struct fa_trace_writer *w, const struct fa_trace_header *same_trace)
{
	struct fa_trace_ring ring;
	struct fa_trace_header header = {
		.magic = {'F', 'A', 'T', 'R', 'A', 'C', '\r', '\n'},
		.version = FA_TRACE_VERSION,
		.min_reader = FA_TRACE_MIN_READER,
		.header_size = sizeof(header),
		.incompatible = w->defs != NULL ? FA_TRACE_CIRCULAR : 0,
		.created_real = fa_real_ns(),
	};
	int r;

	/* Without randomness the uuid stays zero: it only helps to tell traces apart. */
	(void)!getrandom(header.uuid, sizeof(header.uuid), GRND_NONBLOCK);
	header.uuid[6] = (unsigned char)((header.uuid[6] & 0x0f) | 0x40);
	header.uuid[8] = (unsigned char)((header.uuid[8] & 0x3f) | 0x80);
	if (same_trace != NULL) {
		header.created_real = same_trace->created_real;
		memcpy(header.uuid, same_trace->uuid, sizeof(header.uuid));
	}
	if (w->defs != NULL)
		header.header_size += (uint32_t)sizeof(ring);
	header.checksum = fa_hash64(&header, offsetof(struct fa_trace_header, checksum), 0);
	r = put_out(w, &header, sizeof(header));
	if (r == 0 && w->defs != NULL) {
		ring_fill(&ring, &header, w->chunk_size);
		r = fa_write_all(w->fd, &ring, sizeof(ring));
	}
	if (r < 0)
		return r;
	w->bytes = header.header_size;
	return 0;
}

static void done(struct fa_trace_writer **w)
{
	fa_trace_writer_free(*w);
}

static uint32_t block_size_for(const struct fa_trace_writer_options *options)
{
	uint64_t size = options->block_size ? options->block_size : FA_TRACE_DEFAULT_BLOCK;

	/* A small file gets small blocks: what stays unused below its limit is up to a block. */
	if (options->maximum_bytes != 0 && size > options->maximum_bytes / 16)
		size = options->maximum_bytes / 16;
	if (size < SMALLEST_BLOCK)
		size = SMALLEST_BLOCK;
	return (uint32_t)(size > FA_BLOCK_MAX ? FA_BLOCK_MAX : size);
}

int writer_new(int fd, const struct fa_trace_writer_options *options, struct fa_trace_writer **ret)
{
	FA_CLEANUP(done) struct fa_trace_writer *w = calloc(1, sizeof(*w));
	int r;

	if (w == NULL)
		return -ENOMEM;
	w->fd = options->put != NULL ? -1 : fd;
	w->put = options->put;
	w->put_ctx = options->put_ctx;
	w->codec = options->codec;
	w->unsynced = options->unsynced || options->put != NULL;
	w->block_size = block_size_for(options);
	w->maximum_bytes = options->maximum_bytes;
	w->minimum_free = options->minimum_free;
	if (w->codec > FA_CODEC_ZSTD)
		return -EINVAL;
	if (w->codec == FA_CODEC_ZSTD && (w->zstd = ZSTD_createCCtx()) == NULL)
		return -ENOMEM;
	r = options->circular ? ring_begin(w, options->maximum_bytes) : 0;
	if (r == 0)
		r = writer_reserve(w, w->block_size);
	if (r < 0)
		return r;
	*ret = fa_take_ptr(&w);
	return 0;
}

int fa_trace_writer_open(int fd, const struct fa_trace_writer_options *options,
			 struct fa_trace_writer **ret)
{
	FA_CLEANUP(done) struct fa_trace_writer *w = NULL;
	int r = writer_new(fd, options, &w);

	if (r == 0)
		r = write_header(w, options->same_trace);
	if (r < 0)
		return r;
	*ret = fa_take_ptr(&w);
	return 0;
}

/* What was gathered, behind the header room of w->stored. Its length, or 0: it does not shrink. */
static size_t compress(struct fa_trace_writer *w)
{
	const unsigned char *from = w->raw + sizeof(struct fa_block_header);
	unsigned char *to;
	size_t n = 0;

	to = w->stored + sizeof(struct fa_block_header);
	if (w->codec == FA_CODEC_LZ4) {
		int len = LZ4_compress_fast((const char *)from, (char *)to, (int)w->raw_len,
					    (int)w->stored_cap, LZ4_SPEED);

		n = len > 0 ? (size_t)len : 0;
	} else if (w->codec == FA_CODEC_ZSTD) {
		n = ZSTD_compressCCtx(w->zstd, to, w->stored_cap, from, w->raw_len, ZSTD_LEVEL);
		if (ZSTD_isError(n))
			n = 0;
	}
	return n < w->raw_len ? n : 0;
}

/*
 * The same, for as long as it pays: compression is the largest part of the collector's time. Where
 * sizes and addresses are random it saves a fiftieth; then in the end only each sixteenth block is tried.
 */
static size_t encode(struct fa_trace_writer *w)
{
	size_t n;

	if (w->codec == FA_CODEC_RAW)
		return 0;
	if (w->raw_blocks > 0) {
		w->raw_blocks--;
		return 0;
	}
	n = compress(w);
	/* One block may be odd: 1, 3, 7, 15 are left out for as long as none pays. */
	if (n != 0 &&
	    w->raw_len - n >= w->raw_len / (w->codec == FA_CODEC_ZSTD ? ZSTD_SAVES : LZ4_SAVES)) {
		w->raw_again = 0;
	} else if (w->raw_again < RAW_BLOCKS) {
		w->raw_again = w->raw_again * 2 + 1;
	}
	w->raw_blocks = w->raw_again;
	return n;
}

/* The half block goes. false: it cannot be cut off (a pipe), so nothing may follow it. */
static bool cut_block(struct fa_trace_writer *w)
{
	if (w->defs != NULL)
		return ring_cut_block(w);
	w->raw_len = 0;
	return ftruncate(w->fd, (off_t)w->bytes) == 0 &&
	       lseek(w->fd, (off_t)w->bytes, SEEK_SET) == (off_t)w->bytes;
}

/* `block`: room for the header, then the stored bytes. */
static int write_stored(struct fa_trace_writer *w, struct fa_block_header *header,
			unsigned char *block)
{
	size_t len = sizeof(*header) + header->stored_size;
	int r;

	header->checksum = fa_hash64(header, offsetof(struct fa_block_header, checksum), 0);
	header->checksum =
		fa_hash64(block + sizeof(*header), header->stored_size, header->checksum);
	memcpy(block, header, sizeof(*header));
	r = put_out(w, block, len);
	if (r < 0)
		return r;
	w->bytes += len;
	w->at += len;
	w->blocks++;
	w->raw_len = 0;
	return 0;
}

/* One block with what was gathered; it may be empty only for the last one. */
int writer_block(struct fa_trace_writer *w, uint8_t flags)
{
	size_t stored_size = encode(w);
	unsigned char *block = stored_size ? w->stored : w->raw;
	struct fa_block_header header = {
		.magic = FA_BLOCK_MAGIC_WORD,
		.codec = (uint8_t)(stored_size ? w->codec : FA_CODEC_RAW),
		.flags = flags,
		.raw_size = (uint32_t)w->raw_len,
		.sequence = w->blocks,
	};

	header.stored_size = (uint32_t)(stored_size ? stored_size : w->raw_len);
	return write_stored(w, &header, block);
}

/* Is there enough free space? Asked of the kernel each second, and after half of what is left or 4 MB. */
static bool space_left(struct fa_trace_writer *w, size_t block_len)
{
	struct statvfs fs;
	uint64_t now = fa_mono_ns(), least = w->minimum_free + block_len, left;

	if (w->free_ns != 0 && w->bytes < w->free_until && now - w->free_ns < FREE_CHECK_NS)
		return true;
	w->free_ns = now;
	w->free_until = w->bytes + FREE_CHECK_BYTES;
	/* A file system that cannot say is no reason to stop. */
	if (fstatvfs(w->fd, &fs) < 0)
		return true;
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (left < least)
		return false;
	if ((left - least) / 2 < FREE_CHECK_BYTES)
		w->free_until = w->bytes + (left - least) / 2;
	return true;
}

/* May a block of up to `len` bytes of records begin? */
static int begin_block(struct fa_trace_writer *w, size_t len)
{
	size_t block_len = sizeof(struct fa_block_header) + len;
	int r;

	if (w->maximum_bytes != 0 && w->bytes + block_len + WRITER_END_ROOM > w->maximum_bytes)
		return writer_fail_limit(w, -E2BIG);
	if (w->minimum_free != 0 && !space_left(w, block_len))
		return writer_fail_limit(w, -ENOSPC);
	if (w->defs == NULL)
		return 0;
	r = ring_room(w, len);
	return r < 0 ? fail(w, r) : 0;
}

void writer_add(struct fa_trace_writer *w, const void *data, size_t len)
{
	if (len != 0)
		memcpy(w->raw + sizeof(struct fa_block_header) + w->raw_len, data, len);
	w->raw_len += len;
}

static void add_record(struct fa_trace_writer *w, const struct fa_record_header *header,
		       const void *head, const void *tail, size_t tail_len, const void *tail2)
{
	writer_add(w, header, sizeof(*header));
	writer_add(w, head, header->head_size);
	writer_add(w, tail, tail_len);
	writer_add(w, tail2, header->size - header->head_size - tail_len);
}

int fa_trace_write(struct fa_trace_writer *w, unsigned tag, const void *head, size_t head_len,
		   const void *tail, size_t tail_len, const void *tail2, size_t tail2_len)
{
	struct fa_record_header header = {.tag = (uint16_t)tag, .head_size = (uint16_t)head_len};
	size_t size, len;
	int r;

	if (w->error != 0)
		return w->error;
	if (tag > UINT16_MAX || head_len > UINT16_MAX)
		return fail(w, -EINVAL);
	if (tail_len > FA_RECORD_MAX || tail2_len > FA_RECORD_MAX ||
	    (size = head_len + tail_len + tail2_len) > FA_RECORD_MAX)
		return writer_fail_limit(w, -E2BIG);
	header.size = (uint32_t)size;
	len = sizeof(header) + size;
	if (w->raw_len != 0 && w->raw_len + len > w->block_size) {
		r = fa_trace_writer_flush(w);
		if (r < 0)
			return r;
	}
	if (w->raw_len == 0) {
		/* A record that is larger than a block gets a block of its own. */
		size_t block = len > w->block_size ? len : w->block_size;

		r = writer_reserve(w, block);
		if (r < 0)
			return fail(w, r);
		r = begin_block(w, block);
		if (r < 0)
			return r;
	}
	add_record(w, &header, head, tail, tail_len, tail2);
	if (w->defs == NULL)
		return 0;
	r = fa_trace_defs_take(w->defs, &header, head, tail, tail_len, tail2);
	return r < 0 ? fail(w, r) : 0;
}

void fa_trace_writer_forget(struct fa_trace_writer *w, uint32_t arena)
{
	if (w->defs != NULL)
		fa_trace_defs_forget(w->defs, arena);
}

int fa_trace_writer_flush(struct fa_trace_writer *w)
{
	int r;

	if (w->error != 0)
		return w->error;
	if (w->raw_len == 0)
		return 0;
	r = writer_block(w, 0);
	if (r == 0)
		return 0;
	return cut_block(w) ? writer_fail_limit(w, r) : fail(w, r);
}

int fa_trace_writer_copy(struct fa_trace_writer *w, const struct fa_block_header *block,
			 const void *stored)
{
	struct fa_block_header header = *block;
	int r = fa_trace_writer_flush(w);

	if (r == 0)
		r = writer_reserve(w, header.stored_size);
	if (r < 0)
		return fail(w, r);
	r = begin_block(w, header.stored_size);
	if (r < 0)
		return r;
	header.flags = 0;
	header.sequence = w->blocks;
	memcpy(w->raw + sizeof(header), stored, header.stored_size);
	r = write_stored(w, &header, w->raw);
	if (r == 0)
		return 0;
	return cut_block(w) ? writer_fail_limit(w, r) : fail(w, r);
}

void fa_trace_writer_sync(struct fa_trace_writer *w)
{
	/* Refused for pipes and by some file systems: then the kernel's own write-back has to do. */
	off_t from = w->defs == NULL ? (off_t)w->synced : 0;
	off_t len = w->defs == NULL ? (off_t)(w->bytes - w->synced) : 0; /* 0: to its end */

	if (w->bytes > w->synced)
		(void)sync_file_range(w->fd, from, len, SYNC_FILE_RANGE_WRITE);
	w->synced = w->bytes;
}

int fa_trace_writer_end(struct fa_trace_writer *w, const struct fa_rec_end *end, const char *text)
{
	size_t text_len = text != NULL ? strnlen(text, WRITER_END_ROOM / 2) : 0;
	struct fa_record_header header = {
		.tag = FA_TAG_END,
		.head_size = sizeof(*end),
		.size = (uint32_t)(sizeof(*end) + text_len + 1),
	};
	int r = 0, last;

	if (w->error != 0 && !w->limit)
		return w->error;
	/* What is gathered goes out as it would have; WRITER_END_ROOM was kept back for the rest. */
	if (w->raw_len != 0)
		r = writer_block(w, 0);
	if (r == 0 || cut_block(w)) {
		add_record(w, &header, end, text, text_len, "");
		if (end->reason == FA_END_NEXT)
			w->codec = FA_CODEC_RAW; /* for fa_trace_writer_resume(), which decodes nothing */
		last = writer_block(w, FA_BLOCK_LAST);
		r = r == 0 ? last : r;
	}
	if (r == 0 && !w->unsynced && fdatasync(w->fd) < 0 && errno != EINVAL && errno != EROFS &&
	    errno != ENOSYS)
		r = -errno;
	w->limit = false;
	w->error = r < 0 ? r : -ESHUTDOWN;
	return r;
}

void fa_trace_writer_moved(struct fa_trace_writer *w, uint64_t minimum_free)
{
	w->minimum_free = minimum_free;
	w->free_ns = 0;
	w->synced = 0;
}

bool fa_trace_writer_fits(const struct fa_trace_writer *w, size_t len, uint64_t more, uint64_t most)
{
	const size_t head = sizeof(struct fa_block_header);
	/* What is gathered goes out with it, or before it. */
	uint64_t gathered = w->raw_len != 0 ? head + w->raw_len : 0;

	return w->bytes + gathered + head + sizeof(struct fa_record_header) + len + more + WRITER_END_ROOM <=
	       most;
}

uint64_t fa_trace_writer_bytes(const struct fa_trace_writer *w)
{
	return w->bytes;
}

uint64_t fa_trace_writer_mark(const struct fa_trace_writer *w)
{
	return w->defs != NULL ? w->blocks : w->bytes;
}

uint32_t fa_trace_writer_block_size(const struct fa_trace_writer *w)
{
	return w->block_size;
}

uint64_t fa_trace_writer_overwritten(const struct fa_trace_writer *w)
{
	return w->blocks_overwritten;
}

uint64_t fa_trace_writer_blocks(const struct fa_trace_writer *w)
{
	return w->blocks;
}

void fa_trace_writer_free(struct fa_trace_writer *w)
{
	if (w == NULL)
		return;
	ZSTD_freeCCtx(w->zstd);
	fa_trace_defs_free(w->defs);
	free(w->stored);
	free(w->raw);
	free(w);
}
