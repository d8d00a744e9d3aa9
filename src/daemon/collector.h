/*
 * collector.h - inside the collector: families, sessions, control connections. One thread.
 *
 * A family (families.c) is an adopted arena; its records go to every session whose bit stands in
 * its mask. A session (sessions.c) is a trace being written. Clients (control.c) are connections of
 * the command line.
 */
#ifndef FA_COLLECTOR_H
#define FA_COLLECTOR_H

#include "collector/drain.h"
#include "daemon/daemon.h"
#include "trace/writer.h"

enum {
	CLIENTS_MAX = 128,
	CLIENTS_PER_USER = 32,
	CONSUMERS_MAX = 32,
	CONSUMERS_PER_USER = 4,
	SHIFTED_MAX = 128, /* the longest fixed part of a record that has ids */
	WRITTEN_USERS = 256,
	DORMANT_MAX = 4096,
	COVERAGE_MAX = 1024,
	SLOWEST_MS = 16, /* an idle family is looked at so often */
	SLOWEST_TABLE_MS = 4, /* one that keeps a table: it may ask for room without recording an event */
	REAP_EVERY_MS = 100,
	TURN_MS = 200, /* so long a turn reads at most, however slow the disks: programs wait for a second */
};

struct collector;

#define KEY_PIDFD (1ull << 63) /* of epoll: the rest is a family's handle */

struct family {
	struct collector *c;
	struct fa_family *f;
	struct fa_msg_arena info;
	uint64_t mask;    /* bit i: session[i] gets its records */
	uint64_t named;   /* bit i: session[i] named it, whatever it wants else */
	uint64_t renamed; /* the same, since session[i] began to replace its PIDs */
	int fd;           /* the arena, to make it longer, and for a new doorman */
	int pidfd;        /* -1: unknown or gone */
	bool resumed;     /* adopted from a collector that died, and left no word of it */
	bool going;       /* over: let go of when that is safe */
	bool table;       /* it keeps a table of live blocks, and somebody may want a snapshot */
	uint64_t dead_ns; /* it was over then, and is kept for its table; 0: not */
	bool dirty;       /* it has written records since the last commit */
	int place;        /* in the journal, -1: it is full */
	uint32_t heirs;   /* enum fa_heirs, 0: not known (heritage.c) */
	uint64_t heirs_asked_ns, heirs_told_ns; /* 0: somebody lives */
	uint64_t gone_ns; /* its first process ended then, 0: it lives */
	bool told;        /* how, or that it executed another program */
	unsigned interval_ms;
	uint64_t due_ns;
	bool reap_due; /* not begun: a sweep was under way */
	uint64_t events, lost[FA_LOST_CAUSES]; /* counted into sessions so far */
	unsigned asked;        /* segment that was asked for, 0: none */
	uint64_t asked_ns;
	bool refused_segment;
	char exec_name[FA_IMAGE_NAME]; /* base name of the executed path: a script's own */
	uint32_t rule_id, real_uid;    /* for crashes.c */
	bool judged;                   /* this start went well, or it has been counted */
};

/* What stands in the files of a session that were ended, all together. */
struct in_files {
	uint64_t events, lost, bytes, blocks, blocks_overwritten;
};

struct session {
	bool used;
	bool ended; /* by itself; the writer is gone */
	bool in_memory; /* its folder cannot be written to yet (boot) */
	unsigned index;
	uint64_t id;
	struct fa_session_options o;
	uint32_t uid;
	int fd; /* of the file that is written: files[slot] */
	int files[FA_FILES_MAX]; /* newfile: all that it may write; -1: none */
	uint32_t file_count;     /* newfile: how many; else 1 */
	uint32_t slot, committed_slot; /* committed: as a successor of ours would find it */
	uint32_t files_begun;
	struct in_files before;
	uint64_t event_bytes; /* in this file, as far as newfile has to know */
	struct fa_trace_writer *w;
	uint32_t block_size; /* effective BufferSize */
	int error; /* of the last write, -errno: to be ended at the end of this turn */
	uint32_t end_reason, end_error;
	uint64_t events, lost, bytes, blocks, blocks_lost, blocks_overwritten;
	uint64_t lost_by[FA_LOST_CAUSES]; /* lost, by cause */
	uint64_t written; /* bytes, those that were written over among them */
	uint64_t paid;    /* of these, by written.c */
	uint32_t processes;
	uint32_t consumers; /* who gets its records as they come */
	uint64_t real_time_buffers_lost, real_time_events_lost; /* of all consumers, ever */
	uint64_t started_real, started_mono;
	uint64_t flushed_ns;
	uint64_t pids_since; /* orders to wake up to this number are of PIDs that were replaced since */
	char file[256];
};

struct client {
	int fd; /* -1: free */
	uint32_t uid;
	int32_t pid;
	bool system; /* root or group firstalloc */
	uint64_t since_ns;
	uint64_t waits_for; /* number of a WANTS message, 0: none */
	uint64_t waits_woken; /* number of a WAKE message, 0: none */
	uint64_t waits_into; /* number of a snapshot that is being written, 0: none */
	bool asked_table;     /* FA_WAKE_TABLE */
	uint32_t table_most;  /* MB, 0: no limit */
	uint64_t woken_for;   /* the session that it was asked for, 0: only to flag it */
	struct fa_control_reply reply;
};

/* A user's purse (written.c). */
struct written {
	bool used;
	uint32_t uid;
	uint64_t left, filled_ns;
};

/* A flagged process that is not attached, for status. */
struct dormant {
	int32_t pid;
	uint32_t uid;
	uint32_t state, reason;
	uint64_t named, renamed; /* as in struct family: by sessions whose orders it has not obeyed yet */
	char image[FA_IMAGE_NAME];
	char exec_name[FA_IMAGE_NAME]; /* "" unknown */
};

struct collector {
	const struct daemon_settings *settings;
	struct beat *beat;
	int keeper_fd, peer_fd, listen_fd, epoll_fd;
	uint32_t clock_source;
	struct fa_drain_ids ids;
	struct family **family;
	size_t families, family_room;
	struct session session[FA_SESSIONS_MAX];
	struct client client[CLIENTS_MAX];
	struct written written[WRITTEN_USERS];
	uint32_t system_gid; /* ~0: there is no such group */
	struct dormant dormant[DORMANT_MAX];
	size_t dormants;
	struct fa_status_coverage coverage[COVERAGE_MAX];
	size_t coverages; /* ever */
	struct fa_msg_blind blind;
	struct fa_msg_info info;
	uint64_t wants_number, wants_done, wakes;
	uint64_t control_done, control_ns; /* control_turn(): wants_done then, and when it last looked at all clients */
	uint64_t wants_sent_ns;
	int given[FA_FILES_MAX]; /* by the keeper, of the session that comes next */
	uint64_t sessions_given; /* by the keeper; it waits until the doorman knows of them */
	bool ready_due;
	uint64_t reaped_ns, second_ns;
	struct journal *journal; /* NULL: there is none, and a successor of ours knows nothing */
	bool commit_due;         /* something waits to be given back */
	bool stopping;
};

/* families.c */
void family_adopt(struct collector *c, const struct fa_msg_arena *info, int arena_fd, int pidfd);
void family_gone(struct collector *c, const struct fa_msg_gone *gone);
void family_unwatch(struct family *fam);
void family_doubt(struct family *fam); /* what it has lost is unknown: into its sessions */
unsigned families_turn(struct collector *c, uint64_t now); /* returns ms until the next is due */
void families_reap(struct collector *c);
bool families_untold(struct collector *c, uint64_t now); /* has one just ended, and how will soon be known? */
void families_release(struct collector *c); /* after a commit: give back, let go */
void families_drain_session(struct collector *c, const struct session *s);
void families_say_known(struct collector *c); /* to a doorman that was restarted */
void family_tell(struct family *fam); /* it sees at its next heap call what its sessions want */
int64_t family_drain(struct family *fam);
void family_count(struct family *fam); /* what it recorded so far, into the counters of its sessions */
int family_reap(struct family *fam);
int family_describe(struct family *fam, struct session *s) FA_MUST_USE; /* to that one alone */
bool family_lives(const struct family *fam);
bool family_is_wanted(const struct session *s, const struct family *fam);
void family_let_go(struct collector *c, size_t i);
void read_exec_name(int arena_fd, char ret[FA_IMAGE_NAME], uint32_t *ret_rule);
bool session_wants(const struct session *s, uint32_t uid, const char *image, const char *image2);

/* members.c */
/* Who is wanted and not in it yet. Returns how many processes. */
int families_describe(struct collector *c, const struct session *s, const struct fa_sink *sink) FA_MUST_USE;
uint32_t families_join(struct collector *c, struct session *s);
/* `reason`: what status says of those who live on and whom nobody else wants. */
void families_leave(struct collector *c, struct session *s, uint32_t reason);
void families_let_all_go(struct collector *c); /* switched off */
/* `fam` may be in no session yet. */
void family_name(struct collector *c, struct session *s, uint64_t handle);
void families_tell(struct collector *c, const struct session *s); /* family_tell() of those in it */
void families_flagged(struct collector *c, uint64_t handle); /* a rule wants it from now on */
/* Its processes that live end in this trace; why: enum fa_process_end_reason. */
void family_end_in(struct collector *c, const struct family *fam, struct session *s, uint32_t why);
/* The PIDs of a session are replaced: between the two, the new ones are named. end: how many left. */
void families_rename_begin(struct collector *c, struct session *s);
uint32_t families_rename_end(struct collector *c, struct session *s);

/* update.c */
/* *fd: its new file; taken over where set to -1. *ret_old: the file that it had, for the client to pack. */
void update_session(struct collector *c, struct client *cl, const struct fa_control_request *q, int *fd, int *ret_old);

/* heritage.c: has it ended, with all that might still come? */
bool family_is_over(struct family *fam, uint64_t now);
void family_heirs(struct collector *c, const struct fa_msg_heirs *m);

/* growth.c */
void family_ask_segment(struct family *fam, uint64_t now);
void family_segment(struct collector *c, const struct fa_msg_segment *got);

/* snapshots.c: processes that keep a table of live blocks */
bool family_is_needed(const struct family *fam); /* by a session, or for its table */
bool family_is_kept_dead(struct collector *c, struct family *fam, uint64_t now); /* it is over */
struct family *family_of(const struct collector *c, uint64_t handle); /* NULL: there is none */
bool snapshot_is_kept(const struct collector *c, uint64_t handle);
struct family *snapshot_family(struct collector *c, const struct client *cl, int32_t pid); /* that the client may see; NULL: none */
/* The descriptor of the arena, for reading; -1: said to the client why not. */
int snapshot_give(struct collector *c, struct client *cl, int32_t pid);
/* A session records it already: have it begin a table. false: said to the client why not. */
bool snapshot_begin(struct collector *c, struct client *cl, uint64_t handle);
void snapshot_release(struct collector *c, struct client *cl, const struct fa_control_request *q);

/* snapshot_into.c: what a client has seen, into the trace of a session. true: a reply can be sent now. */
bool snapshot_into(struct collector *c, struct client *cl, const struct fa_control_request *q, int fd);
bool snapshot_into_turn(struct collector *c); /* is there more to write? */

/* dormant.c */
void dormant_add(struct collector *c, const struct fa_msg_arena *info, const char *exec_name,
		 uint32_t state, uint32_t reason);
void dormant_remove(struct collector *c, int32_t pid);
/* Of orders to wake only the last one is obeyed: which sessions the others were for is known here. */
void dormant_name(struct collector *c, int32_t pid, const struct session *s);
uint64_t dormant_named(struct collector *c, int32_t pid);
void dormant_rename_begin(struct collector *c, const struct session *s);
void dormant_rename_end(struct collector *c, const struct session *s);
void dormant_check(struct collector *c); /* forget those that are gone */

/* live.c: running processes */
void live_attach(struct collector *c, struct client *cl, const struct fa_control_request *q, int pidfd);
void live_woken(struct collector *c, const struct fa_msg_woken *woken);
/* Flagged processes that sleep and that this session wants. After the doorman was told of the session. */
uint32_t live_wake_sleepers(struct collector *c, const struct session *s);
void live_leave_children(struct collector *c, const struct family *fam); /* of a family that is let go */

/* sessions.c. session_open: of the files, want->file is written first; all are taken over on success. */
int session_open(struct collector *c, const struct fa_msg_session *want, int files[FA_FILES_MAX],
		 struct session **ret, const char **ret_what) FA_MUST_USE;
/* A record into one session; its failure is remembered there. */
void session_record(struct session *s, struct beat *beat, unsigned tag, const void *head,
		    size_t head_len, const void *tail, size_t tail_len, const void *tail2,
		    size_t tail2_len);
/* MACHINE, SESSION, CLOCK: so every trace begins. */
uint32_t session_minimum_buffers(const struct session *s); /* that holds */
void session_preface(struct collector *c, const struct session *s, const struct fa_sink *sink);
/* The fixed part of a record with the ids that it has in this session's trace: `head` itself, or `copy`. */
const void *session_ids(const struct session *s, unsigned tag, const void *head, size_t head_len,
			unsigned char copy[SHIFTED_MAX]);
/* What is in memory goes on in this file. */
int session_move(struct collector *c, uint64_t id, int fd) FA_MUST_USE;
void session_stop(struct collector *c, struct session *s, uint32_t reason);
/* The keeper is to have a duplicate, for the collector that may have to follow us. */
void session_keep(struct collector *c, const struct session *s);
void session_keep_all(struct collector *c, const struct session *s); /* the first time: and of all its files */
/* The ring of a session that buffers, into an empty file. */
int session_save(struct collector *c, struct session *s, int fd, uint64_t *ret_bytes) FA_MUST_USE;
void session_forget(struct session *s);
void sessions_turn(struct collector *c, uint64_t now);
void sessions_write_out(struct collector *c); /* to the kernel, which outlives us */
void sessions_say_wants(struct collector *c);
void sessions_update_bytes(struct session *s);
void session_write_preface(struct collector *c, struct session *s);
int session_end_file(struct collector *c, struct session *s, const struct fa_rec_end *end); /* and its writer */
void session_write_clock(struct collector *c, struct session *s);

/* session_file.c: the file that a session writes, and the one behind it */
int session_open_writer(struct collector *c, struct session *s, bool resumed, uint64_t keep) FA_MUST_USE;
uint64_t session_minimum_free(const struct collector *c, const struct fa_session_options *o, int fd);
void session_name_file(struct session *s);
void session_close_files(struct session *s);
/* Before a record of events: newfile goes on in its next file when this one is full. fam: whose sweep it is. */
void session_make_room(struct collector *c, struct session *s, struct family *fam, size_t len);
/* It goes on in this file, an empty one, as the client of UPDATE wants it; *fd is the old one then. -errno: it goes on as
 * before. */
int session_take_file(struct collector *c, struct session *s, int *fd) FA_MUST_USE;
/* A commit has made it so: nobody needs the one before. */
void session_drop_file(struct collector *c, struct session *s, uint32_t slot);
void session_drop_others(struct collector *c, struct session *s); /* of those that a predecessor had */
int session_preallocate(const struct session *s) FA_MUST_USE;

/* written.c: the cap on what is written for one user */
bool written_too_much(struct collector *c, struct session *s, uint64_t now); /* it is to be ended */
bool written_may_start(struct collector *c, uint32_t uid, uint64_t now);

/* journal.c */
void journal_open(struct collector *c, int fd);
bool journal_followed(const struct collector *c); /* our predecessor left one that says all */
/* What it says about this session: how far the trace had come, and counters. false: nothing. */
bool journal_session(const struct collector *c, struct session *s, uint64_t *ret_mark);
/* The family's place; where our predecessor had it, that, and it is restored. -errno: its state is bad. */
int journal_family(struct collector *c, struct family *fam) FA_MUST_USE;
void journal_drop(struct collector *c, struct family *fam);
void journal_commit(struct collector *c);
void journal_turn(struct collector *c, uint64_t now);

/* control.c */
void client_say(struct client *cl, int error, const char *format, ...) FA_PRINTF(3, 4);
void client_answer(struct client *cl);
/* NULL: there is none, and it has been said. */
struct session *client_find(struct collector *c, struct client *cl, const struct fa_control_request *q);
struct session *client_session(struct collector *c, const struct client *cl,
			       const struct fa_control_request *q);
/* Is the session's file, once it is ended, to be packed by this client? */
bool client_packs(const struct client *cl, const struct session *s);
void control_accept(struct collector *c);
void control_read(struct collector *c, struct client *cl);
void control_turn(struct collector *c, uint64_t now);

/* consumers.c: who reads along */
void consumers_open(void);
/* The connection becomes the consumer's, and its reply is sent; or why it cannot be one. */
const char *consumer_begin(struct collector *c, struct client *cl, struct session *s,
			   const struct fa_control_request *q);
void consumers_record(struct session *s, unsigned tag, const void *head, size_t head_len,
		      const void *tail, size_t tail_len, const void *tail2, size_t tail2_len);
void consumers_end(struct session *s, const struct fa_rec_end *end, const char *text);
bool is_consumer(uint64_t key); /* of epoll */
void consumer_ready(uint64_t key);
void consumers_turn(uint64_t now);
struct fa_buf;
uint32_t consumers_status(struct fa_buf *b, const struct client *cl); /* how many were added */

/* trace_file.c: NULL, or why a trace may not be written, or begun, so */
const char *refuse_file(const struct client *cl, int fd);
const char *refuse_start_file(const struct collector *c, const struct client *cl,
			      const struct fa_session_options *o, int fd);
const char *refuse_start_files(const struct collector *c, const struct client *cl,
			       const struct fa_session_options *o, const int files[FA_FILES_MAX]);
const char *refuse_ring(const struct collector *c, const struct client *cl,
			const struct fa_session_options *o);
/* NULL: root mounted what this lies on, and no user serves it; else what is wrong. Asks the file
 * system nothing. */
struct statx;
const char *refuse_mount(const struct statx *x);
bool mount_is_trusted(int fd);

/* status.c: a memfd, or -errno */
int status_build(struct collector *c, const struct client *cl, bool threads) FA_MUST_USE;

/* crashes.c: is it a crash loop? */
void crashes_began(struct family *fam, uint32_t rule_id);
void crashes_ended(struct collector *c, struct family *fam, const struct fa_msg_gone *gone);
void crashes_missed(struct collector *c, const struct fa_msg_missed *missed);
void crashes_turn(struct family *fam, uint64_t now);
void crashes_left(const struct family *fam); /* it is let go; how it ended may still be told */
void crashes_late(struct collector *c, const struct fa_msg_gone *gone);

/* coverage.c */
void coverage_missed(struct collector *c, const struct fa_msg_missed *m, const int fds[MSG_FDS]);
void coverage_refused(struct collector *c, const struct fa_msg_arena *info); /* by a limit */

/* collector.c */
void collector_settle(struct collector *c);
int watch_fd(struct collector *c, int fd, uint64_t key) FA_MUST_USE;
void tell_keeper(struct collector *c, struct fa_part_msg *m, unsigned type, int fd);

#endif
