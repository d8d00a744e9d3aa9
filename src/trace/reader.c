/*
 * reader.c - read a trace file block by block, trusting nothing.
 *
 * Invariants:
 *   1. no record of a block is given out before the checksum of the whole block was found right;
 *   2. memory is at most two times FA_BLOCK_MAX, and only taken once the file is known to have as
 *      many bytes as a header claims;
 *   3. every call of fa_trace_reader_next() moves on in the file or says that it ended.
 *
 * With pread, not mmap: the file may be written or cut while it is read, and a cut mapping is a
 * SIGBUS. A block's place in the file is known only from the blocks before it, so reading ends at
 * the first damage. A file that only stops early is `cut`, which is the normal state after a crash
 * and while it is being written; a further call looks whether more has come.
 */
#include "trace/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/io.h"
#include "format/hash.h"
#include "trace/ring.h"

enum { HEADER_MAX = 64 << 10 };

/* Room for the fixed part of any record. */
union any_record {
#define X(name, tag, type, text) type name;
	FA_TRACE_RECORDS(X)
#undef X
	uint64_t words[32];
};

struct fa_trace_reader {
	int fd;
	struct fa_trace_header header;
	uint64_t size;
	uint64_t position; /* of the next block */
	uint64_t sequence; /* of the next block */
	bool last_seen;    /* FA_BLOCK_LAST */
	struct fa_trace_damage damage;
	unsigned char *stored;
	size_t stored_cap;
	unsigned char *raw;
	size_t raw_cap;
	ZSTD_DCtx *zstd; /* since the first block that needs it */
	const unsigned char *records; /* of the current block: in `stored` or `raw` */
	size_t records_len;
	size_t records_at;
	uint64_t block_offset; /* of the current block */
	struct ring_view ring;
	uint32_t ring_index; /* of the chunk that is being read, in ring.order */
	uint64_t ring_bytes; /* read of those before */
	union any_record head;
};

/* pread all; the number of bytes there are when the file ends early, or -errno. */
static ssize_t pread_all(int fd, void *data, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)data + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int look_at_size(struct fa_trace_reader *r)
{
	struct stat st;

	if (fstat(r->fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -ESPIPE;
	r->size = (uint64_t)st.st_size;
	return 0;
}

static int check_header(struct fa_trace_reader *r)
{
	struct fa_trace_header *h = &r->header;
	ssize_t n = pread_all(r->fd, h, sizeof(*h), 0);

	if (n < 0)
		return (int)n;
	if ((size_t)n < sizeof(*h) || memcmp(h->magic, FA_TRACE_MAGIC, sizeof(h->magic)) != 0)
		return -EBADMSG;
	if (h->checksum != fa_hash64(h, offsetof(struct fa_trace_header, checksum), 0))
		return -EBADMSG;
	if (h->min_reader > FA_TRACE_VERSION || (h->incompatible & ~(uint64_t)FA_TRACE_CIRCULAR) != 0)
		return -EPROTONOSUPPORT;
	if (h->header_size < sizeof(*h) || h->header_size > HEADER_MAX || h->header_size > r->size)
		return -EBADMSG;
	r->position = h->header_size;
	return 0;
}

static void go_to_chunk(struct fa_trace_reader *r, uint32_t index)
{
	r->ring_index = index;
	r->position = ring_chunk_at(&r->ring, r->ring.order[index]);
	r->sequence = r->ring.first[r->ring.order[index]];
}

/* Where to begin? An empty one begins at its first chunk, and ends there. */
static int find_chunks(struct fa_trace_reader *r)
{
	int e;

	if ((r->header.incompatible & FA_TRACE_CIRCULAR) == 0)
		return 0;
	e = ring_view_read(r->fd, &r->header, &r->ring);
	if (e == 0 && r->ring.count != 0)
		go_to_chunk(r, 0);
	return e;
}

void fa_trace_reader_newest_only(struct fa_trace_reader *r)
{
	if (r->ring.count == 0)
		return;
	r->ring.order[0] = r->ring.order[r->ring.count - 1];
	r->ring.count = 1;
	go_to_chunk(r, 0);
}

static void done(struct fa_trace_reader **r)
{
	fa_trace_reader_free(*r);
}

int fa_trace_reader_open_fd(int fd, struct fa_trace_reader **ret)
{
	FA_CLEANUP(done) struct fa_trace_reader *r = calloc(1, sizeof(*r));
	int e;

	if (r == NULL) {
		fa_close(&fd);
		return -ENOMEM;
	}
	r->fd = fd;
	e = look_at_size(r);
	if (e < 0)
		return e;
	e = check_header(r);
	if (e == 0)
		e = find_chunks(r);
	if (e < 0)
		return e;
	*ret = fa_take_ptr(&r);
	return 0;
}

int fa_trace_reader_open(const char *path, struct fa_trace_reader **ret)
{
	/* O_NONBLOCK: a named pipe is refused below, not waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	return fa_trace_reader_open_fd(fd, ret);
}

static void set_damage(struct fa_trace_reader *r, bool damaged, uint64_t offset, const char *what)
{
	(void)look_at_size(r); /* the last known size does when that fails */
	r->damage.damaged = damaged;
	r->damage.cut = !damaged;
	r->damage.offset = offset;
	r->damage.bytes = r->size > offset ? r->size - offset : 0;
	r->damage.what = what;
}

/* Nothing that was read can be used from the block at `offset` on. */
static int damaged(struct fa_trace_reader *r, uint64_t offset, const char *what)
{
	set_damage(r, true, offset, what);
	return 0;
}

static int cut(struct fa_trace_reader *r, const char *what)
{
	set_damage(r, false, r->position, what);
	return 0;
}

static bool grow(unsigned char **p, size_t *cap, size_t want)
{
	unsigned char *bigger;

	if (want <= *cap)
		return true;
	bigger = realloc(*p, want);
	if (bigger == NULL)
		return false;
	*p = bigger;
	*cap = want;
	return true;
}

static uint64_t block_checksum(const struct fa_block_header *h, const unsigned char *stored)
{
	uint64_t sum = fa_hash64(h, offsetof(struct fa_block_header, checksum), 0);

	return fa_hash64(stored, h->stored_size, sum);
}

/* What is wrong with a block header by itself; NULL: nothing. */
static const char *header_fault(const struct fa_block_header *h)
{
	if (h->magic != FA_BLOCK_MAGIC_WORD)
		return "block magic";
	if (h->codec > FA_CODEC_ZSTD)
		return "block codec";
	if (h->reserved != 0 || h->flags & ~(FA_BLOCK_LAST | FA_BLOCK_REPEAT))
		return "block flags";
	if (h->raw_size > FA_BLOCK_MAX || h->raw_size < sizeof(struct fa_record_header) ||
	    h->stored_size > h->raw_size || h->stored_size == 0 ||
	    (h->codec == FA_CODEC_RAW && h->stored_size != h->raw_size))
		return "block size";
	return NULL;
}

/*
 * A block claims more bytes than the file has: it was cut, or its size is damaged. In the latter
 * case a later block can stand in what is there (r->stored, len bytes).
 */
static bool later_block_within(const struct fa_trace_reader *r, size_t len)
{
	const unsigned char *p = r->stored, *end = r->stored + len;
	struct fa_block_header h;

	while ((size_t)(end - p) > sizeof(h) && (p = memchr(p, 'F', (size_t)(end - p))) != NULL &&
	       (size_t)(end - p) > sizeof(h)) {
		memcpy(&h, p, sizeof(h));
		if (header_fault(&h) == NULL && h.sequence == r->sequence + 1)
			return true;
		p++;
	}
	return false;
}

/* The stored bytes of the block behind `h`. 1, or 0 with the reason noted. */
static int read_stored(struct fa_trace_reader *r, const struct fa_block_header *h)
{
	uint64_t offset = r->position + sizeof(*h);
	size_t want = h->stored_size;
	ssize_t n;

	/* No memory for more than there is. */
	if (r->size < offset + want)
		(void)look_at_size(r);
	if (r->size < offset + want)
		want = r->size > offset ? (size_t)(r->size - offset) : 0;
	if (!grow(&r->stored, &r->stored_cap, want + 1))
		return damaged(r, r->position, "out of memory");
	n = pread_all(r->fd, r->stored, want, offset);
	if (n < 0)
		return damaged(r, r->position, "read error");
	if ((size_t)n == h->stored_size)
		return 1;
	if (h->sequence != r->sequence || later_block_within(r, (size_t)n))
		return damaged(r, r->position, "block size");
	return cut(r, "the file ends within a block");
}

/* r->stored decoded into r->raw. NULL, or what is wrong. */
static const char *decode(struct fa_trace_reader *r, const struct fa_block_header *h)
{
	size_t n = 0;

	if (h->codec == FA_CODEC_RAW) {
		r->records = r->stored;
		return NULL;
	}
	if (!grow(&r->raw, &r->raw_cap, h->raw_size))
		return "out of memory";
	if (h->codec == FA_CODEC_LZ4) {
		int len = LZ4_decompress_safe((const char *)r->stored, (char *)r->raw,
					      (int)h->stored_size, (int)h->raw_size);

		n = len > 0 ? (size_t)len : 0;
	} else {
		if (r->zstd == NULL && (r->zstd = ZSTD_createDCtx()) == NULL)
			return "out of memory";
		n = ZSTD_decompressDCtx(r->zstd, r->raw, h->raw_size, r->stored, h->stored_size);
	}
	r->records = r->raw;
	return n == h->raw_size ? NULL : "block encoding";
}

/* Less than a block header is left of the file. */
static int at_end(struct fa_trace_reader *r, const struct fa_block_header *h, size_t n)
{
	static const uint32_t magic = FA_BLOCK_MAGIC_WORD;

	if (r->last_seen)
		return n == 0 ? 0 : damaged(r, r->position, "bytes behind the end");
	if (memcmp(h, &magic, n < sizeof(magic) ? n : sizeof(magic)) != 0)
		return damaged(r, r->position, "block magic");
	return cut(r, n == 0 ? "no END" : "the file ends within a block");
}

/* A chunk ends where no next block stands in it; it goes on in the next one. false: this was all. */
static bool place_in_ring(struct fa_trace_reader *r)
{
	struct fa_block_header h;

	if (r->last_seen || r->ring.count == 0)
		return false;
	while (!ring_block_at(r->fd, &r->ring, r->ring.order[r->ring_index], r->position,
			      r->sequence, &h)) {
		if (r->ring_index + 1 >= r->ring.count)
			return false;
		r->ring_bytes += r->position - ring_chunk_at(&r->ring, r->ring.order[r->ring_index]);
		go_to_chunk(r, r->ring_index + 1);
	}
	return true;
}

/* The header of the next block, which is not wrong by itself. 1; 0: the end, a cut or damage. */
static int next_header(struct fa_trace_reader *r, struct fa_block_header *h)
{
	const char *what;
	ssize_t n;

	if (r->ring.chunks != 0 && !place_in_ring(r))
		return r->last_seen ? 0 : cut(r, "no END");
	n = pread_all(r->fd, h, sizeof(*h), r->position);
	if (n < 0)
		return damaged(r, r->position, "read error");
	if ((size_t)n < sizeof(*h))
		return at_end(r, h, (size_t)n);
	if (r->last_seen)
		return damaged(r, r->position, "bytes behind the end");
	what = header_fault(h);
	if (what == NULL && (h->flags & FA_BLOCK_REPEAT) != 0 && r->ring.chunks == 0)
		what = "block flags";
	return what == NULL ? 1 : damaged(r, r->position, what);
}

/* What repeats definitions is for readers that begin with its chunk. */
static bool is_repeated(const struct fa_trace_reader *r, const struct fa_block_header *h)
{
	return (h->flags & FA_BLOCK_REPEAT) != 0 && r->ring_index > 0;
}

static void pass_block(struct fa_trace_reader *r, const struct fa_block_header *h)
{
	r->last_seen = h->flags & FA_BLOCK_LAST;
	r->block_offset = r->position;
	r->position += sizeof(*h) + h->stored_size;
	r->sequence++;
}

/* The next block that is to be read, its stored bytes checked. 1; 0: the end, a cut or damage. */
static int next_stored(struct fa_trace_reader *r, struct fa_block_header *h)
{
	int more;

	while ((more = next_header(r, h)) > 0 && is_repeated(r, h))
		pass_block(r, h);
	if (more == 0 || !read_stored(r, h))
		return 0;
	if (h->checksum != block_checksum(h, r->stored))
		return damaged(r, r->position, "block checksum");
	if (h->sequence != r->sequence)
		return damaged(r, r->position, "block sequence");
	return 1;
}

/* If the file was cut here before, it has grown. */
static void note_good(struct fa_trace_reader *r)
{
	r->damage = (struct fa_trace_damage){.unknown_records = r->damage.unknown_records};
}

/* 1: the next block is there; 0: the end, a cut or damage. */
static int next_block(struct fa_trace_reader *r)
{
	struct fa_block_header h;
	const char *what;

	if (next_stored(r, &h) == 0)
		return 0;
	what = decode(r, &h);
	if (what != NULL)
		return damaged(r, r->position, what);
	r->records_len = h.raw_size;
	r->records_at = 0;
	pass_block(r, &h);
	note_good(r);
	return 1;
}

int fa_trace_reader_next_stored(struct fa_trace_reader *r, struct fa_block_header *ret,
				const unsigned char **ret_stored)
{
	if (r->damage.damaged || next_stored(r, ret) == 0)
		return 0;
	pass_block(r, ret);
	note_good(r);
	*ret_stored = r->stored;
	return 1;
}

/* The next record of the current block: 1, 0 none or damage, 2 unknown and skipped. */
static int next_record(struct fa_trace_reader *r, struct fa_trace_record *ret)
{
	const unsigned char *p = r->records + r->records_at;
	size_t left = r->records_len - r->records_at;
	struct fa_record_header h;
	int known;

	if (left < sizeof(h))
		return damaged(r, r->block_offset, "record header");
	memcpy(&h, p, sizeof(h));
	p += sizeof(h);
	if (h.size > FA_RECORD_MAX || h.size > left - sizeof(h) || h.head_size > h.size)
		return damaged(r, r->block_offset, "record size");
	r->records_at += sizeof(h) + h.size;
	known = fa_trace_tag_size(h.tag);
	if (known < 0) {
		r->damage.unknown_records++;
		return 2;
	}
	memset(&r->head, 0, sizeof(r->head));
	memcpy(&r->head, p, h.head_size < (size_t)known ? h.head_size : (size_t)known);
	*ret = (struct fa_trace_record){
		.tag = h.tag,
		.head = &r->head,
		.tail = p + h.head_size,
		.tail_len = h.size - h.head_size,
		.block_offset = r->block_offset,
	};
	return 1;
}

int fa_trace_reader_next(struct fa_trace_reader *r, struct fa_trace_record *ret)
{
	int more;

	do {
		if (r->damage.damaged)
			return 0;
		if (r->records_at == r->records_len && !next_block(r))
			return 0;
		more = next_record(r, ret);
	} while (more == 2);
	return more;
}

const struct fa_trace_header *fa_trace_reader_header(const struct fa_trace_reader *r)
{
	return &r->header;
}

struct fa_trace_damage fa_trace_reader_damage(const struct fa_trace_reader *r)
{
	return r->damage;
}

uint64_t fa_trace_reader_position(const struct fa_trace_reader *r)
{
	if (r->ring.count == 0)
		return r->position;
	return r->ring.begin + r->ring_bytes + r->position -
	       ring_chunk_at(&r->ring, r->ring.order[r->ring_index]);
}

uint64_t fa_trace_reader_size(const struct fa_trace_reader *r)
{
	return r->size;
}

void fa_trace_reader_free(struct fa_trace_reader *r)
{
	if (r == NULL)
		return;
	fa_close(&r->fd);
	ZSTD_freeDCtx(r->zstd);
	free(r->stored);
	free(r->raw);
	free(r);
}

const char *fa_trace_string(const unsigned char **tail, size_t *tail_len)
{
	const char *s = (const char *)*tail;
	const unsigned char *nul = *tail_len != 0 ? memchr(*tail, 0, *tail_len) : NULL;

	if (nul == NULL)
		return "";
	*tail_len -= (size_t)(nul + 1 - *tail);
	*tail = nul + 1;
	return s;
}
