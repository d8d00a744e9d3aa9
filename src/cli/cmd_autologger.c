/*
 * cmd_autologger.c - sessions that firstallocd starts at boot: sections [Autologger NAME] of
 * firstalloc.ini and its drop-ins.
 *
 * What changes them is in autologger_file.c.
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
#include "cli/boot.h"
#include "cli/command.h"
#include "cli/stage.h"
#include "cli/words.h"

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

static int switch_one(const struct fa_cli *cli, const char *name, bool on)
{
	char *pair = (char *)(uintptr_t)(on ? "Start=1" : "Start=0");
	int e = fa_autologger_set(cli, name, 1, &pair);

	if (e != 0)
		return e;
	printf("autologger %s %s: %s\n", name, on ? "enabled" : "disabled",
	       on ? "it starts with firstallocd"
		  : "it does not start any more; a session that runs is ended by 'firstalloc "
		    "stop'");
	return fa_autologger_apply(cli, opt.stage != NULL ? opt.stage : "", false);
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

static int check(const struct fa_cli *cli, const struct fa_config *c, const char *name)
{
	struct fa_boot_check result;
	struct fa_json j;
	int problems = 0;

	if (name != NULL && fa_config_autologger(c, name) == NULL)
		return unknown_name(c, name);
	fa_json_init(&j, stdout, true);
	if (cli->json)
		fa_json_array(&j, NULL);
	for (int i = 0; i < c->autologgers; i++) {
		const struct fa_autologger *a = &c->autologger[i];

		if (name != NULL && strcmp(a->name, name) != 0)
			continue;
		fa_boot_check(cli, c, a, &result);
		problems += result.problems;
		if (cli->json)
			fa_boot_check_json(&j, a, &result);
		else
			fa_boot_check_text(a, &result);
	}
	if (cli->json) {
		fa_json_end_array(&j);
		fa_json_newline(&j);
	} else if (c->autologgers == 0) {
		puts("No autologger is set up.");
	}
	return problems != 0 ? FA_EXIT_FAILED : FA_EXIT_OK;
}

/* What it comes to is said at once, and by `check`. */
static int set(const struct fa_cli *cli, const char *name, int count, char **pairs)
{
	FA_CLEANUP(fa_boot_free) struct fa_config *c = NULL;
	struct fa_boot_check result;
	bool start = false;
	struct fa_json j;
	int e = fa_autologger_set(cli, name, count, pairs);

	for (int i = 0; i < count; i++)
		start |= strncmp(pairs[i], "Start=", 6) == 0;
	if (e == 0)
		e = fa_autologger_apply(cli, opt.stage != NULL ? opt.stage : start ? "" : NULL, false);
	if (e == 0)
		e = fa_boot_config(cli, &c);
	if (e != 0)
		return e;
	fa_boot_check(cli, c, fa_config_autologger(c, name), &result);
	if (!cli->json) {
		fa_boot_check_text(fa_config_autologger(c, name), &result);
		return FA_EXIT_OK;
	}
	fa_json_init(&j, stdout, true);
	fa_boot_check_json(&j, fa_config_autologger(c, name), &result);
	fa_json_newline(&j);
	return FA_EXIT_OK;
}

static int switch_known(const struct fa_cli *cli, const struct fa_config *c, const char *verb, const char *name)
{
	const struct fa_autologger *a = fa_config_autologger(c, name);

	if (strcmp(verb, "disable") == 0)
		return a == NULL ? unknown_name(c, name) : switch_one(cli, name, false);
	/* enable may make one: every value has a default. */
	if (a != NULL && a->problem[0] != '\0')
		return fa_fail(FA_EXIT_FAILED, "autologger %s cannot start: %s", name, a->problem);
	return switch_one(cli, name, true);
}

static int dispatch(const struct fa_cli *cli, const struct fa_config *c, int argc, char **argv)
{
	static const char *const verbs[] = {"list", "show", "set", "enable", "disable", "check"};
	const char *verb = argc == 0 ? "list" : argv[0], *name = argc > 1 ? argv[1] : NULL;
	const char *near = fa_did_you_mean(verb, verbs, 6);
	int known = 0;

	while (known < 6 && strcmp(verbs[known], verb) != 0)
		known++;
	if (known == 6)
		return fa_usage(cli, "'%s' is none of list, show, set, enable, disable, check%s%s%s", verb,
				near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	if (argc > 2 && strcmp(verb, "set") != 0)
		return fa_usage(cli, "unexpected argument '%s'", argv[2]);
	if (strcmp(verb, "list") == 0)
		return name == NULL ? list(cli, c) : fa_usage(cli, "list takes no name");
	if (name != NULL && !fa_config_name_ok(name))
		return fa_usage(cli, "'%s' is no name: letters, digits and . _ - @ +", name);
	if (strcmp(verb, "check") == 0)
		return check(cli, c, name);
	if (name == NULL)
		return fa_usage(cli, "%s needs the autologger's name", verb);
	if (strcmp(verb, "set") == 0)
		return argc < 3 ? fa_usage(cli, "set needs KEY=VALUE") : set(cli, name, argc - 2, argv + 2);
	if (strcmp(verb, "show") != 0)
		return switch_known(cli, c, verb, name);
	return fa_config_autologger(c, name) == NULL ? unknown_name(c, name)
						     : show(cli, fa_config_autologger(c, name));
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	FA_CLEANUP(fa_boot_free) struct fa_config *c = NULL;
	int e = fa_boot_config(cli, &c);

	return e != 0 ? e : dispatch(cli, c, argc, argv);
}

const struct fa_command fa_cmd_autologger = {
	.name = "autologger",
	.group = "Machine",
	.summary = "sessions that start at boot",
	.synopsis = "[list | show NAME | set NAME KEY=VALUE... | enable NAME [--stage STAGE] | disable NAME | check [NAME]]",
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
		"set, enable and disable write into a drop-in of their own, never into a file that somebody wrote; "
		"set and enable make a section with all defaults when there is none. 'set NAME KEY=' takes KEY out of "
		"the drop-in. What they change holds from the next start of firstallocd on. check says what will happen "
		"at the next boot, and what keeps it from happening (exit status 1): values, folder, free space, flagged "
		"images, library, unit, initramfs. With --stage=initramfs firstallocd starts before "
		"PID 1 does, if the initramfs was made (update-initramfs) since firstalloc was installed; "
		"kernel word firstalloc=off: not at all. show tells how the last start went. A "
		"broken "
		"section is told with file, line and key, and stops only itself; a value that cannot be had is "
		"overridden, and show and the log say what was requested and what holds.",
	.examples = "firstalloc autologger enable boot # trace flagged programs from boot on\n"
		    "firstalloc autologger set boot Images=nginx,php-fpm StopAt=multi-user.target # of two, until then\n"
		    "firstalloc autologger check # what the next boot will do\n"
		    "firstalloc autologger show boot # its values, and how the last start went\n",
	.options = options,
	.run = run,
};
