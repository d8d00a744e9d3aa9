/* trace_format.c - names and sizes of trace records, from the one list in trace_format.h. Pure. */
#include "format/trace_format.h"

#include <errno.h>

const char *fa_trace_tag_name(unsigned tag)
{
	switch (tag) {
#define X(name, number, type, text)                                                                \
	case (number):                                                                             \
		return #name;
		FA_TRACE_RECORDS(X)
#undef X
	default:
		return "?";
	}
}

int fa_trace_tag_size(unsigned tag)
{
	switch (tag) {
#define X(name, number, type, text)                                                                \
	case (number):                                                                             \
		return (int)sizeof(type);
		FA_TRACE_RECORDS(X)
#undef X
	default:
		return -EBADMSG;
	}
}

const char *fa_lost_cause_name(unsigned cause)
{
	switch (cause) {
	case FA_LOST_NO_BUFFER:
		return "no-buffer";
	case FA_LOST_NESTED:
		return "nested";
	case FA_LOST_NO_MEMORY:
		return "no-memory";
	case FA_LOST_DAMAGED:
		return "damaged";
	case FA_LOST_UNKNOWN:
		return "unknown";
	case FA_LOST_TABLE:
		return "table-full";
	default:
		return "?";
	}
}
