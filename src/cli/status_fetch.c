/* status_fetch.c - asks firstallocd for its status, and says what is known of one process. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "cli/client.h"
#include "cli/status.h"

static const char *how_it_runs(const struct fa_status *s)
{
	static const char *const how[] = {"in the background", "as a systemd unit",
					  "in the foreground", "since the initramfs"};

	return s->h.run < sizeof(how) / sizeof(how[0]) ? how[s->h.run] : "?";
}

static int take_status(struct fa_status *s)
{
	s->h = s->got.h;
	s->session = s->got.session;
	s->process = s->got.process;
	s->thread = s->got.thread;
	s->coverage = malloc(s->h.coverage * sizeof(*s->coverage) + 1);
	if (s->coverage == NULL)
		return -ENOMEM;
	memcpy(s->coverage, s->got.coverage, s->h.coverage * sizeof(*s->coverage));
	s->running = true;
	return 0;
}

int fa_status_fetch(const struct fa_cli *cli, bool threads, struct fa_status *s)
{
	FA_CLEANUP(fa_close) int sock = fa_client_connect(cli->root);
	struct fa_control_reply reply;
	int e;

	s->root = cli->root;
	s->off = fa_registry_off(cli->root);
	s->how = "not running";
	if (sock == -ENOENT || sock == -ECONNREFUSED)
		return 0;
	if (sock < 0)
		return fa_client_fail(cli, sock);
	e = fa_client_status(sock, threads, &reply, &s->got);
	if (e < 0)
		return fa_client_fail(cli, e);
	if (reply.error != 0)
		return fa_client_fail_reply(&reply);
	e = take_status(s);
	if (e < 0)
		return fa_client_fail(cli, e);
	s->how = how_it_runs(s);
	return 0;
}

const struct fa_status_process *fa_status_find(const struct fa_status *s, int32_t pid)
{
	for (uint32_t i = 0; s->running && i < s->h.processes; i++)
		if (s->process[i].pid == pid)
			return &s->process[i];
	return NULL;
}

static const struct fa_status_coverage *find_missed(const struct fa_status *s, int32_t pid)
{
	for (uint32_t i = s->running ? s->h.coverage : 0; i-- > 0;)
		if (s->coverage[i].pid == pid)
			return &s->coverage[i];
	return NULL;
}

uint32_t fa_status_reason(const struct fa_status *s, int32_t pid, int block_error,
			  const struct fa_process_block *b)
{
	const struct fa_status_process *p = fa_status_find(s, pid);
	const struct fa_status_coverage *c = find_missed(s, pid);

	if (p != NULL && p->state == FA_STATUS_TRACED)
		return FA_REASON_TRACED;
	/* It learns of the end of its session with its next heap call: until then it is mistaken. */
	if (block_error == 0 && b->pid == pid && b->reason == FA_REASON_TRACED)
		return p != NULL    ? p->reason
		       : s->running ? FA_REASON_ENDED
				    : FA_REASON_NO_COLLECTOR;
	/* The process knows that it was let go, firstallocd knows why. The block of a fork child is a
	 * copy that speaks of its parent, until it allocates. */
	if (block_error == 0 && b->pid == pid && b->reason == FA_REASON_ENDED && p != NULL)
		return p->reason;
	if (block_error == 0 && b->pid == pid && b->reason != FA_REASON_NONE)
		return b->reason;
	if (p != NULL)
		return p->reason;
	if (c != NULL)
		return c->reason;
	if (block_error == 0)
		return (s->off & FA_OFF_COMMAND) != 0 ? FA_REASON_OFF : FA_REASON_NONE;
	return block_error == -ENOENT ? FA_REASON_NOT_LOADED : FA_REASON_UNKNOWN;
}

void fa_status_done(struct fa_status *s)
{
	fa_client_status_done(&s->got);
	free(s->coverage);
	fa_rule_list_done(&s->armed);
	memset(s, 0, sizeof(*s));
}
