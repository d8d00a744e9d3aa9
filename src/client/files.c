/* files.c - the files of a session: opened by the caller, one, or several by a name with %d in it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "client/client.h"

bool fa_client_is_pattern(const char *path)
{
	const char *percent = strchr(path, '%');

	return percent != NULL && percent[1] == 'd' && strchr(percent + 1, '%') == NULL;
}

static int file_name(const char *pattern, unsigned number, char *ret, size_t size)
{
	const char *percent = strchr(pattern, '%');
	int n = snprintf(ret, size, "%.*s%u%s", (int)(percent - pattern), pattern, number,
			 percent + 2);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

void fa_client_drop_files(const char *pattern, unsigned count, int fds[FA_FILES_MAX])
{
	char path[4096];

	for (unsigned i = 0; i < count; i++) {
		if (file_name(pattern, i + 1, path, sizeof(path)) == 0)
			fa_client_drop_trace(path, fds[i]);
		fa_close(&fds[i]);
	}
}

int fa_client_open_files(const char *pattern, unsigned count, int fds[FA_FILES_MAX], char *ret_path,
			 size_t size)
{
	int e = 0;
	unsigned n = 0;

	while (n < count && e == 0) {
		e = file_name(pattern, n + 1, ret_path, size);
		if (e == 0)
			e = fa_client_open_trace(ret_path, &fds[n]);
		n += e == 0;
	}
	if (e < 0)
		fa_client_drop_files(pattern, n, fds);
	return e;
}

int fa_client_path_of(int fd, char *ret_path, size_t size)
{
	char link[64];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, ret_path, size);
	if (n <= 0 || (size_t)n >= size)
		return n < 0 ? -errno : -ENAMETOOLONG;
	ret_path[n] = '\0';
	return 0;
}

/* Only our own: in a folder of another user a name may be another file's from one moment to the next. */
static bool drop_unused(int fd)
{
	char path[4096];
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != 0)
		return false;
	if (st.st_uid == geteuid() && fa_client_path_of(fd, path, sizeof(path)) == 0)
		fa_client_drop_trace(path, fd);
	return true;
}

int fa_client_stop(int sock, struct fa_control_request *request, struct fa_control_reply *ret,
		   int ret_ended[FA_FILES_MAX])
{
	int fds[FA_FILES_MAX], e = fa_client_ask_files(sock, request, NULL, 0, ret, fds);

	for (int i = 0; i < FA_FILES_MAX; i++) {
		if (ret_ended != NULL)
			ret_ended[i] = -1;
		if (e < 0 || fds[i] < 0)
			continue;
		if (!drop_unused(fds[i]) && ret_ended != NULL)
			ret_ended[i] = fa_take_fd(&fds[i]);
		fa_close(&fds[i]);
	}
	return e;
}
