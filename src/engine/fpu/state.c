/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The guest's floating-point and vector state as a whole: c->xsave, in the standard format with the
 * host's component offsets, so that stubs and KVM_GET_XSAVE use it as it is.
 *
 * Manual: SDM 1 13.4 (layout of the area), 13.6 (initial values).
 */
#include "internal.h"

#include "engine/sys/log.h"

#include <errno.h>

/* Where the protection keys go if the host has none: its memory accesses are not ours. */
enum { PKRU_OFFSET = 2688, PKRU_BYTES = 8 };

uint64_t xsave_supported(void)
{
	return host_xsave_components() | BIT(COMPONENT_PKRU);
}

unsigned xsave_offset(unsigned component)
{
	if (component == COMPONENT_X87)
		return 0;
	if (component == COMPONENT_SSE)
		return AREA_XMM;
	if (component >= COMPONENT_COUNT)
		return 0;
	unsigned offset = host_xsave_offset(component);

	return !offset && component == COMPONENT_PKRU ? PKRU_OFFSET : offset;
}

unsigned xsave_size(unsigned component)
{
	if (component == COMPONENT_X87)
		return AREA_XMM;
	if (component == COMPONENT_SSE)
		return AREA_LEGACY - AREA_XMM;
	if (component >= COMPONENT_COUNT)
		return 0;
	unsigned size = host_xsave_size(component);

	return !size && component == COMPONENT_PKRU ? PKRU_BYTES : size;
}

unsigned xsave_total(uint64_t xcr0)
{
	unsigned total = AREA_EXTENDED;

	for (unsigned n = COMPONENT_AVX; n < COMPONENT_COUNT; n++)
		if (xcr0 >> n & 1)
			total = MAX(total, xsave_offset(n) + xsave_size(n));
	return total;
}

uint32_t fpu_mxcsr_mask(void)
{
	return host_mxcsr_mask();
}

int fpu_init(struct vcpu *c)
{
	struct fpu_stubs *stubs = port_alloc_pages(sizeof(*stubs));

	if (!stubs)
		return -ENOMEM;
	stubs->stubs = port_alloc_pages(STUB_LIMIT * sizeof(struct stub));
	if (!stubs->stubs) {
		port_free_pages(stubs, sizeof(*stubs));
		return -ENOMEM;
	}
	int error = port_code_alloc(&stubs->code, STUB_CODE_BYTES, log_wants(c, VM_LOG_OUT_ASM));

	if (error) {
		port_free_pages(stubs->stubs, STUB_LIMIT * sizeof(struct stub));
		port_free_pages(stubs, sizeof(*stubs));
		return error;
	}
	for (unsigned n = 0; n < COMPONENT_COUNT; n++) {
		stubs->offset[n] = (uint16_t)xsave_offset(n);
		stubs->size[n] = (uint16_t)xsave_size(n);
	}
	c->stubs = stubs;
	fpu_reset(c);
	return 0;
}

void fpu_fini(struct vcpu *c)
{
	if (!c->stubs)
		return;
	port_code_free(&c->stubs->code);
	port_free_pages(c->stubs->stubs, STUB_LIMIT * sizeof(struct stub));
	port_free_pages(c->stubs, sizeof(*c->stubs));
	c->stubs = NULL;
}

/* [SDM 3 table 9-1] but for FCW and the tags, which are as after FNINIT: what KVM does. */
void fpu_reset(struct vcpu *c)
{
	x87_not_live(c);
	c->wide_used = false;
	memset(c->xsave, 0, sizeof(c->xsave));
	store_le16(c->xsave + AREA_FCW, FCW_INIT);
	store_le32(c->xsave + AREA_MXCSR, MXCSR_INIT);
	store_le32(c->xsave + AREA_MXCSR_MASK, fpu_mxcsr_mask());
	store_le64(c->xsave + AREA_XSTATE_BV, xsave_supported());
}

bool fpu_load_area(struct vcpu *c, const uint8_t *area)
{
	uint64_t present = load_le64(area + AREA_XSTATE_BV);
	uint32_t mxcsr = load_le32(area + AREA_MXCSR);

	if (present & ~xsave_supported() || load_le64(area + AREA_XCOMP_BV) ||
	    mxcsr & ~fpu_mxcsr_mask())
		return false;
	fpu_reset(c);
	store_le32(c->xsave + AREA_MXCSR, mxcsr);
	c->wide_used = present & XCR0_WIDE;
	for (unsigned n = 0; n < COMPONENT_COUNT; n++) {
		if (n == COMPONENT_X87 && present & 1) {
			memcpy(c->xsave, area, AREA_MXCSR);
			memcpy(c->xsave + AREA_ST, area + AREA_ST, AREA_XMM - AREA_ST);
			x87_update_summary(c->xsave);
		} else if (n && present >> n & 1) {
			memcpy(c->xsave + xsave_offset(n), area + xsave_offset(n), xsave_size(n));
		}
	}
	return true;
}

void fpu_enter(struct vcpu *c)
{
	c->stubs->host_mxcsr = host_mxcsr_get();
	c->stubs->host_fcw = host_x87_control();
}

void fpu_leave(struct vcpu *c)
{
	x87_sync(c);
	x87_not_live(c);
	if (c->stubs->x87_used)
		host_x87_clear(c->stubs->host_fcw);
	c->stubs->x87_used = false;
	host_mxcsr_set(c->stubs->host_mxcsr);
}

uint8_t *vector_element(struct vcpu *c, unsigned reg, unsigned offset)
{
	if (reg >= 16)
		return c->xsave + xsave_offset(COMPONENT_HI16_ZMM) + 64 * (reg - 16) + offset;
	if (offset < 16)
		return c->xsave + AREA_XMM + 16 * reg + offset;
	if (offset < 32)
		return c->xsave + xsave_offset(COMPONENT_AVX) + 16 * reg + offset - 16;
	return c->xsave + xsave_offset(COMPONENT_ZMM_HI256) + 32 * reg + offset - 32;
}

uint64_t mask_register(const struct vcpu *c, unsigned k)
{
	return load_le64(c->xsave + xsave_offset(COMPONENT_OPMASK) + 8 * k);
}

/* VZEROUPPER and VZEROALL (VEX.L). [SDM 2C] Registers from 16 up are left alone. */
void exec_vzeroupper(struct vcpu *c, const struct insn *i)
{
	unsigned registers = code_is_64bit(c) ? 16 : 8;

	vector_check_class(c, CLASS_AVX);
	if (i->vlen == 32)
		memset(c->xsave + AREA_XMM, 0, 16 * registers);
	memset(c->xsave + xsave_offset(COMPONENT_AVX), 0, 16 * registers);
	if (xsave_offset(COMPONENT_ZMM_HI256))
		memset(c->xsave + xsave_offset(COMPONENT_ZMM_HI256), 0, 32 * registers);
	next(c, i);
}

enum vector_level fpu_vectors_allowed(const struct vcpu *c)
{
	if (c->cr0 & (CR0_EM | CR0_TS) || !(c->cr4 & CR4_OSFXSR))
		return VECTORS_NONE;
	if (!(c->cr4 & CR4_OSXSAVE) || (c->xcr0 & XCR0_AVX) != XCR0_AVX || !(c->cr0 & CR0_PE) ||
	    c->mode & MODE_VM86)
		return VECTORS_SSE;
	return (c->xcr0 & XCR0_AVX512) == XCR0_AVX512 ? VECTORS_AVX512 : VECTORS_AVX;
}
