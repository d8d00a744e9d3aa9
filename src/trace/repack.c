/*
 * repack.c - see repack.h. Record by record through the one reader and the one writer: checksums are
 * checked on the way, so damage is not sealed in.
 */
#include "trace/repack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "trace/reader.h"
#include "trace/writer.h"

enum {
	STEP = 4 << 20,        /* bytes between two questions */
	TRIED = 1 << 20,       /* so much is enough to see whether it pays */
	SAVES_AT_LEAST = 8,    /* an eighth */
	SPARE_BYTES = 64 << 20 /* that others on this file system keep */
};

/* How the name of the new file ends until it is done. */
#define BESIDE ".packed"

struct repack {
	struct fa_trace_reader *reader;
	struct fa_trace_writer *writer;
	fa_repack_go_on *go_on;
	void *ctx;
	uint64_t told;
	bool ended;
};

/* Only a file of one name, the one at `path`, can be replaced without anybody being surprised; and only our
 * own, for the new one is ours. */
static int check_file(const char *path, int fd, struct stat *ret)
{
	struct stat by_name;

	if (fstat(fd, ret) < 0 || lstat(path, &by_name) < 0)
		return -errno;
	if (!S_ISREG(ret->st_mode) || ret->st_nlink != 1 || by_name.st_dev != ret->st_dev ||
	    by_name.st_ino != ret->st_ino || ret->st_uid != geteuid())
		return -ESTALE;
	return 0;
}

/* Group and rights as they were, but none that a program would have. */
static int take_rights(int to, const struct stat *st)
{
	struct stat now;

	if (fstat(to, &now) < 0)
		return -errno;
	if (now.st_gid != st->st_gid && fchown(to, (uid_t)-1, st->st_gid) < 0)
		return -errno;
	return fchmod(to, st->st_mode & 0777) < 0 ? -errno : 0;
}

/* The old file and the new one are there at once. */
static int check_space(int fd, uint64_t size)
{
	struct statvfs fs;

	if (fstatvfs(fd, &fs) < 0)
		return -errno;
	return (uint64_t)fs.f_bavail * fs.f_frsize < size + SPARE_BYTES ? -ENOSPC : 0;
}

static bool pays(uint64_t before, uint64_t after)
{
	return after <= before - before / SAVES_AT_LEAST;
}

static int copy_record(struct repack *p, const struct fa_trace_record *rec)
{
	if (rec->tag == FA_TAG_END) {
		const unsigned char *tail = rec->tail;
		size_t len = rec->tail_len;

		p->ended = true;
		return fa_trace_writer_end(p->writer, rec->head, fa_trace_string(&tail, &len));
	}
	return fa_trace_write(p->writer, rec->tag, rec->head, (size_t)fa_trace_tag_size(rec->tag),
			      rec->tail, rec->tail_len, NULL, 0);
}

static int look_up(struct repack *p)
{
	uint64_t at = fa_trace_reader_position(p->reader);
	uint64_t bytes = fa_trace_writer_bytes(p->writer);

	if (at >= TRIED && !pays(at, bytes))
		return -ENODATA;
	if (at - p->told < STEP)
		return 0;
	p->told = at;
	return p->go_on(p->ctx, at, fa_trace_reader_size(p->reader)) ? 0 : -ECANCELED;
}

static int copy_all(struct repack *p)
{
	struct fa_trace_record rec;
	int r;

	while ((r = fa_trace_reader_next(p->reader, &rec)) > 0) {
		r = copy_record(p, &rec);
		if (r == 0)
			r = look_up(p);
		if (r < 0)
			return r;
	}
	struct fa_trace_damage damage = fa_trace_reader_damage(p->reader);

	/* What a newer version wrote would be left out: not for us to throw away. */
	if (r == 0 && (!p->ended || damage.damaged || damage.cut || damage.unknown_records != 0))
		r = -EBADMSG;
	return r;
}

static int copy_file(struct repack *p, const char *path, int to, uint64_t *ret_bytes)
{
	struct fa_trace_writer_options o = {.codec = FA_CODEC_ZSTD};
	int r = fa_trace_reader_open(path, &p->reader);

	if (r == 0) {
		o.same_trace = fa_trace_reader_header(p->reader);
		r = fa_trace_writer_open(to, &o, &p->writer);
	}
	if (r == 0)
		r = copy_all(p);
	if (r == 0) {
		*ret_bytes = fa_trace_writer_bytes(p->writer);
		if (!pays(fa_trace_reader_size(p->reader), *ret_bytes))
			r = -ENODATA;
	}
	fa_trace_writer_free(p->writer);
	fa_trace_reader_free(p->reader);
	return r;
}

int fa_trace_repack(const char *path, int fd, fa_repack_go_on *go_on, void *ctx,
		    uint64_t *ret_bytes)
{
	struct repack p = {.go_on = go_on, .ctx = ctx};
	FA_CLEANUP(fa_close) int to = -1;
	char *name = NULL;
	uint64_t bytes = 0;
	struct stat st;
	int r = check_file(path, fd, &st);

	if (r == 0)
		r = check_space(fd, (uint64_t)st.st_size);
	if (r < 0)
		return r;
	if (asprintf(&name, "%s.XXXXXX%s", path, BESIDE) < 0)
		return -ENOMEM;
	to = mkostemps(name, sizeof(BESIDE) - 1, O_CLOEXEC);
	if (to < 0) {
		r = -errno;
		free(name);
		return r;
	}
	r = copy_file(&p, path, to, &bytes);
	if (r == 0)
		r = take_rights(to, &st);
	if (r == 0 && rename(name, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(name);
	else
		*ret_bytes = bytes;
	free(name);
	return r;
}
