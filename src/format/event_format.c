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

#include <assert.h>
#include <stdbool.h>
#include <string.h>

const char *fa_alloc_function_name(unsigned function)
{
	static const char *const names[] = {"malloc",         "calloc", "memalign", "aligned_alloc",
					    "posix_memalign", "valloc", "pvalloc"};

	return function < sizeof(names) / sizeof(names[0]) ? names[function] : "?";
}

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

/*
 * What byte 1 of ALLOC and REALLOC says: bits 0-3 size length, 4-7 stack length, 8-11 stamp length,
 * 12-15 has a stack, 16-19 malformed, 24-31 sum of the lengths. An event without a stack has no stack
 * field either.
 */
#define SIZE_LENGTH(b)  (1u << ((b)&3))
#define STACK_LENGTH(b) ((1u << ((b) >> 2 & 3)) >> 1)
#define STAMP_LENGTH(b) ((unsigned)(b) >> 4 & 7)
#define HAS_STACK(b)    ((b) < 0x80)
#define MALFORMED(b)    ((b) >= 0x80 && STACK_LENGTH(b) != 0)
#define TAIL(b)                                                                                    \
	(SIZE_LENGTH(b) | STACK_LENGTH(b) << 4 | STAMP_LENGTH(b) << 8 | HAS_STACK(b) << 12 |       \
	 MALFORMED(b) << 16 | (SIZE_LENGTH(b) + STACK_LENGTH(b) + STAMP_LENGTH(b)) << 24)
#define TAIL_4(b)  TAIL(b), TAIL((b) + 1), TAIL((b) + 2), TAIL((b) + 3)
#define TAIL_16(b) TAIL_4(b), TAIL_4((b) + 4), TAIL_4((b) + 8), TAIL_4((b) + 12)
#define TAIL_64(b) TAIL_16(b), TAIL_16((b) + 16), TAIL_16((b) + 32), TAIL_16((b) + 48)
static const uint32_t tails[256] = {TAIL_64(0), TAIL_64(64), TAIL_64(128), TAIL_64(192)};
#define TAIL_HAS_STACK(tail) ((tail) >> 12 & 1)
#define TAIL_MALFORMED(tail) ((tail)&1u << 16)
#define TAIL_SUM(tail)       ((tail) >> 24)

/*
 * What byte 0 of the common events says: bits 0-7 length of the control bytes, 8-15 of the address,
 * 16-23 their sum, bit 24: it is an ALLOC. 0: not one of them.
 */
#define FIRST_SUM(control, alen) ((control) | (alen) << 8 | ((control) + (alen)) << 16)
#define FIRST_16(alen)                                                                             \
	0, FIRST_SUM(1u, alen), FIRST_SUM(2u, alen) | 1 << 24, 0, 0, 0, 0, 0, 0, 0,                \
		FIRST_SUM(3u, alen) | 1 << 24, 0, 0, 0, 0, 0
static const uint32_t firsts[256] = {
	FIRST_16(1u), FIRST_16(2u), FIRST_16(3u), FIRST_16(4u),
	FIRST_16(5u), FIRST_16(6u), FIRST_16(7u), FIRST_16(8u),
};

/* The first n bytes, 0..8, are those of a field. */
static const uint64_t masks[9] = {
	0,
	0xff,
	0xffff,
	0xffffff,
	0xffffffff,
	0xffffffffff,
	0xffffffffffff,
	0xffffffffffffff,
	0xffffffffffffffff,
};

/* Size, stack and stamp at p, as `tail` says; fills those members of *ret, and the first eight bytes
 * with the rest of them. */
static FA_INLINE void get_tail(uint32_t tail, uint64_t kind_fn_align, const unsigned char *p,
			       struct fa_event_state *st, struct fa_event *ret)
{
	unsigned slen = tail & 15, zlen = tail >> 4 & 15, dlen = tail >> 8 & 15;
	uint32_t has_stack = TAIL_HAS_STACK(tail);
	uint64_t head = kind_fn_align | (uint64_t)(dlen != 0) << 24 | (uint64_t)has_stack << 32;

	ret->size = load(p) & masks[slen];
	st->stack = unzigzag(load(p + slen) & masks[zlen], st->stack);
	st->stamp += load(p + slen + zlen) & masks[dlen];
	/* kind, fn, align_log2, stamped, has_stack, reserved: one store instead of eight */
	__builtin_memcpy(ret, &head, sizeof(head));
	ret->stack = st->stack & (0 - has_stack);
	ret->stamp = st->stamp;
}
static_assert(offsetof(struct fa_event, kind) == 0 && offsetof(struct fa_event, fn) == 1 &&
		      offsetof(struct fa_event, align_log2) == 2 &&
		      offsetof(struct fa_event, stamped) == 3 &&
		      offsetof(struct fa_event, has_stack) == 4 &&
		      offsetof(struct fa_event, stack) == 8,
	      "get_tail() writes the first eight bytes at once");

static FA_NOINLINE int get_realloc(const unsigned char *p, struct fa_event_state *st,
				   struct fa_event *ret)
{
	unsigned b0 = p[0], b2 = p[2], n = 3;
	uint32_t tail = tails[p[1]];
	unsigned olen = (b0 >> 4 & 7) + 1, alen = (b2 & 7) + 1;
	bool no_old = b0 & 8, no_new = b2 & 8;
	uint64_t malformed = (b0 & 0x80) | (b2 & 0xe0) | TAIL_MALFORMED(tail);
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
	ret->addr = addr;
	ret->old = old;
	st->addr = last;
	get_tail(tail, FA_EV_REALLOC | (b2 >> 4 & 1) << 8, p + n, st, ret);
	return (int)(n + TAIL_SUM(tail));
}

/* FREE with byte 1: with a stack or a stamp. */
static FA_NOINLINE int get_long_free(const unsigned char *p, struct fa_event_state *st,
				     struct fa_event *ret)
{
	unsigned b0 = p[0], b1 = p[1], alen = (b0 >> 4 & 7) + 1, dlen = b1 & 7, zlen = b1 >> 4 & 7;
	uint64_t malformed = (b0 & 0x80) | (b1 & 0x88) | (zlen > 4);
	uint64_t addr = address(take(p + 2, alen), st->addr, &malformed);

	if (malformed)
		return -EBADMSG;
	st->addr = addr;
	st->stack = unzigzag(load(p + 2 + alen) & masks[zlen], st->stack);
	st->stamp += load(p + 2 + alen + zlen) & masks[dlen];
	*ret = (struct fa_event){
		.kind = FA_EV_FREE,
		.stamped = dlen != 0,
		.has_stack = zlen != 0,
		.stack = zlen != 0 ? st->stack : 0,
		.addr = addr,
		.stamp = st->stamp,
	};
	return (int)(2 + alen + zlen + dlen);
}

static FA_NOINLINE int get_stamp(const unsigned char *p, struct fa_event_state *st,
				 struct fa_event *ret)
{
	unsigned dlen = p[0] >> 4 & 7;

	if (p[0] & 0x88)
		return -EBADMSG;
	st->stamp += load(p + 1) & masks[dlen];
	*ret = (struct fa_event){.kind = FA_EV_STAMP, .stamped = 1, .stamp = st->stamp};
	return (int)(1 + dlen);
}

static FA_NOINLINE int get_call(const unsigned char *p, struct fa_event_state *st,
				struct fa_event *ret)
{
	unsigned alen = p[2] & 15, slen = p[2] >> 4, olen = p[3] & 15, glen = p[3] >> 4;
	unsigned dlen = p[0] >> 4 & 7, n = 4, has_stack = !(p[0] & 8);
	struct fa_event e = {.kind = FA_EV_CALL, .fn = p[1], .stamped = dlen != 0};

	if ((p[0] & 0x80) || alen > 8 || slen > 8 || olen > 8 || glen > 4)
		return -EBADMSG;
	e.has_stack = (uint8_t)has_stack;
	e.stack = has_stack ? (uint32_t)load(p + n) : 0;
	n += has_stack ? 4 : 0;
	e.addr = load(p + n) & masks[alen];
	n += alen;
	e.size = load(p + n) & masks[slen];
	n += slen;
	e.old = load(p + n) & masks[olen];
	n += olen;
	e.arg = (uint32_t)(load(p + n) & masks[glen]);
	n += glen;
	st->stamp += load(p + n) & masks[dlen];
	e.stamp = st->stamp;
	*ret = e;
	return (int)(n + dlen);
}

static FA_NOINLINE int get_rare(const unsigned char *p, struct fa_event_state *st,
				struct fa_event *ret)
{
	switch (p[0] & 7) {
	case FA_EV_FREE:
		return get_long_free(p, st, ret);
	case FA_EV_REALLOC:
		return get_realloc(p, st, ret);
	case FA_EV_STAMP:
		return get_stamp(p, st, ret);
	case FA_EV_CALL:
		return get_call(p, st, ret);
	default:
		return -EBADMSG;
	}
}

/*
 * The event at p, of which at least WINDOW bytes are readable. Which of malloc and free comes next
 * is as good as random, and a wrongly predicted branch costs more than all the rest; so both go the
 * same way, and a free has the fields that it lacks with length 0.
 */
static FA_INLINE int get(const unsigned char *p, struct fa_event_state *st, struct fa_event *ret)
{
	unsigned b0 = p[0];
	uint32_t first = firsts[b0];

	if (FA_UNLIKELY(first == 0))
		return get_rare(p, st, ret);

	uint32_t tail = tails[p[1]] & (0 - (first >> 24));
	unsigned fn = p[2] & (0 - (b0 >> 3 & 1)), n = first >> 16 & 0xff;
	uint64_t malformed = TAIL_MALFORMED(tail) | ((fn & 7) + 1) >> 3;
	uint64_t addr =
		address(load(p + (first & 0xff)) & masks[first >> 8 & 0xff], st->addr, &malformed);

	if (FA_UNLIKELY(malformed))
		return -EBADMSG;
	ret->addr = st->addr = addr;
	ret->old = 0;
	get_tail(tail, (b0 & 7) | (fn & 7) << 8 | (fn & 0xf8) << 13, p + n, st, ret);
	return (int)(n + TAIL_SUM(tail));
}
static_assert(FA_FN_PVALLOC == 6, "7 is the only function that is none");

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

unsigned fa_event_get_row(const unsigned char *p, size_t len, uint64_t limit,
			  struct fa_event_state *st, struct fa_event_row *ret, size_t *ret_used)
{
	struct fa_event_state state = *st;
	unsigned count = 0;
	size_t at = 0;

	while (at < len && count < FA_EVENT_ROW) {
		struct fa_event *e = &ret->event[count];
		int n = FA_LIKELY(len - at >= WINDOW) ? get(p + at, &state, e)
						      : get_near_end(p + at, len - at, &state, e);

		if (n < 0)
			break;
		ret->at[count++] = (uint32_t)at;
		at += (size_t)n;
		if (FA_UNLIKELY(e->stamp >= limit) && fa_event_has_place(e))
			break;
	}
	*st = state;
	*ret_used = at;
	return count;
}

/*
 * What a FREE or ALLOC is long, for which nothing else could be wrong: by byte 0, the bytes without those that byte 1
 * adds, and from bit 8 on by which of the tables; by byte 1, what it adds. RARE: another look is needed. Addresses of 8
 * bytes, and functions, may be malformed.
 */
enum { RARE = 0x80, BY_NOTHING = 0 << 8, BY_ALLOC = 1 << 8, BY_FREE = 2 << 8 };
#define PLAIN_16(alen)                                                                             \
	RARE, (1 + (alen)) | BY_NOTHING, (2 + (alen)) | BY_ALLOC, RARE, RARE, RARE, RARE, RARE,    \
		RARE, (2 + (alen)) | BY_FREE, RARE, RARE, RARE, RARE, RARE, RARE
static const uint16_t plain_firsts[256] = {
	PLAIN_16(1),     PLAIN_16(2),     PLAIN_16(3),     PLAIN_16(4),
	PLAIN_16(5),     PLAIN_16(6),     PLAIN_16(7),     FA_EV_X16(RARE),
	FA_EV_X16(RARE), FA_EV_X16(RARE), FA_EV_X16(RARE), FA_EV_X16(RARE),
	FA_EV_X16(RARE), FA_EV_X16(RARE), FA_EV_X16(RARE), FA_EV_X16(RARE),
};
#define ADDS_ALLOC(b) ((uint8_t)(MALFORMED(b) ? RARE : TAIL_SUM(TAIL(b))))
#define ADDS_FREE(b)  ((uint8_t)(((b)&0x88) != 0 || (b) >> 4 > 4 ? RARE : ((b)&7) + ((b) >> 4)))
#define ADDS_4(x, b)  x(b), x((b) + 1), x((b) + 2), x((b) + 3)
#define ADDS_16(x, b) ADDS_4(x, b), ADDS_4(x, (b) + 4), ADDS_4(x, (b) + 8), ADDS_4(x, (b) + 12)
#define ADDS_64(x, b)                                                                              \
	ADDS_16(x, b), ADDS_16(x, (b) + 16), ADDS_16(x, (b) + 32), ADDS_16(x, (b) + 48)
#define ADDS_256(x)     ADDS_64(x, 0), ADDS_64(x, 64), ADDS_64(x, 128), ADDS_64(x, 192)
#define ADDS_NOTHING(b) 0
static const uint8_t plain_adds[3 * 256] = {ADDS_256(ADDS_NOTHING), ADDS_256(ADDS_ALLOC),
					    ADDS_256(ADDS_FREE)};

/* RARE or more: it is not plain. At least WINDOW bytes are readable. */
static FA_INLINE unsigned plain_length(const unsigned char *p)
{
	unsigned first = plain_firsts[p[0]];

	return (first & 0xff) + plain_adds[(first & 0xf00) | p[1]];
}

/* One event after the other, somewhere in p[0, len). */
struct skim {
	const unsigned char *p;
	size_t len;
	size_t at;
	uint32_t events;
	uint32_t stamps; /* of these */
};

/* One event further. false: it is malformed or cut. */
static bool skim_one(struct skim *s)
{
	struct fa_event_state state = {0}; /* any will do */
	struct fa_event event;
	size_t left = s->len - s->at;
	unsigned n = left < WINDOW ? RARE : plain_length(s->p + s->at);

	if (FA_UNLIKELY(n >= RARE)) {
		int r = fa_event_get(s->p + s->at, left, &state, &event);

		if (r <= 0 || event.kind == FA_EV_CALL)
			return false;
		n = (unsigned)r;
		s->stamps += event.kind == FA_EV_STAMP;
	}
	s->at += n;
	s->events++;
	return true;
}

/* Through all that begin before `end`. false: one is malformed or cut. */
static bool skim_until(struct skim *s, size_t end)
{
	while (s->at < end)
		if (!skim_one(s))
			return false;
	return true;
}

/*
 * Where an event begins is known from the one before, and so one waits for the other. But who begins to read anywhere
 * in the middle soon comes to where an event really begins, nearly always, and from there on reads what is there. So
 * several read at the same time, each a part; and where one comes to the part of the next, he looks for a place at
 * which that one has been, too. What is counted is what one alone would have counted.
 */
enum { PARTS = 4, PART_LEAST = 512, PLACES = 32 };

struct part {
	struct skim s; /* what it has counted does not include the places */
	size_t end;
	uint32_t place[PLACES]; /* where it has been first, one behind the other */
};

/* false: it did not come to read anything. */
static bool begin_part(struct part *part)
{
	struct skim *s = &part->s;
	unsigned n = 0;

	while (n < PLACES && s->at + WINDOW < part->end) {
		size_t at = s->at;

		if (!skim_one(s)) {
			n = 0;
			s->at = at + 1;
			continue;
		}
		part->place[n++] = (uint32_t)at;
	}
	s->events = s->stamps = 0;
	return n == PLACES;
}

/* All parts, to where one of them meets something rare, and that as well. false: one of them is at its end. */
static bool skim_together(struct part *part)
{
	const unsigned char *p = part->s.p;
	size_t a = part[0].s.at, b = part[1].s.at, c = part[2].s.at, d = part[3].s.at;
	/* The last one must have WINDOW bytes behind it; so have all. */
	size_t ea = part[0].end - WINDOW, eb = part[1].end - WINDOW, ec = part[2].end - WINDOW,
	       ed = part[3].end - WINDOW;
	bool all = true;
	uint32_t events = 0;

	while (a < ea && b < eb && c < ec && d < ed) {
		unsigned na = plain_length(p + a), nb = plain_length(p + b),
			 nc = plain_length(p + c), nd = plain_length(p + d);

		if (FA_UNLIKELY((na | nb | nc | nd) >= RARE))
			break;
		a += na;
		b += nb;
		c += nc;
		d += nd;
		events++;
	}
	part[0].s.at = a;
	part[1].s.at = b;
	part[2].s.at = c;
	part[3].s.at = d;
	for (unsigned i = 0; i < PARTS; i++) {
		part[i].s.events += events;
		all = part[i].s.at < part[i].end && skim_one(&part[i].s) && all;
	}
	return all;
}
static_assert(PARTS == 4, "skim_together()");

/* `s` has come to the part: to a place where that one was. false: there is none, or none to come to. */
static bool meet(struct skim *s, const struct part *part)
{
	unsigned i = 0;

	for (;;) {
		while (i < PLACES && part->place[i] < s->at)
			i++;
		if (i == PLACES)
			return false;
		if (part->place[i] == s->at)
			break;
		if (!skim_one(s))
			return false;
	}
	for (; i < PLACES; i++) {
		s->events++;
		s->stamps += (s->p[part->place[i]] & 7) == FA_EV_STAMP;
	}
	s->at = part->s.at;
	s->events += part->s.events;
	s->stamps += part->s.stamps;
	return true;
}

/* As far as parts could be put together; the rest is for the caller. */
static void skim_parts(struct skim *s)
{
	struct part part[PARTS];
	bool alive[PARTS];

	for (unsigned i = 0; i < PARTS; i++) {
		part[i].s = *s;
		part[i].s.at = s->len / PARTS * i;
		part[i].end = i + 1 == PARTS ? s->len : s->len / PARTS * (i + 1);
		if (i != 0 && !begin_part(&part[i]))
			return;
	}
	while (skim_together(part))
		;
	/* What is malformed in a part is nothing, until somebody is known to come there. */
	for (unsigned i = 0; i < PARTS; i++)
		alive[i] = skim_until(&part[i].s, part[i].end);
	*s = part[0].s;
	for (unsigned i = 1; i < PARTS && alive[i - 1] && meet(s, &part[i]); i++)
		;
}

size_t fa_event_skim(const unsigned char *p, size_t len, uint32_t *ret_events, uint32_t *ret_heap)
{
	struct skim s = {.p = p, .len = len};

	if (len >= PARTS * (size_t)PART_LEAST)
		skim_parts(&s);
	(void)skim_until(&s, len);
	*ret_events = s.events;
	*ret_heap = s.events - s.stamps;
	return s.at;
}

const char *fa_call_name(unsigned call)
{
	switch (call) {
#define X(name, number, text)                                                                      \
	case (number):                                                                             \
		return text;
		FA_CALLS(X)
#undef X
	default:
		return "?";
	}
}
