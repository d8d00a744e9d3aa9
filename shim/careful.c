/* careful.c - what system call filters forbid us to ask; and the state page, which a fork child finds wiped. */
#include "shim/careful.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "shim/state.h"
#include "shim/sys.h"
#include "shim/tracer.h"

enum { WIPE_ON_FORK = 18, STATUS_SIZE = 2048 };

/* Is there a line "Seccomp:" with another number than 0? */
static bool is_filtered(const char *status, long n)
{
	static const char name[] = "\nSeccomp:\t";
	const long length = (long)sizeof(name) - 1;

	for (long at = 0; at + length < n; at++) {
		long same = 0;

		while (same < length && status[at + same] == name[same])
			same++;
		if (same == length)
			return status[at + length] != '0';
	}
	return n == STATUS_SIZE; /* cut off before it */
}

void fa_care_look(void)
{
	char status[STATUS_SIZE];
	int fd = fa_sys_openat(AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
	long n = fd < 0 ? -1 : fa_sys_read(fd, status, sizeof(status));

	if (fd >= 0)
		(void)fa_sys_close(fd);
	fa_care = n <= 0 || is_filtered(status, n) ? FA_CARE_FILTERED : FA_CARE_NONE;
}

void fa_care_before_filter(void)
{
	if (fa_care == FA_CARE_FILTERED)
		fa_care = FA_CARE_OWN_FILTER;
}

/*
 * The kernel wipes only pages that no file is behind: one is put in the place of ours. Before there is an
 * arena: until then nobody looks at it.
 */
bool fa_state_page_use(void)
{
	void *p;

	if (fa_state_in_use)
		return true;
	p = fa_sys_mmap(&fa_state_page, sizeof(fa_state_page), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (fa_sys_failed((long)p))
		return false;
	fa_state_in_use = 1;
	fa_state_set(FA_BUSY);
	return true;
}

bool fa_state_page_wipe(void)
{
	return fa_care != FA_CARE_NONE ||
	       fa_advise(&fa_state_page, sizeof(fa_state_page), WIPE_ON_FORK) == 0;
}

/* The page that the kernel wipes else. */
static void wipe(void)
{
	fa_state_page.way = FA_WAY_QUICK;
	__atomic_store_n(&fa_state_page.state, (uint8_t)FA_ASK, __ATOMIC_RELEASE);
}

bool fa_active_otherwise(void)
{
	uint16_t word;

	if (fa_care != FA_CARE_NONE && fa_state_now() == FA_ACTIVE && fa_tracer_has_forked())
		wipe();
	if (fa_state_now() != FA_ACTIVE)
		fa_ask();
	word = fa_state_word();
	return word == FA_ACTIVE || word == (FA_ACTIVE | FA_WAY_CAREFUL << 8);
}
