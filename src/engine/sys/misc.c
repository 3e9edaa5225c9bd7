/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Privileged instructions that are neither registers nor transfers: HLT, MONITOR and MWAIT, cache
 * control, time-stamp and performance counters, CPUID, hypercalls.
 *
 * Manual: SDM 2, each by name; hypercalls: Linux Documentation/virt/kvm/x86/hypercalls.rst.
 * Not modelled: MONITOR/MWAIT wait for nothing (as in KVM; CPUID does not offer them); there is
 * no SMM, so RSM is #UD; no performance counters.
 */
#include "engine/sys/internal.h"

void exec_hlt(struct vcpu *c, const struct insn *i)
{
	require_cpl0(c);
	if (c->lapic) {
		c->mp_state = KVM_MP_STATE_HALTED;
	} else {
		c->run->exit_reason = KVM_EXIT_HLT;
		c->exit_ready = true;
	}
	events_leave(c);
	return end_block(c, next_rip(c, i));
}

void exec_monitor(struct vcpu *c, const struct insn *i)
{
	require_cpl0(c);
	if ((uint32_t)c->gpr[RCX])
		raise_gp(c);
	return next(c, i);
}

void exec_mwait(struct vcpu *c, const struct insn *i)
{
	require_cpl0(c);
	if ((uint32_t)c->gpr[RCX] > 1)
		raise_gp(c);
	return next(c, i);
}

/* Caches are coherent here; there is nothing to write back or drop. */
void exec_invd(struct vcpu *c, const struct insn *i)
{
	require_cpl0(c);
	return next(c, i);
}

void exec_wbinvd(struct vcpu *c, const struct insn *i)
{
	require_cpl0(c);
	return next(c, i);
}

static void read_tsc(struct vcpu *c)
{
	uint64_t tsc;

	if (c->cr4 & CR4_TSD && c->cpl)
		raise_gp(c);
	tsc = vcpu_tsc(c);
	c->gpr[RAX] = (uint32_t)tsc;
	c->gpr[RDX] = tsc >> 32;
}

void exec_rdtsc(struct vcpu *c, const struct insn *i)
{
	read_tsc(c);
	return next(c, i);
}

void exec_rdtscp(struct vcpu *c, const struct insn *i)
{
	read_tsc(c);
	c->gpr[RCX] = (uint32_t)c->msr.tsc_aux;
	return next(c, i);
}

void exec_rdpid(struct vcpu *c, const struct insn *i)
{
	gpr_write(c, i->rm, code_is_64bit(c) ? 8 : 4, (uint32_t)c->msr.tsc_aux);
	return next(c, i);
}

void exec_rdpmc(struct vcpu *c, const struct insn *i)
{
	(void)i;
	raise_gp(c);
}

void exec_rsm(struct vcpu *c, const struct insn *i)
{
	(void)i;
	raise_ud(c);
}

void exec_cpuid(struct vcpu *c, const struct insn *i)
{
	uint32_t out[4];

	if (c->cpl && c->msr.misc_features & 1) /* CPUID faulting */
		raise_gp(c);
	cpuid_query(c, c->gpr[RAX], c->gpr[RCX], out);
	c->gpr[RAX] = out[0];
	c->gpr[RBX] = out[1];
	c->gpr[RCX] = out[2];
	c->gpr[RDX] = out[3];
	return next(c, i);
}

/* VMCALL and VMMCALL alike. */
void exec_vmcall(struct vcpu *c, const struct insn *i)
{
	const uint64_t args[4] = { c->gpr[RBX], c->gpr[RCX], c->gpr[RDX], c->gpr[RSI] };

	c->gpr[RAX] = pv_hypercall(c, c->gpr[RAX], args);
	return end_block(c, next_rip(c, i));
}
