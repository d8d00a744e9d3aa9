/*
 * wake.c - wakes a running process: writes an order into its process block (format/arena_format.h), and
 * attaches the arena that it then makes.
 *
 * All goes through one descriptor on /proc/PID/mem, which stays with that address space whatever the process
 * executes and whoever gets its number: the block's magic and nonce are read through it, then the order is
 * written. The process is bound by a pidfd that is alive before and after. Who asks is what the kernel says of
 * his socket, and the descriptor is opened with his fsuid and fsgid and no capability: so the kernel decides
 * whether he may, by the rules of ptrace. Flagged processes that a session wants are woken with our own rights.
 *
 * How long a look at a process's memory takes is in the hand of the process (a mapping of a file that a user
 * serves): so it is done by a thread that can be given up, and while one hangs at a process of a user, no other
 * process of that user is looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "collector/drain.h"
#include "collector/procfs.h"
#include "daemon/doorman.h"
#include "format/index_format.h"

enum { ORDERS_MAX = 16384, WAKERS_MAX = 16, STUCK_MS = 600 };

struct order {
	struct fa_msg_wake ask;
	struct sleeper who; /* SLEEPER: as it was kept; else pidfd, and attach as it was asked */
	struct ucred by;    /* who asks; of SLEEPER ourselves */
	bool written;
	bool busy; /* a thread is at it */
	int proc_fd, mem_fd;
	uint32_t number;
	struct fa_msg_arena info;
	uint64_t since_ns, next_ns;
	struct order *next;
};

struct waker {
	bool runs, given_up;
	uint32_t uid;      /* of the process that it looks at */
	uint64_t busy_ns; /* since then, 0: it waits */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct order *first;
	unsigned count;
	struct waker waker[WAKERS_MAX];
} wakes = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static void free_order(struct order *o)
{
	close_fds(&o->who.pidfd, 1);
	close_fds(&o->proc_fd, 1);
	close_fds(&o->mem_fd, 1);
	free(o);
}

/* --- rights ----------------------------------------------------------------------------------- */

/* Of this thread only: the kernel keeps them by thread. */
static int set_effective(uint64_t mask)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].permitted & (uint32_t)(mask >> (32 * i));
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* Its owner may open it by mode; the rest is the kernel's ptrace check, which we pass by capability. */
static int open_own(int proc_fd)
{
	struct stat st;
	int fd;

	if (fstatat(proc_fd, "mem", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	(void)setfsuid(st.st_uid);
	fd = openat(proc_fd, "mem", O_RDWR | O_CLOEXEC);
	fd = fd < 0 ? -errno : fd;
	(void)setfsuid(0);
	return fd;
}

static int open_as(int proc_fd, const struct ucred *by)
{
	int fd = -EPERM;

	if (by->uid == 0)
		return open_own(proc_fd);
	if (set_effective(1ull << CAP_SETUID | 1ull << CAP_SETGID) < 0)
		return -EPERM;
	(void)setfsgid(by->gid);
	(void)setfsuid(by->uid);
	/* They do not say whether it was done; asked with a value that is none, they say what is. */
	if (setfsuid((uid_t)-1) == (int)by->uid && setfsgid((gid_t)-1) == (int)by->gid &&
	    set_effective(0) == 0) {
		fd = openat(proc_fd, "mem", O_RDWR | O_CLOEXEC);
		fd = fd < 0 ? -errno : fd;
	}
	if (set_effective(1ull << CAP_SETUID | 1ull << CAP_SETGID) < 0)
		_exit(1);
	(void)setfsuid(0);
	(void)setfsgid(0);
	if (set_effective(~0ull) < 0)
		_exit(1);
	return fd;
}

/* --- writing the order ------------------------------------------------------------------------ */

/* The process that a pidfd stands for, in our own pid namespace. */
static int32_t pid_of(int pidfd)
{
	char path[64], text[512];
	const char *at;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, "\nPid:\t");
	return at == NULL ? -1 : (int32_t)strtol(at + 6, NULL, 10);
}

static int read_block(const struct order *o, struct fa_process_block *ret)
{
	if (pread(o->mem_fd, ret, sizeof(*ret), (off_t)o->who.attach.block) != (ssize_t)sizeof(*ret))
		return -ESRCH; /* its memory is gone, or another program's */
	return ret->magic == FA_BLOCK_MAGIC && ret->version == 2 &&
			       ret->nonce == o->who.attach.nonce
		       ? 0
		       : -ESTALE;
}

/* Everything that is opened here is of one process, or fails. */
static int find_process(struct order *o)
{
	int fd;

	o->info.pid = o->ask.kind == FA_WAKE_SLEEPER ? o->who.pid : pid_of(o->who.pidfd);
	if (o->info.pid <= 0)
		return -ESRCH;
	if (o->info.pid == getpid())
		return -EPERM;
	o->proc_fd = bell_process(o->info.pid);
	fd = o->proc_fd < 0 ? -1 : (int)syscall(SYS_pidfd_open, o->info.pid, 0);
	/* Alive after that: the number was its all the time. From here on by a pidfd of our own making. */
	if (fd < 0 || !pidfd_alive(o->who.pidfd)) {
		close_fds(&fd, 1);
		return -ESRCH;
	}
	close_fds(&o->who.pidfd, 1);
	o->who.pidfd = fd;
	return bell_who_is(o->proc_fd, &o->info) ? 0 : -ESRCH;
}

static struct fa_wake make_order(const struct order *o, const struct fa_procfs_status *st)
{
	const struct fa_attach *a = &o->who.attach;

	return (struct fa_wake){
		.order = o->number,
		.flags = o->who.flags | (st->seccomp != 0 ? FA_WAKE_CAREFUL : 0u),
		.tracing_flags = a->tracing_flags != 0 ? a->tracing_flags : FA_TRACING_HEAP,
		.rule_id = a->rule_id,
		.depth = a->depth != 0 ? a->depth : FA_DEPTH_DEFAULT,
		.stacks = a->depth != 0 ? a->stacks : FA_STACK_ALLOC | FA_STACK_REALLOC,
		.stamp_mode = a->depth != 0 ? a->stamp_mode : FA_STAMP_ALLOC,
		.options = a->options,
		.pid = st->own_pid,
		.clock_source = fa_drain_clock_source(),
		.address_limit = fa_procfs_address_limit(o->info.pid),
		.uid = o->info.uid,
	};
}

static bool put(const struct order *o, size_t at, const void *bytes, size_t len)
{
	return pwrite(o->mem_fd, bytes, len, (off_t)(o->who.attach.block + at)) == (ssize_t)len;
}

/* What is wanted; then the number; then the byte that every heap call looks at. */
static int write_order(struct order *o, const struct fa_process_block *b)
{
	const size_t at = offsetof(struct fa_process_block, wake);
	const uint8_t awake = 0;
	struct fa_procfs_status st;
	struct fa_wake w;

	if (fa_procfs_status(o->info.pid, &st) < 0)
		return -ESRCH;
	if (st.seccomp == 1) {
		o->info.reason = FA_REASON_STRICT;
		return -EPERM;
	}
	if (!pidfd_alive(o->who.pidfd)) /* so all of that was said of it */
		return -ESRCH;
	o->number = (b->wake.order > b->woken ? b->wake.order : b->woken) + 1;
	o->number += o->number == 0;
	w = make_order(o, &st);
	if (!put(o, at + 4, (const char *)&w + 4, sizeof(w) - 4) || !put(o, at, &w.order, 4) ||
	    !put(o, offsetof(struct fa_process_block, dormant), &awake, 1))
		return -ESRCH;
	return 0;
}

/* By what its rule would have done at its start, had it been there. */
static int write_flag(struct order *o, const struct fa_process_block *b)
{
	uint32_t words[2] = {b->tracing_flags | o->who.attach.tracing_flags,
			     o->who.attach.rule_id != 0 ? o->who.attach.rule_id : b->rule_id};

	static_assert(offsetof(struct fa_process_block, rule_id) ==
			      offsetof(struct fa_process_block, tracing_flags) + 4,
		      "two words");
	if (!put(o, offsetof(struct fa_process_block, tracing_flags), words, sizeof(words)))
		return -ESRCH;
	if (o->info.handle != 0) /* it will sleep when it has left its sessions */
		return 0;
	o->who.pid = o->info.pid;
	o->who.flags = FA_WAKE_FLAGGED | (o->who.attach.rule_id == 0 ? FA_WAKE_KEEP : 0u);
	sleepers_add(&o->who);
	return 0;
}

/* --- the way of an order ---------------------------------------------------------------------- */

static void tell(struct door *d, const struct order *o, int error)
{
	struct fa_part_msg m = {.u.woken = {.number = o->ask.number, .error = -error}};

	m.u.woken.info = o->info;
	m.u.woken.attached = o->info.handle != 0;
	/* Lost when the collector is not there: its client is told that nobody answered. */
	if (o->ask.number != 0)
		(void)door_send(d, &m, FA_MSG_WOKEN, -1, -1);
}

/* 0: written, and now waited for; 1: there is nothing to wait for; -errno. */
static int begin(struct door *d, struct order *o)
{
	struct fa_process_block b;
	int e = find_process(o);

	if (e < 0)
		return e;
	o->mem_fd = open_as(o->proc_fd, &o->by);
	if (o->mem_fd < 0)
		return o->mem_fd;
	e = read_block(o, &b);
	if (e < 0)
		return e;
	bell_look_at(&o->info, o->info.pid, fa_mono_ns());
	if (o->ask.kind == FA_WAKE_TABLE)
		o->who.flags = FA_WAKE_FLAGGED;
	o->info.handle = bell_attached(d, o->proc_fd, b.arena);
	if (!pidfd_alive(o->who.pidfd))
		return -ESRCH;
	o->info.flagged = o->ask.kind == FA_WAKE_FLAG || (b.tracing_flags & FA_TRACING_HEAP) != 0;
	if (o->info.handle != 0 && o->ask.kind == FA_WAKE_FLAG)
		door_arena_flagged(d, o->info.handle);
	if (o->ask.kind == FA_WAKE_FLAG)
		return write_flag(o, &b) < 0 ? -ESRCH : 1;
	if (o->info.handle != 0)
		return 1;
	return write_order(o, &b);
}

/* It did not obey, and says why. */
static void tell_refusal(struct door *d, struct order *o, uint32_t reason)
{
	struct fa_part_msg m = {0};

	o->info.answer = FA_ANSWER_REFUSED;
	o->info.reason = reason;
	m.u.arena = o->info;
	(void)door_send(d, &m, FA_MSG_ARENA, -1, -1);
}

/* Has it obeyed? true: there is nothing more to wait for. */
static bool look(struct door *d, struct order *o)
{
	struct fa_process_block b;

	if (!pidfd_alive(o->who.pidfd) || read_block(o, &b) < 0)
		return true;
	if (b.wake.order != o->number) /* a later order has taken its place */
		return true;
	if (b.woken != o->number)
		return false;
	if (b.arena == 0) {
		if (b.reason != FA_REASON_ENDED && b.reason != FA_REASON_NONE)
			tell_refusal(d, o, b.reason);
		return true;
	}
	/* It may have been flagged since the order was written. */
	o->info.flagged |= (b.tracing_flags & FA_TRACING_HEAP) != 0;
	return bell_take(d, o->proc_fd, o->who.pidfd, o->who.attach.nonce, &o->info) == 0;
}

/* true: done with it. */
static bool serve(struct door *d, struct order *o)
{
	uint64_t now = fa_mono_ns(), wait_ns;

	if (!o->written) {
		int e = begin(d, o);

		tell(d, o, e < 0 ? e : 0);
		if (e != 0)
			return true;
		o->written = true;
		o->info.woken = 1;
		o->info.session = o->ask.kind == FA_WAKE_NAMED ? o->ask.session : 0;
		o->info.wake = o->ask.number;
		o->since_ns = now;
	} else if (look(d, o)) {
		return true;
	}
	/* Who is busy calls soon, and what it records until we come must fit its first segment. */
	wait_ns = (now - o->since_ns) / 64;
	o->next_ns = now + (wait_ns < 500000 ? 500000 : wait_ns > 20000000 ? 20000000 : wait_ns);
	return false;
}

/* --- the threads ------------------------------------------------------------------------------ */

/* Under lock: the order that is due first, for this thread alone; else how long to wait for it. */
static struct order *take_due(uint64_t now, uint64_t *ret_wait_ns)
{
	struct order *best = NULL;

	*ret_wait_ns = 1000000000;
	for (struct order *o = wakes.first; o != NULL; o = o->next)
		if (!o->busy && (best == NULL || o->next_ns < best->next_ns))
			best = o;
	if (best == NULL)
		return NULL;
	if (best->next_ns > now) {
		*ret_wait_ns = best->next_ns - now;
		return NULL;
	}
	best->busy = true;
	return best;
}

static void remove_order(struct order *o)
{
	struct order **at = &wakes.first;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	wakes.count--;
	free_order(o);
}

static bool is_stuck(uint32_t uid)
{
	for (int i = 0; i < WAKERS_MAX; i++)
		if (wakes.waker[i].given_up && wakes.waker[i].uid == uid)
			return true;
	return false;
}

static void wait_for_more(uint64_t ns)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	ns += (uint64_t)until.tv_nsec;
	until.tv_sec += (time_t)(ns / 1000000000u);
	until.tv_nsec = (long)(ns % 1000000000u);
	(void)pthread_cond_timedwait(&wakes.more, &wakes.lock, &until);
}

static uint32_t owner_of(int32_t pid)
{
	char path[32];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return stat(path, &st) < 0 ? 0 : st.st_uid;
}

struct start {
	struct door *d;
	struct waker *w;
};

static void *work(void *arg)
{
	struct start s = *(struct start *)arg;
	struct waker *w = s.w;

	free(arg);
	pthread_mutex_lock(&wakes.lock);
	while (!w->given_up) {
		uint64_t wait_ns;
		struct order *o = take_due(fa_mono_ns(), &wait_ns);
		bool done;

		if (o == NULL) {
			wait_for_more(wait_ns);
			continue;
		}
		w->uid = o->written ? o->info.uid
				    : owner_of(o->ask.kind == FA_WAKE_SLEEPER ? o->who.pid
									      : pid_of(o->who.pidfd));
		done = is_stuck(w->uid);
		w->busy_ns = fa_mono_ns();
		pthread_mutex_unlock(&wakes.lock);
		if (done && !o->written)
			tell(s.d, o, -ETIMEDOUT);
		done = done || serve(s.d, o);
		pthread_mutex_lock(&wakes.lock);
		w->busy_ns = 0;
		o->busy = false;
		if (done)
			remove_order(o);
	}
	*w = (struct waker){0};
	pthread_mutex_unlock(&wakes.lock);
	return NULL;
}

static int start_waker(struct door *d)
{
	struct start *s = malloc(sizeof(*s));
	pthread_t thread;
	int i = 0, e;

	if (s == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&wakes.lock);
	while (i < WAKERS_MAX && wakes.waker[i].runs)
		i++;
	if (i < WAKERS_MAX)
		wakes.waker[i] = (struct waker){.runs = true};
	pthread_mutex_unlock(&wakes.lock);
	*s = (struct start){d, &wakes.waker[i < WAKERS_MAX ? i : 0]};
	e = i < WAKERS_MAX ? pthread_create(&thread, NULL, work, s) : EAGAIN;
	if (e != 0) {
		if (i < WAKERS_MAX)
			wakes.waker[i].runs = false;
		free(s);
		return -e;
	}
	pthread_detach(thread);
	return 0;
}

int wakes_start(struct door *d)
{
	return start_waker(d);
}

/* The main thread: who hangs at a process is given up, and another takes his place. */
void wakes_turn(struct door *d)
{
	uint64_t now = fa_mono_ns();
	bool hangs = false;

	pthread_mutex_lock(&wakes.lock);
	for (int i = 0; i < WAKERS_MAX; i++) {
		struct waker *w = &wakes.waker[i];

		if (!w->runs || w->given_up || w->busy_ns == 0 || w->busy_ns > now ||
		    now - w->busy_ns < STUCK_MS * 1000000ull)
			continue;
		w->given_up = hangs = true;
	}
	pthread_mutex_unlock(&wakes.lock);
	if (hangs) {
		log_line("looking at a running program took too long");
		if (start_waker(d) < 0)
			log_line("no further thread for waking programs can be started");
	}
}

/* What the collector says of who asks is not believed: his socket says it. */
static int who_asks(struct order *o, const int fds[MSG_FDS])
{
	socklen_t len = sizeof(o->by);

	if (o->ask.kind == FA_WAKE_SLEEPER) {
		o->by = (struct ucred){0};
		return sleepers_take(o->ask.pid, &o->who) ? 0 : -ESRCH;
	}
	if (fds[0] < 0 || fds[1] < 0 ||
	    getsockopt(fds[1], SOL_SOCKET, SO_PEERCRED, &o->by, &len) < 0)
		return -EINVAL;
	o->who = (struct sleeper){.pidfd = fds[0], .attach = o->ask.attach};
	return 0;
}

/* Under lock: each of them may become an arena, so it is the limit of these. */
static bool has_too_many(const struct door *d, uint32_t uid)
{
	uint32_t n = 0;

	for (const struct order *o = wakes.first; o != NULL && uid != 0; o = o->next)
		n += o->by.uid == uid;
	return n >= d->settings->config.arenas_per_user && uid != 0;
}

void wakes_ask(struct door *d, const struct fa_msg_wake *wake, int fds[MSG_FDS])
{
	struct order *o = calloc(1, sizeof(*o));
	int e = -ENOMEM;

	if (o == NULL)
		return;
	o->ask = *wake;
	o->who.pidfd = o->proc_fd = o->mem_fd = -1;
	pthread_mutex_lock(&wakes.lock);
	e = wakes.count < ORDERS_MAX ? who_asks(o, fds) : -EAGAIN;
	if (e == 0 && has_too_many(d, o->by.uid)) {
		o->who.pidfd = -1; /* still the caller's */
		e = -EDQUOT;
	}
	if (e == 0) {
		if (o->ask.kind != FA_WAKE_SLEEPER)
			fds[0] = -1;
		o->next = wakes.first;
		wakes.first = o;
		wakes.count++;
		pthread_cond_signal(&wakes.more);
	}
	pthread_mutex_unlock(&wakes.lock);
	if (e < 0) {
		tell(d, o, e);
		free_order(o);
	}
}
