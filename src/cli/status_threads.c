/* status_threads.c - events and losses of threads, as status and query show them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "cli/rules.h"
#include "cli/status.h"
#include "format/trace_format.h"

static const char *name_of(const struct fa_status_thread *t, char name[sizeof(t->name) + 1])
{
	(void)snprintf(name, sizeof(t->name) + 1, "%.*s", (int)sizeof(t->name), t->name);
	fa_clean_text(name);
	return name;
}

static void text_thread(const struct fa_status_thread *t)
{
	char events[32], lost[32], name[sizeof(t->name) + 1];
	const char *between = " (";

	printf("    thread %-11d %s events, %s lost", (int)t->tid, fa_format_count(events, sizeof(events), t->events),
	       fa_format_count(lost, sizeof(lost), t->lost));
	for (unsigned i = 0; i < FA_LOST_CAUSES; i++)
		if (t->lost_by[i] != 0) {
			printf("%s%s: %s", between, fa_lost_cause_name(i),
			       fa_format_count(lost, sizeof(lost), t->lost_by[i]));
			between = ", ";
		}
	printf("%s%s%s\n", t->lost != 0 ? ")" : "", t->name[0] != '\0' ? "  " : "", name_of(t, name));
}

void fa_threads_text(const struct fa_status *s, uint32_t process, bool all)
{
	for (uint32_t i = 0; i < s->h.threads; i++)
		if (s->thread[i].process == process && (all || s->thread[i].lost != 0))
			text_thread(&s->thread[i]);
}

void fa_causes_json(struct fa_json *j, const uint64_t lost_by[FA_LOST_CAUSES])
{
	fa_json_object(j, "lost_by_cause");
	for (unsigned i = 0; i < FA_LOST_CAUSES; i++)
		if (lost_by[i] != 0)
			fa_json_u64(j, fa_lost_cause_name(i), lost_by[i]);
	fa_json_end_object(j);
}

void fa_threads_json(struct fa_json *j, const struct fa_status *s, uint32_t process)
{
	fa_json_array(j, "threads");
	for (uint32_t i = 0; i < s->h.threads; i++) {
		const struct fa_status_thread *t = &s->thread[i];
		char name[sizeof(t->name) + 1];

		if (t->process != process)
			continue;
		fa_json_object(j, NULL);
		fa_json_i64(j, "tid", t->tid);
		fa_json_u64(j, "thread", t->thread);
		fa_json_string(j, "name", name_of(t, name));
		fa_json_u64(j, "events", t->events);
		fa_json_u64(j, "EventsLost", t->lost);
		fa_causes_json(j, t->lost_by);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
}
