/* symbols_internal.h - shared by symbols.c (objects, answers), dwarf.c (debug information). */
#ifndef FA_SYMBOLS_INTERNAL_H
#define FA_SYMBOLS_INTERNAL_H

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>

#include "symbols/symbols.h"

/* A stretch of code and what covers it: a compilation unit, or a function of one. */
struct fa_code_range {
	uint64_t lo, hi;
	uint64_t die; /* offset in the debug information */
};

struct fa_code_ranges {
	struct fa_code_range *at; /* sorted by lo, then by length descending */
	size_t count, cap;
};

struct fa_unit {
	uint64_t die;
	struct fa_code_ranges functions;
	bool walked;
};

/* The debug information of one object, indexed as far as it was asked for. */
struct fa_dwarf {
	Dwarf *dwarf;
	uint64_t bias; /* add to an address of the debug information to get the module's */
	struct fa_code_ranges units;
	struct fa_unit *unit; /* sorted by die */
	size_t unit_count, unit_cap;
};

/* Frames of an answer while it is made: strings are malloced. */
enum { FA_INLINE_MAX = 32 };
struct fa_answer {
	struct fa_symbol_frame frame[FA_INLINE_MAX + 1];
	size_t count;
};

int fa_dwarf_init(struct fa_dwarf *d, Dwarf *dwarf, uint64_t bias) FA_MUST_USE;
void fa_dwarf_done(struct fa_dwarf *d);
/* Fills the answer; count 0: nothing is known. `address` is the module's. */
void fa_dwarf_find(struct fa_dwarf *d, uint64_t address, struct fa_answer *ret);

#endif
