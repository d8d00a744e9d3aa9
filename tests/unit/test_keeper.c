/* test_keeper.c - what comes through the keeper's socket is checked. libs: format base */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "format/index_format.h"
#include "format/keeper_format.h"
#include "tests/unit/test.h"

static struct fa_keeper_request put(void)
{
	struct fa_keeper_request r;

	memset(&r, 0, sizeof(r));
	r.magic = FA_KEEPER_MAGIC;
	r.version = FA_KEEPER_VERSION;
	r.verb = FA_KEEPER_PUT;
	r.uid = 1000;
	r.has_uid = 1;
	r.flags = FA_TRACING_HEAP;
	r.depth = 64;
	strcpy(r.image, "git");
	return r;
}

static struct fa_keeper_request take_away(const char *image)
{
	struct fa_keeper_request r = put();

	r.verb = FA_KEEPER_REMOVE;
	memset(r.image, 0, sizeof(r.image));
	strcpy(r.image, image);
	return r;
}

static int check(const struct fa_keeper_request *r)
{
	const char *what = "";

	return fa_keeper_check(r, sizeof(*r), &what);
}

SPEC(a_good_request_passes)
{
	struct fa_keeper_request r = put();

	CHECK(check(&r) == 0);
	r.uid = FA_USER_ANY;
	r.has_uid = 0;
	strcpy(r.path, "/usr/bin/git");
	strcpy(r.package, "unit:web.service");
	strcpy(r.note, "why");
	CHECK(check(&r) == 0);
	r = take_away("git");
	CHECK(check(&r) == 0);
	r = take_away("");
	r.all = 1;
	CHECK(check(&r) == 0);
	r = take_away("");
	r.verb = FA_KEEPER_OFF;
	CHECK(check(&r) == 0);
	r.verb = FA_KEEPER_ON;
	CHECK(check(&r) == 0);
	strcpy(r.image, "git");
	CHECK(check(&r) == -EINVAL);
}

SPEC(another_size_magic_version_or_verb_is_refused)
{
	struct fa_keeper_request r = put();
	const char *what;

	CHECK(fa_keeper_check(&r, sizeof(r) - 1, &what) == -EPROTO);
	CHECK(fa_keeper_check(&r, 0, &what) == -EPROTO);
	r.magic++;
	CHECK(check(&r) == -EPROTO);
	r = put();
	r.version++;
	CHECK(check(&r) == -EPROTONOSUPPORT);
	r = put();
	r.verb = 5;
	CHECK(check(&r) == -EPROTO);
	r = put();
	r.reserved = 1;
	CHECK(check(&r) == -EINVAL);
}

SPEC(texts_end_within_their_fields_and_hide_nothing_behind_their_ends)
{
	struct fa_keeper_request r = put();

	memset(r.image, 'x', sizeof(r.image));
	CHECK(check(&r) == -EINVAL);
	r = put();
	memset(r.path, '/', sizeof(r.path));
	CHECK(check(&r) == -EINVAL);
	r = put();
	memset(r.note, 'x', sizeof(r.note));
	CHECK(check(&r) == -EINVAL);
	r = put();
	memset(r.package, 'x', sizeof(r.package));
	CHECK(check(&r) == -EINVAL);
	r = put();
	strcpy(r.package, "web.service");
	CHECK(check(&r) == -EINVAL);
	r = put();
	r.image[sizeof(r.image) - 1] = 'x';
	CHECK(check(&r) == -EINVAL);
	r = take_away("git");
	r.path[100] = 'x';
	CHECK(check(&r) == -EINVAL);
}

SPEC(an_image_is_a_base_name_and_none_of_ours)
{
	static const char *const bad[] = {"",  ".",    "..",         "a/b",
					  "/", "a\nb", "firstalloc", "firstallocd"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fa_keeper_request r = put();

		memset(r.image, 0, sizeof(r.image));
		strcpy(r.image, bad[i]);
		CHECK(check(&r) == -EINVAL);
	}
}

SPEC(numbers_are_in_their_ranges)
{
	struct fa_keeper_request r = put();

	r.flags = 0;
	CHECK(check(&r) == -EINVAL);
	r.flags = 0x1000;
	CHECK(check(&r) == -EINVAL);
	r = put();
	r.options = 1u << 30;
	CHECK(check(&r) == -EINVAL);
	r = put();
	r.depth = 0;
	CHECK(check(&r) == -EINVAL);
	r.depth = FA_DEPTH_MAX + 1;
	CHECK(check(&r) == -EINVAL);
	r = put();
	r.stacks = 8;
	CHECK(check(&r) == -EINVAL);
	r = put();
	r.stamp = FA_STAMP_NONE + 1;
	CHECK(check(&r) == -EINVAL);
	r = put();
	r.expires = UINT64_MAX;
	CHECK(check(&r) == -EINVAL);
	r = put();
	r.has_uid = 0;
	CHECK(check(&r) == -EINVAL);
	strcpy(r.path, "usr/bin/git");
	CHECK(check(&r) == -EINVAL);
}

SPEC(all_and_a_name_exclude_each_other)
{
	struct fa_keeper_request r = take_away("git");

	r.all = 1;
	CHECK(check(&r) == -EINVAL);
	r = take_away("");
	CHECK(check(&r) == -EINVAL);
	r = put();
	r.all = 1;
	CHECK(check(&r) == -EINVAL);
}

int main(void)
{
	RUN(a_good_request_passes);
	RUN(another_size_magic_version_or_verb_is_refused);
	RUN(texts_end_within_their_fields_and_hide_nothing_behind_their_ends);
	RUN(an_image_is_a_base_name_and_none_of_ours);
	RUN(numbers_are_in_their_ranges);
	RUN(all_and_a_name_exclude_each_other);
	return TEST_RESULT();
}
