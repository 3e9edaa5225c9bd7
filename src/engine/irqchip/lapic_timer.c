/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The LAPIC's timer: one-shot, periodic, TSC deadline.
 *
 * The bus clock is 1 GHz, as KVM's. The host timer only requests REQUEST_TIMER; everything else
 * happens on the vCPU thread. Periods missed while the vCPU was away become one interrupt.
 *
 * Manual: SDM 3, 11.5.4.
 */
#include "engine/irqchip/internal.h"

#include <errno.h>

enum { PERIOD_MIN_NS = 50000 }; /* a guest cannot make the host spin */

static void on_timer(void *context)
{
	vcpu_request(context, REQUEST_TIMER);
}

int lapic_timer_create(struct vcpu *c)
{
	c->lapic->timer = port_timer_new(on_timer, c);
	return c->lapic->timer ? 0 : -ENOMEM;
}

static uint32_t mode_of(const struct lapic *l)
{
	return apic_reg(l, APIC_LVT_TIMER) & LVT_TIMER_MODE;
}

/* The divisor as a shift: codes 0-6 are 2 to 128, code 7 is 1. */
static unsigned divide_shift(const struct lapic *l)
{
	uint32_t divide = apic_reg(l, APIC_TIMER_DIVIDE);

	return ((divide & 3) + (divide >> 1 & 4) + 1) & 7;
}

static void arm(struct lapic *l, uint64_t due_ns)
{
	l->due_ns = MAX(due_ns, 1);
	port_timer_arm(l->timer, l->due_ns);
}

void lapic_timer_stop(struct vcpu *c)
{
	if (c->lapic->due_ns)
		port_timer_stop(c->lapic->timer);
	c->lapic->due_ns = 0;
	c->lapic->period_ns = 0;
}

uint64_t lapic_timer_deadline_ns(const struct vcpu *c)
{
	return c->lapic && c->lapic->due_ns ? c->lapic->due_ns : UINT64_MAX;
}

static void start_tsc_deadline(struct vcpu *c)
{
	uint64_t now = vcpu_tsc(c), deadline = c->tsc_deadline, wait_ns;

	if (!deadline)
		return;
	if (deadline <= now) {
		c->lapic->due_ns = 1;
		lapic_timer_fired(c);
		return;
	}
	wait_ns =
		(uint64_t)MIN((unsigned __int128)(deadline - now) * 1000000 / vcpu_tsc_rate(c) + 1,
			      (unsigned __int128)INT64_MAX / 2);
	arm(c->lapic, port_now_ns() + wait_ns);
}

void lapic_timer_start(struct vcpu *c, uint64_t counts)
{
	struct lapic *l = c->lapic;
	unsigned shift = divide_shift(l);

	if (mode_of(l) == LVT_TSC_DEADLINE) {
		start_tsc_deadline(c);
		return;
	}
	l->period_ns = (uint64_t)apic_reg(l, APIC_TIMER_INITIAL) << shift;
	if (!l->period_ns || !counts)
		return;
	if (mode_of(l) == LVT_PERIODIC)
		l->period_ns = MAX(l->period_ns, PERIOD_MIN_NS);
	arm(l, port_now_ns() + MIN(counts << shift, l->period_ns));
}

uint32_t lapic_timer_current(const struct vcpu *c)
{
	const struct lapic *l = c->lapic;
	uint64_t now = port_now_ns(), left;

	if (!l->due_ns || mode_of(l) == LVT_TSC_DEADLINE)
		return 0;
	if (l->due_ns > now)
		left = l->due_ns - now;
	else if (mode_of(l) == LVT_PERIODIC)
		left = l->period_ns - (now - l->due_ns) % l->period_ns;
	else
		left = 0;
	return (uint32_t)(left >> divide_shift(l));
}

static bool deadline_reached(struct vcpu *c)
{
	if (mode_of(c->lapic) == LVT_TSC_DEADLINE)
		return vcpu_tsc(c) >= c->tsc_deadline;
	return port_now_ns() >= c->lapic->due_ns;
}

void lapic_timer_fired(struct vcpu *c)
{
	struct lapic *l = c->lapic;
	uint64_t now = port_now_ns();

	if (!l || !l->due_ns)
		return; /* stopped meanwhile */
	if (!deadline_reached(c)) {
		if (mode_of(l) == LVT_TSC_DEADLINE)
			start_tsc_deadline(c);
		else
			arm(l, l->due_ns);
		return;
	}
	if (mode_of(l) == LVT_PERIODIC && l->period_ns) {
		uint64_t missed = now > l->due_ns ? (now - l->due_ns) / l->period_ns : 0;

		arm(l, l->due_ns + (missed + 1) * l->period_ns);
	} else {
		l->due_ns = 0;
		c->tsc_deadline = 0;
	}
	lapic_lvt_deliver(c, APIC_LVT_TIMER);
}

void lapic_timer_lvt_write(struct vcpu *c, uint32_t value)
{
	struct lapic *l = c->lapic;
	uint32_t before = mode_of(l);

	/* A count that has reached zero is over, also if the host's timer is late to say so. */
	if (before == LVT_ONESHOT && l->due_ns && deadline_reached(c))
		lapic_timer_fired(c);
	apic_reg_set(l, APIC_LVT_TIMER, value);
	if (before == mode_of(l))
		return;
	if (before == LVT_TSC_DEADLINE || mode_of(l) == LVT_TSC_DEADLINE) {
		lapic_timer_stop(c);
		apic_reg_set(l, APIC_TIMER_INITIAL, 0);
		c->tsc_deadline = 0;
	} else if (mode_of(l) == LVT_PERIODIC && l->due_ns) {
		l->period_ns = MAX(l->period_ns, PERIOD_MIN_NS);
	}
}

void lapic_timer_divide_write(struct vcpu *c, uint32_t value)
{
	struct lapic *l = c->lapic;
	uint32_t left = lapic_timer_current(c);

	apic_reg_set(l, APIC_TIMER_DIVIDE, value);
	if (!l->due_ns || mode_of(l) == LVT_TSC_DEADLINE)
		return;
	lapic_timer_stop(c);
	lapic_timer_start(c, left);
}

void lapic_timer_rate_changed(struct vcpu *c)
{
	if (c->lapic && mode_of(c->lapic) == LVT_TSC_DEADLINE && c->tsc_deadline)
		start_tsc_deadline(c);
}

void lapic_tsc_deadline_set(struct vcpu *c, uint64_t value)
{
	if (!c->lapic || mode_of(c->lapic) != LVT_TSC_DEADLINE)
		return;
	lapic_timer_stop(c);
	c->tsc_deadline = value;
	start_tsc_deadline(c);
}

uint64_t lapic_tsc_deadline_get(struct vcpu *c)
{
	if (!c->lapic || mode_of(c->lapic) != LVT_TSC_DEADLINE)
		return 0;
	return c->tsc_deadline;
}
