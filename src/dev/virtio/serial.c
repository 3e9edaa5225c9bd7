/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * virtio console device with up to 31 ports.
 *
 * Each port has a receive and a transmit queue; a pair of control queues tells of ports that come,
 * go, open and close. Ports are devices of their own: virtconsole, virtserialport. A driver that
 * knows no control queues sees port 0 only.
 *
 * Manual: VIRTIO 1.2, section 5.3.
 * Not modelled: console size (the guest asks its terminal).
 */
#include "dev/virtio/serial.h"

#include <errno.h>

#define CONSOLE_F_MULTIPORT   BIT(1)
#define CONSOLE_F_EMERG_WRITE BIT(2)

enum {
	QUEUE_SIZE = 128,
	CONTROL_QUEUE_SIZE = 32,
	CONTROL_RX = 2,
	CONTROL_TX = 3,
	CONFIG_BYTES = 12,
	EMERGENCY = 8,
	MESSAGE_BYTES = 8
};

static const struct field message_state[] = {
	STATE(struct control_message, port),
	STATE(struct control_message, event),
	STATE(struct control_message, value),
	{ 0 },
};

static const struct field serial_fields[] = {
	SETTING(struct virtio_serial, max_ports, .def = SERIAL_PORTS, .min = 1, .max = SERIAL_PORTS,
		.help = "ports at most"),
	SETTING_AS("emergency-write", struct virtio_serial, emergency_write, .def = 1,
		   .help = "a register the guest can print through at any time"),
	STATE(struct virtio_serial, is_ready),
	STATE(struct virtio_serial, pending_count, .max = SERIAL_PENDING),
	STATE_STRUCTS(struct virtio_serial, pending, message_state),
	{ 0 },
};

static struct virtio_serial *to_serial(struct virtio_dev *virtio)
{
	return container_of(virtio, struct virtio_serial, virtio);
}

bool serial_is_multiport(const struct virtio_serial *serial)
{
	return virtio_has(&serial->virtio, CONSOLE_F_MULTIPORT);
}

/* [5.3.2] port 0 has the first pair, the control queues come next. */
struct virtqueue *serial_receive_queue(struct virtio_serial *serial, unsigned port)
{
	return &serial->virtio.queue[port ? 2 * port + 2 : 0];
}

struct virtqueue *serial_transmit_queue(struct virtio_serial *serial, unsigned port)
{
	return serial_receive_queue(serial, port) + 1;
}

/* Control --------------------------------------------------------------------------------- */

static void put_message(struct virtio_serial *serial, struct virtq_chain *chain,
			const struct control_message *message)
{
	const struct virtio_port *port =
		message->port < SERIAL_PORTS ? serial->port[message->port] : NULL;
	uint8_t bytes[MESSAGE_BYTES];
	uint32_t written;

	store_le32(bytes, message->port);
	store_le16(bytes + 4, message->event);
	store_le16(bytes + 6, message->value);
	written = virtq_give(chain, bytes, sizeof(bytes));
	if (message->event == PORT_NAME && port && port->name)
		written += virtq_give(chain, port->name, strlen(port->name));
	virtq_push(chain, written);
}

static void send_pending(struct virtio_serial *serial)
{
	struct virtqueue *queue = &serial->virtio.queue[CONTROL_RX];
	unsigned sent = 0;

	while (sent < serial->pending_count) {
		struct virtq_chain *chain = virtq_pop(queue, 0);

		if (!chain)
			break;
		put_message(serial, chain, &serial->pending[sent++]);
	}
	serial->pending_count -= sent;
	memmove(serial->pending, serial->pending + sent,
		serial->pending_count * sizeof(serial->pending[0]));
	virtq_notify(queue);
}

void serial_tell(struct virtio_serial *serial, uint32_t port, uint16_t event, uint16_t value)
{
	if (!serial_is_multiport(serial) || !serial->is_ready)
		return;
	if (serial->pending_count == SERIAL_PENDING) {
		guest_error(&serial->virtio.pci.dev, "no buffers for control messages");
		return;
	}
	serial->pending[serial->pending_count++] = (struct control_message){ port, event, value };
	send_pending(serial);
}

static void port_is_ready(struct virtio_serial *serial, uint32_t number)
{
	struct virtio_port *port = serial->port[number];

	if (port->is_console)
		serial_tell(serial, number, PORT_CONSOLE, 1);
	if (port->name)
		serial_tell(serial, number, PORT_NAME, 1);
	if (port->host_open)
		serial_tell(serial, number, PORT_OPEN, 1);
}

static void handle_message(struct virtio_serial *serial, const uint8_t *message)
{
	uint32_t number = load_le32(message);
	uint16_t event = load_le16(message + 4), value = load_le16(message + 6);

	if (event == PORT_DEVICE_READY) {
		serial->is_ready = value;
		for (unsigned i = 0; i < serial->max_ports; i++)
			if (serial->port[i])
				serial_tell(serial, i, PORT_DEVICE_ADD, 1);
		return;
	}
	if (number >= SERIAL_PORTS || !serial->port[number]) {
		guest_error(&serial->virtio.pci.dev, "control message for port %u", number);
		return;
	}
	if (event == PORT_READY && value)
		port_is_ready(serial, number);
	else if (event == PORT_OPEN)
		port_guest_opened(serial->port[number], value);
}

static void take_messages(struct virtio_serial *serial)
{
	struct virtqueue *queue = &serial->virtio.queue[CONTROL_TX];

	for (unsigned i = 0; i < 2 * queue->size; i++) {
		struct virtq_chain *chain = virtq_pop(queue, 0);
		uint8_t message[MESSAGE_BYTES];

		if (!chain)
			break;
		if (virtq_take(chain, message, sizeof(message)) == sizeof(message))
			handle_message(serial, message);
		virtq_push(chain, 0);
	}
	virtq_end_turn(queue);
	virtq_notify(queue);
}

static void serial_notified(struct virtio_dev *virtio, unsigned queue)
{
	struct virtio_serial *serial = to_serial(virtio);
	unsigned number = queue < 2 ? 0 : queue / 2 - 1;
	struct virtio_port *port = number < SERIAL_PORTS ? serial->port[number] : NULL;

	if (queue == CONTROL_RX)
		send_pending(serial);
	else if (queue == CONTROL_TX)
		take_messages(serial);
	else if (port && queue % 2)
		port_transmit(port);
	else if (port)
		port_room(port);
}

/* Configuration and life cycle ------------------------------------------------------------ */

static void serial_get_config(struct virtio_dev *virtio, uint8_t *config)
{
	store_le32(config + 4, to_serial(virtio)->max_ports);
}

/* [5.3.4] a character for the first console, before any queue works. */
static void serial_set_config(struct virtio_dev *virtio, unsigned offset, unsigned size,
			      uint64_t value)
{
	struct virtio_serial *serial = to_serial(virtio);
	uint8_t byte = value;

	(void)size;
	if (offset != EMERGENCY || !serial->emergency_write)
		return;
	for (unsigned i = 0; i < serial->max_ports; i++)
		if (serial->port[i] && serial->port[i]->is_console && serial->port[i]->chardev) {
			chardev_send(serial->port[i]->chardev, &byte, 1);
			return;
		}
}

static void serial_reset(struct virtio_dev *virtio)
{
	struct virtio_serial *serial = to_serial(virtio);

	serial->is_ready = false;
	serial->pending_count = 0;
	memset(serial->pending, 0, sizeof(serial->pending));
	for (unsigned i = 0; i < SERIAL_PORTS; i++)
		if (serial->port[i])
			port_reset(serial->port[i]);
}

static int serial_attach(struct dev *dev, struct err *err)
{
	struct virtio_serial *serial = to_serial(to_virtio(dev));
	uint64_t features = serial->emergency_write ? CONSOLE_F_EMERG_WRITE : 0;

	virtio_add_queue(&serial->virtio, QUEUE_SIZE);
	virtio_add_queue(&serial->virtio, QUEUE_SIZE);
	virtio_add_queue(&serial->virtio, CONTROL_QUEUE_SIZE);
	virtio_add_queue(&serial->virtio, CONTROL_QUEUE_SIZE);
	for (unsigned i = 1; i < serial->max_ports; i++) {
		virtio_add_queue(&serial->virtio, QUEUE_SIZE);
		virtio_add_queue(&serial->virtio, QUEUE_SIZE);
	}
	if (serial->max_ports > 1)
		features |= CONSOLE_F_MULTIPORT;
	return virtio_finish(&serial->virtio, features, err);
}

static void serial_detach(struct dev *dev)
{
	struct virtio_serial *serial = to_serial(to_virtio(dev));

	for (unsigned i = 0; i < SERIAL_PORTS; i++)
		if (serial->port[i])
			serial->port[i]->serial = NULL;
}

/* One class under three names; see virtio_prepare for what the name means. */
#define SERIAL_CLASS(called, also)                                                       \
	{                                                                                \
		.pci = {                                                               \
			.dev = {                                                       \
				.name = called,                                        \
				.alias = also,                                         \
				.summary = "virtio console device; add its ports",     \
				.size = sizeof(struct virtio_serial),                  \
				.state_version = 1,                                    \
				.fields = serial_fields,                               \
				.bus = &virtio_bus_class,                              \
				.attach = serial_attach,                               \
				.detach = serial_detach,                               \
			},                                                             \
			.ids = { .vendor = 0x1af4, .class = 0x0780 },                  \
			.config_read = virtio_config_read,                             \
			.config_written = virtio_config_written,                       \
		},                                                                     \
		.type = VIRTIO_CONSOLE,                                                \
		.config_bytes = CONFIG_BYTES,                                          \
		.get_config = serial_get_config,                                       \
		.set_config = serial_set_config,                                       \
		.notified = serial_notified,                                           \
		.reset = serial_reset, \
	}

const struct virtio_class virtio_serial_class = SERIAL_CLASS("virtio-serial-pci", "virtio-serial");
const struct virtio_class virtio_serial_transitional_class =
	SERIAL_CLASS("virtio-serial-pci-transitional", NULL);
const struct virtio_class virtio_serial_modern_class =
	SERIAL_CLASS("virtio-serial-pci-non-transitional", NULL);
