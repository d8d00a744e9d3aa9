/* extents.c - see extents.h. */
#include <errno.h>
#include <stdlib.h>

#include "analysis/replay_internal.h"

int fa_extents_take(struct fa_engine *e, const struct fa_rec_extents *rec)
{
	struct fa_extents *x = &e->r->extents;
	struct fa_process *p = fa_model_process(&e->r->model, rec->process);

	if (p == NULL)
		return -EBADMSG;
	if (!p->selected || !fa_in_range(e, rec->stamp))
		return 0;
	if (x->count == x->cap) {
		size_t wanted = x->cap == 0 ? 64 : x->cap * 2;
		struct fa_sample *more = reallocarray(x->sample, wanted, sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		x->sample = more;
		x->cap = wanted;
	}
	x->sample[x->count++] = (struct fa_sample){.kernel = *rec};
	return fa_stream_add_sample(e, p, rec->stamp, x->count);
}

void fa_extents_apply(struct fa_engine *e, const struct fa_stream *s)
{
	e->r->extents.sample[s->sample - 1].live = s->process->live.bytes;
}
