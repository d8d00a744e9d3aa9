/*
 * bell_workers.c - the threads that answer the doorbell, and who is answered next.
 *
 * The kernel hands rings out in the order in which they came, so one user's thousand would stand before
 * another's one. Hence all that there are are read before any is answered, and users take turns
 * (bell_queue.c). One worker at a time listens; before it answers a ring itself it wakes another one, which
 * listens from then on.
 *
 * The kernel has one list of all who wait, and each answer wakes them all to look whether it is theirs. So
 * the rings of a crowd are let go together, once a tick.
 *
 * How long a look takes is in the hand of the process: a thread that forks with 64,000 mappings holds the
 * lock that we need for most of the time. So no user but root has more than half of the workers, and
 * bell_rescue() lets those go, untraced, whose look takes too long or who have waited for too long.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "daemon/doorman.h"

#define INFO_TYPE_PIDFD 4 /* FAN_EVENT_INFO_TYPE_PIDFD, Linux 5.15 */

enum {
	SCARCE_MS = 20, /* so long without a worker: one more is started */
	LATE_MS = 300, /* so long without a worker: it starts untraced */
	RESCUE_MS = 600,
	LISTEN_MS = 1000,
	STARTS_A_SECOND = 2000, /* of a processor: no honest user reaches that */
	EVENTS_AT_ONCE = 64,
	READS_AT_ONCE = 64,
};

struct info_pidfd {
	uint8_t type;
	uint8_t pad;
	uint16_t len;
	int32_t pidfd;
};

static int event_pidfd(const struct door *d, const struct fanotify_event_metadata *m)
{
	const struct info_pidfd *info = (const void *)((const char *)m + m->metadata_len);

	if (!d->has_pidfd || m->event_len < m->metadata_len + sizeof(*info) ||
	    info->type != INFO_TYPE_PIDFD)
		return -1;
	return info->pidfd < 0 ? -1 : info->pidfd;
}

/* Fails when the opener was killed while we held it: nothing to do. */
static void let_go(const struct door *d, int event_fd)
{
	struct fanotify_response answer = {.fd = event_fd, .response = FAN_ALLOW};

	(void)!write(d->bell_fd, &answer, sizeof(answer));
}

static void let_go_locked(struct door *d, unsigned number)
{
	if (d->worker[number].held_fd < 0)
		return;
	let_go(d, d->worker[number].held_fd);
	d->worker[number].held_fd = -1;
}

bool bell_is_held(struct door *d, unsigned number)
{
	bool held;

	pthread_mutex_lock(&d->lock);
	held = d->worker[number].held_fd >= 0;
	pthread_mutex_unlock(&d->lock);
	return held;
}

static void free_ring(struct bell_ring *r)
{
	close_fds(&r->fd, 1);
	close_fds(&r->pidfd, 1);
	close_fds(&r->proc_fd, 1);
	free(r);
}

/* NULL: it needs no answer of a worker, and is let go. */
static struct bell_ring *ring_of(const struct door *d, const struct fanotify_event_metadata *m)
{
	struct bell_ring *r = calloc(1, sizeof(*r));
	int pidfd = event_pidfd(d, m);
	struct stat st;

	if (r == NULL) {
		close_fds(&pidfd, 1);
		return NULL;
	}
	*r = (struct bell_ring){.since_ns = fa_mono_ns(), .pid = m->pid, .fd = m->fd, .pidfd = pidfd};
	r->proc_fd = (m->mask & FAN_OPEN_PERM) != 0 && m->pid > 0 && m->pid != getpid()
			     ? bell_process(m->pid)
			     : -1;
	if (r->proc_fd >= 0 && fstat(r->proc_fd, &st) == 0) {
		r->uid = st.st_uid;
		return r;
	}
	r->fd = -1; /* the caller's, as with NULL */
	free_ring(r);
	return NULL;
}

static void take_event(struct door *d, const struct fanotify_event_metadata *m)
{
	struct bell_ring *r;
	bool waits;
	int fd = m->fd;

	/* An overflow cannot happen (unlimited queue), other marks are not set. */
	if (m->fd < 0 || m->vers != FANOTIFY_METADATA_VERSION)
		return;
	r = ring_of(d, m);
	if (r == NULL) {
		let_go(d, fd);
		close_fds(&fd, 1);
		return;
	}
	pthread_mutex_lock(&d->lock);
	waits = bell_queue_add(&d->rings, r) == 0;
	pthread_mutex_unlock(&d->lock);
	if (!waits) {
		let_go(d, r->fd);
		free_ring(r);
	}
}

/* All that there are; but who is let go may ring again, so not without end. */
static void read_rings(struct door *d)
{
	char buf[EVENTS_AT_ONCE * (sizeof(struct fanotify_event_metadata) +
				   sizeof(struct info_pidfd))] FA_ALIGNED(8);
	ssize_t n = 1;

	for (int i = 0; i < READS_AT_ONCE && (n = read(d->bell_fd, buf, sizeof(buf))) > 0; i++) {
		const struct fanotify_event_metadata *m = (const void *)buf;

		for (; FAN_EVENT_OK(m, n); m = FAN_EVENT_NEXT(m, n))
			take_event(d, m);
	}
	if (n < 0 && errno != EINTR && errno != EAGAIN && errno != EMFILE && errno != ENFILE) {
		log_line("doorbell: %s", fa_strerror(-errno));
		_exit(1);
	}
}

/* Under lock, which is given back meanwhile. Whoever else is about to take a ring waits for it. */
static void read_locked(struct door *d, unsigned number)
{
	_Atomic uint64_t *busy = &d->beat->busy_ns[number];

	if (d->reading) {
		while (d->reading)
			pthread_cond_wait(&d->was_read, &d->lock);
		return;
	}
	d->reading = true;
	pthread_mutex_unlock(&d->lock);
	atomic_store(busy, fa_mono_ns());
	read_rings(d);
	atomic_store(busy, 0);
	pthread_mutex_lock(&d->lock);
	d->reading = false;
	pthread_cond_broadcast(&d->was_read);
}

static void join_crowd_locked(struct door *d, struct bell_ring *r, uint64_t now)
{
	if (d->answered == NULL)
		d->let_go_ns = now + TICK_MS * 1000000ull;
	r->next = d->answered;
	d->answered = r;
}

/* Under lock, which is given back meanwhile. All together, when it is time. */
static void let_crowd_go_locked(struct door *d, uint64_t now)
{
	struct bell_ring *r = d->answered;

	if (r == NULL || now < d->let_go_ns)
		return;
	d->answered = NULL;
	pthread_mutex_unlock(&d->lock);
	for (const struct bell_ring *i = r; i != NULL; i = i->next)
		let_go(d, i->fd);
	while (r != NULL) {
		struct bell_ring *next = r->next;

		free_ring(r);
		r = next;
	}
	pthread_mutex_lock(&d->lock);
}

static int until(uint64_t now, uint64_t at)
{
	if (at <= now)
		return 0;
	return at - now > LISTEN_MS * 1000000ull ? LISTEN_MS : (int)((at - now) / 1000000u) + 1;
}

/* Under lock, which is given back meanwhile. Until there may be a ring to take, at the latest at that time. */
static void wait_locked(struct door *d, uint64_t now, uint64_t at)
{
	struct pollfd p = {.fd = d->bell_fd, .events = POLLIN};
	struct timespec t = {.tv_sec = (time_t)(at / 1000000000u),
			     .tv_nsec = (long)(at % 1000000000u)};

	if (!d->listening) {
		d->listening = true;
		pthread_mutex_unlock(&d->lock);
		(void)poll(&p, 1, until(now, at));
		pthread_mutex_lock(&d->lock);
		d->listening = false;
	} else if (at == UINT64_MAX) {
		pthread_cond_wait(&d->more, &d->lock);
	} else { /* who listens may not know of it */
		(void)pthread_cond_clockwait(&d->more, &d->lock, CLOCK_MONOTONIC, &t);
	}
}

/* The next one to be answered by this worker. NULL: it is no longer needed. */
static struct bell_ring *next_ring(struct door *d, unsigned number)
{
	struct bell_worker *w = &d->worker[number];
	struct bell_ring *r = NULL;

	pthread_mutex_lock(&d->lock);
	while (!w->given_up) {
		uint64_t at, now;

		let_crowd_go_locked(d, fa_mono_ns());
		read_locked(d, number);
		now = fa_mono_ns();
		r = bell_queue_next(&d->rings, now, &at);
		if (r != NULL || (d->workers > d->settings->config.workers && d->listening))
			break;
		if (d->answered != NULL && d->let_go_ns < at)
			at = d->let_go_ns;
		wait_locked(d, now, at);
	}
	if (r != NULL) {
		w->held_fd = r->fd;
		w->since_ns = r->turn_ns = fa_mono_ns();
		atomic_store(&d->beat->busy_ns[number], w->since_ns);
	} else {
		d->workers -= !w->given_up;
		w->runs = false;
	}
	pthread_cond_signal(&d->more); /* there may be more, and somebody is to listen */
	pthread_mutex_unlock(&d->lock);
	return r;
}

struct start {
	struct door *d;
	unsigned number;
};

static void answered(struct door *d, unsigned number, struct bell_ring *r)
{
	pthread_mutex_lock(&d->lock);
	if (bell_queue_done(&d->rings, r->uid) && d->worker[number].held_fd >= 0) {
		d->worker[number].held_fd = -1;
		join_crowd_locked(d, r, fa_mono_ns());
		r = NULL;
	} else {
		let_go_locked(d, number);
	}
	pthread_mutex_unlock(&d->lock);
	if (r != NULL)
		free_ring(r);
}

static void *work(void *arg)
{
	struct start w = *(struct start *)arg;
	struct bell_ring *r;

	free(arg);
	(void)pthread_setname_np(pthread_self(), "fa-bell"); /* for who looks what takes time */
	while ((r = next_ring(w.d, w.number)) != NULL) {
		bell_look(w.d, w.number, r);
		answered(w.d, w.number, r);
		atomic_store(&w.d->beat->busy_ns[w.number], 0);
	}
	return NULL;
}

/* In the first free place. -EAGAIN: all are taken. */
static int start_worker(struct door *d)
{
	struct start *w = malloc(sizeof(*w));
	pthread_t thread;
	unsigned i = 0;
	int e;

	if (w == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&d->lock);
	while (i < BELL_WORKERS_MAX && d->worker[i].runs)
		i++;
	if (i < BELL_WORKERS_MAX) {
		d->worker[i] = (struct bell_worker){.runs = true, .held_fd = -1};
		d->workers++;
	}
	pthread_mutex_unlock(&d->lock);
	*w = (struct start){d, i};
	e = i < BELL_WORKERS_MAX ? pthread_create(&thread, NULL, work, w) : EAGAIN;
	if (e == 0) {
		pthread_detach(thread);
		return 0;
	}
	free(w);
	if (i < BELL_WORKERS_MAX) {
		pthread_mutex_lock(&d->lock);
		d->worker[i].runs = false;
		d->workers--;
		pthread_mutex_unlock(&d->lock);
	}
	return -e;
}

static unsigned give_up_slow_locked(struct door *d, uint64_t now)
{
	unsigned count = 0;

	for (unsigned i = 0; i < BELL_WORKERS_MAX; i++) {
		struct bell_worker *w = &d->worker[i];

		if (!w->runs || w->held_fd < 0 || w->since_ns > now ||
		    now - w->since_ns < RESCUE_MS * 1000000ull)
			continue;
		let_go_locked(d, i);
		w->given_up = true;
		d->workers--;
		atomic_store(&d->beat->busy_ns[i], 0);
		count++;
	}
	return count;
}

/*
 * The main thread, in each turn: whom a worker has held for too long is let go, untraced. The worker
 * hangs in the kernel and cannot be called back, so another one takes its place; it ends when it
 * returns. So does one that is started because several users together keep all others.
 */
void bell_rescue(struct door *d)
{
	uint64_t now = fa_mono_ns(), since;
	struct bell_ring *late;
	unsigned count;

	pthread_mutex_lock(&d->lock);
	count = give_up_slow_locked(d, now);
	since = bell_queue_since(&d->rings, now);
	while ((late = bell_queue_late(&d->rings, now - LATE_MS * 1000000ull)) != NULL)
		join_crowd_locked(d, late, now);
	let_crowd_go_locked(d, now); /* all workers may be busy */
	pthread_mutex_unlock(&d->lock);
	for (unsigned i = 0; i < count; i++)
		log_line("looking at a program took too long: it is not traced");
	count += count == 0 && since != 0 && now > since && now - since > SCARCE_MS * 1000000ull;
	for (unsigned i = 0; i < count; i++)
		if (start_worker(d) < 0)
			log_line("no further worker for the doorbell can be started");
}

int bell_start(struct door *d)
{
	pthread_t thread;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	d->rings.at_once = d->settings->config.workers / 2;
	d->rings.a_tick = STARTS_A_SECOND * TICK_MS / 1000 * (cpus > 0 ? (unsigned)cpus : 1);
	if (d->connector_fd < 0 && pthread_create(&thread, NULL, procs_verify, d) == 0)
		pthread_detach(thread);
	for (unsigned i = 0; i < d->settings->config.workers && i < BELL_WORKERS_MAX; i++) {
		int e = start_worker(d);

		if (e < 0)
			return e;
	}
	return 0;
}
