/*
 * test_reach.c - which blocks of a made-up memory are reachable: examples computed by hand.
 * libs: analysis trace format base
 */
#include "analysis/reach.h"

#include <string.h>

#include "tests/unit/test.h"

/* A page of globals at G, a heap at H, the first heap of an arena at A; blocks are put anywhere. */
enum { PAGE = 4096, BLOCKS = 16 };
#define G 0x10000ULL
#define H 0x20000ULL
#define A 0x4000000ULL

static uint64_t globals[PAGE / 8], heap[PAGE / 8], arena[PAGE / 8];
static struct fa_block block[BLOCKS];
static struct fa_reached reached[BLOCKS];
static struct fa_reach_input in;
static struct fa_memory memory[3];
static struct fa_memory_range out[2];

static void begin(void)
{
	memset(globals, 0, sizeof(globals));
	memset(heap, 0, sizeof(heap));
	memset(arena, 0, sizeof(arena));
	memory[0] = (struct fa_memory){G, G + PAGE, (const unsigned char *)globals, false, false};
	memory[1] = (struct fa_memory){H, H + PAGE, (const unsigned char *)heap, true, false};
	memory[2] = (struct fa_memory){A, A + PAGE, (const unsigned char *)arena, false, false};
	in = (struct fa_reach_input){
		.block = block, .memory = memory, .memory_count = 3, .out = out};
}

/* Blocks in ascending order. Returns its number. */
static size_t put(uint64_t addr, uint64_t size)
{
	block[in.count] = (struct fa_block){.addr = addr, .size = size};
	return in.count++;
}

static void poke(uint64_t at, uint64_t value)
{
	uint64_t *page = at < H ? globals : at < A ? heap : arena;

	page[at % PAGE / 8] = value;
}

static bool is(size_t b, enum fa_reach reach)
{
	return reached[b].reach == reach;
}

SPEC(from_roots_blocks_are_reachable_through_blocks)
{
	begin();
	size_t a = put(H + 0x100, 32), b = put(H + 0x200, 32), c = put(H + 0x300, 32);
	size_t d = put(H + 0x400, 32);
	const uint64_t words[] = {1, H + 0x400, 0};

	poke(G + 64, H + 0x100);
	poke(H + 0x100 + 24, H + 0x200);
	poke(H + 0x800, H + 0x300); /* in the heap, and no block: what was freed */
	in.word = words;
	in.word_count = 3;
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(a, FA_REACHABLE) && is(b, FA_REACHABLE) && is(c, FA_DEFINITE) &&
	      is(d, FA_REACHABLE));
	/* It may be a block that is not known. */
	in.heap_is_root = true;
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(c, FA_REACHABLE));
}

SPEC(a_pointer_into_the_middle_makes_it_possible_and_what_hangs_on_it)
{
	begin();
	size_t a = put(H + 0x100, 32), b = put(H + 0x200, 32), c = put(H + 0x300, 32);

	poke(G, H + 0x108);
	poke(H + 0x110, H + 0x200);
	poke(G + 8, H + 0x300 + 32); /* behind its end */
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(a, FA_POSSIBLE) && is(b, FA_POSSIBLE) && is(c, FA_DEFINITE));
	/* A pointer to the beginning, from wherever, says more. */
	poke(G + 16, H + 0x100);
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(a, FA_REACHABLE) && is(b, FA_REACHABLE));
}

SPEC(of_a_lost_chain_one_is_definite_and_has_the_others_behind_it)
{
	begin();
	/* d -> b -> c, and a ring of e and f; a hangs on both chains' b. */
	size_t a = put(H + 0x100, 10), b = put(H + 0x200, 20), c = put(H + 0x300, 30);
	size_t d = put(H + 0x400, 40), e = put(H + 0x500, 50), f = put(H + 0x600, 60);

	poke(H + 0x200, H + 0x300);
	poke(H + 0x208, H + 0x104); /* into its middle: lost all the same */
	poke(H + 0x400, H + 0x200);
	poke(H + 0x500, H + 0x600);
	poke(H + 0x600, H + 0x500);
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(d, FA_DEFINITE) && is(b, FA_INDIRECT) && is(c, FA_INDIRECT) && is(a, FA_INDIRECT));
	CHECK(reached[d].indirect_blocks == 3 && reached[d].indirect_bytes == 60);
	CHECK(is(e, FA_DEFINITE) && is(f, FA_INDIRECT) && reached[e].indirect_bytes == 60);
	CHECK(reached[b].indirect_blocks == 0);
}

SPEC(what_lies_below_a_stack_pointer_or_is_left_out_is_no_root)
{
	begin();
	size_t a = put(H + 0x100, 32), b = put(H + 0x200, 32);

	poke(G + 8, H + 0x100);
	poke(G + 0x800, H + 0x200);
	out[0] = (struct fa_memory_range){G, G + 0x100};
	in.out_count = 1;
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(a, FA_DEFINITE) && is(b, FA_REACHABLE));
	memory[0].skip = true;
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(b, FA_DEFINITE));
}

SPEC(a_block_amid_globals_is_followed_only_when_it_is_reached)
{
	begin();
	/* As malloc has it from mmap: in memory that is a root, but for itself. */
	size_t a = put(G + 0x100, 64), b = put(G + 0x200, 64), c = put(H + 0x100, 32);
	size_t d = put(H + 0x200, 32);

	poke(G + 0x110, H + 0x100);
	poke(G + 0x210, H + 0x200);
	poke(G + 0x800, G + 0x200);
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(a, FA_DEFINITE) && is(c, FA_INDIRECT) && is(b, FA_REACHABLE) &&
	      is(d, FA_REACHABLE));
}

SPEC(what_glibc_keeps_in_its_arenas_is_no_root)
{
	begin();
	size_t a = put(H + 0x100, 32), b = put(A + 0x200, 32);

	poke(A + 0x800, H + 0x100);
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(a, FA_REACHABLE)); /* as long as it is not known for an arena */
	poke(A, A + 0x30);          /* its arena, the heap before it, size, writable */
	poke(A + 16, PAGE);
	poke(A + 24, PAGE);
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(a, FA_DEFINITE) && is(b, FA_DEFINITE));
}

SPEC(the_allocators_pointer_to_the_next_chunk_is_no_pointer_into_the_block)
{
	begin();
	/* 24 bytes asked for, a chunk of 32: the next begins 16 bytes into the block. */
	size_t a = put(H + 0x110, 24);

	poke(H + 0x108, 32 | 1);
	poke(G, H + 0x120);
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(a, FA_DEFINITE));
	poke(G + 8, H + 0x118);
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(a, FA_POSSIBLE));
}

SPEC(a_block_whose_memory_was_not_copied_leads_nowhere)
{
	begin();
	size_t a = put(H + 0x100, 32), b = put(0x9000000, 4096);

	poke(G, 0x9000000);
	poke(G + 8, 0x9000000 + 4096 - 8);
	CHECK(fa_reach(&in, reached) == 0);
	CHECK(is(a, FA_DEFINITE) && is(b, FA_REACHABLE));
	in.count = 0;
	CHECK(fa_reach(&in, reached) == 0);
}

int main(void)
{
	RUN(from_roots_blocks_are_reachable_through_blocks);
	RUN(a_pointer_into_the_middle_makes_it_possible_and_what_hangs_on_it);
	RUN(of_a_lost_chain_one_is_definite_and_has_the_others_behind_it);
	RUN(what_lies_below_a_stack_pointer_or_is_left_out_is_no_root);
	RUN(a_block_amid_globals_is_followed_only_when_it_is_reached);
	RUN(what_glibc_keeps_in_its_arenas_is_no_root);
	RUN(the_allocators_pointer_to_the_next_chunk_is_no_pointer_into_the_block);
	RUN(a_block_whose_memory_was_not_copied_leads_nowhere);
	return TEST_RESULT();
}
