/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MC146818: what a guest driver relies on. The rig's power-on is 1999-12-31 23:59:59 UTC. */
#include "dev/all.h"
#include "dev/isa/rtc.h"
#include "rig.h"

#include <stdio.h>

static uint8_t read_reg(struct rig *rig, uint8_t reg)
{
	rig_out(rig, 0x70, 1, reg);
	return (uint8_t)rig_in(rig, 0x71, 1);
}

static void write_reg(struct rig *rig, uint8_t reg, uint8_t value)
{
	rig_out(rig, 0x70, 1, reg);
	rig_out(rig, 0x71, 1, value);
}

static void clock_rolls_into_2000_in_bcd(void)
{
	struct rig *rig = rig_new(&rtc_class, "");

	CHECK_EQ(read_reg(rig, 9), 0x99);
	CHECK_EQ(read_reg(rig, 4), 0x23);
	rig_advance(rig, SECOND);
	CHECK_EQ(read_reg(rig, 9), 0x00);
	CHECK_EQ(read_reg(rig, 0x32), 0x20);
	rig_free(rig);
}

static void time_written_under_set_starts_when_set_clears(void)
{
	struct rig *rig = rig_new(&rtc_class, "");

	write_reg(rig, 0x0b, 0x82);
	write_reg(rig, 8, 0x02);
	write_reg(rig, 7, 0x29); /* valid only with the year that follows */
	write_reg(rig, 9, 0x24);
	write_reg(rig, 0x32, 0x20);
	rig_advance(rig, 5 * SECOND);
	CHECK_EQ(read_reg(rig, 0), 0x59);
	write_reg(rig, 0x0b, 0x02);
	CHECK_EQ(read_reg(rig, 7), 0x29);
	CHECK_EQ(read_reg(rig, 8), 0x02);
	rig_free(rig);
}

static void twelve_hour_mode_says_pm(void)
{
	struct rig *rig = rig_new(&rtc_class, "");

	write_reg(rig, 0x0b, 0x00);
	CHECK_EQ(read_reg(rig, 4), 0x91); /* 11 PM */
	rig_advance(rig, SECOND);
	CHECK_EQ(read_reg(rig, 4), 0x12); /* midnight */
	rig_free(rig);
}

static void alarm_raises_the_line_until_c_is_read(void)
{
	struct rig *rig = rig_new(&rtc_class, "irq=9");

	write_reg(rig, 1, 0x03);
	write_reg(rig, 3, 0xff);
	write_reg(rig, 5, 0xff);
	write_reg(rig, 0x0b, 0x22);
	rig_advance(rig, 3 * SECOND);
	CHECK_EQ(rig_irq(rig, 9), false);
	rig_advance(rig, SECOND);
	CHECK_EQ(rig_irq(rig, 9), true);
	CHECK_EQ(read_reg(rig, 0x0c) & 0xa0, 0xa0);
	CHECK_EQ(rig_irq(rig, 9), false);
	rig_free(rig);
}

static void periodic_interrupt_runs_at_1024_hz(void)
{
	struct rig *rig = rig_new(&rtc_class, "");
	unsigned count = 0;

	write_reg(rig, 0x0a, 0x26);
	write_reg(rig, 0x0b, 0x42);
	for (int i = 0; i < 20000; i++) {
		rig_advance(rig, SECOND / 20000);
		if (rig_irq(rig, 8))
			count += read_reg(rig, 0x0c) >> 6 & 1;
	}
	CHECK_EQ(count, 1024);
	rig_free(rig);
}

static void update_in_progress_comes_before_the_second(void)
{
	struct rig *rig = rig_new(&rtc_class, "");

	CHECK_EQ(read_reg(rig, 0x0a) & 0x80, 0);
	rig_advance(rig, SECOND - 100 * MICROSECOND);
	CHECK_EQ(read_reg(rig, 0x0a) & 0x80, 0x80);
	rig_advance(rig, 200 * MICROSECOND);
	CHECK_EQ(read_reg(rig, 0x0a) & 0x80, 0);
	rig_free(rig);
}

static void memory_survives_reset(void)
{
	struct rig *rig = rig_new(&rtc_class, "");

	rtc_set_cmos(rig_dev(rig), 0x34, 0x12);
	write_reg(rig, 0x40, 0x34);
	rig_reset(rig);
	CHECK_EQ(read_reg(rig, 0x34), 0x12);
	CHECK_EQ(read_reg(rig, 0x40), 0x34);
	rig_free(rig);
}

static void read_only_registers_count_as_guest_errors(void)
{
	struct rig *rig = rig_new(&rtc_class, "");

	write_reg(rig, 0x0d, 0);
	CHECK_EQ(read_reg(rig, 0x0d), 0x80);
	CHECK_EQ(rig_guest_errors(rig), 1);
	rig_free(rig);
}

int main(void)
{
	clock_rolls_into_2000_in_bcd();
	time_written_under_set_starts_when_set_clears();
	twelve_hour_mode_says_pm();
	alarm_raises_the_line_until_c_is_read();
	periodic_interrupt_runs_at_1024_hz();
	update_in_progress_comes_before_the_second();
	memory_survives_reset();
	read_only_registers_count_as_guest_errors();
	CHECK(!rig_new(&rtc_class, "irq=16"));
	CHECK(!rig_new(&rtc_class, "prot=1"));
	puts("rtc: ok");
	return 0;
}
