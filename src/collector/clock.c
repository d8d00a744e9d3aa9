/*
 * clock.c - the clock of stamps as the collector's side sees it, and the two records about it.
 *
 * The source is what the kernel itself uses: "tsc" in current_clocksource says that it found the TSC
 * invariant and the same on all CPUs, which no flag of CPUID promises. Everything else: CLOCK_MONOTONIC.
 * The shim decides for itself and says so in the arena; one trace has one clock, so an arena with
 * another clock than ours is refused (-EPROTO from fa_family_new) rather than converted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "collector/drain.h"

#ifndef FA_VERSION
#define FA_VERSION "?"
#endif

#define CURRENT_SOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"

enum { SETTLE_WITHIN_MS = 5000 };

static void read_line(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

	if (fd >= 0)
		(void)close(fd);
	buf[n > 0 ? n : 0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
}

/* Of one second after the kernel has started: it tries a better calibration, and then says "tsc", or something else. */
void fa_drain_clock_settle(void)
{
	const struct timespec nap = {0, 10000000};
	char name[32];

	for (int i = 0; i < SETTLE_WITHIN_MS / 10; i++) {
		read_line(CURRENT_SOURCE, name, sizeof(name));
		if (strcmp(name, "tsc-early") != 0)
			return;
		(void)nanosleep(&nap, NULL);
	}
}

/* Read once: a trace must not change its clock, even where the kernel does. 0: not read yet. */
static uint32_t known;

uint32_t fa_drain_clock_now(void)
{
	char name[32];

	read_line(CURRENT_SOURCE, name, sizeof(name));
	return strcmp(name, "tsc") == 0 ? FA_CLOCK_TSC : FA_CLOCK_MONOTONIC;
}

void fa_drain_clock_use(uint32_t source)
{
	known = 1 + (source == FA_CLOCK_TSC ? FA_CLOCK_TSC : FA_CLOCK_MONOTONIC);
}

uint32_t fa_drain_clock_source(void)
{
	if (known == 0)
		fa_drain_clock_use(fa_drain_clock_now());
	return known - 1;
}

uint64_t fa_drain_stamp(uint32_t clock_source)
{
	return clock_source == FA_CLOCK_TSC ? __rdtsc() : fa_mono_ns();
}

/* One moment on all clocks: of several tries the one that took the shortest time. */
static struct fa_rec_clock read_clocks(uint32_t clock_source)
{
	struct fa_rec_clock best = {0};
	uint64_t best_width = UINT64_MAX;

	for (int i = 0; i < 5; i++) {
		uint64_t before = fa_drain_stamp(clock_source);
		uint64_t mono = fa_mono_ns(), real = fa_real_ns();
		uint64_t width = fa_drain_stamp(clock_source) - before;

		if (width < best_width) {
			best_width = width;
			best = (struct fa_rec_clock){before + width / 2, mono, real};
		}
	}
	return best;
}

int fa_drain_write_clock(const struct fa_sink *sink, uint32_t clock_source)
{
	struct fa_rec_clock c = read_clocks(clock_source);

	return sink->record(sink->ctx, FA_TAG_CLOCK, &c, sizeof(c), NULL, 0, NULL, 0);
}

/* Stamps per second: good to some 50 ppm, which CLOCK records make exact later. */
static uint64_t measure_hz(uint32_t clock_source)
{
	const struct timespec pause = {0, 4000000};
	struct fa_rec_clock a, b;

	if (clock_source != FA_CLOCK_TSC)
		return 1000000000u;
	a = read_clocks(clock_source);
	(void)nanosleep(&pause, NULL); /* shorter is fine, we measure what passed */
	b = read_clocks(clock_source);
	if (b.mono_ns <= a.mono_ns)
		return 0;
	return (uint64_t)((double)(b.stamp - a.stamp) * 1e9 / (double)(b.mono_ns - a.mono_ns));
}

int fa_drain_write_machine(const struct fa_sink *sink, uint32_t clock_source)
{
	struct fa_rec_machine m = {
		.cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN),
		.page_size = (uint32_t)sysconf(_SC_PAGESIZE),
		.memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE),
		.clock_source = clock_source,
		.clock_hz = measure_hz(clock_source),
	};
	struct utsname u = {0};
	char boot_id[64], text[sizeof(u) + 128];
	int n;

	(void)uname(&u); /* cannot fail with a valid pointer */
	read_line("/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id));
	n = snprintf(text, sizeof(text), "%s%c%s%c%s%c%s%c%s%c%s%c%s", u.sysname, 0, u.release, 0,
		     u.version, 0, u.machine, 0, u.nodename, 0, boot_id, 0, FA_VERSION);
	if (n < 0 || (size_t)n >= sizeof(text))
		return -EINVAL;
	return sink->record(sink->ctx, FA_TAG_MACHINE, &m, sizeof(m), text, (size_t)n + 1, NULL, 0);
}
