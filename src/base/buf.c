/* buf.c - growing bytes; errors are sticky so that callers test once, at the end. */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fa_buf_done(struct fa_buf *b)
{
	free(b->data);
	*b = (struct fa_buf){0};
}

void fa_buf_clear(struct fa_buf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

/* Room for `more` bytes and the final NUL. */
static int reserve(struct fa_buf *b, size_t more)
{
	if (b->error != 0)
		return b->error;
	if (more >= SIZE_MAX / 2 - b->len) {
		b->error = -ENOMEM;
		return b->error;
	}
	size_t need = b->len + more + 1;

	if (need <= b->cap)
		return 0;
	size_t cap = b->cap < 64 ? 64 : b->cap * 2;

	if (cap < need)
		cap = need;
	char *data = realloc(b->data, cap);

	if (data == NULL) {
		b->error = -ENOMEM;
		return b->error;
	}
	b->data = data;
	b->cap = cap;
	return 0;
}

void fa_buf_add(struct fa_buf *b, const void *data, size_t len)
{
	if (reserve(b, len) < 0)
		return;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void fa_buf_puts(struct fa_buf *b, const char *s)
{
	fa_buf_add(b, s, strlen(s));
}

void fa_buf_printf(struct fa_buf *b, const char *format, ...)
{
	va_list ap, again;

	va_start(ap, format);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, format, ap);

	if (n < 0) {
		b->error = -ENOMEM;
	} else if (reserve(b, (size_t)n) == 0) {
		(void)vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
		b->len += (size_t)n;
	}
	va_end(again);
	va_end(ap);
}

char *fa_buf_take(struct fa_buf *b)
{
	char *taken = NULL;

	if (reserve(b, 0) == 0) {
		b->data[b->len] = '\0';
		taken = b->data;
		b->data = NULL;
	}
	fa_buf_done(b);
	return taken;
}
