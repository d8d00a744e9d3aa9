/* client.c - connect, ask, start firstallocd where none is running; traces and status that go along. */
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "base/socket.h"

enum { ANSWER_WITHIN_S = 60, CONNECT_WITHIN_S = 10 };

int fa_client_connect(const char *root)
{
	return fa_client_connect_to(root, FA_PATH_CONTROL);
}

int fa_client_connect_to(const char *root, const char *socket_path)
{
	/* A stopped firstallocd accepts nobody; when its queue is full, connect() would wait. */
	const struct timeval patience = {.tv_sec = CONNECT_WITHIN_S};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	FA_CLEANUP(fa_close) int fd = -1;
	char path[512];

	if (fa_path_join(path, sizeof(path), root, socket_path) < 0 ||
	    strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return fa_take_fd(&fd);
}

static void close_all(int *fds, int count)
{
	for (int i = 0; i < count; i++)
		fa_close(&fds[i]);
}

static void take_fds(struct msghdr *msg, int fds[FA_FILES_MAX])
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	memset(fds, -1, sizeof(int) * FA_FILES_MAX);
	for (size_t i = 0; c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
			   i < FA_FILES_MAX && CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len;
	     i++)
		memcpy(&fds[i], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
}

static int receive_reply(int sock, struct fa_control_reply *ret, int fds[FA_FILES_MAX])
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * FA_FILES_MAX)];
	} control;
	struct iovec iov = {.iov_base = ret, .iov_len = sizeof(*ret)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);

	if (n < 0)
		return -errno;
	take_fds(&msg, fds);
	if (n == (ssize_t)sizeof(*ret) && ret->magic == FA_CONTROL_MAGIC) {
		ret->text[sizeof(ret->text) - 1] = '\0';
		return 0;
	}
	close_all(fds, FA_FILES_MAX);
	return n == 0 ? -ECONNRESET : -EPROTO;
}

int fa_client_ask_files(int sock, struct fa_control_request *request, const int *fds, int count,
			struct fa_control_reply *ret, int ret_fds[FA_FILES_MAX])
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	struct fa_control_reply reply;
	int r;

	request->magic = FA_CONTROL_MAGIC;
	request->version = FA_CONTROL_VERSION;
	r = fa_send_with_fds(sock, request, sizeof(*request), fds, count, 0);
	if (r < 0)
		return r;
	do
		r = poll(&p, 1, ANSWER_WITHIN_S * 1000);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return r == 0 ? -ETIMEDOUT : -errno;
	r = receive_reply(sock, &reply, ret_fds);
	if (r == 0)
		*ret = reply;
	return r;
}

int fa_client_ask(int sock, struct fa_control_request *request, int fd,
		  struct fa_control_reply *ret, int *ret_fd)
{
	int fds[FA_FILES_MAX], r = fa_client_ask_files(sock, request, &fd, 1, ret, fds);

	if (r < 0)
		return r;
	if (ret_fd != NULL)
		*ret_fd = fa_take_fd(&fds[0]);
	close_all(fds, FA_FILES_MAX);
	return 0;
}

int fa_client_run(const char *file, char *const argv[])
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		/* firstallocd must never be traced by what the user has set for others. */
		(void)unsetenv("LD_PRELOAD");
		execv(file, argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

bool fa_client_have_unit(const char *root)
{
	static const char *const dirs[] = {"/etc/systemd/system/", "/run/systemd/system/",
					   "/usr/local/lib/systemd/system/",
					   "/usr/lib/systemd/system/", "/lib/systemd/system/"};
	char path[600];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s%s", root, dirs[i], FA_CLIENT_UNIT);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

/* Beside ourselves (uninstalled, or /usr/bin), else where it is installed. */
static bool find_program(char *buf, size_t size)
{
	static const char *const places[] = {"/usr/sbin/firstallocd",
					     "/usr/local/sbin/firstallocd"};
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);
	char *slash;

	if (n > 0) {
		buf[n] = '\0';
		slash = strrchr(buf, '/');
		if (slash != NULL && (size_t)(slash - buf) + 14 < size) {
			strcpy(slash + 1, "firstallocd");
			if (access(buf, X_OK) == 0)
				return true;
			if (slash - buf >= 4 && strncmp(slash - 4, "/bin", 4) == 0 &&
			    (size_t)(slash - buf) + 16 < size) {
				strcpy(slash - 3, "sbin/firstallocd");
				if (access(buf, X_OK) == 0)
					return true;
			}
		}
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (access(places[i], X_OK) == 0) {
			(void)snprintf(buf, size, "%s", places[i]);
			return true;
		}
	return false;
}

/* execv's argv is not const, for reasons of 1988. */
static char *word(const char *s)
{
	return (char *)(uintptr_t)s;
}

static int start_unit(void)
{
	char *argv[] = {word("systemctl"), word("start"), word(FA_CLIENT_UNIT), NULL};

	return fa_client_run("/usr/bin/systemctl", argv);
}

int fa_client_start_daemon(const char *at, const char **ret_how)
{
	char path[600], root[PATH_MAX];
	char *argv[] = {path, NULL, NULL, NULL};
	int r;

	if (geteuid() != 0)
		return -EPERM;
	*ret_how = "in the background";
	if (at[0] == '\0' && access("/run/systemd/system", F_OK) == 0 && fa_client_have_unit("")) {
		if (start_unit() == 0) {
			*ret_how = "by its systemd unit";
			return 0;
		}
		*ret_how = "in the background, because its systemd unit failed ('systemctl status "
			   "firstallocd' says why)";
	}
	if (!find_program(path, sizeof(path)))
		return -ENOENT;
	if (at[0] != '\0') {
		if (realpath(at, root) == NULL) /* it changes its folder */
			return -errno;
		argv[1] = word("--root");
		argv[2] = root;
	}
	r = fa_client_run(path, argv); /* returns when it is ready; said on stderr why not */
	if (r != 0)
		return r < 0 ? r : -ECHILD;
	return 0;
}

int fa_client_open_trace(const char *path, int *ret)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
	struct stat st;

	if (fd < 0 && errno == EEXIST && stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
		fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

void fa_client_drop_trace(const char *path, int fd)
{
	struct stat st, named;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && lstat(path, &named) == 0 &&
	    st.st_dev == named.st_dev && st.st_ino == named.st_ino)
		(void)unlink(path);
}

static int map_status(int fd, struct fa_client_status *s)
{
	const unsigned char *at;
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size <= 0)
		return -EPROTO;
	s->len = (size_t)st.st_size;
	s->bytes = mmap(NULL, s->len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (s->bytes == MAP_FAILED) {
		s->bytes = NULL;
		return -errno;
	}
	if (fa_status_check(s->bytes, s->len) < 0)
		return -EPROTO;
	memcpy(&s->h, s->bytes, sizeof(s->h));
	at = (const unsigned char *)s->bytes + sizeof(s->h);
	s->session = (const void *)at;
	at += s->h.sessions * sizeof(*s->session);
	s->process = (const void *)at;
	at += s->h.processes * sizeof(*s->process);
	s->coverage = (const void *)at;
	at += s->h.coverage * sizeof(*s->coverage);
	s->consumer = (const void *)at;
	at += s->h.consumers * sizeof(*s->consumer);
	s->thread = (const void *)at;
	return 0;
}

int fa_client_status(int sock, bool threads, struct fa_control_reply *ret_reply, struct fa_client_status *ret)
{
	struct fa_control_request request = {.verb = FA_CONTROL_STATUS, .all = threads};
	FA_CLEANUP(fa_close) int fd = -1;
	int e = fa_client_ask(sock, &request, -1, ret_reply, &fd);

	if (e < 0 || ret_reply->error != 0)
		return e;
	e = fd < 0 ? -EPROTO : map_status(fd, ret);
	if (e < 0)
		fa_client_status_done(ret);
	return e;
}

int fa_client_tail(int sock, const char *name, uint64_t session_id, struct fa_control_request *request,
		   struct fa_control_reply *ret)
{
	request->verb = FA_CONTROL_TAIL;
	request->session_id = session_id;
	if (name != NULL)
		(void)snprintf(request->session.name, sizeof(request->session.name), "%s", name);
	return fa_client_ask(sock, request, -1, ret, NULL);
}

void fa_client_status_done(struct fa_client_status *s)
{
	if (s->bytes != NULL)
		(void)munmap(s->bytes, s->len);
	memset(s, 0, sizeof(*s));
}
