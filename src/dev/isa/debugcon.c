/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Debug console: every byte written to the port goes to a chardev. Firmware finds out whether it is
 * there by reading the port, which answers with a number of its own.
 *
 * Manual: Bochs user manual, "port_e9_hack"; SeaBIOS, CONFIG_DEBUG_IO.
 */
#include "core/chardev.h"

struct debugcon {
	struct dev dev;
	uint16_t port;
	uint8_t readback;
	struct chardev *chardev;
	uint64_t bytes;
};

static const struct field debugcon_fields[] = {
	SETTING_AS("iobase", struct debugcon, port, .def = 0xe9, .help = "I/O port"),
	SETTING(struct debugcon, readback, .def = 0xe9, .help = "what reading it answers"),
	SETTING(struct debugcon, chardev, .help = "where the bytes go"),
	COUNTER(struct debugcon, bytes, .help = "bytes the guest has written"),
	{ 0 }
};

static struct debugcon *to_debugcon(struct dev *dev)
{
	return container_of(dev, struct debugcon, dev);
}

static uint64_t debugcon_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return to_debugcon(dev)->readback;
}

static void debugcon_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct debugcon *d = to_debugcon(dev);
	uint8_t byte = (uint8_t)value;

	d->bytes++;
	if (d->chardev) /* what a full peer does not take is lost: there is no way to wait */
		chardev_send(d->chardev, &byte, 1);
}

static const struct region debugcon_region = {
	.name = "debugcon",
	.min_size = 1,
	.max_size = 1,
	.read = debugcon_read,
	.write = debugcon_write,
};

static const struct chardev_events debugcon_events = { 0 };

static int debugcon_attach(struct dev *dev, struct err *err)
{
	struct debugcon *d = to_debugcon(dev);
	int code = 0;

	if (d->chardev)
		code = chardev_claim(d->chardev, dev, &debugcon_events, err);
	return code ? code : claim_ports(dev, &debugcon_region, d->port, 1, err);
}

const struct dev_class isa_debugcon_class = {
	.name = "isa-debugcon",
	.summary = "debug console port",
	.size = sizeof(struct debugcon),
	.fields = debugcon_fields,
	.attach = debugcon_attach,
};
