/* rows.c - see rows.h. */
#include "report/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void add(struct fa_amount *to, const struct fa_amount *from)
{
	to->blocks += from->blocks;
	to->bytes += from->bytes;
}

static struct fa_amount amount_of(const struct fa_site *s, enum fa_metric metric)
{
	struct fa_amount a = s->of[FA_AIFO];

	switch (metric) {
	case FA_METRIC_OUTSTANDING:
		break;
	case FA_METRIC_PEAK:
		a = s->peak;
		break;
	case FA_METRIC_TOTAL:
		add(&a, &s->of[FA_AIFI]);
		break;
	case FA_METRIC_TEMPORARY:
		a = s->temporary;
		break;
	}
	return a;
}

static void add_site(struct fa_row *row, const struct fa_site *s, struct fa_amount amount)
{
	add(&row->amount, &amount);
	add(&row->peak, &s->peak);
	add(&row->temporary, &s->temporary);
	for (unsigned i = 0; i < FA_CLASSES; i++)
		add(&row->of[i], &s->of[i]);
	row->freed += s->freed;
	row->lifetime_sum += s->lifetime_sum;
	if (s->freed != 0 && s->lifetime_min < row->lifetime_min)
		row->lifetime_min = s->lifetime_min;
	if (s->lifetime_max > row->lifetime_max)
		row->lifetime_max = s->lifetime_max;
	row->stacks++;
}

static uint64_t hash_text(uint64_t h, const char *text)
{
	for (; text != NULL && *text != '\0'; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ULL;
	return h * 0x9e3779b97f4a7c15ULL;
}

/* Function and module of the innermost frame that is shown; the place itself where no name is. */
static int function_key(struct fa_resolver *resolver, uint32_t chain, uint64_t *ret)
{
	struct fa_frame *frame = NULL;
	size_t count;
	uint32_t marks;
	int r = chain == 0 ? 0 : fa_resolver_frames(resolver, chain, 1, &frame, &count, &marks);

	if (r < 0)
		return r;
	*ret = 0;
	if (frame != NULL) {
		*ret = hash_text(hash_text(1, frame->module), frame->function);
		if (frame->function == NULL)
			*ret = (*ret ^ frame->offset) * 0x9e3779b97f4a7c15ULL;
		*ret |= (uint64_t)1 << 63; /* 0 is "no stack" */
	}
	free(frame);
	return 0;
}

int fa_rows_key(struct fa_resolver *resolver, uint32_t chain, bool by_function, uint64_t *ret)
{
	if (by_function)
		return function_key(resolver, chain, ret);
	*ret = chain;
	return 0;
}

static int by_size(const void *a, const void *b)
{
	const struct fa_row *x = a, *y = b;

	if (x->amount.bytes != y->amount.bytes)
		return x->amount.bytes < y->amount.bytes ? 1 : -1;
	if (x->amount.blocks != y->amount.blocks)
		return x->amount.blocks < y->amount.blocks ? 1 : -1;
	return x->chain < y->chain ? -1 : x->chain > y->chain;
}

static int by_count(const void *a, const void *b)
{
	const struct fa_row *x = a, *y = b;

	if (x->amount.blocks != y->amount.blocks)
		return x->amount.blocks < y->amount.blocks ? 1 : -1;
	return by_size(a, b);
}

static int add_to_row(struct fa_rows *rows, struct fa_idmap *index, uint64_t key, uint32_t chain,
		      const struct fa_site *s, struct fa_amount amount)
{
	/* Positions are kept plus one: NULL is "not there". */
	size_t at = (size_t)(uintptr_t)fa_idmap_get(index, key);

	if (at == 0) {
		at = ++rows->count;
		if (fa_idmap_put(index, key, (void *)(uintptr_t)at) < 0)
			return -ENOMEM;
		rows->row[at - 1] = (struct fa_row){.chain = chain, .lifetime_min = UINT64_MAX};
	}
	add_site(&rows->row[at - 1], s, amount);
	add(&rows->sum, &amount);
	return 0;
}

int fa_rows_new(const struct fa_replay *replay, struct fa_resolver *resolver, enum fa_metric metric,
		bool by_function, struct fa_rows *ret)
{
	const struct fa_model *m = &replay->model;
	struct fa_rows rows = {.row = calloc(m->site_count, sizeof(*rows.row))};
	struct fa_idmap index = {0};
	int r = rows.row == NULL ? -ENOMEM : 0;

	for (size_t i = 1; r == 0 && i < m->site_count; i++) {
		const struct fa_site *s = &m->sites[i];
		struct fa_amount amount = amount_of(s, metric);

		if (amount.blocks == 0)
			continue;
		uint32_t chain = fa_resolver_chain(resolver, s->arena, s->stack);
		uint64_t key;

		r = fa_rows_key(resolver, chain, by_function, &key);
		if (r == 0)
			r = add_to_row(&rows, &index, key, chain, s, amount);
	}
	fa_idmap_done(&index);
	if (r < 0) {
		fa_rows_done(&rows);
		return r;
	}
	qsort(rows.row, rows.count, sizeof(*rows.row),
	      metric == FA_METRIC_TEMPORARY ? by_count : by_size);
	*ret = rows;
	return 0;
}

void fa_rows_done(struct fa_rows *rows)
{
	free(rows->row);
	*rows = (struct fa_rows){0};
}
