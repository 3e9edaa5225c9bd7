/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checksums and TCP segmentation for virtio-net's transmit side.
 *
 * Nothing in the header is believed: where the IP and TCP headers end is read from the frame
 * itself, and each length is checked against what is there.
 *
 * Manual: VIRTIO 1.2, section 5.1.6.2; RFC 1071, RFC 9293.
 * Not modelled: UDP fragmentation, IPv6 extension headers before TCP, tunnels.
 */
#include "dev/virtio/net.h"

enum { NEEDS_CSUM = 1, GSO_NONE = 0, GSO_TCP4 = 1, GSO_TCP6 = 4, GSO_ECN = 0x80 };
enum { ETHERNET = 14, VLAN_TAG = 4, IP6_HEADER = 40, TCP_HEADER = 20, PROTOCOL_TCP = 6 };
enum { TYPE_VLAN = 0x8100, TYPE_IP4 = 0x0800, TYPE_IP6 = 0x86dd };
enum {
	TCP_FIN = 0x01,
	TCP_PSH = 0x08,
	TCP_CWR = 0x80,
	TCP_SEQUENCE = 4,
	TCP_OFFSET = 12,
	TCP_FLAGS = 13,
	TCP_CHECKSUM = 16
};
enum { LEAST_SEGMENT = 64, MOST_HEADERS = 256 };

struct segments {
	unsigned ip, tcp, payload; /* offsets into the frame */
	bool is_ip6;
};

/* RFC 1071, continued from `sum`; not folded. */
static uint64_t add_up(const uint8_t *bytes, size_t count, uint64_t sum)
{
	while (count >= 4) {
		sum += load_be32(bytes);
		bytes += 4;
		count -= 4;
	}
	if (count >= 2) {
		sum += load_be16(bytes);
		bytes += 2;
		count -= 2;
	}
	return count ? sum + (bytes[0] << 8) : sum;
}

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* [5.1.6.2] the field holds the pseudo header's sum; the rest is added to it. */
static bool finish_checksum(const uint8_t *header, uint8_t *frame, size_t bytes)
{
	size_t start = load_le16(header + NET_CSUM_START);
	size_t field = start + load_le16(header + NET_CSUM_OFFSET);
	uint16_t sum;

	if (start >= bytes || field + 2 > bytes)
		return false;
	sum = ~fold(add_up(frame + start, bytes - start, 0));
	store_be16(frame + field, sum ? sum : 0xffff);
	return true;
}

static bool find_headers(const uint8_t *frame, size_t bytes, struct segments *found)
{
	unsigned at = ETHERNET, type = load_be16(frame + ETHERNET - 2), tcp_bytes;

	if (type == TYPE_VLAN && bytes >= ETHERNET + VLAN_TAG) {
		type = load_be16(frame + at + 2);
		at += VLAN_TAG;
	}
	found->ip = at;
	found->is_ip6 = type == TYPE_IP6;
	if (bytes < at + IP6_HEADER + TCP_HEADER || (type != TYPE_IP4 && type != TYPE_IP6))
		return false;
	if (frame[at + (found->is_ip6 ? 6 : 9)] != PROTOCOL_TCP)
		return false;
	found->tcp = at + (found->is_ip6 ? IP6_HEADER : (frame[at] & 15) * 4);
	if (found->tcp < at + 20 || bytes < found->tcp + TCP_HEADER)
		return false;
	tcp_bytes = (frame[found->tcp + TCP_OFFSET] >> 4) * 4;
	found->payload = found->tcp + tcp_bytes;
	return tcp_bytes >= TCP_HEADER && found->payload <= bytes && found->payload <= MOST_HEADERS;
}

static void fix_ip(uint8_t *ip, const struct segments *at, size_t bytes, unsigned number)
{
	if (at->is_ip6) {
		store_be16(ip + 4, bytes - at->ip - IP6_HEADER);
		return;
	}
	store_be16(ip + 2, bytes - at->ip);
	store_be16(ip + 4, load_be16(ip + 4) + number);
	store_be16(ip + 10, 0);
	store_be16(ip + 10, ~fold(add_up(ip, at->tcp - at->ip, 0)));
}

static void fix_tcp(uint8_t *frame, const struct segments *at, size_t bytes)
{
	uint64_t sum = PROTOCOL_TCP + (bytes - at->tcp);
	uint8_t *field = frame + at->tcp + TCP_CHECKSUM;

	sum = at->is_ip6 ? add_up(frame + at->ip + 8, 32, sum)
			 : add_up(frame + at->ip + 12, 8, sum);
	store_be16(field, 0);
	store_be16(field, ~fold(add_up(frame + at->tcp, bytes - at->tcp, sum)));
}

/*
 * Cuts in place: the headers are copied in front of each piece of payload, over the piece before
 * it, which is gone by then.
 */
static bool send_segments(struct netdev *netdev, uint8_t *frame, size_t bytes, unsigned most)
{
	struct segments at;
	uint8_t headers[MOST_HEADERS];
	uint32_t sequence;
	uint8_t flags;

	if (most < LEAST_SEGMENT || !find_headers(frame, bytes, &at))
		return false;
	memcpy(headers, frame, at.payload);
	sequence = load_be32(frame + at.tcp + TCP_SEQUENCE);
	flags = frame[at.tcp + TCP_FLAGS];
	for (size_t done = 0, number = 0; done < bytes - at.payload || !number; number++) {
		size_t now = MIN(most, bytes - at.payload - done);
		bool is_last = done + now == bytes - at.payload;
		uint8_t *segment = frame + done, *tcp = segment + at.tcp;

		memcpy(segment, headers, at.payload);
		fix_ip(segment + at.ip, &at, at.payload + now, number);
		store_be32(tcp + TCP_SEQUENCE, sequence + done);
		tcp[TCP_FLAGS] =
			flags & ~((is_last ? 0 : TCP_FIN | TCP_PSH) | (number ? TCP_CWR : 0));
		fix_tcp(segment, &at, at.payload + now);
		netdev_send(netdev, segment, at.payload + now);
		done += now;
	}
	return true;
}

bool net_send_offloaded(struct netdev *netdev, const uint8_t *header, uint8_t *frame, size_t bytes)
{
	unsigned gso = header[NET_GSO] & ~GSO_ECN;

	if (gso == GSO_TCP4 || gso == GSO_TCP6)
		return send_segments(netdev, frame, bytes, load_le16(header + NET_GSO_SIZE));
	if (gso != GSO_NONE)
		return false;
	if ((header[NET_FLAGS] & NEEDS_CSUM) && !finish_checksum(header, frame, bytes))
		return false;
	netdev_send(netdev, frame, bytes);
	return true;
}
