/* livemap.c - growing and copying; the look-ups are in the header. */
#include "analysis/livemap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS_LOG2 = 8, CACHED_SLOTS = 1 << 14 };

/*
 * Linear probing stays short when at most five eighths are full. What the second cache holds is to be
 * sparse: there a branch that was not foreseen, for a block that is not at its place, is the dearest.
 */
static size_t room_in(size_t slots)
{
	return slots <= CACHED_SLOTS ? slots / 4 : slots / 8 * 5;
}

void fa_livemap_done(struct fa_livemap *m)
{
	free(m->slots);
	*m = (struct fa_livemap){0};
}

int fa_livemap_grow(struct fa_livemap *m)
{
	unsigned log2 = m->mask == 0 ? FIRST_SLOTS_LOG2 : 64 - m->shift + 1;
	struct fa_livemap bigger = {.mask = ((size_t)1 << log2) - 1, .shift = 64 - log2};

	bigger.slots = calloc(bigger.mask + 1, sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; m->mask != 0 && i <= m->mask; i++) {
		size_t at;

		if (m->slots[i].addr == 0)
			continue;
		at = fa_livemap_hash(&bigger, m->slots[i].addr);
		while (bigger.slots[at].addr != 0)
			at = (at + 1) & bigger.mask;
		bigger.slots[at] = m->slots[i];
	}
	bigger.count = m->count;
	bigger.room = room_in(bigger.mask + 1);
	free(m->slots);
	*m = bigger;
	return 0;
}

int fa_livemap_copy(struct fa_livemap *to, const struct fa_livemap *from)
{
	if (from->mask == 0)
		return 0;
	size_t bytes = (from->mask + 1) * sizeof(*from->slots);
	struct fa_block *slots = malloc(bytes);

	if (slots == NULL)
		return -ENOMEM;
	memcpy(slots, from->slots, bytes);
	*to = *from;
	to->slots = slots;
	return 0;
}
