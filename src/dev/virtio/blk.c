/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * virtio block device.
 *
 * A request is a header, data, and a status byte at the very end; data goes straight between guest
 * memory and the disk, and many requests may be in flight. Each is answered from the disk's
 * completion; a reset first waits for them all.
 *
 * Manual: VIRTIO 1.2, section 5.2.
 * Not modelled: SCSI commands, zoned devices, secure erase, life time.
 */
#include "core/block.h"
#include "core/board.h"
#include "dev/virtio/virtio.h"

#include <errno.h>

#define BLK_F_SEG_MAX      BIT(2)
#define BLK_F_GEOMETRY     BIT(4)
#define BLK_F_RO           BIT(5)
#define BLK_F_BLK_SIZE     BIT(6)
#define BLK_F_FLUSH        BIT(9)
#define BLK_F_TOPOLOGY     BIT(10)
#define BLK_F_CONFIG_WCE   BIT(11)
#define BLK_F_MQ           BIT(12)
#define BLK_F_DISCARD      BIT(13)
#define BLK_F_WRITE_ZEROES BIT(14)

enum {
	TYPE_IN = 0,
	TYPE_OUT = 1,
	TYPE_FLUSH = 4,
	TYPE_GET_ID = 8,
	TYPE_DISCARD = 11,
	TYPE_WRITE_ZEROES = 13
};
enum { ANSWER_OK, ANSWER_ERROR, ANSWER_UNSUPPORTED };
enum {
	SECTOR = 512,
	ID_BYTES = 20,
	HEADER_BYTES = 16,
	RANGE_BYTES = 16,
	MAX_QUEUES = 16,
	CONFIG_BYTES = 60,
	WRITEBACK = 32
};

struct virtio_blk {
	struct virtio_dev virtio;
	struct block *drive;
	char *serial;
	uint16_t num_queues, queue_size;
	int64_t bootindex;
	bool config_wce, discard, write_zeroes;
	uint8_t write_cache, scsi, rerror, werror;
	char *iothread;
	bool share_rw;
	uint32_t logical_block_size, physical_block_size;
	uint32_t cyls, heads, secs;
	bool writeback; /* state: the driver may turn the cache off */
	uint64_t reads, writes;
};

struct blk_request {
	struct block_request block; /* first: found again from it */
	struct virtq_chain *chain;
	uint8_t *status;
	uint32_t written;
};

static const struct field blk_fields[] = {
	SETTING(struct virtio_blk, drive, .help = "the disk, by id"),
	SETTING(struct virtio_blk, serial, .help = "what the guest reads as serial number"),
	SETTING(struct virtio_blk, bootindex, .def = UINT64_MAX,
		.help = "place in the boot order; -1: none"),
	SETTING_AS("num-queues", struct virtio_blk, num_queues, .max = MAX_QUEUES,
		   .help = "request queues; 0: one per vCPU"),
	SETTING_AS("queue-size", struct virtio_blk, queue_size, .def = 256, .min = 2,
		   .max = VIRTQ_SIZE_MAX, .help = "entries per queue, a power of two"),
	SETTING_AS("config-wce", struct virtio_blk, config_wce, .def = 1,
		   .help = "the driver may switch the write cache"),
	SETTING_AS("write-cache", struct virtio_blk, write_cache, .choices = "auto,on,off",
		   .help = "off: every write is flushed"),
	SETTING(struct virtio_blk, discard, .def = 1, .help = "offer discard"),
	SETTING_AS("write-zeroes", struct virtio_blk, write_zeroes, .def = 1,
		   .help = "offer writing zeroes"),
	SETTING(struct virtio_blk, scsi, .choices = "auto,on,off", .help = "accepted, no effect"),
	SETTING(struct virtio_blk, rerror, .choices = "auto,report",
		.help = "the guest is told of read errors"),
	SETTING(struct virtio_blk, werror, .choices = "auto,report",
		.help = "the guest is told of write errors"),
	SETTING(struct virtio_blk, iothread, .help = "accepted, no effect: each disk has a thread"),
	SETTING_AS("share-rw", struct virtio_blk, share_rw, .help = "accepted, no effect"),
	SETTING(struct virtio_blk, logical_block_size, .def = 512, .min = 512, .max = 4096,
		.help = "bytes of a block as the guest sees it"),
	SETTING(struct virtio_blk, physical_block_size, .def = 512, .min = 512, .max = 32768,
		.help = "bytes the medium writes at once"),
	SETTING(struct virtio_blk, cyls, .max = 65535, .help = "cylinders; 0: from the size"),
	SETTING(struct virtio_blk, heads, .max = 255, .help = "heads"),
	SETTING(struct virtio_blk, secs, .max = 255, .help = "sectors per track"),
	STATE(struct virtio_blk, writeback),
	COUNTER(struct virtio_blk, reads, .help = "bytes read"),
	COUNTER(struct virtio_blk, writes, .help = "bytes written"),
	{ 0 },
};

static struct virtio_blk *to_blk(struct virtio_dev *virtio)
{
	return container_of(virtio, struct virtio_blk, virtio);
}

static void answer(struct virtio_blk *blk, struct blk_request *request, uint8_t status,
		   uint32_t written)
{
	struct virtq_chain *chain = request->chain;
	struct virtqueue *queue = chain->queue;

	(void)blk;
	*request->status = status;
	virtq_push(chain, written + 1);
	virtq_notify(queue);
}

static void on_done(struct block_request *block, int error)
{
	struct blk_request *request = container_of(block, struct blk_request, block);
	struct virtio_blk *blk = to_blk(request->chain->queue->virtio);

	if (!error && block->op == BLOCK_WRITE && !blk->writeback) { /* write through */
		block->op = BLOCK_FLUSH;
		block->offset = block->bytes = 0;
		block->iov_count = 0;
		block_submit(blk->drive, block);
		return;
	}
	answer(blk, request, error ? ANSWER_ERROR : ANSWER_OK, error ? 0 : request->written);
}

static void submit(struct virtio_blk *blk, struct blk_request *request, enum block_op op,
		   uint64_t offset, uint64_t bytes)
{
	request->block.op = op;
	request->block.offset = offset;
	request->block.bytes = bytes;
	request->block.dev = &blk->virtio.pci.dev;
	request->block.done = on_done;
	block_submit(blk->drive, &request->block);
}

/* Whole sectors inside the disk; nothing here can overflow. */
static bool is_inside(const struct virtio_blk *blk, uint64_t sector, uint64_t bytes)
{
	uint64_t sectors = block_size(blk->drive) / SECTOR;

	return bytes % blk->logical_block_size == 0 && sector <= sectors &&
	       bytes / SECTOR <= sectors - sector;
}

static void transfer(struct virtio_blk *blk, struct blk_request *request, bool is_read,
		     uint64_t sector)
{
	struct virtq_chain *chain = request->chain;
	uint64_t bytes = is_read ? chain->in_bytes : chain->out_bytes;

	if (!is_inside(blk, sector, bytes) || (!is_read && block_read_only(blk->drive))) {
		answer(blk, request, ANSWER_ERROR, 0);
		return;
	}
	if (!bytes) {
		answer(blk, request, ANSWER_OK, 0);
		return;
	}
	request->block.iov = is_read ? chain->in : chain->out;
	request->block.iov_count = is_read ? chain->in_count : chain->out_count;
	request->written = is_read ? bytes : 0;
	*(is_read ? &blk->reads : &blk->writes) += bytes;
	submit(blk, request, is_read ? BLOCK_READ : BLOCK_WRITE, sector * SECTOR, bytes);
}

/* [5.2.6] one range per request, as config space says. */
static void clear_range(struct virtio_blk *blk, struct blk_request *request, bool is_discard)
{
	uint8_t range[RANGE_BYTES];
	uint64_t sector, bytes;

	if (!(is_discard ? blk->discard : blk->write_zeroes) || block_read_only(blk->drive)) {
		answer(blk, request, ANSWER_UNSUPPORTED, 0);
		return;
	}
	if (virtq_take(request->chain, range, sizeof(range)) != sizeof(range) ||
	    request->chain->out_bytes) {
		answer(blk, request, ANSWER_ERROR, 0);
		return;
	}
	if (load_le32(range + 12) & ~(is_discard ? 0u : 1u)) {
		answer(blk, request, ANSWER_UNSUPPORTED, 0);
		return;
	}
	sector = load_le64(range);
	bytes = (uint64_t)load_le32(range + 8) * SECTOR;
	if (!is_inside(blk, sector, bytes))
		answer(blk, request, ANSWER_ERROR, 0);
	else
		submit(blk, request, is_discard ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES,
		       sector * SECTOR, bytes);
}

static void get_id(struct virtio_blk *blk, struct blk_request *request)
{
	const char *serial = blk->serial ? blk->serial : block_serial(blk->drive);
	char id[ID_BYTES] = "";
	size_t given;

	memcpy(id, serial, MIN(strlen(serial), sizeof(id)));
	given = virtq_give(request->chain, id, sizeof(id));
	answer(blk, request, ANSWER_OK, given);
}

static void handle(struct virtio_blk *blk, struct virtq_chain *chain)
{
	struct blk_request *request = chain->extra;
	uint8_t header[HEADER_BYTES];

	request->chain = chain;
	if (virtq_take(chain, header, sizeof(header)) != sizeof(header) ||
	    !virtq_take_end(chain, &request->status)) {
		virtio_broken(&blk->virtio, "a request without header or status");
		virtq_push(chain, 0);
		return;
	}
	switch (load_le32(header)) {
	case TYPE_IN:
		transfer(blk, request, true, load_le64(header + 8));
		break;
	case TYPE_OUT:
		transfer(blk, request, false, load_le64(header + 8));
		break;
	case TYPE_FLUSH:
		submit(blk, request, BLOCK_FLUSH, 0, 0);
		break;
	case TYPE_GET_ID:
		get_id(blk, request);
		break;
	case TYPE_DISCARD:
	case TYPE_WRITE_ZEROES:
		clear_range(blk, request, load_le32(header) == TYPE_DISCARD);
		break;
	default:
		answer(blk, request, ANSWER_UNSUPPORTED, 0);
	}
}

static void blk_notified(struct virtio_dev *virtio, unsigned queue)
{
	struct virtq_chain *chain;

	/* Bounded: a ring holds `size` chains, and answers do not come back within the loop. */
	for (unsigned i = 0; i < 2 * virtio->queue[queue].size; i++) {
		chain = virtq_pop(&virtio->queue[queue], sizeof(struct blk_request));
		if (!chain)
			break;
		handle(to_blk(virtio), chain);
	}
	virtq_end_turn(&virtio->queue[queue]);
}

static void blk_get_config(struct virtio_dev *virtio, uint8_t *config)
{
	struct virtio_blk *blk = to_blk(virtio);
	unsigned exponent = 0;

	while (blk->logical_block_size << exponent < blk->physical_block_size)
		exponent++;
	store_le64(config, block_size(blk->drive) / SECTOR);
	store_le32(config + 12, blk->queue_size > 4 ? MIN(blk->queue_size, 256) - 2 : 1);
	store_le16(config + 16, blk->cyls);
	config[18] = blk->heads;
	config[19] = blk->secs;
	store_le32(config + 20, blk->logical_block_size);
	config[24] = exponent;
	store_le16(config + 26, 1);
	config[WRITEBACK] = blk->writeback;
	store_le16(config + 34, blk->num_queues);
	store_le32(config + 36, UINT32_MAX / SECTOR); /* discard: sectors, ranges, alignment */
	store_le32(config + 40, 1);
	store_le32(config + 44, blk->logical_block_size / SECTOR);
	store_le32(config + 48, UINT32_MAX / SECTOR); /* write zeroes: sectors, ranges */
	store_le32(config + 52, 1);
	config[56] = 1; /* may unmap */
}

static void blk_set_config(struct virtio_dev *virtio, unsigned offset, unsigned size,
			   uint64_t value)
{
	struct virtio_blk *blk = to_blk(virtio);

	if (blk->config_wce && offset <= WRITEBACK && offset + size > WRITEBACK)
		blk->writeback = value >> (WRITEBACK - offset) * 8 & 1;
}

static void blk_reset_queue(struct virtio_dev *virtio)
{
	struct virtio_blk *blk = to_blk(virtio);

	block_drain(blk->drive);
	blk->writeback = blk->write_cache != 2;
}

static int blk_attach(struct dev *dev, struct err *err)
{
	struct virtio_blk *blk = to_blk(to_virtio(dev));
	uint64_t features =
		BLK_F_SEG_MAX | BLK_F_GEOMETRY | BLK_F_BLK_SIZE | BLK_F_FLUSH | BLK_F_TOPOLOGY;
	uint64_t sectors;
	int code;

	if (!blk->drive)
		return fail(err, EINVAL, "%s needs drive=", dev->class->name);
	if (!is_power_of_two(blk->queue_size) || !is_power_of_two(blk->logical_block_size))
		return fail(err, EINVAL, "queue-size and logical_block_size are powers of two");
	code = block_claim(blk->drive, dev, err);
	if (code)
		return code;
	sectors = block_size(blk->drive) / SECTOR;
	if (!blk->num_queues)
		blk->num_queues = MAX(1, MIN(board_vcpu_count(dev->board), (unsigned)MAX_QUEUES));
	if (!blk->cyls) {
		blk->heads = 16;
		blk->secs = 63;
		blk->cyls = MAX(1, MIN(16383, sectors / (16 * 63)));
	}
	features |= block_read_only(blk->drive) ? BLK_F_RO : 0;
	features |= blk->config_wce ? BLK_F_CONFIG_WCE : 0;
	features |= blk->num_queues > 1 ? BLK_F_MQ : 0;
	features |= blk->discard ? BLK_F_DISCARD : 0;
	features |= blk->write_zeroes ? BLK_F_WRITE_ZEROES : 0;
	blk->writeback = blk->write_cache != 2;
	for (unsigned i = 0; i < blk->num_queues; i++)
		virtio_add_queue(&blk->virtio, blk->queue_size);
	return virtio_finish(&blk->virtio, features, err);
}

static void blk_detach(struct dev *dev)
{
	struct virtio_blk *blk = to_blk(to_virtio(dev));

	if (blk->drive)
		block_drain(blk->drive);
}

/* One class under three names; see virtio_prepare for what the name means. */
#define BLK_CLASS(called, also)                                                          \
	{                                                                                \
		.pci = {                                                               \
			.dev = {                                                       \
				.name = called,                                        \
				.alias = also,                                         \
				.summary = "virtio block device",                      \
				.size = sizeof(struct virtio_blk),                     \
				.state_version = 1,                                    \
				.fields = blk_fields,                                  \
				.bus = &virtio_bus_class,                              \
				.attach = blk_attach,                                  \
				.detach = blk_detach,                                  \
			},                                                             \
			.ids = { .vendor = 0x1af4, .class = 0x0100 },                  \
			.config_read = virtio_config_read,                             \
			.config_written = virtio_config_written,                       \
		},                                                                     \
		.type = VIRTIO_BLOCK,                                                  \
		.config_bytes = CONFIG_BYTES,                                          \
		.get_config = blk_get_config,                                          \
		.set_config = blk_set_config,                                          \
		.notified = blk_notified,                                              \
		.reset = blk_reset_queue, \
	}

const struct virtio_class virtio_blk_class = BLK_CLASS("virtio-blk-pci", "virtio-blk");
const struct virtio_class virtio_blk_transitional_class =
	BLK_CLASS("virtio-blk-pci-transitional", NULL);
const struct virtio_class virtio_blk_modern_class =
	BLK_CLASS("virtio-blk-pci-non-transitional", NULL);
