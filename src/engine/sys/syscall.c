/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Fast system calls: SYSCALL, SYSRET, SYSENTER, SYSEXIT. They load fixed, flat segments.
 *
 * SYSCALL outside 64-bit code is #UD, but works when CPUID says the processor is AMD's.
 *
 * Manual: SDM 2, each by name; APM 3 "SYSCALL", "SYSRET" for the legacy forms.
 */
#include "engine/sys/far.h"

/* Field by field: to copy 16 bytes at a time what was just written in pieces makes hosts wait. */
static void set_flat(struct segment *s, uint16_t selector, bool is_code, bool is_64bit)
{
	s->base = 0;
	s->limit = 0xffffffff;
	s->selector = selector;
	s->rights = SEG_ACCESSED | SEG_WRITE | SEG_S | SEG_PRESENT | SEG_GRANULAR |
		    (uint32_t)(selector & 3) << SEG_DPL_SHIFT | (is_code ? SEG_CODE : 0) |
		    (is_code && is_64bit ? SEG_LONG : SEG_BIG);
}

/* CS and SS for the privilege level in their RPL. */
static void enter_flat(struct vcpu *c, uint16_t cs, uint16_t ss, bool is_64bit)
{
	set_flat(&c->seg[SS], ss, false, is_64bit);
	set_flat(&c->seg[CS], cs, true, is_64bit);
	c->cpl = cs & 3;
	mode_update(c);
}

static void require_syscall(struct vcpu *c)
{
	if (!(c->efer & EFER_SCE) || (!code_is_64bit(c) && !cpuid_is_amd(c)))
		raise_ud(c);
}

void exec_syscall(struct vcpu *c, const struct insn *i)
{
	uint16_t selector = c->msr.star >> 32 & 0xfffc;
	uint64_t flags, target, return_rip = next_rip(c, i);

	require_syscall(c);
	if (!in_long_mode(c) && !(c->mode & MODE_PROTECTED))
		raise_ud(c);
	flags = rflags_get(c) & ~(uint64_t)F_RF;
	c->gpr[RCX] = return_rip;
	if (in_long_mode(c)) {
		target = code_is_64bit(c) ? c->msr.lstar : c->msr.cstar;
		c->gpr[R11] = flags;
		rflags_set(c, (flags & ~(c->msr.fmask | F_VM)) | F_1);
	} else {
		target = (uint32_t)c->msr.star;
		rflags_set(c, flags & ~(uint64_t)(F_VM | F_IF));
	}
	/* Single-stepping looks at TF as it is now. */
	c->step_done = !(c->rflags & F_TF);
	enter_flat(c, selector, selector + 8, in_long_mode(c));
	return end_block(c, target);
}

void exec_sysret(struct vcpu *c, const struct insn *i)
{
	const uint32_t loaded =
		F_STATUS | F_TF | F_IF | F_DF | F_IOPL | F_NT | F_AC | F_VIF | F_VIP | F_ID;
	bool is_64bit = in_long_mode(c) && i->opsize == 8;
	uint16_t selector = (c->msr.star >> 48 & 0xffff) | 3;
	uint64_t target = is_64bit ? c->gpr[RCX] : (uint32_t)c->gpr[RCX];
	uint64_t flags;

	require_syscall(c);
	require_cpl0(c);
	if (is_64bit && !is_canonical(target, c))
		raise_gp(c);
	flags = in_long_mode(c) ? c->gpr[R11] & loaded : rflags_get(c) | F_IF;
	if (flags & ~(uint64_t)c->rflags & F_IF)
		events_recheck(c);
	rflags_set(c, flags | F_1);
	enter_flat(c, is_64bit ? selector + 16 : selector, (selector + 8) | 3, is_64bit);
	if (flags & F_TF) { /* the trap comes at once, whatever TF was before */
		c->raised = (struct event){
			.kind = EVENT_TRAP, .vector = EXC_DB, .payload = BIT(14) /* BS */
		};
		events_leave(c);
	}
	return end_block(c, target);
}

static void require_sysenter(struct vcpu *c)
{
	if (!(c->mode & MODE_PROTECTED) || !(c->msr.sysenter_cs & 0xfffc))
		raise_gp(c);
}

void exec_sysenter(struct vcpu *c, const struct insn *i)
{
	bool is_64bit = in_long_mode(c);
	uint16_t selector = c->msr.sysenter_cs & 0xfffc;
	uint64_t mask = is_64bit ? ~0ull : 0xffffffff;

	(void)i;
	require_sysenter(c);
	c->rflags &= ~(uint32_t)(F_VM | F_IF | F_RF);
	c->gpr[RSP] = c->msr.sysenter_esp & mask;
	enter_flat(c, selector, selector + 8, is_64bit);
	return end_block(c, c->msr.sysenter_eip & mask);
}

void exec_sysexit(struct vcpu *c, const struct insn *i)
{
	bool is_64bit = in_long_mode(c) && i->opsize == 8;
	uint16_t selector = (c->msr.sysenter_cs & 0xfffc) + (is_64bit ? 32 : 16);
	uint64_t mask = is_64bit ? ~0ull : 0xffffffff;
	uint64_t target = c->gpr[RDX] & mask;

	require_sysenter(c);
	require_cpl0(c);
	if (is_64bit && (!is_canonical(target, c) || !is_canonical(c->gpr[RCX], c)))
		raise_gp(c);
	c->gpr[RSP] = c->gpr[RCX] & mask;
	enter_flat(c, selector | 3, (selector + 8) | 3, is_64bit);
	return end_block(c, target);
}
