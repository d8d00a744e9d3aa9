/*
 * stack.c - frames as lines: function, file and line, module.
 *
 * Recursion is folded: frames that repeat, alone or as a group, are shown once with their number.
 */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "report/report_internal.h"

enum { GROUP_MAX = 6 };

/* Columns that UTF-8 text takes, about: continuation bytes take none. */
static size_t columns(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* Names come from files of strangers: nothing that a terminal would obey gets through. */
static void put_clean(FILE *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		(void)fputc(c < 0x20 || c == 0x7f ? '?' : c, out);
	}
}

void fa_text_clean(FILE *out, const char *s)
{
	put_clean(out, s, strlen(s));
}

static size_t bytes_of_columns(const char *s, size_t wanted)
{
	size_t i = 0;

	for (size_t n = 0; s[i] != '\0'; i++) {
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
		if (n > wanted)
			break;
	}
	return i;
}

void fa_text_line(FILE *out, unsigned width, const char *indent, const char *text, const char *tail)
{
	enum { LEAST = 20, DOTS = 3 };
	size_t fixed = columns(indent) + (tail[0] == '\0' ? 0 : 2 + columns(tail));
	size_t room = width > fixed + LEAST ? width - fixed : LEAST;
	size_t len = strlen(text);

	(void)fputs(indent, out);
	if (columns(text) <= room) {
		put_clean(out, text, len);
	} else {
		/* The end of a long name says more than its middle. */
		size_t front = bytes_of_columns(text, (room - DOTS) * 2 / 3);
		size_t skip = bytes_of_columns(text, columns(text) -
							     (room - DOTS - (room - DOTS) * 2 / 3));

		put_clean(out, text, front);
		(void)fputs("...", out);
		put_clean(out, text + skip, len - skip);
	}
	if (tail[0] != '\0') {
		(void)fputs("  ", out);
		put_clean(out, tail, strlen(tail));
	}
	(void)fputc('\n', out);
}

static const char *module_name(const struct fa_frame *f)
{
	if (f->module == NULL)
		return "?";
	return f->module[0] != '\0' ? fa_base_name(f->module) : "?";
}

static void put_frame(const struct fa_report *r, FILE *out, const struct fa_frame *f)
{
	char place[300], name[400];

	if (f->function == NULL) {
		if (f->module == NULL)
			(void)snprintf(name, sizeof(name), "0x%llx", (unsigned long long)f->offset);
		else
			(void)snprintf(name, sizeof(name), "%s+0x%llx", module_name(f),
				       (unsigned long long)f->offset);
		(void)snprintf(place, sizeof(place), "%s", f->file == NULL ? "" : f->file);
		fa_text_line(out, r->width, "    ", name, f->file == NULL ? "" : place);
		return;
	}
	if (f->file != NULL)
		(void)snprintf(place, sizeof(place), "%s:%u  [%s]%s", fa_base_name(f->file),
			       f->line, module_name(f), f->inlined ? " inlined" : "");
	else
		(void)snprintf(place, sizeof(place), "[%s]", module_name(f));
	fa_text_line(out, r->width, "    ", f->function, place);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_frame(const struct fa_frame *a, const struct fa_frame *b)
{
	return same_text(a->function, b->function) && a->line == b->line &&
	       same_text(a->file, b->file) && same_text(a->module, b->module) &&
	       (a->function != NULL || a->offset == b->offset);
}

/* How often the `group` frames at f come again right behind themselves. */
static size_t repeats(const struct fa_frame *f, size_t left, size_t group)
{
	size_t n = 0;

	for (; (n + 2) * group <= left; n++)
		for (size_t i = 0; i < group; i++)
			if (!same_frame(&f[i], &f[(n + 1) * group + i]))
				return n;
	return n;
}

static size_t find_recursion(const struct fa_frame *f, size_t left, size_t *ret_group)
{
	for (size_t group = 1; group <= GROUP_MAX && group * 2 <= left; group++) {
		size_t n = repeats(f, left, group);

		if (n != 0) {
			*ret_group = group;
			return n;
		}
	}
	*ret_group = 1;
	return 0;
}

/* With --fold-recursion a row is of stacks of different depths. */
static void put_recursion(FILE *out, const struct fa_frame *f)
{
	if (f->recursion == 1)
		(void)fputs("      (recursion: this frame any number of times)\n", out);
	else if (f->recursion != 0)
		(void)fprintf(out, "      (recursion: from here %u frames any number of times)\n",
			      f->recursion);
}

static void put_frames(const struct fa_report *r, FILE *out, const struct fa_frame *f, size_t count,
		       unsigned max_lines)
{
	unsigned lines = 0;

	for (size_t i = 0; i < count;) {
		size_t group, again = find_recursion(f + i, count - i, &group);

		for (size_t k = 0; k < group && lines < max_lines; k++, lines++) {
			put_frame(r, out, &f[i + k]);
			put_recursion(out, &f[i + k]);
		}
		i += group * (again + 1);
		if (again != 0)
			(void)fprintf(out, "      (%s %zu more time%s)\n",
				      group == 1 ? "this frame" : "these frames", again,
				      again == 1 ? "" : "s");
		if (lines >= max_lines && i < count) {
			(void)fprintf(out, "    ... and %zu more frames\n", count - i);
			return;
		}
	}
}

int fa_text_stack(const struct fa_report *r, FILE *out, uint32_t chain, unsigned max_lines)
{
	struct fa_frame *frames;
	size_t count;
	uint32_t marks;
	int err;

	if (chain == 0) {
		(void)fputs("    (no stack was taken)\n", out);
		return 0;
	}
	err = fa_resolver_frames(r->resolver, chain, r->by_function ? 1 : 0, &frames, &count,
				 &marks);
	if (err < 0)
		return err;
	put_frames(r, out, frames, count, max_lines);
	free(frames);
	if (r->by_function)
		return 0;
	if (marks & FA_NODE_CUT)
		(void)fputs("    (there was no room for the frames beyond)\n", out);
	else if (marks & FA_NODE_TRUNCATED)
		(void)fputs("    (the stack was deeper than what was recorded)\n", out);
	if (marks & FA_NODE_BROKEN)
		(void)fputs("    (no unwind information beyond this frame)\n", out);
	return 0;
}
