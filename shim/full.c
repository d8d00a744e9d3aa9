/* full.c - see full.h. Expressions: DWARF 4 section 2.5. */
#include "shim/careful.h"
#include "shim/full.h"

#include <errno.h>

#include "shim/leb.h"
#include "shim/rules.h"
#include "shim/sys.h"

enum {
	PAGE = 4096,
	EXPRESSION_STACK = 32,
	EXPRESSION_STEPS = 1000, /* branches may go backwards */
	GUESS_REACH = 0x4000,    /* as libunwind: how far above rsp a guessed frame may lie */
};

int fa_pages_readable(uint64_t lo, uint64_t hi)
{
	return lo < hi && hi >> 47 == 0 &&
	       fa_advise((void *)(uintptr_t)lo, hi - lo, FA_MADV_POPULATE_READ) == 0;
}

static int readable(struct fa_readable *r, uint64_t address)
{
	uint64_t page = address & ~(uint64_t)(PAGE - 1);
	uint64_t last = (address + 7) & ~(uint64_t)(PAGE - 1);

	if (address >= r->lo && address < r->hi && r->hi - address >= 8)
		return 1;
	if (address >= r->page && address < r->page_hi && r->page_hi - address >= 8)
		return 1;
	if (address >> 47 != 0 || !fa_pages_readable(page, last + PAGE))
		return 0;
	if (page == r->page_hi) {
		r->page_hi = last + PAGE;
	} else {
		r->page = page;
		r->page_hi = last + PAGE;
	}
	return 1;
}

int fa_read_word(struct fa_readable *r, uint64_t address, uint64_t *ret)
{
	if (!readable(r, address))
		return 0;
	/* Not a plain load: a sanitized test must not mind which object the address lies in. */
	__asm__("movq %1, %0" : "=r"(*ret) : "m"(*(const uint64_t *)(uintptr_t)address));
	return 1;
}

/* An expression at work. */
struct stack {
	uint64_t v[EXPRESSION_STACK];
	unsigned depth;
	int bad;
	const struct fa_full *f;
	struct fa_readable *r;
};

static void push(struct stack *s, uint64_t v)
{
	if (s->depth == EXPRESSION_STACK) {
		s->bad = 1;
		return;
	}
	s->v[s->depth++] = v;
}

static uint64_t pop(struct stack *s)
{
	if (s->depth == 0) {
		s->bad = 1;
		return 0;
	}
	return s->v[--s->depth];
}

static uint64_t pick(struct stack *s, uint64_t below)
{
	if (below >= s->depth) {
		s->bad = 1;
		return 0;
	}
	return s->v[s->depth - 1 - below];
}

static uint64_t reg_value(struct stack *s, uint64_t reg)
{
	if (reg >= FA_CFI_REGS || (s->f->known >> reg & 1) == 0) {
		s->bad = 1;
		return 0;
	}
	return s->f->reg[reg];
}

static void dereference(struct stack *s, uint64_t size)
{
	uint64_t v = 0;

	if (size < 1 || size > 8 || !fa_read_word(s->r, pop(s), &v)) {
		s->bad = 1;
		return;
	}
	push(s, size == 8 ? v : v & ((1ULL << (8 * size)) - 1));
}

/* Constants and registers: everything that only pushes. 1: it was one of these. */
static int run_push(struct stack *s, uint8_t op, struct fa_reader *r)
{
	if (op >= 0x30 && op <= 0x4f) { /* lit0.. */
		push(s, op - 0x30U);
	} else if (op >= 0x70 && op <= 0x8f) { /* breg0.. */
		uint64_t v = reg_value(s, op - 0x70U);

		push(s, v + (uint64_t)fa_read_sleb(r));
	} else if (op == 0x03 || op == 0x0e || op == 0x0f) { /* addr, const8u, const8s */
		push(s, fa_read_fixed(r, 8));
	} else if (op == 0x08) {
		push(s, fa_read_fixed(r, 1));
	} else if (op == 0x09) {
		push(s, (uint64_t)(int8_t)fa_read_fixed(r, 1));
	} else if (op == 0x0a) {
		push(s, fa_read_fixed(r, 2));
	} else if (op == 0x0b) {
		push(s, (uint64_t)(int16_t)fa_read_fixed(r, 2));
	} else if (op == 0x0c) {
		push(s, fa_read_fixed(r, 4));
	} else if (op == 0x0d) {
		push(s, (uint64_t)(int32_t)fa_read_fixed(r, 4));
	} else if (op == 0x10) {
		push(s, fa_read_uleb(r));
	} else if (op == 0x11) {
		push(s, (uint64_t)fa_read_sleb(r));
	} else if (op == 0x92) { /* bregx */
		uint64_t v = reg_value(s, fa_read_uleb(r));

		push(s, v + (uint64_t)fa_read_sleb(r));
	} else {
		return 0;
	}
	return 1;
}

/* Stack shuffling and memory. 1: it was one of these. */
static int run_shuffle(struct stack *s, uint8_t op, struct fa_reader *r)
{
	uint64_t a;
	uint64_t b;
	uint64_t c;

	switch (op) {
	case 0x06: /* deref */
		dereference(s, 8);
		return 1;
	case 0x94: /* deref_size */
		dereference(s, fa_read_fixed(r, 1));
		return 1;
	case 0x12: /* dup */
		push(s, pick(s, 0));
		return 1;
	case 0x13: /* drop */
		(void)pop(s);
		return 1;
	case 0x14: /* over */
		push(s, pick(s, 1));
		return 1;
	case 0x15: /* pick */
		push(s, pick(s, fa_read_fixed(r, 1)));
		return 1;
	case 0x16: /* swap */
		a = pop(s);
		b = pop(s);
		push(s, a);
		push(s, b);
		return 1;
	case 0x17: /* rot */
		a = pop(s);
		b = pop(s);
		c = pop(s);
		push(s, a);
		push(s, c);
		push(s, b);
		return 1;
	case 0x96: /* nop */
		return 1;
	default:
		return 0;
	}
}

static uint64_t divide(struct stack *s, uint64_t a, uint64_t b)
{
	if (b == 0) {
		s->bad = 1;
		return 0;
	}
	return b == ~0ULL ? 0 - a : (uint64_t)((int64_t)a / (int64_t)b);
}

/* One operand. 1: it was one of these. */
static int run_unary(struct stack *s, uint8_t op, struct fa_reader *r)
{
	uint64_t a;

	switch (op) {
	case 0x19: /* abs */
		a = pop(s);
		push(s, (int64_t)a < 0 ? 0 - a : a);
		return 1;
	case 0x1f: /* neg */
		push(s, 0 - pop(s));
		return 1;
	case 0x20: /* not */
		push(s, ~pop(s));
		return 1;
	case 0x23: /* plus_uconst */
		a = pop(s);
		push(s, a + fa_read_uleb(r));
		return 1;
	default:
		return 0;
	}
}

/* Two operands: b was pushed last. */
static uint64_t run_binary(struct stack *s, uint8_t op, uint64_t a, uint64_t b)
{
	switch (op) {
	case 0x1a:
		return a & b;
	case 0x1b:
		return divide(s, a, b);
	case 0x1c:
		return a - b;
	case 0x1d:
		s->bad |= b == 0;
		return b == 0 ? 0 : a % b;
	case 0x1e:
		return a * b;
	case 0x21:
		return a | b;
	case 0x22:
		return a + b;
	case 0x24:
		return b < 64 ? a << b : 0;
	case 0x25:
		return b < 64 ? a >> b : 0;
	case 0x26:
		return (uint64_t)((int64_t)a >> (b < 64 ? b : 63));
	case 0x27:
		return a ^ b;
	case 0x29:
		return a == b;
	case 0x2a:
		return (int64_t)a >= (int64_t)b;
	case 0x2b:
		return (int64_t)a > (int64_t)b;
	case 0x2c:
		return (int64_t)a <= (int64_t)b;
	case 0x2d:
		return (int64_t)a < (int64_t)b;
	case 0x2e:
		return a != b;
	default:
		s->bad = 1;
		return 0;
	}
}

/* skip and bra: 1 when op was one of these. */
static int run_branch(struct stack *s, uint8_t op, struct fa_reader *r, const unsigned char *begin)
{
	if (op != 0x2f && op != 0x28)
		return 0;
	int16_t distance = (int16_t)fa_read_fixed(r, 2);

	if (op == 0x28 && pop(s) == 0)
		return 1;
	if (distance < begin - r->p || distance > r->end - r->p)
		s->bad = 1;
	else
		r->p += distance;
	return 1;
}

/* The value of an expression; with_cfa: the CFA is on its stack at first. 0 or -EBADMSG. */
static FA_NOINLINE int evaluate(const struct fa_full *f, struct fa_readable *readable_memory,
				const struct fa_cfi_image *image, int32_t at, const uint64_t *cfa,
				uint64_t *ret)
{
	const unsigned char *bytes;
	uint32_t length;
	struct stack s;

	s.depth = 0;
	s.bad = 0;
	s.f = f;
	s.r = readable_memory;
	if (fa_cfi_expression(image, at, &bytes, &length) < 0)
		return -EBADMSG;
	struct fa_reader r = {bytes, bytes + length, 0};

	if (cfa != NULL)
		push(&s, *cfa);
	for (unsigned steps = 0; r.p < r.end && !s.bad; steps++) {
		uint8_t op = *r.p++;

		if (steps == EXPRESSION_STEPS)
			return -EBADMSG;
		if (run_push(&s, op, &r) || run_shuffle(&s, op, &r) || run_unary(&s, op, &r) ||
		    run_branch(&s, op, &r, bytes))
			continue;
		uint64_t b = pop(&s);
		uint64_t a = pop(&s);

		push(&s, run_binary(&s, op, a, b));
	}
	uint64_t v = pop(&s);

	if (s.bad || r.bad)
		return -EBADMSG;
	*ret = v;
	return 0;
}

/* What register `reg` was in the caller: 1 known, 0 not known, < 0 damaged. */
static int recover(const struct fa_full *f, struct fa_readable *r, const struct fa_cfi_image *image,
		   const struct fa_cfi_row *row, unsigned reg, uint64_t cfa, uint64_t *ret)
{
	int32_t val = row->val[reg];
	uint64_t v;
	int err;

	switch (row->how[reg]) {
	case FA_CFI_SAME:
		*ret = f->reg[reg];
		return f->known >> reg & 1;
	case FA_CFI_OFFSET:
		return fa_read_word(r, cfa + (uint64_t)(int64_t)val, ret);
	case FA_CFI_VAL_OFFSET:
		*ret = cfa + (uint64_t)(int64_t)val;
		return 1;
	case FA_CFI_EXPR:
		err = evaluate(f, r, image, val, &cfa, &v);
		return err < 0 ? err : fa_read_word(r, v, ret);
	case FA_CFI_VAL_EXPR:
		err = evaluate(f, r, image, val, &cfa, ret);
		return err < 0 ? err : 1;
	case FA_CFI_REGISTER:
		if (val < 0 || val >= FA_CFI_REGS)
			return -EBADMSG;
		*ret = f->reg[val];
		return f->known >> val & 1;
	default:
		return 0;
	}
}

/* No CFI and no frame pointer: rbp says that this is the outermost frame, or the return address is the
 * first byte of a function, so that it was put there by hand (makecontext). */
static int at_end(const struct fa_full *f)
{
	const struct fa_cfi_image *image;
	struct fa_cfi_row row;
	uint32_t module;

	return ((f->known >> FA_CFI_RBP & 1) != 0 && f->reg[FA_CFI_RBP] == 0) ||
	       (!f->interrupted && fa_rule_row(f->reg[FA_CFI_RA], 1, &row, &image, &module) == 0);
}

/* As libunwind does where there is no CFI: take rbp for a frame pointer if it points a little above
 * the stack pointer. */
static int guess(struct fa_full *f, struct fa_readable *r)
{
	uint64_t rbp = f->reg[FA_CFI_RBP];
	uint64_t saved;
	uint64_t pc;

	if ((f->known >> FA_CFI_RBP & 1) == 0 || rbp < f->reg[FA_CFI_RSP] ||
	    rbp - f->reg[FA_CFI_RSP] > GUESS_REACH || !fa_read_word(r, rbp, &saved) ||
	    !fa_read_word(r, rbp + 8, &pc))
		return at_end(f) ? 0 : -ENOENT;
	f->reg[FA_CFI_RBP] = saved;
	f->reg[FA_CFI_RSP] = rbp + 16;
	f->reg[FA_CFI_RA] = pc;
	f->known = 1U << FA_CFI_RBP | 1U << FA_CFI_RSP | 1U << FA_CFI_RA;
	f->interrupted = 0;
	return pc != 0;
}

static int find_cfa(const struct fa_full *f, struct fa_readable *r,
		    const struct fa_cfi_image *image, const struct fa_cfi_row *row, uint64_t *ret)
{
	if (row->cfa_is_expr)
		return evaluate(f, r, image, row->cfa_val, NULL, ret);
	if ((f->known >> row->cfa_reg & 1) == 0)
		return -EBADMSG;
	*ret = f->reg[row->cfa_reg] + (uint64_t)(int64_t)row->cfa_val;
	return 0;
}

int fa_full_step(struct fa_full *f, struct fa_readable *r)
{
	const struct fa_cfi_image *image;
	struct fa_cfi_row row;
	uint64_t reg[FA_CFI_REGS];
	uint64_t cfa;
	uint32_t known = 0;
	int err = fa_rule_row(f->reg[FA_CFI_RA], (int)f->interrupted, &row, &image, &f->module);

	if (err == -ENOENT)
		return guess(f, r);
	if (err == 0)
		err = find_cfa(f, r, image, &row, &cfa);
	if (err < 0)
		return err;
	if (row.how[row.ra] == FA_CFI_UNDEFINED)
		return 0;
	for (unsigned i = 0; i < FA_CFI_REGS; i++) {
		int got = recover(f, r, image, &row, i, cfa, &reg[i]);

		/* A damaged rule matters when its register is used, which then is not known. */
		if (got > 0)
			known |= 1U << i;
	}
	if ((known >> row.ra & 1) == 0 || (known >> FA_CFI_RSP & 1) == 0)
		return -EBADMSG;
	if (reg[row.ra] == f->reg[FA_CFI_RA] && reg[FA_CFI_RSP] == f->reg[FA_CFI_RSP])
		return -EBADMSG; /* no progress */
	reg[FA_CFI_RA] = reg[row.ra];
	for (unsigned i = 0; i < FA_CFI_REGS; i++)
		f->reg[i] = reg[i];
	f->known = known | 1U << FA_CFI_RA;
	f->interrupted = row.signal;
	return reg[FA_CFI_RA] != 0;
}
