/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Segment checks, and the mode bits that let most accesses skip them.
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
	return last <= s->limit;
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

static bool is_flat(const struct segment *s, bool code)
{
	uint32_t type = s->rights & (SEG_CODE | SEG_WRITE | SEG_DOWN);

	return s->base == 0 && s->limit == 0xffffffffu && !(s->rights & SEG_UNUSABLE) &&
	       (code || type == SEG_WRITE);
}

static bool all_flat(const struct vcpu *c)
{
	return is_flat(&c->seg[CS], true) && is_flat(&c->seg[DS], false) &&
	       is_flat(&c->seg[ES], false) && is_flat(&c->seg[SS], false);
}

static bool must_step(const struct vcpu *c)
{
	uint32_t debug = c->debug.control;

	return c->rflags & F_TF || c->shadow_sti || c->shadow_mov_ss || c->dr[7] & 0xff ||
	       (debug & KVM_GUESTDBG_ENABLE &&
		debug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP));
}

void mode_update(struct vcpu *c)
{
	uint32_t mode = 0;

	if (c->cr0 & CR0_PE)
		mode |= MODE_PROTECTED;
	if (c->rflags & F_VM && c->cr0 & CR0_PE)
		mode |= MODE_VM86;
	if (c->efer & EFER_LMA)
		mode |= MODE_LONG;
	if (mode & MODE_LONG && c->seg[CS].rights & SEG_LONG)
		mode |= MODE_CODE64;
	else if (c->seg[CS].rights & SEG_BIG)
		mode |= MODE_CODE32;
	if (c->seg[SS].rights & SEG_BIG && !(mode & MODE_CODE64))
		mode |= MODE_STACK32;
	if (c->cpl == 3)
		mode |= MODE_USER;
	if (c->cr0 & CR0_AM && c->rflags & F_AC && c->cpl == 3)
		mode |= MODE_ALIGN;
	else if (mode & MODE_CODE64 || all_flat(c))
		mode |= MODE_FLAT; /* not under MODE_ALIGN: every access is to be checked */
	if (must_step(c))
		mode |= MODE_STEP;
	c->mode = mode;
	tlb_select_view(c);
}
