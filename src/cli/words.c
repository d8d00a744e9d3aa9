/* words.c - see words.h. */
#include "cli/words.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "format/control_format.h"
#include "format/index_format.h"

const struct fa_word fa_flag_words[] = {
	{FA_TRACING_HEAP, "heap"},         {FA_TRACING_LOCK, "lock"}, {FA_TRACING_LOADER, "loader"},
	{FA_TRACING_SNAPSHOT, "snapshot"}, {FA_TRACING_VM, "vm"},     {0, NULL}};
const struct fa_word fa_stack_words[] = {{FA_STACK_ALLOC, "alloc"},
					 {FA_STACK_REALLOC, "realloc"},
					 {FA_STACK_FREE, "free"},
					 {0, NULL}};
const struct fa_word fa_option_words[] = {{FA_RULE_SCRIPT, "script"},
					  {FA_RULE_SECURE, "secure"},
					  {FA_RULE_PID1, "pid1"},
					  {FA_RULE_SANITIZER, "sanitizer"},
					  {FA_RULE_ARGS, "record-args"},
					  {FA_RULE_DISARMED, "disarmed"},
					  {FA_RULE_NAMED, "named"},
					  {0, NULL}};

static const char *const stamp_words[] = {
	[FA_STAMP_ALLOC] = "alloc", [FA_STAMP_ALL] = "all", [FA_STAMP_NONE] = "none"};

static uint32_t all_of(const struct fa_word *words)
{
	uint32_t bits = 0;

	for (; words->name != NULL; words++)
		bits |= words->bit;
	return bits;
}

static int bit_of(const char *text, size_t len, const struct fa_word *words, uint32_t *ret)
{
	for (const struct fa_word *w = words; w->name != NULL; w++) {
		if (strlen(w->name) == len && memcmp(w->name, text, len) == 0) {
			*ret = w->bit;
			return 0;
		}
	}
	return -EINVAL;
}

int fa_words_parse(const char *text, const struct fa_word *words, uint32_t *ret)
{
	uint32_t bits, bit;

	if (strcmp(text, "all") == 0 || strcmp(text, "none") == 0) {
		*ret = text[0] == 'a' ? all_of(words) : 0;
		return 0;
	}
	if (fa_parse_u32(text, &bits) == 0) {
		if ((bits & ~all_of(words)) != 0)
			return -EINVAL;
		*ret = bits;
		return 0;
	}
	for (bits = 0;; text++) {
		size_t len = strcspn(text, ",");

		if (bit_of(text, len, words, &bit) < 0)
			return -EINVAL;
		bits |= bit;
		text += len;
		if (*text == '\0')
			break;
	}
	*ret = bits;
	return 0;
}

char *fa_words_text(char *buf, size_t size, uint32_t bits, const struct fa_word *words)
{
	size_t at = 0;

	buf[0] = '\0';
	for (; words->name != NULL; words++) {
		if ((bits & words->bit) == 0)
			continue;
		bits &= ~words->bit;
		int n = snprintf(buf + at, size - at, "%s%s", at > 0 ? "," : "", words->name);

		if (n < 0 || (size_t)n >= size - at)
			return buf;
		at += (size_t)n;
	}
	if (bits != 0)
		(void)snprintf(buf + at, size - at, "%s0x%x", at > 0 ? "," : "", bits);
	else if (at == 0)
		(void)snprintf(buf, size, "none");
	return buf;
}

int fa_flags_parse(const char *text, uint32_t *ret)
{
	uint32_t flags = FA_TRACING_HEAP;
	int r = text == NULL ? 0 : fa_words_parse(text, fa_flag_words, &flags);

	if (r < 0)
		return r;
	if ((flags & FA_TRACING_CALLS) != 0)
		flags |= FA_TRACING_HEAP;
	*ret = flags;
	return 0;
}

uint32_t fa_stamp_parse(const char *text)
{
	uint32_t mode = FA_STAMP_NONE;

	while (text != NULL && mode > 0 && strcmp(stamp_words[mode], text) != 0)
		mode--;
	return text == NULL ? FA_STAMP_ALLOC : mode;
}

const char *fa_stamp_text(uint32_t stamp)
{
	return stamp <= FA_STAMP_NONE ? stamp_words[stamp] : "?";
}

int fa_words_stacks(const char *text, uint32_t *ret)
{
	uint32_t bits;

	if (strcmp(text, "rule") == 0) {
		*ret = 0;
		return 0;
	}
	if (fa_words_parse(text, fa_stack_words, &bits) < 0)
		return -EINVAL;
	*ret = FA_SESSION_STACKS | bits;
	return 0;
}
