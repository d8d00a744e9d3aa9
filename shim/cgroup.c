/* cgroup.c - to which control groups does this process belong: for rules that name a unit, container or app. */
#include "shim/state.h"

#include <fcntl.h>

#include "shim/sys.h"

/* Read to its end, because the kernel may hand it out in parts; a line that is cut is left out. */
const char *fa_cgroup_read(char *text, size_t size)
{
	int fd = fa_sys_openat(AT_FDCWD, "/proc/self/cgroup", O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
	size_t have = 0;
	long n = 1;

	if (fd < 0)
		return NULL;
	while (n > 0 && have < size - 1) {
		n = fa_sys_read(fd, text + have, size - 1 - have);
		have += n > 0 ? (size_t)n : 0;
	}
	(void)fa_sys_close(fd);
	while (have > 0 && text[have - 1] != '\n')
		have--;
	text[have] = '\0';
	return text;
}
