/*
 * self_test.c - does a program still run, and say what it says, with the library preloaded?
 *
 * A library that the dynamic linker refuses makes every program print a line on stderr and go on, so the
 * exit status alone proves nothing. The environment of the test is empty but for LD_PRELOAD.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "cli/setup.h"

enum { NOBODY = 65534, TIME_LIMIT_MS = 10000 };

struct trial {
	const char *const *argv;
	const char *want; /* on stdout */
};

static _Noreturn void run_child(const struct trial *trial, const char *preload, int keep_fd,
				bool drop, int out, int err)
{
	char *environment[] = {(char *)preload, NULL};
	int null = open("/dev/null", O_RDONLY);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(err, STDERR_FILENO) < 0)
		_exit(125);
	if (keep_fd >= 0)
		(void)fcntl(keep_fd, F_SETFD, 0);
	if (drop && (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
		     setresuid(NOBODY, NOBODY, NOBODY) != 0))
		_exit(124);
	if (chdir("/") != 0)
		_exit(125);
	(void)execve(trial->argv[0], (char *const *)trial->argv, environment);
	_exit(126);
}

struct stream {
	int fd;
	char text[512];
	size_t len;
};

/* Reads what is there; false at the end. What does not fit is dropped: the answer is known then. */
static bool take(struct stream *s)
{
	char rest[512];
	size_t room = sizeof(s->text) - 1 - s->len;
	ssize_t n = read(s->fd, room ? s->text + s->len : rest, room ? room : sizeof(rest));

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	if (room)
		s->len += (size_t)n;
	s->text[s->len] = '\0';
	return true;
}

/* Until both ends are closed. -ETIMEDOUT when the program takes too long. */
static int collect(struct stream *streams)
{
	uint64_t end = fa_mono_ns() + TIME_LIMIT_MS * (uint64_t)1000000;
	int open_streams = 2;

	while (open_streams) {
		struct pollfd p[2] = {{streams[0].fd, POLLIN, 0}, {streams[1].fd, POLLIN, 0}};
		uint64_t now = fa_mono_ns();
		int r = now < end ? poll(p, 2, (int)((end - now) / 1000000) + 1) : 0;

		if (r == 0)
			return -ETIMEDOUT;
		if (r < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; r > 0 && i < 2; i++) {
			if (!p[i].revents || take(&streams[i]))
				continue;
			fa_close(&streams[i].fd);
			open_streams--;
		}
	}
	return 0;
}

static int judge(const struct trial *trial, const struct stream *streams, int status, char *why,
		 size_t size)
{
	const char *err = streams[1].text;
	const char *name = trial->argv[0];

	if (WIFSIGNALED(status))
		(void)snprintf(why, size, "%s was killed by signal %d (%s)", name, WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == 124)
		(void)snprintf(why, size, "cannot become an unprivileged user");
	else if (*err)
		(void)snprintf(why, size, "%s printed: %.*s", name, (int)strcspn(err, "\n"), err);
	else if (WEXITSTATUS(status))
		(void)snprintf(why, size, "%s ended with status %d", name, WEXITSTATUS(status));
	else if (strcmp(streams[0].text, trial->want) != 0)
		(void)snprintf(why, size, "%s printed '%.*s' instead of '%.*s'", name,
			       (int)strcspn(streams[0].text, "\n"), streams[0].text,
			       (int)strcspn(trial->want, "\n"), trial->want);
	else
		return 0;
	return -EBADMSG;
}

static int try_one(const struct trial *trial, const char *preload, int keep_fd, bool drop,
		   char *why, size_t size)
{
	FA_CLEANUP(fa_close) int out_write = -1;
	FA_CLEANUP(fa_close) int err_write = -1;
	struct stream streams[2] = {{.fd = -1}, {.fd = -1}};
	int pipes[4] = {-1, -1, -1, -1};
	int status = 0, r;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) != 0 || pipe2(pipes + 2, O_CLOEXEC) != 0)
		return -errno;
	streams[0].fd = pipes[0];
	streams[1].fd = pipes[2];
	out_write = pipes[1];
	err_write = pipes[3];
	pid = fork();
	if (pid == 0)
		run_child(trial, preload, keep_fd, drop, out_write, err_write);
	fa_close(&out_write);
	fa_close(&err_write);
	r = pid < 0 ? -errno : collect(streams);
	fa_close(&streams[0].fd);
	fa_close(&streams[1].fd);
	if (pid < 0)
		return r;
	if (r)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r) {
		(void)snprintf(why, size, "%s did not end within %d seconds", trial->argv[0],
			       TIME_LIMIT_MS / 1000);
		return -EBADMSG;
	}
	return judge(trial, streams, status, why, size);
}

int fa_self_test(const char *library, bool by_descriptor, bool drop, char *why, size_t why_size)
{
	static const char *const quiet[] = {"/bin/true", NULL};
	static const char *const shell[] = {"/bin/sh", "-c", "(echo one); echo two", NULL};
	const struct trial trials[] = {{quiet, ""}, {shell, "one\ntwo\n"}};
	FA_CLEANUP(fa_close) int fd = -1;
	char preload[4096 + 32];
	int r = 0;

	(void)snprintf(why, why_size, "cannot start the test");
	if (by_descriptor) {
		/* Below --root the path may lead through folders that are closed to others. */
		fd = open(library, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		(void)snprintf(preload, sizeof(preload), "LD_PRELOAD=/proc/self/fd/%d", fd);
	} else {
		(void)snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", library);
	}
	for (size_t i = 0; !r && i < sizeof(trials) / sizeof(trials[0]); i++)
		r = try_one(&trials[i], preload, fd, drop, why, why_size);
	return r;
}
