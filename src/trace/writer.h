/*
 * writer.h - the one writer of trace files.
 *
 * Records are gathered into blocks of `block_size` decoded bytes; a block is encoded, framed and
 * written with one write(2). One thread per writer. Never closes or seeks a descriptor it does not
 * own; does not own the one it is given.
 */
#ifndef FA_TRACE_WRITER_H
#define FA_TRACE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/trace_format.h"

struct fa_trace_writer;

struct fa_trace_writer_options {
	uint32_t block_size;    /* 0: FA_TRACE_DEFAULT_BLOCK */
	uint32_t codec;         /* enum fa_trace_codec */
	uint64_t maximum_bytes; /* of the file, 0: no limit */
	uint64_t minimum_free;  /* bytes that must stay free on the file system, 0: not watched */
	/* When maximum_bytes (at least 4 * FA_RING_CHUNK_MIN and some) are full, the oldest are written over.
	 * The file must be seekable. */
	bool circular;
	bool append; /* resume: a trace that was ended loses its END, and goes on */
	bool unsynced; /* the caller has the file synced when it is ended */
	/* Not to a file: each piece (the header, then each block) goes here, and fd is not looked at. 0 or -errno. */
	int (*put)(void *ctx, const void *data, size_t len);
	void *put_ctx;
	/* It is that trace, written again: uuid and time are kept. NULL: a new one. */
	const struct fa_trace_header *same_trace;
};

/* Write the header to fd (empty, seekable not needed). Returns 0 or -errno of write(2), -ENOMEM. */
int fa_trace_writer_open(int fd, const struct fa_trace_writer_options *options,
			 struct fa_trace_writer **ret) FA_MUST_USE;

/*
 * Go on with a trace whose writer died: fd is open for reading and writing, and seekable. What stands
 * of the block that was being written is cut off, and so are whole blocks behind `keep`, what
 * fa_trace_writer_mark() said (UINT64_MAX: none). -EBADMSG: no trace of this version, or damaged (then
 * nothing is changed); -EALREADY: it was ended properly, and not only since the session went on elsewhere after
 * `keep`.
 */
int fa_trace_writer_resume(int fd, const struct fa_trace_writer_options *options, uint64_t keep,
			   struct fa_trace_writer **ret) FA_MUST_USE;

/*
 * Add a record: fixed part `head`, then up to two further pieces (tails may be NULL with length 0).
 * Returns 0; -E2BIG: the size limit or FA_RECORD_MAX; -ENOSPC: free space fell below minimum_free;
 * -errno of write(2), and what was gathered for that block is lost. After the first failure every later
 * call but fa_trace_writer_end() returns the same and writes nothing; what was written before stays
 * readable.
 */
int fa_trace_write(struct fa_trace_writer *w, unsigned tag, const void *head, size_t head_len,
		   const void *tail, size_t tail_len, const void *tail2,
		   size_t tail2_len) FA_MUST_USE;

/* Write out the block that is being filled, if it has records. */
int fa_trace_writer_flush(struct fa_trace_writer *w) FA_MUST_USE;

/* A block of another trace, as it is stored there. Errors as fa_trace_write(). */
int fa_trace_writer_copy(struct fa_trace_writer *w, const struct fa_block_header *block,
			 const void *stored) FA_MUST_USE;

/* Start write-back of what was written since the last call (sync_file_range). Errors are ignored. */
void fa_trace_writer_sync(struct fa_trace_writer *w);

/* END record, last block, fdatasync. Tried also after a failure. -errno: END is not there,
 * or what was gathered before it is not. */
int fa_trace_writer_end(struct fa_trace_writer *w, const struct fa_rec_end *end,
			const char *text) FA_MUST_USE;

/* A family of which nothing more will come: a circular trace need not describe it again. */
void fa_trace_writer_forget(struct fa_trace_writer *w, uint32_t arena);
/* How far the trace has come, for fa_trace_writer_resume(); right after a flush. */
uint64_t fa_trace_writer_mark(const struct fa_trace_writer *w);

/* Behind the descriptor lies another file now, with the same bytes, on a file system of which so much is to be left
 * free. */
void fa_trace_writer_moved(struct fa_trace_writer *w, uint64_t minimum_free);

/* Would the file stay below `most` bytes with a record of so many bytes, and `more` behind it? */
bool fa_trace_writer_fits(const struct fa_trace_writer *w, size_t len, uint64_t more, uint64_t most);
uint64_t fa_trace_writer_bytes(const struct fa_trace_writer *w);  /* written to the file */
uint32_t fa_trace_writer_block_size(const struct fa_trace_writer *w); /* that it took */
uint64_t fa_trace_writer_overwritten(const struct fa_trace_writer *w); /* of its blocks */
uint64_t fa_trace_writer_blocks(const struct fa_trace_writer *w); /* written to the file */
void fa_trace_writer_free(struct fa_trace_writer *w);             /* NULL is fine; writes nothing */

#endif
