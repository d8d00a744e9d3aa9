/*
 * live.c - see live.h. The memory is a file that has no name: the reader reads it like any other, and what
 * was read is punched out of it, so that it takes no more than what is still to be read.
 */
#include "trace/live.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

enum {
	PIECE = 256 << 10, /* more than any message of a socket has */
	PIECES = 64,       /* taken in at once, before they are read */
	PUNCH = 1 << 20,
	FILE_MS = 10,
};

struct fa_trace_live {
	int fd;  /* -1: the other side has closed, or it is a file */
	int mem; /* all that came */
	bool is_file;
	struct fa_trace_reader *reader; /* NULL: its header is not there yet */
	uint64_t bytes;   /* that came */
	uint64_t punched; /* from its beginning */
	unsigned char piece[PIECE];
};

static void done(struct fa_trace_live **l)
{
	fa_trace_live_free(*l);
}

int fa_trace_live_open(int fd, struct fa_trace_live **ret)
{
	FA_CLEANUP(done) struct fa_trace_live *l = calloc(1, sizeof(*l));
	struct stat st;

	if (l == NULL) {
		fa_close(&fd);
		return -ENOMEM;
	}
	l->fd = l->mem = -1;
	l->is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	if (l->is_file) {
		l->mem = fd;
	} else {
		l->fd = fd;
		l->mem = memfd_create("firstalloc-live", MFD_CLOEXEC);
	}
	if (l->mem < 0)
		return -errno;
	*ret = fa_take_ptr(&l);
	return 0;
}

static void punch(struct fa_trace_live *l)
{
	uint64_t to = l->reader != NULL ? fa_trace_reader_position(l->reader) : 0;

	to -= to % PUNCH;
	/* A kernel that cannot only keeps more. */
	if (to > l->punched && fallocate(l->mem, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					 (off_t)l->punched, (off_t)(to - l->punched)) == 0)
		l->punched = to;
}

/* The reader, once its header may be there. */
static int open_reader(struct fa_trace_live *l)
{
	int fd, e;

	if (l->reader != NULL || l->bytes < sizeof(struct fa_trace_header))
		return 0;
	fd = fcntl(l->mem, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	e = fa_trace_reader_open_fd(fd, &l->reader);
	return e;
}

/* One piece: its length, 0: nothing is there, -ENODATA: closed. */
static ssize_t take_piece(struct fa_trace_live *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};
	ssize_t n;
	int e;

	if (poll(&p, 1, 0) <= 0)
		return 0;
	n = read(l->fd, l->piece, sizeof(l->piece));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : errno == ECONNRESET ? -ENODATA : -errno;
	if (n == 0)
		return -ENODATA;
	e = fa_write_all(l->mem, l->piece, (size_t)n);
	if (e < 0)
		return e;
	l->bytes += (uint64_t)n;
	return n;
}

/* Nobody tells us that a file has grown. */
static int wait_for_file(struct fa_trace_live *l, int timeout_ms)
{
	uint64_t before = l->bytes;
	struct stat st;
	int e;

	punch(l);
	for (int ms = 0;; ms += FILE_MS) {
		if (fstat(l->mem, &st) < 0)
			return -errno;
		l->bytes = (uint64_t)st.st_size;
		if (l->bytes != before || (timeout_ms >= 0 && ms >= timeout_ms))
			break;
		if (poll(NULL, 0, FILE_MS) < 0)
			return -errno;
	}
	e = open_reader(l);
	return e < 0 ? e : l->bytes != before;
}

int fa_trace_live_wait(struct fa_trace_live *l, int timeout_ms)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};
	ssize_t n = 1;
	bool some = false;
	int e;

	if (l->is_file)
		return wait_for_file(l, timeout_ms);
	if (l->fd < 0)
		return -ENODATA;
	if (poll(&p, 1, timeout_ms) < 0)
		return -errno;
	punch(l);
	for (int i = 0; i < PIECES && n > 0; i++) {
		n = take_piece(l);
		some |= n > 0;
	}
	if (n == -ENODATA)
		fa_close(&l->fd);
	else if (n < 0)
		return (int)n;
	e = open_reader(l);
	if (e < 0)
		return e;
	return some ? 1 : l->fd < 0 ? -ENODATA : 0;
}

int fa_trace_live_next(struct fa_trace_live *l, struct fa_trace_record *ret)
{
	return l->reader != NULL ? fa_trace_reader_next(l->reader, ret) : 0;
}

struct fa_trace_damage fa_trace_live_damage(const struct fa_trace_live *l)
{
	if (l->reader != NULL)
		return fa_trace_reader_damage(l->reader);
	return (struct fa_trace_damage){.cut = true, .what = "nothing came"};
}

int fa_trace_live_fd(const struct fa_trace_live *l)
{
	return l->fd;
}

void fa_trace_live_free(struct fa_trace_live *l)
{
	if (l == NULL)
		return;
	fa_trace_reader_free(l->reader);
	fa_close(&l->fd);
	fa_close(&l->mem);
	free(l);
}
