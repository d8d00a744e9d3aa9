/* test_circular.c - what survives needs nothing that did not. libs: trace format base */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "trace/reader.h"
#include "trace/writer.h"

enum { SIZE = 512 << 10, EVENTS_LEN = 3000 };

static const struct fa_trace_writer_options options = {
	.codec = FA_CODEC_LZ4, .block_size = 4096, .circular = true, .maximum_bytes = SIZE};

static int new_file(void)
{
	char path[] = "/tmp/firstalloc-circular.XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	return fd;
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_size : -1;
}

static void put(struct fa_trace_writer *w, unsigned tag, const void *head, size_t len,
		const char *text)
{
	CHECK(fa_trace_write(w, tag, head, len, text, strlen(text) + 1, NULL, 0) == 0);
}

static void define(struct fa_trace_writer *w, uint32_t id)
{
	struct fa_rec_process p = {.process = id, .arena = id, .pid = (int32_t)id};
	struct fa_rec_thread t = {.process = id, .tid = 7};
	struct fa_rec_module m = {.arena = id, .module = 1};
	struct fa_rec_nodes n = {.arena = id, .first = 1, .count = 1};
	const struct fa_arena_node node = {.pc = id};

	put(w, FA_TAG_PROCESS, &p, sizeof(p), "exe");
	put(w, FA_TAG_THREAD, &t, sizeof(t), "thread");
	put(w, FA_TAG_MODULE, &m, sizeof(m), "module");
	CHECK(fa_trace_write(w, FA_TAG_NODES, &n, sizeof(n), &node, sizeof(node), NULL, 0) == 0);
}

static void end_process(struct fa_trace_writer *w, uint32_t id)
{
	struct fa_rec_process_end e = {.process = id};

	CHECK(fa_trace_write(w, FA_TAG_PROCESS_END, &e, sizeof(e), NULL, 0, NULL, 0) == 0);
}

/* Events of process `id` that do not shrink, numbered from *at. */
static void events(struct fa_trace_writer *w, uint32_t id, uint32_t n, uint32_t *at)
{
	static unsigned char noise[EVENTS_LEN];

	for (uint32_t i = 0; i < n; i++) {
		struct fa_rec_events e = {.process = id, .buffer_seq = (*at)++};

		for (size_t k = 0; k < sizeof(noise); k++)
			noise[k] = (unsigned char)rand();
		CHECK(fa_trace_write(w, FA_TAG_EVENTS, &e, sizeof(e), noise, sizeof(noise), NULL,
				     0) == 0);
	}
}

struct seen {
	uint32_t events, first, next; /* of buffer_seq */
	bool in_order, whole;
	bool process[8], incomplete[8], thread[8], module[8], nodes[8], undefined;
	unsigned processes, sessions;
};

static void see(struct seen *s, const struct fa_trace_record *rec)
{
	uint32_t id;

	memcpy(&id, rec->head, sizeof(id));
	id &= 7;
	switch (rec->tag) {
	case FA_TAG_SESSION:
		s->sessions++;
		break;
	case FA_TAG_PROCESS:
		s->processes++;
		s->process[id] = true;
		s->incomplete[id] = ((const struct fa_rec_process *)rec->head)->incomplete != 0;
		break;
	case FA_TAG_THREAD:
		s->thread[id] = s->process[id];
		break;
	case FA_TAG_MODULE:
		s->module[id] = true;
		break;
	case FA_TAG_NODES:
		s->nodes[id] = true;
		break;
	case FA_TAG_EVENTS: {
		const struct fa_rec_events *e = rec->head;

		s->undefined |= !(s->thread[id] && s->module[id] && s->nodes[id]);
		if (s->events++ == 0)
			s->first = s->next = e->buffer_seq;
		s->in_order &= e->buffer_seq == s->next++;
		break;
	}
	}
}

static struct seen read_all(int fd)
{
	struct seen s = {.in_order = true};
	struct fa_trace_reader *r = NULL;
	struct fa_trace_record rec;
	struct fa_trace_damage d;

	CHECK(fa_trace_reader_open_fd(dup(fd), &r) == 0);
	if (r == NULL)
		return s;
	while (fa_trace_reader_next(r, &rec) == 1)
		see(&s, &rec);
	d = fa_trace_reader_damage(r);
	s.whole = !d.damaged && !d.cut;
	CHECK(!d.damaged);
	fa_trace_reader_free(r);
	return s;
}

static struct fa_trace_writer *begin(int fd)
{
	struct fa_trace_writer *w = NULL;
	struct fa_rec_session session = {0};

	CHECK(fa_trace_writer_open(fd, &options, &w) == 0);
	put(w, FA_TAG_SESSION, &session, sizeof(session), "name");
	return w;
}

static void finish(struct fa_trace_writer *w)
{
	struct fa_rec_end end = {0};

	CHECK(fa_trace_writer_end(w, &end, "") == 0);
	fa_trace_writer_free(w);
}

SPEC(what_fits_is_there_as_in_any_other_trace)
{
	int fd = new_file();
	struct fa_trace_writer *w = begin(fd);
	uint32_t at = 0;
	struct seen s;

	define(w, 1);
	events(w, 1, 100, &at);
	finish(w);
	s = read_all(fd);
	CHECK(s.events == 100 && s.first == 0 && s.in_order && s.whole && !s.undefined);
	CHECK(!s.incomplete[1] && s.processes == 1 && s.sessions == 1);
	close(fd);
}

SPEC(the_newest_survive_with_all_that_they_need)
{
	int fd = new_file();
	struct fa_trace_writer *w = begin(fd);
	uint32_t at = 0;
	struct seen s;

	define(w, 1);
	define(w, 2);
	events(w, 2, 10, &at);
	end_process(w, 2);
	fa_trace_writer_forget(w, 2);
	events(w, 1, 1000, &at);
	CHECK(size_of(fd) <= SIZE && fa_trace_writer_overwritten(w) > 100);
	finish(w);
	CHECK(size_of(fd) <= SIZE);
	s = read_all(fd);
	CHECK(s.next == 1010 && s.in_order && s.whole && !s.undefined);
	CHECK(s.events * (EVENTS_LEN + 100) > SIZE / 2 && s.events * EVENTS_LEN < SIZE);
	CHECK(s.incomplete[1] && s.processes == 1 && s.sessions == 1 && !s.process[2]);
	CHECK(!s.nodes[2]);
	close(fd);
}

/* At any number of events, also where a chunk was just begun: the last is the last written. */
SPEC(a_trace_that_is_still_written_reads_up_to_its_end)
{
	int fd = new_file();
	struct fa_trace_writer *w = begin(fd);
	uint32_t at = 0;

	define(w, 1);
	for (int i = 0; i < 300; i++) {
		struct seen s;

		events(w, 1, 1, &at);
		CHECK(fa_trace_writer_flush(w) == 0);
		s = read_all(fd);
		CHECK(s.next == at && s.in_order && !s.whole && !s.undefined);
	}
	fa_trace_writer_free(w);
	close(fd);
}

/* `later`: what its writer wrote after the mark. */
static void resume_after(uint32_t before, uint32_t later)
{
	int fd = new_file();
	struct fa_trace_writer *w = begin(fd);
	uint32_t at = 0, lost;
	uint64_t mark;
	struct seen s;

	define(w, 1);
	events(w, 1, before, &at);
	CHECK(fa_trace_writer_flush(w) == 0);
	mark = fa_trace_writer_mark(w);
	lost = at;
	events(w, 1, later, &lost);
	CHECK(fa_trace_writer_flush(w) == 0);
	fa_trace_writer_free(w); /* as a death would */
	CHECK(fa_trace_writer_resume(fd, &options, mark, &w) == 0);
	s = read_all(fd);
	CHECK(s.next == at && s.in_order && !s.undefined);
	events(w, 1, 1, &at);
	CHECK(fa_trace_writer_flush(w) == 0);
	s = read_all(fd);
	CHECK(s.next == at && s.in_order && !s.undefined);
	events(w, 1, 500, &at);
	finish(w);
	s = read_all(fd);
	CHECK(s.next == at && s.in_order && s.whole && !s.undefined && s.incomplete[1]);
	CHECK(s.events > 100);
	CHECK(fa_trace_writer_resume(fd, &options, UINT64_MAX, &w) == -EALREADY);
	close(fd);
}

SPEC(a_dead_writer_is_followed_from_any_mark)
{
	for (uint32_t before = 1; before < 300; before += 17) {
		resume_after(before, 0);
		resume_after(before, 3);
		resume_after(before, 60); /* over the end of a chunk */
	}
}

SPEC(definitions_that_do_not_fit_end_the_trace_properly)
{
	int fd = new_file(), e = 0;
	struct fa_trace_writer *w = begin(fd);
	static unsigned char noise[30000];
	struct fa_rec_end end = {0};
	struct seen s;

	define(w, 1);
	for (size_t k = 0; k < sizeof(noise); k++)
		noise[k] = (unsigned char)rand();
	for (int i = 0; i < 100 && e == 0; i++) {
		struct fa_rec_nodes n = {.arena = 1, .first = 2};

		e = fa_trace_write(w, FA_TAG_NODES, &n, sizeof(n), noise, sizeof(noise), NULL, 0);
	}
	CHECK(e == -E2BIG);
	CHECK(fa_trace_writer_end(w, &end, "") == 0);
	fa_trace_writer_free(w);
	s = read_all(fd);
	CHECK(s.whole);
	close(fd);
}

SPEC(a_geometry_that_is_damaged_is_refused)
{
	int fd = new_file();
	struct fa_trace_writer *w = begin(fd);
	struct fa_trace_reader *r = NULL;
	uint64_t size = 1;

	finish(w);
	CHECK(pwrite(fd, &size, sizeof(size), 64) == 8);
	CHECK(fa_trace_reader_open_fd(dup(fd), &r) == -EBADMSG);
	CHECK(fa_trace_writer_resume(fd, &options, UINT64_MAX, &w) == -EBADMSG);
	close(fd);
}

SPEC(a_size_that_is_too_small_is_refused)
{
	struct fa_trace_writer_options o = options;
	struct fa_trace_writer *w = NULL;
	int fd = new_file();

	o.maximum_bytes = 4 * FA_RING_CHUNK_MIN;
	CHECK(fa_trace_writer_open(fd, &o, &w) == -EINVAL && w == NULL);
	close(fd);
}

int main(void)
{
	RUN(what_fits_is_there_as_in_any_other_trace);
	RUN(the_newest_survive_with_all_that_they_need);
	RUN(a_trace_that_is_still_written_reads_up_to_its_end);
	RUN(a_dead_writer_is_followed_from_any_mark);
	RUN(definitions_that_do_not_fit_end_the_trace_properly);
	RUN(a_geometry_that_is_damaged_is_refused);
	RUN(a_size_that_is_too_small_is_refused);
	return TEST_RESULT();
}
