/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Register state of a vCPU, in the ABI's layouts. The sub-structures are also what
 * KVM_CAP_SYNC_REGS puts in kvm_run.
 *
 * Manual: the kernel's KVM API document, 4.11 to 4.14, 4.31, 4.34, 4.42; SDM 1 10.5 (FXSAVE).
 * Not modelled: SMM in the events (refused when set).
 */
#include "engine/api/object.h"
#include "engine/fpu/fpu.h"
#include "engine/interp/flags.h"
#include "engine/interp/interp.h"
#include "engine/irqchip/irqchip.h"
#include "engine/mmu/mmu.h"
#include "engine/sys/sys.h"

void vcpu_state_changed(struct vcpu *c)
{
	tlb_flush_all(c);
	mode_update(c);
}

void regs_get(struct vcpu *c, struct kvm_regs *regs)
{
	*regs = (struct kvm_regs){
		.rax = c->gpr[RAX], .rbx = c->gpr[RBX], .rcx = c->gpr[RCX], .rdx = c->gpr[RDX],
		.rsi = c->gpr[RSI], .rdi = c->gpr[RDI], .rsp = c->gpr[RSP], .rbp = c->gpr[RBP],
		.r8 = c->gpr[R8],   .r9 = c->gpr[R9],   .r10 = c->gpr[R10], .r11 = c->gpr[R11],
		.r12 = c->gpr[R12], .r13 = c->gpr[R13], .r14 = c->gpr[R14], .r15 = c->gpr[R15],
		.rip = c->rip,      .rflags = rflags_get(c),
	};
}

void regs_set(struct vcpu *c, const struct kvm_regs *regs)
{
	const uint64_t values[16] = {
		regs->rax, regs->rcx, regs->rdx, regs->rbx, regs->rsp, regs->rbp,
		regs->rsi, regs->rdi, regs->r8,  regs->r9,  regs->r10, regs->r11,
		regs->r12, regs->r13, regs->r14, regs->r15,
	};

	memcpy(c->gpr, values, sizeof(values));
	c->rip = regs->rip;
	rflags_set(c, regs->rflags | F_1);
	c->raised.kind = EVENT_NONE;
	if (c->mode & MODE_PROTECTED && c->rflags & F_VM && !(c->efer & EFER_LMA))
		c->cpl = 3;
	interp_flush_lookup(c); /* a debugger may have patched code meanwhile */
	mode_update(c);
}

long vcpu_get_regs(struct vcpu *c, const struct call *call, void *data)
{
	regs_get(c, data);
	return 0;
}

long vcpu_set_regs(struct vcpu *c, const struct call *call, void *data)
{
	regs_set(c, data);
	return 0;
}

/* The part that struct kvm_sregs and struct kvm_sregs2 begin with alike. */
static void sregs_get_common(struct vcpu *c, struct kvm_sregs2 *s)
{
	segment_to_kvm(&s->cs, &c->seg[CS]);
	segment_to_kvm(&s->ds, &c->seg[DS]);
	segment_to_kvm(&s->es, &c->seg[ES]);
	segment_to_kvm(&s->fs, &c->seg[FS]);
	segment_to_kvm(&s->gs, &c->seg[GS]);
	segment_to_kvm(&s->ss, &c->seg[SS]);
	segment_to_kvm(&s->tr, &c->seg[TR]);
	segment_to_kvm(&s->ldt, &c->seg[LDTR]);
	s->gdt.base = c->gdt.base;
	s->gdt.limit = c->gdt.limit;
	s->idt.base = c->idt.base;
	s->idt.limit = c->idt.limit;
	s->cr0 = c->cr0;
	s->cr2 = c->cr2;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->cr8 = cr8_read(c);
	s->efer = c->efer;
	s->apic_base = lapic_base_get(c);
}

static bool sregs_are_valid(const struct vcpu *c, const struct kvm_sregs2 *s)
{
	bool wants_long = s->efer & EFER_LME && s->cr0 & CR0_PG;

	if (s->cr0 >> 32 || (s->cr0 & CR0_PG && !(s->cr0 & CR0_PE)) ||
	    (s->cr0 & CR0_NW && !(s->cr0 & CR0_CD)))
		return false;
	if (wants_long) {
		/* EFER.LMA is the processor's answer to LME and PG: all three must agree. */
		return s->cr4 & CR4_PAE && s->efer & EFER_LMA &&
		       !(s->cr3 >> mmu_physical_bits(c));
	}
	return !(s->efer & EFER_LMA) && !s->cs.l;
}

/* CR4 bits that exist for some guest. */
static bool cr4_is_valid(const struct vcpu *c, uint64_t cr4)
{
	const uint64_t known = 0xfff | CR4_LA57 | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP |
			       CR4_SMAP | CR4_PKE | CR4_PKS;

	return !(cr4 & ~known);
}

static uint8_t cpl_of(const struct vcpu *c)
{
	if (!(c->cr0 & CR0_PE))
		return 0;
	if (c->rflags & F_VM && !(c->efer & EFER_LMA))
		return 3;
	return c->seg[SS].rights >> SEG_DPL_SHIFT & 3;
}

static int sregs_set_common(struct vcpu *c, const struct kvm_sregs2 *s)
{
	if (!sregs_are_valid(c, s) || !cr4_is_valid(c, s->cr4) ||
	    !lapic_base_set(c, s->apic_base, true))
		return -EINVAL;
	segment_from_kvm(&c->seg[CS], &s->cs);
	segment_from_kvm(&c->seg[DS], &s->ds);
	segment_from_kvm(&c->seg[ES], &s->es);
	segment_from_kvm(&c->seg[FS], &s->fs);
	segment_from_kvm(&c->seg[GS], &s->gs);
	segment_from_kvm(&c->seg[SS], &s->ss);
	segment_from_kvm(&c->seg[TR], &s->tr);
	segment_from_kvm(&c->seg[LDTR], &s->ldt);
	c->gdt = (struct table_register){ .base = s->gdt.base, .limit = s->gdt.limit };
	c->idt = (struct table_register){ .base = s->idt.base, .limit = s->idt.limit };
	c->cr0 = s->cr0 | CR0_ET;
	c->cr2 = s->cr2;
	c->cr3 = s->cr3;
	c->cr4 = s->cr4;
	c->efer = s->efer;
	cr8_write(c, s->cr8 & 15);
	c->cpl = cpl_of(c);
	/* A VMM that resets the boot processor means it to run. */
	if (c->mp_state == KVM_MP_STATE_HALTED && c->id == c->vm->boot_cpu_id &&
	    c->rip == 0xfff0 && s->cs.selector == 0xf000 && !(c->cr0 & CR0_PE))
		c->mp_state = KVM_MP_STATE_RUNNABLE;
	return 0;
}

static bool uses_pdptrs(const struct vcpu *c)
{
	return c->cr0 & CR0_PG && c->cr4 & CR4_PAE && !(c->efer & EFER_LMA);
}

void sregs_get(struct vcpu *c, struct kvm_sregs *sregs)
{
	struct kvm_sregs2 common = { 0 };
	unsigned vector = c->injected.vector;

	sregs_get_common(c, &common);
	memset(sregs, 0, sizeof(*sregs));
	memcpy(sregs, &common, offsetof(struct kvm_sregs, interrupt_bitmap));
	if (c->injected.kind == EVENT_INTERRUPT)
		sregs->interrupt_bitmap[vector / 64] |= BIT(vector % 64);
}

int sregs_set(struct vcpu *c, const struct kvm_sregs *sregs)
{
	struct kvm_sregs2 common = { 0 };
	int error;

	_Static_assert(offsetof(struct kvm_sregs, interrupt_bitmap) ==
			       offsetof(struct kvm_sregs2, flags),
		       "the two layouts begin alike");
	memcpy(&common, sregs, offsetof(struct kvm_sregs, interrupt_bitmap));
	error = sregs_set_common(c, &common);
	if (error)
		return error;
	if (uses_pdptrs(c))
		mmu_load_pdptrs(c, c->cr3);
	vcpu_state_changed(c);
	for (unsigned vector = 0; vector < 256; vector++)
		if (sregs->interrupt_bitmap[vector / 64] >> vector % 64 & 1)
			c->injected = (struct event){ .kind = EVENT_INTERRUPT,
						      .vector = (uint8_t)vector };
	return 0;
}

long vcpu_get_sregs(struct vcpu *c, const struct call *call, void *data)
{
	sregs_get(c, data);
	return 0;
}

long vcpu_set_sregs(struct vcpu *c, const struct call *call, void *data)
{
	return sregs_set(c, data);
}

long vcpu_get_sregs2(struct vcpu *c, const struct call *call, void *data)
{
	struct kvm_sregs2 *s = data;

	memset(s, 0, sizeof(*s));
	sregs_get_common(c, s);
	if (uses_pdptrs(c)) {
		s->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
		memcpy(s->pdptrs, c->pdptr, sizeof(s->pdptrs));
	}
	return 0;
}

long vcpu_set_sregs2(struct vcpu *c, const struct call *call, void *data)
{
	const struct kvm_sregs2 *s = data;
	bool has_pdptrs = s->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	bool is_pae = s->cr0 & CR0_PG && s->cr4 & CR4_PAE && !(s->efer & EFER_LMA);
	int error;

	if (s->flags & ~(uint64_t)KVM_SREGS2_FLAGS_PDPTRS_VALID || (has_pdptrs && !is_pae))
		return -EINVAL;
	error = sregs_set_common(c, s);
	if (error)
		return error;
	if (has_pdptrs)
		memcpy(c->pdptr, s->pdptrs, sizeof(c->pdptr));
	else if (uses_pdptrs(c))
		mmu_load_pdptrs(c, c->cr3);
	vcpu_state_changed(c);
	return 0;
}

static bool is_exception(const struct event *e)
{
	return e->kind == EVENT_FAULT || e->kind == EVENT_TRAP || e->kind == EVENT_SOFTWARE ||
	       e->kind == EVENT_INT1;
}

void events_get(struct vcpu *c, struct kvm_vcpu_events *events)
{
	/* One that nobody has begun to deliver counts as injected too: it will not be lost. */
	const struct event *e = event_give_payload(c);

	memset(events, 0, sizeof(*events));
	if (is_exception(e) && (e->kind != EVENT_SOFTWARE || e->vector < 32)) {
		events->exception.injected = 1;
		events->exception.nr = e->vector;
		events->exception.has_error_code = e->has_error;
		events->exception.error_code = e->error;
	} else if (e->kind == EVENT_INTERRUPT || e->kind == EVENT_SOFTWARE) {
		events->interrupt.injected = 1;
		events->interrupt.nr = e->vector;
		events->interrupt.soft = e->kind == EVENT_SOFTWARE;
	}
	if (c->shadow_sti)
		events->interrupt.shadow |= KVM_X86_SHADOW_INT_STI;
	if (c->shadow_mov_ss)
		events->interrupt.shadow |= KVM_X86_SHADOW_INT_MOV_SS;
	events->nmi.injected = e->kind == EVENT_NMI;
	events->nmi.pending = c->nmi_pending;
	events->nmi.masked = c->nmi_masked;
	events->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (c->vm->enabled_caps & ENABLED_EXCEPTION_PAYLOAD)
		events->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
}

static bool events_are_valid(const struct vcpu *c, const struct kvm_vcpu_events *e)
{
	const uint32_t known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			       KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM |
			       KVM_VCPUEVENT_VALID_PAYLOAD;
	bool has_payload = e->flags & KVM_VCPUEVENT_VALID_PAYLOAD;

	if (e->flags & ~known)
		return false;
	if (has_payload && !(c->vm->enabled_caps & ENABLED_EXCEPTION_PAYLOAD))
		return false;
	if (has_payload && e->exception.pending && e->exception.injected)
		return false;
	if ((e->exception.injected || e->exception.pending) &&
	    (e->exception.nr > 31 || e->exception.nr == EXC_NMI))
		return false;
	return !(e->flags & KVM_VCPUEVENT_VALID_SMM && (e->smi.smm || e->smi.pending));
}

static struct event event_from_kvm(const struct kvm_vcpu_events *e)
{
	bool has_payload = e->flags & KVM_VCPUEVENT_VALID_PAYLOAD && e->exception_has_payload;
	uint8_t vector = e->exception.nr;
	bool is_trap = vector == EXC_DB || vector == EXC_BP || vector == EXC_OF;

	if (e->exception.injected || e->exception.pending)
		return (struct event){
			.kind = is_trap ? EVENT_TRAP : EVENT_FAULT,
			.vector = vector,
			.has_error = e->exception.has_error_code,
			.error = e->exception.error_code,
			.payload = has_payload ? e->exception_payload : 0,
			.payload_done = !has_payload,
		};
	if (e->interrupt.injected)
		return (struct event){ .kind = e->interrupt.soft ? EVENT_SOFTWARE : EVENT_INTERRUPT,
				       .vector = e->interrupt.nr };
	if (e->nmi.injected)
		return (struct event){ .kind = EVENT_NMI, .vector = EXC_NMI };
	return (struct event){ .kind = EVENT_NONE };
}

int events_set(struct vcpu *c, const struct kvm_vcpu_events *events)
{
	if (!events_are_valid(c, events))
		return -EINVAL;
	c->raised.kind = EVENT_NONE;
	c->injected = event_from_kvm(events);
	if (events->flags & KVM_VCPUEVENT_VALID_SHADOW) {
		c->shadow_sti = events->interrupt.shadow & KVM_X86_SHADOW_INT_STI;
		c->shadow_mov_ss = events->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS;
	}
	c->nmi_masked = events->nmi.masked;
	if (events->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		c->nmi_pending = events->nmi.pending;
	mode_update(c);
	vcpu_request(c, REQUEST_EVENT);
	return 0;
}

long vcpu_get_events(struct vcpu *c, const struct call *call, void *data)
{
	events_get(c, data);
	return 0;
}

long vcpu_set_events(struct vcpu *c, const struct call *call, void *data)
{
	return events_set(c, data);
}

long vcpu_get_debugregs(struct vcpu *c, const struct call *call, void *data)
{
	struct kvm_debugregs *d = data;

	memset(d, 0, sizeof(*d));
	memcpy(d->db, c->dr, sizeof(d->db));
	d->dr6 = c->dr[6];
	d->dr7 = c->dr[7];
	return 0;
}

long vcpu_set_debugregs(struct vcpu *c, const struct call *call, void *data)
{
	const struct kvm_debugregs *d = data;

	if (d->flags || d->dr6 >> 32 || d->dr7 >> 32)
		return -EINVAL;
	memcpy(c->dr, d->db, sizeof(d->db));
	c->dr[6] = d->dr6;
	c->dr[7] = d->dr7;
	mode_update(c);
	return 0;
}

/* Offsets in the FXSAVE part of c->xsave. [SDM 1 table 10-2] */
enum { FX_FCW = 0, FX_FSW = 2, FX_FTW = 4, FX_FOP = 6, FX_FIP = 8, FX_FDP = 16, FX_MXCSR = 24,
       FX_ST = 32, FX_XMM = 160, FX_BYTES = 512, XSTATE_BV = 512 };

long vcpu_get_fpu(struct vcpu *c, const struct call *call, void *data)
{
	struct kvm_fpu *f = data;

	memset(f, 0, sizeof(*f));
	f->fcw = load_le16(c->xsave + FX_FCW);
	f->fsw = load_le16(c->xsave + FX_FSW);
	f->ftwx = c->xsave[FX_FTW];
	f->last_opcode = load_le16(c->xsave + FX_FOP);
	f->last_ip = load_le64(c->xsave + FX_FIP);
	f->last_dp = load_le64(c->xsave + FX_FDP);
	f->mxcsr = load_le32(c->xsave + FX_MXCSR);
	memcpy(f->fpr, c->xsave + FX_ST, sizeof(f->fpr));
	memcpy(f->xmm, c->xsave + FX_XMM, sizeof(f->xmm));
	return 0;
}

long vcpu_set_fpu(struct vcpu *c, const struct call *call, void *data)
{
	const struct kvm_fpu *f = data;
	uint8_t area[XSAVE_BYTES];

	memcpy(area, c->xsave, sizeof(area));
	store_le16(area + FX_FCW, f->fcw);
	store_le16(area + FX_FSW, f->fsw);
	store_le16(area + FX_FTW, f->ftwx);
	store_le16(area + FX_FOP, f->last_opcode);
	store_le64(area + FX_FIP, f->last_ip);
	store_le64(area + FX_FDP, f->last_dp);
	store_le32(area + FX_MXCSR, f->mxcsr & fpu_mxcsr_mask());
	memcpy(area + FX_ST, f->fpr, sizeof(f->fpr));
	memcpy(area + FX_XMM, f->xmm, sizeof(f->xmm));
	return fpu_load_area(c, area) ? 0 : -EINVAL;
}

long vcpu_get_xsave(struct vcpu *c, const struct call *call, void *data)
{
	_Static_assert(sizeof(struct kvm_xsave) == XSAVE_BYTES, "one size");
	memcpy(data, c->xsave, sizeof(struct kvm_xsave));
	return 0;
}

long vcpu_set_xsave(struct vcpu *c, const struct call *call, void *data)
{
	return fpu_load_area(c, data) ? 0 : -EINVAL;
}

long vcpu_get_xcrs(struct vcpu *c, const struct call *call, void *data)
{
	struct kvm_xcrs *x = data;

	memset(x, 0, sizeof(*x));
	x->nr_xcrs = 1;
	x->xcrs[0].value = c->xcr0;
	return 0;
}

long vcpu_set_xcrs(struct vcpu *c, const struct call *call, void *data)
{
	const struct kvm_xcrs *x = data;

	if (x->nr_xcrs > KVM_MAX_XCRS || x->flags)
		return -EINVAL;
	for (uint32_t i = 0; i < x->nr_xcrs; i++)
		if (x->xcrs[i].xcr == 0)
			return xcr0_write(c, x->xcrs[i].value) ? 0 : -EINVAL;
	return 0;
}
