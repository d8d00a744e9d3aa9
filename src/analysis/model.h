/*
 * model.h - what a trace tells about: arenas with modules and stack nodes, processes, threads,
 * sites. The replay fills it, reports read it.
 *
 * A site is a stack of an arena: (arena, node id). All numbers of a site are of the blocks that the
 * filters let through, over all processes of the arena.
 *
 * What is counted. An allocation that returned a block counts one block of the size asked for. A
 * realloc is one event; in the numbers of blocks and bytes it ends the old block and begins a new
 * one, also when the address stays the same (as Windows' ReallocFree and ReallocAlloc do). A block
 * that was inherited at a fork is live in the child but counts nowhere except in `inherited_*`.
 */
#ifndef FA_MODEL_H
#define FA_MODEL_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/idmap.h"
#include "analysis/livemap.h"
#include "analysis/space.h"
#include "base/attr.h"
#include "format/trace_format.h"

enum {
	FA_NODE_PAGE = 4096,  /* nodes of a page: ids may have gaps */
	FA_NODE_PAGES = 1024, /* as an arena of full size has */
	FA_MODEL_PROCESSES = 1 << 22,
};

static_assert((uint64_t)FA_NODE_PAGES * FA_NODE_PAGE == FA_ARENA_SPAN / 64,
	      "an arena has a node for each 64 bytes");

struct fa_node_page {
	struct fa_arena_node node[FA_NODE_PAGE];
	uint32_t site[FA_NODE_PAGE]; /* index of the site whose stack this is, 0: none yet */
};

struct fa_module {
	uint32_t id;
	uint32_t build_id_len;
	uint64_t base;
	uint64_t end;
	uint64_t bias;
	unsigned char build_id[FA_BUILD_ID];
	char *path; /* "": the program itself, see fa_model_module_path() */
};

struct fa_arena {
	uint32_t id;
	uint32_t serial; /* no other arena of this program has it, of whatever trace */
	uint32_t no_stack_site;
	char *exe; /* of its processes; "" unknown */
	struct fa_idmap modules;
	struct fa_node_page *pages[FA_NODE_PAGES];
};

struct fa_amount {
	uint64_t blocks;
	uint64_t bytes;
};

/* Allocated, freed inside or outside the range: windows' names. Blocks that were not live in the
 * range at any moment are in none. Without a range everything that is freed is AIFI, the rest AIFO. */
enum fa_class { FA_AIFI = 0, FA_AIFO = 1, FA_AOFI = 2, FA_AOFO = 3, FA_CLASSES = 4 };

struct fa_site {
	struct fa_arena *arena;
	uint32_t stack; /* node id, 0: no stack was taken */
	bool wanted;    /* by the filter on stacks */
	/* In the order of use: a site should be few cache lines. */
	uint64_t epoch; /* of the peak that `peak` belongs to */
	struct fa_amount live;
	struct fa_amount peak; /* live when all together was at its highest */
	uint64_t freed;
	uint64_t lifetime_sum; /* ticks, of blocks that were freed */
	uint64_t lifetime_min;
	uint64_t lifetime_max;
	struct fa_amount of[FA_CLASSES];
	struct fa_amount temporary;
};

struct fa_event_counts {
	uint64_t alloc;
	uint64_t realloc;
	uint64_t free;
};

struct fa_stream;

/* A snapshot of a process: where it is replayed, its blocks are live at the end. */
struct fa_snapshot_seen {
	const struct fa_process *process;
	struct fa_rec_snapshot head;
	struct fa_rec_snapshot_end end; /* as it says, when it is whole */
	uint64_t blocks, bytes;         /* that were there */
	uint32_t records;
	uint32_t number; /* 1, 2, ... in the trace */
	bool whole;
	bool damaged; /* a record is missing */
	uint8_t reserved[2];
};

struct fa_process {
	uint32_t id;
	int32_t pid;
	int32_t parent_pid;
	uint32_t parent; /* id, 0: none */
	uint32_t origin; /* enum fa_process_origin */
	uint32_t uid;
	uint32_t gid;
	bool incomplete; /* the session began after the process, or it was woken */
	bool older;      /* it, or whom it was forked from: it may free blocks from before the trace */
	bool ended;
	bool selected;     /* by the filters on processes */
	bool fork_inexact; /* what it inherited was found by time, not by position */
	bool inherit_failed; /* what it inherited is not known: too large, or the parent is not here */
	bool lost_unknown;
	bool unstamped; /* its events have the time of the collector's last tick */
	bool finished; /* the blocks left over have been counted */
	int32_t status;
	uint32_t end_reason;
	uint64_t start_stamp;
	uint64_t end_stamp;
	char *exe;
	char *exec_path;
	char *cgroup;
	char *arguments;
	const char *image; /* base name of exe */
	struct fa_arena *arena;
	struct fa_event_counts events;
	uint64_t lost[FA_LOST_CAUSES];
	struct fa_snapshot_seen *snapshot; /* that is replayed; NULL: none */
	struct fa_snapshot_seen *reading;  /* whose end has not come; NULL: none */
	uint64_t lost_seen; /* what the buffers say: a lower bound when LOST records are cut off */
	uint64_t malformed; /* events whose bytes could not be decoded: counted as lost */
	uint64_t implied_frees; /* frees that are not in the trace, but must have been */
	uint64_t unknown_frees; /* of blocks that are not in the trace; if `older`: that are older than it */
	struct fa_amount live;
	struct fa_amount peak;
	struct fa_amount total;       /* allocated in the range */
	struct fa_amount outstanding; /* of those, not freed in the range */
	struct fa_amount inherited;   /* live at the end, from before the fork */
	uint32_t threads;

	/* Of the replay alone: */
	struct fa_livemap map;
	struct fa_livemap owed; /* frees that were implied and may still come: size is how many */
	uint32_t owed_pass;
	struct fa_livemap early; /* unstamped: unknown frees whose block may still come; size: how many */
	uint64_t early_until;    /* none of them waits for an allocation behind this stamp */
	struct fa_stream *streams;
	struct fa_space space;
	bool fork_waiting; /* the parent's blocks have not been taken over yet */
	struct fa_process *fork_parent;
	struct fa_process *fork_next; /* in the parent's list of waiting children */
	struct fa_process *fork_children;
	struct fa_stream *fork_stream;
	uint64_t fork_position;
};

struct fa_thread {
	struct fa_process *process;
	uint32_t serial;
	uint32_t index; /* in fa_model.threads */
	int32_t tid;
	bool selected;
	char *name; /* "" unknown */
	struct fa_event_counts events;
	struct fa_amount total;
	struct fa_amount outstanding; /* allocated by this thread, freed by nobody */
	uint64_t lost_before;
	uint64_t lost[FA_LOST_CAUSES]; /* in its process's as well, which may have more */
	bool met; /* events of it were */
};

/* A flagged program that could not be traced. */
struct fa_coverage {
	int32_t pid;
	uint32_t uid;
	uint32_t reason;
	char *image;
};

/* The session was changed while it ran. */
struct fa_change {
	uint64_t stamp;
	char *text;
};

struct fa_model {
	struct fa_idmap arena_by_id;
	struct fa_idmap process_by_id;
	struct fa_idmap thread_by_id; /* process id << 32 | serial */
	struct fa_arena **arenas;
	size_t arena_count;
	struct fa_process **processes; /* in the order of the trace */
	size_t process_count;
	struct fa_thread **threads; /* in the order of the trace */
	size_t thread_count;
	struct fa_site *sites; /* [0] is unused */
	size_t site_count;
	bool stacks_cut; /* some: their arena had no room for more */
	struct fa_coverage *coverage;
	size_t coverage_count;
	struct fa_change *changes;
	size_t change_count;
	/* internal: allocated lengths */
	size_t arena_cap, process_cap, thread_cap, site_cap, coverage_cap, change_cap;
	struct fa_snapshot_seen **snapshots; /* as they came; those that are not replayed, too */
	size_t snapshot_count;
	uint32_t takes; /* their highest number */
};

int fa_model_init(struct fa_model *m) FA_MUST_USE;
void fa_model_done(struct fa_model *m);

/* Find or make. NULL: out of memory. */
struct fa_arena *fa_model_arena(struct fa_model *m, uint32_t id);
/* Of a process that has a record; NULL: none or out of memory. */
struct fa_thread *fa_model_thread(struct fa_model *m, struct fa_process *p, uint32_t serial);
struct fa_process *fa_model_process(const struct fa_model *m, uint32_t id); /* NULL: none */

/* Take a record over. Returns 0, -ENOMEM, -EBADMSG (it makes no sense and was left out). */
int fa_model_add_process(struct fa_model *m, const struct fa_rec_process *rec,
			 const unsigned char *tail, size_t tail_len,
			 struct fa_process **ret) FA_MUST_USE;
int fa_model_add_thread(struct fa_model *m, const struct fa_rec_thread *rec,
			const unsigned char *tail, size_t tail_len) FA_MUST_USE;
int fa_model_add_module(struct fa_model *m, const struct fa_rec_module *rec,
			const unsigned char *tail, size_t tail_len) FA_MUST_USE;
int fa_model_add_nodes(struct fa_model *m, const struct fa_rec_nodes *rec,
		       const unsigned char *tail, size_t tail_len) FA_MUST_USE;
int fa_model_add_process_end(struct fa_model *m, const struct fa_rec_process_end *rec,
			     struct fa_process **ret) FA_MUST_USE;
int fa_model_add_lost(struct fa_model *m, const struct fa_rec_lost *rec) FA_MUST_USE;
int fa_model_add_thread_lost(struct fa_model *m, const struct fa_rec_thread_lost *rec) FA_MUST_USE;
uint64_t fa_thread_lost(const struct fa_thread *t);
/* What EVENTS records say was lost before them. The counts of LOST are the truth; these tell of losses
 * where LOST records were cut off. */
void fa_model_saw_lost(struct fa_thread *t, uint64_t lost_before);
int fa_model_add_change(struct fa_model *m, const struct fa_rec_update *rec,
			const unsigned char *tail, size_t tail_len) FA_MUST_USE;
int fa_model_add_coverage(struct fa_model *m, const struct fa_rec_coverage *rec,
			  const unsigned char *tail, size_t tail_len) FA_MUST_USE;

/* Where the site of this node is kept: 0 there is none yet, or no such node. NULL: no such node. */
static FA_INLINE uint32_t *fa_arena_site_word(const struct fa_arena *a, uint32_t id)
{
	struct fa_node_page *page =
		id / FA_NODE_PAGE < FA_NODE_PAGES ? a->pages[id / FA_NODE_PAGE] : NULL;

	return page == NULL ? NULL : &page->site[id % FA_NODE_PAGE];
}

/* The node, or NULL: 0, or none of this arena. Its site word is *ret_site. */
const struct fa_arena_node *fa_arena_node_at(const struct fa_arena *a, uint32_t id,
					     uint32_t **ret_site);
/* A new site in the table; its index, 0: out of memory. Pointers to sites are stale afterwards. */
uint32_t fa_model_new_site(struct fa_model *m, struct fa_arena *a, uint32_t stack);

/* Of a node's module; NULL: unknown. The path of the program itself is the arena's exe. */
const struct fa_module *fa_arena_module_of(const struct fa_arena *a, uint64_t pc_word);
const char *fa_arena_module_path(const struct fa_arena *a, const struct fa_module *module);

uint64_t fa_process_lost(const struct fa_process *p);
uint64_t fa_event_sum(const struct fa_event_counts *c);

#endif
