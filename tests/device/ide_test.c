/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IDE disks and CD drives, as a driver sees them; and the ways such drives have been broken. */
#include "dev/all.h"
#include "rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BASE = 0x1f0, CONTROL = 0x3f6, IRQ = 14, PRDS = 0x1000, DATA = 0x100000 };
enum { ERR = 0x01, DRQ = 0x08, READY = 0x40, BUSY = 0x80 };
enum { SECTORS = RIG_DISK_BYTES / 512 };

static uint64_t bus_master;

static struct rig *with_drive(const struct dev_class *class, const char *settings)
{
	struct rig *rig = rig_open(true);

	assert_non_null(rig_add(rig, &piix3_ide_class.dev, "ide", "addr=01.1"));
	bus_master = rig_bar(rig, 4);
	rig_config_write(rig, PCI_COMMAND, 2, COMMAND_IO | COMMAND_MASTER);
	assert_non_null(rig_add(rig, class, "drive", settings));
	for (unsigned i = 0; i < RIG_DISK_BYTES; i++)
		rig_disk(rig, 0)[i] = i / 512 * 7 + i % 512 * 3;
	return rig;
}

static struct rig *with_disk(void)
{
	return with_drive(&ide_hd_class, "drive=disk0,serial=rigged");
}

static unsigned status(struct rig *rig)
{
	return rig_in(rig, BASE + 7, 1);
}

static void command(struct rig *rig, unsigned code, uint32_t lba, unsigned count)
{
	rig_out(rig, BASE + 6, 1, 0xe0 | lba >> 24);
	for (unsigned i = 2; i < 6; i++) /* the high bytes of 48-bit commands */
		rig_out(rig, BASE + i, 1, 0);
	rig_out(rig, BASE + 2, 1, count);
	for (unsigned i = 0; i < 3; i++)
		rig_out(rig, BASE + 3 + i, 1, lba >> 8 * i);
	rig_out(rig, BASE + 7, 1, code);
}

static void read_data(struct rig *rig, void *to, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 2)
		store_le16((uint8_t *)to + i, rig_in(rig, BASE, 2));
}

static void identity_names_the_disk(void **state)
{
	struct rig *rig = with_disk();
	uint16_t word[256];
	uint8_t sum = 0;

	(void)state;
	command(rig, 0xec, 0, 0);
	assert_true(rig_irq(rig, IRQ));
	assert_int_equal(status(rig) & (BUSY | DRQ | ERR), DRQ);
	assert_false(rig_irq(rig, IRQ));
	read_data(rig, word, sizeof(word));
	assert_int_equal(status(rig) & DRQ, 0);
	assert_int_equal(load_le32(&word[60]), SECTORS);
	assert_int_equal(word[10], 'r' << 8 | 'i');
	assert_int_equal(word[49] & 0x300, 0x300);
	for (unsigned i = 0; i < 512; i++)
		sum += ((uint8_t *)word)[i];
	assert_int_equal(sum, 0);
	rig_free(rig);
}

static void sectors_are_read_one_interrupt_each(void **state)
{
	struct rig *rig = with_disk();
	uint8_t data[1024];

	(void)state;
	command(rig, 0x20, 5, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(rig_irq(rig, IRQ));
		assert_int_equal(status(rig) & (DRQ | ERR), DRQ);
		read_data(rig, data + i * 512, 512);
	}
	assert_false(rig_irq(rig, IRQ));
	assert_int_equal(status(rig) & (DRQ | BUSY | ERR), 0);
	assert_memory_equal(data, rig_disk(rig, 0) + 5 * 512, 1024);
	rig_free(rig);
}

static void chs_addresses_follow_the_geometry(void **state)
{
	struct rig *rig = with_disk();
	uint8_t data[512];

	(void)state;
	rig_out(rig, BASE + 6, 1, 0xa1); /* cylinder 1, head 1, sector 2 */
	rig_out(rig, BASE + 2, 1, 1);
	rig_out(rig, BASE + 3, 1, 2);
	rig_out(rig, BASE + 4, 1, 1);
	rig_out(rig, BASE + 5, 1, 0);
	rig_out(rig, BASE + 7, 1, 0x20);
	rig_settle(rig);
	assert_int_equal(status(rig) & (DRQ | ERR), DRQ);
	read_data(rig, data, 512);
	assert_memory_equal(data, rig_disk(rig, 0) + ((16 + 1) * 63 + 1) * 512, 512);
	rig_free(rig);
}

static void sectors_are_written_in_blocks(void **state)
{
	struct rig *rig = with_disk();
	uint8_t before[512];

	(void)state;
	memcpy(before, rig_disk(rig, 0) + 19 * 512, 512);
	command(rig, 0xc6, 0, 4); /* SET MULTIPLE */
	assert_int_equal(status(rig) & ERR, 0);
	command(rig, 0xc5, 10, 9); /* WRITE MULTIPLE: 4 + 4 + 1 */
	assert_false(rig_irq(rig, IRQ));
	for (unsigned i = 0; i < 9 * 256; i++) {
		if (i == 4 * 256 || i == 8 * 256) {
			assert_true(rig_irq(rig, IRQ));
			assert_int_equal(status(rig) & DRQ, DRQ);
		}
		rig_out(rig, BASE, 2, i ^ 0x5a5a);
	}
	rig_settle(rig);
	assert_true(rig_irq(rig, IRQ));
	assert_int_equal(status(rig) & (DRQ | BUSY | ERR), 0);
	for (unsigned i = 0; i < 9 * 256; i++)
		assert_int_equal(load_le16(rig_disk(rig, 0) + 10 * 512 + i * 2), i ^ 0x5a5a);
	assert_memory_equal(before, rig_disk(rig, 0) + 19 * 512, 512);
	rig_free(rig);
}

static void prd(struct rig *rig, unsigned index, uint32_t gpa, unsigned bytes, bool last)
{
	uint8_t entry[8];

	store_le32(entry, gpa);
	store_le32(entry + 4, (bytes & 0xffff) | (last ? 0x80000000 : 0));
	rig_poke(rig, PRDS + index * 8, entry, 8);
}

static void start_dma(struct rig *rig, bool to_memory)
{
	rig_out(rig, bus_master + 4, 4, PRDS);
	rig_out(rig, bus_master + 2, 1, 6);
	rig_out(rig, bus_master, 1, to_memory ? 9 : 1);
}

static unsigned dma_status(struct rig *rig)
{
	return rig_in(rig, bus_master + 2, 1) & 7;
}

static void dma_scatters_over_odd_pieces(void **state)
{
	struct rig *rig = with_disk();

	(void)state;
	prd(rig, 0, DATA, 2, false);
	prd(rig, 1, DATA + 0x1000, 700, false);
	prd(rig, 2, DATA + 0x2000, 2048 - 702, true);
	command(rig, 0xc8, 3, 4);
	assert_false(rig_irq(rig, IRQ));
	start_dma(rig, true);
	assert_true(rig_irq(rig, IRQ));
	assert_int_equal(dma_status(rig), 4);
	assert_int_equal(status(rig) & (BUSY | DRQ | ERR), 0);
	assert_memory_equal(rig_ram(rig) + DATA, rig_disk(rig, 0) + 1536, 2);
	assert_memory_equal(rig_ram(rig) + DATA + 0x1000, rig_disk(rig, 0) + 1538, 700);
	assert_memory_equal(rig_ram(rig) + DATA + 0x2000, rig_disk(rig, 0) + 2238, 1346);
	rig_free(rig);
}

static void a_very_fragmented_table_works(void **state)
{
	struct rig *rig = with_disk();

	(void)state;
	for (unsigned i = 0; i < 2048; i++)
		prd(rig, i, DATA + i * 62, 62, i == 2047);
	command(rig, 0x25, 0, 248); /* READ DMA EXT, 126976 bytes = 2048 * 62 */
	start_dma(rig, true);
	assert_int_equal(dma_status(rig), 4);
	assert_memory_equal(rig_ram(rig) + DATA, rig_disk(rig, 0), 248 * 512);
	rig_free(rig);
}

static void dma_writes_reach_the_disk(void **state)
{
	struct rig *rig = with_disk();

	(void)state;
	memset(rig_ram(rig) + DATA, 0xc3, 65536);
	prd(rig, 0, DATA, 0, true); /* 0 is 64 KiB */
	command(rig, 0xca, 100, 128);
	start_dma(rig, false);
	assert_int_equal(dma_status(rig), 4);
	for (unsigned i = 0; i < 65536; i++)
		assert_int_equal(rig_disk(rig, 0)[100 * 512 + i], 0xc3);
	rig_free(rig);
}

static void a_short_table_ends_without_interrupt(void **state)
{
	struct rig *rig = with_disk();

	(void)state;
	prd(rig, 0, DATA, 512, true);
	command(rig, 0xc8, 0, 2);
	start_dma(rig, true);
	assert_int_equal(dma_status(rig), 0);
	assert_false(rig_irq(rig, IRQ));
	rig_free(rig);
}

static void a_long_table_stays_active(void **state)
{
	struct rig *rig = with_disk();

	(void)state;
	prd(rig, 0, DATA, 4096, true);
	command(rig, 0xc8, 0, 2);
	start_dma(rig, true);
	assert_int_equal(dma_status(rig), 5);
	rig_out(rig, bus_master, 1, 0);
	assert_int_equal(dma_status(rig), 4);
	rig_free(rig);
}

/* CVE-2014-9718: tables that end nowhere or add up to less than a sector. */
static void endless_and_tiny_tables_are_survived(void **state)
{
	struct rig *rig = with_disk();

	(void)state;
	for (unsigned i = 0; i < 8192; i++)
		prd(rig, i, DATA, 2, false);
	command(rig, 0xc8, 0, 256);
	start_dma(rig, true);
	assert_int_equal(dma_status(rig) & 1, 0);
	rig_out(rig, bus_master, 1, 0);
	prd(rig, 0, DATA, 2, true);
	command(rig, 0xc8, 0, 1);
	start_dma(rig, true);
	assert_int_equal(dma_status(rig) & 5, 0);
	rig_out(rig, bus_master, 1, 0);
	prd(rig, 0, 0xfebff000, 512, true); /* no memory there */
	command(rig, 0xc8, 0, 1);
	start_dma(rig, true);
	assert_int_equal(dma_status(rig) & 3, 2);
	assert_int_equal(status(rig) & ERR, ERR);
	rig_free(rig);
}

static void what_is_past_the_end_is_not_found(void **state)
{
	struct rig *rig = with_disk();

	(void)state;
	command(rig, 0x20, SECTORS - 1, 2);
	assert_int_equal(status(rig) & (ERR | DRQ), ERR);
	assert_int_equal(rig_in(rig, BASE + 1, 1) & 0x10, 0x10);
	command(rig, 0x20, SECTORS - 1, 1);
	assert_int_equal(status(rig) & (ERR | DRQ), DRQ);
	rig_free(rig);
}

static void a_disk_error_is_reported(void **state)
{
	struct rig *rig = with_disk();

	(void)state;
	rig_fail_disk(rig, 0, -EIO);
	command(rig, 0x20, 0, 1);
	assert_int_equal(status(rig) & (ERR | DRQ | BUSY), ERR);
	assert_int_equal(rig_in(rig, BASE + 1, 1), 0x40);
	rig_fail_disk(rig, 0, 0);
	command(rig, 0xe7, 0, 0);
	assert_int_equal(status(rig) & (ERR | BUSY), 0);
	rig_free(rig);
}

static void trim_takes_its_ranges_by_dma(void **state)
{
	struct rig *rig = with_disk();

	(void)state;
	memset(rig_ram(rig) + DATA, 0, 512);
	store_le64(rig_ram(rig) + DATA, 10 | 8ull << 48);
	store_le64(rig_ram(rig) + DATA + 8, 30 | 2ull << 48);
	prd(rig, 0, DATA, 512, true);
	rig_out(rig, BASE + 1, 1, 1);
	command(rig, 0x06, 0, 1);
	start_dma(rig, false);
	assert_true(rig_irq(rig, IRQ));
	assert_int_equal(status(rig) & (ERR | BUSY), 0);
	store_le64(rig_ram(rig) + DATA + 8, (SECTORS - 1) | 2ull << 48);
	rig_out(rig, BASE + 1, 1, 1);
	command(rig, 0x06, 0, 1);
	rig_out(rig, bus_master, 1, 0);
	start_dma(rig, false);
	assert_int_equal(status(rig) & ERR, ERR);
	rig_free(rig);
}

/* CVE-2023-5088: what was on its way when the reset came goes where it was meant to, or nowhere. */
static void a_reset_does_not_divert_a_write(void **state)
{
	struct rig *rig = with_disk();
	uint8_t first[512];

	(void)state;
	memcpy(first, rig_disk(rig, 0), 512);
	memset(rig_ram(rig) + DATA, 0xee, 4096);
	prd(rig, 0, DATA, 4096, true);
	rig_hold_disks(rig, true);
	command(rig, 0xca, 50, 8);
	start_dma(rig, false);
	assert_int_equal(rig_in(rig, CONTROL, 1) & BUSY, BUSY);
	rig_out(rig, CONTROL, 1, 4);
	rig_out(rig, CONTROL, 1, 0);
	rig_hold_disks(rig, false);
	rig_settle(rig);
	assert_memory_equal(first, rig_disk(rig, 0), 512);
	assert_int_equal(status(rig) & (BUSY | DRQ | ERR), 0);
	assert_int_equal(rig_in(rig, BASE + 2, 1), 1);
	assert_int_equal(rig_in(rig, BASE + 4, 1), 0);
	rig_free(rig);
}

static void an_absent_slave_is_silent(void **state)
{
	struct rig *rig = with_disk();

	(void)state;
	rig_out(rig, BASE + 6, 1, 0xf0);
	assert_int_equal(status(rig), 0);
	rig_out(rig, BASE + 2, 1, 0x55);
	assert_int_equal(rig_in(rig, BASE + 2, 1), 0);
	assert_int_equal(rig_in(rig, 0x177, 1), 0);
	rig_free(rig);
}

/* CD -------------------------------------------------------------------------------------- */

static struct rig *with_cd(void)
{
	return with_drive(&ide_cd_class, "drive=disk0");
}

static void packet(struct rig *rig, const uint8_t *bytes, unsigned limit, bool dma)
{
	rig_out(rig, BASE + 6, 1, 0xa0);
	rig_out(rig, BASE + 1, 1, dma);
	rig_out(rig, BASE + 4, 1, limit);
	rig_out(rig, BASE + 5, 1, limit >> 8);
	rig_out(rig, BASE + 7, 1, 0xa0);
	assert_int_equal(status(rig) & (BUSY | DRQ | ERR), DRQ);
	assert_int_equal(rig_in(rig, BASE + 2, 1) & 3, 1);
	for (unsigned i = 0; i < 12; i += 2)
		rig_out(rig, BASE, 2, load_le16(bytes + i));
	rig_settle(rig);
}

/* Reads what the drive offers, block by block; returns the bytes. */
static unsigned collect(struct rig *rig, uint8_t *to, unsigned room)
{
	unsigned bytes = 0;

	while (status(rig) & DRQ) {
		unsigned block = rig_in(rig, BASE + 4, 1) | rig_in(rig, BASE + 5, 1) << 8;

		assert_int_equal(rig_in(rig, BASE + 2, 1) & 3, 2);
		assert_true(block && bytes + block <= room);
		for (unsigned i = 0; i < block; i += 2)
			store_le16(to + bytes + i, rig_in(rig, BASE, 2));
		bytes += block;
		rig_settle(rig);
	}
	assert_int_equal(rig_in(rig, BASE + 2, 1) & 3, 3);
	return bytes;
}

static unsigned sense(struct rig *rig)
{
	static const uint8_t request[12] = { 0x03, 0, 0, 0, 18 };
	uint8_t reply[20] = { 0 };

	packet(rig, request, 18, false);
	assert_int_equal(collect(rig, reply, sizeof(reply)), 18);
	return reply[2] << 8 | reply[12];
}

static void packets_read_blocks(void **state)
{
	static const uint8_t read_10[12] = { 0x28, 0, 0, 0, 0, 2, 0, 0, 3 };
	static uint8_t data[6144 + 8];
	struct rig *rig = with_cd();

	(void)state;
	packet(rig, read_10, 2048, false);
	assert_int_equal(collect(rig, data, sizeof(data)), 6144);
	assert_memory_equal(data, rig_disk(rig, 0) + 4096, 6144);
	/* a limit that is odd, and one of nothing */
	packet(rig, read_10, 1001, false);
	assert_int_equal(collect(rig, data, sizeof(data)), 6144);
	packet(rig, read_10, 0, false);
	assert_int_equal(collect(rig, data, sizeof(data)), 6144);
	assert_memory_equal(data, rig_disk(rig, 0) + 4096, 6144);
	prd(rig, 0, DATA, 6144, true);
	packet(rig, read_10, 0, true);
	start_dma(rig, true);
	assert_int_equal(dma_status(rig), 4);
	assert_memory_equal(rig_ram(rig) + DATA, rig_disk(rig, 0) + 4096, 6144);
	rig_free(rig);
}

static void small_replies_say_what_the_drive_is(void **state)
{
	static const uint8_t inquiry[12] = { 0x12, 0, 0, 0, 36 };
	static const uint8_t capacity[12] = { 0x25 };
	static const uint8_t toc[12] = { 0x43, 0, 0, 0, 0, 0, 0, 0, 20 };
	static const uint8_t raw[12] = { 0xbe, 0, 0, 0, 0, 1, 0, 0, 1, 0xf8 };
	struct rig *rig = with_cd();
	uint8_t data[4096];

	(void)state;
	packet(rig, inquiry, 512, false);
	assert_int_equal(collect(rig, data, sizeof(data)), 36);
	assert_int_equal(data[0], 5);
	packet(rig, capacity, 512, false);
	assert_int_equal(collect(rig, data, sizeof(data)), 8);
	assert_int_equal(load_be32(data), RIG_DISK_BYTES / 2048 - 1);
	packet(rig, toc, 512, false);
	assert_int_equal(collect(rig, data, sizeof(data)), 20);
	assert_int_equal(load_be16(data), 18);
	assert_int_equal(data[14], 0xaa);
	packet(rig, raw, 4096, false);
	assert_int_equal(collect(rig, data, sizeof(data)), 2352);
	assert_memory_equal(data + 16, rig_disk(rig, 0) + 2048, 2048);
	prd(rig, 0, DATA, 8, true);
	packet(rig, capacity, 0, true);
	start_dma(rig, true);
	assert_int_equal(load_be32(rig_ram(rig) + DATA + 4), 2048);
	rig_free(rig);
}

/* CVE-2020-29443: block -1, and a range that wraps. */
static void blocks_outside_the_disc_are_refused(void **state)
{
	static const uint8_t minus_one[12] = { 0x28, 0, 255, 255, 255, 255, 0, 0, 1 };
	static const uint8_t wraps[12] = { 0xa8, 0, 0, 0, 0, 1, 255, 255, 255, 255 };
	struct rig *rig = with_cd();

	(void)state;
	packet(rig, minus_one, 2048, false);
	assert_int_equal(status(rig) & (ERR | DRQ), ERR);
	assert_int_equal(sense(rig), 0x0521);
	packet(rig, wraps, 2048, false);
	assert_int_equal(status(rig) & (ERR | DRQ), ERR);
	assert_int_equal(sense(rig), 0x0521);
	rig_free(rig);
}

/* CVE-2015-6855: a disk's command on a CD drive. */
static void commands_of_the_other_kind_are_aborted(void **state)
{
	static const uint8_t codes[] = { 0xf8, 0x27, 0x70, 0xc6, 0x91, 0xc8, 0x06, 0xb0 };
	struct rig *rig = with_cd();

	(void)state;
	for (unsigned i = 0; i < sizeof(codes); i++) {
		command(rig, codes[i], 0, 1);
		assert_int_equal(status(rig) & (ERR | DRQ), ERR);
		assert_int_equal(rig_in(rig, BASE + 1, 1), 4);
	}
	command(rig, 0xec, 0, 1);
	assert_int_equal(rig_in(rig, BASE + 4, 1), 0x14);
	assert_int_equal(rig_in(rig, BASE + 5, 1), 0xeb);
	rig_free(rig);
}

static void a_new_disc_is_announced(void **state)
{
	static const uint8_t ready[12] = { 0x00 };
	struct rig *rig = with_cd();

	(void)state;
	packet(rig, ready, 0, false);
	assert_int_equal(status(rig) & ERR, 0);
	rig_eject(rig, 0);
	packet(rig, ready, 0, false);
	assert_int_equal(status(rig) & ERR, ERR);
	assert_int_equal(sense(rig), 0x023a);
	rig_insert(rig, 0, 4096, true);
	packet(rig, ready, 0, false);
	assert_int_equal(sense(rig), 0x0628);
	packet(rig, ready, 0, false);
	assert_int_equal(status(rig) & ERR, 0);
	rig_free(rig);
}

/* CVE-2015-5154: parameters longer than anything, then more data than was announced. */
static void long_parameters_stay_in_the_buffer(void **state)
{
	static const uint8_t select[12] = { 0x55, 0, 0, 0, 0, 0, 0, 255, 255 };
	struct rig *rig = with_cd();
	unsigned blocks = 0;

	(void)state;
	packet(rig, select, 0xffff, false);
	while (status(rig) & DRQ) {
		for (unsigned i = 0; i < 40000; i++)
			rig_out(rig, BASE, 2, 0xffff);
		assert_true(++blocks < 10);
	}
	assert_int_equal(status(rig) & (ERR | BUSY), 0);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_names_the_disk),
		cmocka_unit_test(sectors_are_read_one_interrupt_each),
		cmocka_unit_test(chs_addresses_follow_the_geometry),
		cmocka_unit_test(sectors_are_written_in_blocks),
		cmocka_unit_test(dma_scatters_over_odd_pieces),
		cmocka_unit_test(a_very_fragmented_table_works),
		cmocka_unit_test(dma_writes_reach_the_disk),
		cmocka_unit_test(a_short_table_ends_without_interrupt),
		cmocka_unit_test(a_long_table_stays_active),
		cmocka_unit_test(endless_and_tiny_tables_are_survived),
		cmocka_unit_test(what_is_past_the_end_is_not_found),
		cmocka_unit_test(a_disk_error_is_reported),
		cmocka_unit_test(trim_takes_its_ranges_by_dma),
		cmocka_unit_test(a_reset_does_not_divert_a_write),
		cmocka_unit_test(an_absent_slave_is_silent),
		cmocka_unit_test(packets_read_blocks),
		cmocka_unit_test(small_replies_say_what_the_drive_is),
		cmocka_unit_test(blocks_outside_the_disc_are_refused),
		cmocka_unit_test(commands_of_the_other_kind_are_aborted),
		cmocka_unit_test(a_new_disc_is_announced),
		cmocka_unit_test(long_parameters_stay_in_the_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
