/* cflags: -shared -fPIC
 * guest_bump - an allocator that may be called from any signal handler at any moment: to be preloaded
 * behind the shim, so that handlers may allocate wherever they interrupt the tracer. Blocks of a
 * size class go round through small lock-free stacks; what is too large is bumped and never reused. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <stddef.h>

enum { ROOM = 192 << 20, CLASSES = 8, SLOTS = 64 };
static char room[ROOM] __attribute__((aligned(64)));
static size_t used;
static void *slot[CLASSES][SLOTS];

static int class_of(size_t size)
{
	for (int c = 0; c < CLASSES; c++)
		if (size <= (size_t)32 << c)
			return c;
	return -1;
}

static void *take(size_t size, size_t align)
{
	int c = class_of(size);
	size_t want = (c < 0 ? size : (size_t)32 << c) + 16, at;
	char *p;

	if (size > ROOM / 2) {
		errno = ENOMEM;
		return NULL;
	}
	for (int i = 0; c >= 0 && align <= 16 && i < SLOTS; i++) {
		p = slot[c][i] ? __atomic_exchange_n(&slot[c][i], NULL, __ATOMIC_ACQ_REL) : NULL;
		if (p)
			return p;
	}
	at = __atomic_fetch_add(&used, (want + align + 15) & ~(size_t)15, __ATOMIC_RELAXED);
	if (at + want + align > ROOM) {
		errno = ENOMEM;
		return NULL;
	}
	p = room + ((at + 16 + align - 1) & ~(align - 1));
	if (align <= 16)
		p = room + at + 16;
	((uint64_t *)p)[-1] = size;
	((uint64_t *)p)[-2] = (uint64_t)c;
	return p;
}

void *malloc(size_t size) { return take(size, 16); }
void free(void *p)
{
	if (p == NULL)
		return;
	int c = (int)((uint64_t *)p)[-2];
	for (int i = 0; c >= 0 && c < CLASSES && i < SLOTS; i++) {
		void *none = NULL;
		if (__atomic_compare_exchange_n(&slot[c][i], &none, p, 0, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			return;
	}
}
void *calloc(size_t n, size_t size)
{
	size_t bytes;
	void *p = __builtin_mul_overflow(n, size, &bytes) ? NULL : take(bytes, 16);
	return p ? memset(p, 0, bytes) : NULL;
}
void *realloc(void *old, size_t size)
{
	void *p = take(size, 16);
	if (old && p) {
		size_t had = ((uint64_t *)old)[-2] < CLASSES ? (size_t)32 << ((uint64_t *)old)[-2] :
							      ((uint64_t *)old)[-1];
		memcpy(p, old, had < size ? had : size);
	}
	return p;
}
void *reallocarray(void *old, size_t n, size_t size) { return realloc(old, n * size); }
int posix_memalign(void **ret, size_t align, size_t size)
{
	*ret = take(size, align);
	return *ret ? 0 : ENOMEM;
}
void *aligned_alloc(size_t align, size_t size) { return take(size, align < 16 ? 16 : align); }
void *memalign(size_t align, size_t size) { return take(size, align < 16 ? 16 : align); }
void *valloc(size_t size) { return take(size, 4096); }
void *pvalloc(size_t size) { return take(size, 4096); }
