/* place.c - the keeper's files: lock, pid file, control socket, doorbell; and systemd's notifications. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/paths.h"
#include "daemon/keeper.h"

static int below(const struct keeper *k, char *buf, size_t size, const char *path)
{
	return fa_path_join(buf, size, k->settings->root, path);
}

/* One firstallocd a root: the lock lives as long as the keeper, however it ends. */
static int take_lock(struct keeper *k)
{
	char path[512], text[32];
	int n;

	if (below(k, path, sizeof(path), FA_PATH_PID) < 0)
		return -ENAMETOOLONG;
	k->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (k->lock_fd < 0)
		return -errno;
	if (flock(k->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(k->lock_fd, 0) < 0 || pwrite(k->lock_fd, text, (size_t)n, 0) != n)
		return -EIO;
	return 0;
}

static int make_socket(struct keeper *k)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char path[512];

	if (below(k, path, sizeof(path), FA_PATH_CONTROL) < 0 || strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	k->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (k->listen_fd < 0)
		return -errno;
	(void)unlink(path); /* of one that was killed: we hold the lock */
	if (bind(k->listen_fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    chmod(path, 0666) < 0 || /* rights are decided per request */
	    listen(k->listen_fd, 64) < 0)
		return -errno;
	return 0;
}

static int make_door(struct keeper *k)
{
	char path[512];
	int fd, e;

	e = below(k, path, sizeof(path), FA_DIR_ETC "/door");
	if (e == 0)
		e = fa_make_dirs(path, 0755);
	if (e == 0)
		e = below(k, path, sizeof(path), FA_PATH_BELL);
	if (e < 0)
		return e;
	if (access(path, F_OK) == 0)
		return 0; /* also where /etc is read-only */
	fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	(void)fchmod(fd, 0644);
	close(fd);
	return 0;
}

int place_prepare(struct keeper *k)
{
	char path[512];
	int e = below(k, path, sizeof(path), FA_DIR_RUN);

	if (e == 0)
		e = fa_make_dirs(path, 0755);
	if (e == 0)
		e = take_lock(k);
	if (e == 0)
		e = make_door(k);
	if (e == 0)
		e = make_socket(k);
	return e;
}

void place_leave(struct keeper *k)
{
	char path[512];

	if (below(k, path, sizeof(path), FA_PATH_CONTROL) == 0)
		(void)unlink(path);
	if (below(k, path, sizeof(path), FA_PATH_PID) == 0)
		(void)unlink(path);
}

/* sd_notify(3) in a page: a datagram to the socket that the environment names. */
void notify(const char *text)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len;
	int fd;

	if (path == NULL || (path[0] != '/' && path[0] != '@'))
		return;
	len = strlen(path);
	if (len >= sizeof(a.sun_path))
		return;
	memcpy(a.sun_path, path, len);
	if (path[0] == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

uint64_t watchdog_interval_ns(void)
{
	const char *usec = getenv("WATCHDOG_USEC");

	return usec == NULL ? 0 : strtoull(usec, NULL, 10) * 1000 / 3;
}
