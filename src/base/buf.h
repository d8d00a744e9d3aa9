/* buf.h - growing bytes. A failed allocation is remembered in `error`; later calls do nothing. */
#ifndef FA_BUF_H
#define FA_BUF_H

#include <stddef.h>

#include "base/attr.h"

struct fa_buf {
	char *data; /* NUL terminated once anything was added */
	size_t len;
	size_t cap;
	int error; /* 0 or -ENOMEM */
};

void fa_buf_done(struct fa_buf *b); /* frees; safe on {0} */
void fa_buf_clear(struct fa_buf *b);
void fa_buf_add(struct fa_buf *b, const void *data, size_t len);
void fa_buf_puts(struct fa_buf *b, const char *s);
void fa_buf_printf(struct fa_buf *b, const char *format, ...) FA_PRINTF(2, 3);
char *fa_buf_take(struct fa_buf *b); /* malloced string, NULL when out of memory; b is empty after */

#endif
