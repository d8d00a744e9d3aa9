/*
 * snapshots.c - the view of the snapshots that a trace has: which --snapshot N, snapshot:N mean. One row for each
 * process; those that were taken together have one number.
 */
#include <inttypes.h>

#include "base/parse.h"
#include "report/report_internal.h"

/* What was not written to its end says itself how much of it is there. */
static const char *state_of(const struct fa_snapshot_seen *s)
{
	return !s->whole		 ? "torn"
	       : s->head.refused != 0	 ? "degraded"
	       : (s->head.flags & FA_SNAPSHOT_POST_MORTEM) != 0 ? "post mortem"
							     : "whole";
}

int fa_text_snapshots(const struct fa_report *r, FILE *out)
{
	const struct fa_model *m = &r->replay->model;
	char time[32], blocks[32], bytes[32];

	if (m->snapshot_count == 0) {
		(void)fputs("\n  no snapshot is in the trace: see firstalloc-snapshot(1), --session\n", out);
		return 0;
	}
	(void)fprintf(out, "\n%6s %12s %10s %14s %11s  %-11s %s\n", "number", "time", "pid", "blocks", "bytes",
		      "", "process");
	for (size_t i = 0; i < m->snapshot_count; i++) {
		const struct fa_snapshot_seen *s = m->snapshots[i];

		(void)fprintf(out, "%6u %12s %10d %14s %11s  %-11s ", s->number,
			      fa_format_duration(time, sizeof(time),
						 fa_replay_time_ns(r->replay, s->head.stamp)),
			      s->process->pid, fa_format_count(blocks, sizeof(blocks), s->blocks),
			      fa_format_size(bytes, sizeof(bytes), s->bytes), state_of(s));
		fa_text_clean(out, s->process->image);
		(void)fputc('\n', out);
	}
	return 0;
}

void fa_json_snapshots(struct fa_json *j, const struct fa_report *r)
{
	const struct fa_model *m = &r->replay->model;

	fa_json_array(j, "rows");
	for (size_t i = 0; i < m->snapshot_count; i++) {
		const struct fa_snapshot_seen *s = m->snapshots[i];

		fa_json_object(j, NULL);
		fa_json_u64(j, "number", s->number);
		fa_json_u64(j, "time_ns", fa_replay_time_ns(r->replay, s->head.stamp));
		fa_json_i64(j, "pid", s->process->pid);
		fa_json_string(j, "image", s->process->image);
		fa_json_u64(j, "blocks", s->blocks);
		fa_json_u64(j, "bytes", s->bytes);
		fa_json_u64(j, "refused", s->head.refused);
		fa_json_u64(j, "table_bytes", s->head.table_bytes);
		fa_json_bool(j, "post_mortem", (s->head.flags & FA_SNAPSHOT_POST_MORTEM) != 0);
		fa_json_bool(j, "torn", !s->whole);
		fa_json_end_object(j);
	}
	fa_json_end_array(j);
}
