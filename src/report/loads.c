/*
 * loads.c - the view of modules that came and went, by time. Words: analysis/loads.h. A stack is that of the
 * dlopen, dlmopen or dlclose that did it; "found": nobody's call was seen to do it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/parse.h"
#include "format/event_format.h"
#include "report/report_internal.h"

static int by_time(const void *a, const void *b)
{
	const struct fa_load *x = *(const struct fa_load *const *)a;
	const struct fa_load *y = *(const struct fa_load *const *)b;

	if (x->stamp != y->stamp)
		return x->stamp < y->stamp ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* To be freed; NULL: out of memory. */
static const struct fa_load **sorted(const struct fa_loads *l)
{
	const struct fa_load **list = calloc(l->count + 1, sizeof(*list));

	for (size_t i = 0; list != NULL && i < l->count; i++)
		list[i] = &l->load[i];
	if (list != NULL)
		qsort(list, l->count, sizeof(*list), by_time);
	return list;
}

static const char *how_name(const struct fa_load *l)
{
	if (l->how == FA_LOAD_FOUND)
		return "found";
	if (l->gone)
		return "dlclose";
	return l->how == FA_LOAD_DLMOPEN ? "dlmopen" : "dlopen";
}

static const char *path_of(const struct fa_load *l)
{
	return l->module == NULL ? "?" : fa_arena_module_path(l->thread->process->arena, l->module);
}

static void build_id(const struct fa_load *l, char ret[2 * FA_BUILD_ID + 1])
{
	ret[0] = '\0';
	for (uint32_t i = 0; l->module != NULL && i < l->module->build_id_len; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", l->module->build_id[i]);
}

static uint32_t chain_of(const struct fa_report *r, const struct fa_load *l)
{
	const struct fa_site *s = &r->replay->model.sites[l->site];

	return s->stack == 0 ? 0 : fa_resolver_chain(r->resolver, s->arena, s->stack);
}

static void put_load(const struct fa_report *r, FILE *out, const struct fa_load *l)
{
	const struct fa_process *p = l->thread->process;
	char id[2 * FA_BUILD_ID + 1], at[32];

	build_id(l, id);
	(void)fprintf(out, "\n%s%12s  %-6s  ", r->color ? "\033[1m" : "",
		      fa_format_duration(at, sizeof(at), fa_replay_time_ns(r->replay, l->stamp)),
		      l->gone ? "unload" : "load");
	fa_text_clean(out, path_of(l));
	(void)fprintf(out, "%s\n              %s, 0x%" PRIx64 " to 0x%" PRIx64 ", build-id %s, ",
		      r->color ? "\033[0m" : "", how_name(l), l->base, l->base + l->size,
		      id[0] == '\0' ? "none" : id);
	fa_text_clean(out, p->image);
	(void)fprintf(out, " %d, thread %d ", p->pid, l->thread->tid);
	fa_text_clean(out, l->thread->name);
	(void)fputc('\n', out);
}

int fa_text_loads(const struct fa_report *r, FILE *out, unsigned top)
{
	const struct fa_loads *l = &r->replay->loads;
	const struct fa_load **list = sorted(l);
	char a[32], b[32];
	int err = 0;

	if (list == NULL)
		return -ENOMEM;
	(void)fprintf(out, "\n  modules: %s loaded, %s unloaded\n",
		      fa_format_count(a, sizeof(a), l->loads),
		      fa_format_count(b, sizeof(b), l->unloads));
	if (!l->any)
		(void)fputs("  no load is in the trace: see firstalloc-enable(1), --flags loader\n",
			    out);
	for (size_t i = 0; i < l->count && i < top && err == 0; i++) {
		uint32_t chain = chain_of(r, list[i]);

		put_load(r, out, list[i]);
		if (chain != 0)
			err = fa_text_stack(r, out, chain, UINT32_MAX);
	}
	if (l->count > top)
		(void)fprintf(out, "\n... and %zu more; --top %zu shows all\n", l->count - top,
			      l->count);
	free(list);
	return err;
}

static int json_load(const struct fa_report *r, struct fa_json *j, const struct fa_load *l)
{
	const struct fa_process *p = l->thread->process;
	char id[2 * FA_BUILD_ID + 1], base[24];
	int err;

	build_id(l, id);
	(void)snprintf(base, sizeof(base), "0x%" PRIx64, l->base);
	fa_json_object(j, NULL);
	fa_json_u64(j, "time_ns", fa_replay_time_ns(r->replay, l->stamp));
	fa_json_string(j, "event", l->gone ? "unload" : "load");
	fa_json_string(j, "how", how_name(l));
	fa_json_string(j, "module", path_of(l));
	fa_json_string(j, "build_id", id);
	fa_json_string(j, "base", base);
	fa_json_u64(j, "size", l->size);
	fa_json_i64(j, "pid", p->pid);
	fa_json_string(j, "image", p->image);
	fa_json_i64(j, "tid", l->thread->tid);
	fa_json_string(j, "thread", l->thread->name);
	err = fa_report_json_stack(j, r, chain_of(r, l));
	fa_json_end_object(j);
	return err;
}

int fa_json_loads(const struct fa_report *r, struct fa_json *j)
{
	const struct fa_loads *l = &r->replay->loads;
	const struct fa_load **list = sorted(l);
	int err = 0;

	if (list == NULL)
		return -ENOMEM;
	fa_json_u64(j, "loads", l->loads);
	fa_json_u64(j, "unloads", l->unloads);
	fa_json_u64(j, "row_count", l->count);
	fa_json_array(j, "rows");
	for (size_t i = 0; i < l->count && (r->top == 0 || i < r->top) && err == 0; i++)
		err = json_load(r, j, list[i]);
	fa_json_end_array(j);
	free(list);
	return err;
}
