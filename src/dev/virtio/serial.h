/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What serial.c (the device) and serial_port.c (its ports) share. */
#ifndef DEV_VIRTIO_SERIAL_H
#define DEV_VIRTIO_SERIAL_H

#include "core/chardev.h"
#include "dev/virtio/virtio.h"

enum { SERIAL_PORTS = 31, SERIAL_PENDING = 4 * SERIAL_PORTS };
enum {
	PORT_DEVICE_READY,
	PORT_DEVICE_ADD,
	PORT_DEVICE_REMOVE,
	PORT_READY,
	PORT_CONSOLE,
	PORT_RESIZE,
	PORT_OPEN,
	PORT_NAME
};

struct virtio_port {
	struct dev dev;
	struct chardev *chardev;
	char *name, *bus;
	uint32_t nr; /* UINT32_MAX: the first free one */
	bool is_console;
	struct virtio_serial *serial;
	/* state */
	bool guest_open, host_open;
	uint64_t sent_of_first; /* bytes of the first chain that the host has taken already */
	uint64_t sent, received;
};

/* A control message that waits for a buffer. */
struct control_message {
	uint32_t port;
	uint16_t event, value;
};

struct virtio_serial {
	struct virtio_dev virtio;
	uint32_t max_ports;
	bool emergency_write;
	struct virtio_port *port[SERIAL_PORTS];
	/* state */
	bool is_ready;
	struct control_message pending[SERIAL_PENDING];
	uint32_t pending_count;
};

bool serial_is_multiport(const struct virtio_serial *serial);
struct virtqueue *serial_receive_queue(struct virtio_serial *serial, unsigned port);
struct virtqueue *serial_transmit_queue(struct virtio_serial *serial, unsigned port);
void serial_tell(struct virtio_serial *serial, uint32_t port, uint16_t event, uint16_t value);

/* The port's side: what the guest did. */
void port_guest_opened(struct virtio_port *port, bool open);
void port_transmit(struct virtio_port *port); /* there is something in the transmit queue */
void port_room(struct virtio_port *port);     /* there are receive buffers */
void port_reset(struct virtio_port *port);

#endif
