/* cfi.c - see cfi.h. Formats: LSB "Exception Frames", DWARF 4 section 6.4, x86-64 psABI. */
#include "cfi.h"

#include <errno.h>
#include <stddef.h>

#include "leb.h"

/* Encodings of pointers (DW_EH_PE_*). */
enum {
	PE_FORMAT = 0x0f,
	PE_APPLICATION = 0x70,
	PE_PCREL = 0x10,
	PE_INDIRECT = 0x80,
	PE_OMIT = 0xff,
	PE_TABLE = 0x3b /* datarel | sdata4: the only table that linkers write */
};
enum {
	REMEMBERED = 8,        /* depth of DW_CFA_remember_state; compilers use one */
	PROGRAM_STEPS = 65536, /* more than any function has */
};

/* What a CIE says about its FDEs. */
struct cie {
	uint64_t code_align;
	int64_t data_align;
	const unsigned char *program;
	const unsigned char *program_end;
	uint8_t pointer_encoding;
	uint8_t has_augmentation_length;
	uint8_t signal;
	uint8_t ra;
};

/* Runs a CFA program. */
struct machine {
	const struct fa_cfi_image *image;
	const struct cie *cie;
	struct fa_cfi_row *row;
	const struct fa_cfi_row *initial; /* NULL while the CIE's own program runs */
	uint64_t at;                      /* pc that the row holds for */
	uint64_t target;
	unsigned depth;
	struct fa_cfi_row saved[REMEMBERED];
};

static const unsigned char *bytes_at(uint64_t address)
{
	return (const unsigned char *)(uintptr_t)address;
}

/* Field by field: a struct copy may become a call of memcpy. */
static void copy_row(struct fa_cfi_row *to, const struct fa_cfi_row *from)
{
	for (unsigned i = 0; i < FA_CFI_REGS; i++) {
		to->val[i] = from->val[i];
		to->how[i] = from->how[i];
	}
	to->cfa_is_expr = from->cfa_is_expr;
	to->cfa_reg = from->cfa_reg;
	to->signal = from->signal;
	to->ra = from->ra;
	to->cfa_val = from->cfa_val;
}

static uint64_t read_format(struct fa_reader *r, uint8_t encoding)
{
	switch (encoding & PE_FORMAT) {
	case 0x00: /* absptr */
	case 0x04: /* udata8 */
	case 0x0c: /* sdata8 */
		return fa_read_fixed(r, 8);
	case 0x01:
		return fa_read_uleb(r);
	case 0x02:
		return fa_read_fixed(r, 2);
	case 0x03:
		return fa_read_fixed(r, 4);
	case 0x09:
		return (uint64_t)fa_read_sleb(r);
	case 0x0a:
		return (uint64_t)(int16_t)fa_read_fixed(r, 2);
	case 0x0b:
		return (uint64_t)(int32_t)fa_read_fixed(r, 4);
	default:
		r->bad = 1;
		return 0;
	}
}

static uint64_t read_pointer(struct fa_reader *r, uint8_t encoding)
{
	uint64_t place = (uint64_t)(uintptr_t)r->p;
	uint64_t v = read_format(r, encoding);

	if ((encoding & PE_INDIRECT) != 0)
		r->bad = 1;
	if ((encoding & PE_APPLICATION) == PE_PCREL)
		return v + place;
	if ((encoding & PE_APPLICATION) != 0)
		r->bad = 1;
	return v;
}

static int open_header(const struct fa_cfi_image *image, struct fa_reader *r, uint8_t encodings[3])
{
	if (image->hdr < image->hdr_lo || image->hdr > image->hdr_hi)
		return -EBADMSG;
	r->p = bytes_at(image->hdr);
	r->end = bytes_at(image->hdr_hi);
	r->bad = 0;
	if (fa_read_fixed(r, 1) != 1)
		return -EBADMSG;
	for (unsigned i = 0; i < 3; i++)
		encodings[i] = (uint8_t)fa_read_fixed(r, 1);
	return r->bad ? -EBADMSG : 0;
}

int fa_cfi_frame_address(const struct fa_cfi_image *image, uint64_t *ret)
{
	struct fa_reader r;
	uint8_t encodings[3];
	int err = open_header(image, &r, encodings);

	if (err < 0 || encodings[0] == PE_OMIT)
		return -EBADMSG;
	uint64_t address = read_pointer(&r, encodings[0]);

	if (r.bad)
		return -EBADMSG;
	*ret = address;
	return 0;
}

int fa_cfi_open(struct fa_cfi_image *image)
{
	struct fa_reader r;
	uint8_t encodings[3];
	int err = open_header(image, &r, encodings);

	if (err < 0)
		return err;
	if (image->frame_hi < image->frame_lo || image->frame_hi - image->frame_lo > INT32_MAX ||
	    image->frame_hi > INT64_MAX)
		return -EBADMSG;
	if (encodings[0] == PE_OMIT || encodings[1] == PE_OMIT || encodings[2] != PE_TABLE)
		return -EBADMSG;
	(void)read_pointer(&r, encodings[0]);
	uint64_t count = read_format(&r, encodings[1]);

	if (r.bad || count > (uint64_t)(r.end - r.p) / 8)
		return -EBADMSG;
	image->table = (uint64_t)(uintptr_t)r.p;
	image->entries = (uint32_t)count;
	return 0;
}

static int32_t table_word(const struct fa_cfi_image *image, uint32_t entry, unsigned word)
{
	const unsigned char *p = bytes_at(image->table + entry * 8ULL + word * 4ULL);

	return (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
			 (uint32_t)p[3] << 24);
}

/* Address of the FDE whose start is the last one not above pc; 0: none. */
static uint64_t search_table(const struct fa_cfi_image *image, uint64_t pc)
{
	int64_t wanted = (int64_t)(pc - image->hdr);
	uint32_t low = 0;
	uint32_t high = image->entries;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (table_word(image, middle, 0) <= wanted)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return 0;
	return image->hdr + (uint64_t)(int64_t)table_word(image, low - 1, 1);
}

/*
 * Starts reading a CIE or FDE: a length, then a word that is 0 for a CIE and for an FDE the distance
 * back to its CIE. `r` covers the entry behind that word.
 */
static int open_entry(const struct fa_cfi_image *image, uint64_t address, struct fa_reader *r,
		      uint64_t *ret_cie)
{
	if (address < image->frame_lo || address >= image->frame_hi)
		return -EBADMSG;
	r->p = bytes_at(address);
	r->end = bytes_at(image->frame_hi);
	r->bad = 0;
	uint64_t length = fa_read_fixed(r, 4);

	if (length == 0xffffffff)
		length = fa_read_fixed(r, 8);
	if (r->bad || length < 4 || length > (uint64_t)(r->end - r->p))
		return -EBADMSG;
	r->end = r->p + length;
	uint64_t place = (uint64_t)(uintptr_t)r->p;
	uint64_t back = fa_read_fixed(r, 4);

	*ret_cie = back == 0 ? 0 : place - back;
	return 0;
}

/* The augmentation's letters, each with data of its own. Unknown ones end the reading: 'z' gave the
 * length of all of them. */
static void read_augmentation(struct fa_reader *r, const unsigned char *letters, struct cie *ret)
{
	uint64_t length = fa_read_uleb(r);

	if (r->bad || length > (uint64_t)(r->end - r->p)) {
		r->bad = 1;
		return;
	}
	struct fa_reader data = {r->p, r->p + length, 0};

	r->p += length;
	for (; *letters != 0; letters++) {
		if (*letters == 'R') {
			ret->pointer_encoding = (uint8_t)fa_read_fixed(&data, 1);
		} else if (*letters == 'S') {
			ret->signal = 1;
		} else if (*letters == 'L') {
			(void)fa_read_fixed(&data, 1);
		} else if (*letters == 'P') {
			uint8_t encoding = (uint8_t)fa_read_fixed(&data, 1);

			(void)read_format(&data, encoding);
		} else {
			break;
		}
	}
	if (data.bad)
		r->bad = 1;
}

static int read_cie(const struct fa_cfi_image *image, uint64_t address, struct cie *ret)
{
	struct fa_reader r;
	uint64_t other;
	int err = open_entry(image, address, &r, &other);

	if (err < 0 || other != 0)
		return -EBADMSG;
	uint64_t version = fa_read_fixed(&r, 1);
	const unsigned char *letters = r.p;

	while (!r.bad && fa_read_fixed(&r, 1) != 0)
		;
	if (r.bad || (version != 1 && version != 3))
		return -EBADMSG;
	ret->code_align = fa_read_uleb(&r);
	ret->data_align = fa_read_sleb(&r);
	uint64_t ra = version == 1 ? fa_read_fixed(&r, 1) : fa_read_uleb(&r);

	ret->pointer_encoding = 0;
	ret->signal = 0;
	ret->has_augmentation_length = letters[0] == 'z';
	if (letters[0] == 'z')
		read_augmentation(&r, letters + 1, ret);
	else if (letters[0] != 0)
		return -EBADMSG;
	if (r.bad || ra >= FA_CFI_REGS)
		return -EBADMSG;
	ret->ra = (uint8_t)ra;
	ret->program = r.p;
	ret->program_end = r.end;
	return 0;
}

static int set_rule(struct machine *m, uint64_t reg, enum fa_cfi_how how, int64_t val)
{
	/* Vector and other registers may be named; no frame's place depends on them. */
	if (reg >= FA_CFI_REGS)
		return 0;
	if (val != (int32_t)val)
		return -EBADMSG;
	m->row->how[reg] = (uint8_t)how;
	m->row->val[reg] = (int32_t)val;
	return 0;
}

static int restore_rule(struct machine *m, uint64_t reg)
{
	if (m->initial == NULL)
		return -EBADMSG;
	if (reg >= FA_CFI_REGS)
		return 0;
	m->row->how[reg] = m->initial->how[reg];
	m->row->val[reg] = m->initial->val[reg];
	return 0;
}

static int set_cfa(struct machine *m, uint64_t reg, int64_t offset)
{
	if (reg >= FA_CFI_RA || offset != (int32_t)offset)
		return -EBADMSG;
	m->row->cfa_is_expr = 0;
	m->row->cfa_reg = (uint8_t)reg;
	m->row->cfa_val = (int32_t)offset;
	return 0;
}

/* Remembers where an expression is and steps over it. */
static int64_t take_expression(struct machine *m, struct fa_reader *r)
{
	int64_t at = (int64_t)((uint64_t)(uintptr_t)r->p - m->image->frame_lo);
	uint64_t length = fa_read_uleb(r);

	if (r->bad || length > (uint64_t)(r->end - r->p)) {
		r->bad = 1;
		return 0;
	}
	r->p += length;
	return at;
}

/* 1: the target lies before the place that the program goes on to. */
static int advance(struct machine *m, uint64_t delta)
{
	uint64_t next = m->at + delta * m->cie->code_align;

	if (next > m->target)
		return 1;
	m->at = next;
	return 0;
}

static int run_state(struct machine *m, uint8_t op)
{
	if (op == 0x0a) {
		if (m->depth == REMEMBERED)
			return -EBADMSG;
		copy_row(&m->saved[m->depth++], m->row);
		return 0;
	}
	if (m->depth == 0)
		return -EBADMSG;
	copy_row(m->row, &m->saved[--m->depth]);
	return 0;
}

static int run_cfa(struct machine *m, uint8_t op, struct fa_reader *r)
{
	uint64_t reg;

	if ((op == 0x0d || op == 0x0e || op == 0x13) && m->row->cfa_is_expr)
		return -EBADMSG;
	switch (op) {
	case 0x0c: /* def_cfa */
		reg = fa_read_uleb(r);
		return set_cfa(m, reg, (int64_t)fa_read_uleb(r));
	case 0x0d: /* def_cfa_register */
		return set_cfa(m, fa_read_uleb(r), m->row->cfa_val);
	case 0x0e: /* def_cfa_offset */
		return set_cfa(m, m->row->cfa_reg, (int64_t)fa_read_uleb(r));
	case 0x0f: /* def_cfa_expression */
		m->row->cfa_is_expr = 1;
		m->row->cfa_val = (int32_t)take_expression(m, r);
		return 0;
	case 0x12: /* def_cfa_sf */
		reg = fa_read_uleb(r);
		return set_cfa(m, reg, fa_read_sleb(r) * m->cie->data_align);
	default: /* 0x13 def_cfa_offset_sf */
		return set_cfa(m, m->row->cfa_reg, fa_read_sleb(r) * m->cie->data_align);
	}
}

static int64_t scaled(uint64_t v, int64_t align)
{
	return (int64_t)(v * (uint64_t)align);
}

static int run_register(struct machine *m, uint8_t op, struct fa_reader *r)
{
	uint64_t reg = fa_read_uleb(r);
	int64_t align = m->cie->data_align;

	switch (op) {
	case 0x05: /* offset_extended */
		return set_rule(m, reg, FA_CFI_OFFSET, scaled(fa_read_uleb(r), align));
	case 0x06: /* restore_extended */
		return restore_rule(m, reg);
	case 0x07:
		return set_rule(m, reg, FA_CFI_UNDEFINED, 0);
	case 0x08:
		return set_rule(m, reg, FA_CFI_SAME, 0);
	case 0x09:
		return set_rule(m, reg, FA_CFI_REGISTER, (int64_t)(fa_read_uleb(r) & INT32_MAX));
	case 0x10:
		return set_rule(m, reg, FA_CFI_EXPR, take_expression(m, r));
	case 0x11: /* offset_extended_sf */
		return set_rule(m, reg, FA_CFI_OFFSET, scaled((uint64_t)fa_read_sleb(r), align));
	case 0x14:
		return set_rule(m, reg, FA_CFI_VAL_OFFSET, scaled(fa_read_uleb(r), align));
	case 0x15:
		return set_rule(m, reg, FA_CFI_VAL_OFFSET,
				scaled((uint64_t)fa_read_sleb(r), align));
	case 0x16:
		return set_rule(m, reg, FA_CFI_VAL_EXPR, take_expression(m, r));
	default: /* 0x2f GNU_negative_offset_extended */
		return set_rule(m, reg, FA_CFI_OFFSET, -scaled(fa_read_uleb(r), align));
	}
}

/* 0: go on, 1: the target is reached, < 0: damaged. */
static int run_extended(struct machine *m, uint8_t op, struct fa_reader *r)
{
	switch (op) {
	case 0x00: /* nop */
	case 0x2d: /* GNU_window_save, of another machine: as libunwind, ignored */
		return 0;
	case 0x01: { /* set_loc */
		uint64_t next = read_pointer(r, m->cie->pointer_encoding);

		if (r->bad || next > m->target)
			return r->bad ? -EBADMSG : 1;
		m->at = next;
		return 0;
	}
	case 0x02:
		return advance(m, fa_read_fixed(r, 1));
	case 0x03:
		return advance(m, fa_read_fixed(r, 2));
	case 0x04:
		return advance(m, fa_read_fixed(r, 4));
	case 0x0a:
	case 0x0b:
		return run_state(m, op);
	case 0x0c:
	case 0x0d:
	case 0x0e:
	case 0x0f:
	case 0x12:
	case 0x13:
		return run_cfa(m, op, r);
	case 0x2e: /* GNU_args_size */
		(void)fa_read_uleb(r);
		return 0;
	default:
		if ((op >= 0x05 && op <= 0x16) || op == 0x2f)
			return run_register(m, op, r);
		return -EBADMSG;
	}
}

static int run_program(struct machine *m, const unsigned char *p, const unsigned char *end)
{
	struct fa_reader r = {p, end, 0};
	int done = 0;

	for (unsigned steps = 0; r.p < r.end && done == 0; steps++) {
		uint8_t op = *r.p++;
		uint8_t low = op & 0x3f;

		if (steps == PROGRAM_STEPS)
			return -EBADMSG;
		if (op >> 6 == 1)
			done = advance(m, low);
		else if (op >> 6 == 2)
			done = set_rule(m, low, FA_CFI_OFFSET,
					scaled(fa_read_uleb(&r), m->cie->data_align));
		else if (op >> 6 == 3)
			done = restore_rule(m, low);
		else
			done = run_extended(m, low, &r);
		if (r.bad)
			return -EBADMSG;
	}
	return done < 0 ? done : 0;
}

/* Runs the CIE's program, then the FDE's, until `target`. */
static int run_to(const struct fa_cfi_image *image, const struct cie *cie, struct fa_reader *fde,
		  uint64_t start, uint64_t target, struct fa_cfi_row *row)
{
	struct fa_cfi_row initial;
	struct machine m;

	m.image = image;
	m.cie = cie;
	m.row = row;
	m.initial = NULL;
	m.at = start;
	m.target = ~0ULL;
	m.depth = 0;
	for (unsigned i = 0; i < FA_CFI_REGS; i++) {
		row->val[i] = 0;
		row->how[i] = FA_CFI_SAME;
	}
	row->how[FA_CFI_RSP] = FA_CFI_VAL_OFFSET; /* by definition: the CFA */
	row->cfa_is_expr = 0;
	row->cfa_reg = FA_CFI_RA; /* none yet */
	row->cfa_val = 0;
	row->signal = cie->signal;
	row->ra = cie->ra;
	int err = run_program(&m, cie->program, cie->program_end);

	if (err < 0)
		return err;
	copy_row(&initial, row);
	m.initial = &initial;
	m.at = start;
	m.target = target;
	err = run_program(&m, fde->p, fde->end);
	if (err < 0)
		return err;
	return !row->cfa_is_expr && row->cfa_reg == FA_CFI_RA ? -EBADMSG : 0;
}

int fa_cfi_find(const struct fa_cfi_image *image, uint64_t pc, struct fa_cfi_row *ret)
{
	uint64_t address = search_table(image, pc);
	struct fa_reader r;
	struct cie cie;
	uint64_t cie_address;

	if (address == 0)
		return -ENOENT;
	int err = open_entry(image, address, &r, &cie_address);

	if (err < 0 || cie_address == 0)
		return -EBADMSG;
	err = read_cie(image, cie_address, &cie);
	if (err < 0)
		return err;
	uint64_t start = read_pointer(&r, cie.pointer_encoding);
	uint64_t range = read_format(&r, cie.pointer_encoding & PE_FORMAT);

	if (r.bad)
		return -EBADMSG;
	if (pc < start || pc - start >= range)
		return -ENOENT;
	if (cie.has_augmentation_length) {
		uint64_t length = fa_read_uleb(&r);

		if (r.bad || length > (uint64_t)(r.end - r.p))
			return -EBADMSG;
		r.p += length;
	}
	return run_to(image, &cie, &r, start, pc, ret);
}

int fa_cfi_expression(const struct fa_cfi_image *image, int32_t at, const unsigned char **ret_bytes,
		      uint32_t *ret_length)
{
	struct fa_reader r;

	if (at < 0 || (uint64_t)at >= image->frame_hi - image->frame_lo)
		return -EBADMSG;
	r.p = bytes_at(image->frame_lo + (uint64_t)at);
	r.end = bytes_at(image->frame_hi);
	r.bad = 0;
	uint64_t length = fa_read_uleb(&r);

	if (r.bad || length > (uint64_t)(r.end - r.p))
		return -EBADMSG;
	*ret_bytes = r.p;
	*ret_length = (uint32_t)length;
	return 0;
}

/* The expression is DW_OP_breg6 (rbp) + off, and then `more` further bytes? */
static int is_breg6(const struct fa_cfi_image *image, int32_t at, unsigned more,
		    const unsigned char **ret_rest, int64_t *ret_off)
{
	const unsigned char *bytes;
	uint32_t length;

	if (fa_cfi_expression(image, at, &bytes, &length) < 0 || length < 2 || bytes[0] != 0x76)
		return 0;
	struct fa_reader r = {bytes + 1, bytes + length, 0};

	*ret_off = fa_read_sleb(&r);
	*ret_rest = r.p;
	return !r.bad && (uint64_t)(r.end - r.p) == more;
}

int fa_cfi_is_realigned(const struct fa_cfi_image *image, const struct fa_cfi_row *row,
			int64_t *ret_off)
{
	const unsigned char *rest;
	int64_t cfa_off, rbp_off;

	if (!row->cfa_is_expr || row->how[FA_CFI_RBP] != FA_CFI_EXPR)
		return 0;
	if (!is_breg6(image, row->cfa_val, 1, &rest, &cfa_off) || *rest != 0x06) /* deref */
		return 0;
	if (!is_breg6(image, row->val[FA_CFI_RBP], 0, &rest, &rbp_off) || rbp_off != 0)
		return 0;
	*ret_off = cfa_off;
	return 1;
}
