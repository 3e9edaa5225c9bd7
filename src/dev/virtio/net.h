/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What net.c and net_offload.c share. */
#ifndef DEV_VIRTIO_NET_H
#define DEV_VIRTIO_NET_H

#include "core/netdev.h"
#include "dev/virtio/virtio.h"

/* The header before each frame, [5.1.6]: offsets. Without mergeable buffers it ends at NET_MERGED. */
enum {
	NET_FLAGS = 0,
	NET_GSO = 1,
	NET_HEADER_LENGTH = 2,
	NET_GSO_SIZE = 4,
	NET_CSUM_START = 6,
	NET_CSUM_OFFSET = 8,
	NET_MERGED = 10,
	NET_HEADER_BYTES = 12
};

/* Does what the header asks for and sends; false: it asks for something impossible. */
bool net_send_offloaded(struct netdev *netdev, const uint8_t *header, uint8_t *frame, size_t bytes);

#endif
