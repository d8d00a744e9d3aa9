/*
 * live.c - read along with a session, as EVENT_TRACE_REAL_TIME_MODE, OpenTrace and ProcessTrace do:
 *   cc live.c $(pkg-config --cflags --libs firstalloc) -o live && ./live SESSION BYTES
 * Says who allocates BYTES or more at once, and where, until the session ends.
 */
#include <firstalloc.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, fa_error_message());
	return 1;
}

static void show(struct fa_trace *t, const struct fa_trace_event *e)
{
	struct fa_stack_frame frame[8];
	uint32_t count = 0;

	printf("pid %d: %" PRIu64 " bytes\n", (int)e->pid, e->bytes);
	if (fa_trace_stack(t, e->process, e->stack, 0, frame, 8, &count) != FA_OK)
		return;
	for (uint32_t i = 0; i < count; i++)
		printf("    %s\n", frame[i].function != NULL ? frame[i].function : "?");
}

int main(int argc, char **argv)
{
	struct fa_trace_event e = {.size = sizeof(e)};
	uint64_t least = argc > 2 ? strtoull(argv[2], NULL, 0) : 0, lost = 0;
	struct fa_trace *t;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: live SESSION BYTES\n");
		return 2;
	}
	if (getenv("FIRSTALLOC_ROOT") != NULL)
		fa_set_root(getenv("FIRSTALLOC_ROOT"));
	if (fa_trace_open_live(0, argv[1], &t) != FA_OK)
		return fail(argv[1]);
	do {
		r = fa_trace_wait(t, -1);
		while (fa_trace_next(t, &e) == FA_OK) {
			if (e.kind == FA_EVENT_ALLOC && e.bytes >= least)
				show(t, &e);
			if (e.kind == FA_EVENT_LOST)
				lost += e.bytes; /* we were too slow for these */
		}
		fflush(stdout);
	} while (r == FA_OK);
	if (r != FA_ERROR_NO_MORE)
		return fail(argv[1]);
	printf("the session has ended, %" PRIu64 " events were lost on the way\n", lost);
	fa_trace_close(t);
	return 0;
}
