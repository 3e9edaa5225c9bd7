/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Gathers, scatters and MASKMOVQ/MASKMOVDQU: instructions with an address or a decision per
 * element, done here one by one.
 *
 * A gather or scatter that faults has done the elements before: they are in the destination, and
 * their mask bits are clear, so that the instruction goes on where it was.
 *
 * Manual: SDM 2B MASKMOVDQU; SDM 2C VPGATHERDD (VEX and EVEX), VPSCATTERDD.
 */
#include "internal.h"

#include "engine/interp/address.h"
#include "engine/mmu/io.h"

struct vsib {
	unsigned count, element, index_bytes;
};

static struct vsib vsib_shape(const struct insn *i, const struct stub *s)
{
	struct vsib v = { .element = s->info->element,
			  .index_bytes = s->info->flags & OP_VSIB64 ? 8 : 4 };

	v.count = i->vlen / MAX(v.element, v.index_bytes);
	return v;
}

static gva_t vsib_address(struct vcpu *c, const struct insn *i, const struct stub *s,
			  const struct vsib *v, unsigned n, enum access access)
{
	const uint8_t *at = vector_element(c, s->form.index, n * v->index_bytes);
	uint64_t index = (uint64_t)sign_extend(load_le(at, v->index_bytes), v->index_bytes * 8);
	uint64_t ea = c->gpr[i->base] + (index << s->form.scale) + (uint64_t)i->disp;

	if (i->addrsize != 8)
		ea = i->addrsize == 4 ? (uint32_t)ea : (uint16_t)ea;
	return linear_address(c, i->seg, ea, v->element, access);
}

/* Zeroes a register's bytes from `from` up. */
static void zero_from(struct vcpu *c, unsigned reg, unsigned from)
{
	unsigned end = xsave_offset(COMPONENT_ZMM_HI256) ? 64 : 32;

	for (unsigned n = from; n < end; n += 4)
		store_le32(vector_element(c, reg, n), 0);
}

static void mask_set(struct vcpu *c, unsigned k, uint64_t value)
{
	store_le64(c->xsave + xsave_offset(COMPONENT_OPMASK) + 8 * k, value);
}

/* The VEX form's mask is a vector register: each element's sign bit, spread over the element. */
static uint64_t vex_mask_spread(struct vcpu *c, unsigned reg, const struct vsib *v, unsigned vlen)
{
	uint64_t mask = 0;

	for (unsigned n = 0; n < vlen / v->element; n++) {
		uint8_t *at = vector_element(c, reg, n * v->element);
		bool enabled = at[v->element - 1] >> 7;

		memset(at, enabled ? 0xff : 0, v->element);
		mask |= (uint64_t)enabled << n;
	}
	zero_from(c, reg, vlen);
	return mask;
}

void vector_gather(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	struct vsib v = vsib_shape(i, s);
	bool vex = s->info->encoding == VEX;
	uint64_t mask = vex ? vex_mask_spread(c, s->form.vvvv, &v, i->vlen)
			    : mask_register(c, s->form.mask);

	for (unsigned n = 0; n < v.count; n++) {
		if (!(mask >> n & 1))
			continue;
		gva_t address = vsib_address(c, i, s, &v, n, ACCESS_READ);

		store_le(vector_element(c, s->form.reg, n * v.element),
			 mem_read(c, address, v.element), v.element);
		zero_from(c, s->form.reg, i->vlen);
		mask &= ~BIT(n);
		if (vex)
			memset(vector_element(c, s->form.vvvv, n * v.element), 0, v.element);
		else
			mask_set(c, s->form.mask, mask);
		io_commit(c);
	}
	if (vex)
		zero_from(c, s->form.vvvv, 0);
	else
		mask_set(c, s->form.mask, 0);
	zero_from(c, s->form.reg, v.count * v.element);
	next(c, i);
}

void vector_scatter(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	struct vsib v = vsib_shape(i, s);
	uint64_t mask = mask_register(c, s->form.mask);

	for (unsigned n = 0; n < v.count; n++) {
		if (!(mask >> n & 1))
			continue;
		gva_t address = vsib_address(c, i, s, &v, n, ACCESS_WRITE);

		mem_write(c, address, v.element,
			  load_le(vector_element(c, s->form.reg, n * v.element), v.element));
		mask &= ~BIT(n);
		mask_set(c, s->form.mask, mask);
		io_commit(c);
	}
	mask_set(c, s->form.mask, 0);
	next(c, i);
}

/* An MMX register in c->xsave after x87_become_mmx. */
static const uint8_t *mmx_register(const struct vcpu *c, unsigned reg)
{
	return c->xsave + AREA_ST + 16 * reg;
}

void vector_maskmov_bytes(struct vcpu *c, const struct insn *i, const struct stub *s)
{
	bool mmx = s->class == CLASS_MMX;
	unsigned count = mmx ? 8 : 16;
	uint64_t offset = c->gpr[RDI];
	uint8_t data[16], enable[16];

	if (i->addrsize != 8)
		offset = i->addrsize == 4 ? (uint32_t)offset : (uint16_t)offset;
	gva_t address = linear_address(c, i->seg, offset, count, ACCESS_WRITE);

	if (mmx) {
		x87_check_pending(c);
		x87_sync(c);
	}
	if (mmx) { /* also if it faults */
		x87_become_mmx(c->xsave);
		x87_not_live(c);
	}
	memcpy(data, mmx ? mmx_register(c, s->form.reg) : vector_element(c, s->form.reg, 0), count);
	memcpy(enable, mmx ? mmx_register(c, s->form.rm) : vector_element(c, s->form.rm, 0), count);
	/* Processors do not look which bytes are enabled before they translate. [SDM 2B MASKMOVDQU] */
	mem_check_write(c, address, count);
	for (unsigned n = 0; n < count; n++)
		if (enable[n] >> 7)
			mem_write(c, address + n, 1, data[n]);
	next(c, i);
}
