/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The core itself, under devices made for it: fields, buses, memory, PCI, timers, snapshots. */
#include "core/block.h"
#include "core/internal.h"
#include "dev/all.h"
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A device that remembers its last access and has one field of each kind. */
struct part {
	uint8_t small;
	uint16_t words[2];
};

struct probe {
	struct dev dev;
	bool flag;
	uint8_t byte, mode;
	uint16_t port;
	uint64_t size;
	int64_t offset;
	char *text;
	struct mac_address mac;
	struct block *disk;
	struct chardev *line;

	uint32_t state;
	struct part parts[3];
	struct timer timer[3];
	uint8_t order[8];
	unsigned fired;

	struct {
		uint64_t offset, value;
		unsigned size, count;
	} last;
	uint8_t memory[64];
};

static const struct field part_fields[] = {
	STATE(struct part, small, .max = 9),
	STATE(struct part, words),
	{ 0 }
};

static const struct field probe_fields[] = {
	SETTING(struct probe, flag, .def = true, .help = "a flag"),
	SETTING(struct probe, byte, .min = 2, .max = 20, .def = 7, .help = "a byte"),
	SETTING(struct probe, mode, .choices = "auto,on,off", .help = "a choice"),
	SETTING(struct probe, port, .def = 0x100, .help = "a port"),
	SETTING(struct probe, size, .is_size = true, .help = "a size"),
	SETTING(struct probe, offset, .max = 1000, .help = "a signed number"),
	SETTING(struct probe, text, .text_def = "none", .help = "text"),
	SETTING(struct probe, mac, .help = "an address"),
	SETTING(struct probe, disk, .help = "a disk"),
	SETTING(struct probe, line, .help = "a chardev"),
	STATE(struct probe, state),
	STATE_STRUCTS(struct probe, parts, part_fields),
	STATE(struct probe, memory, .since = 2),
	{ 0 }
};

static struct probe *to_probe(struct dev *dev)
{
	return container_of(dev, struct probe, dev);
}

static uint64_t probe_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct probe *p = to_probe(dev);

	p->last.offset = offset, p->last.size = size, p->last.count++;
	return load_le(p->memory + offset % 56, size);
}

static void probe_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct probe *p = to_probe(dev);

	p->last.offset = offset, p->last.size = size, p->last.value = value, p->last.count++;
	store_le(p->memory + offset % 56, value, size);
}

static const struct region bytes_only = { "bytes", 1, 1, probe_read, probe_write };
static const struct region words_only = { "dwords", 4, 4, probe_read, probe_write };
static const struct region any_size = { "any", 1, 8, probe_read, probe_write };

static void on_timer(struct dev *dev)
{
	struct probe *p = to_probe(dev);

	p->order[p->fired++ % 8] = (uint8_t)(dev_now(dev) / SECOND);
}

static int probe_attach(struct dev *dev, struct err *err)
{
	struct probe *p = to_probe(dev);

	for (unsigned i = 0; i < 3; i++)
		claim_timer(dev, &p->timer[i], on_timer);
	return claim_ports(dev, &bytes_only, p->port, 16, err);
}

static const struct dev_class probe_class = {
	.name = "probe",
	.summary = "a device for tests of the core",
	.size = sizeof(struct probe),
	.fields = probe_fields,
	.attach = probe_attach,
};

static void settings_are_parsed(void)
{
	struct rig *rig = rig_open(false);
	struct probe *p = to_probe(rig_add(rig, &probe_class, "p", "byte=0x10,mode=off,flag=off,"
					   "size=3M,offset=-5,text=a,,b,mac=52:54:00:12:34:56,"
					   "disk=disk1,line=char0"));

	CHECK_EQ(p->byte, 16);
	CHECK_EQ(p->mode, 2);
	CHECK_EQ(p->flag, false);
	CHECK_EQ(p->size, 3 << 20);
	CHECK_EQ(p->offset, -5);
	CHECK_EQ(strcmp(p->text, "a,b"), 0);
	CHECK_EQ(p->mac.byte[5], 0x56);
	CHECK_EQ(strcmp(block_id(p->disk), "disk1"), 0);
	CHECK_EQ(strcmp(chardev_id(p->line), "char0"), 0);
	rig_free(rig);
	rig = rig_new(&probe_class, "");
	p = to_probe(rig_dev(rig));
	CHECK_EQ(p->byte, 7);
	CHECK_EQ(p->flag, true);
	CHECK_EQ(strcmp(p->text, "none"), 0);
	rig_free(rig);
}

static void bad_settings_are_named(void)
{
	static const char *const bad[] = {
		"byte=1", "byte=21", "byte=x", "byte=", "byte=3k", "flag=maybe", "mode=on,mode=2",
		"size=20000000T", "offset=1001", "offset=-1001", "mac=52:54", "disk=none",
		"line=disk0", "colour=red", "state=1", "size=-1", "port=0x10000", "port=0xfff8",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!rig_new(&probe_class, bad[i]));
}

static void state_survives_whatever_its_order(void)
{
	struct rig *rig = rig_new(&probe_class, "");
	struct probe *p = to_probe(rig_dev(rig));
	uint8_t out[1024], swapped[1024];
	size_t size, first;

	p->state = 0x12345678;
	p->parts[2].words[1] = 77;
	size = fields_save(probe_fields, p, out, sizeof(out));
	CHECK(size < sizeof(out));
	p->state = p->parts[2].words[1] = 0;
	first = 1 + 5 + 4 + 4; /* "state" */
	memcpy(swapped, out + first, size - first);
	memcpy(swapped + size - first, out, first);
	CHECK_EQ(fields_load(probe_fields, p, swapped, size, NULL), 0);
	CHECK_EQ(p->state, 0x12345678);
	CHECK_EQ(p->parts[2].words[1], 77);
	/* The last row came with version 2: an older state lacks it. */
	CHECK_EQ(fields_load(probe_fields, p, out, size - (1 + 6 + 4 + 64), NULL), 0);
	CHECK_EQ(fields_load(probe_fields, p, out + first, size - first, NULL), -EINVAL);
	for (size_t cut = 1; cut < size; cut++)
		fields_load(probe_fields, p, out, cut, NULL);
	rig_free(rig);
}

static void accesses_are_split_and_widened(void)
{
	struct rig *rig = rig_new(&probe_class, "");
	struct dev *dev = rig_dev(rig);
	struct probe *p = to_probe(dev);

	rig_out(rig, 0x104, 4, 0x44332211);
	CHECK_EQ(p->last.count, 4);
	CHECK_EQ(p->memory[7], 0x44);
	CHECK_EQ(rig_in(rig, 0x105, 2), 0x3322);
	CHECK_EQ(rig_in(rig, 0x10f, 2), 0xff00); /* half of it is nobody's */
	CHECK_EQ(claim_mmio(dev, &words_only, 0xe0000000, 64, NULL), 0);
	p->last.count = 0;
	rig_write(rig, 0xe0000009, 1, 0xaa);
	CHECK_EQ(p->last.count, 2); /* a read and a write of four */
	CHECK_EQ(load_le32(p->memory + 8), 0xaa00);
	CHECK_EQ(rig_read(rig, 0xe0000006, 4), 0xaa004433);
	CHECK_EQ(rig_read(rig, 0xe0000004, 8), 0xaa0044332211);
	CHECK_EQ(rig_read(rig, 0xe0001000, 4), 0xffffffff);
	rig_free(rig);
}

static void claims_inside_lie_over_and_overlaps_are_errors(void)
{
	struct rig *rig = rig_new(&probe_class, "");
	struct dev *dev = rig_dev(rig), *second;
	struct probe *p = to_probe(dev);

	CHECK_EQ(claim_ports(dev, &any_size, 0xcf8, 4, NULL), 0);
	CHECK(!rig_add(rig, &probe_class, NULL, "port=0xf8"));
	CHECK(!rig_add(rig, &probe_class, NULL, "port=0xcf0"));
	second = rig_add(rig, &probe_class, NULL, "port=0x200");
	CHECK_EQ(claim_ports(second, &bytes_only, 0xcf9, 1, NULL), 0);
	rig_out(rig, 0xcf8, 4, 0x80000000);
	CHECK_EQ(p->last.size, 4); /* whole, to the claim at its first byte */
	to_probe(second)->last.count = 0;
	rig_out(rig, 0xcf9, 1, 6);
	CHECK_EQ(to_probe(second)->last.count, 1);
	dev_free(second);
	p->last.size = 0;
	rig_out(rig, 0xcf9, 1, 6);
	CHECK_EQ(p->last.size, 1);
	rig_free(rig);
}

static void later_memory_is_seen_and_devices_are_not_dma(void)
{
	struct rig *rig = rig_new(&probe_class, "");
	struct dev *dev = rig_dev(rig);
	struct ram *rom = ram_new(dev, "rom", 8192, NULL);
	uint8_t byte = 1;
	size_t bytes = 0x4000;

	memset(ram_host(rom), 0xee, 8192);
	CHECK_EQ(ram_map(rom, 4096, 0x9000, 4096, true, NULL), 0);
	CHECK_EQ(dma_read(dev, 0x9fff, &byte, 1), 0);
	CHECK_EQ(byte, 0xee);
	CHECK_EQ(dma_write(dev, 0x9fff, &byte, 1), -EFAULT);
	CHECK_EQ(dma_write(dev, 0x8fff, "xy", 2), -EFAULT);
	CHECK(dma_map(dev, 0x8000, &bytes, true) == rig_ram(rig) + 0x8000);
	CHECK_EQ(bytes, 0x1000);
	CHECK_EQ(ram_map(rom, 1, 0x9000, 4096, true, NULL), -EINVAL);
	CHECK_EQ(ram_map(rom, 4096, 0x9000, 8192, true, NULL), -EINVAL);
	ram_unmap(rom, 0x9000);
	bytes = 0x4000;
	CHECK(dma_map(dev, 0x8000, &bytes, true));
	CHECK_EQ(bytes, 0x4000);
	CHECK_EQ(claim_mmio(dev, &any_size, 0xe0000000, 64, NULL), 0);
	CHECK_EQ(dma_read(dev, 0xe0000000, &byte, 1), -EFAULT);
	CHECK_EQ(dma_read(dev, UINT64_MAX, &byte, 1), -EFAULT);
	CHECK_EQ(to_probe(dev)->last.count, 0);
	rig_free(rig);
}

static void expect_count(uint64_t *seen, bool rises)
{
	CHECK_EQ(*ram_writes() > *seen, rises);
	*seen = *ram_writes();
}

/* Each way to write is counted, so that an engine looks whether its code is what it was; none to read is. */
static void writes_are_counted(void)
{
	struct rig *rig = rig_new(&probe_class, "");
	struct dev *dev = rig_dev(rig);
	struct ram *ram = ram_new(dev, "frame", 4096, NULL);
	uint64_t seen = *ram_writes();
	size_t bytes = 16;
	uint8_t byte = 1;
	void *host;

	CHECK_EQ(ram_map(ram, 0, 0xe0000000, 4096, true, NULL), 0);
	CHECK_EQ(dma_read(dev, 0x8000, &byte, 1), 0);
	CHECK_EQ(board_memory_read(rig_board(rig), 0x8000, &byte, 1), 0);
	expect_count(&seen, false);
	CHECK_EQ(dma_write(dev, 0x8000, &byte, 1), 0);
	expect_count(&seen, true);
	host = dma_map(dev, 0x8000, &bytes, true);
	dma_unmap(dev, host, bytes, true);
	expect_count(&seen, true);
	host = dma_map(dev, 0x8000, &bytes, true);
	dma_unmap(dev, host, bytes, false); /* part of it may have been written */
	expect_count(&seen, true);
	CHECK_EQ(dma_write(dev, 0xdfffffff, "ab", 2), -EFAULT);
	expect_count(&seen, false);
	CHECK_EQ(board_memory_write(rig_board(rig), 0x8000, &byte, 1), 0);
	expect_count(&seen, true);
	CHECK_EQ(board_rom_write(rig_board(rig), 0xe0000000, &byte, 1), 0);
	expect_count(&seen, true);
	ram_mark_dirty(ram, 0, 1);
	expect_count(&seen, true);
	ram_clear(ram);
	expect_count(&seen, true);
	rig_free(rig);
}

static void note_dirty(struct dev *dev, uint64_t offset, uint64_t bytes)
{
	to_probe(dev)->last.offset = offset;
	to_probe(dev)->last.value = bytes;
	to_probe(dev)->last.count++;
}

static void dirty_pages_are_told_once(void)
{
	struct rig *rig = rig_new(&probe_class, "");
	struct dev *dev = rig_dev(rig);
	struct probe *p = to_probe(dev);
	struct ram *ram = ram_new(dev, "frame", 1 << 20, NULL);

	CHECK_EQ(ram_map(ram, 0, 0xe0000000, 1 << 20, false, NULL), 0);
	ram_take_dirty(ram, note_dirty, dev);
	CHECK_EQ(p->last.value, 1 << 20);
	p->last.count = 0;
	CHECK_EQ(dma_write(dev, 0xe0001fff, "ab", 2), 0);
	ram_take_dirty(ram, note_dirty, dev);
	CHECK_EQ(p->last.count, 1);
	CHECK_EQ(p->last.offset, 0x1000);
	CHECK_EQ(p->last.value, 0x2000);
	ram_take_dirty(ram, note_dirty, dev);
	CHECK_EQ(p->last.count, 1);
	rig_free(rig);
}

static void timers_fire_in_order(void)
{
	struct rig *rig = rig_new(&probe_class, "");
	struct probe *p = to_probe(rig_dev(rig));

	timer_arm(&p->timer[0], 3 * SECOND);
	timer_arm(&p->timer[1], 1 * SECOND);
	timer_arm(&p->timer[2], 2 * SECOND);
	timer_arm(&p->timer[1], 4 * SECOND);
	CHECK_EQ(board_next_deadline(rig_board(rig)), 2 * SECOND);
	rig_advance(rig, 3 * SECOND);
	timer_stop(&p->timer[1]);
	rig_advance(rig, 3 * SECOND);
	CHECK_EQ(p->fired, 2);
	CHECK_EQ(p->order[0], 2);
	CHECK_EQ(p->order[1], 3);
	rig_free(rig);
}

static void lines_are_the_or_of_devices(void)
{
	struct rig *rig = rig_new(&probe_class, "");
	struct dev *a = rig_dev(rig), *b = rig_add(rig, &probe_class, NULL, "port=0x200");

	irq_set(a, 10, true);
	irq_set(b, 10, true);
	irq_set(a, 10, false);
	CHECK(rig_irq(rig, 10));
	dev_free(b); /* what it drove falls with it */
	CHECK(!rig_irq(rig, 10));
	CHECK_EQ(rig_irq_edges(rig, 10), 1);
	rig_free(rig);
}

/* PCI. */
struct card {
	struct pci_dev pci;
	struct probe probe; /* for the handlers: only its memory */
};

static uint64_t card_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return offset;
}

static const struct region card_region = { "card", 4, 4, card_read, ignore_write };

static int card_attach(struct dev *dev, struct err *err)
{
	int code = pci_claim_bar(dev, 0, &card_region, 32, true, err);

	if (!code)
		code = pci_claim_bar64(dev, 2, &card_region, 65536, true, err);
	if (!code)
		code = pci_add_msi(dev, err);
	return code ? code : pci_add_msix(dev, 5, 3, err);
}

static const struct pci_class card_class = {
	.dev = { .name = "card", .summary = "a PCI device for tests", .size = sizeof(struct card),
		 .bus = &pci_bus_class, .attach = card_attach },
	.ids = { .vendor = 0x1234, .device = 0x5678, .class = 0xff00, .pin = 1 },
};

static void bars_are_sized_and_move(void)
{
	struct rig *rig = rig_new(&card_class.dev, "addr=07.3");

	CHECK_EQ(pci_config_read(rig_board(rig), 0, 0x3b, 0, 4), 0x56781234);
	CHECK_EQ(pci_config_read(rig_board(rig), 0, 0x38, 0, 4), 0xffffffff);
	CHECK_EQ(rig_in(rig, (uint16_t)rig_bar(rig, 0) + 4, 4), 4);
	CHECK_EQ(rig_read(rig, rig_bar(rig, 2) + 0x100, 4), 0x100);
	rig_config_write(rig, PCI_BAR0, 4, 0xffffffff);
	CHECK_EQ(rig_config_read(rig, PCI_BAR0, 4), 0xffffffe1);
	rig_config_write(rig, PCI_BAR0 + 8, 4, 0xffffffff);
	rig_config_write(rig, PCI_BAR0 + 12, 4, 0xffffffff);
	CHECK_EQ(rig_config_read(rig, PCI_BAR0 + 8, 4), 0xffff000c);
	rig_config_write(rig, PCI_BAR0 + 8, 4, 0);
	rig_config_write(rig, PCI_BAR0 + 12, 4, 8);
	CHECK_EQ(rig_read(rig, 0x800000204, 4), 0x204);
	CHECK_EQ(rig_read(rig, rig_bar(rig, 2), 4), 0xffffffff);
	rig_config_write(rig, PCI_COMMAND, 2, 0);
	CHECK_EQ(rig_read(rig, 0x800000204, 4), 0xffffffff);
	CHECK(!rig_add(rig, &card_class.dev, NULL, "addr=7.3"));
	CHECK(!rig_add(rig, &card_class.dev, NULL, "addr=32"));
	rig_free(rig);
}

static unsigned find_capability(struct rig *rig, uint8_t id)
{
	unsigned at = rig_config_read(rig, PCI_CAPABILITIES, 1);

	while (at && rig_config_read(rig, at, 1) != id)
		at = rig_config_read(rig, at + 1, 1);
	return at;
}

static void messages_pend_behind_masks(void)
{
	struct rig *rig = rig_new(&card_class.dev, "");
	unsigned msi = find_capability(rig, 5), msix = find_capability(rig, 17);
	uint64_t table = rig_bar(rig, 5), address;
	uint32_t data;

	rig_config_write(rig, msi + 4, 4, 0xfee01003);
	rig_config_write(rig, msi + 12, 2, 0x41);
	pci_msi_send(rig_dev(rig));
	CHECK_EQ(rig_msi_count(rig), 0);
	rig_config_write(rig, msi + 2, 2, 1);
	rig_config_write(rig, msi + 16, 4, 1);
	pci_msi_send(rig_dev(rig));
	CHECK_EQ(rig_config_read(rig, msi + 20, 4), 1);
	rig_config_write(rig, msi + 16, 4, 0);
	CHECK(rig_msi_last(rig, &address, &data));
	CHECK_EQ(address, 0xfee01000);
	CHECK_EQ(data, 0x41);

	rig_config_write(rig, msix + 2, 2, 0x8000);
	rig_write(rig, table + 16, 8, 0xfee02000);
	rig_write(rig, table + 24, 4, 0x55);
	pci_msix_send(rig_dev(rig), 1);
	pci_msix_send(rig_dev(rig), 3); /* there is none */
	CHECK_EQ(rig_msi_count(rig), 1);
	CHECK_EQ(rig_read(rig, table + 0x800, 8), 2);
	rig_write(rig, table + 0x800, 8, 0); /* CVE-2015-7549: writing the pending bits */
	rig_write(rig, table + 28, 4, 0);
	CHECK_EQ(rig_msi_count(rig), 2);
	rig_msi_last(rig, &address, &data);
	CHECK_EQ(data, 0x55);
	for (unsigned at = 0; at < 4096; at += 4) /* CVE-2020-27821: past the table */
		rig_write(rig, table + at, 4, UINT32_MAX), rig_read(rig, table + at, 8);
	rig_free(rig);
}

static void intx_follows_the_command_register(void)
{
	struct rig *rig = rig_new(&card_class.dev, "addr=05.0");
	unsigned line = 0;

	pci_config_write(rig_board(rig), 0, 1 << 3, 0x60, 4, 0x0b0a0905);
	pci_irq_set(rig_dev(rig), true);
	while (line < 16 && !rig_irq(rig, line))
		line++;
	CHECK(line < 16);
	CHECK_EQ(rig_config_read(rig, PCI_STATUS, 2) & STATUS_INTX, STATUS_INTX);
	rig_config_write(rig, PCI_COMMAND, 2, COMMAND_INTX_OFF);
	CHECK(!rig_irq(rig, line));
	rig_free(rig);
}

/* Disks with a real loop and worker. */
struct slow {
	unsigned flushes, reads;
};

static int slow_read(void *image, uint64_t offset, void *to, size_t bytes)
{
	((struct slow *)image)->reads++;
	memset(to, (int)(offset / 512), bytes);
	return 0;
}

static int slow_write(void *image, uint64_t offset, const void *from, size_t bytes)
{
	(void)image, (void)offset, (void)from, (void)bytes;
	return -EIO;
}

static int slow_flush(void *image)
{
	((struct slow *)image)->flushes++;
	return 0;
}

static const struct block_driver slow_driver = {
	.name = "slow", .read = slow_read, .write = slow_write, .flush = slow_flush,
};

static unsigned done_count;
static int done_error;

static void on_done(struct block_request *request, int error)
{
	(void)request;
	done_count++;
	done_error |= error;
}

static const struct block_options slow_options = { .id = "d", .size = 8192 };

static struct block *add_slow_disk(struct board *board, struct slow *slow)
{
	done_count = 0;
	CHECK_EQ(block_new(board, &slow_driver, slow, &slow_options, NULL), 0);
	return block_find(board, "d");
}

static void requests_complete_on_the_loop(void)
{
	struct slow slow = { 0 };
	struct loop *loop = loop_new();
	struct board_options options = { .loop = loop };
	struct board *board = board_new(&options, NULL);
	struct block *block = add_slow_disk(board, &slow);
	uint8_t buffer[1024];
	struct iovec iov[] = { { buffer, 512 }, { buffer + 512, 512 } };
	struct block_request r[4];

	CHECK_EQ(block_new(board, &slow_driver, &slow, &slow_options, NULL), -EEXIST);
	board_lock(board);
	for (unsigned i = 0; i < 4; i++) {
		r[i] = (struct block_request){ .op = i == 3 ? BLOCK_FLUSH : BLOCK_READ,
					       .offset = 1024, .bytes = 1024, .iov = iov,
					       .iov_count = 2, .done = on_done };
		block_submit(block, &r[i]);
	}
	CHECK_EQ(done_count, 0);
	board_unlock(board);
	while (done_count < 4)
		loop_turn(loop, 1000);
	CHECK_EQ(done_error, 0);
	CHECK_EQ(slow.reads, 6);
	CHECK_EQ(slow.flushes, 1);
	CHECK_EQ(buffer[1023], 3);
	r[0].offset = 7680; /* one sector past the end */
	block_submit(block, &r[0]);
	block_drain(block);
	CHECK_EQ(done_error, -EINVAL);
	done_error = 0;
	r[0].offset = 0;
	r[0].op = BLOCK_WRITE;
	block_submit(block, &r[0]);
	block_drain(block);
	CHECK_EQ(done_error, -EIO);
	board_free(board);
	loop_free(loop);
}

static struct block *chained_disk;

static void on_first_done(struct block_request *request, int error)
{
	request->done = on_done;
	on_done(request, error);
	block_submit(chained_disk, request);
}

/* The worker is idle, as it waits for what the first request's `done` will submit. */
static void a_snapshot_waits_for_requests_that_follow(void)
{
	struct slow slow = { 0 };
	struct loop *loop = loop_new();
	struct board_options options = { .loop = loop };
	struct board *board = board_new(&options, NULL);
	struct block_request r = { .op = BLOCK_FLUSH, .done = on_first_done };
	int fd = memfd_create("s", 0);

	chained_disk = add_slow_disk(board, &slow);
	board_lock(board);
	block_submit(chained_disk, &r);
	usleep(50000);
	CHECK_EQ(board_save(board, fd, NULL), 0);
	CHECK_EQ(done_count, 2);
	board_unlock(board);
	close(fd);
	board_free(board);
	loop_free(loop);
}

static void damaged_snapshots_are_refused(void)
{
	struct rig *from = rig_new(&probe_class, "");
	int fd = memfd_create("s", 0);
	off_t size;
	uint8_t *bytes;

	rig_poke(from, 0x5000, "content", 7);
	CHECK_EQ(board_save(rig_board(from), fd, NULL), 0);
	size = lseek(fd, 0, SEEK_CUR);
	bytes = malloc((size_t)size);
	CHECK_EQ(pread(fd, bytes, (size_t)size, 0), size);
	for (off_t cut = 0; cut < size; cut += 1 + size / 200) {
		struct rig *to = rig_new(&probe_class, "");
		int damaged = memfd_create("d", 0);
		uint8_t ones = 0xff;

		CHECK_EQ(write(damaged, bytes, (size_t)cut), cut); /* it ends early */
		lseek(damaged, 0, SEEK_SET);
		CHECK(board_load(rig_board(to), damaged, NULL) < 0);
		CHECK_EQ(pwrite(damaged, bytes, (size_t)size, 0), size); /* a byte is wrong */
		CHECK_EQ(pwrite(damaged, &ones, 1, cut), 1);
		lseek(damaged, 0, SEEK_SET);
		board_load(rig_board(to), damaged, NULL);
		rig_free(to);
		close(damaged);
	}
	free(bytes);
	close(fd);
	rig_free(from);
}

/* What a processor finds at an address: KVM's slots. */
static uint32_t processor_read(struct rig *rig, uint64_t gpa)
{
	const struct board *board = rig_board(rig);

	for (size_t i = 0; i < board->slot_count; i++) {
		const struct slot *s = &board->slots[i];

		if (gpa >= s->gpa && gpa - s->gpa < s->bytes)
			return load_le32(s->ram->memory.host + s->offset + (gpa - s->gpa));
	}
	return UINT32_MAX;
}

static void the_a20_gate_is_for_processors(void)
{
	struct rig *rig = rig_new(&port92_class, ""), *twin = rig_new(&port92_class, "");
	uint32_t low = 1, high = 2, higher = 3, found;

	rig_poke(rig, 0x9fffc, &low, 4);
	rig_poke(rig, 0x19fffc, &high, 4);
	rig_poke(rig, 0x200000, &higher, 4);
	CHECK_EQ(processor_read(rig, 0x19fffc), 2);
	rig_out(rig, 0x92, 1, 0);
	CHECK_EQ(rig_in(rig, 0x92, 1), 0);
	CHECK_EQ(processor_read(rig, 0x9fffc), 1);
	CHECK_EQ(processor_read(rig, 0x19fffc), 1);
	CHECK_EQ(processor_read(rig, 0x1a0000), UINT32_MAX); /* as a0000, the VGA's */
	CHECK_EQ(processor_read(rig, 0x200000), 3);
	rig_peek(rig, 0x19fffc, &found, 4); /* DMA has all its lines */
	CHECK_EQ(found, 2);
	rig_copy(twin, rig);
	CHECK_EQ(processor_read(twin, 0x19fffc), 1);
	rig_reset(rig);
	CHECK_EQ(processor_read(rig, 0x19fffc), 2);
	CHECK_EQ(rig_in(rig, 0x92, 1), 2);
	rig_free(rig);
	rig_free(twin);
}

int main(void)
{
	settings_are_parsed();
	bad_settings_are_named();
	state_survives_whatever_its_order();
	accesses_are_split_and_widened();
	claims_inside_lie_over_and_overlaps_are_errors();
	later_memory_is_seen_and_devices_are_not_dma();
	writes_are_counted();
	dirty_pages_are_told_once();
	timers_fire_in_order();
	lines_are_the_or_of_devices();
	bars_are_sized_and_move();
	messages_pend_behind_masks();
	intx_follows_the_command_register();
	requests_complete_on_the_loop();
	a_snapshot_waits_for_requests_that_follow();
	damaged_snapshots_are_refused();
	the_a20_gate_is_for_processors();
	puts("core: ok");
	return 0;
}
