/* run_wish.c - see run_wish.h. */
#include "cli/run_wish.h"

#include <stdio.h>

#include "cli/words.h"
#include "format/index_format.h"

int fa_run_wish_text(const struct fa_cli *cli, const struct fa_run_wish *wish, char *buf,
		     size_t size)
{
	uint32_t stacks = FA_STACK_ALLOC | FA_STACK_REALLOC, flags;

	if (wish->depth < 1 || wish->depth > FA_DEPTH_MAX)
		return fa_usage(cli, "--depth must be 1 to %d", FA_DEPTH_MAX);
	if (wish->stacks != NULL && fa_words_parse(wish->stacks, fa_stack_words, &stacks) < 0)
		return fa_usage(cli,
				"--stacks takes alloc, realloc, free with commas between, all or "
				"none, not '%s'",
				wish->stacks);
	if (fa_flags_parse(wish->flags, &flags) < 0)
		return fa_usage(cli, FA_FLAGS_WRONG, wish->flags);
	(void)snprintf(buf, size, "%u,%u,%u,%u,%u", wish->depth, stacks,
		       fa_stamp_parse(wish->stamp), flags, wish->record_args ? FA_RULE_ARGS : 0);
	return 0;
}
