/*
 * test_cfi.c - the reader of .eh_frame: against libdw on all of the C library, and on bytes by hand.
 *
 * libs: format
 * objs: shim/cfi.c
 */
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/cfi.h"

#include "test.h"

/* ---- by hand: a header with one entry, a CIE, an FDE ---- */

enum { CODE = 0x100000 }; /* the function lies this far behind the header */

struct made {
	unsigned char bytes[512];
	unsigned length;
	struct fa_cfi_image image;
};

static void put(struct made *m, const void *bytes, unsigned n)
{
	memcpy(m->bytes + m->length, bytes, n);
	m->length += n;
}

static void put32(struct made *m, int64_t v)
{
	int32_t word = (int32_t)v;

	put(m, &word, 4);
}

/* augmentation "zR" or "zRS"; the FDE covers 16 bytes and runs `program`. */
static void make(struct made *m, const char *letters, const void *program, unsigned n)
{
	static const unsigned char header[4] = {1, 0x1b, 0x03, 0x3b};
	static const unsigned char initial[] = {0x0c, 7, 8, 0x90, 1, 0, 0};
	unsigned start;

	memset(m, 0, sizeof(*m));
	put(m, header, 4);
	put32(m, 20 - 4);
	put32(m, 1);
	put32(m, CODE);
	m->length += 4; /* the FDE's place, known below */
	start = m->length;
	put32(m, 0);
	put32(m, 0);
	put(m, "\1", 1);
	put(m, letters, (unsigned)strlen(letters) + 1);
	put(m, "\1\x78\x10\1\x1b", 5);
	put(m, initial, sizeof(initial));
	memcpy(m->bytes + start, &(int32_t){(int32_t)(m->length - start - 4)}, 4);
	memcpy(m->bytes + 16, &(int32_t){(int32_t)m->length}, 4);
	unsigned fde = m->length;

	put32(m, 0);
	put32(m, (int64_t)m->length - start);
	put32(m, (int64_t)CODE - m->length);
	put32(m, 16);
	put(m, "", 1);
	put(m, program, n);
	memcpy(m->bytes + fde, &(int32_t){(int32_t)(m->length - fde - 4)}, 4);
	m->image.hdr = (uint64_t)(uintptr_t)m->bytes;
	m->image.hdr_lo = m->image.frame_lo = m->image.hdr;
	m->image.hdr_hi = m->image.frame_hi = m->image.hdr + m->length;
}

static int find(struct made *m, unsigned at, struct fa_cfi_row *row)
{
	return fa_cfi_find(&m->image, m->image.hdr + CODE + at, row);
}

SPEC(the_row_that_holds_at_the_pc_is_found)
{
	/* push rbp; mov rsp, rbp; ... */
	static const unsigned char program[] = {0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6};
	struct fa_cfi_row row;
	struct made m;

	make(&m, "zR", program, sizeof(program));
	CHECK(fa_cfi_open(&m.image) == 0);
	CHECK(m.image.entries == 1);
	CHECK(find(&m, 0, &row) == 0);
	CHECK(row.cfa_reg == FA_CFI_RSP && row.cfa_val == 8 && !row.signal);
	CHECK(row.how[FA_CFI_RA] == FA_CFI_OFFSET && row.val[FA_CFI_RA] == -8);
	CHECK(row.how[FA_CFI_RBP] == FA_CFI_SAME);
	CHECK(find(&m, 1, &row) == 0);
	CHECK(row.cfa_reg == FA_CFI_RSP && row.cfa_val == 16);
	CHECK(row.how[FA_CFI_RBP] == FA_CFI_OFFSET && row.val[FA_CFI_RBP] == -16);
	CHECK(find(&m, 3, &row) == 0 && row.cfa_reg == FA_CFI_RSP);
	CHECK(find(&m, 4, &row) == 0 && row.cfa_reg == FA_CFI_RBP);
	CHECK(find(&m, 15, &row) == 0);
}

SPEC(a_pc_that_no_fde_covers_has_no_row)
{
	struct fa_cfi_row row;
	struct made m;

	make(&m, "zR", "", 1);
	CHECK(fa_cfi_open(&m.image) == 0);
	CHECK(find(&m, 16, &row) == -ENOENT);
	CHECK(fa_cfi_find(&m.image, m.image.hdr + CODE - 1, &row) == -ENOENT);
	CHECK(fa_cfi_find(&m.image, 0, &row) == -ENOENT);
	CHECK(fa_cfi_find(&m.image, ~0ULL, &row) == -ENOENT);
}

SPEC(states_are_remembered_and_restored)
{
	static const unsigned char program[] = {0x0a, 0x41, 0x0e, 64,   0x83,
						3,    0x41, 0x0b, 0x41, 0xc6};
	struct fa_cfi_row row;
	struct made m;

	make(&m, "zR", program, sizeof(program));
	CHECK(fa_cfi_open(&m.image) == 0);
	CHECK(find(&m, 1, &row) == 0 && row.cfa_val == 64 && row.how[FA_CFI_RBX] == FA_CFI_OFFSET);
	CHECK(find(&m, 2, &row) == 0 && row.cfa_val == 8 && row.how[FA_CFI_RBX] == FA_CFI_SAME);
	CHECK(find(&m, 3, &row) == 0 && row.how[FA_CFI_RBP] == FA_CFI_SAME);
}

SPEC(a_signal_frame_is_known_by_its_letter)
{
	struct fa_cfi_row row;
	struct made m;

	make(&m, "zRS", "", 1);
	CHECK(fa_cfi_open(&m.image) == 0);
	CHECK(find(&m, 0, &row) == 0 && row.signal);
}

SPEC(damaged_programs_are_refused_not_guessed)
{
	static const unsigned char programs[][4] = {
		{0x0b, 0, 0, 0},          /* restore_state without remember_state */
		{0x0f, 100, 0, 0},        /* an expression longer than its FDE */
		{0x3f, 0, 0, 0},          /* no such instruction */
		{0x0e, 0x80, 0x80, 0x80}, /* a number without end */
		{0x0c, 99, 8, 0},         /* CFA by a register that does not exist */
		{0x10, 6, 0xff, 0x7f},
	};
	struct fa_cfi_row row;
	struct made m;

	for (unsigned i = 0; i < sizeof(programs) / 4; i++) {
		make(&m, "zR", programs[i], 4);
		CHECK(fa_cfi_open(&m.image) == 0);
		CHECK(find(&m, 5, &row) == -EBADMSG);
	}
}

SPEC(a_cut_image_is_never_read_past_its_end)
{
	static const unsigned char program[] = {0x41, 0x0e, 16, 0x86, 2};
	struct fa_cfi_row row;
	struct made m;
	unsigned found = 0;

	make(&m, "zR", program, sizeof(program));
	for (unsigned n = 0; n < m.length; n++) {
		unsigned char *bytes = malloc(n + 1); /* a sanitizer sees its end */
		struct fa_cfi_image image = {0};

		memcpy(bytes, m.bytes, n);
		image.hdr = image.hdr_lo = image.frame_lo = (uint64_t)(uintptr_t)bytes;
		image.hdr_hi = image.frame_hi = image.hdr + n;
		if (fa_cfi_open(&image) == 0)
			found += fa_cfi_find(&image, image.hdr + CODE + 2, &row) == 0;
		free(bytes);
	}
	CHECK(found == 0);
}

SPEC(the_realigned_frames_of_gcc_are_recognised)
{
	static const unsigned char program[] = {0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0};
	static const unsigned char other[] = {0x0f, 3, 0x77, 0x78, 0x06, 0x10, 6, 2, 0x76, 0};
	struct fa_cfi_row row;
	struct made m;
	int64_t off = 0;

	make(&m, "zR", program, sizeof(program));
	CHECK(fa_cfi_open(&m.image) == 0 && find(&m, 0, &row) == 0);
	CHECK(fa_cfi_is_realigned(&m.image, &row, &off) && off == -8);
	make(&m, "zR", other, sizeof(other));
	CHECK(fa_cfi_open(&m.image) == 0 && find(&m, 0, &row) == 0);
	CHECK(!fa_cfi_is_realigned(&m.image, &row, &off));
}

/* ---- all of libc, against libdw ---- */

static struct fa_cfi_image libc_image;
static uint64_t libc_bias;
static char libc_path[4096];

static int find_libc(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct fa_cfi_image *image = arg;

	(void)size;
	if (strstr(info->dlpi_name, "/libc.so.6") == NULL)
		return 0;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type == PT_GNU_EH_FRAME)
			image->hdr = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
	}
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		uint64_t lo = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		uint64_t hi = lo + info->dlpi_phdr[i].p_filesz;

		if (info->dlpi_phdr[i].p_type == PT_LOAD && image->hdr >= lo && image->hdr < hi) {
			image->hdr_lo = image->frame_lo = lo;
			image->hdr_hi = image->frame_hi = hi;
		}
	}
	libc_bias = info->dlpi_addr;
	strncpy(libc_path, info->dlpi_name, sizeof(libc_path) - 1);
	return 1;
}

/* 1: libdw says the same of the CFA and the return address. */
static int same_as_libdw(Dwarf_CFI *cfi, uint64_t pc, const struct fa_cfi_row *row)
{
	Dwarf_Frame *frame = NULL;
	Dwarf_Op *ops;
	Dwarf_Op memory[3];
	size_t n = 0;
	bool signal = false;
	int same;

	if (dwarf_cfi_addrframe(cfi, pc - libc_bias, &frame) != 0)
		return 0;
	(void)dwarf_frame_info(frame, NULL, NULL, &signal);
	same = signal == (row->signal != 0) && dwarf_frame_cfa(frame, &ops, &n) == 0 && n > 0;
	if (same && !row->cfa_is_expr)
		same = n == 1 && ops[0].atom == DW_OP_bregx && ops[0].number == row->cfa_reg &&
		       (int64_t)ops[0].number2 == row->cfa_val;
	for (unsigned reg = 0; same && reg < FA_CFI_REGS; reg++) {
		if (reg == FA_CFI_RSP ||
		    dwarf_frame_register(frame, (int)reg, memory, &ops, &n) != 0)
			continue;
		if (row->how[reg] == FA_CFI_OFFSET) /* call_frame_cfa [plus offset] */
			same = n >= 1 && ops[0].atom == DW_OP_call_frame_cfa &&
			       (row->val[reg] == 0 ? n == 1
						   : (int64_t)ops[1].number == row->val[reg]);
		else if (row->how[reg] == FA_CFI_UNDEFINED)
			same = n == 0 && ops == memory;
	}
	free(frame);
	return same;
}

SPEC(every_function_of_libc_has_the_rows_that_libdw_finds)
{
	unsigned long checked = 0;
	unsigned long wrong = 0;

	(void)dl_iterate_phdr(find_libc, &libc_image);
	CHECK(fa_cfi_open(&libc_image) == 0);
	int fd = open(libc_path, O_RDONLY | O_CLOEXEC);

	(void)elf_version(EV_CURRENT);
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	Dwarf_CFI *cfi = dwarf_getcfi_elf(elf);

	CHECK(cfi != NULL);
	for (uint32_t i = 0; cfi != NULL && i < libc_image.entries; i++) {
		int32_t start;
		struct fa_cfi_row row;

		memcpy(&start, (const void *)(uintptr_t)(libc_image.table + i * 8ULL), 4);
		for (uint64_t k = 0; k < 90; k += 1 + k / 3) {
			uint64_t pc = libc_image.hdr + (uint64_t)(int64_t)start + k;

			if (fa_cfi_find(&libc_image, pc, &row) != 0)
				break;
			checked++;
			wrong += !same_as_libdw(cfi, pc, &row);
		}
	}
	printf("  %lu rows\n", checked);
	CHECK(checked > 20000);
	CHECK(wrong == 0);
	(void)dwarf_cfi_end(NULL);
	(void)elf_end(elf);
	(void)close(fd);
}

int main(void)
{
	RUN(the_row_that_holds_at_the_pc_is_found);
	RUN(a_pc_that_no_fde_covers_has_no_row);
	RUN(states_are_remembered_and_restored);
	RUN(a_signal_frame_is_known_by_its_letter);
	RUN(damaged_programs_are_refused_not_guessed);
	RUN(a_cut_image_is_never_read_past_its_end);
	RUN(the_realigned_frames_of_gcc_are_recognised);
	RUN(every_function_of_libc_has_the_rows_that_libdw_finds);
	return TEST_RESULT();
}
