/*
 * snapshot_config.c - `firstalloc snapshot config`: who keeps a table of live blocks. By name that is a rule
 * (TracingFlags 0x10), for all starts until it is disabled; by pid it is for the life of that process.
 */
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/parse.h"
#include "cli/client.h"
#include "cli/rule_change.h"
#include "cli/rules.h"
#include "cli/snapshot.h"
#include "client/attach.h"

static bool fits(const struct fa_rule *r, const char *name, uint32_t uid)
{
	return strcmp(r->image, name) == 0 && (r->path == NULL || *r->path == '\0') &&
	       (r->package == NULL || *r->package == '\0') && r->uid == uid;
}

/* The rule of this name and user, or how a new one begins. */
static struct fa_rule rule_of(const struct fa_rule_list *all, const char *name, uint32_t uid, bool *ret_had)
{
	struct fa_rule rule = {.image = name,
			       .uid = uid,
			       .depth = FA_DEPTH_DEFAULT,
			       .stacks = FA_STACK_ALLOC | FA_STACK_REALLOC,
			       .stamp = FA_STAMP_ALLOC};

	*ret_had = false;
	for (uint32_t i = 0; i < all->count; i++)
		if (fits(&all->rule[i], name, uid)) {
			*ret_had = true;
			return all->rule[i];
		}
	return rule;
}

static uint32_t table_option(const struct fa_snapshot_given *given)
{
	return (uint32_t)(given->max_memory >> 20) << FA_RULE_TABLE_SHIFT;
}

static int enable(const struct fa_cli *cli, const struct fa_snapshot_given *given,
		  struct fa_rule_change *change, struct fa_rule *rule)
{
	struct fa_rule_put put;
	int status;

	rule->flags |= FA_TRACING_SNAPSHOT;
	rule->options &= ~(uint32_t)FA_RULE_DISARMED;
	if (given->depth != 0)
		rule->depth = given->depth;
	rule->options = (rule->options & ~(uint32_t)FA_RULE_TABLE_MB) | table_option(given);
	status = fa_rule_change_put(cli, change, rule, &put);
	if (status == 0)
		printf("%s: every new instance keeps a table of its live blocks, until 'firstalloc "
		       "snapshot config %s disable' (rule %u).\n"
		       "  What runs already is not affected: --pid enables it there.\n",
		       rule->image, rule->image, put.id);
	return status;
}

/* The running ones give their tables back. */
static int release(const struct fa_cli *cli, const char *name, int32_t pid,
		   struct fa_control_reply *reply)
{
	struct fa_control_request request = {.verb = FA_CONTROL_RELEASE, .pid = pid};
	FA_CLEANUP(fa_close) int sock = fa_client_connect(cli->root);

	*reply = (struct fa_control_reply){0};
	(void)snprintf(request.text, sizeof(request.text), "%s", name);
	return sock < 0 ? sock : fa_client_ask(sock, &request, -1, reply, NULL);
}

static int disable(const struct fa_cli *cli, struct fa_rule_change *change, struct fa_rule *rule)
{
	const struct fa_rule_filter filter = {.image = rule->image,
					      .path = "",
					      .package = "",
					      .uid = rule->uid,
					      .has_uid = true};
	struct fa_control_reply reply;
	struct fa_rule_put put;
	uint32_t removed, foreign;
	int status, e;

	rule->flags &= ~(uint32_t)FA_TRACING_SNAPSHOT;
	rule->options &= ~(uint32_t)FA_RULE_TABLE_MB;
	if (rule->flags != 0)
		status = fa_rule_change_put(cli, change, rule, &put);
	else
		status = fa_rule_change_remove(cli, change, &filter, &removed, &foreign);
	if (status != 0)
		return status;
	e = release(cli, rule->image, 0, &reply);
	printf("%s: its next start keeps no table.\n", rule->image);
	if (e == 0 && reply.error == 0 && reply.processes > 0)
		printf("  %u running instance%s gave %s.\n", reply.processes,
		       reply.processes == 1 ? "" : "s",
		       reply.processes == 1 ? "its table back" : "their tables back");
	return FA_EXIT_OK;
}

static int query(const struct fa_cli *cli, const char *name)
{
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list all = {0};
	char scope[FA_SCOPE_TEXT], end[96], when[64];
	struct fa_json j;
	int status = fa_rules_load(cli, &all);
	uint32_t n = 0;

	if (status != 0)
		return status;
	if (cli->json) {
		fa_json_init(&j, stdout, true);
		fa_json_array(&j, NULL);
	}
	for (uint32_t i = 0; i < all.count; i++) {
		const struct fa_rule *r = &all.rule[i];

		if ((r->flags & FA_TRACING_SNAPSHOT) == 0 ||
		    (name != NULL && strcmp(r->image, name) != 0))
			continue;
		n++;
		if (cli->json) {
			fa_rules_json(&j, NULL, r);
			continue;
		}
		fa_rules_scope_text(scope, sizeof(scope), r);
		fa_rules_end_text(end, sizeof(end), r);
		printf("%s: enabled%s%s%s%s%s%s%s\n", r->image, r->when != 0 ? " since " : "",
		       r->when != 0 ? fa_format_time(when, sizeof(when), r->when) : "", *scope ? ", only " : "", scope,
		       *end ? ", ends by itself " : "", end,
		       (r->flags & FA_TRACING_HEAP) != 0 ? ", beside heap events" : "");
	}
	if (cli->json) {
		fa_json_end_array(&j);
		fa_json_newline(&j);
	} else if (n == 0) {
		printf("%s%s\n", name != NULL ? name : "no name is enabled for snapshots",
		       name != NULL ? ": not enabled for snapshots" : "");
	}
	return name != NULL && n == 0 && cli->json ? FA_EXIT_NOT_FOUND : FA_EXIT_OK;
}

static int by_name(const struct fa_cli *cli, const struct fa_snapshot_given *given,
		   const char *name, const char *verb)
{
	FA_CLEANUP(fa_rule_change_close) struct fa_rule_change change = FA_RULE_CHANGE_INIT;
	FA_CLEANUP(fa_rule_list_done) struct fa_rule_list all = {0};
	uint32_t uid = FA_USER_ANY;
	struct fa_rule rule;
	bool had;
	int status;

	if (verb == NULL)
		return query(cli, name);
	if (given->user != NULL && fa_rules_user(given->user, &uid) < 0)
		return fa_fail(FA_EXIT_USAGE, "--user: there is no user '%s'", given->user);
	if (*name == '\0' || strchr(name, '/') != NULL || strlen(name) > FA_IMAGE_MAX)
		return fa_usage(cli, "'%s' is no base name of a program", name);
	status = fa_rule_change_open(cli, &change);
	if (status == 0)
		status = fa_rule_change_list(cli, &change, &all);
	if (status != 0)
		return status;
	rule = rule_of(&all, name, uid, &had);
	if (strcmp(verb, "enable") == 0)
		return enable(cli, given, &change, &rule);
	if (!had || (rule.flags & FA_TRACING_SNAPSHOT) == 0)
		return fa_fail(FA_EXIT_NOT_FOUND, "%s is not enabled for snapshots", name);
	return disable(cli, &change, &rule);
}

static int pid_enable(int sock, const struct fa_snapshot_given *given, int32_t pid)
{
	const struct fa_attach as = {
		.tracing_flags = FA_TRACING_SNAPSHOT,
		.depth = given->depth != 0 ? given->depth : FA_DEPTH_DEFAULT,
		.stacks = FA_STACK_ALLOC | FA_STACK_REALLOC,
		.stamp_mode = FA_STAMP_ALLOC,
		.options = table_option(given),
	};
	struct fa_attached a;

	fa_attach_flag(sock, &as, pid, &a);
	if (a.error != 0)
		fa_warn("pid %d%s%s%s: not enabled: %s", (int)pid, a.image[0] ? " (" : "", a.image,
			a.image[0] ? ")" : "", a.text);
	else
		printf("pid %d (%s): it keeps a table of what it allocates %s.\n", (int)pid,
		       a.image, a.sleeping ? "from its next heap call on" : "already");
	return a.error;
}

static int pid_disable(const struct fa_cli *cli, int32_t pid)
{
	struct fa_control_reply reply;
	int e = release(cli, "", pid, &reply);

	if (e < 0 || reply.error != 0)
		fa_warn("pid %d: %s", (int)pid, e < 0 ? fa_strerror(e) : reply.text);
	else
		printf("pid %d: its table is given back.\n", (int)pid);
	return e < 0 ? -e : reply.error;
}

static int pid_query(int sock, int32_t pid)
{
	struct fa_snapshot_result r;

	fa_snapshot_one(sock, NULL, pid, true, &r);
	if (r.error != 0)
		printf("pid %d: %s\n", (int)pid, r.text);
	else
		printf("pid %d (%s): enabled; %llu live blocks%s\n", (int)pid, r.image,
		       (unsigned long long)r.of.blocks, r.dead ? ", it has ended" : "");
	return 0;
}

static int by_pid(const struct fa_cli *cli, const struct fa_snapshot_given *given, const char *verb)
{
	FA_CLEANUP(fa_close) int sock = -1;
	int32_t pids[FA_SNAPSHOT_PIDS];
	unsigned count, failed = 0;
	int status = fa_snapshot_pids(cli, &given->pids, pids, &count);

	if (status != 0)
		return status;
	sock = fa_client_connect(cli->root);
	if (sock < 0)
		return fa_client_fail(cli, sock);
	for (unsigned i = 0; i < count; i++)
		failed += (verb == NULL			     ? pid_query(sock, pids[i])
			   : strcmp(verb, "enable") == 0 ? pid_enable(sock, given, pids[i])
							 : pid_disable(cli, pids[i])) != 0;
	if (failed == 0)
		return FA_EXIT_OK;
	return failed == count ? FA_EXIT_FAILED : FA_EXIT_USAGE;
}

int fa_snapshot_config(const struct fa_cli *cli, const struct fa_snapshot_given *given,
		       const char *name, const char *verb)
{
	if (verb != NULL && strcmp(verb, "enable") != 0 && strcmp(verb, "disable") != 0)
		return fa_usage(cli, "'%s' is neither enable nor disable", verb);
	if (given->depth > FA_DEPTH_MAX)
		return fa_usage(cli, "--depth: 1 to %u frames are recorded", FA_DEPTH_MAX);
	if (given->max_memory != 0 && (given->max_memory < 1 << 20 || given->max_memory >> 20 > 4095))
		return fa_usage(cli, "--max-memory: 1M to 4095M");
	if (given->pids.count > 0)
		return by_pid(cli, given, verb);
	return by_name(cli, given, name, verb);
}
