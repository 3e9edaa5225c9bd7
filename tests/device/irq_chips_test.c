/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interrupt controllers and the timer that are ours with kernel-irqchip=split. The test device
 * pulls the lines: port 0x2000 + GSI. */
#include "core/internal.h"
#include "dev/all.h"
#include "rig.h"

#include <stdio.h>

enum { PIC = 0x20, PIC2 = 0xa0, ELCR = 0x4d0 };
enum { PIT = 0x40, PIT_CONTROL = 0x43, NMISC = 0x61 };
#define IOAPIC 0xfec00000ull

static void pull(struct rig *rig, unsigned gsi, bool level)
{
	rig_out(rig, (uint16_t)(0x2000 + gsi), 1, level);
}

static void strike(struct rig *rig, unsigned gsi)
{
	pull(rig, gsi, true);
	pull(rig, gsi, false);
}

static int take(struct rig *rig)
{
	return board_take_intr(rig_board(rig));
}

static void initialize(struct rig *rig, uint8_t icw4)
{
	rig_out(rig, PIC, 1, 0x11);
	rig_out(rig, PIC + 1, 1, 0x20);
	rig_out(rig, PIC + 1, 1, 0x04);
	rig_out(rig, PIC + 1, 1, icw4);
	rig_out(rig, PIC2, 1, 0x11);
	rig_out(rig, PIC2 + 1, 1, 0x28);
	rig_out(rig, PIC2 + 1, 1, 0x02);
	rig_out(rig, PIC2 + 1, 1, 0x01);
}

static struct rig *make_pic(uint8_t icw4)
{
	struct rig *rig = rig_new(&i8259_class, "");

	rig_add(rig, &pc_testdev_class, NULL, "");
	initialize(rig, icw4);
	return rig;
}

static void better_inputs_come_first(void)
{
	struct rig *rig = make_pic(1);

	CHECK_EQ(take(rig), -1);
	strike(rig, 3);
	CHECK_EQ(take(rig), 0x23);
	strike(rig, 4); /* waits for 3 */
	CHECK_EQ(take(rig), -1);
	strike(rig, 1); /* interrupts it */
	CHECK_EQ(take(rig), 0x21);
	rig_out(rig, PIC, 1, 0x20);
	CHECK_EQ(take(rig), -1);
	rig_out(rig, PIC, 1, 0x20);
	CHECK_EQ(take(rig), 0x24);
	rig_out(rig, PIC, 1, 0x0b);
	CHECK_EQ(rig_in(rig, PIC, 1), 0x10);
	rig_out(rig, PIC, 1, 0x0a);
	CHECK_EQ(rig_in(rig, PIC, 1), 0);
	rig_free(rig);
}

static void the_second_chip_is_input_2(void)
{
	struct rig *rig = make_pic(1);

	strike(rig, 12);
	strike(rig, 3);
	CHECK_EQ(take(rig), 0x2c);
	strike(rig, 8); /* better than 12, but the first chip serves input 2 */
	CHECK_EQ(take(rig), -1);
	rig_out(rig, PIC2, 1, 0x20);
	rig_out(rig, PIC, 1, 0x20);
	CHECK_EQ(take(rig), 0x28);
	rig_free(rig);
	rig = make_pic(0x11); /* special fully nested: now it is */
	strike(rig, 12);
	CHECK_EQ(take(rig), 0x2c);
	strike(rig, 8);
	CHECK_EQ(take(rig), 0x28);
	rig_free(rig);
}

static void masked_inputs_wait(void)
{
	struct rig *rig = make_pic(1);

	rig_out(rig, PIC + 1, 1, 0x10);
	CHECK_EQ(rig_in(rig, PIC + 1, 1), 0x10);
	strike(rig, 4);
	CHECK_EQ(take(rig), -1);
	rig_out(rig, PIC + 1, 1, 0);
	CHECK_EQ(take(rig), 0x24);
	rig_out(rig, PIC + 1, 1, 0x10); /* special mask: what is served and masked holds nobody */
	rig_out(rig, PIC, 1, 0x68);
	strike(rig, 6);
	CHECK_EQ(take(rig), 0x26);
	rig_free(rig);
}

static void a_level_is_there_while_it_is(void)
{
	struct rig *rig = make_pic(1);

	rig_out(rig, ELCR, 1, 0xff);
	CHECK_EQ(rig_in(rig, ELCR, 1), 0xf8); /* the timer's, keyboard's and cascade's are edges */
	rig_out(rig, ELCR + 1, 1, 0x08);
	rig_out(rig, ELCR, 1, 0x20);
	pull(rig, 5, true);
	pull(rig, 5, false);
	CHECK_EQ(take(rig), -1);
	pull(rig, 11, true);
	CHECK_EQ(take(rig), 0x2b);
	rig_out(rig, PIC2, 1, 0x20);
	rig_out(rig, PIC, 1, 0x20);
	CHECK_EQ(take(rig), 0x2b); /* still there */
	rig_out(rig, PIC2, 1, 0x63);
	pull(rig, 11, false);
	rig_out(rig, PIC, 1, 0x62);
	CHECK_EQ(take(rig), 0x2f); /* the second chip had asked the first: spurious */
	rig_out(rig, PIC, 1, 0x62);
	CHECK_EQ(take(rig), -1);
	rig_free(rig);
}

static void rotation_makes_the_served_one_last(void)
{
	struct rig *rig = make_pic(1);

	strike(rig, 0);
	CHECK_EQ(take(rig), 0x20);
	rig_out(rig, PIC, 1, 0xa0);
	strike(rig, 0);
	strike(rig, 7);
	CHECK_EQ(take(rig), 0x27);
	rig_out(rig, PIC, 1, 0x67);
	CHECK_EQ(take(rig), 0x20);
	rig_out(rig, PIC, 1, 0x60);
	rig_out(rig, PIC, 1, 0xc3); /* 3 is the last: 4 is the best */
	strike(rig, 3);
	strike(rig, 5);
	CHECK_EQ(take(rig), 0x25);
	rig_free(rig);
}

static void automatic_end_and_poll(void)
{
	struct rig *rig = make_pic(3);

	strike(rig, 5);
	CHECK_EQ(take(rig), 0x25);
	strike(rig, 6);
	CHECK_EQ(take(rig), 0x26);
	strike(rig, 1);
	rig_out(rig, PIC, 1, 0x0c);
	CHECK_EQ(rig_in(rig, PIC, 1), 0x81);
	CHECK_EQ(take(rig), -1);
	rig_out(rig, PIC, 1, 0x0c);
	CHECK_EQ(rig_in(rig, PIC, 1), 0);
	rig_free(rig);
}

static void entry(struct rig *rig, unsigned pin, uint64_t value)
{
	rig_write(rig, IOAPIC, 4, 0x11 + 2 * pin);
	rig_write(rig, IOAPIC + 0x10, 4, value >> 32);
	rig_write(rig, IOAPIC, 4, 0x10 + 2 * pin);
	rig_write(rig, IOAPIC + 0x10, 4, (uint32_t)value);
}

static uint32_t entry_low(struct rig *rig, unsigned pin)
{
	rig_write(rig, IOAPIC, 4, 0x10 + 2 * pin);
	return (uint32_t)rig_read(rig, IOAPIC + 0x10, 4);
}

static struct rig *make_ioapic(void)
{
	struct rig *rig = rig_new(&ioapic_class, "");

	rig_add(rig, &pc_testdev_class, NULL, "");
	rig_write(rig, IOAPIC, 1, 1);
	CHECK_EQ(rig_read(rig, IOAPIC + 0x10, 4), 0x00170020);
	CHECK_EQ(entry_low(rig, 23), 0x10000);
	return rig;
}

static void edges_are_sent_once(void)
{
	struct rig *rig = make_ioapic();
	uint64_t address;
	uint32_t data;

	strike(rig, 4); /* masked: gone */
	entry(rig, 4, 0x0300000000000831);
	CHECK_EQ(rig_msi_count(rig), 0);
	pull(rig, 4, true);
	CHECK_EQ(rig_msi_count(rig), 1);
	CHECK(rig_msi_last(rig, &address, &data));
	CHECK_EQ(address, 0xfee03004);
	CHECK_EQ(data, 0x31);
	board_eoi(rig_board(rig), 0x31);
	CHECK_EQ(rig_msi_count(rig), 1);
	entry(rig, 2, 0x22);
	strike(rig, 0); /* the timer's pin */
	CHECK_EQ(rig_msi_count(rig), 2);
	rig_free(rig);
}

static void levels_are_sent_again_at_their_end(void)
{
	struct rig *rig = make_ioapic();

	pull(rig, 11, true);
	entry(rig, 11, 0x8041);
	CHECK_EQ(rig_msi_count(rig), 1); /* it was there before */
	CHECK_EQ(entry_low(rig, 11), 0xc041);
	pull(rig, 11, false);
	pull(rig, 11, true);
	CHECK_EQ(rig_msi_count(rig), 1);
	board_eoi(rig_board(rig), 0x40);
	CHECK_EQ(rig_msi_count(rig), 1);
	board_eoi(rig_board(rig), 0x41);
	CHECK_EQ(rig_msi_count(rig), 2);
	pull(rig, 11, false);
	rig_write(rig, IOAPIC + 0x40, 4, 0x41); /* EOIR */
	CHECK_EQ(entry_low(rig, 11), 0x8041);
	CHECK_EQ(rig_msi_count(rig), 2);
	pull(rig, 11, true);
	CHECK_EQ(rig_msi_count(rig), 3);
	entry(rig, 11, 0x10041); /* as an edge it has no Remote IRR */
	CHECK_EQ(entry_low(rig, 11), 0x10041);
	rig_free(rig);
}

static void count(struct rig *rig, uint8_t control, uint16_t value)
{
	uint16_t port = PIT + (control >> 6);

	rig_out(rig, PIT_CONTROL, 1, control);
	rig_out(rig, port, 1, value & 0xff);
	rig_out(rig, port, 1, value >> 8);
}

static uint16_t read_count(struct rig *rig, unsigned number)
{
	uint16_t low;

	rig_out(rig, PIT_CONTROL, 1, number << 6);
	low = (uint16_t)rig_in(rig, (uint16_t)(PIT + number), 1);
	return low | (uint16_t)(rig_in(rig, (uint16_t)(PIT + number), 1) << 8);
}

static uint8_t read_status(struct rig *rig, unsigned number)
{
	rig_out(rig, PIT_CONTROL, 1, 0xe0 | 2u << number);
	return (uint8_t)rig_in(rig, (uint16_t)(PIT + number), 1);
}

static void the_timer_ticks(void)
{
	struct rig *rig = rig_new(&i8254_class, "");
	unsigned before;

	for (unsigned mode = 2; mode <= 3; mode++) {
		count(rig, (uint8_t)(0x30 | mode << 1), 11932); /* 10 ms */
		before = rig_irq_edges(rig, 0);
		rig_advance(rig, SECOND + MILLISECOND);
		CHECK_EQ(rig_irq_edges(rig, 0) - before, 100);
	}
	count(rig, 0x30, 11932); /* once */
	CHECK(!rig_irq(rig, 0));
	before = rig_irq_edges(rig, 0);
	rig_advance(rig, 9 * MILLISECOND);
	CHECK_EQ(read_status(rig, 0), 0x30);
	rig_advance(rig, SECOND);
	CHECK_EQ(rig_irq_edges(rig, 0) - before, 1);
	CHECK_EQ(read_status(rig, 0), 0xb0);
	rig_out(rig, PIT_CONTROL, 1, 0x34);
	CHECK_EQ(read_status(rig, 0), 0xf4); /* null count */
	rig_free(rig);
}

static void counters_count_down(void)
{
	struct rig *rig = rig_new(&i8254_class, "");

	count(rig, 0x70, 0xffff);
	rig_advance(rig, 10 * MILLISECOND);
	CHECK_EQ(read_count(rig, 1), 0xffff - 11931);
	count(rig, 0x76, 1000); /* square wave: by twos */
	rig_advance(rig, 84 * MICROSECOND);
	CHECK_EQ(read_count(rig, 1), 800);
	CHECK_EQ(read_status(rig, 1), 0xb6);
	rig_advance(rig, 400 * MICROSECOND);
	CHECK_EQ(read_status(rig, 1), 0x36);
	count(rig, 0x71, 0x1000); /* BCD */
	rig_advance(rig, 84 * MICROSECOND);
	CHECK_EQ(read_count(rig, 1), 0x0900);
	rig_out(rig, PIT_CONTROL, 1, 0x64); /* the high byte alone */
	rig_out(rig, PIT + 1, 1, 0x12);
	CHECK_EQ(rig_in(rig, PIT + 1, 1), 0x12);
	CHECK_EQ(rig_in(rig, PIT + 1, 1), 0x12);
	rig_free(rig);
}

/* How systems measure their processors. */
static void the_gate_holds_counter_2(void)
{
	struct rig *rig = rig_new(&i8254_class, "");

	rig_out(rig, NMISC, 1, 1);
	count(rig, 0xb0, 11932);
	rig_advance(rig, 5 * MILLISECOND);
	CHECK_EQ(rig_in(rig, NMISC, 1) & 0x2f, 1);
	rig_out(rig, NMISC, 1, 0);
	rig_advance(rig, SECOND);
	CHECK_EQ(rig_in(rig, NMISC, 1) & 0x2f, 0);
	rig_out(rig, NMISC, 1, 3);
	rig_advance(rig, 6 * MILLISECOND);
	CHECK_EQ(rig_in(rig, NMISC, 1) & 0x2f, 0x23);
	rig_out(rig, NMISC, 1, 0);
	count(rig, 0xb2, 1193); /* a one-shot waits for the gate */
	rig_advance(rig, SECOND);
	CHECK_EQ(rig_in(rig, NMISC, 1) & 0x20, 0x20);
	rig_out(rig, NMISC, 1, 1);
	CHECK_EQ(rig_in(rig, NMISC, 1) & 0x20, 0);
	rig_advance(rig, 2 * MILLISECOND);
	CHECK_EQ(rig_in(rig, NMISC, 1) & 0x20, 0x20);
	rig_free(rig);
}

static void the_shortest_period_does_not_hang_the_board(void)
{
	struct rig *rig = rig_new(&i8254_class, "");

	count(rig, 0x34, 1);
	rig_advance(rig, SECOND);
	CHECK(rig_irq_edges(rig, 0) <= 20002);
	rig_free(rig);
}

static void the_hpet_takes_the_timers_place(void)
{
	struct rig *rig = rig_new(&i8254_class, "");
	unsigned before;

	rig_add(rig, &hpet_class, NULL, "");
	count(rig, 0x34, 11932);
	rig_write(rig, 0xfed00010, 4, 2);
	before = rig_irq_edges(rig, 0);
	rig_advance(rig, SECOND);
	CHECK_EQ(rig_irq_edges(rig, 0), before);
	rig_write(rig, 0xfed00010, 4, 0);
	before = rig_irq_edges(rig, 0);
	rig_advance(rig, SECOND);
	CHECK_EQ(rig_irq_edges(rig, 0) - before, 100);
	rig_free(rig);
}

int main(void)
{
	better_inputs_come_first();
	the_second_chip_is_input_2();
	masked_inputs_wait();
	a_level_is_there_while_it_is();
	rotation_makes_the_served_one_last();
	automatic_end_and_poll();
	edges_are_sent_once();
	levels_are_sent_again_at_their_end();
	the_timer_ticks();
	counters_count_down();
	the_gate_holds_counter_2();
	the_shortest_period_does_not_hang_the_board();
	the_hpet_takes_the_timers_place();
	puts("interrupt controllers: ok");
	return 0;
}
