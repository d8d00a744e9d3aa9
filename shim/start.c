/* start.c - what a program's start tells of its name without asking for the whole of it. */
#include <fcntl.h>

#include "shim/state.h"
#include "shim/sys.h"
#include "shim/text.h"

/*
 * Is the base name of AT_EXECFN that of the executable, too? Not where it is a script's: then the kernel has put
 * the very same string among the first arguments, behind an interpreter and its option, and a few more where the
 * interpreter is a script. And not where it is a symbolic link. false: it may be or not.
 *
 * open() asks because it is a call that the dynamic linker makes as well: for others a filter may kill. 1.5 us; to
 * have it from /proc/self/maps takes ten times that.
 */
bool fa_start_names_executable(const struct fa_start *start)
{
	enum { MOST = 16 };
	int fd;

	for (int i = 1; i < start->argc && i < MOST; i++)
		if (fa_text_equal(start->argv[i], start->exec_path))
			return false;
	fd = fa_sys_openat(AT_FDCWD, start->exec_path,
			   O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
	if (fd < 0)
		return false;
	(void)fa_sys_close(fd);
	return true;
}
