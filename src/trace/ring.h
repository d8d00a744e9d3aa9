/* ring.h - where the chunks of a circular trace are, and in which order they are read. Inside src/trace. */
#ifndef FA_TRACE_RING_H
#define FA_TRACE_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/trace_format.h"

struct ring_view {
	uint64_t begin, chunk_size;
	uint32_t chunks; /* 0: the trace is not circular */
	uint64_t first[FA_RING_CHUNKS_MAX]; /* sequence of its first block, UINT64_MAX: it has none */
	uint32_t order[FA_RING_CHUNKS_MAX]; /* from the oldest that is whole to the newest */
	uint32_t count;
};

void ring_fill(struct fa_trace_ring *ring, const struct fa_trace_header *header,
	       uint64_t chunk_size);
/* 0, -EBADMSG: no sound geometry; -errno of read. */
int ring_view_read(int fd, const struct fa_trace_header *header, struct ring_view *ret) FA_MUST_USE;
uint64_t ring_chunk_at(const struct ring_view *v, uint32_t chunk);
/* The header of the block `sequence`, when it stands at `at` in this chunk. */
bool ring_block_at(int fd, const struct ring_view *v, uint32_t chunk, uint64_t at,
		   uint64_t sequence, struct fa_block_header *ret);
/* How far the blocks of a chunk run on, but at most up to block `until`: behind the last of them, and the
 * sequence that comes next. */
uint64_t ring_chunk_end(int fd, const struct ring_view *v, uint32_t chunk, uint64_t until,
			uint64_t *ret_sequence);

#endif
