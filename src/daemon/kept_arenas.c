/*
 * kept_arenas.c - what a doorman leaves to its successor: which arenas are attached, and whose they are.
 *
 * As long as the collector lives, the new doorman gets all from it. This is for the case that both die in the
 * same moment: then nobody has a descriptor of the arenas, but the programs have them mapped. The keeper
 * holds this memory and never reads it. What is believed of an arena - its user above all - stands here
 * and not in the arena, where the program can write; what is looked for in the programs is the kernel's number of
 * that very memory.
 *
 * The first process of a family is asked first. When it is gone one of its children may have the arena, so
 * all processes are searched for what is left. That takes as long as those processes like: it has a thread of
 * its own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/parse.h"
#include "daemon/doorman.h"

struct kept_arenas {
	_Atomic uint64_t handle[DOOR_ARENAS_MAX]; /* 0: free; stored last */
	struct fa_msg_arena info[DOOR_ARENAS_MAX];
};

/* Of our predecessor, not yet found; the thread's own. */
struct search {
	struct door *d;
	size_t count, found;
	struct {
		uint64_t handle;
		bool found;
	} want[];
};

void kept_open(struct door *d, int fd)
{
	void *p = MAP_FAILED;

	if (ftruncate(fd, sizeof(struct kept_arenas)) == 0)
		p = mmap(NULL, sizeof(struct kept_arenas), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		d->kept = p;
	else
		log_line("no memory for a successor: %s", fa_strerror(-errno));
}

static int place_of(const struct door *d, uint64_t handle)
{
	for (int i = 0; d->kept != NULL && i < DOOR_ARENAS_MAX; i++)
		if (atomic_load(&d->kept->handle[i]) == handle)
			return i;
	return -1;
}

bool kept_info(const struct door *d, uint64_t handle, struct fa_msg_arena *ret)
{
	int i = place_of(d, handle);

	if (i >= 0)
		*ret = d->kept->info[i];
	return i >= 0 && ret->handle == handle;
}

/* Under lock, both. */
void kept_put(struct door *d, const struct fa_msg_arena *info)
{
	int i = place_of(d, info->handle);

	if (i < 0)
		i = place_of(d, 0);
	if (i < 0)
		return;
	atomic_store(&d->kept->handle[i], 0);
	d->kept->info[i] = *info;
	atomic_store(&d->kept->handle[i], info->handle);
}

void kept_drop(struct door *d, uint64_t handle)
{
	int i = place_of(d, handle);

	if (i >= 0)
		atomic_store(&d->kept->handle[i], 0);
}

static bool is_attached(int fd)
{
	uint32_t word;

	return pread(fd, &word, 4, offsetof(struct fa_arena_header, answer)) == 4 &&
	       word == FA_ANSWER_ATTACHED;
}

/* `fd`: /proc/PID. When it still answers, the number is still this process's, and so is the pidfd. */
static int pidfd_of(int proc_fd, int32_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct stat st;

	if (fd >= 0 && fstatat(proc_fd, "stat", &st, 0) < 0)
		close_fds(&fd, 1);
	return fd;
}

/* Found. `proc_fd`: of its first process, -1: that is gone. */
static void adopt(struct door *d, struct fa_msg_arena *info, int path_fd, int proc_fd)
{
	int fd = bell_reopen(path_fd, O_RDWR), pidfd = -1;

	if (fd >= 0 && is_attached(fd)) { /* else the collector let go of it meanwhile */
		if (proc_fd >= 0) {
			pidfd = pidfd_of(proc_fd, info->pid);
			door_arrived(d, info->pid, false);
		}
		info->adopted = 1;
		if (door_arena_add(d, info, fd, pidfd, true) == ADD_OK) {
			door_take_size(d, info, fd);
			door_send_unsent(d);
		}
	}
	close_fds(&pidfd, 1);
	close_fds(&fd, 1);
}

/* Does this process have the arena? */
static bool look_in(struct search *s, size_t n, int proc_fd, bool first)
{
	struct fa_msg_arena info;
	uint64_t ino;
	int fd;

	if (!kept_info(s->d, s->want[n].handle, &info))
		return false;
	fd = bell_find_grown(s->d, proc_fd, fa_arena_slot_address(info.slot), info.size, &ino);
	if (fd < 0)
		return false;
	if (ino == info.handle) {
		adopt(s->d, &info, fd, first ? proc_fd : -1);
		s->want[n].found = true;
		s->found++;
	}
	close(fd);
	return ino == info.handle;
}

static void ask_first_processes(struct search *s)
{
	for (size_t n = 0; n < s->count; n++) {
		struct fa_msg_arena info;
		int proc_fd = kept_info(s->d, s->want[n].handle, &info) ? bell_process(info.pid) : -1;

		if (proc_fd >= 0)
			(void)look_in(s, n, proc_fd, true);
		close_fds(&proc_fd, 1);
	}
}

/* A process has at most one arena that is attached: those of the programs that it was before are left. */
static void ask_process(struct search *s, int32_t pid)
{
	int proc_fd = bell_process(pid);

	for (size_t n = 0; n < s->count && proc_fd >= 0; n++)
		if (!s->want[n].found && look_in(s, n, proc_fd, false))
			break;
	close_fds(&proc_fd, 1);
}

static void ask_all_processes(struct search *s)
{
	DIR *dir = opendir("/proc");
	const struct dirent *e;
	uint64_t pid;

	while (dir != NULL && s->found < s->count && (e = readdir(dir)) != NULL)
		if (fa_parse_u64(e->d_name, &pid) == 0 && pid <= INT32_MAX)
			ask_process(s, (int32_t)pid);
	if (dir != NULL)
		(void)closedir(dir);
}

static void *search(void *arg)
{
	struct search *s = arg;

	ask_first_processes(s);
	ask_all_processes(s);
	for (size_t n = 0; n < s->count; n++)
		if (!door_arena_known(s->d, s->want[n].handle)) {
			pthread_mutex_lock(&s->d->lock);
			kept_drop(s->d, s->want[n].handle);
			pthread_mutex_unlock(&s->d->lock);
		}
	if (s->found > 0)
		log_line("%zu of %zu programs found again", s->found, s->count);
	free(s);
	return NULL;
}

void kept_search(struct door *d)
{
	struct search *s;
	pthread_t thread;
	size_t count = 0;

	for (int i = 0; d->kept != NULL && i < DOOR_ARENAS_MAX; i++)
		count += atomic_load(&d->kept->handle[i]) != 0;
	s = count > 0 ? calloc(1, sizeof(*s) + count * sizeof(s->want[0])) : NULL;
	if (s == NULL)
		return;
	s->d = d;
	for (int i = 0; i < DOOR_ARENAS_MAX && s->count < count; i++) {
		uint64_t handle = atomic_load(&d->kept->handle[i]);

		if (handle != 0)
			s->want[s->count++].handle = handle;
	}
	if (pthread_create(&thread, NULL, search, s) == 0)
		pthread_detach(thread);
	else
		free(s);
}
