/*
 * fuzz_index.c - the gate's look-up over strangers' bytes. libs: format base
 *
 * The bytes are tried twice: as they are, and with sizes and checksum made right, because no fuzzer
 * guesses a checksum.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/hash.h"
#include "format/index_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const char *bytes)
{
	static const char *const names[] = {"git", "nginx", "a", ""};

	for (int i = 0; i < 4; i++) {
		const struct fa_index_who who = {.exe_name = names[i],
						 .exec_name = names[3 - i],
						 .script = names[(i + 1) % 4],
						 .exe_path = "/usr/bin/git",
						 .package = "x.service",
						 .uid = (uint32_t)i};
		const struct fa_index_rule *r = fa_index_find(bytes, &who, 1);

		if (r != NULL && (r->depth < 1 || r->depth > FA_DEPTH_MAX))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fa_index_header *h;
	/* Exactly as long as the input, so that a sanitizer sees one byte too far. */
	char *bytes = calloc(1, size == 0 ? 1 : size);

	if (bytes == NULL)
		return 0;
	if (size > 0)
		memcpy(bytes, data, size);
	if (fa_index_check(bytes, size) == 0)
		look_up(bytes);
	if (size >= sizeof(*h) && size <= FA_INDEX_MAX) {
		h = (void *)bytes;
		memcpy(h->magic, FA_INDEX_MAGIC, sizeof(h->magic));
		h->total_size = (uint32_t)size;
		h->checksum = 0;
		h->checksum = fa_hash64(bytes, size, 0);
		if (fa_index_check(bytes, size) == 0)
			look_up(bytes);
	}
	free(bytes);
	return 0;
}
