/* test_control.c - what comes through the control socket is checked. libs: format base */
#include <errno.h>
#include <string.h>

#include "format/control_format.h"
#include "format/parts_format.h"
#include "format/trace_format.h"
#include "tests/unit/test.h"

static struct fa_control_request start_request(void)
{
	struct fa_control_request r;

	memset(&r, 0, sizeof(r));
	r.magic = FA_CONTROL_MAGIC;
	r.version = FA_CONTROL_VERSION;
	r.verb = FA_CONTROL_START;
	strcpy(r.session.name, "daily");
	return r;
}

static int check(const struct fa_control_request *r, const char **what)
{
	*what = "";
	return fa_control_check(r, sizeof(*r), what);
}

SPEC(a_good_request_passes)
{
	struct fa_control_request r = start_request();
	const char *what;

	CHECK(check(&r, &what) == 0);
	r.session.image_count = 2;
	strcpy(r.session.image[0], "nginx");
	strcpy(r.session.image[1], "backup.py");
	CHECK(check(&r, &what) == 0);
	r.verb = FA_CONTROL_STATUS;
	CHECK(check(&r, &what) == 0);
}

SPEC(another_size_magic_version_or_verb_is_refused)
{
	struct fa_control_request r = start_request();
	const char *what;

	CHECK(fa_control_check(&r, sizeof(r) - 1, &what) == -EPROTO);
	CHECK(fa_control_check(&r, 0, &what) == -EPROTO);
	r.magic++;
	CHECK(check(&r, &what) == -EPROTO);
	r = start_request();
	r.version++;
	CHECK(check(&r, &what) == -EPROTONOSUPPORT);
	r = start_request();
	r.verb = 99;
	CHECK(check(&r, &what) == -EPROTO);
}

SPEC(a_name_without_end_or_with_a_slash_is_refused)
{
	struct fa_control_request r = start_request();
	const char *what;

	memset(r.session.name, 'a', sizeof(r.session.name));
	CHECK(check(&r, &what) == -EINVAL && strcmp(what, "name") == 0);
	strcpy(r.session.name, "../x");
	CHECK(check(&r, &what) == -EINVAL);
	r.session.name[0] = '\0';
	CHECK(check(&r, &what) == -EINVAL);
	r.verb = FA_CONTROL_STOP;
	CHECK(check(&r, &what) == -EINVAL);
	r.all = 1;
	CHECK(check(&r, &what) == 0);
}

SPEC(numbers_outside_their_range_are_named)
{
	struct fa_control_request r = start_request();
	const char *what;

	r.session.buffer_size = 100;
	CHECK(check(&r, &what) == -EINVAL && strcmp(what, "BufferSize") == 0);
	r = start_request();
	r.session.minimum_buffers = 5;
	r.session.maximum_buffers = 4;
	CHECK(check(&r, &what) == -EINVAL && strcmp(what, "MinimumBuffers") == 0);
	r = start_request();
	r.session.image_count = FA_SESSION_IMAGES + 1;
	CHECK(check(&r, &what) == -EINVAL && strcmp(what, "image") == 0);
	r = start_request();
	r.session.image_count = 1;
	memset(r.session.image[0], 'x', FA_IMAGE_NAME);
	CHECK(check(&r, &what) == -EINVAL);
	r = start_request();
	r.session.flags = 0x80;
	CHECK(check(&r, &what) == -EINVAL && strcmp(what, "flags") == 0);
	r = start_request();
	r.session.policy = 7;
	CHECK(check(&r, &what) == -EINVAL);
	r = start_request();
	r.session.flush_timer = ~0u;
	CHECK(check(&r, &what) == -EINVAL);
}

SPEC(a_status_whose_counts_do_not_fit_its_length_is_refused)
{
	unsigned char b[sizeof(struct fa_status_header) + sizeof(struct fa_status_process)];
	struct fa_status_header h;

	memset(&h, 0, sizeof(h));
	memset(b, 0, sizeof(b));
	h.magic = FA_CONTROL_MAGIC;
	h.version = FA_CONTROL_VERSION;
	h.processes = 1;
	memcpy(b, &h, sizeof(h));
	CHECK(fa_status_check(b, sizeof(b)) == 0);
	CHECK(fa_status_check(b, sizeof(b) - 1) == -EPROTO);
	CHECK(fa_status_check(b, 3) == -EPROTO);
	h.processes = ~0u;
	memcpy(b, &h, sizeof(h));
	CHECK(fa_status_check(b, sizeof(b)) == -EPROTO);
	h.processes = 1;
	h.sessions = 1;
	memcpy(b, &h, sizeof(h));
	CHECK(fa_status_check(b, sizeof(b)) == -EPROTO);
}

SPEC(every_end_reason_has_a_text)
{
	for (unsigned i = 0; i < FA_END_REASONS; i++)
		CHECK(strcmp(fa_end_reason_text(i), "?") != 0);
	CHECK(strcmp(fa_end_reason_text(FA_END_REASONS), "?") == 0);
}

/* NULL when the mode is fine. */
static const char *fault(uint32_t mode, uint64_t size, uint32_t buffers)
{
	struct fa_control_request r = start_request();
	const char *what, *text;

	r.session.log_file_mode = mode;
	r.session.maximum_file_size = size;
	r.session.minimum_buffers = buffers;
	text = fa_session_mode_fault(&r.session);
	CHECK((check(&r, &what) == 0) == (text == NULL));
	return text;
}

SPEC(modes_that_make_no_sense_are_refused_by_both_sides)
{
	const uint64_t mb = 1 << 20;

	CHECK(fault(0, 0, 0) == NULL && fault(FA_LOG_SEQUENTIAL, mb, 2) == NULL);
	CHECK(fault(FA_LOG_CIRCULAR, mb, 0) == NULL && fault(FA_LOG_APPEND, mb, 0) == NULL);
	CHECK(fault(FA_LOG_BUFFERING, 0, 0) == NULL && fault(FA_LOG_BUFFERING, 0, 16) == NULL);
	CHECK(fault(FA_LOG_PREALLOCATE, mb, 0) == NULL);
	CHECK(fault(FA_LOG_CIRCULAR | FA_LOG_PREALLOCATE, mb, 0) == NULL);
	CHECK(fault(FA_LOG_CIRCULAR, mb - 1, 0) != NULL && fault(FA_LOG_NEWFILE, mb - 1, 0) != NULL);
	CHECK(fault(FA_LOG_CIRCULAR | FA_LOG_SEQUENTIAL, mb, 0) != NULL);
	CHECK(fault(FA_LOG_CIRCULAR | FA_LOG_BUFFERING, mb, 0) != NULL);
	CHECK(fault(FA_LOG_PREALLOCATE, 0, 0) != NULL);
	CHECK(fault(FA_LOG_APPEND | FA_LOG_PREALLOCATE, mb, 0) != NULL);
	CHECK(fault(FA_LOG_BUFFERING | FA_LOG_PREALLOCATE, 0, 0) != NULL);
	CHECK(fault(FA_LOG_BUFFERING, mb, 0) != NULL && fault(FA_LOG_BUFFERING, 0, 15) != NULL);
	CHECK(fault(FA_LOG_BUFFERING, 0, 1 << 20) != NULL && fault(0x10, 0, 0) != NULL);
	CHECK(fault(0x200, 0, 0) != NULL && fault(1u << 31, 0, 0) != NULL);
	/* Real time beside a file, or alone: then nothing may be said of a file. */
	CHECK(fault(FA_LOG_REAL_TIME, 0, 0) == NULL && fault(FA_LOG_REAL_TIME | FA_LOG_CIRCULAR, mb, 0) == NULL);
	CHECK(fault(FA_LOG_REAL_TIME, mb, 0) != NULL && fault(FA_LOG_REAL_TIME | FA_LOG_PREALLOCATE, 0, 0) != NULL);
	CHECK(strcmp(fa_log_mode_name(FA_LOG_REAL_TIME), "real-time") == 0);
	CHECK(strcmp(fa_log_mode_name(FA_LOG_REAL_TIME | FA_LOG_SEQUENTIAL), "sequential") == 0);
}

SPEC(a_mode_and_its_name_go_together)
{
	static const char *const names[] = {"sequential", "circular", "append", "buffering"};

	for (int i = 0; i < 4; i++)
		CHECK(strcmp(fa_log_mode_name(fa_log_mode_of(names[i]) | FA_LOG_PREALLOCATE),
			     names[i]) == 0);
	CHECK(fa_log_mode_of("ring") == 0 && strcmp(fa_log_mode_name(0), "sequential") == 0);
}

int main(void)
{
	RUN(a_good_request_passes);
	RUN(another_size_magic_version_or_verb_is_refused);
	RUN(a_name_without_end_or_with_a_slash_is_refused);
	RUN(numbers_outside_their_range_are_named);
	RUN(a_status_whose_counts_do_not_fit_its_length_is_refused);
	RUN(every_end_reason_has_a_text);
	RUN(modes_that_make_no_sense_are_refused_by_both_sides);
	RUN(a_mode_and_its_name_go_together);
	return TEST_RESULT();
}
