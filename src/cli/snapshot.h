/* snapshot.h - the parts of `firstalloc snapshot`: its options, what it is asked for, files. For cmd_snapshot.c. */
#ifndef FA_CLI_SNAPSHOT_H
#define FA_CLI_SNAPSHOT_H

#include <stdio.h>

#include "cli/client.h"
#include "cli/command.h"
#include "collector/drain.h"
#include "trace/writer.h"

enum { FA_SNAPSHOT_PIDS = 256 };

struct fa_snapshot_given {
	struct fa_option_list pids, names;
	const char *output, *session, *user, *when_rss;
	uint64_t every, time, max_memory, when_live;
	uint32_t count, depth;
	bool post_mortem, at_exit, on_peak, stop;
};

/* snapshot_config.c: verb NULL: only say how it is. Exit statuses. */
int fa_snapshot_config(const struct fa_cli *cli, const struct fa_snapshot_given *given,
		       const char *name, const char *verb);
/* snapshot_take.c */
int fa_snapshot_take(const struct fa_cli *cli, const struct fa_snapshot_given *given);

/* snapshot_when.c: --when-rss as bytes, NULL: 0; else a usage error, told */
int fa_snapshot_rss_limit(const struct fa_cli *cli, const char *text, uint64_t *ret);

/* snapshot_run.c: a command that goes on, and can be told from elsewhere that it, or part of it, is to end. */
struct fa_snapshot_run {
	int fd; /* -1: nobody can */
	/* What is left out as it is told: those given by number, of `count` in all, and by name. */
	int32_t *pids;
	unsigned *count, *named;
	struct fa_option_list *names;
};
int fa_snapshot_run_open(struct fa_snapshot_run *run, int32_t *pids, unsigned *count, unsigned *named,
			 struct fa_option_list *names) FA_MUST_USE;
void fa_snapshot_run_close(struct fa_snapshot_run *run);
/* Wait until then, or until the process has ended (*ret_ended; pidfd -1: none). false: nothing is wanted any more. */
bool fa_snapshot_run_goes_on(const struct fa_snapshot_run *run, int pidfd, uint64_t until_ns, bool *ret_ended);
/* take --stop. An exit status. */
int fa_snapshot_run_stop(const struct fa_cli *cli, const struct fa_snapshot_given *given);

/* A process that is looked at until there is a reason to take a snapshot. */
struct fa_snapshot_watch {
	const char *root;
	int *sock;
	const struct fa_snapshot_run *run;
	int pidfd;
	int32_t pid;
	uint64_t until_ns;
	uint64_t live; /* as last seen */
	char text[300];
};
enum fa_snapshot_seen {
	FA_SEEN_DUE,
	FA_SEEN_ENDED, /* the process has */
	FA_SEEN_LATE,  /* the time is over */
	FA_SEEN_FAILED, /* `text` says why */
	FA_SEEN_STOPPED, /* by --stop */
};
/* sock: as for fa_snapshot_connect() */
int fa_snapshot_watch_open(struct fa_snapshot_watch *w, const char *root, int *sock,
			   const struct fa_snapshot_run *run, int32_t pid, uint64_t time) FA_MUST_USE;
void fa_snapshot_watch_close(struct fa_snapshot_watch *w);
/* Until its live blocks have so many bytes, or so much of it is in memory; 0: no matter. */
enum fa_snapshot_seen fa_snapshot_watch(struct fa_snapshot_watch *w, uint64_t live, uint64_t rss);

/* --pid 1,2 --pid 3. *ret_count: how many of `pids`; else a usage error, told. */
int fa_snapshot_pids(const struct fa_cli *cli, const struct fa_option_list *given,
		     int32_t pids[FA_SNAPSHOT_PIDS], unsigned *ret_count);

/* snapshot_file.c, snapshot_session.c: where snapshots of one moment go, a trace of their own or that of a session.
 * All zero is a valid closed one, with fd -1. */
struct fa_snapshot_file {
	char path[4096];
	int fd;
	struct fa_trace_writer *w;
	struct fa_sink sink;
	struct fa_drain_ids ids;
	uint64_t blocks, lost;
	uint64_t bytes; /* of the file, when it is ended */
	/* Into a session: */
	char session[FA_SESSION_NAME]; /* "": no */
	uint64_t session_id;           /* 0: by its name */
	uint64_t take;
	FILE *parts; /* of the process that is looked at */
};

/* 0 or -errno; -EEXIST: it is there already. Stays where it is until it is ended. */
int fa_snapshot_file_open(struct fa_snapshot_file *f, const char *path) FA_MUST_USE;
int fa_snapshot_file_end(struct fa_snapshot_file *f) FA_MUST_USE;
void fa_snapshot_file_drop(struct fa_snapshot_file *f); /* nothing came of it */

/* Into the session of this name, or id where that is not 0. Then for each process: begin, records, send or drop. */
void fa_snapshot_session_open(struct fa_snapshot_file *f, const char *name, uint64_t id);
int fa_snapshot_session_begin(struct fa_snapshot_file *f) FA_MUST_USE;
int fa_snapshot_session_send(struct fa_snapshot_file *f, int sock, int32_t pid,
			     struct fa_control_reply *ret) FA_MUST_USE;
void fa_snapshot_session_drop(struct fa_snapshot_file *f);
/* The first session that the process is in and that can take a snapshot: its name and id. false: there is none. */
bool fa_snapshot_session_of(const struct fa_client_status *status, const struct fa_status_process *p,
			    struct fa_snapshot_file *ret);

/* The connection to firstallocd, which closes one on which nothing was asked for half a minute; -1: there is none
 * yet. */
int fa_snapshot_connect(const char *root, int *sock) FA_MUST_USE;

/* Of one process. error 0: done; else an errno, positive, and `text` says why not. */
struct fa_snapshot_result {
	struct fa_snapshot of;
	int32_t pid;
	int error;
	bool dead;
	char image[256]; /* "" unknown */
	char text[300];
};
/* file NULL: only count. dead_too: also of one that has ended. */
void fa_snapshot_one(int sock, struct fa_snapshot_file *file, int32_t pid, bool dead_too,
		     struct fa_snapshot_result *ret);

#endif
