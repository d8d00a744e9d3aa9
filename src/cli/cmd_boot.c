/*
 * cmd_boot.c - one recording from the next boot on, as `wpr -boottrace`: set up, stopped into a file, or given up.
 *
 * The entry is a drop-in of its own (boot.h). There is one at most, so that stop needs no name; more than one session
 * from boot on is what `autologger` is for.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/parse.h"
#include "base/paths.h"
#include "cli/boot.h"
#include "cli/client.h"
#include "cli/stage.h"

enum { PROFILE_MAX = 8192 };

static struct {
	const char *stage;
} opt;

static const struct fa_option options[] = {
	{0, "stage", "STAGE", FA_OPT_CHOICE, &opt.stage,
	 "add: initramfs, before PID 1, or service, before the other services (default: the earliest that this machine "
	 "is ready for)",
	 FA_STAGE_CHOICES},
	{0},
};

/* The session of the entry, "": there is none. */
static void find_entry(const struct fa_cli *cli, char *name, size_t size)
{
	char dir[512];
	const struct dirent *entry;
	DIR *d = fa_path_join(dir, sizeof(dir), cli->root, FA_DIR_INI) == 0 ? opendir(dir) : NULL;

	name[0] = '\0';
	while (d != NULL && (entry = readdir(d)) != NULL) {
		const char *from = entry->d_name + strlen(FA_BOOT_PREFIX), *dot = strrchr(entry->d_name, '.');

		if (strncmp(entry->d_name, FA_BOOT_PREFIX, strlen(FA_BOOT_PREFIX)) == 0 && dot > from &&
		    strcmp(dot, ".ini") == 0)
			(void)snprintf(name, size, "%.*s", (int)(dot - from), from);
	}
	if (d != NULL)
		(void)closedir(d);
}

static int remove_entry(const struct fa_cli *cli, const char *name)
{
	char path[700];
	int e = fa_drop_in_path(cli, FA_BOOT_PREFIX, name, path, sizeof(path));

	if (e == 0 && unlink(path) < 0 && errno != ENOENT)
		e = fa_fail((int)fa_exit_of(-errno), "%s: %s", path, fa_strerror(-errno));
	/* The stage stays as it is for those that are left. */
	return e != 0 ? e : fa_autologger_apply(cli, fa_stage_is_early(cli->root) ? "initramfs" : "service", true);
}

/* A file with one section [Autologger NAME]. */
static int read_profile(const struct fa_cli *cli, const char *path, char *name, size_t size, char **ret_text)
{
	FA_CLEANUP(fa_boot_free) struct fa_config *c = malloc(sizeof(*c));
	size_t len;
	int e;

	(void)cli;
	if (c == NULL)
		return fa_fail(FA_EXIT_FAILED, "%s", fa_strerror(-ENOMEM));
	e = fa_read_file(path, PROFILE_MAX, ret_text, &len);
	if (e < 0)
		return fa_fail((int)fa_exit_of(e), "%s: %s", path, fa_strerror(e));
	fa_config_defaults(c);
	e = fa_config_read_file(path, c);
	if (e == 0 && c->problems != 0)
		return fa_fail(FA_EXIT_FAILED, "%s", c->problem[0]);
	if (e < 0 || c->autologgers != 1)
		return fa_fail(FA_EXIT_FAILED, "%s: a profile is one section [Autologger NAME]", path);
	(void)snprintf(name, size, "%s", c->autologger[0].name);
	return 0;
}

static int say_next(const struct fa_cli *cli, const char *name, struct fa_json *j)
{
	FA_CLEANUP(fa_boot_free) struct fa_config *c = NULL;
	const struct fa_autologger *a;
	struct fa_boot_check check;
	int e = fa_boot_config(cli, &c);

	if (e != 0)
		return e;
	a = fa_config_autologger(c, name);
	if (a == NULL)
		return fa_fail(FA_EXIT_FAILED, "the section of %s cannot be read", name);
	fa_boot_check(cli, c, a, &check);
	if (j != NULL)
		fa_boot_check_json(j, a, &check);
	else
		fa_boot_check_text(a, &check);
	return check.problems != 0 ? FA_EXIT_FAILED : FA_EXIT_OK;
}

static int write_entry(const struct fa_cli *cli, const char *profile, char *name, size_t size)
{
	FA_CLEANUP(fa_boot_free) struct fa_config *c = NULL;
	FA_CLEANUP(fa_boot_free) char *text = NULL;
	char body[PROFILE_MAX + 256];
	int e = 0;

	if (strchr(profile, '/') != NULL)
		e = read_profile(cli, profile, name, size, &text);
	else if (!fa_config_name_ok(profile))
		return fa_usage(cli, "'%s' is neither a session's name nor a path", profile);
	else
		(void)snprintf(name, size, "%s", profile);
	if (e == 0)
		e = fa_boot_config(cli, &c);
	if (e != 0)
		return e;
	if (fa_config_autologger(c, name) != NULL && fa_config_autologger(c, name)->problem[0] != '\0')
		return fa_fail(FA_EXIT_FAILED, "%s cannot start: %s", name, fa_config_autologger(c, name)->problem);
	(void)snprintf(body, sizeof(body), "%s\n[Autologger %s]\nStart = 1\n", text != NULL ? text : "", name);
	return fa_drop_in_write(cli, FA_BOOT_PREFIX, name, "boot add", body);
}

static int add(const struct fa_cli *cli, const char *profile)
{
	char name[FA_CONFIG_NAME], old[FA_CONFIG_NAME];
	struct fa_json j;
	int e;

	find_entry(cli, old, sizeof(old));
	if (old[0] != '\0')
		return fa_fail(FA_EXIT_FAILED, "%s is set up already: 'firstalloc boot stop' or 'cancel' first", old);
	e = write_entry(cli, profile, name, sizeof(name));
	if (e == 0)
		e = fa_autologger_apply(cli, opt.stage != NULL ? opt.stage : "", false);
	if (e != 0)
		return e;
	fa_json_init(&j, stdout, true);
	e = say_next(cli, name, cli->json ? &j : NULL);
	if (cli->json)
		fa_json_newline(&j);
	else
		puts("Then 'firstalloc boot stop FILE' collects it; 'firstalloc boot cancel' gives it up.");
	return e;
}

/* 0: *ret is the session, or has no name; else a line and the exit status. *ret_sock: -1, or to ask on. */
static int find_session(const struct fa_cli *cli, const char *name, struct fa_status_session *ret, int *ret_sock)
{
	struct fa_client_status status = {0};
	struct fa_control_reply reply;
	int e;

	memset(ret, 0, sizeof(*ret));
	*ret_sock = fa_client_connect(cli->root);
	if (*ret_sock == -ENOENT || *ret_sock == -ECONNREFUSED) {
		*ret_sock = -1;
		return 0;
	}
	if (*ret_sock < 0)
		return fa_client_fail(cli, *ret_sock);
	e = fa_client_status(*ret_sock, false, &reply, &status);
	if (e < 0 || reply.error != 0)
		return e < 0 ? fa_client_fail(cli, e) : fa_client_fail_reply(&reply);
	for (uint32_t i = 0; i < status.h.sessions; i++)
		if ((status.session[i].flags & FA_SESSION_AUTOLOGGER) != 0 &&
		    strncmp(status.session[i].name, name, FA_SESSION_NAME) == 0)
			*ret = status.session[i];
	ret->name[FA_SESSION_NAME - 1] = '\0';
	ret->file[sizeof(ret->file) - 1] = '\0';
	fa_client_status_done(&status);
	return 0;
}

static int ask(const struct fa_cli *cli, int sock, struct fa_control_request *q, int fd,
	       struct fa_control_reply *ret)
{
	int e = fa_client_ask(sock, q, fd, ret, NULL);

	if (e < 0)
		return fa_client_fail(cli, e);
	return ret->error != 0 ? fa_client_fail_reply(ret) : 0;
}

/* To where the caller wants it. */
static int take_file(const char *from, const char *to)
{
	FA_CLEANUP(fa_close) int in = -1;
	FA_CLEANUP(fa_close) int out = -1;
	int e;

	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EXDEV && errno != EINVAL)
		return fa_fail((int)fa_exit_of(-errno), "%s, to %s: %s", from, to, fa_strerror(-errno));
	in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return fa_fail((int)fa_exit_of(-errno), "%s: %s", from, fa_strerror(-errno));
	e = fa_client_open_trace(to, &out);
	if (e < 0)
		return fa_fail((int)fa_exit_of(e), "%s: %s", to, fa_strerror(e));
	e = fa_copy_file(in, out);
	if (e == 0 && fsync(out) < 0 && errno != EINVAL)
		e = -errno;
	if (e < 0) {
		fa_client_drop_trace(to, out);
		return fa_fail((int)fa_exit_of(e), "%s: %s; the trace is still %s", to, fa_strerror(e), from);
	}
	(void)unlink(from);
	return 0;
}

/* Into the ring's copy, or nothing to do: the file is there already. */
static int save_ring(const struct fa_cli *cli, int sock, const struct fa_status_session *s, const char *file)
{
	struct fa_control_request q = {.verb = FA_CONTROL_SAVE, .session_id = s->id};
	FA_CLEANUP(fa_close) int fd = -1;
	struct fa_control_reply reply;
	int e = fa_client_open_trace(file, &fd);

	if (e < 0)
		return fa_fail((int)fa_exit_of(e), "%s: %s", file, fa_strerror(e));
	memcpy(q.session.name, s->name, sizeof(q.session.name));
	e = ask(cli, sock, &q, fd, &reply);
	if (e != 0)
		fa_client_drop_trace(file, fd);
	return e;
}

static int end_session(const struct fa_cli *cli, int sock, const struct fa_status_session *s,
		       struct fa_control_reply *ret)
{
	struct fa_control_request q = {.verb = FA_CONTROL_STOP, .session_id = s->id};

	memcpy(q.session.name, s->name, sizeof(q.session.name));
	return ask(cli, sock, &q, -1, ret);
}

static int describe(const struct fa_cli *cli, int sock, const struct fa_status_session *s, const char *text)
{
	struct fa_control_request q = {.verb = FA_CONTROL_MARK, .session_id = s->id};
	struct fa_control_reply reply;

	if (s->state == FA_SESSION_ENDED) {
		fa_warn("the session had ended by itself: the description is not in the trace");
		return 0;
	}
	memcpy(q.session.name, s->name, sizeof(q.session.name));
	(void)snprintf(q.text, sizeof(q.text), "%s", text);
	return ask(cli, sock, &q, -1, &reply);
}

static void say_stopped(const struct fa_cli *cli, const char *name, const char *file,
			const struct fa_control_reply *r)
{
	char events[32], lost[32], bytes[32];
	struct fa_json j;

	if (!cli->json) {
		printf("session %s stopped: %s events, %s lost, %u process%s, %s, in %s; the next boot does not start it\n",
		       name, fa_format_count(events, sizeof(events), r->events),
		       fa_format_count(lost, sizeof(lost), r->lost), r->processes, r->processes == 1 ? "" : "es",
		       fa_format_size(bytes, sizeof(bytes), r->bytes), file);
		return;
	}
	fa_json_init(&j, stdout, true);
	fa_json_object(&j, NULL);
	fa_json_string(&j, "session", name);
	fa_json_string(&j, "file", file);
	fa_json_u64(&j, "events", r->events);
	fa_json_u64(&j, "lost", r->lost);
	fa_json_u64(&j, "processes", r->processes);
	fa_json_u64(&j, "bytes", r->bytes);
	fa_json_end_object(&j);
	fa_json_newline(&j);
}

static bool is_in_memory(const struct fa_status_session *s)
{
	return s->file[0] != '/' && (s->log_file_mode & FA_LOG_BUFFERING) == 0;
}

/* The session of the entry as it is known now; 0, or a line and the exit status. */
static int entry_session(const struct fa_cli *cli, char *name, size_t size, struct fa_status_session *s, int *sock)
{
	find_entry(cli, name, size);
	if (name[0] == '\0')
		return fa_fail(FA_EXIT_NOT_FOUND, "no boot trace is set up: 'firstalloc boot add PROFILE'");
	return find_session(cli, name, s, sock);
}

static int stop(const struct fa_cli *cli, const char *file, const char *text)
{
	FA_CLEANUP(fa_close) int sock = -1;
	struct fa_control_reply reply;
	struct fa_status_session s;
	char name[FA_CONFIG_NAME];
	int e = entry_session(cli, name, sizeof(name), &s, &sock);

	if (e != 0)
		return e;
	if (s.name[0] == '\0')
		return fa_fail(FA_EXIT_NOT_FOUND,
			       "session %s does not run: it starts with the next boot; 'firstalloc boot cancel' gives it up", name);
	if (access(file, F_OK) == 0)
		return fa_fail(FA_EXIT_FAILED, "%s exists already; a trace is never overwritten", file);
	if (is_in_memory(&s))
		return fa_fail(FA_EXIT_FAILED, "its trace is in memory until its folder can be written to; try again then");
	if (text != NULL)
		e = describe(cli, sock, &s, text);
	if (e == 0 && (s.log_file_mode & FA_LOG_BUFFERING) != 0)
		e = save_ring(cli, sock, &s, file);
	if (e == 0)
		e = end_session(cli, sock, &s, &reply);
	if (e == 0 && (s.log_file_mode & FA_LOG_BUFFERING) == 0)
		e = take_file(s.file, file);
	if (e == 0)
		e = remove_entry(cli, name);
	if (e == 0)
		say_stopped(cli, name, file, &reply);
	return e;
}

static int cancel(const struct fa_cli *cli)
{
	FA_CLEANUP(fa_close) int sock = -1;
	struct fa_control_reply reply;
	struct fa_status_session s;
	char name[FA_CONFIG_NAME];
	struct fa_json j;
	int e = entry_session(cli, name, sizeof(name), &s, &sock);

	if (e == 0 && s.name[0] != '\0')
		e = end_session(cli, sock, &s, &reply);
	if (e == 0 && s.file[0] == '/' && unlink(s.file) < 0 && errno != ENOENT)
		e = fa_fail((int)fa_exit_of(-errno), "%s: %s", s.file, fa_strerror(-errno));
	if (e == 0)
		e = remove_entry(cli, name);
	if (e != 0)
		return e;
	if (!cli->json) {
		printf("boot trace %s given up%s\n", name, s.name[0] != '\0' ? "; what was recorded is removed" : "");
		return FA_EXIT_OK;
	}
	fa_json_init(&j, stdout, true);
	fa_json_object(&j, NULL);
	fa_json_string(&j, "session", name);
	fa_json_bool(&j, "was_running", s.name[0] != '\0');
	fa_json_end_object(&j);
	fa_json_newline(&j);
	return FA_EXIT_OK;
}

static void say_session(const struct fa_status_session *s, struct fa_json *j)
{
	char events[32], lost[32];

	if (j == NULL) {
		if (s->name[0] == '\0')
			puts("now: it does not run");
		else
			printf("now: %s, %s events, %s lost, in %s\n",
			       s->state == FA_SESSION_ENDED ? fa_end_reason_text(s->end_reason) : "it runs",
			       fa_format_count(events, sizeof(events), s->events),
			       fa_format_count(lost, sizeof(lost), s->events_lost), s->file);
		return;
	}
	if (s->name[0] == '\0') {
		fa_json_null(j, "now");
		return;
	}
	fa_json_object(j, "now");
	fa_json_bool(j, "running", s->state != FA_SESSION_ENDED);
	fa_json_u64(j, "events", s->events);
	fa_json_u64(j, "lost", s->events_lost);
	fa_json_string(j, "file", s->file);
	fa_json_end_object(j);
}

/* The state of it, and of the next boot: exit status 1 where that will not be as it was meant. */
static int status(const struct fa_cli *cli)
{
	FA_CLEANUP(fa_close) int sock = -1;
	struct fa_status_session s = {0};
	char name[FA_CONFIG_NAME];
	struct fa_json j;
	int e = 0;

	find_entry(cli, name, sizeof(name));
	if (name[0] != '\0')
		e = find_session(cli, name, &s, &sock);
	if (e != 0)
		return e;
	if (cli->json) {
		fa_json_init(&j, stdout, true);
		fa_json_object(&j, NULL);
		fa_json_string(&j, "entry", name[0] != '\0' ? name : NULL);
		say_session(&s, &j);
		if (name[0] != '\0') {
			fa_json_array(&j, "next");
			e = say_next(cli, name, &j);
			fa_json_end_array(&j);
		}
		fa_json_end_object(&j);
		fa_json_newline(&j);
		return e;
	}
	if (name[0] == '\0') {
		puts("No boot trace is set up.");
		return FA_EXIT_OK;
	}
	say_session(&s, NULL);
	return say_next(cli, name, NULL);
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	const char *verb = argc > 0 ? argv[0] : "status";

	if (opt.stage != NULL && strcmp(verb, "add") != 0)
		return fa_usage(cli, "--stage is for 'boot add'");
	if (strcmp(verb, "add") == 0)
		return argc != 2 ? fa_usage(cli, "add needs a profile: the name of an autologger, or a file") : add(cli, argv[1]);
	if (strcmp(verb, "stop") == 0) {
		if (argc != 2 && argc != 3)
			return fa_usage(cli, "stop needs the file that is to have the trace");
		if (argc == 3 && !fa_mark_text_ok(argv[2]))
			return fa_usage(cli, "the description: 1 to %d bytes, no control characters", FA_MARK_TEXT - 1);
		return stop(cli, argv[1], argc == 3 ? argv[2] : NULL);
	}
	if (argc > 1)
		return fa_usage(cli, "unexpected argument '%s'", argv[1]);
	if (strcmp(verb, "status") == 0)
		return status(cli);
	if (strcmp(verb, "cancel") == 0)
		return cancel(cli);
	return fa_usage(cli, "'%s' is none of add, status, stop, cancel", verb);
}

const struct fa_command fa_cmd_boot = {
	.name = "boot",
	.group = "Machine",
	.summary = "record flagged programs from the next boot on",
	.synopsis = "add PROFILE [--stage STAGE] | status | stop FILE [DESCRIPTION] | cancel",
	.description =
		"add has the next boot, and each one after it, start a session before flagged programs do. PROFILE is the name "
		"of an autologger, see firstalloc-autologger(1), which needs no section of its own: all values have "
		"defaults; or, with a slash in it, a file with one section [Autologger NAME]. What can be checked is checked "
		"now and told, with what will happen: a problem makes the exit status 1, and the entry stays.\n"
		"\n"
		"status shows the entry, its session, and what the next boot will do and not see. stop ends the session, "
		"moves its trace to FILE, which must not be there yet, and removes the entry; the description "
		"is a mark in the trace. cancel removes the entry and what was recorded. An autologger that was enabled by "
		"itself stays so.",
	.examples = "firstalloc boot add boot # then reboot\n"
		    "firstalloc boot add ./early.ini --stage service # with values of its own\n"
		    "firstalloc boot stop /var/tmp/slow.falloc \"slow start after the update\" # collect it\n",
	.options = options,
	.run = run,
};
