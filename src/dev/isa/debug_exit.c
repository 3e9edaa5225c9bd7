/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Debug exit: writing v to the port ends the VMM with status v << 1 | 1, so never 0. */
#include "core/dev.h"

struct debug_exit {
	struct dev dev;
	uint16_t port;
	uint32_t ports;
};

static const struct field debug_exit_fields[] = {
	SETTING_AS("iobase", struct debug_exit, port, .def = 0x501, .help = "first I/O port"),
	SETTING_AS("iosize", struct debug_exit, ports, .def = 2, .min = 1, .max = 16,
		   .help = "how many ports"),
	{ 0 }
};

static void debug_exit_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	board_request(dev->board, BOARD_EXIT, (int)((value << 1 | 1) & 0xff));
}

static const struct region debug_exit_region = {
	.name = "isa-debug-exit",
	.min_size = 1,
	.max_size = 4,
	.read = read_as_zero,
	.write = debug_exit_write,
};

static int debug_exit_attach(struct dev *dev, struct err *err)
{
	struct debug_exit *d = container_of(dev, struct debug_exit, dev);

	return claim_ports(dev, &debug_exit_region, d->port, d->ports, err);
}

const struct dev_class isa_debug_exit_class = {
	.name = "isa-debug-exit",
	.summary = "ends the VMM with a status the guest chooses",
	.size = sizeof(struct debug_exit),
	.fields = debug_exit_fields,
	.attach = debug_exit_attach,
};
