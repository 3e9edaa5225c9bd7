/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * virtio network device.
 *
 * Transmit: a frame is gathered into one buffer, its checksum finished or a large TCP segment cut
 * up (net_offload.c), and handed to the network. Receive: frames the filter lets in are spread over
 * as many buffers as they need when the driver knows mergeable buffers.
 *
 * Manual: VIRTIO 1.2, section 5.1.
 * Not modelled: several queue pairs, receive offloads, RSS, VLAN filtering (all VLANs pass).
 */
#include "dev/virtio/net.h"
#include "core/board.h"

#include <errno.h>
#include <stdlib.h>

#define NET_F_CSUM          BIT(0)
#define NET_F_MTU           BIT(3)
#define NET_F_MAC           BIT(5)
#define NET_F_HOST_TSO4     BIT(11)
#define NET_F_HOST_TSO6     BIT(12)
#define NET_F_MRG_RXBUF     BIT(15)
#define NET_F_STATUS        BIT(16)
#define NET_F_CTRL_VQ       BIT(17)
#define NET_F_CTRL_RX       BIT(18)
#define NET_F_CTRL_RX_EXTRA BIT(20)
#define NET_F_CTRL_MAC_ADDR BIT(23)

enum { RX, TX, CONTROL };
enum { CONFIG_BYTES = 12, CONTROL_QUEUE_SIZE = 64, MAC_TABLE = 64, MOST_MERGED = 64, LINK_UP = 1 };
enum { CONTROL_RX = 0, CONTROL_MAC = 1, ACK_OK = 0, ACK_ERROR = 1 };

enum filter {
	PROMISCUOUS = 1,
	ALL_MULTICAST = 2,
	ALL_UNICAST = 4,
	NO_MULTICAST = 8,
	NO_UNICAST = 16,
	NO_BROADCAST = 32
};

struct virtio_net {
	struct virtio_dev virtio;
	struct netdev *netdev;
	struct mac_address mac;
	uint16_t host_mtu, rx_queue_size, tx_queue_size;
	int64_t bootindex;
	bool csum, host_tso4, host_tso6, mrg_rxbuf, status, ctrl_vq, ctrl_rx, ctrl_rx_extra,
		ctrl_mac_addr;
	char *tx;
	/* state */
	uint8_t mac_now[6], filter;
	uint8_t table[MAC_TABLE * 6], unicast_count, table_count; /* unicast first */
	/* scratch */
	uint8_t *frame;
	uint64_t sent, received, dropped;
};

static const struct field net_fields[] = {
	SETTING(struct virtio_net, netdev, .help = "the network, by id"),
	SETTING(struct virtio_net, mac, .help = "address; made up when not given"),
	SETTING(struct virtio_net, bootindex, .def = UINT64_MAX,
		.help = "place in the boot order; -1: none"),
	SETTING(struct virtio_net, host_mtu, .help = "tell the guest this MTU; 0: nothing"),
	SETTING(struct virtio_net, rx_queue_size, .def = 256, .min = 256, .max = 1024,
		.help = "entries, a power of two"),
	SETTING(struct virtio_net, tx_queue_size, .def = 256, .min = 256, .max = 1024,
		.help = "entries, a power of two"),
	SETTING(struct virtio_net, csum, .def = 1, .help = "finish checksums for the guest"),
	SETTING(struct virtio_net, host_tso4, .def = 1, .help = "cut large TCP/IPv4 segments"),
	SETTING(struct virtio_net, host_tso6, .def = 1, .help = "cut large TCP/IPv6 segments"),
	SETTING(struct virtio_net, mrg_rxbuf, .def = 1, .help = "mergeable receive buffers"),
	SETTING(struct virtio_net, status, .def = 1, .help = "report the link"),
	SETTING(struct virtio_net, ctrl_vq, .def = 1, .help = "control queue"),
	SETTING(struct virtio_net, ctrl_rx, .def = 1, .help = "receive filter"),
	SETTING(struct virtio_net, ctrl_rx_extra, .def = 1, .help = "more receive filter modes"),
	SETTING(struct virtio_net, ctrl_mac_addr, .def = 1,
		.help = "the guest may set its address"),
	SETTING(struct virtio_net, tx, .help = "accepted, no effect"),
	STATE(struct virtio_net, mac_now),
	STATE(struct virtio_net, filter),
	STATE(struct virtio_net, table),
	STATE(struct virtio_net, unicast_count, .max = MAC_TABLE),
	STATE(struct virtio_net, table_count, .max = MAC_TABLE),
	COUNTER(struct virtio_net, sent, .help = "frames sent"),
	COUNTER(struct virtio_net, received, .help = "frames received"),
	COUNTER(struct virtio_net, dropped, .help = "frames with no buffer, or malformed"),
	{ 0 },
};

static struct virtio_net *to_net(struct dev *dev)
{
	return container_of(dev, struct virtio_net, virtio.pci.dev);
}

static unsigned header_bytes(const struct virtio_net *net)
{
	return virtio_has(&net->virtio, NET_F_MRG_RXBUF | VIRTIO_F_VERSION_1)
		       ? NET_HEADER_BYTES
		       : NET_HEADER_BYTES - 2;
}

/* Receive --------------------------------------------------------------------------------- */

static bool in_table(const struct virtio_net *net, unsigned first, unsigned end,
		     const uint8_t *address)
{
	for (unsigned i = first; i < end; i++)
		if (!memcmp(&net->table[i * 6], address, 6))
			return true;
	return false;
}

static bool is_wanted(const struct virtio_net *net, const uint8_t *address)
{
	static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };

	if (net->filter & PROMISCUOUS)
		return true;
	if (!memcmp(address, broadcast, 6))
		return !(net->filter & NO_BROADCAST);
	if (address[0] & 1)
		return !(net->filter & NO_MULTICAST) &&
		       ((net->filter & ALL_MULTICAST) ||
			in_table(net, net->unicast_count, net->table_count, address));
	return !(net->filter & NO_UNICAST) &&
	       ((net->filter & ALL_UNICAST) || !memcmp(net->mac_now, address, 6) ||
		in_table(net, 0, net->unicast_count, address));
}

static bool can_receive(struct dev *dev)
{
	struct virtio_net *net = to_net(dev);
	struct virtqueue *queue = &net->virtio.queue[RX];

	if (!(net->virtio.status & STATUS_DRIVER_OK))
		return false;
	if (!virtq_has_work(queue) && !virtq_want_notify(queue, true))
		return false;
	virtq_want_notify(queue, false);
	return true;
}

/* Takes buffers until `bytes` fit; 0: there are not enough, all are back. */
static unsigned take_buffers(struct virtio_net *net, struct virtq_chain **chains, size_t bytes)
{
	bool merges = virtio_has(&net->virtio, NET_F_MRG_RXBUF);
	unsigned count = 0, most = merges ? MOST_MERGED : 1;
	size_t room = 0;

	while (room < bytes && count < most) {
		chains[count] = virtq_pop(&net->virtio.queue[RX], 0);
		if (!chains[count])
			break;
		room += chains[count++]->in_bytes;
	}
	if (room >= bytes)
		return count;
	while (count)
		virtq_unpop(chains[--count]);
	return 0;
}

static void receive(struct dev *dev, const uint8_t *frame, size_t bytes)
{
	struct virtio_net *net = to_net(dev);
	struct virtqueue *queue = &net->virtio.queue[RX];
	struct virtq_chain *chains[MOST_MERGED];
	uint8_t header[NET_HEADER_BYTES] = { 0 };
	unsigned header_size = header_bytes(net), count;

	if (bytes < 14 || !is_wanted(net, frame))
		return;
	count = take_buffers(net, chains, header_size + bytes);
	if (!count) {
		net->dropped++;
		return;
	}
	net->received++;
	store_le16(&header[NET_MERGED], count);
	for (unsigned i = 0; i < count; i++) {
		size_t written = i ? 0 : virtq_give(chains[i], header, header_size);
		size_t now = virtq_give(chains[i], frame, bytes);

		frame += now;
		bytes -= now;
		virtq_fill(chains[i], written + now, i);
	}
	virtq_flush(queue, count);
	virtq_notify(queue);
}

static void link_changed(struct dev *dev, bool up)
{
	(void)up;
	virtio_config_changed(to_virtio(dev));
}

static const struct netdev_events netdev_events = {
	.can_receive = can_receive,
	.receive = receive,
	.link = link_changed,
};

/* Transmit -------------------------------------------------------------------------------- */

static void transmit(struct virtio_net *net, struct virtq_chain *chain)
{
	uint8_t header[NET_HEADER_BYTES] = { 0 };
	unsigned header_size = header_bytes(net);
	size_t bytes;

	if (virtq_take(chain, header, header_size) != header_size) {
		virtio_broken(&net->virtio, "a frame without its header");
		return;
	}
	bytes = virtq_take(chain, net->frame, NET_FRAME_MAX);
	if (bytes < 14 || chain->out_bytes) {
		net->dropped++;
		return;
	}
	if (!net->netdev)
		return;
	if (net_send_offloaded(net->netdev, header, net->frame, bytes))
		net->sent++;
	else
		net->dropped++;
}

static void transmit_all(struct virtio_net *net)
{
	struct virtqueue *queue = &net->virtio.queue[TX];

	for (unsigned i = 0; i < 2 * queue->size; i++) {
		struct virtq_chain *chain = virtq_pop(queue, 0);

		if (!chain)
			break;
		transmit(net, chain);
		virtq_push(chain, 0);
	}
	virtq_end_turn(queue);
	virtq_notify(queue);
}

/* Control --------------------------------------------------------------------------------- */

static bool control_rx(struct virtio_net *net, uint8_t command, struct virtq_chain *chain)
{
	uint8_t on;

	if (command > 5 || virtq_take(chain, &on, 1) != 1)
		return false;
	net->filter = (net->filter & ~BIT(command)) | (on ? BIT(command) : 0);
	return true;
}

/* One list of addresses; more than fit open the filter instead. */
static bool take_addresses(struct virtio_net *net, struct virtq_chain *chain, uint8_t overflow)
{
	uint32_t count;

	if (virtq_take(chain, &count, 4) != 4 || chain->out_bytes / 6 < count)
		return false;
	net->filter &= ~overflow;
	if (count <= (unsigned)(MAC_TABLE - net->table_count)) {
		virtq_take(chain, &net->table[net->table_count * 6], count * 6);
		net->table_count += count;
		return true;
	}
	net->filter |= overflow;
	while (count--) {
		uint8_t address[6];

		virtq_take(chain, address, sizeof(address));
	}
	return true;
}

static bool control_mac(struct virtio_net *net, uint8_t command, struct virtq_chain *chain)
{
	enum { TABLE_SET, ADDRESS_SET };
	bool is_good;

	if (command == ADDRESS_SET)
		return chain->out_bytes == 6 && virtq_take(chain, net->mac_now, 6) == 6;
	if (command != TABLE_SET)
		return false;
	net->table_count = net->unicast_count = 0;
	is_good = take_addresses(net, chain, ALL_UNICAST);
	net->unicast_count = net->table_count;
	return is_good && take_addresses(net, chain, ALL_MULTICAST);
}

static void control_all(struct virtio_net *net)
{
	struct virtqueue *queue = &net->virtio.queue[CONTROL];

	for (unsigned i = 0; i < 2 * queue->size; i++) {
		struct virtq_chain *chain = virtq_pop(queue, 0);
		uint8_t command[2], *ack;
		bool is_good = false;

		if (!chain)
			break;
		if (virtq_take(chain, command, 2) != 2 || !virtq_take_end(chain, &ack)) {
			virtio_broken(&net->virtio, "a control command without header or answer");
			virtq_push(chain, 0);
			break;
		}
		if (command[0] == CONTROL_RX)
			is_good = control_rx(net, command[1], chain);
		else if (command[0] == CONTROL_MAC)
			is_good = control_mac(net, command[1], chain);
		*ack = is_good ? ACK_OK : ACK_ERROR;
		virtq_push(chain, 1);
	}
	virtq_end_turn(queue);
	virtq_notify(queue);
}

static void net_notified(struct virtio_dev *virtio, unsigned queue)
{
	struct virtio_net *net = to_net(&virtio->pci.dev);

	if (queue == TX)
		transmit_all(net);
	else if (queue == CONTROL)
		control_all(net);
	else if (net->netdev)
		netdev_poll_receive(net->netdev);
}

/* Configuration and life cycle ------------------------------------------------------------ */

static void net_get_config(struct virtio_dev *virtio, uint8_t *config)
{
	struct virtio_net *net = to_net(&virtio->pci.dev);

	memcpy(config, net->mac_now, 6);
	store_le16(config + 6, !net->netdev || netdev_link(net->netdev) ? LINK_UP : 0);
	store_le16(config + 8, 1);
	store_le16(config + 10, net->host_mtu);
}

static void net_set_config(struct virtio_dev *virtio, unsigned offset, unsigned size,
			   uint64_t value)
{
	struct virtio_net *net = to_net(&virtio->pci.dev);

	/* [5.1.4] legacy drivers write their address here */
	if (!virtio_has(virtio, VIRTIO_F_VERSION_1) && offset + size <= 6)
		store_le(&net->mac_now[offset], value, size);
}

static void net_status_set(struct virtio_dev *virtio)
{
	struct virtio_net *net = to_net(&virtio->pci.dev);

	if ((virtio->status & STATUS_DRIVER_OK) && net->netdev)
		netdev_poll_receive(net->netdev);
}

static void net_reset(struct virtio_dev *virtio)
{
	struct virtio_net *net = to_net(&virtio->pci.dev);

	memcpy(net->mac_now, net->mac.byte, 6);
	net->filter = PROMISCUOUS;
	net->table_count = net->unicast_count = 0;
	memset(net->table, 0, sizeof(net->table));
}

static int net_restored(struct virtio_dev *virtio, struct err *err)
{
	struct virtio_net *net = to_net(&virtio->pci.dev);

	if (net->unicast_count > net->table_count)
		return fail(err, ERANGE, "impossible address table");
	return 0;
}

/* 52:54:00:12:34:56 and on, by the number of network devices before this one. */
static void make_up_address(struct virtio_net *net)
{
	static const struct mac_address none;
	struct dev *dev = &net->virtio.pci.dev;
	uint8_t number = 0;

	if (memcmp(&net->mac, &none, sizeof(none)))
		return;
	for (const struct dev *d = board_devices(dev->board); d && d != dev; d = d->next)
		for (const struct field *f = d->class->fields; f && f->name; f++)
			number += f->role == FIELD_SETTING && f->type == FIELD_NETDEV;
	net->mac = (struct mac_address){ { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 + number } };
}

static uint64_t net_features(const struct virtio_net *net)
{
	uint64_t features = NET_F_MAC;

	features |= net->csum ? NET_F_CSUM : 0;
	features |= net->csum && net->host_tso4 ? NET_F_HOST_TSO4 : 0;
	features |= net->csum && net->host_tso6 ? NET_F_HOST_TSO6 : 0;
	features |= net->mrg_rxbuf ? NET_F_MRG_RXBUF : 0;
	features |= net->status ? NET_F_STATUS : 0;
	features |= net->host_mtu ? NET_F_MTU : 0;
	if (!net->ctrl_vq)
		return features;
	features |= NET_F_CTRL_VQ;
	features |= net->ctrl_rx ? NET_F_CTRL_RX : 0;
	features |= net->ctrl_rx_extra ? NET_F_CTRL_RX_EXTRA : 0;
	features |= net->ctrl_mac_addr ? NET_F_CTRL_MAC_ADDR : 0;
	return features;
}

static int net_attach(struct dev *dev, struct err *err)
{
	struct virtio_net *net = to_net(dev);
	int code;

	if (!is_power_of_two(net->rx_queue_size) || !is_power_of_two(net->tx_queue_size))
		return fail(err, EINVAL, "queue sizes are powers of two");
	make_up_address(net);
	net->frame = malloc(NET_FRAME_MAX);
	if (!net->frame)
		return fail(err, ENOMEM, "no memory for a frame");
	virtio_add_queue(&net->virtio, net->rx_queue_size);
	virtio_add_queue(&net->virtio, net->tx_queue_size);
	if (net->ctrl_vq)
		virtio_add_queue(&net->virtio, CONTROL_QUEUE_SIZE);
	code = virtio_finish(&net->virtio, net_features(net), err);
	net_reset(&net->virtio);
	if (!code && net->netdev)
		code = netdev_claim(net->netdev, dev, &netdev_events, err);
	return code;
}

static void net_detach(struct dev *dev)
{
	free(to_net(dev)->frame);
}

/* One class under three names; see virtio_prepare for what the name means. */
#define NET_CLASS(called, also)                                                          \
	{                                                                                \
		.pci = {                                                               \
			.dev = {                                                       \
				.name = called,                                        \
				.alias = also,                                         \
				.summary = "virtio network device",                    \
				.size = sizeof(struct virtio_net),                     \
				.state_version = 1,                                    \
				.fields = net_fields,                                  \
				.bus = &virtio_bus_class,                              \
				.attach = net_attach,                                  \
				.detach = net_detach,                                  \
			},                                                             \
			.ids = { .vendor = 0x1af4, .class = 0x0200 },                  \
			.rom = "efi-virtio.rom",                                       \
			.config_read = virtio_config_read,                             \
			.config_written = virtio_config_written,                       \
		},                                                                     \
		.type = VIRTIO_NET,                                                    \
		.config_bytes = CONFIG_BYTES,                                          \
		.get_config = net_get_config,                                          \
		.set_config = net_set_config,                                          \
		.status_set = net_status_set,                                          \
		.notified = net_notified,                                              \
		.reset = net_reset,                                                    \
		.restored = net_restored, \
	}

const struct virtio_class virtio_net_class = NET_CLASS("virtio-net-pci", "virtio-net");
const struct virtio_class virtio_net_transitional_class =
	NET_CLASS("virtio-net-pci-transitional", NULL);
const struct virtio_class virtio_net_modern_class =
	NET_CLASS("virtio-net-pci-non-transitional", NULL);
