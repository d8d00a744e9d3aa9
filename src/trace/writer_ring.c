/*
 * writer_ring.c - circular traces: the space is divided into chunks, and when the last is full the first
 * is written anew. A chunk begins with all definitions that are still of use (defs.h), so that what is read
 * first after older chunks are gone refers to nothing that went with them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "trace/reader.h"
#include "trace/ring.h"
#include "trace/writer_internal.h"

static uint64_t chunk_at(const struct fa_trace_writer *w, uint32_t chunk)
{
	return sizeof(struct fa_trace_header) + sizeof(struct fa_trace_ring) +
	       chunk * w->chunk_size;
}

static int go_to(struct fa_trace_writer *w, uint32_t chunk, uint64_t at)
{
	w->chunk = chunk;
	w->at = at;
	return lseek(w->fd, (off_t)at, SEEK_SET) == (off_t)at ? 0 : -errno;
}

int ring_begin(struct fa_trace_writer *w, uint64_t maximum_bytes)
{
	w->defs = fa_trace_defs_new();
	if (w->defs == NULL)
		return -ENOMEM;
	w->chunk_size = (maximum_bytes - chunk_at(w, 0)) / FA_RING_CHUNKS;
	if (maximum_bytes < chunk_at(w, 0) || w->chunk_size < FA_RING_CHUNK_MIN)
		return -EINVAL;
	/* A chunk holds many blocks, or much of it stays unused. */
	if (w->block_size > w->chunk_size / 16)
		w->block_size = (uint32_t)(w->chunk_size / 16);
	w->maximum_bytes = 0; /* it is never reached */
	memset(w->first_block, 0xff, sizeof(w->first_block));
	w->first_block[0] = 0;
	w->at = chunk_at(w, 0);
	return 0;
}

/* Records of a repetition, gathered into blocks. */
static int put_definition(void *ctx, const void *record, size_t len)
{
	struct fa_trace_writer *w = ctx;
	uint64_t half = chunk_at(w, w->chunk) + w->chunk_size / 2;
	int e = 0;

	if (w->raw_len != 0 && w->raw_len + len > w->block_size)
		e = writer_block(w, FA_BLOCK_REPEAT);
	if (e == 0 && w->raw_len == 0)
		e = writer_reserve(w, len > w->block_size ? len : w->block_size);
	/* More definitions than that, and there would be little room for events. */
	if (e == 0 && w->at + sizeof(struct fa_block_header) + w->raw_len + len > half)
		e = -E2BIG;
	if (e == 0)
		writer_add(w, record, len);
	return e;
}

/* What stood there was the oldest. */
static void count_overwritten(struct fa_trace_writer *w, uint32_t chunk)
{
	uint32_t next = (chunk + 1) % FA_RING_CHUNKS;

	if (w->first_block[chunk] != UINT64_MAX && w->first_block[next] != UINT64_MAX &&
	    w->first_block[next] > w->first_block[chunk])
		w->blocks_overwritten += w->first_block[next] - w->first_block[chunk];
}

static int next_chunk(struct fa_trace_writer *w)
{
	uint32_t chunk = (w->chunk + 1) % FA_RING_CHUNKS;
	int e = go_to(w, chunk, chunk_at(w, chunk));

	if (e < 0)
		return e;
	count_overwritten(w, chunk);
	w->first_block[chunk] = w->blocks;
	e = fa_trace_defs_write(w->defs, put_definition, w);
	if (e == 0 && w->raw_len != 0)
		e = writer_block(w, FA_BLOCK_REPEAT);
	if (e < 0 && !ring_cut_block(w))
		return e;
	return e == -E2BIG ? writer_fail_limit(w, e) : e;
}

int ring_room(struct fa_trace_writer *w, size_t len)
{
	uint64_t need = sizeof(struct fa_block_header) + len + WRITER_END_ROOM;

	if (need > w->chunk_size / 2)
		return -E2BIG;
	if (w->at + need <= chunk_at(w, w->chunk) + w->chunk_size)
		return 0;
	return next_chunk(w);
}

bool ring_cut_block(struct fa_trace_writer *w)
{
	static const uint32_t none;

	w->raw_len = 0;
	return pwrite(w->fd, &none, sizeof(none), (off_t)w->at) == (ssize_t)sizeof(none) &&
	       lseek(w->fd, (off_t)w->at, SEEK_SET) == (off_t)w->at;
}

/* Zeros, so that nothing of what a dead writer left there can be taken for a block of ours. */
static int clear(int fd, uint64_t at, uint64_t len)
{
	static const char zero[16384];

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len) == 0)
		return 0;
	while (len > 0) {
		size_t n = len < sizeof(zero) ? (size_t)len : sizeof(zero);
		ssize_t done = pwrite(fd, zero, n, (off_t)at);

		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		at += (uint64_t)done;
		len -= (uint64_t)done;
	}
	return 0;
}

/* Chunks that were begun behind what is to be kept. */
static int clear_newer(struct fa_trace_writer *w, struct ring_view *v, uint64_t keep)
{
	for (uint32_t i = 0; i < v->chunks; i++) {
		int e = 0;

		if (v->first[i] == UINT64_MAX || v->first[i] < keep)
			continue;
		e = clear(w->fd, ring_chunk_at(v, i), v->chunk_size);
		if (e < 0)
			return e;
	}
	return 0;
}

/* The newest chunk says all that the next one will have to repeat. */
static int read_definitions(struct fa_trace_writer *w, uint64_t end)
{
	struct fa_trace_reader *reader = NULL;
	struct fa_trace_record rec;
	int fd = dup(w->fd);
	int e = fd < 0 ? -errno : fa_trace_reader_open_fd(fd, &reader);

	if (e == 0)
		fa_trace_reader_newest_only(reader);
	while (e == 0 && fa_trace_reader_next(reader, &rec) == 1 && rec.block_offset < end) {
		struct fa_record_header h = {
			.tag = (uint16_t)rec.tag,
			.head_size = (uint16_t)fa_trace_tag_size(rec.tag),
		};

		h.size = (uint32_t)(h.head_size + rec.tail_len);
		e = rec.tag == FA_TAG_END ? -EALREADY
					  : fa_trace_defs_take(w->defs, &h, rec.head, rec.tail,
							       rec.tail_len, NULL);
	}
	fa_trace_reader_free(reader);
	return e;
}

int ring_resume(struct fa_trace_writer *w, uint64_t keep)
{
	struct fa_trace_header header;
	struct ring_view v;
	uint32_t newest;
	uint64_t end;
	int e;

	if (pread(w->fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
	    memcmp(header.magic, FA_TRACE_MAGIC, sizeof(header.magic)) != 0 ||
	    header.version != FA_TRACE_VERSION || header.incompatible != FA_TRACE_CIRCULAR)
		return -EBADMSG;
	e = ring_view_read(w->fd, &header, &v);
	if (e == 0 && (v.chunks != FA_RING_CHUNKS || v.begin != chunk_at(w, 0)))
		e = -EBADMSG;
	if (e == 0)
		e = clear_newer(w, &v, keep);
	if (e == 0)
		e = ring_view_read(w->fd, &header, &v);
	if (e < 0 || v.count == 0)
		return e < 0 ? e : -EBADMSG;
	newest = v.order[v.count - 1];
	end = ring_chunk_end(w->fd, &v, newest, keep, &w->blocks);
	w->chunk_size = v.chunk_size;
	memcpy(w->first_block, v.first, sizeof(w->first_block));
	e = read_definitions(w, end);
	if (e == 0)
		e = clear(w->fd, end, ring_chunk_at(&v, newest) + v.chunk_size - end);
	if (e == 0)
		e = go_to(w, newest, end);
	return e;
}
