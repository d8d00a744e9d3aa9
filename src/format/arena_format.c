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
