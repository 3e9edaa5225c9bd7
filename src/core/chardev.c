/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Byte streams between a device and the host: see chardev.h. */
#include "core/internal.h"

#include <errno.h>
#include <stdlib.h>

struct chardev {
	struct board *board;
	char *id;
	const struct chardev_driver *driver;
	void *peer;
	bool open;
	struct dev *dev;
	const struct chardev_events *events;
	struct chardev *next;
};

struct chardev *chardev_find(struct board *board, const char *id)
{
	for (struct chardev *c = board->chardevs; c; c = c->next)
		if (!strcmp(c->id, id))
			return c;
	return NULL;
}

struct chardev *chardev_next(struct board *board, struct chardev *after)
{
	return after ? after->next : board->chardevs;
}

const char *chardev_id(const struct chardev *chardev)
{
	return chardev->id;
}

const char *chardev_driver_name(const struct chardev *chardev)
{
	return chardev->driver->name;
}

bool chardev_is_open(const struct chardev *chardev)
{
	return chardev->open;
}

struct dev *chardev_user(const struct chardev *chardev)
{
	return chardev->dev;
}

struct chardev *chardev_new(struct board *board, const char *id,
			    const struct chardev_driver *driver, void *peer, struct err *err)
{
	struct chardev *chardev = NULL;
	struct chardev **at = &board->chardevs;

	board_lock(board);
	if (chardev_find(board, id)) {
		fail(err, EEXIST, "there is a chardev \"%s\" already", id);
		goto out;
	}
	chardev = must_alloc(sizeof(*chardev));
	*chardev = (struct chardev){ .board = board, .id = must_strdup(id), .driver = driver,
				     .peer = peer };
	while (*at)
		at = &(*at)->next;
	*at = chardev;
out:
	board_unlock(board);
	return chardev;
}

void chardev_free(struct chardev *chardev)
{
	struct board *board = chardev->board;
	struct chardev **at = &board->chardevs;

	board_lock(board);
	while (*at != chardev)
		at = &(*at)->next;
	*at = chardev->next;
	if (chardev->driver->close)
		chardev->driver->close(chardev->peer);
	board_unlock(board);
	free(chardev->id);
	free(chardev);
}

void chardevs_free(struct board *board)
{
	while (board->chardevs)
		chardev_free(board->chardevs);
}

int chardev_claim(struct chardev *chardev, struct dev *dev, const struct chardev_events *events,
		  struct err *err)
{
	if (chardev->dev)
		return fail(err, EBUSY, "chardev \"%s\" is in use by %s", chardev->id,
			    chardev->dev->id);
	chardev->dev = dev;
	chardev->events = events;
	if (chardev->open && events->opened)
		events->opened(dev, true);
	chardev_poll_receive(chardev);
	return 0;
}

void chardev_release_of(struct dev *dev)
{
	for (struct chardev *c = dev->board->chardevs; c; c = c->next)
		if (c->dev == dev)
			c->dev = NULL;
}

size_t chardev_send(struct chardev *chardev, const uint8_t *bytes, size_t count)
{
	return chardev->driver->send(chardev->peer, bytes, count);
}

void chardev_poll_receive(struct chardev *chardev)
{
	if (chardev->driver->room && chardev_room(chardev))
		chardev->driver->room(chardev->peer);
}

void chardevs_room(struct board *board)
{
	for (struct chardev *c = board->chardevs; c; c = c->next)
		chardev_poll_receive(c);
}

size_t chardev_room(struct chardev *chardev)
{
	struct board *board = chardev->board;
	size_t room = 0;

	board_lock(board);
	if (chardev->dev && chardev->events->can_receive &&
	    (board->running || !board->system || chardev->events->while_stopped))
		room = chardev->events->can_receive(chardev->dev);
	board_unlock(board);
	return room;
}

void chardev_deliver(struct chardev *chardev, const uint8_t *bytes, size_t count)
{
	board_lock(chardev->board);
	if (chardev->dev && count)
		chardev->events->receive(chardev->dev, bytes, count);
	board_unlock(chardev->board);
}

void chardev_set_open(struct chardev *chardev, bool open)
{
	board_lock(chardev->board);
	if (chardev->open != open) {
		chardev->open = open;
		if (chardev->dev && chardev->events->opened)
			chardev->events->opened(chardev->dev, open);
	}
	board_unlock(chardev->board);
}

void chardev_can_send(struct chardev *chardev)
{
	board_lock(chardev->board);
	if (chardev->dev && chardev->events->sent)
		chardev->events->sent(chardev->dev);
	board_unlock(chardev->board);
}
