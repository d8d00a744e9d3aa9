/*
 * reader.c - traces for programs: the one reader (src/trace), the model of the replay (src/analysis), the
 * names of the report (src/report), behind a plain interface.
 *
 * The file is read twice: stamps become time, and stacks frames, only with records that stand behind the
 * events. The first reading fills the model; the second gives out events and holds nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "reader_internal.h"
#include "report/resolve.h"

int fa_api_fail_trace(int e, const char *path)
{
	switch (e) {
	case -ENOMEM:
		return fa_api_fail(FA_ERROR_OUT_OF_MEMORY, "%s: out of memory", path);
	case -EBADMSG:
		return fa_api_fail(FA_ERROR_BAD_DATA,
				   "%s: not a firstalloc trace, or its first bytes are damaged",
				   path);
	case -EPROTONOSUPPORT:
		return fa_api_fail(FA_ERROR_NEWER, "%s: written by a newer firstalloc", path);
	case -EACCES:
	case -EPERM:
		return fa_api_fail(FA_ERROR_ACCESS_DENIED, "%s: %s", path, fa_strerror(e));
	case -ENOENT:
	case -ENOTDIR:
	case -EISDIR:
	case -ESPIPE:
	case -ELOOP:
	case -ENAMETOOLONG:
		return fa_api_fail(FA_ERROR_BAD_PATH, "%s: %s", path, fa_strerror(e));
	default:
		return fa_api_fail(FA_ERROR_SYSTEM, "%s: %s", path, fa_strerror(e));
	}
}

/* ---- the first reading ---- */

static void take_machine(struct fa_trace *t, const struct fa_trace_record *rec)
{
	const unsigned char *tail = rec->tail;
	size_t len = rec->tail_len;
	const char *part[5];

	for (unsigned i = 0; i < 5; i++)
		part[i] = fa_trace_string(&tail, &len);
	(void)snprintf(t->info.kernel, sizeof(t->info.kernel), "%s %s %s", part[0], part[1],
		       part[3]);
	(void)snprintf(t->info.host, sizeof(t->info.host), "%s", part[4]);
	fa_trace_clock_machine(&t->clock, rec->head);
}

static void take_session(struct fa_trace *t, const struct fa_trace_record *rec)
{
	const unsigned char *tail = rec->tail;
	size_t len = rec->tail_len;

	(void)snprintf(t->info.session_name, sizeof(t->info.session_name), "%s",
		       fa_trace_string(&tail, &len));
}

/* How many heap events, and how many of those that it speaks of cannot be decoded. */
static int take_events(struct fa_trace *t, const struct fa_trace_record *rec)
{
	const struct fa_rec_events *head = rec->head;
	struct fa_process *p = fa_model_process(&t->model, head->process);
	uint32_t events, heap;
	struct fa_thread *thread;
	size_t used;

	if (p == NULL || head->codec != FA_EVENT_CODEC)
		return -EBADMSG;
	thread = fa_model_thread(&t->model, p, head->thread & 0x7fffffffu);
	if (thread == NULL)
		return -ENOMEM;
	fa_model_saw_lost(thread, head->lost_before);
	if (rec->tag == FA_TAG_CALLS)
		return 0;
	used = fa_event_skim(rec->tail, rec->tail_len, &events, &heap);
	t->info.events += heap;
	if (used != rec->tail_len && head->count > heap)
		p->malformed += head->count - heap;
	return 0;
}

static void take_clock(struct fa_trace *t, const struct fa_rec_clock *rec)
{
	fa_trace_clock_add(&t->clock, rec);
	if (rec->stamp > t->end_stamp)
		t->end_stamp = rec->stamp;
}

int fa_api_take_record(struct fa_trace *t, const struct fa_trace_record *rec)
{
	struct fa_model *m = &t->model;
	struct fa_process *p;

	switch (rec->tag) {
	case FA_TAG_MACHINE:
		take_machine(t, rec);
		return 0;
	case FA_TAG_SESSION:
		take_session(t, rec);
		return 0;
	case FA_TAG_CLOCK:
		take_clock(t, rec->head);
		return 0;
	case FA_TAG_PROCESS:
		return fa_model_add_process(m, rec->head, rec->tail, rec->tail_len, &p);
	case FA_TAG_PROCESS_END:
		return fa_model_add_process_end(m, rec->head, &p);
	case FA_TAG_THREAD:
		return fa_model_add_thread(m, rec->head, rec->tail, rec->tail_len);
	case FA_TAG_MODULE:
		return fa_model_add_module(m, rec->head, rec->tail, rec->tail_len);
	case FA_TAG_NODES:
		return fa_model_add_nodes(m, rec->head, rec->tail, rec->tail_len);
	case FA_TAG_EVENTS:
	case FA_TAG_CALLS:
		return take_events(t, rec);
	case FA_TAG_LOST:
		return fa_model_add_lost(m, rec->head);
	case FA_TAG_END:
		t->info.state |= FA_TRACE_ENDED;
		if (((const struct fa_rec_end *)rec->head)->stamp > t->end_stamp)
			t->end_stamp = ((const struct fa_rec_end *)rec->head)->stamp;
		return 0;
	default:
		return 0;
	}
}

static uint64_t mono_of(const struct fa_trace *t, uint64_t stamp)
{
	return fa_trace_clock_mono_ns(&t->clock, stamp);
}

static int64_t time_of(const struct fa_trace *t, uint64_t stamp)
{
	return (int64_t)(mono_of(t, stamp) - mono_of(t, t->clock.first.stamp));
}

void fa_api_sum_up(struct fa_trace *t)
{
	struct fa_trace_info *i = &t->info;

	i->size = sizeof(*i);
	i->lost = 0;
	i->state &= (uint32_t)FA_TRACE_ENDED;
	i->state |= t->damage.damaged ? FA_TRACE_DAMAGED : t->damage.cut ? FA_TRACE_CUT : 0u;
	i->state |= t->damage.unknown_records != 0 ? FA_TRACE_UNKNOWN_RECORDS : 0u;
	i->unread_bytes = t->damage.bytes;
	i->start_real_ns = fa_trace_clock_real_ns(&t->clock, t->clock.first.stamp);
	if (t->end_stamp > t->clock.first.stamp)
		i->duration_ns = (uint64_t)time_of(t, t->end_stamp);
	i->processes = (uint32_t)t->model.process_count;
	for (size_t k = 0; k < t->model.process_count; k++) {
		i->lost += fa_process_lost(t->model.processes[k]);
		i->state |= t->model.processes[k]->lost_unknown ? FA_TRACE_LOST_UNKNOWN : 0u;
	}
}

static int read_model(struct fa_trace *t)
{
	struct fa_trace_reader *reader;
	struct fa_trace_record rec;
	int r = fa_trace_reader_open(t->path, &reader);

	if (r < 0)
		return r;
	while (fa_trace_reader_next(reader, &rec) > 0) {
		r = fa_api_take_record(t, &rec);
		if (r == -ENOMEM)
			break;
	}
	t->damage = fa_trace_reader_damage(reader);
	fa_trace_reader_free(reader);
	if (r == -ENOMEM)
		return r;
	fa_api_sum_up(t);
	return 0;
}

int fa_trace_open(const char *path, struct fa_trace **ret)
{
	const struct fa_symbols_options how = {0};
	struct fa_trace *t;
	int r;

	if (ret == NULL || path == NULL)
		return fa_api_fail(FA_ERROR_INVALID_PARAMETER, "no path, or no room for the trace");
	*ret = NULL;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return fa_api_fail_trace(-ENOMEM, path);
	t->path = strdup(path);
	r = t->path == NULL ? -ENOMEM : fa_model_init(&t->model);
	if (r == 0)
		r = read_model(t);
	if (r == 0)
		r = fa_trace_reader_open(path, &t->reader);
	if (r == 0)
		r = fa_symbols_new(&how, &t->symbols);
	if (r < 0) {
		fa_trace_close(t);
		return fa_api_fail_trace(r, path);
	}
	*ret = t;
	return FA_OK;
}

void fa_trace_close(struct fa_trace *t)
{
	if (t == NULL)
		return;
	fa_resolver_free(t->resolver[0]);
	fa_resolver_free(t->resolver[1]);
	fa_symbols_free(t->symbols);
	fa_trace_reader_free(t->reader);
	fa_trace_live_free(t->live);
	fa_model_done(&t->model);
	free(t->path);
	free(t);
}

static int check_size(uint32_t given, size_t want)
{
	if (given != want)
		return fa_api_fail(FA_ERROR_BAD_LENGTH,
				   "a structure of %u bytes, %zu are expected: set `size`", given,
				   want);
	return FA_OK;
}

int fa_trace_get_info(const struct fa_trace *t, struct fa_trace_info *ret)
{
	int e = check_size(ret->size, sizeof(*ret));

	if (e == FA_OK)
		*ret = t->info;
	return e;
}

int fa_trace_get_process(const struct fa_trace *t, uint32_t index, struct fa_process_info *ret)
{
	const struct fa_process *p;
	int e = check_size(ret->size, sizeof(*ret));

	if (e != FA_OK)
		return e;
	if (index >= t->model.process_count)
		return fa_api_fail(FA_ERROR_NO_MORE, "the trace has %zu processes",
				   t->model.process_count);
	p = t->model.processes[index];
	*ret = (struct fa_process_info){
		.size = sizeof(*ret),
		.process = p->id,
		.pid = p->pid,
		.parent_pid = p->parent_pid,
		.parent = p->parent,
		.origin = p->origin,
		.uid = p->uid,
		.gid = p->gid,
		.start_ns = time_of(t, p->start_stamp),
		.end_ns = p->ended ? time_of(t, p->end_stamp) : 0,
		.ended = p->ended,
		.status = p->status,
		.incomplete = p->incomplete,
		.lost_unknown = p->lost_unknown,
		.lost = fa_process_lost(p),
		.image = p->image,
		.exe = p->exe,
		.exec_path = p->exec_path,
		.cgroup = p->cgroup,
		.arguments = p->arguments,
	};
	return FA_OK;
}

/* ---- the second reading ---- */

static bool begin_events(struct fa_trace *t, const struct fa_trace_record *rec)
{
	const struct fa_rec_events *head = rec->head;
	struct fa_process *p = fa_model_process(&t->model, head->process);

	if (p == NULL || head->codec != FA_EVENT_CODEC)
		return false;
	t->thread = fa_model_thread(&t->model, p, head->thread & 0x7fffffffu);
	if (t->thread == NULL)
		return false;
	t->nested = head->thread >> 31;
	t->state = head->state;
	t->at = rec->tail;
	t->left = rec->tail_len;
	return true;
}

uint64_t fa_api_ticks_ns(const struct fa_trace *t, uint64_t stamp, uint64_t ticks)
{
	return ticks < stamp ? mono_of(t, stamp) - mono_of(t, stamp - ticks) : 0;
}

static uint32_t function_of(const struct fa_event *e)
{
	switch (e->kind) {
	case FA_EV_ALLOC:
		return e->fn;
	case FA_EV_REALLOC:
		return e->fn ? FA_CALL_REALLOCARRAY : FA_CALL_REALLOC;
	default:
		return FA_CALL_FREE;
	}
}

/* The next heap event of the record; false: there is none left, or what is left is malformed. */
static bool next_of_events(struct fa_trace *t, struct fa_trace_event *ret)
{
	static const uint32_t kinds[] = {[FA_EV_ALLOC] = FA_EVENT_ALLOC,
					 [FA_EV_REALLOC] = FA_EVENT_REALLOC,
					 [FA_EV_FREE] = FA_EVENT_FREE};
	struct fa_event e = {.kind = FA_EV_STAMP};

	while (e.kind == FA_EV_STAMP || (e.kind == FA_EV_CALL && !fa_api_knows_call(e.fn))) {
		int n = t->left != 0 ? fa_event_get(t->at, t->left, &t->state, &e) : 0;

		if (n <= 0) {
			t->left = 0;
			return false;
		}
		t->at += n;
		t->left -= (size_t)n;
	}
	*ret = (struct fa_trace_event){
		.size = sizeof(*ret),
		.kind = e.kind == FA_EV_CALL ? 0 : kinds[e.kind],
		.time_ns = time_of(t, e.stamp),
		.address = e.addr,
		.old_address = e.old,
		.bytes = e.size,
		.alignment = e.align_log2 != 0 ? 1ull << e.align_log2 : 0,
		.process = t->thread->process->id,
		.pid = t->thread->process->pid,
		.thread = t->thread->serial,
		.tid = t->thread->tid,
		.stack = e.has_stack ? e.stack : 0,
		.function = e.kind == FA_EV_CALL ? 0 : function_of(&e),
		.flags = (e.stamped ? FA_EVENT_STAMPED : 0u) | (t->nested ? FA_EVENT_NESTED : 0u) |
			 (e.has_stack ? FA_EVENT_STACK : 0u),
		.status = -1,
		.text = "",
	};
	if (e.kind == FA_EV_CALL)
		fa_api_call(t, &e, ret);
	return true;
}

static void about_process(const struct fa_trace *t, struct fa_trace_event *ret, uint32_t kind,
			  const struct fa_process *p, uint64_t stamp)
{
	*ret = (struct fa_trace_event){
		.size = sizeof(*ret),
		.kind = kind,
		.time_ns = time_of(t, stamp),
		.process = p->id,
		.pid = p->pid,
		.flags = FA_EVENT_STAMPED,
		.status = -1,
		.text = "",
	};
}

static bool from_lost(struct fa_trace *t, const struct fa_rec_lost *rec, struct fa_trace_event *ret)
{
	const struct fa_process *p = fa_model_process(&t->model, rec->process);

	if (p == NULL)
		return false;
	about_process(t, ret, FA_EVENT_LOST, p, rec->stamp);
	ret->bytes = rec->cause == FA_LOST_UNKNOWN ? 0 : rec->count;
	return true;
}

static bool from_mark(struct fa_trace *t, const struct fa_trace_record *rec,
		      struct fa_trace_event *ret)
{
	const struct fa_rec_mark *mark = rec->head;
	const unsigned char *tail = rec->tail;
	size_t len = rec->tail_len;

	*ret = (struct fa_trace_event){
		.size = sizeof(*ret),
		.kind = FA_EVENT_MARK,
		.time_ns = time_of(t, mark->stamp),
		.pid = mark->pid,
		.flags = FA_EVENT_STAMPED,
		.status = -1,
		.text = fa_trace_string(&tail, &len),
	};
	return true;
}

/* The beginning of a thread is told once, at its first event's record or THREAD. */
static bool from_thread(struct fa_trace *t, const struct fa_process *p, uint32_t serial,
			uint64_t stamp, uint32_t kind, struct fa_trace_event *ret)
{
	struct fa_thread *thread = fa_model_thread(&t->model, fa_model_process(&t->model, p->id),
						   serial & 0x7fffffffu);
	bool ends = kind == FA_EVENT_THREAD_END;

	if (thread == NULL || (!ends && thread->selected))
		return false;
	thread->selected = true;
	about_process(t, ret, kind, p, stamp);
	ret->thread = thread->serial;
	ret->tid = thread->tid;
	ret->text = thread->name;
	return true;
}

/* Is this record an event by itself? */
static bool from_record(struct fa_trace *t, const struct fa_trace_record *rec,
			struct fa_trace_event *ret)
{
	struct fa_process *p;
	uint32_t first;

	memcpy(&first, rec->head, sizeof(first));
	if (rec->tag == FA_TAG_LOST)
		return from_lost(t, rec->head, ret);
	if (rec->tag == FA_TAG_MARK)
		return from_mark(t, rec, ret);
	p = fa_model_process(&t->model, first);
	if (p == NULL)
		return false;
	if (rec->tag == FA_TAG_PROCESS && !p->selected) {
		p->selected = true; /* a description may come again */
		about_process(t, ret, FA_EVENT_PROCESS_START, p, p->start_stamp);
		ret->text = p->image;
		return true;
	}
	if (rec->tag == FA_TAG_THREAD && ((const struct fa_rec_thread *)rec->head)->stamp != 0)
		return from_thread(t, p, ((const struct fa_rec_thread *)rec->head)->thread,
				   ((const struct fa_rec_thread *)rec->head)->stamp,
				   FA_EVENT_THREAD_START, ret);
	if (rec->tag == FA_TAG_THREAD_END)
		return from_thread(t, p, ((const struct fa_rec_thread_end *)rec->head)->thread,
				   ((const struct fa_rec_thread_end *)rec->head)->stamp,
				   FA_EVENT_THREAD_END, ret);
	if (rec->tag == FA_TAG_EXTENTS) {
		about_process(t, ret, FA_EVENT_EXTENTS, p,
			      ((const struct fa_rec_extents *)rec->head)->stamp);
		fa_api_extents(rec->head, ret);
		return true;
	}
	if (rec->tag == FA_TAG_PROCESS_END && !p->finished) {
		p->finished = true;
		about_process(t, ret, FA_EVENT_PROCESS_END, p, p->end_stamp);
		ret->status = p->status;
		return true;
	}
	return false;
}

/* Of what comes live, what explains events is taken in on the way: it stands before them. */
static int next_record(struct fa_trace *t, struct fa_trace_record *rec)
{
	int more = t->live != NULL ? fa_trace_live_next(t->live, rec)
				   : fa_trace_reader_next(t->reader, rec);
	int e;

	if (more <= 0 || t->live == NULL)
		return more;
	e = fa_api_take_record(t, rec);
	return e == -ENOMEM ? e : 1;
}

static bool is_events(unsigned tag)
{
	return tag == FA_TAG_EVENTS || tag == FA_TAG_CALLS;
}

/* What the caller's header says ends there, where it is older. */
enum { OLD_EVENT = offsetof(struct fa_trace_event, old_bytes) };

/* late: kinds that came later, too */
static int next_event(struct fa_trace *t, bool late, struct fa_trace_event *ret)
{
	struct fa_trace_record rec;
	int e;

	if (t->left != 0 && next_of_events(t, ret))
		return 1;
	while ((e = next_record(t, &rec)) > 0) {
		if (!late && (rec.tag == FA_TAG_CALLS || rec.tag == FA_TAG_EXTENTS))
			continue;
		if (is_events(rec.tag) ? begin_events(t, &rec) && next_of_events(t, ret)
				       : from_record(t, &rec, ret))
			return 1;
	}
	return e;
}

int fa_trace_next(struct fa_trace *t, struct fa_trace_event *ret)
{
	struct fa_trace_damage damage;
	struct fa_trace_event event;
	uint32_t size = ret->size;
	int e = size == OLD_EVENT ? FA_OK : check_size(size, sizeof(*ret));

	if (e != FA_OK)
		return e;
	e = next_event(t, size != OLD_EVENT, &event);
	if (e > 0) {
		memcpy(ret, &event, size);
		ret->size = size;
		return FA_OK;
	}
	if (e < 0)
		return fa_api_fail_trace(e, t->path);
	damage = t->live != NULL ? fa_trace_live_damage(t->live) : fa_trace_reader_damage(t->reader);
	if (damage.damaged)
		return fa_api_fail(FA_ERROR_BAD_DATA, "%s: damaged at byte %llu (%s)", t->path,
				   (unsigned long long)damage.offset, damage.what);
	return fa_api_fail(FA_ERROR_NO_MORE, "%s: %s", t->path,
			   t->live != NULL ? "nothing more at the moment" : "the end");
}

int fa_trace_rewind(struct fa_trace *t)
{
	struct fa_trace_reader *again;
	int r;

	if (t->live != NULL)
		return fa_api_fail(FA_ERROR_NOT_SUPPORTED, "%s: what comes live is there once", t->path);
	r = fa_trace_reader_open(t->path, &again);
	if (r < 0)
		return fa_api_fail_trace(r, t->path);
	fa_trace_reader_free(t->reader);
	t->reader = again;
	t->left = 0;
	for (size_t i = 0; i < t->model.process_count; i++)
		t->model.processes[i]->selected = t->model.processes[i]->finished = false;
	for (size_t i = 0; i < t->model.thread_count; i++)
		t->model.threads[i]->selected = false;
	return FA_OK;
}

/* ---- stacks ---- */

int fa_trace_stack(struct fa_trace *t, uint32_t process, uint32_t stack, uint32_t flags,
		   struct fa_stack_frame *frames, uint32_t room, uint32_t *ret_count)
{
	const struct fa_process *p = fa_model_process(&t->model, process);
	struct fa_resolver **r = &t->resolver[(flags & FA_STACK_WHOLE) != 0];
	struct fa_frame *found = NULL;
	uint32_t marks, chain;
	size_t count = 0;
	int e = 0;

	*ret_count = 0;
	if ((flags & ~(uint32_t)FA_STACK_WHOLE) != 0)
		return fa_api_fail(FA_ERROR_INVALID_FLAGS, "flags: no such bits");
	if (p == NULL || stack == 0 || room == 0)
		return FA_OK;
	if (*r == NULL)
		e = fa_resolver_new(t->symbols, (flags & FA_STACK_WHOLE) == 0, r);
	if (e == 0) {
		chain = fa_resolver_chain(*r, p->arena, stack);
		e = fa_resolver_frames(*r, chain, room, &found, &count, &marks);
	}
	if (e < 0)
		return fa_api_fail_trace(e, t->path);
	for (size_t i = 0; i < count; i++)
		frames[i] = (struct fa_stack_frame){
			.function = found[i].function,
			.file = found[i].file,
			.module = found[i].module,
			.offset = found[i].offset,
			.line = found[i].line,
			.inlined = found[i].inlined,
		};
	free(found);
	*ret_count = (uint32_t)count;
	return FA_OK;
}
