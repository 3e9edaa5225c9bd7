/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Segment registers: MOV, PUSH, POP, LDS and its kin, and the bases of FS and GS.
 *
 * Manual: SDM 2 "MOV", "LDS/LES/LFS/LGS/LSS", "PUSH", "POP"; SDM 3 3.4, 5.6 (privilege checks).
 */
#include "engine/decode/ops.h"
#include "engine/jit/jit.h"
#include "engine/sys/internal.h"

void segment_prepare_stack(struct vcpu *c, uint16_t selector, uint8_t cpl, uint8_t vector,
			   struct segment *to)
{
	struct descriptor d;

	if (is_null(selector))
		raise_fault_code(c, vector, selector_error(c, 0));
	descriptor_get(c, selector, vector, &d);
	if ((selector & 3) != cpl || !descriptor_is_writable_data(&d) || descriptor_dpl(&d) != cpl)
		raise_fault_code(c, vector, selector_error(c, selector));
	if (!descriptor_present(&d))
		raise_fault_code(c, EXC_SS, selector_error(c, selector));
	descriptor_set_accessed(c, &d);
	segment_unpack(&d, selector, to);
}

void segment_prepare_data(struct vcpu *c, uint16_t selector, uint8_t vector, struct segment *to)
{
	struct descriptor d;
	unsigned type, dpl;

	if (is_null(selector)) {
		segment_set_null(to, selector);
		return;
	}
	descriptor_get(c, selector, vector, &d);
	type = descriptor_type(&d);
	dpl = descriptor_dpl(&d);
	if (!(type & SEG_S) || (type & SEG_CODE && !(type & SEG_WRITE)) ||
	    (!is_conforming(type) && ((selector & 3u) > dpl || c->cpl > dpl)))
		raise_fault_code(c, vector, selector_error(c, selector));
	if (!descriptor_present(&d))
		raise_fault_code(c, EXC_NP, selector_error(c, selector));
	descriptor_set_accessed(c, &d);
	segment_unpack(&d, selector, to);
}

void segment_prepare(struct vcpu *c, unsigned reg, uint16_t selector, struct segment *to)
{
	if (!is_protected(c)) {
		segment_set_real(c, reg, selector, to);
	} else if (reg != SS) {
		segment_prepare_data(c, selector, EXC_GP, to);
	} else if (is_null(selector) && code_is_64bit(c) && c->cpl != 3 &&
		   (selector & 3) == c->cpl) {
		segment_set_null(to, selector);
		to->rights |= (uint32_t)c->cpl << SEG_DPL_SHIFT;
	} else {
		segment_prepare_stack(c, selector, c->cpl, EXC_GP, to);
	}
}

static void segment_commit(struct vcpu *c, unsigned reg, const struct segment *segment)
{
	c->seg[reg] = *segment;
	if (reg < FS)
		mode_update(c);
	else
		jit_segments_update(c);
}

void segments_drop_privileged(struct vcpu *c)
{
	static const uint8_t data[] = { ES, DS, FS, GS };

	for (unsigned n = 0; n < ARRAY_LEN(data); n++) {
		struct segment *s = &c->seg[data[n]];
		unsigned dpl = (s->rights & SEG_DPL) >> SEG_DPL_SHIFT;

		if (!(s->rights & SEG_UNUSABLE) && (is_conforming(s->rights) || dpl >= c->cpl))
			continue;
		s->selector =
			0; /* if it was 1 to 3 too; the base stays: 64-bit code goes on using GS's */
		s->rights = SEG_UNUSABLE;
	}
}

/* Which one a PUSH, POP or LxS is about. */
static unsigned implied_segment(const struct insn *i)
{
	return op_info(i->op)->arg;
}

/* Loading SS holds interrupts and debug traps off until the next instruction is done. */
static void shadow_after_ss(struct vcpu *c)
{
	if (!c->shadow_ending) {
		c->shadow_mov_ss = true;
		mode_update(c);
	}
}

void exec_mov_from_sreg(struct vcpu *c, const struct insn *i)
{
	uint16_t selector;

	if (i->reg > GS)
		raise_ud(c);
	selector = c->seg[i->reg].selector;
	if (insn_has_memory(i))
		mem_write(c, operand_address(c, i, 2, ACCESS_WRITE), 2, selector);
	else
		gpr_write(c, i->rm, i->opsize, selector);
	return next(c, i);
}

void exec_mov_to_sreg(struct vcpu *c, const struct insn *i)
{
	uint32_t mode = c->mode;
	struct segment segment;
	uint16_t selector;

	if (i->reg > GS || i->reg == CS)
		raise_ud(c);
	selector = insn_has_memory(i) ? mem_read(c, operand_address(c, i, 2, ACCESS_READ), 2)
				      : c->gpr[i->rm];
	segment_prepare(c, i->reg, selector, &segment);
	segment_commit(c, i->reg, &segment);
	if (i->reg == SS)
		shadow_after_ss(c);
	return finish(c, i, mode);
}

void exec_push_sreg(struct vcpu *c, const struct insn *i)
{
	unsigned reg = implied_segment(i);
	struct stack s;

	/* A 32-bit push moves ESP by four but writes two bytes, as processors do. */
	stack_current(c, &s);
	if (i->opsize == 4) {
		stack_drop(&s, -2);
		stack_push(c, &s, 2, c->seg[reg].selector);
	} else {
		stack_push(c, &s, i->opsize, c->seg[reg].selector);
	}
	c->gpr[RSP] = s.sp;
	return next(c, i);
}

void exec_pop_sreg(struct vcpu *c, const struct insn *i)
{
	unsigned reg = implied_segment(i);
	uint32_t mode = c->mode;
	struct segment segment;
	uint16_t selector;
	struct stack s;

	stack_current(c, &s);
	selector = stack_peek(c, &s, 0, 2);
	stack_drop(&s, i->opsize);
	segment_prepare(c, reg, selector, &segment);
	c->gpr[RSP] = s.sp;
	segment_commit(c, reg, &segment);
	if (reg == SS)
		shadow_after_ss(c);
	return finish(c, i, mode);
}

void exec_load_far(struct vcpu *c, const struct insn *i)
{
	unsigned reg = implied_segment(i);
	uint32_t mode = c->mode;
	struct segment segment;
	uint16_t selector;
	uint64_t offset;
	gva_t at;

	if (!insn_has_memory(i))
		raise_ud(c);
	at = operand_address(c, i, i->opsize + 2u, ACCESS_READ);
	offset = mem_read(c, at, i->opsize);
	selector = mem_read(c, at + i->opsize, 2);
	segment_prepare(c, reg, selector, &segment);
	segment_commit(c, reg, &segment);
	gpr_write(c, i->reg, i->opsize, offset);
	return finish(c, i, mode);
}

/* FS and GS bases: CR4.FSGSBASE, 64-bit mode only. What is canonical, the paging mode says, unlike for
 * WRMSR. [SDM 2 RDFSBASE] */
static void require_fsgsbase(struct vcpu *c)
{
	if (!code_is_64bit(c) || !(c->cr4 & CR4_FSGSBASE))
		raise_ud(c);
}

static void read_base(struct vcpu *c, const struct insn *i, unsigned reg)
{
	require_fsgsbase(c);
	gpr_write(c, i->rm, i->opsize, c->seg[reg].base);
	return next(c, i);
}

static void write_base(struct vcpu *c, const struct insn *i, unsigned reg)
{
	uint64_t base = i->opsize == 8 ? c->gpr[i->rm] : (uint32_t)c->gpr[i->rm];

	require_fsgsbase(c);
	if (!is_canonical(base, c))
		raise_gp(c);
	c->seg[reg].base = base;
	return next(c, i);
}

void exec_rdfsbase(struct vcpu *c, const struct insn *i)
{
	return read_base(c, i, FS);
}

void exec_rdgsbase(struct vcpu *c, const struct insn *i)
{
	return read_base(c, i, GS);
}

void exec_wrfsbase(struct vcpu *c, const struct insn *i)
{
	return write_base(c, i, FS);
}

void exec_wrgsbase(struct vcpu *c, const struct insn *i)
{
	return write_base(c, i, GS);
}

void exec_swapgs(struct vcpu *c, const struct insn *i)
{
	uint64_t base = c->seg[GS].base;

	if (!code_is_64bit(c))
		raise_ud(c);
	require_cpl0(c);
	c->seg[GS].base = c->msr.kernel_gs_base;
	c->msr.kernel_gs_base = base;
	return next(c, i);
}
