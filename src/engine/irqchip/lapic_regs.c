/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Local APIC registers as the guest reads and writes them: MMIO and x2APIC MSRs.
 *
 * Manual: SDM 3, 11.4.1 (table 11-1), 11.12.1 (table 11-6) for the MSRs.
 */
#include "engine/irqchip/internal.h"

#include "engine/sys/features.h"

enum {
	LVT_VECTOR = 0xff,
	LVT_DELIVERY = 0x700,
	LVT_PINS = 0xa000, /* polarity, trigger */
	LVT_REMOTE_IRR = 0x4000,
	X2APIC_FIRST = 0x800,
	X2APIC_LAST = 0x8ff,
};
#define ICR_WRITABLE 0xccfffu

static bool is_lvt(unsigned offset)
{
	return offset >= APIC_LVT_TIMER && offset <= APIC_LVT_ERROR;
}

static bool is_vector_bank(unsigned offset)
{
	return offset >= APIC_ISR && offset < APIC_IRR + 0x80;
}

bool lapic_reg_read(struct vcpu *c, unsigned offset, uint32_t *value)
{
	struct lapic *l = c->lapic;

	switch (offset) {
	case APIC_PPR:
	case APIC_APR:
		pv_eoi_take_back(c);
		*value = offset == APIC_PPR ? lapic_ppr_update(l) : 0;
		return true;
	case APIC_TIMER_CURRENT:
		*value = lapic_timer_current(c);
		return true;
	case APIC_EOI:
	case APIC_SELF_IPI:
		return false;
	case APIC_VERSION: /* depends on CPUID */
		lapic_version_update(c);
		*value = apic_reg(l, APIC_VERSION);
		return true;
	case APIC_ID:
	case APIC_TPR:
	case APIC_LDR:
	case APIC_DFR:
	case APIC_SVR:
	case APIC_ESR:
	case APIC_ICR:
	case APIC_ICR2:
	case APIC_TIMER_INITIAL:
	case APIC_TIMER_DIVIDE:
		*value = apic_reg(l, offset);
		return true;
	default:
		if (!is_lvt(offset) && !is_vector_bank(offset))
			return false;
		if (is_vector_bank(offset))
			pv_eoi_take_back(c);
		*value = apic_reg(l, offset);
		return true;
	}
}

static void write_svr(struct vcpu *c, uint32_t value)
{
	struct lapic *l = c->lapic;
	uint32_t writable = 0x3ff;

	lapic_version_update(c);
	if (apic_reg(l, APIC_VERSION) >> 24)
		writable |= SVR_DIRECTED_EOI;
	apic_reg_set(l, APIC_SVR, value & writable);
	if (value & SVR_ENABLED)
		return;
	for (unsigned lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 0x10)
		apic_reg_set(l, lvt, apic_reg(l, lvt) | LVT_MASKED);
}

static void write_lvt(struct vcpu *c, unsigned offset, uint32_t value)
{
	struct lapic *l = c->lapic;
	uint32_t writable = LVT_VECTOR | LVT_MASKED;

	if (offset == APIC_LVT_TIMER)
		writable |= has_feature(c, FEATURE_TSC_DEADLINE) ? LVT_TIMER_MODE : LVT_PERIODIC;
	else if (offset == APIC_LVT_LINT0 || offset == APIC_LVT_LINT1)
		writable |= LVT_DELIVERY | LVT_PINS | LVT_REMOTE_IRR;
	else if (offset != APIC_LVT_ERROR)
		writable |= LVT_DELIVERY;
	value &= writable;
	if (!(apic_reg(l, APIC_SVR) & SVR_ENABLED))
		value |= LVT_MASKED;
	if (offset == APIC_LVT_TIMER)
		lapic_timer_lvt_write(c, value);
	else
		apic_reg_set(l, offset, value);
	if (offset == APIC_LVT_LINT0 && lapic_accepts_pic(c))
		vcpu_request(c, REQUEST_EVENT);
}

bool lapic_reg_write(struct vcpu *c, unsigned offset, uint32_t value)
{
	struct lapic *l = c->lapic;

	switch (offset) {
	case APIC_ID: /* xAPIC only: msr_writable() */
		apic_reg_set(l, APIC_ID, value & 0xff000000);
		return true;
	case APIC_TPR:
		apic_reg_set(l, APIC_TPR, value & 0xff);
		lapic_ppr_update(l);
		lapic_recheck(c);
		return true;
	case APIC_EOI:
		pv_eoi_take_back(c);
		lapic_eoi(c);
		return true;
	case APIC_LDR:
		apic_reg_set(l, APIC_LDR, value & 0xff000000);
		return true;
	case APIC_DFR:
		apic_reg_set(l, APIC_DFR, value | 0x0fffffff);
		return true;
	case APIC_SVR:
		write_svr(c, value);
		return true;
	case APIC_ESR:
		apic_reg_set(l, APIC_ESR, __atomic_exchange_n(&l->errors, 0, __ATOMIC_SEQ_CST));
		return true;
	case APIC_ICR:
		apic_reg_set(l, APIC_ICR, value & ICR_WRITABLE);
		apic_send_ipi(c, value, apic_reg(l, APIC_ICR2) >> 24);
		return true;
	case APIC_ICR2:
		apic_reg_set(l, APIC_ICR2, value & 0xff000000);
		return true;
	case APIC_TIMER_INITIAL:
		if ((apic_reg(l, APIC_LVT_TIMER) & LVT_TIMER_MODE) == LVT_TSC_DEADLINE)
			return true;
		lapic_timer_stop(c);
		apic_reg_set(l, APIC_TIMER_INITIAL, value);
		lapic_timer_start(c, value);
		return true;
	case APIC_TIMER_DIVIDE:
		lapic_timer_divide_write(c, value & 0xb);
		return true;
	default:
		if (!is_lvt(offset))
			return false;
		write_lvt(c, offset, value);
		return true;
	}
}

static bool msr_exists(unsigned offset)
{
	return offset != APIC_APR && offset != APIC_DFR && offset != APIC_ICR2;
}

static bool msr_writable(unsigned offset)
{
	return msr_exists(offset) && offset != APIC_ID && offset != APIC_LDR;
}

bool lapic_msr_read(struct vcpu *c, uint32_t index, uint64_t *value)
{
	unsigned offset = (index - X2APIC_FIRST) << 4;
	uint32_t word = 0;

	if (!c->lapic || !in_x2apic_mode(c) || index < X2APIC_FIRST || index > X2APIC_LAST)
		return false;
	if (!msr_exists(offset) || !lapic_reg_read(c, offset, &word))
		return false;
	*value = word;
	if (offset == APIC_ICR)
		*value |= (uint64_t)apic_reg(c->lapic, APIC_ICR2) << 32;
	return true;
}

bool lapic_msr_write(struct vcpu *c, uint32_t index, uint64_t value)
{
	unsigned offset = (index - X2APIC_FIRST) << 4;
	struct lapic *l = c->lapic;

	if (!l || !in_x2apic_mode(c) || index < X2APIC_FIRST || index > X2APIC_LAST)
		return false;
	if (offset == APIC_ICR) {
		if ((uint32_t)value & ~(ICR_WRITABLE | ICR_BUSY))
			return false;
		apic_reg_set(l, APIC_ICR, (uint32_t)value & ICR_WRITABLE);
		apic_reg_set(l, APIC_ICR2, (uint32_t)(value >> 32));
		apic_send_ipi(c, (uint32_t)value, (uint32_t)(value >> 32));
		return true;
	}
	if (value >> 32 || !msr_writable(offset))
		return false;
	if ((offset == APIC_EOI || offset == APIC_ESR) && value)
		return false;
	if (offset == APIC_SELF_IPI) {
		if (value > 0xff)
			return false;
		apic_send_ipi(c, (uint32_t)value | SHORTHAND_SELF << 18 | ICR_ASSERT, 0);
		return true;
	}
	return lapic_reg_write(c, offset, (uint32_t)value);
}
