/*
 * index_format.h - registry.idx: what the registry publishes and the gate reads.
 *
 * The file is /etc/firstalloc/registry.idx, at most FA_INDEX_MAX bytes, immutable, replaced by
 * rename. One read fetches it whole. Little endian. Layout:
 *
 *   OFFSET SIZE
 *      0     8   magic "FAINDEX\n"
 *      8     2   version            what the writer wrote
 *     10     2   min_reader         oldest reader that may use the file
 *     12     4   header_size        lets a later version append fields; rules start here
 *     16     8   generation         grows with each publication; never replaced by a smaller one
 *     24     4   total_size         of the file
 *     28     4   rule_count
 *     32     4   strings_offset     first byte of the string area, which ends at total_size
 *     36     4   flags              enum fa_index_flags
 *     40     8   checksum           fa_hash64 of the whole file with this field zero
 *     48    16   reserved, zero
 *
 * Rules follow, 80 bytes each, sorted by (name_hash, specificity descending, id). Strings are
 * referred to by offset from the start of the file, end with NUL, and lie in the string area.
 */
#ifndef FA_INDEX_FORMAT_H
#define FA_INDEX_FORMAT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define FA_INDEX_MAGIC "FAINDEX\n"
#define FA_INDEX_MAX   65536u
#define FA_INDEX_PATH  "/etc/firstalloc/registry.idx"

/*
 * The kill switch that needs no registry: while this file is there, or this word stands in the
 * kernel's command line, no program is flagged. The gate looks for them in flagged programs only.
 */
#define FA_OFF_PATH "/etc/firstalloc/off"
#define FA_OFF_WORD "firstalloc=off"

enum { FA_INDEX_VERSION = 1, FA_INDEX_MIN_READER = 1 };

enum fa_index_flags {
	FA_INDEX_AUTOLOGGER = 1 << 0, /* an autologger is enabled: record although no collector answers */
	FA_INDEX_OFF = 1 << 1,        /* `firstalloc off`: nothing is flagged */
};

/* TracingFlags (IFEO). The CLI refuses unknown bits, the gate ignores them. */
enum fa_tracing_flags {
	FA_TRACING_HEAP = 0x1,
	FA_TRACING_LOCK = 0x2,
	FA_TRACING_LOADER = 0x4,
	FA_TRACING_SNAPSHOT = 0x10,
	FA_TRACING_VM = 0x20,
	/* What is recorded as CALLs, beside the heap. */
	FA_TRACING_CALLS = FA_TRACING_LOCK | FA_TRACING_LOADER | FA_TRACING_VM,
};

enum fa_rule_options {
	FA_RULE_SCRIPT = 1 << 0,    /* also match the interpreter's first argument that is no option */
	FA_RULE_SECURE = 1 << 1,    /* AT_SECURE processes too */
	FA_RULE_PID1 = 1 << 2,      /* PID 1 too */
	FA_RULE_SANITIZER = 1 << 3, /* sanitizer builds too */
	FA_RULE_ARGS = 1 << 4,      /* record the arguments */
	FA_RULE_DISARMED = 1 << 5,  /* its program crashed again and again: flagged, never traced */
	FA_RULE_NAMED = 1 << 6,     /* only for sessions that name the image; made for autologgers with Images= */
	FA_RULE_TABLE_MB = 0xfff << 16, /* what the table of live blocks may take, in MB; 0: as much as there is */
};
#define FA_RULE_TABLE_SHIFT 16

/* Which events carry a stack. */
enum fa_stack_events {
	FA_STACK_ALLOC = 1 << 0,
	FA_STACK_REALLOC = 1 << 1,
	FA_STACK_FREE = 1 << 2,
};

/* design "Order" */
/* ALLOC: allocations; while one thread only has used the heap one of eight at least, see shim/tracer.c. */
enum fa_stamp_mode { FA_STAMP_ALLOC = 0, FA_STAMP_ALL = 1, FA_STAMP_NONE = 2 };

#define FA_USER_ANY      0xffffffffu
#define FA_DEPTH_DEFAULT 64
#define FA_DEPTH_MAX     512

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct fa_index_header {
	unsigned char magic[8];
	uint16_t version;
	uint16_t min_reader;
	uint32_t header_size;
	uint64_t generation;
	uint32_t total_size;
	uint32_t rule_count;
	uint32_t strings_offset;
	uint32_t flags;
	uint64_t checksum;
	uint64_t reserved[2];
};

struct fa_index_rule {
	uint64_t name_hash;    /* fa_hash64(name, strlen(name), 0) */
	uint32_t name;         /* offset of the image name (a base name) */
	uint32_t path;         /* offset of the full path of the executable, 0: any */
	uint32_t package;      /* offset of the package, see package_format.h; 0: any */
	uint32_t uid;          /* real uid, FA_USER_ANY: any */
	uint32_t id;           /* row id in registry.db */
	uint32_t flags;        /* enum fa_tracing_flags */
	uint32_t options;      /* enum fa_rule_options */
	uint16_t depth;        /* frames of a stack, 1..FA_DEPTH_MAX */
	uint8_t stacks;        /* enum fa_stack_events */
	uint8_t stamp;         /* enum fa_stamp_mode */
	uint64_t expires_real; /* CLOCK_REALTIME seconds, 0: never */
	uint32_t specificity;  /* package 4, path 2, user 1, added up */
	uint32_t reserved[7];
};
#pragma GCC diagnostic pop
static_assert(sizeof(struct fa_index_header) == 64, "index header is 64 bytes");
static_assert(sizeof(struct fa_index_rule) == 80, "index rule is 80 bytes");

/* Who a process is, for the look-up. Strings are NUL terminated; NULL where unknown. */
struct fa_index_who {
	const char *exe_name;  /* base name of the executable */
	const char *exec_name; /* base name of the executed path (AT_EXECFN): a script's own */
	const char *script;    /* base name of the interpreter's first argument that is no option */
	const char *exe_path;  /* full path of the executable */
	const char *cgroup;    /* text of /proc/PID/cgroup; needed where fa_index_needs_cgroup() says so */
	uint32_t uid;
};

/* Is FA_OFF_WORD one of the words of a kernel command line? Pure. */
bool fa_index_off_word(const char *text, size_t len);

/*
 * Check magic, version, sizes, checksum and every offset. Pure; any thread; trusts nothing.
 * Returns 0, -EBADMSG damaged, -EPROTONOSUPPORT of a version too new.
 */
int fa_index_check(const void *bytes, size_t len) FA_MUST_USE;

/* Is there a rule for this name, whatever else it asks for? In an index that fa_index_check() accepted; name
 * may be NULL. */
bool fa_index_has_name(const void *bytes, const char *name);

/* Has a rule for one of the names of `who` a package? Only then is it needed to which control group it belongs. */
bool fa_index_needs_cgroup(const void *bytes, const struct fa_index_who *who);

/*
 * The rule for `who` in an index that fa_index_check() accepted: the most specific of those whose
 * name equals one of the names, byte by byte, and whose scopes all match; on equal specificity
 * exe_name before exec_name before script, then the smallest id. A script name matches only rules
 * with FA_RULE_SCRIPT. Expired rules (now_real in seconds) do not match. NULL: not flagged.
 */
const struct fa_index_rule *fa_index_find(const void *bytes, const struct fa_index_who *who,
					  uint64_t now_real);

#endif
