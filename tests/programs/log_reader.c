/*
 * log_reader - the reader of somebody's log, as journald is, that is busy with its heap and does not read: opens FIFO,
 * then CALLS times malloc and free when SIGUSR1 comes, and prints "done"; then it reads and counts until the writer has closed.
 * log_reader FIFO CALLS OUT
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static char text[1 << 16];
	sigset_t set;
	int number, in, out;
	ssize_t n;

	if (argc != 4)
		return 2;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	in = open(argv[1], O_RDONLY);
	out = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (in < 0 || out < 0)
		return 1;
	fcntl(in, F_SETPIPE_SZ, 8192);
	dprintf(1, "open\n");
	sigwait(&set, &number);
	for (long i = strtol(argv[2], NULL, 0); i > 0; i--) {
		void *volatile p = malloc(i % 1000);

		free(p);
	}
	dprintf(1, "done\n");
	sigwait(&set, &number);
	while ((n = read(in, text, sizeof(text))) > 0)
		if (write(out, text, n) != n)
			return 1;
	return 0;
}
