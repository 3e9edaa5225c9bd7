/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Byte streams between a device (serial port, console) and the host. */
#ifndef CORE_CHARDEV_H
#define CORE_CHARDEV_H

#include "core/dev.h"

struct chardev;

/* The device's side. */
struct chardev_events {
	unsigned (*can_receive)(struct dev *dev); /* how many bytes it would take now */
	void (*receive)(struct dev *dev, const uint8_t *bytes, size_t count);
	void (*opened)(struct dev *dev, bool open); /* optional */
	void (*sent)(struct dev *dev);              /* optional: room again after a short send */
	bool while_stopped; /* receives also while the board stands: monitors */
};
int chardev_claim(struct chardev *chardev, struct dev *dev, const struct chardev_events *events,
		  struct err *err);
/* Sends; returns how many bytes were taken (fewer: wait for `sent`). A chardev with no peer takes
 * everything and drops it. */
size_t chardev_send(struct chardev *chardev, const uint8_t *bytes, size_t count);
void chardev_poll_receive(struct chardev *chardev); /* can_receive grew */

/* The back end's side. */
struct chardev_driver {
	const char *name;
	size_t (*send)(void *peer, const uint8_t *bytes, size_t count);
	void (*room)(void *peer); /* the device can take input again */
	void (*close)(void *peer);
};
struct chardev *chardev_new(struct board *board, const char *id,
			    const struct chardev_driver *driver, void *peer, struct err *err);
struct chardev *chardev_find(struct board *board, const char *id);
struct chardev *chardev_next(struct board *board, struct chardev *after); /* NULL starts and ends */
void chardev_free(struct chardev *chardev);
const char *chardev_id(const struct chardev *chardev);
const char *chardev_driver_name(const struct chardev *chardev);
bool chardev_is_open(const struct chardev *chardev);
struct dev *chardev_user(const struct chardev *chardev); /* NULL: nobody claimed it */
/* 0: nobody listens, or the board stands and the listener does not work then. */
size_t chardev_room(struct chardev *chardev);
void chardev_deliver(struct chardev *chardev, const uint8_t *bytes, size_t count); /* <= room */
void chardev_set_open(struct chardev *chardev, bool open);
void chardev_can_send(struct chardev *chardev); /* tells the device through `sent` */

#endif
