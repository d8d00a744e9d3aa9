/* keeper.h - inside the keeper: parts, kept sessions, autologgers. One thread. */
#ifndef FA_KEEPER_H
#define FA_KEEPER_H

#include <poll.h>
#include <time.h>

#include "daemon/daemon.h"
#include "registry/registry.h"

enum part_name { PART_DOORMAN, PART_COLLECTOR, PARTS };

struct part {
	pid_t pid; /* 0: it does not run */
	int fd;    /* our end of its socket */
	struct beat *beat;
	bool ready;
	uint64_t started_ns;
	uint64_t start_at_ns; /* when it does not run */
	unsigned quick_deaths;
	unsigned faults;  /* the last ones of them that nobody from outside has brought about */
	unsigned crashes; /* the last ones of those that it brought about itself: not silence */
	bool was_silent; /* we have killed it */
	bool had_worked; /* the last one had said that it is READY */
};

/* A session that the collector runs, for the collector that may have to follow it. */
struct kept {
	int fd[FA_FILES_MAX]; /* all -1: free */
	struct fa_msg_session session;
	/* As it was when it was last written to the disk (autologger_sync.c). */
	off_t synced_size;
	struct timespec synced_at;
};

bool kept_is_used(const struct kept *kept);

enum autologger_state { AL_WAITS, AL_GIVEN, AL_STARTED, AL_FAILED };

/* One of the configuration's. */
struct autologger {
	enum autologger_state state;
	uint32_t counter; /* FileCounter of its file, 0: without FileMax */
	uint64_t id;      /* of its session */
	/* While its folder cannot be written to (boot), else -1: */
	int memory_fd; /* the trace so far */
	int file_fd;   /* where it is to go on, once that could be made */
	pid_t asked;   /* the collector that was told of it, 0: none */
	uint64_t again_ns; /* it could not take it: ask again then */
	bool over;     /* the session has ended: the keeper copies what there is */
	/* StopAt and PostBootDelay (autologger_end.c) */
	uint64_t started_ns;
	uint64_t end_ns;   /* it ends then; 0: not known yet */
	pid_t asking;      /* who asks systemd about its unit; 0: nobody */
	bool cannot_ask;   /* and that was said */
};

enum { ASKERS_MAX = 32, PURSES = 64 };

/* Who is connected to the keeper's own socket (requests.c). */
struct asker {
	int fd; /* -1: free */
	uint32_t uid;
	bool member; /* of the group firstalloc, or root */
	uint64_t since_ns;
};

/* How many changes a user may still make. */
struct purse {
	bool used;
	uint32_t uid;
	uint32_t left;
	uint64_t filled_ns;
};

struct keeper {
	struct daemon_settings *settings;
	struct part part[PARTS];
	int listen_fd, ask_fd, lock_fd, signal_fd;
	int journal_fd[PARTS]; /* memory that outlives a part; we never read it */
	uint32_t system_gid; /* ~0: there is no such group */
	struct asker asker[ASKERS_MAX];
	struct purse purse[PURSES];
	struct kept kept[FA_SESSIONS_MAX];
	struct autologger autologger[FA_CONFIG_AUTOLOGGERS];
	uint64_t given;   /* sessions given to this collector */
	uint64_t settled; /* of those the doorman knows */
	bool announced;   /* READY was said */
	int ready_fd;     /* to the parent that waits, -1 */
	uint64_t turn_ns, second_ns, grace_ns, watchdog_ns, announce_ns;
	uint64_t registry_try_ns;
	unsigned restarts;
	bool stopping, stopped;
	struct fa_registry *registry;
	struct fa_rule_list rules; /* limited ones are looked for here */
	uint64_t rules_generation;
	pid_t syncing; /* who writes a trace to the disk; 0: nobody */
	uint64_t synced_ns; /* all of them were looked at */
	int sync_next;
	bool followed; /* the registry has what the autologgers need of it */
};

/* keeper.c */
void read_part(struct keeper *k, struct part *p);

/* parts.c */
int part_start(struct keeper *k, enum part_name which);
void part_watch(struct keeper *k, uint64_t now); /* who is silent? */
void part_reap(struct keeper *k, uint64_t now);  /* who died? who is to be started? */
void part_stop_all(struct keeper *k);
void parts_tell_info(struct keeper *k);

/* place.c: files and sockets */
int place_prepare(struct keeper *k) FA_MUST_USE;
void place_leave(struct keeper *k);
void notify(const char *text);
/* Under the unit, when another one runs: is it one that waits for that? Then systemd is told that it is the
 * unit's main process, and we may go. */
bool place_hand_over(const struct keeper *k);
uint64_t watchdog_interval_ns(void); /* 0: systemd does not want to hear from us */

/* autologger.c */
void autologgers_turn(struct keeper *k);
void autologger_result(struct keeper *k, const struct fa_msg_autologger *m);
bool autologgers_pending(const struct keeper *k);
void autologgers_init(struct keeper *k);
void autologgers_finish(struct keeper *k); /* the collector has ended its sessions */
void autologger_over(struct keeper *k, uint64_t session);
void autologger_moved(struct keeper *k, const struct fa_msg_file *m);

/* autologger_end.c: those that end by themselves. `child`: one of ours has ended; is it who asked? */
void autologgers_end_turn(struct keeper *k, uint64_t now);
void autologgers_child(struct keeper *k, pid_t child, int status);

/* autologger_sync.c: their traces to the disk. */
void autologgers_sync(struct keeper *k, uint64_t now);
void autologgers_synced(struct keeper *k, pid_t child);

/* autologger_file.c: its trace, and what is remembered of its last start */
int autologger_open(const struct keeper *k, const struct fa_autologger *a, uint32_t *ret_counter,
		    int *ret_fd) FA_MUST_USE;
void autologger_status(const struct keeper *k, const struct fa_autologger *a, uint32_t counter,
		       int error, const char *text);

/* requests.c */
void requests_open(struct keeper *k);
unsigned requests_poll(const struct keeper *k, struct pollfd *p); /* room for ASKERS_MAX + 1 */
void requests_turn(struct keeper *k, uint64_t now);

/* rules.c */
int rules_open(struct keeper *k) FA_MUST_USE; /* at once, and made where there is none */
void rules_turn(struct keeper *k, uint64_t now);
void rules_count_start(struct keeper *k, const struct fa_msg_started *m);
void rules_disarm(struct keeper *k, const struct fa_msg_started *m);

#endif
