/*
 * rules.h - the modules of this process and the cache of compiled rules, shared by all its threads.
 *
 * A rule is one 64-bit word: read and replaced whole, so no reader ever sees half of one.
 *
 *   bits  0-15  module id (FA_MODULE_UNKNOWN: of no module)
 *   bits 16-27  index in the module table
 *   bit  28     the module may be unloaded: ask fa_rule_still_valid() before use
 *   bits 29-31  enum fa_rule_kind
 *   bits 32-47  FA_RULE_K: the caller's rbp lies at CFA - 8 K; 0: rbp is unchanged
 *   bits 48-63  FA_RULE_N: 8-byte steps, by kind
 *
 * The table is open-addressing, keyed by the return address. An entry is claimed by compare-and-swap
 * of its key and then filled; a full or contended table only costs a compilation more. It grows into
 * new memory; old tables stay, because a reader may be in them (together they are no larger than the
 * new one).
 */
#ifndef FA_RULES_H
#define FA_RULES_H

#include <stdint.h>

#include "base/attr.h"
#include "shim/cfi.h"
#include "shim/unwind.h"

enum fa_rule_kind {
	FA_RULE_NONE = 0,  /* no CFI for this pc; never in the table */
	FA_RULE_RSP,       /* CFA = rsp + 8 N */
	FA_RULE_RBP,       /* CFA = rbp + 8 N + 8 */
	FA_RULE_REALIGNED, /* CFA = *(rbp - 8 N), caller's rbp at rbp */
	FA_RULE_END,       /* the return address is undefined: the outermost frame */
	FA_RULE_FULL,      /* anything else: fa_full_step() */
	FA_RULE_BAD,       /* damaged CFI */
};

#define FA_RULE_KIND(rule)   ((enum fa_rule_kind)((rule) >> 29 & 7))
#define FA_RULE_MODULE(rule) ((rule)&0xffff)
#define FA_RULE_INDEX(rule)  ((uint32_t)((rule) >> 16 & 0xfff))
#define FA_RULE_MORTAL       (1ULL << 28)
#define FA_RULE_K(rule)      ((rule) >> 32 & 0xffff)
#define FA_RULE_N(rule)      ((rule) >> 48)

/* Nothing but the frame's registers and words that a walk remembers decides where its caller is. */
static FA_INLINE int fa_rule_is_plain(uint64_t rule)
{
	unsigned kind = FA_RULE_KIND(rule);

	return kind == FA_RULE_RSP || kind == FA_RULE_RBP || kind == FA_RULE_REALIGNED;
}

struct fa_rule_entry {
	uint64_t pc;
	uint64_t rule; /* 0: being filled */
};

struct fa_rule_table {
	uint64_t mask; /* (entries - 1) * 16: of byte offsets */
	uint32_t used;
	uint32_t reserved;
	struct fa_rule_entry entries[];
};

/* The current table; never NULL. Load once a walk, again after fa_rule_make(). */
extern FA_HIDDEN struct fa_rule_table *fa_rules_current;

static FA_INLINE struct fa_rule_table *fa_rules(void)
{
	return __atomic_load_n(&fa_rules_current, __ATOMIC_ACQUIRE);
}

/* Offset in bytes of the entry where the search for a pc begins. */
static FA_INLINE uint64_t fa_rule_offset(uint64_t mask, uint64_t pc)
{
	return pc * 0x9e3779b97f4a7c15ULL >> 28 & mask;
}

static FA_INLINE struct fa_rule_entry *fa_rule_entry(const struct fa_rule_table *table,
						     uint64_t offset)
{
	return (struct fa_rule_entry *)((uintptr_t)table->entries + offset);
}

/* The rule for a return address, 0: not in the table. */
static FA_INLINE uint64_t fa_rule_find(const struct fa_rule_table *table, uint64_t mask,
				       uint64_t pc)
{
	uint64_t offset = fa_rule_offset(mask, pc);

	for (;;) {
		const struct fa_rule_entry *entry = fa_rule_entry(table, offset);
		uint64_t key = __atomic_load_n(&entry->pc, __ATOMIC_ACQUIRE);

		if (FA_LIKELY(key == pc))
			return __atomic_load_n(&entry->rule, __ATOMIC_RELAXED);
		if (key == 0)
			return 0;
		offset = (offset + sizeof(*entry)) & mask;
	}
}

enum { FA_RULES_MODULES = 4096 }; /* as many as a rule's index field can name */

/* A module by its index: one that was met, and may be gone. An object that lies where another did, or comes
 * again, has the same index only if all is the same. */
struct fa_rules_module {
	uint64_t start, end;
	uint64_t link_map;
	uint32_t id;
	uint32_t live;   /* 0: not filled in yet */
	uint32_t mortal; /* may be unloaded */
};
FA_HIDDEN struct fa_rules_module fa_rules_module(uint32_t index);
FA_HIDDEN uint32_t fa_rules_module_count(void);
/* Does it lie there still? Or another one that cannot be told from it by its bounds: its memory, which another
 * thread may be unmapping, is not looked at. */
FA_HIDDEN int fa_rules_is_there(uint32_t index);
FA_HIDDEN int fa_rules_has_object(uint64_t place); /* of which _dl_find_object knows */
/* Under the dynamic linker's lock. The index of the module at this place, or of one that is being loaded; -1: there is
 * none, there are too many, or it cannot be said. */
FA_HIDDEN int fa_rules_find_module(uint64_t place);
struct link_map;
FA_HIDDEN int fa_rules_add_module(const struct link_map *o);

FA_HIDDEN int fa_rules_init(int (*find_object)(void *pc, void *result), fa_module_fn *module);
FA_HIDDEN void fa_rules_reset(void); /* see fa_unwind_reset() */

/* Compile the rule for return address pc and keep it. FA_RULE_NONE with FA_MODULE_UNKNOWN when no
 * module has it. */
FA_HIDDEN uint64_t fa_rule_make(uint64_t pc);

/* Is the module that this rule was made from still the one at pc? */
FA_HIDDEN int fa_rule_still_valid(uint64_t rule, uint64_t pc);

/*
 * All rules of the frame with this pc. interrupted: pc is where the frame stopped, else it is a
 * return address. *ret_module: its module id. -ENOENT: no CFI; -EBADMSG: damaged.
 */
FA_HIDDEN int fa_rule_row(uint64_t pc, int interrupted, struct fa_cfi_row *ret_row,
			  const struct fa_cfi_image **ret_image, uint32_t *ret_module);

#endif
