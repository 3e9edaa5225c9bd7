/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Stacks of transfers: the current one, and the one a transfer switches to.
 *
 * Pushing writes memory but not RSP or SS, so a fault half way leaves only bytes below the
 * stack's top changed and the whole transfer can be done again.
 *
 * Manual: SDM 3 5.8.5 (stack switching), 6.14.2 (64-bit stack frame).
 */
#include "engine/sys/internal.h"

void stack_current(struct vcpu *c, struct stack *s)
{
	s->ss = c->seg[SS];
	s->sp = c->gpr[RSP];
	s->cpl = c->cpl;
	s->wide = code_is_64bit(c);
	s->current = true;
}

void stack_other(struct vcpu *c, struct stack *s, const struct segment *ss, uint64_t sp,
		 uint8_t cpl)
{
	s->ss = *ss;
	s->sp = sp;
	s->cpl = cpl;
	s->wide = in_long_mode(c);
	s->current = false;
}

static uint64_t mask_of(const struct stack *s)
{
	return s->wide ? ~0ull : s->ss.rights & SEG_BIG ? 0xffffffff : 0xffff;
}

static uint64_t sp_plus(const struct stack *s, int64_t delta)
{
	uint64_t mask = mask_of(s);

	if (mask == 0xffff)
		return (s->sp & ~mask) | ((s->sp + (uint64_t)delta) & mask);
	return (s->sp + (uint64_t)delta) & mask;
}

static NORETURN void stack_fault(struct vcpu *c, const struct stack *s)
{
	raise_fault_code(c, EXC_SS, selector_error(c, s->current || s->wide ? 0 : s->ss.selector));
}

static gva_t stack_address(struct vcpu *c, const struct stack *s, uint64_t offset, unsigned size)
{
	uint64_t last;

	if (s->wide) {
		if (!is_canonical(offset, c) || !is_canonical(offset + size - 1, c))
			stack_fault(c, s);
		return offset;
	}
	if (s->ss.rights & SEG_UNUSABLE)
		stack_fault(c, s);
	offset &= mask_of(s);
	last = offset + size - 1;
	if (s->ss.rights & SEG_DOWN && !(s->ss.rights & SEG_CODE)) {
		if (offset <= s->ss.limit || last > mask_of(s))
			stack_fault(c, s);
	} else if (last > s->ss.limit) {
		stack_fault(c, s);
	}
	return (uint32_t)(s->ss.base + offset);
}

void stack_push(struct vcpu *c, struct stack *s, unsigned size, uint64_t value)
{
	uint64_t sp = sp_plus(s, -(int64_t)size);
	gva_t address = stack_address(c, s, sp, size);

	if (s->cpl == c->cpl)
		mem_write(c, address, size, value);
	else
		mem_write_as(c, s->cpl, address, size, value);
	s->sp = sp;
}

/* `above` bytes up from the top. */
uint64_t stack_peek(struct vcpu *c, const struct stack *s, unsigned above, unsigned size)
{
	return mem_read(c, stack_address(c, s, sp_plus(s, above), size), size);
}

uint64_t stack_pop(struct vcpu *c, struct stack *s, unsigned size)
{
	uint64_t value = stack_peek(c, s, 0, size);

	stack_drop(s, size);
	return value;
}

void stack_drop(struct stack *s, int bytes)
{
	s->sp = sp_plus(s, bytes);
}

void tss_stack_read(struct vcpu *c, uint8_t cpl, uint16_t *ss, uint64_t *sp)
{
	const struct segment *tr = &c->seg[TR];
	bool is_32bit = (tr->rights & SEG_TYPE) >= TYPE_TSS32;
	uint32_t at = in_long_mode(c) || is_32bit ? 4 + 8u * cpl : 2 + 4u * cpl;
	uint32_t last = at + (in_long_mode(c) ? 7 : is_32bit ? 5 : 3);

	if (tr->rights & SEG_UNUSABLE || last > tr->limit)
		raise_fault_code(c, EXC_TS, selector_error(c, tr->selector));
	if (in_long_mode(c)) {
		*sp = mem_read_system(c, tr->base + at, 8);
		*ss = cpl; /* null, with the new privilege level */
	} else if (is_32bit) {
		*sp = mem_read_system(c, (uint32_t)(tr->base + at), 4);
		*ss = mem_read_system(c, (uint32_t)(tr->base + at + 4), 2);
	} else {
		*sp = mem_read_system(c, (uint32_t)(tr->base + at), 2);
		*ss = mem_read_system(c, (uint32_t)(tr->base + at + 2), 2);
	}
}
