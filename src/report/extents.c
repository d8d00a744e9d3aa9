/*
 * extents.c - the view of what processes had of the kernel, over time: by process, sample by sample; of many
 * at most so many, evenly chosen, the last and the one with most committed among them.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/parse.h"
#include "report/report_internal.h"

static bool is_unreadable(const struct fa_sample *s)
{
	return (s->kernel.flags & FA_EXTENTS_UNREADABLE) != 0;
}

/* Of one process, in order. */
struct part {
	const struct fa_process *process;
	const struct fa_sample *const *sample;
	size_t count, unreadable;
	size_t most; /* the one with most committed */
};

static int by_process(const void *a, const void *b)
{
	const struct fa_sample *x = *(const struct fa_sample *const *)a;
	const struct fa_sample *y = *(const struct fa_sample *const *)b;

	if (x->kernel.process != y->kernel.process)
		return x->kernel.process < y->kernel.process ? -1 : 1;
	return x < y ? -1 : x > y;
}

static struct part part_at(const struct fa_model *m, const struct fa_sample *const *sample,
			   size_t left)
{
	struct part p = {.process = fa_model_process(m, sample[0]->kernel.process),
			 .sample = sample};

	for (; p.count < left && sample[p.count]->kernel.process == sample[0]->kernel.process;
	     p.count++) {
		const struct fa_rec_extents *k = &sample[p.count]->kernel;

		p.unreadable += is_unreadable(sample[p.count]);
		if (k->committed > sample[p.most]->kernel.committed)
			p.most = p.count;
	}
	return p;
}

/* All parts, by the order in which the processes came. 0 or -ENOMEM. */
static int each_part(const struct fa_report *r, void (*put)(void *ctx, const struct part *p),
		     void *ctx)
{
	const struct fa_extents *x = &r->replay->extents;
	const struct fa_sample **sorted = calloc(x->count + 1, sizeof(*sorted));

	if (sorted == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < x->count; i++)
		sorted[i] = &x->sample[i];
	qsort(sorted, x->count, sizeof(*sorted), by_process);
	for (size_t i = 0; i < x->count;) {
		struct part p = part_at(&r->replay->model, sorted + i, x->count - i);

		put(ctx, &p);
		i += p.count;
	}
	free(sorted);
	return 0;
}

static void put_sample(const struct fa_report *r, FILE *out, const struct fa_sample *s)
{
	const struct fa_rec_extents *k = &s->kernel;
	char a[32], b[32], c[32], d[32], e[32], f[32], share[32] = "-";

	if (k->committed != 0)
		(void)snprintf(share, sizeof(share), "%.1f %%",
			       100.0 * (double)s->live / (double)k->committed);
	(void)fprintf(out, "%12s %11s %11s %8s %11s %11s %11s\n",
		      fa_format_duration(a, sizeof(a), fa_replay_time_ns(r->replay, k->stamp)),
		      fa_format_size(b, sizeof(b), s->live),
		      fa_format_size(c, sizeof(c), k->committed), share,
		      fa_format_size(d, sizeof(d), k->resident),
		      fa_format_size(e, sizeof(e), k->swapped),
		      fa_format_size(f, sizeof(f), k->reserved));
}

struct text {
	const struct fa_report *r;
	FILE *out;
	unsigned top;
};

static void put_text(void *ctx, const struct part *p)
{
	const struct text *t = ctx;
	size_t stride = (p->count + t->top - 1) / t->top;

	(void)fputc('\n', t->out);
	fa_text_clean(t->out, p->process->image);
	(void)fprintf(t->out, " (pid %d)\n", p->process->pid);
	if (p->unreadable != 0)
		(void)fprintf(t->out, "  %zu time%s the collector could not look at it\n",
			      p->unreadable, p->unreadable == 1 ? "" : "s");
	(void)fprintf(t->out, "%12s %11s %11s %8s %11s %11s %11s\n", "time", "live", "committed",
		      "", "resident", "swapped", "reserved");
	for (size_t i = 0; i < p->count; i++)
		if (!is_unreadable(p->sample[i]) &&
		    (i % stride == 0 || i + 1 == p->count || i == p->most))
			put_sample(t->r, t->out, p->sample[i]);
}

int fa_text_extents(const struct fa_report *r, FILE *out, unsigned top)
{
	struct text t = {r, out, top};

	if (r->replay->extents.count == 0)
		(void)fputs("\n  no process was looked at: they lived too short, or the trace is "
			    "of an older firstalloc\n",
			    out);
	return each_part(r, put_text, &t);
}

struct json {
	const struct fa_report *r;
	struct fa_json *j;
};

static void put_one(const struct json *ctx, const struct fa_sample *s)
{
	struct fa_json *j = ctx->j;

	fa_json_object(j, NULL);
	fa_json_u64(j, "time_ns", fa_replay_time_ns(ctx->r->replay, s->kernel.stamp));
	if (is_unreadable(s)) {
		fa_json_bool(j, "unreadable", true);
	} else {
		fa_json_u64(j, "live", s->live);
		fa_json_u64(j, "committed", s->kernel.committed);
		fa_json_u64(j, "resident", s->kernel.resident);
		fa_json_u64(j, "swapped", s->kernel.swapped);
		fa_json_u64(j, "reserved", s->kernel.reserved);
	}
	fa_json_end_object(j);
}

static void put_json(void *ctx, const struct part *p)
{
	const struct json *c = ctx;

	fa_json_object(c->j, NULL);
	fa_json_i64(c->j, "pid", p->process->pid);
	fa_json_string(c->j, "image", p->process->image);
	fa_json_u64(c->j, "unreadable", p->unreadable);
	fa_json_array(c->j, "samples");
	for (size_t i = 0; i < p->count; i++)
		put_one(c, p->sample[i]);
	fa_json_end_array(c->j);
	fa_json_end_object(c->j);
}

int fa_json_extents(const struct fa_report *r, struct fa_json *j)
{
	struct json c = {r, j};
	int err;

	fa_json_array(j, "processes");
	err = each_part(r, put_json, &c);
	fa_json_end_array(j);
	return err;
}
