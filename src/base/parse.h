/* parse.h - numbers, sizes, durations from users, strictly, and back to text. Any thread. */
#ifndef FA_PARSE_H
#define FA_PARSE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* The whole string or -EINVAL; -ERANGE when it does not fit. Decimal, or 0x hexadecimal. */
int fa_parse_u64(const char *s, uint64_t *ret) FA_MUST_USE;
int fa_parse_u32(const char *s, uint32_t *ret) FA_MUST_USE;
/* 4096, 64K, 1M, 2G, 1.5G, with optional B or iB: powers of 1024. */
int fa_parse_size(const char *s, uint64_t *ret_bytes) FA_MUST_USE;
/* 90, 90s, 5m, 2h, 1d, 1w, 250ms, 10us, 5ns, 1h30m; a bare number is seconds. */
int fa_parse_duration(const char *s, uint64_t *ret_ns) FA_MUST_USE;
/* "A,B": either may be empty (0, UINT64_MAX); each by `one`. */
int fa_parse_range(const char *s, int (*one)(const char *, uint64_t *), uint64_t *ret_lo,
		   uint64_t *ret_hi) FA_MUST_USE;

/* At least 32 bytes of buf. Returns buf. "1.5 GiB", "12 B"; "1h 02m", "3.2 ms". */
char *fa_format_size(char *buf, size_t size, uint64_t bytes);
char *fa_format_duration(char *buf, size_t size, uint64_t ns);
/* "12,345,678" */
char *fa_format_count(char *buf, size_t size, uint64_t n);
/* RFC 3339 in local time, seconds. */
char *fa_format_time(char *buf, size_t size, uint64_t real_seconds);

#endif
