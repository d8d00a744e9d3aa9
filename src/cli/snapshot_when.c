/*
 * snapshot_when.c - when `firstalloc snapshot take` takes one: when a process holds so much, when it ends, or
 * whenever it holds more than ever. It is we who look, LOOK_MS apart; the program does nothing for it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/parse.h"
#include "cli/snapshot.h"

enum { LOOK_MS = 250 };

int fa_snapshot_rss_limit(const struct fa_cli *cli, const char *text, uint64_t *ret)
{
	const size_t len = text == NULL ? 0 : strlen(text);
	char number[16];
	uint32_t percent;

	*ret = 0;
	if (text == NULL || (len > 0 && text[len - 1] != '%' && fa_parse_size(text, ret) == 0 && *ret > 0))
		return 0;
	(void)snprintf(number, sizeof(number), "%.*s", len > 0 && len < 8 ? (int)len - 1 : 0, text);
	if (len == 0 || text[len - 1] != '%' || fa_parse_u32(number, &percent) < 0 || percent < 1 ||
	    percent > 100)
		return fa_usage(cli, "--when-rss: '%s' is neither a size nor 1%% to 100%% of the machine's memory",
				text);
	*ret = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 100 * percent;
	return 0;
}

/* Of its resident memory; 0: it has none any more. */
static uint64_t rss_of(int32_t pid)
{
	unsigned long long pages = 0;
	char path[64], *text = NULL;
	size_t len;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (fa_read_file(path, 4096, &text, &len) == 0)
		(void)sscanf(text, "%*u %llu", &pages);
	free(text);
	return pages * (unsigned long long)sysconf(_SC_PAGESIZE);
}

int fa_snapshot_watch_open(struct fa_snapshot_watch *w, const char *root, int *sock,
			   const struct fa_snapshot_run *run, int32_t pid, uint64_t time)
{
	*w = (struct fa_snapshot_watch){.root = root, .sock = sock, .run = run, .pid = pid};
	w->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	w->until_ns = time != 0 ? fa_mono_ns() + time : UINT64_MAX;
	return w->pidfd < 0 ? -errno : 0;
}

void fa_snapshot_watch_close(struct fa_snapshot_watch *w)
{
	fa_close(&w->pidfd);
}

/* Bytes in its live blocks, and *ret_rss; -errno, and what is wrong in w->text. */
static int look(struct fa_snapshot_watch *w, uint64_t *ret_live)
{
	struct fa_snapshot_result r;
	int e = fa_snapshot_connect(w->root, w->sock);

	if (e < 0) {
		(void)snprintf(w->text, sizeof(w->text), "firstallocd: %s", fa_strerror(e));
		return e;
	}
	fa_snapshot_one(*w->sock, NULL, w->pid, true, &r);
	if (r.error != 0)
		(void)snprintf(w->text, sizeof(w->text), "%s", r.text);
	*ret_live = r.of.bytes;
	return -r.error;
}

enum fa_snapshot_seen fa_snapshot_watch(struct fa_snapshot_watch *w, uint64_t live, uint64_t rss)
{
	bool ended = false;

	for (;;) {
		uint64_t now = 0;

		if (!fa_snapshot_run_goes_on(w->run, w->pidfd, fa_mono_ns() + LOOK_MS * 1000000ull, &ended))
			return FA_SEEN_STOPPED;
		if (ended)
			return FA_SEEN_ENDED;
		if (live != 0 && look(w, &now) < 0)
			return FA_SEEN_FAILED;
		w->live = now;
		if ((live != 0 && now >= live) || (rss != 0 && rss_of(w->pid) >= rss))
			return FA_SEEN_DUE;
		if (fa_mono_ns() > w->until_ns)
			return FA_SEEN_LATE;
	}
}
