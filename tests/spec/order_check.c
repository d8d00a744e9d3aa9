/*
 * order_check.c - a trace of tests/programs/order.c held against the table that the program wrote: built by
 * tests/spec/order.sh, with no part of firstalloc but its reader of traces.
 *
 *   order_check TRACE TABLE
 *
 * The table says in which order the program's calls happened. In that order, each call is looked up as the
 * next event of its thread. It must be of the kind and size that the table says; and
 *   - an allocation has a stamp of its own as soon as another thread has begun before it was called; until then
 *     one of eight; and that of the one before it else;
 *   - it is a stamp that is not before that of any which had returned when it was called;
 *   - it returns an address that is free, and its stamp is not before that of all earlier ones there, and not before
 *     the earliest moment of the free between them;
 *   - a free is that of a block that lives, of the size that the table says.
 * Prints "events N threads N bare N violations N" (bare: without a stamp), and the first of the violations.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <fcntl.h>

#include "format/event_format.h"
#include "trace/reader.h"

enum { MARKER = 100000, THREADS = 64, STREAMS = 1024 };
enum { LEAST = 900, MOST = 1156, BARE_MOST = 7 };
enum { BEFORE_ALLOC = 1, AFTER_ALLOC = 2, BEFORE_FREE = 3 };

struct entry {
	uint16_t size;
	uint8_t thread;
	uint8_t what;
};

struct record {
	struct record *next;
	size_t len, at;
	struct fa_event_state state;
	unsigned char bytes[];
};

struct stream {
	struct record *head, *tail;
	uint64_t floor;    /* stamp of what had returned when the call under way began */
	uint64_t earliest; /* of the event that was read last */
	unsigned bare;     /* allocations without a stamp since the last that had one */
	int alone;         /* nobody else had begun when the call under way began */
};

struct place { /* what is known of an address */
	uint64_t addr, stamp, freed;
	uint32_t size; /* 0: free */
	int library;   /* handed out to the C library, for a thread */
};

static struct fa_trace_reader *reader;
static struct stream *by_id[STREAMS], *of_thread[THREADS], all[STREAMS];
static struct place *places;
static const size_t places_mask = (1 << 22) - 1;
static unsigned long violations, events, bare;

static void die(const char *why)
{
	fprintf(stderr, "order_check: %s\n", why);
	exit(2);
}

static void violation(uint64_t ticket, const char *what, uint64_t a, uint64_t b)
{
	if (violations++ < 5)
		printf("ticket %lu: %s: %#lx, %#lx\n", ticket, what, a, b);
}

static void keep(struct stream *s, const struct fa_rec_events *head, const struct fa_trace_record *rec)
{
	struct record *r = malloc(sizeof(*r) + rec->tail_len);

	if (r == NULL)
		die("no memory");
	*r = (struct record){.len = rec->tail_len, .state = head->state};
	memcpy(r->bytes, rec->tail, rec->tail_len);
	if (s->head == NULL)
		s->head = r;
	else
		s->tail->next = r;
	s->tail = r;
}

/* The thread that the first event of a stream says to be, if any. */
static void name_stream(struct stream *s)
{
	struct fa_event_state state = s->head->state;
	struct fa_event ev;

	if (fa_event_get(s->head->bytes, s->head->len, &state, &ev) > 0 && ev.kind == FA_EV_ALLOC &&
	    ev.size >= MARKER && ev.size < MARKER + THREADS)
		of_thread[ev.size - MARKER] = s;
}

static int read_more(void)
{
	struct fa_trace_record rec;
	int r;

	while ((r = fa_trace_reader_next(reader, &rec)) > 0) {
		const struct fa_rec_events *head = rec.head;

		if (rec.tag != FA_TAG_EVENTS || rec.tail_len == 0)
			continue;
		if (head->thread >= STREAMS)
			die("a signal handler's events, or too many threads");
		if (by_id[head->thread] == NULL) {
			by_id[head->thread] = &all[head->thread];
			keep(by_id[head->thread], head, &rec);
			name_stream(by_id[head->thread]);
		} else {
			keep(by_id[head->thread], head, &rec);
		}
		return 1;
	}
	return 0;
}

static struct place *place_of(uint64_t addr)
{
	size_t i = (addr >> 4) * 0x9E3779B97F4A7C15ULL >> 42;

	for (size_t n = 0; n <= places_mask; n++, i = (i + 1) & places_mask) {
		if (places[i].addr == 0)
			places[i].addr = addr;
		if (places[i].addr == addr)
			return &places[i];
	}
	die("too many addresses");
	return NULL;
}

/* What the main thread does to make another, and to see it gone. */
static int is_librarys(const struct fa_event *ev)
{
	struct place *p = place_of(ev->addr);

	if (ev->kind == FA_EV_ALLOC && (ev->size < LEAST || ev->size > MOST))
		return p->library = 1;
	if (ev->kind != FA_EV_FREE || !p->library)
		return 0;
	p->library = 0;
	return 1;
}

static int next_event(unsigned thread, struct fa_event *ret)
{
	for (;;) {
		struct stream *s = of_thread[thread];
		struct record *r = s == NULL ? NULL : s->head;
		int n;

		if (r == NULL) {
			if (!read_more())
				return 0;
			continue;
		}
		if (r->at == r->len) {
			s->head = r->next;
			free(r);
			continue;
		}
		n = fa_event_get(r->bytes + r->at, r->len - r->at, &r->state, ret);
		if (n < 0)
			die("malformed event");
		r->at += (size_t)n;
		s->earliest = r->state.stamp;
		if (ret->kind != FA_EV_FREE)
			s->bare = ret->stamped ? 0 : s->bare + 1;
		if (ret->kind == FA_EV_STAMP || is_librarys(ret))
			continue;
		events++;
		return 1;
	}
}

static int is_alloc(const struct fa_event *ev)
{
	return ev->kind == FA_EV_ALLOC || (ev->kind == FA_EV_REALLOC && ev->old == 0);
}

static void check_alloc(uint64_t ticket, const struct entry *e, uint64_t *latest)
{
	struct stream *s = of_thread[e->thread];
	struct fa_event ev;
	struct place *p;

	if (!next_event(e->thread, &ev)) {
		violation(ticket, "an allocation is missing", e->thread, 0);
		return;
	}
	bare += !ev.stamped;
	if (!is_alloc(&ev) || ev.size != e->size || s->bare > (s->alone ? BARE_MOST : 0)) {
		violation(ticket, "not the allocation of the table", ev.kind, ev.size);
		return;
	}
	if (ev.stamp < of_thread[e->thread]->floor)
		violation(ticket, "stamp before what had returned", ev.stamp,
			  of_thread[e->thread]->floor);
	if (ev.stamp > *latest)
		*latest = ev.stamp;
	p = place_of(ev.addr);
	if (p->size != 0)
		violation(ticket, "handed out while it lives", ev.addr, p->size);
	if (ev.stamp < p->stamp || ev.stamp < p->freed)
		violation(ticket, "stamps of an address in wrong order", ev.stamp, p->freed);
	p->stamp = ev.stamp;
	p->size = e->size;
}

static void check_free(uint64_t ticket, const struct entry *e)
{
	struct fa_event ev;
	struct place *p;

	if (!next_event(e->thread, &ev)) {
		violation(ticket, "a free is missing", e->thread, 0);
		return;
	}
	p = place_of(ev.addr);
	if (ev.kind != FA_EV_FREE || p->size != e->size)
		violation(ticket, "not the free of the table", ev.kind, p->size);
	p->freed = of_thread[e->thread]->earliest;
	p->size = 0;
}

int main(int argc, char **argv)
{
	const struct entry *table;
	struct fa_event ev;
	struct stat st;
	uint64_t latest = 0, n;
	unsigned threads = 0;
	int fd, alone = 1;

	if (argc != 3 || fa_trace_reader_open(argv[1], &reader) < 0)
		die("no trace");
	fd = open(argv[2], O_RDONLY);
	if (fd < 0 || fstat(fd, &st) < 0)
		die("no table");
	table = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	places = calloc(places_mask + 1, sizeof(*places));
	if (table == MAP_FAILED || places == NULL)
		die("no memory");
	n = (uint64_t)st.st_size / sizeof(*table);
	for (uint64_t t = 0; t < n && table[t].what != 0; t++) {
		const struct entry *e = &table[t];

		if (e->thread >= THREADS)
			die("not a table");
		while (of_thread[e->thread] == NULL && read_more())
			;
		if (of_thread[e->thread] == NULL)
			die("a thread is missing");
		alone &= e->thread == 0;
		if (e->what == BEFORE_ALLOC) {
			of_thread[e->thread]->floor = latest;
			of_thread[e->thread]->alone = alone;
		} else if (e->what == AFTER_ALLOC) {
			check_alloc(t, e, &latest);
		} else {
			check_free(t, e);
		}
	}
	for (unsigned i = 0; i < THREADS; i++) {
		threads += of_thread[i] != NULL;
		if (of_thread[i] != NULL && next_event(i, &ev))
			violation(n, "more than the table says", ev.kind, i);
	}
	printf("events %lu threads %u bare %lu violations %lu\n", events, threads, bare, violations);
	return violations != 0;
}
