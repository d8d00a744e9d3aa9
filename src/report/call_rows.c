/* call_rows.c - see call_rows.h. */
#include "report/call_rows.h"

#include <errno.h>
#include <stdlib.h>

#include "report/rows.h"

static int by_numbers(const void *a, const void *b)
{
	const struct fa_call_row *x = a, *y = b;

	for (unsigned i = 0; i < FA_CALL_NUMBERS; i++)
		if (x->n[i] != y->n[i])
			return x->n[i] < y->n[i] ? 1 : -1;
	return x->chain < y->chain ? -1 : x->chain > y->chain;
}

/* The row of a key; NULL: out of memory. There is room for one more. */
static struct fa_call_row *row_of(struct fa_call_rows *rows, struct fa_idmap *index, uint64_t key,
				  uint32_t chain)
{
	/* Positions are kept plus one: NULL is "not there". */
	size_t at = (size_t)(uintptr_t)fa_idmap_get(index, key);

	if (at == 0) {
		at = ++rows->count;
		if (fa_idmap_put(index, key, (void *)(uintptr_t)at) < 0)
			return NULL;
		rows->row[at - 1] = (struct fa_call_row){.chain = chain};
	}
	return &rows->row[at - 1];
}

static void add(struct fa_call_row *row, size_t site, const uint64_t *n, unsigned maxima)
{
	if (row->stacks == 0 || n[1] > row->largest) {
		row->largest = n[1];
		row->site = site;
	}
	for (unsigned i = 0; i < FA_CALL_NUMBERS; i++) {
		if ((maxima >> i & 1) == 0)
			row->n[i] += n[i];
		else if (n[i] > row->n[i])
			row->n[i] = n[i];
	}
	row->stacks++;
}

int fa_call_rows_new(const struct fa_report *r,
		     void (*numbers)(const struct fa_replay *replay, size_t site, uint64_t *ret),
		     unsigned maxima, struct fa_call_rows *ret)
{
	const struct fa_model *m = &r->replay->model;
	struct fa_call_rows rows = {.row = calloc(m->site_count, sizeof(*rows.row))};
	struct fa_idmap index = {0};
	int err = rows.row == NULL ? -ENOMEM : 0;

	for (size_t i = 1; err == 0 && i < m->site_count; i++) {
		uint64_t n[FA_CALL_NUMBERS] = {0}, key;
		struct fa_call_row *row;
		uint32_t chain;

		numbers(r->replay, i, n);
		if ((n[0] | n[1] | n[2] | n[3]) == 0)
			continue;
		chain = fa_resolver_chain(r->resolver, m->sites[i].arena, m->sites[i].stack);
		err = fa_rows_key(r->resolver, chain, r->by_function, &key);
		row = err < 0 ? NULL : row_of(&rows, &index, key, chain);
		if (row == NULL)
			err = -ENOMEM;
		else
			add(row, i, n, maxima);
	}
	fa_idmap_done(&index);
	if (err < 0) {
		fa_call_rows_done(&rows);
		return err;
	}
	qsort(rows.row, rows.count, sizeof(*rows.row), by_numbers);
	*ret = rows;
	return 0;
}

void fa_call_rows_done(struct fa_call_rows *rows)
{
	free(rows->row);
	*rows = (struct fa_call_rows){0};
}
