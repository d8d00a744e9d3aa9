/* nodes.c - frames of stacks, and modules, in the arena: each is made once and found again. */
#include "shim/arena.h"
#include "shim/text.h"

enum { KEPT_BACK = 64 }; /* one node in so many */

static struct fa_arena_node *node_at(const struct fa_segment *s, uint32_t id)
{
	return (struct fa_arena_node *)(void *)(s->base + s->g.node_offset) + (id - s->first_node);
}

static uint32_t *index_of(const struct fa_segment *s)
{
	return (uint32_t *)(void *)(s->base + s->g.index_offset);
}

static bool holds(const struct fa_segment *s, uint32_t id)
{
	return id - s->first_node < s->g.nodes;
}

/* The id in the slot, when it is that of (parent, pc); else 0. */
static uint32_t match(const struct fa_segment *s, uint32_t id, uint32_t parent, uint64_t pc)
{
	const struct fa_arena_node *n;

	if (!holds(s, id))
		return 0;
	n = node_at(s, id);
	return n->parent == parent && __atomic_load_n(&n->pc, __ATOMIC_ACQUIRE) == pc ? id : 0;
}

/* Search one segment: the id, or 0 and *ret_slot the empty slot where it would go (~0: none). */
static uint32_t search(const struct fa_segment *s, uint32_t parent, uint64_t pc, uint32_t *ret_slot)
{
	uint32_t mask = s->g.index_slots - 1, at = fa_node_hash(parent, pc) & mask;
	uint32_t *index = index_of(s);

	*ret_slot = ~0u;
	for (unsigned probes = 0; probes < 256; probes++, at = (at + 1) & mask) {
		uint32_t id = __atomic_load_n(&index[at], __ATOMIC_ACQUIRE);

		if (id == 0) {
			*ret_slot = at;
			return 0;
		}
		if (match(s, id, parent, pc) != 0)
			return id;
	}
	return 0;
}

static const struct fa_segment *segment_of_node(uint32_t id, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++)
		if (holds(&fa_arena.segment[k], id))
			return &fa_arena.segment[k];
	return NULL;
}

static uint32_t publish(const struct fa_segment *s, uint32_t slot, uint32_t id, uint32_t parent,
			uint64_t pc)
{
	uint32_t mask = s->g.index_slots - 1;
	uint32_t *index = index_of(s);

	for (unsigned probes = 0; probes < 256; probes++, slot = (slot + 1) & mask) {
		uint32_t seen = 0;

		if (__atomic_compare_exchange_n(&index[slot], &seen, id, false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			return id;
		/* Another thread was faster with the same frame: use its node, ours is wasted. */
		if (match(s, seen, parent, pc) != 0)
			return seen;
	}
	return id; /* not findable, but right: the next one that needs it makes another */
}

uint32_t fa_arena_node(uint32_t parent, uint64_t pc, uint32_t marks, bool in_need)
{
	struct fa_arena_header *h = fa_arena_head();
	uint32_t n = fa_arena_usable(), slot = ~0u, id, limit;
	const struct fa_segment *s;

	for (uint32_t k = 0; k < n; k++) {
		id = search(&fa_arena.segment[k], parent, pc, &slot);
		if (id != 0)
			return id;
	}
	s = &fa_arena.segment[n - 1];
	/* Not by a difference: the newest segment may hold none yet. */
	if (__atomic_load_n(&h->node_count, __ATOMIC_RELAXED) > s->first_node + s->g.nodes / 4 * 3)
		fa_arena_grow();
	limit = s->first_node + s->g.nodes;
	limit -= limit / KEPT_BACK;
	/* Only an id that lies in a segment of ours may be taken: others of the family may have more. */
	id = __atomic_load_n(&h->node_count, __ATOMIC_RELAXED);
	do {
		s = segment_of_node(id, n);
		if (id == 0 || s == NULL || (!in_need && id >= limit))
			return 0;
	} while (!__atomic_compare_exchange_n(&h->node_count, &id, id + 1, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	struct fa_arena_node *node = node_at(s, id);

	node->parent = parent;
	node->marks = marks;
	__atomic_store_n(&node->pc, pc, __ATOMIC_RELEASE);
	if (s != &fa_arena.segment[n - 1])
		(void)search(s, parent, pc, &slot);
	return slot == ~0u ? id : publish(s, slot, id, parent, pc);
}

uint32_t fa_arena_module(const struct fa_module_seen *seen)
{
	struct fa_arena_header *h = fa_arena_head();
	uint32_t n = fa_arena_usable();
	uint32_t id = __atomic_fetch_add(&h->module_count, 1, __ATOMIC_RELAXED);

	for (uint32_t k = 0; k < n; k++) {
		const struct fa_segment *s = &fa_arena.segment[k];
		struct fa_arena_module *m;
		uint32_t len = seen->build_id_len < FA_BUILD_ID ? seen->build_id_len : FA_BUILD_ID;

		if (id - s->first_module >= s->g.modules || id >= FA_MODULE_UNKNOWN)
			continue;
		m = (struct fa_arena_module *)(void *)(s->base + s->g.module_offset) +
		    (id - s->first_module);
		m->state = 1;
		m->base = seen->base;
		m->end = seen->end;
		m->bias = seen->bias;
		m->stamp = fa_stamp();
		m->build_id_len = seen->build_id == NULL ? 0 : len;
		for (uint32_t i = 0; i < m->build_id_len; i++)
			m->build_id[i] = seen->build_id[i];
		fa_text_copy(m->path, sizeof(m->path), seen->path == NULL ? "" : seen->path);
		__atomic_store_n(&m->state, 2, __ATOMIC_RELEASE);
		return id;
	}
	return FA_MODULE_UNKNOWN;
}
