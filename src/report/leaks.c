/* leaks.c - see leaks.h. */
#include "report/leaks.h"

#include <errno.h>
#include <stdlib.h>

#include "base/parse.h"
#include "report/report_internal.h"
#include "report/stack_key.h"

enum { TOP = 20 };

const char *const fa_reach_names[FA_REACHES] = {"definite", "indirect", "possible", "reachable"};

/* ---- rows ---- */

struct work {
	const struct fa_leaks_look *look;
	struct fa_resolver *resolver;
	struct fa_stack_keys *keys;
	bool by_function;
	struct fa_idmap index; /* key and reach: position plus one */
	size_t cap;
	struct fa_leaks l;
};

static struct fa_leak_row *row_of(struct work *w, uint32_t site, enum fa_reach reach)
{
	const struct fa_site *s = &w->look->replay->model.sites[site];
	uint32_t chain = fa_resolver_chain(w->resolver, s->arena, s->stack);
	uint64_t key;
	int r = w->by_function ? fa_function_key(w->keys, chain, &key)
			       : fa_stack_key(w->keys, chain, &key);

	if (r < 0)
		return NULL;
	key = (key ^ reach) * 0x9fb21c651e98df25ULL;
	size_t at = (size_t)(uintptr_t)fa_idmap_get(&w->index, key);

	if (at != 0)
		return &w->l.row[at - 1];
	if (w->l.count == w->cap) {
		size_t cap = w->cap == 0 ? 64 : w->cap * 2;
		struct fa_leak_row *bigger = reallocarray(w->l.row, cap, sizeof(*bigger));

		if (bigger == NULL)
			return NULL;
		w->l.row = bigger;
		w->cap = cap;
	}
	w->l.row[w->l.count] = (struct fa_leak_row){.chain = chain, .reach = reach};
	if (fa_idmap_put(&w->index, key, (void *)(uintptr_t)(w->l.count + 1)) < 0)
		return NULL;
	return &w->l.row[w->l.count++];
}

static int add_blocks(struct work *w, unsigned show)
{
	for (size_t i = 0; i < w->look->count; i++) {
		const struct fa_reached *r = &w->look->reached[i];
		const struct fa_block *b = &w->look->block[i];
		struct fa_leak_row *row;

		w->l.of[r->reach].blocks++;
		w->l.of[r->reach].bytes += b->size;
		if (!(show & 1u << r->reach))
			continue;
		row = row_of(w, b->site, (enum fa_reach)r->reach);
		if (row == NULL)
			return -ENOMEM;
		row->amount.blocks++;
		row->amount.bytes += b->size;
		row->indirect.blocks += r->indirect_blocks;
		row->indirect.bytes += r->indirect_bytes;
	}
	return 0;
}

static int worst_first(const void *a, const void *b)
{
	const struct fa_leak_row *x = a, *y = b;
	uint64_t p = x->amount.bytes + x->indirect.bytes, q = y->amount.bytes + y->indirect.bytes;

	if (x->reach != y->reach)
		return x->reach < y->reach ? -1 : 1;
	if (p != q)
		return p < q ? 1 : -1;
	return x->chain < y->chain ? -1 : x->chain > y->chain;
}

int fa_leaks_new(const struct fa_leaks_look *look, struct fa_resolver *resolver, bool by_function,
		 unsigned show, struct fa_leaks *ret)
{
	struct work w = {.look = look, .resolver = resolver, .by_function = by_function};
	const struct fa_model *model = &look->replay->model;
	int r = fa_stack_keys_new(resolver, &model, 1, &w.keys);

	if (r == 0)
		r = add_blocks(&w, show);
	fa_stack_keys_free(w.keys);
	fa_idmap_done(&w.index);
	if (r < 0) {
		fa_leaks_done(&w.l);
		return r;
	}
	if (w.l.count != 0)
		qsort(w.l.row, w.l.count, sizeof(*w.l.row), worst_first);
	*ret = w.l;
	return 0;
}

void fa_leaks_done(struct fa_leaks *l)
{
	free(l->row);
	*l = (struct fa_leaks){0};
}

/* ---- text ---- */

static void put_amount(FILE *out, struct fa_amount a)
{
	char size[32], count[32];

	(void)fprintf(out, "%s in %s block%s", fa_format_size(size, sizeof(size), a.bytes),
		      fa_format_count(count, sizeof(count), a.blocks), a.blocks == 1 ? "" : "s");
}

static void put_head(const struct fa_report *r, const struct fa_leaks_look *look,
		     const struct fa_leaks *l, FILE *out)
{
	char pause[32], size[32];
	struct fa_report of = *r;

	of.replay = look->replay;
	fa_text_warnings(&of, NULL, out);
	fa_text_clean(out, look->process->image);
	(void)fprintf(out, " (pid %d): stopped for %s; %zu thread%s and %s of memory copied\n",
		      look->process->pid, fa_format_duration(pause, sizeof(pause), look->paused_ns),
		      look->threads, look->threads == 1 ? "" : "s",
		      fa_format_size(size, sizeof(size), look->copied_bytes));
	if (look->heap_was_root)
		(void)fputs(
			"Not all of its blocks are in the trace: what only older ones, or such as "
			"were lost, point to is taken as reachable.\n",
			out);
	for (unsigned i = 0; i < FA_REACHES; i++) {
		(void)fprintf(out, "  %-10s ", fa_reach_names[i]);
		put_amount(out, l->of[i]);
		(void)fputc('\n', out);
	}
}

int fa_leaks_text(const struct fa_report *r, const struct fa_leaks_look *look,
		  const struct fa_leaks *l, FILE *out)
{
	size_t top = r->top != 0 ? r->top : TOP;
	char count[32];
	int err = 0;

	put_head(r, look, l, out);
	for (size_t i = 0; i < l->count && i < top && err == 0; i++) {
		(void)fprintf(out, "\n%s", r->color ? "\033[1m" : "");
		put_amount(out, l->row[i].amount);
		(void)fprintf(out, "%s %s", r->color ? "\033[0m" : "",
			      fa_reach_names[l->row[i].reach]);
		if (l->row[i].indirect.blocks != 0) {
			(void)fputs(", and behind them ", out);
			put_amount(out, l->row[i].indirect);
		}
		(void)fputc('\n', out);
		err = fa_text_stack(r, out, l->row[i].chain, UINT32_MAX);
	}
	if (l->count > top)
		(void)fprintf(out, "\n... and %s more; --top %zu shows all\n",
			      fa_format_count(count, sizeof(count), l->count - top), l->count);
	return err < 0 ? err : fflush(out) != 0 ? -errno : 0;
}

/* ---- JSON ---- */

int fa_leaks_json(const struct fa_report *r, const struct fa_leaks_look *look,
		  const struct fa_leaks *l, FILE *out)
{
	struct fa_json j;
	int err = 0;

	fa_json_init(&j, out, true);
	fa_json_object(&j, NULL);
	fa_json_i64(&j, "pid", look->process->pid);
	fa_json_string(&j, "image", look->process->image);
	fa_json_u64(&j, "threads", look->threads);
	fa_json_u64(&j, "paused_ns", look->paused_ns);
	fa_json_u64(&j, "copied_bytes", look->copied_bytes);
	fa_json_bool(&j, "all_blocks_known", !look->heap_was_root);
	fa_json_u64(&j, "lost", look->replay->lost);
	fa_json_array(&j, "warnings");
	fa_report_json_warnings(&j, look->replay);
	fa_json_end_array(&j);
	for (unsigned i = 0; i < FA_REACHES; i++)
		fa_report_json_amount(&j, fa_reach_names[i], l->of[i]);
	fa_json_u64(&j, "row_count", l->count);
	fa_json_array(&j, "rows");
	for (size_t i = 0; i < l->count && (r->top == 0 || i < r->top) && err == 0; i++) {
		fa_json_object(&j, NULL);
		fa_json_string(&j, "reach", fa_reach_names[l->row[i].reach]);
		fa_json_u64(&j, "blocks", l->row[i].amount.blocks);
		fa_json_u64(&j, "bytes", l->row[i].amount.bytes);
		fa_report_json_amount(&j, "indirect", l->row[i].indirect);
		err = fa_report_json_stack(&j, r, l->row[i].chain);
		fa_json_end_object(&j);
	}
	fa_json_end_array(&j);
	fa_json_end_object(&j);
	fa_json_newline(&j);
	return err < 0 ? err : fflush(out) != 0 ? -errno : 0;
}
