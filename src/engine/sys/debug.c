/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Debug registers, single-stepping, and debugging a guest from outside.
 *
 * With KVM_GUESTDBG_USE_HW_BP the debugger's registers replace the guest's; every #DB (and with
 * USE_SW_BP every INT3) then leaves with KVM_EXIT_DEBUG instead of reaching the guest.
 *
 * Manual: SDM 3 ch. 17.2, 17.3; SDM 3 6.8.3 (MOV SS holds debug traps off).
 * Not modelled: RTM and bus-lock traps, branch single-step (DEBUGCTL.BTF).
 */
#include "engine/sys/internal.h"

enum { DR6_WRITABLE = 0xe00f, DR6_BD = 0x2000, DR6_BS = 0x4000 };
#define DR6_FIXED    0xffff0ff0ull
#define DR7_WRITABLE 0xffff2bffull
enum { DR7_FIXED = 0x400, DR7_GD = 0x2000 };
enum { ON_FETCH, ON_WRITE, ON_PORT, ON_ACCESS }; /* DR7.R/W */

static bool debugger_owns(const struct vcpu *c)
{
	return c->debug.control & KVM_GUESTDBG_ENABLE && c->debug.control & KVM_GUESTDBG_USE_HW_BP;
}

static uint64_t effective_dr(const struct vcpu *c, unsigned n)
{
	return debugger_owns(c) ? c->debug.arch.debugreg[n] : c->dr[n];
}

bool debug_armed(const struct vcpu *c)
{
	return effective_dr(c, 7) & 0xff;
}

gva_t linear_rip(const struct vcpu *c, uint64_t rip)
{
	return code_is_64bit(c) ? rip : (uint32_t)(c->seg[CS].base + rip);
}

bool debug_wants(const struct vcpu *c, uint8_t vector)
{
	uint32_t control = c->debug.control;

	if (!(control & KVM_GUESTDBG_ENABLE))
		return false;
	return control & (vector == EXC_BP ? KVM_GUESTDBG_USE_SW_BP
					   : KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP);
}

void debug_exit(struct vcpu *c, uint8_t vector, gva_t pc, uint64_t dr6_bits)
{
	c->run->exit_reason = KVM_EXIT_DEBUG;
	c->run->debug.arch = (struct kvm_debug_exit_arch){
		.exception = vector,
		.pc = pc,
		.dr6 = vector == EXC_DB ? dr6_bits | DR6_FIXED : 0,
		.dr7 = effective_dr(c, 7),
	};
	c->exit_ready = true;
}

void debug_merge(struct vcpu *c, uint64_t dr6_bits)
{
	if (dr6_bits)
		c->dr[6] = (c->dr[6] & ~0xfull) | dr6_bits | DR6_FIXED;
}

void debug_raise(struct vcpu *c, uint8_t kind, uint64_t dr6_bits)
{
	if (debug_wants(c, EXC_DB)) {
		debug_exit(c, EXC_DB, linear_rip(c, insn_rip(c, c->insn)), dr6_bits);
		unwind_exit(c);
	}
	c->raised = (struct event){ .kind = kind, .vector = EXC_DB, .payload = dr6_bits };
	longjmp(c->unwind, UNWIND_FAULT);
}

/* B0 to B3 for armed breakpoints of `kinds` (bits 1 << DR7.R/W) that touch the range. */
static uint64_t matches(const struct vcpu *c, gva_t address, unsigned size, unsigned kinds)
{
	uint64_t dr7 = effective_dr(c, 7), found = 0;

	for (unsigned n = 0; n < 4; n++) {
		unsigned kind = dr7 >> (16 + 4 * n) & 3, code = dr7 >> (18 + 4 * n) & 3;
		uint64_t length = code == 2 ? 8 : code + 1;
		uint64_t first = effective_dr(c, n) & ~(length - 1);

		if (dr7 >> 2 * n & 3 && kinds >> kind & 1 && first < address + size &&
		    address < first + length)
			found |= BIT(n);
	}
	return found;
}

void debug_check_fetch(struct vcpu *c, gva_t rip)
{
	uint64_t found;

	c->shadow_ending = c->shadow_sti || c->shadow_mov_ss;
	c->step_done = false;
	c->rf_loaded = false;
	if (!debug_armed(c) || c->rflags & F_RF || c->shadow_mov_ss)
		return;
	found = matches(c, rip, 1, 1 << ON_FETCH);
	if (!found)
		return;
	if (debug_wants(c, EXC_DB)) {
		debug_exit(c, EXC_DB, rip, found);
		unwind_exit(c);
	}
	/* Not as a fault: the handler must set RF itself. [SDM 3 17.3.1.1] */
	c->raised = (struct event){ .kind = EVENT_TRAP, .vector = EXC_DB, .payload = found };
	longjmp(c->unwind, UNWIND_FAULT);
}

void debug_check_data(struct vcpu *c, gva_t address, unsigned size, bool is_write)
{
	c->pending_debug |=
		matches(c, address, size, 1 << ON_ACCESS | (is_write ? 1 << ON_WRITE : 0));
}

void debug_check_port(struct vcpu *c, uint16_t port, unsigned size)
{
	if (debugger_owns(c) || c->cr4 & CR4_DE)
		c->pending_debug |= matches(c, port, size, 1 << ON_PORT);
}

void debug_between_elements(struct vcpu *c)
{
	if (debug_armed(c) || c->rflags & F_TF) {
		c->rflags |= F_RF;
		c->rf_loaded = true;
	}
}

static void end_shadows(struct vcpu *c)
{
	if (!c->shadow_ending)
		return;
	c->shadow_sti = false;
	c->shadow_mov_ss = false;
	c->shadow_ending = false;
	events_recheck(c);
}

void debug_after_insn(struct vcpu *c, bool tf_before)
{
	bool held_off = c->shadow_mov_ss && !c->shadow_ending;
	uint64_t bits;

	if (!c->rf_loaded)
		c->rflags &= ~(uint32_t)F_RF;
	end_shadows(c);
	if (!held_off) {
		bits = c->pending_debug | (tf_before && !c->step_done ? DR6_BS : 0);
		c->pending_debug = 0;
		if (c->debug.control & KVM_GUESTDBG_ENABLE &&
		    c->debug.control & KVM_GUESTDBG_SINGLESTEP)
			bits |= DR6_BS;
		if (bits && c->mp_state == KVM_MP_STATE_HALTED)
			c->mp_state = KVM_MP_STATE_RUNNABLE;
		/* An exit this instruction made wins; KVM loses the step then too. */
		if (bits && debug_wants(c, EXC_DB) && !c->exit_ready)
			debug_exit(c, EXC_DB, linear_rip(c, c->rip), bits);
		else if (bits && !debug_wants(c, EXC_DB) && c->raised.kind == EVENT_NONE)
			c->raised = (struct event){ .kind = EVENT_TRAP,
						    .vector = EXC_DB,
						    .payload = bits };
	}
	mode_update(c);
}

void debug_changed(struct vcpu *c)
{
	uint32_t inject = c->debug.control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP);

	c->debug.control &= ~inject;
	if (inject)
		c->injected = (struct event){
			.kind = EVENT_TRAP,
			.vector = inject & KVM_GUESTDBG_INJECT_DB ? EXC_DB : EXC_BP,
		};
	mode_update(c);
}

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE. Checks shared by both directions. */
static unsigned debug_register(struct vcpu *c, const struct insn *i)
{
	unsigned n = i->reg;

	if (n > 7 || ((n == 4 || n == 5) && c->cr4 & CR4_DE))
		raise_ud(c);
	require_cpl0(c);
	if (c->dr[7] & DR7_GD)
		debug_raise(c, EVENT_FAULT, DR6_BD);
	return n == 4 || n == 5 ? n + 2 : n;
}

void exec_mov_from_dr(struct vcpu *c, const struct insn *i)
{
	unsigned n = debug_register(c, i);

	gpr_write(c, i->rm, code_is_64bit(c) ? 8 : 4, c->dr[n]);
	return next(c, i);
}

void exec_mov_to_dr(struct vcpu *c, const struct insn *i)
{
	unsigned n = debug_register(c, i);
	uint64_t value = code_is_64bit(c) ? c->gpr[i->rm] : (uint32_t)c->gpr[i->rm];

	if (n < 4) {
		c->dr[n] = value;
		return next(c, i);
	}
	if (value >> 32)
		raise_gp(c);
	if (n == 6) {
		c->dr[6] = (value & DR6_WRITABLE) | DR6_FIXED;
		return next(c, i);
	}
	c->dr[7] = (value & DR7_WRITABLE) | DR7_FIXED;
	mode_update(c);
	return end_block(c, next_rip(c, i));
}
