/* run_child.c - see run_child.h. */
#include "cli/run_child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/paths.h"
#include "cli/command.h"
#include "format/arena_format.h"

static const char installed_folder[] = "/usr/lib/x86_64-linux-gnu";

static int may_execute(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == EACCES ? -EACCES : -ENOENT;
	return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

static int found(const char *path, char *ret, size_t size)
{
	char *real = realpath(path, NULL);

	(void)snprintf(ret, size, "%s", real == NULL ? path : real);
	free(real);
	return 0;
}

int fa_run_find_program(const char *name, char *ret, size_t size)
{
	const char *path = getenv("PATH");
	int result = -ENOENT;

	if (strchr(name, '/') != NULL) {
		result = may_execute(name);
		return result < 0 ? result : found(name, ret, size);
	}
	if (path == NULL)
		path = "/bin:/usr/bin"; /* what execvp takes then */
	for (;;) {
		size_t len = strcspn(path, ":");
		char full[4096];
		int r;

		/* An empty entry is the current folder. */
		if (snprintf(full, sizeof(full), "%.*s/%s", len == 0 ? 1 : (int)len,
			     len == 0 ? "." : path, name) < (int)sizeof(full)) {
			r = may_execute(full);
			if (r == 0)
				return found(full, ret, size);
			if (r == -EACCES)
				result = r;
		}
		if (path[len] == '\0')
			return result;
		path += len + 1;
	}
}

static int set(const char *name, const char *value)
{
	return setenv(name, value, 1) < 0 ? -errno : 0;
}

int fa_run_set_environment(const char *library, const char *folder, const char *opts)
{
	const char *before = getenv("LD_PRELOAD");
	char *both = NULL;
	int r;

	/* Ours first: its hooks must stand in front of an allocator that is preloaded as well. */
	if (before != NULL && before[0] != '\0') {
		if (asprintf(&both, "%s:%s", library, before) < 0)
			return -ENOMEM;
	}
	r = set("LD_PRELOAD", both != NULL ? both : library);
	free(both);
	if (r == 0)
		r = set(FA_RUN_ENV, folder);
	return r < 0 ? r : set(FA_RUN_OPTS, opts);
}

static void child_main(char **argv, const sigset_t *mask, const struct sigaction *on_child, int go,
		       int failed)
{
	char byte;
	int error;

	if (read(go, &byte, 1) != 1) /* cancelled, or our parent died */
		_exit(125);
	(void)sigaction(SIGCHLD, on_child, NULL);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	(void)execvp(argv[0], argv);
	error = errno;
	(void)!write(failed, &error, sizeof(error)); /* the parent knows it by our status, too */
	_exit(error == ENOENT ? 127 : 126);
}

int fa_run_child_fork(char **argv, const sigset_t *mask, struct fa_run_child *ret)
{
	struct sigaction by_default = {.sa_handler = SIG_DFL}, on_child;
	int go[2], failed[2];
	pid_t pid;
	int r;

	if (pipe2(go, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(failed, O_CLOEXEC) < 0) {
		r = -errno;
		goto close_go;
	}
	(void)sigaction(SIGCHLD, &by_default, &on_child); /* cannot fail: all valid */
	pid = fork();
	if (pid < 0) {
		r = -errno;
		goto close_failed;
	}
	if (pid == 0) {
		(void)close(go[1]);
		(void)close(failed[0]);
		child_main(argv, mask, &on_child, go[0], failed[1]);
	}
	(void)close(go[0]);
	(void)close(failed[1]);
	*ret = (struct fa_run_child){pid, go[1], failed[0]};
	return 0;
close_failed:
	(void)close(failed[0]);
	(void)close(failed[1]);
close_go:
	(void)close(go[0]);
	(void)close(go[1]);
	return r;
}

int fa_run_child_go(struct fa_run_child *c)
{
	int error = 0;
	ssize_t n;

	if (write(c->go, "g", 1) != 1)
		error = errno;
	fa_close(&c->go);
	/* Ends without a word when exec closes the pipe. */
	do {
		n = read(c->failed, &error, sizeof(error));
	} while (n < 0 && errno == EINTR);
	fa_close(&c->failed);
	c->go = c->failed = -1;
	if (error != 0)
		(void)waitpid(c->pid, NULL, 0);
	return -error;
}

void fa_run_child_cancel(struct fa_run_child *c)
{
	fa_close(&c->go);
	fa_close(&c->failed);
	c->go = c->failed = -1;
	(void)waitpid(c->pid, NULL, 0);
}

/* Beside our executable, else the installed one. 0, -ENOENT, -ENAMETOOLONG. */
static int find_library(char *buf, size_t size)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	if (n > 0) {
		exe[n] = '\0';
		slash = strrchr(exe, '/');
		if (slash != NULL)
			*slash = '\0';
		if (snprintf(buf, size, "%s/%s", exe, FA_SHIM_NAME) >= (int)size)
			return -ENAMETOOLONG;
		if (access(buf, R_OK) == 0)
			return 0;
	}
	if (snprintf(buf, size, "%s/%s", installed_folder, FA_SHIM_NAME) >= (int)size)
		return -ENAMETOOLONG;
	return access(buf, R_OK) == 0 ? 0 : -ENOENT;
}

int fa_run_library(const char *named, char *buf, size_t size)
{
	char *real;

	if (named == NULL) {
		if (find_library(buf, size) < 0)
			return fa_fail(RUN_FAILED,
				       "libfirstalloc_preload.so is neither beside this "
				       "program nor installed; name it with --library");
	} else {
		real = realpath(named, NULL);
		if (real == NULL || strlen(real) >= size) {
			free(real);
			return fa_fail(RUN_FAILED, "%s: %s", named, fa_strerror(-errno));
		}
		strcpy(buf, real);
		free(real);
	}
	if (strpbrk(buf, ": ") != NULL)
		return fa_fail(
			RUN_FAILED,
			"%s: the dynamic linker cannot preload a path with blanks or colons; "
			"move it",
			buf);
	return 0;
}

int fa_run_signals(sigset_t *ret_old, int *ret_fd)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, ret_old) < 0)
		return -errno;
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *ret_fd < 0 ? -errno : 0;
}
