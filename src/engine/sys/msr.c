/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Model-specific registers: RDMSR, WRMSR, and KVM_GET_MSRS and KVM_SET_MSRS.
 *
 * Accesses from outside (`host`) skip what only the guest's CPUID forbids, and may set what a
 * guest can only read. Memory types are in mtrr.c, the x2APIC in irqchip/, paravirtual ones too.
 *
 * Manual: SDM 4 ch. 2; Linux Documentation/virt/kvm/x86/msr.rst.
 * Not modelled: performance counters, last-branch records, SMM. What KVM answers with zero and
 * ignores when written, so do we; anything else is #GP.
 */
#include "engine/sys/msr.h"

#include "base/port.h"
#include "engine/sys/log.h"

/* Plain ones: a member of msr_state, writable bits, and a feature the guest must have. */
struct plain_msr {
	uint32_t index;
	uint16_t member;
	uint8_t feature;
	uint8_t rule;
	uint64_t writable;
};
enum { ANY_BITS, CANONICAL, MADE_CANONICAL, HOST_WRITES, LOW_HALF /* the rest: #GP */ };

#define PLAIN(index, member, feature, rule, writable)                                        \
	{                                                                                    \
		index, offsetof(struct msr_state, member), FEATURE_##feature, rule, writable \
	}

static const struct plain_msr plain_msrs[] = {
	PLAIN(MSR_SYSENTER_CS, sysenter_cs, NONE, ANY_BITS, 0xffffffff),
	PLAIN(MSR_SYSENTER_ESP, sysenter_esp, NONE, MADE_CANONICAL, ~0ull),
	PLAIN(MSR_SYSENTER_EIP, sysenter_eip, NONE, MADE_CANONICAL, ~0ull),
	PLAIN(MSR_STAR, star, NONE, ANY_BITS, ~0ull),
	PLAIN(MSR_LSTAR, lstar, LM, CANONICAL, ~0ull),
	PLAIN(MSR_CSTAR, cstar, LM, CANONICAL, ~0ull),
	PLAIN(MSR_FMASK, fmask, LM, ANY_BITS, 0xffffffff),
	PLAIN(MSR_KERNEL_GS_BASE, kernel_gs_base, LM, CANONICAL, ~0ull),
	PLAIN(MSR_PKRS, pkrs, PKS, LOW_HALF, 0xffffffff),
	PLAIN(MSR_SMI_COUNT, smi_count, NONE, HOST_WRITES, ~0ull),
	PLAIN(MSR_PLATFORM_INFO, platform_info, NONE, HOST_WRITES, ~0ull),
	PLAIN(MSR_MISC_FEATURES, misc_features, NONE, ANY_BITS, 1),
	PLAIN(MSR_MCG_CAP, mcg_cap, NONE, HOST_WRITES, ~0ull),
	PLAIN(MSR_MCG_STATUS, mcg_status, NONE, ANY_BITS, ~0ull),
};

static const struct plain_msr *plain_find(uint32_t index)
{
	for (unsigned n = 0; n < ARRAY_LEN(plain_msrs); n++)
		if (plain_msrs[n].index == index)
			return &plain_msrs[n];
	return NULL;
}

static uint64_t *plain_value(struct vcpu *c, const struct plain_msr *msr)
{
	return (uint64_t *)(void *)((char *)&c->msr + msr->member);
}

static bool plain_write(struct vcpu *c, const struct plain_msr *msr, uint64_t value, bool host)
{
	if (!host && !has_feature(c, msr->feature))
		return false;
	if (msr->rule == HOST_WRITES && !host)
		return false;
	if (msr->rule == CANONICAL && !is_canonical_base(value, c))
		return false;
	if (msr->rule == LOW_HALF && value >> 32)
		return false;
	if (msr->rule == MADE_CANONICAL)
		value = (uint64_t)sign_extend(value, has_feature(c, FEATURE_LA57) ? 57 : 48);
	if (msr->index == MSR_MISC_FEATURES && value & ~msr->writable && !host)
		return false;
	*plain_value(c, msr) = value & msr->writable;
	if (msr->index == MSR_PKRS)
		tlb_flush_all(c); /* translations remember what the keys allow */
	return true;
}

/* Read as a constant, ignored when written: what KVM does for hardware that is not there. */
static bool constant_find(uint32_t index, uint64_t *value)
{
	static const struct {
		uint32_t first, last;
		uint64_t value;
	} rows[] = {
		{ 0x17, 0x17, 0 },                      /* PLATFORM_ID */
		{ 0x2a, 0x2a, 0 },                      /* EBL_CR_POWERON */
		{ 0x2c, 0x2c, 1 << 24 },                /* EBC_FREQUENCY_ID */
		{ 0xc1, 0xc2, 0 },                      /* P6_PERFCTR: no counters */
		{ 0xcd, 0xcd, 3 },                      /* FSB_FREQ */
		{ 0x11e, 0x11e, 0xbe702111 },           /* BBL_CR_CTL3: L2 enabled */
		{ 0x186, 0x187, 0 },                    /* P6_EVNTSEL */
		{ 0x198, 0x198, 1000 | 4ull << 40 },    /* PERF_STATUS */
		{ 0x199, 0x199, 0 },                    /* PERF_CTL */
		{ 0x1db, 0x1de, 0 },                    /* LASTBRANCH, LASTINT */
		{ 0x1fc, 0x1fc, 0 },                    /* POWER_CTL */
		{ 0x606, 0x606, 0 },                    /* RAPL_POWER_UNIT */
		{ 0x611, 0x611, 0 },                    /* PKG_ENERGY_STATUS */
		{ 0x619, 0x619, 0 },                    /* DRAM_ENERGY_STATUS */
		{ 0x639, 0x639, 0 },                    /* PP0_ENERGY_STATUS */
		{ 0x641, 0x641, 0 },                    /* PP1_ENERGY_STATUS */
		{ 0xc0010000, 0xc0010007, 0 },          /* K7_EVNTSEL, K7_PERFCTR */
		{ 0xc0010010, 0xc0010010, 0 },          /* SYSCFG */
		{ 0xc0010015, 0xc0010015, 0 },          /* HWCR */
		{ 0xc001001b, 0xc001001b, 0x20000000 }, /* K7_CLK_CTL */
		{ 0xc001001f, 0xc001001f, 0 },          /* NB_CFG */
		{ 0xc0010055, 0xc0010055, 0 },          /* INT_PENDING_MSG */
		{ 0xc0010058, 0xc0010058, 0 },          /* FAM10H_MMIO_CONF_BASE */
		{ 0xc0010112, 0xc0010113, 0 },          /* TSEG */
		{ 0xc0010117, 0xc0010117, 0 },          /* VM_HSAVE_PA */
		{ 0xc0011022, 0xc0011023, 0 },          /* DC_CFG, TW_CFG */
		{ 0xc001102a, 0xc001102a, 0 },          /* BU_CFG2 */
		{ 0xc001102c, 0xc001102c, 0 },          /* F15H_EX_CFG */
	};

	for (unsigned n = 0; n < ARRAY_LEN(rows); n++) {
		if (index < rows[n].first || index > rows[n].last)
			continue;
		*value = rows[n].value;
		return true;
	}
	return false;
}

/* Bits of the guest's CPUID that the decoder has no use for: leaf 7, EDX. */
static bool leaf7_edx_bit(const struct vcpu *c, uint32_t subleaf, unsigned bit)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(c, 7, subleaf);

	return e && e->edx >> bit & 1;
}

static bool has_pdcm(const struct vcpu *c)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(c, 1, 0);

	return e && e->ecx >> 15 & 1;
}

uint64_t arch_capabilities_offered(void)
{
	/* The interpreter speculates past nothing of these: RDCL_NO, IBRS_ALL, SKIP_L1DFL, SSB_NO,
	 * MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO,
	 * GDS_NO, RFDS_NO, ITS_NO. So guests need no counter-measures. */
	return BIT(0) | BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(13) | BIT(14) |
	       BIT(15) | BIT(20) | BIT(24) | BIT(26) | BIT(27) | BIT(62);
}

/* IBRS, STIBP, SSBD, BHI_DIS_S: kept, without effect. */
static uint64_t spec_ctrl_allowed(const struct vcpu *c)
{
	return (leaf7_edx_bit(c, 0, 26) ? BIT(0) : 0) | (leaf7_edx_bit(c, 0, 27) ? BIT(1) : 0) |
	       (leaf7_edx_bit(c, 0, 31) ? BIT(2) : 0) | (leaf7_edx_bit(c, 2, 4) ? BIT(10) : 0);
}

bool efer_write(struct vcpu *c, uint64_t value, bool host)
{
	uint64_t allowed = EFER_SCE | (has_feature(c, FEATURE_NX) ? EFER_NX : 0) |
			   (has_feature(c, FEATURE_LM) ? EFER_LME | EFER_LMA : 0);
	uint64_t changed = c->efer ^ value;

	if (value & ~allowed)
		return false;
	if (!host) {
		if (c->cr0 & CR0_PG && changed & EFER_LME)
			return false;
		value = (value & ~(uint64_t)EFER_LMA) | (c->efer & EFER_LMA);
		changed = c->efer ^ value;
	}
	c->efer = value;
	if (changed & (EFER_NX | EFER_LMA))
		tlb_flush_all(c);
	mode_update(c);
	return true;
}

/* Machine-check banks: CTL, STATUS, ADDR, MISC each. Those beyond MCG_CAP.Count are #GP. */
static bool is_bank(const struct vcpu *c, uint32_t index)
{
	return index >= MSR_MC0_CTL && index < MSR_MC0_CTL + 4 * MIN(c->msr.mcg_cap & 0xff, 32u);
}

static bool bank_write(struct vcpu *c, uint32_t index, uint64_t value, bool host)
{
	/* CTL: all or nothing; Linux clears bit 10 or bit 0 for old errata. */
	if (index % 4 == 0 && value && (value | BIT(10) | 1) != ~0ull)
		return false;
	if (index % 4 == 1 && value && !host)
		return false;
	c->msr.mce[index - MSR_MC0_CTL] = value;
	return true;
}

static bool is_pv(uint32_t index)
{
	return index == 0x11 || index == 0x12 || (index >= 0x4b564d00 && index <= 0x4b564dff);
}

static bool is_x2apic(uint32_t index)
{
	return index >= 0x800 && index <= 0x8ff;
}

static bool special_read(struct vcpu *c, uint32_t index, uint64_t *value, bool host)
{
	switch (index) {
	case MSR_TSC:
		*value = vcpu_tsc(c);
		return true;
	case MSR_APIC_BASE:
		*value = lapic_base_get(c);
		return true;
	case MSR_FEATURE_CONTROL:
		*value = c->msr.feature_control;
		return true;
	case MSR_TSC_ADJUST:
		*value = c->msr.tsc_adjust;
		return host || has_feature(c, FEATURE_TSC_ADJUST);
	case MSR_SPEC_CTRL:
		*value = c->msr.spec_ctrl;
		return host || spec_ctrl_allowed(c);
	case MSR_MICROCODE:
		*value = c->msr.microcode;
		return true;
	case MSR_SMBASE:
		*value = c->msr.smbase;
		return host;
	case MSR_ARCH_CAPABILITIES:
		*value = c->msr.arch_capabilities;
		return host || leaf7_edx_bit(c, 0, 29);
	case MSR_MCG_CTL:
		*value = c->msr.mcg_ctl;
		return host || c->msr.mcg_cap & BIT(8);
	case MSR_MISC_ENABLE:
		*value = c->msr.misc_enable;
		return true;
	case MSR_DEBUGCTL:
		*value = c->msr.debugctl;
		return true;
	case MSR_PAT:
		*value = c->msr.pat;
		return true;
	case MSR_PERF_CAPABILITIES:
		*value = 0;
		return host || has_pdcm(c);
	case MSR_TSC_DEADLINE:
		*value = lapic_tsc_deadline_get(c);
		return host || has_feature(c, FEATURE_TSC_DEADLINE);
	case MSR_XSS:
		*value = c->msr.xss;
		return host || has_feature(c, FEATURE_XSAVES);
	case MSR_EFER:
		*value = c->efer;
		return true;
	case MSR_FS_BASE:
	case MSR_GS_BASE:
		*value = c->seg[index == MSR_FS_BASE ? FS : GS].base;
		return host || has_feature(c, FEATURE_LM);
	case MSR_TSC_AUX:
		*value = c->msr.tsc_aux;
		return host || has_feature(c, FEATURE_RDTSCP) || has_feature(c, FEATURE_RDPID);
	default:
		return constant_find(index, value);
	}
}

bool msr_read(struct vcpu *c, uint32_t index, uint64_t *value, bool host)
{
	const struct plain_msr *plain;

	if (is_x2apic(index))
		return lapic_msr_read(c, index, value);
	plain = plain_find(index);
	if (plain) {
		*value = *plain_value(c, plain);
		return host || has_feature(c, plain->feature);
	}
	if (mtrr_msr(index))
		return mtrr_read(c, index, value);
	if (is_bank(c, index)) {
		*value = c->msr.mce[index - MSR_MC0_CTL];
		return true;
	}
	if (is_pv(index))
		return pv_msr_read(c, index, value);
	return special_read(c, index, value, host);
}

static bool misc_enable_write(struct vcpu *c, uint64_t value, bool host)
{
	const uint64_t read_only = 0x1880; /* performance monitoring, BTS, PEBS */

	if (!host && (value ^ c->msr.misc_enable) & read_only)
		return false;
	c->msr.misc_enable = value;
	return true;
}

static bool segment_base_write(struct vcpu *c, unsigned reg, uint64_t value, bool host)
{
	if ((!host && !has_feature(c, FEATURE_LM)) || !is_canonical_base(value, c))
		return false;
	c->seg[reg].base = value;
	return true;
}

/* Registers a guest writes to make something happen. */
static bool command_write(struct vcpu *c, uint32_t index, uint64_t value, bool host)
{
	switch (index) {
	case MSR_PREDICTOR_COMMAND: /* nothing to flush */
		return !(value & ~1ull) && (host || leaf7_edx_bit(c, 0, 26));
	case MSR_FLUSH_COMMAND:
		return !(value & ~1ull) && (host || leaf7_edx_bit(c, 0, 28));
	case MSR_TSC:
		vcpu_tsc_write(c, value, host);
		return true;
	case MSR_APIC_BASE:
		return lapic_base_set(c, value, host);
	case MSR_TSC_ADJUST:
		if (!host && !has_feature(c, FEATURE_TSC_ADJUST))
			return false;
		vcpu_tsc_adjust_write(c, value, host);
		return true;
	case MSR_TSC_DEADLINE:
		if (!host && !has_feature(c, FEATURE_TSC_DEADLINE))
			return false;
		lapic_tsc_deadline_set(c, value);
		return true;
	case MSR_MICROCODE_UPDATE:
		return true;
	default:
		return false;
	}
}

static bool debugctl_write(struct vcpu *c, uint64_t value)
{
	if (value & ~3ull) /* LBR and BTF are accepted and do nothing */
		return false;
	c->msr.debugctl = 0;
	return true;
}

static bool special_write(struct vcpu *c, uint32_t index, uint64_t value, bool host)
{
	uint64_t ignored;

	switch (index) {
	case MSR_FEATURE_CONTROL:
		if (!host && (value & ~1ull || c->msr.feature_control & 1))
			return false;
		c->msr.feature_control = value;
		return true;
	case MSR_SPEC_CTRL:
		if (value & ~(host ? 0x407 : spec_ctrl_allowed(c)) ||
		    (!host && !spec_ctrl_allowed(c)))
			return false;
		c->msr.spec_ctrl = value;
		return true;
	case MSR_MICROCODE:
		if (host)
			c->msr.microcode = value;
		return true;
	case MSR_SMBASE:
		if (host)
			c->msr.smbase = value;
		return host;
	case MSR_ARCH_CAPABILITIES:
		if (host)
			c->msr.arch_capabilities = value;
		return host;
	case MSR_MCG_CTL:
		if (!host && (!(c->msr.mcg_cap & BIT(8)) || value + 1 > 1))
			return false;
		c->msr.mcg_ctl = value;
		return true;
	case MSR_MISC_ENABLE:
		return misc_enable_write(c, value, host);
	case MSR_DEBUGCTL:
		return debugctl_write(c, value);
	case MSR_PAT:
		if (!pat_valid(value))
			return false;
		c->msr.pat = value;
		return true;
	case MSR_PERF_CAPABILITIES:
		return host && !value;
	case MSR_XSS:
		return (host || has_feature(c, FEATURE_XSAVES)) && !value;
	case MSR_EFER:
		return efer_write(c, value, host);
	case MSR_FS_BASE:
		return segment_base_write(c, FS, value, host);
	case MSR_GS_BASE:
		return segment_base_write(c, GS, value, host);
	case MSR_TSC_AUX:
		if (value >> 32 ||
		    (!host && !has_feature(c, FEATURE_RDTSCP) && !has_feature(c, FEATURE_RDPID)))
			return false;
		c->msr.tsc_aux = value;
		return true;
	default:
		return command_write(c, index, value, host) || constant_find(index, &ignored);
	}
}

bool msr_write(struct vcpu *c, uint32_t index, uint64_t value, bool host)
{
	const struct plain_msr *plain;

	if (is_x2apic(index))
		return lapic_msr_write(c, index, value);
	plain = plain_find(index);
	if (plain)
		return plain_write(c, plain, value, host);
	if (mtrr_msr(index))
		return mtrr_write(c, index, value);
	if (is_bank(c, index))
		return bank_write(c, index, value, host);
	if (is_pv(index))
		return pv_msr_write(c, index, value, host);
	return special_write(c, index, value, host);
}

void unimplemented(const struct vcpu *c, const char *what, uint64_t value)
{
	if (log_wants(c, VM_LOG_UNIMPLEMENTED))
		log_tell(c, (struct vm_event){
				    .kind = VM_LOG_UNIMPLEMENTED, .name = what, .value = value });
}

void exec_rdmsr(struct vcpu *c, const struct insn *i)
{
	uint32_t index = c->gpr[RCX];
	uint64_t value = 0;

	require_cpl0(c);
	if (!msr_read(c, index, &value, false)) {
		unimplemented(c, "reading MSR", index);
		raise_gp(c);
	}
	c->gpr[RAX] = (uint32_t)value;
	c->gpr[RDX] = value >> 32;
	return next(c, i);
}

void exec_wrmsr(struct vcpu *c, const struct insn *i)
{
	uint64_t value = (uint32_t)c->gpr[RAX] | c->gpr[RDX] << 32;
	uint32_t index = c->gpr[RCX];

	require_cpl0(c);
	if (!msr_write(c, index, value, false)) {
		unimplemented(c, "writing MSR", index);
		raise_gp(c);
	}
	return end_block(c, next_rip(c, i));
}
