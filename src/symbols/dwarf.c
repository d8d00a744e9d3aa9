/*
 * dwarf.c - function, file, line and inlined frames of an address, from debug information.
 *
 * libdw can find the scopes of an address by walking a unit from its start; with thousands of
 * addresses in large units that takes minutes. So units are indexed by their ranges once per object
 * (not all compilers write .debug_aranges), and the functions of a unit once per unit that is asked for.
 */
#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbols/symbols_internal.h"

enum { SCOPE_DEPTH_MAX = 64 };

static int add_range(struct fa_code_ranges *r, uint64_t lo, uint64_t hi, uint64_t die)
{
	if (lo >= hi || lo == 0)
		return 0;
	if (r->count == r->cap) {
		size_t cap = r->cap == 0 ? 64 : r->cap * 2;
		struct fa_code_range *bigger = reallocarray(r->at, cap, sizeof(*bigger));

		if (bigger == NULL)
			return -ENOMEM;
		r->at = bigger;
		r->cap = cap;
	}
	r->at[r->count++] = (struct fa_code_range){.lo = lo, .hi = hi, .die = die};
	return 0;
}

static int add_ranges_of(struct fa_code_ranges *r, Dwarf_Die *die)
{
	Dwarf_Addr base, lo, hi;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(die, at, &base, &lo, &hi)) > 0) {
		int err = add_range(r, lo, hi, dwarf_dieoffset(die));

		if (err < 0)
			return err;
	}
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct fa_code_range *x = a, *y = b;

	if (x->lo != y->lo)
		return x->lo < y->lo ? -1 : 1;
	return x->hi > y->hi ? -1 : x->hi < y->hi;
}

static void sort_ranges(struct fa_code_ranges *r)
{
	if (r->count != 0)
		qsort(r->at, r->count, sizeof(*r->at), by_place);
}

/* The last range that begins at or before the address and covers it; few overlap. */
static const struct fa_code_range *find_range(const struct fa_code_ranges *r, uint64_t address)
{
	enum { OVERLAP_MAX = 64 };
	size_t lo = 0, hi = r->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->at[mid].lo <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (size_t i = lo; i > 0 && lo - i < OVERLAP_MAX; i--)
		if (address < r->at[i - 1].hi)
			return &r->at[i - 1];
	return NULL;
}

static int add_unit(struct fa_dwarf *d, uint64_t die)
{
	if (d->unit_count == d->unit_cap) {
		size_t cap = d->unit_cap == 0 ? 64 : d->unit_cap * 2;
		struct fa_unit *bigger = reallocarray(d->unit, cap, sizeof(*bigger));

		if (bigger == NULL)
			return -ENOMEM;
		d->unit = bigger;
		d->unit_cap = cap;
	}
	d->unit[d->unit_count++] = (struct fa_unit){.die = die};
	return 0;
}

int fa_dwarf_init(struct fa_dwarf *d, Dwarf *dwarf, uint64_t bias)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;

	*d = (struct fa_dwarf){.dwarf = dwarf, .bias = bias};
	/* Units come in the order of their offsets: unit[] is sorted. */
	while (dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &die, NULL) == 0) {
		if (dwarf_tag(&die) != DW_TAG_compile_unit)
			continue;
		if (add_unit(d, dwarf_dieoffset(&die)) < 0 || add_ranges_of(&d->units, &die) < 0) {
			fa_dwarf_done(d);
			return -ENOMEM;
		}
	}
	sort_ranges(&d->units);
	return 0;
}

void fa_dwarf_done(struct fa_dwarf *d)
{
	for (size_t i = 0; i < d->unit_count; i++)
		free(d->unit[i].functions.at);
	free(d->unit);
	free(d->units.at);
	*d = (struct fa_dwarf){0};
}

static bool holds_functions(int tag)
{
	return tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_module ||
	       tag == DW_TAG_structure_type || tag == DW_TAG_union_type;
}

static int walk_functions(struct fa_unit *u, Dwarf_Die *parent, int depth)
{
	Dwarf_Die die;
	int more = dwarf_child(parent, &die), r;

	for (; more == 0; more = dwarf_siblingof(&die, &die)) {
		int tag = dwarf_tag(&die);

		r = 0;
		if (tag == DW_TAG_subprogram)
			r = add_ranges_of(&u->functions, &die);
		else if (holds_functions(tag) && depth < SCOPE_DEPTH_MAX)
			r = walk_functions(u, &die, depth + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static struct fa_unit *find_unit(struct fa_dwarf *d, uint64_t die)
{
	size_t lo = 0, hi = d->unit_count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (d->unit[mid].die < die)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < d->unit_count && d->unit[lo].die == die ? &d->unit[lo] : NULL;
}

/* The inlined calls within `parent` that cover the address, outermost first, into chain. */
static size_t inlined_at(Dwarf_Die *parent, uint64_t address, Dwarf_Die *chain, size_t room,
			 int depth)
{
	Dwarf_Die die;
	int more = dwarf_child(parent, &die);

	for (; more == 0; more = dwarf_siblingof(&die, &die)) {
		int tag = dwarf_tag(&die);
		bool inlined = tag == DW_TAG_inlined_subroutine;

		if (!inlined && tag != DW_TAG_lexical_block && tag != DW_TAG_try_block &&
		    tag != DW_TAG_catch_block)
			continue;
		/* A block without ranges (-1) is looked through. */
		if (dwarf_haspc(&die, address) != 1 &&
		    (inlined || dwarf_hasattr(&die, DW_AT_ranges) ||
		     dwarf_hasattr(&die, DW_AT_low_pc)))
			continue;
		if (depth >= SCOPE_DEPTH_MAX || (inlined && room == 0))
			return 0;
		if (inlined)
			chain[0] = die;
		size_t inner =
			inlined_at(&die, address, chain + inlined, room - inlined, depth + 1);

		if (inlined || inner != 0)
			return inner + inlined;
	}
	return 0;
}

/* The name as people write it, malloced; NULL: none. */
static char *name_of(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = NULL;
	char *plain;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr) != NULL ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attr) != NULL)
		name = dwarf_formstring(&attr);
	plain = name == NULL ? NULL : fa_demangle(name);
	if (plain != NULL)
		return plain;
	if (dwarf_attr_integrate(die, DW_AT_name, &attr) != NULL)
		name = dwarf_formstring(&attr);
	return name == NULL ? NULL : strdup(name);
}

static void place_of_line(Dwarf_Die *unit, uint64_t address, struct fa_symbol_frame *ret)
{
	Dwarf_Line *line = dwarf_getsrc_die(unit, address);
	const char *file = line == NULL ? NULL : dwarf_linesrc(line, NULL, NULL);
	int number = 0;

	if (line != NULL && dwarf_lineno(line, &number) == 0 && number > 0)
		ret->line = (uint32_t)number;
	if (file != NULL)
		ret->file = strdup(file);
}

/* Where `die` was inlined: that is the place in the next outer frame. */
static void place_of_call(Dwarf_Die *unit, Dwarf_Die *die, struct fa_symbol_frame *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;
	Dwarf_Files *files;
	size_t count;
	const char *file;

	if (dwarf_attr(die, DW_AT_call_line, &attr) != NULL && dwarf_formudata(&attr, &value) == 0)
		ret->line = (uint32_t)value;
	if (dwarf_attr(die, DW_AT_call_file, &attr) == NULL ||
	    dwarf_formudata(&attr, &value) != 0 || dwarf_getsrcfiles(unit, &files, &count) != 0 ||
	    value >= count)
		return;
	file = dwarf_filesrc(files, value, NULL, NULL);
	if (file != NULL)
		ret->file = strdup(file);
}

void fa_dwarf_find(struct fa_dwarf *d, uint64_t address, struct fa_answer *ret)
{
	uint64_t pc = address - d->bias;
	const struct fa_code_range *range = find_range(&d->units, pc);
	struct fa_unit *u = range == NULL ? NULL : find_unit(d, range->die);
	Dwarf_Die unit, function, chain[FA_INLINE_MAX];
	size_t inlined = 0;

	ret->count = 0;
	if (u == NULL || dwarf_offdie(d->dwarf, u->die, &unit) == NULL)
		return;
	if (!u->walked) {
		u->walked = true;
		if (walk_functions(u, &unit, 0) < 0)
			return;
		sort_ranges(&u->functions);
	}
	memset(ret->frame, 0, sizeof(ret->frame));
	range = find_range(&u->functions, pc);
	if (range != NULL && dwarf_offdie(d->dwarf, range->die, &function) != NULL)
		inlined = inlined_at(&function, pc, chain, FA_INLINE_MAX, 0);
	else
		range = NULL;
	place_of_line(&unit, pc, &ret->frame[0]);
	for (size_t i = 0; i < inlined; i++) {
		Dwarf_Die *call = &chain[inlined - 1 - i];

		ret->frame[i].function = name_of(call);
		ret->frame[i].inlined = true;
		place_of_call(&unit, call, &ret->frame[i + 1]);
	}
	if (range != NULL)
		ret->frame[inlined].function = name_of(&function);
	ret->count = inlined + 1;
}
