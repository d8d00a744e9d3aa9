/* fuzz_event - arbitrary bytes as a run of events. libs: format */
#include <stdlib.h>

#include "format/event_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The events before `end`, where the next one is malformed, by rows. */
static size_t by_rows(const uint8_t *data, size_t end, size_t size)
{
	static struct fa_event_row row;
	struct fa_event_state st = {0};
	size_t at = 0, events = 0, used;

	while (at < size) {
		unsigned n = fa_event_get_row(data + at, size - at, 1000, &st, &row, &used);

		if (n == 0)
			break;
		at += used;
		events += n;
	}
	if (at != end)
		abort();
	return events;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fa_event_state st = {0};
	struct fa_event e;
	size_t at = 0, events = 0;

	while (at < size) {
		int n = fa_event_get(data + at, size - at, &st, &e);

		if (n == -EBADMSG)
			break;
		if (n <= 0 || (size_t)n > size - at || e.kind < FA_EV_FREE || e.kind > FA_EV_STAMP)
			abort();
		at += (size_t)n;
		events++;
	}
	if (by_rows(data, at, size) != events)
		abort();
	return 0;
}
