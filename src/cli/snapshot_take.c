/* snapshot_take.c - `firstalloc snapshot take`: one line for each process, once or periodically. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/json.h"
#include "base/parse.h"
#include "cli/client.h"
#include "cli/snapshot.h"

int fa_snapshot_pids(const struct fa_cli *cli, const struct fa_option_list *given,
		     int32_t pids[FA_SNAPSHOT_PIDS], unsigned *ret_count)
{
	unsigned n = 0;

	for (int i = 0; i < given->count; i++) {
		const char *p = given->item[i];

		for (char *end; *p != '\0'; p = *end == ',' ? end + 1 : end) {
			long pid = strtol(p, &end, 10);

			if (*p < '0' || *p > '9' || (*end != '\0' && *end != ',') || pid < 1 ||
			    pid > 1 << 22)
				return fa_usage(cli, "--pid: '%s' is no number of a process",
						given->item[i]);
			if (n == FA_SNAPSHOT_PIDS)
				return fa_usage(cli, "--pid: at most %d processes", FA_SNAPSHOT_PIDS);
			pids[n++] = (int32_t)pid;
		}
	}
	*ret_count = n;
	return 0;
}

/* Whom to take, and what came of it. */
struct take {
	const struct fa_cli *cli;
	const struct fa_snapshot_given *given;
	struct fa_snapshot_given own; /* that is it: --stop takes names out of it */
	struct fa_snapshot_run run;
	int sock;
	char session[FA_SESSION_NAME]; /* "": into a file */
	uint64_t session_id;
	int32_t pid[FA_SNAPSHOT_PIDS];
	unsigned pids;
	unsigned named; /* those from this one on were found by name: who keeps no table, or has just ended, is
			 * not told */
	unsigned taken, failed;
	int error; /* of the last that failed */
	struct fa_json j;
};

static bool has_name(const struct fa_option_list *names, const char *image)
{
	for (int i = 0; i < names->count; i++)
		if (strcmp(names->item[i], image) == 0)
			return true;
	return false;
}

/* A process that executed another program may be there twice. */
static bool has_pid(const struct take *t, int32_t pid)
{
	for (unsigned i = 0; i < t->pids; i++)
		if (t->pid[i] == pid)
			return true;
	return false;
}

/* Who runs under these names now. 0 or an exit status. */
static int find_named(struct take *t)
{
	struct fa_client_status s = {0};
	struct fa_control_reply reply;
	int e;

	if (t->given->names.count == 0)
		return 0;
	e = fa_snapshot_connect(t->cli->root, &t->sock);
	if (e == 0)
		e = fa_client_status(t->sock, false, &reply, &s);
	if (e < 0)
		return fa_client_fail(t->cli, e);
	for (uint32_t i = 0; i < s.h.processes && t->pids < FA_SNAPSHOT_PIDS; i++)
		if (s.process[i].state == FA_STATUS_TRACED &&
		    has_name(&t->given->names, s.process[i].image) &&
		    !has_pid(t, s.process[i].pid))
			t->pid[t->pids++] = s.process[i].pid;
	fa_client_status_done(&s);
	return 0;
}

static void print_json(struct fa_json *j, const struct fa_snapshot_result *r)
{
	fa_json_object(j, NULL);
	fa_json_i64(j, "pid", r->pid);
	fa_json_string(j, "image", r->image[0] != '\0' ? r->image : NULL);
	fa_json_string(j, "error", r->error != 0 ? r->text : NULL);
	if (r->error == 0) {
		fa_json_u64(j, "blocks", r->of.blocks);
		fa_json_u64(j, "bytes", r->of.bytes);
		fa_json_u64(j, "usable_bytes", r->of.usable_bytes);
		fa_json_u64(j, "refused", r->of.refused);
		fa_json_u64(j, "table_bytes", r->of.table_bytes);
		fa_json_u64(j, "look_ns", r->of.look_ns);
		fa_json_bool(j, "post_mortem", r->dead);
	}
	fa_json_end_object(j);
}

static void print(const struct fa_snapshot_result *r)
{
	char count[32], size[32], table[32];

	if (r->error != 0) {
		fa_warn("pid %d%s%s%s: no snapshot: %s", (int)r->pid, r->image[0] ? " (" : "",
			r->image, r->image[0] ? ")" : "", r->text);
		return;
	}
	printf("pid %d (%s): %s blocks, %s; its table takes %s%s\n", (int)r->pid, r->image,
	       fa_format_count(count, sizeof(count), r->of.blocks),
	       fa_format_size(size, sizeof(size), r->of.bytes),
	       fa_format_size(table, sizeof(table), r->of.table_bytes),
	       r->dead ? "; it has ended" : "");
	if (r->of.refused != 0)
		fa_warn("pid %d (%s): degraded: %s blocks found no room in its table since it was "
			"enabled, and are not there unless they were freed",
			(int)r->pid, r->image, fa_format_count(count, sizeof(count), r->of.refused));
}

static void take_one(struct take *t, struct fa_snapshot_file *file, unsigned i)
{
	struct fa_snapshot_result r;

	fa_snapshot_one(t->sock, file, t->pid[i], t->given->post_mortem || t->given->at_exit, &r);
	if ((r.error == ENOENT || r.error == ESRCH) && i >= t->named)
		return;
	t->taken += r.error == 0;
	t->failed += r.error != 0;
	t->error = r.error != 0 ? r.error : t->error;
	if (t->cli->json)
		print_json(&t->j, &r);
	else
		print(&r);
}

static int open_failed(const char *path, int e)
{
	return fa_fail((int)fa_exit_of(e), "%s: %s", path,
		       e == -EEXIST ? "there is such a file already; a snapshot goes into a new one"
				    : fa_strerror(e));
}

static int open_target(struct take *t, struct fa_snapshot_file *file, const char *path)
{
	int e = fa_snapshot_connect(t->cli->root, &t->sock);

	if (e < 0)
		return fa_client_fail(t->cli, e);
	if (t->session[0] != '\0') {
		fa_snapshot_session_open(file, t->session, t->session_id);
		return 0;
	}
	e = fa_snapshot_file_open(file, path);
	return e < 0 ? open_failed(path, e) : 0;
}

/* new_path: where it was written to. */
static int end_file(const struct take *t, struct fa_snapshot_file *file, const char *new_path, const char *path)
{
	int e = 0;

	if (t->taken > 0)
		e = fa_snapshot_file_end(file);
	else
		fa_snapshot_file_drop(file);
	if (e == 0 && t->taken > 0 && strcmp(new_path, path) != 0 && rename(new_path, path) < 0)
		e = -errno;
	return e;
}

static void begin_json(struct take *t, const char *path)
{
	fa_json_init(&t->j, stdout, true);
	fa_json_object(&t->j, NULL);
	if (t->session[0] != '\0')
		fa_json_string(&t->j, "session", t->session);
	else
		fa_json_string(&t->j, "file", path);
	fa_json_array(&t->j, "processes");
}

static void say_where(struct take *t, const struct fa_snapshot_file *file, const char *path, int error)
{
	char size[32];

	if (t->cli->json) {
		fa_json_end_array(&t->j);
		if (t->session[0] == '\0')
			fa_json_u64(&t->j, "file_bytes", file->bytes);
		fa_json_end_object(&t->j);
		fa_json_newline(&t->j);
	} else if (t->taken > 0 && error == 0 && t->session[0] != '\0') {
		printf("into session %s: 'report --view snapshots' of its trace lists them\n", t->session);
	} else if (t->taken > 0 && error == 0) {
		printf("%s: %s\n", path, fa_format_size(size, sizeof(size), file->bytes));
	}
}

/* All of them into one file, or the session. 0, 2 for some, or why none. replace: what is there already, when it is whole. */
static int take_all(struct take *t, const char *path, bool replace)
{
	struct fa_snapshot_file file;
	char new_path[4200];
	int e;

	(void)snprintf(new_path, sizeof(new_path), "%s%s", path, replace ? ".new" : "");
	e = open_target(t, &file, new_path);
	if (e != 0)
		return e;
	t->taken = t->failed = 0;
	if (t->cli->json)
		begin_json(t, path);
	for (unsigned i = 0; i < t->pids; i++)
		take_one(t, &file, i);
	if (t->session[0] == '\0')
		e = end_file(t, &file, new_path, path);
	say_where(t, &file, path, e);
	if (e < 0)
		return fa_fail((int)fa_exit_of(e), "%s: %s", path, fa_strerror(e));
	if (t->taken == 0 && t->failed == 0)
		return fa_fail(FA_EXIT_NOT_FOUND, "no process of that name keeps a table of live blocks "
						  "('firstalloc snapshot config')");
	if (t->taken == 0)
		return (int)fa_exit_of(t->error == ENOENT || t->error == ESRCH ? -ENOENT : -t->error);
	return t->failed > 0 ? FA_EXIT_USAGE : FA_EXIT_OK;
}

/* FILE with the number before its last dot: snap.falloc, snap.3.falloc. */
static void number_file(char *to, size_t size, const char *path, uint32_t number)
{
	const char *base = fa_base_name(path), *dot = strrchr(base, '.');

	if (dot == NULL || dot == base)
		dot = path + strlen(path);
	(void)snprintf(to, size, "%.*s.%u%s", (int)(dot - path), path, number, dot);
}

static int take_periodically(struct take *t, const char *path)
{
	const uint64_t begin = fa_mono_ns();
	int worst = FA_EXIT_OK;
	bool ended;

	for (uint32_t n = 1; t->given->count == 0 || n <= t->given->count; n++) {
		uint64_t due = begin + n * t->given->every;
		char file[4200];
		int status;

		number_file(file, sizeof(file), path, n);
		t->pids = t->named;
		status = find_named(t);
		if (status == 0)
			status = take_all(t, file, false);
		(void)fflush(stdout);
		if (status != FA_EXIT_OK && status != FA_EXIT_USAGE)
			return n > 1 ? FA_EXIT_USAGE : status;
		worst = status != FA_EXIT_OK ? status : worst;
		if ((t->given->count != 0 && n == t->given->count) ||
		    (t->given->time != 0 && due - begin > t->given->time))
			break;
		if (!fa_snapshot_run_goes_on(&t->run, -1, due, &ended))
			break;
	}
	return worst;
}

static int wait_ended(const struct take *t, const struct fa_snapshot_watch *w, enum fa_snapshot_seen seen)
{
	switch (seen) {
	case FA_SEEN_STOPPED:
		return FA_EXIT_OK;
	case FA_SEEN_LATE:
		return fa_fail(FA_EXIT_NOT_FOUND, "pid %d: it did not come to that in time (--for)",
			       (int)t->pid[0]);
	case FA_SEEN_FAILED:
		return fa_fail(FA_EXIT_FAILED, "pid %d: %s", (int)t->pid[0], w->text);
	default:
		return fa_fail(FA_EXIT_NOT_FOUND, "pid %d: it ended before", (int)t->pid[0]);
	}
}

/* A twentieth more than at the last one: else a program that grows would be looked at all the time. */
static int take_peaks(struct take *t, struct fa_snapshot_watch *w, const char *path)
{
	enum fa_snapshot_seen seen;
	uint64_t next = 1;
	unsigned peaks = 0;
	int status = FA_EXIT_OK;

	while ((seen = fa_snapshot_watch(w, next, 0)) == FA_SEEN_DUE) {
		status = take_all(t, path, true);
		if (status != FA_EXIT_OK)
			return status;
		(void)fflush(stdout);
		peaks++;
		next = w->live + w->live / 20 + 1;
	}
	return peaks > 0 && seen != FA_SEEN_FAILED ? FA_EXIT_OK : wait_ended(t, w, seen);
}

/* One process, watched. */
static int take_when(struct take *t, const char *path)
{
	const struct fa_snapshot_given *given = t->given;
	struct fa_snapshot_watch w;
	enum fa_snapshot_seen seen;
	uint64_t rss;
	int status = fa_snapshot_rss_limit(t->cli, given->when_rss, &rss), e;

	if (status != 0)
		return status;
	if (t->pids != 1 || given->names.count != 0)
		return fa_usage(t->cli, "--when-live, --when-rss, --at-exit and --on-peak watch one --pid");
	e = fa_snapshot_watch_open(&w, t->cli->root, &t->sock, &t->run, t->pid[0], given->time);
	if (e < 0)
		return fa_fail((int)fa_exit_of(e == -ESRCH ? -ENOENT : e), "pid %d: %s", (int)t->pid[0],
			       fa_strerror(e));
	if (given->on_peak) {
		status = take_peaks(t, &w, path);
	} else {
		seen = fa_snapshot_watch(&w, given->when_live, rss);
		status = seen == FA_SEEN_DUE || (seen == FA_SEEN_ENDED && given->at_exit)
				 ? take_all(t, path, false)
				 : wait_ended(t, &w, seen);
	}
	fa_snapshot_watch_close(&w);
	return status;
}

static bool waits(const struct fa_snapshot_given *given)
{
	return given->when_live != 0 || given->when_rss != NULL || given->at_exit || given->on_peak;
}

static bool is_taken(const struct take *t, const struct fa_status_process *p)
{
	return has_pid(t, p->pid) || (p->state == FA_STATUS_TRACED && has_name(&t->given->names, p->image));
}

/* Nothing was said: into a session that one of them is in. */
static int find_session(struct take *t)
{
	struct fa_client_status s = {0};
	struct fa_snapshot_file found = {.fd = -1};
	struct fa_control_reply reply;
	int e = fa_client_status(t->sock, false, &reply, &s);

	if (e < 0)
		return fa_client_fail(t->cli, e);
	for (uint32_t i = 0; i < s.h.processes; i++)
		if (is_taken(t, &s.process[i]) && fa_snapshot_session_of(&s, &s.process[i], &found))
			break;
	fa_client_status_done(&s);
	memcpy(t->session, found.session, sizeof(t->session));
	t->session_id = found.session_id;
	return 0;
}

/* Where to? A session takes no processes that have ended, and what it has stays. */
static int choose_target(struct take *t)
{
	const struct fa_snapshot_given *g = t->given;
	const bool file_only = g->on_peak || g->at_exit || g->post_mortem;

	if (g->session == NULL)
		return g->output == NULL && !file_only ? find_session(t) : 0;
	if (g->output != NULL || file_only)
		return fa_usage(t->cli, "--session: without -o, --on-peak, --at-exit and --post-mortem, "
					"which are for files");
	if (!fa_session_name_ok(g->session))
		return fa_usage(t->cli, "'%s' is no name of a session", g->session);
	(void)snprintf(t->session, sizeof(t->session), "%s", g->session);
	return 0;
}

static int check(const struct fa_cli *cli, const struct fa_snapshot_given *given, const struct take *t)
{
	if (t->pids == 0 && given->names.count == 0)
		return fa_usage(cli, "take a snapshot of what? --pid, --name or a name");
	if (given->every != 0 && given->every < 1000000000u)
		return fa_usage(cli, "--every: at least 1s");
	if (given->every == 0 && (given->count != 0 || (given->time != 0 && !waits(given))))
		return fa_usage(cli, "--count and --for need --every");
	if (given->every != 0 && waits(given))
		return fa_usage(cli, "--every goes by time alone");
	return 0;
}

static int take(struct take *t)
{
	const struct fa_snapshot_given *given = t->given;
	char now[64];
	const char *path = given->output != NULL ? given->output : now;
	int status = choose_target(t);

	if (status != 0)
		return status;
	(void)snprintf(now, sizeof(now), "snapshot.%llu.falloc",
		       (unsigned long long)(fa_real_ns() / 1000000000u));
	if (given->every != 0 || waits(given)) {
		/* Where no such socket can be, it goes on without: --stop does not find it. */
		(void)!fa_snapshot_run_open(&t->run, t->pid, &t->pids, &t->named, &t->own.names);
		status = given->every != 0 ? take_periodically(t, path) : take_when(t, path);
		fa_snapshot_run_close(&t->run);
		return status;
	}
	status = find_named(t);
	return status != 0 ? status : take_all(t, path, false);
}

int fa_snapshot_take(const struct fa_cli *cli, const struct fa_snapshot_given *given)
{
	struct take t = {.cli = cli, .own = *given, .sock = -1};
	int status = fa_snapshot_pids(cli, &given->pids, t.pid, &t.pids), e;

	if (given->stop)
		return fa_snapshot_run_stop(cli, given);
	t.given = &t.own;
	if (status == 0)
		status = check(cli, given, &t);
	if (status != 0)
		return status;
	t.named = t.pids;
	e = fa_snapshot_connect(cli->root, &t.sock);
	status = e < 0 ? fa_client_fail(cli, e) : take(&t);
	fa_close(&t.sock);
	return status;
}
