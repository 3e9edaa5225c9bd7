/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Segment checks. sys/mode.c says when most accesses may skip them.
 *
 * Manual: SDM 3 5.3 (limits), 5.5 (types), 3.3.7.1 (canonical addresses), 6.15 (#AC).
 */
#include "engine/interp/address.h"
#include "engine/interp/interp.h"

static NORETURN void raise_segment(struct vcpu *c, unsigned seg)
{
	raise_fault_code(c, seg == SS ? EXC_SS : EXC_GP, 0);
}

static void check_alignment(struct vcpu *c, gva_t address, unsigned size)
{
	if (c->mode & MODE_ALIGN && is_power_of_two(size) && size <= 8 && address & (size - 1))
		raise_fault_code(c, EXC_AC, 0);
}

bool address_is_canonical(const struct vcpu *c, gva_t address)
{
	return sign_extend(address, c->cr4 & CR4_LA57 ? 57 : 48) == (int64_t)address;
}

static bool within_limit(const struct segment *s, uint64_t offset, unsigned size)
{
	uint64_t last = offset + size - 1;

	if ((s->rights & (SEG_CODE | SEG_DOWN | SEG_S)) == (SEG_DOWN | SEG_S))
		return offset > s->limit && last <= (s->rights & SEG_BIG ? 0xffffffffu : 0xffffu);
	return last <= s->limit || s->limit == 0xffffffff; /* 4 GiB wraps around */
}

static bool type_allows(const struct segment *s, enum access access)
{
	if (access == ACCESS_WRITE)
		return (s->rights & (SEG_CODE | SEG_WRITE)) == SEG_WRITE;
	return (s->rights & (SEG_CODE | SEG_WRITE)) != SEG_CODE;
}

gva_t linear_address_checked(struct vcpu *c, unsigned seg, uint64_t offset, unsigned size,
			     enum access access)
{
	const struct segment *s = &c->seg[seg];
	gva_t address;

	if (c->mode & MODE_CODE64) {
		address = offset + (seg >= FS ? s->base : 0);
		if (!address_is_canonical(c, address) ||
		    !address_is_canonical(c, address + size - 1))
			raise_segment(c, seg);
		check_alignment(c, address, size);
		return address;
	}
	if (s->rights & SEG_UNUSABLE || !within_limit(s, offset, size))
		raise_segment(c, seg);
	if ((c->mode & (MODE_PROTECTED | MODE_VM86)) == MODE_PROTECTED && !type_allows(s, access))
		raise_segment(c, seg);
	address = (uint32_t)(s->base + offset);
	check_alignment(c, address, size);
	return address;
}
