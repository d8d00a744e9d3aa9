/* dlopens LIB N - opens, uses and closes a library N times. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 10;

	for (int i = 0; i < n; i++) {
		void *lib = dlopen(argv[1], RTLD_NOW);
		void *(*alloc)(int);

		if (lib == NULL)
			return 1;
		alloc = (void *(*)(int))dlsym(lib, "plugin_alloc");
		if (alloc == NULL || alloc(4242) == NULL)
			return 2;
		dlclose(lib);
	}
	puts("dlopens ok");
	return 0;
}
