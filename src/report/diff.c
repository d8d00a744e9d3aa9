/* diff.c - see diff.h. */
#include "report/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const fa_change_names[FA_CHANGES] = {"added", "removed", "grown", "shrunk", "kept"};

struct work {
	const struct fa_diff_side *side;
	const struct fa_diff_options *o;
	struct fa_resolver *resolver;
	struct fa_stack_keys *keys;
	struct fa_idmap index; /* key: position of its row plus one */
	size_t row_cap;
	struct fa_idmap process[2]; /* by identity() */
	struct fa_idmap first[2];   /* process id: position of its first block plus one */
	uint32_t *row_of[2];        /* by site: position of its row plus one, 0: not asked yet */
	struct fa_diff d;
};

/* ---- rows ---- */

static void add(struct fa_amount *to, const struct fa_block *b)
{
	to->blocks++;
	to->bytes += b->size;
}

static int new_row(struct work *w, uint64_t key, uint32_t chain)
{
	if (w->d.count == w->row_cap) {
		size_t cap = w->row_cap == 0 ? 256 : w->row_cap * 2;
		struct fa_diff_row *bigger = reallocarray(w->d.row, cap, sizeof(*bigger));

		if (bigger == NULL)
			return -ENOMEM;
		w->d.row = bigger;
		w->row_cap = cap;
	}
	w->d.row[w->d.count++] = (struct fa_diff_row){.chain = chain};
	return fa_idmap_put(&w->index, key, (void *)(uintptr_t)w->d.count);
}

/* The row of a site, made at its first block. NULL: out of memory. */
static struct fa_diff_row *row_of(struct work *w, unsigned side, uint32_t site)
{
	const struct fa_site *s = &w->side[side].replay->model.sites[site];
	uint32_t *at = &w->row_of[side][site];

	if (*at == 0) {
		uint32_t chain = fa_resolver_chain(w->resolver, s->arena, s->stack);
		uint64_t key;
		int r = w->o->by_function ? fa_function_key(w->keys, chain, &key)
					  : fa_stack_key(w->keys, chain, &key);

		if (r < 0)
			return NULL;
		if (fa_idmap_get(&w->index, key) == NULL && new_row(w, key, chain) < 0)
			return NULL;
		*at = (uint32_t)(uintptr_t)fa_idmap_get(&w->index, key);
	}
	return &w->d.row[*at - 1];
}

/* The second side first: rows show the stacks of the newer build. */
static int add_amounts(struct work *w)
{
	for (unsigned side = 2; side-- > 0;) {
		const struct fa_live *l = w->side[side].live;

		for (size_t i = 0; i < l->count; i++) {
			struct fa_diff_row *row = row_of(w, side, l->block[i].site);

			if (row == NULL)
				return -ENOMEM;
			add(side == 0 ? &row->before : &row->after, &l->block[i]);
		}
	}
	return 0;
}

/* ---- blocks ---- */

static int list_block(struct work *w, unsigned side, const struct fa_block *b,
		      enum fa_diff_change change, uint32_t chain)
{
	struct fa_diff *d = &w->d;

	if (!w->o->blocks || !(w->o->only & 1u << change))
		return 0;
	if (d->block_count == d->block_cap) {
		size_t cap = d->block_cap == 0 ? 256 : d->block_cap * 2;
		struct fa_diff_block *bigger = reallocarray(d->block, cap, sizeof(*bigger));

		if (bigger == NULL)
			return -ENOMEM;
		d->block = bigger;
		d->block_cap = cap;
	}
	d->block[d->block_count++] = (struct fa_diff_block){
		.block = b, .side = &w->side[side], .change = change, .chain = chain};
	return 0;
}

static int take_block(struct work *w, unsigned side, const struct fa_block *b,
		      enum fa_diff_change change)
{
	struct fa_diff_row *row = row_of(w, side, b->site);

	if (row == NULL)
		return -ENOMEM;
	row->in_both = true;
	add(&row->of[change], b);
	return list_block(w, side, b, change, row->chain);
}

static const struct fa_process *process_of(const struct fa_diff_side *s, const struct fa_block *b)
{
	return s->replay->model.threads[b->thread & FA_BLOCK_THREAD]->process;
}

/* Blocks [at, end) are of one process; ordered by process, so these are all of it. */
static size_t end_of_process(const struct fa_diff_side *s, size_t at)
{
	const struct fa_process *p = process_of(s, &s->live->block[at]);

	while (at < s->live->count && process_of(s, &s->live->block[at]) == p)
		at++;
	return at;
}

/* The number under which a process is looked for on the other side. */
static uint64_t identity(const struct work *w, const struct fa_process *p)
{
	if (w->side[0].replay == w->side[1].replay)
		return p->id;
	return (p->start_stamp * 0x9fb21c651e98df25ULL) ^ (uint32_t)p->pid;
}

static bool same_boot(const struct fa_diff_side *side)
{
	return side[0].replay == side[1].replay ||
	       (side[0].replay->boot[0] != '\0' &&
		strcmp(side[0].replay->boot, side[1].replay->boot) == 0);
}

/* Processes by identity, and where the blocks of each begin. */
static int index_side(struct work *w, unsigned side)
{
	const struct fa_diff_side *s = &w->side[side];
	const struct fa_model *m = &s->replay->model;
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->process_count && same_boot(w->side); i++)
		if (m->processes[i]->selected)
			r = fa_idmap_put(&w->process[side], identity(w, m->processes[i]),
					 m->processes[i]);
	for (size_t at = 0; r == 0 && at < s->live->count; at = end_of_process(s, at))
		r = fa_idmap_put(&w->first[side], process_of(s, &s->live->block[at])->id,
				 (void *)(uintptr_t)(at + 1));
	return r;
}

static bool same_block(const struct fa_block *a, const struct fa_block *b)
{
	return a->addr == b->addr && a->stamp == b->stamp && a->size == b->size;
}

/* Blocks [a, a_end) of the first side, [b, b_end) of the second: of one process, by address. */
static int join(struct work *w, size_t a, size_t a_end, size_t b, size_t b_end)
{
	const struct fa_block *x = w->side[0].live->block, *y = w->side[1].live->block;
	int r = 0;

	while (r == 0 && (a < a_end || b < b_end)) {
		if (a < a_end && b < b_end && same_block(&x[a], &y[b])) {
			r = take_block(w, 1, &y[b], FA_KEPT);
			a++;
			b++;
		} else if (b == b_end || (a < a_end && x[a].addr <= y[b].addr)) {
			r = take_block(w, 0, &x[a++], FA_REMOVED);
		} else {
			r = take_block(w, 1, &y[b++], FA_ADDED);
		}
	}
	return r;
}

/* The blocks of `p` on this side: [*ret_at, *ret_end), none of NULL. */
static void blocks_of(const struct work *w, unsigned side, const struct fa_process *p,
		      size_t *ret_at, size_t *ret_end)
{
	size_t at = p == NULL ? 0 : (uintptr_t)fa_idmap_get(&w->first[side], p->id);

	*ret_at = at == 0 ? 0 : at - 1;
	*ret_end = at == 0 ? 0 : end_of_process(&w->side[side], at - 1);
}

static int join_processes(struct work *w)
{
	const struct fa_model *m = &w->side[0].replay->model;
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->process_count; i++) {
		const struct fa_process *p = m->processes[i];
		const struct fa_process *q =
			p->selected ? fa_idmap_get(&w->process[1], identity(w, p)) : NULL;
		size_t a, a_end, b, b_end;

		if (q == NULL)
			continue;
		w->d.by_block = true;
		blocks_of(w, 0, p, &a, &a_end);
		blocks_of(w, 1, q, &b, &b_end);
		r = join(w, a, a_end, b, b_end);
	}
	return r;
}

/* ---- the result ---- */

static enum fa_diff_change change_of(const struct fa_diff_row *row)
{
	if (row->before.blocks == 0)
		return FA_ADDED;
	if (row->after.blocks == 0)
		return FA_REMOVED;
	return row->after.bytes > row->before.bytes   ? FA_GROWN
	       : row->after.bytes < row->before.bytes ? FA_SHRUNK
						      : FA_KEPT;
}

static void sum_up(struct fa_amount *to, const struct fa_amount *a)
{
	to->blocks += a->blocks;
	to->bytes += a->bytes;
}

static void keep_wanted(struct work *w)
{
	struct fa_diff *d = &w->d;
	size_t kept = 0;

	for (size_t i = 0; i < d->count; i++) {
		struct fa_diff_row *row = &d->row[i];

		row->change = change_of(row);
		d->rows_of[row->change]++;
		sum_up(&d->sum.before, &row->before);
		sum_up(&d->sum.after, &row->after);
		for (unsigned c = 0; c < FA_CHANGES; c++)
			sum_up(&d->sum.of[c], &row->of[c]);
		if (w->o->only & 1u << row->change)
			d->row[kept++] = *row;
	}
	d->count = kept;
}

static int compare(int64_t a, int64_t b)
{
	return a > b ? -1 : a < b;
}

static int64_t bytes_more(const struct fa_diff_row *r)
{
	return (int64_t)(r->after.bytes - r->before.bytes);
}

static int64_t blocks_more(const struct fa_diff_row *r)
{
	return (int64_t)(r->after.blocks - r->before.blocks);
}

static int by_change(const void *a, const void *b)
{
	const struct fa_diff_row *x = a, *y = b;
	int c = compare(bytes_more(x), bytes_more(y));

	if (c == 0)
		c = compare(blocks_more(x), blocks_more(y));
	return c != 0 ? c : x->chain < y->chain ? -1 : x->chain > y->chain;
}

static int by_size(const void *a, const void *b)
{
	int c = compare(llabs(bytes_more(a)), llabs(bytes_more(b)));

	return c != 0 ? c : by_change(a, b);
}

static int by_blocks(const void *a, const void *b)
{
	int c = compare(blocks_more(a), blocks_more(b));

	return c != 0 ? c : by_change(a, b);
}

static int largest_block(const void *a, const void *b)
{
	const struct fa_block *x = ((const struct fa_diff_block *)a)->block;
	const struct fa_block *y = ((const struct fa_diff_block *)b)->block;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static int make(struct work *w)
{
	static int (*const orders[])(const void *, const void *) = {by_change, by_size, by_blocks};
	const struct fa_model *models[2] = {&w->side[0].replay->model, &w->side[1].replay->model};
	int r = fa_stack_keys_new(w->resolver, models, 2, &w->keys);

	for (unsigned i = 0; r == 0 && i < 2; i++) {
		w->row_of[i] = calloc(models[i]->site_count, sizeof(*w->row_of[i]));
		r = w->row_of[i] == NULL ? -ENOMEM : 0;
	}
	if (r == 0)
		r = add_amounts(w);
	for (unsigned i = 0; r == 0 && i < 2; i++)
		r = index_side(w, i);
	if (r == 0)
		r = join_processes(w);
	if (r < 0)
		return r;
	keep_wanted(w);
	if (w->d.count != 0)
		qsort(w->d.row, w->d.count, sizeof(*w->d.row), orders[w->o->sort]);
	if (w->d.block_count != 0)
		qsort(w->d.block, w->d.block_count, sizeof(*w->d.block), largest_block);
	return 0;
}

int fa_diff_new(const struct fa_diff_side *side, struct fa_resolver *resolver,
		const struct fa_diff_options *options, struct fa_diff *ret)
{
	struct work w = {.side = side, .o = options, .resolver = resolver};
	int r = make(&w);

	fa_stack_keys_free(w.keys);
	fa_idmap_done(&w.index);
	for (unsigned i = 0; i < 2; i++) {
		fa_idmap_done(&w.process[i]);
		fa_idmap_done(&w.first[i]);
		free(w.row_of[i]);
	}
	if (r < 0)
		fa_diff_done(&w.d);
	else
		*ret = w.d;
	return r;
}

void fa_diff_done(struct fa_diff *d)
{
	free(d->row);
	free(d->block);
	*d = (struct fa_diff){0};
}
