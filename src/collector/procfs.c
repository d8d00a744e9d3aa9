/*
 * procfs.c - see procfs.h. Files of /proc are read with one read(2) into a buffer on the stack: they
 * are made up by the kernel at that moment, and short ones come whole.
 */
#include "collector/procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 16 << 10, THREADS_MAX = 1 << 16 };

/* One read; buf gets a NUL behind. Returns the length or -errno. */
static ssize_t read_once(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		n = -errno;
	else
		buf[n] = '\0';
	(void)close(fd); /* opened for reading: nothing can be lost */
	return n;
}

/* The fields behind the name: the name may hold blanks and brackets, so from the last bracket on. */
static int parse_stat(const char *text, struct fa_procfs_stat *ret)
{
	enum { LAST = 28 };
	uint64_t field[LAST + 1] = {0};
	const char *p = strrchr(text, ')');
	char *end;

	if (p == NULL || p[1] != ' ' || p[2] == '\0')
		return -EBADMSG;
	ret->state = p[2];
	p += 3;
	for (int i = 4; i <= LAST; i++) {
		field[i] = strtoull(p, &end, 10);
		if (end == p)
			return -EBADMSG;
		p = end;
	}
	ret->parent_pid = (int32_t)field[4];
	ret->threads = (uint32_t)field[20];
	ret->start_time = field[22];
	/* startcode, endcode, startstack: 0 or 1 where we may not know (proc(5)) */
	ret->image = field[28] > 1 ? field[26] * 31 + field[27] * 17 + field[28] : 0;
	return 0;
}

int fa_procfs_stat(int32_t pid, struct fa_procfs_stat *ret)
{
	struct fa_procfs_stat st;
	char path[32], text[1024];
	ssize_t n;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	n = read_once(path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	r = parse_stat(text, &st);
	if (r == 0)
		*ret = st;
	return r;
}

/* Number `index` (0 based; -1: the last) behind "Name:" in /proc/PID/status; -1: none. */
static int64_t status_number(const char *text, const char *name, int index)
{
	const char *p = strstr(text, name);
	int64_t found = -1;
	char *end;

	if (p == NULL)
		return -1;
	p += strlen(name);
	for (int i = 0; index < 0 || i <= index; i++) {
		while (*p == ' ' || *p == '\t')
			p++;
		if (!isdigit((unsigned char)*p))
			return index < 0 ? found : -1;
		found = strtoll(p, &end, 10);
		p = end;
	}
	return found;
}

static int status_of(const char *path, struct fa_procfs_status *ret)
{
	char text[4096];
	ssize_t n = read_once(path, text, sizeof(text));
	int64_t parent, own, uid, gid, real;

	if (n < 0)
		return (int)n;
	parent = status_number(text, "\nPPid:", 0);
	own = status_number(text, "\nNSpid:", -1);
	uid = status_number(text, "\nUid:", 1);
	gid = status_number(text, "\nGid:", 1);
	real = status_number(text, "\nUid:", 0);
	if (parent < 0 || uid < 0 || gid < 0 || real < 0)
		return -EBADMSG;
	if (own < 0) /* a kernel without pid namespaces */
		own = status_number(text, "\nPid:", 0);
	ret->parent_pid = (int32_t)parent;
	ret->own_pid = (int32_t)own;
	ret->uid = (uint32_t)uid;
	ret->gid = (uint32_t)gid;
	ret->real_uid = (uint32_t)real;
	ret->seccomp = (uint32_t)(status_number(text, "\nSeccomp:", 0) > 0
					  ? status_number(text, "\nSeccomp:", 0)
					  : 0);
	return 0;
}

int fa_procfs_status(int32_t pid, struct fa_procfs_status *ret)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return status_of(path, ret);
}

int fa_procfs_cgroup(int32_t pid, char *text, size_t size)
{
	char path[32];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	n = read_once(path, text, size);
	return n < 0 ? (int)n : 0;
}

/* A number of kB; 0: none. */
static uint64_t status_bytes(const char *text, const char *name)
{
	int64_t kb = status_number(text, name, 0);

	return kb < 0 ? 0 : (uint64_t)kb << 10;
}

int fa_procfs_memory(int32_t pid, struct fa_procfs_memory *ret)
{
	char path[32], text[4096];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	n = read_once(path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	ret->mapped = status_bytes(text, "\nVmSize:");
	ret->writable = status_bytes(text, "\nVmData:");
	ret->resident = status_bytes(text, "\nRssAnon:");
	ret->swapped = status_bytes(text, "\nVmSwap:");
	return ret->mapped == 0 ? -ESRCH : 0; /* a zombie has none */
}

uint64_t fa_procfs_address_limit(int32_t pid)
{
	char path[32], text[4096];
	int64_t limit;

	(void)snprintf(path, sizeof(path), "/proc/%d/limits", (int)pid);
	if (read_once(path, text, sizeof(text)) < 0)
		return UINT64_MAX;
	limit = status_number(text, "\nMax address space", 0);
	return limit < 0 ? UINT64_MAX : (uint64_t)limit;
}

bool fa_procfs_ended(int32_t pid, uint64_t start_time, uint64_t *ret_image)
{
	struct fa_procfs_stat st;
	int r;

	if (ret_image != NULL)
		*ret_image = 0;
	if (pid <= 0)
		return true;
	r = fa_procfs_stat(pid, &st);
	if (r == -ENOENT || r == -ESRCH)
		return kill(pid, 0) < 0 && errno == ESRCH;
	if (r < 0)
		return false;
	if (start_time != 0 && st.start_time != start_time)
		return true;
	if (ret_image != NULL)
		*ret_image = st.image;
	/* A leader that ended before its threads is shown as a zombie too. */
	return (st.state == 'Z' || st.state == 'X') && st.threads <= 1;
}

int fa_procfs_comm(int32_t pid, int32_t tid, char ret[FA_COMM_SIZE])
{
	char path[64], text[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)pid, (int)tid);
	n = read_once(path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	if (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	text[FA_COMM_SIZE - 1] = '\0';
	memcpy(ret, text, FA_COMM_SIZE);
	return 0;
}

/* A name that is a number, else 0. */
static int32_t number_of_name(const char *name)
{
	int32_t n = 0;

	if (*name == '\0')
		return 0;
	for (; *name != '\0'; name++) {
		if (!isdigit((unsigned char)*name) || n > (INT32_MAX - 9) / 10)
			return 0;
		n = n * 10 + (*name - '0');
	}
	return n;
}

int fa_procfs_threads(int32_t pid, int32_t **ret, size_t *ret_count)
{
	char path[32];
	int32_t *list = NULL;
	size_t count = 0, room = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (dir == NULL)
		return -errno;
	for (struct dirent *e; count < THREADS_MAX && (e = readdir(dir)) != NULL;) {
		int32_t tid = number_of_name(e->d_name);

		if (tid == 0)
			continue;
		if (count == room) {
			size_t more = room == 0 ? 64 : room * 2;
			int32_t *grown = reallocarray(list, more, sizeof(*list));

			if (grown == NULL) {
				free(list);
				(void)closedir(dir);
				return -ENOMEM;
			}
			list = grown;
			room = more;
		}
		list[count++] = tid;
	}
	(void)closedir(dir);
	*ret = list;
	*ret_count = count;
	return 0;
}

int32_t fa_procfs_find_thread(int32_t pid, int32_t own_tid)
{
	int32_t *list = NULL, found = 0;
	size_t count = 0;

	if (fa_procfs_threads(pid, &list, &count) < 0)
		return 0;
	for (size_t i = 0; i < count && found == 0; i++) {
		struct fa_procfs_status st;
		char path[64];

		(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid,
			       (int)list[i]);
		if (status_of(path, &st) == 0 && st.own_pid == own_tid)
			found = list[i];
	}
	free(list);
	return found;
}

int32_t fa_procfs_find(bool (*each)(void *ctx, int32_t pid), void *ctx)
{
	DIR *dir = opendir("/proc");
	int32_t found = 0;

	if (dir == NULL)
		return 0;
	for (struct dirent *e; found == 0 && (e = readdir(dir)) != NULL;) {
		int32_t pid = number_of_name(e->d_name);

		if (pid != 0 && each(ctx, pid))
			found = pid;
	}
	(void)closedir(dir);
	return found;
}

int fa_procfs_arguments(int32_t pid, char **ret)
{
	char path[32];
	char *text = malloc(ARGUMENTS_MAX);
	ssize_t n;

	if (text == NULL)
		return -ENOMEM;
	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	n = read_once(path, text, ARGUMENTS_MAX);
	if (n < 0) {
		free(text);
		return (int)n;
	}
	for (ssize_t i = 0; i + 1 < n; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	*ret = text;
	return 0;
}

/* The path behind "0::" (the unified hierarchy), else the first one. */
static void read_cgroup(int32_t pid, char *buf, size_t size)
{
	char path[32], text[4096];
	const char *p;

	buf[0] = '\0';
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (read_once(path, text, sizeof(text)) <= 0)
		return;
	p = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	p = strchr(p != NULL ? p : text, '/');
	if (p != NULL)
		(void)snprintf(buf, size, "%.*s", (int)strcspn(p, "\n"), p);
}

int fa_procfs_family_info(int32_t pid, struct fa_family_info *ret)
{
	struct fa_procfs_status st;
	struct fa_family_info info = {.pid = pid};
	char path[32];
	ssize_t n;
	int r = fa_procfs_status(pid, &st);

	if (r < 0)
		return r;
	info.parent_pid = st.parent_pid;
	info.uid = st.uid;
	info.gid = st.gid;
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, info.exe, sizeof(info.exe) - 1);
	info.exe[n > 0 ? n : 0] = '\0';
	read_cgroup(pid, info.cgroup, sizeof(info.cgroup));
	*ret = info;
	return 0;
}
