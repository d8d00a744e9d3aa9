/*
 * real.h - the next definitions in load order, and other names of the process's objects.
 *
 * Looked up in the loaded objects' own tables: dlsym calls malloc, and is not in the libc of older
 * systems; the names of libc's internals bypass allocators that come between.
 */
#ifndef FA_REAL_H
#define FA_REAL_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

/* The order is known to hooks.S and to the table in real.c. */
struct fa_real {
	void *(*malloc)(size_t size);
	void (*free)(void *block);
	void *(*calloc)(size_t count, size_t size);
	void *(*realloc)(void *block, size_t size);
	void *(*reallocarray)(void *block, size_t count, size_t size);
	int (*posix_memalign)(void **ret, size_t alignment, size_t size);
	void *(*aligned_alloc)(size_t alignment, size_t size);
	void *(*memalign)(size_t alignment, size_t size);
	void *(*valloc)(size_t size);
	void *(*pvalloc)(size_t size);
	void (*free_sized)(void *block, size_t size);
	void (*free_aligned_sized)(void *block, size_t alignment, size_t size);
	int (*prctl)(int option, ...);
	int (*fork)(void);
	int (*_Fork)(void);
};
extern FA_HIDDEN struct fa_real fa_real;

/* Fill fa_real, once; safe at any time and from several threads. false: there is no allocator. */
bool fa_real_resolve(void);

/* glibc's struct r_debug_extended: a namespace of objects, and the next one. NULL: not known, or no more. */
struct fa_debug {
	struct r_debug base;
	const struct fa_debug *next;
};
const struct fa_debug *fa_debug_first(void);
const struct fa_debug *fa_debug_next(const struct fa_debug *d);

/* dl_iterate_phdr as it is. */
int fa_iterate(int (*callback)(struct dl_phdr_info *info, size_t size, void *data), void *data);

struct link_map *fa_objects(void); /* the first loaded object, NULL when unknown */
bool fa_object_is_self(const struct link_map *object);

/* Address of a defined symbol of this object, NULL: it has none of that name. */
void *fa_object_symbol(const struct link_map *object, const char *name);
/* The first definition among the objects that were loaded with the program, up to the dynamic linker: those
 * are never unloaded, so this may be asked at any time. */
void *fa_startup_symbol(const char *name);
const struct link_map *fa_startup_next(const struct link_map *object); /* NULL: that was the last */
/* The first definition in load order, starting at `from`. */
void *fa_symbol_from(const struct link_map *from, const char *name);

#endif
