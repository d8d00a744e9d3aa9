/* dormant.c - flagged processes that are not attached: what status says of them. */
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "collector/procfs.h"
#include "daemon/collector.h"

static struct dormant *find(struct collector *c, int32_t pid)
{
	for (size_t i = 0; i < c->dormants; i++)
		if (c->dormant[i].pid == pid)
			return &c->dormant[i];
	return NULL;
}

void dormant_name(struct collector *c, int32_t pid, const struct session *s)
{
	struct dormant *d = find(c, pid);

	if (d == NULL)
		return;
	d->named |= 1ull << s->index;
	d->renamed |= 1ull << s->index;
}

uint64_t dormant_named(struct collector *c, int32_t pid)
{
	const struct dormant *d = find(c, pid);

	return d != NULL ? d->named : 0;
}

void dormant_rename_begin(struct collector *c, const struct session *s)
{
	for (size_t i = 0; i < c->dormants; i++)
		c->dormant[i].renamed &= ~(1ull << s->index);
}

void dormant_rename_end(struct collector *c, const struct session *s)
{
	for (size_t i = 0; i < c->dormants; i++)
		c->dormant[i].named &= c->dormant[i].renamed | ~(1ull << s->index);
}

void dormant_remove(struct collector *c, int32_t pid)
{
	for (size_t i = 0; i < c->dormants; i++)
		if (c->dormant[i].pid == pid) {
			c->dormant[i] = c->dormant[--c->dormants];
			return;
		}
}

void dormant_add(struct collector *c, const struct fa_msg_arena *info, const char *exec_name,
		 uint32_t state, uint32_t reason)
{
	struct dormant *d = find(c, info->pid);

	if (d == NULL && c->dormants == DORMANT_MAX)
		return;
	if (d == NULL) {
		d = &c->dormant[c->dormants++];
		d->named = d->renamed = 0;
	}
	d->pid = info->pid;
	d->uid = info->uid;
	d->state = state;
	d->reason = reason;
	(void)snprintf(d->image, sizeof(d->image), "%s", fa_base_name(info->exe));
	(void)snprintf(d->exec_name, sizeof(d->exec_name), "%s", exec_name);
}

void dormant_check(struct collector *c)
{
	for (size_t i = 0; i < c->dormants;) {
		if (fa_procfs_gone(c->dormant[i].pid, 0))
			c->dormant[i] = c->dormant[--c->dormants];
		else
			i++;
	}
}

void read_exec_name(int arena_fd, char ret[FA_IMAGE_NAME], uint32_t *ret_rule)
{
	struct fa_arena_header h;

	ret[0] = '\0';
	*ret_rule = 0;
	if (pread(arena_fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		return;
	h.exec_path[sizeof(h.exec_path) - 1] = '\0';
	(void)snprintf(ret, FA_IMAGE_NAME, "%s", fa_base_name(h.exec_path));
	*ret_rule = h.rule_id;
}
