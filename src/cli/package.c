/* package.c - --unit, --container, --cgroup, --flatpak and --snap into the package of a rule. */
#include "cli/package.h"

#include <stdio.h>
#include <string.h>

/* Without a kind a service is meant, as with systemctl. */
static bool has_kind(const char *unit)
{
	char text[FA_PACKAGE_MAX + 1];

	(void)snprintf(text, sizeof(text), FA_PACKAGE_UNIT "%s", unit);
	return fa_package_check(text) == 0;
}

int fa_package_given(const struct fa_cli *cli, const struct fa_package_options *given,
		     char text[FA_PACKAGE_MAX + 1])
{
	const struct {
		const char *kind, *value, *behind, *option;
	} all[] = {
		{FA_PACKAGE_UNIT, given->unit,
		 given->unit == NULL || has_kind(given->unit) ? "" : ".service",
		 "--unit: no name of a unit"},
		{FA_PACKAGE_CONTAINER, given->container, "", "--container: no id"},
		{FA_PACKAGE_CGROUP, given->cgroup, "",
		 "--cgroup: no path below the root, as /proc/PID/cgroup has it"},
		{FA_PACKAGE_FLATPAK, given->flatpak, "", "--flatpak: no app id"},
		{FA_PACKAGE_SNAP, given->snap, "", "--snap: no name of a snap"},
	};

	*text = '\0';
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].value == NULL)
			continue;
		if (*text != '\0')
			return fa_usage(cli, "one of --unit, --container, --cgroup, --flatpak and "
					     "--snap is enough");
		if (strlen(all[i].kind) + strlen(all[i].value) + strlen(all[i].behind) > FA_PACKAGE_MAX)
			return fa_usage(cli, "%s, too long", all[i].option);
		(void)snprintf(text, FA_PACKAGE_MAX + 1, "%s%s%s", all[i].kind, all[i].value,
			       all[i].behind);
		if (fa_package_check(text) < 0)
			return fa_usage(cli, "%s: '%s'", all[i].option, all[i].value);
	}
	return 0;
}
