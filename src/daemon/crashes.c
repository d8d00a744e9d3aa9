/*
 * crashes.c - a traced program that dies by a fault soon after its start, again and again, is disarmed.
 *
 * It may be our fault or its own: the machine comes first. Counted are faults (signals that a fault, an
 * abort or a system call filter sends, not SIGKILL or SIGTERM) within CRASH_WITHIN_S of the start; a
 * start that ends otherwise or lasts longer begins the count anew. In a row is in the order of the starts: what is
 * told of their ends comes in any order, and a start that began before the others says nothing of them.
 *
 * Counts are kept for a rule and a real user id, and what comes of them holds for that user only. So a
 * user who makes a program crash disarms nobody else's, and it does not matter that the rule's number is
 * the word of the program. How it ended is the kernel's word, through the doorman; where the kernel
 * does not tell us of ends (no process events), nothing is ever disarmed.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "collector/procfs.h"
#include "daemon/collector.h"

enum { CRASHES_IN_A_ROW = 3, CRASH_WITHIN_S = 10, COUNTS = 256, LEFT = 64 };

struct count {
	uint32_t rule_id; /* 0: free */
	uint32_t uid;
	unsigned crashes;
	uint64_t crashed_mono, well_mono; /* the latest starts that ended so */
	uint64_t number; /* of the last change: the oldest gives way */
};

static struct count counts[COUNTS];

/* Starts whose family was let go before the doorman told how they ended: on a busy machine that is late. */
static struct {
	struct fa_msg_started who;
	uint64_t when_mono;
} left[LEFT];

static struct count *count_of(uint32_t rule_id, uint32_t uid, bool make)
{
	static uint64_t number;
	struct count *oldest = &counts[0];

	number++;
	for (int i = 0; i < COUNTS; i++) {
		struct count *n = &counts[i];

		if (n->rule_id == rule_id && n->uid == uid) {
			n->number = number;
			return n;
		}
		if (n->rule_id == 0 || (oldest->rule_id != 0 && n->number < oldest->number))
			oldest = n;
	}
	if (!make)
		return NULL;
	*oldest = (struct count){.rule_id = rule_id, .uid = uid, .number = number};
	return oldest;
}

static bool is_fault(int32_t status)
{
	if (status == -1 || !WIFSIGNALED(status))
		return false;
	switch (WTERMSIG(status)) {
	case SIGILL:
	case SIGTRAP:
	case SIGABRT:
	case SIGBUS:
	case SIGFPE:
	case SIGSEGV:
	case SIGSYS:
		return true;
	default:
		return false;
	}
}

static void crashed(struct collector *c, struct fa_msg_started *who, uint64_t start, int32_t status)
{
	struct count *n = count_of(who->rule_id, who->uid, true);
	struct fa_part_msg m = {.u.started = *who};

	if (start < n->well_mono)
		return;
	if (n->crashed_mono < start)
		n->crashed_mono = start;
	if (++n->crashes < CRASHES_IN_A_ROW)
		return;
	memset(n, 0, sizeof(*n));
	m.u.started.signal = (uint32_t)WTERMSIG(status);
	m.u.started.crashes = CRASHES_IN_A_ROW;
	m.u.started.within_s = CRASH_WITHIN_S;
	tell_keeper(c, &m, FA_MSG_DISARM, -1);
}

static void went_well(uint32_t rule_id, uint32_t uid, uint64_t start)
{
	struct count *n = count_of(rule_id, uid, false);

	if (n == NULL || start < n->crashed_mono)
		return;
	n->crashes = 0;
	n->well_mono = start;
}

static bool has_process(const struct family *fam, int32_t pid)
{
	for (size_t i = 0; i < fa_family_processes(fam->f); i++) {
		struct fa_family_process p;

		fa_family_process_at(fam->f, i, &p);
		if (p.pid == pid)
			return true;
	}
	return false;
}

static bool soon(uint64_t from, uint64_t to)
{
	return to - from < CRASH_WITHIN_S * 1000000000ull;
}

static struct fa_msg_started who_of(const struct family *fam)
{
	struct fa_msg_started who = {
		.rule_id = fam->rule_id, .uid = fam->real_uid, .pid = fam->info.pid};

	(void)snprintf(who.image, sizeof(who.image), "%s", fa_base_name(fam->info.exe));
	memcpy(who.exec_name, fam->exec_name, sizeof(who.exec_name));
	return who;
}

/* A fork child's fault is the program's, too: many daemons live in one. One a start. */
void crashes_ended(struct collector *c, struct family *fam, const struct fa_msg_gone *gone)
{
	if (fam->judged || fam->rule_id == 0 || !has_process(fam, gone->pid))
		return;
	if (is_fault(gone->status) && soon(fam->info.when_mono, gone->when_mono)) {
		struct fa_msg_started who = who_of(fam);

		fam->judged = true;
		crashed(c, &who, fam->info.when_mono, gone->status);
	} else if (gone->pid == fam->info.pid) {
		fam->judged = true;
		went_well(fam->rule_id, fam->real_uid, fam->info.when_mono);
	}
}

void crashes_left(const struct family *fam)
{
	static unsigned next;

	if (fam->judged || fam->rule_id == 0)
		return;
	left[next % LEFT].who = who_of(fam);
	left[next++ % LEFT].when_mono = fam->info.when_mono;
}

void crashes_late(struct collector *c, const struct fa_msg_gone *gone)
{
	for (int i = 0; i < LEFT; i++) {
		struct fa_msg_started who = left[i].who;

		if (who.rule_id == 0 || who.pid != gone->pid ||
		    left[i].when_mono > gone->when_mono)
			continue;
		if (is_fault(gone->status) && soon(left[i].when_mono, gone->when_mono))
			crashed(c, &who, left[i].when_mono, gone->status);
		else
			went_well(who.rule_id, who.uid, left[i].when_mono);
		memset(&left[i], 0, sizeof(left[i]));
	}
}

void crashes_turn(struct family *fam, uint64_t now)
{
	if (fam->judged || soon(fam->info.when_mono, now))
		return;
	fam->judged = true;
	went_well(fam->rule_id, fam->real_uid, fam->info.when_mono);
}

/* It has the shim, and died before it could ring. */
void crashes_missed(struct collector *c, const struct fa_msg_missed *missed)
{
	struct fa_msg_started who = {
		.rule_id = missed->rule_id, .uid = missed->real_uid, .pid = missed->pid};

	if (missed->rule_id == 0 || !is_fault(missed->status))
		return;
	memcpy(who.image, missed->image, sizeof(who.image));
	crashed(c, &who, fa_mono_ns(), missed->status);
}

/* Which rule, and for whom: what the gate asked by. The real user id is the kernel's word. */
void crashes_began(struct family *fam, uint32_t rule_id)
{
	struct fa_procfs_status st;

	fam->rule_id = rule_id;
	if (fa_procfs_status(fam->info.pid, &st) == 0)
		fam->real_uid = st.real_uid;
	else if (!fam->info.guarded)
		fam->real_uid = fam->info.uid;
	else
		fam->judged = true; /* it has ended: nobody knows whose it was */
}
