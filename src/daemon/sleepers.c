/*
 * sleepers.c - flagged processes that no session wants at the moment, and the arenas of those that were let go.
 *
 * Who sleeps can be woken when a session comes that wants it; the collector says whom, by pid, and the pidfd
 * kept here says whether that is still the same process.
 *
 * An arena that is over stays mapped in its processes, because a thread may be at work in it. Its pages go
 * back: all but the header at once (what a late thread writes there goes to nobody); the header, in which a
 * process reads that it is over, when all of its processes say that they have read it, and all of it once
 * more a second later, for what a thread may have written that was interrupted meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/doorman.h"

enum { SLEEPERS_MAX = 8192, RETIRED_MAX = 4096 };

struct retired {
	int fd, pidfd;
	uint64_t seen_ns; /* all have seen it since then, 0: not yet */
};

static struct {
	pthread_mutex_t lock;
	struct sleeper *sleeper[SLEEPERS_MAX];
	size_t sleepers;
	struct retired retired[RETIRED_MAX];
	size_t retireds;
	uint64_t looked_ns;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void drop(size_t i)
{
	close_fds(&all.sleeper[i]->pidfd, 1);
	free(all.sleeper[i]);
	all.sleeper[i] = all.sleeper[--all.sleepers];
}

static void forget_pid(int32_t pid)
{
	for (size_t i = 0; i < all.sleepers; i++)
		if (all.sleeper[i]->pid == pid)
			drop(i--);
}

void sleepers_add(const struct sleeper *s)
{
	struct sleeper *copy;

	if (s->pidfd < 0)
		return;
	pthread_mutex_lock(&all.lock);
	forget_pid(s->pid);
	copy = all.sleepers < SLEEPERS_MAX ? malloc(sizeof(*copy)) : NULL;
	if (copy != NULL) {
		*copy = *s;
		copy->pidfd = fcntl(s->pidfd, F_DUPFD_CLOEXEC, 3);
		if (copy->pidfd < 0)
			free(copy);
		else
			all.sleeper[all.sleepers++] = copy;
	}
	pthread_mutex_unlock(&all.lock);
}

void sleepers_add_arena(const struct fa_msg_arena *info, int pidfd)
{
	struct sleeper s = {.pid = info->pid,
			    .pidfd = pidfd,
			    .flags = FA_WAKE_KEEP | FA_WAKE_FLAGGED,
			    .attach = {.block = info->block, .nonce = info->block_nonce}};

	if (fa_arena_is_flagged(info) && info->block != 0)
		sleepers_add(&s);
}

bool sleepers_take(int32_t pid, struct sleeper *ret)
{
	bool found = false;

	pthread_mutex_lock(&all.lock);
	for (size_t i = 0; i < all.sleepers && !found; i++)
		if (all.sleeper[i]->pid == pid) {
			*ret = *all.sleeper[i];
			free(all.sleeper[i]);
			all.sleeper[i] = all.sleeper[--all.sleepers];
			found = true;
		}
	pthread_mutex_unlock(&all.lock);
	return found;
}

static void give_back(int fd, off_t from)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && st.st_size > from)
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from,
				st.st_size - from);
}

void retire(const struct door_arena *a)
{
	struct retired r = {-1, -1, 0};

	if (a->fd < 0)
		return;
	give_back(a->fd, FA_ARENA_PAGE); /* its children may live when it does not */
	if (a->pidfd < 0 || !pidfd_alive(a->pidfd))
		return;
	if (fa_arena_is_flagged(&a->info) && a->info.block != 0) {
		struct sleeper s = {.pid = a->info.pid,
				    .pidfd = a->pidfd,
				    .flags = FA_WAKE_KEEP | FA_WAKE_FLAGGED,
				    .attach = {.block = a->info.block, .nonce = a->info.block_nonce}};

		sleepers_add(&s);
	}
	r.fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 3);
	r.pidfd = fcntl(a->pidfd, F_DUPFD_CLOEXEC, 3);
	pthread_mutex_lock(&all.lock);
	if (r.fd >= 0 && r.pidfd >= 0 && all.retireds < RETIRED_MAX) {
		all.retired[all.retireds++] = r;
		r.fd = r.pidfd = -1;
	}
	pthread_mutex_unlock(&all.lock);
	close_fds(&r.fd, 1);
	close_fds(&r.pidfd, 1);
}

/* true: done with it. */
static bool look(struct retired *r, uint64_t now)
{
	uint32_t word[2]; /* joined, left */

	if (!pidfd_alive(r->pidfd))
		return true;
	if (r->seen_ns != 0 && now - r->seen_ns > 1000000000u) {
		give_back(r->fd, 0);
		return true;
	}
	if (r->seen_ns == 0 && pread(r->fd, word, sizeof(word),
				     offsetof(struct fa_arena_header, joined)) == sizeof(word) &&
	    word[1] >= word[0]) {
		r->seen_ns = now;
		give_back(r->fd, 0);
	}
	return false;
}

void sleepers_turn(void)
{
	uint64_t now = fa_mono_ns();

	pthread_mutex_lock(&all.lock);
	for (size_t i = 0; i < all.retireds;) {
		struct retired *r = &all.retired[i];

		if (look(r, now)) {
			close_fds(&r->fd, 1);
			close_fds(&r->pidfd, 1);
			*r = all.retired[--all.retireds];
		} else {
			i++;
		}
	}
	if (now - all.looked_ns > 1000000000u) {
		all.looked_ns = now;
		for (size_t i = 0; i < all.sleepers; i++)
			if (!pidfd_alive(all.sleeper[i]->pidfd))
				drop(i--);
	}
	pthread_mutex_unlock(&all.lock);
}
