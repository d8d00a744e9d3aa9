/*
 * demangle.c - C++ and Rust names, by the demangler of the GNU tools (libiberty, linked statically).
 *
 * Names come from files of strangers, and each part of one may say "as above": 480 characters may stand
 * for 131 million. So it hands over what it unfolds in pieces, and is left in the middle when there is
 * enough: it works on the stack alone (but for parts in punycode), and bounds how deep it goes.
 */
#include <libiberty/demangle.h>
#include <setjmp.h>
#include <string.h>

#include "symbols/symbols.h"

enum { LENGTH_MAX = 4096 };

struct unfolded {
	char text[LENGTH_MAX + 1];
	size_t len;
	jmp_buf enough;
};

static void add(const char *piece, size_t len, void *to)
{
	struct unfolded *u = to;
	size_t room = LENGTH_MAX - u->len, n = len < room ? len : room;

	if (n > 0) /* else it may be no piece at all */
		memcpy(u->text + u->len, piece, n);
	u->len += n;
	if (n < len)
		longjmp(u->enough, 1);
}

static bool unfold(const char *name, struct unfolded *u)
{
	static const char rest[] = "...";

	if (setjmp(u->enough) != 0) {
		memcpy(u->text + LENGTH_MAX - strlen(rest), rest, strlen(rest));
		return true;
	}
	u->len = 0;
	if (rust_demangle_callback(name, 0, add, u) != 0)
		return true;
	u->len = 0;
	return cplus_demangle_v3_callback(name, DMGL_PARAMS | DMGL_TYPES, add, u) != 0;
}

char *fa_demangle(const char *name)
{
	struct unfolded u;

	if (name[0] != '_' || (name[1] != 'Z' && name[1] != 'R') || !unfold(name, &u))
		return NULL;
	return strndup(u.text, u.len);
}
