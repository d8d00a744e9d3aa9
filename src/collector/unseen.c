/* unseen.c - see unseen.h. */
#include "collector/unseen.h"

#include <elf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "format/arena_format.h"

enum { SEGMENTS_MAX = 64, DYNAMIC_MAX = 512, STRINGS_MAX = 16 << 20, SYMBOLS_MAX = 1 << 18 };

/* What of an ELF file is needed here. */
struct program {
	int fd;
	unsigned count;
	Elf64_Phdr segment[SEGMENTS_MAX];
	char *strings; /* .dynstr, ends with NUL */
	size_t strings_size;
	Elf64_Sym *symbols;
	size_t symbol_count;
};

static bool read_at(int fd, void *to, size_t size, uint64_t at)
{
	return at < 1ull << 40 && pread(fd, to, size, (off_t)at) == (ssize_t)size;
}

/* Offset in the file of what lies at an address; UINT64_MAX: nothing does. */
static uint64_t offset_of(const struct program *p, uint64_t address)
{
	for (unsigned i = 0; i < p->count; i++) {
		const Elf64_Phdr *s = &p->segment[i];

		if (s->p_type == PT_LOAD && address >= s->p_vaddr &&
		    address - s->p_vaddr < s->p_filesz)
			return s->p_offset + (address - s->p_vaddr);
	}
	return UINT64_MAX;
}

static uint32_t read_segments(struct program *p)
{
	unsigned char ident[EI_NIDENT];
	Elf64_Ehdr h;

	if (!read_at(p->fd, ident, sizeof(ident), 0) || memcmp(ident, ELFMAG, SELFMAG) != 0)
		return FA_REASON_UNKNOWN;
	if (ident[EI_CLASS] == ELFCLASS32)
		return FA_REASON_BITS32;
	if (!read_at(p->fd, &h, sizeof(h), 0) || h.e_phentsize != sizeof(Elf64_Phdr))
		return FA_REASON_UNKNOWN;
	p->count = h.e_phnum < SEGMENTS_MAX ? h.e_phnum : SEGMENTS_MAX;
	if (!read_at(p->fd, p->segment, p->count * sizeof(p->segment[0]), h.e_phoff))
		return FA_REASON_UNKNOWN;
	return FA_REASON_NOT_LOADED;
}

static const Elf64_Phdr *segment_of(const struct program *p, uint32_t type)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->segment[i].p_type == type)
			return &p->segment[i];
	return NULL;
}

/* The linker that loads it: without one nothing can be preloaded. */
static uint32_t linker_reason(const struct program *p)
{
	const Elf64_Phdr *s = segment_of(p, PT_INTERP);
	char path[256];
	ssize_t n;

	if (s == NULL)
		return FA_REASON_STATIC;
	n = s->p_offset > 1ull << 40 ? -1 : pread(p->fd, path, sizeof(path) - 1, (off_t)s->p_offset);
	path[n > 0 ? n : 0] = '\0';
	return strstr(path, "/ld-linux") != NULL ? FA_REASON_NOT_LOADED : FA_REASON_OTHER_LIBC;
}

/* Symbols and their names. The table has no length of its own: it ends where the strings begin, as every
 * linker lays them; where not, no symbol is known. */
static void read_symbols(struct program *p)
{
	const Elf64_Phdr *s = segment_of(p, PT_DYNAMIC);
	Elf64_Dyn dyn[DYNAMIC_MAX];
	uint64_t strings = 0, size = 0, symbols = 0;
	size_t n = s == NULL ? 0 : s->p_filesz / sizeof(dyn[0]);

	n = n < DYNAMIC_MAX ? n : DYNAMIC_MAX;
	if (n == 0 || !read_at(p->fd, dyn, n * sizeof(dyn[0]), s->p_offset))
		return;
	for (size_t i = 0; i < n && dyn[i].d_tag != DT_NULL; i++) {
		if (dyn[i].d_tag == DT_STRTAB)
			strings = dyn[i].d_un.d_ptr;
		else if (dyn[i].d_tag == DT_STRSZ)
			size = dyn[i].d_un.d_val;
		else if (dyn[i].d_tag == DT_SYMTAB)
			symbols = dyn[i].d_un.d_ptr;
	}
	if (size == 0 || size > STRINGS_MAX || symbols == 0 || symbols >= strings)
		return;
	p->symbol_count = (strings - symbols) / sizeof(Elf64_Sym);
	p->strings = malloc(size);
	p->symbols = p->symbol_count > SYMBOLS_MAX ? NULL : calloc(p->symbol_count + 1, sizeof(Elf64_Sym));
	if (p->strings == NULL || p->symbols == NULL ||
	    !read_at(p->fd, p->strings, size, offset_of(p, strings)) ||
	    !read_at(p->fd, p->symbols, p->symbol_count * sizeof(Elf64_Sym), offset_of(p, symbols)) ||
	    p->strings[size - 1] != '\0') {
		p->symbol_count = 0;
		return;
	}
	p->strings_size = size;
}

/* Named by the program at all; defined in it. */
static void find(const struct program *p, const char *name, bool *ret_named, bool *ret_defined)
{
	*ret_named = *ret_defined = false;
	for (size_t i = 0; i < p->symbol_count; i++) {
		const Elf64_Sym *s = &p->symbols[i];

		if (s->st_name >= p->strings_size || strcmp(p->strings + s->st_name, name) != 0)
			continue;
		*ret_named = true;
		*ret_defined |= s->st_shndx != SHN_UNDEF;
	}
}

static uint32_t symbol_reason(const struct program *p)
{
	static const char *const sanitizers[] = {"__asan_init", "__tsan_init", "__msan_init",
						 "__hwasan_init"};
	bool named, defined;

	for (unsigned i = 0; i < sizeof(sanitizers) / sizeof(sanitizers[0]); i++) {
		find(p, sanitizers[i], &named, &defined);
		if (named)
			return FA_REASON_SANITIZER;
	}
	find(p, "malloc", &named, &defined);
	return defined ? FA_REASON_OWN_ALLOCATOR : FA_REASON_NOT_LOADED;
}

uint32_t fa_unseen_reason(int exe_fd, int32_t pid)
{
	struct program p = {.fd = exe_fd};
	struct stat st;
	uint32_t r;

	if (fstat(exe_fd, &st) < 0 || !S_ISREG(st.st_mode))
		return FA_REASON_UNKNOWN;
	r = read_segments(&p);
	if (r == FA_REASON_NOT_LOADED)
		r = linker_reason(&p);
	if (r != FA_REASON_NOT_LOADED)
		return r;
	if ((st.st_mode & S_ISUID) != 0 ||
	    (st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) ||
	    fgetxattr(exe_fd, "security.capability", NULL, 0) > 0)
		return FA_REASON_SECURE;
	if (pid == 1)
		return FA_REASON_PID1;
	read_symbols(&p);
	r = symbol_reason(&p);
	free(p.strings);
	free(p.symbols);
	return r;
}
