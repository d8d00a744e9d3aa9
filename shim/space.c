/*
 * space.c - the address space: mmap, munmap, mremap, mprotect, brk and sbrk, as the program and its
 * libraries call them. What the kernel or libc itself maps (malloc's arenas, stacks of threads, programs and
 * libraries) does not come through here.
 *
 * What takes space away is recorded before it is done, so that whoever gets the addresses next records later;
 * the rest after it went well.
 */
#include <sys/mman.h>

#include "shim/more.h"

static void record(const struct fa_regs *regs, enum fa_call call, const void *address, size_t size,
		   uint32_t argument)
{
	const struct fa_event e = {
		.fn = (uint8_t)call, .addr = (uint64_t)address, .size = size, .arg = argument};

	fa_record_call(regs, &e);
}

static void *map(fa_mmap_fn *real, const struct fa_event *asked, void *address, int fd,
		 off_t offset, const struct fa_regs *regs)
{
	bool wanted = fa_more_wanted(FA_TRACING_VM);
	int prot = (int)asked->arg, flags = (int)asked->old;
	void *p = real(address, asked->size, prot, flags, fd, offset);

	if (wanted && p != MAP_FAILED)
		record(regs, FA_CALL_MMAP, p, asked->size,
		       fa_map_argument((uint32_t)prot, (uint32_t)flags));
	return p;
}

void *fa_hook_mmap(void *address, size_t size, int prot, int flags, int fd, off_t offset,
		   const struct fa_regs *regs)
{
	const struct fa_event asked = {.size = size, .arg = (uint32_t)prot, .old = (uint32_t)flags};

	return map(fa_more.mmap, &asked, address, fd, offset, regs);
}

void *fa_hook_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset,
		     const struct fa_regs *regs)
{
	const struct fa_event asked = {.size = size, .arg = (uint32_t)prot, .old = (uint32_t)flags};

	return map(fa_more.mmap64, &asked, address, fd, offset, regs);
}

int fa_hook_munmap(void *address, size_t size, const struct fa_regs *regs)
{
	/* Else it is refused; of what is not mapped nothing is unmapped. */
	if (((uint64_t)address & (FA_ARENA_PAGE - 1)) == 0 && size != 0 &&
	    fa_more_wanted(FA_TRACING_VM))
		record(regs, FA_CALL_MUNMAP, address, size, 0);
	return fa_more.munmap(address, size);
}

void *fa_hook_mremap(void *old, size_t old_size, size_t size, int flags, void *address,
		     const struct fa_regs *regs)
{
	bool wanted = fa_more_wanted(FA_TRACING_VM);
	void *p = fa_more.mremap(old, old_size, size, flags, address);
	uint64_t pages = (old_size + FA_ARENA_PAGE - 1) / FA_ARENA_PAGE;
	const struct fa_event e = {.fn = FA_CALL_MREMAP,
				   .addr = (uint64_t)p,
				   .size = size,
				   .old = (uint64_t)old,
				   .arg = pages > UINT32_MAX ? UINT32_MAX : (uint32_t)pages};

	if (wanted && p != MAP_FAILED)
		fa_record_call(regs, &e);
	return p;
}

static void record_break(const struct fa_regs *regs, const void *end, const void *old)
{
	const struct fa_event e = {.fn = FA_CALL_BRK, .addr = (uint64_t)end, .old = (uint64_t)old};

	if (end != old)
		fa_record_call(regs, &e);
}

int fa_hook_brk(void *end, const struct fa_regs *regs)
{
	bool wanted = fa_more_wanted(FA_TRACING_VM);
	const void *old = wanted ? fa_more.sbrk(0) : NULL;
	int r = fa_more.brk(end);

	/* It is no error to ask for less than may be: then the end is where it was. */
	if (wanted && r == 0)
		record_break(regs, fa_more.sbrk(0), old);
	return r;
}

void *fa_hook_sbrk(intptr_t by, const struct fa_regs *regs)
{
	bool wanted = by != 0 && fa_more_wanted(FA_TRACING_VM);
	void *old = fa_more.sbrk(by);

	if (wanted && old != (void *)-1)
		record_break(regs, (char *)old + by, old);
	return old;
}

int fa_hook_mprotect(void *address, size_t size, int prot, const struct fa_regs *regs)
{
	bool wanted = fa_more_wanted(FA_TRACING_VM);
	int r = fa_more.mprotect(address, size, prot);

	if (wanted && r == 0)
		record(regs, FA_CALL_MPROTECT, address, size, fa_map_argument((uint32_t)prot, 0));
	return r;
}
