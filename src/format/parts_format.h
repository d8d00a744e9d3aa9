/*
 * parts_format.h - messages between the three parts of firstallocd: keeper, doorman, collector.
 *
 * One fixed size for all (struct fa_part_msg), over SOCK_SEQPACKET pairs made by the keeper before
 * it forks; descriptors ride along. A receiver takes exactly that size or drops the message, and
 * reads only the member that `type` names. The collector reads bytes that any user can write, so
 * what it sends is not trusted by the others: they check every field that they use.
 */
#ifndef FA_PARTS_FORMAT_H
#define FA_PARTS_FORMAT_H

#include <stdint.h>

#include "format/control_format.h"

#define FA_PART_MAGIC 0x54524150u

enum fa_part_msg_type {
	/* doorman to collector */
	FA_MSG_ARENA = 1, /* somebody rang; answer ATTACHED: with arena and, where known, pidfd */
	FA_MSG_SEGMENT,   /* answer to WANT_SEGMENT; error 0: it may be made */
	FA_MSG_GONE,      /* a process that we knew exited, or runs another program now */
	FA_MSG_MISSED,    /* a flagged program started and did not ring, or refused; with its executable
			   * and its note, where there are such */
	FA_MSG_WANTS_DONE,
	FA_MSG_WOKEN, /* answer to WAKE; or it did not obey, and says why */
	FA_MSG_HEIRS, /* answer to ANYBODY */
	FA_MSG_BLIND, /* program starts that could not be seen; whether the connector works */
	/* collector to doorman */
	FA_MSG_WANTS, /* what sessions want, all of it */
	FA_MSG_WANT_SEGMENT,
	FA_MSG_KNOWN,   /* to a doorman that was restarted: an arena that is attached, with both its
			 * descriptors */
	FA_MSG_DRAINED, /* nothing more is needed of this arena */
	FA_MSG_WAKE,    /* a running process; with its pidfd and the socket of the client who asks */
	FA_MSG_SLEEPS,  /* before DRAINED: a child that lives on */
	FA_MSG_ANYBODY, /* all whom we know have ended: has anybody this arena still? */
	/* keeper to collector and back */
	FA_MSG_LINK,    /* to both: a new socket to the other part */
	FA_MSG_SESSION, /* down: run this one; up: keep this descriptor for a successor */
	FA_MSG_SESSION_FILE, /* down: before SESSION, a file that it does not write now; up: keep this one, too, or none */
	FA_MSG_SESSION_OVER,
	FA_MSG_SESSION_END, /* down: its StopAt was reached */
	FA_MSG_FILE, /* down: the trace in memory goes on in this file; up: it does, or why not */
	FA_MSG_STARTED, /* a rule was used (it may be one "for N starts") */
	FA_MSG_DISARM,  /* what it flags crashed again and again */
	FA_MSG_AUTOLOGGER,
	FA_MSG_STOP,
	FA_MSG_STOPPED,
	FA_MSG_INFO,  /* down: facts for status */
	FA_MSG_READY, /* up: this part is at work */
};

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct fa_msg_arena {
	uint64_t handle; /* its inode number: names the arena while it lives */
	uint64_t when_mono;
	int32_t pid;
	uint32_t uid;
	uint32_t gid;
	uint32_t slot;
	uint32_t size;
	uint32_t answer;  /* enum fa_arena_answer_word */
	uint32_t reason;  /* enum fa_reason, with REFUSED */
	uint32_t adopted; /* 1: sent again to a collector that was restarted */
	uint32_t guarded; /* 1: from its own user: only system sessions may have it */
	uint32_t woken;   /* 1: it ran already */
	uint32_t flagged; /* with session: 1: a rule wants it as well */
	uint32_t reserved;
	uint64_t session; /* id of the one that named it, 0: it is flagged */
	uint64_t wake;    /* with session: number of the WAKE that did */
	/* Where its process block lies, as it said when it came; 0: it did not. They decide nothing by themselves (wake.c). */
	uint64_t block, block_nonce;
	char exe[1024]; /* "" unknown */
};

/* May sessions have it that did not name it? */
static inline int fa_arena_is_flagged(const struct fa_msg_arena *a)
{
	return a->session == 0 || a->flagged;
}

enum fa_msg_wake_kind {
	FA_WAKE_NAMED = 0,   /* into `session`: by who asks, with his rights */
	FA_WAKE_FLAG = 1,    /* only flag it, so that it can be woken: the same */
	FA_WAKE_TABLE = 3,   /* to keep a table of live blocks, without a session: the same */
	FA_WAKE_SLEEPER = 2, /* one that is known to be flagged, by pid */
};

struct fa_msg_wake {
	uint64_t number; /* comes back in WOKEN */
	uint64_t session;
	struct fa_attach attach; /* but for SLEEPER */
	int32_t pid;             /* SLEEPER */
	uint32_t kind;           /* enum fa_msg_wake_kind */
};

struct fa_msg_woken {
	uint64_t number; /* 0: nobody asked just now */
	int32_t error;   /* 0 or an errno, positive */
	uint32_t attached; /* 1: it has an arena already, info.handle */
	struct fa_msg_arena info; /* `reason`: why not */
};

struct fa_msg_sleeps {
	uint64_t handle; /* of its family's arena */
	int32_t pid;
	uint32_t reserved;
};

enum fa_heirs {
	FA_HEIRS_NOBODY = 1, /* and so it stays */
	FA_HEIRS_SOMEBODY = 2,
	FA_HEIRS_UNKNOWN = 3,
};

struct fa_msg_heirs {
	uint64_t handle; /* of the arena */
	uint32_t heirs;  /* enum fa_heirs */
	uint32_t reserved;
};

struct fa_msg_segment {
	uint64_t handle; /* of the arena */
	uint32_t segment;
	int32_t error;
};

struct fa_msg_gone {
	uint64_t when_mono;
	int32_t pid;
	int32_t status; /* as wait(2) has it, -1: not known */
	uint32_t exec;  /* 1: not gone, but runs another program */
	uint32_t reserved;
};

struct fa_msg_missed {
	int32_t pid;
	uint32_t uid;      /* effective: who may see it */
	uint32_t real_uid; /* who started it */
	uint32_t alive;
	int32_t status; /* as wait(2) has it, -1: not known */
	uint32_t rule_id;
	uint32_t reason; /* enum fa_reason where the index says why, else 0 */
	uint32_t noted; /* 1: its note comes first, then the executable */
	char image[FA_IMAGE_NAME];
};

struct fa_msg_blind {
	uint64_t unknown_starts;
	uint32_t connector; /* 1: works */
	uint32_t bell;      /* 1: the mark is set */
};

struct fa_want {
	uint64_t id;
	uint32_t uid; /* FA_USER_ANY: everybody */
	uint32_t policy;
	uint32_t named_only; /* 1: no flagged process, but those that were woken for it */
	uint32_t reserved;
};

struct fa_msg_wants {
	uint64_t number;
	uint32_t count;
	uint32_t clock_source; /* of the sessions: whoever is woken takes it */
	struct fa_want want[FA_SESSIONS_MAX];
};

struct fa_msg_session {
	uint64_t id; /* of this start; 0: the collector gives one */
	uint64_t started_real;
	uint64_t events, lost; /* carried over a restart */
	uint32_t uid;          /* who started it */
	uint32_t resumed;      /* 1: the file has blocks of a collector that died */
	uint32_t in_memory;    /* 1: FA_MSG_FILE will follow */
	uint32_t file;         /* place of the descriptor that comes along; SESSION: of the file that is written */
	uint32_t clock_source; /* of its stamps: resumed, it stays what it was */
	uint32_t reserved;
	struct fa_session_options options;
};

struct fa_msg_file {
	uint64_t session;
	int32_t error; /* 0 or an errno, positive */
	uint32_t reserved;
};

struct fa_msg_autologger {
	int32_t error;
	uint32_t reserved;
	char name[FA_SESSION_NAME];
	char text[192];
};

struct fa_msg_started {
	uint32_t rule_id;
	uint32_t uid;
	int32_t pid;
	/* DISARM: by which signal, how often in a row, how soon after the start */
	uint32_t signal;
	uint32_t crashes;
	uint32_t within_s;
	char image[FA_IMAGE_NAME];
	char exec_name[FA_IMAGE_NAME]; /* base name of the executed path, as the arena says */
};

struct fa_msg_info {
	uint64_t started_real;
	uint32_t run; /* enum fa_daemon_run */
	int32_t keeper_pid;
	int32_t doorman_pid;
	uint32_t restarts;
	uint32_t off; /* enum fa_off: not 0, then nobody is traced */
	uint32_t reserved;
};

struct fa_part_msg {
	uint32_t magic;
	uint32_t type;
	union {
		struct fa_msg_arena arena;
		struct fa_msg_segment segment;
		struct fa_msg_wake wake;
		struct fa_msg_woken woken;
		struct fa_msg_sleeps sleeps;
		struct fa_msg_heirs heirs;
		struct fa_msg_gone gone;
		struct fa_msg_missed missed;
		struct fa_msg_blind blind;
		struct fa_msg_wants wants;
		struct fa_msg_session session;
		struct fa_msg_file file;
		struct fa_msg_autologger autologger;
		struct fa_msg_started started;
		struct fa_msg_info info;
	} u;
};
#pragma GCC diagnostic pop

#endif
