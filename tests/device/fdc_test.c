/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Floppy controller: transfers by DMA and PIO, media, and the ways it has been broken elsewhere. */
#include "dev/all.h"
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { BASE = 0x3f0, DOR = 0x3f2, MSR = 0x3f4, FIFO = 0x3f5, DIR = 0x3f7, BUFFER = 0x10000 };

static uint8_t msr(struct rig *rig)
{
	return (uint8_t)rig_in(rig, MSR, 1);
}

static void send(struct rig *rig, const uint8_t *bytes, unsigned count)
{
	while (count--) {
		CHECK_EQ(msr(rig) & 0xc0, 0x80);
		rig_out(rig, FIFO, 1, *bytes++);
	}
}

static uint8_t result(struct rig *rig)
{
	CHECK_EQ(msr(rig) & 0xd0, 0xd0);
	return (uint8_t)rig_in(rig, FIFO, 1);
}

static uint8_t sense(struct rig *rig)
{
	uint8_t st0;

	send(rig, (uint8_t[]){ 8 }, 1);
	st0 = result(rig);
	if (st0 != 0x80)
		result(rig);
	return st0;
}

static void dma_setup(struct rig *rig, uint8_t mode, uint32_t address, uint16_t bytes)
{
	rig_out(rig, 0x0a, 1, 6);
	rig_out(rig, 0x0c, 1, 0);
	rig_out(rig, 0x0b, 1, mode);
	rig_out(rig, 0x04, 1, address & 0xff);
	rig_out(rig, 0x04, 1, address >> 8 & 0xff);
	rig_out(rig, 0x81, 1, address >> 16 & 0xff);
	rig_out(rig, 0x05, 1, (bytes - 1) & 0xff);
	rig_out(rig, 0x05, 1, (bytes - 1) >> 8);
	rig_out(rig, 0x0a, 1, 2);
}

static struct rig *make(void)
{
	struct rig *rig = rig_open(false);

	CHECK(rig_add(rig, &i8257_class, NULL, ""));
	CHECK(rig_add(rig, &isa_fdc_class, NULL, "driveA=disk0"));
	rig_out(rig, DOR, 1, 0);
	rig_out(rig, DOR, 1, 0x1c);
	CHECK(rig_irq(rig, 6));
	for (uint8_t i = 0; i < 4; i++)
		CHECK_EQ(sense(rig), 0xc0 | i);
	CHECK(!rig_irq(rig, 6));
	rig_out(rig, 0x3f7, 1, 0); /* 500 kbit/s */
	return rig;
}

static void transfer(struct rig *rig, uint8_t command, uint8_t c, uint8_t h, uint8_t r,
		     uint8_t last)
{
	send(rig, (uint8_t[]){ command, (uint8_t)(h << 2), c, h, r, 2, last, 0x1b, 0xff }, 9);
}

static void check_result(struct rig *rig, uint8_t st0, uint8_t st1, uint8_t st2)
{
	uint8_t bytes[7];

	for (unsigned i = 0; i < 7; i++)
		bytes[i] = result(rig);
	CHECK_EQ(bytes[0] & 0xf8, st0);
	CHECK_EQ(bytes[1], st1);
	CHECK_EQ(bytes[2], st2);
	CHECK_EQ(msr(rig), 0x80);
	CHECK(!rig_irq(rig, 6));
}

static void reads_across_both_heads_by_dma(void)
{
	struct rig *rig = make();

	dma_setup(rig, 0x46, BUFFER, 36 * 512);
	transfer(rig, 0xe6, 3, 0, 1, 18);
	CHECK(rig_irq(rig, 6));
	check_result(rig, 0, 0, 0);
	CHECK_EQ(memcmp(rig_ram(rig) + BUFFER, rig_disk(rig, 0) + 3 * 36 * 512, 36 * 512), 0);
	rig_free(rig);
}

static void dma_may_be_set_up_late(void)
{
	struct rig *rig = make();

	transfer(rig, 0xe6, 0, 0, 2, 18);
	CHECK_EQ(msr(rig), 0x10);
	dma_setup(rig, 0x46, BUFFER, 512);
	check_result(rig, 0, 0, 0);
	CHECK_EQ(memcmp(rig_ram(rig) + BUFFER, rig_disk(rig, 0) + 512, 512), 0);
	rig_free(rig);
}

static void writes_reach_the_disk(void)
{
	struct rig *rig = make();

	memset(rig_ram(rig) + BUFFER, 0xa5, 700);
	dma_setup(rig, 0x4a, BUFFER, 700); /* the last sector is filled with zeros */
	transfer(rig, 0xc5, 79, 1, 17, 18);
	check_result(rig, 0, 0, 0);
	CHECK_EQ(rig_disk(rig, 0)[2878 * 512], 0xa5);
	CHECK_EQ(rig_disk(rig, 0)[2879 * 512 + 187], 0xa5);
	CHECK_EQ(rig_disk(rig, 0)[2879 * 512 + 188], 0);
	rig_free(rig);
}

static void reads_through_the_fifo(void)
{
	struct rig *rig = make();

	send(rig, (uint8_t[]){ 3, 0xdf, 3 }, 3); /* no DMA */
	transfer(rig, 0x46, 0, 0, 18, 18);
	for (unsigned i = 0; i < 512; i++) {
		CHECK_EQ(msr(rig), 0xf0);
		CHECK_EQ(rig_in(rig, FIFO, 1), rig_disk(rig, 0)[17 * 512 + i]);
	}
	check_result(rig, 0x40, 0x80, 0); /* with no terminal count it runs off the track */
	rig_free(rig);
}

static void format_fills_sectors(void)
{
	static const uint8_t ids[] = { 5, 0, 1, 2, 5, 0, 2, 2 };
	struct rig *rig = make();

	send(rig, (uint8_t[]){ 0x0f, 0, 5 }, 3);
	CHECK_EQ(sense(rig), 0x20);
	rig_poke(rig, BUFFER, ids, sizeof(ids));
	dma_setup(rig, 0x4a, BUFFER, sizeof(ids));
	send(rig, (uint8_t[]){ 0x4d, 0, 2, 2, 0x54, 0xf6 }, 6);
	check_result(rig, 0, 0, 0);
	CHECK_EQ(rig_disk(rig, 0)[5 * 36 * 512 + 600], 0xf6);
	CHECK(rig_disk(rig, 0)[5 * 36 * 512 + 2 * 512] != 0xf6);
	rig_free(rig);
}

static void verify_reads_without_dma(void)
{
	struct rig *rig = make();

	send(rig, (uint8_t[]){ 0xd6, 0x80, 0, 0, 1, 2, 18, 0x1b, 20 }, 9);
	check_result(rig, 0, 0, 0);
	rig_fail_disk(rig, 0, -EIO);
	send(rig, (uint8_t[]){ 0xd6, 0x80, 0, 0, 1, 2, 18, 0x1b, 1 }, 9);
	check_result(rig, 0x40, 0x20, 0x20);
	rig_free(rig);
}

static void wrong_rate_and_sector_are_found_out(void)
{
	struct rig *rig = make();

	dma_setup(rig, 0x46, BUFFER, 512);
	transfer(rig, 0x46, 0, 0, 19, 19);
	check_result(rig, 0x40, 4, 0);
	rig_out(rig, DIR, 1, 2);
	transfer(rig, 0x46, 0, 0, 1, 18);
	check_result(rig, 0x40, 1, 0);
	rig_free(rig);
}

static void a_new_medium_is_noticed_and_measured(void)
{
	struct rig *rig = make();

	send(rig, (uint8_t[]){ 7, 0 }, 2);
	CHECK_EQ(sense(rig), 0x20);
	CHECK_EQ(rig_in(rig, DIR, 1), 0);
	rig_eject(rig, 0);
	CHECK_EQ(rig_in(rig, DIR, 1), 0x80);
	send(rig, (uint8_t[]){ 7, 0 }, 2);
	sense(rig);
	CHECK_EQ(rig_in(rig, DIR, 1), 0x80); /* empty: it stays */
	transfer(rig, 0x46, 0, 0, 1, 9);
	check_result(rig, 0x40, 1, 0);
	rig_insert(rig, 0, 737280, true);
	rig_out(rig, DIR, 1, 2);
	send(rig, (uint8_t[]){ 0x4a, 4 }, 2);
	rig_advance(rig, 10 * MILLISECOND);
	check_result(rig, 0, 0, 0);
	dma_setup(rig, 0x4a, BUFFER, 512);
	transfer(rig, 0x45, 0, 0, 1, 9);
	check_result(rig, 0x40, 2, 0); /* write-protected */
	rig_free(rig);
}

/* CVE-2021-20196: drives that are not there. */
static void absent_drives_answer(void)
{
	struct rig *rig = make();

	for (uint8_t unit = 1; unit < 4; unit++) {
		send(rig, (uint8_t[]){ 7, unit }, 2);
		CHECK_EQ(sense(rig), 0x70 | unit);
		dma_setup(rig, 0x46, BUFFER, 512);
		send(rig, (uint8_t[]){ 0x46, unit, 0, 0, 1, 2, 18, 0x1b, 0xff }, 9);
		check_result(rig, 0x40, 1, 0);
		send(rig, (uint8_t[]){ 4, unit }, 2);
		result(rig);
	}
	rig_free(rig);
}

/* CVE-2015-3456: bytes without end into every command. */
static void parameters_never_run_over(void)
{
	struct rig *rig = make();

	for (unsigned command = 0; command < 256; command++) {
		rig_out(rig, DOR, 1, 0);
		rig_out(rig, DOR, 1, 0x1c);
		rig_out(rig, FIFO, 1, command);
		for (unsigned i = 0; i < 3000; i++)
			rig_out(rig, FIFO, 1, i & 0x7f);
		for (unsigned i = 0; i < 3000; i++)
			rig_in(rig, FIFO, 1);
	}
	rig_out(rig, DOR, 1, 0);
	rig_out(rig, DOR, 1, 0x1c);
	CHECK_EQ(sense(rig), 0xc0);
	rig_free(rig);
}

/* CVE-2021-3507: DMA with counts that do not fit sectors, in every direction. */
static void odd_dma_counts_do_no_harm(void)
{
	struct rig *rig = make();

	for (uint16_t bytes = 1; bytes < 1200; bytes += 37) {
		dma_setup(rig, 0x46, BUFFER, bytes);
		transfer(rig, 0xe6, 0, 0, 1, 18);
		check_result(rig, 0, 0, 0);
		dma_setup(rig, 0x4a, BUFFER, bytes);
		transfer(rig, 0xc5, 0, 0, 1, 18);
		check_result(rig, 0, 0, 0);
	}
	rig_free(rig);
}

static void a_reset_lets_go_of_a_request_under_way(void)
{
	struct rig *rig = make();

	rig_hold_disks(rig, true);
	dma_setup(rig, 0x46, BUFFER, 1024);
	transfer(rig, 0xe6, 0, 0, 1, 18);
	rig_out(rig, DOR, 1, 0);
	rig_out(rig, DOR, 1, 0x1c);
	CHECK_EQ(sense(rig), 0xc0);
	rig_hold_disks(rig, false);
	CHECK_EQ(msr(rig), 0x80);
	rig_free(rig);
}

int main(void)
{
	reads_across_both_heads_by_dma();
	dma_may_be_set_up_late();
	writes_reach_the_disk();
	reads_through_the_fifo();
	format_fills_sectors();
	verify_reads_without_dma();
	wrong_rate_and_sector_are_found_out();
	a_new_medium_is_noticed_and_measured();
	absent_drives_answer();
	parameters_never_run_over();
	odd_dma_counts_do_no_harm();
	a_reset_lets_go_of_a_request_under_way();
	puts("fdc: ok");
	return 0;
}
