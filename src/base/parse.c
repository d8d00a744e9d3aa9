/*
 * parse.c - numbers, sizes and durations, strictly.
 *
 * Not strtoul: it accepts blanks, signs and trailing text, and wraps negative numbers.
 */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

/* Digits from *s on; at least one. *s moves behind them. */
static int take_digits(const char **s, unsigned base, uint64_t *ret)
{
	const char *p = *s;
	uint64_t value = 0;

	if (digit_of(*p) >= (int)base)
		return -EINVAL;
	for (; digit_of(*p) < (int)base; p++) {
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit_of(*p), &value))
			return -ERANGE;
	}
	*s = p;
	*ret = value;
	return 0;
}

int fa_parse_u64(const char *s, uint64_t *ret)
{
	unsigned base = 10;
	uint64_t value;
	int r;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	r = take_digits(&s, base, &value);
	if (r == -ERANGE) {
		/* Trailing text is the larger mistake. */
		while (digit_of(*s) < (int)base)
			s++;
		return *s == '\0' ? -ERANGE : -EINVAL;
	}
	if (r < 0)
		return r;
	if (*s != '\0')
		return -EINVAL;
	*ret = value;
	return 0;
}

int fa_parse_u32(const char *s, uint32_t *ret)
{
	uint64_t value;
	int r = fa_parse_u64(s, &value);

	if (r < 0)
		return r;
	if (value > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)value;
	return 0;
}

/* "12" or "1.5" times unit, exact to the last whole unit; the unit is known only behind the number,
 * so the fraction is returned as parts of a billion. */
static int take_decimal(const char **s, uint64_t *ret_whole, uint32_t *ret_billionths)
{
	uint32_t part = 0, weight = 100000000;
	int r = take_digits(s, 10, ret_whole);

	if (r < 0)
		return r;
	if (**s == '.') {
		(*s)++;
		if (digit_of(**s) > 9)
			return -EINVAL;
		for (; digit_of(**s) < 10; (*s)++, weight /= 10)
			part += (uint32_t)digit_of(**s) * weight;
	}
	*ret_billionths = part;
	return 0;
}

/* whole.billionths * unit, rounded down. */
static int scale(uint64_t whole, uint32_t billionths, uint64_t unit, uint64_t *ret)
{
	uint64_t big, small;

	if (__builtin_mul_overflow(whole, unit, &big))
		return -ERANGE;
	/* unit is at most 2^50: split it so that the product fits. */
	small = unit / 1000000000 * billionths + unit % 1000000000 * billionths / 1000000000;
	if (__builtin_add_overflow(big, small, ret))
		return -ERANGE;
	return 0;
}

int fa_parse_size(const char *s, uint64_t *ret_bytes)
{
	static const char letters[] = "KMGT";
	uint64_t whole, bytes, unit = 1;
	uint32_t part;
	int r = take_decimal(&s, &whole, &part);

	if (r < 0)
		return r;
	if (*s != '\0') {
		const char *found = strchr(letters, toupper((unsigned char)*s));

		if (found != NULL) {
			unit <<= 10 * (found - letters + 1);
			s++;
			if (s[0] == 'i' && s[1] == 'B')
				s++;
		}
		if (*s == 'B')
			s++;
	}
	if (*s != '\0' || (unit == 1 && part != 0))
		return -EINVAL;
	r = scale(whole, part, unit, &bytes);
	if (r < 0)
		return r;
	*ret_bytes = bytes;
	return 0;
}

static const struct {
	char name[4];
	uint64_t ns;
} time_units[] = {
	{"ns", 1u},
	{"us", 1000u},
	{"ms", 1000000u},
	{"s", 1000000000u},
	{"m", 60 * 1000000000ull},
	{"h", 3600 * 1000000000ull},
	{"d", 86400 * 1000000000ull},
	{"w", 7 * 86400 * 1000000000ull},
};

/* The unit at *s, as long as its letters go; 0 when there is none of that name. */
static uint64_t take_unit(const char **s)
{
	size_t len = 0;

	while ((*s)[len] >= 'a' && (*s)[len] <= 'z')
		len++;
	for (size_t i = 0; i < sizeof(time_units) / sizeof(time_units[0]); i++) {
		if (strlen(time_units[i].name) == len && memcmp(*s, time_units[i].name, len) == 0) {
			*s += len;
			return time_units[i].ns;
		}
	}
	return 0;
}

int fa_parse_duration(const char *s, uint64_t *ret_ns)
{
	uint64_t total = 0, last = UINT64_MAX;
	bool first = true;

	do {
		uint64_t whole, unit, ns;
		uint32_t part;
		int r = take_decimal(&s, &whole, &part);

		if (r < 0)
			return r;
		unit = first && *s == '\0' ? 1000000000u : take_unit(&s);
		/* 1h30m goes down: 30m1h is a slip, and so is 1m1m. */
		if (unit == 0 || unit >= last)
			return -EINVAL;
		r = scale(whole, part, unit, &ns);
		if (r < 0 || __builtin_add_overflow(total, ns, &total))
			return -ERANGE;
		last = unit;
		first = false;
	} while (*s != '\0');
	*ret_ns = total;
	return 0;
}

int fa_parse_range(const char *s, int (*one)(const char *, uint64_t *), uint64_t *ret_lo,
		   uint64_t *ret_hi)
{
	const char *comma = strchr(s, ',');
	uint64_t lo = 0, hi = UINT64_MAX;
	char low[64];
	int r;

	if (comma == NULL || (size_t)(comma - s) >= sizeof(low))
		return -EINVAL;
	memcpy(low, s, (size_t)(comma - s));
	low[comma - s] = '\0';
	if (low[0] != '\0' && (r = one(low, &lo)) < 0)
		return r;
	if (comma[1] != '\0' && (r = one(comma + 1, &hi)) < 0)
		return r;
	if (lo > hi)
		return -EINVAL;
	*ret_lo = lo;
	*ret_hi = hi;
	return 0;
}

char *fa_format_size(char *buf, size_t size, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;

	/* 1023.95 would be printed as 1024.0. */
	while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		(void)snprintf(buf, size, "%u B", (unsigned)bytes);
	else
		(void)snprintf(buf, size, "%.1f %s", value, units[unit]);
	return buf;
}

char *fa_format_duration(char *buf, size_t size, uint64_t ns)
{
	uint64_t s = ns / 1000000000u;

	if (ns < 1000)
		(void)snprintf(buf, size, "%u ns", (unsigned)ns);
	else if (ns < 999950)
		(void)snprintf(buf, size, "%.1f us", (double)ns / 1e3);
	else if (ns < 999950000)
		(void)snprintf(buf, size, "%.1f ms", (double)ns / 1e6);
	else if (ns < 59950000000u)
		(void)snprintf(buf, size, "%.1f s", (double)ns / 1e9);
	else if (s < 3600)
		(void)snprintf(buf, size, "%um %02us", (unsigned)(s / 60), (unsigned)(s % 60));
	else if (s < 86400)
		(void)snprintf(buf, size, "%uh %02um", (unsigned)(s / 3600),
			       (unsigned)(s / 60 % 60));
	else
		(void)snprintf(buf, size, "%ud %02uh", (unsigned)(s / 86400),
			       (unsigned)(s / 3600 % 24));
	return buf;
}

char *fa_format_count(char *buf, size_t size, uint64_t n)
{
	char digits[24], text[32];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	size_t at = 0;

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	text[at] = '\0';
	(void)snprintf(buf, size, "%s", text);
	return buf;
}

/* strftime writes the zone as +0200; RFC 3339 wants +02:00. */
char *fa_format_time(char *buf, size_t size, uint64_t real_seconds)
{
	time_t t = (time_t)real_seconds;
	struct tm tm;
	char text[40];

	if (localtime_r(&t, &tm) == NULL ||
	    strftime(text, sizeof(text) - 1, "%Y-%m-%dT%H:%M:%S%z", &tm) < 5) {
		(void)snprintf(buf, size, "?");
		return buf;
	}
	size_t len = strlen(text);

	memmove(text + len - 1, text + len - 2, 3);
	text[len - 2] = ':';
	(void)snprintf(buf, size, "%s", text);
	return buf;
}
