/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* PIC, IOAPIC, PIT, routes and irqfds: what the guest's programming makes of a line. */
#include "irqchip_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MASTER = 0x20, SLAVE = 0xa0, MASTER_BASE = 0x30, SLAVE_BASE = 0x70 };
enum { RTE_LEVEL_BIT = 0x8000, RTE_MASK_BIT = 0x10000, RTE_REMOTE_BIT = 0x4000 };

static void pic_program(struct vm *vm, uint8_t icw4)
{
	rig_out(vm, MASTER, 0x11);
	rig_out(vm, MASTER + 1, MASTER_BASE);
	rig_out(vm, MASTER + 1, 4);
	rig_out(vm, MASTER + 1, icw4);
	rig_out(vm, SLAVE, 0x11);
	rig_out(vm, SLAVE + 1, SLAVE_BASE);
	rig_out(vm, SLAVE + 1, 2);
	rig_out(vm, SLAVE + 1, 1);
}

static void pulse(struct vm *vm, unsigned gsi)
{
	irq_line(vm, gsi, true);
	irq_line(vm, gsi, false);
}

static void pic_priorities_nest(void **state)
{
	struct vm *vm = rig_new(1, false);
	struct vcpu *c = vm->vcpu[0];

	pic_program(vm, 1);
	assert_false(irq_pending(c));
	pulse(vm, 4);
	assert_true(c->requests & REQUEST_EVENT);
	assert_int_equal(irq_acknowledge(c), MASTER_BASE + 4);
	pulse(vm, 5); /* lower: waits */
	assert_false(irq_pending(c));
	pulse(vm, 12); /* higher, through the cascade */
	assert_int_equal(irq_acknowledge(c), SLAVE_BASE + 4);
	rig_out(vm, MASTER, 0x0b);
	assert_int_equal(rig_in(vm, MASTER), 0x14);
	rig_out(vm, SLAVE, 0x20);
	rig_out(vm, MASTER, 0x20);
	assert_int_equal(rig_in(vm, MASTER), 0x10);
	assert_false(irq_pending(c));
	rig_out(vm, MASTER, 0x64); /* specific EOI */
	assert_int_equal(irq_acknowledge(c), MASTER_BASE + 5);
	rig_free(vm);
}

static void pic_edges_count_once_and_levels_stay(void **state)
{
	struct vm *vm = rig_new(1, false);
	struct vcpu *c = vm->vcpu[0];

	pic_program(vm, 1);
	irq_line(vm, 5, true);
	assert_int_equal(irq_acknowledge(c), MASTER_BASE + 5);
	rig_out(vm, MASTER, 0x20);
	assert_false(irq_pending(c)); /* still up, but no new edge */
	rig_out(vm, 0x4d0, 0x20);
	assert_int_equal(rig_in(vm, 0x4d0), 0x20);
	irq_line(vm, 5, true);
	assert_int_equal(irq_acknowledge(c), MASTER_BASE + 5);
	rig_out(vm, MASTER, 0x20);
	assert_int_equal(irq_acknowledge(c), MASTER_BASE + 5);
	irq_line(vm, 5, false);
	rig_out(vm, MASTER, 0x20);
	assert_false(irq_pending(c));
	rig_out(vm, 0x4d0, 0xff);
	assert_int_equal(rig_in(vm, 0x4d0), 0xf8); /* 0, 1 and 2 are edges for ever */
	rig_free(vm);
}

static void pic_masks_rotates_polls(void **state)
{
	struct vm *vm = rig_new(1, false);
	struct vcpu *c = vm->vcpu[0];

	pic_program(vm, 1);
	rig_out(vm, MASTER + 1, 0x08);
	pulse(vm, 3);
	assert_false(irq_pending(c));
	rig_out(vm, MASTER + 1, 0);
	assert_int_equal(irq_acknowledge(c), MASTER_BASE + 3);
	rig_out(vm, MASTER, 0xa0); /* rotate on EOI: 3 is now the lowest */
	pulse(vm, 3);
	pulse(vm, 4);
	assert_int_equal(irq_acknowledge(c), MASTER_BASE + 4);
	rig_out(vm, MASTER, 0x20);
	rig_out(vm, MASTER, 0x0c);
	assert_int_equal(rig_in(vm, MASTER), 0x83); /* the poll is an INTA */
	assert_false(irq_pending(c));
	rig_out(vm, MASTER, 0x0c);
	assert_int_equal(rig_in(vm, MASTER), 0);
	rig_free(vm);
}

static void pic_auto_eoi_and_special_mask(void **state)
{
	struct vm *vm = rig_new(1, false);
	struct vcpu *c = vm->vcpu[0];

	pic_program(vm, 3);
	pulse(vm, 1);
	assert_int_equal(irq_acknowledge(c), MASTER_BASE + 1);
	pulse(vm, 6);
	assert_int_equal(irq_acknowledge(c), MASTER_BASE + 6);
	pic_program(vm, 1);
	pulse(vm, 1);
	assert_int_equal(irq_acknowledge(c), MASTER_BASE + 1);
	rig_out(vm, MASTER + 1, 2);
	pulse(vm, 6);
	assert_false(irq_pending(c));
	rig_out(vm, MASTER, 0x68); /* special mask: the masked one in service no longer blocks */
	pulse(vm, 6);
	assert_int_equal(irq_acknowledge(c), MASTER_BASE + 6);
	rig_free(vm);
}

static void ioapic_level_waits_for_eoi(void **state)
{
	struct vm *vm = rig_new(2, false);
	struct vcpu *c = vm->vcpu[1];

	rig_apic_enable(c);
	rig_ioapic_write(vm, 0x10 + 2 * 20 + 1, 1u << 24);
	rig_ioapic_write(vm, 0x10 + 2 * 20, RTE_LEVEL_BIT | 0x51);
	assert_int_equal(irq_line(vm, 20, true), 1);
	assert_int_equal(irq_line(vm, 20, true), 0);
	assert_true(rig_ioapic_read(vm, 0x10 + 2 * 20) & RTE_REMOTE_BIT);
	assert_int_equal(irq_acknowledge(c), 0x51);
	assert_false(irq_pending(c));
	rig_apic_write(c, APIC_EOI, 0);
	assert_int_equal(irq_acknowledge(c), 0x51); /* still up */
	irq_line(vm, 20, false);
	rig_apic_write(c, APIC_EOI, 0);
	assert_false(irq_pending(c));
	assert_false(rig_ioapic_read(vm, 0x10 + 2 * 20) & RTE_REMOTE_BIT);
	irq_line(vm, 20, true);
	irqchip_mmio_write(c, 0xfec00040, 4, 0x51); /* directed EOI sends it again */
	assert_true(rig_ioapic_read(vm, 0x10 + 2 * 20) & RTE_REMOTE_BIT);
	rig_free(vm);
}

static void ioapic_edges_and_masks(void **state)
{
	struct vm *vm = rig_new(1, false);
	struct vcpu *c = vm->vcpu[0];

	rig_apic_enable(c);
	assert_int_equal(rig_ioapic_read(vm, 1), 0x170020);
	rig_ioapic_write(vm, 0, ~0u);
	assert_int_equal(rig_ioapic_read(vm, 0), 0x0f000000);
	assert_int_equal(irq_line(vm, 17, true), -1);
	irq_line(vm, 17, false);
	rig_ioapic_write(vm, 0x10 + 2 * 17, 0x61);
	assert_false(irq_pending(c)); /* an edge on a masked pin is lost */
	assert_int_equal(irq_line(vm, 17, true), 1);
	assert_int_equal(irq_line(vm, 17, true), 0);
	assert_int_equal(irq_acknowledge(c), 0x61);
	rig_apic_write(c, APIC_EOI, 0);
	irq_line(vm, 17, false);
	rig_ioapic_write(vm, 0x10 + 2 * 17, RTE_LEVEL_BIT | RTE_MASK_BIT | 0x61);
	irq_line(vm, 17, true);
	assert_false(irq_pending(c));
	rig_ioapic_write(vm, 0x10 + 2 * 17, RTE_LEVEL_BIT | 0x61);
	assert_true(irq_pending(c)); /* a level is not */
	rig_free(vm);
}

static void ioapic_state_travels(void **state)
{
	struct vm *vm = rig_new(1, false), *other = rig_new(1, false);
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	rig_apic_enable(vm->vcpu[0]);
	rig_apic_enable(other->vcpu[0]);
	rig_ioapic_write(vm, 0x10 + 2 * 9, RTE_LEVEL_BIT | RTE_MASK_BIT | 0x41);
	irq_line(vm, 9, true);
	assert_int_equal(irqchip_get(vm, &chip), 0);
	assert_int_equal(chip.chip.ioapic.irr, 1 << 9);
	assert_int_equal(irqchip_set(other, &chip), 0);
	rig_ioapic_write(other, 0x10 + 2 * 9, RTE_LEVEL_BIT | 0x41);
	assert_int_equal(irq_acknowledge(other->vcpu[0]), 0x41);
	chip.chip_id = 7;
	assert_int_equal(irqchip_get(vm, &chip), -22);
	rig_free(vm);
	rig_free(other);
}

static void routes_are_checked_and_replaced(void **state)
{
	struct vm *vm = rig_new(1, false);
	struct kvm_irq_routing_entry entries[2] = {
		{ .gsi = 30,
		  .type = KVM_IRQ_ROUTING_MSI,
		  .u.msi = { .address_lo = 0xfee00000, .data = 0x99 } },
		{ .gsi = 30, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { .irqchip = 2 } },
	};
	struct kvm_irq_routing routing = { .nr = 2 };

	rig_apic_enable(vm->vcpu[0]);
	assert_int_equal(irq_set_routing(vm, &routing, entries), -22);
	routing.nr = 1;
	assert_int_equal(irq_set_routing(vm, &routing, entries), 0);
	assert_int_equal(irq_line(vm, 30, true), 1);
	assert_int_equal(irq_line(vm, 30, false), -1);
	assert_int_equal(irq_line(vm, 4, true), -1); /* the old routes are gone */
	assert_int_equal(irq_acknowledge(vm->vcpu[0]), 0x99);
	entries[0].gsi = MAX_GSIS;
	assert_int_equal(irq_set_routing(vm, &routing, entries), -22);
	rig_free(vm);
}

static void resample_irqfd_drops_the_line_at_eoi(void **state)
{
	struct vm *vm = rig_new(1, false);
	struct vcpu *c = vm->vcpu[0];
	struct kvm_irqfd args = {
		.fd = 1, .gsi = 21, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = 2
	};

	rig_apic_enable(c);
	rig_ioapic_write(vm, 0x10 + 2 * 21, RTE_LEVEL_BIT | 0x71);
	assert_int_equal(irqfd_assign(vm, &args), 0);
	rig_signal(1);
	assert_int_equal(irq_acknowledge(c), 0x71);
	assert_int_equal(rig_signals_seen(2), 0);
	rig_apic_write(c, APIC_EOI, 0);
	assert_int_equal(rig_signals_seen(2), 1);
	assert_false(irq_pending(c));
	args.flags = KVM_IRQFD_FLAG_DEASSIGN;
	assert_int_equal(irqfd_assign(vm, &args), 0);
	rig_signal(1);
	assert_false(irq_pending(c));
	args = (struct kvm_irqfd){ .fd = 3, .gsi = 21 };
	assert_int_equal(irqfd_assign(vm, &args), 0);
	rig_signal(3);
	assert_true(irq_pending(c));
	args.fd = 100;
	assert_int_equal(irqfd_assign(vm, &args), -9);
	rig_free(vm);
}

static struct vm *pit_rig(void)
{
	struct vm *vm = rig_new(1, false);
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

	assert_int_equal(pit_create(vm, &config), 0);
	assert_int_equal(pit_create(vm, &config), -17);
	pic_program(vm, 1);
	return vm;
}

static unsigned ticks_taken(struct vm *vm)
{
	unsigned ticks = 0;

	while (irq_pending(vm->vcpu[0])) {
		assert_int_equal(irq_acknowledge(vm->vcpu[0]), MASTER_BASE);
		rig_out(vm, MASTER, 0x20);
		ticks++;
	}
	return ticks;
}

static void pit_ticks_and_reinjects(void **state)
{
	struct vm *vm = pit_rig();
	struct kvm_reinject_control drop = { .pit_reinject = 0 };

	rig_advance(vm, 1000000000);
	ticks_taken(vm);
	rig_out(vm, 0x43, 0x34);
	rig_out(vm, 0x40, 11932 & 0xff); /* 100 Hz */
	rig_out(vm, 0x40, 11932 >> 8);
	assert_int_equal(ticks_taken(vm), 0);
	rig_advance(vm, 10000000);
	assert_int_equal(ticks_taken(vm), 0);
	rig_advance(vm, 1000);
	assert_int_equal(ticks_taken(vm), 1);
	rig_advance(vm, 50000000);
	assert_int_equal(ticks_taken(vm), 5); /* late, but all of them */
	assert_int_equal(pit_reinject(vm, &drop), 0);
	rig_advance(vm, 50000000);
	assert_int_equal(ticks_taken(vm), 1);
	rig_advance(vm, 10000000);
	assert_int_equal(ticks_taken(vm), 1);
	rig_free(vm);
}

static void pit_one_shot_fires_once(void **state)
{
	struct vm *vm = pit_rig();

	rig_out(vm, 0x43, 0x30);
	rig_out(vm, 0x40, 0);
	rig_out(vm, 0x40, 0x10);
	rig_advance(vm, 3000000);
	assert_int_equal(ticks_taken(vm), 0);
	rig_advance(vm, 1000000);
	assert_int_equal(ticks_taken(vm), 1);
	rig_advance(vm, 1000000000);
	assert_int_equal(ticks_taken(vm), 0);
	rig_free(vm);
}

static void pit_counts_latches_and_reads_back(void **state)
{
	struct vm *vm = pit_rig();
	unsigned count;

	rig_out(vm, 0x43, 0xb4); /* channel 2, mode 2, word */
	rig_out(vm, 0x42, 0x00);
	rig_out(vm, 0x42, 0x80);
	rig_advance(vm, 1000000); /* 1193 counts */
	rig_out(vm, 0x43, 0x80);
	rig_advance(vm, 1000000);
	count = rig_in(vm, 0x42);
	count |= rig_in(vm, 0x42) << 8;
	assert_in_range(count, 0x8000 - 1194, 0x8000 - 1193);
	rig_out(vm, 0x43, 0xc8); /* read back status and count of channel 2 */
	assert_int_equal(rig_in(vm, 0x42), 0xb4);
	count = rig_in(vm, 0x42);
	count |= rig_in(vm, 0x42) << 8;
	assert_in_range(count, 0x8000 - 2387, 0x8000 - 2386);
	rig_free(vm);
}

static void speaker_gate_runs_channel_2(void **state)
{
	struct vm *vm = pit_rig();

	rig_out(vm, 0x61, 0);
	rig_out(vm, 0x43, 0xb2); /* mode 1: one-shot by the gate */
	rig_out(vm, 0x42, 0x00);
	rig_out(vm, 0x42, 0x10);
	rig_out(vm, 0x61, 3);
	assert_int_equal(rig_in(vm, 0x61) & ~0x10, 0x23);
	rig_advance(vm, 5000000);
	assert_int_equal(rig_in(vm, 0x61) & ~0x10, 0x03);
	rig_free(vm);
}

static void pit_state_travels_and_hostile_state_is_survived(void **state)
{
	struct vm *vm = pit_rig();
	struct kvm_pit_state2 pit;

	rig_out(vm, 0x43, 0x34);
	rig_out(vm, 0x40, 0);
	rig_out(vm, 0x40, 0x10);
	assert_int_equal(pit_get(vm, &pit), 0);
	assert_int_equal(pit.channels[0].count, 0x1000);
	assert_int_equal(pit.channels[0].mode, 2);
	memset(&pit, 0xff, sizeof(pit));
	assert_int_equal(pit_set(vm, &pit), 0);
	for (uint16_t port = 0x40; port < 0x43; port++)
		rig_in(vm, port);
	rig_in(vm, 0x61);
	rig_out(vm, 0x43, 0xde);
	rig_advance(vm, 1000000);
	rig_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pic_priorities_nest),
		cmocka_unit_test(pic_edges_count_once_and_levels_stay),
		cmocka_unit_test(pic_masks_rotates_polls),
		cmocka_unit_test(pic_auto_eoi_and_special_mask),
		cmocka_unit_test(ioapic_level_waits_for_eoi),
		cmocka_unit_test(ioapic_edges_and_masks),
		cmocka_unit_test(ioapic_state_travels),
		cmocka_unit_test(routes_are_checked_and_replaced),
		cmocka_unit_test(resample_irqfd_drops_the_line_at_eoi),
		cmocka_unit_test(pit_ticks_and_reinjects),
		cmocka_unit_test(pit_one_shot_fires_once),
		cmocka_unit_test(pit_counts_latches_and_reads_back),
		cmocka_unit_test(speaker_gate_runs_channel_2),
		cmocka_unit_test(pit_state_travels_and_hostile_state_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
