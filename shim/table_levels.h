/* table_levels.h - where the table of live blocks lies, between table_levels.c and table.c. */
#ifndef FA_TABLE_LEVELS_H
#define FA_TABLE_LEVELS_H

#include <stdbool.h>

#include "format/table_format.h"

struct fa_level {
	struct fa_table_buffer *base;
	uint32_t log2; /* of how many buffers */
	uint32_t reserved;
};

/* Private: what is read back from the arena decides nothing. */
struct fa_levels {
	struct fa_level level[FA_TABLE_LEVELS];
	uint32_t count; /* that may be used: stored last */
	uint32_t buffers; /* of all of them */
};
extern FA_HIDDEN struct fa_levels *fa_levels; /* NULL: no memory for it */

void fa_levels_reset(void);
/* One level more than `seen`, or wait until there is one, a moment and not again in vain. false: no room. */
bool fa_levels_add(uint32_t seen);
/* Thread ids by serial, 0: not known; NULL: there are none. */
uint32_t *fa_levels_tids(void);

#endif
