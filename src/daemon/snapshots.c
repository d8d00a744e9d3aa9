/*
 * snapshots.c - processes that keep a table of live blocks: who may look at it, and how long it is kept.
 *
 * Who takes a snapshot gets a descriptor of the arena, for reading only, and reads the table himself: so neither
 * the program nor anybody's trace waits for it. He may who may see the process: the system's sessions may, and its
 * own user, unless it is guarded from him.
 *
 * A family without a session stays for its table. When its last process has ended it stays KEPT_S more, so that a
 * snapshot can be taken of what died; of more than KEPT_DEAD the oldest go sooner.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/io.h"
#include "daemon/collector.h"

enum { KEPT_S = 60, KEPT_DEAD = 16 };

bool family_is_needed(const struct family *fam)
{
	return fam->mask != 0 || fam->table;
}

bool family_is_kept_dead(struct collector *c, struct family *fam, uint64_t now)
{
	unsigned younger = 0;

	if (!fam->table)
		return false;
	if (fam->dead_ns == 0)
		fam->dead_ns = now;
	for (size_t i = 0; i < c->families; i++)
		younger += c->family[i]->dead_ns > fam->dead_ns;
	fam->table = now - fam->dead_ns < KEPT_S * 1000000000ull && younger < KEPT_DEAD;
	return fam->table;
}

struct family *family_of(const struct collector *c, uint64_t handle)
{
	for (size_t i = 0; i < c->families; i++)
		if (c->family[i]->info.handle == handle)
			return c->family[i];
	return NULL;
}

bool snapshot_is_kept(const struct collector *c, uint64_t handle)
{
	const struct family *fam = family_of(c, handle);

	return fam != NULL && fam->table;
}

static bool has_ended(const struct family *fam)
{
	return fam->gone_ns != 0 || fam->dead_ns != 0;
}

static bool may_see(const struct client *cl, const struct family *fam)
{
	return cl->system || (fam->info.uid == cl->uid && !fam->info.guarded);
}

/* Of those with this number the living one, else the one that came last: a process may have executed several programs. */
struct family *snapshot_family(struct collector *c, const struct client *cl, int32_t pid)
{
	struct family *found = NULL;

	for (size_t i = 0; i < c->families; i++) {
		struct family *fam = c->family[i];

		if (fam->info.pid != pid || !may_see(cl, fam))
			continue;
		if (found == NULL || (has_ended(found) && !has_ended(fam)) ||
		    (has_ended(found) == has_ended(fam) &&
		     fam->info.when_mono > found->info.when_mono))
			found = fam;
	}
	return found;
}

/* A child of a family whose first process keeps the table? */
static bool is_child(const struct collector *c, const struct client *cl, int32_t pid)
{
	for (size_t i = 0; i < c->families; i++)
		for (size_t k = 0; k < fa_family_processes(c->family[i]->f); k++) {
			struct fa_family_process p;

			fa_family_process_at(c->family[i]->f, k, &p);
			if (p.live && p.pid == pid && may_see(cl, c->family[i]))
				return true;
		}
	return false;
}

/* Our own descriptor, once more, for reading. */
static int for_reading(int fd)
{
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = open(path, O_RDONLY | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

int snapshot_give(struct collector *c, struct client *cl, int32_t pid)
{
	const struct family *fam = snapshot_family(c, cl, pid);
	struct fa_arena_of *of = &cl->reply.arena;
	int fd;

	if (fam == NULL || !fam->table) {
		if (fam == NULL && is_child(c, cl, pid))
			client_say(cl, ENOENT, "%s", fa_reason_text(FA_REASON_FORKED));
		else
			client_say(cl, ENOENT,
				   "it keeps no table of live blocks ('firstalloc snapshot config')");
		return -1;
	}
	fd = for_reading(fam->fd);
	if (fd < 0) {
		client_say(cl, fd, "its arena: %s", fa_strerror(fd));
		return -1;
	}
	*of = (struct fa_arena_of){.pid = fam->info.pid,
				   .uid = fam->info.uid,
				   .gid = fam->info.gid,
				   .size = fam->info.size,
				   .dead = has_ended(fam)};
	memcpy(of->exe, fam->info.exe, sizeof(of->exe));
	return fd;
}

bool snapshot_begin(struct collector *c, struct client *cl, uint64_t handle)
{
	struct family *fam = family_of(c, handle);

	if (fam == NULL) {
		client_say(cl, ESRCH, "it has ended");
		return false;
	}
	if (!fa_family_order_table(fam->f, cl->table_most)) {
		client_say(cl, EBUSY, "its table was given back, and a session records it: it can begin one "
				      "again when that session has ended");
		return false;
	}
	fam->table = true;
	family_tell(fam);
	return true;
}

static bool is_meant(const struct family *fam, const struct fa_control_request *q)
{
	if (q->pid != 0)
		return fam->info.pid == q->pid;
	return strcmp(fa_base_name(fam->info.exe), q->text) == 0 ||
	       strcmp(fam->exec_name, q->text) == 0;
}

/* Where no session wants its events the whole arena goes, and the program's memory with it. */
void snapshot_release(struct collector *c, struct client *cl, const struct fa_control_request *q)
{
	bool found = false;

	for (size_t i = c->families; i-- > 0;) {
		struct family *fam = c->family[i];

		if (!fam->table || !is_meant(fam, q) || !may_see(cl, fam))
			continue;
		fam->table = false;
		found = true;
		cl->reply.processes += !has_ended(fam);
		if (family_is_needed(fam))
			family_tell(fam);
		else
			family_let_go(c, i);
	}
	if (!found && q->pid != 0)
		client_say(cl, ENOENT, "it keeps no table of live blocks");
}
