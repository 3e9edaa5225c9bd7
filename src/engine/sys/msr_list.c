/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The MSRs a VMM saves and restores: KVM_GET_MSR_INDEX_LIST and KVM_GET_MSR_FEATURE_INDEX_LIST.
 * MTRRs, machine-check banks and the x2APIC's are not listed, as in KVM.
 */
#include "engine/sys/msr.h"

const uint32_t msr_index_list[] = {
	MSR_SYSENTER_CS,
	MSR_SYSENTER_ESP,
	MSR_SYSENTER_EIP,
	MSR_STAR,
	MSR_LSTAR,
	MSR_CSTAR,
	MSR_FMASK,
	MSR_KERNEL_GS_BASE,
	MSR_TSC,
	MSR_PAT,
	MSR_TSC_AUX,
	MSR_SPEC_CTRL,
	MSR_FEATURE_CONTROL,
	MSR_XSS,
	MSR_PKRS,
	MSR_ARCH_CAPABILITIES,
	MSR_TSC_ADJUST,
	MSR_TSC_DEADLINE,
	MSR_PERF_CAPABILITIES,
	MSR_MISC_ENABLE,
	MSR_MCG_STATUS,
	MSR_MCG_CTL,
	MSR_SMBASE,
	MSR_SMI_COUNT,
	MSR_PLATFORM_INFO,
	MSR_MISC_FEATURES,
	MSR_MICROCODE,
	0x11,
	0x12, /* KVM_WALL_CLOCK, KVM_SYSTEM_TIME */
	0x4b564d00,
	0x4b564d01, /* the same, new numbers */
	0x4b564d03, /* STEAL_TIME */
	0x4b564d04, /* PV_EOI_EN */
	0x4b564d05, /* POLL_CONTROL */
};
const unsigned msr_index_count = ARRAY_LEN(msr_index_list);

const uint32_t msr_feature_list[] = { MSR_ARCH_CAPABILITIES, MSR_MICROCODE, MSR_PERF_CAPABILITIES,
				      MSR_PLATFORM_INFO };
const unsigned msr_feature_count = ARRAY_LEN(msr_feature_list);

bool msr_feature_read(uint32_t index, uint64_t *value)
{
	switch (index) {
	case MSR_ARCH_CAPABILITIES:
		*value = arch_capabilities_offered();
		return true;
	case MSR_MICROCODE:
		*value = BIT(32);
		return true;
	case MSR_PERF_CAPABILITIES:
		*value = 0;
		return true;
	case MSR_PLATFORM_INFO:
		*value = BIT(31);
		return true;
	default:
		return false;
	}
}
