/* top_table.c - see top.h. */
#include "cli/top.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "base/parse.h"
#include "cli/rules.h"

enum { FRAMES = 8 };

const char *const top_key_names[TOP_KEYS] = {"bytes", "calls", "outstanding", "transient"};

int top_new(struct top *t)
{
	const struct fa_symbols_options how = {0};
	int e = fa_symbols_new(&how, &t->symbols);

	return e == 0 ? fa_resolver_new(t->symbols, true, &t->resolver) : e;
}

void top_done(struct top *t)
{
	for (size_t i = 0; i < t->rows; i++)
		free(t->row[i].text);
	free(t->row);
	free(t->chain_of);
	free(t->sorted);
	fa_resolver_free(t->resolver);
	fa_symbols_free(t->symbols);
	memset(t, 0, sizeof(*t));
}

static bool grow(void **array, size_t *count, size_t want, size_t element)
{
	char *bigger;

	if (want <= *count)
		return true;
	bigger = reallocarray(*array, want * 2, element);
	if (bigger == NULL)
		return false;
	memset(bigger + *count * element, 0, (want * 2 - *count) * element);
	*array = bigger;
	*count = want * 2;
	return true;
}

/* The row of a site; its chain is looked up once. NULL: out of memory. */
static struct top_row *row_of(struct top *t, const struct fa_model *m, size_t site)
{
	uint32_t *chain = &t->chain_of[site];

	if (*chain == 0 && m->sites[site].stack != 0)
		*chain = fa_resolver_chain(t->resolver, m->sites[site].arena, m->sites[site].stack);
	if (!grow((void **)&t->row, &t->rows, (size_t)*chain + 1, sizeof(*t->row)))
		return NULL;
	t->row[*chain].chain = *chain;
	return &t->row[*chain];
}

static void add_site(struct top_row *row, const struct fa_site *s)
{
	row->calls += s->live.blocks + s->of[FA_AIFI].blocks + s->of[FA_AIFO].blocks;
	row->bytes += s->live.bytes + s->of[FA_AIFI].bytes + s->of[FA_AIFO].bytes;
	row->freed += s->of[FA_AIFI].blocks;
	row->live.blocks += s->live.blocks;
	row->live.bytes += s->live.bytes;
}

static void add_row(struct top_row *sum, const struct top_row *row)
{
	sum->calls += row->calls;
	sum->bytes += row->bytes;
	sum->freed += row->freed;
	sum->live.blocks += row->live.blocks;
	sum->live.bytes += row->live.bytes;
	sum->calls_s += row->calls_s;
	sum->bytes_s += row->bytes_s;
}

/* Of all calls since we look, whose blocks are freed by now, in percent. */
static double transient(const struct top_row *r)
{
	return r->calls != 0 ? 100.0 * (double)r->freed / (double)r->calls : 0;
}

static double value_of(const struct top_row *r, enum top_key by)
{
	switch (by) {
	case TOP_CALLS:
		return r->calls_s;
	case TOP_OUTSTANDING:
		return (double)r->live.bytes;
	case TOP_TRANSIENT:
		return transient(r) * r->calls_s; /* of those that are at work */
	default:
		return r->bytes_s;
	}
}

static int compare(const void *a, const void *b, void *ctx)
{
	const struct top_row *x = *(struct top_row *const *)a, *y = *(struct top_row *const *)b;
	enum top_key by = *(const enum top_key *)ctx;
	double vx = value_of(x, by), vy = value_of(y, by);

	if (vx < vy || vx > vy)
		return vx < vy ? 1 : -1;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return x->chain < y->chain ? -1 : x->chain > y->chain;
}

static int sort(struct top *t, enum top_key by)
{
	struct top_row **bigger = reallocarray(t->sorted, t->rows + 1, sizeof(struct top_row *));

	if (bigger == NULL)
		return -ENOMEM;
	t->sorted = bigger;
	t->count = 0;
	for (size_t i = 0; i < t->rows; i++)
		if (t->row[i].calls != 0)
			t->sorted[t->count++] = &t->row[i];
	qsort_r(t->sorted, t->count, sizeof(struct top_row *), compare, &by);
	return 0;
}

static void count_processes(struct top *t, const struct fa_model *m)
{
	t->processes = 0;
	t->was_lost = t->lost;
	t->lost = 0;
	for (size_t i = 0; i < m->process_count; i++) {
		t->processes += !m->processes[i]->ended;
		t->lost += fa_process_lost(m->processes[i]);
	}
}

int top_look(struct top *t, const struct fa_replay *r, double seconds, enum top_key by)
{
	const struct fa_model *m = &r->model;

	if (!grow((void **)&t->chain_of, &t->sites, m->site_count, sizeof(*t->chain_of)))
		return -ENOMEM;
	for (size_t i = 0; i < t->rows; i++) {
		struct top_row *row = &t->row[i];

		row->was_calls = row->calls;
		row->was_bytes = row->bytes;
		row->calls = row->bytes = row->freed = 0;
		row->live = (struct fa_amount){0};
	}
	for (size_t i = 1; i < m->site_count; i++) {
		struct top_row *row = row_of(t, m, i);

		if (row == NULL)
			return -ENOMEM;
		add_site(row, &m->sites[i]);
	}
	t->sum = (struct top_row){0};
	for (size_t i = 0; i < t->rows; i++) {
		struct top_row *row = &t->row[i];

		row->calls_s = (double)(row->calls - row->was_calls) / seconds;
		row->bytes_s = (double)(row->bytes - row->was_bytes) / seconds;
		add_row(&t->sum, row);
	}
	count_processes(t, m);
	return sort(t, by);
}

/* ---- text ---- */

static void name_frame(struct fa_buf *b, const struct fa_frame *f)
{
	if (f->function != NULL)
		fa_buf_printf(b, "%s", f->function);
	else if (f->module != NULL && f->module[0] != '\0')
		fa_buf_printf(b, "%s+0x%" PRIx64, fa_base_name(f->module), f->offset);
	else
		fa_buf_printf(b, "0x%" PRIx64, f->offset);
}

/* The innermost frames; out of memory: fewer. */
static const char *text_of(struct top *t, struct top_row *row)
{
	struct fa_frame *frame = NULL;
	struct fa_buf b = {0};
	size_t count = 0;
	uint32_t marks;

	if (row->text != NULL)
		return row->text;
	if (row->chain == 0)
		return "(no stack was taken)";
	if (fa_resolver_frames(t->resolver, row->chain, FRAMES, &frame, &count, &marks) < 0)
		return "?";
	for (size_t i = 0; i < count; i++) {
		if (i != 0)
			fa_buf_add(&b, " < ", 3);
		name_frame(&b, &frame[i]);
	}
	fa_buf_add(&b, "", 1);
	free(frame);
	if (b.error == 0 && (row->text = strdup((const char *)b.data)) != NULL)
		fa_clean_text(row->text);
	fa_buf_done(&b);
	return row->text != NULL ? row->text : "?";
}

static void print_cut(FILE *out, const char *text, unsigned width, const char *newline)
{
	if (width == 0)
		fprintf(out, "%s%s", text, newline);
	else
		fprintf(out, "%.*s%s", (int)width, text, newline);
}

static void print_row(FILE *out, const struct top_row *r, const char *text, unsigned width,
		      const char *newline)
{
	char bytes[32], calls[32], live[32], line[2048];

	(void)snprintf(line, sizeof(line), "%12s %13s %12s %9.1f %%  %s",
		       fa_format_size(bytes, sizeof(bytes), (uint64_t)(r->bytes_s + 0.5)),
		       fa_format_count(calls, sizeof(calls), (uint64_t)(r->calls_s + 0.5)),
		       fa_format_size(live, sizeof(live), r->live.bytes), transient(r), text);
	print_cut(out, line, width, newline);
}

void top_print(struct top *t, FILE *out, const char *title, enum top_key by, size_t rows, unsigned width,
	       const char *newline)
{
	char line[512], lost[32];

	(void)snprintf(line, sizeof(line), "%s: %u process%s, %zu stacks, %s events missing, by %s", title,
		       t->processes, t->processes == 1 ? "" : "es", t->count,
		       fa_format_count(lost, sizeof(lost), t->lost), top_key_names[by]);
	print_cut(out, line, width, newline);
	print_cut(out, "     BYTES/s       CALLS/s  OUTSTANDING   TRANSIENT  STACK", width, newline);
	print_row(out, &t->sum, "(all)", width, newline);
	for (size_t i = 0; i < t->count && i < rows; i++)
		print_row(out, t->sorted[i], text_of(t, t->sorted[i]), width, newline);
}

static void json_row(struct fa_json *j, const struct top_row *r)
{
	fa_json_double(j, "bytes_per_s", r->bytes_s);
	fa_json_double(j, "calls_per_s", r->calls_s);
	fa_json_u64(j, "calls", r->calls);
	fa_json_u64(j, "bytes", r->bytes);
	fa_json_u64(j, "outstanding_bytes", r->live.bytes);
	fa_json_u64(j, "outstanding_blocks", r->live.blocks);
	fa_json_double(j, "transient_percent", transient(r));
}

void top_print_json(struct top *t, FILE *out, const char *title, uint64_t real_ns, size_t rows)
{
	struct fa_json j;

	fa_json_init(&j, out, false);
	fa_json_object(&j, NULL);
	fa_json_string(&j, "of", title);
	fa_json_u64(&j, "real_ns", real_ns);
	fa_json_u64(&j, "processes", t->processes);
	fa_json_u64(&j, "lost", t->lost);
	json_row(&j, &t->sum);
	fa_json_array(&j, "stacks");
	for (size_t i = 0; i < t->count && i < rows; i++) {
		fa_json_object(&j, NULL);
		json_row(&j, t->sorted[i]);
		fa_json_string(&j, "stack", text_of(t, t->sorted[i]));
		fa_json_end_object(&j);
	}
	fa_json_end_array(&j);
	fa_json_end_object(&j);
	fa_json_newline(&j);
}
