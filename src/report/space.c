/*
 * space.c - the view of the address space: what was mapped in the range (without one: ever), and what of it is still
 * there at its end, by stack; largest reserved first. Words: analysis/space.h.
 */
#include "base/parse.h"
#include "report/call_rows.h"
#include "report/report_internal.h"

enum { RESERVED, COMMITTED, BYTES, CALLS };

static void numbers(const struct fa_replay *replay, size_t i, uint64_t *ret)
{
	const struct fa_space_site *s = replay->space.site;

	if (i >= replay->space.site_count)
		return;
	s += i;
	ret[RESERVED] = s->reserved;
	ret[COMMITTED] = s->committed;
	ret[BYTES] = s->bytes;
	ret[CALLS] = s->calls;
}

static void put_line(FILE *out, const char *what, uint64_t reserved, uint64_t committed)
{
	char a[32], b[32];

	(void)fprintf(out, "  %-12s %s reserved, %s committed", what,
		      fa_format_size(a, sizeof(a), reserved),
		      fa_format_size(b, sizeof(b), committed));
}

static void put_totals(const struct fa_report *r, FILE *out)
{
	const struct fa_replay *p = r->replay;
	const struct fa_spaces *s = &p->space;
	char a[32], b[32], c[32];

	put_line(out, "still mapped", s->left_reserved, s->left_committed);
	(void)fputc('\n', out);
	put_line(out, "peak", s->peak_reserved, s->peak_committed);
	(void)fprintf(
		out, ", at %s and %s\n",
		fa_format_duration(a, sizeof(a), fa_replay_time_ns(p, s->peak_reserved_stamp)),
		fa_format_duration(b, sizeof(b), fa_replay_time_ns(p, s->peak_committed_stamp)));
	(void)fprintf(out, "  %-12s %s in %s calls, %s of munmap\n", "mapped",
		      fa_format_size(a, sizeof(a), s->bytes),
		      fa_format_count(b, sizeof(b), s->maps),
		      fa_format_count(c, sizeof(c), s->unmaps));
	(void)fprintf(out, "  %-12s %s not freed, peak %s\n", "heap",
		      fa_format_size(a, sizeof(a), p->of[FA_AIFO].bytes),
		      fa_format_size(b, sizeof(b), p->peak.bytes));
}

static void put_row(const struct fa_report *r, FILE *out, const struct fa_call_row *row)
{
	char a[32], b[32], c[32], d[32];

	(void)fprintf(out, "\n%s%s reserved, %s committed%s; %s in %s call%s",
		      r->color ? "\033[1m" : "", fa_format_size(a, sizeof(a), row->n[RESERVED]),
		      fa_format_size(b, sizeof(b), row->n[COMMITTED]), r->color ? "\033[0m" : "",
		      fa_format_size(c, sizeof(c), row->n[BYTES]),
		      fa_format_count(d, sizeof(d), row->n[CALLS]), row->n[CALLS] == 1 ? "" : "s");
	if (r->by_function && row->stacks > 1)
		(void)fprintf(out, ", %s stacks", fa_format_count(a, sizeof(a), row->stacks));
	(void)fputc('\n', out);
}

int fa_text_space(const struct fa_report *r, FILE *out, unsigned top)
{
	struct fa_call_rows rows;
	int err = fa_call_rows_new(r, numbers, 0, &rows);

	if (err < 0)
		return err;
	(void)fputc('\n', out);
	put_totals(r, out);
	if (!r->replay->space.any)
		(void)fputs("  none of these calls is in the trace: see firstalloc-enable(1), "
			    "--flags vm\n",
			    out);
	for (size_t i = 0; i < rows.count && i < top && err == 0; i++) {
		put_row(r, out, &rows.row[i]);
		err = fa_text_stack(r, out, rows.row[i].chain, UINT32_MAX);
	}
	if (rows.count > top)
		(void)fprintf(out, "\n... and %zu more; --top %zu shows all\n", rows.count - top,
			      rows.count);
	fa_call_rows_done(&rows);
	return err;
}

static void put_pair(struct fa_json *j, const char *key, uint64_t reserved, uint64_t committed)
{
	fa_json_object(j, key);
	fa_json_u64(j, "reserved", reserved);
	fa_json_u64(j, "committed", committed);
	fa_json_end_object(j);
}

int fa_json_space(const struct fa_report *r, struct fa_json *j)
{
	const struct fa_replay *p = r->replay;
	const struct fa_spaces *s = &p->space;
	struct fa_call_rows rows;
	int err = fa_call_rows_new(r, numbers, 0, &rows);

	if (err < 0)
		return err;
	put_pair(j, "still_mapped", s->left_reserved, s->left_committed);
	put_pair(j, "peak", s->peak_reserved, s->peak_committed);
	put_pair(j, "peak_time_ns", fa_replay_time_ns(p, s->peak_reserved_stamp),
		 fa_replay_time_ns(p, s->peak_committed_stamp));
	fa_json_u64(j, "mapped_bytes", s->bytes);
	fa_json_u64(j, "maps", s->maps);
	fa_json_u64(j, "unmaps", s->unmaps);
	fa_json_u64(j, "heap_outstanding_bytes", p->of[FA_AIFO].bytes);
	fa_json_u64(j, "heap_peak_bytes", p->peak.bytes);
	fa_json_u64(j, "row_count", rows.count);
	fa_json_array(j, "rows");
	for (size_t i = 0; i < rows.count && (r->top == 0 || i < r->top) && err == 0; i++) {
		const struct fa_call_row *row = &rows.row[i];

		fa_json_object(j, NULL);
		fa_json_u64(j, "reserved", row->n[RESERVED]);
		fa_json_u64(j, "committed", row->n[COMMITTED]);
		fa_json_u64(j, "bytes", row->n[BYTES]);
		fa_json_u64(j, "calls", row->n[CALLS]);
		err = fa_report_json_stack(j, r, row->chain);
		fa_json_u64(j, "stacks", row->stacks);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
	fa_call_rows_done(&rows);
	return err;
}
