/*
 * bench_codec - what an event costs: to encode, to decode, to compress, to write and read; in ns and
 * bytes. libs: trace format base
 *
 * The stream imitates a program in which blocks die soon and in any order: sizes and call sites are
 * skewed, addresses come from a free list. Each number is the best of several rounds.
 */
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "base/clock.h"
#include "format/event_format.h"
#include "format/hash.h"
#include "trace/reader.h"
#include "trace/writer.h"

enum { EVENTS = 1 << 20, LIVE = 4096, ROUNDS = 7, CHUNK = 16320 };

struct call {
	uint64_t addr; /* 0 size: a free */
	uint64_t stamp;
	uint32_t size;
	uint32_t stack;
};

static struct call calls[EVENTS];
static unsigned char bytes[EVENTS * 16];
static size_t bytes_len;
static size_t chunk_at[EVENTS / 512]; /* where buffers begin */
static struct fa_event_state chunk_state[EVENTS / 512];
static unsigned chunks;

static uint64_t random_state = 88172645463325252u;

static uint64_t rnd(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static uint64_t skewed(uint64_t below)
{
	uint64_t n = rnd(below);

	return n * rnd(below) / below * rnd(below) / below;
}

static void imagine_calls(void)
{
	static uint64_t live[LIVE], spare[LIVE];
	unsigned n_live = 0, n_spare = 0;
	uint64_t top = 0x555555560000, stamp = 1000000;

	for (unsigned i = 0; i < EVENTS; i++) {
		struct call *c = &calls[i];

		stamp += 60 + skewed(600);
		c->stamp = stamp;
		if (n_live == LIVE || (n_live > LIVE / 2 && rnd(2))) {
			unsigned at = n_live - 1 - (unsigned)skewed(n_live);

			c->addr = spare[n_spare++ % LIVE] = live[at];
			live[at] = live[--n_live];
			continue;
		}
		c->size = 8 + (uint32_t)skewed(400);
		c->stack = 1 + (uint32_t)skewed(3000);
		if (n_spare > 0 && n_spare < LIVE) {
			c->addr = spare[--n_spare];
		} else {
			n_spare = 0;
			c->addr = top;
			top += (c->size + 23) & ~15ULL;
		}
		live[n_live++] = c->addr;
	}
}

/* As the shim does: buffers of CHUNK bytes, each with a state of its own. */
static void encode_all(void)
{
	struct fa_event_state st = {.stamp = calls[0].stamp};
	unsigned char *p = bytes, *end = bytes;

	chunks = 0;
	for (unsigned i = 0; i < EVENTS; i++) {
		const struct call *c = &calls[i];

		if (p + FA_EVENT_MAX + FA_EVENT_SLACK > end) {
			end = p + CHUNK;
			st = (struct fa_event_state){.stamp = c->stamp};
			chunk_at[chunks] = (size_t)(p - bytes);
			chunk_state[chunks++] = st;
		}
		p += c->size == 0
			     ? fa_event_put_free(p, &st, c->addr, 0, 0, 0)
			     : fa_event_put_alloc(p, &st, c->addr, c->size, c->stamp, 1, c->stack);
	}
	bytes_len = (size_t)(p - bytes);
	chunk_at[chunks] = bytes_len;
}

static uint64_t decode_all(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < chunks; i++) {
		struct fa_event_state st = chunk_state[i];
		const unsigned char *p = bytes + chunk_at[i];
		size_t left = chunk_at[i + 1] - chunk_at[i];
		struct fa_event e;

		while (left > 0) {
			int n = fa_event_get(p, left, &st, &e);

			if (n <= 0)
				exit(1);
			sum += e.addr;
			p += n;
			left -= (size_t)n;
		}
	}
	return sum;
}

static void write_trace(int fd, uint32_t codec)
{
	struct fa_trace_writer_options options = {.codec = codec};
	struct fa_rec_events events = {.process = 1, .codec = FA_EVENT_CODEC};
	struct fa_trace_writer *w = NULL;
	int r = ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
		fa_trace_writer_open(fd, &options, &w) < 0;

	for (unsigned i = 0; r == 0 && i < chunks; i++) {
		events.state = chunk_state[i];
		r = fa_trace_write(w, FA_TAG_EVENTS, &events, sizeof(events), bytes + chunk_at[i],
				   chunk_at[i + 1] - chunk_at[i], NULL, 0);
	}
	if (r != 0 || fa_trace_writer_end(w, &(struct fa_rec_end){0}, "") < 0)
		exit(1);
	fa_trace_writer_free(w);
}

static void read_trace(int fd)
{
	struct fa_trace_reader *r = NULL;
	struct fa_trace_record rec;
	size_t sum = 0;

	if (fa_trace_reader_open_fd(dup(fd), &r) < 0)
		exit(1);
	while (fa_trace_reader_next(r, &rec))
		sum += rec.tail_len;
	if (sum < bytes_len || fa_trace_reader_damage(r).cut)
		exit(1);
	fa_trace_reader_free(r);
}

static volatile uint64_t sink;

#define BEST_NS(statement)                                                                         \
	best = UINT64_MAX;                                                                         \
	for (int round = 0; round < ROUNDS; round++) {                                             \
		uint64_t begin = fa_mono_ns(), took;                                               \
                                                                                                   \
		statement;                                                                         \
		took = fa_mono_ns() - begin;                                                       \
		best = took < best ? took : best;                                                  \
	}

int main(void)
{
	static const char *const names[] = {"raw", "lz4", "zstd"};
	int fd = memfd_create("bench", MFD_CLOEXEC);
	uint64_t best;

	imagine_calls();
	BEST_NS(encode_all());
	printf("encode       %6.2f ns an event, %5.2f bytes\n", (double)best / EVENTS,
	       (double)bytes_len / EVENTS);
	BEST_NS(sink = decode_all());
	printf("decode       %6.2f ns an event\n", (double)best / EVENTS);
	BEST_NS(sink = fa_hash64(bytes, bytes_len, 0));
	printf("checksum     %6.2f ns an event\n", (double)best / EVENTS);
	for (uint32_t codec = FA_CODEC_RAW; codec <= FA_CODEC_ZSTD; codec++) {
		BEST_NS(write_trace(fd, codec));
		printf("write %-6s %6.2f ns an event, %5.2f bytes\n", names[codec],
		       (double)best / EVENTS, (double)lseek(fd, 0, SEEK_END) / EVENTS);
		BEST_NS(read_trace(fd));
		printf("read  %-6s %6.2f ns an event\n", names[codec], (double)best / EVENTS);
	}
	close(fd);
	return 0;
}
