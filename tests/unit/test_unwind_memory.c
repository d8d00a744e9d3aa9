/*
 * test_unwind_memory.c - what a walk takes over from the walk before is what it would have found: on
 * stacks made up of return addresses with known rules, changed at random between walks.
 *
 * libs: format
 * objs: shim/unwind.c shim/recall.c shim/walk.c shim/walk_place.c shim/rules.c shim/full.c shim/advise.c shim/cfi.c
 * ldlibs: -lunwind -ldl
 */
#include <stdlib.h>
#include <string.h>

#include "shim/recall.h"
#include "shim/walk.h"
#include "test.h"
#include "unwind_common.h"

static struct memory main_memory, fresh_memory;

/* ---- fake stacks: the walk with memory against the one without ---- */

/* Return addresses with known rules, nothing else. */
extern char fa_fake_rsp16[], fa_fake_rsp24[], fa_fake_rbp[], fa_fake_rbp_kept[], fa_fake_rbp32[],
	fa_fake_realigned[], fa_fake_rbx[], fa_fake_saves_rbx[], fa_fake_end[], fa_fake_none[],
	fa_fake_signal[], fa_fake_rsp8[];
__asm__(".text\n"
	".macro fake name\n"
	".cfi_startproc\n"
	"	nop\n"
	"\\name:\n"
	"	nop\n"
	".endm\n"
	"fake fa_fake_rsp8\n.cfi_endproc\n"
	".cfi_startproc\n.cfi_def_cfa_offset 16\n	nop\nfa_fake_rsp16: nop\n.cfi_endproc\n"
	".cfi_startproc\n.cfi_def_cfa_offset 24\n.cfi_offset %rbp, -16\n	nop\n"
	"fa_fake_rsp24: nop\n.cfi_endproc\n"
	".cfi_startproc\n.cfi_def_cfa %rbp, 16\n.cfi_offset %rbp, -16\n	nop\n"
	"fa_fake_rbp: nop\n.cfi_endproc\n"
	".cfi_startproc\n.cfi_def_cfa %rbp, 16\n	nop\nfa_fake_rbp_kept: nop\n.cfi_endproc\n"
	".cfi_startproc\n.cfi_def_cfa %rbp, 32\n.cfi_offset %rbp, -24\n	nop\n"
	"fa_fake_rbp32: nop\n.cfi_endproc\n"
	".cfi_startproc\n.cfi_escape 0x0f, 3, 0x76, 0x78, 0x06\n"
	".cfi_escape 0x10, 6, 2, 0x76, 0\n	nop\nfa_fake_realigned: nop\n.cfi_endproc\n"
	".cfi_startproc\n.cfi_def_cfa %rbx, 16\n	nop\nfa_fake_rbx: nop\n.cfi_endproc\n"
	".cfi_startproc\n.cfi_def_cfa_offset 32\n.cfi_offset %rbx, -24\n	nop\n"
	"fa_fake_saves_rbx: nop\n.cfi_endproc\n"
	".cfi_startproc\n.cfi_undefined %rip\n	nop\nfa_fake_end: nop\n.cfi_endproc\n"
	".cfi_startproc\n.cfi_signal_frame\n.cfi_def_cfa_offset 24\n	nop\n"
	"fa_fake_signal: nop\n.cfi_endproc\n"
	"	nop\nfa_fake_none: nop\n");

enum { FAKE_WORDS = 96 };
static _Alignas(4096) uint64_t fake_stack[FAKE_WORDS];

static uint64_t random_word(void)
{
	static char *const codes[] = {
		fa_fake_rsp8,  fa_fake_rsp16,     fa_fake_rsp24,  fa_fake_rbp,
		fa_fake_rbp,   fa_fake_rbp_kept,  fa_fake_rbp32,  fa_fake_realigned,
		fa_fake_rsp16, fa_fake_saves_rbx, fa_fake_rsp8,   fa_fake_rsp24,
		fa_fake_rbx,   fa_fake_none,      fa_fake_signal, fa_fake_end};
	uint64_t r = random_number();

	if (r % 100 < 68)
		return (uint64_t)(uintptr_t)codes[(r >> 8) % (r % 8 == 0 ? 16 : 12)];
	if (r % 100 < 99)
		return (uint64_t)(uintptr_t)&fake_stack[(r >> 8) % FAKE_WORDS];
	return r >> 20;
}

/* One to three words, near the inner end mostly. */
static void change_some(uint64_t first)
{
	for (uint64_t n = random_number() % 4; n > 0; n--) {
		uint64_t room = FAKE_WORDS - first;
		uint64_t far = random_number() % room;

		if (random_number() % 2 == 0)
			far = far * (random_number() % room) / room;
		fake_stack[first + far] = random_word();
	}
}

SPEC(what_is_taken_over_is_what_a_walk_without_memory_finds)
{
	static const unsigned depths[] = {512, 512, 512, 512, 12, 5};
	struct fa_stack_bounds fake = {(uint64_t)(uintptr_t)fake_stack,
				       (uint64_t)(uintptr_t)(fake_stack + FAKE_WORDS)};
	unsigned long wrong = 0;
	unsigned long frames = 0;
	unsigned long common = 0;
	unsigned long same = 0;
	unsigned limit = DEPTH;
	struct fa_regs regs = {0};

	memset(&main_memory, 0, sizeof(main_memory));
	for (unsigned i = 0; i < 600000; i++) {
		struct fa_stack_view view;
		struct fa_stack_view fresh;

		if (i % 1000 == 0) {
			for (unsigned k = 0; k < FAKE_WORDS; k++)
				fake_stack[k] = random_word();
			limit = depths[random_number() % 6];
		}
		uint64_t first = random_number() % 4 == 0 ? random_number() % 40 : 20;

		if (random_number() % 2 == 0 || regs.rip == 0)
			regs.rip = random_word();
		if (random_number() % 2 == 0)
			regs.rbp = random_word();
		if (random_number() % 4 == 0)
			regs.rbx = random_word();
		regs.rsp = (uint64_t)(uintptr_t)&fake_stack[first];
		change_some(first - (first > 0));
		if (first > 0)
			fake_stack[first - 1] = regs.rip;
		int is_same = i % 1000 != 0 && fa_walk_is_same(thread_of(&main_memory), &regs);

		fa_unwind(thread_of(&main_memory), &regs, &fake, limit, &view);
		memset(&fresh_memory, 0, 4096);
		fa_unwind(thread_of(&fresh_memory), &regs, &fake, limit, &fresh);
		wrong += !same_view(&view, &fresh) || (is_same && view.common != view.depth);
		same += (unsigned)is_same;
		frames += view.depth;
		common += view.common;
	}
	printf("  %lu frames, %lu taken over; %lu walks the same\n", frames, common, same);
	CHECK(wrong == 0);
	CHECK(common > frames / 10);
	CHECK(same > 1000);
	memset(&main_memory, 0, sizeof(main_memory));
}

/* ---- walks that are known again as a whole ---- */

enum { KEPT = 24 };

struct kept_stack {
	struct fa_regs regs;
	uint64_t words[FAKE_WORDS];
};

/* A stack of some frames, with a beginning like that of another one, so that places are fought for. */
static void make_stack(struct kept_stack *s, const struct kept_stack *like,
		       const struct fa_stack_bounds *bounds)
{
	struct fa_regs regs = like->regs;
	struct fa_stack_view view;

	if (regs.rsp == 0 || random_number() % 4 == 0) {
		regs.rip = random_word();
		regs.rsp = (uint64_t)(uintptr_t)&fake_stack[20 + random_number() % 8];
	}
	for (unsigned tries = 0; tries < 1000; tries++) {
		for (unsigned k = 0; k < FAKE_WORDS; k++)
			fake_stack[k] = random_word();
		regs.rbp = random_word();
		*(uint64_t *)(uintptr_t)(regs.rsp - 8) = regs.rip;
		memset(&fresh_memory, 0, 4096);
		fa_unwind(thread_of(&fresh_memory), &regs, bounds, DEPTH, &view);
		if (view.depth >= 5)
			break;
	}
	s->regs = regs;
	memcpy(s->words, fake_stack, sizeof(s->words));
}

SPEC(a_walk_that_is_recalled_is_what_a_walk_without_memory_finds)
{
	static struct kept_stack kept[KEPT];
	static struct fa_recalls recalls;
	struct fa_stack_bounds fake = {(uint64_t)(uintptr_t)fake_stack,
				       (uint64_t)(uintptr_t)(fake_stack + FAKE_WORDS)};
	unsigned long wrong = 0, hits = 0, pairs = 0;

	memset(&main_memory, 0, sizeof(main_memory));
	for (unsigned i = 0; i < 400000; i++) {
		struct kept_stack *s = &kept[random_number() % KEPT];
		struct fa_stack_view view;
		struct fa_stack_view fresh;

		if (i < KEPT)
			make_stack(s = &kept[i], &kept[i == 0 ? 0 : i - 1], &fake);
		else if (i % 500 == 0)
			make_stack(s, &kept[random_number() % KEPT], &fake);
		memcpy(fake_stack, s->words, sizeof(s->words));
		struct fa_regs regs = s->regs;

		/* One word is another now and then: any may be one that the walk read. */
		if (random_number() % 3 == 0)
			fake_stack[random_number() % FAKE_WORDS] = random_word();
		if (random_number() % 16 == 0)
			regs.rbp = random_word();
		*(uint64_t *)(uintptr_t)(regs.rsp - 8) = regs.rip;

		const struct fa_recall *e = fa_recall_find(&recalls, &regs);

		fa_unwind(thread_of(&main_memory), &regs, &fake, DEPTH, &view);
		memset(&fresh_memory, 0, 4096);
		fa_unwind(thread_of(&fresh_memory), &regs, &fake, DEPTH, &fresh);
		wrong += !same_view(&view, &fresh) || (e != NULL && e->id != (uint32_t)fresh.hash);
		hits += e != NULL;
		pairs += e != NULL && e->pairs < sizeof(e->four);
		if (e == NULL)
			fa_recall_keep(&recalls, thread_of(&main_memory), &regs,
				       (uint32_t)view.hash);
	}
	printf("  %lu of 400000 recalled, %lu of them by words side by side\n", hits, pairs);
	CHECK(wrong == 0);
	CHECK(hits > 40000);
	CHECK(pairs > 10000 && pairs < hits);
	fa_recall_nothing(&recalls);
	CHECK(fa_recall_find(&recalls, &kept[0].regs) == NULL);
	memset(&main_memory, 0, sizeof(main_memory));
}

/* How many of the stacks that come in this order, 100 times, are foreseen. */
static unsigned foreseen(const char *order)
{
	struct fa_recall stack[3];
	struct fa_recall *before = &stack[0];
	unsigned right = 0;

	for (unsigned i = 0; i < 3; i++) {
		stack[i].next = &stack[i];
		stack[i].sure = 0;
	}
	for (unsigned turn = 0; turn < 100; turn++) {
		for (const char *c = order; *c != '\0'; c++) {
			struct fa_recall *e = &stack[*c - 'a'];

			right += before->next == e;
			fa_recall_learn(before, e);
			before = e;
		}
	}
	return right;
}

SPEC(what_comes_in_the_same_order_again_is_foreseen)
{
	unsigned turns = foreseen("abc"), rows = foreseen("aaaabbbbcccc");

	CHECK(turns > 290);
	/* All but the first of each row. */
	CHECK(rows >= 895 && rows <= 905);
	CHECK(foreseen("aaa") == 300);
}

int main(void)
{
	CHECK(fa_unwind_init(find_object, number_module) == 0);
	RUN(what_is_taken_over_is_what_a_walk_without_memory_finds);
	RUN(a_walk_that_is_recalled_is_what_a_walk_without_memory_finds);
	RUN(what_comes_in_the_same_order_again_is_foreseen);
	return TEST_RESULT();
}
