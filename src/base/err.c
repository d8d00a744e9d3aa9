/* err.c - one text per errno, with the fixed meanings that this project gives to some of them. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *fa_strerror(int negative_errno)
{
	static _Thread_local char text[64];
	int code = negative_errno < 0 ? -negative_errno : negative_errno;

	switch (code) {
	case 0:
		return "no error";
	case EBADMSG:
		return "damaged";
	case EPROTO:
		return "the other side broke the protocol";
	case EPROTONOSUPPORT:
		return "made by a newer version of firstalloc";
	case ESTALE:
		return "out of date";
	case ENODATA:
		return "end of data";
	case E2BIG:
		return "too large";
	}
	/* strerrordesc_np: constant text, no locale, no lock. */
	const char *known = strerrordesc_np(code);

	if (known != NULL)
		return known;
	(void)snprintf(text, sizeof(text), "unknown error %d", code);
	return text;
}

enum fa_exit fa_exit_of(int negative_errno)
{
	switch (negative_errno < 0 ? -negative_errno : negative_errno) {
	case 0:
		return FA_EXIT_OK;
	case EPERM:
	case EACCES:
	case EROFS:
		return FA_EXIT_DENIED;
	case ENOENT:
	case ESRCH:
		return FA_EXIT_NOT_FOUND;
	default:
		return FA_EXIT_FAILED;
	}
}
