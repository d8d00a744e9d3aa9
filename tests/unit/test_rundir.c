/*
 * test_rundir.c - the folder of `firstalloc run`.
 * libs: collector format base
 */
#include "collector/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "format/arena_format.h"
#include "test.h"

static char path[400];

static const char *in_folder(const struct fa_rundir *d, const char *name)
{
	(void)snprintf(path, sizeof(path), "%s/%s", fa_rundir_path(d), name);
	return path;
}

/* An arena file of this size, with a magic. */
static void make_file(const struct fa_rundir *d, const char *name, off_t size, uint64_t magic)
{
	int fd = open(in_folder(d, name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && ftruncate(fd, size) == 0);
	CHECK(size < 8 || pwrite(fd, &magic, 8, 0) == 8);
	(void)close(fd);
}

SPEC(an_arena_is_taken_out_of_the_folder_when_it_is_complete)
{
	struct fa_run_arena a = {.fd = -1};
	struct pollfd p = {.events = POLLIN};
	struct fa_rundir *d = NULL;
	char name[64];
	int fd;

	CHECK(fa_rundir_new(&d) == 0);
	CHECK(fa_rundir_next(d, &a) == 0 && !fa_rundir_waiting(d));
	(void)snprintf(name, sizeof(name), FA_RUN_FILE, (int)getpid(), 12345ULL, 0U);
	make_file(d, name, FA_ARENA_MIN, 0);
	p.fd = fa_rundir_poll_fd(d);
	CHECK(poll(&p, 1, 1000) == 1);
	CHECK(fa_rundir_next(d, &a) == 0 && fa_rundir_waiting(d)); /* no magic yet */
	fd = open(in_folder(d, name), O_RDWR | O_CLOEXEC);
	CHECK(pwrite(fd, &(uint64_t){FA_ARENA_MAGIC}, 8, 0) == 8);
	(void)close(fd);
	CHECK(fa_rundir_next(d, &a) == 1);
	CHECK(a.size == FA_ARENA_MIN && a.own_pid == getpid() && a.nonce == 12345);
	CHECK(access(in_folder(d, name), F_OK) < 0);
	(void)close(a.fd);
	(void)snprintf(name, sizeof(name), FA_RUN_FILE, (int)getpid(), 12345ULL, 1U);
	make_file(d, name, FA_ARENA_MIN, 0);
	CHECK(fa_rundir_next(d, &a) == 0 && !fa_rundir_waiting(d)); /* a segment is no arena */
	fa_rundir_free(d);
}

SPEC(a_note_is_its_name)
{
	struct fa_run_arena a = {.fd = 9};
	struct fa_rundir *d = NULL;

	CHECK(fa_rundir_new(&d) == 0);
	make_file(d, "77.refused.6.a name. 2.x", 0, 0);
	make_file(d, "77.refused.1.traced", 0, 0); /* no refusal */
	make_file(d, "077.refused.6.other", 0, 0);
	make_file(d, "77.refused.6", 0, 0);
	CHECK(fa_rundir_next(d, &a) == 1);
	CHECK(a.fd == -1 && a.own_pid == 77 && a.reason == FA_REASON_SANITIZER);
	CHECK(strcmp(a.image, "a name. 2.x") == 0);
	CHECK(fa_rundir_next(d, &a) == 0 && !fa_rundir_waiting(d));
	fa_rundir_free(d);
}

SPEC(what_is_no_arena_is_left_alone_or_thrown_away)
{
	struct fa_run_arena a;
	struct fa_rundir *d = NULL;
	char name[64];

	CHECK(fa_rundir_new(&d) == 0);
	make_file(d, "notes", FA_ARENA_MIN, FA_ARENA_MAGIC);
	make_file(d, "1.2.0.bak", FA_ARENA_MIN, FA_ARENA_MAGIC);
	make_file(d, "01.2.0", FA_ARENA_MIN, FA_ARENA_MAGIC);
	make_file(d, "1.7.0", FA_ARENA_MIN, FA_ARENA_MAGIC + 1); /* another version */
	make_file(d, "1.8.0", FA_ARENA_MAX0 + 1, FA_ARENA_MAGIC);
	make_file(d, "999999999.1.0", 0, 0); /* its maker died */
	CHECK(symlink("/etc/passwd", in_folder(d, "1.3.0")) == 0);
	CHECK(mkfifo(in_folder(d, "1.4.0"), 0600) == 0);
	CHECK(mkdir(in_folder(d, "1.5.0"), 0700) == 0);
	(void)snprintf(name, sizeof(name), "%s", in_folder(d, "1.5.0"));
	CHECK(fa_rundir_next(d, &a) == 0 && !fa_rundir_waiting(d));
	CHECK(access(in_folder(d, "1.7.0"), F_OK) < 0);
	CHECK(access(in_folder(d, "999999999.1.0"), F_OK) < 0);
	CHECK(access(in_folder(d, "notes"), F_OK) == 0);
	CHECK(rmdir(name) == 0);
	(void)snprintf(name, sizeof(name), "%s", fa_rundir_path(d));
	fa_rundir_free(d);
	CHECK(access(name, F_OK) < 0);
}

SPEC(an_arena_is_alone_when_its_last_process_is_gone)
{
	const char *name = "1.9.0";
	struct fa_run_arena a = {.fd = -1};
	struct fa_rundir *d = NULL;
	char byte;
	int end[2], fd;
	void *p;
	pid_t pid;

	CHECK(fa_rundir_new(&d) == 0 && pipe(end) == 0);
	make_file(d, name, FA_ARENA_MIN, FA_ARENA_MAGIC);
	fd = open(in_folder(d, name), O_RDWR | O_CLOEXEC);
	p = mmap(NULL, FA_ARENA_MIN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && close(fd) == 0);
	CHECK(fa_rundir_next(d, &a) == 1 && !fa_rundir_alone(d, a.fd));
	pid = fork(); /* a child of the family, which outlives its parent */
	if (pid == 0) {
		(void)close(end[1]);
		(void)!read(end[0], &byte, 1);
		_exit(0);
	}
	CHECK(munmap(p, FA_ARENA_MIN) == 0 && !fa_rundir_alone(d, a.fd) && fa_rundir_held(d, a.fd));
	p = mmap(NULL, FA_ARENA_MIN, PROT_READ | PROT_WRITE, MAP_SHARED, a.fd, 0); /* ours does not count */
	CHECK(close(end[1]) == 0 && waitpid(pid, NULL, 0) == pid);
	CHECK(fa_rundir_alone(d, a.fd) && fa_rundir_alone(d, a.fd) && !fa_rundir_held(d, a.fd));
	CHECK(munmap(p, FA_ARENA_MIN) == 0 && close(a.fd) == 0 && close(end[0]) == 0);
	fa_rundir_free(d);
}

SPEC(more_arenas_that_are_being_made_than_are_remembered_are_all_found)
{
	struct fa_run_arena a;
	struct fa_rundir *d = NULL;
	char name[64];
	int found = 0;

	CHECK(fa_rundir_new(&d) == 0);
	for (int i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), FA_RUN_FILE, (int)getpid(), 1000ULL + i, 0U);
		make_file(d, name, FA_ARENA_MIN, 0);
	}
	CHECK(fa_rundir_next(d, &a) == 0 && fa_rundir_waiting(d));
	for (int i = 0; i < 200; i++) {
		int fd;

		(void)snprintf(name, sizeof(name), FA_RUN_FILE, (int)getpid(), 1000ULL + i, 0U);
		fd = open(in_folder(d, name), O_RDWR | O_CLOEXEC);
		CHECK(pwrite(fd, &(uint64_t){FA_ARENA_MAGIC}, 8, 0) == 8 && close(fd) == 0);
	}
	while (fa_rundir_next(d, &a) == 1) {
		found++;
		(void)close(a.fd);
	}
	CHECK(found == 200 && !fa_rundir_waiting(d));
	fa_rundir_free(d);
}

SPEC(folders_of_dead_commands_are_removed_and_those_of_the_living_are_not)
{
	struct fa_rundir *d = NULL, *next = NULL;
	char dead[256];
	int out[2];
	pid_t pid;

	CHECK(fa_rundir_new(&d) == 0 && pipe(out) == 0);
	pid = fork();
	if (pid == 0) {
		struct fa_rundir *mine = NULL;

		if (fa_rundir_new(&mine) == 0)
			(void)!write(out[1], fa_rundir_path(mine),
				     strlen(fa_rundir_path(mine)) + 1);
		_exit(0); /* without fa_rundir_free() */
	}
	CHECK(read(out[0], dead, sizeof(dead)) > 0);
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(access(dead, F_OK) == 0);
	CHECK(fa_rundir_new(&next) == 0);
	CHECK(access(dead, F_OK) < 0);
	CHECK(access(fa_rundir_path(d), F_OK) == 0);
	fa_rundir_free(next);
	fa_rundir_free(d);
	(void)close(out[0]);
	(void)close(out[1]);
}

int main(void)
{
	RUN(an_arena_is_taken_out_of_the_folder_when_it_is_complete);
	RUN(a_note_is_its_name);
	RUN(what_is_no_arena_is_left_alone_or_thrown_away);
	RUN(an_arena_is_alone_when_its_last_process_is_gone);
	RUN(more_arenas_that_are_being_made_than_are_remembered_are_all_found);
	RUN(folders_of_dead_commands_are_removed_and_those_of_the_living_are_not);
	return TEST_RESULT();
}
