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
#include "format/package_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const char *bytes)
{
	static const char *const names[] = {"git", "nginx", "a", ""};
	static const char *const groups[] = {
		"0::/user.slice/user@7.service/app.slice/app-flatpak-a.b\\x2dc-77.scope\n",
		"2:cpu:/docker-0123456789abcdef.scope\n1:name=systemd:/a@b.service/snap.a.b.service\n",
		":::\n/\n::/_a.service//-/machine-.scope",
		NULL,
	};

	for (int i = 0; i < 4; i++) {
		const struct fa_index_who who = {.exe_name = names[i],
						 .exec_name = names[3 - i],
						 .script = names[(i + 1) % 4],
						 .exe_path = "/usr/bin/git",
						 .cgroup = groups[i],
						 .uid = (uint32_t)i};
		const struct fa_index_rule *r = fa_index_find(bytes, &who, 1);

		if (r != NULL && (r->depth < 1 || r->depth > FA_DEPTH_MAX))
			abort();
	}
}

/* The same bytes as names of control groups, and as a package. */
static void match(const uint8_t *data, size_t size)
{
	static const char *const packages[] = {"unit:a@.service", "container:0123456789ab", "cgroup:/a",
					       "flatpak:a", "snap:a.b"};
	char *text = calloc(1, size + 1);

	if (text == NULL)
		return;
	if (size > 0)
		memcpy(text, data, size);
	for (size_t i = 0; i < sizeof(packages) / sizeof(packages[0]); i++)
		(void)fa_package_matches(packages[i], text);
	(void)fa_package_matches(text, "0::/a/machine-\\x2d.scope/snap.a.b.service\n");
	(void)!fa_package_check(text);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fa_index_header *h;
	/* Exactly as long as the input, so that a sanitizer sees one byte too far. */
	char *bytes = calloc(1, size == 0 ? 1 : size);

	if (bytes == NULL)
		return 0;
	match(data, size);
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
