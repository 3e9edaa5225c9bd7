/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * vcpu.mode: what decoded code depends on, derived from segments, control registers and CPL.
 *
 * Manual: SDM 3 2.2 (modes of operation), 3.2.1 (flat model), 6.12.3 (alignment checking).
 */
#include "engine/sys/internal.h"

#include "engine/fpu/fpu.h"
#include "engine/jit/jit.h"

static bool is_flat(const struct segment *s, bool is_code)
{
	uint32_t type = s->rights & (SEG_CODE | SEG_WRITE | SEG_DOWN);

	return s->base == 0 && s->limit == 0xffffffff && !(s->rights & SEG_UNUSABLE) &&
	       (is_code || type == SEG_WRITE);
}

static bool all_flat(const struct vcpu *c)
{
	return is_flat(&c->seg[CS], true) && is_flat(&c->seg[DS], false) &&
	       is_flat(&c->seg[ES], false) && is_flat(&c->seg[SS], false);
}

static bool must_step(const struct vcpu *c)
{
	uint32_t guest_debug = c->debug.control;

	return c->rflags & F_TF || c->shadow_sti || c->shadow_mov_ss || debug_armed(c) ||
	       (guest_debug & KVM_GUESTDBG_ENABLE &&
		guest_debug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP));
}

void mode_update(struct vcpu *c)
{
	uint32_t mode = 0;

	if (c->cr0 & CR0_PE)
		mode |= MODE_PROTECTED | (c->rflags & F_VM ? MODE_VM86 : 0);
	if (c->efer & EFER_LMA)
		mode |= MODE_LONG;
	if (c->efer & EFER_LMA && c->seg[CS].rights & SEG_LONG) {
		mode |= MODE_CODE64;
	} else {
		mode |= c->seg[CS].rights & SEG_BIG ? MODE_CODE32 : 0;
		mode |= c->seg[SS].rights & SEG_BIG ? MODE_STACK32 : 0;
	}
	if (c->cpl == 3)
		mode |= MODE_USER;
	if (c->cpl == 3 && c->rflags & F_AC && c->cr0 & CR0_AM)
		mode |= MODE_ALIGN;
	else if (mode & MODE_CODE64 || all_flat(c))
		mode |= MODE_FLAT; /* not under MODE_ALIGN: every access is to be checked */
	mode |= must_step(c) ? MODE_STEP : 0;
	c->mode = mode;
	if (c->cr0 & (CR0_EM | CR0_TS))
		c->x87_direct = false;
	c->jit_vectors_ok = (uint8_t)fpu_vectors_allowed(c);
	jit_segments_update(c);
	tlb_select_view(c);
}
