/*
 * bench_drain.c - what an event costs the collector, in CPU time: N synthetic events (default 10 M) go
 * through an arena, drained each time its pool is full; once thrown away, once into a trace file.
 * Only the drain is timed, not the writing into the arena.
 *
 * libs: collector trace format base
 */
#include <fcntl.h>
#include <stdio.h>

#include "../unit/fake_shim.h"
#include "base/clock.h"
#include "trace/writer.h"

enum { BURST = 60 }; /* buffers between two drains, of about 72 */

static int write_trace(void *ctx, unsigned tag, const void *head, size_t head_len, const void *tail,
		       size_t tail_len, const void *tail2, size_t tail2_len)
{
	return fa_trace_write(ctx, tag, head, head_len, tail, tail_len, tail2, tail2_len);
}

static uint64_t random_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Half allocations, half frees, of a few thousand places and stacks: like a busy program. */
static uint64_t fill(struct fake_writer *w, uint64_t *x, uint64_t most, uint64_t *stamp)
{
	uint64_t n = 0;
	uint32_t first = w->seq;

	while (n < most && w->seq - first <= BURST) {
		uint64_t r = random_next(x), addr = 0x555555000000 + (r & 0xfff) * 48;

		*stamp += 40 + (r >> 40 & 63);
		if (!fake_alloc(w, addr, 16 + (r >> 20 & 255), *stamp, 1 + (r >> 32 & 1023)))
			break;
		fake_commit(w, fa_event_put_free(fake_place(w), &w->state, addr ^ 48, 0, 0, 0));
		n += 2;
	}
	fake_full(w);
	return n;
}

static uint64_t measure(const struct fa_sink *sink, uint64_t events)
{
	struct fake f = fake_new(FA_ARENA_MAX0);
	struct fake_writer w = fake_writer(&f, 0, 0, getpid());
	uint64_t x = 88172645463325252ULL, stamp = 1000, done = 0, ns = 0;

	if (fake_adopt(&f) < 0)
		return 0;
	while (done < events) {
		uint64_t n = fill(&w, &x, events - done, &stamp), before;

		before = fa_clock_ns(CLOCK_THREAD_CPUTIME_ID);
		if (n == 0 || fa_family_drain(f.family, sink) < 0)
			break;
		ns += fa_clock_ns(CLOCK_THREAD_CPUTIME_ID) - before;
		done += n;
	}
	fake_done(&f);
	return done < events ? 0 : ns;
}

int main(int argc, char **argv)
{
	uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000, ns;
	static const char *const names[] = {"raw", "lz4", "zstd"};

	ns = measure(NULL, events);
	printf("drain: %.2f ns an event\n", (double)ns / (double)events);
	for (uint32_t codec = FA_CODEC_RAW; codec <= FA_CODEC_ZSTD; codec++) {
		struct fa_trace_writer_options o = {.codec = codec};
		struct fa_trace_writer *writer;
		struct fa_sink sink = {write_trace, NULL};
		int fd = open("/dev/shm", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

		if (fd < 0 || fa_trace_writer_open(fd, &o, &writer) < 0)
			return 1;
		sink.ctx = writer;
		ns = measure(&sink, events);
		printf("drain and write (%s): %.2f ns and %.2f bytes an event\n", names[codec],
		       (double)ns / (double)events,
		       (double)fa_trace_writer_bytes(writer) / (double)events);
		fa_trace_writer_free(writer);
		(void)close(fd);
	}
	return 0;
}
