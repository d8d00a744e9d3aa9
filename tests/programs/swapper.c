/*
 * swapper - a process that is another program a moment later, or whose number another process has. Static: the
 * shim is not in it, so nobody may ever attach to it.
 * cflags: -static -Isrc
 *   swapper exec A            executes A, which executes "swapper page", which executes A ...
 *   swapper pid A N           gives the number N to A, and when that has ended to a process of our own, and so on
 *                             (/proc/sys/kernel/ns_last_pid: in a pid namespace where nobody else minds)
 *   swapper page A COUNT ADDRESS NONCE
 * What comes after A lays a process block where A had its own, right but for the nonce, waits a little,
 * and looks whether somebody wrote to it: then it prints "hit" and ends. The count is written to stdout now and
 * then. Ends well when the file "stop" is in the working directory.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "format/arena_format.h"

enum { PAGE = 4096 };

/* 0: untouched, 1: hit, 2: something of ours lies there already */
static int lie_in_wait(unsigned long address, unsigned long nonce, unsigned count)
{
	char *page = (char *)(address & ~(PAGE - 1ul)), was[2 * PAGE];
	struct fa_process_block *b = (struct fa_process_block *)address;

	if (mmap(page, sizeof(was), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != page)
		return 2;
	memset(b, 0, sizeof(*b));
	b->magic = FA_BLOCK_MAGIC;
	b->version = 2;
	b->nonce = nonce + 1;
	b->dormant = 1;
	memcpy(was, page, sizeof(was));
	usleep(100 * (count % 8));
	return memcmp(was, page, sizeof(was)) != 0;
}

static void say(unsigned count)
{
	if (count % 64 == 0)
		dprintf(1, "%u\n", count);
}

static int by_exec(char **argv)
{
	unsigned count = atoi(argv[3]);
	char text[16];

	if (lie_in_wait(strtoul(argv[4], NULL, 0), strtoul(argv[5], NULL, 0), count) == 1)
		return dprintf(1, "hit\n"), 1;
	if (access("stop", F_OK) == 0)
		return dprintf(1, "ok %u\n", count), 0;
	say(count);
	snprintf(text, sizeof(text), "%u", count + 1);
	execl(argv[2], argv[2], argv[0], text, (char *)NULL);
	return 3;
}

static pid_t fork_as(pid_t pid)
{
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
	pid_t child;

	if (fd < 0 || dprintf(fd, "%d", (int)pid - 1) < 0)
		_exit(4);
	child = fork();
	close(fd);
	return child;
}

static int by_number(const char *a, pid_t pid)
{
	for (unsigned count = 0, same = 0;; count++) {
		unsigned long said[2];
		int p[2], status = 0, n;
		pid_t first, second;
		char text[16];

		if (pipe(p) < 0)
			return 5;
		snprintf(text, sizeof(text), "%d", p[1]);
		first = fork_as(pid);
		if (first == 0) {
			execl(a, a, "-", text, (char *)NULL);
			_exit(6);
		}
		close(p[1]);
		n = read(p[0], said, sizeof(said));
		close(p[0]);
		waitpid(first, NULL, 0);
		if (n != sizeof(said))
			return 7;
		second = fork_as(pid);
		if (second == 0)
			_exit(lie_in_wait(said[0], said[1], count));
		same += first == pid && second == pid;
		waitpid(second, &status, 0);
		if (WEXITSTATUS(status) == 1)
			return dprintf(1, "hit\n"), 1;
		if (access("stop", F_OK) == 0)
			return dprintf(1, "ok %u\n", same), 0;
		say(count);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "exec") == 0)
		return execl(argv[2], argv[2], argv[0], "1", (char *)NULL);
	if (argc == 4 && strcmp(argv[1], "pid") == 0)
		return by_number(argv[2], atoi(argv[3]));
	return argc == 6 && strcmp(argv[1], "page") == 0 ? by_exec(argv) : 2;
}
