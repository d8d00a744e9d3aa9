/*
 * test_journal.c - collectors that follow each other by a journal.
 * libs: collector format base
 * objs: src/daemon/journal.c
 */
#include <stdio.h>
#include <sys/wait.h>

#include "daemon/collector.h"
#include "fake_shim.h"
#include "test.h"

static struct collector c;
static struct family member;
static struct family *members[1] = {&member};
static struct fake fake;
static int memory;
static bool dies_within_commit;
static struct keeper out;
static const struct fa_sink sink = {keep, &out};

/* What the journal needs of the rest of the collector. */
uint64_t fa_trace_writer_mark(const struct fa_trace_writer *w)
{
	(void)w;
	if (dies_within_commit) /* families are saved, the commit is not valid */
		_exit(0);
	return 0;
}

void sessions_write_out(struct collector *of)
{
	(void)of;
}

void families_release(struct collector *of)
{
	for (size_t i = 0; i < of->families; i++)
		fa_family_release(of->family[i]->f);
}

void session_record(struct session *s, struct beat *beat, unsigned tag, const void *head,
		    size_t head_len, const void *tail, size_t tail_len, const void *tail2,
		    size_t tail2_len)
{
	(void)s, (void)beat, (void)tag, (void)head, (void)head_len;
	(void)tail, (void)tail_len, (void)tail2, (void)tail2_len;
}

static void has_session(unsigned at, uint64_t id)
{
	c.session[at] = (struct session){.used = true, .index = at, .id = id};
}

static bool adopts(void)
{
	member.info.handle = 5;
	if (fake_adopt(&fake) < 0)
		return false;
	member.f = fake.family;
	c.family = members;
	c.families = 1;
	return journal_family(&c, &member) == 0;
}

static bool reads_something(void)
{
	bool some = fa_family_drain(member.f, &sink) > 0;

	member.dirty |= some;
	return some;
}

/* Each is a process of its own, as in life: nothing of it is left but the journal and the arena. */
static bool lives(bool (*life)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		journal_open(&c, dup(memory));
		_exit(life() ? 0 : 1);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void begin(void)
{
	memory = memfd_create("journal", MFD_CLOEXEC);
	fake = fake_new(FA_ARENA_MIN);
}

static void end(void)
{
	fake_done(&fake);
	(void)close(memory);
}

static bool writes_two_and_dies_within_the_second_commit(void)
{
	struct fake_writer w = fake_writer(&fake, 0, 0, getpid());

	has_session(0, 7);
	if (!adopts() || !fake_alloc(&w, 0x1000, 1, 5, 0) || !reads_something())
		return false;
	journal_commit(&c);
	if (!fake_alloc(&w, 0x2000, 1, 5, 0) || !reads_something())
		return false;
	dies_within_commit = true;
	journal_commit(&c);
	return false;
}

static bool commits_before_it_meets_anybody(void)
{
	has_session(0, 7);
	journal_commit(&c);
	return journal_followed(&c);
}

static bool reads_what_was_not_committed(void)
{
	has_session(0, 7);
	return adopts() && reads_something() && !reads_something() && keeper_count(&out, FA_TAG_PROCESS) == 0;
}

SPEC(a_commit_that_was_not_finished_never_becomes_valid)
{
	begin();
	CHECK(lives(writes_two_and_dies_within_the_second_commit));
	CHECK(lives(commits_before_it_meets_anybody));
	CHECK(lives(reads_what_was_not_committed));
	end();
}

static bool writes_into_the_second_session(void)
{
	has_session(0, 7);
	has_session(1, 8);
	if (!adopts())
		return false;
	member.mask = 1 << 1;
	member.dirty = true;
	journal_commit(&c);
	return true;
}

static bool has_the_second_session_first(void)
{
	has_session(0, 8);
	journal_commit(&c);
	return true;
}

static bool knows_who_knows_the_family(void)
{
	has_session(0, 9);
	has_session(3, 8);
	return adopts() && member.mask == 1 << 3;
}

SPEC(sessions_are_known_by_id_however_often_they_change_places)
{
	begin();
	CHECK(lives(writes_into_the_second_session));
	CHECK(lives(has_the_second_session_first));
	CHECK(lives(has_the_second_session_first));
	CHECK(lives(knows_who_knows_the_family));
	end();
}

int main(void)
{
	RUN(a_commit_that_was_not_finished_never_becomes_valid);
	RUN(sessions_are_known_by_id_however_often_they_change_places);
	return TEST_RESULT();
}
