/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ports of a virtio console device: virtconsole and virtserialport.
 *
 * Bytes go straight between a chardev and the port's two queues. When the host takes only part of
 * a chain, the chain goes back to the ring and the part is remembered, so nothing is held across
 * a snapshot.
 *
 * Manual: VIRTIO 1.2, section 5.3.6.
 */
#include "core/board.h"
#include "dev/virtio/serial.h"

#include <errno.h>

enum { PIECE = 4096 };

extern const struct virtio_class virtio_serial_class, virtio_serial_transitional_class,
	virtio_serial_modern_class;

static const struct field port_fields[] = {
	SETTING(struct virtio_port, chardev, .help = "where the bytes go, by id"),
	SETTING(struct virtio_port, name, .help = "what the guest calls the port"),
	SETTING(struct virtio_port, bus, .help = "the virtio-serial device: its id, or id.0"),
	SETTING(struct virtio_port, nr, .def = UINT32_MAX, .help = "port number; unset: the next"),
	STATE(struct virtio_port, guest_open),
	STATE(struct virtio_port, sent_of_first),
	COUNTER(struct virtio_port, sent, .help = "bytes to the host"),
	COUNTER(struct virtio_port, received, .help = "bytes to the guest"),
	{ 0 },
};

static struct virtio_port *to_port(struct dev *dev)
{
	return container_of(dev, struct virtio_port, dev);
}

/* To the host ----------------------------------------------------------------------------- */

/* False: the host takes no more now; what it took is counted in sent_of_first. */
static bool send_chain(struct virtio_port *port, struct virtq_chain *chain)
{
	uint64_t skip = port->sent_of_first;
	uint8_t piece[PIECE];

	while (skip && chain->out_bytes)
		skip -= virtq_take(chain, piece, MIN(skip, sizeof(piece)));
	while (chain->out_bytes) {
		size_t bytes = virtq_take(chain, piece, sizeof(piece));
		size_t taken = port->chardev ? chardev_send(port->chardev, piece, bytes) : bytes;

		port->sent += taken;
		port->sent_of_first += taken;
		if (taken < bytes)
			return false;
	}
	port->sent_of_first = 0;
	return true;
}

void port_transmit(struct virtio_port *port)
{
	struct virtqueue *queue = serial_transmit_queue(port->serial, port->nr);

	for (unsigned i = 0; i < 2 * queue->size; i++) {
		struct virtq_chain *chain = virtq_pop(queue, 0);

		if (!chain)
			break;
		if (!send_chain(port, chain)) {
			virtq_unpop(chain);
			virtq_notify(queue);
			return; /* on_sent() goes on */
		}
		virtq_push(chain, 0);
	}
	virtq_end_turn(queue);
	virtq_notify(queue);
}

static void on_sent(struct dev *dev)
{
	if (to_port(dev)->serial)
		port_transmit(to_port(dev));
}

/* To the guest ---------------------------------------------------------------------------- */

static bool may_receive(const struct virtio_port *port)
{
	return port->serial && (port->serial->virtio.status & STATUS_DRIVER_OK) &&
	       (port->guest_open || !serial_is_multiport(port->serial));
}

static unsigned can_receive(struct dev *dev)
{
	struct virtio_port *port = to_port(dev);
	struct virtq_chain *chain;
	unsigned room;

	if (!may_receive(port))
		return 0;
	chain = virtq_pop(serial_receive_queue(port->serial, port->nr), 0);
	if (!chain)
		return 0;
	room = MIN(chain->in_bytes, 0x10000);
	virtq_unpop(chain);
	return room;
}

static void receive(struct dev *dev, const uint8_t *bytes, size_t count)
{
	struct virtio_port *port = to_port(dev);
	struct virtqueue *queue;
	struct virtq_chain *chain;

	if (!may_receive(port))
		return;
	queue = serial_receive_queue(port->serial, port->nr);
	while (count && (chain = virtq_pop(queue, 0))) {
		size_t given = virtq_give(chain, bytes, count);

		virtq_push(chain, given);
		bytes += given;
		count -= given;
		port->received += given;
		if (!given)
			break;
	}
	virtq_notify(queue);
}

void port_room(struct virtio_port *port)
{
	if (port->chardev)
		chardev_poll_receive(port->chardev);
}

void port_guest_opened(struct virtio_port *port, bool open)
{
	port->guest_open = open;
	if (open)
		port_room(port);
}

static void on_opened(struct dev *dev, bool open)
{
	struct virtio_port *port = to_port(dev);

	port->host_open = open;
	if (port->serial)
		serial_tell(port->serial, port->nr, PORT_OPEN, open);
}

static const struct chardev_events events = {
	.can_receive = can_receive,
	.receive = receive,
	.opened = on_opened,
	.sent = on_sent,
};

/* Life cycle ------------------------------------------------------------------------------ */

void port_reset(struct virtio_port *port)
{
	port->guest_open = false;
	port->sent_of_first = 0;
}

static bool is_serial(const struct dev *dev)
{
	return dev->class == &virtio_serial_class.pci.dev ||
	       dev->class == &virtio_serial_transitional_class.pci.dev ||
	       dev->class == &virtio_serial_modern_class.pci.dev;
}

/* bus= is the device's id, with ".0" behind it as QEMU names its bus. */
static bool is_named(const struct dev *dev, const char *bus)
{
	size_t length = strlen(dev->id);

	return !bus || (!strncmp(bus, dev->id, length) && (!bus[length] || bus[length] == '.'));
}

static struct virtio_serial *find_serial(const struct virtio_port *port)
{
	struct dev *dev = board_devices(port->dev.board);

	while (dev && !(is_serial(dev) && is_named(dev, port->bus)))
		dev = dev->next;
	return dev ? container_of(dev, struct virtio_serial, virtio.pci.dev) : NULL;
}

/* Port 0 is for a console: drivers without control queues see no other. */
static int take_place(struct virtio_port *port, struct err *err)
{
	struct virtio_serial *serial = port->serial;
	bool is_free = port->nr == UINT32_MAX;

	if (is_free)
		for (port->nr = port->is_console || serial->max_ports == 1 ? 0 : 1;
		     port->nr < serial->max_ports && serial->port[port->nr]; port->nr++)
			;
	if (port->nr >= serial->max_ports)
		return is_free ? fail(err, ENOSPC, "no virtio-serial port is free")
			       : fail(err, ERANGE, "there is no port %u", port->nr);
	if (serial->port[port->nr])
		return fail(err, EBUSY, "port %u is taken by %s", port->nr,
			    serial->port[port->nr]->dev.id);
	serial->port[port->nr] = port;
	return 0;
}

static int port_attach(struct dev *dev, struct err *err)
{
	struct virtio_port *port = to_port(dev);
	int code;

	port->serial = find_serial(port);
	if (!port->serial)
		return fail(err, ENODEV, "there is no virtio-serial device for \"%s\"", dev->id);
	code = take_place(port, err);
	if (!code && port->chardev)
		code = chardev_claim(port->chardev, dev, &events, err);
	if (code)
		return code;
	port->host_open = port->chardev && chardev_is_open(port->chardev);
	serial_tell(port->serial, port->nr, PORT_DEVICE_ADD, 1);
	return 0;
}

static int console_attach(struct dev *dev, struct err *err)
{
	to_port(dev)->is_console = true;
	return port_attach(dev, err);
}

static void port_detach(struct dev *dev)
{
	struct virtio_port *port = to_port(dev);

	if (!port->serial || port->nr >= SERIAL_PORTS || port->serial->port[port->nr] != port)
		return;
	serial_tell(port->serial, port->nr, PORT_DEVICE_REMOVE, 1);
	port->serial->port[port->nr] = NULL;
}

const struct dev_class virtserialport_class = {
	.name = "virtserialport",
	.summary = "port of a virtio-serial device",
	.plugs_into = "virtio-serial-bus",
	.size = sizeof(struct virtio_port),
	.fields = port_fields,
	.attach = port_attach,
	.detach = port_detach,
};

const struct dev_class virtconsole_class = {
	.name = "virtconsole",
	.summary = "console port of a virtio-serial device",
	.plugs_into = "virtio-serial-bus",
	.size = sizeof(struct virtio_port),
	.fields = port_fields,
	.attach = console_attach,
	.detach = port_detach,
};
