/* test_symbols.c - addresses of real programs, built on the spot, as functions, files and lines.
 * libs: symbols base */
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "symbols/symbols.h"
#include "tests/unit/test.h"

static char dir[] = "/tmp/fa-symbols-XXXXXX";

/* Lines count: the tests below name them. */
static const char source[] =
	"volatile int sink;\n"                                             /* 1 */
	"static inline __attribute__((always_inline)) void inner(void)\n"  /* 2 */
	"{\n"                                                              /* 3 */
	"	sink = 1;\n"                                               /* 4 */
	"	__asm__ volatile(\".globl mark\\nmark: nop\\n\");\n"       /* 5 */
	"	sink = 2;\n"                                               /* 6 */
	"}\n"                                                              /* 7 */
	"static inline __attribute__((always_inline)) void middle(void)\n" /* 8 */
	"{\n"                                                              /* 9 */
	"	inner();\n"                                                /* 10 */
	"}\n"                                                              /* 11 */
	"__attribute__((noinline)) int outer(void)\n"                      /* 12 */
	"{\n"                                                              /* 13 */
	"	middle();\n"                                               /* 14 */
	"	return sink;\n"                                            /* 15 */
	"}\n"                                                              /* 16 */
	"int main(void)\n"                                                 /* 17 */
	"{\n"                                                              /* 18 */
	"	return outer();\n"                                         /* 19 */
	"}\n";

FA_PRINTF(1, 2) static int shell(const char *format, ...)
{
	char command[2000];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

static void build(void)
{
	char path[PATH_MAX];

	CHECK(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/prog.c", dir);
	CHECK(fa_replace_file(path, source, strlen(source), 0600) == 0);
	CHECK(shell("cd %s && cc -g -O1 -Wl,--build-id -o prog prog.c && cp prog whole && "
		    "nm prog | awk '$3 == \"mark\" {print $1}' > mark && "
		    "readelf -n prog | awk '/Build ID/ {print $3}' > id",
		    dir) == 0);
}

static uint64_t read_hex(const char *name, unsigned char *id, size_t *id_len)
{
	char path[PATH_MAX], *text;
	size_t len;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (fa_read_file(path, 1000, &text, &len) < 0)
		return 0;
	uint64_t value = strtoull(text, NULL, 16);

	for (*id_len = 0; *id_len * 2 + 1 < strcspn(text, "\n"); ++*id_len) {
		char byte[3] = {text[*id_len * 2], text[*id_len * 2 + 1], '\0'};

		id[*id_len] = (unsigned char)strtoul(byte, NULL, 16);
	}
	free(text);
	return value;
}

struct ask {
	struct fa_symbols *symbols;
	struct fa_object *object;
	struct fa_symbol_frames frames;
};

/* The frames at `mark` in dir/file, looked up with the right build id or a wrong one. */
static struct ask ask(const char *file, bool right_id, const char *debug_dir)
{
	const struct fa_symbols_options o = {.debug_dirs = &debug_dir,
					     .debug_dir_count = debug_dir != NULL};
	unsigned char id[64], none[64];
	char path[PATH_MAX];
	size_t id_len, n;
	struct ask a = {0};
	uint64_t mark = read_hex("mark", none, &n);

	(void)read_hex("id", id, &id_len);
	id[0] = (unsigned char)(id[0] ^ !right_id);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, file);
	CHECK(id_len >= 8 && mark != 0);
	CHECK(fa_symbols_new(&o, &a.symbols) == 0);
	a.object = fa_symbols_object(a.symbols, path, id, id_len);
	a.frames = fa_object_find(a.object, mark);
	return a;
}

static bool is(const struct ask *a, size_t i, const char *function, unsigned line, bool inlined)
{
	const struct fa_symbol_frame *f = &a->frames.frame[i];

	return i < a->frames.count && f->function != NULL && strcmp(f->function, function) == 0 &&
	       f->line == line && f->inlined == inlined &&
	       (line == 0 || strcmp(fa_base_name(f->file), "prog.c") == 0);
}

SPEC(an_address_is_its_function_file_line_and_what_it_was_inlined_into)
{
	struct ask a = ask("prog", true, NULL);

	CHECK(fa_object_state(a.object) == FA_OBJECT_DEBUG);
	CHECK(a.frames.count == 3);
	CHECK(is(&a, 0, "inner", 5, true) || is(&a, 0, "inner", 6, true));
	CHECK(is(&a, 1, "middle", 10, true));
	CHECK(is(&a, 2, "outer", 14, false));
	/* asked again: the same answer from memory */
	CHECK(fa_object_find(a.object, 1).count == 1);
	fa_symbols_free(a.symbols);
}

SPEC(a_file_with_another_build_id_is_not_believed)
{
	struct ask a = ask("prog", false, NULL);

	CHECK(fa_object_state(a.object) == FA_OBJECT_CHANGED);
	CHECK(a.frames.count == 1 && a.frames.frame[0].function == NULL);
	fa_symbols_free(a.symbols);
}

SPEC(without_debug_information_the_symbol_table_names_the_function)
{
	CHECK(shell("cd %s && strip -g -o symtab whole", dir) == 0);
	struct ask a = ask("symtab", true, NULL);

	CHECK(fa_object_state(a.object) == FA_OBJECT_SYMBOLS);
	CHECK(a.frames.count == 1);
	CHECK(is(&a, 0, "outer", 0, false) || is(&a, 0, "mark", 0, false));
	fa_symbols_free(a.symbols);
}

static bool is_outer(const char *name)
{
	return strcmp(name, "outer") == 0;
}

static bool is_somebody_else(const char *name)
{
	return strcmp(name, "nobody") == 0;
}

SPEC(whether_code_has_a_name_is_told_without_its_frames_and_agrees_with_them)
{
	struct ask a = ask("prog", true, NULL);
	unsigned char none[64];
	size_t n;
	uint64_t mark = read_hex("mark", none, &n), named = 0;

	CHECK(fa_object_has_name(a.object, mark));
	CHECK(!fa_object_other_name(a.object, mark, is_outer));
	CHECK(fa_object_other_name(a.object, mark, is_somebody_else));
	/* Behind all code, and in no file: no name, so none other either. */
	CHECK(!fa_object_has_name(a.object, 1 << 30));
	CHECK(!fa_object_other_name(a.object, 1 << 30, is_somebody_else));
	for (uint64_t at = mark < 4096 ? 0 : mark - 4096; at < mark + 4096; at++) {
		struct fa_symbol_frames f = fa_object_find(a.object, at);
		bool has = f.frame[f.count - 1].function != NULL;

		CHECK(has == fa_object_has_name(a.object, at));
		named += has;
	}
	CHECK(named > 16 && named < 8192);
	fa_symbols_free(a.symbols);
}

SPEC(a_stripped_file_has_its_debug_file_found_by_build_id)
{
	char debug[PATH_MAX];

	CHECK(shell("cd %s && id=$(cat id) && d=debug/.build-id/$(printf %%.2s $id) && mkdir -p $d "
		    "&& "
		    "objcopy --only-keep-debug whole $d/${id#??}.debug && strip -s -o bare whole",
		    dir) == 0);
	(void)snprintf(debug, sizeof(debug), "%s/debug", dir);
	struct ask a = ask("bare", true, NULL);

	CHECK(a.frames.count == 1 && a.frames.frame[0].function == NULL);
	fa_symbols_free(a.symbols);
	a = ask("bare", true, debug);
	CHECK(a.frames.count == 3 && is(&a, 2, "outer", 14, false));
	fa_symbols_free(a.symbols);
	/* the program itself is gone */
	a = ask("nothing-here", true, debug);
	CHECK(a.frames.count == 3 && is(&a, 2, "outer", 14, false));
	fa_symbols_free(a.symbols);
}

SPEC(what_is_no_object_has_no_names_and_does_no_harm)
{
	struct ask a = ask("prog.c", true, NULL);

	CHECK(a.frames.count == 1 && a.frames.frame[0].function == NULL);
	CHECK(fa_object_state(a.object) == FA_OBJECT_MISSING);
	fa_symbols_free(a.symbols);
}

SPEC(no_server_is_asked_unless_wanted)
{
	const struct fa_symbols_options no = {0}, yes = {.debuginfod = true};
	struct fa_symbols *s;

	(void)setenv("DEBUGINFOD_URLS", "http://localhost:1", 1);
	CHECK(fa_symbols_new(&yes, &s) == 0);
	CHECK(getenv("DEBUGINFOD_URLS") != NULL);
	fa_symbols_free(s);
	CHECK(fa_symbols_new(&no, &s) == 0);
	CHECK(getenv("DEBUGINFOD_URLS") == NULL);
	fa_symbols_free(s);
}

static bool demangles(const char *name, const char *expected)
{
	char *plain = fa_demangle(name);
	bool same = plain != NULL && strcmp(plain, expected) == 0;

	if (!same)
		printf("  %s is %s\n", name, plain == NULL ? "(nothing)" : plain);
	free(plain);
	return same;
}

SPEC(rust_and_cpp_names_are_shown_as_people_write_them)
{
	CHECK(demangles("_ZN4core3fmt5write17h0123456789abcdeaE", "core::fmt::write"));
	CHECK(demangles("_ZN60_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..Drop$GT$4drop"
			"17h0123456789abcdeaE",
			"<alloc::vec::Vec<T> as core::ops::Drop>::drop"));
	CHECK(demangles("_RNvCs1234_7mycrate3foo", "mycrate::foo"));
	CHECK(demangles("_RINvNtC3std3mem8align_ofdE", "std::mem::align_of::<f64>"));
	CHECK(demangles("_RINvC3foo3barKb1_Kc61_E.llvm.123", "foo::bar::<true, 'a'>"));
	CHECK(demangles(
		"_RNCINkXs25_NgCsbmNqQUJIY6D_4core5sliceINyB9_4IterhENuNgNoBb_4iter8iterator"
		"8Iterator9rpositionNCNgNpB9_6memchr7memrchrs_0E0Bb_",
		"<core::slice::Iter<u8> as core::iter::iterator::Iterator>::rposition::<core::"
		"slice::memchr::memrchr::{closure#1}>::{closure#0}"));
	CHECK(fa_demangle("malloc") == NULL);
	CHECK(fa_demangle("_R") == NULL && fa_demangle("_RNvC") == NULL &&
	      fa_demangle("_ZN") == NULL);
	CHECK(demangles("_ZN3app5Store3addEi", "app::Store::add(int)"));
}

/* go<P1>() with Pn = std::pair<P(n+1), the same once more>, and the innermost of int. */
static char *nested_pairs(unsigned depth)
{
	static const char digit[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	struct fa_buf b = {0};

	fa_buf_puts(&b, "_Z2goI");
	for (unsigned i = 0; i < depth; i++)
		fa_buf_puts(&b, "St4pairI");
	fa_buf_puts(&b, "iiE");
	/* What may be named again, in order: go, each std::pair, each whole pair from the innermost. */
	for (unsigned i = 1; i < depth; i++) {
		unsigned n = depth + i - 1;

		fa_buf_printf(&b, "S%c%c_E", digit[n / 36], digit[n % 36]);
	}
	fa_buf_puts(&b, "EvT_");
	return fa_buf_take(&b);
}

SPEC(a_short_name_that_unfolds_to_more_than_memory_holds_is_cut_at_once)
{
	char *name = nested_pairs(34); /* 2^34 times "int" */
	char *plain = fa_demangle(name);

	CHECK(strlen(name) < 600);
	CHECK(plain != NULL && strlen(plain) == 4096 && strcmp(plain + 4093, "...") == 0);
	CHECK(plain != NULL && strncmp(plain, "void go<std::pair<std::pair<", 28) == 0);
	free(name);
	free(plain);
	/* Rust: "B" and a place in the name say what stood there, in base 62. */
	plain = fa_demangle("_RIC1aTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTuuEBy_EBx_EBw_EBv_EBu_EBt_EBs_EBr_EBq_"
			    "EBp_EBo_EBn_EBm_EBl_EBk_EBj_EBi_EBh_EBg_EBf_EBe_EBd_EBc_EBb_EBa_EB9_EB8_EB7_"
			    "EB6_EB5_EB4_EE");
	CHECK(plain != NULL && strlen(plain) == 4096 && strcmp(plain + 4093, "...") == 0);
	free(plain);
}

int main(void)
{
	build();
	RUN(an_address_is_its_function_file_line_and_what_it_was_inlined_into);
	RUN(a_file_with_another_build_id_is_not_believed);
	RUN(without_debug_information_the_symbol_table_names_the_function);
	RUN(whether_code_has_a_name_is_told_without_its_frames_and_agrees_with_them);
	RUN(a_stripped_file_has_its_debug_file_found_by_build_id);
	RUN(what_is_no_object_has_no_names_and_does_no_harm);
	RUN(no_server_is_asked_unless_wanted);
	RUN(rust_and_cpp_names_are_shown_as_people_write_them);
	RUN(a_short_name_that_unfolds_to_more_than_memory_holds_is_cut_at_once);
	(void)shell("rm -rf %s", dir);
	return TEST_RESULT();
}
