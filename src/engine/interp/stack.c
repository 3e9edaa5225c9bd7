/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * PUSH, POP and frames.
 *
 * Manual: SDM 2, PUSH to LEAVE; SDM 1 6.2 (stack widths).
 */
#include "engine/interp/operand.h"

#define BODY(name)                                                                                 \
	static ALWAYS_INLINE void name##_body(struct vcpu *c, const struct insn *i, unsigned size, \
					      enum form form)

BODY(exec_push)
{
	push(c, size, rm_read(c, i, size, form));
}
DEFINE_FAMILY(exec_push)

BODY(exec_push_i)
{
	(void)form;
	push(c, size, i->imm);
}
DEFINE_REG_FAMILY(exec_push_i)

/* POP rSP: the value wins over the increment. */
BODY(exec_pop)
{
	uint64_t value = stack_top(c, size);

	(void)form;
	stack_pointer_set(c, c->gpr[RSP] + size);
	reg_write(c, i->rm, size, value);
}
DEFINE_REG_FAMILY(exec_pop)

/* An address based on rSP uses its new value. */
BODY(exec_pop_rm)
{
	uint64_t value = stack_top(c, size), old_sp = c->gpr[RSP], offset;

	stack_pointer_set(c, old_sp + size);
	if (form == FORM_REG) {
		reg_write(c, i->rm, size, value);
		return;
	}
	offset = effective_address(c, i);
	c->gpr[RSP] = old_sp;
	mem_write(c, linear_address(c, i->seg, offset, size, ACCESS_WRITE), size, value);
	stack_pointer_set(c, old_sp + size);
}
DEFINE_FAMILY(exec_pop_rm)

void exec_pusha(struct vcpu *c, const struct insn *i)
{
	uint64_t old_sp = c->gpr[RSP], sp = old_sp;

	for (unsigned n = RAX; n <= RDI; n++) { /* nothing moves until all are written */
		gva_t address;

		sp = (sp - i->opsize) & stack_mask(c);
		address = linear_address(c, SS, sp, i->opsize, ACCESS_WRITE);
		mem_write(c, address, i->opsize, c->gpr[n]);
	}
	stack_pointer_set(c, sp);
	return next(c, i);
}

void exec_popa(struct vcpu *c, const struct insn *i)
{
	uint64_t sp = c->gpr[RSP], value[8];

	for (unsigned n = 0; n < 8; n++) {
		uint64_t offset = sp & stack_mask(c);
		gva_t address = linear_address(c, SS, offset, i->opsize, ACCESS_READ);

		value[n] = mem_read(c, address, i->opsize);
		sp += i->opsize;
	}
	for (unsigned n = 0; n < 8; n++) {
		if (RDI - n != RSP)
			reg_write(c, RDI - n, i->opsize, value[n]);
	}
	stack_pointer_set(c, sp);
	return next(c, i);
}

static uint64_t stack_read(struct vcpu *c, uint64_t offset, unsigned size)
{
	return mem_read(c, linear_address(c, SS, offset & stack_mask(c), size, ACCESS_READ), size);
}

static void stack_write(struct vcpu *c, uint64_t offset, unsigned size, uint64_t value)
{
	gva_t address = linear_address(c, SS, offset & stack_mask(c), size, ACCESS_WRITE);

	mem_write(c, address, size, value);
}

void exec_enter(struct vcpu *c, const struct insn *i)
{
	unsigned size = i->opsize, level = i->imm >> 16 & 31;
	uint64_t sp = c->gpr[RSP] - size, bp = c->gpr[RBP];
	uint64_t frame = sp;

	stack_write(c, sp, size, bp);
	for (unsigned n = 1; n < level; n++) {
		bp -= size;
		sp -= size;
		stack_write(c, sp, size, stack_read(c, bp, size));
	}
	if (level) {
		sp -= size;
		stack_write(c, sp, size, frame);
	}
	sp -= (uint16_t)i->imm;
	/* [SDM 2A ENTER] faults if the new top of the stack could not be written */
	mem_check_write(c, linear_address(c, SS, sp & stack_mask(c), size, ACCESS_WRITE), size);
	stack_pointer_set(c, sp);
	reg_write(c, RBP, size, frame);
	return next(c, i);
}

void exec_leave(struct vcpu *c, const struct insn *i)
{
	uint64_t frame = c->gpr[RBP];
	uint64_t value = stack_read(c, frame, i->opsize);

	stack_pointer_set(c, frame + i->opsize);
	reg_write(c, RBP, i->opsize, value);
	return next(c, i);
}
