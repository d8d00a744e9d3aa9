/*
 * fuzz_cfi.c - hostile .eh_frame bytes through the reader and the interpreter of frames.
 *
 * objs: shim/cfi.c shim/full.c shim/advise.c
 *
 * Input: 4 bytes pc (offset from the header), 4 bytes that fill the registers, then .eh_frame_hdr and
 * .eh_frame as one readable range. With libFuzzer:
 *   clang -fsanitize=fuzzer,address,undefined -std=c17 -D_GNU_SOURCE -g -O1 -Isrc -I. \
 *       tests/fuzz/fuzz_cfi.c shim/cfi.c shim/full.c shim/advise.c -o fuzz_cfi
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/full.h"
#include "shim/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fa_cfi_image image;
static uint64_t stack[512];

/* In place of rules.c: the one module is the input. */
int fa_rule_row(uint64_t pc, int interrupted, struct fa_cfi_row *ret_row,
		const struct fa_cfi_image **ret_image, uint32_t *ret_module)
{
	*ret_module = 1;
	*ret_image = &image;
	return fa_cfi_find(&image, interrupted ? pc : pc - 1, ret_row);
}

static void step_from(uint64_t pc, uint32_t seed)
{
	struct fa_readable readable = {(uint64_t)(uintptr_t)stack,
				       (uint64_t)(uintptr_t)(stack + 512), 0, 0};
	struct fa_full f;

	for (unsigned i = 0; i < 512; i++)
		stack[i] = i % 3 == 0 ? pc : (uint64_t)(uintptr_t)&stack[(i * 7 + seed) % 512];
	memset(&f, 0, sizeof(f));
	for (unsigned i = 0; i < FA_CFI_REGS; i++)
		f.reg[i] = (uint64_t)(uintptr_t)&stack[(seed >> i) % 512];
	f.reg[FA_CFI_RA] = pc;
	f.known = seed | 1U << FA_CFI_RSP | 1U << FA_CFI_RA;
	for (unsigned i = 0; i < 8 && fa_full_step(&f, &readable) > 0; i++)
		;
}

static void read_everywhere(uint32_t seed)
{
	struct fa_cfi_row row;
	int64_t off;

	for (uint32_t i = 0; i < image.entries && i < 64; i++) {
		int32_t words[2];

		memcpy(words, (const void *)(uintptr_t)(image.table + i * 8ULL), 8);
		for (uint64_t k = 0; k < 48; k += 3) {
			uint64_t pc = image.hdr + (uint64_t)(int64_t)words[0] + k;

			if (fa_cfi_find(&image, pc, &row) == 0)
				(void)fa_cfi_is_realigned(&image, &row, &off);
			if (k < 12)
				step_from(pc + 1, seed + (uint32_t)k);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int32_t at;
	uint32_t seed;
	uint64_t frame;

	if (size < 9)
		return 0;
	memcpy(&at, data, 4);
	memcpy(&seed, data + 4, 4);
	unsigned char *bytes =
		malloc(size - 8); /* of the exact size, so that a sanitizer sees all */

	if (bytes == NULL)
		return 0;
	memcpy(bytes, data + 8, size - 8);
	memset(&image, 0, sizeof(image));
	image.hdr = (uint64_t)(uintptr_t)bytes;
	image.hdr_lo = image.hdr;
	image.hdr_hi = image.hdr + size - 8;
	image.frame_lo = image.hdr_lo;
	image.frame_hi = image.hdr_hi;
	if (fa_cfi_frame_address(&image, &frame) == 0 && fa_cfi_open(&image) == 0) {
		step_from(image.hdr + (uint64_t)(int64_t)at, seed);
		read_everywhere(seed);
	}
	free(bytes);
	return 0;
}
