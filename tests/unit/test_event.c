/*
 * test_event - the event codec: what the inline encoders write, fa_event_get reads.
 * libs: format
 */
#include "format/event_format.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "format/arena_format.h"
#include "format/trace_format.h"
#include "tests/unit/test.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t rnd(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* A number of random length: small ones as often as large ones. */
static uint64_t rnd_bits(unsigned most)
{
	unsigned bits = (unsigned)(rnd() % (most + 1));

	return bits == 0 ? 0 : rnd() >> (64 - bits);
}

/* What is to be recorded: the members of struct fa_event that matter for its kind. */
static void random_event(struct fa_event *e, uint64_t *clock, uint32_t *stack)
{
	*e = (struct fa_event){.kind = (uint8_t)(1 + rnd() % 5)};
	*clock += rnd_bits(40);
	if (rnd() % 16 == 0)
		*clock -= rnd_bits(20) < *clock ? rnd_bits(10) : 0; /* another CPU's clock */
	*stack += (uint32_t)rnd_bits(32) * (rnd() % 2 ? 1u : ~0u);
	e->addr = rnd_bits(57) & (rnd() % 4 ? ~15ULL : ~0ULL);
	e->size = rnd_bits(64);
	e->stamped = rnd() % 2;
	e->has_stack = rnd() % 2;
	e->stamp = *clock;
	e->stack = *stack;
	if (e->kind == FA_EV_ALLOC && rnd() % 2) {
		e->fn = (uint8_t)(rnd() % 7);
		e->align_log2 = (uint8_t)(rnd() % 32);
	}
	if (e->kind == FA_EV_REALLOC) {
		e->fn = rnd() % 2;
		e->old = rnd() % 4 ? rnd_bits(57) : 0;
		e->addr = rnd() % 4 ? e->addr : 0;
	}
	if (e->kind == FA_EV_CALL) {
		e->fn = (uint8_t)rnd();
		e->addr = rnd_bits(64);
		e->old = rnd_bits(64);
		e->arg = (uint32_t)rnd_bits(32);
	}
}

static unsigned encode(unsigned char *p, struct fa_event_state *st, const struct fa_event *e)
{
	uint64_t stamp = e->stamped ? e->stamp : 0;

	switch (e->kind) {
	case FA_EV_FREE:
		return fa_event_put_free(p, st, e->addr, stamp, e->has_stack, e->stack);
	case FA_EV_ALLOC:
		if (e->fn || e->align_log2)
			return fa_event_put_alloc_fn(p, st, e->addr, e->size, stamp, e->has_stack,
						     e->stack, e->fn, e->align_log2);
		return fa_event_put_alloc(p, st, e->addr, e->size, stamp, e->has_stack, e->stack);
	case FA_EV_REALLOC:
		return fa_event_put_realloc(p, st, e->old, e->addr, e->size, stamp, e->has_stack,
					    e->stack, e->fn);
	case FA_EV_CALL:
		return fa_event_put_call(p, st, e, stamp);
	default:
		return fa_event_put_stamp(p, st, e->stamp);
	}
}

/* What decoding has to give, when the stamp before was `last`. */
static void expect(struct fa_event *e, uint64_t last)
{
	uint64_t stamp = e->stamp;

	if (e->kind == FA_EV_STAMP)
		*e = (struct fa_event){.kind = FA_EV_STAMP, .stamped = 1};
	else if (e->kind == FA_EV_FREE)
		e->size = 0;
	e->stamped = e->stamped && (e->kind == FA_EV_STAMP || stamp != 0);
	e->stamp = e->stamped && stamp - last < 1ULL << 56 ? stamp : last;
	if (!e->has_stack)
		e->stack = 0;
}

static bool same(const struct fa_event *a, const struct fa_event *b)
{
	return a->kind == b->kind && a->fn == b->fn && a->align_log2 == b->align_log2 &&
	       a->stamped == b->stamped && a->has_stack == b->has_stack && a->stack == b->stack &&
	       a->addr == b->addr && a->old == b->old && a->size == b->size &&
	       a->stamp == b->stamp && (a->kind != FA_EV_CALL || a->arg == b->arg);
}

/* Encode one, decode it with exactly its bytes and with many behind it; every cut of it is refused. */
static bool round_trip(struct fa_event_state *enc, struct fa_event_state *dec, struct fa_event e)
{
	unsigned char bytes[64];
	struct fa_event_state before = *dec, other = *dec;
	struct fa_event got, near_end;
	uint64_t last = enc->stamp;

	memset(bytes, 0xa5, sizeof(bytes));
	int n = (int)encode(bytes, enc, &e);

	expect(&e, last);
	for (int cut = 0; cut < n; cut++) {
		/* memory of exactly that length: a sanitizer then sees a read behind it */
		unsigned char *part = malloc((size_t)cut + 1);

		memcpy(part, bytes, (size_t)cut);
		int r = fa_event_get(part, (size_t)cut, dec, &got);

		free(part);
		if (r != -EBADMSG || memcmp(dec, &before, sizeof(before)) != 0)
			return false;
	}
	if (n > FA_EVENT_MAX || fa_event_get(bytes, (size_t)n, &other, &near_end) != n)
		return false;
	if (fa_event_get(bytes, sizeof(bytes), dec, &got) != n)
		return false;
	return same(&got, &e) && same(&near_end, &e) && memcmp(dec, enc, sizeof(*enc)) == 0 &&
	       memcmp(dec, &other, sizeof(other)) == 0;
}

SPEC(random_events_are_read_as_they_were_written_and_every_cut_is_refused)
{
	struct fa_event_state enc = {0}, dec = {0};
	uint64_t clock = 1000000;
	uint32_t stack = 0;
	int wrong = 0;

	for (int i = 0; i < 200000; i++) {
		struct fa_event e;

		random_event(&e, &clock, &stack);
		wrong += !round_trip(&enc, &dec, e);
	}
	CHECK(wrong == 0);
}

SPEC(extreme_values_survive)
{
	static const uint64_t addresses[] = {0,
					     1,
					     15,
					     16,
					     0x7fffffffffff,
					     0x00ffffffffffffff,
					     ~0ULL,
					     0x555555555550,
					     0x3fffffffffffffff};
	static const uint64_t sizes[] = {0, 1, 255, 256, 65535, 65536, ~0u, 1ULL << 32, ~0ULL};
	static const uint32_t stacks[] = {0, 1, ~0u, 0x80000000, 0x7fffffff, 127, 128, 2};
	static const uint64_t stamps[] = {1, 2, 1ULL << 55, (1ULL << 56) + 1, 5, ~0ULL};
	struct fa_event_state enc = {0}, dec = {0};
	int wrong = 0;

	for (unsigned i = 0; i < 9 * 9 * 8 * 6; i++) {
		uint64_t addr = addresses[i % 9];

		/* the distance that the format can hold; the hooks never see more */
		if (addr - enc.addr + (1ULL << 62) > 1ULL << 63)
			addr = 16;
		struct fa_event e = {
			.kind = FA_EV_ALLOC,
			.addr = addr,
			.size = sizes[i / 9 % 9],
			.stack = stacks[i / 81 % 8],
			.stamp = stamps[i / 648 % 6],
			.has_stack = 1,
			.stamped = 1,
		};
		wrong += !round_trip(&enc, &dec, e);
		e.kind = FA_EV_FREE;
		wrong += !round_trip(&enc, &dec, e);
	}
	CHECK(wrong == 0);
}

SPEC(a_common_malloc_and_free_take_few_bytes)
{
	unsigned char bytes[64];
	struct fa_event_state st = {.addr = 0x555555559000, .stack = 100, .stamp = 1000};

	CHECK(fa_event_put_alloc(bytes, &st, 0x555555559040, 24, 1090, 1, 103) == 6);
	CHECK(fa_event_put_free(bytes, &st, 0x555555559040, 0, 0, 0) == 2);
}

SPEC(an_unstamped_event_has_the_last_stamp_of_its_thread)
{
	unsigned char bytes[64];
	struct fa_event_state st = {.stamp = 77}, dec = st;
	struct fa_event e = {0};
	unsigned n = fa_event_put_alloc(bytes, &st, 4096, 1, 0, 0, 0);

	CHECK(fa_event_get(bytes, n, &dec, &e) == (int)n && e.stamp == 77 && !e.stamped);
	n = fa_event_put_free(bytes, &st, 4096, 0, 0, 0);
	CHECK(fa_event_get(bytes, n, &dec, &e) == (int)n && e.stamp == 77 && !e.stamped);
	CHECK(!e.has_stack && e.stack == 0);
}

/* bytes with room behind them decode (or not); the state stays as it was when they do not */
static bool refused(unsigned b0, unsigned b1, unsigned b2)
{
	unsigned char bytes[64] = {(unsigned char)b0, (unsigned char)b1, (unsigned char)b2};
	struct fa_event_state st = {.addr = 1, .stamp = 2, .stack = 3}, before = st;
	struct fa_event e;

	return fa_event_get(bytes, sizeof(bytes), &st, &e) == -EBADMSG &&
	       fa_event_get(bytes, 40, &st, &e) == -EBADMSG &&
	       memcmp(&st, &before, sizeof(st)) == 0;
}

SPEC(malformed_bits_are_refused)
{
	for (unsigned b0 = 0; b0 < 256; b0++)
		if ((b0 & 7) == 0 || (b0 & 7) > 5 || b0 & 0x80)
			CHECK(refused(b0, 0, 0));
	CHECK(refused(FA_EV_FREE | 8, 0x08, 0) && refused(FA_EV_FREE | 8, 0x80, 0));
	CHECK(refused(FA_EV_FREE | 8, 0x50, 0) && refused(FA_EV_FREE | 8, 0x70, 0));
	CHECK(refused(FA_EV_ALLOC, 0x84, 0) && refused(FA_EV_ALLOC, 0x8c, 0));
	CHECK(refused(FA_EV_ALLOC | 8, 0, 7));
	CHECK(refused(FA_EV_REALLOC | 8 | 0x10, 0, 0) && refused(FA_EV_REALLOC, 0, 0x20));
	CHECK(refused(FA_EV_REALLOC, 0, 0x40) && refused(FA_EV_REALLOC, 0, 0x80));
	CHECK(refused(FA_EV_REALLOC, 0, 8 | 1) && refused(FA_EV_REALLOC, 0x84, 0));
	CHECK(refused(FA_EV_STAMP | 8, 0, 0));
	CHECK(refused(FA_EV_CALL, 0, 9) && refused(FA_EV_CALL, 0, 0x90));
	CHECK(!refused(FA_EV_CALL, 0, 0x88));
	CHECK(!refused(FA_EV_FREE, 0, 0) && !refused(FA_EV_ALLOC, 0, 0));
}

SPEC(arbitrary_bytes_give_an_event_or_an_error_and_never_read_behind_the_end)
{
	for (int i = 0; i < 100000; i++) {
		size_t len = rnd() % 64, at = 0;
		unsigned char *bytes = malloc(len + 1);
		struct fa_event_state st = {0};
		struct fa_event e;

		for (size_t k = 0; k < len; k++)
			bytes[k] = (unsigned char)rnd();
		while (at < len) {
			int n = fa_event_get(bytes + at, len - at, &st, &e);

			if (n <= 0 || (size_t)n > len - at) {
				CHECK(n == -EBADMSG);
				break;
			}
			at += (size_t)n;
		}
		free(bytes);
	}
}

/* Events in p[0, len), one by one. */
static size_t walk(const unsigned char *p, size_t len, uint32_t *ret_events, uint32_t *ret_heap)
{
	struct fa_event_state st = {0};
	struct fa_event e;
	size_t at = 0;
	int n;

	*ret_events = *ret_heap = 0;
	while (at < len && (n = fa_event_get(p + at, len - at, &st, &e)) > 0 &&
	       e.kind != FA_EV_CALL) {
		at += (size_t)n;
		++*ret_events;
		*ret_heap += e.kind != FA_EV_STAMP;
	}
	return at;
}

SPEC(skimming_counts_what_reading_finds_and_stops_where_it_stops)
{
	for (unsigned round = 0; round < 50000; round++) {
		struct fa_event_state st = {0};
		uint32_t events, heap, skimmed, skimmed_heap, stack = 0;
		unsigned char bytes[1024];
		uint64_t clock = 1000;
		size_t len = 0, cut;
		struct fa_event e;

		while (len < 800) {
			random_event(&e, &clock, &stack);
			if (e.kind == FA_EV_CALL && rnd() % 64 != 0)
				e.kind = FA_EV_STAMP;
			len += encode(bytes + len, &st, &e);
		}
		if (round % 2) /* damage */
			bytes[rnd() % len] = (unsigned char)rnd();
		cut = len - rnd() % 200;
		CHECK(walk(bytes, cut, &events, &heap) ==
		      fa_event_skim(bytes, cut, &skimmed, &skimmed_heap));
		CHECK(events == skimmed && heap == skimmed_heap);
	}
}

/* So many that they are skimmed in parts, some of which begin in the middle of an event; mostly small ones, as
 * programs have them, or any. */
SPEC(skimming_in_parts_counts_what_one_after_the_other_does)
{
	static unsigned char bytes[16384];

	for (unsigned round = 0; round < 6000; round++) {
		struct fa_event_state st = {.addr = 0x555555559000};
		uint32_t events, heap, skimmed, skimmed_heap, stack = 0;
		size_t len = 0, most = 1000 + rnd() % (sizeof(bytes) - 1100);
		unsigned plain = rnd() % 3;
		uint64_t clock = 1000;
		struct fa_event e;

		while (len < most) {
			if (plain == 0 || rnd() % (plain * 200) == 0) {
				random_event(&e, &clock, &stack);
				len += encode(bytes + len, &st, &e);
			} else if (rnd() % 2) {
				len += fa_event_put_free(bytes + len, &st,
							 0x555555559000 + rnd() % 65536 / 16 * 16,
							 0, round % 2, (uint32_t)(rnd() % 300));
			} else {
				clock += rnd() % 300;
				len += fa_event_put_alloc(bytes + len, &st,
							  0x555555559000 + rnd() % 65536 / 16 * 16,
							  rnd() % 500, rnd() % 2 ? clock : 0, 1,
							  (uint32_t)(rnd() % 300));
			}
		}
		for (unsigned n = rnd() % 4 > 1 ? rnd() % 3 : 0; n > 0; n--)
			bytes[rnd() % len] = (unsigned char)rnd();
		len -= rnd() % 40;
		CHECK(walk(bytes, len, &events, &heap) ==
		      fa_event_skim(bytes, len, &skimmed, &skimmed_heap));
		CHECK(events == skimmed && heap == skimmed_heap);
	}
}

/* One row from bytes[at, len), compared with one event after the other. The bytes used, 0: a fault. */
static size_t check_row(const unsigned char *bytes, size_t at, size_t len, uint64_t limit,
			struct fa_event_state *st)
{
	static struct fa_event_row row;
	struct fa_event_state one = *st;
	size_t used, begin = at;
	unsigned n = fa_event_get_row(bytes + at, len - at, limit, st, &row, &used);
	bool over = false;

	for (unsigned i = 0; i < n; i++) {
		struct fa_event e;
		int took = fa_event_get(bytes + at, len - at, &one, &e);

		CHECK(took > 0 && !over && row.at[i] == at - begin && same(&row.event[i], &e));
		at += took > 0 ? (size_t)took : 0;
		over = fa_event_has_place(&e) && e.stamp >= limit;
	}
	CHECK(at == begin + used && one.addr == st->addr && one.stamp == st->stamp &&
	      one.stack == st->stack);
	if (!over && n < FA_EVENT_ROW && at < len) { /* then what follows is malformed */
		struct fa_event e;

		CHECK(fa_event_get(bytes + at, len - at, &one, &e) < 0);
		return 0;
	}
	return used;
}

SPEC(a_row_is_what_one_after_the_other_gives_and_ends_at_its_limit)
{
	for (unsigned round = 0; round < 20000; round++) {
		struct fa_event_state st = {0};
		uint64_t clock = 1000, limit = rnd() % 2 ? rnd_bits(46) : UINT64_MAX;
		unsigned char bytes[4096];
		size_t len = 0, at = 0, used;
		uint32_t stack = 0;
		struct fa_event e;

		while (len < 4000) {
			random_event(&e, &clock, &stack);
			len += encode(bytes + len, &st, &e);
		}
		if (round % 2) /* damage */
			bytes[rnd() % len] = (unsigned char)rnd();
		len -= rnd() % 3000;
		st = (struct fa_event_state){0};
		while (at < len && (used = check_row(bytes, at, len, limit, &st)) != 0)
			at += used;
	}
}

SPEC(records_reasons_and_causes_have_names)
{
	CHECK(strcmp(fa_trace_tag_name(FA_TAG_EVENTS), "EVENTS") == 0);
	CHECK(fa_trace_tag_size(FA_TAG_EVENTS) == (int)sizeof(struct fa_rec_events));
	CHECK(strcmp(fa_trace_tag_name(999), "?") == 0 && fa_trace_tag_size(999) == -EBADMSG);
	CHECK(strcmp(fa_reason_name(FA_REASON_SECURE), "SECURE") == 0);
	CHECK(strcmp(fa_reason_text(FA_REASON_TRACED), "traced") == 0);
	CHECK(strcmp(fa_reason_text(999), "?") == 0 && strcmp(fa_reason_name(999), "?") == 0);
	CHECK(strcmp(fa_lost_cause_name(FA_LOST_NO_BUFFER), "no-buffer") == 0);
	CHECK(strcmp(fa_lost_cause_name(99), "?") == 0);
}

int main(void)
{
	RUN(random_events_are_read_as_they_were_written_and_every_cut_is_refused);
	RUN(extreme_values_survive);
	RUN(a_common_malloc_and_free_take_few_bytes);
	RUN(an_unstamped_event_has_the_last_stamp_of_its_thread);
	RUN(malformed_bits_are_refused);
	RUN(arbitrary_bytes_give_an_event_or_an_error_and_never_read_behind_the_end);
	RUN(skimming_counts_what_reading_finds_and_stops_where_it_stops);
	RUN(skimming_in_parts_counts_what_one_after_the_other_does);
	RUN(a_row_is_what_one_after_the_other_gives_and_ends_at_its_limit);
	RUN(records_reasons_and_causes_have_names);
	return TEST_RESULT();
}
