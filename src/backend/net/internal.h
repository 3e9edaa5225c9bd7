/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of net/ share: one opener per type, and the way from any thread to the loop. */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include "backend/net/net.h"
#include "host/thread.h"

int user_netdev_open(struct board *board, struct loop *loop, const char *id,
		     struct options *options, struct err *err);
/* type=stream with addr.*, type=socket with listen= or connect=. */
int stream_netdev_open(struct board *board, struct loop *loop, const char *id, bool is_socket,
		       struct options *options, struct err *err);

struct net_frame {
	struct net_frame *next;
	size_t bytes;
	uint8_t data[];
};

/*
 * Frames on their way from a NIC (any thread, board locked) to the loop's thread, which alone
 * touches the peer. `run` is called there after frames came or outbox_wake(). `lock` is a leaf.
 */
struct outbox {
	struct loop *loop;
	void (*run)(void *context);
	void (*release)(void *context); /* after outbox_close(), when no call is under way */
	void *context;
	struct mutex lock; /* the rest */
	struct net_frame *first, **last;
	size_t queued_bytes;
	bool posted, closed;
};

void outbox_init(struct outbox *outbox, struct loop *loop, void *context);
void outbox_put(struct outbox *outbox, const uint8_t *frame, size_t bytes);
struct net_frame *outbox_take(struct outbox *outbox); /* NULL: empty; free() it */
void outbox_wake(struct outbox *outbox);
void outbox_close(struct outbox *outbox);

#endif
