/* package.h - the options that name the unit, container or app that a rule is for. */
#ifndef FA_CLI_PACKAGE_H
#define FA_CLI_PACKAGE_H

#include "cli/command.h"
#include "format/package_format.h"

struct fa_package_options {
	const char *unit, *container, *cgroup, *flatpak, *snap;
};

/* Rows of a command's options; `only`: how their help begins. */
#define FA_PACKAGE_OPTIONS(given, only)                                                            \
	{0, "unit", "UNIT", FA_OPT_STRING, &(given).unit,                                          \
	 only "of this systemd unit; foo@.service: all instances", NULL},                          \
	{0, "container", "ID", FA_OPT_STRING, &(given).container,                                  \
	 only "of this container: 12 digits of its id or more, or a machine's name", NULL},        \
	{0, "cgroup", "GROUP", FA_OPT_STRING, &(given).cgroup,                                     \
	 only "of this control group and those below it", NULL},                                   \
	{0, "flatpak", "APP", FA_OPT_STRING, &(given).flatpak, only "of this Flatpak app", NULL},  \
	{0, "snap", "SNAP", FA_OPT_STRING, &(given).snap,                                          \
	 only "of this snap, or of one app of it: NAME.APP", NULL}

/* What was given as the package of a rule, in `text` ("": nothing was). 0, or the exit status. */
int fa_package_given(const struct fa_cli *cli, const struct fa_package_options *given,
		     char text[FA_PACKAGE_MAX + 1]) FA_MUST_USE;

#endif
