/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * virtio entropy device: fills what the driver offers with random bytes.
 *
 * Manual: VIRTIO 1.2, section 5.4.
 * Not modelled: a choice of sources (rng= is accepted; the bytes are the host kernel's).
 */
#include "dev/virtio/virtio.h"

enum { QUEUE_SIZE = 8, MOST_AT_ONCE = 64 * 1024 };

struct virtio_rng {
	struct virtio_dev virtio;
	char *rng;
	uint64_t max_bytes;
	uint32_t period;
	uint64_t left; /* of this period's budget */
	struct timer refill;
	uint64_t bytes;
};

static const struct field rng_fields[] = {
	SETTING(struct virtio_rng, rng, .help = "source, by id; accepted, no effect"),
	SETTING_AS("max-bytes", struct virtio_rng, max_bytes, .def = UINT64_MAX,
		   .help = "bytes per period"),
	SETTING(struct virtio_rng, period, .def = 65536, .min = 1, .help = "in milliseconds"),
	STATE(struct virtio_rng, left),
	STATE(struct virtio_rng, refill),
	COUNTER(struct virtio_rng, bytes, .help = "random bytes given"),
	{ 0 },
};

static struct virtio_rng *to_rng(struct virtio_dev *virtio)
{
	return container_of(virtio, struct virtio_rng, virtio);
}

static uint32_t fill(struct virtio_rng *rng, struct virtq_chain *chain)
{
	uint64_t wanted = MIN(MIN(chain->in_bytes, MOST_AT_ONCE), rng->left);
	uint32_t given = 0;

	while (given < wanted) {
		uint8_t chunk[256];
		size_t bytes = MIN(sizeof(chunk), wanted - given);

		dev_random(&rng->virtio.pci.dev, chunk, bytes);
		given += virtq_give(chain, chunk, bytes);
	}
	rng->bytes += given;
	if (rng->max_bytes != UINT64_MAX)
		rng->left -= given;
	return given;
}

static void rng_notified(struct virtio_dev *virtio, unsigned number)
{
	struct virtio_rng *rng = to_rng(virtio);
	struct virtqueue *queue = &virtio->queue[number];

	for (unsigned i = 0; i < 2 * QUEUE_SIZE && rng->left; i++) {
		struct virtq_chain *chain = virtq_pop(queue, 0);

		if (!chain)
			break;
		virtq_push(chain, fill(rng, chain));
	}
	virtq_notify(queue);
	if (rng->left)
		virtq_end_turn(queue);
	else if (!rng->refill.deadline)
		timer_arm(&rng->refill, dev_now(&virtio->pci.dev) + rng->period * MILLISECOND);
}

static void on_refill(struct dev *dev)
{
	struct virtio_rng *rng = to_rng(to_virtio(dev));

	rng->left = rng->max_bytes;
	rng_notified(&rng->virtio, 0);
}

static void rng_reset(struct virtio_dev *virtio)
{
	to_rng(virtio)->left = to_rng(virtio)->max_bytes;
	timer_stop(&to_rng(virtio)->refill);
}

static int rng_attach(struct dev *dev, struct err *err)
{
	struct virtio_rng *rng = to_rng(to_virtio(dev));

	claim_timer(dev, &rng->refill, on_refill);
	rng->left = rng->max_bytes;
	virtio_add_queue(&rng->virtio, QUEUE_SIZE);
	return virtio_finish(&rng->virtio, 0, err);
}

/* One class under three names; see virtio_prepare for what the name means. */
#define RNG_CLASS(called, also)                                                          \
	{                                                                                \
		.pci = {                                                               \
			.dev = {                                                       \
				.name = called,                                        \
				.alias = also,                                         \
				.summary = "virtio entropy source",                    \
				.size = sizeof(struct virtio_rng),                     \
				.state_version = 1,                                    \
				.fields = rng_fields,                                  \
				.bus = &virtio_bus_class,                              \
				.attach = rng_attach,                                  \
			},                                                             \
			.ids = { .vendor = 0x1af4, .class = 0x00ff },                  \
			.config_read = virtio_config_read,                             \
			.config_written = virtio_config_written,                       \
		},                                                                     \
		.type = VIRTIO_ENTROPY,                                                \
		.notified = rng_notified,                                              \
		.reset = rng_reset, \
	}

const struct virtio_class virtio_rng_class = RNG_CLASS("virtio-rng-pci", "virtio-rng");
const struct virtio_class virtio_rng_transitional_class =
	RNG_CLASS("virtio-rng-pci-transitional", NULL);
const struct virtio_class virtio_rng_modern_class =
	RNG_CLASS("virtio-rng-pci-non-transitional", NULL);
