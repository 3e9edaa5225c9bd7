/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Local APIC: life cycle, modes, priorities, what the run loop asks.
 *
 * Registers live in a page laid out as xAPIC MMIO and KVM_GET_LAPIC show it (in x2APIC mode the
 * ID is kept as 32 bits). Who may touch what: struct lapic in internal.h.
 *
 * Manual: SDM 3, chapter 11.
 * Not modelled: CMCI, arbitration priority, focus processor; LINT0 passes the PIC's request only
 * in ExtINT mode; performance and thermal LVTs never fire.
 */
#include "engine/irqchip/internal.h"

#include "base/bytes.h"
#include "engine/interp/interp.h"
#include "engine/mmu/mmu.h"
#include "engine/sys/features.h"
#include "engine/sys/sys.h"

#include <errno.h>
#include <string.h>

enum { VERSION = 0x14, LVT_LAST = 5, VERSION_DIRECTED_EOI = 1 << 24 };
#define BASE_RESERVED (0x2ffull) /* bits 0-7 and 9 */

int lapic_highest(struct lapic *l, unsigned bank)
{
	for (int word = 7; word >= 0; word--) {
		uint32_t bits = __atomic_load_n(&l->regs[bank / 4 + word * 4], __ATOMIC_SEQ_CST);

		if (bits)
			return word * 32 + 31 - __builtin_clz(bits);
	}
	return -1;
}

uint8_t lapic_ppr_update(struct lapic *l)
{
	uint8_t tpr = apic_reg(l, APIC_TPR);
	int in_service = lapic_highest(l, APIC_ISR);
	uint8_t class = in_service < 0 ? 0 : in_service & 0xf0;
	uint8_t ppr = (tpr & 0xf0) >= class ? tpr : class;

	apic_reg_set(l, APIC_PPR, ppr);
	return ppr;
}

/* The vector the LAPIC would hand out now; -1: none. */
static int deliverable(struct vcpu *c)
{
	struct lapic *l = c->lapic;
	int vector;

	if (!(c->apic_base & BASE_ENABLE))
		return -1;
	vector = lapic_highest(l, APIC_IRR);
	if (vector < 0 || (vector & 0xf0) <= (lapic_ppr_update(l) & 0xf0))
		return -1;
	return vector;
}

bool lapic_accepts_pic(const struct vcpu *c)
{
	uint32_t lint0;

	if (!c->lapic || !(apic_base_of(c) & BASE_ENABLE))
		return true;
	lint0 = apic_reg(c->lapic, APIC_LVT_LINT0);
	return !(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == DELIVER_EXTINT;
}

static bool external_pending(const struct vcpu *c)
{
	const struct irqchip *chip = c->vm->irqchip;

	if (!chip || !chip->has_pic)
		return c->user_interrupt_queued && lapic_accepts_pic(c);
	return __atomic_load_n(&chip->pic.output, __ATOMIC_SEQ_CST) && lapic_accepts_pic(c);
}

bool irq_pending(struct vcpu *c)
{
	if (external_pending(c))
		return true;
	if (!c->lapic)
		return false;
	pv_eoi_take_back(c);
	return deliverable(c) >= 0;
}

static int acknowledge_external(struct vcpu *c)
{
	struct irqchip *chip = c->vm->irqchip;
	int vector = -1;

	if (!chip || !chip->has_pic) {
		c->user_interrupt_queued = false;
		return c->user_interrupt;
	}
	irqchip_lock(chip);
	if (chip->pic.output) /* another processor may have taken it */
		vector = pic_acknowledge_locked(chip);
	irqchip_unlock(chip);
	return vector;
}

int irq_acknowledge(struct vcpu *c)
{
	int vector = external_pending(c) ? acknowledge_external(c) : -1;

	if (vector >= 0 || !c->lapic)
		return vector;
	pv_eoi_take_back(c);
	vector = deliverable(c);
	if (vector < 0)
		return -1;
	__atomic_fetch_and(vector_word(c->lapic, APIC_IRR, vector), ~(1u << vector % 32),
			   __ATOMIC_SEQ_CST);
	*vector_word(c->lapic, APIC_ISR, vector) |= 1u << vector % 32;
	lapic_ppr_update(c->lapic);
	pv_eoi_arm(c);
	return vector;
}

void lapic_recheck(struct vcpu *c)
{
	if (deliverable(c) >= 0)
		vcpu_request(c, REQUEST_EVENT);
}

/* Tells the IOAPIC, here or in the VMM, that `vector` is done. */
static void broadcast_eoi(struct vcpu *c, uint8_t vector)
{
	struct irqchip *chip = c->vm->irqchip;
	struct lapic *l = c->lapic;
	bool is_level = *vector_word(l, APIC_TMR, vector) >> vector % 32 & 1;

	if (!chip || !bitmap_test(chip->eoi_vectors, vector))
		return;
	if (apic_reg(l, APIC_SVR) & SVR_DIRECTED_EOI)
		return;
	if (chip->has_pic) {
		irqchip_lock(chip);
		ioapic_eoi_locked(chip, vector, is_level);
		irqchip_unlock(chip);
	} else if (is_level) {
		l->eoi_exit_vectors[vector / 64] |= BIT(vector % 64);
		l->eoi_exits = 1;
		vcpu_request(c, REQUEST_EVENT);
	}
}

void lapic_eoi(struct vcpu *c)
{
	struct lapic *l = c->lapic;
	int vector = lapic_highest(l, APIC_ISR);

	if (vector < 0)
		return;
	*vector_word(l, APIC_ISR, vector) &= ~(1u << vector % 32);
	lapic_ppr_update(l);
	broadcast_eoi(c, vector);
	lapic_recheck(c);
}

int lapic_take_eoi_exit(struct vcpu *c)
{
	struct lapic *l = c->lapic;

	if (!l || !l->eoi_exits)
		return -1;
	for (int word = 3; word >= 0; word--) {
		uint64_t bits = l->eoi_exit_vectors[word];
		int bit;

		if (!bits)
			continue;
		bit = 63 - __builtin_clzll(bits);
		l->eoi_exit_vectors[word] &= ~BIT(bit);
		return word * 64 + bit;
	}
	l->eoi_exits = 0;
	return -1;
}

static bool take_event(struct vcpu *c, uint32_t bit)
{
	uint32_t *events = c->lapic ? &c->lapic->events : NULL;

	if (!events || !(__atomic_load_n(events, __ATOMIC_SEQ_CST) & bit))
		return false;
	__atomic_fetch_and(events, ~bit, __ATOMIC_SEQ_CST);
	return true;
}

bool lapic_take_unhalt(struct vcpu *c)
{
	return take_event(c, EVENT_BIT_UNHALT);
}

bool lapic_take_smi(struct vcpu *c)
{
	return take_event(c, EVENT_BIT_SMI);
}

/* A processor keeps one NMI besides the one in service; two that came at once are two. */
bool lapic_take_nmi(struct vcpu *c)
{
	bool in_service = c->nmi_masked || c->injected.kind == EVENT_NMI;
	uint32_t room = (in_service ? 1 : 2) - c->nmi_pending, came, back;

	if (!c->lapic || !__atomic_load_n(&c->lapic->nmis, __ATOMIC_SEQ_CST))
		return false;
	came = __atomic_exchange_n(&c->lapic->nmis, 0, __ATOMIC_SEQ_CST);
	back = MIN(came, room);
	if (!back)
		return false;
	if (!c->nmi_pending)
		back--;
	if (back)
		__atomic_fetch_add(&c->lapic->nmis, back, __ATOMIC_SEQ_CST);
	return !c->nmi_pending;
}

void lapic_accept_events(struct vcpu *c)
{
	if (take_event(c, EVENT_BIT_INIT)) {
		/* A SIPI from before the INIT is gone; one after it sets the bit again. */
		vcpu_reset(c, true);
		lapic_reset(c, true);
		c->mp_state = c->apic_base & BASE_BSP ? KVM_MP_STATE_RUNNABLE
						      : KVM_MP_STATE_INIT_RECEIVED;
	}
	if (!take_event(c, EVENT_BIT_SIPI) || c->mp_state != KVM_MP_STATE_INIT_RECEIVED)
		return; /* a processor that does not wait ignores it. [SDM 3 9.4.1] */
	c->seg[CS].selector =
		(uint16_t)(__atomic_load_n(&c->lapic->sipi_vector, __ATOMIC_SEQ_CST) << 8);
	c->seg[CS].base = (uint64_t)c->seg[CS].selector << 4;
	c->rip = 0;
	c->mp_state = KVM_MP_STATE_RUNNABLE;
	mode_update(c);
}

static void set_ids(struct vcpu *c)
{
	struct lapic *l = c->lapic;

	if (in_x2apic_mode(c)) {
		apic_reg_set(l, APIC_ID, c->id);
		apic_reg_set(l, APIC_LDR, c->id >> 4 << 16 | 1u << (c->id & 15));
	} else {
		apic_reg_set(l, APIC_ID, c->id << 24);
	}
}

void lapic_version_update(struct vcpu *c)
{
	uint32_t version = VERSION | LVT_LAST << 16;

	if (c->vm->split_irqchip && has_feature(c, FEATURE_X2APIC))
		version |= VERSION_DIRECTED_EOI;
	apic_reg_set(c->lapic, APIC_VERSION, version);
}

static void set_base(struct vcpu *c, uint64_t value)
{
	__atomic_store_n(&c->apic_base, value, __ATOMIC_RELAXED);
}

void lapic_reset(struct vcpu *c, bool is_init)
{
	static const uint16_t lvts[] = { APIC_LVT_TIMER, APIC_LVT_THERMAL, APIC_LVT_PERF,
					 APIC_LVT_LINT0, APIC_LVT_LINT1,   APIC_LVT_ERROR };
	struct lapic *l = c->lapic;
	bool is_boot = c->id == c->vm->boot_cpu_id;

	if (!is_init)
		set_base(c, APIC_DEFAULT_BASE | BASE_ENABLE | (is_boot ? BASE_BSP : 0));
	if (!is_init)
		c->msr.kvm_poll_control = 1;
	c->cr8 = 0;
	c->tsc_deadline = 0;
	if (!l)
		return;

	lapic_timer_stop(c);
	l->pv_eoi_armed = false;
	__atomic_store_n(&l->nmis, 0, __ATOMIC_SEQ_CST);
	if (!is_init)
		__atomic_store_n(&l->events, 0, __ATOMIC_SEQ_CST);
	for (unsigned offset = 0; offset < KVM_APIC_REG_SIZE; offset += 4) {
		if (offset != APIC_ID && offset != APIC_LDR)
			apic_reg_set(l, offset, 0);
	}
	if (!in_x2apic_mode(c))
		apic_reg_set(l, APIC_LDR, 0);
	if (!is_init || in_x2apic_mode(c))
		set_ids(c);
	lapic_version_update(c);
	for (unsigned i = 0; i < ARRAY_LEN(lvts); i++)
		apic_reg_set(l, lvts[i], LVT_MASKED);
	if (is_boot) /* firmware that never heard of APICs gets the PIC: KVM_X86_QUIRK_LINT0 */
		apic_reg_set(l, APIC_LVT_LINT0, DELIVER_EXTINT << 8);
	apic_reg_set(l, APIC_DFR, ~0u);
	apic_reg_set(l, APIC_SVR, 0xff);
}

int lapic_create(struct vcpu *c)
{
	struct lapic *l = port_alloc(sizeof(*l));
	int error;

	if (!l)
		return -ENOMEM;
	l->vcpu = c;
	c->lapic = l;
	error = lapic_timer_create(c);
	if (error) {
		c->lapic = NULL;
		port_free(l);
		return error;
	}
	lapic_reset(c, false);
	return 0;
}

/* Nobody else can reach the vCPU any more. */
void lapic_free(struct vcpu *c)
{
	if (!c->lapic)
		return;
	port_timer_free(c->lapic->timer);
	port_free(c->lapic);
	c->lapic = NULL;
}

int lapic_get(struct vcpu *c, struct kvm_lapic_state *state)
{
	struct lapic *l = c->lapic;

	if (!l)
		return -EINVAL;
	pv_eoi_take_back(c);
	lapic_ppr_update(l);
	apic_reg_set(l, APIC_TIMER_CURRENT, lapic_timer_current(c));
	memcpy(state->regs, l->regs, sizeof(state->regs));
	if (in_x2apic_mode(c) && !c->vm->x2apic_long_ids)
		store_le32(state->regs + APIC_ID, c->id << 24);
	return 0;
}

int lapic_set(struct vcpu *c, const struct kvm_lapic_state *state)
{
	struct lapic *l = c->lapic;
	uint32_t id = load_le32(state->regs + APIC_ID);

	if (!l)
		return -EINVAL;
	if (in_x2apic_mode(c) && c->vm->x2apic_long_ids && id != c->id)
		return -EINVAL;
	lapic_timer_stop(c);
	pv_eoi_take_back(c);
	memcpy(l->regs, state->regs, sizeof(state->regs));
	if (in_x2apic_mode(c))
		set_ids(c);
	lapic_version_update(c);
	lapic_ppr_update(l);
	lapic_timer_start(c, apic_reg(l, APIC_TIMER_CURRENT));
	vcpu_request(c, REQUEST_EVENT);
	return 0;
}

uint64_t lapic_base_get(const struct vcpu *c)
{
	return c->apic_base;
}

/* Which changes of mode a guest may make: [SDM 3 11.12.5, figure 11-27]. */
static bool transition_allowed(unsigned from, unsigned to)
{
	if (to == BASE_X2APIC)
		return false;
	if (from == BASE_MODE && to == BASE_ENABLE)
		return false;
	return !(from == 0 && to == BASE_MODE);
}

bool lapic_base_set(struct vcpu *c, uint64_t value, bool host)
{
	unsigned from = c->apic_base & BASE_MODE, to = value & BASE_MODE;
	uint64_t reserved = BASE_RESERVED | ~(BIT(mmu_physical_bits(c)) - 1);

	if (!has_feature(c, FEATURE_X2APIC))
		reserved |= BASE_X2APIC;
	if (value & reserved || to == BASE_X2APIC)
		return false;
	if (!host && !transition_allowed(from, to))
		return false;
	if (from == to || !c->lapic) {
		set_base(c, value);
		return true;
	}
	if (!(to & BASE_ENABLE))
		lapic_timer_stop(c);
	set_base(c, value); /* registers keep their values, as with KVM */
	set_ids(c);
	vcpu_request(c, REQUEST_EVENT);
	return true;
}

uint8_t lapic_tpr_get(const struct vcpu *c)
{
	return c->lapic ? apic_reg(c->lapic, APIC_TPR) >> 4 & 15 : c->cr8;
}

void lapic_tpr_set(struct vcpu *c, uint8_t value)
{
	if (!c->lapic) {
		c->cr8 = value & 15;
		return;
	}
	apic_reg_set(c->lapic, APIC_TPR, (value & 15) << 4);
	lapic_recheck(c);
}
