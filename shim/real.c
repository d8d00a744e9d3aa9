/* real.c - an ELF look-up of our own over the list of loaded objects. */
#include "shim/real.h"

#include <elf.h>
#include <stdint.h>

#include "shim/sys.h"
#include "shim/text.h"

struct fa_real fa_real;

/* ld.so's. Weak and without a version: an older or another linker leaves it NULL. */
extern struct r_debug _r_debug __attribute__((weak));
extern ElfW(Dyn) _DYNAMIC[] FA_HIDDEN;

struct tables {
	const ElfW(Sym) * symbols;
	const char *strings;
	const uint32_t *gnu_hash;
	const uint32_t *hash;
};

/* Where the program's dynamic section says it to debuggers: DT_DEBUG. */
static const struct r_debug *debug_of(const ElfW(Phdr) * phdr, size_t count)
{
	const ElfW(Dyn) *d = NULL;
	ElfW(Addr) bias = 0;

	for (size_t i = 0; i < count; i++) {
		if (phdr[i].p_type == PT_PHDR)
			bias = (ElfW(Addr))phdr - phdr[i].p_vaddr;
		else if (phdr[i].p_type == PT_DYNAMIC)
			d = (const ElfW(Dyn) *)(phdr[i].p_vaddr + bias);
	}
	while (d != NULL && d->d_tag != DT_NULL && d->d_tag != DT_DEBUG)
		d++;
	return d == NULL || d->d_tag == DT_NULL ? NULL : (const struct r_debug *)d->d_un.d_ptr;
}

/* musl's linker has no _r_debug and brings no argv, and yet its programs must find their malloc. */
static const struct r_debug *debug_of_program(void)
{
	ElfW(auxv_t) aux[64];
	const ElfW(Phdr) *phdr = NULL;
	size_t count = 0;
	int fd = fa_sys_openat(AT_FDCWD, "/proc/self/auxv", O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
	long n = fd < 0 ? -1 : fa_sys_read(fd, aux, sizeof(aux));

	if (fd >= 0)
		(void)fa_sys_close(fd);
	for (long i = 0; (i + 1) * (long)sizeof(aux[0]) <= n; i++) {
		if (aux[i].a_type == AT_PHDR)
			phdr = (const ElfW(Phdr) *)aux[i].a_un.a_val;
		else if (aux[i].a_type == AT_PHNUM)
			count = aux[i].a_un.a_val;
	}
	return phdr == NULL ? NULL : debug_of(phdr, count);
}

struct link_map *fa_objects(void)
{
	static const struct r_debug *other;

	if (FA_LIKELY(&_r_debug != NULL))
		return _r_debug.r_map;
	if (other == NULL)
		other = debug_of_program();
	return other == NULL ? NULL : other->r_map;
}

const struct fa_debug *fa_debug_first(void)
{
	return &_r_debug == NULL ? NULL : (const struct fa_debug *)(const void *)&_r_debug;
}

/* Since glibc 2.35, and there once there is a second one. */
const struct fa_debug *fa_debug_next(const struct fa_debug *d)
{
	return d->base.r_version < 2 ? NULL : d->next;
}

bool fa_object_is_self(const struct link_map *object)
{
	return object->l_ld == _DYNAMIC;
}

/* ld.so relocates these in memory, but not where .dynamic is read-only (the vdso). */
static const void *dynamic_pointer(const struct link_map *object, ElfW(Addr) value)
{
	return (const void *)(value < object->l_addr ? value + object->l_addr : value);
}

static bool find_tables(const struct link_map *object, struct tables *ret)
{
	struct tables t = {0};

	if (object->l_ld == NULL)
		return false;
	for (const ElfW(Dyn) *d = object->l_ld; d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_SYMTAB)
			t.symbols = dynamic_pointer(object, d->d_un.d_ptr);
		else if (d->d_tag == DT_STRTAB)
			t.strings = dynamic_pointer(object, d->d_un.d_ptr);
		else if (d->d_tag == DT_GNU_HASH)
			t.gnu_hash = dynamic_pointer(object, d->d_un.d_ptr);
		else if (d->d_tag == DT_HASH)
			t.hash = dynamic_pointer(object, d->d_un.d_ptr);
	}
	*ret = t;
	return t.symbols != NULL && t.strings != NULL;
}

static bool is_wanted(const struct tables *t, uint32_t i, const char *name)
{
	const ElfW(Sym) *s = &t->symbols[i];
	unsigned type = ELF64_ST_TYPE(s->st_info);

	return s->st_shndx != SHN_UNDEF && type != STT_TLS && type != STT_GNU_IFUNC &&
	       fa_text_equal(t->strings + s->st_name, name);
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;

	for (const unsigned char *p = (const unsigned char *)name; *p != '\0'; p++)
		h = h * 33 + *p;
	return h;
}

/* The GNU hash section: https://sourceware.org/ml/binutils/2006-10/msg00377.html */
static uint32_t gnu_lookup(const struct tables *t, const char *name, uint32_t h)
{
	uint32_t nbuckets = t->gnu_hash[0], first = t->gnu_hash[1], nbloom = t->gnu_hash[2];
	uint32_t shift = t->gnu_hash[3];
	const uint64_t *bloom = (const uint64_t *)(const void *)(t->gnu_hash + 4);
	const uint32_t *buckets = (const uint32_t *)(const void *)(bloom + nbloom);
	const uint32_t *chain = buckets + nbuckets;

	if (nbuckets == 0 || nbloom == 0)
		return 0;
	uint64_t word = bloom[(h / 64) & (nbloom - 1)];

	if (((word >> (h % 64)) & (word >> ((h >> shift) % 64)) & 1) == 0)
		return 0;
	uint32_t i = buckets[h % nbuckets];

	if (i < first)
		return 0;
	for (;; i++) {
		if ((chain[i - first] | 1) == (h | 1) && is_wanted(t, i, name))
			return i;
		if (chain[i - first] & 1)
			return 0;
	}
}

static uint32_t sysv_lookup(const struct tables *t, const char *name)
{
	uint32_t h = 0;

	for (const unsigned char *p = (const unsigned char *)name; *p != '\0'; p++) {
		h = (h << 4) + *p;
		h ^= (h >> 24) & 0xf0;
	}
	h &= 0x0fffffff;
	uint32_t nbuckets = t->hash[0];

	if (nbuckets == 0)
		return 0;
	for (uint32_t i = t->hash[2 + h % nbuckets]; i != 0; i = t->hash[2 + nbuckets + i])
		if (is_wanted(t, i, name))
			return i;
	return 0;
}

static void *lookup(const struct link_map *object, const struct tables *t, const char *name,
		    uint32_t hash)
{
	uint32_t i = 0;

	if (t->gnu_hash != NULL)
		i = gnu_lookup(t, name, hash);
	else if (t->hash != NULL)
		i = sysv_lookup(t, name);
	return i == 0 ? NULL : (void *)(object->l_addr + t->symbols[i].st_value);
}

void *fa_object_symbol(const struct link_map *object, const char *name)
{
	struct tables t;

	return find_tables(object, &t) ? lookup(object, &t, name, gnu_hash(name)) : NULL;
}

void *fa_symbol_from(const struct link_map *from, const char *name)
{
	for (const struct link_map *o = from; o != NULL; o = o->l_next) {
		void *p = fa_object_symbol(o, name);

		if (p != NULL)
			return p;
	}
	return NULL;
}

const struct link_map *fa_startup_next(const struct link_map *object)
{
	if (&_r_debug != NULL && object->l_addr == _r_debug.r_ldbase)
		return NULL;
	return object->l_next;
}

void *fa_startup_symbol(const char *name)
{
	for (const struct link_map *o = fa_objects(); o != NULL; o = fa_startup_next(o)) {
		void *p = fa_object_symbol(o, name);

		if (p != NULL)
			return p;
	}
	return NULL;
}

/* Names in the order of struct fa_real. */
static const char names[][20] = {
	"malloc",        "free",     "calloc", "realloc", "reallocarray", "posix_memalign",
	"aligned_alloc", "memalign", "valloc", "pvalloc", "free_sized",   "free_aligned_sized",
	"prctl",         "fork",     "_Fork",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == sizeof(struct fa_real) / sizeof(void *), "");

enum { NAMES = sizeof(names) / sizeof(names[0]) };

/* The first definition of each name behind `self`: object by object, since every start of every
 * program pays for it. */
static void find_all(const struct link_map *self, void *ret[NAMES])
{
	uint32_t hash[NAMES];
	unsigned left = NAMES;

	for (unsigned i = 0; i < NAMES; i++) {
		hash[i] = gnu_hash(names[i]);
		ret[i] = NULL;
	}
	for (const struct link_map *o = self->l_next; o != NULL && left > 0; o = o->l_next) {
		struct tables t;

		if (!find_tables(o, &t))
			continue;
		for (unsigned i = 0; i < NAMES; i++) {
			if (ret[i] != NULL)
				continue;
			ret[i] = lookup(o, &t, names[i], hash[i]);
			left -= ret[i] != NULL;
		}
	}
}

bool fa_real_resolve(void)
{
	void **slots = (void **)(void *)&fa_real;
	const struct link_map *self = fa_objects();
	void *found[NAMES];

	if (__atomic_load_n(&slots[0], __ATOMIC_ACQUIRE) != NULL)
		return true;
	while (self != NULL && !fa_object_is_self(self))
		self = self->l_next;
	if (self == NULL)
		return false;
	find_all(self, found);
	for (unsigned i = 1; i < NAMES; i++)
		__atomic_store_n(&slots[i], found[i], __ATOMIC_RELAXED);
	/* Not in every libc, and then the size is not needed either. */
	if (fa_real.free_sized == NULL)
		fa_real.free_sized = (void (*)(void *, size_t))(uintptr_t)slots[1];
	if (fa_real.free_aligned_sized == NULL)
		fa_real.free_aligned_sized = (void (*)(void *, size_t, size_t))(uintptr_t)slots[1];
	if (fa_real._Fork == NULL)
		fa_real._Fork = fa_real.fork;
	/* malloc last: who sees it sees all. Every thread writes the same values. */
	__atomic_store_n(&slots[0], found[0], __ATOMIC_RELEASE);
	return slots[0] != NULL;
}
