/*
 * fuzz_trace - arbitrary bytes as a trace file, the events in it, their replay, and the C library.
 * libs: api report symbols analysis client collector trace format base
 *
 * A checksum would stop nearly every input at the first block, so the checksums of the input are
 * made right first, as far as its blocks can be followed; the first byte says whether.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "analysis/replay.h"
#include "firstalloc.h"
#include "format/hash.h"
#include "trace/clock.h"
#include "trace/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend_checksums(unsigned char *p, size_t size)
{
	struct fa_trace_header header;
	struct fa_block_header block;
	uint64_t sequence = 0;

	if (size < sizeof(header))
		return;
	memcpy(&header, p, sizeof(header));
	header.checksum = fa_hash64(&header, offsetof(struct fa_trace_header, checksum), 0);
	memcpy(p, &header, sizeof(header));
	for (size_t at = sizeof(header); size - at >= sizeof(block);) {
		memcpy(&block, p + at, sizeof(block));
		if (block.stored_size > size - at - sizeof(block))
			return;
		block.sequence = sequence++;
		block.checksum = fa_hash64(&block, offsetof(struct fa_block_header, checksum), 0);
		block.checksum =
			fa_hash64(p + at + sizeof(block), block.stored_size, block.checksum);
		memcpy(p + at, &block, sizeof(block));
		at += sizeof(block) + block.stored_size;
	}
}

static void read_events(const struct fa_trace_record *rec)
{
	struct fa_event_state st = ((const struct fa_rec_events *)rec->head)->state;
	const unsigned char *p = rec->tail;
	struct fa_event e;

	for (size_t left = rec->tail_len; left > 0;) {
		int n = fa_event_get(p, left, &st, &e);

		if (n <= 0)
			return;
		p += n;
		left -= (size_t)n;
	}
}

static void read_trace(struct fa_trace_reader *r)
{
	struct fa_trace_clock clock = {0};
	struct fa_trace_record rec;

	while (fa_trace_reader_next(r, &rec)) {
		if (rec.tag == FA_TAG_EVENTS)
			read_events(&rec);
		else if (rec.tag == FA_TAG_CLOCK)
			fa_trace_clock_add(&clock, rec.head);
		else if (rec.tag == FA_TAG_MACHINE)
			fa_trace_clock_machine(&clock, rec.head);
		while (rec.tail_len != 0 && fa_trace_string(&rec.tail, &rec.tail_len)[0] != 0)
			continue;
	}
	(void)fa_trace_clock_mono_ns(&clock, rec.block_offset);
	if (fa_trace_reader_position(r) > fa_trace_reader_size(r))
		abort();
}

/* What is counted in two ways must agree, however senseless the events are. */
static void replay(int fd)
{
	const struct fa_replay_options o = {0};
	struct fa_replay *r = NULL;
	uint64_t events = 0;
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fa_replay_run(path, &o, &r) < 0)
		return;
	for (size_t i = 0; i < r->model.process_count; i++)
		events += fa_event_sum(&r->model.processes[i]->events);
	if (events != fa_event_sum(&r->events) ||
	    r->total.blocks > r->events.alloc + r->events.realloc ||
	    r->total.blocks != r->of[FA_AIFI].blocks + r->of[FA_AIFO].blocks)
		abort();
	fa_replay_free(r);
}

/* Twice the same, and never more events than it says. No names: files of the machine are no input. */
static void read_by_library(int fd)
{
	struct fa_trace_info info = {.size = sizeof(info)};
	struct fa_trace_event e = {.size = sizeof(e)};
	struct fa_trace *t;
	uint64_t events[2] = {0};
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fa_trace_open(path, &t) != FA_OK)
		return;
	for (int i = 0; i < 2; i++) {
		while (fa_trace_next(t, &e) == FA_OK)
			events[i] += e.kind <= FA_EVENT_FREE;
		if (fa_trace_rewind(t) != FA_OK)
			abort();
	}
	if (fa_trace_get_info(t, &info) != FA_OK || events[0] != events[1] ||
	    events[0] > info.events)
		abort();
	fa_trace_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fa_trace_reader *r = NULL;
	unsigned char *copy;
	int fd;

	if (size < 1)
		return 0;
	copy = malloc(size);
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (copy == NULL || fd < 0)
		abort();
	memcpy(copy, data + 1, size - 1);
	if (data[0] & 1)
		mend_checksums(copy, size - 1);
	if (write(fd, copy, size - 1) != (ssize_t)(size - 1))
		abort();
	free(copy);
	replay(fd);
	read_by_library(fd);
	if (fa_trace_reader_open_fd(fd, &r) == 0)
		read_trace(r);
	fa_trace_reader_free(r);
	return 0;
}
