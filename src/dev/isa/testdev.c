/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The test device of kvm-unit-tests: ports that echo, lines to pull, a piece of MMIO.
 *
 *	0xe0-0xe3	32 bits that read back as written
 *	0xe4		flush: drops nothing here, guest pages are never the host's to drop
 *	0xe8-0xeb	the same 32 bits, a byte at a time
 *	0x2000-0x2017	interrupt lines 0-23: the level written
 *	0xff000000	16 MiB of MMIO over 64 KiB of storage
 *
 * Manual: kvm-unit-tests, lib/x86 and x86/ioapic.c, x86/emulator.c; there is no other.
 */
#include "core/dev.h"

enum { DATA_PORT = 0xe0, FLUSH_PORT = 0xe4, BYTE_PORT = 0xe8, LINE_PORT = 0x2000, LINES = 24 };
enum { STORAGE = 0x10000 };
#define MMIO_BASE 0xff000000ull
#define MMIO_SIZE (16 * MIB)

struct testdev {
	struct dev dev;
	uint8_t data[8]; /* 4 and a margin: an access of 4 may begin at the last byte */
	uint8_t storage[STORAGE + 8];
};

static const struct field testdev_fields[] = {
	STATE(struct testdev, data),
	STATE(struct testdev, storage),
	{ 0 }
};

static struct testdev *to_testdev(struct dev *dev)
{
	return container_of(dev, struct testdev, dev);
}

static uint64_t data_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return load_le(to_testdev(dev)->data + offset % 4, size);
}

static void data_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	store_le(to_testdev(dev)->data + offset % 4, value, size);
}

static const struct region data_ports = {
	.name = "testdev-data",
	.min_size = 1,
	.max_size = 4,
	.read = data_read,
	.write = data_write,
};

static const struct region byte_ports = {
	.name = "testdev-byte",
	.min_size = 1,
	.max_size = 1,
	.read = data_read,
	.write = data_write,
};

static const struct region flush_port = {
	.name = "testdev-flush",
	.min_size = 4,
	.max_size = 4,
	.read = read_as_ones,
	.write = ignore_write,
};

static void line_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	irq_set(dev, (unsigned)offset, value & 1);
}

static const struct region line_ports = {
	.name = "testdev-lines",
	.min_size = 1,
	.max_size = 1,
	.read = read_as_ones,
	.write = line_write,
};

static uint64_t mmio_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return load_le(to_testdev(dev)->storage + offset % STORAGE, size);
}

static void mmio_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	store_le(to_testdev(dev)->storage + offset % STORAGE, value, size);
}

static const struct region mmio = {
	.name = "testdev-mmio",
	.min_size = 1,
	.max_size = 8,
	.read = mmio_read,
	.write = mmio_write,
};

static int testdev_attach(struct dev *dev, struct err *err)
{
	int code = claim_ports(dev, &data_ports, DATA_PORT, 4, err);

	if (!code)
		code = claim_ports(dev, &flush_port, FLUSH_PORT, 4, err);
	if (!code)
		code = claim_ports(dev, &byte_ports, BYTE_PORT, 4, err);
	if (!code)
		code = claim_ports(dev, &line_ports, LINE_PORT, LINES, err);
	return code ? code : claim_mmio(dev, &mmio, MMIO_BASE, MMIO_SIZE, err);
}

const struct dev_class pc_testdev_class = {
	.name = "pc-testdev",
	.summary = "test device of kvm-unit-tests",
	.size = sizeof(struct testdev),
	.fields = testdev_fields,
	.attach = testdev_attach,
};
