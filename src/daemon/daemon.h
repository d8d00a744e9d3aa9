/*
 * daemon.h - what the three parts of firstallocd share.
 *
 * The keeper (root, parent) forks the doorman and the collector. Before it does, it makes the
 * sockets between them (parts_format.h) and a page of shared memory a part, in which the part shows
 * that it is at work (struct beat). A part that dies or falls silent is replaced; the two that live
 * on get a new socket to it (FA_MSG_LINK).
 */
#ifndef FA_DAEMON_H
#define FA_DAEMON_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/config.h"
#include "format/parts_format.h"

enum {
	BEAT_EVERY_MS = 100,     /* a part moves its beat at least so often */
	BEAT_SILENT_MS = 1000,   /* so long without: it is killed */
	BEAT_WRITING_MS = 30000, /* the same while it waits for a disk */
	BELL_WORKERS_MAX = 64,
	MSG_FDS = 2,
	PART_NICE = -10, /* of keeper and doorman; the unit has it, too */
};

/* Shared with the keeper. A part can only harm itself by writing nonsense here. */
struct beat {
	_Atomic uint64_t alive_ns;   /* CLOCK_MONOTONIC of the last turn of the main loop */
	_Atomic uint64_t writing_ns; /* not 0: with a trace's file, and whoever serves it, since then */
	_Atomic uint64_t busy_ns[BELL_WORKERS_MAX]; /* doorman: a worker holds an open since then */
};

/* From the command line and the ini; the same in all parts. */
struct daemon_settings {
	char root[256]; /* "" for the machine itself */
	bool foreground;
	bool under_unit; /* NOTIFY_SOCKET was set */
	bool early;      /* from the initramfs, before PID 1's own program: the unit will take us over */
	const char *log_file;
	struct fa_config config;
	uint64_t started_real;
};

/* What a part is born with. Descriptors are -1 where a part has none. */
struct part_start {
	const struct daemon_settings *settings;
	struct beat *beat;
	int keeper_fd; /* to the keeper */
	int peer_fd;   /* doorman <-> collector */
	int listen_fd; /* collector: the control socket */
	int journal_fd; /* what it leaves to its successor (journal.c, kept_arenas.c) */
	bool restarted;
};

int keeper_main(struct daemon_settings *settings, int ready_fd);
int doorman_main(const struct part_start *start);
int collector_main(const struct part_start *start);

/* util.c */
void log_name(const char *part); /* stands before every line */
void log_line(const char *format, ...) FA_PRINTF(1, 2);

/*
 * Around what touches a trace's file: its disk, or who serves it, may keep a part waiting for longer than the keeper is
 * patient with silence. They may be nested: what the first returns, the second takes.
 */
uint64_t beat_wait(struct beat *beat) FA_MUST_USE;
void beat_go_on(struct beat *beat, uint64_t before);

/* Send without ever waiting. fds: up to MSG_FDS, -1 for none. 0, -EAGAIN (full), -errno. */
int msg_send(int sock, struct fa_part_msg *m, unsigned type, const int *fds, int fd_count);
/* 1: a message, fds[] filled up with -1; 0: the other side is gone; -EAGAIN none there;
 * -EPROTO a message of another size or magic (dropped). */
int msg_receive(int sock, struct fa_part_msg *m, int fds[MSG_FDS]) FA_MUST_USE;
void close_fds(int *fds, int n);

/* Keep only the capabilities in `mask` (bits as capability.h numbers them), in every set, the
 * bounding set too. With 0 nothing can come back by exec. */
int keep_capabilities(uint64_t mask) FA_MUST_USE;
int drop_bounding(uint64_t mask) FA_MUST_USE; /* the bounding set alone */
/* filter.c: from here on only the collector's system calls, for good. No new privileges before. */
int filter_calls(void) FA_MUST_USE;
/* Become the user FA_USER, or nobody, with no group but its own. */
int become_collector_user(void) FA_MUST_USE;

#endif
