/* pack.c - see pack.h. */
#include "cli/pack.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "client/client.h"
#include "trace/repack.h"

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static bool go_on(void *ctx, uint64_t done, uint64_t size)
{
	bool *shown = ctx;

	if (isatty(STDERR_FILENO) == 1) {
		(void)fprintf(stderr, "\rcompressing %3llu %%", (unsigned long long)(done / (size / 100 + 1)));
		*shown = true;
	}
	return interrupted == 0;
}

static uint64_t pack(int fd)
{
	bool shown = false;
	char path[4096];
	struct stat st;
	uint64_t bytes;
	int e;

	if (fstat(fd, &st) < 0 || fa_client_path_of(fd, path, sizeof(path)) < 0)
		return 0;
	e = fa_trace_repack(path, fd, go_on, &shown, &bytes);
	if (shown)
		(void)fputs("\r                 \r", stderr);
	return e == 0 ? (uint64_t)st.st_size - bytes : 0;
}

uint64_t fa_pack_files(int *fds, int count)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };
	struct sigaction ours = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before[SIGNALS];
	uint64_t saved = 0;

	for (int i = 0; i < SIGNALS; i++) {
		(void)sigaction(signals[i], NULL, &before[i]); /* cannot fail: all valid */
		if (before[i].sa_handler != SIG_IGN)
			(void)sigaction(signals[i], &ours, NULL);
	}
	for (int i = 0; i < count; i++) {
		if (fds[i] >= 0 && interrupted == 0)
			saved += pack(fds[i]);
		fa_close(&fds[i]);
	}
	for (int i = 0; i < SIGNALS; i++)
		(void)sigaction(signals[i], &before[i], NULL);
	return saved;
}
