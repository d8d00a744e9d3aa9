/*
 * space.h - the address space of processes that were traced with FA_TRACING_VM: which stack mapped what, and
 * what of it is still mapped.
 *
 * Reserved is what is mapped; committed what of it may be accessed (any of PROT_READ, WRITE, EXEC), as
 * mmap, mprotect and the data segment left it. Known is what the program and its libraries mapped while it
 * was traced, as space.c of the shim saw it. A mapping that is moved or resized by mremap ends, and a new one begins,
 * whose stack is that of mremap. What a fork child inherited is its parent's.
 *
 * With a range: a stack has what it mapped in the range, and what of that is still there at its end.
 */
#ifndef FA_SPACE_H
#define FA_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fa_region {
	uint64_t lo, hi;
	uint32_t site;   /* index in fa_model.sites */
	bool accessible; /* committed */
	bool counted;    /* by the filters */
	bool of_range;   /* mapped in the range */
};

/* Of a process: what is mapped, by address. */
struct fa_space {
	struct fa_region *region;
	size_t count, cap;
};

/* Of a site. */
struct fa_space_site {
	uint64_t calls;               /* that mapped something */
	uint64_t bytes;               /* in all */
	uint64_t reserved, committed; /* of those, at the end */
};

struct fa_spaces {
	struct fa_space_site *site; /* by index; site_count may be less than there are sites */
	size_t site_count;
	uint64_t maps, unmaps;        /* calls, in the range */
	uint64_t bytes;               /* mapped in the range */
	uint64_t reserved, committed; /* now, by processes that live */
	uint64_t peak_reserved, peak_committed;
	uint64_t peak_reserved_stamp, peak_committed_stamp;
	uint64_t left_reserved, left_committed; /* mapped in the range, not unmapped in it */
	bool any;                               /* there were such calls */
};

#endif
