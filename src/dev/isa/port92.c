/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System control port A at 0x92: fast A20 and fast CPU reset.
 *
 * Manual: IBM PS/2 hardware interface technical reference, "System control port A".
 * Not modelled: security lock and activity lights have nothing behind them.
 */
#include "core/dev.h"

enum { FAST_RESET = 1, A20 = 2, WRITABLE = 0xc9 };

struct port92 {
	struct dev dev;
	uint16_t port;
	uint8_t value;
};

static const struct field port92_fields[] = {
	SETTING_AS("iobase", struct port92, port, .def = 0x92, .help = "I/O port"),
	STATE(struct port92, value),
	{ 0 }
};

static struct port92 *to_port92(struct dev *dev)
{
	return container_of(dev, struct port92, dev);
}

static uint64_t port92_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return to_port92(dev)->value | (a20_is_on(dev) ? A20 : 0);
}

static void port92_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct port92 *p = to_port92(dev);
	bool reset = value & ~p->value & FAST_RESET;

	p->value = value & WRITABLE;
	a20_set(dev, value & A20);
	if (reset)
		board_request(dev->board, BOARD_RESET, 0);
}

static const struct region port92_region = {
	.name = "port92",
	.min_size = 1,
	.max_size = 1,
	.read = port92_read,
	.write = port92_write,
};

static int port92_attach(struct dev *dev, struct err *err)
{
	return claim_ports(dev, &port92_region, to_port92(dev)->port, 1, err);
}

static void port92_reset(struct dev *dev)
{
	to_port92(dev)->value = 0;
	a20_set(dev, true);
}

const struct dev_class port92_class = {
	.name = "port92",
	.summary = "system control port A (fast A20, fast reset)",
	.size = sizeof(struct port92),
	.fields = port92_fields,
	.board_only = true,
	.attach = port92_attach,
	.reset = port92_reset,
};
