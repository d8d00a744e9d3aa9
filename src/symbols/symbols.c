/*
 * symbols.c - objects, where their files are, and the answers given so far.
 *
 * One Dwfl session an object, at address 0, so that addresses are those of the file. libdwfl
 * finds separate debug files (.gnu_debuglink, build id) and the compressed symbol table in
 * .gnu_debugdata by itself.
 */
#include "symbols/symbols.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "symbols/symbols_internal.h"

#define DEBUG_ROOT "/usr/lib/debug"

struct answer_slot {
	uint64_t address;
	struct fa_symbol_frame *frames; /* NULL: the slot is empty */
	size_t count;
};

/* Code with a name: from lo up to hi. */
struct named {
	uint64_t lo, hi;
	uint64_t reach; /* the furthest hi of all up to this one: functions may lie in one another */
	int symbol;
};

struct fa_object {
	struct fa_object *next;
	struct fa_symbols *owner;
	char *path;
	unsigned char build_id[64];
	size_t build_id_len;
	bool opened, debug_opened;
	enum fa_object_state state;
	Dwfl *dwfl;
	Dwfl_Module *module;
	uint64_t bias; /* add to an address of the file to get the module's */
	struct fa_dwarf dwarf;
	struct answer_slot *answers;
	size_t answer_mask, answer_count;
	struct named *names; /* sorted by lo */
	size_t name_count;
	bool names_indexed;
};

struct fa_symbols {
	Dwfl_Callbacks callbacks;
	char *debug_path; /* as libdwfl wants it */
	char **dirs;
	int dir_count;
	struct fa_object *objects;
};

int fa_symbols_new(const struct fa_symbols_options *options, struct fa_symbols **ret)
{
	struct fa_symbols *s = calloc(1, sizeof(*s));
	struct fa_buf path = {0};

	if (s == NULL)
		return -ENOMEM;
	s->dirs = calloc((size_t)options->debug_dir_count + 1, sizeof(*s->dirs));
	fa_buf_puts(&path, ":.debug:" DEBUG_ROOT);
	for (int i = 0; s->dirs != NULL && i < options->debug_dir_count; i++) {
		/* libdwfl takes a relative one as relative to the object. */
		s->dirs[i] = realpath(options->debug_dirs[i], NULL);
		if (s->dirs[i] == NULL)
			s->dirs[i] = strdup(options->debug_dirs[i]);
		if (s->dirs[i] == NULL)
			break;
		fa_buf_printf(&path, ":%s", s->dirs[i]);
		s->dir_count++;
	}
	s->debug_path = fa_buf_take(&path);
	if (s->dirs == NULL || s->debug_path == NULL || s->dir_count != options->debug_dir_count) {
		fa_symbols_free(s);
		return -ENOMEM;
	}
	s->callbacks = (Dwfl_Callbacks){
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
		.section_address = dwfl_offline_section_address,
		.debuginfo_path = &s->debug_path,
	};
	/* The variable is libdw's only switch: without it no server is ever asked. */
	if (!options->debuginfod)
		(void)unsetenv("DEBUGINFOD_URLS");
	*ret = s;
	return 0;
}

static void free_frames(struct fa_symbol_frame *frames, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free((void *)(uintptr_t)frames[i].function);
		free((void *)(uintptr_t)frames[i].file);
	}
}

static void free_object(struct fa_object *o)
{
	for (size_t i = 0; o->answers != NULL && i <= o->answer_mask; i++) {
		if (o->answers[i].frames == NULL)
			continue;
		free_frames(o->answers[i].frames, o->answers[i].count);
		free(o->answers[i].frames);
	}
	free(o->answers);
	free(o->names);
	fa_dwarf_done(&o->dwarf);
	if (o->dwfl != NULL)
		dwfl_end(o->dwfl);
	free(o->path);
	free(o);
}

void fa_symbols_free(struct fa_symbols *s)
{
	if (s == NULL)
		return;
	while (s->objects != NULL) {
		struct fa_object *o = s->objects;

		s->objects = o->next;
		free_object(o);
	}
	for (int i = 0; s->dirs != NULL && i < s->dir_count; i++)
		free(s->dirs[i]);
	free(s->dirs);
	free(s->debug_path);
	free(s);
}

struct fa_object *fa_symbols_object(struct fa_symbols *s, const char *path,
				    const unsigned char *build_id, size_t build_id_len)
{
	struct fa_object *o;

	if (build_id_len > sizeof(o->build_id))
		build_id_len = sizeof(o->build_id);
	for (o = s->objects; o != NULL; o = o->next)
		if (o->build_id_len == build_id_len && strcmp(o->path, path) == 0 &&
		    memcmp(o->build_id, build_id, build_id_len) == 0)
			return o;
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return NULL;
	o->path = strdup(path);
	if (o->path == NULL) {
		free(o);
		return NULL;
	}
	o->owner = s;
	memcpy(o->build_id, build_id, build_id_len);
	o->build_id_len = build_id_len;
	o->next = s->objects;
	s->objects = o;
	return o;
}

/* ---- opening ---- */

/* 1: the file at fd is the object; 0: it is another build; -errno: it is no ELF file. */
static int is_same_build(const struct fa_object *o, int fd)
{
	const void *id = NULL;
	ssize_t len;
	int r = 1;

	(void)elf_version(EV_CURRENT);
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);

	if (elf == NULL || elf_kind(elf) != ELF_K_ELF) {
		(void)elf_end(elf);
		return -ENOEXEC;
	}
	len = dwelf_elf_gnu_build_id(elf, &id);
	/* Without an id on either side nothing can be compared. */
	if (o->build_id_len != 0 && len > 0)
		r = (size_t)len == o->build_id_len && memcmp(id, o->build_id, (size_t)len) == 0;
	(void)elf_end(elf);
	return r;
}

static int open_own_file(struct fa_object *o)
{
	FA_CLEANUP(fa_close) int fd = open(o->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || o->path[0] != '/')
		return -ENOENT;
	int same = is_same_build(o, fd);

	if (same < 0)
		return -ENOENT;
	if (same == 0) {
		o->state = FA_OBJECT_CHANGED;
		return -ENOENT;
	}
	return fa_take_fd(&fd);
}

static int open_debug_file(const struct fa_object *o, const char *dir)
{
	char name[4096];
	int n;

	if (o->build_id_len < 2)
		return -ENOENT;
	n = snprintf(name, sizeof(name), "%s/.build-id/%02x/", dir, o->build_id[0]);
	for (size_t i = 1; i < o->build_id_len && n > 0 && (size_t)n < sizeof(name) - 16; i++)
		n += snprintf(name + n, sizeof(name) - (size_t)n, "%02x", o->build_id[i]);
	if (n < 0 || (size_t)n >= sizeof(name) - 16)
		return -ENAMETOOLONG;
	memcpy(name + n, ".debug", sizeof(".debug"));
	FA_CLEANUP(fa_close) int fd = open(name, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && is_same_build(o, fd) == 1 ? fa_take_fd(&fd) : -ENOENT;
}

static int find_file(struct fa_object *o)
{
	int fd = open_own_file(o);

	for (int i = 0; fd < 0 && i < o->owner->dir_count; i++)
		fd = open_debug_file(o, o->owner->dirs[i]);
	return fd >= 0 ? fd : open_debug_file(o, DEBUG_ROOT);
}

/* With its symbol table. */
static void open_object(struct fa_object *o)
{
	Dwarf_Addr bias = 0;
	int fd = o->opened ? -1 : find_file(o);

	o->opened = true;
	if (fd < 0)
		return;
	o->dwfl = dwfl_begin(&o->owner->callbacks);
	if (o->dwfl != NULL) {
		dwfl_report_begin(o->dwfl);
		/* Takes the descriptor over when it succeeds. */
		o->module = dwfl_report_elf(o->dwfl, o->path, o->path, fd, 0, true);
		(void)dwfl_report_end(o->dwfl, NULL, NULL);
	}
	if (o->module == NULL) {
		(void)close(fd);
		return;
	}
	o->state = FA_OBJECT_SYMBOLS;
	if (dwfl_module_getelf(o->module, &bias) != NULL)
		o->bias = bias;
}

/* With its debug information: large, and often compressed. */
static void open_debug(struct fa_object *o)
{
	Dwarf_Addr bias = 0;
	Dwarf *dwarf;

	open_object(o);
	if (o->debug_opened)
		return;
	o->debug_opened = true;
	dwarf = o->module != NULL ? dwfl_module_getdwarf(o->module, &bias) : NULL;
	if (dwarf != NULL && fa_dwarf_init(&o->dwarf, dwarf, bias) == 0 && o->dwarf.unit_count != 0)
		o->state = FA_OBJECT_DEBUG;
}

const char *fa_object_path(const struct fa_object *o)
{
	return o->path;
}

const unsigned char *fa_object_build_id(const struct fa_object *o, size_t *ret_len)
{
	*ret_len = o->build_id_len;
	return o->build_id;
}

enum fa_object_state fa_object_state(struct fa_object *o)
{
	open_debug(o);
	return o->state;
}

/* ---- answers ---- */

static char *symbol_at(const struct fa_object *o, uint64_t address)
{
	GElf_Off offset = 0;
	GElf_Sym sym;
	const char *name =
		dwfl_module_addrinfo(o->module, address, &offset, &sym, NULL, NULL, NULL);

	/* The nearest name before the address says nothing about code behind its end. */
	if (name == NULL || name[0] == '\0' || (sym.st_size != 0 && offset >= sym.st_size))
		return NULL;
	char *plain = fa_demangle(name);

	return plain != NULL ? plain : strdup(name);
}

static void make_answer(struct fa_object *o, uint64_t address, struct fa_answer *a)
{
	a->count = 0;
	if (fa_object_state(o) == FA_OBJECT_DEBUG)
		fa_dwarf_find(&o->dwarf, address + o->bias, a);
	if (a->count == 0) {
		a->frame[0] = (struct fa_symbol_frame){0};
		a->count = 1;
	}
	if (a->frame[a->count - 1].function == NULL && o->module != NULL)
		a->frame[a->count - 1].function = symbol_at(o, address + o->bias);
}

static size_t answer_slot(const struct fa_object *o, uint64_t address)
{
	size_t i = (size_t)((address * 0x9e3779b97f4a7c15ULL) >> 32) & o->answer_mask;

	while (o->answers[i].frames != NULL && o->answers[i].address != address)
		i = (i + 1) & o->answer_mask;
	return i;
}

static int grow_answers(struct fa_object *o)
{
	struct answer_slot *old = o->answers;
	size_t old_slots = old == NULL ? 0 : o->answer_mask + 1;
	size_t slots = old == NULL ? 64 : old_slots * 2;
	struct answer_slot *bigger = calloc(slots, sizeof(*bigger));

	if (bigger == NULL)
		return -ENOMEM;
	o->answers = bigger;
	o->answer_mask = slots - 1;
	for (size_t i = 0; i < old_slots; i++)
		if (old[i].frames != NULL)
			o->answers[answer_slot(o, old[i].address)] = old[i];
	free(old);
	return 0;
}

struct fa_symbol_frames fa_object_find(struct fa_object *o, uint64_t address)
{
	static const struct fa_symbol_frame unknown;
	const struct fa_symbol_frames nothing = {.frame = &unknown, .count = 1};
	struct fa_answer a;
	struct answer_slot *slot;

	if (o->answer_count >= o->answer_mask / 2 && grow_answers(o) < 0)
		return nothing;
	slot = &o->answers[answer_slot(o, address)];
	if (slot->frames == NULL) {
		make_answer(o, address, &a);
		slot->frames = malloc(a.count * sizeof(*slot->frames));
		if (slot->frames == NULL) {
			free_frames(a.frame, a.count);
			return nothing;
		}
		memcpy(slot->frames, a.frame, a.count * sizeof(*slot->frames));
		slot->count = a.count;
		slot->address = address;
		o->answer_count++;
	}
	return (struct fa_symbol_frames){.frame = slot->frames, .count = slot->count};
}

/* ---- which code has a name ---- */

static int by_begin(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* libdwfl looks at every symbol for every answer; here they are sorted once. */
static void index_names(struct fa_object *o)
{
	int n = o->module != NULL ? dwfl_module_getsymtab(o->module) : 0;

	o->names_indexed = true;
	o->names = n > 0 ? calloc((size_t)n, sizeof(*o->names)) : NULL;
	for (int i = 1; i < n && o->names != NULL; i++) {
		GElf_Addr at = 0;
		GElf_Sym sym;
		const char *name =
			dwfl_module_getsym_info(o->module, i, &sym, &at, NULL, NULL, NULL);

		if (name != NULL && name[0] != '\0' && sym.st_shndx != SHN_UNDEF &&
		    GELF_ST_TYPE(sym.st_info) == STT_FUNC && at + sym.st_size > at)
			o->names[o->name_count++] =
				(struct named){.lo = at, .hi = at + sym.st_size, .symbol = i};
	}
	if (o->name_count != 0)
		qsort(o->names, o->name_count, sizeof(*o->names), by_begin);
	for (size_t i = 0; i < o->name_count; i++) {
		uint64_t before = i != 0 ? o->names[i - 1].reach : 0;

		o->names[i].reach = o->names[i].hi > before ? o->names[i].hi : before;
	}
}

/* How many names begin at or before `address` (in the file): all that cover it are among them. */
static size_t names_up_to(struct fa_object *o, uint64_t address)
{
	size_t lo = 0, hi;

	open_object(o);
	if (!o->names_indexed)
		index_names(o);
	address += o->bias;
	hi = o->name_count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (o->names[mid].lo <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool fa_object_has_name(struct fa_object *o, uint64_t address)
{
	struct fa_symbol_frames f;
	size_t n = names_up_to(o, address);

	if (n != 0 && address + o->bias < o->names[n - 1].reach)
		return true;
	f = fa_object_find(o, address);
	return f.frame[f.count - 1].function != NULL;
}

bool fa_object_other_name(struct fa_object *o, uint64_t address, bool (*is)(const char *name))
{
	size_t n = names_up_to(o, address);
	bool other = false;

	address += o->bias;
	for (; n != 0 && address < o->names[n - 1].reach; n--) {
		if (address >= o->names[n - 1].hi)
			continue;
		GElf_Sym sym;
		GElf_Addr at;
		const char *name = dwfl_module_getsym_info(o->module, o->names[n - 1].symbol, &sym,
							   &at, NULL, NULL, NULL);
		char *plain = name != NULL ? fa_demangle(name) : NULL;
		bool found = name != NULL && is(plain != NULL ? plain : name);

		free(plain);
		if (found)
			return false;
		other = true;
	}
	return other;
}
