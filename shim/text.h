/* text.h - the few string functions that the gate needs; libc's may not be called there. */
#ifndef FA_TEXT_H
#define FA_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

size_t fa_text_length(const char *s);
bool fa_text_equal(const char *a, const char *b);
const char *fa_text_base(const char *path);
void fa_text_copy(char *to, size_t size, const char *from); /* cuts, always ends with NUL */
/* Decimal digits at *p, which moves behind them; false when there is none. */
bool fa_text_number(const char **p, uint64_t *ret);
char *fa_text_put_number(char *to, uint64_t v); /* returns the end; no NUL */

#endif
