/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The state of a processor after power-on and after INIT.
 *
 * INIT keeps the FPU, XCR0, most MSRs and the cache bits of CR0. The LAPIC is irqchip/'s.
 *
 * Manual: SDM 3 9.1.1, table 9-1.
 */
#include "engine/fpu/fpu.h"
#include "engine/sys/internal.h"

enum { PAT_RESET_LOW = 0x00070406 };

static void reset_segments(struct vcpu *c)
{
	static const uint8_t data[] = { ES, SS, DS, FS, GS };
	const uint32_t usual = SEG_S | SEG_WRITE | SEG_ACCESSED | SEG_PRESENT;

	for (unsigned n = 0; n < ARRAY_LEN(data); n++)
		c->seg[data[n]] = (struct segment){ .limit = 0xffff, .rights = usual };
	c->seg[CS] = (struct segment){
		.base = 0xffff0000,
		.limit = 0xffff,
		.rights = usual | SEG_CODE,
		.selector = 0xf000,
	};
	c->seg[LDTR] = (struct segment){ .limit = 0xffff, .rights = SEG_PRESENT | TYPE_LDT };
	c->seg[TR] = (struct segment){ .limit = 0xffff, .rights = SEG_PRESENT | TYPE_TSS32_BUSY };
	c->gdt = (struct table_register){ .limit = 0xffff };
	c->idt = (struct table_register){ .limit = 0xffff };
}

static void reset_msrs(struct vcpu *c)
{
	struct msr_state *msr = &c->msr;
	uint64_t mcg_cap = msr->mcg_cap; /* set up by the VMM, not by the processor */
	uint64_t microcode = msr->microcode, feature_control = msr->feature_control;

	*msr = (struct msr_state){
		.pat = (uint64_t)PAT_RESET_LOW << 32 | PAT_RESET_LOW,
		.misc_enable = 0x1801, /* fast strings; no branch trace store, no PEBS */
		.mcg_cap = mcg_cap ? mcg_cap : 32,
		.microcode = microcode ? microcode : BIT(32),
		.feature_control = feature_control,
		.arch_capabilities = arch_capabilities_offered(),
		.smbase = 0x30000,
		.platform_info = BIT(31), /* CPUID faulting */
	};
	c->xcr0 = 1;
	c->tsc_deadline = 0;
}

static void reset_events(struct vcpu *c)
{
	c->raised.kind = EVENT_NONE;
	c->injected.kind = EVENT_NONE;
	c->nmi_pending = false;
	c->nmi_masked = false;
	c->smi_pending = false;
	c->shadow_sti = false;
	c->shadow_mov_ss = false;
	c->shadow_ending = false;
	c->step_done = false;
	c->rf_loaded = false;
	c->pending_debug = 0;
	c->user_interrupt_queued = false;
	c->io_done = 0;
	c->io_next = 0;
	c->io_waiting = false;
}

void vcpu_reset(struct vcpu *c, bool is_init)
{
	const struct kvm_cpuid_entry2 *signature = cpuid_find(c, 1, 0);
	uint64_t cache_bits = CR0_NW | CR0_CD;

	memset(c->gpr, 0, sizeof(c->gpr));
	c->gpr[RDX] = signature ? signature->eax : 0x600;
	c->rip = 0xfff0;
	rflags_set(c, F_1);
	c->cpl = 0;
	c->cr0 = CR0_ET | (is_init ? c->cr0 & cache_bits : cache_bits);
	c->cr2 = 0;
	c->cr3 = 0;
	c->cr4 = 0;
	c->cr8 = 0;
	c->efer = 0;
	memset(c->pdptr, 0, sizeof(c->pdptr));
	memset(c->dr, 0, sizeof(c->dr));
	c->dr[6] = 0xffff0ff0;
	c->dr[7] = 0x400;
	reset_segments(c);
	reset_events(c);
	if (!is_init) {
		reset_msrs(c);
		fpu_reset(c);
	}
	mode_update(c);
	tlb_flush_all(c);
}
