/* marks.c - finds marks. Their time is known only at the end of the file, behind the last CLOCK. */
#include "trace/marks.h"

#include <string.h>

#include "trace/clock.h"
#include "trace/reader.h"

static void take_mark(const struct fa_trace_record *rec, struct fa_mark_wanted *wanted,
		      unsigned count)
{
	const unsigned char *tail = rec->tail;
	size_t len = rec->tail_len;
	const char *text = fa_trace_string(&tail, &len);

	for (unsigned i = 0; i < count; i++) {
		if (wanted[i].found || strcmp(wanted[i].text, text) != 0)
			continue;
		wanted[i].found = true;
		wanted[i].ns = ((const struct fa_rec_mark *)rec->head)->stamp;
	}
}

int fa_trace_find_marks(const char *path, struct fa_mark_wanted *wanted, unsigned count)
{
	struct fa_trace_clock clock = {0};
	struct fa_trace_reader *reader;
	struct fa_trace_record rec;
	uint64_t start;
	int r = fa_trace_reader_open(path, &reader);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < count; i++)
		wanted[i].found = false;
	while (fa_trace_reader_next(reader, &rec) > 0) {
		if (rec.tag == FA_TAG_MACHINE)
			fa_trace_clock_machine(&clock, rec.head);
		else if (rec.tag == FA_TAG_CLOCK)
			fa_trace_clock_add(&clock, rec.head);
		else if (rec.tag == FA_TAG_MARK)
			take_mark(&rec, wanted, count);
	}
	fa_trace_reader_free(reader);
	start = fa_trace_clock_mono_ns(&clock, clock.first.stamp);
	for (unsigned i = 0; i < count; i++) {
		uint64_t at = fa_trace_clock_mono_ns(&clock, wanted[i].ns);

		wanted[i].ns = wanted[i].found && at > start ? at - start : 0;
	}
	return 0;
}
