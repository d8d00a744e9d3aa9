/*
 * doctor_target.c - `firstalloc doctor NAME|PID`: would it be traced, is it, and if not, why not and what to
 * do. The rule is looked up as the gate does, in the index that it reads.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/paths.h"
#include "cli/doctor.h"
#include "cli/program.h"
#include "cli/rules.h"
#include "cli/words.h"
#include "cli/setup.h"
#include "cli/status.h"
#include "collector/procfs.h"
#include "format/package_format.h"

static const char start_one[] = "run: sudo firstalloc start NAME -o FILE";
static const char enable_it[] = "run: sudo firstalloc enable NAME";

static const char *cure_of(uint32_t reason)
{
	switch (reason) {
	case FA_REASON_NO_SESSION:
	case FA_REASON_NO_COLLECTOR:
		return "start a session (firstalloc start): it is woken";
	case FA_REASON_ENDED:
		return "it was traced until its session ended: start another one";
	case FA_REASON_SECURE:
		return "enable it with --secure";
	case FA_REASON_PID1:
		return "enable it with --pid1";
	case FA_REASON_SANITIZER:
		return "enable it with --sanitizer, or use the sanitizer's own leak check";
	case FA_REASON_OLD_LIBC:
	case FA_REASON_OTHER_LIBC:
	case FA_REASON_STATIC:
		return "link it dynamically with glibc 2.35 or newer";
	case FA_REASON_NO_MEMORY:
		return "raise its limit of address space (ulimit -v, LimitAS=)";
	case FA_REASON_LIMIT:
		return "raise ArenasPerUser or MappedPerUser in " FA_PATH_INI;
	case FA_REASON_OWN_ALLOCATOR:
		return "build it without its own allocator";
	case FA_REASON_OFF:
		return "run: sudo firstalloc on";
	case FA_REASON_DISARMED:
		return "mend the crash, then run: sudo firstalloc enable NAME";
	case FA_REASON_EXPIRED:
		return enable_it;
	case FA_REASON_WOKEN:
		return "nothing is wrong: it has not called the heap since";
	case FA_REASON_VERSION:
		return "restart it, or firstallocd where that is the older one";
	default:
		return NULL;
	}
}

/* -------- the file -------- */

void fa_doctor_program(struct fa_doctor *d, const char *path, uint32_t options)
{
	struct fa_program p;
	int e = fa_program_look(path, &p);

	if (e < 0)
		fa_doctor_say(d, FA_VERDICT_UNKNOWN, "program", NULL, "%s: %s", path,
			      fa_strerror(e));
	else if (fa_program_problem(&p) != NULL)
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "program", cure_of(p.reason), "%s %s", path,
			      fa_program_problem(&p));
	else if ((p.setid || p.capabilities) && !(options & FA_RULE_SECURE))
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "program", cure_of(FA_REASON_SECURE), "%s %s",
			      path,
			      p.setid ? "is set-user-id or set-group-id" : "has file capabilities");
	else if (p.sanitizer && !(options & FA_RULE_SANITIZER))
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "program", cure_of(FA_REASON_SANITIZER),
			      "%s is built with a sanitizer", path);
	else if (p.script && strstr(p.interpreter, "env ") != NULL && !(options & FA_RULE_SCRIPT))
		fa_doctor_say(d, FA_VERDICT_WARNING, "program", "enable it with --script",
			      "%s is a script of '%s': its own name does not reach the interpreter",
			      path, p.interpreter);
	else
		fa_doctor_say(d, FA_VERDICT_OK, "program", NULL, "%s%s%s", path,
			      p.script ? ", a script of " : ": dynamic, 64 bits",
			      p.script ? p.interpreter : "");
}

/* -------- the rule -------- */

/* There is none for these names and this user: is there one for somebody else, or of yesterday? */
static void no_rule(struct fa_doctor *d, const struct fa_index_who *who, const void *index)
{
	FA_CLEANUP(fa_published_done) struct fa_published p = {0};

	if (index != NULL && fa_index_find(index, who, 0) != NULL) {
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "rule", enable_it, "the rule for %s has expired",
			      who->exec_name);
		return;
	}
	if (fa_registry_published(d->cli->root, &p) == 0)
		for (uint32_t i = 0; i < p.rules.count; i++) {
			const struct fa_rule *r = &p.rules.rule[i];
			char scope[FA_SCOPE_TEXT];

			if (strcmp(r->image, who->exe_name) != 0 &&
			    strcmp(r->image, who->exec_name) != 0)
				continue;
			fa_doctor_say(d, FA_VERDICT_PROBLEM, "rule", enable_it,
				      "rule %u is for another: %s", r->id,
				      fa_rules_scope_text(scope, sizeof(scope), r));
			return;
		}
	fa_doctor_say(d, FA_VERDICT_PROBLEM, "rule", enable_it, "no rule names %s", who->exec_name);
}

uint32_t fa_doctor_rule(struct fa_doctor *d, const char *exe_path, const char *exec_name,
			const char *cgroup, uint32_t uid)
{
	struct fa_index_who who = {
		.uid = uid, .exec_name = exec_name, .exe_path = exe_path, .cgroup = cgroup};
	const struct fa_index_rule *r = NULL;
	char path[PATH_MAX], flags[96], end[96], *bytes = NULL;
	uint32_t options = 0;
	size_t len = 0;

	who.exe_name = exe_path != NULL ? fa_base_name(exe_path) : exec_name;
	if (fa_setup_path(path, d->cli->root, FA_PATH_INDEX) == 0 &&
	    fa_read_file(path, FA_INDEX_MAX, &bytes, &len) == 0 && fa_index_check(bytes, len) < 0) {
		free(bytes);
		bytes = NULL;
	}
	if (bytes != NULL) {
		/* Switched off, there is a rule all the same: that it is off is said elsewhere. */
		((struct fa_index_header *)(void *)bytes)->flags &= ~(uint32_t)FA_INDEX_OFF;
		r = fa_index_find(bytes, &who, fa_real_ns() / 1000000000u);
	}
	if (r == NULL) {
		no_rule(d, &who, bytes);
	} else if ((r->options & FA_RULE_DISARMED) != 0) {
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "rule", cure_of(FA_REASON_DISARMED),
			      "rule %u was disarmed after crashes (firstalloc show %s)", r->id,
			      bytes + r->name);
	} else {
		struct fa_rule rule = {.expires = r->expires_real};

		fa_rules_end_text(end, sizeof(end), &rule);
		fa_doctor_say(d, FA_VERDICT_OK, "rule", NULL, "rule %u flags it for %s%s%s", r->id,
			      fa_words_text(flags, sizeof(flags), r->flags, fa_flag_words),
			      *end ? ", ends " : "", end);
	}
	options = r != NULL ? r->options : 0;
	free(bytes);
	return options;
}

/* -------- who collects -------- */

static bool wants(const struct fa_status_session *s, const char *image, uint32_t uid)
{
	if (s->state != FA_SESSION_RUNNING || ((s->flags & FA_SESSION_USER) != 0 && s->uid != uid))
		return false;
	for (uint32_t i = 0; i < s->image_count && i < FA_SESSION_IMAGES; i++)
		if (strcmp(s->image[i], image) == 0)
			return true;
	return s->image_count == 0;
}

void fa_doctor_session(struct fa_doctor *d, const struct fa_status *s, const char *image, uint32_t uid)
{
	if (!s->running) {
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "session", start_one,
			      "firstallocd is not running: nothing is collected");
		return;
	}
	for (uint32_t i = 0; i < s->h.sessions; i++)
		if (wants(&s->session[i], image, uid)) {
			fa_doctor_say(d, FA_VERDICT_OK, "session", NULL, "%.63s collects it",
				      s->session[i].name);
			return;
		}
	fa_doctor_say(d, s->h.system ? FA_VERDICT_PROBLEM : FA_VERDICT_WARNING, "session", start_one,
		      s->h.system ? "no session wants it"
				  : "no session of yours wants it; others' are not shown to you");
}

static void running_ones(struct fa_doctor *d, const struct fa_status *s, const char *image)
{
	for (uint32_t i = 0; s->running && i < s->h.processes; i++) {
		const struct fa_status_process *p = &s->process[i];

		if (strcmp(p->image, image) != 0)
			continue;
		if (p->state == FA_STATUS_TRACED)
			fa_doctor_say(d, FA_VERDICT_OK, "process", NULL, "%d is traced", p->pid);
		else
			fa_doctor_say(d, FA_VERDICT_WARNING, "process", cure_of(p->reason),
				      "%d: %s", p->pid, fa_reason_text(p->reason));
	}
}

/* What must be right on the machine before any program can be traced. */
void fa_doctor_ground(struct fa_doctor *d)
{
	fa_doctor_switch(d);
	fa_doctor_library(d);
	fa_doctor_line(d);
	fa_doctor_bell(d);
}

static int of_name(struct fa_doctor *d, struct fa_status *s, const char *name)
{
	char path[PATH_MAX], real[PATH_MAX];
	const char *image = fa_base_name(name), *exe = NULL;
	struct fa_program p = {0};
	uint32_t uid, options;

	if (fa_rules_user("self", &uid) < 0)
		uid = getuid();
	if (*image == '\0')
		return fa_usage(d->cli, "'%s' is a folder", name);
	if (strchr(name, '/') != NULL && realpath(name, real) == NULL)
		return fa_fail(FA_EXIT_NOT_FOUND, "%s: %s", name, strerror(errno));
	if (strchr(name, '/') != NULL)
		exe = real;
	else if (fa_program_find(name, path, sizeof(path)) == 0 && realpath(path, real) != NULL)
		exe = real;
	if (exe != NULL && fa_program_look(exe, &p) == 0 && p.script)
		options = fa_doctor_rule(d, NULL, image, NULL, uid);
	else
		options = fa_doctor_rule(d, exe, image, NULL, uid);
	if (exe != NULL)
		fa_doctor_program(d, exe, options);
	else
		fa_doctor_say(d, FA_VERDICT_UNKNOWN, "program", NULL,
			      "no program of this name in PATH; a rule waits for one");
	fa_doctor_ground(d);
	fa_doctor_session(d, s, image, uid);
	running_ones(d, s, exe != NULL ? fa_base_name(exe) : image);
	return 0;
}

/* -------- a process -------- */

static char *since_text(char *buf, size_t size, int32_t pid)
{
	struct timespec real, boot;
	struct fa_procfs_stat st;
	uint64_t started;

	(void)clock_gettime(CLOCK_REALTIME, &real);
	(void)clock_gettime(CLOCK_BOOTTIME, &boot);
	if (fa_procfs_stat(pid, &st) < 0) {
		(void)snprintf(buf, size, "?");
		return buf;
	}
	started = (uint64_t)(real.tv_sec - boot.tv_sec) +
		  st.start_time / (uint64_t)sysconf(_SC_CLK_TCK);
	(void)fa_format_time(buf, size, started);
	return buf;
}

/* Another root, or older than the installation? */
static void not_loaded(struct fa_doctor *d, int32_t pid)
{
	const char *library = fa_setup_library_path(d->cli->root);
	char path[PATH_MAX + 40];

	(void)snprintf(path, sizeof(path), "/proc/%d/root%s", (int)pid, library);
	if (access(path, F_OK) != 0 && errno == ENOENT)
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "root",
			      "bring the library, " FA_PATH_PRELOAD " and " FA_DIR_ETC
			      " into its root, read-only",
			      "in its root there is no %s", library);
	else
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "root", "restart it",
			      "it may have started before the library was installed");
}

static int of_pid(struct fa_doctor *d, struct fa_status *s, int32_t pid)
{
	char path[64], exe[PATH_MAX], when[64], cgroup[FA_CGROUP_TEXT_MAX];
	struct fa_process_block b = {0};
	const struct fa_status_process *p = fa_status_find(s, pid);
	struct fa_procfs_status st;
	uint32_t reason, options;
	int e = fa_process_block_read(pid, &b);
	bool known;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (fa_procfs_status(pid, &st) < 0)
		return fa_fail(FA_EXIT_NOT_FOUND, "there is no process %d", (int)pid);
	if (n < 0)
		return fa_fail(fa_exit_of(-errno), "process %d: only root may look into it",
			       (int)pid);
	exe[n] = '\0';
	reason = fa_status_reason(s, pid, e, &b);
	if (reason == FA_REASON_TRACED && p != NULL) {
		fa_doctor_say(d, FA_VERDICT_OK, "process", NULL,
			      "%d (%s) is traced since its start, %s: %llu events, %llu lost",
			      (int)pid, p->image, since_text(when, sizeof(when), pid),
			      (unsigned long long)p->events, (unsigned long long)p->lost);
		return 0;
	}
	fa_doctor_say(d, FA_VERDICT_PROBLEM, "process", cure_of(reason), "%d (%s), since %s: %s",
		      (int)pid, exe, since_text(when, sizeof(when), pid), fa_reason_text(reason));
	known = fa_procfs_cgroup(pid, cgroup, sizeof(cgroup)) == 0;
	options = fa_doctor_rule(d, exe, fa_base_name(exe), known ? cgroup : NULL, st.real_uid);
	fa_doctor_program(d, exe, options);
	fa_doctor_ground(d);
	if (reason == FA_REASON_NOT_LOADED)
		not_loaded(d, pid);
	fa_doctor_session(d, s, fa_base_name(exe), st.uid);
	return 0;
}

int fa_doctor_target(struct fa_doctor *d, const char *target)
{
	struct fa_status s = {0};
	uint32_t pid = 0;
	int status = fa_status_fetch(d->cli, false, &s);

	if (status == 0 && fa_parse_u32(target, &pid) == 0 && pid > 0 && pid <= INT32_MAX)
		status = of_pid(d, &s, (int32_t)pid);
	else if (status == 0 && fa_doctor_is_unit(target))
		status = fa_doctor_unit(d, &s, target);
	else if (status == 0)
		status = of_name(d, &s, target);
	fa_status_done(&s);
	return status;
}
