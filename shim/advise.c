/* advise.c - may this be read? See careful.h. Used by the unwinder, which is tested alone. */
#include <errno.h>
#include <sys/syscall.h>

#include "format/arena_format.h"
#include "shim/careful.h"
#include "shim/sys.h"

uint8_t fa_care;

enum { POPULATE_READ = 22, NO_LIMIT = 0xffff };

/* The kernel takes the words before it finds that there is no such limit. */
static bool can_read(uint64_t address)
{
	return fa_sys_call4(SYS_prlimit64, 0, NO_LIMIT, (long)address, 0) != -EFAULT;
}

int fa_advise(const void *page, size_t size, int advice)
{
	if (fa_care == FA_CARE_NONE)
		return fa_sys_madvise((void *)(uintptr_t)page, size, advice);
	if (fa_care != FA_CARE_FILTERED || advice != POPULATE_READ)
		return -EPERM;
	for (size_t at = 0; at < size; at += FA_ARENA_PAGE)
		if (!can_read((uint64_t)page + at))
			return -EPERM;
	return 0;
}
