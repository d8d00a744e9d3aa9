/* plugin - a library for dlopen: cflags: -shared -fPIC -g -O2 */
#include <stdlib.h>

void *plugin_alloc(int n)
{
	void *volatile p = malloc((size_t)n); /* no tail call */

	return p;
}
