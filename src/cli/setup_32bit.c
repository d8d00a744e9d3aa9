/*
 * setup_32bit.c - the second library of machines that run 32-bit programs too. It is empty: such programs
 * are not traced, but must start as they did before, without a word from the dynamic linker.
 *
 * $LIB in a path of the list is lib/x86_64-linux-gnu or lib64 for 64-bit programs, lib/i386-linux-gnu or
 * lib32 for 32-bit ones, as the libc of each was built.
 */
#include <elf.h>
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "cli/setup.h"

int fa_setup_32bit_places(const char *root, const char *ret[FA_SETUP_32_PLACES])
{
	int n = 0;

	if (fa_setup_exists(root, "/lib32/libc.so.6") ||
	    fa_setup_exists(root, "/usr/lib32/libc.so.6"))
		ret[n++] = "/usr/lib32/" FA_SHIM_NAME;
	if (fa_setup_exists(root, "/lib/i386-linux-gnu/libc.so.6") ||
	    fa_setup_exists(root, "/usr/lib/i386-linux-gnu/libc.so.6"))
		ret[n++] = "/usr/lib/i386-linux-gnu/" FA_SHIM_NAME;
	return n;
}

bool fa_setup_is_32bit(const char *path)
{
	FA_CLEANUP(fa_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf32_Ehdr header;

	return fd >= 0 && fa_read_all(fd, &header, sizeof(header)) == 0 &&
	       !memcmp(header.e_ident, ELFMAG, SELFMAG) && header.e_ident[EI_CLASS] == ELFCLASS32 &&
	       header.e_machine == EM_386 && header.e_type == ET_DYN;
}

bool fa_setup_lib_matches(const char *library)
{
	return !strcmp(library, "/usr/lib/x86_64-linux-gnu/" FA_SHIM_NAME) ||
	       !strcmp(library, "/usr/lib64/" FA_SHIM_NAME);
}
