/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Host ends of network cards by type, and their outboxes: see net.h and internal.h. */
#include "backend/net/internal.h"
#include "host/loop.h"
#include "host/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OUTBOX_BYTES = 4 << 20 };

static void run(void *context)
{
	struct outbox *outbox = context;
	bool closed;

	mutex_lock(&outbox->lock);
	outbox->posted = false;
	closed = outbox->closed;
	mutex_unlock(&outbox->lock);
	if (!closed) {
		outbox->run(outbox->context);
		return;
	}
	mutex_fini(&outbox->lock);
	outbox->release(outbox->context);
}

void outbox_init(struct outbox *outbox, struct loop *loop, void *context)
{
	outbox->loop = loop;
	outbox->context = context;
	outbox->last = &outbox->first;
	mutex_init(&outbox->lock);
}

static void post_locked(struct outbox *outbox)
{
	if (!outbox->posted)
		loop_post(outbox->loop, run, outbox);
	outbox->posted = true;
}

void outbox_put(struct outbox *outbox, const uint8_t *data, size_t bytes)
{
	struct net_frame *frame = NULL;

	mutex_lock(&outbox->lock);
	/* A host that is too slow loses frames, as a full wire does. */
	if (!outbox->closed && outbox->queued_bytes + bytes <= OUTBOX_BYTES)
		frame = try_alloc(sizeof(*frame) + bytes);
	if (frame) {
		frame->bytes = bytes;
		memcpy(frame->data, data, bytes);
		*outbox->last = frame;
		outbox->last = &frame->next;
		outbox->queued_bytes += bytes;
		post_locked(outbox);
	}
	mutex_unlock(&outbox->lock);
}

struct net_frame *outbox_take(struct outbox *outbox)
{
	struct net_frame *frame;

	mutex_lock(&outbox->lock);
	frame = outbox->first;
	if (frame) {
		outbox->first = frame->next;
		if (!outbox->first)
			outbox->last = &outbox->first;
		outbox->queued_bytes -= frame->bytes;
	}
	mutex_unlock(&outbox->lock);
	return frame;
}

void outbox_wake(struct outbox *outbox)
{
	mutex_lock(&outbox->lock);
	if (!outbox->closed)
		post_locked(outbox);
	mutex_unlock(&outbox->lock);
}

void outbox_close(struct outbox *outbox)
{
	struct net_frame *frame;
	bool posted;

	while ((frame = outbox_take(outbox)))
		free(frame);
	mutex_lock(&outbox->lock);
	outbox->closed = true;
	posted = outbox->posted;
	mutex_unlock(&outbox->lock);
	if (posted) /* run() will release it */
		return;
	mutex_fini(&outbox->lock);
	outbox->release(outbox->context);
}

const char *netdev_type(unsigned number)
{
	static const char *const types[] = { "user", "stream", "socket" };

	return number < ARRAY_LEN(types) ? types[number] : NULL;
}

int netdev_open(struct board *board, struct loop *loop, struct options *options, struct err *err)
{
	const char *type = options_get(options, "type"), *id = options_get(options, "id");

	if (!type)
		return fail(err, EINVAL, "%s needs a type: user, stream or socket", options->what);
	if (!id)
		return fail(err, EINVAL, "%s %s needs id=", options->what, type);
	if (!strcmp(type, "user"))
		return user_netdev_open(board, loop, id, options, err);
	if (!strcmp(type, "stream") || !strcmp(type, "socket"))
		return stream_netdev_open(board, loop, id, !strcmp(type, "socket"), options, err);
	return fail(err, ENOTSUP,
		    "%s: type \"%s\" is not supported; use user, or stream with passt outside",
		    options->what, type);
}
