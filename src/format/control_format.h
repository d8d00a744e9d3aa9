/*
 * control_format.h - what the command line may ask firstallocd, and what it answers.
 *
 * The control socket is SOCK_SEQPACKET, mode 0666; rights are decided per request from the peer's
 * credentials. A request is one message of exactly sizeof(struct fa_control_request) bytes; START
 * carries the trace file's descriptor (newfile: those of all its files, at least two), ATTACH a pidfd of the process. A reply is one message of exactly sizeof(struct
 * fa_control_reply); the reply to STATUS carries a memfd of the layout below. Both sides run on one
 * machine and in one version, so a foreign version is refused and not converted; all integers are
 * in native order.
 *
 * STATUS memfd: struct fa_status_header, then sessions x struct fa_status_session, processes x
 * struct fa_status_process, coverage x struct fa_status_coverage, consumers x struct fa_status_consumer, threads x
 * struct fa_status_thread.
 */
#ifndef FA_CONTROL_FORMAT_H
#define FA_CONTROL_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/arena_format.h"

#define FA_CONTROL_MAGIC 0x4c4f525443414646ULL

enum {
	FA_CONTROL_VERSION = 3,
	FA_SESSION_NAME = 64, /* bytes of a session's name, NUL included */
	FA_MARK_TEXT = 256, /* of a mark, NUL included */
	FA_SESSION_IMAGES = 16,
	FA_IMAGE_NAME = 256, /* NAME_MAX and NUL */
	FA_SESSIONS_MAX = 64,
	FA_STATUS_MAX = 65536, /* entries of each kind in a status */
};

enum fa_control_verb {
	FA_CONTROL_PING = 1,
	FA_CONTROL_START = 2,
	FA_CONTROL_STOP = 3,
	FA_CONTROL_STATUS = 4,
	FA_CONTROL_ATTACH = 18, /* one running process into the session, or flag it */
	FA_CONTROL_MARK = 17,  /* `text` into the session, or into all that the caller may stop */
	FA_CONTROL_FLUSH = 16, /* what was recorded so far stands in the file when it is answered */
	FA_CONTROL_UPDATE = 19, /* `changes` of a session that runs */
	FA_CONTROL_TAIL = 32, /* the session's records as they come: the connection is a trace from then on */
	FA_CONTROL_SNAPSHOT = 40, /* the arena of a process that keeps a table, to be looked at */
	FA_CONTROL_RELEASE = 41, /* `pid`, or all of the image `text`, need keep no table any more */
	FA_CONTROL_SNAPSHOT_INTO = 42, /* what the caller has seen of `pid`, struct fa_snapshot_part, into the session */
	FA_CONTROL_SAVE = 5, /* the ring of a session that buffers, into the file that comes along */
};

/* ETW's LogFileMode values: bits, but the first five exclude each other. */
enum fa_log_file_mode {
	FA_LOG_SEQUENTIAL = 0x1,
	FA_LOG_CIRCULAR = 0x2,
	FA_LOG_APPEND = 0x4,
	FA_LOG_NEWFILE = 0x8,
	FA_LOG_BUFFERING = 0x400, /* a ring in memory: minimum_buffers * buffer_size */
	FA_LOG_PREALLOCATE = 0x20,
	FA_LOG_REAL_TIME = 0x100, /* alone: there is no file; who reads along gets the events */
};
#define FA_LOG_MODES (FA_LOG_SEQUENTIAL | FA_LOG_CIRCULAR | FA_LOG_APPEND | FA_LOG_NEWFILE | FA_LOG_BUFFERING)

enum {
	FA_CIRCULAR_MIN = 1 << 20,   /* MaximumFileSize */
	FA_DEFAULT_BUFFER_SIZE = 64 << 10,
	FA_BUFFER_SIZE_MAX = 1 << 20, /* more than that is taken as that */
	FA_RING_MIN = 1 << 20,       /* of a session that buffers */
	FA_RING_DEFAULT = 16 << 20,
	FA_RING_MAX = 1 << 30,
	FA_RING_USER_MAX = 64 << 20, /* all of a user's who is not of the group */
	FA_FIRST_ID_MAX = 1 << 30,
	FA_NEWFILE_MIN = 1 << 20, /* MaximumFileSize */
	FA_FILES_MAX = 16, /* of a session in newfile mode; as ETW's FileMax */
};

enum fa_session_flags {
	FA_SESSION_USER = 1 << 0,       /* only processes of the uid that started it */
	FA_SESSION_AUTOLOGGER = 1 << 1, /* from an [Autologger NAME] section */
	FA_SESSION_PIDS = 1 << 2,       /* only processes that ATTACH names, no flagged ones */
	/* A regular file is written as it comes; who stops the session, or gives it another file, and is its user gets the
	 * old one with the reply, to make it small (trace/repack.h). */
	FA_SESSION_PACK_LATER = 1 << 3,
};

#define FA_SESSION_STACKS (1u << 31)

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
/* What a session is, in ETW's words. Zero means the default where a default is said. */
struct fa_session_options {
	char name[FA_SESSION_NAME]; /* NUL terminated, see fa_session_name_ok() */
	uint32_t flags;             /* enum fa_session_flags */
	uint32_t policy;            /* enum fa_arena_policy */
	uint32_t buffer_size;       /* bytes of a trace block, 0: 64 KB */
	uint32_t minimum_buffers; /* with buffer_size: room that a family's arena has before it is short of it */
	uint32_t
		maximum_buffers; /* with buffer_size: how far one family's arena may grow, 0: as far
				     as it can */
	uint32_t flush_timer;    /* seconds, 0: 1 */
	uint32_t log_file_mode;  /* enum fa_log_file_mode; none of FA_LOG_MODES: sequential */
	uint32_t image_count;
	uint64_t maximum_file_size; /* bytes, 0: no limit */
	uint64_t minimum_free;      /* bytes, 0: the larger of 5 % and 1 GB; ~0: not watched */
	uint32_t first_id; /* append: ids of the file's processes and families up to this are taken */
	uint32_t stacks;   /* FA_SESSION_STACKS | enum fa_stack_events; 0: as each program's rule says */
	char image[FA_SESSION_IMAGES][FA_IMAGE_NAME]; /* base names; none: all flagged images */
};

enum fa_attach_flags {
	FA_ATTACH_FLAG = 1 << 0, /* flag it, as its rule would have: for all sessions, now and later */
};

/*
 * UPDATE: what of `session` is to hold from now on. The set of PIDs is replaced in three steps: PIDS_BEGIN
 * alone; ATTACH for each; PIDS, with FA_SESSION_PIDS in session.flags unless the flagged ones are wanted too.
 * Who was named before and not since leaves with the last step.
 */
enum fa_update_changes {
	FA_UPDATE_FLUSH_TIMER = 1 << 0,
	FA_UPDATE_MAXIMUM_BUFFERS = 1 << 1,
	FA_UPDATE_STACKS = 1 << 2,
	FA_UPDATE_FILE = 1 << 3, /* the descriptor that comes along */
	FA_UPDATE_PIDS = 1 << 4,
	FA_UPDATE_PIDS_BEGIN = 1 << 5,
};
#define FA_UPDATE_ALL (FA_UPDATE_PIDS_BEGIN * 2 - 1)

/* A running process, as the caller found it: firstallocd checks all of it, with the caller's rights. */
struct fa_attach {
	uint64_t block; /* where its process block lies */
	uint64_t nonce; /* what that says */
	uint32_t flags; /* enum fa_attach_flags */
	uint32_t tracing_flags;
	uint32_t rule_id; /* with FLAG: 0: what its own rule said at its start stays */
	uint32_t depth;
	uint32_t stacks;
	uint32_t stamp_mode;
	uint32_t options; /* enum fa_rule_options */
	uint32_t reserved;
};

/* TAIL: what the reader wants of the heap's events; beside it session.image: only processes of these. */
enum { FA_TAIL_PIDS = 64 };
struct fa_tail_filter {
	uint32_t on;        /* 0: all */
	uint32_t kinds;     /* bits 1 << enum fa_event_kind */
	uint64_t size_lo;   /* of blocks, from so many bytes */
	uint64_t size_hi;   /* up to so many; 0: of any size. Frees have none */
	uint32_t pid_count; /* only these processes, 0: of all */
	int32_t pid[FA_TAIL_PIDS];
	uint32_t reserved;
};

struct fa_control_request {
	uint64_t magic;
	uint32_t version;
	uint32_t verb; /* enum fa_control_verb */
	uint32_t all; /* STOP: every session that the caller may stop; STATUS: threads, too */
	uint32_t changes; /* UPDATE: enum fa_update_changes */
	uint64_t session_id; /* STOP, FLUSH, MARK, ATTACH, UPDATE: not 0: this session, whatever the name says */
	int32_t pid;   /* SNAPSHOT, SNAPSHOT_INTO, RELEASE */
	uint32_t reserved;
	struct fa_session_options session; /* STOP, FLUSH, MARK, ATTACH: the name counts */
	char text[FA_MARK_TEXT];           /* MARK; RELEASE: an image, where pid is 0 */
	struct fa_attach attach;
	struct fa_tail_filter tail;
};

/* SNAPSHOT: whose arena comes along. The descriptor is for reading only. */
struct fa_arena_of {
	int32_t pid;
	uint32_t uid;
	uint32_t gid;
	uint32_t size; /* of segment 0 */
	uint32_t dead; /* 1: the process has ended */
	uint32_t reserved;
	char exe[1024];
};

/*
 * SNAPSHOT_INTO: so each record lies in the memfd that comes along, sealed against whatever could change it: this, the
 * fixed part, the rest, zeros up to a multiple of 8. THREAD records, SNAPSHOT, BLOCKS, SNAPSHOT_END; for the process in
 * them firstallocd puts its own number.
 */
struct fa_snapshot_part {
	uint32_t tag;
	uint32_t head_len;
	uint64_t tail_len;
};
#define FA_SNAPSHOT_PARTS_MAX (1ull << 30) /* bytes */

struct fa_control_reply {
	uint64_t magic;
	uint32_t version;
	int32_t error; /* 0 or an errno, positive */
	/* STOP: of the sessions that were stopped */
	uint64_t events;
	uint64_t lost;
	uint64_t bytes;
	uint32_t processes;
	uint32_t sessions;
	uint32_t end_reason; /* as struct fa_rec_end has it, of the last one */
	uint32_t end_error;
	uint32_t pending_families; /* START: families that were attached already and joined */
	uint32_t woken; /* START: flagged processes that were woken; ATTACH: 1: it sleeps until its next call */
	uint64_t session_id; /* START: of the session, never 0 */
	char text[256]; /* one line for the user, "" when there is nothing to say */
	struct fa_arena_of arena; /* SNAPSHOT */
};

enum fa_daemon_run { FA_RUN_BACKGROUND = 0, FA_RUN_UNIT = 1, FA_RUN_FOREGROUND = 2, FA_RUN_EARLY = 3 };

enum fa_session_state {
	FA_SESSION_RUNNING = 1,
	FA_SESSION_ENDED = 2, /* by itself: the reason says why; still to be stopped */
};

struct fa_status_header {
	uint64_t magic;
	uint32_t version;
	uint32_t sessions;
	uint32_t processes;
	uint32_t coverage;
	uint64_t unknown_starts; /* programs that started while the kernel could not tell us */
	uint64_t started_real;   /* when firstallocd started, seconds */
	uint32_t connector;      /* 1: the kernel tells us of program starts */
	uint32_t run;            /* enum fa_daemon_run */
	int32_t keeper_pid;
	int32_t doorman_pid;
	int32_t collector_pid;
	uint32_t restarts; /* of doorman and collector */
	uint32_t bell;     /* 1: the doorman answers the doorbell */
	uint32_t system;   /* 1: the caller sees everything */
	uint32_t consumers;
	uint32_t threads; /* 0 unless they were asked for */
};

struct fa_status_session {
	uint64_t id;
	char name[FA_SESSION_NAME];
	uint32_t flags;
	uint32_t uid;
	uint32_t policy;
	uint32_t state;      /* enum fa_session_state */
	uint32_t end_reason; /* as struct fa_rec_end has it */
	uint32_t end_error;
	uint32_t image_count;
	uint32_t processes; /* ever seen */
	uint64_t events;
	uint64_t events_lost;
	uint64_t buffers_written;
	uint64_t log_buffers_lost;
	uint64_t bytes;
	uint64_t started_real; /* seconds */
	uint64_t buffers_overwritten;    /* circular and buffering, of those that were written */
	uint64_t real_time_buffers_lost; /* of all consumers, ever */
	uint64_t real_time_events_lost;
	uint64_t lost_by[FA_LOST_CAUSES]; /* events_lost, by enum fa_lost_cause */
	/* What was asked for; 0: nothing, and the default was taken. */
	uint32_t requested_buffer_size;
	uint32_t requested_flush_timer;
	uint32_t requested_minimum_buffers;
	uint32_t requested_maximum_buffers;
	/* What holds. */
	uint32_t buffer_size;
	uint32_t flush_timer;
	uint32_t minimum_buffers;
	uint32_t maximum_buffers; /* 0: as many as there is room for */
	uint32_t log_file_mode;
	uint32_t index;             /* bit of struct fa_status_process.sessions */
	uint32_t number_of_buffers; /* of the programs that are traced now */
	uint32_t free_buffers;
	uint32_t consumers; /* now */
	uint32_t reserved;
	uint64_t maximum_file_size;
	uint32_t files;       /* that it may write: newfile; else 1 */
	uint32_t files_begun; /* so far */
	char image[FA_SESSION_IMAGES][FA_IMAGE_NAME];
	char file[256]; /* as the kernel names the descriptor; may be cut */
};

enum fa_status_state {
	FA_STATUS_TRACED = 1,
	FA_STATUS_WAITING = 2, /* flagged; no session wants it */
	FA_STATUS_REFUSED = 3, /* `reason` says why */
};

struct fa_status_process {
	int32_t pid;
	uint32_t uid;
	uint32_t state;  /* enum fa_status_state */
	uint32_t reason; /* enum fa_reason */
	uint64_t events;
	uint64_t lost;
	uint64_t bytes;
	uint64_t sessions; /* bit i: it is in the session with that index */
	uint64_t lost_by[FA_LOST_CAUSES];
	char image[FA_IMAGE_NAME];
};

struct fa_status_coverage {
	int32_t pid;
	uint32_t uid;
	uint32_t reason; /* enum fa_reason */
	uint32_t reserved;
	uint64_t when_real; /* seconds */
	char image[FA_IMAGE_NAME];
};
/* Who reads along with a session. */
struct fa_status_consumer {
	uint64_t session_id;
	int32_t pid;
	uint32_t uid;
	uint64_t events; /* that it was given since it came */
	uint64_t events_unwanted; /* that it did not ask for */
	uint64_t events_lost; /* that it was too slow for */
	uint64_t buffers;
	uint64_t buffers_lost;
	uint64_t queued_bytes; /* that wait for it now */
};

/* A thread of a process that is traced, as long as it lives. Those of a process stand one behind the other. */
struct fa_status_thread {
	uint32_t process; /* which of the status: from 0 */
	uint32_t thread;  /* its number in the trace */
	int32_t tid;      /* 0: not known */
	uint32_t reserved;
	uint64_t events;
	uint64_t lost;
	uint64_t lost_by[FA_LOST_CAUSES]; /* as far as threads are told apart: the process's may be more */
	char name[16]; /* "": not known */
};
#pragma GCC diagnostic pop

/* Letters, digits and . _ - @ +, at least one, not starting with a dot or dash. Pure. */
int fa_session_name_ok(const char *name);

/* Do they name the same session? Whether letters are small or capital does not count. Pure. */
int fa_session_name_same(const char *a, const char *b);

/* Bytes of one of MinimumBuffers and MaximumBuffers. Pure. */
uint64_t fa_session_buffer_bytes(const struct fa_session_options *o);
/* What holds of MinimumBuffers, as segments of an arena with this first one; and of both in buffers, where arenas are as
 * large as they are as a rule. They grow by segments, the first of which is always there. maximum: 0: no limit. Pure. */
unsigned fa_session_minimum_segments(const struct fa_session_options *o, uint32_t size0);
uint32_t fa_session_minimum_buffers(const struct fa_session_options *o);
uint32_t fa_session_maximum_buffers(const struct fa_session_options *o);

/* 1 to 255 bytes, none of them a control character. Pure. */
int fa_mark_text_ok(const char *text);

/* Everything a receiver must know before it uses the options: terminated strings, known numbers.
 * 0 or -EINVAL with *ret_what naming the field. Pure. */
int fa_session_options_check(const struct fa_session_options *o, const char **ret_what) FA_MUST_USE;

/* Magic, version, verb and, for START, the options; strings of `r` are terminated after success.
 * 0, -EPROTO no request, -EPROTONOSUPPORT a foreign version, -EINVAL options. */
int fa_control_check(const struct fa_control_request *r, size_t len,
		     const char **ret_what) FA_MUST_USE;

/* Do the counts of a status agree with its length? 0 or -EPROTO. */
int fa_status_check(const void *bytes, size_t len) FA_MUST_USE;

/* What is wrong with the mode and what it needs, as a sentence; NULL: nothing. Pure. */
const char *fa_session_mode_fault(const struct fa_session_options *o);
/* Neither a file nor a ring. */
int fa_session_real_time_only(const struct fa_session_options *o);
/* "circular", ...; the mode with preallocation is the one without. */
const char *fa_log_mode_name(uint32_t log_file_mode);
/* The mode of that name (without preallocation), 0: there is none. */
uint32_t fa_log_mode_of(const char *name);
/* Bytes of the ring of a session that buffers. */
uint64_t fa_session_ring_size(const struct fa_session_options *o);

/* "0" stopped, 1 size limit, ... as text for users. */
const char *fa_end_reason_text(unsigned reason);

#endif
