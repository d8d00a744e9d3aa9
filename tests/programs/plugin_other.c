/* plugin_other - a library for dlopen, of another size: cflags: -shared -fPIC -g -O2 */
#include <stdlib.h>

static char room[100000] = {1};

void *plugin_alloc(int n)
{
	void *volatile p = malloc((size_t)n + room[0]);

	return p;
}
