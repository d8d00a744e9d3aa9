/* run_starts.c - see run_starts.h. */
#include "cli/run_starts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "collector/connector.h"
#include "collector/unseen.h"
#include "format/arena_format.h"
#include "format/control_format.h"

enum {
	PIDS = 4 << 20, /* PID_MAX_LIMIT */
	STARTS_MAX = 65536,
	EARLY_MAX = 256,
	FILES_MAX = 64,
	READS_A_TURN = 4096,
	RECEIVE_BUFFER = 4 << 20,
	LATE_MS = 300,
};

/* A program that started and has not come yet. */
struct start {
	int32_t pid;
	uint32_t uid;
	uint32_t reason; /* NOT_LOADED: it has the library in its environment, so it should come */
	uint64_t when_ns;
	char image[FA_IMAGE_NAME];
};

/* What was found out about an executable. */
struct file {
	dev_t dev;
	ino_t ino;
	uint32_t reason;
};

struct fa_run_starts {
	int fd;
	unsigned char *ours; /* a bit a pid */
	struct start *start;
	size_t count, room;
	int32_t early[EARLY_MAX]; /* came before we heard of their start */
	unsigned earlies;
	struct file file[FILES_MAX];
	unsigned files;
	uint64_t unknown;
};

static void set_ours(struct fa_run_starts *s, int32_t pid, bool ours)
{
	if (pid <= 0 || pid >= PIDS)
		return;
	if (ours)
		s->ours[pid / 8] |= (unsigned char)(1 << (pid & 7));
	else
		s->ours[pid / 8] &= (unsigned char)~(1 << (pid & 7));
}

static bool is_ours(const struct fa_run_starts *s, int32_t pid)
{
	return pid > 0 && pid < PIDS && (s->ours[pid / 8] >> (pid & 7) & 1);
}

struct fa_run_starts *fa_run_starts_new(void)
{
	struct fa_run_starts *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->ours = calloc(1, PIDS / 8);
	s->fd = s->ours == NULL ? -1 : fa_connector_open(RECEIVE_BUFFER);
	if (s->fd >= 0)
		return s;
	free(s->ours);
	free(s);
	return NULL;
}

void fa_run_starts_watch(struct fa_run_starts *s, pid_t command)
{
	if (s != NULL)
		set_ours(s, command, true);
}

static uint32_t reason_of_file(struct fa_run_starts *s, int fd, int32_t pid)
{
	struct stat st;
	uint32_t reason;

	if (fstat(fd, &st) < 0)
		return FA_REASON_UNKNOWN;
	for (unsigned i = 0; i < s->files && i < FILES_MAX; i++)
		if (s->file[i].ino == st.st_ino && s->file[i].dev == st.st_dev)
			return s->file[i].reason;
	reason = fa_unseen_reason(fd, pid);
	s->file[s->files++ % FILES_MAX] = (struct file){st.st_dev, st.st_ino, reason};
	return reason;
}

/* Whether the library is to be loaded at all. */
static bool has_environment(int proc_fd)
{
	static const char want[] = FA_RUN_ENV "=";
	char *buf;
	size_t size = 0, room = 256 << 10;
	ssize_t n = 1;
	int fd = openat(proc_fd, "environ", O_RDONLY | O_CLOEXEC);
	bool found = false;

	if (fd < 0)
		return true;
	buf = malloc(room);
	while (buf != NULL && size < room && (n = read(fd, buf + size, room - size)) > 0)
		size += (size_t)n;
	/* Empty: it may have ended. */
	found = buf == NULL || size == room ||
		(size == 0 && readlinkat(proc_fd, "exe", buf, room) <= 0) ||
		memmem(buf, size, want, sizeof(want) - 1) != NULL;
	free(buf);
	close(fd);
	return found;
}

static void name_by_comm(int proc_fd, struct start *start)
{
	int fd = openat(proc_fd, "comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, start->image, sizeof(start->image) - 1);

	start->image[n > 0 ? n - 1 : 0] = '\0'; /* without its newline */
	if (fd >= 0)
		close(fd);
}

/* Which program is it? What stays UNKNOWN is one that we may not look at, or that has ended. */
static void look(struct fa_run_starts *s, struct start *start)
{
	char path[64], exe[1024];
	struct stat st;
	ssize_t n;
	int proc_fd, fd;

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)start->pid);
	proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc_fd < 0)
		return;
	if (fstat(proc_fd, &st) == 0)
		start->uid = st.st_uid;
	n = readlinkat(proc_fd, "exe", exe, sizeof(exe) - 1);
	if (n <= 0) {
		/* Of what has other rights than we the link is closed to us: nothing preloads there. */
		if (n < 0 && errno == EACCES)
			start->reason = FA_REASON_SECURE;
		name_by_comm(proc_fd, start);
	} else {
		exe[n] = '\0';
		(void)snprintf(start->image, sizeof(start->image), "%s", fa_base_name(exe));
		fd = openat(proc_fd, "exe", O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			start->reason = reason_of_file(s, fd, start->pid);
		if (fd >= 0)
			close(fd);
		if (start->reason == FA_REASON_NOT_LOADED && has_environment(proc_fd))
			start->reason = FA_REASON_UNKNOWN;
	}
	close(proc_fd);
}

static bool came_early(struct fa_run_starts *s, int32_t pid)
{
	for (unsigned i = 0; i < s->earlies; i++)
		if (s->early[i] == pid) {
			s->early[i] = s->early[--s->earlies];
			return true;
		}
	return false;
}

static bool make_room(struct fa_run_starts *s)
{
	size_t room = s->room ? s->room * 2 : 64;
	struct start *p;

	if (s->count < s->room)
		return true;
	p = s->count >= STARTS_MAX ? NULL : realloc(s->start, room * sizeof(struct start));
	if (p == NULL)
		return false;
	s->start = p;
	s->room = room;
	return true;
}

static void on_exec(struct fa_run_starts *s, int32_t pid, uint64_t when)
{
	struct start *start;

	if (came_early(s, pid))
		return;
	if (!make_room(s)) {
		s->unknown++;
		return;
	}
	start = &s->start[s->count++];
	*start = (struct start){.pid = pid, .reason = FA_REASON_UNKNOWN, .when_ns = when};
	start->uid = geteuid();
	look(s, start);
}

static void on_event(void *ctx, const struct proc_event *e)
{
	struct fa_run_starts *s = ctx;

	switch ((unsigned)e->what) {
	case PROC_EVENT_FORK:
		if (e->event_data.fork.child_pid == e->event_data.fork.child_tgid &&
		    is_ours(s, e->event_data.fork.parent_tgid))
			set_ours(s, e->event_data.fork.child_pid, true);
		break;
	case PROC_EVENT_EXEC:
		if (is_ours(s, e->event_data.exec.process_tgid))
			on_exec(s, e->event_data.exec.process_tgid, e->timestamp_ns);
		break;
	case PROC_EVENT_EXIT:
		if (e->event_data.exit.process_pid == e->event_data.exit.process_tgid)
			set_ours(s, e->event_data.exit.process_tgid, false);
		break;
	default:
		break;
	}
}

void fa_run_starts_turn(struct fa_run_starts *s)
{
	int r = s == NULL ? 0 : 1;

	for (int i = 0; i < READS_A_TURN && r == 1; i++)
		r = fa_connector_read(s->fd, on_event, s);
	if (r == -ENOBUFS)
		s->unknown++; /* at least one */
}

/* What is said of the file alone does not keep a program from loading the library and refusing, or from
 * being traced (set-user-id, started by root). */
static bool can_come(const struct start *start)
{
	switch (start->reason) {
	case FA_REASON_UNKNOWN:
	case FA_REASON_SANITIZER:
	case FA_REASON_OWN_ALLOCATOR:
	case FA_REASON_SECURE:
		return true;
	default:
		return false;
	}
}

/* It was the first of this pid's that can have come. */
void fa_run_starts_came(void *starts, int32_t pid)
{
	struct fa_run_starts *s = starts;

	for (size_t i = 0; i < s->count; i++)
		if (s->start[i].pid == pid && can_come(&s->start[i])) {
			memmove(&s->start[i], &s->start[i + 1],
				(--s->count - i) * sizeof(struct start));
			return;
		}
	if (s->earlies < EARLY_MAX)
		s->early[s->earlies++] = pid;
}

static bool is_wanted(const struct start *start, const char *const *only, int only_count)
{
	for (int i = 0; i < only_count; i++)
		if (strcmp(start->image, only[i]) == 0)
			return true;
	return only_count == 0;
}

/* It lives and may come yet. */
static bool is_on_its_way(const struct start *start)
{
	return start->reason == FA_REASON_UNKNOWN &&
	       fa_mono_ns() - start->when_ns < LATE_MS * 1000000ull && kill(start->pid, 0) == 0;
}

int64_t fa_run_starts_finish(struct fa_run_starts *s, pid_t but, const char *const *only, int only_count,
			     const struct fa_sink *sink)
{
	int64_t n = 0;

	if (s == NULL)
		return 0;
	fa_run_starts_turn(s);
	for (size_t i = 0; i < s->count; i++) {
		const struct start *start = &s->start[i];
		struct fa_rec_coverage r = {
			.pid = start->pid, .uid = start->uid, .reason = start->reason};
		int e;

		if (start->pid == but) {
			but = 0;
			continue;
		}
		if (!is_wanted(start, only, only_count) || is_on_its_way(start))
			continue;
		e = sink->record(sink->ctx, FA_TAG_COVERAGE, &r, sizeof(r), start->image,
				 strlen(start->image) + 1, NULL, 0);
		if (e < 0)
			return e;
		n++;
	}
	return n + (int64_t)s->unknown;
}

void fa_run_starts_free(struct fa_run_starts *s)
{
	if (s == NULL)
		return;
	close(s->fd);
	free(s->ours);
	free(s->start);
	free(s);
}
