/*
 * main.c - firstallocd: options, configuration, background. The work is in keeper.c, doorman.c and
 * collector.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/paths.h"
#include "base/trust.h"
#include "collector/drain.h"
#include "daemon/keeper.h"

enum { EARLY_WITHIN_MS = 10000 };

static struct daemon_settings settings;

static const char usage[] =
	"usage: firstallocd [--root DIR] [--foreground | --early] [--log FILE]\n"
	"\n"
	"Collects the heap events of flagged programs for trace sessions; see firstalloc(1).\n"
	"  --root DIR    registry, doorbell and sockets lie below DIR (for tests)\n"
	"  --foreground  stay in the foreground (also when NOTIFY_SOCKET is set)\n"
	"  --early       started by the initramfs; the unit takes it over\n"
	"  --log FILE    append messages to FILE (default: stderr in the foreground, else\n"
	"                /var/log/firstalloc/firstallocd.log)\n"
	"  --version     print the version\n";

/* 0: go on; else exit with *ret_status. */
static int parse_options(int argc, char **argv, int *ret_status)
{
	static const struct option options[] = {
		{"root", required_argument, NULL, 'r'}, {"foreground", no_argument, NULL, 'f'},
		{"log", required_argument, NULL, 'l'},  {"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},       {"early", no_argument, NULL, 'e'},
		{0},
	};
	int o;

	*ret_status = 0;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 'r':
			if (access(optarg, X_OK) < 0 ||
			    strlen(optarg) >= sizeof(settings.root) - 1 || optarg[0] != '/') {
				fprintf(stderr,
					"firstallocd: --root %s: not an absolute path of a "
					"folder\n",
					optarg);
				*ret_status = 2;
				return -EINVAL;
			}
			(void)snprintf(settings.root, sizeof(settings.root), "%s", optarg);
			while (settings.root[0] && settings.root[strlen(settings.root) - 1] == '/')
				settings.root[strlen(settings.root) - 1] = '\0';
			break;
		case 'f':
			settings.foreground = true;
			break;
		case 'e':
			settings.early = true;
			settings.log_file = "/dev/kmsg"; /* no other place can be written to */
			break;
		case 'l':
			settings.log_file = optarg;
			break;
		case 'v':
			puts("firstallocd " FA_VERSION);
			return -ECANCELED;
		case 'h':
			fputs(usage, stdout);
			return -ECANCELED;
		default:
			fputs(usage, stderr);
			*ret_status = 2;
			return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "firstallocd: unexpected argument '%s'\n", argv[optind]);
		*ret_status = 2;
		return -EINVAL;
	}
	return 0;
}

/* stdin from nowhere, stdout and stderr to the log. */
static int open_log(void)
{
	char path[512];
	int fd, null, e;

	if (settings.log_file == NULL && settings.foreground)
		return 0;
	if (settings.log_file != NULL) {
		(void)snprintf(path, sizeof(path), "%s", settings.log_file);
	} else {
		e = fa_path_join(path, sizeof(path), settings.root, FA_DIR_LOG);
		if (e == 0)
			e = fa_make_dirs(path, 0755);
		if (e < 0)
			return e;
		strncat(path, "/firstallocd.log", sizeof(path) - strlen(path) - 1);
	}
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || null < 0)
		return -errno;
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(fd, STDOUT_FILENO);
	(void)dup2(fd, STDERR_FILENO);
	close(null);
	close(fd);
	return 0;
}

/* The parent's end: it leaves when the keeper is ready, and says so by its exit status. */
static int wait_until_ready(int fd, pid_t child)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char text[800];
	ssize_t n;
	int status;

	/* The boot goes on behind us, whatever is the matter. */
	if (settings.early && poll(&p, 1, EARLY_WITHIN_MS) <= 0)
		return 1;
	do
		n = read(fd, text, sizeof(text) - 1);
	while (n < 0 && errno == EINTR);
	if (n == 1 && text[0] == '+')
		return 0;
	if (n > 0) {
		text[n] = '\0';
		fprintf(stderr, "firstallocd: %s\n", text);
	} else if (waitpid(child, &status, 0) == child) {
		fprintf(stderr, "firstallocd: it ended while starting\n");
	}
	return 1;
}

static int run_in_background(void)
{
	int p[2], e;
	pid_t child;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child < 0)
		return -errno;
	if (child > 0) {
		close(p[1]);
		return wait_until_ready(p[0], child);
	}
	close(p[0]);
	(void)setsid();
	(void)!chdir("/");
	e = open_log();
	if (e < 0) {
		char text[128];
		int n = snprintf(text, sizeof(text), "log file: %s", fa_strerror(e));

		(void)!write(p[1], text, (size_t)n);
		_exit(1);
	}
	_exit(keeper_main(&settings, p[1]));
}

int main(int argc, char **argv)
{
	int status, e;

	e = parse_options(argc, argv, &status);
	if (e < 0)
		return status;
	if (geteuid() != 0) {
		fprintf(stderr, "firstallocd: only root can answer the doorbell of all programs; "
				"'firstalloc "
				"run' traces a command of yours without it\n");
		return FA_EXIT_DENIED;
	}
	/* Before anything is read or made there. */
	if (settings.root[0] != '\0' && fa_path_trust(settings.root) < 0) {
		fprintf(stderr,
			"firstallocd: --root %s: a user other than root could change this folder "
			"or one "
			"above it, so root must not work there\n",
			settings.root);
		return 1;
	}
	fa_drain_clock_settle();
	umask(022);
	/* Whatever whoever started us had open is not ours, and would stay open for good. */
	(void)syscall(SYS_close_range, 3u, ~0u, 0u);
	settings.under_unit = getenv("NOTIFY_SOCKET") != NULL;
	if (settings.early) { /* what the unit will expect of us once it has us */
		(void)setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1);
		(void)setenv("WATCHDOG_USEC", "3000000", 1);
	}
	settings.foreground = settings.foreground || settings.under_unit;
	settings.started_real = (uint64_t)time(NULL);
	e = fa_config_read(settings.root, &settings.config);
	if (e < 0) {
		fprintf(stderr, "firstallocd: configuration: %s\n", fa_strerror(e));
		fa_config_defaults(&settings.config);
	}
	if (!settings.foreground) {
		e = run_in_background();
		return e < 0 ? 1 : e;
	}
	e = open_log();
	if (e < 0) {
		fprintf(stderr, "firstallocd: log file: %s\n", fa_strerror(e));
		return 1;
	}
	return keeper_main(&settings, -1);
}
