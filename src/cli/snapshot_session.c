/*
 * snapshot_session.c - snapshots into the trace of a session that runs. As with a file the work is done here;
 * firstallocd gets the records in a sealed memfd, and puts them into its trace when it has time (struct
 * fa_snapshot_part). What describes the process, its modules and stacks, it knows itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "cli/client.h"
#include "cli/snapshot.h"

enum { TURN_S = 60 }; /* so long we wait for our turn */

static int put(FILE *to, const void *bytes, size_t len)
{
	return len == 0 || fwrite(bytes, len, 1, to) == 1 ? 0 : -EIO;
}

static int write_part(void *ctx, unsigned tag, const void *head, size_t head_len, const void *tail,
		      size_t tail_len, const void *tail2, size_t tail2_len)
{
	static const char zeros[8];
	struct fa_snapshot_file *f = ctx;
	const struct fa_snapshot_part part = {tag, (uint32_t)head_len, tail_len + tail2_len};
	struct fa_rec_snapshot snapshot;
	int r;

	if (tag != FA_TAG_THREAD && tag != FA_TAG_SNAPSHOT && tag != FA_TAG_BLOCKS &&
	    tag != FA_TAG_SNAPSHOT_END)
		return 0;
	if (tag == FA_TAG_SNAPSHOT) {
		memcpy(&snapshot, head, sizeof(snapshot));
		snapshot.take = f->take;
		head = &snapshot;
	}
	r = put(f->parts, &part, sizeof(part));
	if (r == 0)
		r = put(f->parts, head, head_len);
	if (r == 0)
		r = put(f->parts, tail, tail_len);
	if (r == 0)
		r = put(f->parts, tail2, tail2_len);
	return r == 0 ? put(f->parts, zeros, -(head_len + tail_len + tail2_len) & 7) : r;
}

void fa_snapshot_session_open(struct fa_snapshot_file *f, const char *name, uint64_t id)
{
	*f = (struct fa_snapshot_file){.fd = -1, .ids = {1, 1}, .take = fa_real_ns(), .session_id = id};
	(void)snprintf(f->session, sizeof(f->session), "%s", name);
	f->sink = (struct fa_sink){.record = write_part, .ctx = f};
}

int fa_snapshot_session_begin(struct fa_snapshot_file *f)
{
	int fd = memfd_create("firstalloc-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	f->parts = fd < 0 ? NULL : fdopen(fd, "w");
	if (f->parts == NULL && fd >= 0)
		close(fd);
	return f->parts == NULL ? -errno : 0;
}

void fa_snapshot_session_drop(struct fa_snapshot_file *f)
{
	if (f->parts != NULL)
		(void)fclose(f->parts);
	f->parts = NULL;
}

static int seal(FILE *parts)
{
	if (fflush(parts) != 0 ||
	    fcntl(fileno(parts), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return 0;
}

int fa_snapshot_session_send(struct fa_snapshot_file *f, int sock, int32_t pid, struct fa_control_reply *ret)
{
	struct fa_control_request request = {
		.verb = FA_CONTROL_SNAPSHOT_INTO, .pid = pid, .session_id = f->session_id};
	const uint64_t until = fa_mono_ns() + TURN_S * 1000000000ull;
	const struct timespec turn = {.tv_nsec = 20000000};
	int r = seal(f->parts);

	(void)snprintf(request.session.name, sizeof(request.session.name), "%s", f->session);
	while (r == 0) {
		r = fa_client_ask(sock, &request, fileno(f->parts), ret, NULL);
		if (r < 0 || ret->error != EBUSY || fa_mono_ns() > until)
			break;
		(void)nanosleep(&turn, NULL);
	}
	fa_snapshot_session_drop(f);
	return r;
}

/* A trace that keeps what it was given, in one file. */
static bool keeps(const struct fa_status_session *s)
{
	return s->state == FA_SESSION_RUNNING && !fa_session_real_time_only(
			&(struct fa_session_options){.log_file_mode = s->log_file_mode}) &&
	       (s->log_file_mode & (FA_LOG_CIRCULAR | FA_LOG_NEWFILE | FA_LOG_BUFFERING)) == 0;
}

bool fa_snapshot_session_of(const struct fa_client_status *status, const struct fa_status_process *p,
			    struct fa_snapshot_file *ret)
{
	for (uint32_t k = 0; k < status->h.sessions; k++) {
		const struct fa_status_session *s = &status->session[k];

		if (!(p->sessions >> s->index & 1) || !keeps(s))
			continue;
		ret->session_id = s->id;
		(void)snprintf(ret->session, sizeof(ret->session), "%.*s", (int)sizeof(s->name) - 1,
			       s->name);
		return true;
	}
	return false;
}
