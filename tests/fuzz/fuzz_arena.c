/*
 * fuzz_arena.c - arbitrary bytes as an arena: drain, describe and reap neither crash nor write records
 * that a reader could stumble over. The input is a list of steps over an arena that begins good:
 *
 *   0 OFFSET(4) LENGTH(1) bytes   write them there          3 describe
 *   1 drain                       2 reap                    4 tick and answer
 *   5 adopt (first step that needs a family does it, too)   6 the first process ended
 *   7 a snapshot of its table of live blocks
 *
 * libs: collector format base
 */
#include "../unit/fake_shim.h"

#include <errno.h>
#include <stdint.h>

enum { ARENA_SIZE = 1 << 20 }; /* with room for a level of a table */

struct input {
	const uint8_t *at;
	size_t left;
};

static uint32_t take(struct input *in, unsigned bytes)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < bytes && in->left > 0; i++, in->at++, in->left--)
		v |= (uint32_t)*in->at << 8 * i;
	return v;
}

static void patch(struct fake *f, struct input *in)
{
	uint32_t offset = take(in, 4) % f->size, length = take(in, 1);

	if (length > in->left)
		length = (uint32_t)in->left;
	if (length > f->size - offset)
		length = f->size - offset;
	memcpy(f->base + offset, in->at, length);
	in->at += length;
	in->left -= length;
}

static void check_nodes(const struct fa_rec_nodes *r, const struct fa_arena_node *n, size_t len)
{
	if (len != r->count * sizeof(*n))
		abort();
	for (uint32_t i = 0; i < r->count; i++)
		if (n[i].pc == 0 || n[i].parent >= r->first + i)
			abort();
}

static void check_events(const struct fa_rec_events *r, const unsigned char *p, size_t len)
{
	struct fa_event_state st = r->state;
	struct fa_event ev;
	uint32_t count = 0;

	for (size_t at = 0; at < len; count++) {
		int n = fa_event_get(p + at, len - at, &st, &ev);

		if (n <= 0)
			abort();
		at += (size_t)n;
	}
	if (count != r->count || r->buffer_offset + len > FA_BUFFER_DATA || r->process == 0)
		abort();
}

static void check_blocks(const struct fa_rec_blocks *r, const struct fa_trace_block *b, size_t len)
{
	if (len != r->count * sizeof(*b))
		abort();
	for (uint32_t i = 1; i < r->count; i++)
		if (b[i].since < b[i - 1].since || (b[i].since == b[i - 1].since && b[i].addr <= b[i - 1].addr))
			abort();
}

static int check(void *ctx, unsigned tag, const void *head, size_t head_len, const void *tail,
		 size_t tail_len, const void *tail2, size_t tail2_len)
{
	(void)ctx, (void)tail2;
	if (head_len + tail_len + tail2_len > FA_RECORD_MAX)
		abort();
	if (tag == FA_TAG_NODES)
		check_nodes(head, tail, tail_len);
	else if (tag == FA_TAG_EVENTS)
		check_events(head, tail, tail_len);
	else if (tag == FA_TAG_BLOCKS)
		check_blocks(head, tail, tail_len);
	return 0;
}

static void snapshot(struct fake *f, const struct fa_sink *sink)
{
	struct fa_drain_ids ids = {1, 1};
	struct fa_snapshot found;
	struct fa_family *view;
	int r;

	if (fa_family_view(f->fd, f->size, &f->info, &ids, &view) < 0)
		return;
	r = fa_family_snapshot(view, sink, false, &found);
	if (r < 0 && r != -ENOENT && r != -EBADMSG)
		abort();
	fa_family_free(view);
}

static void step(struct fake *f, unsigned what)
{
	const struct fa_sink sink = {check, NULL};
	bool reap;

	if (f->family == NULL && fake_adopt(f) < 0)
		return;
	if (what == 1 && fa_family_drain(f->family, &sink) < 0)
		abort();
	if (what == 2 && fa_family_reap(f->family, &sink, false) < 0)
		abort();
	if (what == 3 && fa_family_describe(f->family, &sink) < 0)
		abort();
	if (what == 4)
		fa_family_answer(f->family, FA_ANSWER_ATTACHED, FA_POLICY_WAIT, 0);
	if (what == 6)
		fa_family_exited(f->family, f->info.pid, 0);
	if (what == 7)
		snapshot(f, &sink);
	if (fa_family_wants_segments(f->family) > FA_ARENA_SEGMENTS ||
	    fa_family_full(f->family, &reap) > f->g.buffers)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fake f = fake_new(ARENA_SIZE);
	struct input in = {data, size};

	for (int steps = 0; in.left > 0 && steps < 64; steps++) {
		unsigned what = take(&in, 1) & 7;

		if (what == 0)
			patch(&f, &in);
		else
			step(&f, what);
	}
	step(&f, 1);
	step(&f, 2);
	fake_done(&f);
	return 0;
}
