/* words.h - bits and modes of a rule that have names: read from options, shown in answers. One table each. */
#ifndef FA_CLI_WORDS_H
#define FA_CLI_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct fa_word {
	uint32_t bit;
	const char *name; /* NULL ends a table */
};

extern const struct fa_word fa_flag_words[];   /* TracingFlags */
extern const struct fa_word fa_stack_words[];  /* events that carry stacks */
extern const struct fa_word fa_option_words[]; /* options of a rule */

/* "a,b,c"; or, alone, "all", "none", a number with no other bits than those of the words. 0 or -EINVAL. */
int fa_words_parse(const char *text, const struct fa_word *words, uint32_t *ret) FA_MUST_USE;
/* What a session says of stacks: as events are named above, or "rule": 0. 0 or -EINVAL. */
int fa_words_stacks(const char *text, uint32_t *ret) FA_MUST_USE;
/* "heap,lock"; bits without a word as a number behind them; "none". buf: at least 64 bytes. Returns buf. */
char *fa_words_text(char *buf, size_t size, uint32_t bits, const struct fa_word *words);

/* TracingFlags from --flags, NULL: the heap. What is recorded beside the heap brings the heap with it. 0 or
 * -EINVAL. FA_FLAGS_WRONG: what to say then, for the text. */
int fa_flags_parse(const char *text, uint32_t *ret) FA_MUST_USE;
#define FA_FLAGS_WRONG                                                                             \
	"--flags: '%s' is not made of heap (0x1), lock (0x2), loader (0x4), snapshot (0x10), vm "  \
	"(0x20)"

/* enum fa_stamp_mode from "alloc", "all", "none" (the option's own check lets no other come), NULL: alloc. */
uint32_t fa_stamp_parse(const char *text);
const char *fa_stamp_text(uint32_t stamp);

#endif
