/* tables.c - processes and threads, a line each, largest outstanding first. */
#include <errno.h>
#include <stdlib.h>

#include "base/parse.h"
#include "report/report_internal.h"

static int by_outstanding(const void *a, const void *b)
{
	const struct fa_process *x = *(const struct fa_process *const *)a;
	const struct fa_process *y = *(const struct fa_process *const *)b;

	if (x->outstanding.bytes != y->outstanding.bytes)
		return x->outstanding.bytes < y->outstanding.bytes ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static int threads_by_outstanding(const void *a, const void *b)
{
	const struct fa_thread *x = *(const struct fa_thread *const *)a;
	const struct fa_thread *y = *(const struct fa_thread *const *)b;

	if (x->outstanding.bytes != y->outstanding.bytes)
		return x->outstanding.bytes < y->outstanding.bytes ? 1 : -1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static void put_process(const struct fa_report *r, FILE *out, const struct fa_process *p)
{
	char events[32], left[32], peak[32], inherited[32], fixed[128];
	char tail[128] = "";

	(void)snprintf(fixed, sizeof(fixed), "%8d %14s %8llu %11s %11s  ", p->pid,
		       fa_format_count(events, sizeof(events), fa_event_sum(&p->events)),
		       (unsigned long long)fa_process_lost(p),
		       fa_format_size(left, sizeof(left), p->outstanding.bytes),
		       fa_format_size(peak, sizeof(peak), p->peak.bytes));
	if (p->inherited.blocks != 0)
		(void)snprintf(tail, sizeof(tail), "(+ %s inherited)",
			       fa_format_size(inherited, sizeof(inherited), p->inherited.bytes));
	fa_text_line(out, r->width, fixed, p->image, tail);
}

static void put_losses(FILE *out, const struct fa_process *p)
{
	char count[32];

	for (unsigned i = 0; i < FA_LOST_CAUSES; i++)
		if (p->lost[i] != 0)
			(void)fprintf(out, "         lost, %s: %s\n", fa_lost_cause_name(i),
				      fa_format_count(count, sizeof(count), p->lost[i]));
	if (p->malformed != 0)
		(void)fprintf(out, "         lost, unreadable in the trace: %s\n",
			      fa_format_count(count, sizeof(count), p->malformed));
	if (p->lost_unknown)
		(void)fputs("         more may be lost: no collector saw its end\n", out);
}

int fa_text_processes(const struct fa_report *r, FILE *out, unsigned top)
{
	const struct fa_model *m = &r->replay->model;
	struct fa_process **sorted = calloc(m->process_count + 1, sizeof(struct fa_process *));
	size_t count = 0;

	if (sorted == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < m->process_count; i++)
		if (m->processes[i]->selected)
			sorted[count++] = m->processes[i];
	qsort(sorted, count, sizeof(struct fa_process *), by_outstanding);
	(void)fprintf(out, "\n%8s %14s %8s %11s %11s  %s\n", "pid", "events", "lost", "not freed",
		      "peak", "program");
	for (size_t i = 0; i < count && i < top; i++) {
		put_process(r, out, sorted[i]);
		put_losses(out, sorted[i]);
	}
	if (count > top)
		(void)fprintf(out, "... and %zu more; --view processes --top %zu shows all\n",
			      count - top, count);
	free(sorted);
	return 0;
}

/* Of threads that are not told apart: those that never had memory to record in, and those beyond the room for counts. */
static uint64_t lost_of_others(const struct fa_model *m)
{
	uint64_t all = 0, told = 0;

	for (size_t i = 0; i < m->process_count; i++)
		all += m->processes[i]->selected ? fa_process_lost(m->processes[i]) : 0;
	for (size_t i = 0; i < m->thread_count; i++)
		told += m->threads[i]->process->selected ? fa_thread_lost(m->threads[i]) : 0;
	return all > told ? all - told : 0;
}

int fa_text_threads(const struct fa_report *r, FILE *out, unsigned top)
{
	const struct fa_model *m = &r->replay->model;
	struct fa_thread **sorted = calloc(m->thread_count + 1, sizeof(struct fa_thread *));
	char lost[32];
	size_t count = 0;

	if (sorted == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < m->thread_count; i++)
		if (m->threads[i]->process->selected && m->threads[i]->selected)
			sorted[count++] = m->threads[i];
	qsort(sorted, count, sizeof(struct fa_thread *), threads_by_outstanding);
	(void)fprintf(out, "\n%8s %8s %14s %8s %11s %11s  %s\n", "pid", "tid", "events", "lost", "allocated",
		      "not freed", "thread");
	for (size_t i = 0; i < count && i < top; i++) {
		const struct fa_thread *t = sorted[i];
		char events[32], total[32], left[32], fixed[160];

		(void)snprintf(fixed, sizeof(fixed), "%8d %8d %14s %8s %11s %11s  ", t->process->pid,
			       t->tid,
			       fa_format_count(events, sizeof(events), fa_event_sum(&t->events)),
			       fa_format_count(lost, sizeof(lost), fa_thread_lost(t)),
			       fa_format_size(total, sizeof(total), t->total.bytes),
			       fa_format_size(left, sizeof(left), t->outstanding.bytes));
		fa_text_line(out, r->width, fixed, t->name[0] != '\0' ? t->name : t->process->image,
			     "");
	}
	if (count > top)
		(void)fprintf(out, "... and %zu more; --top %zu shows all\n", count - top, count);
	if (lost_of_others(m) != 0)
		(void)fprintf(out, "%s events more were lost, by threads that are not told apart\n",
			      fa_format_count(lost, sizeof(lost), lost_of_others(m)));
	free(sorted);
	return 0;
}
