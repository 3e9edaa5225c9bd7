/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* Operand addresses: effective, then linear with segment checks. */
#ifndef ENGINE_ADDRESS_H
#define ENGINE_ADDRESS_H

#include "engine/decode/insn.h"
#include "engine/mmu/mmu.h"
#include "engine/unwind.h"

static ALWAYS_INLINE uint64_t effective_address(const struct vcpu *c, const struct insn *i)
{
	uint64_t ea = c->gpr[i->base] + (c->gpr[i->index] << i->scale) + (uint64_t)i->disp;

	if (likely(i->addrsize == 8))
		return ea;
	return i->addrsize == 4 ? (uint32_t)ea : (uint16_t)ea;
}

/*
 * Linear address of `size` bytes at `offset` in segment `seg`, for an `access`. #GP or #SS with
 * limit, type and canonical violations. [SDM 3 5.3, 5.5]
 */
gva_t linear_address_checked(struct vcpu *c, unsigned seg, uint64_t offset, unsigned size,
			     enum access access);

static ALWAYS_INLINE gva_t linear_address(struct vcpu *c, unsigned seg, uint64_t offset,
					  unsigned size, enum access access)
{
	if (likely(c->mode & MODE_FLAT) && 0xd >> seg & 1) { /* DS, ES, SS */
		/* 64-bit: a non-canonical address never hits the TLB; the slow path faults.
		 * 32-bit: an access that wraps at 4 GiB does not hit either. */
		return offset;
	}
	return linear_address_checked(c, seg, offset, size, access);
}

bool address_is_canonical(const struct vcpu *c, gva_t address);

static ALWAYS_INLINE gva_t operand_address(struct vcpu *c, const struct insn *i, unsigned size,
					   enum access access)
{
	return linear_address(c, i->seg, effective_address(c, i), size, access);
}

#endif
