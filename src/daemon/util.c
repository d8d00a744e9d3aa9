/* util.c - log lines, messages between the parts, and the laying down of rights. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/paths.h"
#include "base/socket.h"
#include "daemon/daemon.h"

static const char *part_name = "firstallocd";

void log_name(const char *part)
{
	part_name = part;
}

uint64_t beat_wait(struct beat *beat)
{
	uint64_t before = atomic_load(&beat->writing_ns);

	if (before == 0)
		atomic_store(&beat->writing_ns, fa_mono_ns());
	return before;
}

/* It lives, first: else it would have been silent for as long as it waited. */
void beat_go_on(struct beat *beat, uint64_t before)
{
	atomic_store(&beat->alive_ns, fa_mono_ns());
	atomic_store(&beat->writing_ns, before);
}

/*
 * Who reads the log may be traced (journald, a logger behind a pipe, a terminal's program), and wait for a buffer
 * that only we give back: so we do not wait for him. One write a line, so that three processes do not mix theirs.
 */
static bool put_line(const char *line, size_t n)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (send(STDERR_FILENO, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n)
		return true;
	if (errno != ENOTSOCK)
		return errno != EAGAIN && errno != ENOBUFS; /* gone: nobody to tell */
	/* A pipe that says so has room for a line, unless another part has filled it just now. */
	if (poll(&p, 1, 0) == 0)
		return false;
	(void)!write(STDERR_FILENO, line, n);
	return true;
}

static void put_or_count(const char *line, size_t n)
{
	static unsigned long left_out;
	char note[128];
	int len;

	if (left_out != 0) {
		len = snprintf(note, sizeof(note), "%s[%d]: %lu lines were left out: nobody read them\n", part_name,
			       (int)getpid(), left_out);
		if (!put_line(note, (size_t)len)) {
			left_out++;
			return;
		}
		left_out = 0;
	}
	if (!put_line(line, n))
		left_out++;
}

void log_line(const char *format, ...)
{
	char line[1024];
	time_t now = time(NULL);
	struct tm tm;
	va_list ap;
	size_t n;

	if (localtime_r(&now, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	n = strftime(line, sizeof(line), "%Y-%m-%d %H:%M:%S ", &tm);
	n += (size_t)snprintf(line + n, sizeof(line) - n, "%s[%d]: ", part_name, (int)getpid());
	va_start(ap, format);
	(void)vsnprintf(line + n, sizeof(line) - n - 1, format, ap);
	va_end(ap);
	/* Names of programs and files stand in it, and users choose those: no line of theirs, no
	 * escape sequences for the terminal of who reads it. */
	for (n = 0; line[n] != '\0'; n++)
		if ((unsigned char)line[n] < ' ' || line[n] == 0x7f)
			line[n] = '?';
	line[n++] = '\n';
	put_or_count(line, n);
}

int msg_send(int sock, struct fa_part_msg *m, unsigned type, const int *fds, int fd_count)
{
	static_assert((int)MSG_FDS <= (int)FA_SEND_FDS_MAX, "more than go along");
	m->magic = FA_PART_MAGIC;
	m->type = type;
	return fa_send_with_fds(sock, m, sizeof(*m), fds, fd_count, MSG_DONTWAIT);
}

/* Take the descriptors out of a message; what does not fit is closed. */
static void take_fds(struct msghdr *msg, int fds[MSG_FDS])
{
	int n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (n < MSG_FDS)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
}

int msg_receive(int sock, struct fa_part_msg *m, int fds[MSG_FDS])
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * MSG_FDS)];
	} control;
	struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	ssize_t n;

	for (int i = 0; i < MSG_FDS; i++)
		fds[i] = -1;
	do
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	take_fds(&msg, fds);
	if (n == 0)
		return 0;
	if ((size_t)n != sizeof(*m) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
	    m->magic != FA_PART_MAGIC) {
		close_fds(fds, MSG_FDS);
		return -EPROTO;
	}
	return 1;
}

void close_fds(int *fds, int n)
{
	for (int i = 0; i < n; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

int drop_bounding(uint64_t mask)
{
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!(mask >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 &&
		    errno != EINVAL && errno != EPERM)
			return -errno; /* EINVAL: an older kernel without it */
	return 0;
}

int keep_capabilities(uint64_t mask)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	int e = drop_bounding(mask);

	if (e < 0)
		return e;
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		data[i].effective &= (uint32_t)(mask >> (32 * i));
		data[i].permitted &= (uint32_t)(mask >> (32 * i));
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

int become_collector_user(void)
{
	const struct passwd *pw = getpwnam(FA_USER);

	if (pw == NULL)
		pw = getpwnam("nobody");
	if (pw == NULL || pw->pw_uid == 0)
		return -ESRCH;
	if (setgroups(0, NULL) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return -errno;
	return 0;
}
