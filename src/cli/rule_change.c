/* rule_change.c - change rules: directly, or through the keeper. */
#include "cli/rule_change.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "cli/client.h"
#include "cli/rules.h"
#include "format/keeper_format.h"

enum { ANSWER_WITHIN_S = 20 };

static int fail_to_connect(const struct fa_cli *cli, int e)
{
	if (e == -ENOENT || e == -ECONNREFUSED || e == -EACCES)
		return fa_fail(
			FA_EXIT_DENIED,
			"%s: %s%s cannot be changed by this user, and no firstallocd is "
			"running that would do it for him: run it as root, or have root start "
			"one ('firstalloc start NAME' or 'systemctl start firstallocd')",
			cli->command, cli->root, FA_DIR_STATE);
	return fa_client_fail(cli, e);
}

int fa_rule_change_open(const struct fa_cli *cli, struct fa_rule_change *c)
{
	int r = fa_registry_open(cli->root, FA_REGISTRY_WRITE, &c->reg);

	if (r == 0)
		return 0;
	if (geteuid() == 0 || (r != -EACCES && r != -EPERM))
		return fa_rules_fail(cli, r);
	r = fa_client_connect_to(cli->root, FA_PATH_KEEPER);
	if (r < 0)
		return fail_to_connect(cli, r);
	c->sock = r;
	return 0;
}

void fa_rule_change_close(struct fa_rule_change *c)
{
	fa_registry_close(&c->reg);
	fa_close(&c->sock);
}

static int ask(int sock, struct fa_keeper_request *q, struct fa_keeper_reply *ret)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	ssize_t n;
	int r;

	q->magic = FA_KEEPER_MAGIC;
	q->version = FA_KEEPER_VERSION;
	if (send(sock, q, sizeof(*q), MSG_NOSIGNAL) < 0)
		return -errno;
	do
		r = poll(&p, 1, ANSWER_WITHIN_S * 1000);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return r == 0 ? -ETIMEDOUT : -errno;
	n = recv(sock, ret, sizeof(*ret), 0);
	if (n <= 0)
		return n < 0 ? -errno : -ECONNRESET;
	if (n != (ssize_t)sizeof(*ret) || ret->magic != FA_KEEPER_MAGIC)
		return -EPROTO;
	ret->text[sizeof(ret->text) - 1] = '\0';
	return 0;
}

/* 0, or what to say and the exit status. */
static int ask_or_fail(const struct fa_cli *cli, int sock, struct fa_keeper_request *q,
		       struct fa_keeper_reply *ret)
{
	int r = ask(sock, q, ret);

	if (r < 0)
		return fa_client_fail(cli, r);
	if (ret->error == 0)
		return 0;
	if (ret->text[0] == '\0')
		return fa_rules_fail(cli, -ret->error);
	return fa_fail((int)fa_exit_of(-ret->error), "%s: %s", cli->command, ret->text);
}

static int put_text(char *field, size_t size, const char *text)
{
	size_t len = text == NULL ? 0 : strlen(text);

	if (len >= size)
		return -ENAMETOOLONG;
	memset(field, 0, size);
	if (len > 0)
		memcpy(field, text, len);
	return 0;
}

int fa_rule_change_put(const struct fa_cli *cli, struct fa_rule_change *c,
		       const struct fa_rule *rule, struct fa_rule_put *ret)
{
	struct fa_keeper_request q = {
		.verb = FA_KEEPER_PUT,
		.uid = rule->uid,
		.has_uid = rule->uid != FA_USER_ANY,
		.flags = rule->flags,
		.options = rule->options,
		.depth = rule->depth,
		.stacks = rule->stacks,
		.stamp = rule->stamp,
		.starts = rule->starts_left,
		.expires = rule->expires,
	};
	struct fa_keeper_reply reply;
	int r;

	if (c->reg != NULL) {
		r = fa_registry_put(c->reg, rule, NULL, &ret->replaced, &ret->id);
		ret->generation = fa_registry_generation(c->reg);
		return r < 0 ? fa_rules_fail(cli, r) : 0;
	}
	if (put_text(q.image, sizeof(q.image), rule->image) < 0 ||
	    put_text(q.path, sizeof(q.path), rule->path) < 0 ||
	    put_text(q.package, sizeof(q.package), rule->package) < 0 ||
	    put_text(q.note, sizeof(q.note), rule->note) < 0)
		return fa_rules_fail(cli, -ENAMETOOLONG);
	r = ask_or_fail(cli, c->sock, &q, &reply);
	if (r != 0)
		return r;
	ret->replaced = reply.replaced != 0;
	ret->id = reply.rule_id;
	ret->generation = reply.generation;
	return 0;
}

int fa_rule_change_remove(const struct fa_cli *cli, struct fa_rule_change *c,
			  const struct fa_rule_filter *filter, uint32_t *ret_removed,
			  uint32_t *ret_foreign)
{
	struct fa_keeper_request q = {
		.verb = FA_KEEPER_REMOVE,
		.uid = filter->uid,
		.has_uid = filter->has_uid,
		.all = filter->image == NULL,
	};
	struct fa_keeper_reply reply;
	int r;

	*ret_foreign = 0;
	if (c->reg != NULL) {
		r = fa_registry_remove(c->reg, filter, NULL, ret_removed);
		return r < 0 ? fa_rules_fail(cli, r) : 0;
	}
	if (put_text(q.image, sizeof(q.image), filter->image) < 0 ||
	    put_text(q.path, sizeof(q.path), filter->path) < 0 ||
	    put_text(q.package, sizeof(q.package), filter->package) < 0)
		return fa_rules_fail(cli, -ENAMETOOLONG);
	r = ask_or_fail(cli, c->sock, &q, &reply);
	if (r != 0)
		return r;
	*ret_removed = reply.removed;
	*ret_foreign = reply.foreign;
	return 0;
}

int fa_rule_change_switch(const struct fa_cli *cli, struct fa_rule_change *c, bool off)
{
	struct fa_keeper_request q = {.verb = off ? FA_KEEPER_OFF : FA_KEEPER_ON};
	struct fa_keeper_reply reply;
	int r;

	if (c->reg == NULL)
		return ask_or_fail(cli, c->sock, &q, &reply);
	r = fa_registry_set_flag(c->reg, FA_INDEX_OFF, off, NULL);
	return r < 0 ? fa_rules_fail(cli, r) : 0;
}

int fa_rule_change_list(const struct fa_cli *cli, struct fa_rule_change *c,
			struct fa_rule_list *ret)
{
	struct fa_published p = {0};
	int r;

	if (c->reg != NULL) {
		r = fa_registry_list(c->reg, NULL, ret);
		return r < 0 ? fa_rules_fail(cli, r) : 0;
	}
	r = fa_registry_published(cli->root, &p);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return fa_fail((int)fa_exit_of(r), "%s%s: %s", cli->root, FA_PATH_INDEX,
			       fa_strerror(r));
	fa_rule_list_drop_expired(&p.rules);
	*ret = p.rules;
	return 0;
}
