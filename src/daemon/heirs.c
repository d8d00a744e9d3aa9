/*
 * heirs.c - has anybody an arena whose known processes have all ended?
 *
 * A fork child shares the arena of its family from its first moment, and is not seen before it uses the heap. Nothing
 * that the kernel tells of its own accord says so for sure: the proc connector is silent in containers, may lose
 * events, and calls another the parent of who was made by clone(CLONE_PARENT). What is mapped where it always knows. So
 * all processes are looked at, for a mapping at the arena's place that is this very memory. All questions that wait
 * are answered by one round; the child that was found is asked first the next time.
 *
 * A round is passes over /proc, each of which looks at those only that none before it has met: who was forked while the
 * first was under way may have a smaller number than where that was. Nothing is kept of a process: a family of a
 * thousand children costs what one of one child does.
 *
 * How long a look takes is in the hand of the process: so this is a thread of its own, which rests for most of the
 * time. When it hangs the collector goes without an answer.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parse.h"
#include "daemon/doorman.h"

enum {
	PASSES_MAX = 8,
	PLACES_MAX = 256,
	PIDS_MAX = 4 << 20, /* PID_MAX_LIMIT */
	REST = 20,          /* times as long as the round took */
	REST_LEAST_MS = 20,
	REST_MOST_MS = 1000,
};

struct question {
	uint64_t handle;
	int32_t heir;
	bool found;
};

struct round {
	struct door *d;
	size_t questions, open;
	struct question *question;
	/* What is mapped lies between these. Nearly all arenas are at the same place. */
	struct {
		uint64_t address, end;
	} place[PLACES_MAX];
	unsigned places;
	unsigned char *seen; /* a bit a pid */
};

static void add_place(struct round *r, uint64_t address, uint64_t end)
{
	for (unsigned i = 0; i < r->places; i++)
		if (r->place[i].address == address && r->place[i].end == end)
			return;
	r->place[r->places].address = address;
	r->place[r->places++].end = end;
}

/* Each process of a family has mapped as many segments as it has needed. false: there may be no room for all. */
static bool add_places(struct round *r, const struct door_arena *a)
{
	uint64_t at = fa_arena_slot_address(a->info.slot % FA_ARENA_SLOTS);
	struct stat st;

	if (r->places + FA_ARENA_SEGMENTS > PLACES_MAX)
		return false;
	if (fstat(a->fd, &st) < 0)
		st.st_size = 0;
	add_place(r, at, at + a->info.size);
	for (unsigned k = 2; k <= fa_arena_most_segments(a->info.size) &&
			     fa_arena_segment_at(a->info.size, k) <= (uint64_t)st.st_size;
	     k++)
		add_place(r, at, at + fa_arena_segment_at(a->info.size, k));
	return true;
}

/* Under lock. Who finds no room waits for the next round. */
static void take_questions(struct round *r)
{
	struct door *d = r->d;

	d->asked = false;
	for (size_t i = 0; i < d->arenas; i++) {
		struct door_arena *a = d->arena[i];

		if (!a->asked)
			continue;
		if (!add_places(r, a)) {
			d->asked = true;
			continue;
		}
		a->asked = false;
		r->question[r->questions++] = (struct question){a->info.handle, a->heir, false};
	}
	r->open = r->questions;
}

static void found(struct round *r, uint64_t handle, int32_t pid)
{
	for (size_t i = 0; i < r->questions && handle != 0; i++)
		if (r->question[i].handle == handle && !r->question[i].found) {
			r->question[i].found = true;
			r->question[i].heir = pid;
			r->open--;
		}
}

/* false: it has been looked at. */
static bool look_at(struct round *r, int32_t pid)
{
	unsigned char bit = (unsigned char)(1 << (pid & 7));
	int proc_fd;

	if (pid <= 0 || pid >= PIDS_MAX || (r->seen[pid / 8] & bit) != 0)
		return false;
	r->seen[pid / 8] |= bit;
	proc_fd = bell_process(pid);
	for (unsigned i = 0; i < r->places && proc_fd >= 0 && r->open > 0; i++)
		found(r, bell_mapped(r->d, proc_fd, r->place[i].address, r->place[i].end), pid);
	close_fds(&proc_fd, 1);
	return true;
}

/* How many were met for the first time; -errno. */
static int pass(struct round *r)
{
	DIR *dir = opendir("/proc");
	const struct dirent *e;
	int met = 0, any = 0;

	if (dir == NULL)
		return -errno;
	while (r->open > 0 && (e = readdir(dir)) != NULL) {
		uint64_t pid;

		if (fa_parse_u64(e->d_name, &pid) < 0 || pid > INT32_MAX)
			continue;
		any++;
		met += look_at(r, (int32_t)pid);
	}
	(void)closedir(dir);
	return any == 0 ? -ENOENT : met; /* we at least are there */
}

/* false: it cannot be told. */
static bool look_for_heirs(struct round *r)
{
	int met = 1;

	for (size_t i = 0; i < r->questions; i++)
		(void)look_at(r, r->question[i].heir);
	for (int i = 0; i < PASSES_MAX && r->open > 0 && met > 0; i++)
		met = pass(r);
	return met >= 0;
}

static void answer(struct round *r, bool known)
{
	for (size_t i = 0; i < r->questions; i++) {
		const struct question *q = &r->question[i];
		struct fa_part_msg m = {.u.heirs.handle = q->handle};
		struct door_arena *a;

		m.u.heirs.heirs = q->found ? FA_HEIRS_SOMEBODY
				  : known  ? FA_HEIRS_NOBODY
					   : FA_HEIRS_UNKNOWN;
		pthread_mutex_lock(&r->d->lock);
		a = door_arena_at(r->d, q->handle);
		if (a != NULL)
			a->heir = q->found ? q->heir : 0;
		pthread_mutex_unlock(&r->d->lock);
		(void)door_send(r->d, &m, FA_MSG_HEIRS, -1, -1); /* lost: it is asked again */
	}
}

static void wait_for_question(struct door *d)
{
	pthread_mutex_lock(&d->lock);
	while (!d->asked)
		pthread_cond_wait(&d->asks, &d->lock);
	pthread_mutex_unlock(&d->lock);
}

static void go_round(struct door *d)
{
	struct round r = {.d = d, .seen = calloc(1, PIDS_MAX / 8)};

	pthread_mutex_lock(&d->lock);
	r.question = calloc(d->arenas + 1, sizeof(*r.question));
	if (r.question != NULL && r.seen != NULL) /* else they wait */
		take_questions(&r);
	pthread_mutex_unlock(&d->lock);
	answer(&r, look_for_heirs(&r));
	free(r.question);
	free(r.seen);
}

static void *work(void *door)
{
	for (;;) {
		uint64_t begun, rest;

		wait_for_question(door);
		begun = fa_mono_ns();
		go_round(door);
		rest = (fa_mono_ns() - begun) * REST + REST_LEAST_MS * 1000000ull;
		if (rest > REST_MOST_MS * 1000000ull)
			rest = REST_MOST_MS * 1000000ull;
		(void)nanosleep(&(struct timespec){.tv_sec = (time_t)(rest / 1000000000u),
						   .tv_nsec = (long)(rest % 1000000000u)},
				NULL);
	}
	return NULL;
}

int heirs_start(struct door *d)
{
	pthread_t thread;
	int e = pthread_create(&thread, NULL, work, d);

	if (e == 0)
		pthread_detach(thread);
	return -e;
}

void heirs_ask(struct door *d, uint64_t handle)
{
	struct fa_part_msg m = {.u.heirs = {.handle = handle, .heirs = FA_HEIRS_UNKNOWN}};
	struct door_arena *a;
	bool known;

	pthread_mutex_lock(&d->lock);
	a = door_arena_at(d, handle);
	known = a != NULL && a->fd >= 0;
	if (known) {
		a->asked = d->asked = true;
		pthread_cond_signal(&d->asks);
	}
	pthread_mutex_unlock(&d->lock);
	if (!known)
		(void)door_send(d, &m, FA_MSG_HEIRS, -1, -1);
}
