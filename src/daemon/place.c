/*
 * place.c - the keeper's files: lock, pid file, sockets, doorbell; and systemd's notifications.
 *
 * All of it lies in folders that only root can change (fa_path_trust): with --root in a user's folder
 * that user could have root write elsewhere.
 */
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
#include "base/trust.h"
#include "daemon/keeper.h"

#define PATH_LOCK FA_DIR_RUN "/lock"

static int below(const struct keeper *k, char *buf, size_t size, const char *path)
{
	return fa_path_join(buf, size, k->settings->root, path);
}

/*
 * One firstallocd a root: the lock lives as long as the keeper, however it ends. On a file of its own
 * that only root can open: anybody could flock the pid file, because reading it is enough for that.
 */
static int lock_file(struct keeper *k, const char *path)
{
	struct stat held, named;

	for (int i = 0; i < 100; i++) {
		k->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (k->lock_fd < 0)
			return -errno;
		if (flock(k->lock_fd, LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK ? -EBUSY : -errno;
		/* The one before removes it when it leaves. */
		if (fstat(k->lock_fd, &held) == 0 && stat(path, &named) == 0 &&
		    held.st_ino == named.st_ino && held.st_dev == named.st_dev)
			return 0;
		close_fds(&k->lock_fd, 1);
	}
	return -EBUSY;
}

static int take_lock(struct keeper *k)
{
	char path[512], text[32];
	int fd, n, e;

	if (below(k, path, sizeof(path), PATH_LOCK) < 0)
		return -ENAMETOOLONG;
	e = lock_file(k, path);
	if (e < 0)
		return e;
	if (below(k, path, sizeof(path), FA_PATH_PID) < 0)
		return -ENAMETOOLONG;
	(void)unlink(path); /* of one that was killed */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	e = fa_write_all(fd, text, (size_t)n);
	close(fd);
	return e;
}

/* The mode comes by the umask and not by chmod, so that at no time a name is followed. */
static int make_socket(struct keeper *k, const char *name, int *ret_fd)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char path[512];
	mode_t old;
	int fd, e = 0;

	if (below(k, path, sizeof(path), name) < 0 || strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(path); /* of one that was killed: we hold the lock */
	old = umask(0111);  /* 0666: rights are decided per request */
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 64) < 0)
		e = -errno;
	(void)umask(old);
	if (e < 0)
		close(fd);
	else
		*ret_fd = fd;
	return e;
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

static int make_adoptable(struct keeper *k)
{
	char path[512];
	int fd = -1, e = below(k, path, sizeof(path), FA_PATH_ADOPTABLE);

	if (e == 0)
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (e == 0 && fd < 0)
		e = -errno;
	fa_close(&fd);
	return e;
}

int place_prepare(struct keeper *k)
{
	char path[512];
	int e = below(k, path, sizeof(path), FA_DIR_RUN);

	if (e == 0)
		e = fa_make_dirs(path, 0755);
	if (e == 0)
		e = fa_path_trust(path);
	if (e > 0) /* a sticky folder for all is no place for our sockets */
		e = -EPERM;
	if (e == 0)
		e = take_lock(k);
	if (e == 0)
		e = make_door(k);
	if (e == 0)
		e = make_socket(k, FA_PATH_CONTROL, &k->listen_fd);
	if (e == 0)
		e = make_socket(k, FA_PATH_KEEPER, &k->ask_fd);
	if (e == 0 && k->settings->early)
		e = make_adoptable(k);
	return e;
}

/* Into our own control group, where the version that systemd manages is mounted: so that it sees whom the unit has.
 * Elsewhere it knows the main process alone, which is enough to end all. */
static void take_into_group(pid_t keeper)
{
	char path[700], group[512] = "", children[256] = "", *at = children;
	FILE *f = fopen("/proc/self/cgroup", "re");
	FILE *c;
	int fd;

	while (f != NULL && fgets(group, sizeof(group), f) != NULL && strncmp(group, "0::", 3) != 0)
		group[0] = '\0';
	if (f != NULL)
		(void)fclose(f);
	group[strcspn(group, "\n")] = '\0';
	(void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cgroup.procs", group + 3);
	fd = group[0] == '0' ? open(path, O_WRONLY | O_CLOEXEC) : -1;
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)keeper, (int)keeper);
	c = fopen(path, "re");
	if (c != NULL) {
		(void)!fgets(children, sizeof(children), c);
		(void)fclose(c);
	}
	for (pid_t pid = keeper; fd >= 0 && pid > 0; pid = (pid_t)strtol(at, &at, 10))
		(void)!dprintf(fd, "%d", (int)pid);
	fa_close(&fd);
}

bool place_hand_over(const struct keeper *k)
{
	char path[512], text[64], *pid_text = NULL;
	size_t len;
	long pid;

	if (below(k, path, sizeof(path), FA_PATH_ADOPTABLE) < 0 || access(path, F_OK) < 0 ||
	    below(k, path, sizeof(path), FA_PATH_PID) < 0 ||
	    fa_read_file(path, 64, &pid_text, &len) < 0)
		return false;
	pid = strtol(pid_text, NULL, 10);
	free(pid_text);
	if (pid <= 1)
		return false;
	take_into_group((pid_t)pid);
	(void)snprintf(text, sizeof(text), "MAINPID=%ld\nREADY=1", pid);
	notify(text);
	return true;
}

/* The lock last: who takes it then finds nothing of ours. */
void place_leave(struct keeper *k)
{
	static const char *const files[] = {FA_PATH_CONTROL, FA_PATH_KEEPER, FA_PATH_ADOPTABLE,
					    FA_PATH_PID, PATH_LOCK};
	char path[512];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (below(k, path, sizeof(path), files[i]) == 0)
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
