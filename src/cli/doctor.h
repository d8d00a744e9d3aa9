/* doctor.h - one line a check: what `doctor` looks at. Checks read; they change nothing. */
#ifndef FA_DOCTOR_H
#define FA_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/json.h"
#include "cli/command.h"

enum fa_verdict {
	FA_VERDICT_OK,
	FA_VERDICT_UNKNOWN, /* could not be looked at, for instance without root */
	FA_VERDICT_WARNING, /* works, but not everything does */
	FA_VERDICT_PROBLEM, /* tracing will not work, or other programs are disturbed */
};

struct fa_doctor {
	const struct fa_cli *cli;
	bool machine; /* no --root */
	bool installed;
	int problems;
	int warnings;
	struct fa_json json;
	struct fa_buf drop_in; /* of a unit: what cures its sandbox; empty: nothing is to be cured */
};

/* One line. `mend` is what to do about it, NULL when nothing is to be done. */
void fa_doctor_say(struct fa_doctor *d, enum fa_verdict verdict, const char *name, const char *mend,
		   const char *format, ...) FA_PRINTF(5, 6);

/* doctor_setup.c: what install made. */
void fa_doctor_library(struct fa_doctor *d);
void fa_doctor_line(struct fa_doctor *d);
void fa_doctor_registry(struct fa_doctor *d);
void fa_doctor_switch(struct fa_doctor *d); /* says something only when all is off */
void fa_doctor_bell(struct fa_doctor *d);
void fa_doctor_account(struct fa_doctor *d);
void fa_doctor_config(struct fa_doctor *d);
void fa_doctor_daemon(struct fa_doctor *d);

/*
 * doctor_target.c: one program, process or unit. 0, or what was said on stderr and the exit status. The
 * checks that a unit shares with a name: the rule's options come back, 0 where there is none.
 */
struct fa_status;
int fa_doctor_target(struct fa_doctor *d, const char *target) FA_MUST_USE;
uint32_t fa_doctor_rule(struct fa_doctor *d, const char *exe_path, const char *exec_name,
			const char *cgroup, uint32_t uid);
void fa_doctor_program(struct fa_doctor *d, const char *path, uint32_t options);
void fa_doctor_ground(struct fa_doctor *d);
void fa_doctor_session(struct fa_doctor *d, const struct fa_status *s, const char *image,
		       uint32_t uid);

/* doctor_unit.c */
bool fa_doctor_is_unit(const char *name);
int fa_doctor_unit(struct fa_doctor *d, const struct fa_status *s, const char *unit) FA_MUST_USE;

/* doctor_system.c: what the machine brings. */
void fa_doctor_kernel(struct fa_doctor *d);
void fa_doctor_libc(struct fa_doctor *d);
void fa_doctor_fanotify(struct fa_doctor *d);
void fa_doctor_connector(struct fa_doctor *d);
void fa_doctor_clock(struct fa_doctor *d);

#endif
