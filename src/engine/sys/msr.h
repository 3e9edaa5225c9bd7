/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* MSR numbers, by the SDM's names. */
#ifndef ENGINE_SYS_MSR_H
#define ENGINE_SYS_MSR_H

#include "engine/sys/internal.h"

enum {
	MSR_TSC = 0x10, MSR_APIC_BASE = 0x1b, MSR_SMI_COUNT = 0x34, MSR_FEATURE_CONTROL = 0x3a,
	MSR_TSC_ADJUST = 0x3b, MSR_SPEC_CTRL = 0x48, MSR_PREDICTOR_COMMAND = 0x49,
	MSR_MICROCODE_UPDATE = 0x79, MSR_MICROCODE = 0x8b, MSR_SMBASE = 0x9e,
	MSR_PLATFORM_INFO = 0xce, MSR_ARCH_CAPABILITIES = 0x10a, MSR_FLUSH_COMMAND = 0x10b,
	MSR_MISC_FEATURES = 0x140, MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
	MSR_MCG_CAP = 0x179, MSR_MCG_STATUS, MSR_MCG_CTL, MSR_MISC_ENABLE = 0x1a0,
	MSR_DEBUGCTL = 0x1d9, MSR_PAT = 0x277, MSR_PERF_CAPABILITIES = 0x345, MSR_MC0_CTL = 0x400,
	MSR_TSC_DEADLINE = 0x6e0, MSR_PKRS = 0x6e1, MSR_XSS = 0xda0,
};
/* Above int's range, so not in the enumeration. */
#define MSR_EFER           0xc0000080u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_FMASK          0xc0000084u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u

#endif
