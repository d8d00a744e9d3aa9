/*
 * firstalloc.h - heap trace sessions and heap traces from C, C++ and whatever can call C.
 *
 * Sessions: the counterpart of StartHeapTrace, UpdateHeapTrace and ControlTrace; the words are theirs.
 * They run in firstallocd, which has to run already (its unit, or `firstalloc start` as root, starts
 * it), and they outlive the program that started them. Traces: read event by event, with stacks as
 * functions, files and lines.
 *
 * Every function returns FA_OK or one of enum fa_error, never -1, and never prints; what goes wrong is
 * said in words by fa_error_message(). Functions may be called from any thread; one struct fa_trace
 * from one thread at a time. Structures begin with their size, so that they may grow.
 *
 * Link with -lfirstalloc (pkg-config firstalloc). The manual pages of the functions, fa_trace_open(3)
 * and so on, are made from the comments of this file.
 */
#ifndef FIRSTALLOC_H
#define FIRSTALLOC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What Windows answers in the same case stands behind each. Numbers never change. */
enum fa_error {
	FA_OK = 0,                       /* ERROR_SUCCESS */
	FA_ERROR_INVALID_PARAMETER = 1,  /* ERROR_INVALID_PARAMETER */
	FA_ERROR_BAD_LENGTH = 2,         /* ERROR_BAD_LENGTH: `size` is of no structure of ours */
	FA_ERROR_INVALID_FLAGS = 3,      /* ERROR_INVALID_FLAGS: no such mode, or no such mix */
	FA_ERROR_ALREADY_EXISTS = 4,     /* ERROR_ALREADY_EXISTS: a session of that name */
	FA_ERROR_OUT_OF_MEMORY = 5,      /* ERROR_OUTOFMEMORY */
	FA_ERROR_ACCESS_DENIED = 6,      /* ERROR_ACCESS_DENIED */
	FA_ERROR_BAD_PATH = 7,           /* ERROR_BAD_PATHNAME: no such folder, or the file exists */
	FA_ERROR_DISK_FULL = 8,          /* ERROR_DISK_FULL: or less is free than must stay free */
	FA_ERROR_NO_SUCH_SESSION = 9,    /* ERROR_WMI_INSTANCE_NOT_FOUND */
	FA_ERROR_TOO_MANY_SESSIONS = 10, /* ERROR_NO_SYSTEM_RESOURCES */
	FA_ERROR_NOT_SUPPORTED = 11,     /* ERROR_NOT_SUPPORTED: not by this version, or not of that process */
	FA_ERROR_NO_DAEMON = 12,         /* no firstallocd is running, or it does not answer */
	FA_ERROR_NO_SUCH_PROCESS = 13,   /* a PID of no process, or of one that has ended */
	FA_ERROR_NO_MORE = 14,           /* ERROR_NO_MORE_ITEMS: the end */
	FA_ERROR_BAD_DATA = 15,          /* ERROR_INVALID_DATA: no trace, or damaged here */
	FA_ERROR_NEWER = 16,             /* a trace that a newer version wrote */
	FA_ERROR_SYSTEM = 17             /* anything else; the message says what */
};

/* Names a session. 0: none; compare with nothing else. Holds in every process, as long as the session does. */
typedef uint64_t fa_trace_handle;

enum {
	FA_STACK_EVENTS_MAX = 256,   /* entries of a list of stack-tracing events */
	FA_SESSION_NAME_SIZE = 64,   /* with its NUL */
	FA_TRACE_PATH_SIZE = 1024    /* with its NUL */
};

/* LogFileMode, as in Windows. What this version cannot do is answered with FA_ERROR_NOT_SUPPORTED. */
enum fa_trace_mode {
	FA_TRACE_MODE_SEQUENTIAL = 0x1, /* ends at maximum_file_size */
	FA_TRACE_MODE_CIRCULAR = 0x2,   /* there the oldest events are written over; at least 1 MB */
	FA_TRACE_MODE_APPEND = 0x4,
	FA_TRACE_MODE_NEWFILE = 0x8,    /* there it goes on in the next of 16 files, one %d in log_file_name; at least 1 MB */
	FA_TRACE_MODE_PREALLOCATE = 0x20,
	FA_TRACE_MODE_REAL_TIME = 0x100, /* with neither another mode nor log_file_name: no file, fa_trace_open_live() */
	FA_TRACE_MODE_BUFFERING = 0x400
};

enum fa_trace_policy {
	FA_TRACE_WAIT = 0, /* no buffer free: the program waits (at most a second without progress) */
	FA_TRACE_COUNT = 1 /* the event is lost and counted, as in Windows */
};

enum fa_trace_flags {
	FA_TRACE_OWN_USER = 1 << 0 /* processes of the caller's user only; holds for who is not root anyway */
};

/* Zero is the default of everything. Buffers are of buffer_size; a program's come in steps of 2, 4, 8, 16, 32, 64 ... MB,
 * so what holds of minimum_buffers is as many or more, and of maximum_buffers as many or fewer, but 2 MB at least. */
struct fa_trace_settings {
	uint32_t buffer_size;       /* KB, 4 to 1024; default 64 */
	uint32_t minimum_buffers;   /* that a program has from the first; buffering: of the ring */
	uint32_t maximum_buffers;   /* 0: a program's buffers grow as far as they can */
	uint32_t maximum_file_size; /* MB, 0: no limit */
	uint32_t flush_timer;       /* seconds, default 1 */
	uint32_t log_file_mode;     /* enum fa_trace_mode, default sequential */
	uint32_t policy;            /* enum fa_trace_policy */
	uint32_t flags;             /* enum fa_trace_flags */
};

/*
 * EVENT_TRACE_PROPERTIES. In: `settings`, pid_errors and log_file_name. Out: `settings` are those that hold,
 * `requested` those that were asked for, and the rest. Wnode.Guid has no counterpart: it is always the
 * heap's.
 */
struct fa_trace_properties {
	uint32_t size; /* in: sizeof(struct fa_trace_properties) */
	uint32_t state; /* 1 running, 2 ended by itself: end_reason says why */
	struct fa_trace_settings settings;
	struct fa_trace_settings requested; /* 0: the default. A user's session always has FA_TRACE_OWN_USER */
	uint64_t events;
	uint64_t events_lost;
	uint64_t buffers_written;
	uint64_t log_buffers_lost;
	uint64_t real_time_buffers_lost; /* that readers (fa_trace_open_live()) were too slow for, */
	uint64_t real_time_events_lost;  /* and the events in them: lost for these readers alone */
	uint32_t number_of_buffers; /* of the programs that are traced now */
	uint32_t free_buffers;
	uint64_t bytes_written;
	uint64_t start_time; /* seconds since 1970 */
	uint32_t processes; /* that were ever in it */
	/* Of fa_start_heap_trace(), from `joined` to `pids_failed`; else 0. */
	uint32_t joined;        /* flagged processes that are in it already */
	uint32_t woken;         /* flagged processes that ran untraced, and are in it from their next heap call on */
	uint32_t pids_attached; /* of the PIDs that were named */
	uint32_t pids_failed;   /* fa_error_message() says why, of the first */
	uint32_t end_reason; /* 0 stopped, 1 size limit, 2 too little space, 3 write error, 4 target ended */
	uint32_t end_error;  /* errno with end_reason 3 */
	uint32_t logger_pid; /* of the collector; Windows: LoggerThreadId */
	int32_t *pid_errors; /* in: NULL, or room for pid_count. Out: enum fa_error of each PID */
	char session_name[FA_SESSION_NAME_SIZE];
	char log_file_name[FA_TRACE_PATH_SIZE]; /* in: "" is NAME.falloc in the current folder, or NAME-%d.falloc */
};

/* What one thread recorded and lost, since firstallocd came to its process. */
struct fa_thread_counters {
	uint32_t size;   /* in the first: sizeof(struct fa_thread_counters) */
	uint32_t thread; /* its number in the process, as in traces */
	int32_t pid;
	int32_t tid; /* 0: not known */
	uint64_t events;
	uint64_t events_lost;      /* by causes: */
	uint64_t lost_no_buffer;   /* no buffer was free */
	uint64_t lost_nested;      /* signal handlers interrupted each other */
	uint64_t lost_damaged;     /* buffers that the program overwrote; each may have held more events */
	char name[16];             /* "": not known */
};

/* STACK_TRACING_EVENT_ID: an event whose stack is to be recorded. */
struct fa_stack_event_id {
	unsigned char provider[16]; /* a GUID as it lies in memory: FA_HEAP_PROVIDER */
	uint8_t type;               /* enum fa_heap_event_type */
	uint8_t reserved[7];
};

/* {222962ab-6180-4b88-a825-346b75f2a24a}, HeapGuid. */
#define FA_HEAP_PROVIDER                                                                           \
	{0xab, 0x62, 0x29, 0x22, 0x80, 0x61, 0x88, 0x4b, 0xa8, 0x25, 0x34, 0x6b, 0x75, 0xf2, 0xa2, 0x4a}

/* Types of HeapGuid that this version knows; others are ignored. */
enum fa_heap_event_type {
	FA_HEAP_TYPE_ALLOC = 0x21,
	FA_HEAP_TYPE_REALLOC = 0x22,
	FA_HEAP_TYPE_FREE = 0x24
};

/* For fa_control_trace(), as in Windows. */
enum fa_trace_control {
	FA_TRACE_QUERY = 0,
	FA_TRACE_STOP = 1,
	FA_TRACE_UPDATE = 2,
	FA_TRACE_FLUSH = 3
};

/*
 * fa_start_heap_trace - begin a session that records heap events
 *
 * The arguments are those of StartHeapTrace, in its order. *handle is always written: 0 unless FA_OK is
 * returned. The log file is made with the rights of the caller, mode 0600, and never overwrites one.
 *
 * pids: processes to trace that run already, flagged or not, and only these, each from its next heap
 * call on. How many is not limited for root; others may have ArenasPerUser (firstalloc.ini) that have not made
 * a heap call since. What they allocated before is not known. Root may name any process, others those that
 * they could ptrace (with kernel.yama.ptrace_scope 1 or 2 none, with 3 root may not, either). None, or a PID 0 among them: the flagged programs (`firstalloc
 * enable`), those that start later and those that run.
 *
 * One that cannot be had does not keep the others from it: FA_OK if there was one at least, or a PID 0;
 * pids_attached and pids_failed say how many, pid_errors which, fa_error_message() why, of the first.
 * If there was none the session is ended, its file is removed, and the error is that of the first:
 * FA_ERROR_NO_SUCH_PROCESS, FA_ERROR_ACCESS_DENIED, or FA_ERROR_NOT_SUPPORTED for what cannot be traced
 * (a static program, one that was started before `firstalloc install`, a kernel thread). The counts and
 * pid_errors are written then, too.
 *
 * ids: which events carry a stack; at most 256, else FA_ERROR_INVALID_PARAMETER. Entries of another
 * provider or of an unknown type are ignored. If none is left, a program's rule decides (`firstalloc
 * enable --stacks`, by default alloc and realloc). The list holds from a few milliseconds after a
 * program has come into the session; sessions that share a program have the stacks of all events of
 * which one of them wants them.
 *
 * When it has returned FA_OK, what starts from then on is traced from its first allocation.
 * *properties says what holds; sizes out of range are refused, not changed silently.
 */
int fa_start_heap_trace(fa_trace_handle *handle, struct fa_trace_properties *properties,
			const char *session_name, const uint32_t *pids, uint32_t pid_count,
			const struct fa_stack_event_id *ids, uint32_t id_count);

/*
 * fa_update_heap_trace - change a session that runs
 *
 * The arguments are those of UpdateHeapTrace: by name, no handle. What is not given stays as it is.
 *
 * pids: instead of all that were in it before; as for fa_start_heap_trace(). Those that are not named
 * leave, and are dormant again unless another session wants them. With pid_count 0 the set stays; a
 * PID 0 alone makes an ordinary session of one that had PIDs. If none can be had, nothing has changed.
 * ids: which events carry stacks from now on; entries that are not known are ignored, and if none is
 * left the set stays.
 * properties: flush_timer and maximum_buffers are changed where they are not 0, and log_file_name, where it
 * is neither "" nor the present one: the trace so far is ended, and the session goes on in a new file,
 * complete in itself. May be NULL. Out: as
 * for fa_query_trace(), and what came of the PIDs.
 *
 * The change holds at the next heap call of a program 100 ms later at the latest, and stands in the
 * trace, with time and user.
 */
int fa_update_heap_trace(struct fa_trace_properties *properties, const char *session_name,
			 const uint32_t *pids, uint32_t pid_count,
			 const struct fa_stack_event_id *ids, uint32_t id_count);

/*
 * fa_control_trace - query, flush, update or stop a session
 *
 * The session is named by session_name, or, where that is NULL, by the handle (Windows: the name wins,
 * too). properties may be NULL but for FA_TRACE_QUERY. FA_TRACE_UPDATE changes what *properties says, as
 * fa_update_heap_trace() does. The handle of a session that was stopped
 * names none: FA_ERROR_NO_SUCH_SESSION. Root and members of the group firstalloc control all sessions,
 * everybody else their own; those of others are not there for them.
 */
int fa_control_trace(fa_trace_handle handle, const char *session_name,
		     struct fa_trace_properties *properties, uint32_t control);

/*
 * fa_query_trace - settings and counters of a session
 *
 * fa_control_trace() with FA_TRACE_QUERY.
 */
int fa_query_trace(fa_trace_handle handle, const char *session_name,
		   struct fa_trace_properties *properties);

/*
 * fa_query_threads - events and losses of the threads that a session records
 *
 * Of each thread that lives and has used the heap, process by process. The session is named as for
 * fa_control_trace(). counters: room for so many, the size set in the first; *ret_count: how many there are,
 * which may be more than were written. A process may have lost more than its threads say: what is lost for want of
 * memory has no thread yet, and of threads beyond some hundreds that lose events the process's sum alone is known.
 */
int fa_query_threads(fa_trace_handle handle, const char *session_name,
		     struct fa_thread_counters *counters, uint32_t room, uint32_t *ret_count);

/*
 * fa_flush_trace - have all that was recorded so far written to the trace
 *
 * fa_control_trace() with FA_TRACE_FLUSH. When it returns, a reader of the file finds every event that
 * a traced program had recorded when it was called. properties: as of then; may be NULL.
 */
int fa_flush_trace(fa_trace_handle handle, const char *session_name,
		   struct fa_trace_properties *properties);

/*
 * fa_stop_trace - end a session and its trace
 *
 * fa_control_trace() with FA_TRACE_STOP. When it returns, everything that was recorded stands in the
 * trace and the trace has its proper end. properties: the final counters; may be NULL.
 */
int fa_stop_trace(fa_trace_handle handle, const char *session_name,
		  struct fa_trace_properties *properties);

/*
 * fa_mark - write a mark into traces
 *
 * A mark names a moment: reports and dumps take mark:TEXT as an end of a range, and fa_trace_next()
 * gives it out among the events. session_name NULL: into all sessions that the caller may stop.
 * text: 1 to 255 bytes, no control characters. When it returns the mark is in the file.
 *
 * FA_ERROR_NO_SUCH_SESSION: there is no such session, or none that runs.
 */
int fa_mark(const char *text, const char *session_name);

/*
 * fa_error_name - the name of an error
 *
 * "ALREADY_EXISTS" for FA_ERROR_ALREADY_EXISTS; "UNKNOWN" for no error of ours. Static text.
 */
const char *fa_error_name(int error);

/*
 * fa_error_message - what went wrong in the last call that failed in this thread
 *
 * One line for people, "" before the first failure. It holds until the next call in this thread. A
 * fa_start_heap_trace() that returned FA_OK with pids_failed has one as well.
 */
const char *fa_error_message(void);

/*
 * fa_set_root - use the firstallocd below another root
 *
 * As --root of firstalloc(1): sockets are looked for below this folder. NULL or "": the machine itself.
 * For tests and containers; holds for the whole process. FA_ERROR_INVALID_PARAMETER: too long.
 */
int fa_set_root(const char *root);

/* ---- traces ---- */

/* A trace that is being read. */
struct fa_trace;

enum fa_trace_event_kind {
	FA_EVENT_ALLOC = 1,
	FA_EVENT_REALLOC = 2, /* old_address 0: there was no block; address 0: there is none any more */
	FA_EVENT_FREE = 3,
	FA_EVENT_PROCESS_START = 4, /* text: the program's name */
	FA_EVENT_PROCESS_END = 5,   /* status */
	FA_EVENT_MARK = 7,          /* text */
	FA_EVENT_THREAD_START = 8,  /* text: its name, if it has one; not later than its first event */
	FA_EVENT_THREAD_END = 9,    /* not for threads that end with their process */
	FA_EVENT_LOST = 6,          /* bytes: so many events of the process, 0 if nobody knows how many */
	/* Beside the heap, with a stack where one was taken; given out only to who knows the fields behind `text`
	 * (fa_trace_next()). */
	FA_EVENT_SPACE = 10,  /* --flags vm; function: FA_SPACE_... */
	FA_EVENT_WAIT = 11,   /* --flags lock: address, duration_ns, owner_tid; function: FA_WAIT_... */
	FA_EVENT_LOAD = 12,   /* --flags loader: text is the module's path, at address, of so many bytes; function:
				 FA_LOADER_... */
	FA_EVENT_UNLOAD = 13, /* the same */
	FA_EVENT_EXTENTS = 14 /* reserved, committed, resident, swapped: what a process has of the kernel */
};

enum fa_event_flags {
	FA_EVENT_STAMPED = 1 << 0, /* time_ns is its own; else it happened between that and the next */
	FA_EVENT_NESTED = 1 << 1,  /* in a signal handler that interrupted the tracer */
	FA_EVENT_STACK = 1 << 2,   /* a stack was taken */
	FA_EVENT_TIMED_OUT = 1 << 3, /* FA_EVENT_WAIT: the lock was not had */
	FA_EVENT_UNREADABLE = 1 << 4 /* FA_EVENT_EXTENTS: the collector might not look */
};

enum fa_event_function {
	FA_CALL_MALLOC = 0,
	FA_CALL_CALLOC = 1,
	FA_CALL_MEMALIGN = 2,
	FA_CALL_ALIGNED_ALLOC = 3,
	FA_CALL_POSIX_MEMALIGN = 4,
	FA_CALL_VALLOC = 5,
	FA_CALL_PVALLOC = 6,
	FA_CALL_REALLOC = 16,
	FA_CALL_REALLOCARRAY = 17,
	FA_CALL_FREE = 32,
	/* FA_EVENT_SPACE: address, bytes; protection and map_flags */
	FA_SPACE_MMAP = 48,
	FA_SPACE_MUNMAP = 49,
	FA_SPACE_MREMAP = 50, /* old_address, old_bytes: what was there before */
	FA_SPACE_BRK = 51,    /* the end of the data segment; old_address: before */
	FA_SPACE_MPROTECT = 52,
	FA_WAIT_MUTEX = 64,
	FA_WAIT_READ = 65, /* for a rwlock */
	FA_WAIT_WRITE = 66,
	FA_LOADER_DLOPEN = 80, /* time_ns: when it was recorded; duration_ns: so long before it was called */
	FA_LOADER_DLMOPEN = 81,
	FA_LOADER_DLCLOSE = 82,
	FA_LOADER_FOUND = 83 /* by libc itself, or at a time that is not known; no stack */
};

struct fa_trace_event {
	uint32_t size; /* in: sizeof(struct fa_trace_event) */
	uint32_t kind; /* enum fa_trace_event_kind */
	int64_t time_ns; /* since the trace began; below 0: recorded before there was a collector */
	uint64_t address;
	uint64_t old_address; /* realloc */
	uint64_t bytes;       /* asked for */
	uint64_t alignment;   /* asked for, 0: none */
	uint32_t process;     /* number in the trace, from 1: a pid may come twice */
	int32_t pid;
	uint32_t thread; /* number in its process, from 0 */
	int32_t tid;     /* 0: not known */
	uint32_t stack;  /* for fa_trace_stack(); 0: none */
	uint32_t function; /* enum fa_event_function */
	uint32_t flags;    /* enum fa_event_flags */
	int32_t status;    /* as wait(2) has it, -1: not known */
	const char *text;  /* "": none. Holds until the next event is asked for */
	/* What stands from here on came later: see fa_trace_next(). */
	uint64_t old_bytes;
	uint64_t duration_ns;
	int32_t owner_tid;   /* of who had the lock when the wait began; 0: not known */
	uint32_t protection; /* PROT_READ, ... */
	uint32_t map_flags;  /* MAP_PRIVATE, ...: the low 24 bits */
	uint32_t reserved_field;
	uint64_t reserved, committed, resident, swapped;
};

enum fa_trace_state {
	FA_TRACE_ENDED = 1 << 0,        /* properly */
	FA_TRACE_CUT = 1 << 1,          /* it is still being written, or its writer died */
	FA_TRACE_DAMAGED = 1 << 2,      /* it is read up to the damage */
	FA_TRACE_LOST_UNKNOWN = 1 << 3, /* events are missing and nobody knows how many */
	FA_TRACE_UNKNOWN_RECORDS = 1 << 4 /* of a newer version: left out */
};

struct fa_trace_info {
	uint32_t size; /* in: sizeof(struct fa_trace_info) */
	uint32_t state; /* enum fa_trace_state */
	uint64_t start_real_ns; /* since 1970 */
	uint64_t duration_ns;
	uint64_t events; /* allocs, reallocs and frees */
	uint64_t lost;   /* that happened and are not in the trace */
	uint64_t unread_bytes;
	uint32_t processes;
	uint32_t reserved;
	char session_name[128];
	char host[128];
	char kernel[256];
};

struct fa_process_info {
	uint32_t size; /* in: sizeof(struct fa_process_info) */
	uint32_t process; /* number in the trace */
	int32_t pid;
	int32_t parent_pid;
	uint32_t parent; /* number in the trace, 0: not in it */
	uint32_t origin; /* 0 exec, 1 fork, 2 woken while it ran */
	uint32_t uid;
	uint32_t gid;
	int64_t start_ns;
	int64_t end_ns; /* with `ended` */
	uint32_t ended;
	int32_t status;      /* as wait(2) has it, -1: not known */
	uint32_t incomplete; /* 1: the session began after it, earlier events are not in the trace */
	uint32_t lost_unknown;
	uint64_t lost;
	const char *image; /* strings hold as long as the trace is open; "": not known */
	const char *exe;
	const char *exec_path;
	const char *cgroup;
	const char *arguments;
};

struct fa_stack_frame {
	const char *function; /* demangled; NULL: not known */
	const char *file;     /* NULL: not known */
	const char *module;   /* path; NULL: not known */
	uint64_t offset;      /* of the return address in the module; without one the address */
	uint32_t line;        /* 0: not known */
	uint32_t inlined;     /* 1: into the next frame */
};

enum fa_stack_flags { FA_STACK_WHOLE = 1 << 0 /* with the frames of the allocator and the tracer */ };

/*
 * fa_trace_open - open a trace for reading
 *
 * Reads it once, for what stands behind events that it explains: clocks, processes, modules, stacks.
 * A trace that is cut, still being written or damaged is read up to there (fa_trace_get_info() says
 * so). No byte of the file is trusted. *ret is NULL unless FA_OK is returned.
 *
 * FA_ERROR_BAD_DATA: it is no trace. FA_ERROR_NEWER: a newer version wrote it. FA_ERROR_BAD_PATH,
 * FA_ERROR_ACCESS_DENIED: it cannot be opened.
 */
int fa_trace_open(const char *path, struct fa_trace **ret);

/*
 * fa_trace_open_live - read along with a session that runs
 *
 * The events of a session of any mode from now on, while they happen (Windows: real time mode, OpenTrace
 * and ProcessTrace). It is named by session_name, or, where that is NULL, by the handle. Who may stop it may
 * read along, several at once; user programs have at most 4 readers a user. Processes, modules and
 * stacks that are there already come first. *ret is NULL unless FA_OK is returned.
 *
 * Ask fa_trace_next() until it says FA_ERROR_NO_MORE, which means "at the moment", then fa_trace_wait().
 * Nobody waits for a reader: what it is too slow for is lost for it alone, and said by FA_EVENT_LOST
 * before the next event that it gets. fa_trace_get_info() is as of what has been read; with FA_TRACE_ENDED
 * the session is over. There is no fa_trace_rewind().
 */
int fa_trace_open_live(fa_trace_handle handle, const char *session_name, struct fa_trace **ret);

/* Of fa_trace_open_live_filtered(). */
struct fa_live_filter {
	uint32_t size;      /* in: sizeof(struct fa_live_filter) */
	uint32_t kinds;     /* of calls: bits 1u << FA_EVENT_ALLOC, _REALLOC, _FREE; one of _SPACE, _WAIT, _LOAD and _UNLOAD
			     * brings all four; 0: none of them */
	uint64_t bytes_from; /* only blocks from so many bytes */
	uint64_t bytes_to;   /* up to, not including, so many; 0: of any size. Frees have no size, and are left out */
	const int32_t *pids; /* only of these processes, at most 64 */
	const char *const *images; /* only of programs of these names, at most 16 */
	uint32_t pid_count;   /* 0: of all */
	uint32_t image_count; /* 0: of all */
};

/*
 * fa_trace_open_live_filtered - read along with a part of a session that runs
 *
 * As fa_trace_open_live(), but of the calls of programs only those that the filter names come. The others are left out by
 * firstallocd, so that a reader of little loses nothing in a session of much. Processes, threads and marks are given out
 * in any case, and losses of those processes whose events are. filter NULL: everything.
 */
int fa_trace_open_live_filtered(fa_trace_handle handle, const char *session_name,
				const struct fa_live_filter *filter, struct fa_trace **ret);

/*
 * fa_trace_wait - wait for events of a live trace
 *
 * FA_OK: something came, or timeout_ms (-1: no limit) is over, or a signal came: ask fa_trace_next().
 * FA_ERROR_NO_MORE: the session has ended, and all of it was read. FA_ERROR_NO_DAEMON: firstallocd was restarted or has cut
 * this reader off, because too much waited for it; open it anew. FA_ERROR_NOT_SUPPORTED: a file.
 */
int fa_trace_wait(struct fa_trace *trace, int32_t timeout_ms);

/*
 * fa_trace_descriptor - what to poll for the next events of a live trace
 *
 * For poll() with POLLIN: then call fa_trace_wait() with 0. -1: a file, or it has ended. It stays the trace's.
 */
int fa_trace_descriptor(const struct fa_trace *trace);

/*
 * fa_trace_close - end the reading of a trace
 *
 * Everything that came from it is gone then. NULL is fine.
 */
void fa_trace_close(struct fa_trace *trace);

/*
 * fa_trace_get_info - what a trace is, and what it lacks
 */
int fa_trace_get_info(const struct fa_trace *trace, struct fa_trace_info *ret);

/*
 * fa_trace_get_process - one of the processes of a trace
 *
 * index: from 0 to `processes` of fa_trace_get_info(), less one; FA_ERROR_NO_MORE behind that. In the
 * order in which they came.
 */
int fa_trace_get_process(const struct fa_trace *trace, uint32_t index, struct fa_process_info *ret);

/*
 * fa_trace_next - the next event of a trace
 *
 * FA_OK: it is *ret. FA_ERROR_NO_MORE: that was all. FA_ERROR_BAD_DATA: what follows is damaged.
 *
 * A program that was built with an older header says so by a smaller `size`, that of the structure up to
 * `text`: it gets the kinds of events that it knows, FA_EVENT_ALLOC to FA_EVENT_THREAD_END, and no others.
 *
 * The events of one thread come in the order in which they happened; those of several threads as
 * they were collected, some milliseconds of each in turn. time_ns orders allocations of different
 * threads. A free carries no time of its own as a rule, nor do seven of eight allocations of a process
 * of which one thread only has used the heap: it happened between time_ns and the time of its thread's
 * next stamped event.
 */
int fa_trace_next(struct fa_trace *trace, struct fa_trace_event *ret);

/*
 * fa_trace_rewind - begin again with the first event
 */
int fa_trace_rewind(struct fa_trace *trace);

/*
 * fa_trace_stack - the frames of a stack
 *
 * process and stack as an event names them. The innermost frame comes first; *ret_count is how many
 * were written, at most `room`. A stack that is not known has none. flags: 0 leaves out the innermost
 * frames of malloc, operator new and the like, as `firstalloc report` does; FA_STACK_WHOLE keeps them.
 *
 * Names come from the files that were traced, if they are still the same, or from their debug files
 * below /usr/lib/debug. The first question about a module takes long, and answers are kept. The
 * environment variable DEBUGINFOD_URLS is unset in this process while the trace is open: no server is
 * asked.
 */
int fa_trace_stack(struct fa_trace *trace, uint32_t process, uint32_t stack, uint32_t flags,
		   struct fa_stack_frame *frames, uint32_t room, uint32_t *ret_count);

#ifdef __cplusplus
}
#endif

#endif
