/* table.c - rows of text that fit the terminal they are printed on. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/rules.h"

enum { GAP = 2, NARROWEST = 6 };

/* Characters and not bytes; names with wide or combining characters come out a little ragged. */
static int width_of(const char *s)
{
	int n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void fa_clean_text(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

static char *clean_copy(const char *s)
{
	char *copy = strdup(s);

	if (copy != NULL)
		fa_clean_text(copy);
	return copy;
}

void fa_table_add(struct fa_table *t, const char *const *cells)
{
	if (t->rows == t->cap) {
		int cap = t->cap == 0 ? 16 : t->cap * 2;
		char **grown = realloc(t->cell, (size_t)cap * FA_TABLE_COLUMNS * sizeof(*grown));

		if (grown == NULL)
			return;
		t->cell = grown;
		t->cap = cap;
	}
	for (int c = 0; c < t->columns; c++)
		t->cell[t->rows * FA_TABLE_COLUMNS + c] = clean_copy(cells[c]);
	t->rows++;
}

static const char *cell_at(const struct fa_table *t, int row, int column)
{
	const char *s = t->cell[row * FA_TABLE_COLUMNS + column];

	return s == NULL ? "" : s;
}

/* 0: as wide as you like (a file, a pipe). */
static int terminal_width(FILE *out)
{
	struct winsize size;

	if (!isatty(fileno(out)))
		return 0;
	if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return 80;
}

/* Column widths; a column without any text has width 0 and is left out. */
static void measure(const struct fa_table *t, int limit, int *width)
{
	int total = -GAP;

	for (int c = 0; c < t->columns; c++) {
		width[c] = 0;
		for (int r = 0; r < t->rows; r++) {
			int w = width_of(cell_at(t, r, c));

			width[c] = w > width[c] ? w : width[c];
		}
		if (width[c] > 0 && width[c] < (int)strlen(t->heads[c]))
			width[c] = (int)strlen(t->heads[c]);
		total += width[c] > 0 ? width[c] + GAP : 0;
	}
	for (const int *c = t->shrink; limit > 0 && total > limit && *c >= 0; c++) {
		int spare = width[*c] - NARROWEST;
		int cut = spare < total - limit ? spare : total - limit;

		if (cut <= 0)
			continue;
		width[*c] -= cut;
		total -= cut;
	}
}

/* One cell, cut with "..." where it does not fit; the last one of a line is not padded. */
static void print_cell(FILE *out, const char *s, int width, bool last)
{
	int w = width_of(s), keep = w > width ? width - 3 : w;

	for (int n = 0; *s != '\0'; s++) {
		n += ((unsigned char)*s & 0xc0) != 0x80;
		if (n > keep)
			break;
		(void)fputc(*s, out);
	}
	if (w > width)
		(void)fputs("...", out);
	if (!last)
		(void)fprintf(out, "%*s", (w > width ? 0 : width - w) + GAP, "");
}

static void print_line(const struct fa_table *t, FILE *out, const int *width, int row)
{
	int last = 0;

	for (int c = 0; c < t->columns; c++)
		if (width[c] > 0 && (row < 0 || *cell_at(t, row, c) != '\0'))
			last = c;
	for (int c = 0; c <= last; c++)
		if (width[c] > 0)
			print_cell(out, row < 0 ? t->heads[c] : cell_at(t, row, c), width[c],
				   c == last);
	(void)fputc('\n', out);
}

void fa_table_print(const struct fa_table *t, FILE *out)
{
	int width[FA_TABLE_COLUMNS] = {0};

	measure(t, terminal_width(out), width);
	for (int row = -1; row < t->rows; row++)
		print_line(t, out, width, row);
}

void fa_table_done(struct fa_table *t)
{
	for (int r = 0; r < t->rows; r++)
		for (int c = 0; c < t->columns; c++)
			free(t->cell[r * FA_TABLE_COLUMNS + c]);
	free(t->cell);
	t->cell = NULL;
	t->rows = t->cap = 0;
}
