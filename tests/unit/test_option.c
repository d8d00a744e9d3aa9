/* objs: src/cli/option.c src/cli/message.c src/base/parse.c */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli_internal.h"
#include "tests/unit/test.h"

/* What the parser and the messages want from main.c and help.c. */
struct fa_common fa_common;
const struct fa_option fa_common_options[] = {
	{0, "json", NULL, FA_OPT_FLAG, &fa_common.json, "", NULL},
	{'h', "help", NULL, FA_OPT_FLAG, &fa_common.help, "", NULL},
	{0},
};

const struct fa_command *fa_command_find(const char *name)
{
	(void)name;
	return NULL;
}

void fa_help_usage(FILE *out, const struct fa_command *command)
{
	(void)out;
	(void)command;
}

static struct {
	bool a, b;
	const char *text;
	const char *choice;
	uint32_t number;
	uint64_t size, duration;
	struct fa_option_list list;
} opt;

static const struct fa_option options[] = {
	{'a', "all", NULL, FA_OPT_FLAG, &opt.a, "", NULL},
	{'b', "both", NULL, FA_OPT_FLAG, &opt.b, "", NULL},
	{'t', "text", "TEXT", FA_OPT_STRING, &opt.text, "", NULL},
	{0, "choice", "C", FA_OPT_CHOICE, &opt.choice, "", "one|two"},
	{'n', "number", "N", FA_OPT_U32, &opt.number, "", NULL},
	{0, "size", "N", FA_OPT_SIZE, &opt.size, "", NULL},
	{0, "for", "T", FA_OPT_DURATION, &opt.duration, "", NULL},
	{'l', "list", "X", FA_OPT_LIST, &opt.list, "", NULL},
	{0},
};

static const struct fa_command command = {.name = "test", .options = options};
static char *operands[16];
static int count;

static int parse_with(bool stop, const char *const *words)
{
	struct fa_option_scope scope = {.command = &command, .stop_at_operand = stop};
	int n = 0;

	while (words[n])
		n++;
	memset(&opt, 0, sizeof(opt));
	memset(&fa_common, 0, sizeof(fa_common));
	return fa_options_parse(&scope, n, (char **)words, operands, &count);
}
#define PARSE(...) parse_with(false, (const char *const[]){__VA_ARGS__, NULL})
#define STOP(...)  parse_with(true, (const char *const[]){__VA_ARGS__, NULL})

SPEC(a_value_stands_behind_an_equals_sign_or_in_the_next_word_or_behind_the_letter)
{
	CHECK(PARSE("--text=x=y") == 0 && !strcmp(opt.text, "x=y"));
	CHECK(PARSE("--text", "--all") == 0 && !strcmp(opt.text, "--all") && !opt.a);
	CHECK(PARSE("-t", "x") == 0 && !strcmp(opt.text, "x"));
	CHECK(PARSE("-tx") == 0 && !strcmp(opt.text, "x"));
	CHECK(PARSE("--text=") == 0 && !strcmp(opt.text, ""));
}

SPEC(letters_of_flags_may_be_bundled_and_the_last_may_take_a_value)
{
	CHECK(PARSE("-ab") == 0 && opt.a && opt.b);
	CHECK(PARSE("-abn5") == 0 && opt.a && opt.b && opt.number == 5);
	CHECK(PARSE("-abn", "6") == 0 && opt.number == 6);
}

SPEC(options_and_operands_may_be_mixed)
{
	CHECK(PARSE("x", "--all", "y", "-n", "7", "z") == 0);
	CHECK(count == 3 && !strcmp(operands[2], "z") && !operands[3] && opt.a && opt.number == 7);
}

SPEC(two_dashes_end_the_options_and_one_is_an_operand)
{
	CHECK(PARSE("--all", "--", "--both", "--") == 0 && count == 2 && !opt.b);
	CHECK(PARSE("-") == 0 && count == 1 && !strcmp(operands[0], "-"));
}

SPEC(where_options_end_at_the_first_operand_later_words_are_left_alone)
{
	CHECK(STOP("-a", "cmd", "-b", "--help", "--", "x") == 0);
	CHECK(count == 5 && opt.a && !opt.b && !fa_common.help && !strcmp(operands[3], "--"));
	CHECK(STOP("-a", "--", "cmd", "-b") == 0 && count == 2 && !opt.b);
}

SPEC(sizes_and_durations_have_units)
{
	CHECK(PARSE("--size=64K", "--for", "2h") == 0);
	CHECK(opt.size == 65536 && opt.duration == 7200ull * 1000000000);
}

SPEC(a_list_grows_up_to_its_end_and_no_further)
{
	const char *words[70];

	CHECK(PARSE("-lx", "--list=y") == 0 && opt.list.count == 2 &&
	      !strcmp(opt.list.item[1], "y"));
	for (int i = 0; i < 65; i++)
		words[i] = "-lx";
	words[65] = NULL;
	CHECK(parse_with(false, words) == FA_EXIT_USAGE && opt.list.count == 64);
}

SPEC(what_is_wrong_is_a_usage_error)
{
	CHECK(PARSE("--nothing") == FA_EXIT_USAGE);
	CHECK(PARSE("--tex=x") == FA_EXIT_USAGE); /* no abbreviations */
	CHECK(PARSE("-x") == FA_EXIT_USAGE);
	CHECK(PARSE("--text") == FA_EXIT_USAGE);
	CHECK(PARSE("-n") == FA_EXIT_USAGE);
	CHECK(PARSE("--all=1") == FA_EXIT_USAGE);
	CHECK(PARSE("--number=x") == FA_EXIT_USAGE);
	CHECK(PARSE("--number=4294967296") == FA_EXIT_USAGE);
	CHECK(PARSE("--size=1Q") == FA_EXIT_USAGE);
	CHECK(PARSE("--choice=three") == FA_EXIT_USAGE);
	CHECK(PARSE("--choice=two") == 0 && !strcmp(opt.choice, "two"));
}

SPEC(a_slip_has_a_nearest_name_and_nonsense_has_none)
{
	static const char *const names[] = {"enable", "disable", "status", "start", "stop"};

	CHECK(!strcmp(fa_did_you_mean("enabel", names, 5), "enable"));
	CHECK(!strcmp(fa_did_you_mean("sttaus", names, 5), "status"));
	CHECK(!strcmp(fa_did_you_mean("dis", names, 5), "disable"));
	CHECK(!strcmp(fa_did_you_mean("stp", names, 5), "stop"));
	CHECK(!fa_did_you_mean("xyzzy", names, 5));
	CHECK(!fa_did_you_mean("", names, 5));
	CHECK(!fa_did_you_mean("q", names, 5));
}

int main(void)
{
	/* The messages are for users; here only the answers count. */
	if (!freopen("/dev/null", "w", stderr))
		return 1;
	RUN(a_value_stands_behind_an_equals_sign_or_in_the_next_word_or_behind_the_letter);
	RUN(letters_of_flags_may_be_bundled_and_the_last_may_take_a_value);
	RUN(options_and_operands_may_be_mixed);
	RUN(two_dashes_end_the_options_and_one_is_an_operand);
	RUN(where_options_end_at_the_first_operand_later_words_are_left_alone);
	RUN(sizes_and_durations_have_units);
	RUN(a_list_grows_up_to_its_end_and_no_further);
	RUN(what_is_wrong_is_a_usage_error);
	RUN(a_slip_has_a_nearest_name_and_nonsense_has_none);
	return TEST_RESULT();
}
