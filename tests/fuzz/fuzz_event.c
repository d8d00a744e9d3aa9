/* fuzz_event - arbitrary bytes as a run of events. libs: format */
#include <stdlib.h>

#include "format/event_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fa_event_state st = {0};
	struct fa_event e;
	size_t at = 0;

	while (at < size) {
		int n = fa_event_get(data + at, size - at, &st, &e);

		if (n == -EBADMSG)
			break;
		if (n <= 0 || (size_t)n > size - at || e.kind < FA_EV_FREE || e.kind > FA_EV_STAMP)
			abort();
		at += (size_t)n;
	}
	return 0;
}
