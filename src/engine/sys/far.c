/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Far transfers: JMP, CALL and RET to another code segment, in all modes.
 *
 * A transfer reads and checks everything, writes the stack, and only then changes registers.
 * Gates are in gates.c, tasks in task.c.
 *
 * Manual: SDM 2 "JMP", "CALL", "RET"; SDM 3 5.8 (control transfers between code segments).
 */
#include "engine/sys/far.h"

void code_segment_prepare(struct vcpu *c, struct descriptor *d, uint16_t selector, uint8_t cpl,
			  struct segment *to)
{
	if (in_long_mode(c) && d->low >> 40 & SEG_LONG && d->low >> 40 & SEG_BIG)
		raise_fault_code(c, EXC_GP, selector_error(c, selector));
	if (!descriptor_present(d))
		raise_fault_code(c, EXC_NP, selector_error(c, selector));
	descriptor_set_accessed(c, d);
	segment_unpack(d, (selector & 0xfffc) | cpl, to);
}

void code_offset_check(struct vcpu *c, const struct segment *cs, uint64_t offset)
{
	bool fine = in_long_mode(c) && cs->rights & SEG_LONG ? is_canonical(offset, c)
							     : offset <= cs->limit;

	if (!fine)
		raise_fault_code(c, EXC_GP, selector_error(c, 0));
}

void code_switch(struct vcpu *c, const struct segment *cs, uint8_t cpl)
{
	c->seg[CS] = *cs;
	c->cpl = cpl;
	mode_update(c);
}

static uint64_t offset_of_size(uint64_t offset, unsigned size)
{
	return size == 2 ? (uint16_t)offset : size == 4 ? (uint32_t)offset : offset;
}

/* The far pointer an instruction names: immediate or in memory. */
static void far_pointer(struct vcpu *c, const struct insn *i, uint16_t *selector, uint64_t *offset)
{
	if (insn_has_memory(i)) {
		gva_t at = operand_address(c, i, i->opsize + 2u, ACCESS_READ);

		*offset = mem_read(c, at, i->opsize);
		*selector = mem_read(c, at + i->opsize, 2);
		return;
	}
	*offset = offset_of_size((uint32_t)i->imm, i->opsize);
	*selector = i->imm >> 32;
}

/* The code segment a direct JMP or CALL names; keeps the CPL. */
static void direct_target(struct vcpu *c, struct descriptor *d, uint16_t selector,
			  struct segment *cs)
{
	unsigned dpl = descriptor_dpl(d);

	if (is_conforming(descriptor_rights(d))) {
		if (dpl > c->cpl)
			raise_fault_code(c, EXC_GP, selector_error(c, selector));
	} else if ((selector & 3) > c->cpl || dpl != c->cpl) {
		raise_fault_code(c, EXC_GP, selector_error(c, selector));
	}
	code_segment_prepare(c, d, selector, c->cpl, cs);
}

/* What is done to the stack behind the check of the new code segment is done in its width, as
 * processors do; RSP's upper half does not outlive 64-bit code. */
static void stack_under(struct vcpu *c, const struct segment *cs, struct stack *s)
{
	bool was_wide = s->wide;

	s->wide = in_long_mode(c) && cs->rights & SEG_LONG;
	if (was_wide && !s->wide)
		s->sp = (uint32_t)s->sp;
}

/* Pushes CS and RIP, changes both. */
static void call_same_level(struct vcpu *c, const struct insn *i, const struct segment *cs,
			    uint64_t offset, unsigned size)
{
	struct stack s;

	stack_current(c, &s);
	stack_under(c, cs, &s);
	stack_push(c, &s, size, c->seg[CS].selector);
	stack_push(c, &s, size, next_rip(c, i));
	c->gpr[RSP] = s.sp;
	code_switch(c, cs, c->cpl);
	return end_block(c, offset);
}

static void far_real(struct vcpu *c, const struct insn *i, uint16_t selector, uint64_t offset,
		     bool is_call)
{
	struct segment cs;

	segment_set_real(c, CS, selector, &cs);
	if (offset > cs.limit)
		raise_gp(c);
	if (is_call)
		return call_same_level(c, i, &cs, offset, i->opsize);
	code_switch(c, &cs, c->cpl);
	return end_block(c, offset);
}

static void far_transfer(struct vcpu *c, const struct insn *i, bool is_call)
{
	struct segment cs;
	struct descriptor d;
	struct stack s;
	uint16_t selector;
	uint64_t offset;

	far_pointer(c, i, &selector, &offset);
	if (!is_protected(c))
		return far_real(c, i, selector, offset, is_call);
	if (is_null(selector))
		raise_gp(c);
	descriptor_get(c, selector, EXC_GP, &d);
	if (!(descriptor_type(&d) & SEG_S))
		return gate_transfer(c, i, selector, is_call);
	if (!descriptor_is_code(&d))
		raise_fault_code(c, EXC_GP, selector_error(c, selector));
	direct_target(c, &d, selector, &cs);
	if (!(in_long_mode(c) && cs.rights & SEG_LONG))
		offset = (uint32_t)offset;
	code_offset_check(c, &cs, offset);
	if (is_call)
		return call_same_level(c, i, &cs, offset, i->opsize);
	stack_current(c, &s);
	stack_under(c, &cs, &s);
	c->gpr[RSP] = s.sp;
	code_switch(c, &cs, c->cpl);
	return end_block(c, offset);
}

void exec_jmp_far(struct vcpu *c, const struct insn *i)
{
	return far_transfer(c, i, false);
}

void exec_call_far(struct vcpu *c, const struct insn *i)
{
	return far_transfer(c, i, true);
}

void return_target(struct vcpu *c, uint16_t selector, struct segment *cs, uint64_t *offset)
{
	struct descriptor d;
	unsigned rpl = selector & 3;

	if (is_null(selector))
		raise_gp(c);
	descriptor_get(c, selector, EXC_GP, &d);
	if (!descriptor_is_code(&d) || rpl < c->cpl ||
	    (is_conforming(descriptor_rights(&d)) ? descriptor_dpl(&d) > rpl
						  : descriptor_dpl(&d) != rpl))
		raise_fault_code(c, EXC_GP, selector_error(c, selector));
	code_segment_prepare(c, &d, selector, rpl, cs);
	if (!(in_long_mode(c) && cs->rights & SEG_LONG))
		*offset = (uint32_t)*offset;
}

void return_stack(struct vcpu *c, uint16_t selector, const struct segment *cs, struct segment *ss)
{
	uint8_t cpl = cs->selector & 3;

	if (is_null(selector) && in_long_mode(c) && cs->rights & SEG_LONG && cpl != 3 &&
	    (selector & 3) == cpl) {
		segment_set_null(ss, selector);
		ss->rights |= (uint32_t)cpl << SEG_DPL_SHIFT;
		return;
	}
	segment_prepare_stack(c, selector, cpl, EXC_GP, ss);
}

uint64_t return_stack_pointer(const struct vcpu *c, const struct segment *cs,
			      const struct segment *ss, uint64_t sp)
{
	if (in_long_mode(c) && cs->rights & SEG_LONG)
		return sp;
	return ss->rights & SEG_BIG ? (uint32_t)sp : (c->gpr[RSP] & ~0xffffull) | (uint16_t)sp;
}

/* RET to an outer level: SS:RSP follow the arguments; the outer stack drops them too. */
static void return_outer(struct vcpu *c, struct stack *s, const struct segment *cs, uint64_t offset,
			 unsigned size, unsigned drop)
{
	uint8_t cpl = cs->selector & 3;
	struct segment ss;
	struct stack outer;
	uint16_t selector;
	uint64_t sp;

	stack_drop(s, (int)drop);
	sp = stack_pop(c, s, size);
	selector = stack_pop(c, s, size);
	return_stack(c, selector, cs, &ss);
	code_offset_check(c, cs, offset);
	stack_other(c, &outer, &ss, return_stack_pointer(c, cs, &ss, sp), cpl);
	outer.wide = in_long_mode(c) && cs->rights & SEG_LONG;
	stack_drop(&outer, (int)drop);
	c->seg[SS] = ss;
	c->gpr[RSP] = outer.sp;
	c->cpl = cpl;
	segments_drop_privileged(c);
	code_switch(c, cs, cpl);
	return end_block(c, offset);
}

static void ret_real(struct vcpu *c, struct stack *s, uint16_t selector, uint64_t offset,
		     unsigned drop)
{
	struct segment cs;

	segment_set_real(c, CS, selector, &cs);
	if (offset > cs.limit)
		raise_gp(c);
	stack_drop(s, (int)drop);
	c->gpr[RSP] = s->sp;
	code_switch(c, &cs, c->cpl);
	return end_block(c, offset);
}

void exec_ret_far(struct vcpu *c, const struct insn *i)
{
	unsigned size = i->opsize, drop = i->imm & 0xffff;
	struct segment cs;
	struct stack s;
	uint16_t selector;
	uint64_t offset;

	stack_current(c, &s);
	selector =
		stack_peek(c, &s, size, size); /* which fault comes first: as processors have it */
	offset = stack_peek(c, &s, 0, size);
	stack_drop(&s, 2 * (int)size);
	if (!is_protected(c))
		return ret_real(c, &s, selector, offset, drop);
	return_target(c, selector, &cs, &offset);
	if ((cs.selector & 3) > c->cpl)
		return return_outer(c, &s, &cs, offset, size, drop);
	code_offset_check(c, &cs, offset);
	stack_under(c, &cs, &s);
	stack_drop(&s, (int)drop);
	c->gpr[RSP] = s.sp;
	code_switch(c, &cs, c->cpl);
	return end_block(c, offset);
}
