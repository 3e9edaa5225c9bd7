/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virtio: rings, transport, and what each device does; and the ways such devices have been broken. */
#include "core/chardev.h"
#include "core/netdev.h"
#include "dev/all.h"
#include "virtio_driver.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { HEADER = 0x100000, STATUS = 0x100100, DATA = 0x110000, MORE = 0x120000, TABLE = 0x130000 };
enum { SECTORS = RIG_DISK_BYTES / 512 };
#define INDIRECT  BIT(28)
#define EVENT_IDX BIT(29)

static struct rig *open_device(struct vd *d, const struct virtio_class *class, const char *settings,
			       uint64_t features, unsigned queues)
{
	struct rig *rig = rig_new(&class->pci.dev, settings);

	assert_non_null(rig);
	vd_open(d, rig, features, queues);
	assert_int_equal(vd_get(d, 0x14, 1), 15);
	return rig;
}

static struct rig *open_disk(struct vd *d, uint64_t features)
{
	struct rig *rig =
		open_device(d, &virtio_blk_class, "drive=disk0,serial=rigged", features, 1);

	for (unsigned i = 0; i < RIG_DISK_BYTES; i++)
		rig_disk(rig, 0)[i] = i / 512 * 5 + i;
	return rig;
}

static void block_header(struct rig *rig, uint32_t type, uint64_t sector)
{
	uint8_t *to = rig_ram(rig) + HEADER;

	store_le32(to, type);
	store_le32(to + 4, 0);
	store_le64(to + 8, sector);
	rig_ram(rig)[STATUS] = 0xff;
}

/* A whole request; returns its status, or -1 when it did not come back. */
static int block_request(struct vd *d, uint32_t type, uint64_t sector, uint32_t bytes, bool reads)
{
	const struct vd_piece with_data[] = { { HEADER, 16, false },
					      { DATA, bytes, reads },
					      { STATUS, 1, true } };
	const struct vd_piece without[] = { { HEADER, 16, false }, { STATUS, 1, true } };

	block_header(d->rig, type, sector);
	if (bytes)
		vd_add(d, 0, with_data, 3);
	else
		vd_add(d, 0, without, 2);
	vd_kick(d, 0);
	return vd_used(d, 0, NULL) < 0 ? -1 : rig_ram(d->rig)[STATUS];
}

static void a_disk_reads_and_writes(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, 0);

	(void)state;
	assert_int_equal(rig_read(rig, d.config, 4), SECTORS);
	assert_int_equal(block_request(&d, 0, 7, 2048, true), 0);
	assert_memory_equal(rig_ram(rig) + DATA, rig_disk(rig, 0) + 7 * 512, 2048);
	memset(rig_ram(rig) + DATA, 0x99, 1024);
	assert_int_equal(block_request(&d, 1, 20, 1024, false), 0);
	assert_int_equal(rig_disk(rig, 0)[20 * 512 + 1023], 0x99);
	assert_int_equal(block_request(&d, 4, 0, 0, false), 0);
	assert_int_equal(block_request(&d, 8, 0, 20, true), 0);
	assert_string_equal((char *)rig_ram(rig) + DATA, "rigged");
	assert_int_equal(block_request(&d, 99, 0, 0, false), 2);
	assert_true(rig_irq(rig, 10) || rig_read(rig, d.isr, 1) == 1);
	rig_free(rig);
}

/* CVE-2011-1750 and its kin: sectors and sizes past the end, wrapping, not whole. */
static void what_is_outside_the_disk_fails(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, 0);

	(void)state;
	assert_int_equal(block_request(&d, 0, SECTORS - 1, 1024, true), 1);
	assert_int_equal(block_request(&d, 0, UINT64_MAX, 512, true), 1);
	assert_int_equal(block_request(&d, 0, UINT64_MAX / 512 + 1, 512, true), 1);
	assert_int_equal(block_request(&d, 1, 0, 100, false), 1);
	assert_int_equal(block_request(&d, 0, SECTORS - 1, 512, true), 0);
	rig_fail_disk(rig, 0, -EIO);
	assert_int_equal(block_request(&d, 0, 0, 512, true), 1);
	rig_free(rig);
}

static void ranges_are_cleared(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, BIT(13) | BIT(14));
	uint8_t *range = rig_ram(rig) + DATA;

	(void)state;
	memset(range, 0, 16);
	store_le64(range, 5);
	store_le32(range + 8, 3);
	assert_int_equal(block_request(&d, 13, 0, 16, false), 0);
	assert_int_equal(rig_disk(rig, 0)[5 * 512], 0);
	assert_int_equal(rig_disk(rig, 0)[8 * 512 - 1], 0);
	assert_int_equal(block_request(&d, 11, 0, 16, false), 0);
	store_le32(range + 8, UINT32_MAX);
	assert_int_equal(block_request(&d, 11, 0, 16, false), 1);
	assert_int_equal(block_request(&d, 11, 0, 32, false), 1);
	rig_free(rig);
}

static void many_requests_are_in_flight(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, 0);

	(void)state;
	rig_hold_disks(rig, true);
	for (unsigned i = 0; i < 5; i++) {
		const struct vd_piece pieces[] = { { HEADER + i * 16, 16, false },
						   { DATA + i * 512, 512, true },
						   { STATUS + i, 1, true } };

		store_le32(rig_ram(rig) + HEADER + i * 16, 0);
		store_le64(rig_ram(rig) + HEADER + i * 16 + 8, 100 + i);
		vd_add(&d, 0, pieces, 3);
	}
	rig_write(rig, d.notify, 2, 0);
	assert_int_equal(vd_used(&d, 0, NULL), -1);
	rig_hold_disks(rig, false);
	rig_settle(rig);
	for (unsigned i = 0; i < 5; i++) {
		uint32_t written = 0;

		assert_int_equal(vd_used(&d, 0, &written), i * 3);
		assert_int_equal(written, 513);
	}
	assert_memory_equal(rig_ram(rig) + DATA, rig_disk(rig, 0) + 100 * 512, 5 * 512);
	rig_free(rig);
}

static void a_reset_waits_for_the_disk(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, 0);
	const struct vd_piece pieces[] = { { HEADER, 16, false },
					   { DATA, 512, true },
					   { STATUS, 1, true } };

	(void)state;
	block_header(rig, 0, 1);
	vd_add(&d, 0, pieces, 3);
	rig_hold_disks(rig, true);
	rig_write(rig, d.notify, 2, 0);
	vd_set(&d, 0x14, 1, 0);
	memset(rig_ram(rig) + DATA, 0x5e, 512);
	rig_hold_disks(rig, false);
	rig_settle(rig);
	assert_int_equal(rig_ram(rig)[DATA], 0x5e); /* the device is quiet after a reset */
	vd_open(&d, rig, 0, 1);
	assert_int_equal(block_request(&d, 0, 7, 512, true), 0);
	rig_free(rig);
}

static void indirect_tables_are_followed_once(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, INDIRECT);
	uint8_t *table = rig_ram(rig) + TABLE;

	(void)state;
	block_header(rig, 0, 3);
	vd_write_descriptor(table, HEADER, 16, VD_NEXT, 1);
	vd_write_descriptor(table + 16, DATA, 512, VD_NEXT | VD_WRITE, 2);
	vd_write_descriptor(table + 32, STATUS, 1, VD_WRITE, 0);
	vd_write_descriptor(vd_descriptor(&d, 0, 0), TABLE, 48, VD_INDIRECT, 0);
	vd_offer(&d, 0, 0);
	vd_kick(&d, 0);
	assert_int_equal(vd_used(&d, 0, NULL), 0);
	assert_int_equal(rig_ram(rig)[STATUS], 0);
	assert_memory_equal(rig_ram(rig) + DATA, rig_disk(rig, 0) + 3 * 512, 512);
	/* a table in a table */
	vd_write_descriptor(table, TABLE, 48, VD_INDIRECT, 0);
	vd_offer(&d, 0, 0);
	vd_kick(&d, 0);
	assert_true(vd_is_broken(&d));
	rig_free(rig);
}

static void event_indexes_hold_notifications_back(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, EVENT_IDX);
	uint8_t *used_event, *avail_event;

	(void)state;
	used_event = rig_ram(rig) + d.queue[0].base + VD_AVAIL + 4 + 2 * VD_QUEUE;
	avail_event = rig_ram(rig) + d.queue[0].base + VD_USED + 4 + 8 * VD_QUEUE;
	assert_int_equal(block_request(&d, 4, 0, 0, false), 0);
	assert_int_equal(load_le16(avail_event), 1); /* tell me of the next */
	assert_int_equal(rig_read(rig, d.isr, 1), 1);
	store_le16(used_event, 2); /* not before the third */
	assert_int_equal(block_request(&d, 4, 0, 0, false), 0);
	assert_int_equal(rig_read(rig, d.isr, 1), 0);
	assert_int_equal(block_request(&d, 4, 0, 0, false), 0);
	assert_int_equal(rig_read(rig, d.isr, 1), 1);
	rig_free(rig);
}

/* Queue 0 interrupts by message 1. */
static void use_messages(struct vd *d)
{
	uint64_t table = rig_bar(d->rig, 1);
	unsigned cap = rig_config_read(d->rig, PCI_CAPABILITIES, 1);

	while (rig_config_read(d->rig, cap, 1) != 0x11)
		cap = rig_config_read(d->rig, cap + 1, 1);
	rig_write(d->rig, table + 16, 4, 0xfee00000);
	rig_write(d->rig, table + 24, 4, 0x4142);
	rig_write(d->rig, table + 28, 4, 0);
	rig_config_write(d->rig, cap + 2, 2, 0x8000);
	vd_set(d, 0x16, 2, 0);
	vd_set(d, 0x1a, 2, 1);
}

static void messages_follow_the_vectors(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, 0);
	uint64_t address = 0;
	uint32_t data = 0;

	(void)state;
	use_messages(&d);
	vd_set(&d, 0x1a, 2, 77); /* no such vector */
	assert_int_equal(vd_get(&d, 0x1a, 2), 0xffff);
	vd_set(&d, 0x1a, 2, 1);
	assert_int_equal(vd_get(&d, 0x1a, 2), 1);
	assert_int_equal(block_request(&d, 4, 0, 0, false), 0);
	assert_true(rig_msi_last(rig, &address, &data));
	assert_int_equal(data, 0x4142);
	rig_free(rig);
}

/* Each way of breaking a ring stops the device and nothing else; a reset cures it. */
static void broken_rings_stop_the_device(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, INDIRECT);

	(void)state;
	for (unsigned how = 0; how < 9; how++) {
		uint8_t *first = vd_descriptor(&d, 0, 0), *second = vd_descriptor(&d, 0, 1);
		unsigned head = 0;

		block_header(rig, 0, 0);
		vd_write_descriptor(first, HEADER, 16, VD_NEXT, 1);
		vd_write_descriptor(second, STATUS, 1, VD_WRITE, 0);
		switch (how) {
		case 0: /* a loop */
			vd_write_descriptor(second, DATA, 1, VD_WRITE | VD_NEXT, 1);
			break;
		case 1: /* a head outside the table */
			head = VD_QUEUE;
			break;
		case 2: /* a link outside the table */
			vd_write_descriptor(first, HEADER, 16, VD_NEXT, VD_QUEUE);
			break;
		case 3: /* no memory there */
			vd_write_descriptor(second, 0xfee00000, 1, VD_WRITE, 0);
			break;
		case 4: /* an address that wraps */
			vd_write_descriptor(second, UINT64_MAX - 3, 16, VD_WRITE, 0);
			break;
		case 5: /* to be read after to be written */
			vd_write_descriptor(first, DATA, 16, VD_NEXT | VD_WRITE, 1);
			vd_write_descriptor(second, HEADER, 16, 0, 0);
			break;
		case 6: /* an index that ran away */
			d.queue[0].avail += 1000;
			break;
		case 7: /* a table of half descriptors */
			vd_write_descriptor(first, TABLE, 24, VD_INDIRECT, 0);
			break;
		default: /* no room for the status */
			vd_write_descriptor(first, HEADER, 16, 0, 0);
			break;
		}
		vd_offer(&d, 0, head);
		vd_kick(&d, 0);
		assert_true(vd_is_broken(&d));
		assert_int_equal(block_request(&d, 4, 0, 0, false), -1);
		vd_open(&d, rig, INDIRECT, 1);
		assert_int_equal(block_request(&d, 4, 0, 0, false), 0);
	}
	rig_free(rig);
}

/* CVE-2016-5403: the same descriptors again and again while the disk is slow. */
static void requests_in_flight_are_bounded(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, 0);
	const struct vd_piece pieces[] = { { HEADER, 16, false },
					   { DATA, 512, true },
					   { STATUS, 1, true } };

	(void)state;
	block_header(rig, 0, 0);
	rig_hold_disks(rig, true);
	for (unsigned i = 0; i < 3 * VD_QUEUE && !vd_is_broken(&d); i++) {
		d.queue[0].next = 0;
		vd_add(&d, 0, pieces, 3);
		rig_write(rig, d.notify, 2, 0);
		assert_true(i <= VD_QUEUE);
	}
	assert_true(vd_is_broken(&d));
	rig_hold_disks(rig, false);
	rig_free(rig);
}

/* CVE-2011-2512: a queue number that is negative as a signed one. */
static void queues_that_are_not_there_are_ignored(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, 0);

	(void)state;
	vd_set(&d, 0x16, 2, 0xffff);
	assert_int_equal(vd_get(&d, 0x18, 2), 0);
	vd_set(&d, 0x18, 2, 8);
	vd_set(&d, 0x1c, 2, 1);
	rig_out(rig, rig_bar(rig, 0) + 16, 2, 0xffff);
	rig_out(rig, rig_bar(rig, 0) + 14, 2, 0x8000);
	assert_int_equal(rig_in(rig, rig_bar(rig, 0) + 12, 2), 0);
	rig_out(rig, rig_bar(rig, 0) + 8, 4, 0x300);
	rig_write(rig, d.notify + 0xffc, 2, 0xffff);
	assert_int_equal(block_request(&d, 4, 0, 0, false), 0);
	rig_free(rig);
}

static void features_not_offered_are_refused(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, 0);

	(void)state;
	vd_negotiate(&d, BIT(32) | BIT(50));
	assert_int_equal(vd_get(&d, 0x14, 1) & 8, 0);
	vd_negotiate(&d, vd_offered(&d));
	assert_int_equal(vd_get(&d, 0x14, 1) & 8, 8);
	vd_negotiate(&d, 0); /* not even VERSION_1 */
	assert_int_equal(vd_get(&d, 0x14, 1) & 8, 0);
	rig_free(rig);
}

static void legacy_drivers_work(void **state)
{
	struct rig *rig = rig_new(&virtio_blk_class.pci.dev, "drive=disk0");
	uint64_t io = rig_bar(rig, 0);
	unsigned size = rig_in(rig, io + 12, 2);
	uint8_t *ring = rig_ram(rig) + VD_RINGS;
	unsigned avail = 16 * size, used = ALIGN_UP(avail + 6 + 2 * size, 4096);

	(void)state;
	assert_int_equal(rig_config_read(rig, PCI_DEVICE_ID, 2), 0x1001);
	assert_int_equal(size, 256);
	assert_int_equal(rig_in(rig, io + 20, 4), SECTORS);
	rig_out(rig, io + 18, 1, 3);
	rig_out(rig, io + 4, 4, 0);
	rig_out(rig, io + 14, 2, 0);
	rig_out(rig, io + 8, 4, VD_RINGS / 4096);
	rig_out(rig, io + 18, 1, 7);
	block_header(rig, 0, 9);
	vd_write_descriptor(ring, HEADER, 16, VD_NEXT, 1);
	vd_write_descriptor(ring + 16, DATA, 512, VD_NEXT | VD_WRITE, 2);
	vd_write_descriptor(ring + 32, STATUS, 1, VD_WRITE, 0);
	store_le16(ring + avail + 2, 1);
	rig_out(rig, io + 16, 2, 0);
	rig_settle(rig);
	assert_int_equal(load_le16(ring + used + 2), 1);
	assert_int_equal(rig_ram(rig)[STATUS], 0);
	assert_memory_equal(rig_ram(rig) + DATA, rig_disk(rig, 0) + 9 * 512, 512);
	assert_int_equal(rig_in(rig, io + 19, 1), 1);
	assert_int_equal(rig_in(rig, io + 19, 1), 0);
	rig_free(rig);
}

static void names_decide_the_interfaces(void **state)
{
	struct rig *rig = rig_new(&virtio_rng_modern_class.pci.dev, "");

	(void)state;
	assert_int_equal(rig_config_read(rig, PCI_DEVICE_ID, 2), 0x1044);
	assert_int_equal(rig_config_read(rig, PCI_BAR0, 4), 0);
	rig_free(rig);
	rig = rig_new(&virtio_rng_class.pci.dev, "disable-legacy=on,disable-modern=on");
	assert_null(rig);
}

static void config_space_reaches_the_bar(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, 0);
	unsigned cap = rig_config_read(rig, PCI_CAPABILITIES, 1);

	(void)state;
	while (rig_config_read(rig, cap, 1) != 9 || rig_config_read(rig, cap + 3, 1) != 5)
		cap = rig_config_read(rig, cap + 1, 1);
	rig_config_write(rig, cap + 4, 1, 4);
	rig_config_write(rig, cap + 8, 4, 0x14);
	rig_config_write(rig, cap + 12, 4, 1);
	assert_int_equal(rig_config_read(rig, cap + 16, 1), 15);
	rig_config_write(rig, cap + 16, 1, 0);
	assert_int_equal(vd_get(&d, 0x14, 1), 0);
	rig_config_write(rig, cap + 8, 4, 0xffffffff);
	rig_config_write(rig, cap + 12, 4, 4);
	rig_config_read(rig, cap + 16, 4);
	rig_free(rig);
}

/* Network --------------------------------------------------------------------------------- */

enum { RX, TX, CTRL, MRG = 15, CTRL_VQ = 17, CTRL_RX = 18 };

static struct rig *open_nic(struct vd *d, uint64_t features)
{
	return open_device(d, &virtio_net_class, "netdev=net0,mac=52:54:00:00:00:07", features, 3);
}

static void give_buffers(struct vd *d, unsigned count, uint32_t bytes)
{
	for (unsigned i = 0; i < count; i++) {
		const struct vd_piece piece = { DATA + i * 0x1000, bytes, true };

		vd_add(d, RX, &piece, 1);
	}
	vd_kick(d, RX);
}

static void make_frame(uint8_t *frame, size_t bytes)
{
	static const uint8_t header[14] = { 0x52, 0x54, 0, 0, 0, 7, 2, 2, 2, 2, 2, 2, 0x08, 0x06 };

	for (size_t i = 0; i < bytes; i++)
		frame[i] = i * 7;
	memcpy(frame, header, sizeof(header));
}

static void frames_fill_as_many_buffers_as_they_need(void **state)
{
	struct vd d;
	struct rig *rig = open_nic(&d, BIT(MRG));
	uint8_t frame[1500];
	uint32_t written;

	(void)state;
	make_frame(frame, sizeof(frame));
	give_buffers(&d, 3, 1000);
	rig_receive(rig, frame, sizeof(frame));
	assert_int_equal(vd_used(&d, RX, &written), 0);
	assert_int_equal(written, 1000);
	assert_int_equal(load_le16(rig_ram(rig) + DATA + 10), 2);
	assert_memory_equal(rig_ram(rig) + DATA + 12, frame, 988);
	assert_int_equal(vd_used(&d, RX, &written), 1);
	assert_int_equal(written, 512);
	assert_memory_equal(rig_ram(rig) + DATA + 0x1000, frame + 988, 512);
	/* not enough left: the frame goes, the buffer stays */
	rig_receive(rig, frame, sizeof(frame));
	assert_int_equal(vd_used(&d, RX, NULL), -1);
	rig_receive(rig, frame, 900);
	assert_int_equal(vd_used(&d, RX, &written), 2);
	assert_int_equal(written, 912);
	rig_free(rig);
}

static void frames_are_sent(void **state)
{
	struct vd d;
	struct rig *rig = open_nic(&d, 0);
	const struct vd_piece pieces[] = { { HEADER, 12, false }, { DATA, 100, false } };
	const struct vd_piece whole = { DATA, 8, false };
	size_t bytes;

	(void)state;
	memset(rig_ram(rig) + HEADER, 0, 12);
	make_frame(rig_ram(rig) + DATA, 100);
	vd_add(&d, TX, pieces, 2);
	vd_kick(&d, TX);
	assert_int_equal(vd_used(&d, TX, NULL), 0);
	assert_memory_equal(rig_frame_last(rig, &bytes), rig_ram(rig) + DATA, 100);
	assert_int_equal(bytes, 100);
	vd_add(&d, TX, &whole, 1); /* shorter than the header */
	vd_kick(&d, TX);
	assert_true(vd_is_broken(&d));
	rig_free(rig);
}

static uint16_t sum_of(const uint8_t *bytes, size_t count, uint32_t sum)
{
	for (size_t i = 0; i < count; i++)
		sum += i % 2 ? bytes[i] : bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void large_segments_are_cut(void **state)
{
	enum { PAYLOAD = 2500 };
	struct vd d;
	struct rig *rig = open_nic(&d, BIT(0) | BIT(11));
	uint8_t *header = rig_ram(rig) + HEADER, *ip = rig_ram(rig) + DATA + 14, *tcp = ip + 20;
	const struct vd_piece pieces[] = { { HEADER, 12, false }, { DATA, 54 + PAYLOAD, false } };
	const uint8_t *sent;
	size_t bytes;

	(void)state;
	make_frame(rig_ram(rig) + DATA, 54 + PAYLOAD);
	store_be16(ip - 2, 0x0800);
	ip[0] = 0x45;
	ip[9] = 6;
	store_be32(tcp + 4, 1000);
	tcp[12] = 0x50;
	tcp[13] = 0x19; /* FIN, PSH, ACK */
	memset(header, 0, 12);
	header[0] = 1;
	header[1] = 1;
	store_le16(header + 4, 1000);
	vd_add(&d, TX, pieces, 2);
	vd_kick(&d, TX);
	assert_int_equal(rig_frames(rig), 3);
	sent = rig_frame_last(rig, &bytes);
	assert_int_equal(bytes, 54 + 500);
	assert_int_equal(load_be32(sent + 38), 3000);
	assert_int_equal(sent[47], 0x19);
	assert_int_equal(load_be16(sent + 16), 540);
	assert_int_equal(sum_of(sent + 14, 20, 0), 0xffff);
	assert_int_equal(sum_of(sent + 34, 520, 6 + 520 + sum_of(sent + 26, 8, 0)), 0xffff);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(sent[54 + i], (uint8_t)((54 + 2000 + i) * 7));
	/* nonsense is dropped */
	store_le16(header + 4, 0);
	vd_add(&d, TX, pieces, 2);
	header[1] = 1;
	vd_kick(&d, TX);
	header[1] = 0;
	store_le16(header + 6, 0xffff);
	vd_add(&d, TX, pieces, 2);
	vd_kick(&d, TX);
	assert_int_equal(rig_frames(rig), 3);
	assert_false(vd_is_broken(&d));
	rig_free(rig);
}

/* CVE-2014-0150: more addresses than the table holds, and fewer than announced. */
static void the_filter_obeys_control_commands(void **state)
{
	struct vd d;
	struct rig *rig = open_nic(&d, BIT(MRG) | BIT(CTRL_VQ) | BIT(CTRL_RX));
	uint8_t *command = rig_ram(rig) + HEADER, frame[64];
	struct vd_piece pieces[] = { { HEADER, 3, false }, { STATUS, 1, true } };

	(void)state;
	make_frame(frame, sizeof(frame));
	frame[5] = 8;                 /* somebody else */
	memcpy(command, "\0\0\0", 3); /* not promiscuous */
	vd_add(&d, CTRL, pieces, 2);
	vd_kick(&d, CTRL);
	assert_int_equal(rig_ram(rig)[STATUS], 0);
	give_buffers(&d, 2, 2000);
	rig_receive(rig, frame, sizeof(frame));
	assert_int_equal(vd_used(&d, RX, NULL), -1);
	memset(command, 0, 2048);
	command[0] = 1;
	store_le32(command + 2, 200);
	pieces[0].bytes = 2 + 4 + 200 * 6 + 4;
	memset(command + 6, 0xee, 1200);
	memset(command + 1206, 0, 4);
	pieces[1].gpa = MORE;
	vd_add(&d, CTRL, pieces, 2);
	vd_kick(&d, CTRL);
	assert_int_equal(rig_ram(rig)[MORE], 0);
	rig_receive(rig, frame, sizeof(frame)); /* too many: all unicast */
	assert_true(vd_used(&d, RX, NULL) >= 0);
	store_le32(command + 2, UINT32_MAX);
	vd_add(&d, CTRL, pieces, 2);
	vd_kick(&d, CTRL);
	assert_int_equal(rig_ram(rig)[MORE], 1);
	rig_free(rig);
}

/* Serial and entropy ---------------------------------------------------------------------- */

static void a_console_passes_bytes(void **state)
{
	struct rig *rig = rig_new(&virtio_serial_class.pci.dev, "max_ports=1");
	const struct vd_piece out = { DATA, 5, false }, in = { MORE, 16, true };
	struct vd d;
	const uint8_t *sent;
	size_t count;
	uint32_t written = 0;

	(void)state;
	vd_open(&d, rig, 0, 2);
	assert_non_null(rig_add(rig, &virtconsole_class, NULL, "chardev=char0"));
	memcpy(rig_ram(rig) + DATA, "hello", 5);
	rig_choke(rig, 0, true);
	vd_add(&d, 1, &out, 1);
	vd_kick(&d, 1);
	assert_int_equal(vd_used(&d, 1, NULL), -1);
	rig_choke(rig, 0, false);
	chardev_can_send(chardev_find(rig_board(rig), "char0"));
	sent = rig_sent(rig, 0, &count);
	assert_int_equal(count, 5);
	assert_memory_equal(sent, "hello", 5);
	assert_int_equal(vd_used(&d, 1, NULL), 0);
	assert_int_equal(rig_type(rig, 0, "x", 1), 0); /* no buffer yet */
	vd_add(&d, 0, &in, 1);
	vd_kick(&d, 0);
	assert_int_equal(rig_type(rig, 0, "yes", 3), 3);
	assert_int_equal(vd_used(&d, 0, &written), 0);
	assert_int_equal(written, 3);
	assert_memory_equal(rig_ram(rig) + MORE, "yes", 3);
	rig_free(rig);
}

static void control(struct vd *d, uint32_t port, unsigned event, unsigned value)
{
	const struct vd_piece piece = { HEADER, 8, false };

	store_le32(rig_ram(d->rig) + HEADER, port);
	store_le16(rig_ram(d->rig) + HEADER + 4, event);
	store_le16(rig_ram(d->rig) + HEADER + 6, value);
	vd_add(d, 3, &piece, 1);
	vd_kick(d, 3);
}

/* The next control message from the device: event, or -1; its text is at DATA + 8. */
static int told(struct vd *d, uint32_t port)
{
	const struct vd_piece piece = { DATA, 64, true };
	uint32_t written = 0;

	memset(rig_ram(d->rig) + DATA, 0, 64);
	vd_add(d, 2, &piece, 1);
	vd_kick(d, 2);
	if (vd_used(d, 2, &written) < 0)
		return -1;
	assert_int_equal(load_le32(rig_ram(d->rig) + DATA), port);
	return load_le16(rig_ram(d->rig) + DATA + 4);
}

static void ports_are_announced_with_their_names(void **state)
{
	struct rig *rig = rig_new(&virtio_serial_class.pci.dev, "");
	struct vd d;

	(void)state;
	vd_open(&d, rig, BIT(1), 6);
	assert_non_null(rig_add(rig, &virtserialport_class, NULL,
				"chardev=char1,name=org.qemu.guest_agent.0"));
	control(&d, 0, 0, 1); /* DEVICE_READY */
	assert_int_equal(told(&d, 1), 1);
	control(&d, 1, 3, 1); /* PORT_READY */
	assert_int_equal(told(&d, 1), 7);
	assert_string_equal((char *)rig_ram(rig) + DATA + 8, "org.qemu.guest_agent.0");
	control(&d, 31, 3, 1); /* CVE-2015-5745: a port that cannot be */
	control(&d, UINT32_MAX, 6, 1);
	assert_false(vd_is_broken(&d));
	rig_free(rig);
}

static void entropy_fills_buffers(void **state)
{
	struct vd d;
	struct rig *rig = open_device(&d, &virtio_rng_class, "max-bytes=100,period=1000", 0, 0);
	const struct vd_piece piece = { DATA, 64, true };
	uint32_t written = 0;

	(void)state;
	vd_set(&d, 0x14, 1, 0);
	vd_negotiate(&d, BIT(32));
	d.queue[0] = (struct vd_queue){ .base = VD_RINGS };
	vd_set(&d, 0x16, 2, 0);
	assert_int_equal(vd_get(&d, 0x18, 2), 8);
	vd_set(&d, 0x20, 8, VD_RINGS);
	vd_set(&d, 0x28, 8, VD_RINGS + VD_AVAIL);
	vd_set(&d, 0x30, 8, VD_RINGS + VD_USED);
	vd_set(&d, 0x1c, 2, 1);
	vd_ok(&d);
	for (unsigned i = 0; i < 3; i++)
		vd_add(&d, 0, &piece, 1);
	vd_kick(&d, 0);
	assert_int_equal(vd_used(&d, 0, &written), 0);
	assert_int_equal(written, 64);
	assert_int_equal(vd_used(&d, 0, &written), 1);
	assert_int_equal(written, 36);
	assert_int_equal(vd_used(&d, 0, &written), -1);
	assert_int_equal(board_next_deadline(rig_board(rig)), SECOND); /* no turn before */
	rig_advance(rig, SECOND);
	assert_int_equal(vd_used(&d, 0, &written), 2);
	assert_int_equal(written, 64);
	rig_free(rig);
}

/* Turns ----------------------------------------------------------------------------------- */

enum { MOST_PER_TURN = 2 * VD_QUEUE };

/* The driver on another vCPU: adds a chain while the device serves one, and never notifies. */
struct adder {
	struct vd *d;
	unsigned queue, left, count;
	struct vd_piece piece[3];
};

static void add_one(struct adder *adder)
{
	if (!adder->left)
		return;
	adder->left--;
	vd_add(adder->d, adder->queue, adder->piece, adder->count);
}

static unsigned served(struct vd *d, unsigned queue)
{
	return load_le16(rig_ram(d->rig) + d->queue[queue].base + VD_USED + 2);
}

/* Chains of 2.5 turns are added during the first: it ends, the others come by themselves. */
static void check_turns(struct adder *adder)
{
	struct rig *rig = adder->d->rig;

	adder->left = 5 * VD_QUEUE;
	add_one(adder);
	vd_kick(adder->d, adder->queue);
	assert_int_equal(served(adder->d, adder->queue), MOST_PER_TURN);
	rig_advance(rig, MILLISECOND);
	assert_int_equal(served(adder->d, adder->queue), 5 * VD_QUEUE);
	assert_int_equal(board_next_deadline(rig_board(rig)), 0);
}

static void add_at_send(void *peer, const uint8_t *frame, size_t bytes)
{
	(void)frame;
	(void)bytes;
	add_one(peer);
}

static struct rig *open_busy_nic(struct vd *d, struct adder *adder, uint64_t features)
{
	static const struct netdev_driver driver = { .name = "busy", .send = add_at_send };
	struct rig *rig = rig_open(true);

	*adder = (struct adder){ .d = d,
				 .queue = TX,
				 .count = 2,
				 .piece = { { HEADER, 12, false }, { DATA, 60, false } } };
	netdev_new(rig_board(rig), "busy", &driver, adder, NULL);
	assert_non_null(rig_add(rig, &virtio_net_class.pci.dev, NULL, "netdev=busy"));
	vd_open(d, rig, features, 3);
	return rig;
}

static void frames_added_during_a_turn_get_another(void **state)
{
	static const uint64_t features[] = { 0, EVENT_IDX };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(features); i++) {
		struct adder adder;
		struct vd d;
		struct rig *rig = open_busy_nic(&d, &adder, features[i]);

		check_turns(&adder);
		rig_free(rig);
	}
}

static void add_at_message(void *tap, uint64_t address, uint32_t data)
{
	(void)address;
	(void)data;
	add_one(tap);
}

static void requests_added_during_a_turn_get_another(void **state)
{
	struct vd d;
	struct rig *rig = open_disk(&d, 0);
	struct adder adder = {
		.d = &d,
		.count = 3,
		.piece = { { HEADER, 16, false }, { DATA, 20, true }, { STATUS, 1, true } }
	};
	const struct board_tap tap = { .msi = add_at_message, .tap = &adder };

	(void)state;
	block_header(rig, 8, 0); /* the serial number: answered at once */
	use_messages(&d);
	board_tap(rig_board(rig), &tap);
	check_turns(&adder);
	rig_free(rig);
}

static size_t add_at_bytes(void *peer, const uint8_t *bytes, size_t count)
{
	(void)bytes;
	add_one(peer);
	return count;
}

static void bytes_added_during_a_turn_get_another(void **state)
{
	static const struct chardev_driver driver = { .name = "busy", .send = add_at_bytes };
	struct rig *rig = rig_open(true);
	struct vd d;
	struct adder adder = { .d = &d, .queue = 1, .count = 1, .piece = { { DATA, 5, false } } };

	(void)state;
	chardev_new(rig_board(rig), "busy", &driver, &adder, NULL);
	assert_non_null(rig_add(rig, &virtio_serial_class.pci.dev, NULL, "max_ports=1"));
	vd_open(&d, rig, 0, 2);
	assert_non_null(rig_add(rig, &virtconsole_class, NULL, "chardev=busy"));
	check_turns(&adder);
	rig_free(rig);
}

static void a_driver_that_never_stops_leaves_time_to_others(void **state)
{
	struct adder adder;
	struct vd d;
	struct rig *rig = open_busy_nic(&d, &adder, 0);
	uint64_t next;

	(void)state;
	adder.left = UINT32_MAX;
	add_one(&adder);
	vd_kick(&d, TX);
	next = board_next_deadline(rig_board(rig));
	rig_advance(rig, next - 1);
	assert_int_equal(served(&d, TX), MOST_PER_TURN);
	vd_kick(&d, TX);
	assert_int_equal(board_next_deadline(rig_board(rig)), next); /* not put off */
	rig_advance(rig, MILLISECOND);
	assert_in_range(served(&d, TX), 3 * MOST_PER_TURN, 20 * MOST_PER_TURN);
	rig_free(rig);
}

static void another_turn_survives_a_snapshot(void **state)
{
	struct adder adder, twin_adder;
	struct vd d, twin_d;
	struct rig *rig = open_busy_nic(&d, &adder, 0);
	struct rig *twin = open_busy_nic(&twin_d, &twin_adder, 0);

	(void)state;
	adder.left = MOST_PER_TURN + 1;
	add_one(&adder);
	vd_kick(&d, TX);
	rig_copy(twin, rig);
	assert_int_equal(served(&twin_d, TX), MOST_PER_TURN);
	rig_advance(twin, MILLISECOND);
	assert_int_equal(served(&twin_d, TX), MOST_PER_TURN + 1);
	rig_free(twin);
	rig_free(rig);
}

static void another_turn_ends_with_a_reset_and_what_is_broken(void **state)
{
	const struct vd_piece no_command = { MORE, 1, false };
	struct adder adder;
	struct vd d;
	struct rig *rig = open_busy_nic(&d, &adder, 0);

	(void)state;
	adder.left = MOST_PER_TURN + 1;
	add_one(&adder);
	vd_kick(&d, TX);
	vd_open(&d, rig, 0, 3);
	assert_int_equal(board_next_deadline(rig_board(rig)), 0);
	adder.left = MOST_PER_TURN + 1;
	add_one(&adder);
	rig_advance(rig, MILLISECOND);
	assert_int_equal(served(&d, TX), 0); /* the driver has not told of it */
	vd_kick(&d, TX);
	vd_add(&d, CTRL, &no_command, 1);
	vd_kick(&d, CTRL);
	assert_true(vd_is_broken(&d));
	rig_advance(rig, MILLISECOND);
	assert_int_equal(served(&d, TX), MOST_PER_TURN);
	assert_int_equal(board_next_deadline(rig_board(rig)), 0);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disk_reads_and_writes),
		cmocka_unit_test(what_is_outside_the_disk_fails),
		cmocka_unit_test(ranges_are_cleared),
		cmocka_unit_test(many_requests_are_in_flight),
		cmocka_unit_test(a_reset_waits_for_the_disk),
		cmocka_unit_test(indirect_tables_are_followed_once),
		cmocka_unit_test(event_indexes_hold_notifications_back),
		cmocka_unit_test(messages_follow_the_vectors),
		cmocka_unit_test(broken_rings_stop_the_device),
		cmocka_unit_test(requests_in_flight_are_bounded),
		cmocka_unit_test(queues_that_are_not_there_are_ignored),
		cmocka_unit_test(features_not_offered_are_refused),
		cmocka_unit_test(legacy_drivers_work),
		cmocka_unit_test(names_decide_the_interfaces),
		cmocka_unit_test(config_space_reaches_the_bar),
		cmocka_unit_test(frames_fill_as_many_buffers_as_they_need),
		cmocka_unit_test(frames_are_sent),
		cmocka_unit_test(large_segments_are_cut),
		cmocka_unit_test(the_filter_obeys_control_commands),
		cmocka_unit_test(a_console_passes_bytes),
		cmocka_unit_test(ports_are_announced_with_their_names),
		cmocka_unit_test(entropy_fills_buffers),
		cmocka_unit_test(frames_added_during_a_turn_get_another),
		cmocka_unit_test(requests_added_during_a_turn_get_another),
		cmocka_unit_test(bytes_added_during_a_turn_get_another),
		cmocka_unit_test(a_driver_that_never_stops_leaves_time_to_others),
		cmocka_unit_test(another_turn_survives_a_snapshot),
		cmocka_unit_test(another_turn_ends_with_a_reset_and_what_is_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
