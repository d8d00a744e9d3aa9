/* loads.c - see loads.h. */
#include <errno.h>
#include <stdlib.h>

#include "analysis/replay_internal.h"

static struct fa_load *add(struct fa_engine *e)
{
	struct fa_loads *l = &e->r->loads;

	if (l->count == l->cap) {
		size_t cap = l->cap == 0 ? 64 : l->cap * 2;
		struct fa_load *more = reallocarray(l->load, cap, sizeof(*more));

		if (more == NULL) {
			e->error = -ENOMEM;
			return NULL;
		}
		l->load = more;
		l->cap = cap;
	}
	return &l->load[l->count++];
}

void fa_loads_apply(struct fa_engine *e, struct fa_stream *s, const struct fa_event *ev)
{
	const struct fa_arena *a = s->process->arena;
	struct fa_loads *l = &e->r->loads;
	uint64_t asked = ev->old < ev->stamp ? ev->stamp - ev->old : ev->stamp;
	struct fa_load *load;
	uint32_t site;

	l->any = true;
	if (!fa_in_range(e, ev->stamp) || !s->process->selected || !s->thread->selected)
		return;
	site = fa_site_of(e, s->process->arena, ev);
	if (!e->r->model.sites[site].wanted)
		return;
	load = add(e);
	if (load == NULL)
		return;
	*load = (struct fa_load){.stamp = asked,
				 .thread = s->thread,
				 .module = fa_idmap_get(&a->modules, ev->arg & FA_LOAD_MODULE),
				 .base = ev->addr,
				 .size = ev->size,
				 .site = site,
				 .how = ev->arg & ~(uint32_t)FA_LOAD_MODULE,
				 .gone = ev->fn == FA_CALL_UNLOAD};
	l->loads += !load->gone;
	l->unloads += load->gone;
}
