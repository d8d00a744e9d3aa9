/* test_state.c - a family that is read on by another collector. libs: collector format base */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "fake_shim.h"
#include "test.h"

static struct keeper out;
static const struct fa_sink sink = {keep, &out};
static unsigned char state[1 << 16];

static size_t count(unsigned tag)
{
	size_t n = 0;

	for (size_t i = 0; i < out.count; i++)
		n += out.record[i].tag == tag;
	return n;
}

/* The collector dies: nothing of it is left but the arena and what it saved. */
static void follow(struct fake *f, size_t len)
{
	struct fa_family *old = f->family; /* its memory only: it says DETACHED when it is freed */

	f->ids = (struct fa_drain_ids){100, 100};
	CHECK(fake_adopt(f) == 0);
	fa_family_defer(f->family);
	CHECK(fa_family_restore(f->family, state, len) == 0);
	fa_family_free(old);
}

SPEC(what_was_read_is_given_back_only_by_release)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fake_writer w = fake_writer(&f, 0, 0, getpid());

	CHECK(fake_adopt(&f) == 0);
	fa_family_defer(f.family);
	CHECK(fake_alloc(&w, 0x1000, 1, 5, 0));
	fake_full(&w);
	CHECK(fa_family_drain(f.family, &sink) > 0);
	CHECK(fa_family_release_due(f.family));
	CHECK(fake_buffer(&f, 0)->state == FA_BUFFER_FULL);
	CHECK(fa_family_drain(f.family, &sink) == 0); /* and not read twice meanwhile */
	CHECK(count(FA_TAG_EVENTS) == 1);
	fa_family_release(f.family);
	CHECK(fake_buffer(&f, 0)->state == FA_BUFFER_FREE && !fa_family_release_due(f.family));
	fa_family_exited(f.family, f.info.pid, 0);
	CHECK(fa_family_reap(f.family, &sink, false) == 0);
	CHECK(fake_slot(&f, 0)->state == FA_PROCESS_LIVE && count(FA_TAG_PROCESS_END) == 1);
	CHECK(fa_family_drain(f.family, &sink) == 0 && count(FA_TAG_PROCESS) == 1);
	fa_family_release(f.family);
	CHECK(fake_slot(&f, 0)->state == FA_PROCESS_FREE && fake_slot(&f, 0)->generation == 1);
	keeper_clear(&out);
	fake_done(&f);
}

/* Half of a buffer is read, another is done with: then the collector dies, before or after release. */
static void dies(bool released)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fake_writer w = fake_writer(&f, 0, 0, getpid()), w2 = fake_writer(&f, 0, 1, getpid());
	const struct fa_rec_events *e;
	size_t len, before;
	uint32_t half;

	CHECK(fake_adopt(&f) == 0);
	fa_family_defer(f.family);
	strcpy(fake_module(&f, 0)->path, "/lib/x.so");
	fake_module(&f, 0)->state = 2;
	f.h->module_count = 1;
	fake_add_node(&f, 1, 0x1000, 0);
	f.h->node_count = 2;
	fake_slot(&f, 0)->lost[FA_LOST_NESTED] = 3;
	CHECK(fake_alloc(&w, 0x1000, 1, 5, 1) && fake_alloc(&w2, 0x2000, 1, 6, 1));
	fake_full(&w2);
	half = w.at;
	CHECK(fa_family_drain(f.family, &sink) > 0);
	len = fa_family_save(f.family, state, sizeof(state));
	CHECK(len > 0 && fa_family_save(f.family, state, len - 1) == 0);
	CHECK(fa_family_save(f.family, state, sizeof(state)) == len);
	if (released)
		fa_family_release(f.family);
	/* Where it is free already, somebody takes the buffer again before the next one comes. */
	w2.at = 0;
	w2.seq = 1;
	CHECK(fake_alloc(&w, 0x3000, 1, 7, 1) && fake_alloc(&w2, 0x4000, 1, 8, 1));
	before = out.count;
	follow(&f, len);
	CHECK(fa_family_drain(f.family, &sink) > 0);
	for (size_t i = before; i < out.count; i++)
		/* THREAD: its name may have changed */
		CHECK(out.record[i].tag == FA_TAG_EVENTS || out.record[i].tag == FA_TAG_PASS ||
		      out.record[i].tag == FA_TAG_THREAD);
	CHECK(count(FA_TAG_EVENTS) == 4);
	for (size_t i = before; i < out.count; i++) {
		e = (const void *)out.record[i].bytes;
		if (out.record[i].tag == FA_TAG_EVENTS)
			CHECK(e->process == 1 && e->count == 1 &&
			      e->buffer_offset == (e->thread == 0 ? half : 0) &&
			      e->buffer_seq == (e->thread == 0 ? 0 : 1));
	}
	fa_family_release(f.family);
	CHECK(w2.buffer->state == FA_BUFFER_OWNED);
	CHECK(fake_buffer(&f, 1)->state == (released ? FA_BUFFER_OWNED : FA_BUFFER_FREE));
	keeper_clear(&out);
	fake_done(&f);
}

SPEC(a_successor_goes_on_within_a_buffer_and_writes_nothing_twice)
{
	dies(false);
}

SPEC(a_buffer_that_was_given_back_and_taken_again_is_a_new_one)
{
	dies(true);
}

SPEC(a_slot_that_was_to_be_given_back_is_given_back_by_the_successor)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	size_t len;

	CHECK(fake_adopt(&f) == 0);
	fa_family_defer(f.family);
	CHECK(fa_family_drain(f.family, &sink) == 0);
	fa_family_exited(f.family, f.info.pid, 0);
	CHECK(fa_family_reap(f.family, &sink, false) == 0);
	len = fa_family_save(f.family, state, sizeof(state));
	follow(&f, len);
	CHECK(fa_family_reap(f.family, &sink, false) == 0);
	CHECK(count(FA_TAG_PROCESS) == 1 && count(FA_TAG_PROCESS_END) == 1);
	fa_family_release(f.family);
	CHECK(fake_slot(&f, 0)->state == FA_PROCESS_FREE && fake_slot(&f, 0)->generation == 1);
	keeper_clear(&out);
	fake_done(&f);
}

SPEC(a_damaged_state_is_refused_and_harms_nobody)
{
	struct fake f = fake_new(FA_ARENA_MIN);
	struct fake_writer w = fake_writer(&f, 0, 0, getpid());
	struct fa_family *old;
	size_t len;

	CHECK(fake_adopt(&f) == 0);
	CHECK(fake_alloc(&w, 0x1000, 1, 5, 0));
	CHECK(fa_family_drain(f.family, &sink) > 0);
	len = fa_family_save(f.family, state, sizeof(state));
	old = f.family;
	for (size_t at = 0; at < len; at++) {
		unsigned char was = state[at];

		state[at] ^= 0x81;
		CHECK(fake_adopt(&f) == 0);
		if (fa_family_restore(f.family, state, len) == 0)
			CHECK(fa_family_drain(f.family, &sink) >= 0);
		fa_family_free(f.family);
		CHECK(fake_adopt(&f) == 0);
		CHECK(fa_family_restore(f.family, state, at) < 0);
		fa_family_free(f.family);
		state[at] = was;
		keeper_clear(&out);
	}
	f.family = old;
	keeper_clear(&out);
	fake_done(&f);
}

int main(void)
{
	RUN(what_was_read_is_given_back_only_by_release);
	RUN(a_successor_goes_on_within_a_buffer_and_writes_nothing_twice);
	RUN(a_buffer_that_was_given_back_and_taken_again_is_a_new_one);
	RUN(a_slot_that_was_to_be_given_back_is_given_back_by_the_successor);
	RUN(a_damaged_state_is_refused_and_harms_nobody);
	return TEST_RESULT();
}
