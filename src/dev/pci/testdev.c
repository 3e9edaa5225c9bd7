/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's PCI test device: counts writes, for measuring what they cost.
 *
 * BAR 0 is memory, BAR 1 ports; both begin with the same header. A guest writes a test's number,
 * finds there how and where to write for that test, and reads how many writes arrived.
 *
 * Manual: QEMU docs/specs/pci-testdev.rst.
 * Not modelled: the tests that use ioeventfds; a guest sees that test 0 is the only one. membar=.
 */
#include "core/pci.h"

enum { TEST = 0, WIDTH = 1, OFFSET = 4, DATA = 8, COUNT = 12, NAME = 16, HEADER = 32 };
enum { MEMORY_BAR, PORT_BAR, BARS };
enum { MEMORY_BYTES = 4096, PORT_COUNT = 256, NO_TEST = 0xff, VALUE = 0xfa };

struct testdev {
	struct pci_dev pci;
	uint8_t test[BARS];
	uint32_t count[BARS];
};

static const struct field testdev_fields[] = {
	STATE(struct testdev, test),
	STATE(struct testdev, count),
	{ 0 }
};

static struct testdev *to_testdev(struct dev *dev)
{
	return container_of(to_pci(dev), struct testdev, pci);
}

static uint64_t header_read(struct dev *dev, unsigned bar, uint64_t offset, unsigned size)
{
	static const char *const names[BARS] = { "mmio-no-eventfd", "portio-no-eventfd" };
	const struct testdev *t = to_testdev(dev);
	uint8_t header[HEADER + 8] = { 0 };

	if (t->test[bar] == 0) {
		header[WIDTH] = 1;
		store_le32(header + OFFSET, HEADER);
		store_le32(header + DATA, VALUE);
		store_le32(header + COUNT, t->count[bar]);
		memcpy(header + NAME, names[bar], strlen(names[bar]));
	}
	header[TEST] = t->test[bar];
	return offset < HEADER ? load_le(header + offset, size) : 0;
}

static void bar_write(struct dev *dev, unsigned bar, uint64_t offset, unsigned size, uint64_t value)
{
	struct testdev *t = to_testdev(dev);

	if (offset == TEST) {
		t->test[bar] = (uint8_t)value;
		t->count[bar] = 0;
	} else if (t->test[bar] == 0 && offset == HEADER && size == 1 && value == VALUE) {
		t->count[bar]++;
	}
}

static uint64_t memory_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return header_read(dev, MEMORY_BAR, offset, size);
}

static void memory_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	bar_write(dev, MEMORY_BAR, offset, size, value);
}

static const struct region memory = {
	.name = "pci-testdev-mmio",
	.min_size = 1,
	.max_size = 4,
	.read = memory_read,
	.write = memory_write,
};

static uint64_t port_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return header_read(dev, PORT_BAR, offset, size);
}

static void port_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	bar_write(dev, PORT_BAR, offset, size, value);
}

static const struct region ports = {
	.name = "pci-testdev-portio",
	.min_size = 1,
	.max_size = 4,
	.read = port_read,
	.write = port_write,
};

static int testdev_attach(struct dev *dev, struct err *err)
{
	int code = pci_claim_bar(dev, MEMORY_BAR, &memory, MEMORY_BYTES, false, err);

	return code ? code : pci_claim_bar(dev, PORT_BAR, &ports, PORT_COUNT, true, err);
}

static void testdev_reset(struct dev *dev)
{
	struct testdev *t = to_testdev(dev);

	for (unsigned bar = 0; bar < BARS; bar++) {
		t->test[bar] = NO_TEST;
		t->count[bar] = 0;
	}
}

const struct pci_class pci_testdev_class = {
	.dev = {
		.name = "pci-testdev",
		.summary = "PCI test device",
		.size = sizeof(struct testdev),
		.fields = testdev_fields,
		.bus = &pci_bus_class,
		.attach = testdev_attach,
		.reset = testdev_reset,
	},
	.ids = {
		.vendor = 0x1b36,
		.device = 0x0005,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.class = 0x00ff,
	},
};
