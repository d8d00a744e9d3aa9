/* growth.c - see growth.h. */
#include "report/growth.h"

#include <errno.h>
#include <stdlib.h>

struct work {
	const struct fa_growth_source *source;
	size_t count;
	const struct fa_growth_options *o;
	struct fa_resolver *resolver;
	struct fa_stack_keys *keys;
	struct fa_idmap index; /* key: position of its row plus one */
	size_t cap;
	struct fa_growth g;
};

/* ---- steps ---- */

static int by_time(const void *a, const void *b)
{
	const struct fa_growth_step *x = a, *y = b;

	return x->real_ns < y->real_ns ? -1 : x->real_ns > y->real_ns;
}

static void trim(struct fa_growth *g)
{
	unsigned first = 0;

	while (g->count > 0 && g->step[g->count - 1].sum.blocks == 0)
		g->count--;
	while (first < g->count && g->step[first].sum.blocks == 0)
		first++;
	for (unsigned i = first; i < g->count; i++)
		g->step[i - first] = g->step[i];
	g->count -= first;
}

static int make_steps(struct work *w)
{
	struct fa_growth *g = &w->g;
	unsigned total = 0;

	for (size_t i = 0; i < w->count; i++)
		total += w->source[i].series->count;
	g->step = calloc(total + 1, sizeof(*g->step));
	if (g->step == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < w->count; i++)
		for (unsigned m = 0; m < w->source[i].series->count; m++)
			g->step[g->count++] = (struct fa_growth_step){
				.source = &w->source[i],
				.moment = m,
				.real_ns = w->source[i].series->real_ns[m],
				.sum = w->source[i].series->sum[m],
			};
	qsort(g->step, g->count, sizeof(*g->step), by_time);
	if (w->o->trim)
		trim(g);
	for (unsigned i = 1; i < g->count; i++)
		if (g->step[i].real_ns == g->step[i - 1].real_ns)
			return -EEXIST;
	return g->count < 2 ? -ERANGE : 0;
}

/* ---- rows ---- */

static int make_room(struct work *w)
{
	struct fa_growth *g = &w->g;
	size_t cap = w->cap == 0 ? 256 : w->cap * 2;
	struct fa_growth_row *rows;
	struct fa_amount *cells;

	if (g->row_count < w->cap)
		return 0;
	rows = reallocarray(g->row, cap, sizeof(*rows));
	if (rows == NULL)
		return -ENOMEM;
	g->row = rows;
	cells = reallocarray(g->cells, cap, sizeof(*cells) * g->count);
	if (cells == NULL)
		return -ENOMEM;
	g->cells = cells;
	w->cap = cap;
	return 0;
}

/* The cells of the row that a site belongs to, one a step. NULL: out of memory. */
static struct fa_amount *row_of(struct work *w, const struct fa_site *site)
{
	struct fa_growth *g = &w->g;
	uint32_t chain = fa_resolver_chain(w->resolver, site->arena, site->stack);
	uint64_t key;
	int r = w->o->by_function ? fa_function_key(w->keys, chain, &key)
				  : fa_stack_key(w->keys, chain, &key);

	if (r < 0)
		return NULL;
	size_t at = (size_t)(uintptr_t)fa_idmap_get(&w->index, key);

	if (at == 0) {
		if (make_room(w) < 0)
			return NULL;
		at = ++g->row_count;
		if (fa_idmap_put(&w->index, key, (void *)(uintptr_t)at) < 0)
			return NULL;
		g->row[at - 1] = (struct fa_growth_row){.chain = chain};
		for (unsigned i = 0; i < g->count; i++)
			g->cells[(at - 1) * g->count + i] = (struct fa_amount){0};
	}
	return &g->cells[(at - 1) * g->count];
}

static bool ever_live(const struct fa_series *s, size_t site)
{
	for (unsigned m = 0; m < s->count; m++)
		if (s->at[site * s->count + m].blocks != 0)
			return true;
	return false;
}

static int add_source(struct work *w, const struct fa_growth_source *source)
{
	const struct fa_series *s = source->series;

	for (size_t site = 1; site < s->sites; site++) {
		if (!ever_live(s, site))
			continue;
		struct fa_amount *cells = row_of(w, &source->replay->model.sites[site]);

		if (cells == NULL)
			return -ENOMEM;
		for (unsigned i = 0; i < w->g.count; i++) {
			if (w->g.step[i].source != source)
				continue;
			const struct fa_amount *a = &s->at[site * s->count + w->g.step[i].moment];

			cells[i].blocks += a->blocks;
			cells[i].bytes += a->bytes;
		}
	}
	return 0;
}

/* ---- slopes ---- */

/* The line with the least squares through (time, bytes); *ret_fit: how much of the variation it explains. */
static double fit_line(const struct fa_growth *g, const struct fa_amount *at, double *ret_fit)
{
	double n = g->count, sum_t = 0, sum_b = 0, tt = 0, tb = 0, bb = 0;

	for (unsigned i = 0; i < g->count; i++) {
		sum_t += (double)(g->step[i].real_ns - g->step[0].real_ns) / 1e9;
		sum_b += (double)at[i].bytes;
	}
	/* Around the means: sums of squares of large numbers would lose what matters. */
	for (unsigned i = 0; i < g->count; i++) {
		double t = (double)(g->step[i].real_ns - g->step[0].real_ns) / 1e9 - sum_t / n;
		double b = (double)at[i].bytes - sum_b / n;

		tt += t * t;
		tb += t * b;
		bb += b * b;
	}
	*ret_fit = bb == 0 ? 1 : tb * tb / (tt * bb);
	return tb / tt;
}

static int steepest(const void *a, const void *b)
{
	const struct fa_growth_row *x = a, *y = b;

	if (x->slope != y->slope)
		return x->slope < y->slope ? 1 : -1;
	return x->chain < y->chain ? -1 : x->chain > y->chain;
}

static void judge(struct work *w)
{
	struct fa_growth *g = &w->g;
	uint32_t wanted = w->o->grown == 0 || w->o->grown >= g->count ? g->count - 1 : w->o->grown;
	size_t kept = 0;

	g->stacks = g->row_count;
	for (size_t i = 0; i < g->row_count; i++) {
		struct fa_growth_row *row = &g->row[i];

		row->at = &g->cells[i * g->count];
		for (unsigned s = 1; s < g->count; s++) {
			row->grew += row->at[s].bytes > row->at[s - 1].bytes;
			row->shrank += row->at[s].bytes < row->at[s - 1].bytes;
		}
		row->slope = fit_line(g, row->at, &row->fit);
		if (row->grew >= wanted && row->shrank == 0)
			g->row[kept++] = *row;
	}
	g->row_count = kept;
	if (kept != 0)
		qsort(g->row, kept, sizeof(*g->row), steepest);
}

static int sum_slope(struct fa_growth *g)
{
	double fit;
	struct fa_amount *sums = calloc(g->count, sizeof(*sums));

	if (sums == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < g->count; i++)
		sums[i] = g->step[i].sum;
	g->slope = fit_line(g, sums, &fit);
	free(sums);
	return 0;
}

static int make(struct work *w)
{
	const struct fa_model **models = calloc(w->count, sizeof(struct fa_model *));
	int r = models == NULL ? -ENOMEM : make_steps(w);

	for (size_t i = 0; r == 0 && i < w->count; i++)
		models[i] = &w->source[i].replay->model;
	if (r == 0)
		r = fa_stack_keys_new(w->resolver, models, w->count, &w->keys);
	for (size_t i = 0; r == 0 && i < w->count; i++)
		r = add_source(w, &w->source[i]);
	free(models);
	if (r < 0)
		return r;
	judge(w);
	return sum_slope(&w->g);
}

int fa_growth_new(const struct fa_growth_source *source, size_t count, struct fa_resolver *resolver,
		  const struct fa_growth_options *options, struct fa_growth *ret)
{
	struct work w = {.source = source, .count = count, .o = options, .resolver = resolver};
	int r = make(&w);

	fa_stack_keys_free(w.keys);
	fa_idmap_done(&w.index);
	if (r < 0)
		fa_growth_done(&w.g);
	else
		*ret = w.g;
	return r;
}

void fa_growth_done(struct fa_growth *g)
{
	free(g->step);
	free(g->row);
	free(g->cells);
	*g = (struct fa_growth){0};
}
