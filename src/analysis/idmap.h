/* idmap.h - pointers by number: process ids, arena ids, streams. Entries are never taken out. */
#ifndef FA_IDMAP_H
#define FA_IDMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct fa_idmap {
	uint64_t *keys;
	void **values; /* NULL: the slot is empty */
	size_t mask;   /* slots - 1; 0: nothing is allocated yet */
	size_t count;
};

void fa_idmap_done(struct fa_idmap *m); /* safe on {0}; leaves the values alone */
void *fa_idmap_get(const struct fa_idmap *m, uint64_t key); /* NULL: not there */
/* Put or replace; value is not NULL. Returns 0 or -ENOMEM. */
int fa_idmap_put(struct fa_idmap *m, uint64_t key, void *value) FA_MUST_USE;

#endif
