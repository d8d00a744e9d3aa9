/*
 * trace_builder.h - small traces for unit tests: written with the real writer, read by path.
 *
 * Stamps are nanoseconds (clock source MONOTONIC), so tests speak of times as they are.
 */
#ifndef FA_TRACE_BUILDER_H
#define FA_TRACE_BUILDER_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/event_format.h"
#include "trace/writer.h"

struct trace_builder {
	char path[64];
	int fd;
	struct fa_trace_writer *writer;
	uint64_t passes;
	int failed; /* calls that did not succeed */
};

/* The stream of one thread: events are gathered, then put as one EVENTS record. */
struct stream_builder {
	struct trace_builder *trace;
	uint32_t process;
	uint32_t thread;
	uint32_t offset; /* of the next byte in the buffer */
	uint64_t lost_before;
	uint32_t count;
	uint32_t len;
	struct fa_event_state state, first;
	unsigned char bytes[1 << 16];
};

static inline void tb_put(struct trace_builder *b, unsigned tag, const void *head, size_t head_len,
			  const void *tail, size_t tail_len)
{
	b->failed += fa_trace_write(b->writer, tag, head, head_len, tail, tail_len, NULL, 0) < 0;
}

static inline void tb_clock(struct trace_builder *b, uint64_t ns)
{
	const struct fa_rec_clock c = {.stamp = ns, .mono_ns = ns, .real_ns = ns};

	tb_put(b, FA_TAG_CLOCK, &c, sizeof(c), NULL, 0);
}

static inline void tb_open(struct trace_builder *b)
{
	const struct fa_trace_writer_options o = {.codec = FA_CODEC_LZ4};
	const struct fa_rec_machine m = {
		.cpus = 1, .clock_source = FA_CLOCK_MONOTONIC, .clock_hz = 1000000000};
	static const char strings[] = "Linux\0 6.1\0 v\0 x86_64\0 here\0 boot\0 0";

	*b = (struct trace_builder){.path = "/tmp/fa-trace-XXXXXX"};
	b->fd = mkstemp(b->path);
	b->failed += fa_trace_writer_open(b->fd, &o, &b->writer) < 0;
	tb_put(b, FA_TAG_MACHINE, &m, sizeof(m), strings, sizeof(strings));
	tb_clock(b, 0);
}

static inline void tb_close(struct trace_builder *b, uint64_t end_ns)
{
	const struct fa_rec_end end = {.stamp = end_ns};

	tb_clock(b, end_ns);
	b->failed += fa_trace_writer_end(b->writer, &end, "") < 0;
	fa_trace_writer_free(b->writer);
	(void)close(b->fd);
}

static inline void tb_pass(struct trace_builder *b, uint64_t stamp)
{
	const struct fa_rec_pass p = {.stamp = stamp, .number = b->passes++};

	tb_put(b, FA_TAG_PASS, &p, sizeof(p), NULL, 0);
}

/* Fields that the caller left 0: fork_thread is then thread 0. */
static inline void tb_process(struct trace_builder *b, const struct fa_rec_process *p,
			      const char *exe)
{
	char strings[300] = {0};

	memcpy(strings, exe, strlen(exe)); /* the other three are empty */
	tb_put(b, FA_TAG_PROCESS, p, sizeof(*p), strings, strlen(exe) + 4);
}

static inline void tb_end_process(struct trace_builder *b, uint32_t process, uint64_t stamp)
{
	const struct fa_rec_process_end e = {.process = process, .stamp = stamp};

	tb_put(b, FA_TAG_PROCESS_END, &e, sizeof(e), NULL, 0);
}

static inline void tb_thread(struct trace_builder *b, uint32_t process, uint32_t thread, int tid,
			     const char *name)
{
	const struct fa_rec_thread t = {.process = process, .thread = thread, .tid = tid};

	tb_put(b, FA_TAG_THREAD, &t, sizeof(t), name, strlen(name) + 1);
}

static inline void tb_module(struct trace_builder *b, uint32_t arena, uint32_t module,
			     uint64_t base, const char *path, const void *build_id,
			     uint32_t build_id_len)
{
	const struct fa_rec_module m = {.arena = arena,
					.module = module,
					.base = base,
					.end = base + 0x100000,
					.bias = base,
					.build_id_len = build_id_len};
	char tail[400];

	memcpy(tail, build_id, build_id_len);
	memcpy(tail + build_id_len, path, strlen(path) + 1);
	tb_put(b, FA_TAG_MODULE, &m, sizeof(m), tail, build_id_len + strlen(path) + 1);
}

static inline void tb_node(struct trace_builder *b, uint32_t arena, uint32_t id, uint32_t parent,
			   uint64_t pc, uint32_t module, uint32_t marks)
{
	const struct fa_rec_nodes n = {.arena = arena, .first = id, .count = 1};
	const struct fa_arena_node node = {
		.pc = pc | (uint64_t)module << 48, .parent = parent, .marks = marks};

	tb_put(b, FA_TAG_NODES, &n, sizeof(n), &node, sizeof(node));
}

static inline void tb_lost(struct trace_builder *b, uint32_t process, uint64_t count)
{
	const struct fa_rec_lost l = {
		.process = process, .cause = FA_LOST_NO_BUFFER, .count = count};

	tb_put(b, FA_TAG_LOST, &l, sizeof(l), NULL, 0);
}

static inline void sb_init(struct stream_builder *s, struct trace_builder *b, uint32_t process,
			   uint32_t thread)
{
	memset(s, 0, offsetof(struct stream_builder, bytes));
	s->trace = b;
	s->process = process;
	s->thread = thread;
}

static inline void sb_flush(struct stream_builder *s)
{
	const struct fa_rec_events e = {.process = s->process,
					.thread = s->thread,
					.buffer_offset = s->offset - s->len,
					.count = s->count,
					.lost_before = s->lost_before,
					.codec = FA_EVENT_CODEC,
					.state = s->first};

	if (s->len != 0)
		tb_put(s->trace, FA_TAG_EVENTS, &e, sizeof(e), s->bytes, s->len);
	s->first = s->state;
	s->len = s->count = 0;
}

static inline void sb_took(struct stream_builder *s, unsigned len, uint32_t events)
{
	s->len += len;
	s->offset += len;
	s->count += events;
	if (s->len > sizeof(s->bytes) - 128)
		sb_flush(s);
}

static inline void sb_alloc(struct stream_builder *s, uint64_t stamp, uint64_t addr, uint64_t size,
			    uint32_t stack)
{
	sb_took(s,
		fa_event_put_alloc(s->bytes + s->len, &s->state, addr, size, stamp, stack != 0,
				   stack),
		1);
}

/* stamp 0: none. */
static inline void sb_free(struct stream_builder *s, uint64_t stamp, uint64_t addr)
{
	sb_took(s, fa_event_put_free(s->bytes + s->len, &s->state, addr, stamp, 0, 0), 1);
}

static inline void sb_realloc(struct stream_builder *s, uint64_t stamp, uint64_t old, uint64_t addr,
			      uint64_t size, uint32_t stack)
{
	sb_took(s,
		fa_event_put_realloc(s->bytes + s->len, &s->state, old, addr, size, stamp,
				     stack != 0, stack, 0),
		1);
}

static inline void sb_stamp(struct stream_builder *s, uint64_t stamp)
{
	sb_took(s, fa_event_put_stamp(s->bytes + s->len, &s->state, stamp), 0);
}

#endif
