/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ethernet frames between a NIC and the host's network: see netdev.h.
 *
 * Frames for a NIC that cannot take them now wait in a queue with a bound in frames and bytes. A
 * frame is never handed to a NIC from inside its own netdev_send: a back end may answer at once.
 */
#include "core/internal.h"

#include <errno.h>
#include <stdlib.h>

enum { QUEUE_FRAMES = 1024, QUEUE_BYTES = 8 << 20 };

struct frame {
	struct frame *next;
	size_t bytes;
	uint8_t data[];
};

struct netdev {
	struct board *board;
	char *id;
	const struct netdev_driver *driver;
	void *peer;
	bool link;
	bool sending, delivering;
	struct dev *dev;
	const struct netdev_events *events;
	struct frame *first, **last;
	size_t queued, queued_bytes;
	uint64_t dropped;
	struct netdev *next;
};

struct netdev *netdev_find(struct board *board, const char *id)
{
	for (struct netdev *n = board->netdevs; n; n = n->next)
		if (!strcmp(n->id, id))
			return n;
	return NULL;
}

struct netdev *netdev_next(struct board *board, struct netdev *after)
{
	return after ? after->next : board->netdevs;
}

const char *netdev_id(const struct netdev *netdev)
{
	return netdev->id;
}

const char *netdev_driver_name(const struct netdev *netdev)
{
	return netdev->driver->name;
}

bool netdev_link(const struct netdev *netdev)
{
	return netdev->link;
}

struct netdev *netdev_new(struct board *board, const char *id, const struct netdev_driver *driver,
			  void *peer, struct err *err)
{
	struct netdev *netdev = NULL;
	struct netdev **at = &board->netdevs;

	board_lock(board);
	if (netdev_find(board, id)) {
		fail(err, EEXIST, "there is a netdev \"%s\" already", id);
		goto out;
	}
	netdev = must_alloc(sizeof(*netdev));
	*netdev = (struct netdev){ .board = board, .id = must_strdup(id), .driver = driver,
				   .peer = peer, .link = true };
	netdev->last = &netdev->first;
	while (*at)
		at = &(*at)->next;
	*at = netdev;
out:
	board_unlock(board);
	return netdev;
}

static struct frame *take_first(struct netdev *netdev)
{
	struct frame *frame = netdev->first;

	netdev->first = frame->next;
	if (!netdev->first)
		netdev->last = &netdev->first;
	netdev->queued--;
	netdev->queued_bytes -= frame->bytes;
	return frame;
}

static void drop_all(struct netdev *netdev)
{
	while (netdev->first)
		free(take_first(netdev));
}

void netdev_forget(struct netdev *netdev)
{
	drop_all(netdev);
}

void netdev_free(struct netdev *netdev)
{
	struct board *board = netdev->board;
	struct netdev **at = &board->netdevs;

	board_lock(board);
	while (*at != netdev)
		at = &(*at)->next;
	*at = netdev->next;
	if (netdev->driver->close)
		netdev->driver->close(netdev->peer);
	drop_all(netdev);
	board_unlock(board);
	free(netdev->id);
	free(netdev);
}

void netdevs_free(struct board *board)
{
	while (board->netdevs)
		netdev_free(board->netdevs);
}

int netdev_claim(struct netdev *netdev, struct dev *dev, const struct netdev_events *events,
		 struct err *err)
{
	if (netdev->dev)
		return fail(err, EBUSY, "netdev \"%s\" is in use by %s", netdev->id,
			    netdev->dev->id);
	netdev->dev = dev;
	netdev->events = events;
	return 0;
}

void netdev_release_of(struct dev *dev)
{
	for (struct netdev *n = dev->board->netdevs; n; n = n->next) {
		if (n->dev == dev) {
			n->dev = NULL;
			drop_all(n);
		}
	}
}

static bool can_deliver(const struct netdev *netdev)
{
	const struct board *board = netdev->board;

	return netdev->dev && netdev->link && !netdev->sending &&
	       (board->running || !board->system) && netdev->events->can_receive(netdev->dev);
}

void netdev_poll_receive(struct netdev *netdev)
{
	if (netdev->delivering) /* the loop below goes on */
		return;
	netdev->delivering = true;
	while (netdev->first && can_deliver(netdev)) {
		struct frame *frame = take_first(netdev);

		netdev->events->receive(netdev->dev, frame->data, frame->bytes);
		free(frame);
	}
	netdev->delivering = false;
}

void netdevs_poll(struct board *board)
{
	for (struct netdev *n = board->netdevs; n; n = n->next)
		netdev_poll_receive(n);
}

void netdev_send(struct netdev *netdev, const uint8_t *frame, size_t bytes)
{
	bool was_sending = netdev->sending;

	if (!netdev->link || !bytes || bytes > NET_FRAME_MAX)
		return;
	netdev->sending = true;
	netdev->driver->send(netdev->peer, frame, bytes);
	netdev->sending = was_sending;
}

static void poll_later(void *context)
{
	struct board *board = context;

	board_lock(board);
	netdevs_poll(board);
	board_unlock(board);
}

void netdev_deliver(struct netdev *netdev, const uint8_t *data, size_t bytes)
{
	struct board *board = netdev->board;
	struct frame *frame;

	if (!bytes || bytes > NET_FRAME_MAX)
		return;
	board_lock(board);
	if (!netdev->dev || !netdev->link || netdev->queued >= QUEUE_FRAMES ||
	    netdev->queued_bytes + bytes > QUEUE_BYTES) {
		netdev->dropped++;
		goto out;
	}
	frame = try_alloc(sizeof(*frame) + bytes);
	if (!frame)
		goto out;
	frame->bytes = bytes;
	memcpy(frame->data, data, bytes);
	*netdev->last = frame;
	netdev->last = &frame->next;
	netdev->queued++;
	netdev->queued_bytes += bytes;
	if (netdev->sending && board->loop)
		loop_post(board->loop, poll_later, board);
	else
		netdev_poll_receive(netdev);
out:
	board_unlock(board);
}

void netdev_set_link(struct netdev *netdev, bool up)
{
	board_lock(netdev->board);
	if (netdev->link != up) {
		netdev->link = up;
		if (!up)
			drop_all(netdev);
		if (netdev->dev && netdev->events->link)
			netdev->events->link(netdev->dev, up);
	}
	board_unlock(netdev->board);
}
