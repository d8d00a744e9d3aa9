/* report_internal.h - shared by the text views. */
#ifndef FA_REPORT_INTERNAL_H
#define FA_REPORT_INTERNAL_H

#include "base/json.h"
#include "report/report.h"
#include "report/rows.h"

enum fa_metric fa_view_metric(enum fa_report_view view);
const char *fa_view_name(enum fa_report_view view);

/* stack.c: the frames of a row, indented; at most max_lines of them. */
int fa_text_stack(const struct fa_report *r, FILE *out, uint32_t chain,
		  unsigned max_lines) FA_MUST_USE;
/* One line that fits the terminal: text is cut in its middle when tail would not fit behind it. */
void fa_text_line(FILE *out, unsigned width, const char *indent, const char *text,
		  const char *tail);

/* A name from a file, without what a terminal would obey. */
void fa_text_clean(FILE *out, const char *s);

/* text.c: what must be said first, a line each; `path` in front of it when it is not NULL. */
void fa_text_warnings(const struct fa_report *r, const char *path, FILE *out);

/* report_json.c. warnings: into an open array. */
void fa_report_json_amount(struct fa_json *j, const char *key, struct fa_amount a);
int fa_report_json_stack(struct fa_json *j, const struct fa_report *r, uint32_t chain) FA_MUST_USE;
void fa_report_json_warnings(struct fa_json *j, const struct fa_replay *r);

/* rows_text.c */
int fa_text_rows(const struct fa_report *r, FILE *out, enum fa_metric metric, unsigned top,
		 unsigned max_lines) FA_MUST_USE;

/* space.c */
int fa_text_space(const struct fa_report *r, FILE *out, unsigned top) FA_MUST_USE;
int fa_json_space(const struct fa_report *r, struct fa_json *j) FA_MUST_USE;

/* locks.c */
int fa_text_locks(const struct fa_report *r, FILE *out, unsigned top) FA_MUST_USE;
int fa_json_locks(const struct fa_report *r, struct fa_json *j) FA_MUST_USE;
/* loads.c */
int fa_text_loads(const struct fa_report *r, FILE *out, unsigned top) FA_MUST_USE;
int fa_json_loads(const struct fa_report *r, struct fa_json *j) FA_MUST_USE;

/* extents.c */
int fa_text_extents(const struct fa_report *r, FILE *out, unsigned top) FA_MUST_USE;
int fa_json_extents(const struct fa_report *r, struct fa_json *j) FA_MUST_USE;

/* snapshots.c */
int fa_text_snapshots(const struct fa_report *r, FILE *out) FA_MUST_USE;
void fa_json_snapshots(struct fa_json *j, const struct fa_report *r);

/* left.c */
int fa_text_left(const struct fa_report *r, FILE *out) FA_MUST_USE;
int fa_json_left(struct fa_json *j, const struct fa_report *r) FA_MUST_USE;

/* tables.c */
int fa_text_processes(const struct fa_report *r, FILE *out, unsigned top) FA_MUST_USE;
int fa_text_threads(const struct fa_report *r, FILE *out, unsigned top) FA_MUST_USE;

#endif
