/* json.c - JSON to a stdio stream. Text is made valid UTF-8 here: program names are any bytes. */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

void fa_json_init(struct fa_json *j, FILE *out, bool pretty)
{
	*j = (struct fa_json){.out = out, .pretty = pretty};
}

static void line(struct fa_json *j)
{
	if (!j->pretty)
		return;
	(void)fputc('\n', j->out);
	for (int i = 0; i < j->depth; i++)
		(void)fputs("  ", j->out);
}

/* Length of the valid UTF-8 sequence at s, 0 when there is none (RFC 3629: no overlong forms, no
 * surrogates, nothing above 10FFFF). Stops at the NUL, which is no continuation byte. */
static size_t utf8_length(const unsigned char *s)
{
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4 || (s[1] & 0xc0) != 0x80)
		return 0;
	if (s[0] < 0xe0)
		return 2;
	if ((s[2] & 0xc0) != 0x80)
		return 0;
	if (s[0] < 0xf0)
		return (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ? 0 : 3;
	if ((s[3] & 0xc0) != 0x80)
		return 0;
	return (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f) ? 0 : 4;
}

static void escaped(FILE *out, unsigned char c)
{
	switch (c) {
	case '"':
		(void)fputs("\\\"", out);
		break;
	case '\\':
		(void)fputs("\\\\", out);
		break;
	case '\n':
		(void)fputs("\\n", out);
		break;
	case '\t':
		(void)fputs("\\t", out);
		break;
	case '\r':
		(void)fputs("\\r", out);
		break;
	default:
		(void)fprintf(out, "\\u%04x", c);
	}
}

static void quoted(FILE *out, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;

	(void)fputc('"', out);
	while (*s != '\0') {
		size_t n = utf8_length(s);

		if (n == 0)
			(void)fputs("\xef\xbf\xbd", out);
		else if (n > 1)
			(void)fwrite(s, 1, n, out);
		else if (*s < 0x20 || *s == '"' || *s == '\\' || *s == 0x7f)
			escaped(out, *s);
		else
			(void)fputc(*s, out);
		s += n == 0 ? 1 : n;
	}
	(void)fputc('"', out);
}

/* Comma, new line and key: all that stands before a value. */
static void before(struct fa_json *j, const char *key)
{
	if (j->comma)
		(void)fputs(j->pretty ? "," : ", ", j->out);
	if (j->depth > 0)
		line(j);
	if (key != NULL) {
		quoted(j->out, key);
		(void)fputs(": ", j->out);
	}
	j->comma = true;
}

static void open_container(struct fa_json *j, const char *key, char bracket)
{
	before(j, key);
	(void)fputc(bracket, j->out);
	j->depth++;
	j->comma = false;
}

static void close_container(struct fa_json *j, char bracket)
{
	j->depth--;
	if (j->comma)
		line(j);
	(void)fputc(bracket, j->out);
	j->comma = true;
}

void fa_json_object(struct fa_json *j, const char *key)
{
	open_container(j, key, '{');
}

void fa_json_end_object(struct fa_json *j)
{
	close_container(j, '}');
}

void fa_json_array(struct fa_json *j, const char *key)
{
	open_container(j, key, '[');
}

void fa_json_end_array(struct fa_json *j)
{
	close_container(j, ']');
}

void fa_json_string(struct fa_json *j, const char *key, const char *value)
{
	if (value == NULL) {
		fa_json_null(j, key);
		return;
	}
	before(j, key);
	quoted(j->out, value);
}

void fa_json_u64(struct fa_json *j, const char *key, uint64_t value)
{
	before(j, key);
	(void)fprintf(j->out, "%" PRIu64, value);
}

void fa_json_i64(struct fa_json *j, const char *key, int64_t value)
{
	before(j, key);
	(void)fprintf(j->out, "%" PRId64, value);
}

/* JSON knows no infinity and no NaN. */
void fa_json_double(struct fa_json *j, const char *key, double value)
{
	if (!isfinite(value)) {
		fa_json_null(j, key);
		return;
	}
	before(j, key);
	(void)fprintf(j->out, "%.10g", value);
}

void fa_json_bool(struct fa_json *j, const char *key, bool value)
{
	before(j, key);
	(void)fputs(value ? "true" : "false", j->out);
}

void fa_json_null(struct fa_json *j, const char *key)
{
	before(j, key);
	(void)fputs("null", j->out);
}

void fa_json_newline(struct fa_json *j)
{
	(void)fputc('\n', j->out);
	j->comma = false;
}
