/* locks.c - see locks.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/replay_internal.h"

static struct fa_lock_site *site_of(struct fa_engine *e, uint32_t site)
{
	struct fa_locks *l = &e->r->locks;
	size_t wanted = e->r->model.site_count;

	if (site >= l->site_count) {
		struct fa_lock_site *more = reallocarray(l->site, wanted, sizeof(*more));

		if (more == NULL) {
			e->error = -ENOMEM;
			return NULL;
		}
		memset(more + l->site_count, 0, (wanted - l->site_count) * sizeof(*more));
		l->site = more;
		l->site_count = wanted;
	}
	return &l->site[site];
}

void fa_locks_apply(struct fa_engine *e, struct fa_stream *s, const struct fa_event *ev)
{
	struct fa_locks *l = &e->r->locks;
	bool timed_out = (ev->arg & FA_LOCK_TIMED_OUT) != 0;
	struct fa_lock_site *site;
	uint32_t number;

	l->any = true;
	if (!fa_in_range(e, ev->stamp) || !s->process->selected || !s->thread->selected)
		return;
	number = fa_site_of(e, s->process->arena, ev);
	if (!e->r->model.sites[number].wanted)
		return;
	site = site_of(e, number);
	if (site == NULL)
		return;
	site->waits++;
	site->timed_out += timed_out;
	site->total += ev->size;
	l->waits++;
	l->timed_out += timed_out;
	l->total += ev->size;
	if (ev->size > l->longest)
		l->longest = ev->size;
	if (site->process != NULL && ev->size <= site->longest)
		return;
	site->longest = ev->size;
	site->process = s->process;
	site->lock = ev->addr;
	site->kind = ev->arg & FA_LOCK_KIND;
	site->owner = (uint32_t)ev->old;
}
