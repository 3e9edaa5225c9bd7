/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * virtio devices: what every one has (pci.c), and its queues (queue.c).
 *
 * A device is a struct that begins with struct virtio_dev and a struct virtio_class. From attach it
 * adds its queues, then calls virtio_finish(). Requests come as chains: virtq_pop(), look at the
 * guest memory that `out` and `in` name, virtq_push(), virtq_notify().
 */
#ifndef DEV_VIRTIO_VIRTIO_H
#define DEV_VIRTIO_VIRTIO_H

#include "core/pci.h"

#include <sys/uio.h>

enum { VIRTIO_QUEUES = 64, VIRTQ_SIZE_MAX = 1024, VIRTQ_SEGMENTS = 1024 };
enum { VIRTIO_NO_VECTOR = 0xffff };

enum {
	VIRTIO_NET = 1,
	VIRTIO_BLOCK = 2,
	VIRTIO_CONSOLE = 3,
	VIRTIO_ENTROPY = 4,
	VIRTIO_BALLOON = 5
};

/* Feature bits of the transport; the low 24 are the device's. */
#define VIRTIO_F_ANY_LAYOUT BIT(27)
#define VIRTIO_F_INDIRECT   BIT(28)
#define VIRTIO_F_EVENT_IDX  BIT(29)
#define VIRTIO_F_VERSION_1  BIT(32)

enum {
	STATUS_ACKNOWLEDGED = 1,
	STATUS_DRIVER = 2,
	STATUS_DRIVER_OK = 4,
	STATUS_FEATURES_OK = 8,
	STATUS_NEEDS_RESET = 0x40,
	STATUS_FAILED = 0x80
};

struct virtio_dev;

struct virtqueue {
	struct virtio_dev *virtio;
	uint16_t number, max;
	uint16_t in_flight; /* popped, not yet pushed: never more than the ring holds */
	/* state */
	bool enabled;
	uint16_t size, vector;
	uint64_t desc, avail, used;
	uint16_t last_avail, used_index, signalled; /* signalled: used index at the last notify */
	bool signalled_valid;
};

/* A request: `out` the device reads, `in` it writes. Both may be trimmed as they are consumed. */
struct virtq_chain {
	struct virtqueue *queue;
	uint16_t head;
	unsigned out_count, in_count;
	uint64_t out_bytes, in_bytes;
	struct iovec *out, *in;
	struct iovec *mapped; /* as mapped: in_count_mapped pieces of `in` */
	unsigned mapped_count;
	void *extra; /* the device's own, as many zeroed bytes as it asked for */
};

struct virtio_class {
	struct pci_class pci;
	uint16_t type;
	uint16_t config_bytes;
	/* All optional but get_config if there is config space. */
	void (*get_config)(struct virtio_dev *virtio, uint8_t *config);
	void (*set_config)(struct virtio_dev *virtio, unsigned offset, unsigned size,
			   uint64_t value);
	void (*features_set)(struct virtio_dev *virtio); /* the driver has chosen */
	void (*status_set)(struct virtio_dev *virtio);
	void (*notified)(struct virtio_dev *virtio, unsigned queue);
	void (*reset)(struct virtio_dev *virtio); /* finish or forget every request */
	int (*restored)(struct virtio_dev *virtio, struct err *err);
};

struct virtio_dev {
	struct pci_dev pci;
	/* settings */
	uint8_t disable_legacy; /* auto, on, off: auto is off for a plain name */
	bool disable_modern, event_idx, indirect_desc, ats, page_per_vq;
	uint32_t vectors;
	uint8_t iommu_platform, packed, ioeventfd; /* on is refused, but for ioeventfd */
	/* state */
	uint64_t accepted;
	uint32_t offered_select, accepted_select;
	uint16_t queue_select, config_vector;
	uint8_t status, isr, generation;
	uint64_t again; /* queues whose turn ended with work left, a bit each */
	struct timer next_turn;
	struct virtqueue queue[VIRTIO_QUEUES];
	/* derived */
	uint64_t offered;
	unsigned queue_count;
	bool has_legacy, has_modern;
	uint8_t config_access; /* PCI configuration access capability */
	uint64_t notifies, interrupts;
};

extern const struct bus_class virtio_bus_class;

static inline struct virtio_dev *to_virtio(struct dev *dev)
{
	return container_of(dev, struct virtio_dev, pci.dev);
}

static inline bool virtio_has(const struct virtio_dev *virtio, uint64_t feature)
{
	return virtio->accepted & feature;
}

/* From attach. */
void virtio_add_queue(struct virtio_dev *virtio, unsigned size);
int virtio_finish(struct virtio_dev *virtio, uint64_t features, struct err *err);
/* Something in config space changed by itself: tells the driver. */
void virtio_config_changed(struct virtio_dev *virtio);
/* The driver broke the rules of the ring: nothing moves until it resets the device. */
void virtio_broken(struct virtio_dev *virtio, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool virtio_is_broken(const struct virtio_dev *virtio);
/* Every class names these two in its struct pci_class: the window into BAR 4. */
void virtio_config_read(struct dev *dev, unsigned offset, unsigned size);
void virtio_config_written(struct dev *dev, unsigned offset, unsigned size);
/* For queue.c: an interrupt for a queue. */
void virtio_queue_interrupt(struct virtqueue *queue);
/* For queue.c: `notified` is called for it once more, when others could have the board's lock. */
void virtio_serve_again(struct virtqueue *queue);

/* Next request, or NULL: none, or the ring is broken. Freed by push or drop. */
struct virtq_chain *virtq_pop(struct virtqueue *queue, size_t extra_bytes);
/* Gives it back with `written` bytes in `in`. */
void virtq_push(struct virtq_chain *chain, uint32_t written);
/* Several chains that together hold one message are published at once: fill each, then flush. */
void virtq_fill(struct virtq_chain *chain, uint32_t written, unsigned place);
void virtq_flush(struct virtqueue *queue, unsigned count);
/* Back to the ring, as if it had not been popped (the last one popped only). */
void virtq_unpop(struct virtq_chain *chain);
void virtq_notify(struct virtqueue *queue);
bool virtq_has_work(struct virtqueue *queue);
/* Whether the driver shall tell about new buffers; true also if some are there already. */
bool virtq_want_notify(struct virtqueue *queue, bool want);
/* After a loop of pops, which is bounded: the driver shall tell about new buffers, and those that
 * are there already get another turn. */
void virtq_end_turn(struct virtqueue *queue);
void virtq_reset(struct virtqueue *queue);

/* Copies and consumes from the front (or end) of a scatter list. Return bytes moved. */
size_t virtq_take(struct virtq_chain *chain, void *to, size_t bytes);         /* from out */
size_t virtq_give(struct virtq_chain *chain, const void *from, size_t bytes); /* into in */
bool virtq_take_end(struct virtq_chain *chain, uint8_t **byte); /* the last byte of in */

#endif
