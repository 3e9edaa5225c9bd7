/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* CPUID of an x86 host. Another architecture's file would return false. */
#include "engine/sys/internal.h"

bool cpuid_host(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	__asm__("cpuid"
		: "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
		: "a"(leaf), "c"(subleaf));
	return true;
}
