/*
 * fuzz_demangle.c - names as strangers' files have them, to names as people write them. libs: symbols base
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "symbols/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *name = strndup((const char *)data, size);
	char *plain = name == NULL ? NULL : fa_demangle(name);

	if (plain != NULL && strlen(plain) > 4096)
		abort();
	free(plain);
	free(name);
	return 0;
}
