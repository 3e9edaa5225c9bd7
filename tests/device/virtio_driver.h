/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A driver for virtio devices on the rig: negotiates, makes split rings in memory, sends chains. */
#ifndef TESTS_VIRTIO_DRIVER_H
#define TESTS_VIRTIO_DRIVER_H

#include "rig.h"

enum {
	VD_QUEUE = 16,
	VD_RINGS = 0x200000,
	VD_RING_STEP = 0x10000,
	VD_NEXT = 1,
	VD_WRITE = 2,
	VD_INDIRECT = 4
};
enum { VD_AVAIL = 0x1000, VD_USED = 0x2000 };

struct vd {
	struct rig *rig;
	uint64_t common, notify, config, isr;
	uint64_t features;
	struct vd_queue {
		uint64_t base;
		uint16_t avail, used, next;
	} queue[8];
};

struct vd_piece {
	uint64_t gpa;
	uint32_t bytes;
	bool writes;
};

static inline uint64_t vd_get(struct vd *d, unsigned offset, unsigned size)
{
	return rig_read(d->rig, d->common + offset, size);
}

static inline void vd_set(struct vd *d, unsigned offset, unsigned size, uint64_t value)
{
	rig_write(d->rig, d->common + offset, size, value);
}

static inline uint64_t vd_offered(struct vd *d)
{
	uint64_t low;

	vd_set(d, 0, 4, 0);
	low = vd_get(d, 4, 4);
	vd_set(d, 0, 4, 1);
	return low | vd_get(d, 4, 4) << 32;
}

static inline void vd_negotiate(struct vd *d, uint64_t features)
{
	vd_set(d, 0x14, 1, 0);
	vd_set(d, 0x14, 1, 1);
	vd_set(d, 0x14, 1, 3);
	vd_set(d, 8, 4, 0);
	vd_set(d, 0xc, 4, (uint32_t)features);
	vd_set(d, 8, 4, 1);
	vd_set(d, 0xc, 4, features >> 32);
	d->features = features;
	vd_set(d, 0x14, 1, 11);
}

static inline void vd_queue(struct vd *d, unsigned number)
{
	struct vd_queue *q = &d->queue[number];

	*q = (struct vd_queue){ .base = VD_RINGS + number * VD_RING_STEP };
	memset(rig_ram(d->rig) + q->base, 0, VD_RING_STEP);
	vd_set(d, 0x16, 2, number);
	vd_set(d, 0x18, 2, VD_QUEUE);
	vd_set(d, 0x20, 8, q->base);
	vd_set(d, 0x28, 4, q->base + VD_AVAIL);
	vd_set(d, 0x2c, 4, 0);
	vd_set(d, 0x30, 4, q->base + VD_USED);
	vd_set(d, 0x34, 4, 0);
	vd_set(d, 0x1c, 2, 1);
}

static inline void vd_ok(struct vd *d)
{
	vd_set(d, 0x14, 1, 15);
}

static inline void vd_open(struct vd *d, struct rig *rig, uint64_t features, unsigned queues)
{
	d->rig = rig;
	d->common = rig_bar(rig, 4);
	d->isr = d->common + 0x1000;
	d->config = d->common + 0x2000;
	d->notify = d->common + 0x3000;
	vd_negotiate(d, features | 1ull << 32);
	for (unsigned i = 0; i < queues; i++)
		vd_queue(d, i);
	vd_ok(d);
}

static inline uint8_t *vd_descriptor(struct vd *d, unsigned queue, unsigned index)
{
	return rig_ram(d->rig) + d->queue[queue].base + index * 16;
}

static inline void vd_write_descriptor(uint8_t *to, uint64_t gpa, uint32_t bytes, unsigned flags,
				       unsigned next)
{
	store_le64(to, gpa);
	store_le32(to + 8, bytes);
	store_le16(to + 12, flags);
	store_le16(to + 14, next);
}

/* Puts a chain's head into the ring. */
static inline void vd_offer(struct vd *d, unsigned queue, unsigned head)
{
	uint8_t *avail = rig_ram(d->rig) + d->queue[queue].base + VD_AVAIL;

	store_le16(avail + 4 + d->queue[queue].avail % VD_QUEUE * 2, head);
	store_le16(avail + 2, ++d->queue[queue].avail);
}

static inline unsigned vd_add(struct vd *d, unsigned queue, const struct vd_piece *pieces,
			      unsigned count)
{
	struct vd_queue *q = &d->queue[queue];
	unsigned head = q->next;

	for (unsigned i = 0; i < count; i++) {
		unsigned index = q->next;

		q->next = (q->next + 1) % VD_QUEUE;
		vd_write_descriptor(
			vd_descriptor(d, queue, index), pieces[i].gpa, pieces[i].bytes,
			(pieces[i].writes ? VD_WRITE : 0) | (i + 1 < count ? VD_NEXT : 0), q->next);
	}
	vd_offer(d, queue, head);
	return head;
}

static inline void vd_kick(struct vd *d, unsigned queue)
{
	rig_write(d->rig, d->notify + queue * 4, 2, queue);
	rig_settle(d->rig);
}

/* Takes one used entry; -1: none. */
static inline int vd_used(struct vd *d, unsigned queue, uint32_t *written)
{
	struct vd_queue *q = &d->queue[queue];
	const uint8_t *used = rig_ram(d->rig) + q->base + VD_USED;
	const uint8_t *entry = used + 4 + q->used % VD_QUEUE * 8;

	if (load_le16(used + 2) == q->used)
		return -1;
	q->used++;
	if (written)
		*written = load_le32(entry + 4);
	return (int)load_le32(entry);
}

static inline bool vd_is_broken(struct vd *d)
{
	return vd_get(d, 0x14, 1) & 0x40;
}

#endif
