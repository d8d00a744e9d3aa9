/*
 * doorman.h - inside the doorman: table of arenas, doorbell, process events.
 *
 * Threads: the main one (doorman.c: sockets, process events, beats) and the workers (bell_workers.c). What
 * they share is in `struct door`, under `lock`, which nobody holds across a system call that
 * another process could delay.
 */
#ifndef FA_DOORMAN_H
#define FA_DOORMAN_H

#include <pthread.h>

#include "daemon/bell_queue.h"
#include "daemon/daemon.h"

enum {
	DOOR_ARENAS_MAX = 32768,
	ARRIVALS = 4096,
	NOTES_MAX = 256,
	MISSED_WAITING = 256,
	MISSED_AFTER_MS = 300
};

/* An arena that is attached, kept until the collector says that it is drained. */
struct door_arena {
	struct fa_msg_arena info;
	int fd;        /* a duplicate of the collector's; -1: none could be had */
	int pidfd;     /* -1: the kernel has none */
	bool unsent;   /* the collector has not got it yet */
	uint64_t more; /* bytes of further segments */
	bool asked;   /* the collector wants to know who has it (heirs.c) */
	int32_t heir; /* who had it when that was looked at last, 0: nobody */
};

struct arrival {
	int32_t pid;
	bool refuses;
	uint64_t when_mono;
};

/* What rules know a process by. */
struct seen {
	int32_t pid;
	uint32_t uid;
	uint32_t real_uid;
	char exe[1024];
	char comm[32]; /* "" unknown */
};

/* A process that rang to say that it refuses (format/arena_format.h). */
struct note {
	struct seen seen;
	uint64_t when_mono;
	int fd; /* of its note, for reading */
};

/* A flagged program that started and has not rung yet, or refused. */
struct waiting {
	int32_t pid; /* 0: free */
	uint32_t uid, real_uid;
	uint64_t when_mono;
	int exe_fd, note_fd; /* -1: none */
	int32_t status; /* how it ended, -1: it has not */
	uint32_t rule_id;
	bool disarmed;
	char image[FA_IMAGE_NAME];
};

/* A thread that answers the doorbell. */
struct bell_worker {
	bool runs;
	bool given_up;
	int held_fd; /* the event's: its opener waits, since then; -1: nobody does */
	uint64_t since_ns;
};

struct door {
	const struct daemon_settings *settings;
	struct beat *beat;
	int keeper_fd;
	pthread_mutex_t lock;
	/* under lock: */
	int peer_fd; /* to the collector, -1: it is gone */
	struct fa_msg_wants wants;
	struct door_arena **arena;
	size_t arenas, arena_room;
	struct kept_arenas *kept; /* NULL: there is no memory for a successor */
	struct arrival arrival[ARRIVALS];
	unsigned arrivals;
	struct note note[NOTES_MAX];
	unsigned notes, notes_lost;
	size_t verify_at;
	bool asked; /* one of the arenas is */
	pthread_cond_t asks;
	struct bell_worker worker[BELL_WORKERS_MAX];
	unsigned workers; /* that have not been given up */
	struct bell_queue rings;
	struct bell_ring *answered; /* to be let go together, at the time `let_go_ns` */
	uint64_t let_go_ns;
	bool listening; /* a worker waits for rings */
	bool reading;   /* a worker reads them */
	pthread_cond_t more, was_read;
	/* set before the workers start, then only read: */
	int bell_fd;
	dev_t shm_dev; /* of the kernel's anonymous shared memory */
	bool has_pidfd;
	char door_path[300];
	char index_path[300];
	/* main thread only: */
	dev_t door_dev;
	ino_t door_ino;
	int connector_fd; /* -1: none */
	uint64_t unknown_starts;
	unsigned char *known; /* a bit a pid */
	struct waiting waiting[MISSED_WAITING];
	void *index; /* as last read, NULL: none that is valid */
	size_t index_len;
	struct {
		dev_t dev;
		ino_t ino;
		struct timespec mtime;
	} index_stamp;
};

/* arenas.c: all but the first take the lock themselves */
struct door_arena *door_arena_at(struct door *d, uint64_t handle); /* NULL: there is none */
enum { ADD_OK, ADD_KNOWN, ADD_LIMIT };
int door_arena_add(struct door *d, const struct fa_msg_arena *info, int fd, int pidfd,
		   bool unsent);
void door_arena_drop(struct door *d, uint64_t handle);
bool door_arena_known(struct door *d, uint64_t handle);
void door_send_unsent(struct door *d);
void door_resend_all(struct door *d);
/* May this arena get this segment? Counted when it may. */
bool door_arena_grow(struct door *d, uint64_t handle, unsigned segment);
bool read_block_words(int fd, uint64_t *ret_block, uint64_t *ret_nonce);
/* Where its processes have their block. false: it is not known, or not flagged. */
void door_arena_flagged(struct door *d, uint64_t handle); /* a rule wants it from now on */
bool door_arena_block(struct door *d, uint64_t handle, struct fa_attach *ret);
int door_send(struct door *d, struct fa_part_msg *m, unsigned type, int fd0, int fd1);
/* The segments that an arena has got already, for the limits. */
void door_take_size(struct door *d, const struct fa_msg_arena *info, int fd);

/* kept_arenas.c */
void kept_open(struct door *d, int fd);
void kept_search(struct door *d); /* for the arenas of a predecessor; in a thread */
bool kept_info(const struct door *d, uint64_t handle, struct fa_msg_arena *ret); /* what it says of an arena */
void kept_put(struct door *d, const struct fa_msg_arena *info);
void kept_drop(struct door *d, uint64_t handle);

/* heirs.c: main thread */
int heirs_start(struct door *d) FA_MUST_USE;
void heirs_ask(struct door *d, uint64_t handle);

/* bell.c */
int bell_open(struct door *d) FA_MUST_USE;
int bell_mark(struct door *d); /* again, when the folder was replaced */
int bell_process(int32_t pid) FA_MUST_USE; /* /proc/PID, O_PATH: of this process and no later one */
/* The arena `size` bytes long at `address` of the process: O_PATH, or -errno; its inode in *ret_ino. */
int bell_find(const struct door *d, int proc_fd, uint64_t address, uint32_t size,
	      uint64_t *ret_ino) FA_MUST_USE;
/* The number of what is mapped from `address` to `end`, where that is memory of that kind; 0. */
uint64_t bell_mapped(const struct door *d, int proc_fd, uint64_t address, uint64_t end);
/* The arena of one that may have got further segments. */
int bell_find_grown(const struct door *d, int proc_fd, uint64_t address, uint32_t size,
		    uint64_t *ret_ino) FA_MUST_USE;
int bell_reopen(int path_fd, int mode) FA_MUST_USE; /* O_RDWR or O_RDONLY */
/* In worker `number`: find its arena and attach it, or take its note. */
void bell_look(struct door *d, unsigned number, const struct bell_ring *r);

/* bell_workers.c */
int bell_start(struct door *d) FA_MUST_USE;
void bell_rescue(struct door *d);
bool bell_is_held(struct door *d, unsigned number); /* has its ring not been let go? */

bool bell_who_is(int proc_fd, struct fa_msg_arena *info); /* uid, gid, guarded */
/* Attach the new arena of a process that was woken. nonce: of the program that was; info: what bell_who_is()
 * says, pid, session. -errno: there is none that is new. */
int bell_take(struct door *d, int proc_fd, int pidfd, uint64_t nonce,
	      struct fa_msg_arena *info) FA_MUST_USE;
void bell_look_at(struct fa_msg_arena *info, int32_t pid, uint64_t when); /* and its executable */
/* The handle of its arena at that address, when it is attached; else 0. */
uint64_t bell_attached(struct door *d, int proc_fd, uint64_t address);
bool pidfd_alive(int pidfd); /* -1: believed to be */

/* wake.c */
int wakes_start(struct door *d) FA_MUST_USE;
void wakes_ask(struct door *d, const struct fa_msg_wake *wake, int fds[MSG_FDS]); /* takes them */
void wakes_turn(struct door *d);

/* sleepers.c: flagged processes that nobody wants now, and arenas that are over. Any thread. */
struct sleeper {
	int32_t pid;
	int pidfd;
	uint32_t flags; /* enum fa_wake_flags */
	struct fa_attach attach;
};
void sleepers_add(const struct sleeper *s); /* the pidfd is duplicated */
void sleepers_add_arena(const struct fa_msg_arena *info, int pidfd);
bool sleepers_take(int32_t pid, struct sleeper *ret); /* its pidfd is the caller's */
/* The pages of an arena that nobody reads any more go back, when all its processes have seen it. */
void retire(const struct door_arena *a);
void sleepers_turn(void);

/* procs.c: main thread, but for procs_look and procs_verify */
void procs_open(struct door *d);
void procs_read(struct door *d);
void *procs_verify(void *door);  /* a thread */
void procs_turn(struct door *d); /* now and then: who is missing? */
void procs_know(struct door *d, int32_t pid);
int procs_look(int32_t pid, struct seen *ret) FA_MUST_USE; /* -ENOENT: it is gone */
void door_arrived(struct door *d, int32_t pid, bool refuses);

#endif
