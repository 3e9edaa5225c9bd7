/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PIIX chipset: shadow memory, interrupt routing, power management. */
#include "dev/all.h"
#include "dev/pci/chipset.h"
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint32_t config(struct rig *rig, unsigned devfn, unsigned offset, unsigned size)
{
	rig_out(rig, 0xcf8, 4, 0x80000000 | devfn << 8 | (offset & 0xfc));
	return rig_in(rig, 0xcfc + (offset & 3), size);
}

static void set_config(struct rig *rig, unsigned devfn, unsigned offset, unsigned size,
		       uint32_t value)
{
	rig_out(rig, 0xcf8, 4, 0x80000000 | devfn << 8 | (offset & 0xfc));
	rig_out(rig, 0xcfc + (offset & 3), size, value);
}

static void configuration_needs_a_whole_address(void **state)
{
	struct rig *rig = rig_open(true);

	(void)state;
	assert_int_equal(config(rig, 0, 0, 4), 0x12378086);
	assert_int_equal(config(rig, 0, 2, 2), 0x1237);
	assert_int_equal(config(rig, 0, 1, 1), 0x80);
	assert_int_equal(config(rig, 31 << 3, 0, 4), 0xffffffff);
	rig_out(rig, 0xcf8, 4, 0);
	assert_int_equal(rig_in(rig, 0xcfc, 4), 0xffffffff);
	rig_out(rig, 0xcf8, 4, 0x80000000);
	rig_out(rig, 0xcf8, 1, 0x55); /* not an address */
	assert_int_equal(rig_in(rig, 0xcf8, 4), 0x80000000);
	rig_free(rig);
}

static void port_cf9_resets_on_a_rising_bit(void **state)
{
	struct rig *rig = rig_open(true);

	(void)state;
	rig_out(rig, 0xcf9, 1, 2);
	assert_int_equal(rig_requests(rig, BOARD_RESET), 0);
	rig_out(rig, 0xcf9, 1, 6);
	rig_settle(rig);
	assert_int_equal(rig_requests(rig, BOARD_RESET), 1);
	rig_free(rig);
}

/* A bridge with memory of its own behind the shadow area. */
static struct rig *with_shadow(struct ram **ram, struct ram **rom)
{
	struct rig *rig = rig_open(true);
	struct dev *bridge = pci_find(rig_board(rig), 0, 0);
	struct err err = { 0 };

	*ram = board_ram_new(rig_board(rig), "low", 1 << 20, &err);
	*rom = board_ram_new(rig_board(rig), "bios", 256 << 10, &err);
	memset((uint8_t *)ram_host(*ram) + 0xc0000, 0x11, 0x40000);
	memset(ram_host(*rom), 0x22, 256 << 10);
	assert_int_equal(i440fx_set_memory(bridge, *ram, *rom, &err), 0);
	return rig;
}

static unsigned byte_at(struct rig *rig, uint64_t gpa)
{
	uint8_t byte = 0;

	rig_peek(rig, gpa, &byte, 1);
	return byte;
}

static bool is_writable(struct rig *rig, uint64_t gpa)
{
	uint8_t byte = 0x33;

	return !board_memory_write(rig_board(rig), gpa, &byte, 1);
}

static void pam_registers_switch_memory(void **state)
{
	struct ram *ram, *rom;
	struct rig *rig = with_shadow(&ram, &rom);

	(void)state;
	assert_int_equal(byte_at(rig, 0xf0000), 0x22);
	assert_int_equal(byte_at(rig, 0xc0000), 0x22);
	assert_false(is_writable(rig, 0xf0000));
	set_config(rig, 0, 0x59, 1, 0x30); /* 0xf0000: RAM */
	assert_int_equal(byte_at(rig, 0xf0000), 0x11);
	assert_int_equal(byte_at(rig, 0xfffff), 0x11);
	assert_int_equal(byte_at(rig, 0xeffff), 0x22);
	assert_true(is_writable(rig, 0xfffff));
	assert_false(is_writable(rig, 0xeffff));
	set_config(rig, 0, 0x5a, 1, 0x13); /* 0xc0000 RAM, 0xc4000 reads only */
	assert_true(is_writable(rig, 0xc3fff));
	assert_false(is_writable(rig, 0xc4000));
	assert_int_equal(byte_at(rig, 0xc4000), 0x11);
	set_config(rig, 0, 0x5b, 1, 0x02); /* 0xc8000: reads ROM, writes RAM */
	assert_int_equal(byte_at(rig, 0xc8000), 0x22);
	rig_write(rig, 0xc8000, 4, 0x44444444); /* as a write to a ROM slot comes */
	assert_int_equal(((uint8_t *)ram_host(ram))[0xc8003], 0x44);
	rig_write(rig, 0xcc000, 1, 0x44);
	assert_int_equal(((uint8_t *)ram_host(ram))[0xcc000], 0x11);
	rig_reset(rig);
	assert_int_equal(byte_at(rig, 0xf0000), 0x22);
	rig_free(rig);
}

static void interrupt_pins_are_routed(void **state)
{
	struct rig *rig = rig_open(true);
	struct dev *dev = rig_add(rig, &vga_class.dev, NULL, "addr=03.0");

	(void)state;
	assert_non_null(dev);
	to_pci(dev)->config[PCI_IRQ_PIN] = 1; /* slot 3, INTA#: wire C */
	set_config(rig, 1 << 3, 0x62, 1, 0x0b);
	pci_irq_set(dev, true);
	assert_true(rig_irq(rig, 11));
	set_config(rig, 1 << 3, 0x62, 1, 0x0a);
	assert_false(rig_irq(rig, 11));
	assert_true(rig_irq(rig, 10));
	set_config(rig, 1 << 3, 0x62, 1, 0x80);
	assert_false(rig_irq(rig, 10));
	rig_free(rig);
}

static struct rig *with_pm(void)
{
	struct rig *rig = rig_new(&piix4_pm_class.dev, "addr=01.3");

	assert_non_null(rig);
	piix4_pm_enable(rig_dev(rig));
	rig_out(rig, PM_SMI_COMMAND, 1, PM_ACPI_ENABLE);
	assert_int_equal(rig_in(rig, PM_BASE + 4, 2) & 1, 1);
	return rig;
}

static void the_power_button_raises_the_sci(void **state)
{
	struct rig *rig = with_pm();

	(void)state;
	board_press_power_button(rig_board(rig));
	assert_false(rig_irq(rig, PM_SCI_GSI));
	rig_out(rig, PM_BASE + 2, 2, 0x100);
	assert_true(rig_irq(rig, PM_SCI_GSI));
	rig_out(rig, PM_BASE, 2, 0x100);
	assert_false(rig_irq(rig, PM_SCI_GSI));
	piix4_pm_event(rig_dev(rig), 3);
	rig_out(rig, PM_GPE_BASE + 2, 1, 8);
	assert_true(rig_irq(rig, PM_SCI_GSI));
	rig_out(rig, PM_GPE_BASE, 1, 8);
	assert_false(rig_irq(rig, PM_SCI_GSI));
	rig_free(rig);
}

static void the_timer_counts_and_overflows(void **state)
{
	struct rig *rig = with_pm();
	uint32_t first = rig_in(rig, PM_BASE + 8, 4), second;

	(void)state;
	rig_out(rig, PM_BASE + 2, 2, 1);
	rig_advance(rig, SECOND);
	second = rig_in(rig, PM_BASE + 8, 4);
	assert_in_range((second - first) & 0xffffff, 3579544, 3579546);
	rig_advance(rig, 2 * SECOND);
	assert_true(rig_irq(rig, PM_SCI_GSI));
	rig_out(rig, PM_BASE, 2, 1);
	assert_false(rig_irq(rig, PM_SCI_GSI));
	rig_advance(rig, 2400 * MILLISECOND);
	assert_true(rig_irq(rig, PM_SCI_GSI));
	rig_free(rig);
}

static void sleep_types_end_or_suspend(void **state)
{
	struct rig *rig = with_pm();

	(void)state;
	rig_out(rig, PM_BASE + 4, 2, 0x2001 | PM_SLEEP_S3 << 10);
	rig_settle(rig);
	assert_int_equal(rig_requests(rig, BOARD_SUSPEND), 1);
	rig_out(rig, PM_BASE + 4, 2, 0x2001 | PM_SLEEP_S5 << 10);
	rig_settle(rig);
	assert_int_equal(rig_requests(rig, BOARD_POWEROFF), 1);
	rig_free(rig);
}

static void alarm_and_button_wake_the_machine(void **state)
{
	struct rig *rig = with_pm();
	struct board *board = rig_board(rig);

	(void)state;
	rig_out(rig, PM_BASE + 4, 2, 0x2001 | PM_SLEEP_S3 << 10);
	board_wake(board, WAKE_RTC); /* not enabled */
	rig_settle(rig);
	assert_int_equal(rig_requests(rig, BOARD_WAKE), 0);
	rig_out(rig, PM_BASE + 2, 2, 0x400);
	board_wake(board, WAKE_RTC);
	board_wake(board, WAKE_RTC); /* awake already */
	rig_settle(rig);
	assert_int_equal(rig_requests(rig, BOARD_WAKE), 1);
	board_reset_waking(board);
	piix4_pm_enable(rig_dev(rig));
	assert_int_equal(rig_in(rig, PM_BASE, 2), 0x8400); /* WAK_STS and why */

	rig_out(rig, PM_BASE + 4, 2, 0x2001 | PM_SLEEP_S3 << 10);
	board_press_power_button(board);
	rig_settle(rig);
	assert_int_equal(rig_requests(rig, BOARD_WAKE), 2);
	board_reset(board);
	piix4_pm_enable(rig_dev(rig));
	assert_int_equal(rig_in(rig, PM_BASE, 2), 0);
	rig_free(rig);
}

static void the_smbus_has_nobody(void **state)
{
	struct rig *rig = with_pm();

	(void)state;
	rig_config_write(rig, 0x90, 4, 0x701);
	rig_config_write(rig, 0xd2, 1, 9);
	rig_out(rig, 0x704, 1, 0xa1);
	rig_out(rig, 0x702, 1, 0x48);
	assert_int_equal(rig_in(rig, 0x700, 1), 4);
	rig_out(rig, 0x700, 1, 4);
	assert_int_equal(rig_in(rig, 0x700, 1), 0);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configuration_needs_a_whole_address),
		cmocka_unit_test(port_cf9_resets_on_a_rising_bit),
		cmocka_unit_test(pam_registers_switch_memory),
		cmocka_unit_test(interrupt_pins_are_routed),
		cmocka_unit_test(the_power_button_raises_the_sci),
		cmocka_unit_test(the_timer_counts_and_overflows),
		cmocka_unit_test(sleep_types_end_or_suspend),
		cmocka_unit_test(alarm_and_button_wake_the_machine),
		cmocka_unit_test(the_smbus_has_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
