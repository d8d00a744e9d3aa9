/* libs: base */
/* objs: src/cli/preload_list.c */
#include <stdio.h>
#include <string.h>

#include "cli/setup.h"
#include "tests/unit/test.h"

#define OURS "/usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so"

static bool removes(const char *from, const char *to, int count)
{
	struct fa_buf out = {0};
	int n = fa_preload_remove(from, strlen(from), &out);
	bool same = !strcmp(out.data ? out.data : "", to) && n == count;

	if (!same)
		printf("  '%s' became '%s' (%d)\n", from, out.data ? out.data : "", n);
	fa_buf_done(&out);
	return same;
}

static bool adds(const char *from, const char *to)
{
	struct fa_buf out = {0};
	bool same;

	fa_preload_add(from, strlen(from), OURS, &out);
	same = out.data && !strcmp(out.data, to);
	fa_buf_done(&out);
	return same;
}

static bool has(const char *text)
{
	return fa_preload_has(text, strlen(text), OURS);
}

SPEC(a_path_is_found_between_blanks_and_colons_only_as_a_whole)
{
	CHECK(has(OURS));
	CHECK(has("/a.so:" OURS " /b.so\n"));
	CHECK(has("# x\n\t" OURS "\n"));
	CHECK(!has(""));
	CHECK(!has("/x" OURS "\n"));
	CHECK(!has(OURS ".1\n"));
}

SPEC(a_path_in_a_comment_is_not_in_the_list)
{
	CHECK(!has("# " OURS "\n"));
	CHECK(!has("/a.so #" OURS "\n"));
	CHECK(has("/a.so # x\n" OURS " # y\n"));
}

SPEC(our_line_goes_first_and_others_keep_their_bytes)
{
	CHECK(adds("", OURS "\n"));
	CHECK(adds("/a.so", OURS "\n/a.so"));
	CHECK(adds("# c\n\n/a.so:/b.so\n", OURS "\n# c\n\n/a.so:/b.so\n"));
}

SPEC(an_older_place_of_ours_is_replaced)
{
	CHECK(adds("/opt/libfirstalloc_preload.so\n/a.so\n", OURS "\n/a.so\n"));
}

SPEC(removal_gives_back_what_was_there_before_the_addition)
{
	static const char *const texts[] = {"", "\n", "/a.so", "/a.so\n",
					    "# c\n\n/a.so:/b.so \n\n"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct fa_buf added = {0};

		fa_preload_add(texts[i], strlen(texts[i]), OURS, &added);
		CHECK(added.data && removes(added.data, texts[i], 1));
		fa_buf_done(&added);
	}
}

SPEC(a_word_of_ours_among_others_goes_with_one_divider)
{
	CHECK(removes("/a.so " OURS " /b.so\n", "/a.so /b.so\n", 1));
	CHECK(removes(OURS ":/b.so\n", "/b.so\n", 1));
	CHECK(removes("/a.so:" OURS "\n", "/a.so:\n", 1));
	CHECK(removes(OURS " # ours\n", "# ours\n", 1));
	CHECK(removes("/usr/$LIB/libfirstalloc_preload.so\n/a.so\n", "/a.so\n", 1));
	CHECK(removes(OURS "\n" OURS, "", 2));
}

SPEC(a_library_of_another_name_is_never_taken_out)
{
	CHECK(removes("/a/notlibfirstalloc_preload.so\n", "/a/notlibfirstalloc_preload.so\n", 0));
	CHECK(removes("# " OURS "\n", "# " OURS "\n", 0));
}

int main(void)
{
	RUN(a_path_is_found_between_blanks_and_colons_only_as_a_whole);
	RUN(a_path_in_a_comment_is_not_in_the_list);
	RUN(our_line_goes_first_and_others_keep_their_bytes);
	RUN(an_older_place_of_ours_is_replaced);
	RUN(removal_gives_back_what_was_there_before_the_addition);
	RUN(a_word_of_ours_among_others_goes_with_one_divider);
	RUN(a_library_of_another_name_is_never_taken_out);
	return TEST_RESULT();
}
