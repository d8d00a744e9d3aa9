/*
 * beside - what a trace has beside the heap: calls that change the address space, waits for locks, modules that came
 * and went (firstalloc run --flags vm,lock,loader ...), and how much memory the processes had. A line each.
 *
 *     cc beside.c -lfirstalloc -o beside && ./beside trace.falloc
 */
#include <firstalloc.h>
#include <inttypes.h>
#include <stdio.h>

static const char *function_name(uint32_t function)
{
	static const struct {
		uint32_t function;
		const char *name;
	} names[] = {{FA_SPACE_MMAP, "mmap"},       {FA_SPACE_MUNMAP, "munmap"},
		     {FA_SPACE_MREMAP, "mremap"},   {FA_SPACE_BRK, "brk"},
		     {FA_SPACE_MPROTECT, "mprotect"}, {FA_WAIT_MUTEX, "mutex"},
		     {FA_WAIT_READ, "read"},        {FA_WAIT_WRITE, "write"},
		     {FA_LOADER_DLOPEN, "dlopen"},  {FA_LOADER_DLMOPEN, "dlmopen"},
		     {FA_LOADER_DLCLOSE, "dlclose"}, {FA_LOADER_FOUND, "found"}};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].function == function)
			return names[i].name;
	return "?";
}

/* The innermost function of its stack. */
static const char *who(struct fa_trace *trace, const struct fa_trace_event *e)
{
	static struct fa_stack_frame frame;
	uint32_t count = 0;

	if (e->stack == 0 ||
	    fa_trace_stack(trace, e->process, e->stack, 0, &frame, 1, &count) != FA_OK ||
	    count == 0 || frame.function == NULL)
		return "-";
	return frame.function;
}

static void show(struct fa_trace *trace, const struct fa_trace_event *e)
{
	switch (e->kind) {
	case FA_EVENT_SPACE:
		printf("space %s %" PRIu64 " %" PRIu64 " %x %s\n", function_name(e->function), e->bytes,
		       e->old_bytes, e->protection, who(trace, e));
		break;
	case FA_EVENT_WAIT:
		printf("wait %s %" PRIu64 " %d%s %s\n", function_name(e->function), e->duration_ns,
		       (int)e->owner_tid, e->flags & FA_EVENT_TIMED_OUT ? " given up" : "",
		       who(trace, e));
		break;
	case FA_EVENT_LOAD:
	case FA_EVENT_UNLOAD:
		printf("%s %s %s %s\n", e->kind == FA_EVENT_LOAD ? "load" : "unload",
		       function_name(e->function), e->text, who(trace, e));
		break;
	case FA_EVENT_EXTENTS:
		/* The process had ended, or is not the collector's to look at. */
		if (e->flags & FA_EVENT_UNREADABLE)
			printf("no extents\n");
		else
			printf("extents %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", e->reserved, e->committed,
			       e->resident);
		break;
	default:
		break;
	}
}

int main(int argc, char **argv)
{
	struct fa_trace_event e = {.size = sizeof(e)};
	struct fa_trace *trace;
	int error;

	if (argc != 2)
		return fprintf(stderr, "usage: beside TRACE\n"), 2;
	if (fa_trace_open(argv[1], &trace) != FA_OK)
		return fprintf(stderr, "%s\n", fa_error_message()), 1;
	while ((error = fa_trace_next(trace, &e)) == FA_OK)
		show(trace, &e);
	if (error != FA_ERROR_NO_MORE)
		fprintf(stderr, "%s\n", fa_error_message());
	fa_trace_close(trace);
	return error != FA_ERROR_NO_MORE;
}
