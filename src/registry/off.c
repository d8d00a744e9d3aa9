/* off.c - is tracing switched off as a whole, and by what? Needs no database: who asks may be anybody. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "registry/registry_internal.h"

enum { COMMAND_LINE_MAX = 65536 };

static bool index_says_off(const char *root)
{
	char path[PATH_MAX];
	char *bytes = NULL;
	size_t len = 0;
	bool off;

	if (fa_path_join(path, sizeof(path), root, FA_INDEX_PATH) < 0 ||
	    fa_index_load(path, &bytes, &len) < 0)
		return false;
	off = (((const struct fa_index_header *)(const void *)bytes)->flags & FA_INDEX_OFF) != 0;
	free(bytes);
	return off;
}

static bool kernel_says_off(void)
{
	char *text = NULL;
	size_t len = 0;
	bool off;

	if (fa_read_file("/proc/cmdline", COMMAND_LINE_MAX, &text, &len) < 0)
		return false;
	off = fa_index_off_word(text, len);
	free(text);
	return off;
}

uint32_t fa_registry_off(const char *root)
{
	char path[PATH_MAX];
	uint32_t off = 0;

	if (index_says_off(root))
		off |= FA_OFF_COMMAND;
	if (fa_path_join(path, sizeof(path), root, FA_OFF_PATH) == 0 &&
	    faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		off |= FA_OFF_FILE;
	if (kernel_says_off())
		off |= FA_OFF_KERNEL;
	return off;
}
