/*
 * reader.h - the one reader of trace files. Trusts no byte of the file. One thread per reader.
 */
#ifndef FA_TRACE_READER_H
#define FA_TRACE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/trace_format.h"

struct fa_trace_reader;

struct fa_trace_record {
	unsigned tag;
	const void
		*head; /* fixed part: at least as long as this build's struct (short ones are padded
			     with zeros), aligned to 8; valid until the next call */
	const unsigned char *tail; /* the rest */
	size_t tail_len;
	uint64_t block_offset; /* in the file, of the block it came from */
};

/* What could not be read. */
struct fa_trace_damage {
	bool damaged;             /* bytes are wrong */
	bool cut;                 /* the file ends inside a block, or without a proper END */
	uint64_t offset;          /* of the first byte that could not be used */
	uint64_t bytes;           /* from there to the end of the file */
	uint64_t unknown_records; /* skipped: written by a newer version */
	const char *what;         /* "block checksum", ...: a static string */
};

/* Returns 0, -errno of open/read, -EBADMSG no trace, -EPROTONOSUPPORT written by a newer version. */
int fa_trace_reader_open(const char *path, struct fa_trace_reader **ret) FA_MUST_USE;
int fa_trace_reader_open_fd(int fd,
			    struct fa_trace_reader **ret) FA_MUST_USE; /* fd is taken over */

/* Of a circular trace read the newest chunk alone. Before the first record is read. */
void fa_trace_reader_newest_only(struct fa_trace_reader *r);

/* 1: *ret is the next record; 0: the end, or the first damage (ask fa_trace_reader_damage). */
int fa_trace_reader_next(struct fa_trace_reader *r, struct fa_trace_record *ret) FA_MUST_USE;

/*
 * The next block as it is stored, valid until the next call; not together with fa_trace_reader_next().
 * 1; 0: the end, or the first damage.
 */
int fa_trace_reader_next_stored(struct fa_trace_reader *r, struct fa_block_header *ret,
				const unsigned char **ret_stored) FA_MUST_USE;

const struct fa_trace_header *fa_trace_reader_header(const struct fa_trace_reader *r);
struct fa_trace_damage fa_trace_reader_damage(const struct fa_trace_reader *r);
uint64_t fa_trace_reader_position(const struct fa_trace_reader *r); /* bytes of the file consumed */
uint64_t fa_trace_reader_size(const struct fa_trace_reader *r);     /* bytes of the file */
void fa_trace_reader_free(struct fa_trace_reader *r);

/* The next NUL terminated string of a record's tail; "" when there is none left. */
const char *fa_trace_string(const unsigned char **tail, size_t *tail_len);

#endif
