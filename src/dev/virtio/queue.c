/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Split virtqueues.
 *
 * The ring is the guest's memory and may change at any time: every index, descriptor and table is
 * read once into a local copy and checked there. A chain has at most as many descriptors as its
 * table has entries, a queue at most as many chains in flight as the ring holds; what breaks these
 * rules stops the device until the driver resets it.
 *
 * Manual: Virtual I/O Device (VIRTIO) 1.2, section 2.7.
 * Not modelled: packed rings, in-order use, ring reset.
 */
#include "dev/virtio/virtio.h"

#include <errno.h>
#include <stdlib.h>

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, DESC_BYTES = 16 };
enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };
enum { RING_FLAGS = 0, RING_INDEX = 2, RING_ENTRIES = 4, USED_ENTRY = 8 };

struct descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags, next;
};

/* What is mapped of a chain while it is walked. */
struct walk {
	struct iovec piece[VIRTQ_SEGMENTS];
	unsigned out_count, count;
	uint64_t out_bytes, in_bytes;
};

static struct dev *dev_of(const struct virtqueue *queue)
{
	return &queue->virtio->pci.dev;
}

/* The driver fills entries before it moves the index; pairs with its write barrier. */
static bool read_16(struct virtqueue *queue, uint64_t gpa, uint16_t *value)
{
	if (dma_read(dev_of(queue), gpa, value, sizeof(*value))) {
		virtio_broken(queue->virtio, "queue %u is not in memory", queue->number);
		return false;
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return true;
}

static bool write_16(struct virtqueue *queue, uint64_t gpa, uint16_t value)
{
	__atomic_thread_fence(__ATOMIC_RELEASE); /* what the index announces is there first */
	if (!dma_write(dev_of(queue), gpa, &value, sizeof(value)))
		return true;
	virtio_broken(queue->virtio, "queue %u is not in memory", queue->number);
	return false;
}

static bool is_usable(const struct virtqueue *queue)
{
	return queue->enabled && queue->size && !virtio_is_broken(queue->virtio);
}

/* How many chains wait; 0 also when the driver's index makes no sense. */
static unsigned waiting(struct virtqueue *queue)
{
	uint16_t index;
	unsigned count;

	if (!is_usable(queue) || !read_16(queue, queue->avail + RING_INDEX, &index))
		return 0;
	count = (uint16_t)(index - queue->last_avail);
	if (count <= queue->size)
		return count;
	virtio_broken(queue->virtio, "queue %u: index %u after %u, but it holds %u", queue->number,
		      index, queue->last_avail, queue->size);
	return 0;
}

static bool uses_event_index(const struct virtqueue *queue)
{
	return virtio_has(queue->virtio, VIRTIO_F_EVENT_IDX);
}

bool virtq_want_notify(struct virtqueue *queue, bool want)
{
	uint64_t event = queue->used + RING_ENTRIES + (uint64_t)USED_ENTRY * queue->size;

	if (!is_usable(queue))
		return false;
	if (!uses_event_index(queue))
		write_16(queue, queue->used + RING_FLAGS, want ? 0 : USED_NO_NOTIFY);
	else if (want)
		write_16(queue, event, queue->last_avail);
	if (!want)
		return false;
	/* The driver writes the index and reads our wish; we wrote the wish and read the index. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return waiting(queue) > 0;
}

void virtq_end_turn(struct virtqueue *queue)
{
	if (virtq_want_notify(queue, true))
		virtio_serve_again(queue);
}

bool virtq_has_work(struct virtqueue *queue)
{
	return waiting(queue) > 0;
}

/* Chains ---------------------------------------------------------------------------------- */

static int read_descriptor(struct virtqueue *queue, uint64_t table, unsigned index,
			   struct descriptor *to)
{
	return dma_read(dev_of(queue), table + (uint64_t)index * DESC_BYTES, to, sizeof(*to));
}

static int map_descriptor(struct virtqueue *queue, struct walk *walk, const struct descriptor *d)
{
	bool writes = d->flags & DESC_WRITE;
	uint64_t at = d->address, left = d->bytes;

	if (at + left < at)
		return -EFAULT;
	while (left) {
		size_t bytes = left;
		void *host;

		if (walk->count == VIRTQ_SEGMENTS)
			return -E2BIG;
		host = dma_map(dev_of(queue), at, &bytes, writes);
		if (!host)
			return -EFAULT;
		walk->piece[walk->count++] = (struct iovec){ host, bytes };
		at += bytes;
		left -= bytes;
	}
	if (writes) {
		walk->in_bytes += d->bytes;
	} else {
		walk->out_bytes += d->bytes;
		walk->out_count = walk->count;
	}
	return 0;
}

/* Follows one chain; an indirect descriptor goes on in a table of its own and never comes back. */
static int walk_chain(struct virtqueue *queue, unsigned head, struct walk *walk)
{
	uint64_t table = queue->desc;
	unsigned entries = queue->size, index = head, seen = 0;
	bool is_indirect = false, has_written = false;

	for (;;) {
		struct descriptor d;
		int code;

		if (index >= entries || seen++ >= entries)
			return -ELOOP;
		if (read_descriptor(queue, table, index, &d))
			return -EFAULT;
		if (d.flags & DESC_INDIRECT) {
			if (is_indirect || (d.flags & DESC_NEXT) ||
			    !virtio_has(queue->virtio, VIRTIO_F_INDIRECT) || !d.bytes ||
			    d.bytes % DESC_BYTES || d.bytes / DESC_BYTES > VIRTQ_SEGMENTS)
				return -EINVAL;
			is_indirect = true;
			table = d.address;
			entries = d.bytes / DESC_BYTES;
			index = seen = 0;
			continue;
		}
		if (has_written && !(d.flags & DESC_WRITE))
			return -EINVAL; /* [2.7.4.2] what we read comes first */
		has_written = d.flags & DESC_WRITE;
		code = map_descriptor(queue, walk, &d);
		if (code)
			return code;
		if (!(d.flags & DESC_NEXT))
			return 0;
		index = d.next;
	}
}

static struct virtq_chain *new_chain(struct virtqueue *queue, unsigned head,
				     const struct walk *walk, size_t extra)
{
	size_t pieces = walk->count * sizeof(struct iovec);
	unsigned in_count = walk->count - walk->out_count;
	struct virtq_chain *chain;

	extra = ALIGN_UP(extra, 16);
	chain = malloc(sizeof(*chain) + 2 * pieces + extra);
	if (!chain)
		return NULL;
	*chain = (struct virtq_chain){
		.queue = queue,
		.head = head,
		.out_count = walk->out_count,
		.in_count = in_count,
		.out_bytes = walk->out_bytes,
		.in_bytes = walk->in_bytes,
		.extra = chain + 1,
	};
	memset(chain->extra, 0, extra);
	chain->out = (struct iovec *)((char *)chain->extra + extra);
	chain->in = chain->out + walk->out_count;
	chain->mapped = chain->out + walk->count;
	chain->mapped_count = in_count;
	memcpy(chain->out, walk->piece, pieces);
	memcpy(chain->mapped, walk->piece + walk->out_count, in_count * sizeof(struct iovec));
	return chain;
}

static void unmap_walk(struct virtqueue *queue, const struct walk *walk)
{
	for (unsigned i = 0; i < walk->count; i++)
		dma_unmap(dev_of(queue), walk->piece[i].iov_base, walk->piece[i].iov_len, false);
}

struct virtq_chain *virtq_pop(struct virtqueue *queue, size_t extra_bytes)
{
	struct virtq_chain *chain;
	struct walk walk;
	uint16_t head;
	int code;

	if (!waiting(queue) && !virtq_want_notify(queue, true))
		return NULL;
	if (queue->in_flight >= queue->size) {
		virtio_broken(queue->virtio, "queue %u: more requests than it holds",
			      queue->number);
		return NULL;
	}
	if (!read_16(queue,
		     queue->avail + RING_ENTRIES + 2ull * (queue->last_avail & (queue->size - 1)),
		     &head))
		return NULL;
	walk.count = walk.out_count = 0;
	walk.out_bytes = walk.in_bytes = 0;
	code = walk_chain(queue, head, &walk);
	if (code) {
		unmap_walk(queue, &walk);
		virtio_broken(queue->virtio, "queue %u: bad chain at descriptor %u (%s)",
			      queue->number, head, strerror(-code));
		return NULL;
	}
	chain = new_chain(queue, head, &walk, extra_bytes);
	if (!chain) {
		unmap_walk(queue, &walk);
		virtio_broken(queue->virtio, "no memory for a request");
		return NULL;
	}
	queue->last_avail++;
	queue->in_flight++;
	return chain;
}

static void free_chain(struct virtq_chain *chain, uint64_t written)
{
	struct dev *dev = dev_of(chain->queue);

	for (unsigned i = 0; i < chain->mapped_count; i++) {
		uint64_t bytes = MIN(written, chain->mapped[i].iov_len);

		dma_unmap(dev, chain->mapped[i].iov_base, bytes, bytes > 0);
		written -= bytes;
	}
	chain->queue->in_flight -= chain->queue->in_flight > 0;
	free(chain);
}

void virtq_fill(struct virtq_chain *chain, uint32_t written, unsigned place)
{
	struct virtqueue *queue = chain->queue;
	uint32_t entry[2] = { chain->head, written };
	unsigned slot = (queue->used_index + place) & (queue->size - 1);

	if (is_usable(queue) &&
	    dma_write(dev_of(queue), queue->used + RING_ENTRIES + (uint64_t)USED_ENTRY * slot,
		      entry, sizeof(entry)))
		virtio_broken(queue->virtio, "queue %u is not in memory", queue->number);
	/* The device may have written past what it reports (a status byte): mark it all. */
	free_chain(chain, UINT64_MAX);
}

void virtq_flush(struct virtqueue *queue, unsigned count)
{
	if (!is_usable(queue))
		return;
	queue->used_index += count;
	write_16(queue, queue->used + RING_INDEX, queue->used_index);
}

void virtq_push(struct virtq_chain *chain, uint32_t written)
{
	struct virtqueue *queue = chain->queue;

	virtq_fill(chain, written, 0);
	virtq_flush(queue, 1);
}

void virtq_unpop(struct virtq_chain *chain)
{
	chain->queue->last_avail--;
	free_chain(chain, 0);
}

void virtq_notify(struct virtqueue *queue)
{
	uint16_t now = queue->used_index, then = queue->signalled, wanted;
	bool was_valid = queue->signalled_valid, is_due;

	if (!is_usable(queue) || (was_valid && now == then))
		return;
	/* The driver writes its wish and reads the index; we wrote the index and read the wish. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (uses_event_index(queue)) {
		if (!read_16(queue, queue->avail + RING_ENTRIES + 2ull * queue->size, &wanted))
			return;
		/* [2.7.10] the wished index lies between the last notification and now */
		is_due = !was_valid || (uint16_t)(now - wanted - 1) < (uint16_t)(now - then);
	} else {
		if (!read_16(queue, queue->avail + RING_FLAGS, &wanted))
			return;
		is_due = !(wanted & AVAIL_NO_INTERRUPT);
	}
	queue->signalled = now;
	queue->signalled_valid = true;
	if (is_due)
		virtio_queue_interrupt(queue);
}

void virtq_reset(struct virtqueue *queue)
{
	queue->enabled = false;
	queue->size = queue->max;
	queue->vector = VIRTIO_NO_VECTOR;
	queue->desc = queue->avail = queue->used = 0;
	queue->last_avail = queue->used_index = queue->signalled = 0;
	queue->signalled_valid = false;
	queue->in_flight = 0;
}

/* Scatter lists --------------------------------------------------------------------------- */

static size_t move(struct iovec **list, unsigned *count, void *flat, size_t bytes, bool to_flat)
{
	size_t moved = 0;

	while (moved < bytes && *count) {
		struct iovec *first = *list;
		size_t now = MIN(bytes - moved, first->iov_len);

		if (to_flat)
			memcpy((char *)flat + moved, first->iov_base, now);
		else
			memcpy(first->iov_base, (char *)flat + moved, now);
		moved += now;
		first->iov_base = (char *)first->iov_base + now;
		first->iov_len -= now;
		if (!first->iov_len) {
			++*list;
			--*count;
		}
	}
	return moved;
}

size_t virtq_take(struct virtq_chain *chain, void *to, size_t bytes)
{
	size_t moved = move(&chain->out, &chain->out_count, to, bytes, true);

	chain->out_bytes -= moved;
	return moved;
}

size_t virtq_give(struct virtq_chain *chain, const void *from, size_t bytes)
{
	size_t moved = move(&chain->in, &chain->in_count, (void *)from, bytes, false);

	chain->in_bytes -= moved;
	return moved;
}

bool virtq_take_end(struct virtq_chain *chain, uint8_t **byte)
{
	struct iovec *last = chain->in + chain->in_count - 1;

	if (!chain->in_count)
		return false;
	last->iov_len--;
	*byte = (uint8_t *)last->iov_base + last->iov_len;
	chain->in_count -= last->iov_len == 0;
	chain->in_bytes--;
	return true;
}
