/*
 * resolve.c - arena nodes to chains of places, interned; places to frames.
 *
 * A node's parent has a smaller id (the shim appends the caller first); a file that says otherwise
 * does not get a loop out of us: such a node is taken as outermost.
 */
#include "report/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A chain: one place and the chain of its callers. */
struct link {
	uint32_t parent;
	uint32_t next; /* in its bucket */
	uint32_t marks;
	uint8_t recursion;        /* so many places, up to this one, came again and were folded */
	uint8_t culled;           /* enum knowledge */
	uint8_t unknown;          /* enum knowledge */
	struct fa_object *object; /* NULL: in no known module */
	const char *module;
	uint64_t offset;
};

enum knowledge { NOT_ASKED = 0, NO = 1, YES = 2 };

struct fa_resolver {
	struct fa_symbols *symbols;
	bool cull;
	bool fold;
	struct fa_idmap mapped; /* arena serial << 32 | module id: its object */
	struct fa_idmap chains; /* arena serial << 32 | node id: chain as a pointer */
	struct link *link;      /* [0] is unused */
	size_t link_count, link_cap;
	uint32_t *bucket;
	size_t bucket_mask;
};

enum { DEPTH_MAX = 4096, FOLD_MAX = 8 };

int fa_resolver_new(struct fa_symbols *symbols, bool cull, struct fa_resolver **ret)
{
	struct fa_resolver *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->symbols = symbols;
	r->cull = cull;
	r->link_cap = 1024;
	r->link_count = 1;
	r->link = calloc(r->link_cap, sizeof(*r->link));
	r->bucket_mask = 2047;
	r->bucket = calloc(r->bucket_mask + 1, sizeof(*r->bucket));
	if (r->link == NULL || r->bucket == NULL) {
		fa_resolver_free(r);
		return -ENOMEM;
	}
	*ret = r;
	return 0;
}

void fa_resolver_fold(struct fa_resolver *r)
{
	r->fold = true;
}

void fa_resolver_free(struct fa_resolver *r)
{
	if (r == NULL)
		return;
	fa_idmap_done(&r->mapped);
	fa_idmap_done(&r->chains);
	free(r->link);
	free(r->bucket);
	free(r);
}

static struct fa_object *find_mapped(struct fa_resolver *r, const struct fa_arena *a,
				     const struct fa_module *module)
{
	uint64_t key = (uint64_t)a->serial << 32 | module->id;
	struct fa_object *o = fa_idmap_get(&r->mapped, key);

	if (o != NULL)
		return o;
	o = fa_symbols_object(r->symbols, fa_arena_module_path(a, module), module->build_id,
			      module->build_id_len);
	return o != NULL && fa_idmap_put(&r->mapped, key, o) == 0 ? o : NULL;
}

static size_t bucket_of(const struct fa_resolver *r, const struct link *l)
{
	uint64_t h = (l->offset + (uintptr_t)l->object) * 0x9fb21c651e98df25ULL + l->parent;

	return (size_t)((h * 0x9e3779b97f4a7c15ULL) >> 32) & r->bucket_mask;
}

static int grow_links(struct fa_resolver *r)
{
	struct link *bigger = reallocarray(r->link, r->link_cap * 2, sizeof(*bigger));

	if (bigger == NULL)
		return -ENOMEM;
	r->link = bigger;
	r->link_cap *= 2;
	uint32_t *buckets = calloc(r->link_cap * 2, sizeof(*buckets));

	if (buckets == NULL)
		return -ENOMEM;
	free(r->bucket);
	r->bucket = buckets;
	r->bucket_mask = r->link_cap * 2 - 1;
	for (size_t i = 1; i < r->link_count; i++) {
		size_t b = bucket_of(r, &r->link[i]);

		r->link[i].next = r->bucket[b];
		r->bucket[b] = (uint32_t)i;
	}
	return 0;
}

static uint32_t intern(struct fa_resolver *r, const struct link *wanted)
{
	for (uint32_t i = r->bucket[bucket_of(r, wanted)]; i != 0; i = r->link[i].next)
		if (r->link[i].parent == wanted->parent && r->link[i].object == wanted->object &&
		    r->link[i].offset == wanted->offset && r->link[i].marks == wanted->marks)
			return i;
	if (r->link_count == r->link_cap && (r->link_count > UINT32_MAX / 4 || grow_links(r) < 0))
		return 0;
	size_t b = bucket_of(r, wanted), i = r->link_count++;

	r->link[i] = *wanted;
	r->link[i].next = r->bucket[b];
	r->bucket[b] = (uint32_t)i;
	return (uint32_t)i;
}

static uint32_t intern_node(struct fa_resolver *r, const struct fa_arena *a,
			    const struct fa_arena_node *node, uint32_t parent)
{
	const struct fa_module *module = fa_arena_module_of(a, node->pc);
	struct fa_object *o = module == NULL ? NULL : find_mapped(r, a, module);
	struct link l = {.parent = parent, .marks = node->marks, .offset = FA_NODE_PC(node->pc)};

	if (o != NULL) {
		l.object = o;
		l.module = fa_object_path(o);
		l.offset -= module->bias;
	}
	return intern(r, &l);
}

static bool same_place(const struct link *a, const struct link *b)
{
	return a->object == b->object && a->offset == b->offset && a->marks == b->marks;
}

/* The chain `outer` from which `group` places lead to `chain`, when the same places lead to it; else 0. */
static uint32_t repeated(const struct fa_resolver *r, uint32_t chain, unsigned group)
{
	uint32_t outer = chain, a = chain, b;

	for (unsigned i = 0; i < group && outer != 0; i++)
		outer = r->link[outer].parent;
	b = outer;
	for (unsigned i = 0; i < group; i++) {
		if (b == 0 || !same_place(&r->link[a], &r->link[b]))
			return 0;
		a = r->link[a].parent;
		b = r->link[b].parent;
	}
	return outer;
}

/* Places that come again right behind themselves are left out: the chain without them. */
static uint32_t fold(struct fa_resolver *r, uint32_t chain)
{
	for (unsigned group = 1; r->fold && group <= FOLD_MAX; group++) {
		uint32_t outer = repeated(r, chain, group);

		if (outer == 0)
			continue;
		r->link[outer].recursion = (uint8_t)group;
		return outer;
	}
	return chain;
}

static uint32_t raw_chain(struct fa_resolver *r, const struct fa_arena *a, uint32_t stack)
{
	uint32_t ids[DEPTH_MAX];
	size_t depth = 0;
	uint32_t chain = 0, id = stack;
	const struct fa_arena_node *node;

	while (depth < DEPTH_MAX && (node = fa_arena_node_at(a, id, NULL)) != NULL) {
		void *known = fa_idmap_get(&r->chains, (uint64_t)a->serial << 32 | id);

		if (known != NULL) {
			chain = (uint32_t)(uintptr_t)known;
			break;
		}
		ids[depth++] = id;
		if (node->parent >= id)
			break;
		id = node->parent;
	}
	while (depth > 0) {
		id = ids[--depth];
		chain = fold(r, intern_node(r, a, fa_arena_node_at(a, id, NULL), chain));
		if (chain == 0 || fa_idmap_put(&r->chains, (uint64_t)a->serial << 32 | id,
					       (void *)(uintptr_t)chain) < 0)
			return 0;
	}
	return chain;
}

/* A return address lies behind its call, perhaps in the next line or function. */
static uint64_t code_of(const struct link *l)
{
	return l->offset - !(l->marks & FA_NODE_SIGNAL);
}

static struct fa_symbol_frames names_of(const struct link *l)
{
	static const struct fa_symbol_frame unknown;

	if (l->object == NULL)
		return (struct fa_symbol_frames){.frame = &unknown, .count = 1};
	return fa_object_find(l->object, code_of(l));
}

static bool is_culled(struct link *l)
{
	if (l->culled != NOT_ASKED)
		return l->culled == YES;
	l->culled = YES;
	if (l->module != NULL && fa_is_tracer_module(l->module))
		return true;
	/* The outermost frame of a place is the function in the symbol table: when that is none, there is
	 * no need for the debug information, which knows what was inlined into it. */
	if (l->object != NULL &&
	    fa_object_other_name(l->object, code_of(l), fa_is_allocator_function)) {
		l->culled = NO;
		return false;
	}
	struct fa_symbol_frames names = names_of(l);

	for (size_t i = 0; i < names.count; i++)
		if (names.frame[i].function == NULL ||
		    !fa_is_allocator_function(names.frame[i].function))
			l->culled = NO;
	return l->culled == YES;
}

uint32_t fa_resolver_chain(struct fa_resolver *r, const struct fa_arena *a, uint32_t stack)
{
	uint32_t chain = raw_chain(r, a, stack);

	/* When everything is allocator, the outermost frame stays: it says at least that. */
	while (r->cull && chain != 0 && r->link[chain].parent != 0 && is_culled(&r->link[chain]))
		chain = r->link[chain].parent;
	return chain;
}

uint32_t fa_resolver_parent(const struct fa_resolver *r, uint32_t chain)
{
	return r->link[chain].parent;
}

const char *fa_resolver_module(const struct fa_resolver *r, uint32_t chain)
{
	return r->link[chain].module;
}

struct fa_object *fa_resolver_object(const struct fa_resolver *r, uint32_t chain)
{
	return r->link[chain].object;
}

uint64_t fa_resolver_offset(const struct fa_resolver *r, uint32_t chain)
{
	return r->link[chain].offset;
}

struct fa_symbol_frames fa_resolver_names(const struct fa_resolver *r, uint32_t chain)
{
	return names_of(&r->link[chain]);
}

uint32_t fa_resolver_marks(const struct fa_resolver *r, uint32_t chain)
{
	return r->link[chain].marks;
}

bool fa_resolver_is_unknown(struct fa_resolver *r, uint32_t chain)
{
	struct link *l = &r->link[chain];

	if (l->unknown == NOT_ASKED)
		l->unknown = l->object != NULL && fa_object_has_name(l->object, code_of(l)) ? NO
											    : YES;
	return l->unknown == YES;
}

/* Frames of one place; those in front that an allocator was inlined as are left out. */
static size_t frames_of(const struct fa_resolver *r, const struct link *l, bool innermost,
			struct fa_frame *out, size_t room)
{
	struct fa_symbol_frames names = names_of(l);
	size_t i = 0, n = 0;

	while (r->cull && innermost && i + 1 < names.count && names.frame[i].function != NULL &&
	       fa_is_allocator_function(names.frame[i].function))
		i++;
	for (; i < names.count && n < room; i++, n++)
		out[n] = (struct fa_frame){
			.function = names.frame[i].function,
			.file = names.frame[i].file,
			.line = names.frame[i].line,
			.inlined = names.frame[i].inlined,
			.module = l->module,
			.offset = l->offset,
		};
	return n;
}

int fa_resolver_frames(struct fa_resolver *r, uint32_t chain, size_t limit, struct fa_frame **ret,
		       size_t *ret_count, uint32_t *ret_marks)
{
	enum { STEP = 64 };
	struct fa_frame *frames = NULL;
	size_t count = 0, cap = 0;
	uint32_t marks = 0;
	size_t first = 0;   /* frame of a group that recurs */
	unsigned group = 0; /* places of it that are still to come */

	for (uint32_t at = chain; at != 0 && (limit == 0 || count < limit);
	     at = r->link[at].parent) {
		/* One place has at most STEP frames. */
		if (cap - count < STEP) {
			struct fa_frame *bigger =
				reallocarray(frames, cap + 4 * STEP, sizeof(*bigger));

			if (bigger == NULL) {
				free(frames);
				return -ENOMEM;
			}
			frames = bigger;
			cap += 4 * STEP;
		}
		if (group == 0) {
			group = r->link[at].recursion;
			first = count;
		}
		count += frames_of(r, &r->link[at], at == chain, frames + count, STEP);
		if (group != 0 && --group == 0)
			frames[first].recursion = (uint32_t)(count - first);
		marks = r->link[at].marks;
	}
	*ret = frames;
	*ret_count = limit != 0 && count > limit ? limit : count;
	*ret_marks = marks;
	return 0;
}
