/*
 * session.c - trace flagged programs while a command runs.
 *
 *   cc session.c $(pkg-config --cflags --libs firstalloc) -o session
 *   sudo firstalloc enable nginx
 *   sudo ./session nginx.falloc sleep 10
 *
 * As a user it traces the user's own programs that are flagged.
 */
#include <firstalloc.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int error, const char *what)
{
	if (error == FA_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, fa_error_message(), fa_error_name(error));
	exit(1);
}

static int run(char **command)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0) {
		execvp(command[0], command);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	return status;
}

int main(int argc, char **argv)
{
	/* Stacks of allocations; there is no PID: flagged programs. */
	const struct fa_stack_event_id ids[] = {
		{FA_HEAP_PROVIDER, FA_HEAP_TYPE_ALLOC, {0}},
		{FA_HEAP_PROVIDER, FA_HEAP_TYPE_REALLOC, {0}},
	};
	struct fa_trace_properties p;
	fa_trace_handle session;
	int status;

	if (argc < 3) {
		fprintf(stderr, "usage: session FILE COMMAND [ARG...]\n");
		return 2;
	}
	if (getenv("EXAMPLE_ROOT") != NULL) /* a firstallocd below another root */
		check(fa_set_root(getenv("EXAMPLE_ROOT")), "root");
	memset(&p, 0, sizeof(p));
	p.size = sizeof(p);
	p.settings.buffer_size = 256; /* KB */
	snprintf(p.log_file_name, sizeof(p.log_file_name), "%s", argv[1]);
	check(fa_start_heap_trace(&session, &p, "example", NULL, 0, ids, 2), "start");
	printf("buffers of %" PRIu32 " KB, flushed each %" PRIu32 " s\n", p.settings.buffer_size,
	       p.settings.flush_timer);

	status = run(argv + 2);

	check(fa_flush_trace(session, NULL, &p), "flush");
	printf("%" PRIu64 " events so far\n", p.events);
	check(fa_stop_trace(session, NULL, &p), "stop");
	printf("%" PRIu64 " events, %" PRIu64 " lost, %" PRIu32 " processes, %" PRIu64 " bytes in %s\n",
	       p.events, p.events_lost, p.processes, p.bytes_written, argv[1]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
