/*
 * arenas.c - the doorman's table of attached arenas.
 *
 * It keeps a duplicate of each arena's descriptor until the collector has drained it, so that a
 * collector that was killed leaves no events behind: its successor gets them all again. The table
 * also holds each user to a number of arenas and bytes: arenas are memory of the traced process, but
 * descriptors and mappings are ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/doorman.h"

struct door_arena *door_arena_at(struct door *d, uint64_t handle)
{
	for (size_t i = 0; i < d->arenas; i++)
		if (d->arena[i]->info.handle == handle)
			return d->arena[i];
	return NULL;
}

bool door_arena_known(struct door *d, uint64_t handle)
{
	bool known;

	pthread_mutex_lock(&d->lock);
	known = door_arena_at(d, handle) != NULL;
	pthread_mutex_unlock(&d->lock);
	return known;
}

/* Root has no cap of its own but the table's size: a machine's services are often all root's. */
static bool within_limits(const struct door *d, uint32_t uid, uint64_t bytes, bool one_more)
{
	const struct fa_config *c = &d->settings->config;
	uint64_t mapped = bytes;
	uint32_t count = one_more;

	if (one_more && d->arenas >= DOOR_ARENAS_MAX)
		return false;
	if (uid == 0)
		return true;
	for (size_t i = 0; i < d->arenas; i++)
		if (d->arena[i]->info.uid == uid) {
			count++;
			mapped += d->arena[i]->info.size + d->arena[i]->more;
		}
	return count <= c->arenas_per_user && mapped <= c->mapped_per_user;
}

static bool make_room(struct door *d)
{
	size_t room = d->arena_room ? d->arena_room * 2 : 64;
	struct door_arena **p;

	if (d->arenas < d->arena_room)
		return true;
	p = realloc(d->arena, room * sizeof(struct door_arena *));
	if (p == NULL)
		return false;
	d->arena = p;
	d->arena_room = room;
	return true;
}

bool read_block_words(int fd, uint64_t *ret_block, uint64_t *ret_nonce)
{
	return fd >= 0 &&
	       pread(fd, ret_block, 8, offsetof(struct fa_arena_header, block)) == 8 &&
	       pread(fd, ret_nonce, 8, offsetof(struct fa_arena_header, block_nonce)) == 8;
}

/* The descriptors are duplicated. `unsent`: the collector has not got it. */
static int add_locked(struct door *d, const struct fa_msg_arena *info, int fd, int pidfd,
		      bool unsent)
{
	struct door_arena *a;

	if (door_arena_at(d, info->handle) != NULL)
		return ADD_KNOWN;
	if (!within_limits(d, info->uid, info->size, true) || !make_room(d))
		return ADD_LIMIT;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return ADD_LIMIT;
	a->info = *info;
	a->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	a->pidfd = pidfd < 0 ? -1 : fcntl(pidfd, F_DUPFD_CLOEXEC, 3);
	a->unsent = unsent;
	if (fd >= 0 && a->fd < 0) { /* no descriptor left */
		close_fds(&a->pidfd, 1);
		free(a);
		return ADD_LIMIT;
	}
	d->arena[d->arenas++] = a;
	kept_put(d, info);
	return ADD_OK;
}

int door_arena_add(struct door *d, const struct fa_msg_arena *info, int fd, int pidfd,
		   bool unsent)
{
	int r;

	pthread_mutex_lock(&d->lock);
	r = add_locked(d, info, fd, pidfd, unsent);
	pthread_mutex_unlock(&d->lock);
	return r;
}

void door_arena_drop(struct door *d, uint64_t handle)
{
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->arenas; i++) {
		struct door_arena *a = d->arena[i];

		if (a->info.handle != handle)
			continue;
		retire(a);
		close_fds(&a->fd, 1);
		close_fds(&a->pidfd, 1);
		free(a);
		d->arena[i] = d->arena[--d->arenas];
		kept_drop(d, handle);
		break;
	}
	pthread_mutex_unlock(&d->lock);
}

bool door_arena_block(struct door *d, uint64_t handle, struct fa_attach *ret)
{
	const struct door_arena *a;
	bool known;

	pthread_mutex_lock(&d->lock);
	a = door_arena_at(d, handle);
	known = a != NULL && a->info.block != 0 && fa_arena_is_flagged(&a->info);
	if (known)
		*ret = (struct fa_attach){.block = a->info.block, .nonce = a->info.block_nonce};
	pthread_mutex_unlock(&d->lock);
	return known;
}

void door_arena_flagged(struct door *d, uint64_t handle)
{
	struct door_arena *a;

	pthread_mutex_lock(&d->lock);
	a = door_arena_at(d, handle);
	if (a != NULL && !a->info.flagged) {
		a->info.flagged = 1;
		kept_put(d, &a->info);
	}
	pthread_mutex_unlock(&d->lock);
}

static int send_locked(struct door *d, struct fa_part_msg *m, unsigned type, int fd0, int fd1)
{
	int fds[MSG_FDS] = {fd0, fd1};

	return d->peer_fd < 0 ? -ENOTCONN : msg_send(d->peer_fd, m, type, fds, MSG_FDS);
}

int door_send(struct door *d, struct fa_part_msg *m, unsigned type, int fd0, int fd1)
{
	int r;

	pthread_mutex_lock(&d->lock);
	r = send_locked(d, m, type, fd0, fd1);
	pthread_mutex_unlock(&d->lock);
	return r;
}

/* What the collector had no room for, or what a new one has not seen. */
void door_send_unsent(struct door *d)
{
	struct fa_part_msg m;

	memset(&m, 0, sizeof(m));
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->arenas && d->peer_fd >= 0; i++) {
		struct door_arena *a = d->arena[i];

		if (!a->unsent)
			continue;
		m.u.arena = a->info;
		if (send_locked(d, &m, FA_MSG_ARENA, a->fd, a->pidfd) < 0)
			break;
		a->unsent = false;
	}
	pthread_mutex_unlock(&d->lock);
}

void door_resend_all(struct door *d)
{
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->arenas; i++) {
		if (d->arena[i]->fd >= 0)
			d->arena[i]->unsent = true;
		d->arena[i]->info.adopted = 1;
	}
	pthread_mutex_unlock(&d->lock);
	door_send_unsent(d);
}

bool door_arena_grow(struct door *d, uint64_t handle, unsigned segment)
{
	struct door_arena *a;
	bool may = false;

	pthread_mutex_lock(&d->lock);
	a = door_arena_at(d, handle);
	if (a != NULL && segment > 0 && segment < fa_arena_most_segments(a->info.size)) {
		uint64_t had = a->more, all = fa_arena_segment_at(a->info.size, segment + 1);

		/* Asked for again when the answer was lost: counted once. */
		a->more = had > all - a->info.size ? had : all - a->info.size;
		may = within_limits(d, a->info.uid, 0, false);
		if (!may)
			a->more = had;
	}
	pthread_mutex_unlock(&d->lock);
	return may;
}

void door_take_size(struct door *d, const struct fa_msg_arena *info, int fd)
{
	struct statx x;

	/* DONT_SYNC: of a file that somebody serves, an honest answer could take for ever. */
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE, &x) < 0)
		return;
	for (unsigned k = 1; k < fa_arena_most_segments(info->size) &&
			     x.stx_size >= fa_arena_segment_at(info->size, k + 1);
	     k++)
		(void)door_arena_grow(d, info->handle, k);
}

void door_arrived(struct door *d, int32_t pid, bool refuses)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	pthread_mutex_lock(&d->lock);
	d->arrival[d->arrivals % ARRIVALS].pid = pid;
	d->arrival[d->arrivals % ARRIVALS].refuses = refuses;
	d->arrival[d->arrivals % ARRIVALS].when_mono =
		(uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	d->arrivals++;
	pthread_mutex_unlock(&d->lock);
}
