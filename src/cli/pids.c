/* pids.c - see pids.h. */
#include "cli/pids.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/attach.h"

/* PID 0 is what the flagged ones are called (xperf -Pids 0). */
static int add(const struct fa_cli *cli, const char *text, struct fa_pids *ret)
{
	for (const char *p = text; p != NULL; p = strchr(p, ','), p += p != NULL) {
		char *end;
		long pid = strtol(p, &end, 10);

		if (*p < '0' || *p > '9' || (*end != '\0' && *end != ',') || pid > 1 << 22)
			return fa_usage(cli, "--pid: '%s' is no number of a process", text);
		if (pid == 0)
			ret->flagged = true;
		else if (ret->count == FA_PIDS_MAX)
			return fa_usage(cli, "--pid: at most %d processes", FA_PIDS_MAX);
		else
			ret->pid[ret->count++] = (int32_t)pid;
	}
	return 0;
}

int fa_pids_parse(const struct fa_cli *cli, const struct fa_option_list *list, struct fa_pids *ret)
{
	int e = 0;

	ret->flagged = list->count == 0;
	for (int i = 0; i < list->count && e == 0; i++)
		e = add(cli, list->item[i], ret);
	return e;
}

unsigned fa_pids_attach(const struct fa_pids *p, int sock, uint64_t session_id, struct fa_json *j)
{
	unsigned failed = 0;

	for (unsigned i = 0; i < p->count; i++) {
		struct fa_attached a;

		fa_attach_pid(sock, session_id, p->pid[i], &a);
		failed += a.error != 0;
		if (j != NULL) {
			fa_json_object(j, NULL);
			fa_json_u64(j, "pid", (uint64_t)p->pid[i]);
			fa_json_string(j, "image", a.image);
			fa_json_bool(j, "attached", a.error == 0);
			fa_json_string(j, "reason", a.error == 0 ? NULL : a.text);
			fa_json_end_object(j);
		} else if (a.error != 0) {
			fa_warn("pid %d%s%s%s: not attached: %s", (int)p->pid[i],
				a.image[0] != '\0' ? " (" : "", a.image,
				a.image[0] != '\0' ? ")" : "", a.text);
		} else {
			printf("  pid %d (%s): attached, %s\n", (int)p->pid[i], a.image,
			       a.sleeping ? "from its next heap call on" : "it is traced already");
		}
	}
	return failed;
}
