/* stack_key.c - see stack_key.h. Keys are hashes of 64 bits: two stacks of a trace do not meet in one. */
#include "report/stack_key.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

struct fa_stack_keys {
	struct fa_resolver *resolver;
	bool alone;            /* each model has one program */
	struct fa_idmap exes;  /* hash of the path of a program */
	struct fa_idmap build; /* hash of a module's name: its build, or BUILDS */
	struct fa_idmap keys;  /* chain: its key */
};

static char yes, BUILDS; /* as values of the maps above */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9fb21c651e98df25ULL;
	return h ^ h >> 29;
}

static uint64_t hash_bytes(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return mix(h, len);
}

static uint64_t hash_text(uint64_t h, const char *text)
{
	return hash_bytes(h, text, strlen(text));
}

/* As a value of a map, which is no NULL and none of the markers. */
static void *as_value(uint64_t hash)
{
	return (void *)(uintptr_t)(hash | 1ULL << 63);
}

/* ---- modules ---- */

/* "libssl.so.3" is libssl.so, "nginx (deleted)" is nginx. */
static size_t plain_length(const char *name)
{
	const char *so = strstr(name, ".so."), *deleted = strstr(name, " (deleted)");

	if (so != NULL)
		return (size_t)(so - name) + 3;
	return deleted != NULL ? (size_t)(deleted - name) : strlen(name);
}

static uint64_t name_of(const struct fa_stack_keys *k, const char *path)
{
	const char *name = fa_base_name(path);

	if (k->alone && fa_idmap_get(&k->exes, hash_text(1, path)) != NULL)
		return 1;
	return hash_bytes(2, name, plain_length(name));
}

static uint64_t build_of(const char *path, const unsigned char *id, size_t len)
{
	return len != 0 ? hash_bytes(3, id, len) : hash_text(4, path);
}

static int add_module(struct fa_stack_keys *k, const struct fa_arena *a, const struct fa_module *m)
{
	const char *path = fa_arena_module_path(a, m);
	uint64_t name = name_of(k, path);
	void *build = as_value(build_of(path, m->build_id, m->build_id_len));
	const void *known = fa_idmap_get(&k->build, name);

	if (known != NULL && known != build)
		build = &BUILDS;
	return known == build ? 0 : fa_idmap_put(&k->build, name, build);
}

static int add_modules(struct fa_stack_keys *k, const struct fa_model *model)
{
	int r = 0;

	for (size_t i = 0; i < model->arena_count; i++) {
		const struct fa_arena *a = model->arenas[i];

		for (size_t at = 0; r == 0 && a->modules.mask != 0 && at <= a->modules.mask; at++)
			if (a->modules.values[at] != NULL)
				r = add_module(k, a, a->modules.values[at]);
	}
	return r;
}

static int add_programs(struct fa_stack_keys *k, const struct fa_model *model)
{
	const char *first = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < model->arena_count; i++) {
		const char *exe = model->arenas[i]->exe;

		if (exe[0] == '\0')
			continue;
		k->alone &= first == NULL || strcmp(first, exe) == 0;
		first = exe;
		r = fa_idmap_put(&k->exes, hash_text(1, exe), &yes);
	}
	return r;
}

int fa_stack_keys_new(struct fa_resolver *resolver, const struct fa_model *const *models,
		      size_t count, struct fa_stack_keys **ret)
{
	struct fa_stack_keys *k = calloc(1, sizeof(*k));
	int r = k == NULL ? -ENOMEM : 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		k->resolver = resolver;
		k->alone |= i == 0;
		r = add_programs(k, models[i]);
	}
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_modules(k, models[i]);
	if (r < 0) {
		fa_stack_keys_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void fa_stack_keys_free(struct fa_stack_keys *k)
{
	if (k == NULL)
		return;
	fa_idmap_done(&k->exes);
	fa_idmap_done(&k->build);
	fa_idmap_done(&k->keys);
	free(k);
}

/* ---- places ---- */

/* What a compiler puts behind a name for its own use, other in each build: "f.constprop.0", "f [clone .part.1]",
 * "f::h0123456789abcdef". */
static size_t name_length(const char *function)
{
	const char *clone = strstr(function, " [clone"),
		   *dot = strchr(function + (*function == '.'), '.');
	size_t len = clone != NULL ? (size_t)(clone - function) : strlen(function);

	if (len > 19 && strncmp(function + len - 19, "::h", 3) == 0 &&
	    strspn(function + len - 16, "0123456789abcdef") == 16)
		return len - 19;
	/* A dot within a C++ name is part of it: "operator...", "{lambda(...)#1}". */
	return dot != NULL && strpbrk(function, "(<: ") == NULL ? (size_t)(dot - function) : len;
}

static uint64_t hash_function(uint64_t h, const char *function)
{
	return hash_bytes(h, function, name_length(function));
}

/* The key of a place whose caller's is `h`. */
static uint64_t place_key(const struct fa_stack_keys *k, uint64_t h, uint32_t chain)
{
	struct fa_object *o = fa_resolver_object(k->resolver, chain);
	uint64_t offset = fa_resolver_offset(k->resolver, chain), name;
	const unsigned char *id;
	size_t len;

	if (o == NULL)
		return mix(mix(h, 5), offset);
	name = name_of(k, fa_object_path(o));
	id = fa_object_build_id(o, &len);
	if (fa_idmap_get(&k->build, name) != &BUILDS)
		return mix(mix(h, build_of(fa_object_path(o), id, len)), offset);
	const struct fa_symbol_frames names = fa_resolver_names(k->resolver, chain);

	for (size_t i = names.count; i-- > 0;)
		h = names.frame[i].function == NULL
			    ? mix(mix(h, name), offset)
			    : hash_function(mix(h, 6), names.frame[i].function);
	return h;
}

static uint64_t known_key(const struct fa_stack_keys *k, uint32_t chain)
{
	return (uint64_t)(uintptr_t)fa_idmap_get(&k->keys, chain);
}

int fa_stack_key(struct fa_stack_keys *k, uint32_t chain, uint64_t *ret)
{
	uint32_t todo[4096];
	size_t n = 0;
	uint64_t h = 0;

	/* Outermost first, from where it is known; what is deeper than a stack can be is cut. */
	for (uint32_t at = chain; at != 0 && n < sizeof(todo) / sizeof(todo[0]);
	     at = fa_resolver_parent(k->resolver, at)) {
		h = known_key(k, at);
		if (h != 0)
			break;
		todo[n++] = at;
	}
	while (n > 0) {
		uint32_t at = todo[--n];

		h = place_key(k, h, at) | 1ULL << 63;
		if (fa_idmap_put(&k->keys, at, as_value(h)) < 0)
			return -ENOMEM;
	}
	*ret = h;
	return 0;
}

int fa_function_key(struct fa_stack_keys *k, uint32_t chain, uint64_t *ret)
{
	struct fa_frame *frame = NULL;
	size_t count;
	uint32_t marks;
	uint64_t key = 0;
	int r = chain == 0 ? 0 : fa_resolver_frames(k->resolver, chain, 1, &frame, &count, &marks);

	if (r < 0)
		return r;
	if (chain != 0) {
		key = frame->module == NULL ? 7 : name_of(k, frame->module);
		key = frame->function == NULL ? mix(key, frame->offset)
					      : hash_function(key, frame->function);
		key |= 1ULL << 63;
	}
	free(frame);
	*ret = key;
	return 0;
}
