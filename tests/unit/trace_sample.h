/*
 * trace_sample.h - a small trace that looks like a real one, the same at each call: two processes
 * (one forked from the other), two threads, modules, stacks, all kinds of events and of records.
 * For the tests of the reader and of `dump`, and for the golden file.
 */
#ifndef FA_TRACE_SAMPLE_H
#define FA_TRACE_SAMPLE_H

#include <string.h>

#include "format/event_format.h"
#include "format/trace_format.h"
#include "trace/writer.h"

enum { SAMPLE_NODES = 6, SAMPLE_START = 1000000000, SAMPLE_EVENT_BYTES = 4096 };

struct sample {
	struct fa_trace_writer *w;
	int error; /* of the first write that failed */
	uint64_t stamp;
	uint64_t random;
	uint64_t events;
};

static inline void sample_put(struct sample *s, unsigned tag, const void *head, size_t head_len,
			      const void *tail, size_t tail_len)
{
	if (s->error == 0)
		s->error = fa_trace_write(s->w, tag, head, head_len, tail, tail_len, NULL, 0);
}
#define SAMPLE_PUT(s, name, head, tail)                                                            \
	sample_put(s, FA_TAG_##name, &(head), sizeof(head), tail, sizeof(tail))

static inline uint64_t sample_random(struct sample *s, uint64_t below)
{
	s->random = s->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (s->random >> 33) % below;
}

static inline void sample_clock(struct sample *s)
{
	/* 2 GHz */
	struct fa_rec_clock clock = {
		.stamp = s->stamp,
		.mono_ns = 5000000000ULL + (s->stamp - SAMPLE_START) / 2,
		.real_ns = 1700000000000000000ULL + (s->stamp - SAMPLE_START) / 2,
	};

	sample_put(s, FA_TAG_CLOCK, &clock, sizeof(clock), NULL, 0);
}

static inline void sample_begin(struct sample *s)
{
	static const char machine_text[] = "Linux\0"
					   "6.1.0\0#1 SMP\0x86_64\0sample\0"
					   "00000000-1111-2222-3333-444444444444\0"
					   "0.1.0";
	static const char session_text[] = "daily\0-o daily.falloc --codec lz4";
	struct fa_rec_machine machine = {
		.cpus = 2, .page_size = 4096, .memory_bytes = 4ULL << 30, .clock_hz = 2000000000};
	struct fa_rec_session session = {
		.start_real = 1700000000000000000ULL,
		.uid = 1000,
		.buffer_size = 16384,
		.minimum_buffers = 2,
		.maximum_buffers = 64,
		.flush_timer = 1,
	};

	SAMPLE_PUT(s, MACHINE, machine, machine_text);
	SAMPLE_PUT(s, SESSION, session, session_text);
	sample_clock(s);
}

static inline void sample_process(struct sample *s, uint32_t process)
{
	static const char text[] = "/usr/bin/leaky\0./leaky\0/user.slice\0";
	static const char thread_text[] = "leaky", worker_text[] = "worker \"2\"";
	struct fa_rec_process p = {
		.process = process,
		.arena = 1,
		.pid = 4000 + (int32_t)process,
		.parent_pid = process == 1 ? 1 : 4001,
		.parent = process - 1,
		.origin = process == 1 ? FA_ORIGIN_EXEC : FA_ORIGIN_FORK,
		.uid = 1000,
		.gid = 1000,
		.start_stamp = s->stamp,
		.fork_thread = process == 1 ? ~0u : 0,
		.fork_offset = process == 1 ? 0 : 200,
		.tracing_flags = 1,
		.rule_id = 7,
		.depth = 64,
		.stacks = 7,
	};
	struct fa_rec_thread thread = {.process = process, .tid = p.pid};
	struct fa_rec_thread worker = {.process = process, .thread = 1, .tid = p.pid + 100};

	SAMPLE_PUT(s, PROCESS, p, text);
	SAMPLE_PUT(s, THREAD, thread, thread_text);
	SAMPLE_PUT(s, THREAD, worker, worker_text);
}

static inline void sample_objects(struct sample *s)
{
	/* a build id of 20 bytes, then the path */
	static const char text[] = "\x01\x23\x45\x67\x89\xab\xcd\xef"
				   "ABCDEFGHIJKL/usr/bin/leaky";
	struct fa_rec_module module = {
		.arena = 1,
		.base = 0x555555554000,
		.end = 0x555555560000,
		.bias = 0x555555554000,
		.stamp = s->stamp,
		.build_id_len = 20,
	};
	struct fa_rec_nodes nodes = {.arena = 1, .first = 1, .count = SAMPLE_NODES};
	struct fa_arena_node node[SAMPLE_NODES];

	for (uint32_t i = 0; i < SAMPLE_NODES; i++)
		node[i] = (struct fa_arena_node){.pc = 0x555555555000 + 64 * i, .parent = i};
	node[0].marks = FA_NODE_TRUNCATED;
	SAMPLE_PUT(s, MODULE, module, text);
	sample_put(s, FA_TAG_NODES, &nodes, sizeof(nodes), node, sizeof(node));
}

static inline unsigned sample_event(struct sample *s, struct fa_event_state *st, unsigned char *p)
{
	uint64_t addr = 0x555555561000 + 32 * sample_random(s, 4096);
	uint64_t size = 1 + sample_random(s, 200);
	uint32_t stack = 1 + (uint32_t)sample_random(s, SAMPLE_NODES);

	s->events++;
	s->stamp += 50 + sample_random(s, 300);
	switch (sample_random(s, 16)) {
	case 0:
		return fa_event_put_alloc_fn(p, st, addr, size * 100, s->stamp, 1, stack,
					     FA_FN_ALIGNED_ALLOC, 6);
	case 1:
		return fa_event_put_alloc_fn(p, st, addr, size, s->stamp, 1, stack, FA_FN_CALLOC,
					     0);
	case 2:
		return fa_event_put_realloc(p, st, addr, addr + 4096, size, s->stamp, 1, stack, 0);
	case 3:
		return fa_event_put_realloc(p, st, 0, addr, size, s->stamp, 1, stack, 1);
	case 4:
		return fa_event_put_stamp(p, st, s->stamp);
	case 5:
		return fa_event_put_free(p, st, addr, s->stamp, 1, stack);
	case 6:
	case 7:
	case 8:
	case 9:
		return fa_event_put_free(p, st, addr, 0, 0, 0);
	default:
		return fa_event_put_alloc(p, st, addr, size, s->stamp, 1, stack);
	}
}

static inline void sample_events(struct sample *s, uint32_t process, uint32_t thread, uint32_t seq,
				 uint32_t count)
{
	unsigned char bytes[SAMPLE_EVENT_BYTES];
	struct fa_event_state st = {.stamp = s->stamp};
	struct fa_rec_events events = {
		.process = process,
		.thread = thread,
		.buffer_seq = seq,
		.codec = FA_EVENT_CODEC,
		.state = st,
	};
	size_t len = 0;

	while (events.count < count && len + FA_EVENT_MAX + FA_EVENT_SLACK < sizeof(bytes)) {
		len += sample_event(s, &st, bytes + len);
		events.count++;
	}
	sample_put(s, FA_TAG_EVENTS, &events, sizeof(events), bytes, len);
}

/* Returns 0 or the first error of the writer; -E2BIG and -ENOSPC still get an END. */
static inline int sample_write(struct fa_trace_writer *w, uint32_t rounds, uint32_t events)
{
	static const char name[] = "busybox";
	struct sample s = {.w = w, .stamp = SAMPLE_START, .random = 42};
	struct fa_rec_lost lost = {.process = 1, .cause = FA_LOST_NO_BUFFER, .count = 3};
	struct fa_rec_coverage coverage = {.pid = 4711, .uid = 33, .reason = FA_REASON_STATIC};
	struct fa_rec_process_end gone = {.process = 1, .status = 9};
	struct fa_rec_mark mark = {.uid = 1000, .pid = 4003};
	struct fa_rec_thread_end thread_gone = {.process = 1, .thread = 1};
	static const char mark_text[] = "halfway";
	struct fa_rec_end end = {.lost = 3};
	int r;

	sample_begin(&s);
	sample_process(&s, 1);
	sample_objects(&s);
	for (uint32_t i = 0; i < rounds; i++) {
		struct fa_rec_pass pass = {.stamp = s.stamp, .number = i + 1};

		if (i == 1)
			sample_process(&s, 2);
		sample_events(&s, 1 + i % 2, 0, i / 2, events);
		sample_events(&s, 1, 1 | (i == 2 ? 1u << 31 : 0), i, events);
		sample_put(&s, FA_TAG_PASS, &pass, sizeof(pass), NULL, 0);
	}
	lost.stamp = gone.stamp = s.stamp += 2000000;
	mark.stamp = thread_gone.stamp = s.stamp;
	SAMPLE_PUT(&s, MARK, mark, mark_text);
	sample_put(&s, FA_TAG_THREAD_END, &thread_gone, sizeof(thread_gone), NULL, 0);
	sample_put(&s, FA_TAG_LOST, &lost, sizeof(lost), NULL, 0);
	SAMPLE_PUT(&s, COVERAGE, coverage, name);
	sample_put(&s, FA_TAG_PROCESS_END, &gone, sizeof(gone), NULL, 0);
	s.stamp += 400000000;
	sample_clock(&s);
	end.stamp = s.stamp;
	end.events = s.events;
	end.reason = s.error == -E2BIG ? 1 : s.error == -ENOSPC ? 2 : 0;
	r = fa_trace_writer_end(w, &end, "stopped by the user");
	return s.error != 0 ? s.error : r;
}

#endif
