/* growth_text.c - what grows, for a terminal and as JSON. */
#include <errno.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/parse.h"
#include "report/growth.h"
#include "report/report_internal.h"

enum { TOP = 20, STEPS_SHOWN = 8, HOUR = 3600 };

/* ---- text ---- */

/* "+1.2 KiB/s (4.2 MiB an hour)": buf has at least 100 bytes. */
static const char *rate(char *buf, size_t size, double slope)
{
	char a[32], b[32];
	double by = slope < 0 ? -slope : slope;
	const char *sign = slope < 0 ? "-" : "+";

	/* Less than a byte a second is still 80 KiB a day. */
	if (by < 10)
		(void)snprintf(buf, size, "%s%.2f B/s (%s%s an hour)", sign, by, sign,
			       fa_format_size(b, sizeof(b), (uint64_t)(by * HOUR + 0.5)));
	else
		(void)snprintf(buf, size, "%s%s/s (%s%s an hour)", sign,
			       fa_format_size(a, sizeof(a), (uint64_t)(by + 0.5)), sign,
			       fa_format_size(b, sizeof(b), (uint64_t)(by * HOUR + 0.5)));
	return buf;
}

static void put_amount(FILE *out, struct fa_amount a)
{
	char size[32], count[32];

	(void)fprintf(out, "%s in %s", fa_format_size(size, sizeof(size), a.bytes),
		      fa_format_count(count, sizeof(count), a.blocks));
}

/* The first and the last when there are many. */
static bool is_shown(unsigned i, unsigned count)
{
	return count <= STEPS_SHOWN || i < STEPS_SHOWN / 2 || i >= count - STEPS_SHOWN / 2;
}

static void put_steps(const struct fa_growth *g, FILE *out)
{
	char time[32];

	for (unsigned i = 0; i < g->count; i++) {
		const struct fa_growth_step *s = &g->step[i];

		if (i == STEPS_SHOWN / 2 && !is_shown(i, g->count))
			(void)fprintf(out, "       ... %u more\n", g->count - STEPS_SHOWN);
		if (!is_shown(i, g->count))
			continue;
		(void)fprintf(
			out, "%10s  ",
			fa_format_duration(time, sizeof(time), s->real_ns - g->step[0].real_ns));
		put_amount(out, s->sum);
		(void)fputs(" blocks  ", out);
		fa_text_clean(out, fa_base_name(s->source->path));
		(void)fputs(", ", out);
		fa_text_clean(out, s->source->moments[s->moment]);
		(void)fputc('\n', out);
	}
}

static void put_warnings(const struct fa_report *r, const struct fa_growth *g, FILE *out)
{
	for (unsigned i = 0; i < g->count; i++) {
		struct fa_report of = *r;
		bool told = false;

		of.replay = g->step[i].source->replay;
		for (unsigned k = 0; k < i; k++)
			told |= g->step[k].source == g->step[i].source;
		if (!told)
			fa_text_warnings(&of, g->step[i].source->path, out);
	}
}

static int put_row(const struct fa_report *r, const struct fa_growth *g,
		   const struct fa_growth_row *row, FILE *out)
{
	char text[100], size[32];

	(void)fprintf(out, "\n%s%s%s  ", r->color ? "\033[1m" : "",
		      rate(text, sizeof(text), row->slope), r->color ? "\033[0m" : "");
	put_amount(out, row->at[0]);
	(void)fputs(" -> ", out);
	put_amount(out, row->at[g->count - 1]);
	(void)fputs(" blocks\n  ", out);
	for (unsigned i = 0; i < g->count; i++) {
		if (i == STEPS_SHOWN / 2 && !is_shown(i, g->count))
			(void)fputs(", ...", out);
		if (is_shown(i, g->count))
			(void)fprintf(out, "%s%s", i == 0 ? "" : ", ",
				      fa_format_size(size, sizeof(size), row->at[i].bytes));
	}
	(void)fprintf(out, "; straight to %.0f %%\n", 100 * row->fit);
	return fa_text_stack(r, out, row->chain, UINT32_MAX);
}

int fa_growth_text(const struct fa_report *r, const struct fa_growth *g, FILE *out)
{
	size_t top = r->top != 0 ? r->top : TOP;
	char text[100], a[32], b[32];
	int err = 0;

	put_warnings(r, g, out);
	put_steps(g, out);
	(void)fprintf(out, "everything  %s\n", rate(text, sizeof(text), g->slope));
	(void)fprintf(out, "%s of %s %s grow%s\n", fa_format_count(a, sizeof(a), g->row_count),
		      fa_format_count(b, sizeof(b), g->stacks),
		      r->by_function ? "functions" : "stacks", g->row_count == 1 ? "s" : "");
	for (size_t i = 0; i < g->row_count && i < top && err == 0; i++)
		err = put_row(r, g, &g->row[i], out);
	if (g->row_count > top)
		(void)fprintf(out, "\n... and %s more; --top %zu shows all\n",
			      fa_format_count(a, sizeof(a), g->row_count - top), g->row_count);
	return err < 0 ? err : fflush(out) != 0 ? -errno : 0;
}

/* ---- JSON ---- */

static void json_steps(struct fa_json *j, const struct fa_growth *g)
{
	fa_json_array(j, "steps");
	for (unsigned i = 0; i < g->count; i++) {
		const struct fa_growth_step *s = &g->step[i];

		fa_json_object(j, NULL);
		fa_json_string(j, "path", s->source->path);
		fa_json_string(j, "moment", s->source->moments[s->moment]);
		fa_json_u64(
			j, "time_ns",
			fa_replay_time_ns(s->source->replay, s->source->series->stamp[s->moment]));
		fa_json_u64(j, "real_ns", s->real_ns);
		fa_json_u64(j, "lost", s->source->replay->lost);
		fa_json_u64(j, "blocks", s->sum.blocks);
		fa_json_u64(j, "bytes", s->sum.bytes);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
}

static int json_row(struct fa_json *j, const struct fa_report *r, const struct fa_growth *g,
		    const struct fa_growth_row *row)
{
	int err;

	fa_json_object(j, NULL);
	fa_json_double(j, "bytes_per_second", row->slope);
	fa_json_double(j, "fit", row->fit);
	fa_json_u64(j, "steps_grown", row->grew);
	fa_json_array(j, "at");
	for (unsigned i = 0; i < g->count; i++)
		fa_report_json_amount(j, NULL, row->at[i]);
	fa_json_end_array(j);
	err = fa_report_json_stack(j, r, row->chain);
	fa_json_end_object(j);
	return err;
}

int fa_growth_json(const struct fa_report *r, const struct fa_growth *g, FILE *out)
{
	struct fa_json j;
	int err = 0;

	fa_json_init(&j, out, true);
	fa_json_object(&j, NULL);
	json_steps(&j, g);
	fa_json_double(&j, "bytes_per_second", g->slope);
	fa_json_u64(&j, "stacks", g->stacks);
	fa_json_u64(&j, "row_count", g->row_count);
	fa_json_array(&j, "rows");
	for (size_t i = 0; i < g->row_count && (r->top == 0 || i < r->top) && err == 0; i++)
		err = json_row(&j, r, g, &g->row[i]);
	fa_json_end_array(&j);
	fa_json_end_object(&j);
	fa_json_newline(&j);
	return err < 0 ? err : fflush(out) != 0 ? -errno : 0;
}
