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

/* As in rust.c. A name of 480 characters may stand for one of 131 million: each part says "as above". */
enum { LENGTH_MAX = 4096 };

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

static char *shorten(char *name)
{
	static const char rest[] = "...";
	char *shorter;

	if (name == NULL || strlen(name) <= LENGTH_MAX)
		return name;
	memcpy(name + LENGTH_MAX - strlen(rest), rest, sizeof(rest));
	shorter = realloc(name, LENGTH_MAX + 1);
	return shorter == NULL ? name : shorter;
}

char *fa_demangle(const char *name)
{
	int status = 0;

	if (name[0] != '_' || (name[1] != 'Z' && name[1] != 'R'))
		return NULL;
	char *plain = fa_demangle_rust(name);

	if (plain != NULL || name[1] != 'Z' || find_cxa_demangle() == NULL)
		return plain;
	return shorten(find_cxa_demangle()(name, NULL, NULL, &status));
}
