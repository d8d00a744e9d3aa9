/* setup_facts.c - what install made, written down before it is made; and where things belong. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/paths.h"
#include "cli/setup.h"

static void read_line(const char *line, struct fa_facts *facts)
{
#define X(name)                                                                                    \
	if (!strcmp(line, #name "=1"))                                                             \
		facts->name = true;
	FA_FACTS(X)
#undef X
	if (!strncmp(line, "library_path=", 13))
		(void)snprintf(facts->library_path, sizeof(facts->library_path), "%s", line + 13);
}

int fa_facts_load(const char *root, struct fa_facts *ret)
{
	char path[PATH_MAX];
	char *text = NULL, *rest = NULL;
	size_t len;
	int r = fa_setup_path(path, root, FA_SETUP_FACTS);

	if (r)
		return r;
	memset(ret, 0, sizeof(*ret));
	r = fa_read_file(path, 65536, &text, &len);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r)
		return r;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		read_line(line, ret);
	free(text);
	return 0;
}

int fa_facts_save(const char *root, const struct fa_facts *facts)
{
	struct fa_buf text = {0};
	char path[PATH_MAX];
	int r = fa_setup_path(path, root, FA_SETUP_FACTS);

	if (r)
		return r;
	fa_buf_puts(&text, "# What `firstalloc install` made on this machine; `firstalloc "
			   "uninstall` takes it back.\n");
	fa_buf_printf(&text, "library_path=%s\n", facts->library_path);
#define X(name)                                                                                    \
	if (facts->name)                                                                           \
		fa_buf_puts(&text, #name "=1\n");
	FA_FACTS(X)
#undef X
	r = text.error ? text.error : fa_setup_rewrite(path, text.data, text.len, 0644);
	fa_buf_done(&text);
	return r;
}

static bool is_folder(const char *root, const char *path)
{
	char full[PATH_MAX];
	struct stat st;

	return fa_setup_path(full, root, path) == 0 && stat(full, &st) == 0 && S_ISDIR(st.st_mode);
}

/* In the folder of libc: files there have the label that a strict policy lets everybody map. */
const char *fa_setup_library_path(const char *root)
{
	if (is_folder(root, "/usr/lib/x86_64-linux-gnu"))
		return "/usr/lib/x86_64-linux-gnu/" FA_SHIM_NAME;
	if (is_folder(root, "/usr/lib64"))
		return "/usr/lib64/" FA_SHIM_NAME;
	return "/usr/lib/" FA_SHIM_NAME;
}
