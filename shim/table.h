/*
 * table.h - the table of live blocks (format/table_format.h), for heap snapshots: our side.
 *
 * A process that keeps one has its own way (FA_WAY_TABLE): then none of its calls goes a quick way, and the hooks
 * that fa_active() sends away come here. Heap events, where they are wanted as well, are recorded from here.
 *
 * A block is entered after the call that gave it out, and taken out before the one that gives it back. What
 * realloc works at stays in the table, marked, until it is done: another thread may be given the old address
 * before we know.
 */
#ifndef FA_TABLE_H
#define FA_TABLE_H

#include <stddef.h>

#include "shim/state.h"
#include "shim/unwind.h"

/* Before the process is ACTIVE, with a new arena: begin a table where the wish says so. */
void fa_table_start(const struct fa_wish *wish);
/* The collector says, with a tick, that a table is to begin now. Calls that are under way are not in it. */
void fa_table_begin(void);
/* The collector's tick moved: are events wanted, too? */
void fa_table_tick(void);

/* The hooks of calls.c, of a process that is not, or not only, to record events: call the real one, and enter
 * what it gave where there is a table. */
void *fa_table_malloc(size_t size, const struct fa_regs *regs);
void *fa_table_calloc(size_t count, size_t size, const struct fa_regs *regs);
void *fa_table_realloc(void *block, size_t size, const struct fa_regs *regs);
void *fa_table_reallocarray(void *block, size_t count, size_t size, const struct fa_regs *regs);
int fa_table_posix_memalign(void **ret, size_t alignment, size_t size, const struct fa_regs *regs);
/* p: what the real function fn gave. Returns it. */
void *fa_table_enter(void *p, size_t size, unsigned fn, size_t alignment, const struct fa_regs *regs);
/* block is about to be given back. */
void fa_table_leave(void *block, const struct fa_regs *regs);

#endif
