/* off.c - the kill switch, as a flagged program that starts sees it. */
#include "shim/state.h"

#include <errno.h>
#include <fcntl.h>

#include "format/index_format.h"
#include "shim/sys.h"
#include "shim/text.h"

/* Words that the kernel does not know it hands to the first process, as its environment. */
static bool has_off_word(const struct fa_start *start)
{
	for (char **env = start->argv + start->argc + 1; *env != NULL; env++)
		if (fa_text_equal(*env, FA_OFF_WORD))
			return true;
	return false;
}

/*
 * The kill switch for when the registry cannot be changed: a file that any rescue shell can make, a
 * word that a boot loader takes. Only flagged programs ask. The first one asks its environment too,
 * because /proc may not be there yet.
 */
bool fa_is_switched_off(const struct fa_start *start, int32_t pid)
{
	char text[2048]; /* COMMAND_LINE_SIZE of x86 */
	int fd = fa_sys_openat(AT_FDCWD, FA_OFF_PATH, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
			       0);
	long n;

	if (fd >= 0) {
		(void)fa_sys_close(fd);
		return true;
	}
	if (fd != -ENOENT) /* it is there, whatever it is */
		return fd != -ENOTDIR;
	if (pid == 1 && !start->secure && has_off_word(start))
		return true;
	fd = fa_sys_openat(AT_FDCWD, "/proc/cmdline", O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
	if (fd < 0)
		return false;
	n = fa_sys_read(fd, text, sizeof(text));
	(void)fa_sys_close(fd);
	return n > 0 && fa_index_off_word(text, (size_t)n);
}
