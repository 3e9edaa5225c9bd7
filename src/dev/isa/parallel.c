/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parallel port, standard mode: a printer that is always ready.
 *
 * The byte in the data register goes to the chardev on the rising edge of STROBE in the control
 * register; the printer acknowledges at once. When the peer is full the printer is busy.
 *
 * Manual: IEEE 1284-1994, compatibility mode; PC parallel port register layout.
 * Not modelled: bidirectional, EPP and ECP modes (the direction bit reads back; input is all ones).
 */
#include "core/chardev.h"

enum { DATA, STATUS, CONTROL, PORTS = 3 };
enum { STATUS_FIXED = 0x1f, STATUS_ACK = 0x40, STATUS_NOT_BUSY = 0x80 };
enum { CONTROL_STROBE = 1, CONTROL_INIT = 4, CONTROL_IRQ = 16, CONTROL_INPUT = 32,
       CONTROL_UNUSED = 0xc0 };

struct parallel {
	struct dev dev;
	uint8_t index, irq;
	uint16_t port;
	struct chardev *chardev;

	uint8_t data, control;
	bool busy; /* a byte waits for the peer */

	uint64_t bytes;
};

static const struct field parallel_fields[] = {
	SETTING(struct parallel, index, .max = 2, .help = "which of LPT1 to LPT3: the port"),
	SETTING_AS("iobase", struct parallel, port, .help = "first I/O port, 0: the index's"),
	SETTING(struct parallel, irq, .def = 7, .max = 15, .help = "interrupt line"),
	SETTING(struct parallel, chardev, .help = "the printer"),
	STATE(struct parallel, data),
	STATE(struct parallel, control, .max = 63),
	STATE(struct parallel, busy),
	COUNTER(struct parallel, bytes, .help = "bytes printed"),
	{ 0 }
};

static struct parallel *to_parallel(struct dev *dev)
{
	return container_of(dev, struct parallel, dev);
}

static void print(struct parallel *p)
{
	p->busy = p->chardev && !chardev_send(p->chardev, &p->data, 1);
	if (p->busy)
		return;
	p->bytes++;
	if (p->control & CONTROL_IRQ) /* the acknowledge pulse */
		irq_pulse(&p->dev, p->irq);
}

static uint64_t parallel_read(struct dev *dev, uint64_t offset, unsigned size)
{
	const struct parallel *p = to_parallel(dev);

	switch (offset) {
	case DATA:
		return p->control & CONTROL_INPUT ? 0xff : p->data;
	case STATUS:
		return STATUS_FIXED | STATUS_ACK | (p->busy ? 0 : STATUS_NOT_BUSY);
	default:
		return p->control | CONTROL_UNUSED;
	}
}

static void parallel_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct parallel *p = to_parallel(dev);
	bool strobe;

	if (offset == DATA) {
		p->data = (uint8_t)value;
	} else if (offset == CONTROL) {
		strobe = ~p->control & value & CONTROL_STROBE;
		p->control = value & 63;
		if (strobe && !p->busy)
			print(p);
	}
}

static const struct region parallel_ports = {
	.name = "parallel",
	.min_size = 1,
	.max_size = 1,
	.read = parallel_read,
	.write = parallel_write,
};

static void on_sent(struct dev *dev)
{
	if (to_parallel(dev)->busy)
		print(to_parallel(dev));
}

static const struct chardev_events parallel_events = { .sent = on_sent };

static int parallel_attach(struct dev *dev, struct err *err)
{
	static const uint16_t ports[] = { 0x378, 0x278, 0x3bc };
	struct parallel *p = to_parallel(dev);
	int code;

	if (!p->port)
		p->port = ports[p->index];
	code = claim_ports(dev, &parallel_ports, p->port, PORTS, err);
	if (!code && p->chardev)
		code = chardev_claim(p->chardev, dev, &parallel_events, err);
	return code;
}

static void parallel_reset(struct dev *dev)
{
	struct parallel *p = to_parallel(dev);

	p->data = 0;
	p->control = CONTROL_INIT | 8;
	p->busy = false;
}

const struct dev_class isa_parallel_class = {
	.name = "isa-parallel",
	.summary = "parallel port",
	.size = sizeof(struct parallel),
	.fields = parallel_fields,
	.attach = parallel_attach,
	.reset = parallel_reset,
};
