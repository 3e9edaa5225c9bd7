/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Between the guest's CPUID (cpuid.c) and what the engine offers (cpuid_supported.c). */
#ifndef ENGINE_SYS_CPUID_H
#define ENGINE_SYS_CPUID_H

#include "engine/sys/internal.h"

struct feature_bit {
	uint32_t leaf;
	uint8_t subleaf, reg, bit; /* reg: EAX to EDX are 0 to 3 */
};
extern const struct feature_bit feature_bits[]; /* by enum feature */

/* The engine executes it here, on this host. */
bool feature_offered(unsigned feature);

#endif
