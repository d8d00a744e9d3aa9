/*
 * arena_format.h - the shared memory between a traced family of processes and its collector.
 *
 * Written by the shim (any process of the family, any of its threads), read by the collector; the
 * collector writes the words marked [c]. Each side takes every word of the other for hostile: words
 * are loaded once, copied, then checked; geometry is computed, never read.
 *
 * An arena is a range of address space of FA_ARENA_SPAN bytes at one of FA_ARENA_SLOTS fixed
 * addresses. Segment 0 lies at its start. Segment k > 0 follows at fa_arena_segment_at(). Each
 * segment has parts:
 *
 *   segment 0:  header (4096) | processes | modules | nodes | node index | buffers
 *   others:     losers (4096) |             modules | nodes | node index | buffers
 *
 * All segments lie one behind the other in one file: the kernel's own of the anonymous mapping that the
 * program made, or under `run` one in its folder. The shim asks for a segment by want_segment, the
 * collector makes the file longer and sets the segment's bit, then each process of the family extends its
 * mapping. Only who holds a descriptor can cut the file short, which is none of the traced (map_files is
 * closed to all but the machine's root).
 *
 * The parts of a segment follow from its size (struct fa_arena_geometry). Ids run on over segments:
 * module m of segment 1 has id (modules of segment 0) + m, and so on; the same for nodes, buffers.
 *
 * Stacks. A node is a (parent, pc) pair; a stack is the id of its innermost node. Node 0 is unused:
 * parent 0 is the root (the outermost frame has parent 0). Nodes are appended (an atomic counter
 * gives the id), written, and then published in the index: an open hash table of node ids with two
 * slots a node. A node whose `pc` is 0 is not written yet, or never will be (its writer died).
 *
 * Events. A thread owns one buffer at a time (two while a signal handler interrupts the tracer).
 * A buffer goes FREE -> CLAIMED (compare-and-swap by the thread that takes it, which then writes the
 * header) -> OWNED -> FULL (its owner) -> FREE [c]. `committed` grows with every event, by a release store, so that all that was recorded
 * is there whenever the process dies. The collector reads [what it has read, committed) of OWNED
 * and FULL buffers at any time, and frees a FULL one once it has read it all; OWNED buffers of dead
 * threads and processes it frees as well, and raises `generation`.
 */
#ifndef FA_ARENA_FORMAT_H
#define FA_ARENA_FORMAT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "format/event_format.h"

#define FA_ARENA_MAGIC 0x31414e4552414146ULL /* "FAARENA1" */

/* The places: in no sanitizer's shadow, far from where the kernel maps. */
#define FA_ARENA_SLOTS 8
#define FA_ARENA_BASE  0x3fa000000000ULL
#define FA_ARENA_SPAN  0x10000000ULL /* 256 MB of address space, reserved by nobody */

static FA_INLINE uint64_t fa_arena_slot_address(unsigned slot)
{
	return FA_ARENA_BASE + slot * 2 * FA_ARENA_SPAN;
}

/* Behind them, of each process alone: the blocks of the shim's threads, one a step, as far as there is room. Who looks at
 * the memory of a program from outside (src/client/stopped.c) can tell them from the program's by that. */
#define FA_OWN_BASE (FA_ARENA_BASE + 0x200000000ULL)
#define FA_OWN_STEP 0x100000ULL
#define FA_OWN_END  (FA_OWN_BASE + 0x10000000000ULL)

enum {
	FA_ARENA_VERSION = 2,
	FA_ARENA_VERSION_CALLS = 3, /* the same; there may be CALL events (FA_TRACING_CALLS) */
	FA_ARENA_SEGMENTS = 15,     /* at most; of a small segment 0 so many fill the span */
	FA_ARENA_PROCESSES = 128,
	FA_ARENA_MIN = 256 << 10, /* smallest segment 0 */
	FA_ARENA_MAX0 = 2 << 20,  /* largest segment 0 */
	FA_ARENA_PAGE = 4096,
	FA_BUFFER_SIZE = 16384,
	FA_BUFFER_HEADER = 64,
	FA_BUFFER_DATA = FA_BUFFER_SIZE - FA_BUFFER_HEADER,
	FA_MODULE_PATH = 280,
	FA_BUILD_ID = 32,
	FA_MODULE_UNKNOWN = 0xffff,
};

/* fa_arena_answer.word: what the collector's side says. */
enum fa_arena_answer_word {
	FA_ANSWER_NONE = 0,     /* nobody has come yet */
	FA_ANSWER_ATTACHED = 1, /* record: events will be read */
	FA_ANSWER_NO_SESSION = 2,
	FA_ANSWER_REFUSED = 3, /* a limit; `reason` says which */
	FA_ANSWER_DETACHED = 4, /* sessions ended: record nothing more, stay flagged */
};

enum fa_arena_policy { FA_POLICY_WAIT = 0, FA_POLICY_COUNT = 1 };

enum fa_clock_source { FA_CLOCK_TSC = 0, FA_CLOCK_MONOTONIC = 1 };

/* Why events were not recorded. Counted per process, exactly. */
enum fa_lost_cause {
	FA_LOST_NO_BUFFER = 0, /* no free buffer within the policy */
	FA_LOST_NESTED = 1,    /* a handler in a handler inside the tracer */
	FA_LOST_NO_MEMORY = 2, /* no memory for the thread's own state */
	FA_LOST_DAMAGED = 3,   /* the collector met bytes that are no events */
	FA_LOST_UNKNOWN = 4,   /* the process ended while no collector could see it: not a number */
	FA_LOST_TABLE = 5,     /* blocks that found no room in the table of live blocks */
	FA_LOST_CAUSES = 8,
};

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

/* [c] One cache line, written by the collector's side only. */
struct fa_arena_answer {
	uint32_t word;   /* enum fa_arena_answer_word; written last */
	uint32_t policy; /* enum fa_arena_policy */
	uint32_t tick;   /* moved about every millisecond while the collector runs, or every fourth: fa_family_pace() */
	uint32_t reason; /* enum fa_reason, with FA_ANSWER_REFUSED */
	uint64_t session; /* informative: a number that changes with every attach */
	uint32_t segments; /* bit k: segment k is attached */
	uint32_t depth;    /* 0: as the rule says */
	uint64_t now;      /* stamp of the last tick: the time of images that may not read a clock */
	uint32_t freed;    /* buffers given back so far: those who wait see that it goes on */
	uint32_t stacks;   /* which events carry stacks: FA_ANSWER_STACKS | enum fa_stack_events; 0: as the rule says */
	uint32_t quiet;    /* enum fa_arena_quiet */
	uint32_t reserved0;
	uint64_t reserved;
};
#define FA_ANSWER_STACKS (1u << 31)

/* What nobody wants at the moment; or that a table is to begin in a process that records events already, and how many
 * megabytes it may take (bits 8 to 19; 0: as many as there are). */
enum fa_arena_quiet {
	FA_QUIET_EVENTS = 1 << 0,
	FA_QUIET_TABLE = 1 << 1,
	FA_QUIET_BEGIN = 1 << 2,
	FA_QUIET_MOST_SHIFT = 8,
};

/* How a process came into the family. */
enum fa_process_origin { FA_ORIGIN_EXEC = 0, FA_ORIGIN_FORK = 1, FA_ORIGIN_WOKEN = 2 };
enum fa_process_state { FA_PROCESS_FREE = 0, FA_PROCESS_CLAIMED = 1, FA_PROCESS_LIVE = 2 };

/* A process of the family. Claimed by compare-and-swap on `state`; freed by the collector. */
struct fa_arena_process {
	uint32_t state; /* enum fa_process_state; LIVE is stored when the rest is written */
	int32_t pid;    /* in the process's own pid namespace */
	uint32_t parent_slot; /* index of the parent in this table, ~0: none */
	uint32_t origin;      /* enum fa_process_origin */
	uint64_t start_stamp; /* in the arena's clock */
	/* FORK: the place in the parent's stream after which this process has a life of its own */
	uint32_t fork_thread;     /* thread serial in the parent, ~0: unknown */
	uint32_t fork_buffer_seq; /* buffer_seq of that thread */
	uint32_t fork_offset;     /* bytes committed in it */
	uint32_t next_thread;     /* serial of the next thread: taken by fetch_add */
	uint32_t generation;      /* [c] raised each time the slot is freed */
	uint32_t parent_generation; /* generation of parent_slot when this process began */
	uint64_t lost[FA_LOST_CAUSES]; /* events, by cause; grows only */
	uint64_t own_bytes;            /* private memory that the shim has mapped there, about */
	uint64_t reserved;
};

/* A mapped object. Written once; state LIVE last. Never removed: pcs of it stay meaningful. */
struct fa_arena_module {
	uint32_t state; /* 0 unused, 1 claimed, 2 live */
	uint32_t build_id_len;
	uint64_t base; /* lowest mapped address */
	uint64_t end;  /* first address behind it */
	uint64_t bias; /* add to the ELF file's addresses to get the process's */
	uint64_t stamp; /* when it was first seen */
	unsigned char build_id[FA_BUILD_ID];
	char path[FA_MODULE_PATH]; /* NUL terminated; "" for the main program */
	uint64_t reserved[4];
};

/* One frame of a stack. */
struct fa_arena_node {
	uint64_t pc; /* bits 0-47: return address; bits 48-63: module id, FA_MODULE_UNKNOWN */
	uint32_t parent; /* node id of the caller, 0: this is the outermost frame */
	uint32_t marks;  /* enum fa_node_marks */
};

struct fa_arena_buffer {
	uint32_t state; /* enum fa_buffer_state */
	uint32_t generation; /* [c] raised when a dead owner's buffer is taken back */
	uint32_t committed;  /* bytes of events behind the header */
	uint32_t process;    /* slot in the process table */
	uint32_t thread;     /* serial of the thread in its process; bit 31: nested stream */
	int32_t tid;         /* in the process's own pid namespace */
	uint32_t buffer_seq; /* 0, 1, ... per (process, thread word) */
	uint32_t process_generation;
	uint64_t lost_before; /* events of this thread not recorded before this buffer began */
	uint64_t base_stamp;  /* initial fa_event_state.stamp; address and stack start at 0 */
	uint32_t sharers; /* children of forks that may still write into it, besides its owner */
	uint32_t reserved[3];
};

/* The table of live blocks (format/table_format.h), all zero: there is none. */
enum { FA_TABLE_LEVELS = 48, FA_TABLE_TIDS = 4080 };
struct fa_arena_level {
	uint32_t buffer; /* the first */
	uint32_t log2;   /* of how many */
};
struct fa_arena_table {
	uint64_t begin_stamp; /* blocks that were allocated since then are in it */
	uint64_t refused;     /* blocks that found no room */
	uint32_t levels;      /* that are there; stored when they are written */
	uint32_t tids;        /* buffer of struct fa_table_tids, 0: none */
	uint64_t most_bytes;  /* that it may take, 0: as the arena */
	struct fa_arena_level level[FA_TABLE_LEVELS];
};

/*
 * Which thread lost events, beside the sums of its process. Taken by compare-and-swap on `who` at a thread's first loss,
 * given back by the collector once the thread is gone. There are FA_ARENA_LOSERS0 in the header of segment 0, and where
 * the other segments begin FA_ARENA_LOSERS each: of threads that find none the process's sum is known alone.
 */
struct fa_arena_loser {
	uint64_t who;     /* fa_loser_who(), 0: free */
	uint64_t lost[2]; /* events, by the causes NO_BUFFER and NESTED; grows only */
};
enum { FA_ARENA_LOSERS0 = 60, FA_ARENA_LOSERS = 170, FA_LOSER_CAUSES = 2 };

static FA_INLINE uint64_t fa_loser_who(uint32_t slot, uint32_t serial, int32_t tid)
{
	return (uint64_t)(slot + 1) << 56 | (uint64_t)(serial & 0x7fffffff) << 24 | ((uint32_t)tid & 0xffffff);
}

/* Page 0 of segment 0. */
struct fa_arena_header {
	uint64_t magic;
	uint32_t version;
	uint32_t size; /* of segment 0 */
	/* offset 16: who, written before the doorbell rings */
	int32_t pid;
	uint32_t uid; /* as the process says: informative */
	uint32_t rule_id;
	uint32_t tracing_flags;
	uint32_t options; /* enum fa_rule_options */
	uint16_t depth;
	uint8_t stacks;
	uint8_t stamp_mode;
	uint32_t clock_source; /* enum fa_clock_source */
	uint32_t slot;         /* which fixed address */
	uint64_t start_stamp;
	uint64_t block; /* where the process block lies, 0: not said */
	/* offset 64 */
	struct fa_arena_answer answer; /* [c] */
	/* offset 128: appended to by all; ids continue over segments, so the counters are here */
	uint32_t node_count; /* next node id, taken by fetch_add; may run over the capacity */
	uint32_t module_count;
	uint32_t want_segment; /* how many segments the shim has or asks for */
	uint32_t buffer_hint; /* buffers from this id on were never taken; 0: not known */
	uint64_t nodes_refused; /* new stacks that found no node left */
	uint64_t family_full; /* fork children that found the process table full: not traced */
	uint64_t block_nonce; /* of the process block, as `block` */
	uint32_t joined; /* processes that ever recorded here */
	uint32_t left;   /* of those, how many have seen that it is over, and will look here no more */
	uint64_t reserved1[2];
	/* offset 192 */
	char exec_path[1024]; /* AT_EXECFN, NUL terminated, cut if longer */
	char exe_path[1024]; /* of the executable, as the process read it: `run` has no better word */
	struct fa_arena_table table;
	struct fa_arena_loser loser[FA_ARENA_LOSERS0];
};
#pragma GCC diagnostic pop

enum fa_node_marks {
	FA_NODE_TRUNCATED = 1 << 0, /* outermost of a stack that was deeper */
	FA_NODE_BROKEN = 1 << 1,    /* outermost because no rule could be found or memory not read */
	FA_NODE_SIGNAL = 1 << 2,    /* pc is an interrupted instruction, not a return address */
	FA_NODE_CUT = 1 << 3,       /* with TRUNCATED: for want of nodes, not by the depth asked for */
};

enum fa_buffer_state {
	FA_BUFFER_FREE = 0,
	FA_BUFFER_OWNED = 1,
	FA_BUFFER_FULL = 2,
	FA_BUFFER_CLAIMED = 3, /* its new owner is writing the header: the collector looks away */
	FA_BUFFER_TABLE = 4,   /* holds no events: part of the table of live blocks, for good */
};

static_assert(sizeof(struct fa_arena_answer) == 64, "the answer is a cache line");
static_assert(sizeof(struct fa_arena_process) == 128, "a process entry is 128 bytes");
static_assert(sizeof(struct fa_arena_module) == 384, "a module entry is 384 bytes");
static_assert(sizeof(struct fa_arena_node) == 16, "a node is 16 bytes");
static_assert(FA_ARENA_LOSERS * sizeof(struct fa_arena_loser) <= FA_ARENA_PAGE, "they fit the page");
static_assert(sizeof(struct fa_arena_buffer) == FA_BUFFER_HEADER, "a buffer header is 64 bytes");
static_assert(sizeof(struct fa_arena_header) == FA_ARENA_PAGE, "the header is a page");
static_assert(offsetof(struct fa_arena_header, answer) == 64, "");
static_assert(offsetof(struct fa_arena_header, node_count) == 128, "");

/* Offsets from the start of a segment, and how many of each it holds. */
struct fa_arena_geometry {
	uint32_t size;
	uint32_t processes; /* 0 but in segment 0 */
	uint32_t process_offset;
	uint32_t modules;
	uint32_t module_offset;
	uint32_t nodes;
	uint32_t node_offset;
	uint32_t index_slots; /* a power of two, at least two a node */
	uint32_t index_offset;
	uint32_t buffers;
	uint32_t buffer_offset; /* a multiple of the page size */
};

/* size: a power of two from FA_ARENA_MIN to 32 MB. Pure; both sides compute the same. */
static inline void fa_arena_geometry(uint32_t size, unsigned segment, struct fa_arena_geometry *g)
{
	uint32_t at = FA_ARENA_PAGE;

	g->size = size;
	g->processes = segment == 0 ? FA_ARENA_PROCESSES : 0;
	g->process_offset = at;
	at += g->processes * (uint32_t)sizeof(struct fa_arena_process);
	g->modules = size / 8192 > 256 ? 256 : size / 8192;
	g->module_offset = at;
	at += g->modules * (uint32_t)sizeof(struct fa_arena_module);
	g->nodes = size / 64;
	g->node_offset = at;
	at += g->nodes * (uint32_t)sizeof(struct fa_arena_node);
	g->index_slots = g->nodes * 2;
	g->index_offset = at;
	at += g->index_slots * 4;
	at = (at + FA_ARENA_PAGE - 1) & ~(uint32_t)(FA_ARENA_PAGE - 1);
	g->buffer_offset = at;
	g->buffers = (size - at) / FA_BUFFER_SIZE;
}

/* Size of segment k when segment 0 has size0. */
static inline uint32_t fa_arena_segment_size(uint32_t size0, unsigned k)
{
	uint64_t size = k < 2 ? size0 : (uint64_t)size0 << (k - 1);

	return size > 32u << 20 ? 32u << 20 : (uint32_t)size;
}

/* Offset of segment k from the arena's address. */
static inline uint64_t fa_arena_segment_at(uint32_t size0, unsigned k)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < k; i++)
		at += fa_arena_segment_size(size0, i);
	return at;
}

/* How many segments fit the span: 2, 2, 4, 8, 16, 32, ... 32 MB are 12. */
static inline unsigned fa_arena_most_segments(uint32_t size0)
{
	unsigned n = FA_ARENA_SEGMENTS;

	while (fa_arena_segment_at(size0, n) > FA_ARENA_SPAN)
		n--;
	return n;
}

/* Hash of a (parent, pc word) pair: where its search in an index begins. */
static FA_INLINE uint32_t fa_node_hash(uint32_t parent, uint64_t pc)
{
	uint64_t h = (pc + parent * 0x9e3779b97f4a7c15ULL) * 0x9fb21c651e98df25ULL;

	return (uint32_t)(h >> 32);
}

/* The losers of a segment that lies at `base`. */
static FA_INLINE struct fa_arena_loser *fa_arena_losers(unsigned char *base, unsigned segment, uint32_t *ret_count)
{
	*ret_count = segment == 0 ? FA_ARENA_LOSERS0 : FA_ARENA_LOSERS;
	return (struct fa_arena_loser *)(void *)(base + (segment == 0 ? offsetof(struct fa_arena_header, loser) : 0));
}

#define FA_NODE_PC(word)     ((word) & 0xffffffffffffULL)
#define FA_NODE_MODULE(word) ((uint32_t)((word) >> 48))

/*
 * The process block: exported by the shim as `firstalloc_process_block`, read (by pid) by status
 * and doctor. Says why a process is or is not traced. The doorman wakes a process by writing into
 * it, through /proc/PID/mem: first what is wanted (struct fa_wake), then its number, then the byte
 * that every heap call looks at. The next heap call obeys, publishes the arena that it made, and
 * says by `woken` which order that was.
 */
#define FA_BLOCK_DORMANT 52
#define FA_BLOCK_MAGIC 0x324b434f4c424146ULL /* "FABLOCK2" */

/* X(name, number, text): reasons, for status, coverage and the block. Numbers are never reused. */
#define FA_REASONS(X)                                                                              \
	X(NONE, 0, "not flagged")                                                                  \
	X(TRACED, 1, "traced")                                                                     \
	X(NO_SESSION, 2, "flagged; no session wants its events")                                   \
	X(NO_COLLECTOR, 3, "flagged; no collector is running")                                     \
	X(SECURE, 4, "refused: set-user-id or file capabilities (enable --secure allows it)")      \
	X(PID1, 5, "refused: PID 1 (enable --pid1 allows it)")                                     \
	X(SANITIZER, 6, "refused: built with a sanitizer (enable --sanitizer allows it)")          \
	X(OLD_LIBC, 7, "C library too old: glibc 2.35 or newer is needed")                         \
	X(NO_MEMORY, 8, "no address space for an arena")                                           \
	X(NO_PLACE, 9, "all arena addresses are taken")                                            \
	X(LIMIT, 10, "a limit of the collector was reached")                                       \
	X(STATIC, 11, "statically linked: the shim cannot be loaded")                              \
	X(OTHER_LIBC, 12, "not linked with glibc")                                                 \
	X(BITS32, 13, "a 32-bit program")                                                          \
	X(OWN_ALLOCATOR, 14, "uses an allocator of its own")                                       \
	X(NOT_LOADED, 15, "the shim did not report: not loaded (other root, sandbox), or it refused") \
	X(NO_BELL, 16, "the doorbell could not be opened")                                         \
	X(OWN_PROGRAM, 17, "a program of firstalloc itself")                                       \
	X(RUN_DIR, 18, "the folder of `firstalloc run` could not be used")                         \
	X(FAMILY_FULL, 19, "too many processes in one family")                                     \
	X(EXPIRED, 20, "the rule has expired")                                                     \
	X(ENDED, 21, "the session ended")                                                          \
	X(UNKNOWN, 22, "unknown")                                                                 \
	X(STRICT, 23, "entered strict secure computing mode, in which tracing would kill it")      \
	X(OFF, 24, "tracing is switched off as a whole ('firstalloc status' says how)")            \
	X(DISARMED, 25, "its rule was disarmed after crashes (enable it again to re-arm)")         \
	X(VERSION, 26, "its shim is of another version than firstallocd (restart the older one)")    \
	X(UNDER_RUN, 27, "left to the `firstalloc run` under which it was started")                \
	X(WOKEN, 28, "woken: recorded from its next heap call on")                                 \
	X(FILTERED, 29, "its system call filter leaves no safe way to learn who it is")            \
	X(FORKED, 30, "a fork child: the table of live blocks is that of its parent alone") \
	X(CLOCK, 31, "the kernel has changed its clock since the sessions began (one started after they ended has it)")

enum fa_reason {
#define X(name, number, text) FA_REASON_##name = (number),
	FA_REASONS(X)
#undef X
};

enum fa_wake_flags {
	FA_WAKE_CAREFUL = 1 << 0, /* it has a filter: only the system calls that malloc makes itself */
	FA_WAKE_KEEP = 1 << 1,    /* its own rule says what is wanted, where it has one */
	FA_WAKE_FLAGGED = 1 << 2, /* a rule wants it, not only a session that names its PID */
};

/* What the doorman asks of a running process. It comes from outside only, but is no more than a wish. */
struct fa_wake {
	uint32_t order; /* written last; another number than `woken`: to be obeyed */
	uint32_t flags; /* enum fa_wake_flags */
	uint32_t tracing_flags;
	uint32_t rule_id;
	uint32_t depth;
	uint32_t stacks;
	uint32_t stamp_mode;
	uint32_t options;
	int32_t pid; /* whom it is for, in its own pid namespace: fork children inherit the block */
	uint32_t clock_source;
	uint64_t address_limit; /* RLIMIT_AS */
	uint32_t uid;
	uint32_t reserved[3];
};
static_assert(sizeof(struct fa_wake) == 64, "an order is 64 bytes");

struct fa_process_block {
	uint64_t magic;
	uint32_t version; /* 2 */
	uint32_t reason;  /* enum fa_reason */
	uint32_t tracing_flags;
	uint32_t rule_id;
	uint64_t index_generation;
	uint64_t arena; /* address, 0: none */
	uint64_t nonce; /* of this start of the program */
	int32_t pid;    /* that the block speaks of, 0: never looked up */
	uint8_t dormant; /* what every heap call looks at: 1 nothing is to be done */
	uint8_t pad[3];
	uint32_t woken; /* wake.order that was obeyed */
	uint32_t reserved;
	struct fa_wake wake;
};
static_assert(sizeof(struct fa_process_block) == 128, "the process block is 128 bytes");
static_assert(offsetof(struct fa_process_block, dormant) == FA_BLOCK_DORMANT, "known to gate.c");
static_assert(offsetof(struct fa_process_block, wake) == 64, "");

/* Text of a reason; "?" for a number that is none. */
const char *fa_reason_text(unsigned reason);
/* Short upper-case word of a reason ("SECURE"); "?" for a number that is none. */
const char *fa_reason_name(unsigned reason);
/* Is it one for which a process itself refuses to be traced, before it has an arena? */
bool fa_reason_is_refusal(unsigned reason);

/*
 * The note: so says a flagged process why it refuses, since it may be gone before anybody looks. A page of
 * the same kind as an arena, at an address behind theirs, that is there while the process rings.
 */
#define FA_NOTE_MAGIC   0x3145544f4e4146ULL /* "FANOTE1" */
#define FA_NOTE_ADDRESS (FA_ARENA_BASE + FA_ARENA_SLOTS * 2 * FA_ARENA_SPAN)

struct fa_note {
	uint64_t magic;
	uint32_t reason; /* enum fa_reason */
	uint32_t reserved;
};
static_assert(sizeof(struct fa_note) == 16, "a note is 16 bytes");

/*
 * `firstalloc run`: the directory is named by this environment variable, is 0700 and owned by the
 * effective uid; each arena is a file FA_RUN_FILE in it, per segment. Unused when AT_SECURE.
 */
#define FA_RUN_ENV  "FIRSTALLOC_RUN_DIR"
#define FA_RUN_OPTS "FIRSTALLOC_RUN_OPTS" /* "depth,stacks,stamp,flags,options" in decimal */
#define FA_RUN_FILE "%d.%llu.%u" /* pid, start nonce, segment */
/* The note of a process that refuses: an empty file; pid, enum fa_reason, base name of the executable. */
#define FA_RUN_NOTE "%d.refused.%u.%s"

#define FA_BELL_PATH "/etc/firstalloc/door/bell"

#endif
