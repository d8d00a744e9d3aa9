/* space.c - see space.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/replay_internal.h"

static struct fa_space_site *site_of(struct fa_engine *e, uint32_t site)
{
	struct fa_spaces *s = &e->r->space;
	size_t wanted = e->r->model.site_count;

	if (site >= s->site_count) {
		struct fa_space_site *more = reallocarray(s->site, wanted, sizeof(*more));

		if (more == NULL) {
			e->error = -ENOMEM;
			return NULL;
		}
		memset(more + s->site_count, 0, (wanted - s->site_count) * sizeof(*more));
		s->site = more;
		s->site_count = wanted;
	}
	return &s->site[site];
}

static void try_peaks(struct fa_engine *e, uint64_t stamp)
{
	struct fa_spaces *s = &e->r->space;

	if (!fa_in_range(e, stamp))
		return;
	if (s->reserved > s->peak_reserved) {
		s->peak_reserved = s->reserved;
		s->peak_reserved_stamp = stamp;
	}
	if (s->committed > s->peak_committed) {
		s->peak_committed = s->committed;
		s->peak_committed_stamp = stamp;
	}
}

/* A part of `bytes` of a region comes (sign 1) or goes (-1); as 64-bit sums, that wrap. */
static void account(struct fa_engine *e, const struct fa_region *r, uint64_t bytes, uint64_t sign)
{
	struct fa_spaces *s = &e->r->space;
	struct fa_space_site *site;

	if (!r->counted)
		return;
	s->reserved += sign * bytes;
	s->committed += r->accessible ? sign * bytes : 0;
	if (!r->of_range)
		return;
	s->left_reserved += sign * bytes;
	s->left_committed += r->accessible ? sign * bytes : 0;
	site = site_of(e, r->site);
	if (site == NULL)
		return;
	site->reserved += sign * bytes;
	site->committed += r->accessible ? sign * bytes : 0;
}

/* The first region that ends behind `at`. */
static size_t find(const struct fa_space *s, uint64_t at)
{
	size_t lo = 0, hi = s->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->region[mid].hi <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int open_slot(struct fa_space *s, size_t i)
{
	if (s->count == s->cap) {
		size_t wanted = s->cap == 0 ? 16 : s->cap * 2;
		struct fa_region *more = reallocarray(s->region, wanted, sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		s->region = more;
		s->cap = wanted;
	}
	memmove(&s->region[i + 1], &s->region[i], (s->count - i) * sizeof(*s->region));
	s->count++;
	return 0;
}

/* After it no region lies on both sides of `at`. Returns the first one behind it. */
static size_t cut(struct fa_engine *e, struct fa_space *s, uint64_t at)
{
	size_t i = find(s, at);

	if (i == s->count || s->region[i].lo >= at)
		return i;
	if (open_slot(s, i) < 0) {
		e->error = -ENOMEM;
		return i;
	}
	s->region[i].hi = at;
	s->region[i + 1].lo = at;
	return i + 1;
}

static void unmap(struct fa_engine *e, struct fa_space *s, uint64_t lo, uint64_t hi)
{
	size_t from, to;

	if (lo >= hi)
		return;
	from = cut(e, s, lo);
	to = cut(e, s, hi);
	if (e->error != 0)
		return;
	for (size_t i = from; i < to; i++)
		account(e, &s->region[i], s->region[i].hi - s->region[i].lo, UINT64_MAX);
	memmove(&s->region[from], &s->region[to], (s->count - to) * sizeof(*s->region));
	s->count -= to - from;
}

static void map(struct fa_engine *e, struct fa_space *s, const struct fa_region *region)
{
	struct fa_space_site *site;
	size_t i;

	if (region->lo >= region->hi)
		return;
	unmap(e, s, region->lo, region->hi);
	i = find(s, region->lo);
	if (e->error != 0 || open_slot(s, i) < 0) {
		e->error = -ENOMEM;
		return;
	}
	s->region[i] = *region;
	account(e, region, region->hi - region->lo, 1);
	site = region->counted && region->of_range ? site_of(e, region->site) : NULL;
	if (site == NULL)
		return;
	site->calls++;
	site->bytes += region->hi - region->lo;
	e->r->space.maps++;
	e->r->space.bytes += region->hi - region->lo;
}

static void protect(struct fa_engine *e, struct fa_space *s, uint64_t lo, uint64_t hi,
		    bool accessible)
{
	size_t from, to;

	if (lo >= hi)
		return;
	from = cut(e, s, lo);
	to = cut(e, s, hi);
	for (size_t i = from; i < to && e->error == 0; i++) {
		struct fa_region *r = &s->region[i];

		account(e, r, r->hi - r->lo, UINT64_MAX);
		r->accessible = accessible;
		account(e, r, r->hi - r->lo, 1);
	}
}

/* As the kernel does; saturated, since a trace may say anything. */
static uint64_t end_of(uint64_t lo, uint64_t size)
{
	uint64_t hi = size > UINT64_MAX - 4095 - lo ? UINT64_MAX : (lo + size + 4095);

	return hi & ~4095ULL;
}

static bool was_accessible(const struct fa_space *s, uint64_t at)
{
	size_t i = find(s, at);

	return i == s->count || s->region[i].lo > at || s->region[i].accessible;
}

static void resize(struct fa_engine *e, struct fa_space *s, const struct fa_event *ev,
		   struct fa_region *region)
{
	/* Old size 0: the old mapping stays, and gets a second place. */
	region->accessible = was_accessible(s, ev->old);
	if (ev->arg != 0)
		unmap(e, s, ev->old, end_of(ev->old, (uint64_t)ev->arg * 4096));
	map(e, s, region);
}

static void move_break(struct fa_engine *e, struct fa_space *s, const struct fa_event *ev,
		       struct fa_region *region)
{
	uint64_t before = end_of(ev->old, 0), now = end_of(ev->addr, 0);

	region->lo = before;
	region->hi = now;
	if (now > before)
		map(e, s, region);
	else
		unmap(e, s, now, before);
}

void fa_space_apply(struct fa_engine *e, struct fa_stream *s, const struct fa_event *ev)
{
	struct fa_space *space = &s->process->space;
	struct fa_region region = {.lo = ev->addr & ~4095ULL,
				   .hi = end_of(ev->addr, ev->size),
				   .of_range = fa_in_range(e, ev->stamp)};

	e->r->space.any = true;
	/* What happens behind the range changes nothing that was there at its end. */
	if (ev->stamp >= e->hi)
		return;
	region.site = fa_site_of(e, s->process->arena, ev);
	region.counted = s->process->selected && s->thread->selected &&
			 e->r->model.sites[region.site].wanted;
	e->r->space.unmaps += ev->fn == FA_CALL_MUNMAP && region.of_range && region.counted;
	switch (ev->fn) {
	case FA_CALL_MMAP:
		region.accessible = (ev->arg & 7) != 0;
		map(e, space, &region);
		break;
	case FA_CALL_MUNMAP:
		unmap(e, space, region.lo, region.hi);
		break;
	case FA_CALL_MREMAP:
		resize(e, space, ev, &region);
		break;
	case FA_CALL_BRK:
		region.accessible = true;
		move_break(e, space, ev, &region);
		break;
	case FA_CALL_MPROTECT:
		protect(e, space, region.lo, region.hi, (ev->arg & 7) != 0);
		break;
	default:
		break;
	}
	try_peaks(e, ev->stamp);
}

void fa_space_end(struct fa_engine *e, struct fa_process *p)
{
	struct fa_space *s = &p->space;

	for (size_t i = 0; i < s->count; i++) {
		const struct fa_region *r = &s->region[i];

		if (!r->counted)
			continue;
		e->r->space.reserved -= r->hi - r->lo;
		e->r->space.committed -= r->accessible ? r->hi - r->lo : 0;
	}
	free(s->region);
	*s = (struct fa_space){0};
}
