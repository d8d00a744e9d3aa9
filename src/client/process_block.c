/*
 * process_block.c - finds firstalloc_process_block in the mapped shim of a process.
 *
 * /proc/PID/maps tells where the library lies and which file it is; the file's dynamic symbol table,
 * read through /proc/PID/map_files or its path, tells the offset; /proc/PID/mem the content. Another
 * library may call itself like ours, so everything is bounds-checked and the magic decides.
 */
#include "client/process_block.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"

static const char symbol[] = "firstalloc_process_block";

/* The first mapping of the shim: its start and how the process names the file. */
static int find_shim(int32_t pid, uint64_t *ret_base, uint64_t *ret_end, char *ret_path,
		     size_t size)
{
	char line[4600], path[64];
	int r = -ENOENT;
	FILE *in;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	in = fopen(path, "re");
	if (in == NULL)
		return errno == ENOENT ? -ESRCH : -errno;
	while (fgets(line, sizeof(line), in) != NULL) {
		unsigned long long base, end, offset;
		int at = 0;

		if (strstr(line, FA_SHIM_NAME) == NULL ||
		    sscanf(line, "%llx-%llx %*4s %llx %*s %*s %n", &base, &end, &offset, &at) < 3 ||
		    at == 0 || offset != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		(void)snprintf(ret_path, size, "%s", line + at);
		*ret_base = base;
		*ret_end = end;
		r = 0;
		break;
	}
	fclose(in);
	return r;
}

/* Bytes [at, at + len) of the file, or NULL. */
static const void *part_of(const unsigned char *file, size_t size, uint64_t at, uint64_t len)
{
	return at <= size && len <= size - at ? file + at : NULL;
}

static int look_through(const unsigned char *file, size_t size, const Elf64_Shdr *s,
			const Elf64_Shdr *strings, uint64_t *ret)
{
	for (uint64_t i = 0; i < s->sh_size / sizeof(Elf64_Sym); i++) {
		const Elf64_Sym *sym =
			part_of(file, size, s->sh_offset + i * sizeof(*sym), sizeof(*sym));
		const char *name;

		if (sym == NULL)
			return -EBADMSG;
		if (sym->st_name >= strings->sh_size)
			continue;
		name = part_of(file, size, strings->sh_offset + sym->st_name, sizeof(symbol));
		if (name != NULL && memcmp(name, symbol, sizeof(symbol)) == 0) {
			*ret = sym->st_value;
			return 0;
		}
	}
	return -ENOENT;
}

static int find_symbol(const unsigned char *file, size_t size, uint64_t *ret)
{
	const Elf64_Ehdr *h = part_of(file, size, 0, sizeof(*h));

	if (h == NULL || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 ||
	    h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_shentsize != sizeof(Elf64_Shdr))
		return -EBADMSG;
	for (unsigned i = 0; i < h->e_shnum; i++) {
		const Elf64_Shdr *s = part_of(file, size, h->e_shoff + i * sizeof(*s), sizeof(*s));
		const Elf64_Shdr *strings;

		if (s == NULL)
			return -EBADMSG;
		if (s->sh_type != SHT_DYNSYM || s->sh_link >= h->e_shnum)
			continue;
		strings = part_of(file, size, h->e_shoff + s->sh_link * sizeof(*s), sizeof(*s));
		return strings == NULL ? -EBADMSG : look_through(file, size, s, strings, ret);
	}
	return -EBADMSG;
}

static int symbol_offset(int32_t pid, uint64_t base, uint64_t end, const char *path, uint64_t *ret)
{
	FA_CLEANUP(fa_close) int fd = -1;
	char entry[96];
	struct stat st;
	void *file;
	int r;

	/* The mapped file itself, where we may: the path could be another file by now, or of another
	 * root. */
	(void)snprintf(entry, sizeof(entry), "/proc/%d/map_files/%llx-%llx", (int)pid,
		       (unsigned long long)base, (unsigned long long)end);
	fd = open(entry, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		char beyond[4300];

		(void)snprintf(beyond, sizeof(beyond), "/proc/%d/root%s", (int)pid, path);
		fd = open(beyond, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > 64 << 20)
		return -EBADMSG;
	file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		return -errno;
	r = find_symbol(file, (size_t)st.st_size, ret);
	(void)munmap(file, (size_t)st.st_size);
	return r;
}

int fa_process_block_find(int32_t pid, struct fa_process_block *ret, uint64_t *ret_address)
{
	FA_CLEANUP(fa_close) int fd = -1;
	struct fa_process_block b;
	uint64_t base = 0, end = 0, offset = 0;
	char path[4200];
	int r, denied;

	/* First: it stays with the memory that the process has now, so that what is found in one program is not
	 * read in the next. Where it may not be opened, there may still be a reason to find. */
	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	denied = fd < 0 ? -errno : 0;
	r = find_shim(pid, &base, &end, path, sizeof(path));
	if (r == 0)
		r = symbol_offset(pid, base, end, path, &offset);
	if (r < 0)
		return r;
	if (fd < 0)
		return denied;
	if (pread(fd, &b, sizeof(b), (off_t)(base + offset)) != (ssize_t)sizeof(b))
		return -EBADMSG;
	if (b.magic != FA_BLOCK_MAGIC)
		return -EBADMSG;
	*ret = b;
	*ret_address = base + offset;
	return 0;
}

int fa_process_block_read(int32_t pid, struct fa_process_block *ret)
{
	uint64_t address;

	return fa_process_block_find(pid, ret, &address);
}
