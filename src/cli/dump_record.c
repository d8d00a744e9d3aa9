/*
 * dump_record.c - one trace record as a line: "time kind key=value ..." or a JSON object with the
 * same keys. Each kind of record has one function, which says its fields once for both: that makes it long.
 *
 * Strings come from traced programs: what could move a terminal's cursor is escaped.
 */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "cli/dump_internal.h"

static const char *word(const char *const *words, unsigned count, unsigned number)
{
	return number < count ? words[number] : "?";
}
#define WORD(words, number) word(words, sizeof(words) / sizeof((words)[0]), number)

static const char *const origins[] = {"exec", "fork", "woken"};
static const char *const clock_sources[] = {"tsc", "monotonic"};
static const char *const policies[] = {"wait", "count"};
static const char *const gone_reasons[] = {"ended", "session-ended", "taken-out"};
static const char *const end_reasons[] = {"stopped", "size-limit", "disk", "write-error",
					  "target-ended", "written-limit", "saved", "next-file", "stop-at"};

const char *fa_dump_event_name(unsigned kind)
{
	static const char *const names[] = {NULL, "free", "alloc", "realloc", "stamp", "call"};

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : NULL;
}

const char *fa_dump_tag_name(unsigned tag)
{
	static char name[32];
	const char *upper = fa_trace_tag_name(tag);
	size_t i;

	for (i = 0; upper[i] != '\0' && i + 1 < sizeof(name); i++)
		name[i] = (char)tolower((unsigned char)upper[i]);
	name[i] = '\0';
	return name;
}

/* --- a line and its fields --- */

static void u64(struct fa_dump *d, const char *key, uint64_t value)
{
	if (d->json)
		fa_json_u64(&d->j, key, value);
	else
		(void)fprintf(d->out, " %s=%" PRIu64, key, value);
}

static void i64(struct fa_dump *d, const char *key, int64_t value)
{
	if (d->json)
		fa_json_i64(&d->j, key, value);
	else
		(void)fprintf(d->out, " %s=%" PRId64, key, value);
}

static void hex(struct fa_dump *d, const char *key, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "0x%" PRIx64, value);
	if (d->json)
		fa_json_string(&d->j, key, text);
	else
		(void)fprintf(d->out, " %s=%s", key, text);
}

static void yes(struct fa_dump *d, const char *key)
{
	if (d->json)
		fa_json_bool(&d->j, key, true);
	else
		(void)fprintf(d->out, " %s", key);
}

static void text(struct fa_dump *d, const char *key, const char *value)
{
	if (d->json) {
		fa_json_string(&d->j, key, value);
		return;
	}
	(void)fprintf(d->out, " %s=\"", key);
	for (const unsigned char *s = (const unsigned char *)value; *s != '\0'; s++) {
		if (*s < 0x20 || *s == 0x7f || (*s >= 0x80 && *s < 0xa0))
			(void)fprintf(d->out, "\\x%02x", *s);
		else if (*s == '"' || *s == '\\')
			(void)fprintf(d->out, "\\%c", *s);
		else
			(void)fputc(*s, d->out);
	}
	(void)fputc('"', d->out);
}

/* A word of ours. */
static void name(struct fa_dump *d, const char *key, const char *value)
{
	if (d->json)
		fa_json_string(&d->j, key, value);
	else
		(void)fprintf(d->out, " %s=%s", key, value);
}

static void string(struct fa_dump *d, const char *key, struct fa_trace_record *rec)
{
	text(d, key, fa_trace_string(&rec->tail, &rec->tail_len));
}

static int64_t since_start(const struct fa_dump *d, uint64_t stamp)
{
	return (int64_t)(fa_trace_clock_mono_ns(&d->clock, stamp) - (uint64_t)d->start_ns);
}

static bool in_range(const struct fa_dump *d, uint64_t stamp)
{
	int64_t ns = since_start(d, stamp);

	return (d->range_lo == 0 || ns >= (int64_t)d->range_lo) &&
	       (ns < 0 || (uint64_t)ns < d->range_hi);
}

/* The line begins: with the time of `stamp`, if there is one. */
static void begin(struct fa_dump *d, const char *kind, const uint64_t *stamp)
{
	int64_t ns = stamp != NULL ? since_start(d, *stamp) : 0;
	uint64_t magnitude = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	char when[32] = "-";

	if (d->json) {
		fa_json_object(&d->j, NULL);
		fa_json_string(&d->j, "record", kind);
		if (stamp != NULL)
			fa_json_i64(&d->j, "time_ns", ns);
		return;
	}
	if (stamp != NULL)
		(void)snprintf(when, sizeof(when), "%s%" PRIu64 ".%09" PRIu64, ns < 0 ? "-" : "",
			       magnitude / 1000000000, magnitude % 1000000000);
	(void)fprintf(d->out, "%16s %-11s", when, kind);
}

static void end(struct fa_dump *d)
{
	if (!d->json) {
		(void)fputc('\n', d->out);
		return;
	}
	fa_json_end_object(&d->j);
	fa_json_newline(&d->j);
}

static void thread_of(struct fa_dump *d, uint32_t thread)
{
	u64(d, "thread", thread & 0x7fffffff);
	if (thread >> 31)
		yes(d, "nested");
}

/* --- records --- */

static void MACHINE(struct fa_dump *d, const struct fa_rec_machine *r, struct fa_trace_record *rec)
{
	begin(d, "machine", NULL);
	u64(d, "cpus", r->cpus);
	u64(d, "page_size", r->page_size);
	u64(d, "memory_bytes", r->memory_bytes);
	name(d, "clock", WORD(clock_sources, r->clock_source));
	u64(d, "clock_hz", r->clock_hz);
	string(d, "system", rec);
	string(d, "release", rec);
	string(d, "version", rec);
	string(d, "machine", rec);
	string(d, "host", rec);
	string(d, "boot_id", rec);
	string(d, "firstalloc", rec);
}

/* Nothing, or by an older version, which did not say. */
static void asked_for(struct fa_dump *d, const char *key, uint32_t value)
{
	if (value != 0)
		u64(d, key, value);
}

static void SESSION(struct fa_dump *d, const struct fa_rec_session *r, struct fa_trace_record *rec)
{
	begin(d, "session", NULL);
	string(d, "name", rec);
	u64(d, "start_real_ns", r->start_real);
	u64(d, "uid", r->uid);
	u64(d, "buffer_size", r->buffer_size);
	u64(d, "minimum_buffers", r->minimum_buffers);
	u64(d, "maximum_buffers", r->maximum_buffers);
	u64(d, "flush_timer", r->flush_timer);
	hex(d, "log_file_mode", r->log_file_mode);
	u64(d, "maximum_file_size", r->maximum_file_size);
	asked_for(d, "requested_buffer_size", r->requested_buffer_size);
	asked_for(d, "requested_minimum_buffers", r->requested_minimum_buffers);
	asked_for(d, "requested_maximum_buffers", r->requested_maximum_buffers);
	asked_for(d, "requested_flush_timer", r->requested_flush_timer);
	name(d, "policy", WORD(policies, r->policy));
	if (r->autologger)
		yes(d, "autologger");
	string(d, "options", rec);
}

static void CLOCK(struct fa_dump *d, const struct fa_rec_clock *r, struct fa_trace_record *rec)
{
	(void)rec;
	begin(d, "clock", &r->stamp);
	u64(d, "stamp", r->stamp);
	u64(d, "mono_ns", r->mono_ns);
	u64(d, "real_ns", r->real_ns);
}

static void PROCESS(struct fa_dump *d, const struct fa_rec_process *r, struct fa_trace_record *rec)
{
	begin(d, "process", &r->start_stamp);
	u64(d, "process", r->process);
	u64(d, "arena", r->arena);
	i64(d, "pid", r->pid);
	i64(d, "parent_pid", r->parent_pid);
	u64(d, "parent", r->parent);
	name(d, "origin", WORD(origins, r->origin));
	u64(d, "uid", r->uid);
	u64(d, "gid", r->gid);
	if (r->origin == FA_ORIGIN_FORK && r->fork_thread != ~0u) {
		u64(d, "fork_thread", r->fork_thread & 0x7fffffff);
		u64(d, "fork_buffer", r->fork_buffer_seq);
		u64(d, "fork_offset", r->fork_offset);
	}
	hex(d, "flags", r->tracing_flags);
	u64(d, "rule", r->rule_id);
	u64(d, "depth", r->depth);
	hex(d, "stacks", r->stacks);
	u64(d, "stamp_mode", r->stamp_mode);
	if (r->incomplete)
		yes(d, "incomplete");
	string(d, "exe", rec);
	string(d, "executed", rec);
	string(d, "cgroup", rec);
	string(d, "arguments", rec);
}

static void PROCESS_END(struct fa_dump *d, const struct fa_rec_process_end *r,
			struct fa_trace_record *rec)
{
	(void)rec;
	begin(d, "process_end", &r->stamp);
	u64(d, "process", r->process);
	name(d, "reason", WORD(gone_reasons, r->reason));
	if (r->status == -1)
		return;
	i64(d, "status", r->status);
	if ((r->status & 0x7f) != 0)
		i64(d, "signal", r->status & 0x7f);
	else
		i64(d, "exit", r->status >> 8 & 0xff);
}

static void THREAD(struct fa_dump *d, const struct fa_rec_thread *r, struct fa_trace_record *rec)
{
	begin(d, "thread", r->stamp != 0 ? &r->stamp : NULL);
	u64(d, "process", r->process);
	thread_of(d, r->thread);
	i64(d, "tid", r->tid);
	string(d, "name", rec);
}

static void MODULE(struct fa_dump *d, const struct fa_rec_module *r, struct fa_trace_record *rec)
{
	char id[2 * FA_BUILD_ID + 1] = "";

	begin(d, "module", &r->stamp);
	u64(d, "arena", r->arena);
	u64(d, "module", r->module);
	hex(d, "base", r->base);
	hex(d, "end", r->end);
	hex(d, "bias", r->bias);
	if (r->build_id_len > FA_BUILD_ID || r->build_id_len > rec->tail_len) {
		d->malformed++;
		yes(d, "malformed");
		return;
	}
	for (uint32_t i = 0; i < r->build_id_len; i++)
		(void)snprintf(id + 2 * (size_t)i, 3, "%02x", rec->tail[i]);
	rec->tail += r->build_id_len;
	rec->tail_len -= r->build_id_len;
	name(d, "build_id", id);
	string(d, "path", rec);
}

static void LOST(struct fa_dump *d, const struct fa_rec_lost *r, struct fa_trace_record *rec)
{
	(void)rec;
	begin(d, "lost", &r->stamp);
	u64(d, "process", r->process);
	name(d, "cause", fa_lost_cause_name(r->cause));
	u64(d, "count", r->count);
}

static void THREAD_LOST(struct fa_dump *d, const struct fa_rec_thread_lost *r, struct fa_trace_record *rec)
{
	(void)rec;
	begin(d, "thread-lost", &r->stamp);
	u64(d, "process", r->process);
	u64(d, "thread", r->thread);
	name(d, "cause", fa_lost_cause_name(r->cause));
	u64(d, "count", r->count);
}

static void PASS(struct fa_dump *d, const struct fa_rec_pass *r, struct fa_trace_record *rec)
{
	(void)rec;
	begin(d, "pass", &r->stamp);
	u64(d, "number", r->number);
}

static void COVERAGE(struct fa_dump *d, const struct fa_rec_coverage *r,
		     struct fa_trace_record *rec)
{
	begin(d, "coverage", NULL);
	i64(d, "pid", r->pid);
	u64(d, "uid", r->uid);
	name(d, "reason", fa_reason_name(r->reason));
	text(d, "text", fa_reason_text(r->reason));
	string(d, "image", rec);
}

static void END(struct fa_dump *d, const struct fa_rec_end *r, struct fa_trace_record *rec)
{
	begin(d, "end", &r->stamp);
	u64(d, "events", r->events);
	u64(d, "lost", r->lost);
	name(d, "reason", WORD(end_reasons, r->reason));
	if (r->error != 0)
		text(d, "error", strerror((int)r->error));
	string(d, "text", rec);
}

static void MARK(struct fa_dump *d, const struct fa_rec_mark *r, struct fa_trace_record *rec)
{
	begin(d, "mark", &r->stamp);
	string(d, "text", rec);
	u64(d, "uid", r->uid);
	i64(d, "pid", r->pid);
}

static void UPDATE(struct fa_dump *d, const struct fa_rec_update *r, struct fa_trace_record *rec)
{
	begin(d, "update", &r->stamp);
	string(d, "text", rec);
	u64(d, "uid", r->uid);
	i64(d, "pid", r->pid);
	hex(d, "changes", r->changes);
	u64(d, "flush_timer", r->flush_timer);
	u64(d, "maximum_buffers", r->maximum_buffers);
	hex(d, "stacks", r->stacks);
}

static void THREAD_END(struct fa_dump *d, const struct fa_rec_thread_end *r,
		       struct fa_trace_record *rec)
{
	(void)rec;
	begin(d, "thread_end", &r->stamp);
	u64(d, "process", r->process);
	thread_of(d, r->thread);
}

static void EXTENTS(struct fa_dump *d, const struct fa_rec_extents *r, struct fa_trace_record *rec)
{
	(void)rec;
	begin(d, "extents", &r->stamp);
	u64(d, "process", r->process);
	if (r->flags & FA_EXTENTS_UNREADABLE) {
		yes(d, "unreadable");
		return;
	}
	u64(d, "reserved", r->reserved);
	u64(d, "committed", r->committed);
	u64(d, "resident", r->resident);
	u64(d, "swapped", r->swapped);
}

static void SNAPSHOT(struct fa_dump *d, const struct fa_rec_snapshot *r, struct fa_trace_record *rec)
{
	(void)rec;
	begin(d, "snapshot", &r->stamp);
	u64(d, "process", r->process);
	i64(d, "since_ns", since_start(d, r->begin_stamp));
	u64(d, "took_ns", fa_trace_clock_mono_ns(&d->clock, r->stamp + r->took) -
				  fa_trace_clock_mono_ns(&d->clock, r->stamp));
	u64(d, "table_bytes", r->table_bytes);
	if (r->take != 0)
		u64(d, "take", r->take);
	if ((r->flags & FA_SNAPSHOT_POST_MORTEM) != 0)
		yes(d, "post_mortem");
	if ((r->flags & FA_SNAPSHOT_DEGRADED) != 0)
		u64(d, "refused", r->refused);
}

static void SNAPSHOT_END(struct fa_dump *d, const struct fa_rec_snapshot_end *r,
			 struct fa_trace_record *rec)
{
	(void)rec;
	begin(d, "snapshot_end", NULL);
	u64(d, "process", r->process);
	u64(d, "records", r->records);
	u64(d, "blocks", r->blocks);
	u64(d, "bytes", r->bytes);
	u64(d, "usable_bytes", r->usable_bytes);
}

/* One block: an element of "blocks" in JSON, a line of its own in text, with the time of its allocation. */
static void block(struct fa_dump *d, const struct fa_rec_blocks *r, const struct fa_trace_block *b)
{
	const uint64_t stamp = r->begin_stamp + b->since;

	if (d->json) {
		fa_json_object(&d->j, NULL);
		fa_json_i64(&d->j, "time_ns", since_start(d, stamp));
	} else {
		begin(d, "block", &stamp);
	}
	hex(d, "address", b->addr);
	u64(d, "size", b->size);
	if (b->usable != 0)
		u64(d, "usable", b->usable);
	u64(d, "stack", b->stack);
	if (b->thread != ~0u)
		u64(d, "thread", b->thread);
	if (d->json)
		fa_json_end_object(&d->j);
	else
		end(d);
}

static void BLOCKS(struct fa_dump *d, const struct fa_rec_blocks *r, struct fa_trace_record *rec)
{
	size_t there = rec->tail_len / sizeof(struct fa_trace_block);
	uint32_t count = r->count <= there ? r->count : (uint32_t)there;

	begin(d, "blocks", NULL);
	u64(d, "process", r->process);
	u64(d, "sequence", r->sequence);
	u64(d, "count", r->count);
	if (count < r->count) {
		d->malformed++;
		yes(d, "malformed");
	}
	if (d->json)
		fa_json_array(&d->j, "blocks");
	else
		end(d);
	for (uint32_t i = 0; i < count; i++) {
		struct fa_trace_block b;

		memcpy(&b, rec->tail + i * sizeof(b), sizeof(b));
		block(d, r, &b);
	}
	if (d->json) {
		fa_json_end_array(&d->j);
		end(d);
	}
}

/* One node: an element of "nodes" in JSON, a line of its own in text. */
static void node(struct fa_dump *d, uint32_t id, const struct fa_arena_node *n)
{
	if (d->json)
		fa_json_object(&d->j, NULL);
	else
		begin(d, "node", NULL);
	u64(d, "id", id);
	u64(d, "parent", n->parent);
	hex(d, "pc", FA_NODE_PC(n->pc));
	if (FA_NODE_MODULE(n->pc) != FA_MODULE_UNKNOWN)
		u64(d, "module", FA_NODE_MODULE(n->pc));
	if (n->marks & FA_NODE_TRUNCATED)
		yes(d, "truncated");
	if (n->marks & FA_NODE_CUT)
		yes(d, "cut");
	if (n->marks & FA_NODE_BROKEN)
		yes(d, "broken");
	if (n->marks & FA_NODE_SIGNAL)
		yes(d, "signal");
	if (d->json)
		fa_json_end_object(&d->j);
	else
		end(d);
}

static void NODES(struct fa_dump *d, const struct fa_rec_nodes *r, struct fa_trace_record *rec)
{
	size_t there = rec->tail_len / sizeof(struct fa_arena_node);
	uint32_t count = r->count <= there ? r->count : (uint32_t)there;

	begin(d, "nodes", NULL);
	u64(d, "arena", r->arena);
	u64(d, "first", r->first);
	u64(d, "count", r->count);
	if (count < r->count) {
		d->malformed++;
		yes(d, "malformed");
	}
	if (d->json)
		fa_json_array(&d->j, "nodes");
	else
		end(d);
	for (uint32_t i = 0; i < count; i++) {
		struct fa_arena_node n;

		memcpy(&n, rec->tail + i * sizeof(n), sizeof(n));
		node(d, r->first + i, &n);
	}
	if (d->json) {
		fa_json_end_array(&d->j);
		end(d);
	}
}

static void event(struct fa_dump *d, const struct fa_rec_events *r, const struct fa_event *e)
{
	begin(d, fa_dump_event_name(e->kind), &e->stamp);
	u64(d, "process", r->process);
	thread_of(d, r->thread);
	if (e->kind != FA_EV_STAMP) {
		if (e->kind == FA_EV_REALLOC)
			hex(d, "old_address", e->old);
		hex(d, "address", e->addr);
		if (e->kind != FA_EV_FREE)
			u64(d, "size", e->size);
		if (e->has_stack)
			u64(d, "stack", e->stack);
		if (e->kind == FA_EV_ALLOC)
			name(d, "function", fa_alloc_function_name(e->fn));
		else if (e->kind == FA_EV_REALLOC)
			name(d, "function", e->fn ? "reallocarray" : "realloc");
		if (e->align_log2 != 0)
			u64(d, "alignment", 1ULL << e->align_log2);
	}
	end(d);
}

/* Which of its values say something: see FA_CALLS. */
static void call(struct fa_dump *d, const struct fa_rec_events *r, const struct fa_event *e)
{
	begin(d, "call", &e->stamp);
	u64(d, "process", r->process);
	thread_of(d, r->thread);
	name(d, "function", fa_call_name(e->fn));
	hex(d, "address", e->addr);
	if (e->size != 0)
		u64(d, "size", e->size);
	if (e->old != 0)
		hex(d, "old_address", e->old);
	if (e->arg != 0)
		hex(d, "argument", e->arg);
	if (e->has_stack)
		u64(d, "stack", e->stack);
	end(d);
}

static void all_events(struct fa_dump *d, const struct fa_rec_events *r,
		       const struct fa_trace_record *rec)
{
	struct fa_event_state st = r->state;
	const unsigned char *p = rec->tail;
	size_t left = rec->tail_len;
	uint32_t count = 0;
	struct fa_event e;

	while (left > 0 && r->codec == FA_EVENT_CODEC) {
		int n = fa_event_get(p, left, &st, &e);

		if (n <= 0)
			break;
		if ((d->kinds & FA_DUMP_EVENT_BIT(e.kind)) && in_range(d, e.stamp))
			(e.kind == FA_EV_CALL ? call : event)(d, r, &e);
		count++;
		p += n;
		left -= (size_t)n;
	}
	if (left > 0 || count != r->count)
		d->malformed++;
}

static void EVENTS(struct fa_dump *d, const struct fa_rec_events *r, struct fa_trace_record *rec)
{
	if ((d->kinds & FA_DUMP_BIT(rec->tag)) && in_range(d, r->state.stamp)) {
		begin(d, fa_dump_tag_name(rec->tag), &r->state.stamp);
		u64(d, "process", r->process);
		thread_of(d, r->thread);
		u64(d, "buffer", r->buffer_seq);
		u64(d, "offset", r->buffer_offset);
		u64(d, "count", r->count);
		u64(d, "bytes", rec->tail_len);
		u64(d, "codec", r->codec);
		u64(d, "lost_before", r->lost_before);
		end(d);
	}
	all_events(d, r, rec);
}

static void CALLS(struct fa_dump *d, const struct fa_rec_events *r, struct fa_trace_record *rec)
{
	EVENTS(d, r, rec);
}

/* What defines something else is always in it. */
static bool happened_in_range(const struct fa_dump *d, const struct fa_trace_record *rec)
{
	switch (rec->tag) {
	case FA_TAG_CLOCK:
		return in_range(d, ((const struct fa_rec_clock *)rec->head)->stamp);
	case FA_TAG_PROCESS_END:
		return in_range(d, ((const struct fa_rec_process_end *)rec->head)->stamp);
	case FA_TAG_THREAD_END:
		return in_range(d, ((const struct fa_rec_thread_end *)rec->head)->stamp);
	case FA_TAG_LOST:
		return in_range(d, ((const struct fa_rec_lost *)rec->head)->stamp);
	case FA_TAG_THREAD_LOST:
		return in_range(d, ((const struct fa_rec_thread_lost *)rec->head)->stamp);
	case FA_TAG_EXTENTS:
		return in_range(d, ((const struct fa_rec_extents *)rec->head)->stamp);
	case FA_TAG_PASS:
		return in_range(d, ((const struct fa_rec_pass *)rec->head)->stamp);
	case FA_TAG_UPDATE:
		return in_range(d, ((const struct fa_rec_update *)rec->head)->stamp);
	case FA_TAG_MARK:
		return in_range(d, ((const struct fa_rec_mark *)rec->head)->stamp);
	case FA_TAG_SNAPSHOT:
		return in_range(d, ((const struct fa_rec_snapshot *)rec->head)->stamp);
	default:
		return true;
	}
}

void fa_dump_record(struct fa_dump *d, const struct fa_trace_record *rec)
{
	struct fa_trace_record copy = *rec;

	if (rec->tag == FA_TAG_EVENTS || rec->tag == FA_TAG_CALLS) {
		EVENTS(d, rec->head, &copy);
		return;
	}
	if (!(d->kinds & FA_DUMP_BIT(rec->tag)) || !happened_in_range(d, rec))
		return;
	switch (rec->tag) {
#define X(tag_name, number, type, what)                                                            \
	case (number):                                                                             \
		tag_name(d, rec->head, &copy);                                                     \
		break;
		FA_TRACE_RECORDS(X)
#undef X
	default:
		return;
	}
	if (rec->tag != FA_TAG_NODES && rec->tag != FA_TAG_BLOCKS)
		end(d);
}
