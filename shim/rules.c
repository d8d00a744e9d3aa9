/* rules.c - see rules.h. */
#include "shim/rules.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "shim/sys.h"

enum {
	MODULES = FA_RULES_MODULES,
	FIRST_ENTRIES = 4096,
	MAX_ENTRIES = 1 << 22,
	MAX_PHDRS = 64,
	PAGE = 4096,
};

/* A mapped object: who it is (all of what a reload at the same place could change), and its CFI. */
struct module {
	uint64_t start;
	uint64_t end;
	uint64_t link_map;
	uint64_t eh_frame;
	const unsigned char *build_id_at; /* in the object's memory; NULL: it has none */
	uint64_t build_id;                /* first 8 bytes */
	uint32_t live;                    /* written last */
	uint32_t id;
	uint32_t mortal;
	uint32_t has_cfi;
	struct fa_cfi_image image;
};

static struct {
	int (*find_object)(void *pc, void *result);
	fa_module_fn *tell;
	const struct link_map *loader;
	uint32_t module_count;
	struct module *modules; /* MODULES of them */
} rules;

/* The table before the first rule: laid out as struct fa_rule_table, and never written to. */
static struct {
	uint64_t mask;
	uint32_t used, reserved;
	struct fa_rule_entry entries[1];
} empty_table = {0, 0, 0, {{0, 0}}};

struct fa_rule_table *fa_rules_current = (struct fa_rule_table *)&empty_table;

/* What the ELF headers in memory say about an object. */
struct elf_view {
	uint64_t hdr_lo, hdr_hi;     /* the segment that has .eh_frame_hdr */
	uint64_t frame_lo, frame_hi; /* the one that has .eh_frame */
	const unsigned char *build_id;
	uint32_t build_id_len;
};

static uint64_t mapped; /* bytes */

static void count_bytes(uint64_t more)
{
	__atomic_fetch_add(&mapped, more, __ATOMIC_RELAXED);
}

uint64_t fa_unwind_bytes(void)
{
	return __atomic_load_n(&mapped, __ATOMIC_RELAXED);
}

int fa_rules_init(int (*find_object)(void *pc, void *result), fa_module_fn *module)
{
	struct dl_find_object found;
	void *p;

	if (find_object == NULL)
		return -ENOSYS;
	/* Mapped, not in .bss: only a flagged process is to pay for it. */
	if (rules.modules == NULL) {
		p = fa_sys_mmap(NULL, MODULES * sizeof(struct module), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (fa_sys_failed((long)p))
			return -ENOMEM;
		rules.modules = p;
		count_bytes(MODULES * sizeof(struct module));
	}
	rules.find_object = find_object;
	rules.tell = module;
	/* Found in the dynamic linker or in libc: what stands before that in the list of objects was
	 * there at the start of the program and cannot be unloaded. */
	if (find_object((void *)(uintptr_t)find_object, &found) == 0)
		rules.loader = found.dlfo_link_map;
	return 0;
}

/* Objects that were loaded with the program stay, so nothing need ever be asked about them again.
 * The list before the loader never changes, so it is safe to read. */
static int stays_forever(uint64_t link_map)
{
	for (const struct link_map *l = rules.loader; l != NULL; l = l->l_prev)
		if ((uint64_t)(uintptr_t)l == link_map)
			return 1;
	return 0;
}

static uint64_t load_word(const unsigned char *p)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static int readable_segment(const Elf64_Phdr *phdr, uint64_t bias, const struct module *m,
			    uint64_t *ret_lo, uint64_t *ret_hi)
{
	if (phdr->p_type != PT_LOAD || (phdr->p_flags & PF_R) == 0)
		return 0;
	uint64_t lo = bias + phdr->p_vaddr;
	uint64_t hi = lo + phdr->p_filesz;

	if (lo < m->start || hi > m->end || lo > hi)
		return 0;
	*ret_lo = lo;
	*ret_hi = hi;
	return 1;
}

/* The readable segment of the object around an address. */
static int find_segment(const Elf64_Phdr *phdrs, unsigned count, uint64_t bias,
			const struct module *m, uint64_t address, uint64_t *ret_lo,
			uint64_t *ret_hi)
{
	uint64_t lo;
	uint64_t hi;

	for (unsigned i = 0; i < count; i++) {
		if (readable_segment(&phdrs[i], bias, m, &lo, &hi) && address >= lo &&
		    address < hi) {
			*ret_lo = lo;
			*ret_hi = hi;
			return 1;
		}
	}
	return 0;
}

/* NT_GNU_BUILD_ID among the notes in [at, end). */
static void find_build_id(const unsigned char *at, const unsigned char *end, struct elf_view *view)
{
	while (end - at >= (long)sizeof(Elf64_Nhdr)) {
		uint64_t sizes = load_word(at);
		uint64_t name = ((sizes & 0xffffffff) + 3) & ~3ULL;
		uint64_t desc = sizes >> 32;
		uint64_t left = (uint64_t)(end - at) - sizeof(Elf64_Nhdr);

		if (name > left || desc > left - name)
			return;
		const unsigned char *text = at + sizeof(Elf64_Nhdr);

		if (at[8] == NT_GNU_BUILD_ID && (sizes & 0xffffffff) == 4 && text[0] == 'G' &&
		    text[1] == 'N' && text[2] == 'U' && desc >= 8) {
			view->build_id = text + name;
			view->build_id_len = (uint32_t)desc;
			return;
		}
		desc = (desc + 3) & ~3ULL;
		if (desc > left - name)
			return;
		at = text + name + desc;
	}
}

static const Elf64_Phdr *program_headers(const struct module *m, unsigned *ret_count)
{
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)(uintptr_t)m->start;

	if (m->end - m->start < sizeof(*ehdr))
		return NULL;
	if (ehdr->e_ident[0] != 0x7f || ehdr->e_ident[1] != 'E' || ehdr->e_ident[2] != 'L' ||
	    ehdr->e_ident[3] != 'F' || ehdr->e_ident[EI_CLASS] != ELFCLASS64)
		return NULL;
	if (ehdr->e_phentsize != sizeof(Elf64_Phdr) || ehdr->e_phnum > MAX_PHDRS ||
	    ehdr->e_phoff > 4096 || ehdr->e_phoff + ehdr->e_phnum * sizeof(Elf64_Phdr) > 4096 ||
	    ehdr->e_phoff + ehdr->e_phnum * sizeof(Elf64_Phdr) > m->end - m->start)
		return NULL;
	*ret_count = ehdr->e_phnum;
	return (const Elf64_Phdr *)(uintptr_t)(m->start + ehdr->e_phoff);
}

static void view_notes(const Elf64_Phdr *phdrs, unsigned count, uint64_t bias,
		       const struct module *m, struct elf_view *view)
{
	for (unsigned i = 0; i < count && view->build_id == NULL; i++) {
		uint64_t lo = bias + phdrs[i].p_vaddr;
		uint64_t seg_lo;
		uint64_t seg_hi;

		if (phdrs[i].p_type != PT_NOTE ||
		    !find_segment(phdrs, count, bias, m, lo, &seg_lo, &seg_hi) ||
		    phdrs[i].p_filesz > seg_hi - lo)
			continue;
		find_build_id((const unsigned char *)(uintptr_t)lo,
			      (const unsigned char *)(uintptr_t)(lo + phdrs[i].p_filesz), view);
	}
}

/* Bounds of the CFI, and the build id. */
static void view_object(struct module *m, uint64_t bias, struct elf_view *view)
{
	unsigned count = 0;
	const Elf64_Phdr *phdrs = program_headers(m, &count);
	uint64_t frame;

	view->build_id = NULL;
	view->build_id_len = 0;
	m->has_cfi = 0;
	if (phdrs == NULL)
		return;
	view_notes(phdrs, count, bias, m, view);
	m->image.hdr = m->eh_frame;
	if (m->eh_frame == 0 ||
	    !find_segment(phdrs, count, bias, m, m->eh_frame, &m->image.hdr_lo, &m->image.hdr_hi))
		return;
	if (fa_cfi_frame_address(&m->image, &frame) < 0 ||
	    !find_segment(phdrs, count, bias, m, frame, &m->image.frame_lo, &m->image.frame_hi))
		return;
	m->has_cfi = fa_cfi_open(&m->image) == 0;
}

static int find_module(uint64_t pc, struct dl_find_object *ret)
{
	return rules.find_object == NULL || rules.find_object((void *)(uintptr_t)pc, ret) != 0
		       ? -ENOENT
		       : 0;
}

/* As far as that can be said without a look at its memory. */
static int same_place(const struct module *m, const struct dl_find_object *found)
{
	return m->start == (uint64_t)(uintptr_t)found->dlfo_map_start &&
	       m->end == (uint64_t)(uintptr_t)found->dlfo_map_end &&
	       m->link_map == (uint64_t)(uintptr_t)found->dlfo_link_map &&
	       m->eh_frame == (uint64_t)(uintptr_t)found->dlfo_eh_frame;
}

/* Is this entry of the table what the dynamic linker has there now? */
static int same_module(const struct module *m, const struct dl_find_object *found)
{
	if (!same_place(m, found))
		return 0;
	return !m->mortal || m->build_id_at == NULL || load_word(m->build_id_at) == m->build_id;
}

static void tell(struct module *m, const struct link_map *l, const struct elf_view *view)
{
	struct fa_module_seen seen;

	seen.base = m->start;
	seen.end = m->end;
	seen.bias = l->l_addr;
	seen.link_map = m->link_map;
	seen.path = l->l_name == NULL ? "" : l->l_name;
	seen.build_id = view->build_id;
	seen.build_id_len = view->build_id_len;
	m->id = rules.tell(&seen) & 0xffff;
}

static struct module *add_module(const struct dl_find_object *found)
{
	uint32_t index = __atomic_fetch_add(&rules.module_count, 1, __ATOMIC_RELAXED);
	const struct link_map *l = found->dlfo_link_map;
	struct elf_view view;

	if (index >= MODULES) {
		__atomic_store_n(&rules.module_count, MODULES, __ATOMIC_RELAXED);
		return NULL;
	}
	struct module *m = &rules.modules[index];

	m->start = (uint64_t)(uintptr_t)found->dlfo_map_start;
	m->end = (uint64_t)(uintptr_t)found->dlfo_map_end;
	m->link_map = (uint64_t)(uintptr_t)l;
	m->eh_frame = (uint64_t)(uintptr_t)found->dlfo_eh_frame;
	m->mortal = !stays_forever(m->link_map);
	view_object(m, l->l_addr, &view);
	m->build_id_at = view.build_id;
	m->build_id = view.build_id == NULL ? 0 : load_word(view.build_id);
	tell(m, l, &view);
	__atomic_store_n(&m->live, 1, __ATOMIC_RELEASE);
	return m;
}

/* The module at pc. NULL: none, or the table is full. The same object may get two entries when two
 * threads meet it at once; both are right, and the callback gives both the same id. */
static struct module *module_at(uint64_t pc)
{
	struct dl_find_object found;
	uint32_t count = __atomic_load_n(&rules.module_count, __ATOMIC_ACQUIRE);

	if (pc >> 47 != 0 || find_module(pc, &found) < 0 || found.dlfo_link_map == NULL)
		return NULL;
	if (count > MODULES)
		count = MODULES;
	while (count-- > 0) {
		struct module *m = &rules.modules[count];

		if (__atomic_load_n(&m->live, __ATOMIC_ACQUIRE) != 0 && same_module(m, &found))
			return m;
	}
	return add_module(&found);
}

/* The first entry: where two threads met it at once there are two. */
static int index_of(const struct dl_find_object *found)
{
	uint32_t count = fa_rules_module_count();
	const struct module *m;

	for (uint32_t i = 0; i < count; i++) {
		m = &rules.modules[i];
		if (__atomic_load_n(&m->live, __ATOMIC_ACQUIRE) != 0 && same_module(m, found))
			return (int)i;
	}
	m = add_module(found);
	return m == NULL ? -1 : (int)(m - rules.modules);
}

int fa_rules_find_module(uint64_t place)
{
	struct dl_find_object found;

	return find_module(place, &found) < 0 ? -1 : index_of(&found);
}

int fa_rules_add_module(const struct link_map *o)
{
	uint64_t bias = o->l_addr, first = UINT64_MAX, end = 0, frame = 0;
	const struct module header = {.start = bias, .end = bias + PAGE};
	struct dl_find_object found = {0};
	const Elf64_Phdr *phdrs;
	unsigned count = 0;

	/* Not so of what was linked for an address of its own. */
	if (bias == 0 || bias % PAGE != 0 || ((uint64_t)(uintptr_t)o->l_ld - bias) >> 32 != 0)
		return -1;
	phdrs = program_headers(&header, &count);
	for (unsigned i = 0; phdrs != NULL && i < count; i++) {
		if (phdrs[i].p_type == PT_GNU_EH_FRAME)
			frame = bias + phdrs[i].p_vaddr;
		if (phdrs[i].p_type != PT_LOAD)
			continue;
		if (first == UINT64_MAX)
			first = phdrs[i].p_vaddr;
		end = bias + phdrs[i].p_vaddr + phdrs[i].p_memsz;
	}
	if (first >= PAGE)
		return -1;
	found.dlfo_map_start = (void *)(uintptr_t)bias;
	found.dlfo_map_end = (void *)(uintptr_t)end;
	found.dlfo_eh_frame = (void *)(uintptr_t)frame;
	found.dlfo_link_map = (struct link_map *)(uintptr_t)o;
	return index_of(&found);
}

uint32_t fa_rules_module_count(void)
{
	uint32_t count = __atomic_load_n(&rules.module_count, __ATOMIC_ACQUIRE);

	return count < MODULES ? count : MODULES;
}

struct fa_rules_module fa_rules_module(uint32_t index)
{
	const struct module *m = &rules.modules[index];

	if (__atomic_load_n(&m->live, __ATOMIC_ACQUIRE) == 0)
		return (struct fa_rules_module){0};
	return (struct fa_rules_module){.start = m->start,
					.end = m->end,
					.link_map = m->link_map,
					.id = m->id,
					.live = 1,
					.mortal = m->mortal};
}

int fa_rules_is_there(uint32_t index)
{
	const struct module *m = &rules.modules[index];
	struct dl_find_object found;

	return find_module(m->start, &found) == 0 && same_place(m, &found);
}

int fa_rules_has_object(uint64_t place)
{
	struct dl_find_object found;

	return find_module(place, &found) == 0;
}

int fa_rule_still_valid(uint64_t rule, uint64_t pc)
{
	struct dl_find_object found;

	return find_module(pc, &found) == 0 &&
	       same_module(&rules.modules[FA_RULE_INDEX(rule)], &found);
}

static uint64_t pack(const struct module *m, enum fa_rule_kind kind, uint64_t n, uint64_t k)
{
	return m->id | (uint64_t)(m - rules.modules) << 16 | (m->mortal ? FA_RULE_MORTAL : 0) |
	       (uint64_t)kind << 29 | k << 32 | n << 48;
}

/* v / 8 when it fits the fields of a rule; else -1. */
static int64_t eighth(int64_t v)
{
	return v < 0 || (v & 7) != 0 || v / 8 > 0xffff ? -1 : v / 8;
}

static uint64_t pack_row(const struct module *m, const struct fa_cfi_row *row)
{
	uint64_t full = pack(m, FA_RULE_FULL, 0, 0);
	int64_t k = 0;
	int64_t n;

	if (row->signal || row->ra != FA_CFI_RA || row->how[FA_CFI_RSP] != FA_CFI_VAL_OFFSET ||
	    row->val[FA_CFI_RSP] != 0)
		return full;
	if (row->how[FA_CFI_RA] == FA_CFI_UNDEFINED)
		return pack(m, FA_RULE_END, 0, 0);
	if (row->how[FA_CFI_RA] != FA_CFI_OFFSET || row->val[FA_CFI_RA] != -8)
		return full;
	if (fa_cfi_is_realigned(&m->image, row, &n)) {
		n = eighth(-n);
		return n < 0 ? full : pack(m, FA_RULE_REALIGNED, (uint64_t)n, 0);
	}
	if (row->how[FA_CFI_RBP] == FA_CFI_OFFSET) {
		k = eighth(-(int64_t)row->val[FA_CFI_RBP]);
		if (k <= 0)
			return full;
	} else if (row->how[FA_CFI_RBP] != FA_CFI_SAME) {
		return full;
	}
	if (row->cfa_is_expr || (row->cfa_reg != FA_CFI_RSP && row->cfa_reg != FA_CFI_RBP))
		return full;
	n = eighth(row->cfa_val);
	if (n < 1)
		return full;
	if (row->cfa_reg == FA_CFI_RSP)
		return pack(m, FA_RULE_RSP, (uint64_t)n, (uint64_t)k);
	return pack(m, FA_RULE_RBP, (uint64_t)n - 1, (uint64_t)k);
}

static uint32_t table_size(const struct fa_rule_table *table)
{
	return (uint32_t)(table->mask / sizeof(struct fa_rule_entry)) + 1;
}

/* The pages of the first one at once: the rules of one stack lie on most of them, and a page that is read before it is
 * written takes two faults. */
static struct fa_rule_table *new_table(uint32_t entries)
{
	size_t bytes = sizeof(struct fa_rule_table) + entries * sizeof(struct fa_rule_entry);
	int now = entries == FIRST_ENTRIES ? MAP_POPULATE : 0;
	struct fa_rule_table *table = fa_sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS | now, -1, 0);

	if (fa_sys_failed((long)table))
		return NULL;
	count_bytes(bytes);
	table->mask = (entries - 1ULL) * sizeof(struct fa_rule_entry);
	return table;
}

/* New pages in the place of what lies there. Where that fails, it is cleared. */
static void clear(void *p, size_t bytes)
{
	if (fa_sys_failed((long)fa_sys_mmap(p, bytes, PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
					    -1, 0)))
		memset(p, 0, bytes);
}

void fa_rules_reset(void)
{
	struct fa_rule_table *table = fa_rules();
	uint32_t entries = table_size(table);

	rules.module_count = 0;
	if (rules.modules != NULL)
		clear(rules.modules, MODULES * sizeof(struct module));
	if (entries == 1) /* the empty one */
		return;
	clear(table, sizeof(*table) + entries * sizeof(struct fa_rule_entry));
	table->mask = (entries - 1ULL) * sizeof(struct fa_rule_entry);
}

/* Puts a rule into a table: 0, or -ENOSPC when it is too full to be quick. Entries never move and are
 * never removed, so whoever finds the key may replace the rule. */
static int insert(struct fa_rule_table *table, uint64_t pc, uint64_t rule)
{
	uint64_t offset = fa_rule_offset(table->mask, pc);

	for (;; offset = (offset + sizeof(struct fa_rule_entry)) & table->mask) {
		struct fa_rule_entry *entry = fa_rule_entry(table, offset);
		uint64_t key = __atomic_load_n(&entry->pc, __ATOMIC_RELAXED);

		if (key == 0) {
			if (__atomic_load_n(&table->used, __ATOMIC_RELAXED) >=
			    table_size(table) / 2)
				return -ENOSPC;
			if (__atomic_compare_exchange_n(&entry->pc, &key, pc, 0, __ATOMIC_RELAXED,
							__ATOMIC_RELAXED)) {
				__atomic_fetch_add(&table->used, 1, __ATOMIC_RELAXED);
				key = pc;
			}
		}
		if (key == pc) {
			__atomic_store_n(&entry->rule, rule, __ATOMIC_RELEASE);
			return 0;
		}
	}
}

/* A table of twice the size takes the place of `old`. What is inserted into `old` meanwhile is lost
 * and made again: this is a cache. */
static struct fa_rule_table *grow(struct fa_rule_table *old)
{
	uint32_t size = table_size(old);
	uint32_t entries = size == 1 ? FIRST_ENTRIES : size * 2;
	struct fa_rule_table *table;

	if (entries > MAX_ENTRIES || (table = new_table(entries)) == NULL)
		return NULL;
	for (uint32_t i = 0; i < size; i++) {
		uint64_t rule = __atomic_load_n(&old->entries[i].rule, __ATOMIC_ACQUIRE);

		if (rule != 0)
			(void)insert(table, __atomic_load_n(&old->entries[i].pc, __ATOMIC_RELAXED),
				     rule);
	}
	if (__atomic_compare_exchange_n(&fa_rules_current, &old, table, 0, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return table;
	count_bytes(0 - (sizeof(*table) + entries * sizeof(struct fa_rule_entry)));
	(void)fa_sys_munmap(table, sizeof(*table) + entries * sizeof(struct fa_rule_entry));
	return old; /* the other thread's, filled in by the exchange */
}

static void keep(uint64_t pc, uint64_t rule)
{
	struct fa_rule_table *table = fa_rules();

	if (insert(table, pc, rule) == 0)
		return;
	table = grow(table);
	if (table != NULL)
		(void)insert(table, pc, rule);
}

/* Not inline: the row and the CFA machine take a kilobyte of the host's stack, only here. */
static FA_NOINLINE uint64_t compile(const struct module *m, uint64_t pc)
{
	struct fa_cfi_row row;

	int err = m->has_cfi ? fa_cfi_find(&m->image, pc - 1, &row) : -ENOENT;

	if (err == -ENOENT)
		return pack(m, FA_RULE_NONE, 0, 0);
	return err < 0 ? pack(m, FA_RULE_BAD, 0, 0) : pack_row(m, &row);
}

uint64_t fa_rule_make(uint64_t pc)
{
	const struct module *m = module_at(pc - 1);

	if (m == NULL)
		return FA_MODULE_UNKNOWN;
	uint64_t rule = compile(m, pc);

	if (FA_RULE_KIND(rule) != FA_RULE_NONE)
		keep(pc, rule);
	return rule;
}

int fa_rule_row(uint64_t pc, int interrupted, struct fa_cfi_row *ret_row,
		const struct fa_cfi_image **ret_image, uint32_t *ret_module)
{
	const struct module *m = module_at(interrupted ? pc : pc - 1);

	*ret_module = m == NULL ? FA_MODULE_UNKNOWN : m->id;
	if (m == NULL || !m->has_cfi)
		return -ENOENT;
	*ret_image = &m->image;
	return fa_cfi_find(&m->image, interrupted ? pc : pc - 1, ret_row);
}
