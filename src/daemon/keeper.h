/* keeper.h - inside the keeper: parts, kept sessions, autologgers. One thread. */
#ifndef FA_KEEPER_H
#define FA_KEEPER_H

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
};

/* A session that the collector runs, for the collector that may have to follow it. */
struct kept {
	int fd; /* -1: free */
	struct fa_msg_session session;
};

enum autologger_state { AL_WAITS, AL_GIVEN, AL_STARTED, AL_FAILED };

struct keeper {
	struct daemon_settings *settings;
	struct part part[PARTS];
	int listen_fd, lock_fd, signal_fd;
	struct kept kept[FA_SESSIONS_MAX];
	enum autologger_state autologger[FA_CONFIG_AUTOLOGGERS];
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
};

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
uint64_t watchdog_interval_ns(void); /* 0: systemd does not want to hear from us */

/* autologger.c */
void autologgers_turn(struct keeper *k);
void autologger_result(struct keeper *k, const struct fa_msg_autologger *m);
bool autologgers_pending(const struct keeper *k);

/* rules.c */
void rules_turn(struct keeper *k, uint64_t now);
void rules_count_start(struct keeper *k, const struct fa_msg_started *m);

#endif
