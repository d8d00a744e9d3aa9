/* err.h - errno and our fixed meanings of it as text for users. */
#ifndef FA_ERR_H
#define FA_ERR_H

/* Exit statuses of all our commands. */
enum fa_exit {
	FA_EXIT_OK = 0,
	FA_EXIT_FAILED = 1,
	FA_EXIT_USAGE = 2, /* usage, or done in part */
	FA_EXIT_LOST = 3,  /* lost events not tolerated */
	FA_EXIT_DENIED = 4,
	FA_EXIT_NOT_FOUND = 5,
	FA_EXIT_GROWN = 6, /* more than --fail-above allows */
};

/* "No such file or directory" for -ENOENT; -EBADMSG "damaged", -EPROTO, -ESTALE, -E2BIG as
 * style says. Static or thread-local text. */
const char *fa_strerror(int negative_errno);
enum fa_exit fa_exit_of(int negative_errno);

#endif
