/* idmap.c - open addressing, linear probing. */
#include "analysis/idmap.h"

#include <errno.h>
#include <stdlib.h>

static size_t find_slot(const struct fa_idmap *m, uint64_t key)
{
	size_t i = (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 32) & m->mask;

	while (m->values[i] != NULL && m->keys[i] != key)
		i = (i + 1) & m->mask;
	return i;
}

void fa_idmap_done(struct fa_idmap *m)
{
	free(m->keys);
	free(m->values);
	*m = (struct fa_idmap){0};
}

void *fa_idmap_get(const struct fa_idmap *m, uint64_t key)
{
	return m->mask == 0 ? NULL : m->values[find_slot(m, key)];
}

static int grow(struct fa_idmap *m)
{
	struct fa_idmap bigger = {.mask = m->mask == 0 ? 63 : m->mask * 2 + 1};

	bigger.keys = calloc(bigger.mask + 1, sizeof(*bigger.keys));
	bigger.values = calloc(bigger.mask + 1, sizeof(*bigger.values));
	if (bigger.keys == NULL || bigger.values == NULL) {
		fa_idmap_done(&bigger);
		return -ENOMEM;
	}
	for (size_t i = 0; m->mask != 0 && i <= m->mask; i++) {
		if (m->values[i] == NULL)
			continue;
		size_t at = find_slot(&bigger, m->keys[i]);

		bigger.keys[at] = m->keys[i];
		bigger.values[at] = m->values[i];
	}
	bigger.count = m->count;
	fa_idmap_done(m);
	*m = bigger;
	return 0;
}

int fa_idmap_put(struct fa_idmap *m, uint64_t key, void *value)
{
	if (m->count >= m->mask / 2) {
		int r = grow(m);

		if (r < 0)
			return r;
	}
	size_t i = find_slot(m, key);

	if (m->values[i] == NULL)
		m->count++;
	m->keys[i] = key;
	m->values[i] = value;
	return 0;
}
