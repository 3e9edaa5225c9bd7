/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * JMP and CALL through call gates, task gates and TSS descriptors.
 *
 * Manual: SDM 2 "CALL", "JMP"; SDM 3 5.8.3-5.8.5 (call gates), 7.3 (task switching).
 */
#include "engine/sys/far.h"

struct call_gate {
	struct segment cs;
	uint64_t offset;
	unsigned size;   /* of what it pushes: 2, 4, 8 */
	unsigned params; /* copied from the caller's stack, `size` bytes each */
	uint8_t cpl;     /* afterwards */
};

static NORETURN void bad_selector(struct vcpu *c, uint8_t vector, uint16_t selector)
{
	raise_fault_code(c, vector, selector_error(c, selector));
}

/* The code segment behind the gate, and the privilege level it runs at. */
static void gate_target(struct vcpu *c, struct call_gate *gate, uint16_t selector, bool is_call)
{
	struct descriptor d;
	unsigned dpl;

	if (is_null(selector))
		bad_selector(c, EXC_GP, 0);
	descriptor_get(c, selector, EXC_GP, &d);
	dpl = descriptor_dpl(&d);
	if (!descriptor_is_code(&d) || dpl > c->cpl)
		bad_selector(c, EXC_GP, selector);
	if (!is_call && !is_conforming(descriptor_rights(&d)) && dpl != c->cpl)
		bad_selector(c, EXC_GP, selector);
	if (in_long_mode(c) && !(d.low >> 40 & SEG_LONG))
		bad_selector(c, EXC_GP, selector);
	gate->cpl = is_conforming(descriptor_rights(&d)) ? c->cpl : dpl;
	code_segment_prepare(c, &d, selector, gate->cpl, &gate->cs);
}

static void call_inner(struct vcpu *c, const struct insn *i, const struct call_gate *gate)
{
	struct stack from, to;
	struct segment ss;
	uint16_t selector;
	uint64_t sp;

	tss_stack_read(c, gate->cpl, &selector, &sp);
	if (in_long_mode(c)) {
		segment_set_null(&ss, selector);
		ss.rights |= (uint32_t)gate->cpl << SEG_DPL_SHIFT;
	} else {
		segment_prepare_stack(c, selector, gate->cpl, EXC_TS, &ss);
	}
	code_offset_check(c, &gate->cs, gate->offset);
	stack_current(c, &from);
	stack_other(c, &to, &ss, sp, gate->cpl);
	stack_push(c, &to, gate->size, c->seg[SS].selector);
	stack_push(c, &to, gate->size, c->gpr[RSP]);
	for (unsigned n = gate->params; n; n--)
		stack_push(c, &to, gate->size,
			   stack_peek(c, &from, (n - 1) * gate->size, gate->size));
	stack_push(c, &to, gate->size, c->seg[CS].selector);
	stack_push(c, &to, gate->size, next_rip(c, i));
	c->seg[SS] = ss;
	c->gpr[RSP] = to.sp;
	code_switch(c, &gate->cs, gate->cpl);
	return end_block(c, gate->offset);
}

static void call_gate_transfer(struct vcpu *c, const struct insn *i, const struct descriptor *d,
			       bool is_call)
{
	bool is_32bit = descriptor_type(d) == TYPE_CALL32;
	struct call_gate gate = {
		.offset = is_32bit ? gate_offset(d) : gate_offset(d) & 0xffff,
		.size = in_long_mode(c) ? 8
			: is_32bit      ? 4
					: 2,
		.params = in_long_mode(c) ? 0 : d->low >> 32 & 31,
	};
	struct stack s;

	gate_target(c, &gate, gate_selector(d), is_call);
	if (is_call && gate.cpl < c->cpl)
		return call_inner(c, i, &gate);
	code_offset_check(c, &gate.cs, gate.offset);
	if (is_call) {
		stack_current(c, &s);
		s.wide = in_long_mode(c);
		stack_push(c, &s, gate.size, c->seg[CS].selector);
		stack_push(c, &s, gate.size, next_rip(c, i));
		c->gpr[RSP] = s.sp;
	}
	code_switch(c, &gate.cs, gate.cpl);
	return end_block(c, gate.offset);
}

static void check_gate(struct vcpu *c, uint16_t selector, const struct descriptor *d)
{
	if (descriptor_dpl(d) < c->cpl || descriptor_dpl(d) < (selector & 3u))
		bad_selector(c, EXC_GP, selector);
	if (!descriptor_present(d))
		bad_selector(c, EXC_NP, selector);
}

void gate_transfer(struct vcpu *c, const struct insn *i, uint16_t selector, bool is_call)
{
	enum task_switch_reason reason = is_call ? TASK_CALL : TASK_JUMP;
	struct descriptor d;

	if (in_long_mode(c)) {
		if (!descriptor_find_wide(c, selector, &d) || descriptor_type(&d) != TYPE_CALL32 ||
		    d.high >> 40 & 0x1f)
			bad_selector(c, EXC_GP, selector);
		check_gate(c, selector, &d);
		return call_gate_transfer(c, i, &d, is_call);
	}
	descriptor_get(c, selector, EXC_GP, &d);
	switch (descriptor_type(&d)) {
	case TYPE_CALL16:
	case TYPE_CALL32:
		check_gate(c, selector, &d);
		return call_gate_transfer(c, i, &d, is_call);
	case TYPE_TASK_GATE:
		check_gate(c, selector, &d);
		task_gate_follow(c, &d, reason, next_rip(c, i), NULL);
		return end_block(c, c->rip);
	case TYPE_TSS16:
	case TYPE_TSS32:
		if (descriptor_dpl(&d) < c->cpl || descriptor_dpl(&d) < (selector & 3u))
			bad_selector(c, EXC_GP, selector);
		task_switch(c, selector, reason, next_rip(c, i), NULL);
		return end_block(c, c->rip);
	default:
		bad_selector(c, EXC_GP, selector);
	}
}
