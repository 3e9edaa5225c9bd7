/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* LAPIC, messages between LAPICs, its timer, and KVM's paravirtual clocks and EOIs. */
#include "irqchip_rig.h"

#include "base/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct vm *apic_rig(unsigned vcpus)
{
	struct vm *vm = rig_new(vcpus, false);

	for (unsigned i = 0; i < vcpus; i++)
		rig_apic_enable(vm->vcpu[i]);
	return vm;
}

static void to_x2apic(struct vcpu *c)
{
	assert_true(lapic_base_set(c, c->apic_base | BASE_X2APIC, false));
}

static void ipi(struct vcpu *c, uint32_t icr, uint8_t destination)
{
	rig_apic_write(c, APIC_ICR2, (uint32_t)destination << 24);
	rig_apic_write(c, APIC_ICR, icr);
}

static void priorities_nest_and_tpr_holds_back(void **state)
{
	struct vm *vm = apic_rig(1);
	struct vcpu *c = vm->vcpu[0];

	ipi(c, 0x40041, 0);
	ipi(c, 0x40052, 0);
	assert_int_equal(irq_acknowledge(c), 0x52);
	assert_int_equal(rig_apic_read(c, APIC_PPR), 0x50);
	assert_false(irq_pending(c));
	rig_apic_write(c, APIC_EOI, 0);
	lapic_tpr_set(c, 4);
	assert_int_equal(rig_apic_read(c, APIC_TPR), 0x40);
	assert_false(irq_pending(c));
	c->requests = 0;
	lapic_tpr_set(c, 3);
	assert_true(c->requests & REQUEST_EVENT);
	assert_int_equal(irq_acknowledge(c), 0x41);
	assert_int_equal(rig_apic_read(c, APIC_ISR + 0x20), 2);
	rig_free(vm);
}

static bool got(struct vcpu *c, uint8_t vector)
{
	bool is_right = irq_acknowledge(c) == vector;

	if (is_right)
		rig_apic_write(c, APIC_EOI, 0);
	return is_right;
}

static void ipis_find_their_targets(void **state)
{
	struct vm *vm = apic_rig(4);
	struct vcpu **c = vm->vcpu;

	ipi(c[0], 0x61, 2);
	assert_true(got(c[2], 0x61));
	assert_false(irq_pending(c[0]) || irq_pending(c[1]) || irq_pending(c[3]));
	ipi(c[0], 0x62, 0xff);
	for (int i = 0; i < 4; i++)
		assert_true(got(c[i], 0x62));
	ipi(c[1], 0xc0063, 0); /* all but self */
	assert_false(irq_pending(c[1]));
	assert_true(got(c[0], 0x63) && got(c[2], 0x63) && got(c[3], 0x63));

	for (int i = 0; i < 4; i++)
		rig_apic_write(c[i], APIC_LDR, 1u << (24 + i));
	ipi(c[0], 0x864, 0x0a);
	assert_true(got(c[1], 0x64) && got(c[3], 0x64));
	assert_false(irq_pending(c[0]) || irq_pending(c[2]));
	rig_apic_write(c[3], APIC_DFR, 0);
	rig_apic_write(c[3], APIC_LDR, 0x31u << 24);
	ipi(c[0], 0x865, 0x31);
	assert_true(got(c[3], 0x65) && got(c[0], 0x65));

	ipi(c[0], 0x66 | DELIVER_LOWEST << 8 | ICR_LOGICAL, 0x07); /* one of three */
	assert_int_equal(irq_pending(c[0]) + irq_pending(c[1]) + irq_pending(c[2]), 1);
	rig_free(vm);
}

static void x2apic_ids_and_registers(void **state)
{
	struct vm *vm = apic_rig(3);
	struct vcpu **c = vm->vcpu;
	struct kvm_lapic_state page;
	uint64_t value;

	assert_false(lapic_msr_read(c[2], 0x802, &value));
	to_x2apic(c[2]);
	assert_true(lapic_msr_read(c[2], 0x802, &value) && value == 2);
	assert_true(lapic_msr_read(c[2], 0x80d, &value) && value == 4);
	assert_false(lapic_msr_read(c[2], 0x80e, &value)); /* no DFR */
	assert_false(lapic_msr_read(c[2], 0x831, &value)); /* no ICR2 */
	assert_false(lapic_msr_write(c[2], 0x802, 1));
	assert_false(lapic_msr_write(c[2], 0x80b, 1)); /* EOI takes only 0 */
	assert_false(lapic_msr_write(c[2], 0x808, 1ull << 32));
	assert_true(lapic_msr_write(c[2], 0x83f, 0x77)); /* self IPI */
	assert_false(lapic_msr_write(c[2], 0x83f, 0x177));
	assert_int_equal(irq_acknowledge(c[2]), 0x77);
	assert_true(lapic_msr_write(c[2], 0x80b, 0));
	to_x2apic(c[0]);
	assert_true(lapic_msr_write(c[0], 0x830, DELIVER_SMI << 8 | 2ull << 32));
	assert_true(lapic_take_smi(c[2]));
	assert_true(lapic_msr_write(c[0], 0x830, 0x879 | 0x5ull << 32)); /* logical: 0 and 2 */
	assert_int_equal(irq_acknowledge(c[0]), 0x79);
	assert_int_equal(irq_acknowledge(c[2]), 0x79);
	assert_false(irq_pending(c[1]));

	assert_int_equal(lapic_get(c[2], &page), 0);
	assert_int_equal(load_le32(page.regs + APIC_ID), 2u << 24);
	vm->x2apic_long_ids = true;
	assert_int_equal(lapic_get(c[2], &page), 0);
	assert_int_equal(load_le32(page.regs + APIC_ID), 2);
	store_le32(page.regs + APIC_ID, 9);
	assert_int_equal(lapic_set(c[2], &page), -22);
	rig_free(vm);
}

static void base_changes_follow_the_diagram(void **state)
{
	struct vm *vm = apic_rig(1);
	struct vcpu *c = vm->vcpu[0];
	uint64_t base = APIC_DEFAULT_BASE | BASE_BSP, value;

	assert_int_equal(lapic_base_get(c), base | BASE_ENABLE);
	assert_false(lapic_base_set(c, base | BASE_X2APIC, false));
	assert_false(lapic_base_set(c, base | BASE_ENABLE | 1, false));
	assert_false(lapic_base_set(c, base | BASE_ENABLE | BIT(40), false));
	to_x2apic(c);
	assert_false(lapic_base_set(c, base | BASE_ENABLE, false));
	assert_true(irqchip_mmio_read(c, 0xfee00030, 4, &value) && value == 0xffffffff);
	assert_true(lapic_base_set(c, base, false));
	assert_false(lapic_base_set(c, base | BASE_MODE, false));
	assert_true(lapic_base_set(c, 0xfed40000 | BASE_BSP | BASE_ENABLE, false));
	assert_true(irqchip_mmio_read(c, 0xfed40030, 4, &value) && value == 0x50014);
	assert_false(irqchip_mmio_read(c, 0xfee00030, 4, &value));
	assert_true(lapic_base_set(c, base | BASE_MODE, true));
	rig_free(vm);
}

static void init_and_sipi_start_a_processor(void **state)
{
	struct vm *vm = apic_rig(2);
	struct vcpu *boot = vm->vcpu[0], *other = vm->vcpu[1];

	ipi(boot, DELIVER_SIPI << 8 | 0x9a, 1);
	lapic_accept_events(other);
	assert_int_equal(other->mp_state, KVM_MP_STATE_RUNNABLE); /* it did not wait for one */
	ipi(boot, DELIVER_INIT << 8 | ICR_LEVEL | ICR_ASSERT, 1);
	ipi(boot, DELIVER_INIT << 8 | ICR_LEVEL, 1); /* de-assert: nothing */
	lapic_accept_events(other);
	assert_int_equal(other->mp_state, KVM_MP_STATE_INIT_RECEIVED);
	assert_int_equal(rig_apic_read(other, APIC_SVR), 0xff);
	ipi(boot, DELIVER_SIPI << 8 | 0x9a, 1);
	assert_true(other->requests & REQUEST_EVENT);
	lapic_accept_events(other);
	assert_int_equal(other->mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(other->seg[CS].selector, 0x9a00);
	assert_int_equal(other->seg[CS].base, 0x9a000);
	assert_int_equal(other->rip, 0);
	rig_free(vm);
}

static void nmis_are_two_at_most(void **state)
{
	struct vm *vm = apic_rig(1);
	struct vcpu *c = vm->vcpu[0];

	assert_false(lapic_take_nmi(c));
	for (int i = 0; i < 10; i++)
		ipi(c, DELIVER_NMI << 8, 0);
	assert_true(lapic_take_nmi(c));
	assert_true(lapic_take_nmi(c));
	assert_false(lapic_take_nmi(c));
	c->nmi_masked = true; /* one in service: one more waits, the rest are lost */
	for (int i = 0; i < 10; i++) {
		ipi(c, DELIVER_NMI << 8, 0);
		c->nmi_pending |= lapic_take_nmi(c);
	}
	assert_true(c->nmi_pending);
	c->nmi_pending = false;
	assert_false(lapic_take_nmi(c));
	rig_free(vm);
}

static void illegal_vectors_set_errors(void **state)
{
	struct vm *vm = apic_rig(1);
	struct vcpu *c = vm->vcpu[0];

	rig_apic_write(c, APIC_LVT_ERROR, 0xe1);
	ipi(c, 0x0f, 0);
	assert_int_equal(rig_apic_read(c, APIC_ESR), 0);
	rig_apic_write(c, APIC_ESR, 0);
	assert_int_equal(rig_apic_read(c, APIC_ESR), ESR_SEND_ILLEGAL);
	assert_int_equal(irq_acknowledge(c), 0xe1);
	rig_free(vm);
}

static void disabled_lapic_masks_its_lvts(void **state)
{
	struct vm *vm = apic_rig(1);
	struct vcpu *c = vm->vcpu[0];

	rig_apic_write(c, APIC_LVT_TIMER, 0x80);
	rig_apic_write(c, APIC_SVR, 0xff);
	assert_int_equal(rig_apic_read(c, APIC_LVT_TIMER), LVT_MASKED | 0x80);
	rig_apic_write(c, APIC_LVT_TIMER, 0x80);
	assert_int_equal(rig_apic_read(c, APIC_LVT_TIMER), LVT_MASKED | 0x80);
	ipi(c, 0x40071, 0);
	assert_false(irq_pending(c));
	rig_free(vm);
}

static void timer_shoots_once_or_for_ever(void **state)
{
	struct vm *vm = apic_rig(1);
	struct vcpu *c = vm->vcpu[0];

	rig_apic_write(c, APIC_TIMER_DIVIDE, 0xb);
	rig_apic_write(c, APIC_LVT_TIMER, 0xee);
	rig_apic_write(c, APIC_TIMER_INITIAL, 1000000);
	rig_advance(vm, 400000);
	assert_int_equal(rig_apic_read(c, APIC_TIMER_CURRENT), 600000);
	assert_int_equal(lapic_timer_deadline_ns(c), rig_now_ns + 600000);
	rig_advance(vm, 600000);
	assert_true(got(c, 0xee));
	assert_int_equal(rig_apic_read(c, APIC_TIMER_CURRENT), 0);
	rig_advance(vm, 10000000);
	assert_false(irq_pending(c));

	rig_apic_write(c, APIC_LVT_TIMER, LVT_PERIODIC | 0xee);
	assert_int_equal(rig_apic_read(c, APIC_TIMER_CURRENT), 0); /* a change starts nothing */
	rig_apic_write(c, APIC_TIMER_DIVIDE, 0x0);                 /* by 2 */
	rig_apic_write(c, APIC_TIMER_INITIAL, 1000000);
	for (int i = 0; i < 5; i++) {
		rig_advance(vm, 2000000);
		assert_true(got(c, 0xee));
		assert_false(irq_pending(c));
	}
	rig_advance(vm, 500000);
	assert_int_equal(rig_apic_read(c, APIC_TIMER_CURRENT), 750000);
	rig_apic_write(c, APIC_TIMER_INITIAL, 0);
	rig_advance(vm, 20000000);
	assert_false(irq_pending(c));
	rig_free(vm);
}

/* A vCPU that is late to hear of its timer finds the count at zero all the same. */
static void a_count_that_is_over_does_not_become_periodic(void **state)
{
	struct vm *vm = apic_rig(1);
	struct vcpu *c = vm->vcpu[0];

	rig_apic_write(c, APIC_TIMER_DIVIDE, 0xb);
	rig_apic_write(c, APIC_LVT_TIMER, 0xee);
	rig_apic_write(c, APIC_TIMER_INITIAL, 1000000);
	rig_now_ns += 1000000;
	rig_apic_write(c, APIC_LVT_TIMER, LVT_PERIODIC | 0xee);
	assert_true(got(c, 0xee));
	assert_int_equal(rig_apic_read(c, APIC_TIMER_CURRENT), 0);
	rig_advance(vm, 5000000);
	assert_false(irq_pending(c));
	rig_free(vm);
}

static void tsc_deadline_fires_when_the_tsc_gets_there(void **state)
{
	struct vm *vm = apic_rig(1);
	struct vcpu *c = vm->vcpu[0];

	lapic_tsc_deadline_set(c, 1);
	assert_int_equal(lapic_tsc_deadline_get(c), 0); /* not in that mode */
	rig_apic_write(c, APIC_LVT_TIMER, LVT_TSC_DEADLINE | 0xef);
	lapic_tsc_deadline_set(c, vcpu_tsc(c) + 2000); /* 1 us */
	rig_advance(vm, 999);
	assert_false(irq_pending(c));
	rig_advance(vm, 3);
	assert_true(got(c, 0xef));
	assert_int_equal(lapic_tsc_deadline_get(c), 0);
	lapic_tsc_deadline_set(c, vcpu_tsc(c) - 1);
	assert_true(got(c, 0xef));
	lapic_tsc_deadline_set(c, vcpu_tsc(c) + 2000000);
	lapic_tsc_deadline_set(c, 0);
	rig_advance(vm, 10000000);
	assert_false(irq_pending(c));
	lapic_tsc_deadline_set(c, vcpu_tsc(c) + 2000000);
	vcpu_tsc_write(c, vcpu_tsc(c) + 4000000, false); /* leaps over it */
	assert_true(got(c, 0xef));
	rig_free(vm);
}

static void lapic_page_travels_with_its_timer(void **state)
{
	struct vm *vm = apic_rig(2);
	struct vcpu **c = vm->vcpu;
	struct kvm_lapic_state page;

	rig_apic_write(c[0], APIC_TIMER_DIVIDE, 0xb);
	rig_apic_write(c[0], APIC_LVT_TIMER, 0xec);
	rig_apic_write(c[0], APIC_TIMER_INITIAL, 1000000);
	ipi(c[0], 0x40045, 0);
	rig_advance(vm, 250000);
	assert_int_equal(lapic_get(c[0], &page), 0);
	assert_int_equal(lapic_set(c[1], &page), 0);
	assert_int_equal(rig_apic_read(c[1], APIC_TIMER_CURRENT), 750000);
	assert_true(got(c[1], 0x45));
	rig_advance(vm, 750000);
	assert_true(got(c[1], 0xec));
	rig_free(vm);
}

static void split_chip_reports_eois_of_level_routes(void **state)
{
	struct vm *vm = rig_new(1, true);
	struct vcpu *c = vm->vcpu[0];
	struct kvm_irq_routing_entry entry = {
		.gsi = 5,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000, .data = 0x8000 | 0x4000 | 0x58 },
	};
	struct kvm_irq_routing routing = { .nr = 1 };
	uint32_t value;

	rig_apic_enable(c);
	assert_false(irqchip_port_read(c, 0x20, 1, &value));
	assert_int_equal(irq_set_routing(vm, &routing, &entry), 0);
	assert_int_equal(irq_line(vm, 5, true), 1);
	assert_int_equal(irq_acknowledge(c), 0x58);
	assert_int_equal(lapic_take_eoi_exit(c), -1);
	rig_apic_write(c, APIC_EOI, 0);
	assert_int_equal(lapic_take_eoi_exit(c), 0x58);
	assert_int_equal(lapic_take_eoi_exit(c), -1);

	c->user_interrupt_queued = true;
	c->user_interrupt = 0x33;
	assert_false(irq_pending(c)); /* LINT0 is masked */
	rig_apic_write(c, APIC_LVT_LINT0, DELIVER_EXTINT << 8);
	assert_int_equal(irq_acknowledge(c), 0x33);
	assert_false(irq_pending(c));
	rig_free(vm);
}

static void pv_eoi_spares_the_write(void **state)
{
	struct vm *vm = apic_rig(1);
	struct vcpu *c = vm->vcpu[0];

	assert_true(pv_msr_write(c, MSR_KVM_PV_EOI_EN, 0x1000 | KVM_MSR_ENABLED, false));
	ipi(c, 0x40048, 0);
	assert_int_equal(irq_acknowledge(c), 0x48);
	assert_int_equal(rig_ram[0x1000], 1);
	rig_ram[0x1000] = 0; /* the guest's EOI */
	ipi(c, 0x40047, 0);
	assert_int_equal(irq_acknowledge(c), 0x47); /* not blocked by 0x48 */
	assert_int_equal(rig_ram[0x1000], 1);
	ipi(c, 0x40046, 0);
	assert_false(irq_pending(c)); /* the word is taken back: the EOI must be heard */
	assert_int_equal(rig_ram[0x1000], 0);
	rig_apic_write(c, APIC_EOI, 0);
	assert_int_equal(irq_acknowledge(c), 0x46);
	rig_free(vm);
}

static uint64_t guest_clock(struct vcpu *c, gpa_t gpa)
{
	const uint8_t *page = rig_ram + gpa;
	int8_t shift = (int8_t)page[28];
	uint64_t delta = vcpu_tsc(c) - load_le64(page + 8);

	assert_false(load_le32(page) & 1);
	delta = shift < 0 ? delta >> -shift : delta << shift;
	return load_le64(page + 16) +
	       (uint64_t)((unsigned __int128)delta * load_le32(page + 24) >> 32);
}

static void kvmclock_counts_nanoseconds(void **state)
{
	struct vm *vm = apic_rig(2);
	struct vcpu **c = vm->vcpu;
	struct kvm_clock_data data;
	uint64_t start;

	assert_true(pv_msr_write(c[0], MSR_KVM_SYSTEM_TIME_NEW, 0x1001, false));
	rig_advance(vm, 12345678);
	assert_true(pv_msr_write(c[1], MSR_KVM_SYSTEM_TIME, 0x2001, false));
	start = guest_clock(c[0], 0x1000);
	assert_int_equal(rig_ram[0x1000 + 29], 1); /* stable: both TSCs are the same */
	rig_advance(vm, 3600 * 1000000000ull);
	assert_in_range(guest_clock(c[0], 0x1000) - start, 3600 * 1000000000ull - 1000,
			3600 * 1000000000ull);
	assert_int_equal(guest_clock(c[0], 0x1000), guest_clock(c[1], 0x2000));
	vm_clock_get(vm, &data);
	assert_int_equal(data.clock, guest_clock(c[0], 0x1000));
	assert_true(data.flags & KVM_CLOCK_TSC_STABLE);

	data = (struct kvm_clock_data){ .clock = 5000000000ull };
	vm_clock_set(vm, &data);
	assert_true(c[1]->requests & REQUEST_CLOCK);
	pv_clock_update(c[1]);
	assert_int_equal(guest_clock(c[1], 0x2000), 5000000000ull);
	vcpu_tsc_write(c[1], 7, false);
	pv_clock_update(c[0]);
	assert_int_equal(rig_ram[0x1000 + 29], 0); /* no longer */
	assert_int_equal(pv_clock_pause(c[0]), 0);
	pv_clock_update(c[0]);
	assert_int_equal(rig_ram[0x1000 + 29], 2);
	rig_free(vm);
}

static void wall_clock_is_the_time_of_boot(void **state)
{
	struct vm *vm = apic_rig(1);

	vm->clock_offset = -(int64_t)rig_now_ns; /* kvmclock starts now */
	rig_advance(vm, 5000000000ull);
	assert_true(pv_msr_write(vm->vcpu[0], MSR_KVM_WALL_CLOCK_NEW, 0x1800, false));
	assert_int_equal(load_le32(rig_ram + 0x1804), 1700000000);
	assert_int_equal(load_le32(rig_ram + 0x1808), 1000000);
	rig_free(vm);
}

static void tscs_written_together_agree(void **state)
{
	struct vm *vm = apic_rig(2);
	struct vcpu **c = vm->vcpu;

	rig_advance(vm, 1000000);
	assert_int_equal(c[0]->tsc_offset, c[1]->tsc_offset);
	vcpu_tsc_write(c[0], 900000000000ull, true);
	rig_advance(vm, 500000);
	vcpu_tsc_write(c[1], 900000000500ull, true);
	assert_int_equal(vcpu_tsc(c[0]), vcpu_tsc(c[1]));
	vcpu_tsc_write(c[1], 42, false);
	assert_int_equal(vcpu_tsc(c[1]), 42);
	assert_int_equal(c[1]->msr.tsc_adjust, c[1]->tsc_offset - c[0]->tsc_offset);
	vcpu_tsc_adjust_write(c[1], 0, false);
	assert_int_equal(vcpu_tsc(c[0]), vcpu_tsc(c[1]));
	rig_free(vm);
}

static void tsc_scales(void **state)
{
	struct vm *vm = apic_rig(1);
	struct vcpu *c = vm->vcpu[0];
	uint64_t start;

	assert_int_equal(vcpu_set_tsc_khz(c, 1000000), 0);
	start = vcpu_tsc(c);
	rig_advance(vm, 1000000000);
	assert_int_equal(vcpu_tsc(c) - start, 1000000000);
	rig_apic_write(c, APIC_LVT_TIMER, LVT_TSC_DEADLINE | 0xef);
	lapic_tsc_deadline_set(c, vcpu_tsc(c) + 5000);
	rig_advance(vm, 4990);
	assert_false(irq_pending(c));
	rig_advance(vm, 20);
	assert_true(irq_pending(c));
	assert_int_equal(vcpu_set_tsc_khz(c, 1), -22);
	rig_free(vm);
}

static void hypercalls(void **state)
{
	struct vm *vm = apic_rig(3);
	struct vcpu **c = vm->vcpu;
	uint64_t send[4] = { 0x6, 0, 0, 0x91 }, kick[4] = { 0, 2 };

	assert_int_equal(pv_hypercall(c[0], 999, send), (uint32_t)-KVM_ENOSYS);
	c[0]->mode = MODE_CODE64;
	assert_int_equal(pv_hypercall(c[0], 999, send), (uint64_t)-KVM_ENOSYS);
	assert_int_equal(pv_hypercall(c[0], KVM_HC_SEND_IPI, send), 2);
	assert_true(got(c[1], 0x91) && got(c[2], 0x91));
	assert_false(irq_pending(c[0]));
	assert_false(lapic_take_unhalt(c[2]));
	assert_int_equal(pv_hypercall(c[0], KVM_HC_KICK_CPU, kick), 0);
	assert_true(lapic_take_unhalt(c[2]));
	assert_false(lapic_take_unhalt(c[2]));
	c[0]->cpl = 3;
	assert_int_equal(pv_hypercall(c[0], KVM_HC_SEND_IPI, send), (uint64_t)-KVM_EPERM);
	rig_free(vm);
}

static void steal_time_grows_with_waiting(void **state)
{
	struct vm *vm = apic_rig(1);
	struct vcpu *c = vm->vcpu[0];

	assert_false(pv_msr_write(c, MSR_KVM_STEAL_TIME, 0x1003, false));
	assert_true(pv_msr_write(c, MSR_KVM_STEAL_TIME, 0x1001, false));
	assert_int_equal(load_le64(rig_ram + 0x1000), 0);
	rig_advance(vm, 1000000000);
	pv_run_entered(c);
	assert_int_equal(load_le64(rig_ram + 0x1000), 100000000);
	assert_false(load_le32(rig_ram + 0x1008) & 1);
	rig_free(vm);
}

static void sleepers_take_tlb_flushes_by_memory(void **state)
{
	struct vm *vm = apic_rig(1);
	struct vcpu *c = vm->vcpu[0];
	uint8_t *preempted = rig_ram + 0x1000 + offsetof(struct kvm_steal_time, preempted);

	pv_sleep_begins(c); /* not enabled: memory is nobody's business */
	pv_sleep_ended(c);
	assert_int_equal(*preempted, 0);
	assert_true(pv_msr_write(c, MSR_KVM_STEAL_TIME, 0x1001, false));
	pv_sleep_begins(c);
	assert_int_equal(*preempted, KVM_VCPU_PREEMPTED);
	c->requests = 0;
	pv_sleep_ended(c);
	assert_int_equal(*preempted, 0);
	assert_int_equal(c->requests, 0);
	pv_sleep_begins(c);
	*preempted |= KVM_VCPU_FLUSH_TLB;
	pv_sleep_ended(c);
	assert_int_equal(*preempted, 0);
	assert_true(c->requests & REQUEST_TLB_FLUSH);
	/* Restored: what memory says is taken back before the guest runs. */
	c->requests = 0;
	assert_true(pv_msr_write(c, MSR_KVM_STEAL_TIME, 0x1001, true));
	*preempted = KVM_VCPU_PREEMPTED | KVM_VCPU_FLUSH_TLB;
	pv_run_entered(c);
	assert_int_equal(*preempted, 0);
	assert_true(c->requests & REQUEST_TLB_FLUSH);
	rig_free(vm);
}

static void msis_and_broadcasts(void **state)
{
	struct vm *vm = apic_rig(2);
	struct kvm_msi msi = { .address_lo = 0xfee01000, .data = 0x55 };

	assert_int_equal(irq_send_msi(vm, &msi), 1);
	assert_true(got(vm->vcpu[1], 0x55));
	msi.address_lo = 0xfeeff000;
	assert_int_equal(irq_send_msi(vm, &msi), 2);
	msi.address_lo = 0xfee07000;
	assert_int_equal(irq_send_msi(vm, &msi), -1); /* nobody there */
	msi.flags = 1;
	assert_int_equal(irq_send_msi(vm, &msi), -22);
	rig_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(priorities_nest_and_tpr_holds_back),
		cmocka_unit_test(ipis_find_their_targets),
		cmocka_unit_test(x2apic_ids_and_registers),
		cmocka_unit_test(base_changes_follow_the_diagram),
		cmocka_unit_test(init_and_sipi_start_a_processor),
		cmocka_unit_test(nmis_are_two_at_most),
		cmocka_unit_test(illegal_vectors_set_errors),
		cmocka_unit_test(disabled_lapic_masks_its_lvts),
		cmocka_unit_test(timer_shoots_once_or_for_ever),
		cmocka_unit_test(a_count_that_is_over_does_not_become_periodic),
		cmocka_unit_test(tsc_deadline_fires_when_the_tsc_gets_there),
		cmocka_unit_test(lapic_page_travels_with_its_timer),
		cmocka_unit_test(split_chip_reports_eois_of_level_routes),
		cmocka_unit_test(pv_eoi_spares_the_write),
		cmocka_unit_test(kvmclock_counts_nanoseconds),
		cmocka_unit_test(wall_clock_is_the_time_of_boot),
		cmocka_unit_test(tscs_written_together_agree),
		cmocka_unit_test(tsc_scales),
		cmocka_unit_test(hypercalls),
		cmocka_unit_test(steal_time_grows_with_waiting),
		cmocka_unit_test(sleepers_take_tlb_flushes_by_memory),
		cmocka_unit_test(msis_and_broadcasts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
