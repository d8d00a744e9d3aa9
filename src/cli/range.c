/* range.c - "2s,10s", "mark:before,mark:after" and mixtures, as nanoseconds; one end of it as a moment. */
#include "cli/range.h"

#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "trace/marks.h"

static const char prefix[] = "mark:", snapshot[] = "snapshot:";

/* One end, `len` bytes at `text`: 0 and *ret_ns; or a mark, whose text goes to `mark`. */
static int one_end(const char *text, size_t len, uint64_t otherwise, char mark[256],
		   uint64_t *ret_ns)
{
	char word[320];

	*mark = '\0';
	*ret_ns = otherwise;
	if (len == 0)
		return 0;
	if (len >= sizeof(word))
		return -1;
	memcpy(word, text, len);
	word[len] = '\0';
	if (strncmp(word, prefix, sizeof(prefix) - 1) != 0)
		return fa_parse_duration(word, ret_ns);
	len -= sizeof(prefix) - 1;
	if (len == 0 || len >= 256)
		return -1;
	memcpy(mark, word + sizeof(prefix) - 1, len + 1);
	return 0;
}

static int look_up(const char *path, char mark[][256], unsigned count, uint64_t *const *to)
{
	struct fa_mark_wanted wanted[2] = {{.text = mark[0]}, {.text = count > 1 ? mark[1] : ""}};
	int r = fa_trace_find_marks(path, wanted, count);

	if (r < 0)
		return 0; /* whoever reads it next says what is wrong with it */
	for (unsigned i = 0; i < count; i++) {
		if (mark[i][0] != '\0' && !wanted[i].found)
			return fa_fail(
				FA_EXIT_NOT_FOUND,
				"%s: there is no mark '%s' ('firstalloc dump --records mark' "
				"lists them)",
				path, mark[i]);
		if (mark[i][0] != '\0')
			*to[i] = wanted[i].ns;
	}
	return 0;
}

int fa_range_parse(const struct fa_cli *cli, const char *text, const char *path, uint64_t *ret_lo,
		   uint64_t *ret_hi)
{
	const char *comma = text != NULL ? strchr(text, ',') : NULL;
	char mark[2][256];
	uint64_t lo, hi;
	int status = 0;

	if (text == NULL)
		return 0;
	if (comma == NULL || one_end(text, (size_t)(comma - text), 0, mark[0], &lo) < 0 ||
	    one_end(comma + 1, strlen(comma + 1), UINT64_MAX, mark[1], &hi) < 0)
		status = -1;
	else if (mark[0][0] != '\0' || mark[1][0] != '\0')
		status = look_up(path, mark, 2, (uint64_t *const[]){&lo, &hi});
	if (status > 0)
		return status;
	if (status < 0 || lo > hi)
		return fa_usage(cli,
				"--range: '%s' is no range: give two values, the smaller first, "
				"with a comma between; either may be left out",
				text);
	*ret_lo = lo;
	*ret_hi = hi;
	return 0;
}

int fa_moment_parse(const struct fa_cli *cli, const char *option, const char *text,
		    const char *path, struct fa_moment *ret)
{
	char mark[1][256];
	uint64_t ns;
	int status = 0;

	uint32_t number;

	*ret = (struct fa_moment){.kind = FA_MOMENT_END};
	if (strncmp(text, snapshot, sizeof(snapshot) - 1) == 0 &&
	    fa_parse_u32(text + sizeof(snapshot) - 1, &number) == 0 && number != 0) {
		*ret = (struct fa_moment){.kind = FA_MOMENT_SNAPSHOT, .ns = number};
		return 0;
	}
	if (strcmp(text, "end") == 0)
		return 0;
	ret->kind = FA_MOMENT_PEAK;
	if (strcmp(text, "peak") == 0)
		return 0;
	ret->kind = FA_MOMENT_TIME;
	if (*text == '\0' || one_end(text, strlen(text), 0, mark[0], &ns) < 0)
		return fa_usage(cli,
				"--%s: '%s' is no moment: give end, peak, a time since the trace "
				"began (90s), mark:TEXT, or snapshot:N",
				option, text);
	if (mark[0][0] != '\0')
		status = look_up(path, mark, 1, (uint64_t *const[]){&ns});
	ret->ns = ns;
	return status;
}
