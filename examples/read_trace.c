/*
 * read_trace.c - the largest allocations of a trace, with their stacks.
 *
 *   cc read_trace.c $(pkg-config --cflags --libs firstalloc) -o read_trace
 *   firstalloc run -o ls.falloc -- ls && ./read_trace ls.falloc
 */
#include <firstalloc.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { KEPT = 5 };

/* Sorted, the largest first. */
static void keep(struct fa_trace_event top[KEPT], const struct fa_trace_event *e)
{
	int i = KEPT - 1;

	if (e->bytes <= top[i].bytes)
		return;
	for (; i > 0 && e->bytes > top[i - 1].bytes; i--)
		top[i] = top[i - 1];
	top[i] = *e;
}

static void show(struct fa_trace *trace, const struct fa_trace_event *e)
{
	struct fa_stack_frame frame[64];
	uint32_t count = 0;

	printf("%" PRIu64 " bytes at %.6f s in process %" PRId32 "\n", e->bytes,
	       (double)e->time_ns / 1e9, e->pid);
	if (fa_trace_stack(trace, e->process, e->stack, 0, frame, 64, &count) != FA_OK)
		fprintf(stderr, "%s\n", fa_error_message());
	for (uint32_t i = 0; i < count; i++)
		printf("    %s  %s:%" PRIu32 "\n", frame[i].function ? frame[i].function : "?",
		       frame[i].file ? frame[i].file : "?", frame[i].line);
}

int main(int argc, char **argv)
{
	struct fa_trace_event top[KEPT], e;
	struct fa_trace *trace;
	uint64_t events = 0;
	int error;

	if (argc != 2) {
		fprintf(stderr, "usage: read_trace FILE\n");
		return 2;
	}
	if (fa_trace_open(argv[1], &trace) != FA_OK) {
		fprintf(stderr, "%s\n", fa_error_message());
		return 1;
	}
	memset(top, 0, sizeof(top));
	e.size = sizeof(e);
	while ((error = fa_trace_next(trace, &e)) == FA_OK) {
		events += e.kind <= FA_EVENT_FREE;
		if (e.kind == FA_EVENT_ALLOC || e.kind == FA_EVENT_REALLOC)
			keep(top, &e);
	}
	if (error != FA_ERROR_NO_MORE)
		fprintf(stderr, "%s\n", fa_error_message());
	printf("%" PRIu64 " events\n", events);
	for (int i = 0; i < KEPT && top[i].bytes != 0; i++)
		show(trace, &top[i]);
	fa_trace_close(trace);
	return error != FA_ERROR_NO_MORE;
}
