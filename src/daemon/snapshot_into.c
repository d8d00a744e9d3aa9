/*
 * snapshot_into.c - a snapshot into the trace of a session that runs.
 *
 * Who takes it has looked at the table himself (snapshots.c), sorted what he found, and gives us the records
 * in a memfd that nobody can change any more: neither the program nor other programs' traces wait for that. We
 * check the records, put in the number that the process has in the session's trace, and write a few of them a
 * turn, so that buffers are served meanwhile. One snapshot at a time: another is told to come again.
 *
 * What stands in the records is the caller's word. He may stop the session, so its trace is his in any case.
 *
 * A process that keeps a table and records no events is in no session by its flags: it joins, by name, the
 * first that wants a snapshot of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "daemon/collector.h"

enum { PART_NS = 2000000, TAIL_MAX = 1 << 20 };

/* The one that is being written. */
static struct {
	uint64_t number; /* of the client's waits_into; 0: there is none */
	uint64_t session;
	uint32_t process; /* as the collector has it */
	bool begun, ended; /* SNAPSHOT, SNAPSHOT_END were written */
	const unsigned char *bytes;
	size_t size, at;
} into;

static uint64_t numbers;

static void forget(void)
{
	if (into.bytes != NULL)
		(void)munmap((void *)(uintptr_t)into.bytes, into.size);
	memset(&into, 0, sizeof(into));
}

/* *ret_size: of bytes that stay as they are. */
static const char *refuse_records(int fd, size_t *ret_size)
{
	const int want = F_SEAL_SHRINK | F_SEAL_WRITE;
	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & want) != want || fstat(fd, &st) < 0)
		return "no sealed memory came along";
	if (st.st_size < (off_t)sizeof(struct fa_snapshot_part) ||
	    st.st_size > (off_t)FA_SNAPSHOT_PARTS_MAX)
		return "it is larger than a gigabyte, or nothing";
	*ret_size = (size_t)st.st_size;
	return NULL;
}

/* Two halves of one in two files, or one that is written over, are of no use. */
static bool holds_whole(const struct session *s)
{
	return (s->o.log_file_mode & (FA_LOG_MODES & ~(FA_LOG_SEQUENTIAL | FA_LOG_APPEND))) == 0 &&
	       !fa_session_real_time_only(&s->o);
}

/* The number of the process, described in the session's trace; 0: said why not. */
static uint32_t join(struct collector *c, struct client *cl, struct session *s, struct family *fam)
{
	if ((fam->mask >> s->index & 1) == 0 && fa_family_has_events(fam->f)) {
		client_say(cl, EINVAL, "session %s does not record it; --session names another, -o a file",
			   s->o.name);
		return 0;
	}
	if ((fam->mask >> s->index & 1) == 0)
		family_name(c, s, fam->info.handle);
	else
		(void)family_drain(fam); /* what the blocks refer to */
	for (size_t k = 0; k < fa_family_processes(fam->f); k++) {
		struct fa_family_process p;

		fa_family_process_at(fam->f, k, &p);
		if (p.live && p.pid == fam->info.pid)
			return p.process;
	}
	client_say(cl, ESRCH, "it has ended; -o FILE takes what it left, for a minute");
	return 0;
}

static void begin(struct client *cl, const struct session *s, uint32_t process, int fd, size_t size)
{
	/* Shared, a sealed memfd cannot be mapped on kernels before 6.7. */
	void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (bytes == MAP_FAILED) {
		client_say(cl, errno, "the snapshot: %s", fa_strerror(-errno));
		return;
	}
	into.number = cl->waits_into = ++numbers;
	into.session = s->id;
	into.process = process;
	into.bytes = bytes;
	into.size = size;
}

bool snapshot_into(struct collector *c, struct client *cl, const struct fa_control_request *q, int fd)
{
	struct session *s = client_find(c, cl, q);
	struct family *fam = snapshot_family(c, cl, q->pid);
	size_t size = 0;
	const char *what = refuse_records(fd, &size);
	uint32_t process;

	if (s == NULL)
		return true;
	if (s->ended)
		client_say(cl, EINVAL, "session %s has ended", s->o.name);
	else if (!holds_whole(s))
		client_say(cl, EINVAL,
			   "session %s is %s: its trace does not keep all that it was given; -o FILE takes it",
			   s->o.name, fa_log_mode_name(s->o.log_file_mode));
	else if (fam == NULL || !fam->table)
		client_say(cl, ENOENT, "it keeps no table of live blocks ('firstalloc snapshot config')");
	else if (what != NULL)
		client_say(cl, EINVAL, "%s", what);
	else if (into.number != 0)
		client_say(cl, EBUSY, "another snapshot is being written into a session; try again");
	else if ((process = join(c, cl, s, fam)) != 0)
		begin(cl, s, process, fd, size);
	return cl->waits_into == 0;
}

/* The next record, checked, with `head` copied to be changed; NULL: none, or what stands there is none. */
static const struct fa_snapshot_part *next_part(unsigned char head[SHIFTED_MAX], const unsigned char **ret_tail)
{
	const struct fa_snapshot_part *p = (const void *)(into.bytes + into.at);
	size_t left = into.size - into.at, whole;

	if (left < sizeof(*p) || p->head_len > SHIFTED_MAX || p->tail_len > TAIL_MAX ||
	    fa_trace_tag_size(p->tag) != (int)p->head_len)
		return NULL;
	whole = (sizeof(*p) + p->head_len + p->tail_len + 7) & ~(size_t)7;
	if (whole > left)
		return NULL;
	memcpy(head, p + 1, p->head_len);
	*ret_tail = (const unsigned char *)(p + 1) + p->head_len;
	into.at += whole;
	return p;
}

static bool is_in_order(uint32_t tag, const unsigned char *head)
{
	const struct fa_rec_snapshot *snapshot = (const void *)head;

	switch (tag) {
	case FA_TAG_THREAD:
		return !into.begun;
	case FA_TAG_SNAPSHOT: /* 0 would make it a file of its own */
		return !into.begun && snapshot->take != 0;
	case FA_TAG_BLOCKS:
	case FA_TAG_SNAPSHOT_END:
		return into.begun && !into.ended;
	default:
		return false;
	}
}

/* One record. false: there is none, or a bad one. */
static bool write_part(struct collector *c, struct session *s)
{
	_Alignas(8) unsigned char head[SHIFTED_MAX];
	const unsigned char *tail = NULL;
	const struct fa_snapshot_part *p = next_part(head, &tail);

	if (p == NULL || !is_in_order(p->tag, head))
		return false;
	memcpy(head, &into.process, sizeof(into.process)); /* it stands first in each of them */
	into.begun |= p->tag == FA_TAG_SNAPSHOT;
	into.ended |= p->tag == FA_TAG_SNAPSHOT_END;
	session_record(s, c->beat, p->tag, head, p->head_len, tail, p->tail_len, NULL, 0);
	return true;
}

static struct client *client_of(struct collector *c)
{
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (c->client[i].fd >= 0 && c->client[i].waits_into == into.number)
			return &c->client[i];
	return NULL;
}

static struct session *session_of(struct collector *c)
{
	for (unsigned i = 0; i < FA_SESSIONS_MAX; i++)
		if (c->session[i].used && c->session[i].id == into.session)
			return &c->session[i];
	return NULL;
}

bool snapshot_into_turn(struct collector *c)
{
	struct client *cl = into.number != 0 ? client_of(c) : NULL;
	struct session *s = cl != NULL ? session_of(c) : NULL;
	uint64_t until = fa_mono_ns() + PART_NS;
	bool good = true;

	if (into.number == 0)
		return false;
	while (cl != NULL && s != NULL && !s->ended && s->error == 0 && good && !into.ended) {
		if (fa_mono_ns() > until)
			return true;
		good = write_part(c, s);
	}
	if (cl != NULL && (!into.ended || s->error != 0))
		client_say(cl, good ? EPIPE : EBADMSG, "%s",
			   good ? "the session ended meanwhile" : "its records are malformed");
	else if (cl != NULL)
		journal_commit(c); /* a successor does not cut it off, and readers find it */
	forget();
	if (cl != NULL)
		client_answer(cl);
	return false;
}
