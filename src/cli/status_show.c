/* status_show.c - the status as text and as JSON. */
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/parse.h"
#include "cli/rules.h"
#include "cli/status.h"

enum { COVERAGE_SHOWN = 20 };

static const char *state_word(const struct fa_status_process *p)
{
	static const char *const words[] = {"?", "traced", "waiting", "refused"};

	return p->state < 4 ? words[p->state] : "?";
}

/* Others' words as they may be printed, until the next call but three. */
static const char *shown(const char *s, size_t most)
{
	static char text[4][4200];
	static unsigned turn;
	char *to = text[turn++ % 4];

	if (most >= sizeof(text[0]))
		most = sizeof(text[0]) - 1;
	(void)snprintf(to, sizeof(text[0]), "%.*s", (int)most, s);
	fa_clean_text(to);
	return to;
}

static const char *user_name(uint32_t uid, char *buf, size_t size)
{
	const struct passwd *pw = getpwuid(uid);

	if (pw != NULL)
		(void)snprintf(buf, size, "%s", pw->pw_name);
	else
		(void)snprintf(buf, size, "%u", uid);
	return buf;
}

static void text_daemon(const struct fa_status *s)
{
	char when[64];

	if (!s->running) {
		puts("firstallocd: not running; nothing is collected ('firstalloc start NAME' as "
		     "root "
		     "starts it)");
		return;
	}
	printf("firstallocd: runs %s, pid %d, since %s", s->how, s->h.keeper_pid,
	       fa_format_time(when, sizeof(when), s->h.started_real));
	if (s->h.restarts > 0)
		printf(", %u part%s restarted", s->h.restarts, s->h.restarts == 1 ? "" : "s");
	puts(s->h.bell ? "" : " - the doorbell is not answered at the moment");
}

static void text_off(const struct fa_status *s)
{
	char how[5000];

	if (s->off != 0)
		printf("OFF: no program is traced, %s ('firstalloc on' lifts it)\n",
		       fa_off_text(how, sizeof(how), s->root, s->off));
}

static void text_session(const struct fa_status_session *e)
{
	char events[32], lost[32], bytes[32], user[64];

	printf("  %-16s %12s events %8s lost  %u process%s  %s%s%s\n", shown(e->name, sizeof(e->name)),
	       fa_format_count(events, sizeof(events), e->events),
	       fa_format_count(lost, sizeof(lost), e->events_lost), e->processes,
	       e->processes == 1 ? "" : "es", fa_format_size(bytes, sizeof(bytes), e->bytes),
	       e->flags & FA_SESSION_AUTOLOGGER ? "  autologger" : "",
	       e->flags & FA_SESSION_USER ? "  own processes only" : "");
	printf("    %s, %s, of %s, policy %s", shown(e->file, sizeof(e->file)),
	       fa_log_mode_name(e->log_file_mode), user_name(e->uid, user, sizeof(user)),
	       e->policy ? "count" : "wait");
	for (uint32_t i = 0; i < e->image_count && i < FA_SESSION_IMAGES; i++)
		printf("%s%s", i == 0 ? ", only " : ", ", shown(e->image[i], sizeof(e->image[i])));
	putchar('\n');
	if (e->state == FA_SESSION_ENDED)
		printf("    ENDED: %s%s%s\n", fa_end_reason_text(e->end_reason),
		       e->end_error ? ": " : "", e->end_error ? strerror((int)e->end_error) : "");
	if (e->log_buffers_lost > 0)
		printf("    LogBuffersLost %" PRIu64 "\n", e->log_buffers_lost);
	if (e->consumers > 0)
		printf("    %u reader%s\n", e->consumers, e->consumers == 1 ? "" : "s");
	if (e->real_time_buffers_lost > 0)
		printf("    RealTimeBuffersLost %" PRIu64 ", %s events: for readers alone\n",
		       e->real_time_buffers_lost, fa_format_count(lost, sizeof(lost), e->real_time_events_lost));
}

static void text_processes(const struct fa_status *s)
{
	if (s->h.processes == 0)
		return;
	puts("\nFlagged processes");
	printf("  %8s  %-16s %-10s %-8s %14s %10s\n", "PID", "IMAGE", "USER", "STATE", "EVENTS",
	       "LOST");
	for (uint32_t i = 0; i < s->h.processes; i++) {
		const struct fa_status_process *p = &s->process[i];
		char events[32], lost[32], user[64];

		printf("  %8d  %-16s %-10s %-8s %14s %10s", p->pid, shown(p->image, sizeof(p->image)),
		       user_name(p->uid, user, sizeof(user)), state_word(p),
		       fa_format_count(events, sizeof(events), p->events),
		       fa_format_count(lost, sizeof(lost), p->lost));
		if (p->state != FA_STATUS_TRACED)
			printf("  %s", fa_reason_text(p->reason));
		putchar('\n');
		fa_threads_text(s, i, true);
	}
}

static void text_armed(const struct fa_status *s)
{
	puts("\nArmed rules");
	if (!s->armed_known)
		puts("  the registry cannot be read");
	else if (s->armed.count == 0)
		puts("  none");
	for (uint32_t i = 0; i < s->armed.count; i++) {
		const struct fa_rule *r = &s->armed.rule[i];
		char when[64];

		printf("  %-16s flags 0x%x", shown(r->image, ~(size_t)0), r->flags);
		if (r->path != NULL && r->path[0])
			printf("  path %s", shown(r->path, ~(size_t)0));
		if (r->uid != FA_USER_ANY)
			printf("  user %u", r->uid);
		if (r->when != 0)
			printf("  since %s", fa_format_time(when, sizeof(when), r->when));
		if (r->expires != 0)
			printf("  until %s", fa_format_time(when, sizeof(when), r->expires));
		if (r->starts_left != 0)
			printf("  %u start%s left", r->starts_left, r->starts_left == 1 ? "" : "s");
		if (r->who != NULL && r->who[0])
			printf("  by %s", shown(r->who, ~(size_t)0));
		if ((r->options & FA_RULE_DISARMED) != 0)
			printf("\n    %s", r->note != NULL && r->note[0] ? shown(r->note, ~(size_t)0)
					  : "disarmed after crashes; enable it again to re-arm");
		putchar('\n');
	}
}

static void text_coverage(const struct fa_status *s)
{
	uint32_t first = s->h.coverage > COVERAGE_SHOWN ? s->h.coverage - COVERAGE_SHOWN : 0;

	if (s->h.coverage > 0)
		puts("\nFlagged programs that started and did not arrive");
	if (first > 0)
		printf("  (the last %d of %u)\n", COVERAGE_SHOWN, s->h.coverage);
	for (uint32_t i = first; i < s->h.coverage; i++) {
		const struct fa_status_coverage *c = &s->coverage[i];
		char when[64];

		printf("  %s %8d  %-16s %s\n", fa_format_time(when, sizeof(when), c->when_real),
		       c->pid, shown(c->image, sizeof(c->image)), fa_reason_text(c->reason));
	}
	if (!s->h.connector)
		puts("\nProgram starts cannot be watched here: who was missed is not known.");
	else if (s->h.unknown_starts > 0)
		printf("\n%" PRIu64 " program%s ended before %s could be looked at.\n", s->h.unknown_starts,
		       s->h.unknown_starts == 1 ? "" : "s",
		       s->h.unknown_starts == 1 ? "it" : "they");
}

void fa_status_text(const struct fa_status *s)
{
	text_daemon(s);
	text_off(s);
	if (s->running) {
		puts("\nSessions");
		if (s->h.sessions == 0)
			puts("  none");
		for (uint32_t i = 0; i < s->h.sessions; i++)
			text_session(&s->session[i]);
		text_processes(s);
	}
	text_armed(s);
	if (s->running)
		text_coverage(s);
}

static void json_daemon(struct fa_json *j, const struct fa_status *s)
{
	fa_json_object(j, "daemon");
	fa_json_bool(j, "running", s->running);
	fa_json_string(j, "how", s->how);
	if (s->running) {
		fa_json_i64(j, "keeper", s->h.keeper_pid);
		fa_json_i64(j, "doorman", s->h.doorman_pid);
		fa_json_i64(j, "collector", s->h.collector_pid);
		fa_json_u64(j, "restarts", s->h.restarts);
		fa_json_u64(j, "started", s->h.started_real);
		fa_json_bool(j, "bell", s->h.bell);
		fa_json_bool(j, "all_users", s->h.system);
	}
	fa_json_end_object(j);
}

static void json_sessions(struct fa_json *j, const struct fa_status *s)
{
	fa_json_array(j, "sessions");
	for (uint32_t i = 0; i < s->h.sessions; i++) {
		const struct fa_status_session *e = &s->session[i];

		fa_json_object(j, NULL);
		fa_json_string(j, "name", e->name);
		fa_json_u64(j, "uid", e->uid);
		fa_json_string(j, "file", e->file);
		fa_json_string(j, "state", e->state == FA_SESSION_ENDED ? "ended" : "running");
		if (e->state == FA_SESSION_ENDED)
			fa_json_string(j, "end", fa_end_reason_text(e->end_reason));
		fa_json_bool(j, "autologger", (e->flags & FA_SESSION_AUTOLOGGER) != 0);
		fa_json_bool(j, "own_only", (e->flags & FA_SESSION_USER) != 0);
		fa_json_string(j, "policy", e->policy ? "count" : "wait");
		fa_json_array(j, "images");
		for (uint32_t k = 0; k < e->image_count && k < FA_SESSION_IMAGES; k++)
			fa_json_string(j, NULL, e->image[k]);
		fa_json_end_array(j);
		fa_json_u64(j, "processes", e->processes);
		fa_json_u64(j, "events", e->events);
		fa_json_u64(j, "events_lost", e->events_lost);
		fa_json_u64(j, "buffers_written", e->buffers_written);
		fa_json_u64(j, "buffers_overwritten", e->buffers_overwritten);
		fa_json_u64(j, "log_buffers_lost", e->log_buffers_lost);
		fa_json_u64(j, "consumers", e->consumers);
		fa_json_u64(j, "real_time_buffers_lost", e->real_time_buffers_lost);
		fa_json_u64(j, "real_time_events_lost", e->real_time_events_lost);
		fa_json_string(j, "mode", fa_log_mode_name(e->log_file_mode));
		fa_json_u64(j, "bytes", e->bytes);
		fa_json_u64(j, "started", e->started_real);
		fa_json_u64(j, "buffer_size", e->buffer_size);
		fa_json_u64(j, "flush_timer", e->flush_timer);
		fa_json_u64(j, "maximum_file_size", e->maximum_file_size);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
}

static void json_processes(struct fa_json *j, const struct fa_status *s)
{
	fa_json_array(j, "processes");
	for (uint32_t i = 0; i < s->h.processes; i++) {
		const struct fa_status_process *p = &s->process[i];

		fa_json_object(j, NULL);
		fa_json_i64(j, "pid", p->pid);
		fa_json_string(j, "image", p->image);
		fa_json_u64(j, "uid", p->uid);
		fa_json_string(j, "state", state_word(p));
		fa_json_string(j, "reason", fa_reason_name(p->reason));
		fa_json_string(j, "text", fa_reason_text(p->reason));
		fa_json_u64(j, "events", p->events);
		fa_json_u64(j, "lost", p->lost);
		if (s->h.threads != 0)
			fa_threads_json(j, s, i);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
}

static void json_armed(struct fa_json *j, const struct fa_status *s)
{
	fa_json_array(j, "armed");
	for (uint32_t i = 0; i < s->armed.count; i++) {
		const struct fa_rule *r = &s->armed.rule[i];

		fa_json_object(j, NULL);
		fa_json_u64(j, "rule", r->id);
		fa_json_string(j, "image", r->image);
		fa_json_string(j, "path", r->path != NULL && r->path[0] ? r->path : NULL);
		if (r->uid != FA_USER_ANY)
			fa_json_u64(j, "uid", r->uid);
		fa_json_u64(j, "flags", r->flags);
		fa_json_u64(j, "expires", r->expires);
		fa_json_u64(j, "starts_left", r->starts_left);
		fa_json_string(j, "who", r->who);
		fa_json_u64(j, "when", r->when);
		fa_json_bool(j, "disarmed", (r->options & FA_RULE_DISARMED) != 0);
		fa_json_string(j, "note", r->note != NULL && r->note[0] ? r->note : NULL);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
}

static void json_coverage(struct fa_json *j, const struct fa_status *s)
{
	fa_json_object(j, "coverage");
	fa_json_bool(j, "starts_watched", s->running && s->h.connector);
	if (s->running && s->h.connector)
		fa_json_u64(j, "unknown", s->h.unknown_starts);
	else
		fa_json_null(j, "unknown");
	fa_json_array(j, "missed");
	for (uint32_t i = 0; i < s->h.coverage; i++) {
		const struct fa_status_coverage *c = &s->coverage[i];

		fa_json_object(j, NULL);
		fa_json_i64(j, "pid", c->pid);
		fa_json_string(j, "image", c->image);
		fa_json_u64(j, "uid", c->uid);
		fa_json_string(j, "reason", fa_reason_name(c->reason));
		fa_json_string(j, "text", fa_reason_text(c->reason));
		fa_json_u64(j, "time", c->when_real);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
	fa_json_end_object(j);
}

void fa_status_json(const struct fa_status *s)
{
	struct fa_json j;

	fa_json_init(&j, stdout, true);
	fa_json_object(&j, NULL);
	json_daemon(&j, s);
	fa_off_json(&j, s->off);
	json_sessions(&j, s);
	json_processes(&j, s);
	json_armed(&j, s);
	json_coverage(&j, s);
	fa_json_end_object(&j);
	fa_json_newline(&j);
}
