/*
 * consumers.c - who gets a session's records while they happen: `firstalloc tail`, `top`, fa_trace_open_live().
 *
 * A consumer's control connection becomes its stream: a trace of its own (header, blocks, END), which begins with
 * the description of all that lives, so it may come late. Blocks wait in a queue of ours until its
 * socket takes them; nothing ever waits for a consumer. Where too much of it waits, whole buffers of
 * events are lost for this consumer alone: each event is counted, and told to it (LOST) before the next events that
 * it gets. What events refer to is never left out; who does not even take that is cut off.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "daemon/collector.h"
#include "daemon/tail_filter.h"
#include "format/event_format.h"

enum {
	MESSAGE = 64 << 10, /* bytes that the socket takes at once */
	USER_EVENTS = 4 << 20,     /* that may wait, of one consumer, before events are lost */
	SYSTEM_EVENTS = 16 << 20,
	USER_MOST = 16 << 20,      /* and before it is cut off: of definitions */
	SYSTEM_MOST = 256 << 20,
	KEPT_FOR_SYSTEM = 8,
	FAREWELL_S = 10, /* for what waits when the session has ended */
};

/* A block, or the header, on its way. */
struct piece {
	struct piece *next;
	size_t len;
	unsigned char bytes[];
};

/* Lost for this consumer since it was last told. */
struct loss {
	unsigned tag; /* LOST; THREAD_LOST, of what the programs lost */
	uint32_t process, thread, cause;
	uint64_t count;
};

struct consumer {
	struct collector *c;
	int fd; /* -1: free */
	uint32_t uid;
	int32_t pid;
	bool system;
	bool failed; /* to be ended: gone, too slow, no memory */
	bool gathered; /* its writer holds records that are not in the queue yet */
	struct session *s; /* NULL: that has ended, and what waits still goes out */
	struct fa_trace_writer *w;
	struct piece *first, *last;
	size_t sent;   /* of first */
	uint64_t queued; /* bytes of all */
	uint64_t ended_ns;
	uint64_t events_before; /* of the session, when it came */
	uint64_t events_lost, events_unwanted, buffers_lost;
	struct tail_filter filter;
	int64_t buffer_left; /* bytes of records that the buffer takes along that is being lost */
	struct loss *loss;
	size_t losses, loss_room;
};

static struct consumer consumers[CONSUMERS_MAX];

static void free_pieces(struct consumer *k)
{
	while (k->first != NULL) {
		struct piece *p = k->first;

		k->first = p->next;
		free(p);
	}
	k->last = NULL;
	k->queued = k->sent = 0;
}

static void end_consumer(struct consumer *k)
{
	close_fds(&k->fd, 1);
	if (k->s != NULL)
		k->s->consumers--;
	fa_trace_writer_free(k->w);
	free_pieces(k);
	free(k->loss);
	tail_filter_end(&k->filter);
	memset(k, 0, sizeof(*k));
	k->fd = -1;
}

/* As much as the socket takes. */
static void send_out(struct consumer *k)
{
	while (k->first != NULL) {
		struct piece *p = k->first;
		size_t len = p->len - k->sent < MESSAGE ? p->len - k->sent : MESSAGE;
		ssize_t n = send(k->fd, p->bytes + k->sent, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0) {
			k->failed |= errno != EAGAIN && errno != EINTR && errno != ENOBUFS;
			return;
		}
		k->sent += (size_t)n;
		k->queued -= (size_t)n;
		if (k->sent < p->len)
			continue;
		k->first = p->next;
		if (k->first == NULL)
			k->last = NULL;
		k->sent = 0;
		free(p);
	}
}

/* From its writer: a block is full, or was flushed. */
static int queue(void *ctx, const void *data, size_t len)
{
	struct consumer *k = ctx;
	uint64_t most = k->system ? SYSTEM_MOST : USER_MOST;
	struct piece *p;

	if (k->queued + len > most)
		return -E2BIG;
	p = malloc(sizeof(*p) + len);
	if (p == NULL)
		return -ENOMEM;
	p->next = NULL;
	p->len = len;
	memcpy(p->bytes, data, len);
	if (k->last != NULL)
		k->last->next = p;
	else
		k->first = p;
	k->last = p;
	k->queued += len;
	k->gathered = false;
	send_out(k);
	return 0;
}

static void write_record(struct consumer *k, unsigned tag, const void *head, size_t head_len,
			 const void *tail, size_t tail_len, const void *tail2, size_t tail2_len)
{
	if (k->failed)
		return;
	k->failed = fa_trace_write(k->w, tag, head, head_len, tail, tail_len, tail2, tail2_len) < 0;
	k->gathered = true;
}

/* ---- what it cannot take ---- */

static void add_loss(struct consumer *k, const struct loss *l)
{
	size_t i = 0, room = k->loss_room ? k->loss_room * 2 : 16;
	struct loss *bigger;

	while (i < k->losses && (k->loss[i].tag != l->tag || k->loss[i].process != l->process ||
				 k->loss[i].thread != l->thread || k->loss[i].cause != l->cause))
		i++;
	if (i == k->losses) {
		bigger = k->losses < k->loss_room ? k->loss : reallocarray(k->loss, room, sizeof(*bigger));
		if (bigger == NULL) {
			k->failed = true; /* a loss that cannot be told */
			return;
		}
		if (k->losses == k->loss_room)
			k->loss_room = room;
		k->loss = bigger;
		k->loss[k->losses++] = *l;
		return;
	}
	k->loss[i].count += l->count;
}

static void tell_losses(struct consumer *k)
{
	uint64_t now = fa_drain_stamp(k->c->clock_source);

	for (size_t i = 0; i < k->losses; i++) {
		const struct loss *l = &k->loss[i];
		struct fa_rec_lost lost = {
			.process = l->process, .cause = l->cause, .count = l->count, .stamp = now};
		struct fa_rec_thread_lost of_thread = {
			.process = l->process, .thread = l->thread, .cause = l->cause, .count = l->count, .stamp = now};

		if (l->tag == FA_TAG_LOST)
			write_record(k, FA_TAG_LOST, &lost, sizeof(lost), NULL, 0, NULL, 0);
		else
			write_record(k, FA_TAG_THREAD_LOST, &of_thread, sizeof(of_thread), NULL, 0, NULL, 0);
	}
	k->losses = 0;
}

/* Is there room for records of `len` bytes? A buffer that is lost is so as a whole. */
static bool has_room(struct consumer *k, size_t len)
{
	if (k->buffer_left <= 0) {
		if (k->queued < (uint64_t)(k->system ? SYSTEM_EVENTS : USER_EVENTS))
			return true;
		k->buffers_lost++;
		k->s->real_time_buffers_lost++;
		k->buffer_left = fa_trace_writer_block_size(k->w);
	}
	k->buffer_left -= (int64_t)len;
	return false;
}

/* Events of a record: how many count. */
static uint32_t count_events(unsigned tag, const struct fa_rec_events *rec, const void *tail, size_t len)
{
	uint32_t count, heap;

	if (tag != FA_TAG_EVENTS)
		return rec->count;
	(void)fa_event_skim(tail, len, &count, &heap); /* without the stamps */
	return heap;
}

static void lose_events(struct consumer *k, uint32_t process, uint32_t events)
{
	k->events_lost += events;
	k->s->real_time_events_lost += events;
	add_loss(k, &(struct loss){FA_TAG_LOST, process, 0, FA_LOST_NO_BUFFER, events});
}

/* EVENTS and CALLS: as much of them as it wants. */
static void give_events(struct consumer *k, unsigned tag, const struct fa_rec_events *given, const void *tail, size_t len)
{
	struct fa_rec_events rec = *given;

	if (k->filter.on && (!tail_filter_wants(&k->filter, rec.process) ||
			     (tag == FA_TAG_CALLS && (k->filter.want.kinds >> FA_EV_CALL & 1) == 0))) {
		k->events_unwanted += count_events(tag, given, tail, len);
		return;
	}
	if (k->filter.on && tag == FA_TAG_EVENTS)
		k->events_unwanted += tail_filter_events(&k->filter, &rec, &tail, &len);
	if (len == 0)
		return;
	if (!has_room(k, sizeof(rec) + len)) {
		lose_events(k, rec.process, count_events(tag, &rec, tail, len));
		return;
	}
	if (k->losses != 0)
		tell_losses(k);
	write_record(k, tag, &rec, sizeof(rec), tail, len, NULL, 0);
}

/* What the programs lost comes again and again: it waits with what this reader loses. */
static void give_loss(struct consumer *k, unsigned tag, const void *head, size_t head_len)
{
	const struct fa_rec_thread_lost *t = head;
	const struct fa_rec_lost *lost = head;

	if (!tail_filter_wants(&k->filter, lost->process))
		return;
	if (has_room(k, head_len))
		write_record(k, tag, head, head_len, NULL, 0, NULL, 0);
	else if (tag == FA_TAG_LOST)
		add_loss(k, &(struct loss){tag, lost->process, 0, lost->cause, lost->count});
	else
		add_loss(k, &(struct loss){tag, t->process, t->thread, t->cause, t->count});
}

static void give(struct consumer *k, unsigned tag, const void *head, size_t head_len, const void *tail,
		 size_t tail_len, const void *tail2, size_t tail2_len)
{
	switch (tag) {
	case FA_TAG_EVENTS:
	case FA_TAG_CALLS:
		give_events(k, tag, head, tail, tail_len);
		return;
	case FA_TAG_LOST:
	case FA_TAG_THREAD_LOST:
		give_loss(k, tag, head, head_len);
		return;
	case FA_TAG_PASS: /* these too, and nothing refers to them */
	case FA_TAG_CLOCK:
		if (!has_room(k, head_len))
			return;
		break;
	case FA_TAG_PROCESS:
		k->failed |= !tail_filter_meet(&k->filter, head, tail, tail_len);
		break;
	case FA_TAG_SNAPSHOT: /* a moment of the past: whoever reads along has the events of it */
	case FA_TAG_BLOCKS:
	case FA_TAG_SNAPSHOT_END:
		return;
	}
	write_record(k, tag, head, head_len, tail, tail_len, tail2, tail2_len);
}

void consumers_record(struct session *s, unsigned tag, const void *head, size_t head_len,
		      const void *tail, size_t tail_len, const void *tail2, size_t tail2_len)
{
	for (int i = 0; i < CONSUMERS_MAX; i++)
		if (consumers[i].fd >= 0 && consumers[i].s == s)
			give(&consumers[i], tag, head, head_len, tail, tail_len, tail2, tail2_len);
}

/* ---- coming and going ---- */

static int to_consumer(void *ctx, unsigned tag, const void *head, size_t head_len, const void *tail,
		       size_t tail_len, const void *tail2, size_t tail2_len)
{
	_Alignas(8) unsigned char copy[SHIFTED_MAX];
	struct consumer *k = ctx;

	head = session_ids(k->s, tag, head, head_len, copy);
	if (tag == FA_TAG_PROCESS)
		k->failed |= !tail_filter_meet(&k->filter, head, tail, tail_len);
	write_record(k, tag, head, head_len, tail, tail_len, tail2, tail2_len);
	return k->failed ? -EIO : 0;
}

static struct consumer *free_consumer(const struct client *cl, const char **ret_why)
{
	unsigned mine = 0, users = 0;
	struct consumer *found = NULL;

	for (int i = 0; i < CONSUMERS_MAX; i++) {
		const struct consumer *k = &consumers[i];

		mine += k->fd >= 0 && k->uid == cl->uid;
		users += k->fd >= 0 && !k->system;
		if (k->fd < 0)
			found = &consumers[i];
	}
	*ret_why = "there are as many consumers already as firstallocd serves";
	if (!cl->system && mine >= CONSUMERS_PER_USER) {
		*ret_why = "you have as many consumers already as a user may have";
		return NULL;
	}
	return !cl->system && users >= CONSUMERS_MAX - KEPT_FOR_SYSTEM ? NULL : found;
}

/* All that it must know before the first event that it gets. */
static int describe_all(struct collector *c, struct consumer *k)
{
	struct fa_sink sink = {.record = to_consumer, .ctx = k};
	int e;

	session_preface(c, k->s, &sink);
	e = families_describe(c, k->s, &sink);
	if (e == 0 && !k->failed)
		e = fa_trace_writer_flush(k->w);
	return e < 0 ? e : k->failed ? -ENOMEM : 0;
}

static int open_stream(struct collector *c, struct consumer *k, struct session *s)
{
	struct fa_trace_writer_options options = {.codec = FA_CODEC_RAW, .put = queue, .put_ctx = k};
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				.data.u64 = (uint64_t)(uintptr_t)k};
	int r;

	families_drain_session(c, s);
	k->events_before = s->events;
	k->s = s;
	s->consumers++;
	options.block_size = s->block_size < MESSAGE ? s->block_size : MESSAGE;
	r = fa_trace_writer_open(-1, &options, &k->w);
	if (r == 0)
		r = describe_all(c, k);
	if (r == 0 && epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, k->fd, &e) < 0)
		r = -errno;
	return r;
}

const char *consumer_begin(struct collector *c, struct client *cl, struct session *s,
			   const struct fa_control_request *q)
{
	const char *why;
	struct consumer *k = free_consumer(cl, &why);
	int e;

	if (k == NULL)
		return why;
	client_answer(cl); /* what follows is the stream */
	k->c = c;
	k->uid = cl->uid;
	k->pid = cl->pid;
	k->system = cl->system;
	tail_filter_begin(&k->filter, q);
	k->fd = cl->fd;
	cl->fd = -1;
	e = open_stream(c, k, s);
	if (e < 0) {
		log_line("session %s: consumer %d: %s", s->o.name, (int)k->pid, fa_strerror(e));
		end_consumer(k);
	}
	return NULL;
}

bool is_consumer(uint64_t key)
{
	return key >= (uintptr_t)&consumers[0] && key < (uintptr_t)&consumers[CONSUMERS_MAX];
}

/* Its socket has room, or it has gone. It has nothing more to say. */
void consumer_ready(uint64_t key)
{
	struct consumer *k = (struct consumer *)(uintptr_t)key;
	char byte;

	if (k->fd < 0)
		return;
	if (recv(k->fd, &byte, 1, MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR))
		k->failed = true;
	else
		send_out(k);
}

/* The session has ended: END, and what waits still goes out. */
void consumers_end(struct session *s, const struct fa_rec_end *end, const char *text)
{
	for (int i = 0; i < CONSUMERS_MAX; i++) {
		struct consumer *k = &consumers[i];
		struct fa_rec_end own = *end;

		if (k->fd < 0 || k->s != s)
			continue;
		tell_losses(k);
		own.events -= k->events_before < own.events ? k->events_before : own.events;
		own.events -= k->events_lost < own.events ? k->events_lost : own.events;
		own.events -= k->events_unwanted < own.events ? k->events_unwanted : own.events;
		own.lost = k->events_lost;
		if (!k->failed)
			k->failed = fa_trace_writer_end(k->w, &own, text) < 0;
		k->ended_ns = fa_mono_ns();
		k->s = NULL;
	}
	s->consumers = 0;
}

void consumers_turn(uint64_t now)
{
	for (int i = 0; i < CONSUMERS_MAX; i++) {
		struct consumer *k = &consumers[i];
		bool over;

		if (k->fd < 0)
			continue;
		/* While something waits, it waits for the block to become full. */
		if (!k->failed && k->gathered && k->queued == 0)
			k->failed = fa_trace_writer_flush(k->w) < 0;
		over = k->s == NULL &&
		       (k->first == NULL || now - k->ended_ns > FAREWELL_S * 1000000000ull);
		if (k->failed && k->s != NULL && k->queued != 0)
			log_line("session %s: its consumer %d is cut off", k->s->o.name, (int)k->pid);
		if (k->failed || over)
			end_consumer(k);
	}
}

uint32_t consumers_status(struct fa_buf *b, const struct client *cl)
{
	uint32_t n = 0;

	for (int i = 0; i < CONSUMERS_MAX; i++) {
		const struct consumer *k = &consumers[i];
		struct fa_status_consumer e = {.pid = k->pid, .uid = k->uid};

		if (k->fd < 0 || k->s == NULL || (!cl->system && k->s->uid != cl->uid))
			continue;
		e.session_id = k->s->id;
		e.events_lost = k->events_lost;
		e.events = k->s->events - k->events_before;
		e.events -= e.events_lost < e.events ? e.events_lost : e.events;
		e.events_unwanted = k->events_unwanted;
		e.events -= e.events_unwanted < e.events ? e.events_unwanted : e.events;
		e.buffers = fa_trace_writer_blocks(k->w);
		e.buffers_lost = k->buffers_lost;
		e.queued_bytes = k->queued;
		fa_buf_add(b, &e, sizeof(e));
		n++;
	}
	return n;
}

void consumers_open(void)
{
	for (int i = 0; i < CONSUMERS_MAX; i++)
		consumers[i].fd = -1;
}
