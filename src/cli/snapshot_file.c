/*
 * snapshot_file.c - snapshots into a file. firstallocd only hands out the arena of the process, for reading: the
 * look at the table, the sorting and the writing are done here, so no traced program waits for them.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "cli/client.h"
#include "cli/snapshot.h"
#include "client/process_block.h"
#include "collector/procfs.h"

static int write_record(void *ctx, unsigned tag, const void *head, size_t head_len,
			const void *tail, size_t tail_len, const void *tail2, size_t tail2_len)
{
	struct fa_snapshot_file *f = ctx;

	return fa_trace_write(f->w, tag, head, head_len, tail, tail_len, tail2, tail2_len);
}

static int write_preface(struct fa_snapshot_file *f)
{
	static const char text[] = "snapshot\0live blocks";
	const struct fa_rec_session s = {
		.start_real = fa_real_ns(), .uid = getuid(), .buffer_size = FA_TRACE_DEFAULT_BLOCK};
	int r = fa_drain_write_machine(&f->sink, fa_drain_clock_source());

	if (r == 0)
		r = write_record(f, FA_TAG_SESSION, &s, sizeof(s), text, sizeof(text), NULL, 0);
	if (r == 0)
		r = fa_drain_write_clock(&f->sink, fa_drain_clock_source());
	return r == 0 ? fa_trace_writer_flush(f->w) : r;
}

int fa_snapshot_file_open(struct fa_snapshot_file *f, const char *path)
{
	const struct fa_trace_writer_options options = {.codec = FA_CODEC_ZSTD};
	int r;

	*f = (struct fa_snapshot_file){.fd = -1, .ids = {1, 1}};
	if (strlen(path) >= sizeof(f->path))
		return -ENAMETOOLONG;
	(void)snprintf(f->path, sizeof(f->path), "%s", path);
	r = fa_client_open_trace(path, &f->fd);
	if (r < 0)
		return r;
	f->sink = (struct fa_sink){.record = write_record, .ctx = f};
	r = fa_trace_writer_open(f->fd, &options, &f->w);
	if (r == 0)
		r = write_preface(f);
	if (r < 0)
		fa_snapshot_file_drop(f);
	return r;
}

static void close_file(struct fa_snapshot_file *f)
{
	fa_trace_writer_free(f->w);
	f->w = NULL;
	fa_close(&f->fd);
}

int fa_snapshot_file_end(struct fa_snapshot_file *f)
{
	const struct fa_rec_end end = {.stamp = fa_drain_stamp(fa_drain_clock_source()),
				       .events = f->blocks,
				       .lost = f->lost};
	int r = fa_drain_write_clock(&f->sink, fa_drain_clock_source()), e;

	e = fa_trace_writer_end(f->w, &end, r < 0 ? fa_strerror(r) : "the snapshot is whole");
	f->bytes = fa_trace_writer_bytes(f->w);
	close_file(f);
	return r < 0 ? r : e;
}

void fa_snapshot_file_drop(struct fa_snapshot_file *f)
{
	if (f->fd >= 0)
		fa_client_drop_trace(f->path, f->fd);
	close_file(f);
}

int fa_snapshot_connect(const char *root, int *sock)
{
	struct pollfd p = {.fd = *sock, .events = POLLIN | POLLRDHUP};

	if (*sock >= 0 && poll(&p, 1, 0) == 0)
		return 0;
	fa_close(sock);
	*sock = fa_client_connect(root);
	return *sock < 0 ? *sock : 0;
}

static void fail(struct fa_snapshot_result *ret, int e, const char *text)
{
	ret->error = e < 0 ? -e : e;
	(void)snprintf(ret->text, sizeof(ret->text), "%s", text);
}

/* Of a fork child whose family records no events nobody but itself knows. */
static void fail_reply(const struct fa_control_reply *reply, struct fa_snapshot_result *ret)
{
	struct fa_process_block b;

	fail(ret, reply->error, reply->text);
	if (reply->error == ENOENT && fa_process_block_read(ret->pid, &b) == 0 &&
	    b.reason == FA_REASON_FORKED)
		fail(ret, reply->error, fa_reason_text(b.reason));
}

/* What was seen, to the session it is for. */
static void send_on(struct fa_snapshot_file *file, int sock, struct fa_snapshot_result *ret)
{
	struct fa_control_reply reply;
	int e = fa_snapshot_session_send(file, sock, ret->pid, &reply);

	if (e < 0)
		fail(ret, e, e == -ETIMEDOUT ? "firstallocd does not answer (time-out): try again"
					     : fa_strerror(e));
	else if (reply.error != 0)
		fail(ret, reply.error, reply.text);
}

static void look(int sock, int arena, struct fa_snapshot_file *file, const struct fa_control_reply *reply,
		 struct fa_snapshot_result *ret)
{
	static struct fa_family_info info;
	struct fa_drain_ids count_only = {1, 1};
	struct fa_family *family;
	int e;

	if (ret->dead || fa_procfs_family_info(ret->pid, &info) < 0)
		memset(&info, 0, sizeof(info));
	info.pid = ret->pid;
	info.uid = reply->arena.uid;
	info.gid = reply->arena.gid;
	(void)snprintf(info.exe, sizeof(info.exe), "%s", reply->arena.exe);
	e = fa_family_view(arena, reply->arena.size, &info, file != NULL ? &file->ids : &count_only,
			   &family);
	if (e < 0) {
		fail(ret, e, e == -EPROTO ? "it keeps time by another clock" : "its arena is damaged");
		return;
	}
	e = file != NULL && file->session[0] != '\0' ? fa_snapshot_session_begin(file) : 0;
	if (e == 0)
		e = fa_family_snapshot(family, file != NULL ? &file->sink : NULL, ret->dead, &ret->of);
	fa_family_free(family);
	if (e == -ENOENT)
		fail(ret, e, "its table has not begun yet");
	else if (e < 0)
		fail(ret, e, fa_strerror(e));
	else if (file != NULL) {
		file->blocks += ret->of.blocks;
		file->lost += ret->of.refused;
	}
	if (e == 0 && file != NULL && file->session[0] != '\0')
		send_on(file, sock, ret);
	else if (file != NULL)
		fa_snapshot_session_drop(file);
}

void fa_snapshot_one(int sock, struct fa_snapshot_file *file, int32_t pid, bool dead_too,
		     struct fa_snapshot_result *ret)
{
	struct fa_control_request request = {.verb = FA_CONTROL_SNAPSHOT, .pid = pid};
	FA_CLEANUP(fa_close) int arena = -1;
	struct fa_control_reply reply;
	int e = fa_client_ask(sock, &request, -1, &reply, &arena);

	*ret = (struct fa_snapshot_result){.pid = pid};
	if (e < 0) {
		fail(ret, e, e == -ETIMEDOUT ? "firstallocd does not answer (time-out): try again"
					     : fa_strerror(e));
		return;
	}
	reply.arena.exe[sizeof(reply.arena.exe) - 1] = '\0';
	(void)snprintf(ret->image, sizeof(ret->image), "%s", fa_base_name(reply.arena.exe));
	ret->dead = reply.arena.dead != 0;
	if (reply.error != 0)
		fail_reply(&reply, ret);
	else if (arena < 0)
		fail(ret, EPROTO, "firstallocd sent no arena");
	else if (ret->dead && !dead_too)
		fail(ret, ESRCH, "it has ended; --post-mortem takes what it left, for a minute");
	else
		look(sock, arena, file, &reply, ret);
}
