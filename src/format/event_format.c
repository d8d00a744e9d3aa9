/*
 * event_format.c - decode heap events: the inverse of the inline encoders in event_format.h.
 *
 * Runs once for every event in the collector (over memory that the traced process can still write)
 * and once more in each replay, so it is written for speed: eight bytes are loaded at the place of
 * each field and cut to the field's length. That reads up to FA_EVENT_SLACK bytes behind the event;
 * where fewer are readable the event is first copied into a padded buffer, and its length is
 * compared with what was there. Lengths need not be the shortest possible; bits that the format
 * gives no meaning are refused, so that a later codec can use them.
 *
 * Addresses: the encoder's delta holds distances below 2^62, which is more than x86-64 has; bit 63
 * of a delta is never set.
 */
#include "format/event_format.h"

#include <stdbool.h>
#include <string.h>

enum { WINDOW = FA_EVENT_MAX + FA_EVENT_SLACK };

static FA_INLINE uint64_t load(const unsigned char *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, 8);
	return v;
}

/* The first len bytes, 1..8. */
static FA_INLINE uint64_t take(const unsigned char *p, unsigned len)
{
	unsigned unused = 64 - 8 * len;

	return load(p) << unused >> unused;
}

/* The first len bytes, 0..7. */
static FA_INLINE uint64_t take_or_none(const unsigned char *p, unsigned len)
{
	return load(p) & ((1ULL << 8 * len) - 1);
}

/* The address that a delta stands for; *malformed becomes non-zero when it is none. */
static FA_INLINE uint64_t address(uint64_t delta, uint64_t last, uint64_t *malformed)
{
	uint64_t m = (delta >> 1 & ((1ULL << 58) - 1)) << 4 | (delta >> 59 & 15);
	uint64_t negative = 0 - (delta & 1);

	*malformed |= delta >> 63;
	return last + ((m ^ negative) - negative);
}

static FA_INLINE uint32_t unzigzag(uint64_t z, uint32_t last)
{
	uint32_t v = (uint32_t)z;

	return last + ((v >> 1) ^ (0 - (v & 1)));
}

static FA_INLINE int get_free(const unsigned char *p, struct fa_event_state *st,
			      struct fa_event *ret)
{
	unsigned b0 = p[0], alen = (b0 >> 4 & 7) + 1, dlen = 0, zlen = 0, n = 1;
	uint64_t malformed = b0 & 0x80;

	if (FA_UNLIKELY(b0 & 8)) {
		dlen = p[1] & 7;
		zlen = p[1] >> 4 & 7;
		malformed |= (p[1] & 0x88) | (zlen > 4);
		n = 2;
	}
	uint64_t addr = address(take(p + n, alen), st->addr, &malformed);

	if (FA_UNLIKELY(malformed))
		return -EBADMSG;
	n += alen;
	*ret = (struct fa_event){.kind = FA_EV_FREE, .addr = addr};
	if (FA_UNLIKELY(zlen != 0)) {
		st->stack = unzigzag(take(p + n, zlen), st->stack);
		ret->has_stack = 1;
		ret->stack = st->stack;
		n += zlen;
	}
	if (FA_UNLIKELY(dlen != 0)) {
		st->stamp += take_or_none(p + n, dlen);
		ret->stamped = 1;
		n += dlen;
	}
	ret->stamp = st->stamp;
	st->addr = addr;
	return (int)n;
}

/* Size, stack and stamp at p, as byte1 says. Returns their length; fills those members of *ret. */
static FA_INLINE unsigned get_tail(unsigned byte1, const unsigned char *p,
				   struct fa_event_state *st, struct fa_event *ret)
{
	unsigned slen = 1u << (byte1 & 3), zlen = (1u << (byte1 >> 2 & 3)) >> 1;
	unsigned dlen = byte1 >> 4 & 7;
	uint32_t has_stack = 1 - (byte1 >> 7);

	st->stack = unzigzag(take_or_none(p + slen, zlen), st->stack);
	st->stamp += take_or_none(p + slen + zlen, dlen);
	ret->size = take(p, slen);
	ret->has_stack = (uint8_t)has_stack;
	ret->stack = st->stack & (0 - has_stack);
	ret->stamped = dlen != 0;
	ret->stamp = st->stamp;
	return slen + zlen + dlen;
}

/* Byte 1 of an event without a stack has no stack field either. */
static FA_INLINE unsigned tail_malformed(unsigned byte1)
{
	return byte1 >= 0x80 && (byte1 & 0xc);
}

static FA_INLINE int get_alloc(const unsigned char *p, struct fa_event_state *st,
			       struct fa_event *ret)
{
	unsigned b0 = p[0], alen = (b0 >> 4 & 7) + 1, fn = 0, n = 2;
	uint64_t malformed = (b0 & 0x80) | tail_malformed(p[1]);

	if (FA_UNLIKELY(b0 & 8)) {
		fn = p[2];
		malformed |= (fn & 7) > FA_FN_PVALLOC;
		n = 3;
	}
	uint64_t addr = address(take(p + n, alen), st->addr, &malformed);

	if (FA_UNLIKELY(malformed))
		return -EBADMSG;
	*ret = (struct fa_event){
		.kind = FA_EV_ALLOC,
		.fn = fn & 7,
		.align_log2 = (uint8_t)(fn >> 3),
		.addr = addr,
	};
	st->addr = addr;
	return (int)(n + alen + get_tail(p[1], p + n + alen, st, ret));
}

/* Not inlined: rare, and the two above are then decoded in fewer instructions. */
static FA_NOINLINE int get_realloc(const unsigned char *p, struct fa_event_state *st,
				   struct fa_event *ret)
{
	unsigned b0 = p[0], b2 = p[2], olen = (b0 >> 4 & 7) + 1, alen = (b2 & 7) + 1, n = 3;
	bool no_old = b0 & 8, no_new = b2 & 8;
	uint64_t malformed = (b0 & 0x80) | (b2 & 0xe0) | tail_malformed(p[1]);
	uint64_t last = st->addr, old = 0, addr = 0;

	malformed |= (no_old && olen != 1) || (no_new && alen != 1);
	if (!no_old) {
		last = old = address(take(p + n, olen), last, &malformed);
		n += olen;
	}
	if (!no_new) {
		last = addr = address(take(p + n, alen), last, &malformed);
		n += alen;
	}
	if (malformed)
		return -EBADMSG;
	*ret = (struct fa_event){
		.kind = FA_EV_REALLOC,
		.fn = b2 >> 4 & 1,
		.addr = addr,
		.old = old,
	};
	st->addr = last;
	return (int)(n + get_tail(p[1], p + n, st, ret));
}

static FA_NOINLINE int get_stamp(const unsigned char *p, struct fa_event_state *st,
				 struct fa_event *ret)
{
	unsigned dlen = p[0] >> 4 & 7;

	if (p[0] & 0x88)
		return -EBADMSG;
	st->stamp += take_or_none(p + 1, dlen);
	*ret = (struct fa_event){.kind = FA_EV_STAMP, .stamped = 1, .stamp = st->stamp};
	return (int)(1 + dlen);
}

/* The event at p, of which at least WINDOW bytes are readable. */
static FA_INLINE int get(const unsigned char *p, struct fa_event_state *st, struct fa_event *ret)
{
	switch (p[0] & 7) {
	case FA_EV_FREE:
		return get_free(p, st, ret);
	case FA_EV_ALLOC:
		return get_alloc(p, st, ret);
	case FA_EV_REALLOC:
		return get_realloc(p, st, ret);
	case FA_EV_STAMP:
		return get_stamp(p, st, ret);
	default:
		return -EBADMSG;
	}
}

/* The last events of a buffer: what lies behind `left` must not be read. */
static FA_NOINLINE int get_near_end(const unsigned char *p, size_t left, struct fa_event_state *st,
				    struct fa_event *ret)
{
	unsigned char window[WINDOW] = {0};
	struct fa_event_state state = *st;
	struct fa_event event;
	int n;

	memcpy(window, p, left);
	n = get(window, &state, &event);
	if (n < 0 || (size_t)n > left)
		return -EBADMSG;
	*st = state;
	*ret = event;
	return n;
}

int fa_event_get(const unsigned char *p, size_t left, struct fa_event_state *st,
		 struct fa_event *ret)
{
	if (FA_UNLIKELY(left < WINDOW))
		return get_near_end(p, left, st, ret);
	return get(p, st, ret);
}
