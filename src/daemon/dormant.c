/* dormant.c - flagged processes that are not attached: what status says of them. */
#include <stdio.h>

#include "base/io.h"
#include "collector/procfs.h"
#include "daemon/collector.h"

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
	struct dormant *d = NULL;

	for (size_t i = 0; i < c->dormants && d == NULL; i++)
		if (c->dormant[i].pid == info->pid)
			d = &c->dormant[i];
	if (d == NULL && c->dormants == DORMANT_MAX)
		return;
	if (d == NULL)
		d = &c->dormant[c->dormants++];
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
