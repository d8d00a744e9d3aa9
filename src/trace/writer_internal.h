/* writer_internal.h - the writer's inside, for writer.c, writer_ring.c and writer_resume.c. */
#ifndef FA_TRACE_WRITER_INTERNAL_H
#define FA_TRACE_WRITER_INTERNAL_H

#include <zstd.h>

#include "trace/defs.h"
#include "trace/writer.h"

enum { WRITER_END_ROOM = 2048 };

struct fa_trace_writer {
	int fd;
	int error;  /* sticky */
	bool limit; /* after `error` END can still be written */
	bool unsynced;
	int (*put)(void *ctx, const void *data, size_t len); /* NULL: to fd */
	void *put_ctx;
	uint32_t block_size;
	uint32_t codec;
	uint64_t maximum_bytes;
	uint64_t minimum_free;
	uint64_t bytes; /* written; circular: ever */
	uint64_t blocks;
	uint64_t synced;       /* bytes whose write-back was started */
	uint64_t free_until;   /* `bytes` when free space is to be looked at again */
	uint64_t free_ns;      /* when it was last, 0: never */
	unsigned char *raw;    /* room for a block header, then the records gathered */
	size_t raw_len;        /* of the records */
	size_t raw_cap;        /* for records */
	unsigned char *stored; /* room for a block header, then the encoded records */
	size_t stored_cap;
	unsigned raw_blocks; /* that will be stored raw without a try */
	unsigned raw_again;  /* so many more after the next that does not pay */
	ZSTD_CCtx *zstd;     /* only with FA_CODEC_ZSTD */
	/* circular only */
	struct fa_trace_defs *defs; /* NULL: not circular */
	uint64_t chunk_size;
	uint32_t chunk;  /* that is being written */
	uint64_t at;     /* in the file: where the next block goes */
	uint64_t blocks_overwritten;
	uint64_t first_block[FA_RING_CHUNKS]; /* sequence with which the chunk begins, ~0: it is empty */
};

/* A writer that has written nothing yet. */
int writer_new(int fd, const struct fa_trace_writer_options *options,
	       struct fa_trace_writer **ret) FA_MUST_USE;
/* Room for a block of `len` bytes of records. */
int writer_reserve(struct fa_trace_writer *w, size_t len) FA_MUST_USE;
/* A failure after which END can still be written. */
int writer_fail_limit(struct fa_trace_writer *w, int error);
/* One block with what was gathered; it may be empty only for the last one. */
int writer_block(struct fa_trace_writer *w, uint8_t flags) FA_MUST_USE;
void writer_add(struct fa_trace_writer *w, const void *data, size_t len);

/* writer_ring.c: circular traces. */
int ring_begin(struct fa_trace_writer *w, uint64_t maximum_bytes) FA_MUST_USE;
/* Will a block of `len` bytes of records find room? Goes to the next chunk where it does not. */
int ring_room(struct fa_trace_writer *w, size_t len) FA_MUST_USE;
/* After a failed write: what stands of the block is made invalid, and the next goes there. */
bool ring_cut_block(struct fa_trace_writer *w);
int ring_resume(struct fa_trace_writer *w, uint64_t keep) FA_MUST_USE;

#endif
