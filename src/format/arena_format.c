/* arena_format.c - the reasons why a process is or is not traced, as words and sentences. Pure. */
#include "format/arena_format.h"

const char *fa_reason_text(unsigned reason)
{
	switch (reason) {
#define X(name, number, text)                                                                      \
	case (number):                                                                             \
		return text;
		FA_REASONS(X)
#undef X
	default:
		return "?";
	}
}

bool fa_reason_is_refusal(unsigned reason)
{
	switch (reason) {
	case FA_REASON_SECURE:
	case FA_REASON_PID1:
	case FA_REASON_SANITIZER:
	case FA_REASON_OLD_LIBC:
	case FA_REASON_NO_MEMORY:
	case FA_REASON_NO_PLACE:
	case FA_REASON_OWN_ALLOCATOR:
	case FA_REASON_RUN_DIR:
	case FA_REASON_UNDER_RUN:
		return true;
	default:
		return false;
	}
}

const char *fa_reason_name(unsigned reason)
{
	switch (reason) {
#define X(name, number, text)                                                                      \
	case (number):                                                                             \
		return #name;
		FA_REASONS(X)
#undef X
	default:
		return "?";
	}
}
