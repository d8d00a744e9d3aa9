/*
 * resolve.h - stacks of a trace as frames with names.
 *
 * Every process has its own arena, its own addresses and so its own stack nodes. Here they become
 * places: (object, offset in it), and chains of places. The same stack in two processes is one
 * chain, wherever the objects were mapped, also when they are of different traces. Names are looked up only for what is shown or filtered.
 *
 * One thread.
 */
#ifndef FA_RESOLVE_H
#define FA_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/model.h"
#include "base/attr.h"
#include "symbols/symbols.h"

struct fa_resolver;

/* A frame as people see it. Strings live as long as the resolver; NULL, 0: unknown. */
struct fa_frame {
	const char *function;
	const char *file;
	const char *module; /* path */
	uint64_t
		offset; /* in the module (of the return address), or the bare address without one */
	uint32_t line;
	uint32_t recursion; /* so many frames from here came again, and are shown once; 0: none */
	bool inlined;
};

/* `symbols` stays the caller's and outlives the resolver. */
int fa_resolver_new(struct fa_symbols *symbols, bool cull, struct fa_resolver **ret) FA_MUST_USE;
/* Before the first question: stacks that differ only in how often a group of up to 8 places comes again
 * right behind itself are one chain. */
void fa_resolver_fold(struct fa_resolver *r);
void fa_resolver_free(struct fa_resolver *r); /* NULL is fine */

/* The chain of a stack, culled if the resolver culls; 0: no frames, or out of memory. */
uint32_t fa_resolver_chain(struct fa_resolver *r, const struct fa_arena *a, uint32_t stack);
uint32_t fa_resolver_parent(const struct fa_resolver *r, uint32_t chain);    /* 0: outermost */
const char *fa_resolver_module(const struct fa_resolver *r, uint32_t chain); /* NULL: unknown */
uint32_t fa_resolver_marks(const struct fa_resolver *r, uint32_t chain); /* enum fa_node_marks */
/* The innermost place of a chain, and the functions there. NULL: in no known module, the offset is an address. */
struct fa_object *fa_resolver_object(const struct fa_resolver *r, uint32_t chain);
uint64_t fa_resolver_offset(const struct fa_resolver *r, uint32_t chain);
struct fa_symbol_frames fa_resolver_names(const struct fa_resolver *r, uint32_t chain);
/* Object and offset have no name: not even a symbol table knows it. */
bool fa_resolver_is_unknown(struct fa_resolver *r, uint32_t chain);

/*
 * The frames of a chain, innermost first. *ret is malloced, *ret_count its length; *ret_marks the
 * marks of the outermost. limit 0: all. Returns 0 or -ENOMEM.
 */
int fa_resolver_frames(struct fa_resolver *r, uint32_t chain, size_t limit, struct fa_frame **ret,
		       size_t *ret_count, uint32_t *ret_marks) FA_MUST_USE;

/* Is this function, or module, part of an allocator or of the tracer? (cull.c) */
bool fa_is_allocator_function(const char *function);
bool fa_is_tracer_module(const char *path);

#endif
