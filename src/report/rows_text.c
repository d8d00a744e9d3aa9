/* rows_text.c - the views by stack or function, as text. */
#include "base/parse.h"
#include "report/report_internal.h"

static const char *const titles[] = {
	[FA_METRIC_OUTSTANDING] = "Not freed",
	[FA_METRIC_PEAK] = "Live at the peak",
	[FA_METRIC_TOTAL] = "Allocated",
	[FA_METRIC_TEMPORARY] = "Temporary (freed before the thread's next allocation)",
};

static void put_row_title(const struct fa_report *r, FILE *out, const struct fa_rows *rows,
			  const struct fa_row *row, enum fa_metric metric)
{
	char size[32], count[32], life[32];
	uint64_t part = metric == FA_METRIC_TEMPORARY ? row->amount.blocks : row->amount.bytes;
	uint64_t whole = metric == FA_METRIC_TEMPORARY ? rows->sum.blocks : rows->sum.bytes;

	(void)fprintf(out, "%s%s in %s block%s%s", r->color ? "\033[1m" : "",
		      fa_format_size(size, sizeof(size), row->amount.bytes),
		      fa_format_count(count, sizeof(count), row->amount.blocks),
		      row->amount.blocks == 1 ? "" : "s", r->color ? "\033[0m" : "");
	if (whole != 0)
		(void)fprintf(out, ", %.1f %%", 100.0 * (double)part / (double)whole);
	if (r->by_function && row->stacks > 1)
		(void)fprintf(out, ", %s stacks",
			      fa_format_count(count, sizeof(count), row->stacks));
	if (metric == FA_METRIC_TOTAL && row->freed != 0)
		(void)fprintf(
			out, ", lived %s on average",
			fa_format_duration(
				life, sizeof(life),
				fa_replay_ticks_ns(r->replay, row->lifetime_sum / row->freed)));
	(void)fputc('\n', out);
}

int fa_text_rows(const struct fa_report *r, FILE *out, enum fa_metric metric, unsigned top,
		 unsigned max_lines)
{
	struct fa_rows rows;
	char size[32], count[32];
	size_t shown;
	int err = fa_rows_new(r->replay, r->resolver, metric, r->by_function, &rows);

	if (err < 0)
		return err;
	shown = rows.count < top ? rows.count : top;
	(void)fprintf(out, "\n%s: %s in %s blocks", titles[metric],
		      fa_format_size(size, sizeof(size), rows.sum.bytes),
		      fa_format_count(count, sizeof(count), rows.sum.blocks));
	if (rows.count != 0)
		(void)fprintf(out, ", %s %s%s", fa_format_count(count, sizeof(count), rows.count),
			      r->by_function ? "function" : "stack", rows.count == 1 ? "" : "s");
	(void)fputc('\n', out);
	for (size_t i = 0; i < shown && err == 0; i++) {
		(void)fputc('\n', out);
		put_row_title(r, out, &rows, &rows.row[i], metric);
		err = fa_text_stack(r, out, rows.row[i].chain, max_lines);
	}
	if (shown < rows.count)
		(void)fprintf(out, "\n... and %s more; --top %zu shows all\n",
			      fa_format_count(count, sizeof(count), rows.count - shown),
			      rows.count);
	fa_rows_done(&rows);
	return err;
}
