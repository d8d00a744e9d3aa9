/*
 * iterate.c - dl_iterate_phdr without us, where AddressSanitizer's runtime is loaded: it ends the
 * program when the first library of this list is not its own. Elsewhere the list is as it is.
 */
#include <link.h>

#include "base/attr.h"
#include "shim/real.h"
#include "shim/state.h"

typedef int callback_fn(struct dl_phdr_info *info, size_t size, void *data);

FA_EXPORT int dl_iterate_phdr(callback_fn *callback, void *data);

/* A sanitizer's runtime is there from the start. By the linker's own look-up: a walk of ours over the
 * objects could meet one that another thread is just closing. */
extern void __asan_init(void) __attribute__((weak));

struct wrapped {
	callback_fn *callback;
	void *data;
	uint64_t bias; /* of ourselves */
};

static int leave_us_out(struct dl_phdr_info *info, size_t size, void *data)
{
	const struct wrapped *w = data;

	return info->dlpi_addr == w->bias ? 0 : w->callback(info, size, w->data);
}

static const struct link_map *own_object(void)
{
	const struct link_map *o = fa_objects();

	while (o != NULL && !fa_object_is_self(o))
		o = o->l_next;
	return o;
}

int fa_iterate(callback_fn *callback, void *data)
{
	static int (*real)(callback_fn *, void *);
	int (*next)(callback_fn *, void *) = __atomic_load_n(&real, __ATOMIC_ACQUIRE);

	if (next == NULL) {
		const struct link_map *own = own_object();

		if (own == NULL)
			return 0;
		next = (int (*)(callback_fn *, void *))(uintptr_t)fa_symbol_from(own->l_next,
										 "dl_iterate_phdr");
		if (next == NULL)
			return 0;
		__atomic_store_n(&real, next, __ATOMIC_RELEASE);
	}
	return next(callback, data);
}

int dl_iterate_phdr(callback_fn *callback, void *data)
{
	const struct link_map *own = &__asan_init == NULL ? NULL : own_object();

	if (own == NULL)
		return fa_iterate(callback, data);
	struct wrapped w = {callback, data, own->l_addr};

	return fa_iterate(leave_us_out, &w);
}
