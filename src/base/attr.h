/* attr.h - the only place that spells GNU attributes. Header-only, freestanding. */
#ifndef FA_ATTR_H
#define FA_ATTR_H

#define FA_CLEANUP(fn)  __attribute__((cleanup(fn)))
#define FA_MUST_USE     __attribute__((warn_unused_result))
#define FA_EXPORT       __attribute__((visibility("default")))
#define FA_HIDDEN       __attribute__((visibility("hidden")))
#define FA_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define FA_NOINLINE     __attribute__((noinline))
#define FA_INLINE       inline __attribute__((always_inline))
#define FA_WEAK         __attribute__((weak))
#define FA_UNUSED       __attribute__((unused))
#define FA_ALIGNED(n)   __attribute__((aligned(n)))
#define FA_VECTOR(n)    __attribute__((vector_size(n)))
#define FA_INITIAL_EXEC __attribute__((tls_model("initial-exec")))
#define FA_LIKELY(x)    __builtin_expect(!!(x), 1)
#define FA_UNLIKELY(x)  __builtin_expect(!!(x), 0)

/* Move ownership out of a FA_CLEANUP variable: the variable is left empty. */
static inline int fa_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline void *fa_take_ptr_(void **p)
{
	void *taken = *p;

	*p = 0;
	return taken;
}
#define fa_take_ptr(p) fa_take_ptr_((void **)(p))

#endif
