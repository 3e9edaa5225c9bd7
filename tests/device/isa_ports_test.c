/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The small ports: exit, debug console, panic, port 92, printer, test device. */
#include "dev/all.h"
#include "rig.h"

#include <stdio.h>
#include <string.h>

static void exit_status_is_odd(void)
{
	struct rig *rig = rig_new(&isa_debug_exit_class, "iobase=0xf4,iosize=4");

	rig_out(rig, 0xf4, 4, 3);
	CHECK_EQ(rig_requests(rig, BOARD_EXIT), 1);
	CHECK_EQ(rig_request_code(rig), 7);
	rig_free(rig);
}

static void debug_console_passes_bytes_on(void)
{
	struct rig *rig = rig_new(&isa_debugcon_class, "iobase=0x402,chardev=char1");
	size_t count;

	CHECK_EQ(rig_in(rig, 0x402, 1), 0xe9);
	rig_out(rig, 0x402, 1, 'k');
	CHECK_EQ(rig_sent(rig, 1, &count)[0], 'k');
	CHECK_EQ(count, 1);
	rig_free(rig);
}

static void without_a_processor_the_backdoor_is_shut(void)
{
	struct rig *rig = rig_new(&vmport_class, "");

	CHECK_EQ(rig_in(rig, 0x5658, 4), 0xffffffff);
	rig_out(rig, 0x5658, 4, 0x564d5868);
	CHECK_EQ(rig_in(rig, 0x5658, 4), 0xffffffff);
	rig_free(rig);
}

static void a_panic_is_reported(void)
{
	struct rig *rig = rig_new(&pvpanic_class, "");

	CHECK_EQ(rig_in(rig, 0x505, 1), 3);
	rig_out(rig, 0x505, 1, 2);
	CHECK_EQ(rig_requests(rig, BOARD_PANIC), 0);
	rig_out(rig, 0x505, 1, 1);
	CHECK_EQ(rig_requests(rig, BOARD_PANIC), 1);
	rig_free(rig);
}

static void port_92_resets_on_the_rising_bit(void)
{
	struct rig *rig = rig_new(&port92_class, "");

	CHECK_EQ(rig_in(rig, 0x92, 1), 2);
	rig_out(rig, 0x92, 1, 3);
	rig_out(rig, 0x92, 1, 3);
	CHECK_EQ(rig_requests(rig, BOARD_RESET), 1);
	rig_free(rig);
}

static void the_printer_takes_a_byte_per_strobe(void)
{
	struct rig *rig = rig_new(&isa_parallel_class, "chardev=char0");
	size_t count;

	for (const char *at = "ok"; *at; at++) {
		CHECK(rig_in(rig, 0x379, 1) & 0x80);
		rig_out(rig, 0x378, 1, (uint8_t)*at);
		rig_out(rig, 0x37a, 1, 0x1d);
		rig_out(rig, 0x37a, 1, 0x1c);
	}
	CHECK_EQ(memcmp(rig_sent(rig, 0, &count), "ok", 2), 0);
	CHECK_EQ(count, 2);
	CHECK_EQ(rig_irq_edges(rig, 7), 2);
	rig_choke(rig, 0, true);
	rig_out(rig, 0x37a, 1, 0x0d);
	CHECK_EQ(rig_in(rig, 0x379, 1) & 0x80, 0);
	rig_choke(rig, 0, false);
	CHECK_EQ(rig_in(rig, 0x379, 1) & 0x80, 0x80);
	rig_free(rig);
}

static void the_test_device_echoes_and_pulls_lines(void)
{
	struct rig *rig = rig_new(&pc_testdev_class, "");

	rig_out(rig, 0xe0, 4, 0x12345678);
	CHECK_EQ(rig_in(rig, 0xe0, 4), 0x12345678);
	CHECK_EQ(rig_in(rig, 0xe1, 1), 0x56);
	rig_out(rig, 0x2009, 1, 1);
	CHECK(rig_irq(rig, 9));
	rig_out(rig, 0x2009, 1, 0);
	CHECK(!rig_irq(rig, 9));
	rig_write(rig, 0xff000010, 8, 0x1122334455667788);
	CHECK_EQ(rig_read(rig, 0xff000014, 4), 0x11223344);
	rig_read(rig, 0xff00ffff, 8);
	rig_free(rig);
}

int main(void)
{
	exit_status_is_odd();
	debug_console_passes_bytes_on();
	without_a_processor_the_backdoor_is_shut();
	a_panic_is_reported();
	port_92_resets_on_the_rising_bit();
	the_printer_takes_a_byte_per_strobe();
	the_test_device_echoes_and_pulls_lines();
	puts("isa ports: ok");
	return 0;
}
