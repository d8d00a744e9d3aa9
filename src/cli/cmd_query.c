/* cmd_query.c - one session in ETW's words: what was asked for, what holds, counters, losses and remedies. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/rules.h"
#include "cli/status.h"
#include "format/trace_format.h"

static struct {
	bool threads;
} given;

static const struct fa_option options[] = {
	{'t', "threads", NULL, FA_OPT_FLAG, &given.threads, "all threads, not only those that lost events", NULL}, {0}};

/* What helps against a loss of this cause; NULL: nothing that could be set. */
static const char *remedy(unsigned cause, const struct fa_status_session *e)
{
	switch (cause) {
	case FA_LOST_NO_BUFFER:
		return e->maximum_buffers != 0
			       ? "no buffer was free: raise MaximumBuffers, or leave it away; write to a faster "
				 "disk"
			       : "no buffer was free: take the policy wait (then the program waits), or a "
				 "faster disk";
	case FA_LOST_NESTED:
		return "signal handlers that allocate interrupted each other";
	case FA_LOST_NO_MEMORY:
		return "no memory was left: raise the limits of the program (RLIMIT_AS, memory.max)";
	case FA_LOST_DAMAGED:
		return "a program overwrote its arena: look for writes beyond the end of a block";
	default:
		return NULL;
	}
}

static const char *buffers_remedy(const struct fa_status_session *e)
{
	return e->log_buffers_lost > 0 ? "the file could not be written: take another disk" : NULL;
}

static void json_pair(struct fa_json *j, const char *key, uint64_t requested, uint64_t effective)
{
	fa_json_object(j, key);
	if (requested != 0)
		fa_json_u64(j, "requested", requested);
	else
		fa_json_null(j, "requested");
	if (effective != 0)
		fa_json_u64(j, "effective", effective);
	else
		fa_json_null(j, "effective");
	fa_json_end_object(j);
}

static bool is_in(const struct fa_status_process *p, const struct fa_status_session *e)
{
	return p->state == FA_STATUS_TRACED && (p->sessions >> e->index & 1) != 0;
}

static void json_processes(struct fa_json *j, const struct fa_status *s,
			   const struct fa_status_session *e)
{
	fa_json_array(j, "processes");
	for (uint32_t i = 0; i < s->h.processes; i++) {
		const struct fa_status_process *p = &s->process[i];

		if (!is_in(p, e))
			continue;
		fa_json_object(j, NULL);
		fa_json_i64(j, "pid", p->pid);
		fa_json_string(j, "image", p->image);
		fa_json_u64(j, "events", p->events);
		fa_json_u64(j, "EventsLost", p->lost);
		fa_causes_json(j, p->lost_by);
		fa_threads_json(j, s, i);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
}

static void json_consumers(struct fa_json *j, const struct fa_status *s,
			   const struct fa_status_session *e)
{
	fa_json_array(j, "consumers");
	for (uint32_t i = 0; i < s->h.consumers; i++) {
		const struct fa_status_consumer *k = &s->got.consumer[i];

		if (k->session_id != e->id)
			continue;
		fa_json_object(j, NULL);
		fa_json_i64(j, "pid", k->pid);
		fa_json_u64(j, "uid", k->uid);
		fa_json_u64(j, "events", k->events);
		fa_json_u64(j, "events_lost", k->events_lost);
		fa_json_u64(j, "events_unwanted", k->events_unwanted);
		fa_json_u64(j, "buffers", k->buffers);
		fa_json_u64(j, "RealTimeBuffersLost", k->buffers_lost);
		fa_json_u64(j, "queued_bytes", k->queued_bytes);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
}

static void json_remedies(struct fa_json *j, const struct fa_status_session *e)
{
	fa_json_array(j, "remedies");
	for (unsigned i = 0; i < FA_LOST_CAUSES; i++)
		if (e->lost_by[i] != 0 && remedy(i, e) != NULL)
			fa_json_string(j, NULL, remedy(i, e));
	if (buffers_remedy(e) != NULL)
		fa_json_string(j, NULL, buffers_remedy(e));
	fa_json_end_array(j);
}

static void show_json(const struct fa_status *s, const struct fa_status_session *e)
{
	struct fa_json j;

	fa_json_init(&j, stdout, true);
	fa_json_object(&j, NULL);
	fa_json_string(&j, "name", e->name);
	fa_json_string(&j, "state", e->state == FA_SESSION_ENDED ? "ended" : "running");
	fa_json_string(&j, "file", e->file);
	fa_json_u64(&j, "files", e->files);
	fa_json_u64(&j, "files_begun", e->files_begun);
	fa_json_string(&j, "LogFileMode", fa_log_mode_name(e->log_file_mode));
	fa_json_bool(&j, "RealTime", (e->log_file_mode & FA_LOG_REAL_TIME) != 0);
	fa_json_bool(&j, "Preallocate", (e->log_file_mode & FA_LOG_PREALLOCATE) != 0);
	fa_json_string(&j, "policy", e->policy ? "count" : "wait");
	json_pair(&j, "BufferSize", e->requested_buffer_size / 1024, e->buffer_size / 1024);
	json_pair(&j, "MinimumBuffers", e->requested_minimum_buffers, e->minimum_buffers);
	json_pair(&j, "MaximumBuffers", e->requested_maximum_buffers, e->maximum_buffers);
	json_pair(&j, "FlushTimer", e->requested_flush_timer, e->flush_timer);
	fa_json_u64(&j, "MaximumFileSize", e->maximum_file_size >> 20);
	fa_json_u64(&j, "NumberOfBuffers", e->number_of_buffers);
	fa_json_u64(&j, "FreeBuffers", e->free_buffers);
	fa_json_u64(&j, "EventsLost", e->events_lost);
	fa_json_u64(&j, "BuffersWritten", e->buffers_written);
	fa_json_u64(&j, "buffers_overwritten", e->buffers_overwritten);
	fa_json_u64(&j, "LogBuffersLost", e->log_buffers_lost);
	fa_json_u64(&j, "RealTimeBuffersLost", e->real_time_buffers_lost);
	fa_json_u64(&j, "real_time_events_lost", e->real_time_events_lost);
	json_consumers(&j, s, e);
	fa_json_u64(&j, "events", e->events);
	fa_json_u64(&j, "bytes", e->bytes);
	fa_causes_json(&j, e->lost_by);
	json_remedies(&j, e);
	json_processes(&j, s, e);
	fa_json_end_object(&j);
	fa_json_newline(&j);
}

static void text_count(const char *name, uint64_t n)
{
	char text[32];

	printf("  %-20s %s\n", name, fa_format_count(text, sizeof(text), n));
}

/* What holds; and what was asked for, where that is something else. */
static void text_pair(const char *name, uint64_t requested, uint64_t effective, const char *unit)
{
	char a[32], b[32];

	printf("  %-20s %s%s", name,
	       effective != 0 ? fa_format_count(a, sizeof(a), effective) : "as many as there is room for",
	       effective != 0 ? unit : "");
	if (requested != 0 && requested != effective)
		printf(" (asked for: %s%s)", fa_format_count(b, sizeof(b), requested), unit);
	putchar('\n');
}

static void text_losses(const struct fa_status_session *e)
{
	char count[32];

	for (unsigned i = 0; i < FA_LOST_CAUSES; i++)
		if (e->lost_by[i] != 0)
			printf("    by %s: %s%s%s\n", fa_lost_cause_name(i),
			       fa_format_count(count, sizeof(count), e->lost_by[i]),
			       remedy(i, e) != NULL ? " - " : "",
			       remedy(i, e) != NULL ? remedy(i, e) : "");
}

static void text_consumers(const struct fa_status *s, const struct fa_status_session *e)
{
	char text[2][32];

	if (e->real_time_events_lost != 0)
		text_count("  events in them", e->real_time_events_lost);
	for (uint32_t i = 0; i < s->h.consumers; i++) {
		const struct fa_status_consumer *k = &s->got.consumer[i];

		if (k->session_id != e->id)
			continue;
		printf("  consumer %-11d %s events, %s lost\n", (int)k->pid,
		       fa_format_count(text[0], sizeof(text[0]), k->events),
		       fa_format_count(text[1], sizeof(text[1]), k->events_lost));
	}
}

static void show_text(const struct fa_status *s, const struct fa_status_session *e)
{
	char bytes[32], text[2][32];

	printf("%s: %s\n", e->name, e->state == FA_SESSION_ENDED ? "ended" : "running");
	printf("  %-20s %s%s%s, policy %s\n", "LogFileMode", fa_log_mode_name(e->log_file_mode),
	       (e->log_file_mode & FA_LOG_REAL_TIME) != 0 && (e->log_file_mode & FA_LOG_MODES) != 0 ? ", real-time" : "",
	       (e->log_file_mode & FA_LOG_PREALLOCATE) != 0 ? ", preallocate" : "",
	       e->policy ? "count" : "wait");
	printf("  %-20s %s", "file", e->file);
	if (e->files > 1)
		printf(" (number %u, of %u that are written in turn)", e->files_begun, e->files);
	putchar('\n');
	text_pair("BufferSize", e->requested_buffer_size / 1024, e->buffer_size / 1024, " KB");
	text_pair("MinimumBuffers", e->requested_minimum_buffers, e->minimum_buffers, "");
	text_pair("MaximumBuffers", e->requested_maximum_buffers, e->maximum_buffers, "");
	text_pair("FlushTimer", e->requested_flush_timer, e->flush_timer, " s");
	text_count("NumberOfBuffers", e->number_of_buffers);
	text_count("FreeBuffers", e->free_buffers);
	text_count("BuffersWritten", e->buffers_written);
	if (e->buffers_overwritten != 0)
		text_count("  overwritten", e->buffers_overwritten);
	text_count("LogBuffersLost", e->log_buffers_lost);
	if (buffers_remedy(e) != NULL)
		printf("    %s\n", buffers_remedy(e));
	text_count("RealTimeBuffersLost", e->real_time_buffers_lost);
	text_consumers(s, e);
	text_count("EventsLost", e->events_lost);
	text_losses(e);
	text_count("events", e->events);
	printf("  %-20s %s\n", "bytes", fa_format_size(bytes, sizeof(bytes), e->bytes));
	for (uint32_t i = 0; i < s->h.processes; i++) {
		const struct fa_status_process *p = &s->process[i];
		char image[FA_IMAGE_NAME];

		if (!is_in(p, e))
			continue;
		(void)snprintf(image, sizeof(image), "%.*s", (int)sizeof(p->image), p->image);
		fa_clean_text(image);
		printf("  process %-12d %s, %s events, %s lost\n", (int)p->pid, image,
		       fa_format_count(text[0], sizeof(text[0]), p->events),
		       fa_format_count(text[1], sizeof(text[1]), p->lost));
		fa_threads_text(s, i, given.threads);
	}
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct fa_status s = {0};
	const struct fa_status_session *found = NULL;
	int e;

	if (argc != 1)
		return fa_usage(cli, "one session name is needed");
	e = fa_status_fetch(cli, true, &s);
	if (e != 0)
		return e;
	for (uint32_t i = 0; i < s.h.sessions && found == NULL; i++)
		if (fa_session_name_same(s.session[i].name, argv[0]))
			found = &s.session[i];
	if (found == NULL)
		e = fa_fail(FA_EXIT_NOT_FOUND, s.running ? "there is no session called '%s' that you may see"
							 : "no firstallocd is running, so no session '%s'",
			    argv[0]);
	else if (cli->json)
		show_json(&s, found);
	else
		show_text(&s, found);
	fa_status_done(&s);
	return e;
}

const struct fa_command fa_cmd_query = {
	.name = "query",
	.group = "Sessions",
	.summary = "what a session was asked for, what holds, its counters and losses",
	.synopsis = "NAME",
	.description =
		"Names and meanings are those of Event Tracing for Windows. BufferSize is of a block of "
		"the trace; it becomes smaller in a small file. NumberOfBuffers and FreeBuffers are "
		"those in which the programs record that are traced now. BuffersWritten are blocks of "
		"the trace. EventsLost is told by cause, with what helps against it, for the session "
		"since its start, and for each process and thread that is traced now (of threads beyond some "
		"hundreds the process's sum alone is known; of those that ended the trace has it). LogBuffersLost are blocks that could not be "
		"written. RealTimeBuffersLost are buffers of events that a reader (firstalloc tail) was too slow "
		"for: they are lost for it alone, not in the file; a line for each reader says how many.",
	.examples = "firstalloc query daily # is anything lost, and what helps\n"
		    "firstalloc query daily --json # the same for programs\n",
	.options = options,
	.run = run,
};
