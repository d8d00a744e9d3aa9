/* plugin_host - a library that opens others by their bare names: they are found only because it is its RUNPATH
 * that says where. cflags: -shared -fPIC -g -O2 -Wl,--enable-new-dtags,-rpath,named */
#include <dlfcn.h>

void *host_open(const char *name)
{
	void *volatile lib = dlopen(name, RTLD_NOW); /* no tail call */

	return lib;
}

/* Whose function is found: for RTLD_DEEPBIND, under which the library's own comes first. */
int plugin_choice(void)
{
	return 2;
}

int host_choice(void)
{
	return plugin_choice();
}
