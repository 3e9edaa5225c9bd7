/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* A host that is no x86 has no CPUID: guests get what the engine does by itself. */
#include "engine/sys/internal.h"

bool cpuid_host(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	(void)leaf;
	(void)subleaf;
	memset(out, 0, 4 * sizeof(out[0]));
	return false;
}
