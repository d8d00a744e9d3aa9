/*
 * ring.c - see ring.h. Nothing says which chunk is the newest but the sequence of the blocks: what was
 * written last has the highest. So there is nothing that a crash could leave untrue.
 */
#include "trace/ring.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "format/hash.h"

enum { CHUNK_MAX_LOG2 = 48 };

static uint64_t checksum(const struct fa_trace_ring *ring, const struct fa_trace_header *header)
{
	return fa_hash64(ring, offsetof(struct fa_trace_ring, checksum), header->checksum);
}

void ring_fill(struct fa_trace_ring *ring, const struct fa_trace_header *header,
	       uint64_t chunk_size)
{
	*ring = (struct fa_trace_ring){.chunk_size = chunk_size, .chunks = FA_RING_CHUNKS};
	ring->checksum = checksum(ring, header);
}

uint64_t ring_chunk_at(const struct ring_view *v, uint32_t chunk)
{
	return v->begin + chunk * v->chunk_size;
}

bool ring_block_at(int fd, const struct ring_view *v, uint32_t chunk, uint64_t at,
		   uint64_t sequence, struct fa_block_header *ret)
{
	uint64_t end = ring_chunk_at(v, chunk) + v->chunk_size;

	return at + sizeof(*ret) <= end &&
	       pread(fd, ret, sizeof(*ret), (off_t)at) == (ssize_t)sizeof(*ret) &&
	       ret->magic == FA_BLOCK_MAGIC_WORD &&
	       (sequence == UINT64_MAX || ret->sequence == sequence) &&
	       ret->stored_size <= FA_BLOCK_MAX && at + sizeof(*ret) + ret->stored_size <= end;
}

uint64_t ring_chunk_end(int fd, const struct ring_view *v, uint32_t chunk, uint64_t until,
			uint64_t *ret_sequence)
{
	uint64_t at = ring_chunk_at(v, chunk), sequence = v->first[chunk];
	struct fa_block_header h;

	while (sequence < until && ring_block_at(fd, v, chunk, at, sequence, &h)) {
		at += sizeof(h) + h.stored_size;
		sequence++;
	}
	*ret_sequence = sequence;
	return at;
}

static int read_geometry(int fd, const struct fa_trace_header *header, struct ring_view *v)
{
	struct fa_trace_ring ring;
	ssize_t n = pread(fd, &ring, sizeof(ring), sizeof(*header));

	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(ring) || header->header_size < sizeof(*header) + sizeof(ring) ||
	    ring.checksum != checksum(&ring, header) || ring.chunks < 2 ||
	    ring.chunks > FA_RING_CHUNKS_MAX || ring.chunk_size < FA_RING_CHUNK_MIN ||
	    ring.chunk_size >> CHUNK_MAX_LOG2 != 0)
		return -EBADMSG;
	v->begin = header->header_size;
	v->chunk_size = ring.chunk_size;
	v->chunks = ring.chunks;
	return 0;
}

/* From the newest backwards, as long as each runs on into the one behind it. */
static void find_order(int fd, struct ring_view *v, uint32_t newest)
{
	uint32_t oldest = newest, before;
	uint64_t sequence;

	v->count = 1;
	while (v->count < v->chunks) {
		before = (oldest + v->chunks - 1) % v->chunks;
		if (v->first[before] >= v->first[oldest])
			break;
		(void)ring_chunk_end(fd, v, before, UINT64_MAX, &sequence);
		if (sequence != v->first[oldest])
			break;
		oldest = before;
		v->count++;
	}
	for (uint32_t i = 0; i < v->count; i++)
		v->order[i] = (oldest + i) % v->chunks;
}

int ring_view_read(int fd, const struct fa_trace_header *header, struct ring_view *ret)
{
	uint32_t newest = 0;
	int e;

	memset(ret, 0, sizeof(*ret));
	e = read_geometry(fd, header, ret);
	if (e < 0)
		return e;
	for (uint32_t i = 0; i < ret->chunks; i++) {
		struct fa_block_header h;

		ret->first[i] = UINT64_MAX;
		if (ring_block_at(fd, ret, i, ring_chunk_at(ret, i), UINT64_MAX, &h))
			ret->first[i] = h.sequence;
		if (ret->first[newest] == UINT64_MAX ||
		    (ret->first[i] != UINT64_MAX && ret->first[i] > ret->first[newest]))
			newest = i;
	}
	if (ret->first[newest] != UINT64_MAX)
		find_order(fd, ret, newest);
	return 0;
}
