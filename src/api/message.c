/* message.c - errors of the C library as words, and the root. */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "api_internal.h"

static _Thread_local char message[512];
static char roots[2][512]; /* the one that is not in use is written to */
static _Atomic int root_in_use;

int fa_api_fail(int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	return error;
}

const char *fa_error_message(void)
{
	return message;
}

const char *fa_error_name(int error)
{
	static const char *const name[] = {
		"OK",
		"INVALID_PARAMETER",
		"BAD_LENGTH",
		"INVALID_FLAGS",
		"ALREADY_EXISTS",
		"OUT_OF_MEMORY",
		"ACCESS_DENIED",
		"BAD_PATH",
		"DISK_FULL",
		"NO_SUCH_SESSION",
		"TOO_MANY_SESSIONS",
		"NOT_SUPPORTED",
		"NO_DAEMON",
		"NO_SUCH_PROCESS",
		"NO_MORE",
		"BAD_DATA",
		"NEWER",
		"SYSTEM",
	};

	return error >= 0 && (size_t)error < sizeof(name) / sizeof(name[0]) ? name[error]
									    : "UNKNOWN";
}

const char *fa_api_root(void)
{
	return roots[root_in_use];
}

int fa_set_root(const char *root)
{
	size_t len = root != NULL ? strlen(root) : 0;
	int other = !root_in_use;

	while (len > 0 && root[len - 1] == '/')
		len--;
	if (len >= sizeof(roots[0]))
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER, "the root's path is too long");
	if (len > 0)
		memcpy(roots[other], root, len);
	roots[other][len] = '\0';
	root_in_use = other;
	return FA_OK;
}
