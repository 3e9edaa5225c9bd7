/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ethernet frames between a NIC model and the host's network. */
#ifndef CORE_NETDEV_H
#define CORE_NETDEV_H

#include "core/dev.h"

struct netdev;

enum { NET_FRAME_MAX = 65536 + 64 };

/* The NIC's side. Frames have no FCS. */
struct netdev_events {
	bool (*can_receive)(struct dev *dev);
	void (*receive)(struct dev *dev, const uint8_t *frame, size_t bytes);
	void (*link)(struct dev *dev, bool up); /* optional */
};
int netdev_claim(struct netdev *netdev, struct dev *dev, const struct netdev_events *events,
		 struct err *err);
void netdev_send(struct netdev *netdev, const uint8_t *frame, size_t bytes); /* copies */
void netdev_poll_receive(struct netdev *netdev); /* can_receive became true */
bool netdev_link(const struct netdev *netdev);

/* The back end's side. */
struct netdev_driver {
	const char *name;
	void (*send)(void *peer, const uint8_t *frame, size_t bytes);
	void (*close)(void *peer);
};
struct netdev *netdev_new(struct board *board, const char *id, const struct netdev_driver *driver,
			  void *peer, struct err *err);
struct netdev *netdev_find(struct board *board, const char *id);
struct netdev *netdev_next(struct board *board, struct netdev *after); /* NULL starts and ends */
void netdev_free(struct netdev *netdev);
const char *netdev_id(const struct netdev *netdev);
const char *netdev_driver_name(const struct netdev *netdev);
/* Queues up to a bound while the NIC cannot receive; then drops. */
void netdev_deliver(struct netdev *netdev, const uint8_t *frame, size_t bytes);
void netdev_set_link(struct netdev *netdev, bool up);

#endif
