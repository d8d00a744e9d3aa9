/* reach.c - see reach.h. */
#include "analysis/reach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* glibc, malloc/arena.c: the memory of an arena that is not the first begins at such an address with its
 * description; malloc/malloc.c: in front of each block its size, and three bits. */
#define ARENA_ALIGN ((uint64_t)64 << 20)
enum { HEADER = 16, IS_MMAPPED = 2, SIZE_BITS = 7, LEAST_CHUNK = 32 };

struct arena_head {
	uint64_t arena;
	uint64_t previous;
	uint64_t size;
	uint64_t writable;
};

enum state { UNSEEN = 0, BY_MIDDLE = 1, BY_START = 2 };

struct work {
	const struct fa_reach_input *in;
	unsigned char *state; /* enum state */
	uint32_t *leader;     /* of leaks, plus one; 0: none yet */
	uint32_t *stack;      /* blocks to be followed */
	size_t depth;
	unsigned char *queued;
	struct fa_memory_range *arena; /* by address */
	size_t arena_count, arena_cap;
	struct fa_reached *out;
	uint32_t clique; /* whose leaks are being followed, plus one; 0: not that far */
	enum state from; /* how the block was reached whose words are looked at */
};

/* ---- the copy ---- */

static const struct fa_memory *memory_at(const struct fa_reach_input *in, uint64_t address)
{
	size_t lo = 0, hi = in->memory_count;

	while (lo < hi) {
		size_t middle = lo + (hi - lo) / 2;

		if (in->memory[middle].hi <= address)
			lo = middle + 1;
		else
			hi = middle;
	}
	return lo < in->memory_count && in->memory[lo].lo <= address ? &in->memory[lo] : NULL;
}

static bool read_bytes(const struct fa_reach_input *in, uint64_t address, void *ret, size_t len)
{
	const struct fa_memory *m = memory_at(in, address);

	if (m == NULL || m->hi - address < len)
		return false;
	memcpy(ret, m->bytes + (address - m->lo), len);
	return true;
}

/* The first block that ends behind `address`. */
static size_t block_after(const struct fa_reach_input *in, uint64_t address)
{
	size_t lo = 0, hi = in->count;

	while (lo < hi) {
		size_t middle = lo + (hi - lo) / 2;
		const struct fa_block *b = &in->block[middle];

		if (b->addr + (b->size == 0 ? 1 : b->size) <= address)
			lo = middle + 1;
		else
			hi = middle;
	}
	return lo;
}

/*
 * The allocator's next chunk begins within the last 8 bytes that a block may use. A pointer to there is the
 * allocator's, when what stands in front of the block is a size of glibc's that fits.
 */
static bool is_next_chunk(const struct fa_reach_input *in, const struct fa_block *b,
			  uint64_t pointer)
{
	uint64_t size;

	if (b->addr < HEADER || !read_bytes(in, b->addr - 8, &size, sizeof(size)) ||
	    (size & IS_MMAPPED))
		return false;
	size &= ~(uint64_t)SIZE_BITS;
	return size >= LEAST_CHUNK && size < b->size + 2 * LEAST_CHUNK + HEADER &&
	       pointer == b->addr - HEADER + size;
}

/* ---- following ---- */

static void push(struct work *w, size_t block)
{
	if (w->queued[block])
		return;
	w->queued[block] = 1;
	w->stack[w->depth++] = (uint32_t)block;
}

/* A block that no root leads to, met behind the leak `clique`. */
static void join_clique(struct work *w, size_t block)
{
	struct fa_reached *leader = &w->out[w->clique - 1], *r = &w->out[block];

	if (w->leader[block] == 0) {
		w->leader[block] = w->clique;
		r->reach = FA_INDIRECT;
		leader->indirect_bytes += w->in->block[block].size;
		leader->indirect_blocks++;
		push(w, block);
	} else if (r->reach == FA_DEFINITE && w->leader[block] != w->clique) {
		/* It was taken for the beginning of a chain, and hangs on this one with all that is behind it. */
		w->leader[block] = w->clique;
		r->reach = FA_INDIRECT;
		leader->indirect_bytes += w->in->block[block].size + r->indirect_bytes;
		leader->indirect_blocks += 1 + r->indirect_blocks;
		r->indirect_bytes = 0;
		r->indirect_blocks = 0;
	}
}

static void follow(struct work *w, uint64_t word)
{
	const struct fa_reach_input *in = w->in;
	size_t at;

	if (word < in->block[0].addr ||
	    word > in->block[in->count - 1].addr + in->block[in->count - 1].size)
		return;
	at = block_after(in, word);
	if (at == in->count || word < in->block[at].addr)
		return;
	bool start = word == in->block[at].addr;

	if (!start && is_next_chunk(in, &in->block[at], word))
		return;
	if (w->clique != 0) {
		if (w->state[at] == UNSEEN)
			join_clique(w, at);
		return;
	}
	enum state reached = start ? w->from : BY_MIDDLE;

	if (reached > w->state[at]) {
		w->state[at] = (unsigned char)reached;
		push(w, at);
	}
}

static void scan(struct work *w, uint64_t lo, uint64_t hi)
{
	const struct fa_memory *m = memory_at(w->in, lo);

	lo = (lo + 7) & ~(uint64_t)7;
	/* A block may lie in several parts of the copy, and in none. */
	while (lo < hi) {
		if (m == NULL || lo >= m->hi)
			m = memory_at(w->in, lo);
		if (m == NULL)
			return;
		uint64_t end = hi < m->hi ? hi & ~(uint64_t)7 : m->hi;

		for (; lo < end; lo += 8) {
			uint64_t word;

			memcpy(&word, m->bytes + (lo - m->lo), sizeof(word));
			if (word != 0)
				follow(w, word);
		}
		if (end == (hi & ~(uint64_t)7))
			return;
	}
}

static void drain(struct work *w)
{
	while (w->depth > 0) {
		uint32_t i = w->stack[--w->depth];
		const struct fa_block *b = &w->in->block[i];

		w->queued[i] = 0;
		w->from = (enum state)w->state[i];
		scan(w, b->addr, b->addr + b->size);
	}
}

/* ---- roots ---- */

static bool is_arena(const struct fa_reach_input *in, uint64_t at, uint64_t *ret_end)
{
	struct arena_head h, first;

	if (!read_bytes(in, at, &h, sizeof(h)) || h.size < 4096 || h.size > ARENA_ALIGN ||
	    h.size % 4096 != 0 || h.writable < h.size || h.writable > ARENA_ALIGN)
		return false;
	/* Its description is in the first of its heaps, which says the same of itself. */
	if (h.arena % 16 != 0 ||
	    !read_bytes(in, h.arena & ~(ARENA_ALIGN - 1), &first, sizeof(first)) ||
	    first.arena != h.arena || first.previous != 0)
		return false;
	*ret_end = at + h.size;
	return true;
}

static int add_arena(struct work *w, uint64_t lo, uint64_t hi)
{
	if (w->arena_count == w->arena_cap) {
		size_t cap = w->arena_cap == 0 ? 64 : w->arena_cap * 2;
		struct fa_memory_range *bigger = reallocarray(w->arena, cap, sizeof(*bigger));

		if (bigger == NULL)
			return -ENOMEM;
		w->arena = bigger;
		w->arena_cap = cap;
	}
	w->arena[w->arena_count++] = (struct fa_memory_range){.lo = lo, .hi = hi};
	return 0;
}

static int find_arenas(struct work *w)
{
	const struct fa_reach_input *in = w->in;
	uint64_t end;
	int r = 0;

	for (size_t i = 0; i < in->memory_count; i++) {
		const struct fa_memory *m = &in->memory[i];
		uint64_t at = (m->lo + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);

		for (; r == 0 && at < m->hi; at += ARENA_ALIGN)
			if (is_arena(in, at, &end))
				r = add_arena(w, at, end);
	}
	return r;
}

/* The first of these ranges, which are ordered, that ends behind `at`; NULL: none. */
static const struct fa_memory_range *range_after(const struct fa_memory_range *r, size_t count,
						 uint64_t at)
{
	size_t lo = 0, hi = count;

	while (lo < hi) {
		size_t middle = lo + (hi - lo) / 2;

		if (r[middle].hi <= at)
			lo = middle + 1;
		else
			hi = middle;
	}
	return lo < count ? &r[lo] : NULL;
}

/* Where the next range that is no root begins at or behind `at`, before `hi`; *ret_end: where it ends. */
static uint64_t next_gap(const struct work *w, uint64_t at, uint64_t hi, uint64_t *ret_end)
{
	const struct fa_reach_input *in = w->in;
	const struct fa_memory_range *candidates[2] = {
		range_after(in->out, in->out_count, at),
		in->heap_is_root ? NULL : range_after(w->arena, w->arena_count, at),
	};
	size_t b = block_after(in, at);

	*ret_end = hi;
	for (unsigned i = 0; i < 2; i++)
		if (candidates[i] != NULL && candidates[i]->lo < hi) {
			hi = candidates[i]->lo;
			*ret_end = candidates[i]->hi;
		}
	if (b < in->count && in->block[b].addr < hi) {
		hi = in->block[b].addr;
		*ret_end = in->block[b].addr + in->block[b].size;
	}
	return hi;
}

static void scan_roots(struct work *w)
{
	const struct fa_reach_input *in = w->in;

	w->from = BY_START;
	for (size_t i = 0; i < in->word_count; i++)
		follow(w, in->word[i]);
	for (size_t i = 0; i < in->memory_count; i++) {
		const struct fa_memory *m = &in->memory[i];
		uint64_t at = m->lo;

		if (m->skip || (m->heap && !in->heap_is_root))
			continue;
		while (at < m->hi) {
			uint64_t behind, gap = next_gap(w, at, m->hi, &behind);

			w->from = BY_START;
			if (gap > at)
				scan(w, at, gap);
			at = behind > at ? behind : at + 8;
		}
	}
}

/* ---- leaks ---- */

static void find_cliques(struct work *w)
{
	for (size_t i = 0; i < w->in->count; i++) {
		if (w->state[i] != UNSEEN || w->leader[i] != 0)
			continue;
		w->clique = (uint32_t)i + 1;
		w->leader[i] = w->clique;
		w->out[i].reach = FA_DEFINITE;
		push(w, i);
		drain(w);
	}
}

static void run(struct work *w)
{
	scan_roots(w);
	drain(w);
	for (size_t i = 0; i < w->in->count; i++)
		w->out[i] = (struct fa_reached){.reach = w->state[i] == BY_START ? FA_REACHABLE
										 : FA_POSSIBLE};
	find_cliques(w);
}

int fa_reach(const struct fa_reach_input *in, struct fa_reached *ret)
{
	struct work w = {.in = in, .out = ret};
	int r = 0;

	if (in->count == 0)
		return 0;
	w.state = calloc(in->count, 1);
	w.queued = calloc(in->count, 1);
	w.leader = calloc(in->count, sizeof(*w.leader));
	w.stack = calloc(in->count, sizeof(*w.stack));
	if (w.state == NULL || w.queued == NULL || w.leader == NULL || w.stack == NULL)
		r = -ENOMEM;
	if (r == 0)
		r = find_arenas(&w);
	if (r == 0)
		run(&w);
	free(w.state);
	free(w.queued);
	free(w.leader);
	free(w.stack);
	free(w.arena);
	return r;
}
