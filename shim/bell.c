/*
 * bell.c - see bell.h.
 *
 * A process that refuses may be gone before anybody can look at it, so it says why while it is held: in a
 * note (format/arena_format.h) that is mapped only then. The folder of `run` holds nobody; there the word
 * is the name of an empty file, which outlives its maker.
 */
#include "shim/bell.h"

#include "shim/arena.h"
#include "shim/sys.h"
#include "shim/text.h"

enum { IMAGE_ROOM = 200 }; /* of the 255 bytes of a file's name */

void fa_bell_ring(void)
{
	int fd = fa_sys_openat(AT_FDCWD, FA_BELL_PATH, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
			       0);

	/* The kernel has held us until the doorman had answered, or there is none. */
	if (fd >= 0)
		(void)fa_sys_close(fd);
}

static void ring_with_note(unsigned reason)
{
	struct fa_note *note = fa_sys_mmap(
		(void *)FA_NOTE_ADDRESS, FA_ARENA_PAGE, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | FA_MAP_FIXED_NOREPLACE, -1, 0);

	if (fa_sys_failed((long)note))
		return;
	if ((uint64_t)note == FA_NOTE_ADDRESS) {
		note->reason = reason;
		note->magic = FA_NOTE_MAGIC;
		fa_bell_ring();
	}
	(void)fa_sys_munmap(note, FA_ARENA_PAGE);
}

/* FA_RUN_NOTE */
static void leave_file(const struct fa_start *start, int32_t pid, unsigned reason)
{
	const char *path = start->exe_path != NULL ? start->exe_path : start->exec_path;
	char name[32 + IMAGE_ROOM], *to = fa_text_put_number(name, (uint64_t)pid);
	int dir, fd;

	fa_text_copy(to, sizeof(".refused."), ".refused.");
	to = fa_text_put_number(to + sizeof(".refused.") - 1, reason);
	*to++ = '.';
	fa_text_copy(to, IMAGE_ROOM, fa_text_base(path));
	dir = fa_arena_open_run_dir(start->run_dir, start->euid);
	if (dir < 0)
		return;
	fd = fa_sys_openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void)fa_sys_close(fd);
	(void)fa_sys_close(dir);
}

void fa_bell_refuse(const struct fa_start *start, int32_t pid, unsigned reason)
{
	if (start->run_dir != NULL && reason != FA_REASON_UNDER_RUN)
		leave_file(start, pid, reason);
	else
		ring_with_note(reason);
}
