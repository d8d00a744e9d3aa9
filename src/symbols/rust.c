/*
 * rust.c - Rust names: the legacy scheme (_ZN...17h<hash>E) and v0 (_R..., RFC 2603).
 *
 * v0 is printed without crate hashes and without lifetimes; constants as far as they are numbers.
 * What does not follow the grammar is not demangled at all. Names come from files of strangers:
 * depth and length are bounded, because back references can make a short name endless.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "symbols/symbols.h"

enum { DEPTH_MAX = 100, LENGTH_MAX = 4096 };

/* ---- legacy ---- */

static size_t legacy_length(const char **at)
{
	size_t n = 0;

	while (**at >= '0' && **at <= '9' && n < LENGTH_MAX)
		n = n * 10 + (size_t)(*(*at)++ - '0');
	return n;
}

static bool is_hash(const char *part, size_t len)
{
	return len == 17 && part[0] == 'h' && strspn(part + 1, "0123456789abcdef") >= 16;
}

/* "$LT$" and the like stand for what is not allowed in symbols. */
static void put_escaped(struct fa_buf *out, const char *part, size_t len)
{
	static const char *const escapes[][2] = {
		{"$SP$", "@"},  {"$BP$", "*"},   {"$RF$", "&"},  {"$LT$", "<"},  {"$GT$", ">"},
		{"$LP$", "("},  {"$RP$", ")"},   {"$C$", ","},   {"$u20$", " "}, {"$u27$", "'"},
		{"$u5b$", "["}, {"$u5d$", "]"},  {"$u7b$", "{"}, {"$u7d$", "}"}, {"$u7e$", "~"},
		{"$u2b$", "+"}, {"$u22$", "\""}, {"..", "::"},
	};

	/* A leading underscore only keeps "$" from standing first. */
	if (len > 1 && part[0] == '_' && part[1] == '$') {
		part++;
		len--;
	}
	while (len > 0) {
		size_t used = 0;

		for (size_t i = 0; used == 0 && i < sizeof(escapes) / sizeof(escapes[0]); i++) {
			size_t n = strlen(escapes[i][0]);

			if (n <= len && memcmp(part, escapes[i][0], n) == 0) {
				fa_buf_puts(out, escapes[i][1]);
				used = n;
			}
		}
		if (used == 0) {
			fa_buf_add(out, part, 1);
			used = 1;
		}
		part += used;
		len -= used;
	}
}

static char *demangle_legacy(const char *name)
{
	struct fa_buf out = {0};
	const char *at = name + 3;
	bool hash = false;

	if (strncmp(name, "_ZN", 3) != 0)
		return NULL;
	while (*at >= '1' && *at <= '9') {
		size_t len = legacy_length(&at);

		if (len == 0 || len > strlen(at))
			break;
		hash = is_hash(at, len);
		if (!hash) {
			if (out.len != 0)
				fa_buf_puts(&out, "::");
			put_escaped(&out, at, len);
		}
		at += len;
	}
	/* Only the hash tells it from C++; it comes last. */
	if (hash && *at == 'E' && out.len != 0)
		return fa_buf_take(&out);
	fa_buf_done(&out);
	return NULL;
}

/* ---- v0 ---- */

struct v0 {
	const char *start, *at;
	struct fa_buf out;
	int depth;
	bool bad;
	bool silent; /* parse, print nothing */
};

static void v0_type(struct v0 *v);
static void v0_path(struct v0 *v, bool in_value);

static void put(struct v0 *v, const char *text, size_t len)
{
	if (v->out.len + len > LENGTH_MAX)
		v->bad = true;
	else if (!v->silent)
		fa_buf_add(&v->out, text, len);
}

static void puts0(struct v0 *v, const char *text)
{
	put(v, text, strlen(text));
}

static bool eat(struct v0 *v, char c)
{
	if (v->bad || *v->at != c)
		return false;
	v->at++;
	return true;
}

static char next(struct v0 *v)
{
	if (v->bad || *v->at == '\0') {
		v->bad = true;
		return '\0';
	}
	return *v->at++;
}

static uint64_t base62(struct v0 *v)
{
	uint64_t n = 0;

	if (eat(v, '_'))
		return 0;
	for (;;) {
		char c = next(v);

		if (c == '_')
			return n + 1;
		if (c >= '0' && c <= '9')
			n = n * 62 + (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'z')
			n = n * 62 + 10 + (uint64_t)(c - 'a');
		else if (c >= 'A' && c <= 'Z')
			n = n * 62 + 36 + (uint64_t)(c - 'A');
		else
			v->bad = true;
		if (v->bad)
			return 0;
	}
}

static uint64_t optional62(struct v0 *v, char tag)
{
	return eat(v, tag) ? base62(v) + 1 : 0;
}

struct ident {
	const char *text;
	size_t len;
	uint64_t disambiguator;
};

static struct ident identifier(struct v0 *v)
{
	struct ident id = {.disambiguator = optional62(v, 's')};

	(void)eat(v, 'u'); /* punycode is shown as it stands */
	while (*v->at >= '0' && *v->at <= '9' && id.len < LENGTH_MAX) {
		id.len = id.len * 10 + (size_t)(*v->at++ - '0');
		if (id.len == 0)
			break;
	}
	(void)eat(v, '_');
	if (id.len > strlen(v->at)) {
		v->bad = true;
		id.len = 0;
	}
	id.text = v->at;
	v->at += id.len;
	return id;
}

/* Continue at an earlier place of the name, then come back. */
static void back_reference(struct v0 *v, void (*parse)(struct v0 *v, bool flag), bool flag)
{
	uint64_t offset = base62(v);
	const char *here = v->at;

	if (v->bad || offset >= (uint64_t)(here - v->start) || v->silent)
		return;
	v->at = v->start + offset;
	parse(v, flag);
	v->at = here;
}

static void v0_type_flag(struct v0 *v, bool flag)
{
	(void)flag;
	v0_type(v);
}

static void v0_const(struct v0 *v, bool flag)
{
	(void)flag;
	if (eat(v, 'B')) {
		back_reference(v, v0_const, false);
		return;
	}
	if (eat(v, 'p')) {
		puts0(v, "_");
		return;
	}
	char type = next(v);
	const char *digits;
	uint64_t n = 0;

	if (eat(v, 'n'))
		puts0(v, "-");
	digits = v->at;
	while (!v->bad && *v->at != '_')
		(void)next(v);
	size_t len = (size_t)(v->at - digits);

	(void)eat(v, '_');
	for (size_t i = 0; i < len && i < 16; i++)
		n = n << 4 | (uint64_t)(digits[i] <= '9' ? digits[i] - '0' : digits[i] - 'a' + 10);
	char text[32];

	if (type == 'b')
		(void)snprintf(text, sizeof(text), "%s", n ? "true" : "false");
	else
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	puts0(v, len > 16 ? "_" : text);
}

static void generic_arg(struct v0 *v)
{
	if (eat(v, 'L'))
		(void)base62(v);
	else if (eat(v, 'K'))
		v0_const(v, false);
	else
		v0_type(v);
}

static void impl_path(struct v0 *v)
{
	bool silent = v->silent;

	(void)optional62(v, 's');
	v->silent = true;
	v0_path(v, false);
	v->silent = silent;
}

static void nested_path(struct v0 *v, bool in_value)
{
	char space = next(v);

	v0_path(v, in_value);
	struct ident id = identifier(v);

	if (space >= 'A' && space <= 'Z') {
		char text[48];

		puts0(v, "::{");
		puts0(v, space == 'C' ? "closure" : space == 'S' ? "shim" : "special");
		if (id.len != 0) {
			puts0(v, ":");
			put(v, id.text, id.len);
		}
		(void)snprintf(text, sizeof(text), "#%llu}", (unsigned long long)id.disambiguator);
		puts0(v, text);
	} else if (id.len != 0) {
		puts0(v, "::");
		put(v, id.text, id.len);
	}
}

static void generic_path(struct v0 *v, bool in_value)
{
	v0_path(v, in_value);
	puts0(v, in_value ? "::<" : "<");
	for (bool first = true; !v->bad && !eat(v, 'E'); first = false) {
		if (!first)
			puts0(v, ", ");
		generic_arg(v);
	}
	puts0(v, ">");
}

static void v0_path(struct v0 *v, bool in_value)
{
	struct ident id;

	if (++v->depth > DEPTH_MAX)
		v->bad = true;
	switch (next(v)) {
	case 'C':
		id = identifier(v);
		put(v, id.text, id.len);
		break;
	case 'M':
		impl_path(v);
		puts0(v, "<");
		v0_type(v);
		puts0(v, ">");
		break;
	case 'X':
		impl_path(v); /* fall through */
	case 'Y':
		puts0(v, "<");
		v0_type(v);
		puts0(v, " as ");
		v0_path(v, false);
		puts0(v, ">");
		break;
	case 'N':
		nested_path(v, in_value);
		break;
	case 'I':
		generic_path(v, in_value);
		break;
	case 'B':
		back_reference(v, v0_path, in_value);
		break;
	default:
		v->bad = true;
	}
	v->depth--;
}

static const char *basic_type(char c)
{
	static const char *const names[26] = {
		"i8",    "bool", "char", "f64", "str",  "f32",  NULL,  "u8", "isize",
		"usize", NULL,   "i32",  "u32", "i128", "u128", "_",   NULL, NULL,
		"i16",   "u16",  "()",   "...", NULL,   "i64",  "u64", "!",
	};

	return c >= 'a' && c <= 'z' ? names[c - 'a'] : NULL;
}

static void tuple(struct v0 *v)
{
	int n = 0;

	puts0(v, "(");
	for (; !v->bad && !eat(v, 'E'); n++) {
		if (n != 0)
			puts0(v, ", ");
		v0_type(v);
	}
	puts0(v, n == 1 ? ",)" : ")");
}

static void function_type(struct v0 *v)
{
	(void)optional62(v, 'G');
	if (eat(v, 'U'))
		puts0(v, "unsafe ");
	if (eat(v, 'K') && !eat(v, 'C')) {
		struct ident abi = identifier(v);

		puts0(v, "extern \"");
		put(v, abi.text, abi.len);
		puts0(v, "\" ");
	}
	puts0(v, "fn(");
	for (bool first = true; !v->bad && !eat(v, 'E'); first = false) {
		if (!first)
			puts0(v, ", ");
		v0_type(v);
	}
	puts0(v, ")");
	if (!eat(v, 'u')) {
		puts0(v, " -> ");
		v0_type(v);
	}
}

static void dyn_type(struct v0 *v)
{
	puts0(v, "dyn ");
	(void)optional62(v, 'G');
	for (bool first = true; !v->bad && !eat(v, 'E'); first = false) {
		if (!first)
			puts0(v, " + ");
		v0_path(v, false);
		while (eat(v, 'p')) { /* associated type: printed as "<Name = T>" */
			struct ident id = identifier(v);

			puts0(v, "<");
			put(v, id.text, id.len);
			puts0(v, " = ");
			v0_type(v);
			puts0(v, ">");
		}
	}
	if (eat(v, 'L'))
		(void)base62(v);
}

static void pointer_type(struct v0 *v, const char *sigil, bool lifetime)
{
	if (lifetime && eat(v, 'L'))
		(void)base62(v);
	puts0(v, sigil);
	v0_type(v);
}

static void array_type(struct v0 *v, bool sized)
{
	puts0(v, "[");
	v0_type(v);
	if (sized) {
		puts0(v, "; ");
		v0_const(v, false);
	}
	puts0(v, "]");
}

static void v0_type(struct v0 *v)
{
	char c = v->bad ? '\0' : *v->at;

	if (++v->depth > DEPTH_MAX)
		v->bad = true;
	if (!v->bad && basic_type(c) != NULL) {
		v->at++;
		puts0(v, basic_type(c));
	} else if (eat(v, 'A') || eat(v, 'S')) {
		array_type(v, c == 'A');
	} else if (eat(v, 'T')) {
		tuple(v);
	} else if (eat(v, 'R') || eat(v, 'Q')) {
		pointer_type(v, c == 'R' ? "&" : "&mut ", true);
	} else if (eat(v, 'P') || eat(v, 'O')) {
		pointer_type(v, c == 'P' ? "*const " : "*mut ", false);
	} else if (eat(v, 'F')) {
		function_type(v);
	} else if (eat(v, 'D')) {
		dyn_type(v);
	} else if (eat(v, 'B')) {
		back_reference(v, v0_type_flag, false);
	} else {
		v0_path(v, false);
	}
	v->depth--;
}

static char *demangle_v0(const char *name)
{
	struct v0 v = {.start = name + 2, .at = name + 2};

	v0_path(&v, true);
	if (!v.bad && v.out.error == 0 && v.out.len != 0)
		return fa_buf_take(&v.out);
	fa_buf_done(&v.out);
	return NULL;
}

char *fa_demangle_rust(const char *name)
{
	return strncmp(name, "_R", 2) == 0 ? demangle_v0(name) : demangle_legacy(name);
}
