/*
 * cull.c - frames that say nothing about who allocates: every stack begins with them.
 *
 * Only the C and C++ runtimes' own: a program's xmalloc() is its author's, and stays.
 */
#include <string.h>

#include "base/io.h"
#include "base/paths.h"
#include "report/resolve.h"

static const char *const exact[] = {
	"malloc",
	"calloc",
	"realloc",
	"reallocarray",
	"memalign",
	"aligned_alloc",
	"posix_memalign",
	"valloc",
	"pvalloc",
	"__libc_malloc",
	"__libc_calloc",
	"__libc_realloc",
	"__libc_memalign",
	"__libc_valloc",
	"__libc_pvalloc",
	"__libc_reallocarray",
	"__rust_alloc",
	"__rust_realloc",
	"__rdl_alloc",
	"__rdl_realloc",
	"__rg_alloc",
	"__rg_realloc",
	"_Znwm",
	"_Znam",
	"__rust_alloc_zeroed",
	"__rdl_alloc_zeroed",
	"alloc::alloc::alloc",
	"alloc::alloc::realloc",
	"alloc::alloc::exchange_malloc",
	"alloc::alloc::alloc_zeroed",
};

static const char *const prefixes[] = {
	"operator new",
	"__gnu_cxx::new_allocator<",
	"__gnu_cxx::__alloc_traits<",
	"std::allocator<",
	"std::allocator_traits<",
	"std::__new_allocator<",
	"std::__allocate_guarded<",
	"alloc::raw_vec::",
	"alloc::alloc::Global::",
	"<alloc::alloc::Global as ",
	"<alloc::raw_vec::",
};

bool fa_is_allocator_function(const char *function)
{
	for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++)
		if (strcmp(function, exact[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(function, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	/* std::_Vector_base<int, ...>::_M_allocate(unsigned long) and its kin */
	return strncmp(function, "std::", 5) == 0 && (strstr(function, ">::_M_allocate(") != NULL ||
						      strstr(function, ">::_M_get_node(") != NULL);
}

bool fa_is_tracer_module(const char *path)
{
	return strcmp(fa_base_name(path), FA_SHIM_NAME) == 0;
}
