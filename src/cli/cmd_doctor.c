/*
 * cmd_doctor.c - `firstalloc doctor`: look at the whole set-up, or at one program, one line each, and say how
 * to mend what is wrong. Ends with 1 when there is a problem; warnings alone are no failure.
 */
#include <stdarg.h>
#include <stdio.h>

#include "cli/doctor.h"
#include "cli/rules.h"
#include "cli/setup.h"

static const struct fa_option options[] = {{0}};

static const char *const verdict_names[] = {
	[FA_VERDICT_OK] = "ok",
	[FA_VERDICT_UNKNOWN] = "unknown",
	[FA_VERDICT_WARNING] = "warning",
	[FA_VERDICT_PROBLEM] = "problem",
};

static const char *const verdict_colors[] = {
	[FA_VERDICT_OK] = "\033[32m",
	[FA_VERDICT_UNKNOWN] = "",
	[FA_VERDICT_WARNING] = "\033[33m",
	[FA_VERDICT_PROBLEM] = "\033[31m",
};

void fa_doctor_say(struct fa_doctor *d, enum fa_verdict verdict, const char *name, const char *mend,
		   const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	d->problems += verdict == FA_VERDICT_PROBLEM;
	d->warnings += verdict == FA_VERDICT_WARNING;
	if (d->cli->json) {
		fa_json_object(&d->json, NULL);
		fa_json_string(&d->json, "name", name);
		fa_json_string(&d->json, "state", verdict_names[verdict]);
		fa_json_string(&d->json, "text", text);
		fa_json_string(&d->json, "mend", mend);
		fa_json_end_object(&d->json);
		return;
	}
	fa_clean_text(text);
	printf("%s%-8s%s %-10s %s%s%s\n", d->cli->color ? verdict_colors[verdict] : "",
	       verdict_names[verdict], d->cli->color ? "\033[0m" : "", name, text, mend ? "; " : "",
	       mend ? mend : "");
}

static void check_all(struct fa_doctor *d)
{
	static void (*const checks[])(struct fa_doctor *) = {
		fa_doctor_library,  fa_doctor_line,      fa_doctor_registry, fa_doctor_switch,
		fa_doctor_bell,     fa_doctor_account,   fa_doctor_config,   fa_doctor_daemon,
		fa_doctor_kernel,   fa_doctor_libc,      fa_doctor_clock,    fa_doctor_fanotify,
		fa_doctor_connector,
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](d);
}

static int run_doctor(const struct fa_cli *cli, int argc, char **argv)
{
	struct fa_doctor d = {.cli = cli, .machine = !*cli->root};
	int status = 0;

	if (argc > 1)
		return fa_usage(cli, "doctor takes one program, unit or process: '%s'", argv[1]);
	if (cli->json) {
		fa_json_init(&d.json, stdout, true);
		fa_json_object(&d.json, NULL);
		fa_json_array(&d.json, "checks");
	}
	if (argc == 1)
		status = fa_doctor_target(&d, argv[0]);
	else
		check_all(&d);
	if (status != 0 && !cli->json)
		return status;
	if (cli->json) {
		fa_json_end_array(&d.json);
		fa_json_u64(&d.json, "problems", (uint64_t)d.problems);
		fa_json_u64(&d.json, "warnings", (uint64_t)d.warnings);
		fa_json_bool(&d.json, "ok", !d.problems && !status);
		if (d.drop_in.len > 0)
			fa_json_string(&d.json, "drop_in", d.drop_in.data);
		fa_json_end_object(&d.json);
		fa_json_newline(&d.json);
	} else if (d.problems || d.warnings) {
		if (d.drop_in.len > 0)
			printf("\nWith this as a drop-in (systemctl edit %s) it can be traced:\n\n%s\n",
			       argv[0], d.drop_in.data);
		printf("%d problem%s, %d warning%s\n", d.problems, d.problems == 1 ? "" : "s",
		       d.warnings, d.warnings == 1 ? "" : "s");
	} else {
		printf("%s\n", argc ? "nothing speaks against it" : "everything is in place");
	}
	fa_buf_done(&d.drop_in);
	if (status != 0)
		return status;
	return d.problems ? FA_EXIT_FAILED : FA_EXIT_OK;
}

const struct fa_command fa_cmd_doctor = {
	.name = "doctor",
	.group = "Machine",
	.summary = "check the set-up, or one program: is it traced, why not, what to do",
	.synopsis = "[NAME | UNIT | PID]",
	.description = "One line a check: ok, unknown (could not be looked at, mostly for lack of "
		       "root), warning "
		       "(works, but not everything does) or problem, with what to do about it. "
		       "Checks change "
		       "nothing.\n\n"
		       "With an operand: would this program be traced, and if not, what to do. NAME "
		       "is the name of a program or its path: its rule, its file, the machine, the "
		       "sessions. UNIT is a systemd unit (nginx.service): the program that it starts, "
		       "as the user that it starts it as, and those of its sandbox settings that keep "
		       "the library or the index away, with the drop-in that cures it. PID is a process: whether it is traced, since "
		       "when, or why not.\n\n"
		       "Ends with 0 when nothing speaks against it, 1 when there is a problem, 4 when "
		       "only root may look, 5 when there is no such program, unit or process.",
	.examples = "firstalloc doctor\n"
		    "firstalloc doctor nginx # would it be traced?\n"
		    "firstalloc doctor nginx.service # and as this unit starts it?\n"
		    "sudo firstalloc doctor 4711 # why is this one not traced?\n"
		    "firstalloc doctor --json\n",
	.options = options,
	.run = run_doctor,
};
