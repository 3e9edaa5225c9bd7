/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 16550A: bytes, interrupts by priority, a peer that is full, loop mode. */
#include "dev/all.h"
#include "rig.h"

#include <stdio.h>
#include <string.h>

enum { COM1 = 0x3f8, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6 };

static struct rig *make(void)
{
	return rig_new(&isa_serial_class, "chardev=char0");
}

static void set(struct rig *rig, unsigned reg, uint8_t value)
{
	rig_out(rig, (uint16_t)(COM1 + reg), 1, value);
}

static uint8_t get(struct rig *rig, unsigned reg)
{
	return (uint8_t)rig_in(rig, (uint16_t)(COM1 + reg), 1);
}

static void written_bytes_reach_the_peer_at_once(void)
{
	struct rig *rig = make();
	const uint8_t *sent;
	size_t count;

	for (const char *at = "hello"; *at; at++) {
		CHECK(get(rig, LSR) & 0x20);
		set(rig, 0, (uint8_t)*at);
	}
	sent = rig_sent(rig, 0, &count);
	CHECK_EQ(count, 5);
	CHECK_EQ(memcmp(sent, "hello", 5), 0);
	rig_free(rig);
}

static void an_empty_transmitter_interrupts_once(void)
{
	struct rig *rig = make();

	set(rig, MCR, 8);
	set(rig, IER, 2);
	CHECK(rig_irq(rig, 4));
	CHECK_EQ(get(rig, IIR), 2);
	CHECK(!rig_irq(rig, 4)); /* reading it acknowledged */
	set(rig, 0, 'x');
	CHECK(rig_irq(rig, 4));
	rig_free(rig);
}

static void received_bytes_wait_below_and_above_the_trigger(void)
{
	struct rig *rig = make();

	set(rig, FCR, 0x81); /* 8 bytes */
	set(rig, MCR, 8);
	set(rig, IER, 1);
	CHECK_EQ(rig_type(rig, 0, "abc", 3), 3);
	CHECK(rig_irq(rig, 4));
	CHECK_EQ(get(rig, IIR), 0xcc);
	CHECK_EQ(rig_type(rig, 0, "defgh", 5), 5);
	CHECK_EQ(get(rig, IIR), 0xc4);
	for (const char *at = "abcdefgh"; *at; at++) {
		CHECK(get(rig, LSR) & 1);
		CHECK_EQ(get(rig, 0), *at);
	}
	CHECK(!rig_irq(rig, 4));
	CHECK_EQ(get(rig, IIR), 0xc1);
	rig_free(rig);
}

static void the_fifo_takes_sixteen(void)
{
	struct rig *rig = make();
	char many[40] = { 0 };

	CHECK_EQ(rig_type(rig, 0, many, sizeof(many)), 1);
	set(rig, FCR, 1);
	CHECK_EQ(rig_type(rig, 0, many, sizeof(many)), 16);
	CHECK_EQ(rig_type(rig, 0, many, sizeof(many)), 0);
	rig_free(rig);
}

static void a_full_peer_keeps_the_transmitter_busy(void)
{
	struct rig *rig = make();
	size_t count;

	rig_choke(rig, 0, true);
	set(rig, 0, 'a');
	CHECK_EQ(get(rig, LSR) & 0x60, 0);
	for (int i = 0; i < 100; i++)
		set(rig, 0, (uint8_t)i); /* a guest that does not look */
	rig_choke(rig, 0, false);
	CHECK_EQ(get(rig, LSR) & 0x60, 0x60);
	rig_sent(rig, 0, &count);
	CHECK_EQ(count, 16);
	rig_free(rig);
}

static void loop_mode_returns_bytes_and_modem_lines(void)
{
	struct rig *rig = make();
	size_t count;

	set(rig, MCR, 0x1f);
	CHECK_EQ(get(rig, MSR) & 0xf0, 0xf0);
	set(rig, 0, 0x5a);
	CHECK_EQ(get(rig, LSR) & 1, 1);
	CHECK_EQ(get(rig, 0), 0x5a);
	rig_sent(rig, 0, &count);
	CHECK_EQ(count, 0);
	rig_free(rig);
}

static void the_divisor_hides_behind_dlab(void)
{
	struct rig *rig = make();

	set(rig, LCR, 0x83);
	set(rig, 0, 0x34);
	set(rig, IER, 0x12);
	CHECK_EQ(get(rig, 0), 0x34);
	CHECK_EQ(get(rig, IER), 0x12);
	set(rig, LCR, 3);
	CHECK_EQ(get(rig, IER), 0);
	rig_free(rig);
}

int main(void)
{
	written_bytes_reach_the_peer_at_once();
	an_empty_transmitter_interrupts_once();
	received_bytes_wait_below_and_above_the_trigger();
	the_fifo_takes_sixteen();
	a_full_peer_keeps_the_transmitter_busy();
	loop_mode_returns_bytes_and_modem_lines();
	the_divisor_hides_behind_dlab();
	puts("serial: ok");
	return 0;
}
