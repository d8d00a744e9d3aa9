/*
 * boot.h - what `autologger` and `boot` share: the drop-ins that they write, and what can be known now of the next boot.
 *
 * A file that a person wrote is never changed. `autologger` has one drop-in a session, zz-NAME.ini, which is read behind
 * those of persons; `boot add` one more behind that, zzz-boot-NAME.ini, so that removing it leaves what was before.
 */
#ifndef FA_CLI_BOOT_H
#define FA_CLI_BOOT_H

#include "base/config.h"
#include "base/json.h"
#include "cli/command.h"

#define FA_BOOT_PREFIX "zzz-boot-"

void fa_boot_free(void *p); /* for FA_CLEANUP of what was malloced */

/* autologger_file.c. All: 0, or one line on stderr and the exit status. */
/* "KEY=VALUE" each into the drop-in; an empty VALUE takes the key out of it. All are checked before anything is written. */
int fa_autologger_set(const struct fa_cli *cli, const char *name, int count, char **pairs) FA_MUST_USE;
/* The drop-in of that name prefix, with this text behind a line that says who wrote it. */
int fa_drop_in_write(const struct fa_cli *cli, const char *prefix, const char *name, const char *by,
		     const char *text) FA_MUST_USE;
int fa_drop_in_path(const struct fa_cli *cli, const char *prefix, const char *name, char *buf, size_t size) FA_MUST_USE;
/* Registry, unit and stage follow what stands in the configuration now. stage: NULL as it was, "" the earliest that
 * this machine is ready for. quiet: it is not said which. */
int fa_autologger_apply(const struct fa_cli *cli, const char *stage, bool quiet) FA_MUST_USE;

/* boot_check.c */
enum { FA_BOOT_FINDINGS = 24 };
struct fa_boot_check {
	char will[600]; /* what happens at the next boot */
	struct {
		bool problem; /* else worth knowing */
		char text[400];
	} finding[FA_BOOT_FINDINGS];
	int findings;
	int problems;
};
void fa_boot_check(const struct fa_cli *cli, const struct fa_config *c, const struct fa_autologger *a,
		   struct fa_boot_check *ret);
void fa_boot_check_text(const struct fa_autologger *a, const struct fa_boot_check *check);
void fa_boot_check_json(struct fa_json *j, const struct fa_autologger *a, const struct fa_boot_check *check);
/* The configuration, with what holds of it on this machine. 0, or a line on stderr and the exit status. */
int fa_boot_config(const struct fa_cli *cli, struct fa_config **ret) FA_MUST_USE;

#endif
