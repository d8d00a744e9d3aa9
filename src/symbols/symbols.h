/*
 * symbols.h - addresses of ELF objects as functions, files and lines, inlined frames included.
 *
 * Works on files only (elfutils), never in or on a traced process. An object is known by path and
 * build id: a file that was replaced since is not believed; its debug file is then looked for by
 * build id, below /usr/lib/debug and the folders given. No server is ever asked unless `debuginfod`
 * is set. Answers are kept: the second question for an address costs a look-up.
 *
 * One thread. Never prints. Sets and unsets DEBUGINFOD_URLS in this process (libdw has no other
 * switch).
 */
#ifndef FA_SYMBOLS_H
#define FA_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct fa_symbols;
struct fa_object;

struct fa_symbols_options {
	const char *const *debug_dirs; /* each holds .build-id/xx/yyyy.debug */
	int debug_dir_count;
	bool debuginfod; /* ask the servers in DEBUGINFOD_URLS for what is missing */
};

enum fa_object_state {
	FA_OBJECT_MISSING = 0, /* no file */
	FA_OBJECT_CHANGED = 1, /* the file has another build id, and no debug file was found */
	FA_OBJECT_SYMBOLS = 2, /* symbol table only */
	FA_OBJECT_DEBUG = 3,   /* debug information */
};

struct fa_symbol_frame {
	const char *function; /* demangled; NULL: unknown */
	const char *file;     /* NULL: unknown */
	uint32_t line;        /* 0: unknown */
	bool inlined;         /* into the next frame */
};

struct fa_symbol_frames {
	const struct fa_symbol_frame *frame; /* innermost first; count is at least 1 */
	size_t count;
};

int fa_symbols_new(const struct fa_symbols_options *options, struct fa_symbols **ret) FA_MUST_USE;
void fa_symbols_free(struct fa_symbols *s); /* NULL is fine */

/* Found or made; opened at its first question. NULL: out of memory. Lives as long as `s`. */
struct fa_object *fa_symbols_object(struct fa_symbols *s, const char *path,
				    const unsigned char *build_id, size_t build_id_len);

/* `address` as in the object's file (process address minus bias). Not a return address + 1: the
 * caller subtracts. The answer lives as long as the object; out of memory: a frame of unknowns. */
struct fa_symbol_frames fa_object_find(struct fa_object *o, uint64_t address);
/* Does the function that the code at `address` belongs to have a name? Cheaper than to find it. */
bool fa_object_has_name(struct fa_object *o, uint64_t address);
/* It has names in the symbol table, and `is` is true of none of them. */
bool fa_object_other_name(struct fa_object *o, uint64_t address, bool (*is)(const char *name));
enum fa_object_state fa_object_state(struct fa_object *o);
/* As the caller named it; both live as long as the object. */
const char *fa_object_path(const struct fa_object *o);
const unsigned char *fa_object_build_id(const struct fa_object *o, size_t *ret_len);

/* C++ and Rust names as people write them, cut at 4,096 characters. malloced; NULL: `name` is not mangled,
 * or out of memory. */
char *fa_demangle(const char *name);

#endif
