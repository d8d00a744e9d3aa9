/*
 * preload_list.c - the text of /etc/ld.so.preload: paths divided by blanks or colons, '#' to the end of
 * the line is a comment (glibc, elf/rtld.c). Other people's lines keep their bytes and their order.
 *
 * Our line goes first: of several libraries that bring a malloc the first is the one that programs
 * call, and ours passes on to the next. It also spares a last line without newline.
 */
#include <string.h>

#include "base/paths.h"
#include "cli/setup.h"

static bool is_divider(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == ':' || c == '\r';
}

/* The next word from *pos on in a line that ends at `end`; false at its end or at a comment. */
static bool next_word(const char *text, size_t end, size_t *pos, size_t *ret_start, size_t *ret_len)
{
	size_t i = *pos;
	size_t start;

	while (i < end && is_divider(text[i]))
		i++;
	start = i;
	while (i < end && !is_divider(text[i]) && text[i] != '#')
		i++;
	*pos = i;
	if (i == start)
		return false;
	*ret_start = start;
	*ret_len = i - start;
	return true;
}

static size_t line_end(const char *text, size_t len, size_t start)
{
	const char *newline = memchr(text + start, '\n', len - start);

	return newline ? (size_t)(newline - text) + 1 : len;
}

bool fa_preload_has(const char *text, size_t len, const char *path)
{
	size_t want = strlen(path);

	for (size_t line = 0; line < len; line = line_end(text, len, line)) {
		size_t end = line_end(text, len, line);
		size_t pos = line, start, n;

		while (next_word(text, end, &pos, &start, &n))
			if (n == want && !memcmp(text + start, path, n))
				return true;
	}
	return false;
}

static bool is_ours(const char *word, size_t len)
{
	size_t n = strlen(FA_SHIM_NAME);

	if (len < n || memcmp(word + len - n, FA_SHIM_NAME, n) != 0)
		return false;
	return len == n || word[len - n - 1] == '/';
}

/* One line without our words. A line that held nothing else goes away with its newline. */
static int copy_line(const char *text, size_t line, size_t end, struct fa_buf *out)
{
	size_t pos = line, start, n, copied = line;
	size_t mark = out->len;
	int removed = 0;
	bool others = false;

	while (next_word(text, end, &pos, &start, &n)) {
		if (!is_ours(text + start, n)) {
			others = true;
			continue;
		}
		removed++;
		fa_buf_add(out, text + copied, start - copied);
		copied = start + n;
		/* With the word goes one divider behind it. */
		if (copied < end && is_divider(text[copied]) && text[copied] != '\n')
			copied++;
	}
	others = others || memchr(text + line, '#', end - line);
	if (removed && !others) {
		if (out->data && !out->error) {
			out->len = mark;
			out->data[mark] = '\0';
		}
		return removed;
	}
	fa_buf_add(out, text + copied, end - copied);
	return removed;
}

int fa_preload_remove(const char *text, size_t len, struct fa_buf *ret)
{
	int removed = 0;

	for (size_t line = 0; line < len;) {
		size_t end = line_end(text, len, line);

		removed += copy_line(text, line, end, ret);
		line = end;
	}
	return removed;
}

void fa_preload_add(const char *text, size_t len, const char *path, struct fa_buf *ret)
{
	fa_buf_puts(ret, path);
	fa_buf_puts(ret, "\n");
	(void)fa_preload_remove(text, len, ret);
}
