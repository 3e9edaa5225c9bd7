/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Memory types: MTRRs and PAT. Values are checked and kept; they change nothing here, as all
 * guest memory is write-back.
 *
 * Manual: SDM 3 11.11 (MTRRs), 11.12 (PAT).
 */
#include "engine/sys/internal.h"

enum {
	MSR_MTRR_CAP = 0xfe,
	MSR_MTRR_VARIABLE = 0x200,
	MSR_MTRR_FIX64K = 0x250,
	MSR_MTRR_FIX16K = 0x258,
	MSR_MTRR_FIX4K = 0x268,
	MSR_MTRR_DEFAULT = 0x2ff,
	VARIABLE_RANGES = 8,
	MTRR_CAP = 0x500 | VARIABLE_RANGES, /* WC and fixed ranges */
};

static bool type_valid(unsigned type)
{
	return type < 8 && 0x73 >> type & 1; /* 0, 1, 4, 5, 6 */
}

bool pat_valid(uint64_t value)
{
	for (unsigned n = 0; n < 64; n += 8)
		if ((value >> n & 0xff) != 7 && !type_valid(value >> n & 0xff))
			return false;
	return true;
}

/* Index into msr.mtrr_fixed, or -1. */
static int fixed_range(uint32_t index)
{
	if (index == MSR_MTRR_FIX64K)
		return 0;
	if (index == MSR_MTRR_FIX16K || index == MSR_MTRR_FIX16K + 1)
		return 1 + (int)(index - MSR_MTRR_FIX16K);
	if (index >= MSR_MTRR_FIX4K && index < MSR_MTRR_FIX4K + 8)
		return 3 + (int)(index - MSR_MTRR_FIX4K);
	return -1;
}

static bool is_variable(uint32_t index)
{
	return index >= MSR_MTRR_VARIABLE && index < MSR_MTRR_VARIABLE + 2 * VARIABLE_RANGES;
}

bool mtrr_msr(uint32_t index)
{
	return index == MSR_MTRR_CAP || index == MSR_MTRR_DEFAULT || is_variable(index) ||
	       fixed_range(index) >= 0;
}

static uint64_t *variable(struct vcpu *c, uint32_t index)
{
	unsigned n = (index - MSR_MTRR_VARIABLE) / 2;

	return index & 1 ? &c->msr.mtrr_mask[n] : &c->msr.mtrr_base[n];
}

bool mtrr_read(struct vcpu *c, uint32_t index, uint64_t *value)
{
	if (index == MSR_MTRR_CAP)
		*value = MTRR_CAP;
	else if (index == MSR_MTRR_DEFAULT)
		*value = c->msr.mtrr_default;
	else if (is_variable(index))
		*value = *variable(c, index);
	else
		*value = c->msr.mtrr_fixed[fixed_range(index)];
	return true;
}

static bool variable_valid(const struct vcpu *c, uint32_t index, uint64_t value)
{
	uint64_t address = (BIT(mmu_physical_bits(c)) - 1) & ~0xfffull;

	if (index & 1)
		return !(value & ~(address | BIT(11)));
	return !(value & ~(address | 0xff)) && type_valid(value & 0xff);
}

bool mtrr_write(struct vcpu *c, uint32_t index, uint64_t value)
{
	if (index == MSR_MTRR_CAP)
		return false;
	if (index == MSR_MTRR_DEFAULT) {
		if (value & ~0xcffull || !type_valid(value & 0xff))
			return false;
		c->msr.mtrr_default = value;
		return true;
	}
	if (is_variable(index)) {
		if (!variable_valid(c, index, value))
			return false;
		*variable(c, index) = value;
		return true;
	}
	for (unsigned n = 0; n < 64; n += 8)
		if (!type_valid(value >> n & 0xff))
			return false;
	c->msr.mtrr_fixed[fixed_range(index)] = value;
	return true;
}
