/*
 * left.c - the blocks that were live at a moment, by size, age, or the module that allocated them, as text and as
 * JSON. At the end: what was never freed; of a snapshot, what is live.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/parse.h"
#include "report/report_internal.h"

enum { AGES = 12, SIZES = 32 };

struct row {
	char name[300];
	struct fa_amount amount;
	const char *module; /* FA_VIEW_MODULES */
};

struct rows {
	struct row *row;
	size_t count;
};

static void count(struct row *row, const struct fa_block *b)
{
	row->amount.blocks++;
	row->amount.bytes += b->size;
}

/* Up to 16, 32, 64 ... bytes. */
static unsigned size_class(uint64_t size)
{
	unsigned i = 0;

	while (i + 1 < SIZES && size > 16ULL << i)
		i++;
	return i;
}

static void name_size(struct row *row, unsigned i)
{
	char low[32], high[32];

	if (i == 0)
		(void)snprintf(row->name, sizeof(row->name), "up to 16 B");
	else
		(void)snprintf(row->name, sizeof(row->name), "above %s, up to %s",
			       fa_format_size(low, sizeof(low), 8ULL << i),
			       fa_format_size(high, sizeof(high), 16ULL << i));
}

static const struct {
	uint64_t below_ns;
	const char *name;
} ages[AGES] = {
	{1000000, "less than 1 ms"},	   {10000000, "1 to 10 ms"},
	{100000000, "10 to 100 ms"},	   {1000000000, "100 ms to 1 s"},
	{10000000000, "1 to 10 s"},	   {60000000000, "10 s to 1 min"},
	{600000000000, "1 to 10 min"},	   {3600000000000, "10 min to 1 h"},
	{21600000000000, "1 to 6 h"},	   {86400000000000, "6 h to 1 day"},
	{604800000000000, "1 day to 1 week"}, {UINT64_MAX, "a week or more"},
};

static unsigned age_class(const struct fa_report *r, uint64_t stamp)
{
	uint64_t now = r->live->stamp;
	uint64_t ns = stamp < now ? fa_replay_ticks_ns(r->replay, now - stamp) : 0;
	unsigned i = 0;

	while (i + 1 < AGES && ns >= ages[i].below_ns)
		i++;
	return i;
}

static int by_class(const struct fa_report *r, struct rows *ret)
{
	const bool by_age = r->view == FA_VIEW_AGES;

	ret->count = by_age ? AGES : SIZES;
	ret->row = calloc(ret->count, sizeof(*ret->row));
	if (ret->row == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < r->live->count; i++) {
		const struct fa_block *b = &r->live->block[i];

		count(&ret->row[by_age ? age_class(r, b->stamp) : size_class(b->size)], b);
	}
	for (unsigned i = 0; i < ret->count; i++) {
		if (by_age)
			(void)snprintf(ret->row[i].name, sizeof(ret->row[i].name), "%s", ages[i].name);
		else
			name_size(&ret->row[i], i);
	}
	return 0;
}

static struct row *row_of(struct rows *rows, const char *module)
{
	for (size_t i = 0; i < rows->count; i++)
		if (rows->row[i].module == module ||
		    (module != NULL && rows->row[i].module != NULL &&
		     strcmp(rows->row[i].module, module) == 0))
			return &rows->row[i];
	struct row *more = reallocarray(rows->row, rows->count + 1, sizeof(*more));

	if (more == NULL)
		return NULL;
	rows->row = more;
	more += rows->count++;
	*more = (struct row){.module = module};
	(void)snprintf(more->name, sizeof(more->name), "%s", module != NULL ? module : "(unknown)");
	return more;
}

static int most_bytes_first(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->amount.bytes < y->amount.bytes ? 1 : x->amount.bytes > y->amount.bytes ? -1 : 0;
}

/* By the innermost frame that is not the allocator's. */
static int by_module(const struct fa_report *r, struct rows *ret)
{
	const struct fa_model *m = &r->replay->model;

	for (size_t i = 0; i < r->live->count; i++) {
		const struct fa_block *b = &r->live->block[i];
		const struct fa_site *site = &m->sites[b->site];
		uint32_t chain = fa_resolver_chain(r->resolver, site->arena, site->stack);
		struct row *row = row_of(ret, chain == 0 ? NULL : fa_resolver_module(r->resolver, chain));

		if (row == NULL)
			return -ENOMEM;
		count(row, b);
	}
	if (ret->count > 1)
		qsort(ret->row, ret->count, sizeof(*ret->row), most_bytes_first);
	return 0;
}

static int make_rows(const struct fa_report *r, struct rows *ret)
{
	*ret = (struct rows){0};
	return r->view == FA_VIEW_MODULES ? by_module(r, ret) : by_class(r, ret);
}

int fa_text_left(const struct fa_report *r, FILE *out)
{
	char blocks[32], bytes[32];
	struct rows rows;
	int e = make_rows(r, &rows);

	(void)fprintf(out, "\n%11s %14s  ", "bytes", "blocks");
	if (strcmp(r->moment, "end") != 0)
		(void)fputs("live, ", out);
	fa_text_clean(out, strcmp(r->moment, "end") == 0 ? "not freed" : r->moment);
	(void)fputc('\n', out);
	for (size_t i = 0; i < rows.count && e == 0; i++) {
		const struct row *row = &rows.row[i];

		if (row->amount.blocks == 0)
			continue;
		(void)fprintf(out, "%11s %14s  ",
			      fa_format_size(bytes, sizeof(bytes), row->amount.bytes),
			      fa_format_count(blocks, sizeof(blocks), row->amount.blocks));
		fa_text_clean(out, row->name);
		(void)fputc('\n', out);
	}
	free(rows.row);
	return e;
}

int fa_json_left(struct fa_json *j, const struct fa_report *r)
{
	struct rows rows;
	int e = make_rows(r, &rows);

	fa_json_string(j, "moment", r->moment);
	fa_report_json_amount(j, "sum", r->live->sum);
	fa_json_array(j, "rows");
	for (size_t i = 0; i < rows.count && e == 0; i++) {
		if (rows.row[i].amount.blocks == 0)
			continue;
		fa_json_object(j, NULL);
		fa_json_string(j, "name", rows.row[i].name);
		fa_json_u64(j, "blocks", rows.row[i].amount.blocks);
		fa_json_u64(j, "bytes", rows.row[i].amount.bytes);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
	free(rows.row);
	return e;
}
