/*
 * cmd_autologger.c - sessions that firstallocd starts at boot: sections [Autologger NAME] of
 * firstalloc.ini and its drop-ins.
 *
 * enable and disable never touch a file that a person wrote: they write one drop-in with Start=1 or
 * Start=0, which is read last of those that set it because its name begins with "zz-".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/io.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/paths.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/stage.h"
#include "cli/words.h"
#include "collector/effective.h"
#include "registry/registry.h"

static struct {
	const char *stage;
} opt;

static const struct fa_option options[] = {
	{0, "stage", "STAGE", FA_OPT_CHOICE, &opt.stage,
	 "enable: initramfs, before PID 1, or service, before the other services (the earliest that "
	 "this machine is ready for)",
	 FA_STAGE_CHOICES},
	{0},
};

/* What the last start wrote: "Status = 0", "Text = ...", "Time = ...". */
struct last_start {
	bool known;
	char status[16], text[200], time[64];
	char counter[16]; /* "": it had no FileMax */
};

static void take_line(const char *body, const char *key, char *buf, size_t size)
{
	const char *at = strstr(body, key);
	size_t len;

	buf[0] = '\0';
	if (at == NULL)
		return;
	at += strlen(key);
	len = strcspn(at, "\n");
	(void)snprintf(buf, size, "%.*s", (int)len, at);
}

static void read_last_start(const struct fa_cli *cli, const char *name, struct last_start *l)
{
	char path[512], file[600], *body = NULL;
	size_t len;

	memset(l, 0, sizeof(*l));
	if (fa_path_join(path, sizeof(path), cli->root, FA_DIR_STATE "/autologger") < 0)
		return;
	(void)snprintf(file, sizeof(file), "%s/%s.status", path, name);
	if (fa_read_file(file, 4096, &body, &len) < 0)
		return;
	take_line(body, "Status = ", l->status, sizeof(l->status));
	take_line(body, "Text = ", l->text, sizeof(l->text));
	take_line(body, "Time = ", l->time, sizeof(l->time));
	take_line(body, "FileCounter = ", l->counter, sizeof(l->counter));
	l->known = l->status[0] != '\0';
	free(body);
}

static const char *stacks_text(const struct fa_autologger *a, char *buf, size_t size)
{
	if (a->stacks == 0)
		return "as rules say";
	return fa_words_text(buf, size, a->stacks & ~FA_WALK_GIVEN, fa_stack_words);
}

static const char *stop_text(const struct fa_autologger *a, char *buf, size_t size)
{
	if (a->stop_after == 0)
		return a->stop_target;
	(void)snprintf(buf, size, "%us", a->stop_after);
	return buf;
}

static void overrides_json(struct fa_json *j, const struct fa_autologger *a)
{
	fa_json_array(j, "overrides");
	for (int i = 0; i < a->overrides; i++) {
		fa_json_object(j, NULL);
		fa_json_string(j, "key", a->override[i].key);
		fa_json_string(j, "requested", a->override[i].requested);
		fa_json_string(j, "effective", a->override[i].effective);
		fa_json_string(j, "why", a->override[i].why);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
}

static void show_json(struct fa_json *j, const struct fa_cli *cli, const struct fa_autologger *a)
{
	struct last_start l;
	char text[64];

	read_last_start(cli, a->name, &l);
	fa_json_object(j, NULL);
	fa_json_string(j, "name", a->name);
	fa_json_bool(j, "Start", a->start);
	fa_json_string(j, "FileName", a->file_name);
	fa_json_string(j, "LogFileMode", a->mode);
	fa_json_bool(j, "Preallocate", a->preallocate);
	fa_json_string(j, "Policy", a->count ? "count" : "wait");
	fa_json_u64(j, "BufferSize", (a->buffer_size ? a->buffer_size : 65536) / 1024);
	fa_json_u64(j, "MinimumBuffers", a->minimum_buffers);
	fa_json_u64(j, "MaximumBuffers", a->maximum_buffers);
	fa_json_u64(j, "FlushTimer", a->flush_timer ? a->flush_timer : 1);
	fa_json_u64(j, "MaxFileSize", a->max_file_size >> 20);
	fa_json_u64(j, "FileMax", a->file_max);
	if (l.counter[0] != '\0')
		fa_json_u64(j, "FileCounter", strtoull(l.counter, NULL, 10));
	else
		fa_json_null(j, "FileCounter");
	fa_json_u64(j, "ClockType", a->clock_type);
	fa_json_string(j, "StackWalkingFilter", stacks_text(a, text, sizeof(text)));
	fa_json_string(j, "Images", a->images);
	fa_json_string(j, "StopAt", stop_text(a, text, sizeof(text)));
	fa_json_u64(j, "PostBootDelay", a->post_boot_delay);
	overrides_json(j, a);
	fa_json_string(j, "source", a->source);
	fa_json_string(j, "problem", a->problem[0] ? a->problem : NULL);
	if (l.known) {
		fa_json_object(j, "Status");
		fa_json_i64(j, "error", strtol(l.status, NULL, 10));
		fa_json_string(j, "text", l.text);
		fa_json_string(j, "time", l.time);
		fa_json_end_object(j);
	} else {
		fa_json_null(j, "Status");
	}
	fa_json_end_object(j);
}

static void list_line(const struct fa_cli *cli, const struct fa_autologger *a)
{
	struct last_start l;

	read_last_start(cli, a->name, &l);
	printf("%-20s %-8s %s", a->name, a->start ? "enabled" : "disabled", a->file_name);
	if (l.known)
		printf("  last start: %s, %s", l.text, l.time);
	putchar('\n');
	if (a->problem[0] != '\0')
		printf("  cannot start: %s\n", a->problem);
}

static int list(const struct fa_cli *cli, const struct fa_config *c)
{
	struct fa_json j;

	if (cli->json) {
		fa_json_init(&j, stdout, true);
		fa_json_array(&j, NULL);
		for (int i = 0; i < c->autologgers; i++)
			show_json(&j, cli, &c->autologger[i]);
		fa_json_end_array(&j);
		fa_json_newline(&j);
		return FA_EXIT_OK;
	}
	if (c->autologgers == 0)
		puts("No autologger is set up; 'firstalloc autologger enable NAME' makes one.");
	for (int i = 0; i < c->autologgers; i++)
		list_line(cli, &c->autologger[i]);
	for (int i = 0; i < c->problems; i++)
		fa_warn("%s", c->problem[i]);
	return FA_EXIT_OK;
}

static void show_more(const struct fa_autologger *a)
{
	char text[320];

	printf("ClockType = %u\nStackWalkingFilter = %s\n", a->clock_type,
	       stacks_text(a, text, sizeof(text)));
	printf("Images = %s\n", a->images);
	printf("StopAt = %s\nPostBootDelay = %u\n", stop_text(a, text, sizeof(text)),
	       a->post_boot_delay);
	for (int i = 0; i < a->overrides; i++)
		printf("Overridden: %s\n", fa_override_text(text, sizeof(text), &a->override[i]));
}

static int show(const struct fa_cli *cli, const struct fa_autologger *a)
{
	struct last_start l;
	struct fa_json j;

	if (cli->json) {
		fa_json_init(&j, stdout, true);
		show_json(&j, cli, a);
		fa_json_newline(&j);
		return FA_EXIT_OK;
	}
	read_last_start(cli, a->name, &l);
	printf("[Autologger %s]   first met in %s\n", a->name, a->source);
	printf("Start = %d\nFileName = %s\nLogFileMode = %s%s\nPolicy = %s\n", a->start,
	       a->file_name, a->mode, a->preallocate ? ", preallocate" : "",
	       a->count ? "count" : "wait");
	printf("BufferSize = %u\nMinimumBuffers = %u\nMaximumBuffers = %u\nFlushTimer = %u\n",
	       (a->buffer_size ? a->buffer_size : 65536) / 1024, a->minimum_buffers,
	       a->maximum_buffers, a->flush_timer ? a->flush_timer : 1);
	printf("MaxFileSize = %llu\n", (unsigned long long)(a->max_file_size >> 20));
	printf("FileMax = %u\n", a->file_max);
	show_more(a);
	if (l.counter[0] != '\0')
		printf("FileCounter = %s   (of the last file, FILE.%04lu)\n", l.counter,
		       strtoul(l.counter, NULL, 10));
	if (l.known)
		printf("Status = %s   (%s, %s)\n", l.status, l.text, l.time);
	else
		puts("Status =   (never started)");
	if (a->problem[0] != '\0')
		printf("It cannot start: %s\n", a->problem);
	return FA_EXIT_OK;
}

/* Is any enabled? Then a flagged process records although no collector answers yet. And what Images names is flagged. */
static int publish(const struct fa_cli *cli, bool *ret_any)
{
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = NULL;
	struct fa_config *c = malloc(sizeof(*c));
	bool any = false;
	int e;

	if (c == NULL)
		return -ENOMEM;
	e = fa_config_read(cli->root, c);
	for (int i = 0; e == 0 && i < c->autologgers; i++)
		any |= c->autologger[i].start && c->autologger[i].problem[0] == '\0';
	if (e == 0)
		e = fa_registry_open(cli->root, FA_REGISTRY_WRITE, &reg);
	if (e == 0)
		e = fa_registry_follow(reg, c);
	free(c);
	*ret_any = any;
	return e;
}

/* The unit starts at boot as long as there is something for it to do. */
static int switch_unit(const struct fa_cli *cli, bool any)
{
	int r = fa_client_enable_unit(cli, any);

	if (r < 0)
		return fa_fail(FA_EXIT_FAILED,
			       "the unit firstallocd.service could not be %s: "
			       "'systemctl %s firstallocd' says why",
			       any ? "enabled" : "disabled", any ? "enable" : "disable");
	if (r == 0 && any)
		fa_warn("there is no unit firstallocd.service: start firstallocd at boot yourself");
	return FA_EXIT_OK;
}

/* Where nobody says what is wanted, the earliest stage for which all is there. */
static int choose_stage(const struct fa_cli *cli, bool any)
{
	char buf[700];
	const char *lacks = fa_stage_lacks(cli->root, buf, sizeof(buf));
	bool early = any && (opt.stage != NULL ? strcmp(opt.stage, "initramfs") == 0 : lacks == NULL);
	int e = fa_stage_set_early(cli->root, early);

	if (e < 0)
		return fa_fail((int)fa_exit_of(e), "%s" FA_PATH_EARLY ": %s", cli->root,
			       fa_strerror(e));
	if (early && lacks != NULL)
		fa_warn("not before PID 1 yet: %s", lacks);
	if (any)
		printf("stage %s: %s\n", early ? "initramfs" : "service",
		       early ? "from the first process on"
			     : "all services are seen; PID 1, generators and mount helpers are not");
	return FA_EXIT_OK;
}

static int switch_one(const struct fa_cli *cli, const char *name, bool on)
{
	char dir[512], path[600], body[256];
	bool any = false;
	int n, e;

	e = fa_path_join(dir, sizeof(dir), cli->root, FA_DIR_INI);
	if (e == 0)
		e = fa_make_dirs(dir, 0755);
	(void)snprintf(path, sizeof(path), "%s/zz-%s.ini", dir, name);
	n = snprintf(body, sizeof(body),
		     "; Written by 'firstalloc autologger %s'.\n[Autologger %s]\nStart = %d\n",
		     on ? "enable" : "disable", name, on);
	if (e == 0)
		e = fa_replace_file(path, body, (size_t)n, 0644);
	if (e < 0)
		return fa_fail((int)fa_exit_of(e), "%s: %s", path, fa_strerror(e));
	e = publish(cli, &any);
	if (e < 0)
		return fa_fail((int)fa_exit_of(e),
			       "%s is written, but the registry's index is not: "
			       "%s",
			       path, fa_strerror(e));
	printf("autologger %s %s: %s\n", name, on ? "enabled" : "disabled",
	       on ? "it starts with firstallocd"
		  : "it does not start any more; a session that runs is ended by 'firstalloc "
		    "stop'");
	e = choose_stage(cli, any);
	return e != FA_EXIT_OK ? e : switch_unit(cli, any);
}

static int unknown_name(const struct fa_config *c, const char *name)
{
	const char *names[FA_CONFIG_AUTOLOGGERS], *near;

	for (int i = 0; i < c->autologgers; i++)
		names[i] = c->autologger[i].name;
	near = fa_did_you_mean(name, names, c->autologgers);
	return fa_fail(FA_EXIT_NOT_FOUND, "there is no autologger '%s'%s%s%s", name,
		       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool name_ok(const char *name)
{
	static const char good[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-@+";

	return name[0] != '\0' && strlen(name) < FA_CONFIG_NAME && name[0] != '.' &&
	       name[0] != '-' && strspn(name, good) == strlen(name);
}

static int dispatch(const struct fa_cli *cli, const struct fa_config *c, const char *verb,
		    const char *name)
{
	static const char *const verbs[] = {"list", "show", "enable", "disable"};
	const char *near;

	if (strcmp(verb, "list") == 0)
		return name == NULL ? list(cli, c) : fa_usage(cli, "list takes no name");
	near = fa_did_you_mean(verb, verbs, 4);
	if (strcmp(verb, "show") != 0 && strcmp(verb, "enable") != 0 &&
	    strcmp(verb, "disable") != 0)
		return fa_usage(cli, "'%s' is neither list, show, enable nor disable%s%s%s", verb,
				near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	if (name == NULL)
		return fa_usage(cli, "%s needs the autologger's name", verb);
	if (!name_ok(name))
		return fa_usage(cli, "'%s' is no name: letters, digits and . _ - @ +", name);
	/* enable may make one: every value has a default. */
	if (strcmp(verb, "enable") == 0) {
		const struct fa_autologger *a = fa_config_autologger(c, name);

		if (a != NULL && a->problem[0] != '\0')
			return fa_fail(FA_EXIT_FAILED, "autologger %s cannot start: %s", name,
				       a->problem);
		return switch_one(cli, name, true);
	}
	if (fa_config_autologger(c, name) == NULL)
		return unknown_name(c, name);
	return strcmp(verb, "show") == 0 ? show(cli, fa_config_autologger(c, name))
					 : switch_one(cli, name, false);
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct fa_config *c;
	int e;

	if (argc > 2)
		return fa_usage(cli, "unexpected argument '%s'", argv[2]);
	c = malloc(sizeof(*c));
	if (c == NULL)
		return fa_fail(FA_EXIT_FAILED, "%s", fa_strerror(-ENOMEM));
	e = fa_config_read(cli->root, c);
	for (int i = 0; e == 0 && i < c->autologgers; i++)
		fa_autologger_effective(&c->autologger[i]);
	if (e < 0)
		e = fa_fail((int)fa_exit_of(e), "%s" FA_PATH_INI ": %s", cli->root, fa_strerror(e));
	else
		e = dispatch(cli, c, argc == 0 ? "list" : argv[0], argc == 2 ? argv[1] : NULL);
	free(c);
	return e;
}

const struct fa_command fa_cmd_autologger = {
	.name = "autologger",
	.group = "Machine",
	.summary = "sessions that start at boot",
	.synopsis = "[list | show NAME | enable NAME [--stage STAGE] | disable NAME]",
	.description =
		"An autologger is a section [Autologger NAME] of /etc/firstalloc/firstalloc.ini or "
		"of a "
		"file in /etc/firstalloc/firstalloc.ini.d, with ETW's value names: Start, "
		"BufferSize "
		"(KB), MinimumBuffers, MaximumBuffers, FlushTimer (seconds), LogFileMode "
		"(sequential, circular, buffering), "
		"MaxFileSize (MB, 0: no limit) and FileName (default "
		"/var/log/firstalloc/NAME.falloc; an existing file is moved to NAME.falloc.1; with "
		"FileMax each start has its own, FILE.0001 and on), ClockType, StackWalkingFilter; and of "
		"our own Images, StopAt, PostBootDelay and Policy: see firstalloc.ini(5). "
		"When "
		"firstallocd starts it runs those with Start=1, before flagged services start.\n"
		"\n"
		"enable and disable write Start into a drop-in of their own; enable makes a "
		"section "
		"with all defaults when there is none. With --stage=initramfs firstallocd starts before "
		"PID 1 does, if the initramfs was made (update-initramfs) since firstalloc was installed; "
		"kernel word firstalloc=off: not at all. show tells how the last start went. A "
		"broken "
		"section is told with file, line and key, and stops only itself; a value that cannot be had is "
		"overridden, and show and the log say what was requested and what holds.",
	.examples = "firstalloc autologger enable boot # trace flagged programs from boot on\n"
		    "firstalloc autologger show boot # its values, and how the last start went\n",
	.options = options,
	.run = run,
};
