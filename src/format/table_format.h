/*
 * table_format.h - the table of live blocks in an arena (TracingFlags 0x10), written by the process that
 * made the arena, read by whoever takes a snapshot. The reader stops nobody and writes nothing.
 *
 * A table is a list of levels. A level is a power of two of buffers of the arena, side by side in one
 * segment, in state FA_BUFFER_TABLE; levels are only ever added, so no entry ever moves. A buffer is:
 *
 *   OFFSET SIZE
 *      0    64   head: struct fa_arena_buffer, of which only `state` means something
 *     64   256   reach: by home line, how many lines from it on must be searched; 0: none. Grows only
 *    320 16064   251 lines of 4 slots of 16 bytes
 *
 * Address to slot: mixed = (address >> 3) * FA_TABLE_MIX modulo 2^44. The buffer is its upper bits, so
 * that an entry need only hold the lower 40; the home line is a hash of the middle ones. The entry lies in its
 * home line or in one of the 31 behind it, in the same buffer.
 *
 *   key    bits 0-39 mixed, 40-61 stack (node id), 62-63 usable size: see fa_table_usable(), never 0
 *   block  bits 0-28 size: below 2^28 as it is, else bit 28 and pages, rounded up; bits 29-41 thread serial
 *          + 1 (FA_TABLE_OTHER: a later thread, FA_TABLE_MOVING: realloc is at it); bits 42-45, 46-62 time since
 *          `begin_stamp` in units of 2^21 stamps: a number of 17 bits, shifted left by that of 4 bits;
 *          bit 63 with usable 3: it is not known
 *
 * Both words are 0 in a free slot. Who was given a block by malloc takes a slot by a compare-and-swap of `key`,
 * then stores `block`; who frees it stores block = 0, then key = 0. Two threads never have the same live address,
 * so a slot that is taken has one writer. A reader that finds the same key before and after a `block` that is
 * not 0 has seen a block that was live at that moment. So a look over the whole table finds each block that
 * lived from its beginning to its end; a block that was freed meanwhile, whose address was given out again, may
 * be met twice: the reader keeps one of an address, and not the one with FA_TABLE_MOVING.
 */
#ifndef FA_TABLE_FORMAT_H
#define FA_TABLE_FORMAT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/arena_format.h"

enum {
	FA_TABLE_LEAST_LOG2 = 4, /* 16 buffers: the bits of an address that an entry does not hold */
	FA_TABLE_LINES = 251,
	FA_TABLE_SLOTS = 4,
	FA_TABLE_REACH = 32, /* lines */
	FA_TABLE_THREAD_BITS = 13,
	FA_TABLE_OTHER = (1 << FA_TABLE_THREAD_BITS) - 1,
	FA_TABLE_MOVING = FA_TABLE_OTHER - 1,
	FA_TABLE_UNIT = 21, /* of time: 2^21 stamps */
};

#define FA_TABLE_MIX      0x9fb21c651e98df25ULL
#define FA_TABLE_BITS     44
#define FA_TABLE_KEY_MASK 0xffffffffffULL
#define FA_TABLE_ADDRESS  (1ULL << (FA_TABLE_BITS + 3)) /* blocks lie below */

struct fa_table_slot {
	uint64_t key;
	uint64_t block;
};

struct fa_table_buffer {
	struct fa_arena_buffer head;
	uint8_t reach[256];
	struct fa_table_slot line[FA_TABLE_LINES][FA_TABLE_SLOTS];
};
static_assert(sizeof(struct fa_table_buffer) == FA_BUFFER_SIZE, "a part of a table is a buffer");

/* How the usable size follows from the size: as glibc's malloc makes it, or not. */
enum fa_table_usable { FA_USABLE_HEAP = 1, FA_USABLE_HEAP16 = 2, FA_USABLE_PAGES = 3 };
#define FA_USABLE_UNKNOWN (1ULL << 63) /* in `block`, with FA_USABLE_PAGES */

static FA_INLINE uint64_t fa_table_mixed(uint64_t address)
{
	return (address >> 3) * FA_TABLE_MIX & ((1ULL << FA_TABLE_BITS) - 1);
}

/* log2: of the level's buffers. */
static FA_INLINE uint32_t fa_table_place(uint64_t mixed, uint32_t log2)
{
	return (uint32_t)(mixed >> (FA_TABLE_BITS - log2));
}

/* Other lines in each level, so that those who found no room in one are not crowded in the next. */
static FA_INLINE uint32_t fa_table_home(uint64_t mixed, uint32_t level)
{
	uint32_t h = (uint32_t)(mixed >> 8) * (0x9e3779b1u + level * 0x6a09e666u);

	return (h >> 24) * FA_TABLE_LINES >> 8;
}

static FA_INLINE uint64_t fa_table_usable_size(uint64_t size, unsigned kind)
{
	uint64_t chunk = (size + 8 + 15) & ~15ULL;

	if (kind == FA_USABLE_PAGES)
		return ((size + 16 + FA_ARENA_PAGE - 1) & ~(uint64_t)(FA_ARENA_PAGE - 1)) - 16;
	return (chunk < 32 ? 32 : chunk) - 8 + (kind == FA_USABLE_HEAP16 ? 16 : 0);
}

/* The kind, and FA_USABLE_UNKNOWN where none fits. usable: 0 is not known. */
static FA_INLINE unsigned fa_table_usable_kind(uint64_t size, uint64_t usable, uint64_t *ret_unknown)
{
	*ret_unknown = 0;
	for (unsigned kind = FA_USABLE_HEAP; kind <= FA_USABLE_PAGES; kind++)
		if (fa_table_usable_size(size, kind) == usable)
			return kind;
	*ret_unknown = FA_USABLE_UNKNOWN;
	return FA_USABLE_PAGES;
}

#define FA_TABLE_EXACT (1ULL << 28) /* sizes below are held as they are */

static FA_INLINE uint64_t fa_table_pack_size(uint64_t size)
{
	uint64_t pages = (size >> 12) + ((size & 4095) != 0);

	if (FA_LIKELY(size < FA_TABLE_EXACT))
		return size;
	return FA_TABLE_EXACT | (pages < FA_TABLE_EXACT ? pages : FA_TABLE_EXACT - 1);
}

static FA_INLINE uint64_t fa_table_size(uint64_t block)
{
	uint64_t v = block & (FA_TABLE_EXACT - 1);

	return (block & FA_TABLE_EXACT) != 0 ? v << 12 : v;
}

static FA_INLINE uint64_t fa_table_pack_time(uint64_t stamps)
{
	uint64_t t = stamps >> FA_TABLE_UNIT;
	unsigned shift = t < 1 << 17 ? 0 : 47 - (unsigned)__builtin_clzll(t);

	if (FA_UNLIKELY(shift > 15))
		return 15 | 0x1ffffULL << 4;
	return shift | t >> shift << 4;
}

/* Stamps since begin_stamp, to 1 part in 65536. */
static FA_INLINE uint64_t fa_table_time(uint64_t block)
{
	return (block >> 46 & 0x1ffff) << (block >> 42 & 15) << FA_TABLE_UNIT;
}

static FA_INLINE uint32_t fa_table_thread(uint64_t block)
{
	return (uint32_t)(block >> 29) & FA_TABLE_OTHER;
}

static FA_INLINE uint64_t fa_table_moving(uint64_t block)
{
	return (block & ~((uint64_t)FA_TABLE_OTHER << 29)) | (uint64_t)FA_TABLE_MOVING << 29;
}

#endif
