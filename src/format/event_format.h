/*
 * event_format.h - event codec 1: the bytes of events in a buffer and in EVENTS and CALLS records.
 *
 * The shim encodes (once per heap call, so this is inline and without branches on values), the
 * collector skims, the reader decodes. State per run of events: last address, last stack, last
 * stamp; it starts at what the buffer or EVENTS header says, so that every buffer stands alone.
 *
 * Integers are little endian, of the stated length; stamps are unsigned deltas to the last stamp
 * (ticks of the trace's clock), stacks are zigzag deltas to the last stack id, addresses are
 * address deltas: with m = |a - last|, s = 1 when a < last:  (m >> 4) << 1 | s | (m & 15) << 59.
 *
 *   byte 0: bits 0-2 kind
 *   FREE    (1)  bits 4-6 address length - 1; bit 3: byte 1 follows, with bits 0-2 stamp length,
 *                bits 4-6 stack length (0, 1, 2, 3, 4). Then address, stack, stamp.
 *   ALLOC   (2)  bits 4-6 address length - 1; bit 3: function byte follows byte 1.
 *                byte 1: bits 0-1 size length (1, 2, 4, 8), bits 2-3 stack length (0, 1, 2, 4),
 *                bits 4-6 stamp length (0-7), bit 7: no stack was taken (the last stack id stays).
 *                [function byte: bits 0-2 enum fa_alloc_function, bits 3-7 log2 of the alignment]
 *                Then address, size, stack, stamp.
 *   REALLOC (3)  bits 4-6 old address length - 1; bit 3: there is no old block (realloc(NULL, n)),
 *                the field is left out. byte 1 as ALLOC. byte 2: bits 0-2 new address length - 1,
 *                bit 3: there is no new block (realloc(p, 0)), the field is left out; bit 4:
 *                reallocarray. Then old address, new address, size, stack, stamp.
 *   STAMP   (4)  bits 4-6 stamp length. Then stamp.
 *   CALL    (5)  a call that is none of the heap's; stands in CALLS records. bits 4-6 stamp length;
 *                bit 3: no stack was taken, its field is left out. byte 1: enum fa_call.
 *                byte 2: bits 0-3 length of the address (0-8), bits 4-7 of the size (0-8).
 *                byte 3: bits 0-3 length of the old address (0-8), bits 4-7 of the argument (0-4).
 *                Then stack (4 bytes), address, size, old address, argument: all as they are; stamp.
 *   0, 6, 7, and set bits that have no meaning above: malformed.
 *
 * A stack of FREE with stack length 0 and no byte 1 was not taken.
 */
#ifndef FA_EVENT_FORMAT_H
#define FA_EVENT_FORMAT_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum { FA_EVENT_CODEC = 1 };

enum fa_event_kind {
	FA_EV_FREE = 1,
	FA_EV_ALLOC = 2,
	FA_EV_REALLOC = 3,
	FA_EV_STAMP = 4,
	FA_EV_CALL = 5,
};

enum fa_alloc_function {
	FA_FN_MALLOC = 0,
	FA_FN_CALLOC = 1,
	FA_FN_MEMALIGN = 2,
	FA_FN_ALIGNED_ALLOC = 3,
	FA_FN_POSIX_MEMALIGN = 4,
	FA_FN_VALLOC = 5,
	FA_FN_PVALLOC = 6,
};

const char *fa_alloc_function_name(unsigned function); /* "malloc", ...; "?" */

/* X(name, number, text). What a CALL was; numbers are never reused. Which of its values mean what: */
#define FA_CALLS(X)                                                                                       \
	/* address, size; argument: fa_map_argument() */                                                  \
	X(MMAP, 1, "mmap")                                                                                \
	/* address, size: what is about to be unmapped */                                                 \
	X(MUNMAP, 2, "munmap")                                                                            \
	/* new address and size; old address; argument: the old size in pages */                          \
	X(MREMAP, 3, "mremap")                                                                            \
	/* the end of the data segment: new; old */                                                       \
	X(BRK, 4, "brk")                                                                                  \
	/* address, size; argument: fa_map_argument(), without flags */                                   \
	X(MPROTECT, 5, "mprotect")                                                                        \
	/* address of the lock, how long it was waited for (ticks); the owner's thread id, 0 unknown;   \
	 * argument: enum fa_lock_kind */ \
	X(LOCK, 6, "lock")                                                                                \
	/* a module is there: base, size; how many ticks before it was to be loaded, 0: not known;            \
	 * argument: its number in MODULE, enum fa_load_how */ \
	X(LOAD, 7, "load")                                                                                \
	/* it is no more: the same, but for the ticks */                                                  \
	X(UNLOAD, 8, "unload")

enum fa_call {
#define X(name, number, text) FA_CALL_##name = (number),
	FA_CALLS(X)
#undef X
};

enum fa_lock_kind {
	FA_LOCK_MUTEX = 0,
	FA_LOCK_READ = 1,
	FA_LOCK_WRITE = 2,
	FA_LOCK_KIND = 0xff,
	FA_LOCK_TIMED_OUT = 0x100, /* beside one of them: it was not had */
};

enum fa_load_how {
	FA_LOAD_MODULE = 0xffff,
	FA_LOAD_DLOPEN = 0, /* UNLOAD: dlclose */
	FA_LOAD_DLMOPEN = 1 << 16,
	FA_LOAD_FOUND = 2 << 16, /* by libc itself, or at a time that is not known: without a stack */
};

/* PROT_* in the low byte, the low 24 bits of MAP_* above. */
static FA_INLINE uint32_t fa_map_argument(uint32_t prot, uint32_t flags)
{
	return (prot & 0xff) | flags << 8;
}

/* No encoder below writes more than this; it may store up to 8 bytes beyond what it returns. */
enum { FA_EVENT_MAX = 4 + 4 + 8 + 8 + 8 + 4 + 7, FA_EVENT_SLACK = 8 };

struct fa_event_state {
	uint64_t addr;
	uint64_t stamp;
	uint32_t stack;
	uint32_t reserved;
};

/* A decoded event. */
struct fa_event {
	uint8_t kind;
	uint8_t fn; /* enum fa_alloc_function; REALLOC: 1 is reallocarray; CALL: enum fa_call */
	uint8_t align_log2; /* 0: none asked for */
	uint8_t stamped;    /* carries its own stamp */
	uint8_t has_stack;
	uint8_t reserved[3];
	uint32_t stack; /* node id, 0: none */
	uint32_t arg;   /* CALL */
	uint64_t addr;  /* block; REALLOC: the new block, 0: none */
	uint64_t old;   /* REALLOC: the old block, 0: none */
	uint64_t size;
	uint64_t stamp; /* own or the last one of this thread */
};

static FA_INLINE unsigned fa_ev_len(uint64_t v) /* bytes of v, at least 1 */
{
	return (71 - (unsigned)__builtin_clzll(v | 1)) >> 3;
}

static FA_INLINE void fa_ev_put(unsigned char *p, uint64_t v)
{
	__builtin_memcpy(p, &v, 8);
}

static FA_INLINE uint64_t fa_ev_addr(uint64_t addr, uint64_t last)
{
	uint64_t d = addr - last;
	uint64_t s = d >> 63;
	uint64_t m = s != 0 ? 0 - d : d;

	/* Blocks are aligned to 16; only free() is given anything. */
	if (FA_LIKELY((m & 15) == 0))
		return m >> 3 | s;
	return (m >> 4) << 1 | s | (m & 15) << 59;
}

static FA_INLINE uint64_t fa_ev_zigzag(uint32_t v, uint32_t last)
{
	uint32_t d = v - last;

	return (uint32_t)(d << 1) ^ (uint32_t)((int32_t)d >> 31);
}

/* The highest bit set, 0 for 0. */
static FA_INLINE unsigned fa_ev_top(uint64_t v)
{
	return 63 ^ (unsigned)__builtin_clzll(v | 1);
}

/*
 * Fields of byte 1 of ALLOC and REALLOC by the highest bit of a value: in the low byte what that byte
 * says of it, in the high byte how many bytes it takes. Sums of these are the byte, and the length of
 * all three. Sizes: 1, 2, 4, 8. Stacks, by the highest bit of 2 z + 1 (0: z is 0): 0, 1, 2, 4.
 */
#define FA_EV_X8(v)  (v), (v), (v), (v), (v), (v), (v), (v)
#define FA_EV_X16(v) FA_EV_X8(v), FA_EV_X8(v)
static const struct {
	uint16_t size[64];
	uint16_t stack[34];
	uint16_t stamp[56];
} fa_ev_fields = {
	.size = {FA_EV_X8(0 | 1 << 8), FA_EV_X8(1 | 2 << 8), FA_EV_X16(2 | 4 << 8),
		 FA_EV_X16(3 | 8 << 8), FA_EV_X16(3 | 8 << 8)},
	.stack = {0, FA_EV_X8(1 << 2 | 1 << 8), FA_EV_X8(2 << 2 | 2 << 8),
		  FA_EV_X16(3 << 2 | 4 << 8)},
	.stamp = {FA_EV_X8(1 << 4 | 1 << 8), FA_EV_X8(2 << 4 | 2 << 8), FA_EV_X8(3 << 4 | 3 << 8),
		  FA_EV_X8(4 << 4 | 4 << 8), FA_EV_X8(5 << 4 | 5 << 8), FA_EV_X8(6 << 4 | 6 << 8),
		  FA_EV_X8(7 << 4 | 7 << 8)},
};

/* Byte 0 with the length of an address field, by its highest bit. */
static FA_INLINE unsigned char fa_ev_first(unsigned kind, unsigned top)
{
	return (unsigned char)(kind | (top << 1 & 7 << 4));
}

static FA_INLINE unsigned fa_ev_stamp_len(uint64_t d) /* 0..7 */
{
	return d == 0 ? 0 : fa_ev_len(d);
}

static FA_INLINE uint64_t fa_ev_stamp_delta(uint64_t stamp, uint64_t last)
{
	uint64_t d = stamp - last;

	/* A clock that went back (it moved to another CPU) counts as no time. */
	return d >> 56 ? 0 : d;
}

/* stamp 0: not stamped. stack is used only with has_stack. Returns bytes written at p. */
static FA_INLINE unsigned fa_event_put_free(unsigned char *p, struct fa_event_state *st,
					    uint64_t addr, uint64_t stamp, int has_stack,
					    uint32_t stack)
{
	uint64_t a = fa_ev_addr(addr, st->addr);
	unsigned top = fa_ev_top(a), alen = (top >> 3) + 1, n;

	st->addr = addr;
	p[0] = fa_ev_first(FA_EV_FREE, top);
	if (FA_LIKELY(stamp == 0 && !has_stack)) {
		fa_ev_put(p + 1, a);
		return 1 + alen;
	}
	uint64_t d = stamp ? fa_ev_stamp_delta(stamp, st->stamp) : 0;
	unsigned dlen = stamp ? fa_ev_len(d) : 0;
	uint64_t z = has_stack ? fa_ev_zigzag(stack, st->stack) : 0;
	unsigned zlen = has_stack ? fa_ev_len(z) : 0;

	p[0] |= 1 << 3;
	p[1] = (unsigned char)(dlen | zlen << 4);
	n = 2;
	fa_ev_put(p + n, a);
	n += alen;
	fa_ev_put(p + n, z);
	n += zlen;
	fa_ev_put(p + n, d);
	n += dlen;
	st->stack = has_stack ? stack : st->stack;
	st->stamp += d;
	return n;
}

/* The tail that ALLOC and REALLOC share: size, stack, stamp; fills byte 1. */
static FA_INLINE unsigned fa_event_put_tail(unsigned char *byte1, unsigned char *p,
					    struct fa_event_state *st, uint64_t size,
					    uint64_t stamp, int has_stack, uint32_t stack)
{
	unsigned fields = fa_ev_fields.size[fa_ev_top(size)];

	fa_ev_put(p, size);
	if (FA_LIKELY(has_stack)) {
		/* The same as before, by whom that is foreseen. */
		if (stack != st->stack) {
			uint64_t z = fa_ev_zigzag(stack, st->stack);

			fa_ev_put(p + (fields >> 8), z);
			fields += fa_ev_fields.stack[fa_ev_top(z) + 1];
			st->stack = stack;
		}
	} else {
		fields |= 0x80;
	}
	if (FA_LIKELY(stamp != 0)) {
		uint64_t d = fa_ev_stamp_delta(stamp, st->stamp);

		/* A stamped event says so by a length of at least 1. */
		fa_ev_put(p + (fields >> 8), d);
		fields += fa_ev_fields.stamp[fa_ev_top(d)];
		st->stamp += d;
	}
	*byte1 = (unsigned char)fields;
	return fields >> 8;
}

static FA_INLINE unsigned fa_event_put_alloc(unsigned char *p, struct fa_event_state *st,
					     uint64_t addr, uint64_t size, uint64_t stamp,
					     int has_stack, uint32_t stack)
{
	uint64_t a = fa_ev_addr(addr, st->addr);
	unsigned top = fa_ev_top(a), alen = (top >> 3) + 1;

	st->addr = addr;
	p[0] = fa_ev_first(FA_EV_ALLOC, top);
	fa_ev_put(p + 2, a);
	return 2 + alen + fa_event_put_tail(p + 1, p + 2 + alen, st, size, stamp, has_stack, stack);
}

/* ALLOC by another function than malloc. */
static FA_INLINE unsigned fa_event_put_alloc_fn(unsigned char *p, struct fa_event_state *st,
						uint64_t addr, uint64_t size, uint64_t stamp,
						int has_stack, uint32_t stack, unsigned fn,
						unsigned align_log2)
{
	uint64_t a = fa_ev_addr(addr, st->addr);
	unsigned alen = fa_ev_len(a);

	st->addr = addr;
	p[0] = (unsigned char)(FA_EV_ALLOC | 1 << 3 | (alen - 1) << 4);
	p[2] = (unsigned char)(fn | (align_log2 > 31 ? 31 : align_log2) << 3);
	fa_ev_put(p + 3, a);
	return 3 + alen + fa_event_put_tail(p + 1, p + 3 + alen, st, size, stamp, has_stack, stack);
}

/* old or addr 0: none. The last address is then the new one, or the old one when there is no new. */
static FA_INLINE unsigned fa_event_put_realloc(unsigned char *p, struct fa_event_state *st,
					       uint64_t old, uint64_t addr, uint64_t size,
					       uint64_t stamp, int has_stack, uint32_t stack,
					       int is_array)
{
	unsigned n = 3, olen = 1, alen = 1;

	if (old != 0) {
		uint64_t o = fa_ev_addr(old, st->addr);

		olen = fa_ev_len(o);
		fa_ev_put(p + n, o);
		n += olen;
		st->addr = old;
	}
	if (addr != 0) {
		uint64_t a = fa_ev_addr(addr, st->addr);

		alen = fa_ev_len(a);
		fa_ev_put(p + n, a);
		n += alen;
		st->addr = addr;
	}
	p[0] = (unsigned char)(FA_EV_REALLOC | (old == 0 ? 1 << 3 : 0) | (olen - 1) << 4);
	p[2] = (unsigned char)((alen - 1) | (addr == 0 ? 1 << 3 : 0) | (is_array ? 1 << 4 : 0));
	return n + fa_event_put_tail(p + 1, p + n, st, size, stamp, has_stack, stack);
}

static FA_INLINE unsigned fa_event_put_stamp(unsigned char *p, struct fa_event_state *st,
					     uint64_t stamp)
{
	uint64_t d = fa_ev_stamp_delta(stamp, st->stamp);
	unsigned dlen = fa_ev_stamp_len(d);

	p[0] = (unsigned char)(FA_EV_STAMP | dlen << 4);
	fa_ev_put(p + 1, d);
	st->stamp += d;
	return 1 + dlen;
}

/* The bytes of v, none for 0. */
static FA_INLINE unsigned fa_ev_len0(uint64_t v)
{
	return v == 0 ? 0 : fa_ev_len(v);
}

/* Of *e: fn, addr, size, old, arg, has_stack, stack. The last address and stack stay as they are, so that who leaves
 * CALLs out can still read the rest. */
static inline unsigned fa_event_put_call(unsigned char *p, struct fa_event_state *st,
					 const struct fa_event *e, uint64_t stamp)
{
	uint64_t d = stamp != 0 ? fa_ev_stamp_delta(stamp, st->stamp) : 0;
	unsigned dlen = stamp != 0 ? fa_ev_len(d) : 0, n = 4;
	unsigned alen = fa_ev_len0(e->addr), slen = fa_ev_len0(e->size);
	unsigned olen = fa_ev_len0(e->old), glen = fa_ev_len0(e->arg);

	p[0] = (unsigned char)(FA_EV_CALL | (e->has_stack ? 0 : 1 << 3) | dlen << 4);
	p[1] = e->fn;
	p[2] = (unsigned char)(alen | slen << 4);
	p[3] = (unsigned char)(olen | glen << 4);
	fa_ev_put(p + n, e->stack);
	n += e->has_stack ? 4 : 0;
	fa_ev_put(p + n, e->addr);
	n += alen;
	fa_ev_put(p + n, e->size);
	n += slen;
	fa_ev_put(p + n, e->old);
	n += olen;
	fa_ev_put(p + n, e->arg);
	n += glen;
	fa_ev_put(p + n, d);
	st->stamp += d;
	return n + dlen;
}

/*
 * Decode the event at p, of `left` readable bytes. Trusts nothing; touches *st only on success.
 * Returns the bytes used, or -EBADMSG (malformed or cut).
 */
int fa_event_get(const unsigned char *p, size_t left, struct fa_event_state *st,
		 struct fa_event *ret) FA_MUST_USE;

/* Is it known when it happened? A free without a stamp happened somewhere between its neighbours; what
 * else has none (Stamp=none) has its place right behind what its thread did before. */
static FA_INLINE int fa_event_has_place(const struct fa_event *e)
{
	return e->stamped || e->kind != FA_EV_FREE;
}

/* Events in a row, and where in the bytes each begins. */
enum { FA_EVENT_ROW = 128 };
struct fa_event_row {
	struct fa_event event[FA_EVENT_ROW];
	uint32_t at[FA_EVENT_ROW];
};

/*
 * Decode the events at p, one behind the other: until the row is full, the bytes end, one is malformed,
 * or one has a place at `limit` or later; that one still is in the row. *st is the state behind the last
 * one, *ret_used the bytes. Returns how many; 0 with bytes left: the first one is malformed or cut.
 */
unsigned fa_event_get_row(const unsigned char *p, size_t len, uint64_t limit,
			  struct fa_event_state *st, struct fa_event_row *ret, size_t *ret_used);

/*
 * Over all events in p[0, len), by their lengths alone: what fa_event_get() would refuse is refused,
 * the values are not looked at; CALLs are refused. Returns the bytes of whole events; *ret_heap: those that are no STAMP.
 */
size_t fa_event_skim(const unsigned char *p, size_t len, uint32_t *ret_events, uint32_t *ret_heap);

/* Is this the first byte of a CALL? */
static FA_INLINE int fa_event_is_call(unsigned char first)
{
	return (first & 7) == FA_EV_CALL;
}

const char *fa_call_name(unsigned call); /* "mmap", ...; "?" */

#endif
