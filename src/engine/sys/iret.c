/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * IRET: back from interrupt handlers, in all modes.
 *
 * Manual: SDM 2 "IRET/IRETD/IRETQ"; SDM 3 20.2.3 (to virtual-8086 mode), 7.4 (nested tasks).
 * Not modelled: an IRET that faults does not lift NMI blocking.
 */
#include "engine/sys/far.h"

enum { RETURNED = F_STATUS | F_TF | F_DF | F_NT }; /* what any IRET may set */

/* Flags in `mask` from a popped image; then whatever this may have let in. */
static void flags_return(struct vcpu *c, uint64_t image, uint64_t mask)
{
	if (mask & image & F_RF) {
		/* RF matters to armed breakpoints only; else the next instruction just clears it. */
		if (debug_armed(c))
			c->rf_loaded = true;
		else
			image &= ~(uint64_t)F_RF;
	}
	if (image & mask & ~(uint64_t)c->rflags & F_IF)
		events_recheck(c);
	rflags_set(c, (rflags_get(c) & ~mask) | (image & mask));
}

static uint64_t protected_mask(const struct vcpu *c, unsigned size)
{
	uint64_t mask = RETURNED;

	if (size > 2)
		mask |= F_RF | F_AC | F_ID;
	if (c->cpl <= iopl(c))
		mask |= F_IF;
	if (c->cpl == 0)
		mask |= F_IOPL | (size > 2 ? F_VIF | F_VIP : 0);
	return mask;
}

static void iret_real(struct vcpu *c, unsigned size)
{
	uint64_t offset, image,
		mask = RETURNED | F_IF | F_IOPL | (size > 2 ? F_RF | F_AC | F_ID : 0);
	uint16_t selector;
	struct segment cs;
	struct stack s;

	stack_current(c, &s);
	offset = stack_pop(c, &s, size);
	selector = stack_pop(c, &s, size);
	image = stack_pop(c, &s, size);
	segment_set_real(c, CS, selector, &cs);
	if (offset > cs.limit)
		raise_gp(c);
	c->gpr[RSP] = s.sp;
	flags_return(c, image, mask);
	code_switch(c, &cs, c->cpl);
	nmi_unmask(c);
	return end_block(c, offset);
}

/* IRET executed in virtual-8086 mode. With VME, IF's part is played by VIF. */
static void iret_vm86(struct vcpu *c, unsigned size)
{
	uint64_t offset, image, mask = RETURNED | (size > 2 ? F_RF | F_AC | F_ID : 0);
	bool virtual_if = iopl(c) < 3;
	uint16_t selector;
	struct segment cs;
	struct stack s;

	if (virtual_if && (!(c->cr4 & CR4_VME) || size != 2))
		raise_gp(c);
	stack_current(c, &s);
	offset = stack_pop(c, &s, size);
	selector = stack_pop(c, &s, size);
	image = stack_pop(c, &s, size);
	if (offset > 0xffff)
		raise_gp(c);
	if (virtual_if) {
		if (image & F_TF || (image & F_IF && c->rflags & F_VIP))
			raise_gp(c);
		image = (image & ~(uint64_t)F_VIF) | (image & F_IF ? F_VIF : 0);
		mask |= F_VIF;
	} else {
		mask |= F_IF;
	}
	segment_set_vm86(selector, &cs);
	c->gpr[RSP] = s.sp;
	flags_return(c, image, mask);
	code_switch(c, &cs, 3);
	nmi_unmask(c);
	return end_block(c, offset);
}

static void iret_to_vm86(struct vcpu *c, struct stack *s, uint64_t offset, uint16_t cs_selector,
			 uint32_t image)
{
	static const uint8_t order[] = { SS, ES, DS, FS, GS };
	uint16_t selectors[ARRAY_LEN(order)];
	struct segment cs;
	uint32_t sp = stack_pop(c, s, 4);

	for (unsigned n = 0; n < ARRAY_LEN(order); n++)
		selectors[n] = stack_pop(c, s, 4);
	if (offset > 0xffff)
		raise_gp(c);
	for (unsigned n = 0; n < ARRAY_LEN(order); n++)
		segment_set_vm86(selectors[n], &c->seg[order[n]]);
	c->gpr[RSP] = sp;
	if (image & F_IF)
		events_recheck(c);
	rflags_set(c, (image & (F_STATUS | F_TF | F_IF | F_DF | F_IOPL | F_NT | F_AC | F_VIF |
				F_VIP | F_ID)) |
			      F_VM | F_1);
	segment_set_vm86(cs_selector, &cs);
	code_switch(c, &cs, 3);
	nmi_unmask(c);
	return end_block(c, offset);
}

/* To an outer level, and always in 64-bit mode: SS:RSP are popped too. */
static void iret_with_stack(struct vcpu *c, struct stack *s, const struct segment *cs,
			    uint64_t offset, uint64_t image, unsigned size)
{
	uint8_t cpl = cs->selector & 3;
	uint64_t mask = protected_mask(c, size);
	struct segment ss;
	uint16_t selector;
	uint64_t sp;

	selector = stack_peek(c, s, size, size);
	sp = stack_peek(c, s, 0, size);
	return_stack(c, selector, cs, &ss);
	code_offset_check(c, cs, offset);
	c->seg[SS] = ss;
	c->gpr[RSP] = return_stack_pointer(c, cs, &ss, sp);
	flags_return(c, image, mask);
	if (cpl > c->cpl) {
		c->cpl = cpl;
		segments_drop_privileged(c);
	}
	code_switch(c, cs, cpl);
	nmi_unmask(c);
	return end_block(c, offset);
}

static void iret_protected(struct vcpu *c, unsigned size)
{
	struct segment cs;
	struct stack s;
	uint64_t offset, image;
	uint16_t selector;

	stack_current(c, &s);
	image = stack_peek(c, &s, 2 * size, size); /* which fault is first: as processors have it */
	selector = stack_peek(c, &s, size, size);
	offset = stack_peek(c, &s, 0, size);
	stack_drop(&s, 3 * (int)size);
	if (image & F_VM && c->cpl == 0 && size == 4 && !in_long_mode(c))
		return iret_to_vm86(c, &s, offset, selector, image);
	return_target(c, selector, &cs, &offset);
	if ((cs.selector & 3) > c->cpl || code_is_64bit(c))
		return iret_with_stack(c, &s, &cs, offset, image, size);
	code_offset_check(c, &cs, offset);
	c->gpr[RSP] = s.sp;
	flags_return(c, image, protected_mask(c, size));
	code_switch(c, &cs, c->cpl);
	nmi_unmask(c);
	return end_block(c, offset);
}

void exec_iret(struct vcpu *c, const struct insn *i)
{
	uint16_t link;

	if (c->mode & MODE_VM86)
		return iret_vm86(c, i->opsize);
	if (!is_protected(c))
		return iret_real(c, i->opsize);
	if (!(c->rflags & F_NT))
		return iret_protected(c, i->opsize);
	if (in_long_mode(c))
		raise_gp(c);
	link = mem_read_system(c, (uint32_t)c->seg[TR].base, 2);
	task_switch(c, link, TASK_RETURN, next_rip(c, i), NULL);
	nmi_unmask(c);
	return end_block(c, c->rip);
}
