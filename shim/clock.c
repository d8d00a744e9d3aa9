/* clock.c - time without system calls: the TSC where the kernel trusts it, else the vdso. */
#include <time.h>

#include "shim/arena.h"
#include "shim/real.h"
#include "shim/sys.h"

static struct {
	int (*gettime)(clockid_t id, struct timespec *ret);
	uint32_t source;
	bool forbidden;
} clocks;

/* "tsc" in sysfs; where sysfs is hidden, the processor's word that its TSC is invariant. */
static bool kernel_trusts_tsc(void)
{
	char text[8] = {0};
	int fd = fa_sys_openat(AT_FDCWD,
			       "/sys/devices/system/clocksource/clocksource0/current_clocksource",
			       O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);

	if (fd >= 0) {
		long n = fa_sys_read(fd, text, 4);

		(void)fa_sys_close(fd);
		if (n >= 3)
			return text[0] == 't' && text[1] == 's' && text[2] == 'c' &&
			       text[3] == '\n';
	}
	uint32_t a = 0x80000007, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return (d & 1 << 8) != 0;
}

void fa_clock_begin(uint32_t source)
{
	for (const struct link_map *o = fa_objects();
	     o != NULL && clocks.gettime == NULL && !clocks.forbidden; o = fa_startup_next(o)) {
		void *p = fa_object_symbol(o, "__vdso_clock_gettime");

		clocks.gettime = (int (*)(clockid_t, struct timespec *))(uintptr_t)p;
	}
	clocks.source = source;
}

void fa_clock_init(void)
{
	fa_clock_begin(kernel_trusts_tsc() ? FA_CLOCK_TSC : FA_CLOCK_MONOTONIC);
}

bool fa_clock_is_forbidden(void)
{
	return clocks.forbidden;
}

uint32_t fa_clock_source(void)
{
	return clocks.source;
}

void fa_clock_forbid(void)
{
	clocks.forbidden = true;
	clocks.gettime = NULL;
}

static uint64_t read_clock(clockid_t id, uint64_t per_second)
{
	struct timespec t = {0};

	if (clocks.gettime == NULL || clocks.gettime(id, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * per_second + (per_second == 1 ? 0 : (uint64_t)t.tv_nsec);
}

uint64_t fa_clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC, 1000000000);
}

uint64_t fa_clock_real_seconds(void)
{
	return read_clock(CLOCK_REALTIME, 1);
}

uint64_t fa_stamp_otherwise(void)
{
	if (fa_arena.wish.stamp_mode == FA_STAMP_NONE)
		return __atomic_load_n(&fa_arena_head()->answer.now, __ATOMIC_RELAXED) | 1;
	return fa_clock_mono_ns() | 1;
}
