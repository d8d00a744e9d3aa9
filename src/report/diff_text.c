/* diff_text.c - a diff for a terminal, and as JSON. */
#include <errno.h>
#include <inttypes.h>

#include "base/io.h"
#include "base/parse.h"
#include "report/diff.h"
#include "report/report_internal.h"

enum { TOP = 20 };

/* ---- text ---- */

/* "+1.2 MiB", "-3 B": buf has at least 40 bytes. */
static const char *signed_size(char *buf, size_t size, uint64_t before, uint64_t after)
{
	char text[32];

	(void)snprintf(buf, size, "%s%s", after < before ? "-" : "+",
		       fa_format_size(text, sizeof(text),
				      after < before ? before - after : after - before));
	return buf;
}

static const char *signed_count(char *buf, size_t size, uint64_t before, uint64_t after)
{
	char text[32];

	(void)snprintf(buf, size, "%s%s", after < before ? "-" : "+",
		       fa_format_count(text, sizeof(text),
				       after < before ? before - after : after - before));
	return buf;
}

static void put_side(const struct fa_report *r, FILE *out, const char *name,
		     const struct fa_diff_side *s)
{
	char size[32], count[32], amount[96];

	(void)fprintf(out, "%s ", name);
	(void)snprintf(amount, sizeof(amount), "%s in %s block%s",
		       fa_format_size(size, sizeof(size), s->live->sum.bytes),
		       fa_format_count(count, sizeof(count), s->live->sum.blocks),
		       s->live->sum.blocks == 1 ? "" : "s");
	(void)fprintf(out, "%-34s ", amount);
	fa_text_clean(out, fa_base_name(s->path));
	(void)fputs(", ", out);
	fa_text_clean(out, s->moment);
	(void)fputc('\n', out);
	(void)r;
}

static void put_amounts(FILE *out, const char *indent, const struct fa_amount *of)
{
	char size[32], count[32];
	static const enum fa_diff_change kinds[] = {FA_ADDED, FA_REMOVED, FA_KEPT};

	(void)fputs(indent, out);
	for (unsigned i = 0; i < 3; i++)
		(void)fprintf(out, "%s%s %s in %s", i == 0 ? "" : ", ", fa_change_names[kinds[i]],
			      fa_format_size(size, sizeof(size), of[kinds[i]].bytes),
			      fa_format_count(count, sizeof(count), of[kinds[i]].blocks));
	(void)fputc('\n', out);
}

static void put_head(const struct fa_report *r, FILE *out, const struct fa_diff *d,
		     const struct fa_diff_side *side)
{
	char a[40], b[40];

	for (unsigned i = 0; i < 2; i++) {
		struct fa_report of = *r;

		of.replay = side[i].replay;
		if (i == 0 || side[0].replay != side[1].replay)
			fa_text_warnings(&of, side[i].path, out);
	}
	put_side(r, out, "before", &side[0]);
	put_side(r, out, "after ", &side[1]);
	(void)fprintf(out, "change %s in %s blocks\n",
		      signed_size(a, sizeof(a), d->sum.before.bytes, d->sum.after.bytes),
		      signed_count(b, sizeof(b), d->sum.before.blocks, d->sum.after.blocks));
	(void)fprintf(out, "%s ", r->by_function ? "functions" : "stacks");
	for (unsigned i = 0; i < FA_CHANGES; i++)
		(void)fprintf(out, "%s%s %s", i == 0 ? "" : ", ",
			      fa_format_count(a, sizeof(a), d->rows_of[i]), fa_change_names[i]);
	(void)fputc('\n', out);
	if (d->by_block)
		put_amounts(out, "blocks ", d->sum.of);
}

static void put_row_title(const struct fa_report *r, FILE *out, const struct fa_diff *d,
			  const struct fa_diff_row *row)
{
	char a[40], b[40], c[32], e[32], f[32], g[32];

	(void)fprintf(out, "\n%s%s in %s blocks%s  %s: %s in %s -> %s in %s\n",
		      r->color ? "\033[1m" : "",
		      signed_size(a, sizeof(a), row->before.bytes, row->after.bytes),
		      signed_count(b, sizeof(b), row->before.blocks, row->after.blocks),
		      r->color ? "\033[0m" : "", fa_change_names[row->change],
		      fa_format_size(c, sizeof(c), row->before.bytes),
		      fa_format_count(e, sizeof(e), row->before.blocks),
		      fa_format_size(f, sizeof(f), row->after.bytes),
		      fa_format_count(g, sizeof(g), row->after.blocks));
	if (d->by_block && row->in_both)
		put_amounts(out, "  blocks: ", row->of);
}

static int put_rows(const struct fa_report *r, FILE *out, const struct fa_diff *d)
{
	size_t top = r->top != 0 ? r->top : TOP;
	char count[32];
	int err = 0;

	for (size_t i = 0; i < d->count && i < top && err == 0; i++) {
		put_row_title(r, out, d, &d->row[i]);
		err = fa_text_stack(r, out, d->row[i].chain, UINT32_MAX);
	}
	if (d->count > top)
		(void)fprintf(out, "\n... and %s more; --top %zu shows all\n",
			      fa_format_count(count, sizeof(count), d->count - top), d->count);
	return err;
}

static uint64_t age_ns(const struct fa_diff_block *b)
{
	uint64_t now = b->side->live->stamp, born = b->block->stamp;

	return now > born ? fa_replay_ticks_ns(b->side->replay, now - born) : 0;
}

static const struct fa_thread *thread_of(const struct fa_diff_block *b)
{
	return b->side->replay->model.threads[b->block->thread & FA_BLOCK_THREAD];
}

static int put_blocks(const struct fa_report *r, FILE *out, const struct fa_diff *d)
{
	size_t top = r->top != 0 ? r->top : TOP;
	struct fa_report one = *r;
	char age[32], count[32];
	int err = 0;

	one.by_function = true; /* the innermost frame is enough in a list */
	(void)fprintf(out, "\n%-8s %8s %18s %14s %9s\n", "", "pid", "address", "bytes", "age");
	for (size_t i = 0; i < d->block_count && i < top && err == 0; i++) {
		const struct fa_diff_block *b = &d->block[i];

		(void)fprintf(out, "%-8s %8d %#18" PRIx64 " %14s %9s\n", fa_change_names[b->change],
			      thread_of(b)->process->pid, b->block->addr,
			      fa_format_count(count, sizeof(count), b->block->size),
			      fa_format_duration(age, sizeof(age), age_ns(b)));
		err = fa_text_stack(&one, out, b->chain, 1);
	}
	if (d->block_count > top)
		(void)fprintf(out, "... and %s more; --top %zu shows all\n",
			      fa_format_count(count, sizeof(count), d->block_count - top),
			      d->block_count);
	return err;
}

int fa_diff_text(const struct fa_report *r, const struct fa_diff *d,
		 const struct fa_diff_side *side, bool blocks, FILE *out)
{
	int err;

	put_head(r, out, d, side);
	if (blocks && !d->by_block)
		(void)fputs("\nNo process is in both: there is nothing to say by block.\n", out);
	err = blocks ? d->by_block ? put_blocks(r, out, d) : 0 : put_rows(r, out, d);
	return err < 0 ? err : fflush(out) != 0 ? -errno : 0;
}

/* ---- JSON ---- */

static void json_side(struct fa_json *j, const char *key, const struct fa_diff_side *s)
{
	fa_json_object(j, key);
	fa_json_string(j, "path", s->path);
	fa_json_string(j, "moment", s->moment);
	fa_json_u64(j, "time_ns", fa_replay_time_ns(s->replay, s->live->stamp));
	fa_json_u64(j, "real_ns", s->live->real_ns);
	fa_json_u64(j, "blocks", s->live->sum.blocks);
	fa_json_u64(j, "bytes", s->live->sum.bytes);
	fa_json_u64(j, "lost", s->replay->lost);
	fa_json_array(j, "warnings");
	fa_report_json_warnings(j, s->replay);
	fa_json_end_array(j);
	fa_json_end_object(j);
}

static void json_change(struct fa_json *j, const struct fa_diff_row *row)
{
	fa_json_object(j, "change");
	fa_json_i64(j, "blocks", (int64_t)(row->after.blocks - row->before.blocks));
	fa_json_i64(j, "bytes", (int64_t)(row->after.bytes - row->before.bytes));
	fa_json_end_object(j);
}

static void json_of(struct fa_json *j, const struct fa_amount *of)
{
	fa_json_object(j, "of_blocks");
	fa_report_json_amount(j, "added", of[FA_ADDED]);
	fa_report_json_amount(j, "removed", of[FA_REMOVED]);
	fa_report_json_amount(j, "kept", of[FA_KEPT]);
	fa_json_end_object(j);
}

static int json_rows(struct fa_json *j, const struct fa_report *r, const struct fa_diff *d)
{
	int err = 0;

	fa_json_array(j, "rows");
	for (size_t i = 0; i < d->count && (r->top == 0 || i < r->top) && err == 0; i++) {
		const struct fa_diff_row *row = &d->row[i];

		fa_json_object(j, NULL);
		fa_json_string(j, "what", fa_change_names[row->change]);
		fa_report_json_amount(j, "before", row->before);
		fa_report_json_amount(j, "after", row->after);
		json_change(j, row);
		if (row->in_both)
			json_of(j, row->of);
		err = fa_report_json_stack(j, r, row->chain);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
	return err;
}

static int json_blocks(struct fa_json *j, const struct fa_report *r, const struct fa_diff *d)
{
	int err = 0;

	fa_json_u64(j, "block_count", d->block_count);
	fa_json_array(j, "block_list");
	for (size_t i = 0; i < d->block_count && (r->top == 0 || i < r->top) && err == 0; i++) {
		const struct fa_diff_block *b = &d->block[i];

		fa_json_object(j, NULL);
		fa_json_string(j, "what", fa_change_names[b->change]);
		fa_json_i64(j, "pid", thread_of(b)->process->pid);
		fa_json_i64(j, "tid", thread_of(b)->tid);
		fa_json_u64(j, "address", b->block->addr);
		fa_json_u64(j, "bytes", b->block->size);
		fa_json_u64(j, "age_ns", age_ns(b));
		err = fa_report_json_stack(j, r, b->chain);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
	return err;
}

int fa_diff_json(const struct fa_report *r, const struct fa_diff *d,
		 const struct fa_diff_side *side, bool blocks, FILE *out)
{
	struct fa_json j;
	int err;

	fa_json_init(&j, out, true);
	fa_json_object(&j, NULL);
	json_side(&j, "before", &side[0]);
	json_side(&j, "after", &side[1]);
	json_change(&j, &d->sum);
	fa_json_object(&j, "row_counts");
	for (unsigned i = 0; i < FA_CHANGES; i++)
		fa_json_u64(&j, fa_change_names[i], d->rows_of[i]);
	fa_json_end_object(&j);
	fa_json_bool(&j, "by_block", d->by_block);
	if (d->by_block)
		json_of(&j, d->sum.of);
	fa_json_u64(&j, "row_count", d->count);
	err = blocks ? json_blocks(&j, r, d) : json_rows(&j, r, d);
	fa_json_end_object(&j);
	fa_json_newline(&j);
	return err < 0 ? err : fflush(out) != 0 ? -errno : 0;
}
