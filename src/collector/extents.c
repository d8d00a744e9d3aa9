/*
 * extents.c - how much memory a process has, as the kernel says: once a second, and soon after a mark.
 *
 * What malloc takes from the kernel is no call that could be recorded (libc makes it inside), so it is looked at
 * from outside. /proc/PID/status is short, open to all, and takes as long for a large process as for a small one;
 * smaps would tell the heap from the rest, at the price of a walk over all pages, and to the process's own
 * user only.
 *
 * Taken off: the arena, and what the shim has mapped for itself (as it says: informative).
 */
#include <stdio.h>

#include "base/clock.h"
#include "collector/family_internal.h"

static const uint64_t sample_ns = 1000000000;

static uint64_t less(uint64_t from, uint64_t what)
{
	return from > what ? from - what : 0;
}

static void sample(struct fa_family *f, const struct fa_process *p)
{
	uint64_t own = arena_load64(&family_slot(f, p->slot)->own_bytes);
	struct fa_rec_extents r = {
		.process = p->record.process,
		.stamp = fa_drain_stamp(f->header.clock_source),
	};
	struct fa_procfs_memory m;

	if (fa_procfs_memory(p->pid, &m) < 0) {
		r.flags = FA_EXTENTS_UNREADABLE;
	} else {
		r.reserved = less(m.mapped, own + fa_family_mapped_bytes(f));
		r.committed = less(m.writable, own);
		r.resident = m.resident;
		r.swapped = m.swapped;
	}
	family_emit(f, FA_TAG_EXTENTS, &r, sizeof(r), NULL, 0, NULL, 0);
}

void family_sample(struct fa_family *f, struct fa_process *p, uint64_t now)
{
	if (!p->known || (p->sampled_ns != 0 && now - p->sampled_ns < sample_ns))
		return;
	p->sampled_ns = now;
	sample(f, p);
}

void fa_family_sample_soon(struct fa_family *f)
{
	for (uint32_t i = 0; i < FA_ARENA_PROCESSES; i++)
		if (f->slot[i] != NULL)
			f->slot[i]->sampled_ns = 0;
}
