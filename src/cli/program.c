/*
 * program.c - looks at a program's file: class, interpreter, rights, symbols.
 *
 * The gate decides by what is loaded, this by what is written; they agree but for what a program does
 * after its start. libelf checks what the file says.
 */
#include "cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "format/arena_format.h"

int fa_program_find(const char *image, char *ret, size_t size)
{
	const char *list = getenv("PATH");

	for (const char *p = list; p != NULL && *p != '\0';) {
		size_t len = strcspn(p, ":");
		int n = snprintf(ret, size, "%.*s/%s", (int)len, p, image);

		if (n > 0 && (size_t)n < size && len > 0 && access(ret, X_OK) == 0)
			return 0;
		p += len + (p[len] == ':');
	}
	return -ENOENT;
}

static uint32_t interpreter_reason(int fd, Elf *elf)
{
	char text[256] = "";
	GElf_Phdr p;
	size_t n = 0;

	(void)elf_getphdrnum(elf, &n);
	for (size_t i = 0; i < n; i++) {
		if (gelf_getphdr(elf, (int)i, &p) == NULL || p.p_type != PT_INTERP ||
		    p.p_filesz >= sizeof(text))
			continue;
		if (pread(fd, text, p.p_filesz, (off_t)p.p_offset) < 1)
			return FA_REASON_NONE;
		return strstr(text, "musl") != NULL ? FA_REASON_OTHER_LIBC : FA_REASON_NONE;
	}
	return FA_REASON_STATIC;
}

static void look_at_symbols(Elf *elf, Elf_Scn *section, const GElf_Shdr *h, struct fa_program *ret)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t count = h->sh_entsize != 0 ? h->sh_size / h->sh_entsize : 0;

	for (size_t i = 0; data != NULL && i < count; i++) {
		GElf_Sym s;
		const char *name;

		if (gelf_getsym(data, (int)i, &s) == NULL)
			return;
		name = elf_strptr(elf, h->sh_link, s.st_name);
		if (name == NULL)
			continue;
		/* libasan is asked for, clang's runtime is inside. */
		if (strcmp(name, "__asan_init") == 0 || strcmp(name, "__tsan_init") == 0 ||
		    strcmp(name, "__msan_init") == 0 || strcmp(name, "__hwasan_init") == 0)
			ret->sanitizer = true;
		if (s.st_shndx != SHN_UNDEF && GELF_ST_TYPE(s.st_info) == STT_FUNC &&
		    GELF_ST_BIND(s.st_info) != STB_LOCAL && strcmp(name, "malloc") == 0)
			ret->reason = FA_REASON_OWN_ALLOCATOR;
	}
}

static void look_into(int fd, Elf *elf, struct fa_program *ret)
{
	GElf_Ehdr h;

	if (gelf_getehdr(elf, &h) == NULL)
		return;
	if (gelf_getclass(elf) != ELFCLASS64 || h.e_machine != EM_X86_64) {
		ret->reason = FA_REASON_BITS32;
		return;
	}
	ret->reason = interpreter_reason(fd, elf);
	for (Elf_Scn *s = NULL; ret->reason == 0 && (s = elf_nextscn(elf, s)) != NULL;) {
		GElf_Shdr sh;

		if (gelf_getshdr(s, &sh) != NULL &&
		    (sh.sh_type == SHT_DYNSYM || sh.sh_type == SHT_SYMTAB))
			look_at_symbols(elf, s, &sh, ret);
	}
}

static void look_at_script(int fd, struct fa_program *ret)
{
	char text[256] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 3 || memcmp(text, "#!", 2) != 0)
		return;
	ret->script = true;
	(void)snprintf(ret->interpreter, sizeof(ret->interpreter), "%.*s",
		       (int)strcspn(text + 2, "\n"), text + 2);
}

int fa_program_look(const char *path, struct fa_program *ret)
{
	FA_CLEANUP(fa_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char capability[32];
	struct stat st;
	Elf *elf;

	memset(ret, 0, sizeof(*ret));
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EISDIR;
	ret->setid = (st.st_mode & (S_ISUID | S_ISGID)) != 0;
	ret->capabilities =
		fgetxattr(fd, "security.capability", capability, sizeof(capability)) > 0;
	look_at_script(fd, ret);
	(void)elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf != NULL && elf_kind(elf) == ELF_K_ELF)
		look_into(fd, elf, ret);
	(void)elf_end(elf);
	return 0;
}

const char *fa_program_problem(const struct fa_program *p)
{
	switch (p->reason) {
	case FA_REASON_BITS32:
		return "is no 64-bit x86 program";
	case FA_REASON_STATIC:
		return "is linked statically, no library can be loaded into it";
	case FA_REASON_OTHER_LIBC:
		return "uses musl, not glibc";
	case FA_REASON_OWN_ALLOCATOR:
		return "brings an allocator of its own, whose calls do not come by";
	default:
		return NULL;
	}
}
