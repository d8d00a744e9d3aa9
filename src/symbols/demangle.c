/*
 * demangle.c - C++ names, by the C++ runtime's own __cxa_demangle.
 *
 * libstdc++ is loaded when the first such name is met, and only if it is there: firstalloc itself
 * needs no C++. Where C++ programs are traced, it is installed.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "symbols/symbols.h"

typedef char *cxa_demangle_fn(const char *name, char *out, size_t *len, int *status);

static cxa_demangle_fn *find_cxa_demangle(void)
{
	static cxa_demangle_fn *fn;
	static bool looked;

	if (looked)
		return fn;
	looked = true;
	void *lib = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
	void *symbol = lib == NULL ? NULL : dlsym(lib, "__cxa_demangle");

	/* ISO C has no cast from an object pointer to a function pointer. */
	memcpy(&fn, &symbol, sizeof(fn));
	return fn;
}

char *fa_demangle(const char *name)
{
	int status = 0;

	if (name[0] != '_' || (name[1] != 'Z' && name[1] != 'R'))
		return NULL;
	char *plain = fa_demangle_rust(name);

	if (plain != NULL || name[1] != 'Z' || find_cxa_demangle() == NULL)
		return plain;
	return find_cxa_demangle()(name, NULL, NULL, &status);
}
