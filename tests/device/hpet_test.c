/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HPET: one-shot, periodic, legacy replacement, and comparators of a guest that means harm. */
#include "dev/all.h"
#include "rig.h"

#include <stdio.h>

#define BASE 0xfed00000ull

enum { CONFIG = 0x10, STATUS = 0x20, COUNTER = 0xf0 };

static uint64_t timer_reg(unsigned number, unsigned reg)
{
	return BASE + 0x100 + 0x20 * number + reg;
}

static struct rig *make(void)
{
	struct rig *rig = rig_new(&hpet_class, "");

	CHECK_EQ(rig_read(rig, BASE, 8), 0x009896808086a201);
	return rig;
}

static void counter_runs_at_100_mhz_when_told(void)
{
	struct rig *rig = make();

	rig_advance(rig, SECOND);
	CHECK_EQ(rig_read(rig, BASE + COUNTER, 8), 0);
	rig_write(rig, BASE + CONFIG, 4, 1);
	rig_advance(rig, SECOND);
	CHECK_EQ(rig_read(rig, BASE + COUNTER, 8), 100000000);
	rig_write(rig, BASE + CONFIG, 4, 0);
	rig_advance(rig, SECOND);
	CHECK_EQ(rig_read(rig, BASE + COUNTER, 4), 100000000);
	rig_free(rig);
}

static void a_one_shot_fires_once(void)
{
	struct rig *rig = make();

	rig_write(rig, timer_reg(2, 0), 8, 16 << 9 | 4);
	rig_write(rig, timer_reg(2, 8), 8, 100000);
	rig_write(rig, BASE + CONFIG, 8, 1);
	rig_advance(rig, MILLISECOND - 10);
	CHECK_EQ(rig_irq_edges(rig, 16), 0);
	rig_advance(rig, 100 * MILLISECOND);
	CHECK_EQ(rig_irq_edges(rig, 16), 1);
	rig_free(rig);
}

/* Timer 0, by legacy replacement, each millisecond. */
static struct rig *make_periodic(unsigned config, unsigned first)
{
	struct rig *rig = make();

	rig_write(rig, timer_reg(0, 0), 4, config);
	rig_write(rig, timer_reg(0, 8), 4, first);
	rig_write(rig, timer_reg(0, 8), 4, 100000);
	rig_write(rig, BASE + CONFIG, 4, 3);
	return rig;
}

static void legacy_replacement_ticks_on_irq_0(void)
{
	struct rig *rig = make_periodic(0x14c, 100000);

	rig_advance(rig, SECOND);
	CHECK_EQ(rig_irq_edges(rig, 0), 1000);
	rig_free(rig);
}

/* As Linux leaves it when it has found a better timer: periodic, and off. */
static void a_comparator_that_nobody_hears_needs_no_timer(void)
{
	struct rig *rig = make_periodic(0x148, 1000);

	CHECK_EQ(board_next_deadline(rig_board(rig)), 0);
	CHECK_EQ(rig_read(rig, timer_reg(0, 8), 4), 1000);
	rig_advance(rig, 100 * SECOND); /* the counter has passed 32 bits */
	CHECK_EQ(rig_read(rig, timer_reg(0, 8), 4), (uint32_t)(1000 + 100000ull * 100000));
	rig_advance(rig, MILLISECOND / 2);
	rig_write(rig, timer_reg(0, 0), 4, 0x14c);
	CHECK_EQ(rig_irq_edges(rig, 0), 0);
	rig_advance(rig, SECOND);
	CHECK_EQ(rig_irq_edges(rig, 0), 1000);
	rig_free(rig);
}

static void the_clock_is_cut_off_while_replaced(void)
{
	struct rig *rig = make();

	rig_add(rig, &rtc_class, NULL, "");
	rig_out(rig, 0x70, 1, 0x0b);
	rig_out(rig, 0x71, 1, 0x42);
	rig_write(rig, BASE + CONFIG, 4, 2);
	rig_advance(rig, SECOND);
	CHECK_EQ(rig_irq_edges(rig, 8), 0);
	rig_write(rig, BASE + CONFIG, 4, 0);
	CHECK(rig_irq(rig, 8)); /* it has waited */
	rig_free(rig);
}

static void a_level_interrupt_waits_for_its_status_bit(void)
{
	struct rig *rig = make();

	rig_write(rig, timer_reg(1, 0), 4, 17 << 9 | 6);
	rig_write(rig, timer_reg(1, 8), 8, 1000);
	rig_write(rig, BASE + CONFIG, 4, 1);
	rig_advance(rig, MILLISECOND);
	CHECK(rig_irq(rig, 17));
	CHECK_EQ(rig_read(rig, BASE + STATUS, 4), 2);
	rig_write(rig, BASE + STATUS, 4, 2);
	CHECK(!rig_irq(rig, 17));
	rig_free(rig);
}

static void tiny_periods_do_not_hang_the_board(void)
{
	struct rig *rig = make();

	for (unsigned i = 0; i < 3; i++) {
		rig_write(rig, timer_reg(i, 0), 4, (16 + i) << 9 | 0x14c);
		rig_write(rig, timer_reg(i, 8), 4, 1);
		rig_write(rig, timer_reg(i, 8), 4, i);
	}
	rig_write(rig, BASE + CONFIG, 4, 1);
	rig_advance(rig, SECOND);
	CHECK(rig_irq_edges(rig, 17) <= 100001);
	for (unsigned reg = 0; reg < 0x400; reg += 4) /* CVE-2013-4527: more timers than there are */
		rig_write(rig, BASE + reg, 4, 0xffffffff), rig_read(rig, BASE + reg, 8);
	rig_advance(rig, SECOND);
	rig_free(rig);
}

int main(void)
{
	counter_runs_at_100_mhz_when_told();
	a_one_shot_fires_once();
	legacy_replacement_ticks_on_irq_0();
	a_comparator_that_nobody_hears_needs_no_timer();
	the_clock_is_cut_off_while_replaced();
	a_level_interrupt_waits_for_its_status_bit();
	tiny_periods_do_not_hang_the_board();
	puts("hpet: ok");
	return 0;
}
