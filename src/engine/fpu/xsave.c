/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * FXSAVE, FXRSTOR, the XSAVE family, LDMXCSR and STMXCSR, all in C on c->xsave.
 *
 * A component counts as in use (XINUSE) when it differs from its initial state; the modified
 * optimization of XSAVEOPT and XSAVES is not used, as the manual allows.
 *
 * Manual: SDM 1 10.5 (FXSAVE), 13.4-13.13 (XSAVE).
 * Not modelled: supervisor components (IA32_XSS is 0); EFER.FFXSR.
 */
#include "internal.h"

#include "engine/interp/address.h"

enum { FX_BYTES = 512, HEADER = 512, HEADER_BYTES = 64 };
#define COMPACTED (1ull << 63)

/* Components */

/* Bytes transferred. Registers 8 to 31 are neither saved nor loaded outside 64-bit mode. */
static unsigned component_bytes(const struct vcpu *c, unsigned n)
{
	if (n == COMPONENT_PKRU)
		return 4; /* of 8: the rest is left alone */
	if (code_is_64bit(c) || (n != COMPONENT_SSE && n != COMPONENT_AVX &&
				 n != COMPONENT_ZMM_HI256 && n != COMPONENT_HI16_ZMM))
		return c->stubs->size[n];
	return n == COMPONENT_HI16_ZMM ? 0 : c->stubs->size[n] / 2;
}

static uint8_t *component_of(struct vcpu *c, unsigned n)
{
	return c->xsave + c->stubs->offset[n];
}

/* The lowest of a set of components, which leaves the set. */
static unsigned take_component(uint64_t *components)
{
	unsigned n = (unsigned)__builtin_ctzll(*components);

	*components &= *components - 1;
	return n;
}

static bool is_zero(const uint8_t *bytes, unsigned count)
{
	uint64_t any = 0;

	for (; count >= 64 && !any; count -= 64, bytes += 64)
		for (unsigned n = 0; n < 64; n += 8)
			any |= load_le64(bytes + n);
	if (any)
		return false;
	for (; count >= 8; count -= 8, bytes += 8)
		any |= load_le64(bytes);
	for (unsigned n = 0; n < count; n++)
		any |= bytes[n];
	return !any;
}

/* Which of `asked` are. */
static uint64_t components_in_use(struct vcpu *c, uint64_t asked)
{
	uint64_t rest = asked & ~BIT(COMPONENT_X87) & (c->wide_used ? ~0ull : ~(uint64_t)XCR0_WIDE);
	uint64_t in_use = 0;

	if (asked & BIT(COMPONENT_X87) &&
	    (load_le16(c->xsave + AREA_FCW) != FCW_INIT ||
	     !is_zero(c->xsave + AREA_FSW, AREA_MXCSR - AREA_FSW) ||
	     !is_zero(c->xsave + AREA_ST, AREA_XMM - AREA_ST)))
		in_use |= BIT(COMPONENT_X87);
	while (rest) {
		unsigned n = take_component(&rest);

		if (!is_zero(component_of(c, n), component_bytes(c, n)))
			in_use |= BIT(n);
	}
	return in_use;
}

/* Offsets of the components in an area with this XCOMP_BV. No user component of ours is aligned. */
static void layout(const struct vcpu *c, uint64_t xcomp_bv, unsigned offset[COMPONENT_COUNT])
{
	bool compacted = xcomp_bv & COMPACTED;
	unsigned at = AREA_EXTENDED;

	for (unsigned n = 0; n < COMPONENT_COUNT; n++) {
		offset[n] = n < 2 || !compacted ? c->stubs->offset[n] : at;
		if (n >= 2 && compacted && xcomp_bv >> n & 1)
			at += c->stubs->size[n];
	}
}

/* The x87 part of the legacy region, AREA_XMM bytes without MXCSR. */
static void x87_image(const struct vcpu *c, const struct insn *i, uint8_t *image)
{
	memcpy(image, c->xsave, AREA_XMM);
	image[AREA_FTW + 1] = 0;
	if (!(i->prefix & PREFIX_REX_W)) { /* selectors, saved as 0, follow 32-bit offsets */
		store_le32(image + AREA_FIP + 4, 0);
		store_le32(image + AREA_FDP + 4, 0);
	}
	store_le32(image + AREA_MXCSR_MASK, fpu_mxcsr_mask());
}

static void x87_from_image(struct vcpu *c, const struct insn *i, const uint8_t *image)
{
	memcpy(c->xsave, image, AREA_MXCSR);
	memcpy(c->xsave + AREA_ST, image + AREA_ST, AREA_XMM - AREA_ST);
	for (unsigned n = 0; n < 8; n++) /* reserved */
		memset(c->xsave + AREA_ST + 16 * n + 10, 0, 6);
	store_le16(c->xsave + AREA_FCW, (load_le16(image + AREA_FCW) & 0x1f7f) | 0x40);
	store_le16(c->xsave + AREA_FOP, load_le16(image + AREA_FOP) & 0x7ff);
	c->xsave[AREA_FTW + 1] = 0;
	if (!(i->prefix & PREFIX_REX_W)) {
		store_le32(c->xsave + AREA_FIP + 4, 0);
		store_le32(c->xsave + AREA_FDP + 4, 0);
	}
	x87_update_summary(c->xsave);
	x87_not_live(c);
}

/* FXSAVE, FXRSTOR */

static gva_t fx_address(struct vcpu *c, const struct insn *i, enum access access)
{
	if (c->cr0 & (CR0_EM | CR0_TS))
		raise_fault(c, EXC_NM);
	if (operand_address(c, i, 1, access) & 15)
		raise_gp(c);
	return operand_address(c, i, FX_BYTES, access);
}

void exec_fxsave(struct vcpu *c, const struct insn *i)
{
	gva_t address = fx_address(c, i, ACCESS_WRITE);
	uint8_t image[AREA_LEGACY];
	unsigned bytes = AREA_XMM + component_bytes(c, COMPONENT_SSE);

	x87_sync(c);
	memcpy(image, c->xsave, AREA_LEGACY);
	x87_image(c, i, image);
	mem_check_write(c, address, FX_BYTES);
	mem_write_bytes(c, address, image, bytes);
	next(c, i);
}

void exec_fxrstor(struct vcpu *c, const struct insn *i)
{
	gva_t address = fx_address(c, i, ACCESS_READ);
	uint8_t image[FX_BYTES];

	mem_read_bytes(c, address, image, FX_BYTES);
	uint32_t mxcsr = load_le32(image + AREA_MXCSR);

	if (mxcsr & ~fpu_mxcsr_mask())
		raise_gp(c);
	x87_from_image(c, i, image);
	store_le32(c->xsave + AREA_MXCSR, mxcsr);
	memcpy(c->xsave + AREA_XMM, image + AREA_XMM, component_bytes(c, COMPONENT_SSE));
	next(c, i);
}

/* XSAVE and its variants */

static gva_t xsave_address(struct vcpu *c, const struct insn *i, enum access access)
{
	if (!(c->cr4 & CR4_OSXSAVE))
		raise_ud(c);
	if (c->cr0 & CR0_TS)
		raise_fault(c, EXC_NM);
	if (operand_address(c, i, 1, access) & 63)
		raise_gp(c);
	return operand_address(c, i, HEADER + HEADER_BYTES, access);
}

static uint64_t requested(const struct vcpu *c)
{
	return c->xcr0 & ((uint32_t)c->gpr[RAX] | c->gpr[RDX] << 32);
}

/* Pieces of an XSAVE area to be written: all are checked before the first changes anything. */
struct piece {
	unsigned offset, bytes;
	const uint8_t *from;
};
struct pieces {
	struct piece piece[COMPONENT_COUNT + 4];
	unsigned count;
};

static void add(struct pieces *p, unsigned offset, const uint8_t *from, unsigned bytes)
{
	if (bytes)
		p->piece[p->count++] = (struct piece){ offset, bytes, from };
}

static void write_pieces(struct vcpu *c, gva_t address, const struct pieces *p)
{
	for (unsigned n = 0; n < p->count; n++)
		mem_check_write(c, address + p->piece[n].offset, p->piece[n].bytes);
	for (unsigned n = 0; n < p->count; n++)
		mem_write_bytes(c, address + p->piece[n].offset, p->piece[n].from,
				p->piece[n].bytes);
}

/* Saves `components` to the layout; mxcsr: bytes 24 to 31 too. `legacy` has room for AREA_XMM. */
static void add_components(struct vcpu *c, const struct insn *i, struct pieces *p,
			   uint64_t components, const unsigned *offset, uint8_t *legacy)
{
	x87_image(c, i, legacy);
	if (components & BIT(COMPONENT_X87)) {
		add(p, 0, legacy, AREA_MXCSR);
		add(p, AREA_ST, legacy + AREA_ST, AREA_XMM - AREA_ST);
	}
	components &= ~BIT(COMPONENT_X87);
	while (components) {
		unsigned n = take_component(&components);

		add(p, offset[n], component_of(c, n), component_bytes(c, n));
	}
}

static void save_standard(struct vcpu *c, const struct insn *i, bool skip_initial)
{
	gva_t address = xsave_address(c, i, ACCESS_WRITE);
	unsigned offset[COMPONENT_COUNT];
	uint8_t legacy[AREA_XMM], xstate_bv[8];
	struct pieces p = { .count = 0 };
	uint64_t rfbm = requested(c);

	x87_sync(c);
	uint64_t in_use = components_in_use(c, rfbm);

	mem_check_write(c, address + AREA_XSTATE_BV, 8);
	uint64_t old = mem_read(c, address + AREA_XSTATE_BV, 8);

	layout(c, 0, offset);
	add_components(c, i, &p, skip_initial ? rfbm & in_use : rfbm, offset, legacy);
	if (rfbm & XCR0_AVX)
		add(&p, AREA_MXCSR, legacy + AREA_MXCSR, 8);
	store_le64(xstate_bv, (old & ~rfbm) | (rfbm & in_use));
	add(&p, AREA_XSTATE_BV, xstate_bv, 8);
	write_pieces(c, address, &p);
	next(c, i);
}

static void save_compacted(struct vcpu *c, const struct insn *i)
{
	gva_t address = xsave_address(c, i, ACCESS_WRITE);
	unsigned offset[COMPONENT_COUNT];
	uint8_t legacy[AREA_XMM], header[16];
	struct pieces p = { .count = 0 };
	uint64_t rfbm = requested(c);

	x87_sync(c);
	uint64_t saved = components_in_use(c, rfbm);

	if (rfbm & BIT(COMPONENT_SSE) && load_le32(c->xsave + AREA_MXCSR) != MXCSR_INIT)
		saved |= BIT(COMPONENT_SSE);
	layout(c, rfbm | COMPACTED, offset);
	add_components(c, i, &p, saved, offset, legacy);
	if (saved & BIT(COMPONENT_SSE))
		add(&p, AREA_MXCSR, legacy + AREA_MXCSR, 8);
	store_le64(header, saved);
	store_le64(header + 8, rfbm | COMPACTED);
	add(&p, AREA_XSTATE_BV, header, sizeof(header));
	write_pieces(c, address, &p);
	next(c, i);
}

void exec_xsave(struct vcpu *c, const struct insn *i)
{
	save_standard(c, i, false);
}

void exec_xsaveopt(struct vcpu *c, const struct insn *i)
{
	save_standard(c, i, true);
}

void exec_xsavec(struct vcpu *c, const struct insn *i)
{
	save_compacted(c, i);
}

void exec_xsaves(struct vcpu *c, const struct insn *i)
{
	if (c->cpl)
		raise_gp(c);
	save_compacted(c, i);
}

/* XRSTOR, XRSTORS */

static bool header_is_valid(const struct vcpu *c, const uint8_t *header, bool must_be_compacted)
{
	uint64_t xstate_bv = load_le64(header), xcomp_bv = load_le64(header + 8);

	if (!(xcomp_bv & COMPACTED))
		return !must_be_compacted && !(xstate_bv & ~c->xcr0) && is_zero(header + 8, 16);
	if (!must_be_compacted && !has_feature(c, FEATURE_XSAVEC))
		return false;
	return !(xcomp_bv & ~COMPACTED & ~c->xcr0) && !(xstate_bv & ~xcomp_bv) &&
	       !(xstate_bv & COMPACTED) && is_zero(header + 16, 48);
}

static void restore_component(struct vcpu *c, const struct insn *i, unsigned n,
			      const uint8_t *from)
{
	if (n == COMPONENT_X87) {
		x87_from_image(c, i, from);
		return;
	}
	if (n == COMPONENT_PKRU) { /* read once: others may be writing it */
		uint32_t keys = load_le32(from);

		tlb_use_keys(c, mmu_user_keys(c) ^ keys);
		store_le32(component_of(c, n), keys);
		return;
	}
	memcpy(component_of(c, n), from, component_bytes(c, n));
}

static void restore_initial(struct vcpu *c, const struct insn *i, unsigned n)
{
	uint8_t initial[AREA_XMM] = { 0 };

	if (n == COMPONENT_X87) {
		store_le16(initial + AREA_FCW, FCW_INIT);
		x87_from_image(c, i, initial);
		return;
	}
	if (n == COMPONENT_PKRU)
		tlb_use_keys(c, mmu_user_keys(c));
	if (c->wide_used || !(XCR0_WIDE >> n & 1))
		memset(component_of(c, n), 0, component_bytes(c, n));
}

/* What is behind the last of these components. */
static unsigned end_of(const struct vcpu *c, uint64_t components, const unsigned *offset)
{
	unsigned end = HEADER;

	while (components) {
		unsigned n = take_component(&components);

		end = MAX(end, offset[n] + component_bytes(c, n));
	}
	return end;
}

/* The components of the area at `address`: where they are if that is one piece of memory, else a
 * copy. */
static const uint8_t *read_components(struct vcpu *c, gva_t address, uint64_t components,
				      const unsigned *offset, uint8_t *copy)
{
	const uint8_t *there = tlb_read_pointer(c, address, end_of(c, components, offset));

	if (there)
		return there;
	while (components) {
		unsigned n = take_component(&components), bytes = component_bytes(c, n);

		if (bytes)
			mem_read_bytes(c, address + offset[n], copy + offset[n], bytes);
	}
	return copy;
}

static void restore(struct vcpu *c, const struct insn *i, bool must_be_compacted)
{
	gva_t address = xsave_address(c, i, ACCESS_READ);
	unsigned offset[COMPONENT_COUNT];
	uint8_t copy[XSAVE_BYTES], header[HEADER_BYTES];
	uint64_t rfbm = requested(c);
	const uint8_t *area;

	mem_read_bytes(c, address + HEADER, header, HEADER_BYTES);
	if (!header_is_valid(c, header, must_be_compacted))
		raise_gp(c);
	uint64_t xstate_bv = load_le64(header);
	bool compacted = load_le64(header + 8) & COMPACTED;

	layout(c, load_le64(header + 8), offset);
	area = read_components(c, address, rfbm & xstate_bv, offset, copy);
	/* MXCSR: in the standard format always loaded; in the other it belongs to SSE. */
	bool has_mxcsr = compacted ? rfbm & BIT(COMPONENT_SSE) : rfbm & XCR0_AVX;
	uint32_t mxcsr = MXCSR_INIT;

	if (has_mxcsr && (!compacted || xstate_bv & BIT(COMPONENT_SSE)))
		mxcsr = (uint32_t)mem_read(c, address + AREA_MXCSR, 4);
	if (mxcsr & ~fpu_mxcsr_mask())
		raise_gp(c);
	for (uint64_t rest = rfbm; rest;) {
		unsigned n = take_component(&rest);

		if (xstate_bv >> n & 1)
			restore_component(c, i, n, area + offset[n]);
		else
			restore_initial(c, i, n);
	}
	if (rfbm & xstate_bv & XCR0_WIDE)
		c->wide_used = true;
	else if ((rfbm & XCR0_WIDE) == XCR0_WIDE)
		c->wide_used = false;
	if (has_mxcsr)
		store_le32(c->xsave + AREA_MXCSR, mxcsr);
	next(c, i);
}

void exec_xrstor(struct vcpu *c, const struct insn *i)
{
	restore(c, i, false);
}

void exec_xrstors(struct vcpu *c, const struct insn *i)
{
	if (c->cpl)
		raise_gp(c);
	restore(c, i, true);
}

/* MXCSR */

static void check_mxcsr_access(struct vcpu *c, const struct insn *i)
{
	vector_check_class(c, i->prefix & PREFIX_VEX ? CLASS_AVX : CLASS_SSE);
}

void exec_ldmxcsr(struct vcpu *c, const struct insn *i)
{
	check_mxcsr_access(c, i);
	uint32_t value = (uint32_t)mem_read(c, operand_address(c, i, 4, ACCESS_READ), 4);

	if (value & ~fpu_mxcsr_mask())
		raise_gp(c);
	store_le32(c->xsave + AREA_MXCSR, value);
	next(c, i);
}

void exec_stmxcsr(struct vcpu *c, const struct insn *i)
{
	check_mxcsr_access(c, i);
	mem_write(c, operand_address(c, i, 4, ACCESS_WRITE), 4,
		  load_le32(c->xsave + AREA_MXCSR));
	next(c, i);
}
