/* cmd_status.c - what is being collected, from whom, what is armed, and who could not be traced. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/status.h"
#include "client/process_block.h"

static struct {
	uint32_t pid;
	bool threads;
} given;

static const struct fa_option options[] = {
	{'p', "pid", "PID", FA_OPT_U32, &given.pid, "explain one process: is it traced, and if not, why", NULL},
	{'t', "threads", NULL, FA_OPT_FLAG, &given.threads, "the threads of each process that is traced, too", NULL},
	{0}};

/* From the registry where it may be read, else from what it published. */
static void fetch_armed(const struct fa_cli *cli, struct fa_status *s)
{
	FA_CLEANUP(fa_registry_close) struct fa_registry *reg = NULL;
	struct fa_published p = {0};

	if (fa_registry_open(cli->root, FA_REGISTRY_READ, &reg) == 0) {
		fa_registry_set_timeout(reg, 1000);
		if (fa_registry_list(reg, NULL, &s->armed) == 0) {
			s->armed_known = true;
			return;
		}
	}
	if (fa_registry_published(cli->root, &p) == 0) {
		s->armed = p.rules; /* taken over */
		memset(&p.rules, 0, sizeof(p.rules));
		s->armed_known = true;
		fa_published_done(&p);
	}
}

/* What the collector could not see from outside: the process itself says why. */
static void refine_coverage(struct fa_status *s)
{
	for (uint32_t i = 0; i < s->h.coverage; i++) {
		struct fa_status_coverage *c = &s->coverage[i];
		struct fa_process_block b;

		if (c->reason == FA_REASON_NOT_LOADED && fa_process_block_read(c->pid, &b) == 0 &&
		    b.pid == c->pid && b.reason != FA_REASON_NONE)
			c->reason = b.reason;
	}
}

static void explain_json(const struct fa_status *s, int32_t pid, uint32_t reason, int block_error,
			 const struct fa_process_block *b)
{
	const struct fa_status_process *p = fa_status_find(s, pid);
	struct fa_json j;

	fa_json_init(&j, stdout, true);
	fa_json_object(&j, NULL);
	fa_json_i64(&j, "pid", pid);
	fa_json_string(&j, "reason", fa_reason_name(reason));
	fa_json_string(&j, "text", fa_reason_text(reason));
	fa_json_bool(&j, "shim", block_error == 0);
	if (block_error == 0) {
		fa_json_u64(&j, "tracing_flags", b->tracing_flags);
		fa_json_u64(&j, "rule", b->rule_id);
		fa_json_u64(&j, "index_generation", b->index_generation);
	}
	if (p != NULL) {
		fa_json_string(&j, "image", p->image);
		fa_json_u64(&j, "events", p->events);
		fa_json_u64(&j, "lost", p->lost);
	}
	fa_json_end_object(&j);
	fa_json_newline(&j);
}

static int explain(const struct fa_cli *cli, const struct fa_status *s, int32_t pid)
{
	const struct fa_status_process *p = fa_status_find(s, pid);
	struct fa_process_block b = {0};
	int e = fa_process_block_read(pid, &b);
	uint32_t reason = fa_status_reason(s, pid, e, &b);

	if (e == -ESRCH && p == NULL)
		return fa_fail(FA_EXIT_NOT_FOUND, "there is no process %d", (int)pid);
	if ((e == -EACCES || e == -EPERM) && reason == FA_REASON_UNKNOWN)
		return fa_fail(FA_EXIT_DENIED,
			       "process %d is another user's: only root may look "
			       "into it",
			       (int)pid);
	if (cli->json) {
		explain_json(s, pid, reason, e, &b);
		return FA_EXIT_OK;
	}
	printf("%d: %s\n", (int)pid, fa_reason_text(reason));
	if (p != NULL)
		printf("  image %s, %llu events, %llu lost\n", p->image,
		       (unsigned long long)p->events, (unsigned long long)p->lost);
	if (e == 0 && b.rule_id != 0)
		printf("  rule %u, flags 0x%x, index generation %llu\n", b.rule_id, b.tracing_flags,
		       (unsigned long long)b.index_generation);
	return FA_EXIT_OK;
}

static int run(const struct fa_cli *cli, int argc, char **argv)
{
	struct fa_status s = {0};
	int status;

	if (argc != 0)
		return fa_usage(cli, "unexpected argument '%s'", argv[0]);
	if (given.pid > 1u << 30)
		return fa_usage(cli, "--pid: there is no such number");
	status = fa_status_fetch(cli, given.threads, &s);
	if (status != 0)
		goto out;
	if (given.pid != 0) {
		status = explain(cli, &s, (int32_t)given.pid);
		goto out;
	}
	fetch_armed(cli, &s);
	refine_coverage(&s);
	if (cli->json)
		fa_status_json(&s);
	else
		fa_status_text(&s);
out:
	fa_status_done(&s);
	return status;
}

const struct fa_command fa_cmd_status = {
	.name = "status",
	.group = "Sessions",
	.summary = "sessions, flagged processes, armed rules, and who could not be traced",
	.synopsis = "[--pid PID]",
	.description =
		"Shows the sessions with their counters, the flagged processes that run and "
		"whether "
		"they are traced, the rules that are armed, and the coverage: flagged programs "
		"that "
		"started and did not arrive, each with the reason. Starts that could not be seen "
		"are "
		"counted as unknown.\n"
		"\n"
		"Root and the group firstalloc see everything, others their own sessions and "
		"processes. Works without a running firstallocd: it then says so.\n"
		"\n"
		"--pid explains one process; root may ask for any.",
	.examples = "firstalloc status # what is going on\n"
		    "firstalloc status --pid 4711 # why is this one not traced?\n",
	.options = options,
	.run = run,
};
