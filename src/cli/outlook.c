/*
 * outlook.c - look at the machine and say what a rule will and will not do.
 *
 * The commonest disappointment with a flag by name is silence: nothing is traced and nothing says
 * why. So whoever arms a program is told at once what is missing. These are hints: what cannot be
 * read is left out, and no finding makes `enable` fail.
 */
#include "cli/outlook.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "cli/client.h"
#include "cli/program.h"
#include "cli/rules.h"
#include "client/attach.h"
#include "collector/procfs.h"
#include "format/package_format.h"

void fa_outlook_program(const struct fa_rule *rule)
{
	char path[PATH_MAX], real[PATH_MAX];
	struct fa_program p;
	const char *problem;
	int e;

	if (rule->path != NULL && *rule->path != '\0')
		(void)snprintf(path, sizeof(path), "%s", rule->path);
	else if (fa_program_find(rule->image, path, sizeof(path)) < 0)
		return;
	e = fa_program_look(path, &p);
	if (e == -ENOENT)
		fa_warn("%s does not exist; the rule waits for it", path);
	if (e < 0)
		return;
	/* A process knows its executable by the path behind all links. */
	if (rule->path != NULL && *rule->path != '\0' && realpath(path, real) != NULL &&
	    strcmp(path, real) != 0)
		fa_warn("%s leads to %s, and that is the path that a process has: use --path %s",
			path, real, real);
	problem = fa_program_problem(&p);
	if (problem != NULL)
		fa_warn("%s %s: it will not be traced", path, problem);
	if ((rule->options & FA_RULE_SECURE) != 0)
		return;
	if (p.setid)
		fa_warn("%s is set-user-id or set-group-id: it will not be traced without "
			"--secure",
			path);
	else if (p.capabilities)
		fa_warn("%s has file capabilities: it will not be traced without --secure", path);
}

static bool shim_is_installed(const char *root)
{
	char path[PATH_MAX];
	char *text = NULL;
	size_t len = 0;
	bool found;

	if (fa_path_join(path, sizeof(path), root, FA_PATH_PRELOAD) < 0 ||
	    fa_read_file(path, 1 << 20, &text, &len) < 0)
		return false;
	found = strstr(text, FA_SHIM_NAME) != NULL;
	free(text);
	return found;
}

/* A folder's descriptor stands for it in the address: names of sockets end at 107 bytes. */
static bool collector_runs(const char *root)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[PATH_MAX];

	if (fa_path_join(path, sizeof(path), root, FA_DIR_RUN) < 0)
		return false;
	FA_CLEANUP(fa_close) int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	FA_CLEANUP(fa_close) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (dir < 0 || fd < 0)
		return false;
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir,
		       fa_base_name(FA_PATH_CONTROL));
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/* Name of the executable, full or base, without the mark of a deleted file. */
static bool executable_is(int proc, const char *pid, const struct fa_rule *rule)
{
	char link[PATH_MAX], name[300];
	static const char deleted[] = " (deleted)";
	ssize_t n;

	(void)snprintf(name, sizeof(name), "%.16s/exe", pid);
	n = readlinkat(proc, name, link, sizeof(link) - 1);
	if (n <= 0)
		return false;
	link[n] = '\0';
	size_t tail = sizeof(deleted) - 1;

	if ((size_t)n > tail && strcmp(link + n - tail, deleted) == 0)
		link[(size_t)n - tail] = '\0';
	if (rule->path != NULL && *rule->path != '\0')
		return strcmp(link, rule->path) == 0;
	return strcmp(fa_base_name(link), rule->image) == 0;
}

/* A script runs under the interpreter's executable; its own name is what the kernel calls it, cut
 * to 15 bytes. */
static bool script_is(int proc, const char *pid, const struct fa_rule *rule)
{
	char name[300];
	char *comm = NULL;
	size_t len = 0;
	bool same;

	if (rule->path != NULL && *rule->path != '\0')
		return false;
	(void)snprintf(name, sizeof(name), "%.16s/comm", pid);
	if (fa_read_file_at(proc, name, 256, &comm, &len) < 0)
		return false;
	comm[strcspn(comm, "\n")] = '\0';
	same = strncmp(comm, rule->image, 15) == 0;
	free(comm);
	return same;
}

static bool user_is(int proc, const char *pid, uint32_t uid)
{
	struct stat st;

	return uid == FA_USER_ANY || (fstatat(proc, pid, &st, 0) == 0 && st.st_uid == uid);
}

static bool package_is(const char *pid, const char *package)
{
	char text[FA_CGROUP_TEXT_MAX];

	if (package == NULL || *package == '\0')
		return true;
	return fa_procfs_cgroup((int32_t)strtol(pid, NULL, 10), text, sizeof(text)) == 0 &&
	       fa_package_matches(package, text);
}

enum { SHOWN = 5, INSTANCES_MAX = 4096 };

/* How many, and the first of their numbers. */
static int running_instances(const struct fa_rule *rule, int pids[INSTANCES_MAX])
{
	DIR *proc = opendir("/proc");
	int count = 0;

	if (proc == NULL)
		return 0;
	for (struct dirent *e; (e = readdir(proc)) != NULL;) {
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    !user_is(dirfd(proc), e->d_name, rule->uid))
			continue;
		if (!executable_is(dirfd(proc), e->d_name, rule) &&
		    !script_is(dirfd(proc), e->d_name, rule))
			continue;
		if (!package_is(e->d_name, rule->package))
			continue;
		if (count == INSTANCES_MAX)
			break;
		pids[count] = (int)strtol(e->d_name, NULL, 10);
		count++;
	}
	(void)closedir(proc);
	return count;
}

/* Returns how many could not be had. */
static int wake_all(const struct fa_cli *cli, const struct fa_rule *rule, uint32_t id,
		    const int *pids, int n)
{
	FA_CLEANUP(fa_close) int sock = fa_client_connect(cli->root);
	const struct fa_attach as = {.tracing_flags = rule->flags,
				     .rule_id = id,
				     .depth = rule->depth,
				     .stacks = rule->stacks,
				     .stamp_mode = rule->stamp,
				     .options = rule->options};
	int failed = 0;

	if (sock < 0) {
		fa_warn("--live: no firstallocd is running that could wake the running instances: "
			"'firstalloc start' first");
		return n;
	}
	for (int i = 0; i < n; i++) {
		struct fa_attached a;

		fa_attach_flag(sock, &as, pids[i], &a);
		if (a.error != 0)
			fa_warn("pid %d (%s): not flagged: %s", pids[i], a.image, a.text);
		failed += a.error != 0;
	}
	printf("  %d running instance%s flagged.\n", n - failed, n - failed == 1 ? " is" : "s are");
	return failed;
}

int fa_outlook_running(const struct fa_cli *cli, const struct fa_rule *rule, uint32_t id, bool live)
{
	static int pids[INSTANCES_MAX];
	int n = running_instances(rule, pids);

	if (n == 0)
		return 0;
	if (live)
		return wake_all(cli, rule, id, pids, n);
	printf("  %d running instance%s not affected (pid", n, n == 1 ? " is" : "s are");
	for (int i = 0; i < n && i < SHOWN; i++)
		printf("%s %d", i > 0 ? "," : "", pids[i]);
	printf("%s): restart %s, or use --live.\n", n > SHOWN ? ", ..." : "",
	       n == 1 ? "it" : "them");
	return 0;
}

void fa_outlook_machine(const struct fa_cli *cli)
{
	uint32_t off = fa_registry_off(cli->root);
	char how[PATH_MAX + 200];

	if (!shim_is_installed(cli->root))
		printf("Nothing is flagged yet: the shim is not installed in %s%s ('firstalloc "
		       "install').\n",
		       cli->root, FA_PATH_PRELOAD);
	else if (off != 0)
		printf("Nothing is traced: tracing is switched off (%s).\n",
		       fa_off_text(how, sizeof(how), cli->root, off));
	else
		printf("The next start is flagged, whoever starts it.\n");
	if (!collector_runs(cli->root))
		printf("Nothing is recorded yet: no collector is running ('firstalloc start NAME "
		       "-o "
		       "FILE').\n");
}
