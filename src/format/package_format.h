/*
 * package_format.h - the package of a rule: the unit, container or app whose processes it is for, and
 * whether a process is of it, by the kernel's word alone (/proc/PID/cgroup).
 *
 *   unit:NAME       systemd unit, of the system or of a user; foo@.service is each instance; a slice is all in it
 *   container:ID    id of a container (12 hex digits of it at least), or name of a machine
 *   cgroup:/PATH    this control group and all below it
 *   flatpak:APP     Flatpak app id
 *   snap:NAME       all apps of a snap; snap:NAME.APP one
 *
 * A control group within the one that is meant counts as well: a service may make groups of its own,
 * and a container is full of them. A kind that is not known, as of a later version, matches nothing.
 */
#ifndef FA_PACKAGE_FORMAT_H
#define FA_PACKAGE_FORMAT_H

#include <stdbool.h>

#include "base/attr.h"

#define FA_PACKAGE_UNIT      "unit:"
#define FA_PACKAGE_CONTAINER "container:"
#define FA_PACKAGE_CGROUP    "cgroup:"
#define FA_PACKAGE_FLATPAK   "flatpak:"
#define FA_PACKAGE_SNAP      "snap:"

enum {
	FA_PACKAGE_MAX = 4095,   /* bytes of a package */
	FA_CGROUP_TEXT_MAX = 8192, /* of /proc/PID/cgroup; what is behind is not looked at */
};

/* May a rule have this package? -EINVAL. Pure. */
int fa_package_check(const char *package) FA_MUST_USE;

/* Is a process of the package, by the text of its /proc/PID/cgroup? Pure; trusts neither text. */
bool fa_package_matches(const char *package, const char *cgroup);

#endif
