/* doctor_system.c - kernel, libc and clock: what the machine must bring. */
#include <errno.h>
#include <gnu/libc-version.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/doctor.h"

enum { KERNEL_MAJOR = 5, KERNEL_MINOR = 10, GLIBC_MAJOR = 2, GLIBC_MINOR = 35 };

static bool at_least(const char *version, int major, int minor)
{
	char *rest;
	long have = strtol(version, &rest, 10);

	if (have != major)
		return have > major;
	return *rest == '.' && strtol(rest + 1, NULL, 10) >= minor;
}

void fa_doctor_kernel(struct fa_doctor *d)
{
	struct utsname name;

	if (uname(&name) != 0)
		fa_doctor_say(d, FA_VERDICT_UNKNOWN, "kernel", NULL, "%s", strerror(errno));
	else if (at_least(name.release, KERNEL_MAJOR, KERNEL_MINOR))
		fa_doctor_say(d, FA_VERDICT_OK, "kernel", NULL, "%s %s", name.release,
			      name.machine);
	else
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "kernel", "a newer kernel is needed",
			      "%s is older than %d.%d", name.release, KERNEL_MAJOR, KERNEL_MINOR);
}

void fa_doctor_libc(struct fa_doctor *d)
{
	const char *version = gnu_get_libc_version();

	if (at_least(version, GLIBC_MAJOR, GLIBC_MINOR))
		fa_doctor_say(d, FA_VERDICT_OK, "libc", NULL, "glibc %s", version);
	else
		fa_doctor_say(d, FA_VERDICT_PROBLEM, "libc",
			      "programs run as before, but none is traced",
			      "glibc %s is older than %d.%d", version, GLIBC_MAJOR, GLIBC_MINOR);
}

void fa_doctor_clock(struct fa_doctor *d)
{
	static const char path[] =
		"/sys/devices/system/clocksource/clocksource0/current_clocksource";
	char *text = NULL;
	size_t len;

	if (fa_read_file(path, 256, &text, &len)) {
		fa_doctor_say(d, FA_VERDICT_UNKNOWN, "clock", NULL, "%s cannot be read", path);
		return;
	}
	text[strcspn(text, "\n")] = '\0';
	if (!strcmp(text, "tsc") || strstr(text, "hyperv") || !strcmp(text, "kvm-clock"))
		fa_doctor_say(d, FA_VERDICT_OK, "clock", NULL, "%s%s", text,
			      strcmp(text, "tsc") ? " (times come from the system clock)" : "");
	else
		fa_doctor_say(d, FA_VERDICT_WARNING, "clock",
			      "each event costs a slower clock, or use --stamp none",
			      "the kernel does not trust the time stamp counter, it uses %s", text);
	free(text);
}

/* The kernel that was built without it says EINVAL to the class, or ENOSYS to all. */
void fa_doctor_fanotify(struct fa_doctor *d)
{
	int fd;

	if (geteuid() != 0) {
		fa_doctor_say(d, FA_VERDICT_UNKNOWN, "fanotify", NULL, "only root can look");
		return;
	}
	fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_UNLIMITED_QUEUE, 0);
	if (fd >= 0) {
		(void)close(fd);
		fa_doctor_say(d, FA_VERDICT_OK, "fanotify", NULL, "permission events work");
		return;
	}
	fa_doctor_say(d, FA_VERDICT_PROBLEM, "fanotify",
		      "the doorbell needs it; `firstalloc run` works without",
		      "permission events are not available: %s", strerror(errno));
}

static int bind_connector(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
	FA_CLEANUP(fa_close)
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);

	if (fd < 0)
		return -errno;
	return bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
}

void fa_doctor_connector(struct fa_doctor *d)
{
	int r = bind_connector();

	if (!r)
		fa_doctor_say(d, FA_VERDICT_OK, "starts", NULL, "process events are available");
	else if (r == -EPERM && geteuid() != 0)
		fa_doctor_say(d, FA_VERDICT_UNKNOWN, "starts", NULL, "only root can look");
	else
		fa_doctor_say(d, FA_VERDICT_WARNING, "starts",
			      "flagged programs that cannot be traced will not be listed",
			      "process events are not available: %s", fa_strerror(r));
}
