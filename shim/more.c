/* more.c - see more.h. */
#include "shim/more.h"

#include "shim/real.h"

#define X(number, name) +1
enum { SLOTS = 0 FA_MORE(X) };
#undef X
_Static_assert(SLOTS == sizeof(struct fa_more) / sizeof(void *), "a slot for each name");
#define X(number, name)                                                                            \
	_Static_assert(offsetof(struct fa_more, name) == (number) * sizeof(void *), "their "       \
										    "order");
FA_MORE(X)
#undef X

_Static_assert(FA_BESIDE_LOCK == FA_TRACING_LOCK && FA_BESIDE_LOADER == FA_TRACING_LOADER &&
		       FA_BESIDE_VM == FA_TRACING_VM,
	       "one number");
_Static_assert(FA_BY_DLOPEN == FA_LOAD_DLOPEN && FA_BY_DLMOPEN == FA_LOAD_DLMOPEN, "one number");
_Static_assert((FA_TRACING_CALLS & ~0xff) == 0, "fa_beside is a byte");

uint8_t fa_beside;

static const char names[SLOTS][28] = {
#define X(number, name) #name,
	FA_MORE(X)
#undef X
};

/* There is no such function: so it is nobody's to call, but who looks for it by its name may find ours. */
static long fail(void)
{
	return -1;
}

/* Without threads (before glibc 2.34 they were a library of their own) every lock can be had. */
static int succeed(void)
{
	return 0;
}

/* Without libdl (until glibc 2.34) nothing is found, nor was anything opened. */
static void *find_nothing(void)
{
	return NULL;
}

/* Those that were loaded with the program come first, and stay; only who is not among them is looked for
 * where another thread may be closing one. */
static void *next_definition(const char *name)
{
	const struct link_map *self = fa_objects();

	while (self != NULL && !fa_object_is_self(self))
		self = fa_startup_next(self);
	if (self == NULL)
		return NULL;
	for (const struct link_map *o = fa_startup_next(self); o != NULL; o = fa_startup_next(o)) {
		void *p = fa_object_symbol(o, name);

		if (p != NULL)
			return p;
	}
	return fa_symbol_from(self->l_next, name);
}

void *fa_more_find(unsigned slot)
{
	void **slots = (void **)(void *)&fa_more;
	void *p = next_definition(names[slot]);

	if (p == NULL && names[slot][0] == 'd')
		return (void *)(uintptr_t)find_nothing;
	if (p == NULL)
		return names[slot][0] == 'p' ? (void *)(uintptr_t)succeed : (void *)(uintptr_t)fail;
	__atomic_store_n(&slots[slot], p, __ATOMIC_RELEASE);
	return p;
}
