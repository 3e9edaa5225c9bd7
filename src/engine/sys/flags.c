/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * RFLAGS: PUSHF, POPF, CLI, STI, and CLAC and STAC.
 *
 * Manual: SDM 2 "POPF" (table 4-21), "CLI", "STI"; SDM 3 20.3, 20.4 (virtual interrupt flag).
 */
#include "engine/sys/internal.h"

/* In virtual-8086 mode below IOPL 3 with VME, IF is played by VIF. #GP where it may not be. */
static bool uses_virtual_if(struct vcpu *c, unsigned size)
{
	if (!(c->mode & MODE_VM86) || iopl(c) == 3)
		return false;
	if (!(c->cr4 & CR4_VME) || size != 2)
		raise_gp(c);
	return true;
}

void exec_pushf(struct vcpu *c, const struct insn *i)
{
	bool virtual_if = uses_virtual_if(c, i->opsize);
	uint64_t image = rflags_get(c) & ~(uint64_t)(F_VM | F_RF);
	struct stack s;

	if (virtual_if)
		image = (image & ~(uint64_t)F_IF) | F_IOPL | (image & F_VIF ? F_IF : 0);
	stack_current(c, &s);
	stack_push(c, &s, i->opsize, image);
	c->gpr[RSP] = s.sp;
	return next(c, i);
}

static uint64_t popf_mask(const struct vcpu *c, unsigned size)
{
	uint64_t mask = F_STATUS | F_TF | F_DF | F_NT | (size > 2 ? F_AC | F_ID : 0);

	if (c->mode & MODE_VM86)
		return mask | (iopl(c) == 3 ? F_IF : F_VIF);
	if (c->cpl == 0)
		mask |= F_IOPL;
	return mask | (c->cpl <= iopl(c) ? F_IF : 0);
}

void exec_popf(struct vcpu *c, const struct insn *i)
{
	bool virtual_if = uses_virtual_if(c, i->opsize);
	uint32_t mode = c->mode, before = c->rflags;
	uint64_t image, mask = popf_mask(c, i->opsize);
	struct stack s;

	stack_current(c, &s);
	image = stack_pop(c, &s, i->opsize);
	if (virtual_if) {
		if (image & F_TF || (image & F_IF && before & F_VIP))
			raise_gp(c);
		image = (image & ~(uint64_t)F_VIF) | (image & F_IF ? F_VIF : 0);
	}
	c->gpr[RSP] = s.sp;
	rflags_set(c, (rflags_get(c) & ~(mask | F_RF)) | (image & mask));
	if ((before ^ c->rflags) & (F_TF | F_AC))
		mode_update(c);
	if (c->rflags & ~before & F_IF)
		events_recheck(c);
	return finish(c, i, mode);
}

/* Which flag CLI and STI work on, or #GP. */
static uint32_t interrupt_flag(struct vcpu *c)
{
	if (c->cpl <= iopl(c) || !(c->mode & MODE_PROTECTED))
		return F_IF;
	if (c->mode & MODE_VM86 ? c->cr4 & CR4_VME : c->cpl == 3 && c->cr4 & CR4_PVI)
		return F_VIF;
	raise_gp(c);
}

void exec_cli(struct vcpu *c, const struct insn *i)
{
	c->rflags &= ~interrupt_flag(c);
	return next(c, i);
}

void exec_sti(struct vcpu *c, const struct insn *i)
{
	uint32_t flag = interrupt_flag(c);

	if (flag == F_VIF) {
		if (c->rflags & F_VIP)
			raise_gp(c);
		c->rflags |= F_VIF;
		return next(c, i);
	}
	if (c->rflags & F_IF)
		return next(c, i);
	c->rflags |= F_IF;
	/* Whatever comes while the next instruction is on its way may as well have come after it. */
	if (interp_goes_on(i) && !c->event_waiting && !__atomic_load_n(&c->requests, __ATOMIC_SEQ_CST))
		return next(c, i);
	/* The next instruction runs before anything is let in: debug_after_insn() ends that. */
	c->shadow_sti = true;
	mode_update(c);
	return end_block(c, next_rip(c, i));
}

static void set_ac(struct vcpu *c, const struct insn *i, uint32_t value)
{
	if (c->cpl)
		raise_ud(c);
	c->rflags = (c->rflags & ~(uint32_t)F_AC) | value;
	tlb_select_view(c); /* nothing else depends on AC at CPL 0 */
	return next(c, i);
}

void exec_clac(struct vcpu *c, const struct insn *i)
{
	return set_ac(c, i, 0);
}

void exec_stac(struct vcpu *c, const struct insn *i)
{
	return set_ac(c, i, F_AC);
}
