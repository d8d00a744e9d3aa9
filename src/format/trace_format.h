/*
 * trace_format.h - the bytes of a trace file. docs/FORMAT.md says the same in prose.
 *
 *   OFFSET SIZE  FILE HEADER (little endian, 64 bytes)
 *      0     8   magic "FATRAC\r\n"
 *      8     2   version           what the writer wrote
 *     10     2   min_reader        oldest reader that may open the file
 *     12     4   header_size       lets a later version append fields
 *     16     8   incompatible      a reader refuses a bit that it does not know
 *     24     8   compatible        a reader ignores a bit that it does not know
 *     32     8   created_real      CLOCK_REALTIME, ns
 *     40    16   uuid              of this trace
 *     56     8   checksum          fa_hash64 of bytes 0-55, seed 0
 *
 * A circular trace (incompatible bit 0) has struct fa_trace_ring behind that: its space is divided into
 * chunks, which are written one after the other, round and round. Each begins with a repetition of the
 * definitions that what follows may need (blocks with FA_BLOCK_REPEAT), so it can be read by itself.
 *
 * Then blocks, back to back. A block: header (32 bytes), stored payload.
 *
 *   OFFSET SIZE  BLOCK HEADER
 *      0     4   magic "FABL"
 *      4     1   codec             0 raw, 1 LZ4 block, 2 zstd frame
 *      5     1   flags             bit 0: last block of a trace that was ended properly
 *                                  bit 1: repeats definitions, for who begins to read here
 *      6     2   reserved          0
 *      8     4   stored_size       bytes that follow
 *     12     4   raw_size          after decoding, at most FA_BLOCK_MAX
 *     16     8   sequence          0, 1, 2, ...
 *     24     8   checksum          fa_hash64 of header bytes 0-23 (seed 0), then of the stored bytes
 *                                  with that as seed
 *
 * The decoded payload is records, back to back; a record does not cross blocks:
 *
 *   OFFSET SIZE  RECORD HEADER
 *      0     2   tag               enum fa_trace_tag
 *      2     2   head_size         bytes of the fixed part (a later version may append fields)
 *      4     4   size              bytes that follow this header: fixed part, then the rest
 *
 * An unknown tag is skipped by its size and counted.
 *
 * Ids. `process` numbers processes of a trace from 1 (0: none); a pid may come twice, a process id
 * never. `arena` numbers families: modules and nodes belong to an arena, a stack id is a node id of
 * its process's arena. `thread` numbers the threads of a process from 0; bit 31 marks the stream of
 * events from signal handlers that interrupted the tracer (same thread).
 *
 * Order. Records of one (process, thread) stand in the order in which they happened. PASS says
 * where a sweep of the collector over all buffers ended: whatever one event could have caused stands
 * in the same or a later pass.
 */
#ifndef FA_TRACE_FORMAT_H
#define FA_TRACE_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "format/arena_format.h"

#define FA_TRACE_MAGIC "FATRAC\r\n"
#define FA_BLOCK_MAGIC_WORD 0x4c424146u /* "FABL" */

enum {
	FA_TRACE_VERSION = 2,
	FA_TRACE_MIN_READER = 1,
	FA_BLOCK_MAX = 4 << 20,
	FA_RECORD_MAX = 1 << 20,
	FA_TRACE_DEFAULT_BLOCK = 64 << 10,
};

enum fa_trace_codec { FA_CODEC_RAW = 0, FA_CODEC_LZ4 = 1, FA_CODEC_ZSTD = 2 };
enum fa_block_flags { FA_BLOCK_LAST = 1 << 0, FA_BLOCK_REPEAT = 1 << 1 };
/* Incompatible bits. */
enum fa_trace_features { FA_TRACE_CIRCULAR = 1 << 0 };
enum { FA_RING_CHUNKS = 4, FA_RING_CHUNKS_MAX = 64, FA_RING_CHUNK_MIN = 64 << 10 };

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct fa_trace_header {
	unsigned char magic[8];
	uint16_t version;
	uint16_t min_reader;
	uint32_t header_size;
	uint64_t incompatible;
	uint64_t compatible;
	uint64_t created_real;
	unsigned char uuid[16];
	uint64_t checksum;
};

/* Behind the header of a circular trace. Chunk i begins header_size + i * chunk_size into the file. */
struct fa_trace_ring {
	uint64_t chunk_size;
	uint32_t chunks;
	uint32_t reserved;
	uint64_t checksum; /* fa_hash64 of the 16 bytes before, with the header's checksum as seed */
};

struct fa_block_header {
	uint32_t magic;
	uint8_t codec;
	uint8_t flags;
	uint16_t reserved;
	uint32_t stored_size;
	uint32_t raw_size;
	uint64_t sequence;
	uint64_t checksum;
};

struct fa_record_header {
	uint16_t tag;
	uint16_t head_size;
	uint32_t size;
};

/* MACHINE: then strings, each NUL terminated: kernel sysname, release, version, machine, hostname,
 * boot id, firstalloc version. */
struct fa_rec_machine {
	uint32_t cpus;
	uint32_t page_size;
	uint64_t memory_bytes;
	uint32_t clock_source; /* enum fa_clock_source: what stamps of this trace are */
	uint32_t reserved;
	uint64_t clock_hz; /* stamps per second, as well as known at the start */
};

/* SESSION: then strings: name, options as the user gave them. */
struct fa_rec_session {
	uint64_t start_real; /* ns */
	uint32_t uid;        /* who started it */
	uint32_t buffer_size;
	uint32_t minimum_buffers;
	uint32_t maximum_buffers;
	uint32_t flush_timer; /* seconds */
	uint32_t log_file_mode;
	uint64_t maximum_file_size; /* bytes, 0: no limit */
	uint32_t policy;            /* enum fa_arena_policy */
	uint32_t autologger;        /* 1: started from an [Autologger] section */
	/* What was asked for, 0: nothing; above is what holds (maximum_buffers 0: as many as there is room for). */
	uint32_t requested_buffer_size;
	uint32_t requested_minimum_buffers;
	uint32_t requested_maximum_buffers;
	uint32_t requested_flush_timer;
};

/* CLOCK: one moment on three clocks. The reader turns stamps into time with the first and last. */
struct fa_rec_clock {
	uint64_t stamp;
	uint64_t mono_ns;
	uint64_t real_ns;
};

/* PROCESS: then strings: executable path, executed path (AT_EXECFN), cgroup, arguments (blanks
 * between, only when asked for). FORK: until the parent's stream (fork_thread) has come to
 * (fork_buffer_seq, fork_offset) its blocks are the child's too. */
struct fa_rec_process {
	uint32_t process;
	uint32_t arena;
	int32_t pid;
	int32_t parent_pid;
	uint32_t parent; /* process id in this trace, 0: none */
	uint32_t origin; /* enum fa_process_origin */
	uint32_t uid;
	uint32_t gid;
	uint64_t start_stamp;
	uint32_t fork_thread; /* ~0: unknown */
	uint32_t fork_buffer_seq;
	uint32_t fork_offset;
	uint32_t tracing_flags;
	uint32_t rule_id;
	uint16_t depth;
	uint8_t stacks;
	uint8_t stamp_mode;
	uint32_t incomplete; /* 1: the session began after the process did: earlier events are not here */
	uint32_t reserved;
};

enum fa_process_end_reason {
	FA_PROCESS_END_EXITED = 0,
	FA_PROCESS_END_SESSION = 1, /* the session ended first */
	FA_PROCESS_END_TAKEN_OUT = 2,
};

/* PROCESS_END */
struct fa_rec_process_end {
	uint32_t process;
	int32_t status; /* as wait(2) has it, -1: not known */
	uint64_t stamp;
	uint32_t reason; /* enum fa_process_end_reason */
	uint32_t reserved;
};

/* THREAD: then the name. May come again when the name changed. */
struct fa_rec_thread {
	uint32_t process;
	uint32_t thread;
	int32_t tid;
	uint32_t reserved;
	uint64_t stamp; /* of its beginning, as far as heap events show it; 0: not known. The first counts */
};

/* MODULE: then build id (build_id_len bytes), then the path, NUL terminated. */
struct fa_rec_module {
	uint32_t arena;
	uint32_t module;
	uint64_t base;
	uint64_t end;
	uint64_t bias;
	uint64_t stamp;
	uint32_t build_id_len;
	uint32_t reserved;
};

/* NODES: then count x struct fa_arena_node, ids first, first + 1, ...; pc 0: this id is unused. */
struct fa_rec_nodes {
	uint32_t arena;
	uint32_t first;
	uint32_t count;
	uint32_t reserved;
};

/* EVENTS: then the bytes of event codec FA_EVENT_CODEC. CALLS: the same, and its events are CALLs, of which
 * EVENTS has none: a reader that knows no CALLS passes over them and misses nothing of the heap. */
struct fa_rec_events {
	uint32_t process;
	uint32_t thread; /* bit 31: nested stream */
	uint32_t buffer_seq;
	uint32_t buffer_offset; /* of the first byte, in that buffer's events */
	uint32_t count;         /* events that follow */
	uint32_t codec;         /* FA_EVENT_CODEC */
	uint64_t lost_before;   /* events of this stream lost before its buffer began */
	struct fa_event_state state; /* in which the first event is to be decoded */
};

/* LOST: counts since the last LOST of this process. cause UNKNOWN: count is 0 and means nothing. */
struct fa_rec_lost {
	uint32_t process;
	uint32_t cause; /* enum fa_lost_cause */
	uint64_t count;
	uint64_t stamp;
};

/* THREAD_LOST: of the events that LOST counts, those of one thread, since its last THREAD_LOST of this cause. Events of
 * threads that are not told apart stand in LOST alone. */
struct fa_rec_thread_lost {
	uint32_t process;
	uint32_t thread;
	uint32_t cause; /* enum fa_lost_cause */
	uint32_t reserved;
	uint64_t count;
	uint64_t stamp;
};

/* PASS: the end of a sweep that began at `stamp`. */
struct fa_rec_pass {
	uint64_t stamp;
	uint64_t number;
};

/* COVERAGE: a flagged program that started and was not traced; then the image name. */
struct fa_rec_coverage {
	int32_t pid;
	uint32_t uid;
	uint32_t reason; /* enum fa_reason */
	uint32_t reserved;
};

/* MARK: then the text. */
struct fa_rec_mark {
	uint64_t stamp;
	uint32_t uid; /* who set it */
	int32_t pid;
};

/* THREAD_END: seen by the collector. A thread that ends with its process has none. */
struct fa_rec_thread_end {
	uint32_t process;
	uint32_t thread;
	uint64_t stamp;
};

/* UPDATE: the session was changed; then what, in words. */
struct fa_rec_update {
	uint64_t stamp;
	uint32_t uid; /* who did it */
	int32_t pid;
	uint32_t changes; /* enum fa_update_changes: what was asked for; the rest is what holds now */
	uint32_t flush_timer; /* seconds */
	uint32_t maximum_buffers;
	uint32_t stacks; /* 0: as each program's rule says; else bit 31 and enum fa_stack_events */
};

enum fa_extents_flags { FA_EXTENTS_UNREADABLE = 1 << 0 /* the rest is 0 */ };

/* EXTENTS: what memory a process has, as the kernel says; without the arena and the shim's own. Bytes. */
struct fa_rec_extents {
	uint32_t process;
	uint32_t flags; /* enum fa_extents_flags */
	uint64_t stamp;
	uint64_t reserved;  /* of address space */
	uint64_t committed; /* private and writable: heap, stacks of threads, data */
	uint64_t resident;  /* of anonymous memory, in RAM */
	uint64_t swapped;
};

/* SNAPSHOT: the blocks of a process that were live at one time follow, in BLOCKS; SNAPSHOT_END stands behind the
 * last. They are all of which the process's table knows: those allocated since begin_stamp. */
struct fa_rec_snapshot {
	uint32_t process;
	uint32_t flags;       /* enum fa_snapshot_flags */
	uint64_t begin_stamp; /* since when its table is kept */
	uint64_t stamp;       /* when the look at the table began */
	uint64_t took;        /* stamps until it had ended */
	uint64_t refused;     /* blocks since begin_stamp that found no room in the table: not here */
	uint64_t table_bytes; /* that the table takes in the process */
	uint64_t take;        /* in a session's trace: the same of those that were taken together; 0: in a file of its own */
};

enum fa_snapshot_flags {
	FA_SNAPSHOT_POST_MORTEM = 1 << 0, /* the process had ended */
	FA_SNAPSHOT_DEGRADED = 1 << 1,    /* `refused` is not 0 */
};

/* BLOCKS: then count x struct fa_trace_block, the oldest first. */
struct fa_rec_blocks {
	uint32_t process;
	uint32_t sequence; /* 0, 1, ... in its snapshot */
	uint32_t count;
	uint32_t reserved;
	uint64_t begin_stamp; /* of its snapshot: the time from which blocks count */
};

struct fa_trace_block {
	uint64_t addr;
	uint64_t size;
	uint64_t usable; /* 0: not known */
	uint64_t since;  /* stamps from begin_stamp to its allocation, to 1 part in 65536 or some milliseconds */
	uint32_t stack;  /* node id, 0: not taken */
	uint32_t thread; /* serial, ~0: a later one than are told apart */
};

/* SNAPSHOT_END: it is whole when these are the sums of what came. */
struct fa_rec_snapshot_end {
	uint32_t process;
	uint32_t records; /* BLOCKS */
	uint64_t blocks;
	uint64_t bytes;        /* requested */
	uint64_t usable_bytes; /* of blocks whose usable size is known; of the others the requested */
};

enum fa_end_reason {
	FA_END_STOPPED = 0,
	FA_END_SIZE = 1,
	FA_END_DISK = 2,
	FA_END_WRITE = 3,
	FA_END_TARGET = 4,
	FA_END_WRITTEN = 5, /* WrittenPerUser */
	FA_END_SAVED = 6,   /* a copy of a ring; the session went on */
	FA_END_NEXT = 7,    /* the session went on in another file */
	FA_END_STOP_AT = 8, /* StopAt of an autologger */
	FA_END_REASONS,
};

/* END: the trace was ended properly. Then a sentence. */
struct fa_rec_end {
	uint64_t stamp;
	uint64_t events;
	uint64_t lost;
	uint32_t reason; /* enum fa_end_reason */
	uint32_t error;  /* errno of a write error */
};
#pragma GCC diagnostic pop

/* X(name, tag, struct, what it says). Tags are never reused. */
#define FA_TRACE_RECORDS(X)                                                                        \
	X(MACHINE, 1, struct fa_rec_machine, "machine, kernel, clock")                             \
	X(SESSION, 2, struct fa_rec_session, "the session that wrote this trace")                  \
	X(CLOCK, 3, struct fa_rec_clock, "one moment on three clocks")                             \
	X(PROCESS, 4, struct fa_rec_process, "a process begins")                                   \
	X(PROCESS_END, 5, struct fa_rec_process_end, "a process ended")                            \
	X(THREAD, 6, struct fa_rec_thread, "a thread and its name")                                \
	X(MODULE, 7, struct fa_rec_module, "a mapped object")                                      \
	X(NODES, 8, struct fa_rec_nodes, "frames of stacks")                                       \
	X(EVENTS, 9, struct fa_rec_events, "heap events of one thread")                            \
	X(LOST, 10, struct fa_rec_lost, "events that were not recorded, and why")                  \
	X(PASS, 11, struct fa_rec_pass, "a sweep over all buffers ended")                          \
	X(COVERAGE, 12, struct fa_rec_coverage, "a flagged program that could not be traced")      \
	X(END, 13, struct fa_rec_end, "the trace was ended properly")                              \
	X(MARK, 14, struct fa_rec_mark, "a moment that somebody named")                            \
	X(THREAD_END, 15, struct fa_rec_thread_end, "a thread ended")                              \
	X(UPDATE, 16, struct fa_rec_update, "the session was changed while it ran")                     \
	X(CALLS, 17, struct fa_rec_events, "calls of one thread that are none of the heap's")      \
	X(EXTENTS, 18, struct fa_rec_extents, "how much memory a process has")                      \
	X(SNAPSHOT, 24, struct fa_rec_snapshot, "the live blocks of a process follow")             \
	X(BLOCKS, 25, struct fa_rec_blocks, "live blocks")                                         \
	X(SNAPSHOT_END, 26, struct fa_rec_snapshot_end, "all live blocks of the process were told") \
	X(THREAD_LOST, 29, struct fa_rec_thread_lost, "of the events that were not recorded, those of a thread")

enum fa_trace_tag {
#define X(name, tag, type, text) FA_TAG_##name = (tag),
	FA_TRACE_RECORDS(X)
#undef X
};

static_assert(sizeof(struct fa_trace_header) == 64, "trace header is 64 bytes");
static_assert(sizeof(struct fa_trace_ring) == 24, "ring geometry is 24 bytes");
static_assert(sizeof(struct fa_block_header) == 32, "block header is 32 bytes");
static_assert(sizeof(struct fa_record_header) == 8, "record header is 8 bytes");

const char *fa_trace_tag_name(unsigned tag);     /* "?" for an unknown tag */
int fa_trace_tag_size(unsigned tag);             /* fixed part, -EBADMSG for an unknown tag */
const char *fa_lost_cause_name(unsigned cause);  /* "no-buffer", ...; "?" */

#endif
